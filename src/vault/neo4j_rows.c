/* Changes as rows of parameters: what is added to the history, and what it says of the present. */
#include <stdlib.h>

#include "model/field.h"
#include "model/range.h"
#include "model/session.h"
#include "model/vector.h"
#include "vault/neo4j_vault.h"

#define JSON_TEXT_MAX CHANGE_RECORD_MAX

struct vector {
    json_t *body; /* model and digest are read from it */
    float *values;
    size_t count;
};

/* A change that may be the present of what it is about. */
struct shown {
    const struct neo4j_row *row;
    bool first; /* nothing showed of it before that may not hold any more */
    union {
        struct memory memory;
        struct session session;
        struct project project;
        struct decision decision;
        struct vector vector;
    } as;
};

/* One call of neo4j_send_rows. */
struct sending {
    struct neo4j_tx *tx;
    const struct neo4j_chain *chain;
    struct neo4j_row *rows;
    size_t count;
    struct shown *shown;
    size_t shown_count;
    struct bolt_packer packer;
};

/* ---- parts of rows ---- */

static void put_text(struct bolt_packer *packer, const char *key, const char *text)
{
    bolt_pack_key(packer, key);
    bolt_pack_text(packer, text);
}

static void put_time(struct bolt_packer *packer, const char *key, int64_t us)
{
    bolt_pack_key(packer, key);
    neo4j_pack_time(packer, us);
}

static void put_uint(struct bolt_packer *packer, const char *key, uint64_t value)
{
    bolt_pack_key(packer, key);
    bolt_pack_integer(packer, (int64_t)value);
}

static void put_uuid(struct bolt_packer *packer, const char *key, const struct uuid *uuid)
{
    bolt_pack_key(packer, key);
    neo4j_pack_uuid(packer, uuid);
}

/* As text: Neo4j has no nested properties. */
static void put_metadata(struct bolt_packer *packer, const struct metadata *metadata)
{
    bolt_pack_key(packer, "metadata");
    if (metadata == NULL) {
        bolt_pack_null(packer);
    } else {
        neo4j_pack_str(packer, metadata_text(metadata));
    }
}

/* {id, seq, sync_version, fields: {…}} of the map's remaining `fields`. */
static void begin_shown(struct bolt_packer *packer, const struct change *change, size_t fields)
{
    bolt_pack_map(packer, 5);
    put_text(packer, "id", change->id);
    put_uuid(packer, "origin", &change->origin);
    put_uint(packer, "seq", change->seq);
    put_uint(packer, "sync_version", change->version);
    bolt_pack_key(packer, "fields");
    bolt_pack_map(packer, fields);
}

/* {id, seq, …} of a row that says more of what is shown. */
static void begin_more(struct bolt_packer *packer, const struct change *change, size_t more)
{
    bolt_pack_map(packer, 3 + more);
    put_text(packer, "id", change->id);
    put_uuid(packer, "origin", &change->origin);
    put_uint(packer, "seq", change->seq);
}

static const char *task_text(const struct memory *memory, const char *key)
{
    return json_string_value(json_object_get(memory->task, key));
}

/* ---- one row; false: none ---- */

typedef bool pack_fn(struct bolt_packer *packer, const struct shown *shown);

static bool pack_memory(struct bolt_packer *packer, const struct shown *shown)
{
    const struct change *change = &shown->row->change;
    const struct memory *memory = &shown->as.memory;

    begin_shown(packer, change, 12);
    bolt_pack_key(packer, "content");
    bolt_pack_string(packer, memory->content, memory->content_len);
    put_text(packer, "memory_type", memory_type_name(memory->type));
    bolt_pack_key(packer, "importance");
    bolt_pack_float(packer, memory->importance);
    put_text(packer, "source_project", change->project_id);
    put_uuid(packer, "session_id", &change->session_id);
    bolt_pack_key(packer, "tags");
    bolt_pack_list(packer, memory->tag_count);
    for (size_t i = 0; i < memory->tag_count; i++) {
        bolt_pack_text(packer, memory->tags[i]);
    }
    put_text(packer, "scope", memory->scope == SCOPE_PROJECT ? "project" : "shared");
    put_metadata(packer, memory->metadata);
    put_text(packer, "task_id", task_text(memory, "id"));
    put_time(packer, "created_at", memory->created_us);
    put_time(packer, "updated_at", memory->updated_us);
    put_time(packer, "deleted_at", memory->deleted_us);
    return true;
}

static bool pack_in_session(struct bolt_packer *packer, const struct shown *shown)
{
    const struct change *change = &shown->row->change;

    if (uuid_is_nil(&change->session_id)) {
        return false;
    }
    begin_more(packer, change, 2);
    put_uuid(packer, "session_id", &change->session_id);
    put_text(packer, "project_id", change->project_id);
    return true;
}

static bool pack_id(struct bolt_packer *packer, const struct shown *shown)
{
    begin_more(packer, &shown->row->change, 0);
    return true;
}

static bool pack_changed(struct bolt_packer *packer, const struct shown *shown)
{
    return !shown->first && pack_id(packer, shown);
}

static const char *reference_text(const json_t *references, size_t at, const char *key)
{
    return json_string_value(json_object_get(json_array_get(references, at), key));
}

/* The same is said further up of this one. */
static bool is_repeated(const json_t *references, size_t at)
{
    bool repeated = false;

    for (size_t i = 0; i < at && !repeated; i++) {
        repeated = json_equal(json_array_get(references, i), json_array_get(references, at)) != 0;
    }
    return repeated;
}

/* A row of each that has a context, or of each that has none. */
static bool pack_each_reference(struct bolt_packer *packer, const struct shown *shown, bool bare)
{
    const json_t *references = shown->as.memory.references;
    bool any = false;

    for (size_t i = 0; i < json_array_size(references); i++) {
        const char *context = reference_text(references, i, "context");
        if ((context == NULL) == bare && !is_repeated(references, i)) {
            begin_more(packer, &shown->row->change, 2);
            put_text(packer, "to", reference_text(references, i, "id"));
            put_text(packer, "context", context);
            any = true;
        }
    }
    return any;
}

static bool pack_references(struct bolt_packer *packer, const struct shown *shown)
{
    return pack_each_reference(packer, shown, false);
}

static bool pack_references_bare(struct bolt_packer *packer, const struct shown *shown)
{
    return pack_each_reference(packer, shown, true);
}

/* "ID:CONTEXT" of each that holds, or "ID". */
static bool pack_unreferenced(struct bolt_packer *packer, const struct shown *shown)
{
    const json_t *references = shown->as.memory.references;

    if (shown->first) {
        return false;
    }
    begin_more(packer, &shown->row->change, 1);
    bolt_pack_key(packer, "references");
    bolt_pack_list(packer, json_array_size(references));
    for (size_t i = 0; i < json_array_size(references); i++) {
        const char *context = reference_text(references, i, "context");
        AUTO(free_ptr)
        char *text = xprintf("%s%s%s", reference_text(references, i, "id"),
                             context == NULL ? "" : ":", context == NULL ? "" : context);
        bolt_pack_text(packer, text);
    }
    return true;
}

static bool pack_task(struct bolt_packer *packer, const struct shown *shown)
{
    const struct memory *memory = &shown->as.memory;

    if (task_text(memory, "id") == NULL) {
        return false;
    }
    begin_more(packer, &shown->row->change, 4);
    put_text(packer, "task_id", task_text(memory, "id"));
    put_text(packer, "title", task_text(memory, "title"));
    put_text(packer, "status", task_text(memory, "status"));
    put_text(packer, "source", task_text(memory, "source"));
    return true;
}

static bool pack_embedding(struct bolt_packer *packer, const struct shown *shown)
{
    const struct change *change = &shown->row->change;
    const struct vector *vector = &shown->as.vector;

    bolt_pack_map(packer, 7);
    put_text(packer, "id", change->id);
    put_uuid(packer, "origin", &change->origin);
    put_uint(packer, "version", change->version);
    put_time(packer, "at", change->at_us);
    put_text(packer, "model", json_string_value(json_object_get(vector->body, "model")));
    put_text(packer, "digest", json_string_value(json_object_get(vector->body, "digest")));
    bolt_pack_key(packer, "vector");
    bolt_pack_floats(packer, vector->values, vector->count);
    return true;
}

static int64_t deleted_us(const struct change *change)
{
    return change->op == OP_DELETE ? change->at_us : TIME_NONE;
}

static bool pack_session(struct bolt_packer *packer, const struct shown *shown)
{
    const struct change *change = &shown->row->change;
    const struct session *session = &shown->as.session;

    begin_shown(packer, change, 9);
    put_text(packer, "project_id", change->project_id);
    put_time(packer, "started_at", session->started_us);
    put_time(packer, "ended_at", session->ended_us);
    put_text(packer, "summary", session->summary);
    put_text(packer, "agent", session->agent);
    put_uuid(packer, "previous_id", &session->previous_id);
    put_uuid(packer, "journey_id", &session->journey_id);
    put_time(packer, "updated_at", change->at_us);
    put_time(packer, "deleted_at", deleted_us(change));
    return true;
}

static bool pack_followed(struct bolt_packer *packer, const struct shown *shown)
{
    if (uuid_is_nil(&shown->as.session.previous_id)) {
        return false;
    }
    begin_more(packer, &shown->row->change, 1);
    put_uuid(packer, "previous_id", &shown->as.session.previous_id);
    return true;
}

static bool pack_journey(struct bolt_packer *packer, const struct shown *shown)
{
    if (uuid_is_nil(&shown->as.session.journey_id)) {
        return false;
    }
    begin_more(packer, &shown->row->change, 1);
    put_uuid(packer, "journey_id", &shown->as.session.journey_id);
    return true;
}

static bool pack_project(struct bolt_packer *packer, const struct shown *shown)
{
    const struct change *change = &shown->row->change;
    const struct project *project = &shown->as.project;

    begin_shown(packer, change, 5);
    put_text(packer, "name", project->name);
    put_text(packer, "description", project->description);
    put_time(packer, "created_at", project->created_us);
    put_time(packer, "updated_at", change->at_us);
    put_time(packer, "deleted_at", deleted_us(change));
    return true;
}

static bool pack_alert(struct bolt_packer *packer, const struct shown *shown)
{
    const struct decision *decision = &shown->as.decision;

    begin_shown(packer, &shown->row->change, 8);
    put_text(packer, "rule", decision->rule);
    put_text(packer, "actor", decision->actor);
    put_text(packer, "summary", decision->summary);
    put_text(packer, "decision", decision_kind_name(decision->kind));
    put_text(packer, "person", decision->person);
    put_uint(packer, "changes", decision->changes);
    put_uint(packer, "memories", decision->memories);
    put_time(packer, "started_at", decision->started_us);
    return true;
}

/* What is said of the present, in this order; a row of each change of that kind that shows. */
static const struct {
    enum change_kind kind;
    enum neo4j_statement statement;
    pack_fn *pack;
} views[] = {
    {KIND_MEMORY, NEO4J_SHOW_MEMORY, pack_memory},
    {KIND_MEMORY, NEO4J_SHOW_IN_SESSION, pack_in_session},
    {KIND_MEMORY, NEO4J_SHOW_MOVED, pack_changed},
    {KIND_MEMORY, NEO4J_SHOW_REFERENCES, pack_references},
    {KIND_MEMORY, NEO4J_SHOW_REFERENCES_BARE, pack_references_bare},
    {KIND_MEMORY, NEO4J_SHOW_UNREFERENCED, pack_unreferenced},
    {KIND_MEMORY, NEO4J_SHOW_TASK, pack_task},
    {KIND_MEMORY, NEO4J_SHOW_UNTASKED, pack_changed},
    {KIND_EMBEDDING, NEO4J_SHOW_EMBEDDING, pack_embedding},
    {KIND_SESSION, NEO4J_SHOW_SESSION, pack_session},
    {KIND_SESSION, NEO4J_SHOW_FOLLOWED, pack_followed},
    {KIND_SESSION, NEO4J_SHOW_JOURNEY, pack_journey},
    {KIND_PROJECT, NEO4J_SHOW_PROJECT, pack_project},
    {KIND_GUARD, NEO4J_SHOW_ALERT, pack_alert},
    {KIND_MEMORY, NEO4J_COUNT_SESSIONS, pack_id},
};

/* What is added to the history. */
static const enum neo4j_statement added[CHANGE_KINDS] = {
    [KIND_MEMORY] = NEO4J_ADD_OF_MEMORY,    [KIND_SESSION] = NEO4J_ADD_OF_SESSION,
    [KIND_PROJECT] = NEO4J_ADD_OF_PROJECT,  [KIND_TASK] = NEO4J_ADD_OF_TASK,
    [KIND_EMBEDDING] = NEO4J_ADD_OF_MEMORY, [KIND_GUARD] = NEO4J_ADD_OF_ALERT,
};

/* ---- sending ---- */

static void begin_rows(struct sending *sending, const char *kind)
{
    bolt_packer_reset(&sending->packer);
    bolt_pack_map(&sending->packer, 4);
    neo4j_pack_chain(&sending->packer, sending->chain);
    put_text(&sending->packer, "kind", kind);
    bolt_pack_key(&sending->packer, "rows");
    bolt_pack_list_open(&sending->packer);
}

static int send_rows(struct sending *sending, enum neo4j_statement statement)
{
    bolt_pack_end(&sending->packer);
    return neo4j_send(sending->tx, statement, &sending->packer, false);
}

static void pack_added(struct bolt_packer *packer, const struct neo4j_row *row)
{
    const struct change *change = &row->change;

    bolt_pack_map(packer, 11);
    put_uint(packer, "seq", row->item->seq);
    put_text(packer, "op", change_op_name(change->op));
    put_text(packer, "id", change->id);
    put_uint(packer, "version", change->version);
    put_time(packer, "at", change->at_us);
    put_text(packer, "source", change->source);
    put_text(packer, "project_id", change->project_id);
    put_uuid(packer, "session_id", &change->session_id);
    bolt_pack_key(packer, "prev");
    neo4j_pack_hash(packer, &row->item->prev);
    bolt_pack_key(packer, "hash");
    neo4j_pack_hash(packer, &row->item->hash);
    bolt_pack_key(packer, "record");
    neo4j_pack_str(packer, row->item->record);
}

static void pack_gap(struct bolt_packer *packer, const struct neo4j_row *row)
{
    bolt_pack_map(packer, 3);
    put_uint(packer, "seq", row->item->seq);
    bolt_pack_key(packer, "prev");
    neo4j_pack_hash(packer, &row->item->prev);
    bolt_pack_key(packer, "hash");
    neo4j_pack_hash(packer, &row->item->hash);
}

static bool is_gap(const struct neo4j_row *row)
{
    return row->item->record.len == 0;
}

static int send_gaps(struct sending *sending)
{
    bool any = false;

    begin_rows(sending, "gap");
    for (size_t i = 0; i < sending->count; i++) {
        if (is_gap(&sending->rows[i])) {
            pack_gap(&sending->packer, &sending->rows[i]);
            any = true;
        }
    }
    return any ? send_rows(sending, NEO4J_ADD_GAP) : 0;
}

static int send_added(struct sending *sending, enum change_kind kind)
{
    bool any = false;

    begin_rows(sending, change_kind_name(kind));
    for (size_t i = 0; i < sending->count; i++) {
        const struct neo4j_row *row = &sending->rows[i];
        if (!is_gap(row) && row->change.kind == kind) {
            pack_added(&sending->packer, row);
            any = true;
        }
    }
    return any ? send_rows(sending, added[kind]) : 0;
}

static int send_view(struct sending *sending, size_t view)
{
    enum change_kind kind = views[view].kind;
    bool any = false;

    begin_rows(sending, change_kind_name(kind));
    for (size_t i = 0; i < sending->shown_count; i++) {
        const struct shown *shown = &sending->shown[i];
        if (shown->row->change.kind == kind) {
            any = views[view].pack(&sending->packer, shown) || any;
        }
    }
    return any ? send_rows(sending, views[view].statement) : 0;
}

/* ---- what shows ---- */

static int refuse_vector(const struct change *change, const char *why, struct err *err)
{
    return err_set(err, ERR_INVALID, "seq %llu: the embedding of %s %s",
                   (unsigned long long)change->seq, change->id, why);
}

/* The index passes over a vector that has no direction, or another length, without a word: it is
 * refused here. */
static int read_vector(const struct neo4j_vault *vault, const struct change *change,
                       struct vector *ret, struct err *err)
{
    struct err why = ERR_INIT;

    if (json_parse(change->body, &ret->body, &why) < 0) {
        return refuse_vector(change, "can't be read", err);
    }
    struct str text = str_of(json_string_value(json_object_get(ret->body, "vector")));
    if (vector_parse(text, &ret->values, &ret->count, &why) < 0) {
        return refuse_vector(change, why.message, err);
    }
    json_int_t dims = json_integer_value(json_object_get(ret->body, "dims"));
    if (dims <= 0 || (size_t)dims != ret->count) {
        return refuse_vector(change, "has not the number of dimensions that it says", err);
    }
    if (vault->dimensions != 0 && ret->count != vault->dimensions) {
        return err_set(err, ERR_INVALID,
                       "seq %llu: the embedding of %s has %zu dimensions; the index "
                       "memory_embedding has %zu",
                       (unsigned long long)change->seq, change->id, ret->count, vault->dimensions);
    }
    return 0;
}

static void shown_done(struct shown *shown)
{
    switch (shown->row->change.kind) {
    case KIND_MEMORY:
        memory_done(&shown->as.memory);
        break;
    case KIND_SESSION:
        session_done(&shown->as.session);
        break;
    case KIND_PROJECT:
        project_done(&shown->as.project);
        break;
    case KIND_GUARD:
        decision_done(&shown->as.decision);
        break;
    case KIND_EMBEDDING:
        json_unref(&shown->as.vector.body);
        free(shown->as.vector.values);
        break;
    default:
        break;
    }
}

/* Read a body. False when there is nothing to show of it: what can't be read is history, and no
 * more. */
static bool read_body(struct shown *shown)
{
    const struct change *change = &shown->row->change;
    struct err ignored = ERR_INIT;
    bool placed = change->project_id[0] != '\0';

    switch (change->kind) {
    case KIND_MEMORY:
        return placed && memory_read_body(change->body, &shown->as.memory, &ignored) == 0;
    case KIND_SESSION:
        return placed && session_read_body(change->body, &shown->as.session, &ignored) == 0;
    case KIND_PROJECT:
        return project_read_body(change->body, &shown->as.project, &ignored) == 0;
    case KIND_GUARD:
        return decision_read_body(change->body, &shown->as.decision, &ignored) == 0;
    default:
        return false;
    }
}

static int add_shown(struct sending *sending, const struct neo4j_row *row, bool anew)
{
    struct err *err = sending->tx->err;
    struct shown *shown = &sending->shown[sending->shown_count];

    *shown = (struct shown){.row = row, .first = !anew && row->change.version <= 1};
    if (row->change.kind == KIND_EMBEDDING) {
        sending->shown_count++;
        return row->change.op == OP_PUT
                   ? read_vector(sending->tx->vault, &row->change, &shown->as.vector, err)
                   : refuse_vector(&row->change, "can't be deleted", err);
    }
    sending->shown_count += read_body(shown) ? 1 : 0;
    return 0;
}

static bool same_thing(const struct neo4j_row *a, const struct neo4j_row *b)
{
    return !is_gap(a) && !is_gap(b) && a->change.kind == b->change.kind &&
           strcmp(a->change.id, b->change.id) == 0;
}

/* Gaps, then by kind, id, and the order of last writers. */
static int compare_rows(const void *a, const void *b)
{
    const struct neo4j_row *x = a;
    const struct neo4j_row *y = b;

    if (is_gap(x) || is_gap(y)) {
        return (int)is_gap(y) - (int)is_gap(x);
    }
    if (x->change.kind != y->change.kind) {
        return x->change.kind < y->change.kind ? -1 : 1;
    }
    int order = strcmp(x->change.id, y->change.id);
    order = order != 0 ? order : change_compare(&x->change, &y->change);
    return order != 0 ? order : x->change.seq < y->change.seq ? -1 : 1;
}

/* The last writer of each thing among the rows, which are sorted. */
static int choose_shown(struct sending *sending, bool anew)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sending->count; i++) {
        bool last =
            i + 1 == sending->count || !same_thing(&sending->rows[i], &sending->rows[i + 1]);
        if (!is_gap(&sending->rows[i]) && last) {
            rc = add_shown(sending, &sending->rows[i], anew);
        }
    }
    return rc;
}

static int send_all(struct sending *sending, bool history)
{
    qsort(sending->rows, sending->count, sizeof(*sending->rows), compare_rows);
    int rc = choose_shown(sending, !history);
    rc = rc == 0 && history ? send_gaps(sending) : rc;
    for (int kind = 0; rc == 0 && history && kind < CHANGE_KINDS; kind++) {
        rc = send_added(sending, (enum change_kind)kind);
    }
    for (size_t i = 0; rc == 0 && i < sizeof(views) / sizeof(views[0]); i++) {
        rc = send_view(sending, i);
    }
    return rc;
}

int neo4j_send_rows(struct neo4j_tx *tx, const struct neo4j_chain *chain, struct neo4j_row *rows,
                    size_t count, bool history)
{
    struct sending sending = {.tx = tx,
                              .chain = chain,
                              .rows = rows,
                              .count = count,
                              .shown = xcalloc(count, sizeof(struct shown))};

    bolt_packer_init(&sending.packer, 0);
    int rc = send_all(&sending, history);
    bolt_packer_done(&sending.packer);
    for (size_t i = 0; i < sending.shown_count; i++) {
        shown_done(&sending.shown[i]);
    }
    free(sending.shown);
    return rc;
}
