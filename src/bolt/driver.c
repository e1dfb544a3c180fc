#include <stdlib.h>
#include <string.h>

#include "bolt/driver_internal.h"

int64_t bolt_driver_now_ms(const struct bolt_driver *driver)
{
    const struct bolt_clock *clock = &driver->options.clock;

    return clock->now_ms != NULL ? clock->now_ms(clock->arg) : bolt_deadline_in(0);
}

int64_t bolt_driver_deadline(int64_t deadline_ms, int64_t at_most_ms)
{
    int64_t end_ms = at_most_ms == INT64_MAX ? BOLT_NEVER : bolt_deadline_in(at_most_ms);

    return end_ms < deadline_ms ? end_ms : deadline_ms;
}

/* ---- options ---- */

int bolt_text_copy(const char *text, char **ret, struct bolt_error *error)
{
    *ret = text != NULL ? strdup(text) : NULL;
    return text == NULL || *ret != NULL ? 0 : bolt_fail_memory(error);
}

int bolt_text_list_copy(const char *const *list, char ***ret, struct bolt_error *error)
{
    size_t count = 0;
    int rc = 0;

    *ret = NULL;
    if (list == NULL) {
        return 0;
    }
    while (list[count] != NULL) {
        count++;
    }
    char **copy = calloc(count + 1, sizeof(*copy));
    if (copy == NULL) {
        return bolt_fail_memory(error);
    }
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = bolt_text_copy(list[i], &copy[i], error);
    }
    if (rc < 0) {
        bolt_text_list_free(copy);
        return rc;
    }
    *ret = copy;
    return 0;
}

void bolt_text_list_free(char **list)
{
    for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
        free(list[i]);
    }
    free(list);
}

/* The texts that a driver keeps, as members of its options. */
#define KEPT_TEXTS(options)                                                                        \
    {                                                                                              \
        &(options)->uri, &(options)->auth.scheme, &(options)->auth.principal,                      \
            &(options)->auth.credentials, &(options)->auth.realm, &(options)->ca_file,             \
            &(options)->pinned_sha256, &(options)->user_agent,                                     \
            &(options)->notifications.least_severity                                               \
    }

static int keep_texts(struct bolt_options *options, struct bolt_error *error)
{
    const char **texts[] = KEPT_TEXTS(options);
    const char *given[sizeof(texts) / sizeof(texts[0])];
    const char *const *disabled = options->notifications.disabled;
    int rc = 0;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        given[i] = *texts[i];
        *texts[i] = NULL;
    }
    options->notifications.disabled = NULL;
    for (size_t i = 0; rc == 0 && i < sizeof(texts) / sizeof(texts[0]); i++) {
        char *copy;
        rc = bolt_text_copy(given[i], &copy, error);
        *texts[i] = copy;
    }
    if (rc == 0) {
        char **copy;
        rc = bolt_text_list_copy(disabled, &copy, error);
        options->notifications.disabled = (const char *const *)copy;
    }
    return rc;
}

/* Ours again: what the contract shows as const was allocated by keep_texts. */
static void *unconst(const void *pointer)
{
    return (void *)(uintptr_t)pointer;
}

static void free_texts(struct bolt_options *options)
{
    const char **texts[] = KEPT_TEXTS(options);

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char *text = unconst(*texts[i]);
        if (text != NULL) {
            explicit_bzero(text, strlen(text)); /* the password is one of them */
        }
        free(text);
    }
    bolt_text_list_free(unconst(options->notifications.disabled));
}

static int fill_in(int64_t *ms, int64_t otherwise_ms, const char *name, struct bolt_error *error)
{
    if (*ms < BOLT_NO_LIMIT) {
        return bolt_fail(error, BOLT_ERR_USAGE, "%s is %lld; allowed: 0 and more, BOLT_NO_LIMIT",
                         name, (long long)*ms);
    }
    *ms = *ms == 0 ? otherwise_ms : *ms == BOLT_NO_LIMIT ? INT64_MAX : *ms;
    return 0;
}

static int check_options(struct bolt_driver *driver, struct bolt_error *error)
{
    struct bolt_driver_options *options = &driver->options;
    const struct {
        int64_t *ms, otherwise_ms;
        const char *name;
    } times[] = {{&options->connect_ms, BOLT_CONNECT_MS, "connect_ms"},
                 {&options->acquire_ms, BOLT_ACQUIRE_MS, "acquire_ms"},
                 {&options->lifetime_ms, BOLT_LIFETIME_MS, "lifetime_ms"},
                 {&options->idle_check_ms, BOLT_IDLE_CHECK_MS, "idle_check_ms"},
                 {&options->retry_ms, BOLT_RETRY_MS, "retry_ms"}};

    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        int rc = fill_in(times[i].ms, times[i].otherwise_ms, times[i].name, error);
        if (rc < 0) {
            return rc;
        }
    }
    if (options->retry_first_ms < 0 || options->retry_first_ms > BOLT_RETRY_FIRST_MAX_MS) {
        return bolt_fail(error, BOLT_ERR_USAGE, "retry_first_ms is %lld; allowed: 0 to %d",
                         (long long)options->retry_first_ms, BOLT_RETRY_FIRST_MAX_MS);
    }
    if (options->retry_first_ms == 0) {
        options->retry_first_ms = BOLT_RETRY_FIRST_MS;
    }
    options->pool_max = options->pool_max == 0 ? BOLT_POOL_MAX : options->pool_max;
    if (options->connection.uri == NULL || options->connection.host != NULL) {
        return bolt_fail(error, BOLT_ERR_USAGE,
                         "a driver needs connection.uri, and connects by it alone: leave "
                         "connection.host NULL");
    }
    return bolt_uri_parse(options->connection.uri, &driver->uri, error);
}

/* ---- life ---- */

int bolt_driver_open(const struct bolt_driver_options *options, struct bolt_driver **ret,
                     struct bolt_error *error)
{
    struct bolt_driver *driver = calloc(1, sizeof(*driver));

    if (driver == NULL) {
        return bolt_fail_memory(error);
    }
    driver->options = *options;
    (void)pthread_mutex_init(&driver->mutex, NULL); /* with the default attributes it can't fail */
    int rc = keep_texts(&driver->options.connection, error);
    if (rc == 0) {
        rc = check_options(driver, error);
    }
    if (rc < 0) {
        bolt_driver_close(driver);
        return rc;
    }
    *ret = driver;
    return 0;
}

void bolt_driver_close(struct bolt_driver *driver)
{
    if (driver == NULL) {
        return;
    }
    bolt_routing_done(driver);
    bolt_pool_done(driver);
    free_texts(&driver->options.connection);
    (void)pthread_mutex_destroy(&driver->mutex); /* nobody holds it */
    free(driver);
}

int bolt_driver_verify(struct bolt_driver *driver, const char *database, int64_t deadline_ms,
                       struct bolt_error *error)
{
    const struct bolt_purpose purpose = {.mode = BOLT_READ, .database = database};
    struct bolt_connection *connection;
    int rc = bolt_driver_acquire(driver, &purpose, deadline_ms, &connection, error);

    if (rc == 0) {
        rc = bolt_reset(connection, deadline_ms, error);
        bolt_driver_release(driver, connection, rc < 0 ? error : NULL);
    }
    return rc;
}

void bolt_driver_stats(struct bolt_driver *driver, struct bolt_driver_stats *ret)
{
    struct bolt_driver_stats stats = {
        .waiting = atomic_load(&driver->waiting),
        .opened = atomic_load(&driver->opened),
        .failed = atomic_load(&driver->failed),
        .closed = atomic_load(&driver->closed),
        .checked = atomic_load(&driver->checked),
        .routed = atomic_load(&driver->routed),
        .retried = atomic_load(&driver->retried),
    };

    pthread_mutex_lock(&driver->mutex);
    for (const struct member *member = driver->members; member != NULL; member = member->next) {
        stats.servers++;
        stats.lent += member->lent;
        stats.idle += member->idle_count;
    }
    pthread_mutex_unlock(&driver->mutex);
    *ret = stats;
}

/* ---- lending ---- */

/* A direct driver has one server, whatever the purpose. */
static int lend(struct bolt_driver *driver, const struct bolt_purpose *purpose, int64_t deadline_ms,
                struct pooled **ret, struct bolt_error *error)
{
    struct bolt_address address = {.port = driver->uri.port};

    if (driver->uri.routing) {
        return bolt_routing_lend(driver, purpose, deadline_ms, ret, error);
    }
    memcpy(address.host, driver->uri.host, sizeof(address.host));
    return bolt_pool_lend(driver, &address, deadline_ms, ret, error);
}

int bolt_driver_acquire(struct bolt_driver *driver, const struct bolt_purpose *purpose,
                        int64_t deadline_ms, struct bolt_connection **ret, struct bolt_error *error)
{
    static const struct bolt_purpose ANY = {.mode = BOLT_WRITE};
    struct pooled *pooled;
    int64_t end_ms = bolt_driver_deadline(deadline_ms, driver->options.acquire_ms);
    int rc = lend(driver, purpose != NULL ? purpose : &ANY, end_ms, &pooled, error);

    if (rc == 0) {
        *ret = pooled->connection;
    }
    return rc;
}

void bolt_driver_release(struct bolt_driver *driver, struct bolt_connection *connection,
                         const struct bolt_error *outcome)
{
    bolt_pool_return(driver, bolt_pool_find(driver, connection), false, outcome);
}
