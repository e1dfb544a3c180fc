#include <stdlib.h>
#include <string.h>

#include "bolt/driver_internal.h"

static bool text_eq(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static const char *database_name(const char *database)
{
    return database != NULL ? database : "the user's home database";
}

/* ---- tables: with the mutex held ---- */

static void table_free(struct route_table *table)
{
    if (table != NULL) {
        free(table->database);
        free(table->user);
        free(table);
    }
}

static struct route_table *table_find(struct bolt_driver *driver,
                                      const struct bolt_purpose *purpose)
{
    struct route_table *table = driver->tables;

    while (table != NULL && !(text_eq(table->database, purpose->database) &&
                              text_eq(table->user, purpose->impersonated_user))) {
        table = table->next;
    }
    return table;
}

/* Drop the table that was not used for longest, if there are too many. One that is being refreshed
 * is in use. */
static void tables_trim(struct bolt_driver *driver)
{
    struct route_table **oldest = NULL;
    size_t count = 0;

    for (struct route_table **at = &driver->tables; *at != NULL; at = &(*at)->next) {
        count++;
        if (!(*at)->refreshing && (oldest == NULL || (*at)->used_ms < (*oldest)->used_ms)) {
            oldest = at;
        }
    }
    if (count >= BOLT_ROUTE_TABLES_MAX && oldest != NULL) {
        struct route_table *table = *oldest;
        *oldest = table->next;
        table_free(table);
    }
}

static struct route_table *table_add(struct bolt_driver *driver, const struct bolt_purpose *purpose,
                                     struct bolt_error *error)
{
    struct route_table *table = calloc(1, sizeof(*table));

    if (table == NULL) {
        (void)bolt_fail_memory(error);
        return NULL;
    }
    if (bolt_text_copy(purpose->database, &table->database, error) < 0 ||
        bolt_text_copy(purpose->impersonated_user, &table->user, error) < 0) {
        table_free(table);
        return NULL;
    }
    tables_trim(driver);
    table->expires_ms = INT64_MIN;
    table->next = driver->tables;
    driver->tables = table;
    return table;
}

static bool in_a_table(const struct bolt_driver *driver, const struct bolt_address *address)
{
    for (const struct route_table *table = driver->tables; table != NULL; table = table->next) {
        for (size_t role = 0; role < ROUTE_ROLES; role++) {
            if (bolt_address_list_has(&table->roles[role], address)) {
                return true;
            }
        }
    }
    return false;
}

void bolt_routing_forget(struct bolt_driver *driver, const struct bolt_address *address)
{
    for (struct route_table *table = driver->tables; table != NULL; table = table->next) {
        for (size_t role = 0; role < ROUTE_ROLES; role++) {
            bolt_address_list_remove(&table->roles[role], address);
        }
    }
}

void bolt_routing_drop_writer(struct bolt_driver *driver, const struct bolt_address *address)
{
    for (struct route_table *table = driver->tables; table != NULL; table = table->next) {
        if (bolt_address_list_has(&table->roles[ROUTE_WRITERS], address)) {
            bolt_address_list_remove(&table->roles[ROUTE_WRITERS], address);
            table->expires_ms = INT64_MIN; /* another one writes now: ask who */
        }
    }
}

void bolt_routing_done(struct bolt_driver *driver)
{
    while (driver->tables != NULL) {
        struct route_table *table = driver->tables;
        driver->tables = table->next;
        table_free(table);
    }
}

/* The server of the role (which has one) with the fewest connections lent; among equals, each in
 * turn. */
static const struct bolt_address *least_busy(struct bolt_driver *driver,
                                             const struct address_list *list)
{
    size_t first = driver->turn++;
    const struct bolt_address *best = &list->all[first % list->count];
    size_t best_lent = bolt_pool_lent(driver, best);

    for (size_t i = 1; i < list->count; i++) {
        const struct bolt_address *address = &list->all[(first + i) % list->count];
        size_t lent = bolt_pool_lent(driver, address);
        if (lent < best_lent) {
            best = address;
            best_lent = lent;
        }
    }
    return best;
}

/* ---- asking for a table: without the mutex ---- */

/* Why no other router would answer otherwise: the failure is the answer. */
static bool is_final(const struct bolt_error *error)
{
    switch (error->kind) {
    case BOLT_ERR_CONNECT:
    case BOLT_ERR_TLS:
    case BOLT_ERR_LOST:
    case BOLT_ERR_PROTOCOL:
    case BOLT_ERR_LIMIT:
        return false;
    case BOLT_ERR_SERVER:
        return strncmp(error->code, "Neo.ClientError.", 16) == 0 &&
               !bolt_error_is_retryable(error) && strstr(error->code, "ProcedureNotFound") == NULL;
    default:
        return true;
    }
}

/* Of none that could be used: when nobody is to be trusted, trying again is of no use. */
static enum bolt_err kind_of_all(bool only_tls)
{
    return only_tls ? BOLT_ERR_TLS : BOLT_ERR_CONNECT;
}

/* What a server answers that has no routing at all (Memgraph): it does everything itself. */
static bool knows_no_routing(const struct bolt_error *error)
{
    return error->kind == BOLT_ERR_SERVER && strncmp(error->code, "Neo.", 4) != 0;
}

static void route_to_itself(const struct bolt_address *router,
                            struct address_list roles[ROUTE_ROLES])
{
    for (size_t role = 0; role < ROUTE_ROLES; role++) {
        roles[role].count = 0;
        (void)bolt_address_list_add(&roles[role], router); /* an empty list has room */
    }
}

/* Ask one router. */
static int ask(struct bolt_driver *driver, const struct bolt_purpose *purpose,
               const struct bolt_address *router, int64_t deadline_ms,
               struct address_list roles[ROUTE_ROLES], int64_t *ret_ttl_s, struct bolt_error *error)
{
    struct pooled *pooled;
    struct bolt_value table;
    int rc = bolt_pool_lend(driver, router, deadline_ms, &pooled, error);

    if (rc < 0) {
        return rc;
    }
    rc = bolt_route(pooled->connection, purpose->database, purpose->impersonated_user,
                    purpose->bookmarks,
                    bolt_driver_deadline(deadline_ms, driver->options.connect_ms), &table, error);
    if (rc == -BOLT_ERR_TIMEOUT && bolt_deadline_in(0) < deadline_ms) {
        error->kind = BOLT_ERR_CONNECT; /* this router's time was over, not the caller's */
        rc = -BOLT_ERR_CONNECT;
    } else if (rc == 0) {
        rc = bolt_route_table_read(&table, roles, ret_ttl_s, error);
    } else if (knows_no_routing(error)) { /* with pooled as it is: reset when it is taken back */
        route_to_itself(router, roles);
        *ret_ttl_s = BOLT_ROUTE_TTL_MAX_S;
        rc = 0;
    }
    bolt_pool_return(driver, pooled, rc == 0 && !bolt_needs_reset(pooled->connection),
                     rc < 0 ? error : NULL);
    return rc;
}

/* Whom to ask: the routers of the last table, then those to begin with. */
static void routers_to_ask(const struct bolt_driver *driver, const struct address_list *known,
                           struct address_list *ret)
{
    const struct bolt_driver_options *options = &driver->options;
    struct bolt_address first[BOLT_ROUTE_ADDRESSES_MAX] = {{.port = driver->uri.port}};
    size_t count = 1;

    memcpy(first[0].host, driver->uri.host, sizeof(first[0].host));
    if (options->resolve != NULL) {
        count = options->resolve(options->resolve_arg, first, BOLT_ROUTE_ADDRESSES_MAX);
    }
    *ret = *known;
    for (size_t i = 0; i < count && i < BOLT_ROUTE_ADDRESSES_MAX; i++) {
        (void)bolt_address_list_add(ret,
                                    &first[i]); /* when there are too many, the known ones do */
    }
}

/* Leave out what the application doesn't allow. */
static void keep_allowed(const struct bolt_driver *driver, struct address_list roles[ROUTE_ROLES])
{
    const struct bolt_driver_options *options = &driver->options;

    for (size_t role = 0; options->allow != NULL && role < ROUTE_ROLES; role++) {
        struct address_list given = roles[role];
        roles[role].count = 0;
        for (size_t i = 0; i < given.count; i++) {
            if (options->allow(options->allow_arg, given.all[i].host, given.all[i].port)) {
                (void)bolt_address_list_add(&roles[role], &given.all[i]); /* it was there before */
            }
        }
    }
}

/* Ask one router after the other until one gives a table. */
static int fetch(struct bolt_driver *driver, const struct bolt_purpose *purpose,
                 const struct address_list *known, int64_t deadline_ms,
                 struct address_list roles[ROUTE_ROLES], int64_t *ret_ttl_s,
                 struct bolt_error *error)
{
    struct address_list routers;
    bool only_tls = true;

    routers_to_ask(driver, known, &routers);
    if (routers.count == 0) {
        return bolt_fail(error, BOLT_ERR_CONNECT,
                         "nobody to ask for a routing table: the "
                         "resolver named no address");
    }
    for (size_t i = 0; i < routers.count; i++) {
        int rc = ask(driver, purpose, &routers.all[i], deadline_ms, roles, ret_ttl_s, error);
        if (rc == 0) {
            keep_allowed(driver, roles);
            atomic_fetch_add(&driver->routed, 1);
            return 0;
        }
        if (is_final(error)) {
            return bolt_fail_context(error, "asking %s:%u for a routing table", routers.all[i].host,
                                     routers.all[i].port);
        }
        only_tls = only_tls && error->kind == BOLT_ERR_TLS;
    }
    (void)bolt_fail_context(
        error, "none of %zu routers gave a routing table for %s; the last, %s:%u", routers.count,
        database_name(purpose->database), routers.all[routers.count - 1].host,
        routers.all[routers.count - 1].port);
    error->kind = kind_of_all(only_tls);
    return -(int)error->kind;
}

/* ---- keeping it fresh ---- */

/* Tell all who waited how it went: the table may be gone before they look. */
static void wake_all(struct route_table *table, const struct bolt_error *failure)
{
    while (table->queue != NULL) {
        struct waiter *waiter = table->queue;
        table->queue = waiter->next;
        waiter->failed = failure != NULL;
        if (failure != NULL) {
            *waiter->error = *failure;
        }
        bolt_waiter_grant(waiter);
    }
}

static int64_t expiry_ms(const struct bolt_driver *driver, int64_t ttl_s)
{
    return bolt_driver_now_ms(driver) + ttl_s * 1000;
}

/* Get a new table in place of this one. Called and left with the mutex held, but not held
 * meanwhile; the table stays, as it is being refreshed. */
static int refresh(struct bolt_driver *driver, const struct bolt_purpose *purpose,
                   struct route_table *table, int64_t deadline_ms, struct bolt_error *error)
{
    struct address_list roles[ROUTE_ROLES];
    struct address_list known = table->roles[ROUTE_ROUTERS];
    struct pooled *unused = NULL;
    int64_t ttl_s = 0;

    table->refreshing = true;
    pthread_mutex_unlock(&driver->mutex);
    int rc = fetch(driver, purpose, &known, deadline_ms, roles, &ttl_s, error);
    pthread_mutex_lock(&driver->mutex);
    table->refreshing = false;
    if (rc == 0) {
        memcpy(table->roles, roles, sizeof(table->roles));
        table->expires_ms = expiry_ms(driver, ttl_s);
        unused = bolt_pool_reap(driver, in_a_table);
    }
    wake_all(table, rc < 0 ? error : NULL);
    if (unused != NULL) {
        pthread_mutex_unlock(&driver->mutex);
        bolt_pool_close_all(driver, unused);
        pthread_mutex_lock(&driver->mutex);
    }
    return rc;
}

/* A failure of who asked, not of the routers: its time was over, it was cancelled, or its bookmarks
 * are none. Who asks with other ones may well get the table. */
static bool is_of_the_asker(const struct bolt_error *error)
{
    return error->kind == BOLT_ERR_TIMEOUT || error->kind == BOLT_ERR_CANCELLED ||
           (error->kind == BOLT_ERR_SERVER && strstr(error->code, "InvalidBookmark") != NULL);
}

/* Another thread is getting the table: wait for it. As refresh; 1: it is still to be had, as only
 * that thread failed. */
static int await_refresh(struct bolt_driver *driver, struct route_table *table, int64_t deadline_ms,
                         struct bolt_error *error)
{
    struct waiter waiter;
    struct bolt_error failure;
    int rc = bolt_waiter_init(&waiter, error);

    if (rc < 0) {
        return rc;
    }
    waiter.error = &failure;
    bolt_waiter_enqueue(&table->queue, &waiter);
    pthread_mutex_unlock(&driver->mutex);
    rc = bolt_waiter_wait(driver, &waiter, deadline_ms, error);
    pthread_mutex_lock(&driver->mutex);
    if (!waiter.granted) {
        bolt_waiter_remove(&table->queue, &waiter);
        rc = bolt_fail_context(error, "waiting for a routing table");
    } else if (waiter.failed && is_of_the_asker(&failure)) {
        rc = 1;
    } else if (waiter.failed) {
        *error = failure;
        rc = -(int)failure.kind;
    } else {
        rc = 0;
    }
    bolt_waiter_done(&waiter);
    return rc;
}

/* Find a server for the purpose. May get a new table, but only once: what a fresh table doesn't
 * offer, another fresh one won't. */
static int choose(struct bolt_driver *driver, const struct bolt_purpose *purpose, bool *refreshed,
                  int64_t deadline_ms, struct bolt_address *ret, struct bolt_error *error)
{
    enum route_role role = purpose->mode == BOLT_READ ? ROUTE_READERS : ROUTE_WRITERS;

    for (;;) {
        struct route_table *table = table_find(driver, purpose);
        if (table == NULL) {
            table = table_add(driver, purpose, error);
        }
        if (table == NULL) {
            return -(int)error->kind;
        }
        table->used_ms = bolt_driver_now_ms(driver);
        bool fresh = *refreshed || table->used_ms < table->expires_ms;
        if (fresh && table->roles[role].count > 0) {
            *ret = *least_busy(driver, &table->roles[role]);
            return 0;
        }
        if (*refreshed) {
            return bolt_fail(error, BOLT_ERR_CONNECT, "no server of the cluster %s %s now",
                             role == ROUTE_READERS ? "serves" : "takes writes to",
                             database_name(purpose->database));
        }
        int rc = table->refreshing ? await_refresh(driver, table, deadline_ms, error)
                                   : refresh(driver, purpose, table, deadline_ms, error);
        if (rc < 0) {
            return rc;
        }
        *refreshed = rc == 0;
    }
}

/* Another server may well lend what this one does not. */
static bool is_of_the_server(const struct bolt_error *error)
{
    return error->kind == BOLT_ERR_CONNECT || error->kind == BOLT_ERR_LOST ||
           error->kind == BOLT_ERR_TLS;
}

int bolt_routing_lend(struct bolt_driver *driver, const struct bolt_purpose *purpose,
                      int64_t deadline_ms, struct pooled **ret, struct bolt_error *error)
{
    struct bolt_error last = {.kind = BOLT_OK}; /* why a server was passed over */
    bool only_tls = true;
    bool refreshed = false;

    for (;;) {
        struct bolt_address address;
        pthread_mutex_lock(&driver->mutex);
        int rc = choose(driver, purpose, &refreshed, deadline_ms, &address, error);
        pthread_mutex_unlock(&driver->mutex);
        if (rc == -BOLT_ERR_CONNECT && refreshed && last.kind != BOLT_OK) {
            (void)bolt_fail_context(&last, "%s; the last one tried", error->message);
            *error = last;
            error->kind = kind_of_all(only_tls);
            return -(int)error->kind;
        }
        if (rc < 0) {
            return rc;
        }
        rc = bolt_pool_lend(driver, &address, deadline_ms, ret, error);
        if (rc == 0 || !is_of_the_server(error)) {
            return rc;
        }
        last = *error;
        only_tls = only_tls && last.kind == BOLT_ERR_TLS;
        pthread_mutex_lock(&driver->mutex);
        bolt_routing_forget(driver, &address);
        pthread_mutex_unlock(&driver->mutex);
    }
}
