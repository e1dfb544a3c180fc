/*
 * neo4j_vault - the graph vault's inside: what its files share. The graph is described in
 * docs/neo4j.md.
 *
 * Thread: one at a time per vault, as vault.h says.
 */
#ifndef HOLDFAST_VAULT_NEO4J_VAULT_H
#define HOLDFAST_VAULT_NEO4J_VAULT_H

#include <holdfast/bolt_driver.h>

#include "base/fit.h"
#include "bolt/net.h"
#include "model/range.h"
#include "vault/neo4j_statement.h"
#include "vault/vault.h"

#define NEO4J_FORMAT 1 /* of the graph; a higher one was made by a newer Holdfast */
#define NEO4J_DIMENSIONS_DEFAULT 768
#define NEO4J_OPEN_MS 20000          /* connecting, and making the schema */
#define NEO4J_TX_CHANGES_MAX 1000    /* of one transaction, at first; halved when it is too much */
#define NEO4J_TX_BYTES_MAX (4 << 20) /* of the records of one transaction, or one change */
#define NEO4J_TRIES 8                /* of one transaction whose COMMIT was not answered */
#define NEO4J_RETRY_MS 5000          /* a transaction is tried again: deadlocks, a new leader */
#define NEO4J_RETRY_FIRST_MS 10      /* the first pause: a deadlock is over in a moment */
#define NEO4J_CATCH_UP_MS 10000      /* for a server to get to what we wrote before */
#define NEO4J_PAGE 1000              /* changes asked for at once */
#define NEO4J_PROVE_CHANGES 2000     /* read and proved by one call: sends wait for it meanwhile */
#define NEO4J_COUNTED_AT_ONCE 10     /* large sessions; as the statement says */
#define NEO4J_IDLE_MS 1000           /* a connection unused for longer is tried before it is used */
#define NEO4J_SECRET_MAX 1024        /* bytes of a user's name or a password */
#define NEO4J_RANKED_MIN 100         /* memories of a ranking that are looked at, at least */
#define NEO4J_FETCH_TIMES 10         /* so many times more vectors, for what a filter leaves out */
#define NEO4J_FETCH_MAX 1000000      /* the server makes room for all that are asked for */

/* An origin, as this process knows it. */
struct neo4j_chain {
    struct uuid origin;
    int64_t copy;      /* the one in use; a copy put aside keeps its number */
    uint64_t head;     /* what the last look at the heads found */
    uint64_t verified; /* proved up to here in this round */
    struct sha256 verified_hash;
    struct err damage; /* found by proving; ERR_NONE: none */
};

struct neo4j_vault {
    struct vault base;
    char *uri;
    char *database;      /* NULL: the user's home */
    char *ca_file;       /* of the only authorities that are trusted; NULL: the system's */
    char *user;          /* an option's; else of the environment */
    char *password_file; /* an option's: the password is there, and nowhere else */
    char *password;
    size_t dimensions; /* of the vector index */
    size_t wanted;     /* dimensions that the configuration asks for; 0: any */
    struct uuid identity;
    struct env *env;
    struct bolt_cancel cancel;
    bool can_cancel;
    bool read_only;
    void (*on_conflict)(void *arg, const struct vault_conflict *conflict); /* may be NULL */
    void (*on_mended)(void *arg, const char *what);                        /* may be NULL */
    void *arg;
    struct fit tx_changes; /* NEO4J_TX_CHANGES_MAX, or fewer */
    struct bolt_driver *driver;
    struct bolt_session *session;
    enum bolt_mode read_mode; /* where what only reads is sent: see neo4j_link_open */
    int64_t caught_up; /* opened_ms of the connection whose server has what we wrote; 0: none */
    struct neo4j_chain *chains; /* by origin */
    bool round_done;            /* all chains are proved up to their heads */
    bool counted;               /* the large sessions, since the last look at the heads */
    size_t chain_count;
};

/* ---- neo4j_target.c: where, and who we are ---- */

/* "bolt://HOST:PORT", then perhaps "#" and "dimensions=384", "database=NAME", "ca_file=PATH",
 * "user=NAME", "password_file=PATH", with "," between. ERR_CONFIG. */
int neo4j_target_parse(const char *target, struct neo4j_vault *vault, struct err *err) MUST_CHECK;
/* For vault_ops: host and port are the same, and the way there is no less safe. */
bool neo4j_same_server(const char *target, const char *known);
/*
 * User and password, each from the first place that has it: the options; NEO4J_USER (else "neo4j")
 * and NEO4J_PASSWORD; the file named by NEO4J_PASSWORD_FILE; systemd's credential "neo4j-password".
 * A stranger has the options alone. ERR_AUTH when there is no password.
 */
int neo4j_credentials(struct neo4j_vault *vault, bool stranger, struct err *err) MUST_CHECK;

/* ---- neo4j_link.c: the driver, and transactions ---- */

/*
 * Have a driver, and reach a server with it. With neo4j:// that is the leader, also for what only
 * reads: a follower may be behind, and what it has not yet would look lost. Only a vault that is
 * opened for reading takes another server when there is no leader. Errors as neo4j_failed.
 */
int neo4j_link_open(struct neo4j_vault *vault, struct deadline deadline, struct err *err)
    MUST_CHECK;
void neo4j_link_close(struct neo4j_vault *vault);
/* The driver's edge: Bolt's error as ours. */
int neo4j_failed(const struct neo4j_vault *vault, const struct bolt_error *error, struct err *err);
/* ERR_TIMEOUT or ERR_CANCELLED when a call must end. */
int neo4j_go_on(const struct neo4j_vault *vault, struct deadline deadline, struct err *err)
    MUST_CHECK;

/* A transaction under way. What a function that takes it gives: 0, or negative; then *error says
 * what Bolt said, or, when its kind is BOLT_OK, *err what is wrong otherwise. */
struct neo4j_tx {
    struct neo4j_vault *vault;
    struct bolt_connection *connection;
    struct deadline deadline;
    struct bolt_error *error;
    struct err *err;
};

/* 0: commit; what was sent and not read goes along. It may be called again, and must then begin
 * from the beginning. A failure that is ours, or a positive number, rolls back and is returned. */
typedef int neo4j_work(struct neo4j_tx *tx, void *arg);

/*
 * A managed transaction (bolt_driver.h has the rules): what failed for a while is tried again.
 * *ret_error is what Bolt said last when that is at fault; a lost reply to COMMIT is
 * BOLT_ERR_COMMIT_UNKNOWN, and the caller's to clear up.
 */
int neo4j_transact(struct neo4j_vault *vault, enum bolt_mode mode, neo4j_work *work, void *arg,
                   struct deadline deadline, struct bolt_error *ret_error, struct err *err)
    MUST_CHECK;

/* Put a statement behind what is in flight; its records will come or not. */
int neo4j_send(struct neo4j_tx *tx, enum neo4j_statement statement,
               const struct bolt_packer *parameters, bool records) MUST_CHECK;

/* One record; borrowed. A non-zero return ends the query and is returned. */
typedef int neo4j_record_fn(void *arg, const struct bolt_record *record, struct err *err);

/* Read the replies of one statement sent with records. */
int neo4j_records(struct neo4j_tx *tx, neo4j_record_fn *each, void *arg) MUST_CHECK;

/* One statement alone, in a transaction of its own. each may be NULL; it is given each record once,
 * so that a query is not asked again when the first has come. */
int neo4j_query(struct neo4j_vault *vault, enum bolt_mode mode, enum neo4j_statement statement,
                const struct bolt_packer *parameters, neo4j_record_fn *each, void *arg,
                struct deadline deadline, struct err *err) MUST_CHECK;

/* A neo4j_record_fn for the one number, a uint64_t, that a statement gives. */
int neo4j_take_uint(void *arg, const struct bolt_record *record, struct err *err) MUST_CHECK;

/* Fields of records. ERR_CORRUPT: another type than it must be. */
int neo4j_get_uint(const struct bolt_record *record, size_t at, uint64_t *ret, struct err *err)
    MUST_CHECK;
int neo4j_get_str(const struct bolt_record *record, size_t at, struct str *ret, struct err *err)
    MUST_CHECK;
int neo4j_get_uuid(const struct bolt_record *record, size_t at, struct uuid *ret, struct err *err)
    MUST_CHECK;
int neo4j_get_hash(const struct bolt_record *record, size_t at, struct sha256 *ret, struct err *err)
    MUST_CHECK;
int neo4j_get_float(const struct bolt_record *record, size_t at, double *ret, struct err *err)
    MUST_CHECK;

/* "origin" and "copy", the parameters of all statements about a chain. */
void neo4j_pack_chain(struct bolt_packer *packer, const struct neo4j_chain *chain);
void neo4j_pack_uuid(struct bolt_packer *packer, const struct uuid *uuid);
void neo4j_pack_hash(struct bolt_packer *packer, const struct sha256 *hash);
void neo4j_pack_str(struct bolt_packer *packer, struct str text);
void neo4j_pack_time(struct bolt_packer *packer, int64_t us); /* TIME_NONE: null */

/* ---- neo4j_schema.c: what the vault is ---- */

/*
 * Learn the vault's identity and indexes, making what is missing unless read_only. A vault that is
 * known (its identity is) but gone is made again under the same. ERR_CORRUPT: another vault;
 * ERR_NEWER; ERR_UNAVAILABLE: nothing there, and it may not be made.
 */
int neo4j_prepare(struct neo4j_vault *vault, struct deadline deadline, struct err *err) MUST_CHECK;
int neo4j_check(struct neo4j_vault *vault, struct vault_health *ret, struct deadline deadline,
                struct err *err) MUST_CHECK;

/* ---- neo4j_chain.c: reading chains ---- */

/* Known, or known from now on, with copy 1. The pointer holds until another one is. */
struct neo4j_chain *neo4j_chain_know(struct neo4j_vault *vault, const struct uuid *origin);
/* Ask which copy is in use; *ret_there is false when nothing was ever kept of this origin. */
int neo4j_chain_ask(struct neo4j_vault *vault, struct neo4j_chain *chain, bool *ret_there,
                    struct deadline deadline, struct err *err) MUST_CHECK;
/* A change from its columns prev, hash and record, from `at` on; borrowed. ERR_CORRUPT says what is
 * wrong with it, also that its hash is not that of its record. */
int neo4j_get_change(const struct bolt_record *record, size_t at, struct change *ret,
                     struct err *err) MUST_CHECK;
/* Collects what HEAD says in a struct vault_head, which begins zeroed. */
int neo4j_take_head(void *arg, const struct bolt_record *record, struct err *err);
int neo4j_heads(struct neo4j_vault *vault, struct vault_head **ret_heads, size_t *ret_count,
                struct deadline deadline, struct err *err) MUST_CHECK;
/* One slice of a round: see vault.h. */
int neo4j_prove(struct neo4j_vault *vault, enum vault_proof *ret, struct deadline deadline,
                struct err *err) MUST_CHECK;
int neo4j_hash(struct neo4j_vault *vault, const struct uuid *origin, uint64_t seq,
               struct sha256 *ret, struct deadline deadline, struct err *err) MUST_CHECK;

/*
 * Give the changes of a chain that follow *seq, whose hash is *hash, at most max of them with gaps,
 * each proved; *seq and *hash go along. ERR_CORRUPT names the change. each may be NULL.
 */
int neo4j_walk(struct neo4j_vault *vault, const struct neo4j_chain *chain, uint64_t *seq,
               struct sha256 *hash, uint64_t max, vault_scan_fn *each, void *arg,
               struct deadline deadline, struct err *err) MUST_CHECK;
int neo4j_scan(struct neo4j_vault *vault, const struct vault_filter *filter, vault_scan_fn *each,
               void *arg, struct deadline deadline, struct err *err) MUST_CHECK;

/* ---- neo4j_search.c ---- */

int neo4j_search(struct neo4j_vault *vault, const struct vault_query *query,
                 struct vault_hit **ret_hits, size_t *ret_count, struct deadline deadline,
                 struct err *err) MUST_CHECK;
/* Append what the full-text index understands: any of these texts, each a phrase in quotes, in
 * which nothing is syntax. ERR_LIMIT. */
int neo4j_lucene(const char *const *texts, size_t count, struct buf *ret, struct err *err)
    MUST_CHECK;

/* ---- neo4j_append.c, neo4j_rows.c ---- */
int neo4j_append(struct neo4j_vault *vault, const struct vault_batch *batch,
                 struct deadline deadline, struct err *err) MUST_CHECK;

/* What goes into one transaction: the changes that are new, read. */
struct neo4j_row {
    const struct vault_item *item;
    struct change change; /* of a gap nothing is set */
};

/*
 * Put all statements behind what is in flight that add these rows, and what they say of the
 * present; rows are reordered. Ours is ERR_INVALID, for an embedding that the index would pass
 * over.
 */
int neo4j_send_rows(struct neo4j_tx *tx, const struct neo4j_chain *chain, struct neo4j_row *rows,
                    size_t count, bool history) MUST_CHECK;

/* ---- neo4j_conflicts.c: what two installations made of one memory ---- */

struct neo4j_conflicts {
    struct neo4j_conflict {
        uint64_t seq;
        char *what;
    } * items;
    size_t count;
};

void neo4j_conflicts_done(struct neo4j_conflicts *conflicts); /* empties it, too */

/*
 * Before these rows are added: which of them are a second or later version of a memory of which
 * another installation made the same version, and something else? (The first version is made
 * by one, and taken over by the others.) *conflicts, which may hold those of an earlier try, then
 * holds these. Costs a round trip only when there are such versions.
 */
int neo4j_find_conflicts(struct neo4j_tx *tx, const struct neo4j_chain *chain,
                         const struct neo4j_row *rows, size_t count,
                         struct neo4j_conflicts *conflicts) MUST_CHECK;

/* ---- neo4j_holds.c: what the guard's decisions keep out of the present ---- */

/*
 * Within the transaction that added these rows: keep the decisions among them, and show anew the
 * memories that they speak of; so, too, those of the changes first..last of the chain when these
 * were held before they came (`expected`).
 */
int neo4j_apply_holds(struct neo4j_tx *tx, const struct neo4j_chain *chain,
                      const struct neo4j_row *rows, size_t count, const struct range *expected)
    MUST_CHECK;

#endif
