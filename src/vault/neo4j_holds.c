/* What the guard's decisions keep out of the present: the memories that they speak of are shown
 * anew. */
#include <stdlib.h>

#include "vault/neo4j_vault.h"

struct holds {
    struct neo4j_tx *tx;
    const struct neo4j_chain *chain;
    struct bolt_packer decisions; /* parameters of ADD_HOLD */
    struct bolt_packer ranges;    /* parameters of CANDIDATES */
    bool any;
    /* What CANDIDATES gives: the best change of each memory, and the memories. */
    struct best {
        char id[CHANGE_ID_MAX_BYTES + 1];
        char *record; /* heap; NULL: all of it is held */
        struct change change;
        struct vault_item item;
    } * best;
    size_t count;
    size_t room;
};

/* ---- parameters ---- */

static void begin_rows(struct bolt_packer *packer)
{
    bolt_packer_init(packer, 0);
    bolt_pack_map(packer, 1);
    bolt_pack_key(packer, "rows");
    bolt_pack_list_open(packer);
}

static void put_range(struct bolt_packer *packer, const struct range *range)
{
    bolt_pack_key(packer, "origin");
    neo4j_pack_uuid(packer, &range->origin);
    bolt_pack_key(packer, "from");
    bolt_pack_integer(packer, (int64_t)range->from);
    bolt_pack_key(packer, "to");
    bolt_pack_integer(packer, (int64_t)range->to);
}

static void add_range(struct holds *holds, const struct range *range)
{
    bolt_pack_map(&holds->ranges, 3);
    put_range(&holds->ranges, range);
    holds->any = true;
}

static void add_decision(struct holds *holds, const struct change *change,
                         const struct decision *decision)
{
    struct bolt_packer *packer = &holds->decisions;

    for (size_t i = 0; i < decision->ranges.count; i++) {
        bolt_pack_map(packer, 7);
        bolt_pack_key(packer, "alert");
        bolt_pack_text(packer, change->id);
        bolt_pack_key(packer, "version");
        bolt_pack_integer(packer, (int64_t)change->version);
        bolt_pack_key(packer, "by");
        neo4j_pack_uuid(packer, &change->origin);
        bolt_pack_key(packer, "op");
        bolt_pack_text(packer, change_op_name(change->op));
        put_range(packer, &decision->ranges.items[i]);
        add_range(holds, &decision->ranges.items[i]);
    }
}

/* A recovery's decisions count only in the ledger that made them. */
static void add_decisions(struct holds *holds, const struct neo4j_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        AUTO(decision_done) struct decision decision;
        struct err ignored = ERR_INIT;

        decision_init(&decision);
        if (rows[i].item->record.len > 0 && rows[i].change.kind == KIND_GUARD &&
            decision_read_body(rows[i].change.body, &decision, &ignored) == 0 &&
            !rule_is_recovery(decision.rule) && decision.kind != DECISION_UNDONE) {
            add_decision(holds, &rows[i].change, &decision);
        }
    }
}

/* ---- what is not held ---- */

static struct best *best_of(struct holds *holds, struct str id)
{
    if (holds->count > 0 && str_eq_c(id, holds->best[holds->count - 1].id)) {
        return &holds->best[holds->count - 1]; /* they come by id */
    }
    if (holds->count == holds->room) {
        holds->room = holds->room == 0 ? 16 : 2 * holds->room;
        holds->best = xrealloc(holds->best, holds->room * sizeof(*holds->best));
    }
    struct best *best = &holds->best[holds->count++];
    *best = (struct best){.record = NULL};
    (void)snprintf(best->id, sizeof(best->id), STR_FMT, STR_ARG(id));
    return best;
}

/* A change that can't be read can't be shown: the next best is, and the proof of its chain tells of
 * it. */
static int take_candidate(void *arg, const struct bolt_record *record, struct err *err)
{
    struct holds *holds = arg;
    struct err damaged = ERR_INIT;
    struct change change;
    struct str id;
    struct str text;

    int rc = neo4j_get_str(record, 0, &id, err);
    if (rc < 0) {
        return rc;
    }
    struct best *best = best_of(holds, id);
    if (neo4j_get_str(record, 1, &text, &damaged) < 0 || /* also null: all of it is held */
        change_read_record(text, &change, &damaged) < 0 ||
        (best->record != NULL && change_compare(&change, &best->change) < 0)) {
        return 0;
    }
    free(best->record);
    best->record = xstrndup(text.ptr, text.len);
    return change_read_record((struct str){best->record, text.len}, &best->change, err);
}

/* Read what is in flight, so that the candidates are next. */
static int ask_candidates(struct holds *holds)
{
    struct neo4j_tx *tx = holds->tx;

    bolt_pack_end(&holds->decisions);
    bolt_pack_end(&holds->ranges);
    int rc = neo4j_send(tx, NEO4J_ADD_HOLD, &holds->decisions, false);
    rc = rc == 0 ? bolt_settle(tx->connection, tx->deadline.at_ms, tx->error) : rc;
    rc = rc == 0 ? neo4j_send(tx, NEO4J_CANDIDATES, &holds->ranges, true) : rc;
    return rc == 0 ? neo4j_records(tx, take_candidate, holds) : rc;
}

/* ---- showing anew ---- */

static void pack_ids(struct bolt_packer *packer, const struct holds *holds)
{
    begin_rows(packer);
    for (size_t i = 0; i < holds->count; i++) {
        bolt_pack_map(packer, 1);
        bolt_pack_key(packer, "id");
        bolt_pack_text(packer, holds->best[i].id);
    }
    bolt_pack_end(packer);
}

static size_t rows_of(struct holds *holds, struct neo4j_row *rows)
{
    size_t count = 0;

    for (size_t i = 0; i < holds->count; i++) {
        struct best *best = &holds->best[i];
        if (best->record != NULL) {
            best->item =
                (struct vault_item){.seq = best->change.seq, .record = best->change.record};
            rows[count++] = (struct neo4j_row){.item = &best->item, .change = best->change};
        }
    }
    return count;
}

static int show_anew(struct holds *holds)
{
    AUTO(bolt_packer_done) struct bolt_packer ids;
    struct neo4j_row *rows = xcalloc(holds->count, sizeof(*rows));
    size_t count = rows_of(holds, rows);

    pack_ids(&ids, holds);
    int rc = neo4j_send(holds->tx, NEO4J_CLEAR_MEMORY, &ids, false);
    if (rc == 0 && count > 0) {
        rc = neo4j_send_rows(holds->tx, holds->chain, rows, count, false);
    }
    rc = rc == 0 ? neo4j_send(holds->tx, NEO4J_COUNT_SESSIONS, &ids, false) : rc;
    free(rows);
    return rc;
}

int neo4j_apply_holds(struct neo4j_tx *tx, const struct neo4j_chain *chain,
                      const struct neo4j_row *rows, size_t count, const struct range *expected)
{
    struct holds holds = {.tx = tx, .chain = chain};
    int rc = 0;

    begin_rows(&holds.decisions);
    begin_rows(&holds.ranges);
    add_decisions(&holds, rows, count);
    if (expected != NULL) {
        add_range(&holds, expected);
    }
    if (holds.any) {
        rc = ask_candidates(&holds);
        rc = rc == 0 && holds.count > 0 ? show_anew(&holds) : rc;
    }
    for (size_t i = 0; i < holds.count; i++) {
        free(holds.best[i].record);
    }
    free(holds.best);
    bolt_packer_done(&holds.decisions);
    bolt_packer_done(&holds.ranges);
    return rc;
}
