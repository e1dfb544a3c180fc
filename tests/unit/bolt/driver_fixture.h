/*
 * driver_fixture - a driver on fake servers, with a clock that stands still until a pause or the
 * test moves it.
 */
#ifndef HOLDFAST_TEST_DRIVER_FIXTURE_H
#define HOLDFAST_TEST_DRIVER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <holdfast/bolt_driver.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_server.h"

#define SERVERS 3
#define PAUSES_MAX 64
#define WAIT_MS 20000          /* for what must come */
#define CHANCE_EVEN (1u << 31) /* no jitter */

struct fixture {
    struct fake_server *servers[SERVERS]; /* the URI names the first */
    struct bolt_driver_options options;
    struct bolt_driver *driver;
    char uri[64];
    _Atomic int64_t now_ms;
    _Atomic uint32_t chance;
    int64_t pauses[PAUSES_MAX];
    size_t pause_count;
    void (*on_pause)(struct fixture *f);
    struct bolt_error error;
};

static int64_t fixture_now(void *arg)
{
    return ((struct fixture *)arg)->now_ms;
}

static void fixture_sleep(void *arg, int64_t ms)
{
    struct fixture *f = arg;

    f->pauses[f->pause_count++ % PAUSES_MAX] = ms;
    f->now_ms += ms;
    if (f->on_pause != NULL) {
        f->on_pause(f);
    }
}

static uint32_t fixture_chance(void *arg)
{
    return ((struct fixture *)arg)->chance;
}

/* scheme: "bolt" or "neo4j". The options may be changed until fixture_open. */
static inline struct fixture *fixture_new(const char *scheme)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    for (size_t i = 0; i < SERVERS; i++) {
        f->servers[i] = fake_start();
    }
    (void)snprintf(f->uri, sizeof(f->uri), "%s://%s", scheme, fake_address(f->servers[0]));
    f->now_ms = 1000000;
    f->chance = CHANCE_EVEN;
    f->options = (struct bolt_driver_options){
        .connection = {.uri = f->uri,
                       .auth = {.scheme = "basic", .principal = "neo4j", .credentials = "secret"}},
        .clock = {fixture_now, fixture_sleep, fixture_chance, f},
    };
    return f;
}

static inline void fixture_open(struct fixture *f)
{
    if (bolt_driver_open(&f->options, &f->driver, &f->error) < 0) {
        fail_msg("%s", f->error.message);
    }
}

static inline void fixture_free(struct fixture *f)
{
    bolt_driver_close(f->driver);
    for (size_t i = 0; i < SERVERS; i++) {
        fake_stop(f->servers[i]);
    }
    free(f);
}

static inline struct bolt_driver_stats stats(struct fixture *f)
{
    struct bolt_driver_stats now;

    bolt_driver_stats(f->driver, &now);
    return now;
}

static inline int try_acquire(struct fixture *f, enum bolt_mode mode, int64_t wait_ms,
                              struct bolt_connection **ret)
{
    const struct bolt_purpose purpose = {.mode = mode, .database = "neo4j"};

    return bolt_driver_acquire(f->driver, &purpose, bolt_deadline_in(wait_ms), ret, &f->error);
}

static inline struct bolt_connection *acquire(struct fixture *f, enum bolt_mode mode)
{
    struct bolt_connection *connection = NULL;

    if (try_acquire(f, mode, WAIT_MS, &connection) < 0) {
        fail_msg("%s", f->error.message);
    }
    return connection;
}

static inline void release(struct fixture *f, struct bolt_connection *connection)
{
    bolt_driver_release(f->driver, connection, NULL);
}

/* A failure as a server's code would be. */
static inline struct bolt_error failure(const char *code)
{
    struct bolt_error error = {.kind = BOLT_ERR_SERVER};

    (void)snprintf(error.code, sizeof(error.code), "%s", code);
    return error;
}

/* Which server a connection leads to. */
static inline int server_of(struct fixture *f, const struct bolt_connection *connection)
{
    for (int i = 0; i < SERVERS; i++) {
        if (fake_port(f->servers[i]) == bolt_info(connection)->port) {
            return i;
        }
    }
    return -1;
}

#endif
