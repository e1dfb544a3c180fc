/*
 * Appending: the batch in transactions, one after the other. Each locks the origin, looks at what
 * is there, and adds what is not: to send it again after a lost reply is to read it back.
 */
#include <poll.h>
#include <stdlib.h>

#include "base/fault.h"
#include "vault/neo4j_vault.h"

#define PARAMETERS_MAX 4096 /* bytes, of the statements that look */
#define WAIT_FIRST_MS 5     /* after a deadlock; doubled each time, and half of it by chance */
#define WAIT_SLICE_MS 20    /* between looks at the cancellation */

/* One transaction: which items, and what is there of them. */
struct piece {
    struct neo4j_vault *vault;
    struct neo4j_chain *chain;
    const struct vault_item *items;
    size_t count;
    uint64_t copy;          /* that the Origin names */
    struct vault_head head; /* as it is there */
    uint64_t holds;         /* decisions that spoke of these changes before they came */
    struct there {
        struct sha256 hash;
        bool change; /* else a gap, or nothing */
        bool any;
    } * there; /* of each item */
    struct deadline deadline;
};

/* ---- looking ---- */

static int take_copy(void *arg, const struct bolt_record *record, struct err *err)
{
    struct piece *piece = arg;

    return neo4j_get_uint(record, 0, &piece->copy, err);
}

static int take_head(void *arg, const struct bolt_record *record, struct err *err)
{
    struct piece *piece = arg;

    return neo4j_take_head(&piece->head, record, err);
}

static int take_holds(void *arg, const struct bolt_record *record, struct err *err)
{
    struct piece *piece = arg;

    return neo4j_get_uint(record, 0, &piece->holds, err);
}

static int take_there(void *arg, const struct bolt_record *record, struct err *err)
{
    struct piece *piece = arg;
    struct sha256 hash;
    uint64_t seq;

    int rc = neo4j_get_uint(record, 0, &seq, err);
    rc = rc == 0 ? neo4j_get_hash(record, 1, &hash, err) : rc;
    if (rc < 0 || seq < piece->items[0].seq || seq - piece->items[0].seq >= piece->count) {
        return rc;
    }
    struct there *there = &piece->there[seq - piece->items[0].seq];
    bool gap =
        record->count > 2 && record->values[2].type == BOLT_BOOLEAN && record->values[2].as.boolean;
    if (there->any && !sha256_eq(&there->hash, &hash)) {
        return err_set(err, ERR_CORRUPT, "%s: seq %llu is there as a gap and as another change",
                       piece->vault->uri, (unsigned long long)seq);
    }
    there->any = true;
    there->hash = hash;
    there->change = there->change || !gap;
    return 0;
}

/* Begin a transaction, hold the Origin, and ask what is there of the copy that we believe in use.
 */
static int send_looks(const struct piece *piece, bool begin, struct bolt_error *error)
{
    struct neo4j_vault *vault = piece->vault;
    struct bolt_tx_options options = {.mode = BOLT_WRITE, .database = vault->database};
    AUTO(bolt_packer_done) struct bolt_packer packer;

    bolt_packer_init(&packer, PARAMETERS_MAX);
    bolt_pack_map(&packer, 4);
    neo4j_pack_chain(&packer, piece->chain);
    bolt_pack_key(&packer, "from");
    bolt_pack_integer(&packer, (int64_t)piece->items[0].seq);
    bolt_pack_key(&packer, "to");
    bolt_pack_integer(&packer, (int64_t)piece->items[piece->count - 1].seq);
    int rc = begin ? bolt_send_begin(vault->connection, &options, NULL, error) : 0;
    if (rc == 0 && begin) {
        rc = neo4j_send(vault, NEO4J_ORIGIN_LOCK, &packer, true, piece->deadline, error);
    }
    if (rc == 0) {
        rc = neo4j_send(vault, NEO4J_HEAD, &packer, true, piece->deadline, error);
    }
    if (rc == 0) {
        rc = neo4j_send(vault, NEO4J_HASHES, &packer, true, piece->deadline, error);
    }
    if (rc == 0) {
        rc = neo4j_send(vault, NEO4J_HOLDS_OVER, &packer, true, piece->deadline, error);
    }
    return rc;
}

static int read_looks(struct piece *piece, struct bolt_error *error, struct err *err)
{
    piece->head = (struct vault_head){.origin = piece->chain->origin};
    memset(piece->there, 0, piece->count * sizeof(*piece->there));
    int rc = neo4j_records(piece->vault, take_head, piece, piece->deadline, error, err);
    rc = rc == 0 ? neo4j_records(piece->vault, take_there, piece, piece->deadline, error, err) : rc;
    return rc == 0 ? neo4j_records(piece->vault, take_holds, piece, piece->deadline, error, err)
                   : rc;
}

static int look(struct piece *piece, struct bolt_error *error, struct err *err)
{
    if (send_looks(piece, true, error) < 0) {
        return neo4j_failed(piece->vault, error, err);
    }
    int rc = neo4j_records(piece->vault, take_copy, piece, piece->deadline, error, err);
    rc = rc == 0 ? read_looks(piece, error, err) : rc;
    if (rc < 0 || (int64_t)piece->copy == piece->chain->copy) {
        return rc;
    }
    *piece->chain =
        (struct neo4j_chain){.origin = piece->chain->origin, .copy = (int64_t)piece->copy};
    if (send_looks(piece, false, error) < 0) {
        return neo4j_failed(piece->vault, error, err);
    }
    return read_looks(piece, error, err);
}

/* ---- comparing ---- */

static int fork_found(const struct piece *piece, const struct vault_item *item,
                      const struct sha256 *there, struct err *err)
{
    char origin[UUID_TEXT_MAX];
    char ours[SHA256_HEX_MAX];
    char theirs[SHA256_HEX_MAX];

    uuid_format(&piece->chain->origin, origin);
    sha256_hex(&item->hash, ours);
    sha256_hex(there, theirs);
    return err_set(err, ERR_CORRUPT,
                   "%s: two histories of the origin %s: before or at seq %llu the vault has the "
                   "hash %.12s…, the ledger %.12s…",
                   piece->vault->uri, origin, (unsigned long long)item->seq, theirs, ours);
}

static int not_there(const struct piece *piece, uint64_t seq, struct err *err)
{
    char origin[UUID_TEXT_MAX];

    uuid_format(&piece->chain->origin, origin);
    return err_set(
        err, ERR_CORRUPT, "%s: the vault holds the origin %s up to seq %llu, but seq %llu is %s",
        piece->vault->uri, origin, (unsigned long long)piece->head.seq, (unsigned long long)seq,
        seq <= piece->head.seq ? "missing there" : "next: it was emptied or rolled back");
}

/* Must item `at` be added? It, or what it follows, must not be another one there. */
static int compare_item(const struct piece *piece, size_t at, bool *ret_add, struct err *err)
{
    const struct vault_item *item = &piece->items[at];
    const struct there *there = &piece->there[at];

    if (item->seq <= piece->head.seq) {
        if (!there->any) {
            return not_there(piece, item->seq, err);
        }
        *ret_add = !there->change && item->record.len > 0;
        return sha256_eq(&there->hash, &item->hash) ? 0
                                                    : fork_found(piece, item, &there->hash, err);
    }
    bool follows_head = item->seq == piece->head.seq + 1;
    if (!follows_head && at == 0) {
        return not_there(piece, item->seq, err);
    }
    const struct sha256 *prev = follows_head ? &piece->head.hash : &item[-1].hash;
    *ret_add = true;
    return sha256_eq(prev, &item->prev) ? 0 : fork_found(piece, item, prev, err);
}

/* The rows of what is new, in an array with room for all. */
static int choose_rows(const struct piece *piece, struct neo4j_row *rows, size_t *ret_count,
                       struct err *err)
{
    *ret_count = 0;
    for (size_t i = 0; i < piece->count; i++) {
        bool add = false;
        int rc = compare_item(piece, i, &add, err);
        if (rc == 0 && add) {
            struct neo4j_row *row = &rows[(*ret_count)++];
            *row = (struct neo4j_row){.item = &piece->items[i]};
            rc = row->item->record.len == 0
                     ? 0
                     : change_read_record(row->item->record, &row->change, err);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* ---- writing ---- */

/* On 0 the piece is there. What Bolt said is in *error (kind set) when it is at fault. */
static int write_rows(struct piece *piece, struct neo4j_row *rows, struct bolt_error *error,
                      struct err *err)
{
    struct bolt_connection *connection = piece->vault->connection;
    size_t count = 0;

    int rc = choose_rows(piece, rows, &count, err);
    if (rc < 0) {
        return rc;
    }
    if (count == 0) { /* all of it is there: nothing is to be committed */
        rc = bolt_rollback(connection, piece->deadline.at_ms, error);
        return rc < 0 ? neo4j_failed(piece->vault, error, err) : 0;
    }
    struct range range = {piece->chain->origin, piece->items[0].seq,
                          piece->items[piece->count - 1].seq};
    rc =
        neo4j_send_rows(piece->vault, piece->chain, rows, count, true, piece->deadline, error, err);
    if (rc == 0) {
        rc = neo4j_apply_holds(piece->vault, piece->chain, rows, count,
                               piece->holds > 0 ? &range : NULL, piece->deadline, error, err);
    }
    if (rc == 0) {
        CRASH_POINT("vault.neo4j.before_commit");
        rc = bolt_send_commit(connection, NULL, error);
    }
    if (rc == 0) {
        rc = bolt_settle(connection, piece->deadline.at_ms, error);
    }
    return rc < 0 && error->kind != BOLT_OK ? neo4j_failed(piece->vault, error, err) : rc;
}

/* A transaction that failed must not go on holding the Origin. */
static void end_transaction(struct neo4j_vault *vault)
{
    struct bolt_error ignored = BOLT_ERROR_INIT;

    if (vault->connection != NULL &&
        bolt_reset(vault->connection, bolt_deadline_in(NEO4J_IDLE_MS), &ignored) < 0) {
        neo4j_disconnect(vault);
    }
}

static int try_piece(struct piece *piece, struct bolt_error *error, struct err *err)
{
    *error = (struct bolt_error)BOLT_ERROR_INIT;
    int rc = neo4j_connect(piece->vault, piece->deadline, err);
    if (rc < 0) {
        return rc;
    }
    struct neo4j_row *rows = xcalloc(piece->count, sizeof(*rows));
    piece->there = xcalloc(piece->count, sizeof(*piece->there));
    rc = look(piece, error, err);
    if (rc == 0) {
        rc = write_rows(piece, rows, error, err);
    }
    free(piece->there);
    free(rows);
    return rc;
}

/* ---- again ---- */

/* Deadlocks and the like; and what may have been committed, which the next try reads back. */
static bool may_try_again(const struct bolt_error *error)
{
    return error->kind == BOLT_ERR_COMMIT_UNKNOWN || error->kind == BOLT_ERR_LOST ||
           (error->kind == BOLT_ERR_SERVER && bolt_error_is_retryable(error));
}

static int wait_a_little(struct neo4j_vault *vault, int attempt, struct deadline deadline,
                         struct err *err)
{
    uint8_t chance = 0;
    int rc = 0;

    vault->env->random(vault->env, &chance, sizeof(chance));
    int64_t left_ms = ((int64_t)WAIT_FIRST_MS << attempt) * (256 + chance) / 256;
    while (rc == 0 && left_ms > 0) {
        int slice = left_ms < WAIT_SLICE_MS ? (int)left_ms : WAIT_SLICE_MS;
        (void)poll(NULL, 0, slice);
        left_ms -= slice;
        rc = neo4j_go_on(vault, deadline, err);
    }
    return rc;
}

/* *ret_smaller: the server has not the memory for so much at once. */
static int append_piece(struct piece *piece, bool *ret_smaller, struct err *err)
{
    struct bolt_error error;
    int rc = 0;

    *ret_smaller = false;
    for (int attempt = 0; attempt < NEO4J_TRIES; attempt++) {
        rc = try_piece(piece, &error, err);
        if (rc == 0) {
            return 0;
        }
        end_transaction(piece->vault);
        if (error.kind == BOLT_ERR_SERVER && (bolt_error_traits(&error) & BOLT_TRAIT_SMALLER)) {
            *ret_smaller = piece->count > 1;
            return rc;
        }
        if (!may_try_again(&error)) {
            return rc;
        }
        struct err why = ERR_INIT;
        if (wait_a_little(piece->vault, attempt, piece->deadline, &why) < 0) {
            return err_copy(err, &why);
        }
    }
    return rc;
}

static size_t piece_size(const struct neo4j_vault *vault, const struct vault_item *items,
                         size_t left)
{
    size_t bytes = 0;
    size_t count = 0;

    while (count < left && count < vault->tx_changes &&
           (count == 0 || bytes + items[count].record.len <= NEO4J_TX_BYTES_MAX)) {
        bytes += items[count++].record.len;
    }
    return count;
}

int neo4j_append(struct neo4j_vault *vault, const struct vault_batch *batch,
                 struct deadline deadline, struct err *err)
{
    struct neo4j_chain *chain = neo4j_chain_know(vault, &batch->origin);
    size_t done = 0;

    if (chain->damage.code != ERR_NONE) {
        return err_copy(err, &chain->damage);
    }
    while (done < batch->count) {
        struct piece piece = {
            .vault = vault, .chain = chain, .items = batch->items + done, .deadline = deadline};
        bool smaller = false;
        piece.count = piece_size(vault, piece.items, batch->count - done);
        int rc = append_piece(&piece, &smaller, err);
        if (rc < 0 && smaller) {
            vault->tx_changes = piece.count / 2;
        } else if (rc < 0) {
            return rc;
        } else {
            done += piece.count;
        }
    }
    return 0;
}
