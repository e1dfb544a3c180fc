/*
 * driver - what the parts of a bolt_driver know of each other: pool.c, routing.c, session.c.
 *
 * One mutex, driver->mutex, guards all that is shared (members, tables, queues, what is lent). It
 * is never held while anything is sent, received, waited for or called back. Who must wait has an
 * eventfd of its own, so that the same poll sees the cancellation.
 */
#ifndef HOLDFAST_BOLT_DRIVER_INTERNAL_H
#define HOLDFAST_BOLT_DRIVER_INTERNAL_H

#include <holdfast/bolt_driver.h>
#include <pthread.h>
#include <stdatomic.h>

#include "bolt/error.h"

/* One thread that waits: for a connection, or for another thread's routing table. */
struct waiter {
    int fd;
    bool granted;             /* what was waited for is there */
    struct pooled *given;     /* a connection handed over; NULL: a place to open one */
    struct bolt_error *error; /* a table could not be had: why; filled if failed */
    bool failed;
    struct waiter *next;
};

/* One connection of the pool. */
struct pooled {
    struct bolt_connection *connection;
    struct member *member;
    uint64_t epoch; /* the member's when it was opened */
    int64_t opened_ms, idle_since_ms;
    struct pooled *next; /* in member->idle, driver->lent, or a list to be closed */
};

/* One server, and the connections to it. lent + idle <= pool_max. */
struct member {
    struct bolt_address address;
    size_t lent; /* being opened included */
    size_t idle_count;
    struct pooled *idle;  /* the last used first */
    struct waiter *queue; /* the first come first; only while lent == pool_max */
    uint64_t epoch;       /* connections of an earlier one are not lent again */
    struct member *next;
};

enum route_role { ROUTE_ROUTERS, ROUTE_READERS, ROUTE_WRITERS, ROUTE_ROLES };

struct address_list {
    size_t count;
    struct bolt_address all[BOLT_ROUTE_ADDRESSES_MAX];
};

/* Which servers there are for one database. */
struct route_table {
    char *database; /* NULL: the home database */
    char *user;     /* impersonated; NULL: nobody */
    int64_t expires_ms;
    int64_t used_ms;
    struct address_list roles[ROUTE_ROLES];
    bool refreshing; /* by one thread; the others wait in queue */
    struct waiter *queue;
    struct route_table *next;
};

struct bolt_driver {
    struct bolt_driver_options options; /* with texts of our own, and defaults filled in */
    struct bolt_uri uri;
    pthread_mutex_t mutex;
    struct member *members;
    struct pooled *lent;
    struct route_table *tables;
    size_t turn; /* among servers equally busy */
    atomic_size_t waiting;
    atomic_uint_fast64_t opened, failed, closed, checked, routed, retried;
};

/* ---- driver.c ---- */

int64_t bolt_driver_now_ms(const struct bolt_driver *driver); /* the clock of the options */
int64_t bolt_driver_deadline(int64_t deadline_ms,
                             int64_t at_most_ms); /* the earlier one; real time */

/* A copy on the heap of text or list; NULL stays NULL. */
int bolt_text_copy(const char *text, char **ret, struct bolt_error *error) MUST_CHECK;
int bolt_text_list_copy(const char *const *list, char ***ret, struct bolt_error *error) MUST_CHECK;
void bolt_text_list_free(char **list);

/* ---- wait.c ---- */

int bolt_waiter_init(struct waiter *waiter, struct bolt_error *error) MUST_CHECK;
void bolt_waiter_done(struct waiter *waiter);
/* With the mutex held: put it at the end; take it out if it is there; wake it. */
void bolt_waiter_enqueue(struct waiter **queue, struct waiter *waiter);
void bolt_waiter_remove(struct waiter **queue, struct waiter *waiter);
void bolt_waiter_grant(struct waiter *waiter);
/* Without it: wait for the grant. BOLT_ERR_TIMEOUT (without a message), _CANCELLED. */
int bolt_waiter_wait(const struct bolt_driver *driver, struct waiter *waiter, int64_t deadline_ms,
                     struct bolt_error *error) MUST_CHECK;
/* A pause that cancellation ends. */
void bolt_driver_sleep_ms(const struct bolt_driver *driver, int64_t ms);

/* ---- pool.c ---- */

/* Lend a connection to this server: an idle one that lives, or a new one. Errors as
 * bolt_driver_acquire. */
int bolt_pool_lend(struct bolt_driver *driver, const struct bolt_address *address,
                   int64_t deadline_ms, struct pooled **ret, struct bolt_error *error) MUST_CHECK;

/* Take it back. clean: nothing is under way on it, no transaction is open. */
void bolt_pool_return(struct bolt_driver *driver, struct pooled *pooled, bool clean,
                      const struct bolt_error *outcome);

/* The lent one that holds this connection. */
struct pooled *bolt_pool_find(struct bolt_driver *driver, const struct bolt_connection *connection);

/* With the mutex held: how many connections to this server are lent. */
size_t bolt_pool_lent(const struct bolt_driver *driver, const struct bolt_address *address);

/* With the mutex held: unlink members that nobody uses and that keep() doesn't want; their idle
 * connections are the result, for bolt_pool_close_all. */
struct pooled *bolt_pool_reap(struct bolt_driver *driver,
                              bool (*keep)(const struct bolt_driver *,
                                           const struct bolt_address *));

/* Without it: close a list of connections that belong to no member any more. */
void bolt_pool_close_all(struct bolt_driver *driver, struct pooled *list);

void bolt_pool_done(struct bolt_driver *driver); /* close all that is idle, free the members */

/* ---- routing.c ---- */

/* Lend a connection to one of the servers that serve the purpose. */
int bolt_routing_lend(struct bolt_driver *driver, const struct bolt_purpose *purpose,
                      int64_t deadline_ms, struct pooled **ret, struct bolt_error *error)
    MUST_CHECK;

/* With the mutex held. This server serves nothing now; takes no writes now. */
void bolt_routing_forget(struct bolt_driver *driver, const struct bolt_address *address);
void bolt_routing_drop_writer(struct bolt_driver *driver, const struct bolt_address *address);

void bolt_routing_done(struct bolt_driver *driver);

/* ---- route_table.c ---- */

bool bolt_address_eq(const struct bolt_address *a, const struct bolt_address *b);
bool bolt_address_list_has(const struct address_list *list, const struct bolt_address *address);
/* False when it is full; one that is there already is fine. */
bool bolt_address_list_add(struct address_list *list, const struct bolt_address *address);
void bolt_address_list_remove(struct address_list *list, const struct bolt_address *address);

/* Read ROUTE's answer into roles and *ret_ttl_s. BOLT_ERR_PROTOCOL: not of its shape, or without
 * routers or readers; BOLT_ERR_LIMIT: too many addresses. */
int bolt_route_table_read(const struct bolt_value *table, struct address_list roles[ROUTE_ROLES],
                          int64_t *ret_ttl_s, struct bolt_error *error) MUST_CHECK;

/* ---- retry.c ---- */

/* One transaction's tries. */
struct retry {
    struct bolt_driver *driver;
    int64_t first_ms; /* of the first failure, by the driver's clock */
    int64_t pause_ms; /* the next, without jitter */
    unsigned tries;   /* that failed */
};

void bolt_retry_init(struct retry *retry, struct bolt_driver *driver);

/* After a failure: pause, and true to try again. False: give up, with what was tried in the
 * message. */
bool bolt_retry_again(struct retry *retry, int64_t deadline_ms, struct bolt_error *error);

/* pause_ms, up to BOLT_RETRY_JITTER_PERCENT more or less; random is any of 2^32. */
int64_t bolt_retry_jitter(int64_t pause_ms, uint32_t random);

#endif
