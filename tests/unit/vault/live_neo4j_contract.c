/*
 * The graph driver keeps the contract of vault/vault.h, on a real server: NEO4J_URI says where, and
 * its database is emptied again and again. Run by tests/integration/test_neo4j_driver.py.
 */
#include "vault/driver_contract.h"

#include <holdfast/bolt.h>

#include "support/unit.h"

#define EMPTY_MS 30000

static const char *needed(const char *name)
{
    const char *value = getenv(name);

    if (value == NULL) {
        fprintf(stderr, "%s is not set: it says which Neo4j is to be emptied and used\n", name);
        exit(1);
    }
    return value;
}

static char *new_target(void *arg)
{
    struct bolt_error error = BOLT_ERROR_INIT;
    struct bolt_connection *connection = NULL;
    struct bolt_options options = {.uri = arg,
                                   .auth = {.scheme = "basic",
                                            .principal = needed("NEO4J_USER"),
                                            .credentials = needed("NEO4J_PASSWORD")}};
    int64_t deadline_ms = bolt_deadline_in(EMPTY_MS);

    int rc = bolt_open(&options, deadline_ms, &connection, &error);
    if (rc == 0) {
        rc = bolt_execute(connection, "MATCH (n) DETACH DELETE n", NULL, NULL, NULL, deadline_ms,
                          &error);
    }
    bolt_close(connection);
    if (rc < 0) {
        fail_msg("%s", error.message);
    }
    return xstrdup(arg);
}

static void drop_target(void *arg, const char *target)
{
    (void)arg;
    (void)target;
}

int main(void)
{
    AUTO(free_ptr) char *uri = xstrdup(needed("NEO4J_URI"));
    struct contract_subject subject = {
        .ops = &vault_neo4j_ops, .arg = uri, .new_target = new_target, .drop_target = drop_target};

    return driver_contract_run(&subject);
}
