/*
 * live_neo4j - the server that NEO4J_URI, NEO4J_USER and NEO4J_PASSWORD name, asked from beside the
 * driver under test.
 */
#ifndef HOLDFAST_TESTS_VAULT_LIVE_NEO4J_H
#define HOLDFAST_TESTS_VAULT_LIVE_NEO4J_H

#include <holdfast/bolt.h>

#include "vault/chain.h"

#define LIVE_MS 30000

static inline const char *live_needed(const char *name)
{
    const char *value = getenv(name);

    if (value == NULL) {
        fprintf(stderr, "%s is not set: it says which Neo4j is to be emptied and used\n", name);
        exit(1);
    }
    return value;
}

/* Run a query; *ret is the first column of its first record (free() it), NULL when there is none.
 */
static inline struct bolt_value *live_ask(const char *query)
{
    struct bolt_error error = BOLT_ERROR_INIT;
    struct bolt_connection *connection = NULL;
    struct bolt_options options = {.uri = live_needed("NEO4J_URI"),
                                   .auth = {.scheme = "basic",
                                            .principal = live_needed("NEO4J_USER"),
                                            .credentials = live_needed("NEO4J_PASSWORD")}};
    int64_t deadline_ms = bolt_deadline_in(LIVE_MS);
    struct bolt_value *ret = NULL;
    struct bolt_record record;

    int rc = bolt_open(&options, deadline_ms, &connection, &error);
    rc = rc == 0 ? bolt_run(connection, query, NULL, NULL, deadline_ms, &error) : rc;
    while (rc >= 0 && (rc = bolt_next(connection, &record, deadline_ms, &error)) > 0) {
        ret = ret == NULL ? bolt_value_copy(&record.values[0]) : ret;
    }
    bolt_close(connection);
    if (rc < 0) {
        fail_msg("%s: %s", query, error.message);
    }
    return ret;
}

static inline void live_execute(const char *query)
{
    free(live_ask(query));
}

/* Heap; "" when there is no such text. */
static inline char *live_text(const char *query)
{
    struct bolt_value *value = live_ask(query);
    struct bolt_string text = {"", 0};

    if (value != NULL && value->type == BOLT_STRING) {
        text = bolt_value_string(value);
    }
    char *ret = xstrndup(text.data, text.size);
    free(value);
    return ret;
}

static inline int64_t live_number(const char *query)
{
    struct bolt_value *value = live_ask(query);

    assert_non_null(value);
    assert_int_equal(value->type, BOLT_INTEGER);
    int64_t ret = value->as.integer;
    free(value);
    return ret;
}

#endif
