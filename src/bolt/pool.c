#include <stdlib.h>
#include <string.h>

#include "bolt/connection.h"
#include "bolt/driver_internal.h"

static struct member *find(const struct bolt_driver *driver, const struct bolt_address *address)
{
    struct member *member = driver->members;

    while (member != NULL && !bolt_address_eq(&member->address, address)) {
        member = member->next;
    }
    return member;
}

static struct member *find_or_add(struct bolt_driver *driver, const struct bolt_address *address)
{
    struct member *member = find(driver, address);

    if (member == NULL) {
        member = calloc(1, sizeof(*member));
        if (member != NULL) {
            member->address = *address;
            member->next = driver->members;
            driver->members = member;
        }
    }
    return member;
}

size_t bolt_pool_lent(const struct bolt_driver *driver, const struct bolt_address *address)
{
    const struct member *member = find(driver, address);

    return member != NULL ? member->lent : 0;
}

static void close_one(struct bolt_driver *driver, struct pooled *pooled)
{
    bolt_close(pooled->connection);
    free(pooled);
    atomic_fetch_add(&driver->closed, 1);
}

void bolt_pool_close_all(struct bolt_driver *driver, struct pooled *list)
{
    while (list != NULL) {
        struct pooled *next = list->next;
        close_one(driver, list);
        list = next;
    }
}

/* ---- places: with the mutex held ---- */

/* A place came free, with a connection in it or without: to who waits longest, or to nobody. */
static void pass_on(struct member *member, struct pooled *pooled)
{
    struct waiter *waiter = member->queue;

    if (waiter != NULL) {
        member->queue = waiter->next;
        waiter->given = pooled;
        bolt_waiter_grant(waiter);
        return;
    }
    member->lent--;
    if (pooled != NULL) {
        pooled->next = member->idle;
        member->idle = pooled;
        member->idle_count++;
    }
}

static struct pooled *take_idle(struct member *member)
{
    struct pooled *pooled = member->idle;

    if (pooled != NULL) {
        member->idle = pooled->next;
        member->idle_count--;
        pooled->next = NULL;
    }
    return pooled;
}

/* All idle connections of a member, which are not to be lent again. */
static struct pooled *retire_idle(struct member *member)
{
    struct pooled *list = member->idle;

    member->epoch++;
    member->idle = NULL;
    member->idle_count = 0;
    return list;
}

static void lent_add(struct bolt_driver *driver, struct pooled *pooled)
{
    pooled->next = driver->lent;
    driver->lent = pooled;
}

static void lent_remove(struct bolt_driver *driver, struct pooled *pooled)
{
    struct pooled **at = &driver->lent;

    while (*at != pooled) {
        at = &(*at)->next;
    }
    *at = pooled->next;
    pooled->next = NULL;
}

struct pooled *bolt_pool_find(struct bolt_driver *driver, const struct bolt_connection *connection)
{
    pthread_mutex_lock(&driver->mutex);
    struct pooled *pooled = driver->lent;
    while (pooled != NULL && pooled->connection != connection) {
        pooled = pooled->next;
    }
    pthread_mutex_unlock(&driver->mutex);
    return pooled;
}

/* ---- lending ---- */

static int refuse_full(const struct bolt_driver *driver, const struct bolt_address *address,
                       struct bolt_error *error)
{
    return bolt_fail(error, BOLT_ERR_TIMEOUT,
                     "no connection to %s:%u came free in time; all %zu are lent (pool_max)",
                     address->host, address->port, driver->options.pool_max);
}

/* All places are taken: wait for one. On 0 it is ours, with *ret in it or empty. Called and left
 * with the mutex held, but not held meanwhile. */
static int wait_for_place(struct bolt_driver *driver, struct member *member, int64_t deadline_ms,
                          struct pooled **ret, struct bolt_error *error)
{
    struct waiter waiter;
    int rc = bolt_waiter_init(&waiter, error);

    if (rc < 0) {
        return rc;
    }
    bolt_waiter_enqueue(&member->queue, &waiter);
    pthread_mutex_unlock(&driver->mutex);
    atomic_fetch_add(&driver->waiting, 1);
    rc = bolt_waiter_wait(driver, &waiter, deadline_ms, error);
    atomic_fetch_sub(&driver->waiting, 1);
    pthread_mutex_lock(&driver->mutex);
    if (waiter.granted) { /* perhaps in the very moment in which the deadline passed */
        *ret = waiter.given;
        rc = 0;
    } else {
        bolt_waiter_remove(&member->queue, &waiter);
        if (rc == -BOLT_ERR_TIMEOUT) {
            rc = refuse_full(driver, &member->address, error);
        }
    }
    bolt_waiter_done(&waiter);
    return rc;
}

static bool too_old(const struct bolt_driver *driver, const struct pooled *pooled)
{
    return bolt_driver_now_ms(driver) - pooled->opened_ms >= driver->options.lifetime_ms;
}

/* May an idle one be lent? Asks the server if it was idle for long. */
static bool usable(struct bolt_driver *driver, struct pooled *pooled, int64_t deadline_ms)
{
    struct bolt_error dead;

    if (too_old(driver, pooled) || !bolt_is_alive(pooled->connection)) {
        return false;
    }
    if (bolt_driver_now_ms(driver) - pooled->idle_since_ms < driver->options.idle_check_ms) {
        return true;
    }
    atomic_fetch_add(&driver->checked, 1);
    /* How it died doesn't matter: another one takes its place. */
    return bolt_reset(pooled->connection, bolt_driver_deadline(deadline_ms, BOLT_RESET_MS),
                      &dead) == 0;
}

/* Open a connection in a place of ours. */
static int open_one(struct bolt_driver *driver, struct member *member, uint64_t epoch,
                    int64_t deadline_ms, struct pooled **ret, struct bolt_error *error)
{
    struct bolt_options options = driver->options.connection;
    struct pooled *pooled = calloc(1, sizeof(*pooled));

    if (pooled == NULL) {
        return bolt_fail_memory(error);
    }
    options.host = member->address.host;
    options.port = member->address.port;
    int64_t opened_ms = bolt_driver_now_ms(driver);
    int rc = bolt_open(&options, bolt_driver_deadline(deadline_ms, driver->options.connect_ms),
                       &pooled->connection, error);
    if (rc < 0) {
        atomic_fetch_add(&driver->failed, 1);
        free(pooled);
        if (rc == -BOLT_ERR_TIMEOUT && bolt_deadline_in(0) < deadline_ms) {
            error->kind = BOLT_ERR_CONNECT; /* this server's time was over, not the caller's */
            rc = -BOLT_ERR_CONNECT;
        }
        return rc;
    }
    atomic_fetch_add(&driver->opened, 1);
    pooled->member = member;
    pooled->epoch = epoch;
    pooled->opened_ms = opened_ms;
    *ret = pooled;
    return 0;
}

/* With a place of ours: an idle connection that lives, or a new one. */
static int fill_place(struct bolt_driver *driver, struct member *member, struct pooled *given,
                      int64_t deadline_ms, struct pooled **ret, struct bolt_error *error)
{
    struct pooled *pooled = given;

    for (;;) {
        pthread_mutex_lock(&driver->mutex);
        uint64_t epoch = member->epoch;
        if (pooled == NULL) {
            pooled = take_idle(member);
        }
        pthread_mutex_unlock(&driver->mutex);
        if (pooled == NULL) {
            return open_one(driver, member, epoch, deadline_ms, ret, error);
        }
        if (pooled->epoch == epoch && usable(driver, pooled, deadline_ms)) {
            *ret = pooled;
            return 0;
        }
        close_one(driver, pooled);
        pooled = NULL;
    }
}

int bolt_pool_lend(struct bolt_driver *driver, const struct bolt_address *address,
                   int64_t deadline_ms, struct pooled **ret, struct bolt_error *error)
{
    struct pooled *pooled = NULL;
    int rc = 0;

    pthread_mutex_lock(&driver->mutex);
    struct member *member = find_or_add(driver, address);
    if (member == NULL) {
        rc = bolt_fail_memory(error);
    } else if (member->lent < driver->options.pool_max) {
        member->lent++;
    } else {
        rc = wait_for_place(driver, member, deadline_ms, &pooled, error);
    }
    pthread_mutex_unlock(&driver->mutex);
    if (rc == 0) {
        rc = fill_place(driver, member, pooled, deadline_ms, &pooled, error);
        pthread_mutex_lock(&driver->mutex);
        if (rc < 0) {
            pass_on(member, NULL);
        } else {
            lent_add(driver, pooled);
            *ret = pooled;
        }
        pthread_mutex_unlock(&driver->mutex);
    }
    return rc;
}

/* ---- taking back ---- */

/* With the mutex held: what a failure says about the server. The result are connections to close.
 */
static struct pooled *learn(struct bolt_driver *driver, struct member *member,
                            const struct bolt_error *outcome, bool lost)
{
    unsigned traits = bolt_error_traits(outcome);

    if ((traits & BOLT_TRAIT_NOT_LEADER) != 0) {
        bolt_routing_drop_writer(driver, &member->address);
    }
    if (lost || (traits & BOLT_TRAIT_FORGET_ADDRESS) != 0) {
        bolt_routing_forget(driver, &member->address);
    }
    return lost || (traits & BOLT_TRAIT_STALE_AUTH) != 0 ? retire_idle(member) : NULL;
}

/* Not one that answered nothing by the caller's deadline: it would be waited for past it. */
static bool worth_a_reset(const struct bolt_error *outcome)
{
    return outcome->kind != BOLT_ERR_TIMEOUT && outcome->kind != BOLT_ERR_CANCELLED &&
           outcome->kind != BOLT_ERR_COMMIT_UNKNOWN;
}

void bolt_pool_return(struct bolt_driver *driver, struct pooled *pooled, bool clean,
                      const struct bolt_error *outcome)
{
    struct member *member = pooled->member;
    struct pooled *retired = NULL;
    struct bolt_error dead;

    bool good = bolt_is_alive(pooled->connection);
    bool lost = !good && outcome != NULL;
    good = good && (outcome == NULL || worth_a_reset(outcome));
    if (good && !clean) {
        good = bolt_reset(pooled->connection, bolt_deadline_in(BOLT_RESET_MS), &dead) == 0;
    }
    good = good && !too_old(driver, pooled);
    if (good) {
        connection_rest(pooled->connection);
    }
    pooled->idle_since_ms = bolt_driver_now_ms(driver);

    pthread_mutex_lock(&driver->mutex);
    if (outcome != NULL) {
        retired = learn(driver, member, outcome, lost);
    }
    lent_remove(driver, pooled);
    good = good && pooled->epoch == member->epoch;
    pass_on(member, good ? pooled : NULL);
    pthread_mutex_unlock(&driver->mutex);
    if (!good) {
        close_one(driver, pooled);
    }
    bolt_pool_close_all(driver, retired);
}

struct pooled *bolt_pool_reap(struct bolt_driver *driver,
                              bool (*keep)(const struct bolt_driver *, const struct bolt_address *))
{
    struct pooled *list = NULL;
    struct member **at = &driver->members;

    while (*at != NULL) {
        struct member *member = *at;
        if (member->lent > 0 || keep(driver, &member->address)) {
            at = &member->next;
            continue;
        }
        for (struct pooled *idle; (idle = take_idle(member)) != NULL;) {
            idle->next = list;
            list = idle;
        }
        *at = member->next;
        free(member);
    }
    return list;
}

void bolt_pool_done(struct bolt_driver *driver)
{
    while (driver->members != NULL) {
        struct member *member = driver->members;
        driver->members = member->next;
        bolt_pool_close_all(driver, retire_idle(member));
        free(member);
    }
}
