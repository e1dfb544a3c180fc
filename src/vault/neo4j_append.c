/*
 * Appending: the batch in transactions, one after the other. Each locks the origin, looks at what
 * is there, and adds what is not: to send it again after a lost reply is to read it back.
 */
#include <stdlib.h>

#include "base/fault.h"
#include "vault/neo4j_vault.h"

#define PARAMETERS_MAX 4096 /* bytes, of the statements that look */

/* One transaction: which items, and what is there of them. */
struct piece {
    struct neo4j_vault *vault;
    struct neo4j_chain *chain;
    const struct vault_item *items;
    size_t count;
    uint64_t copy;          /* that the Origin names */
    bool made;              /* there was no Origin before */
    struct vault_head head; /* as it is there */
    uint64_t holds;         /* decisions that spoke of these changes before they came */
    struct there {
        struct sha256 hash;
        bool change; /* else a gap, or nothing */
        bool any;
    } * there; /* of each item */
    struct neo4j_conflicts
        conflicts; /* of the try that wrote last: another may only read it back */
};

/* ---- looking ---- */

/* For the check, which puts it right and tells it: nothing is written meanwhile. */
static int origin_altered(const struct piece *piece, struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE,
                   "%s: a node Origin was altered or deleted; the next check puts it right",
                   piece->vault->uri);
}

static int take_copy(void *arg, const struct bolt_record *record, struct err *err)
{
    struct piece *piece = arg;
    struct err altered = ERR_INIT;

    piece->made =
        record->count > 1 && record->values[1].type == BOLT_BOOLEAN && record->values[1].as.boolean;
    return neo4j_get_uint(record, 0, &piece->copy, &altered) == 0 ? 0 : origin_altered(piece, err);
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

/* Hold the Origin, and ask what is there of the copy that we believe in use. */
static int send_looks(struct neo4j_tx *tx, const struct piece *piece, bool lock)
{
    static const enum neo4j_statement looks[] = {NEO4J_HEAD, NEO4J_HASHES, NEO4J_HOLDS_OVER};
    AUTO(bolt_packer_done) struct bolt_packer packer;

    bolt_packer_init(&packer, PARAMETERS_MAX);
    bolt_pack_map(&packer, 4);
    neo4j_pack_chain(&packer, piece->chain);
    bolt_pack_key(&packer, "from");
    bolt_pack_integer(&packer, (int64_t)piece->items[0].seq);
    bolt_pack_key(&packer, "to");
    bolt_pack_integer(&packer, (int64_t)piece->items[piece->count - 1].seq);
    int rc = lock ? neo4j_send(tx, NEO4J_ORIGIN_LOCK, &packer, true) : 0;
    for (size_t i = 0; rc == 0 && i < sizeof(looks) / sizeof(looks[0]); i++) {
        rc = neo4j_send(tx, looks[i], &packer, true);
    }
    return rc;
}

static int read_looks(struct neo4j_tx *tx, struct piece *piece)
{
    piece->head = (struct vault_head){.origin = piece->chain->origin};
    memset(piece->there, 0, piece->count * sizeof(*piece->there));
    int rc = neo4j_records(tx, take_head, piece);
    rc = rc == 0 ? neo4j_records(tx, take_there, piece) : rc;
    return rc == 0 ? neo4j_records(tx, take_holds, piece) : rc;
}

static int look(struct neo4j_tx *tx, struct piece *piece)
{
    int rc = send_looks(tx, piece, true);
    rc = rc == 0 ? neo4j_records(tx, take_copy, piece) : rc;
    rc = rc == 0 ? read_looks(tx, piece) : rc;
    if (rc == 0 && piece->made && piece->head.seq > 0) {
        return origin_altered(piece, tx->err);
    }
    if (rc < 0 || (int64_t)piece->copy == piece->chain->copy) {
        return rc;
    }
    *piece->chain =
        (struct neo4j_chain){.origin = piece->chain->origin, .copy = (int64_t)piece->copy};
    rc = send_looks(tx, piece, false);
    return rc == 0 ? read_looks(tx, piece) : rc;
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

/* 1: all of it is there, nothing is to be committed. */
static int write_rows(struct neo4j_tx *tx, struct piece *piece, struct neo4j_row *rows)
{
    size_t count = 0;

    int rc = choose_rows(piece, rows, &count, tx->err);
    if (rc < 0 || count == 0) {
        return rc < 0 ? rc : 1;
    }
    struct range range = {piece->chain->origin, piece->items[0].seq,
                          piece->items[piece->count - 1].seq};
    rc = neo4j_find_conflicts(tx, piece->chain, rows, count, &piece->conflicts);
    rc = rc == 0 ? neo4j_send_rows(tx, piece->chain, rows, count, true) : rc;
    if (rc == 0) {
        rc = neo4j_apply_holds(tx, piece->chain, rows, count, piece->holds > 0 ? &range : NULL);
    }
    if (rc == 0) {
        CRASH_POINT("vault.neo4j.before_commit");
    }
    return rc;
}

static int append_work(struct neo4j_tx *tx, void *arg)
{
    struct piece *piece = arg;
    struct neo4j_row *rows = xcalloc(piece->count, sizeof(*rows));

    piece->there = xcalloc(piece->count, sizeof(*piece->there));
    int rc = look(tx, piece);
    rc = rc == 0 ? write_rows(tx, piece, rows) : rc;
    free(piece->there);
    free(rows);
    return rc;
}

static void tell_conflicts(const struct piece *piece)
{
    for (size_t i = 0; piece->vault->on_conflict != NULL && i < piece->conflicts.count; i++) {
        const struct vault_conflict conflict = {piece->chain->origin, piece->conflicts.items[i].seq,
                                                piece->conflicts.items[i].what};
        piece->vault->on_conflict(piece->vault->arg, &conflict);
    }
}

/* What may have been committed the next try reads back. *ret_smaller: the server has not the memory
 * or the time for so much at once. */
static int append_piece(struct piece *piece, struct deadline deadline, bool *ret_smaller,
                        struct err *err)
{
    struct bolt_error error;
    int rc = 0;

    for (int attempt = 0; attempt < NEO4J_TRIES; attempt++) {
        rc = neo4j_transact(piece->vault, BOLT_WRITE, append_work, piece, deadline, &error, err);
        if (error.kind != BOLT_ERR_COMMIT_UNKNOWN) {
            break;
        }
    }
    bool large = rc < 0 && (bolt_error_traits(&error) & BOLT_TRAIT_SMALLER) != 0;
    *ret_smaller = large && piece->count > 1;
    return rc < 0 ? rc : 0;
}

static size_t piece_size(const struct neo4j_vault *vault, const struct vault_item *items,
                         size_t left)
{
    size_t bytes = 0;
    size_t count = 0;

    while (count < left && count < vault->tx_changes.now &&
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
        struct piece piece = {.vault = vault, .chain = chain, .items = batch->items + done};
        bool smaller = false;
        piece.count = piece_size(vault, piece.items, batch->count - done);
        int rc = append_piece(&piece, deadline, &smaller, err);
        if (rc == 0) {
            tell_conflicts(&piece);
        }
        neo4j_conflicts_done(&piece.conflicts);
        if (rc < 0 && smaller) {
            fit_too_much(&vault->tx_changes, piece.count);
        } else if (rc < 0) {
            return rc;
        } else {
            fit_passed(&vault->tx_changes, piece.count);
            done += piece.count;
        }
    }
    return 0;
}
