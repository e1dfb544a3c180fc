/*
 * The graph driver keeps the contract of vault/vault.h, on a real server: NEO4J_URI says where, and
 * its database is emptied again and again. Run by tests/integration/test_neo4j_vault.py.
 */
#include "vault/driver_contract.h"

#include "vault/live_neo4j.h"

static char *new_target(void *arg)
{
    live_execute("MATCH (n) DETACH DELETE n");
    return xstrdup(arg);
}

static void drop_target(void *arg, const char *target)
{
    (void)arg;
    (void)target;
}

int main(void)
{
    AUTO(free_ptr) char *uri = xstrdup(live_needed("NEO4J_URI"));
    struct contract_subject subject = {
        .ops = &vault_neo4j_ops, .arg = uri, .new_target = new_target, .drop_target = drop_target};

    return driver_contract_run(&subject);
}
