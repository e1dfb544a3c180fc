/* The graph driver: its table, and opening and closing. */
#include <stdlib.h>
#include <string.h>

#include "vault/neo4j_vault.h"

static struct neo4j_vault *of(struct vault *vault)
{
    return (struct neo4j_vault *)vault;
}

static void free_secret(char *secret)
{
    if (secret != NULL) {
        explicit_bzero(secret, strlen(secret));
        free(secret);
    }
}

static void neo4j_close(struct vault *base)
{
    struct neo4j_vault *vault = of(base);

    if (vault == NULL) {
        return;
    }
    neo4j_link_close(vault);
    free(vault->uri);
    free(vault->database);
    free(vault->ca_file);
    free(vault->user);
    free(vault->password_file);
    free_secret(vault->password);
    free(vault->chains);
    free(vault);
}

static int neo4j_open(const struct vault_options *options, struct vault **ret, struct err *err)
{
    struct neo4j_vault *vault = xcalloc(1, sizeof(*vault));
    struct deadline deadline =
        options->open_by.at_ms == 0 ? deadline_in(NEO4J_OPEN_MS) : options->open_by;

    vault->base.ops = &vault_neo4j_ops;
    vault->identity = options->expect_vault;
    vault->env = options->env;
    vault->can_cancel = options->cancel != NULL;
    bolt_cancel_wrap(&vault->cancel, options->cancel);
    vault->read_only = options->read_only;
    vault->on_conflict = options->on_conflict;
    vault->on_mended = options->read_only ? NULL : options->on_mended;
    vault->arg = options->arg;
    vault->tx_changes = FIT_INIT(NEO4J_TX_CHANGES_MAX);
    int rc = neo4j_target_parse(options->target == NULL ? "" : options->target, vault, err);
    rc = rc == 0 ? neo4j_credentials(vault, options->stranger, err) : rc;
    rc = rc == 0 ? neo4j_link_open(vault, deadline, err) : rc;
    rc = rc == 0 ? neo4j_prepare(vault, deadline, err) : rc;
    if (rc < 0) {
        neo4j_close(&vault->base);
        return rc;
    }
    *ret = &vault->base;
    return 0;
}

static struct uuid neo4j_identity(const struct vault *base)
{
    return ((const struct neo4j_vault *)base)->identity;
}

static int refuse_reader(const struct neo4j_vault *vault, struct err *err)
{
    return vault->read_only
               ? err_set(err, ERR_FORBIDDEN, "%s was opened for reading only", vault->uri)
               : 0;
}

static int neo4j_append_batch(struct vault *base, const struct vault_batch *batch,
                              struct deadline deadline, struct err *err)
{
    int rc = refuse_reader(of(base), err);

    rc = rc == 0 ? neo4j_go_on(of(base), deadline, err) : rc;
    rc = rc == 0 ? vault_batch_check(batch, err) : rc;
    return rc == 0 ? neo4j_append(of(base), batch, deadline, err) : rc;
}

/* The identity first: a graph that somebody emptied is made again, and shows as empty. */
static int neo4j_head(struct vault *base, struct vault_head **ret_heads, size_t *ret_count,
                      struct deadline deadline, struct err *err)
{
    int rc = neo4j_prepare(of(base), deadline, err);

    of(base)->counted = false;
    return rc == 0 ? neo4j_heads(of(base), ret_heads, ret_count, deadline, err) : rc;
}

static int neo4j_hash_at(struct vault *base, const struct uuid *origin, uint64_t seq,
                         struct sha256 *ret, struct deadline deadline, struct err *err)
{
    return neo4j_hash(of(base), origin, seq, ret, deadline, err);
}

/* The sessions that were too large to be counted with each of their memories. */
static int count_sessions(struct neo4j_vault *vault, struct deadline deadline, struct err *err)
{
    uint64_t due = 0;

    int rc =
        neo4j_query(vault, BOLT_READ, NEO4J_COUNTS_DUE, NULL, neo4j_take_uint, &due, deadline, err);
    if (rc == 0 && due > 0) {
        rc = neo4j_query(vault, BOLT_WRITE, NEO4J_COUNT_LARGE_SESSIONS, NULL, NULL, NULL, deadline,
                         err);
    }
    vault->counted = rc == 0 && due <= NEO4J_COUNTED_AT_ONCE;
    return rc;
}

static int neo4j_prove_some(struct vault *base, enum vault_proof *ret, struct deadline deadline,
                            struct err *err)
{
    if (!of(base)->counted) {
        *ret = VAULT_PROOF_MORE;
        return count_sessions(of(base), deadline, err);
    }
    return neo4j_prove(of(base), ret, deadline, err);
}

static int neo4j_scan_all(struct vault *base, const struct vault_filter *filter,
                          vault_scan_fn *each, void *arg, struct deadline deadline, struct err *err)
{
    int rc = neo4j_go_on(of(base), deadline, err);

    return rc == 0 ? neo4j_scan(of(base), filter, each, arg, deadline, err) : rc;
}

/* The Origin names another copy from now on; what was there stays there under its number. */
static int neo4j_set_aside(struct vault *base, const struct uuid *origin, struct deadline deadline,
                           struct err *err)
{
    struct neo4j_vault *vault = of(base);
    AUTO(bolt_packer_done) struct bolt_packer packer;
    bool there;

    bolt_packer_init(&packer, 0);
    int rc = refuse_reader(vault, err);
    if (rc < 0) {
        return rc;
    }
    bolt_pack_map(&packer, 1);
    bolt_pack_key(&packer, "origin");
    neo4j_pack_uuid(&packer, origin);
    rc = neo4j_query(vault, BOLT_WRITE, NEO4J_ORIGIN_ASIDE, &packer, NULL, NULL, deadline, err);
    return rc == 0 ? neo4j_chain_ask(vault, neo4j_chain_know(vault, origin), &there, deadline, err)
                   : rc;
}

static int neo4j_check_health(struct vault *base, struct vault_health *ret,
                              struct deadline deadline, struct err *err)
{
    return neo4j_check(of(base), ret, deadline, err);
}

static int neo4j_search_all(struct vault *base, const struct vault_query *query,
                            struct vault_hit **ret_hits, size_t *ret_count,
                            struct deadline deadline, struct err *err)
{
    int rc = neo4j_go_on(of(base), deadline, err);

    return rc == 0 ? neo4j_search(of(base), query, ret_hits, ret_count, deadline, err) : rc;
}

const struct vault_ops vault_neo4j_ops = {
    .kind = "neo4j",
    .caps = VAULT_CAP_SCAN | VAULT_CAP_SEARCH,
    .same_server = neo4j_same_server,
    .open = neo4j_open,
    .identity = neo4j_identity,
    .append = neo4j_append_batch,
    .head = neo4j_head,
    .hash_at = neo4j_hash_at,
    .scan = neo4j_scan_all,
    .prove = neo4j_prove_some,
    .set_aside = neo4j_set_aside,
    .check = neo4j_check_health,
    .search = neo4j_search_all,
    .close = neo4j_close,
};
