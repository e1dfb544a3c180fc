#include "source/intake.h"

#include "base/env.h"
#include "base/utf8.h"
#include "source/ids.h"
#include "source/row_origin.h"

void intake_init(struct intake *intake, struct ledger *ledger, const char *source)
{
    *intake = (struct intake){.ledger = ledger, .source = source};
    intake->memories = xcalloc(INTAKE_BATCH, sizeof(*intake->memories));
    intake->drafts = xcalloc(INTAKE_BATCH, sizeof(*intake->drafts));
    intake->written = xcalloc(INTAKE_BATCH, sizeof(*intake->written));
    intake->actors = xcalloc(INTAKE_BATCH, sizeof(*intake->actors));
    intake->suspects = xcalloc(INTAKE_BATCH, sizeof(*intake->suspects));
    intake->hows = xcalloc(INTAKE_BATCH, sizeof(*intake->hows));
    ranges_init(&intake->unheld);
    intake_actor(intake, NULL, NULL);
}

static void empty(struct intake *intake)
{
    for (size_t i = 0; i < intake->count; i++) {
        memory_done(&intake->memories[i]);
    }
    for (size_t i = 0; i < intake->how_count; i++) {
        free(intake->hows[i]);
    }
    intake->how_count = 0;
    intake->is_how_used = false;
    intake->count = 0;
    intake->bytes = 0;
}

void intake_done(struct intake *intake)
{
    if (intake->memories == NULL) {
        return;
    }
    empty(intake);
    free(intake->memories);
    free(intake->drafts);
    free(intake->written);
    free(intake->actors);
    free(intake->suspects);
    free(intake->hows);
    free(intake->how);
    ranges_done(&intake->unheld);
    for (size_t i = 0; i < intake->table_count; i++) {
        free(intake->tables[i].name);
    }
    free(intake->tables);
    intake->memories = NULL;
}

/* A role's name, and a statement, may be anything. */
static void make_one_line(char *text)
{
    for (char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            *c = '?';
        }
    }
}

#define HOW_MAX_BYTES 300

static void set_how(struct intake *intake, const char *how)
{
    if (intake->is_how_used) {
        intake->hows[intake->how_count++] = intake->how; /* a draft uses each: so there is room */
    } else {
        free(intake->how);
    }
    intake->is_how_used = false;
    intake->how = how == NULL ? NULL : xstrndup(how, utf8_cut(str_of(how), HOW_MAX_BYTES));
    if (intake->how != NULL) {
        make_one_line(intake->how);
    }
}

void intake_actor(struct intake *intake, const char *who, const char *how)
{
    AUTO(free_ptr)
    char *text = who == NULL ? xstrdup(intake->source) : xprintf("%s: %s", intake->source, who);
    size_t len = utf8_cut(str_of(text), SOURCE_MAX_BYTES);

    memcpy(intake->actor, text, len);
    intake->actor[len] = '\0';
    make_one_line(intake->actor);
    set_how(intake, how);
}

/* ---- writing ---- */

static void note_refused(struct intake *intake, const char *why)
{
    size_t len = utf8_cut(str_of(why), sizeof(intake->counts.last_refused) - 1);

    intake->counts.refused++;
    memcpy(intake->counts.last_refused, why, len);
    intake->counts.last_refused[len] = '\0';
}

/* A row that can't be a memory, as against a ledger that can't take any just now. */
static bool is_rows_fault(enum err_code code)
{
    return code == ERR_INVALID || code == ERR_LIMIT || code == ERR_CONFLICT;
}

static int take_answers(struct intake *intake, struct err *err)
{
    for (size_t i = 0; i < intake->count; i++) {
        const struct written *written = &intake->written[i];
        if (written->code == ERR_NONE) {
            intake->has_held = intake->has_held || written->held;
            if (intake->suspects[i] && !written->held && !written->unchanged) {
                ranges_add(&intake->unheld, &written->origin, written->seq);
            }
            continue;
        }
        /* The guard refuses what it can't hold: then nothing of the batch counts, nor the position
         * behind it, and all of it comes again. */
        if (!written->is_whole && is_rows_fault(written->code)) {
            note_refused(intake, written->message == NULL ? "refused" : written->message);
        } else if (written->is_whole ||
                   written->code !=
                       ERR_NOT_FOUND) { /* else: a row that was never known is deleted */
            return err_set(err, written->code, "%s",
                           written->message == NULL ? "the ledger failed" : written->message);
        }
    }
    return 0;
}

int intake_flush(struct intake *intake, const char *position, struct err *err)
{
    struct source_position at = {.source = intake->source, .text = position};
    int result;

    if (position != NULL) {
        result = ledger_write_source(intake->ledger, intake->drafts, intake->count, &at,
                                     intake->written, err);
    } else {
        result = ledger_write(intake->ledger, intake->drafts, intake->count, false, intake->written,
                              err);
    }
    if (result == 0) {
        result = take_answers(intake, err);
        written_done(intake->written, intake->count);
    }
    empty(intake);
    return result;
}

/* Room for one more draft, by the present actor. */
static int next_draft(struct intake *intake, size_t bytes, struct draft **ret, struct err *err)
{
    bool is_full = intake->count == INTAKE_BATCH || intake->bytes > INTAKE_BATCH_BYTES;
    int rc = is_full ? intake_flush(intake, NULL, err) : 0;
    if (rc < 0) {
        return rc;
    }
    size_t i = intake->count++;
    intake->bytes += bytes;
    memcpy(intake->actors[i], intake->actor, sizeof(intake->actor));
    intake->suspects[i] = intake->suspect;
    memory_init(&intake->memories[i]);
    intake->drafts[i] = (struct draft){
        .kind = KIND_MEMORY,
        .source = intake->actors[i],
        .how = intake->how,
        .versioned = intake->versioned,
    };
    intake->is_how_used = intake->how != NULL;
    *ret = &intake->drafts[i];
    return 0;
}

int intake_put_take(struct intake *intake, struct memory *memory, struct err *err)
{
    struct draft *draft = NULL;

    int rc = next_draft(intake, memory->content_len, &draft, err);
    if (rc < 0) {
        memory_done(memory);
        return rc;
    }
    struct memory *kept = &intake->memories[intake->count - 1];
    *kept = *memory;
    draft->op = OP_PUT;
    draft->memory = kept;
    draft->over_held = true; /* a row that came back after its deletion was held */
    return 0;
}

/* ---- ids ---- */

static int keeps_ids(struct intake *intake, const char *table, bool *ret, struct err *err)
{
    for (size_t i = 0; i < intake->table_count; i++) {
        if (strcmp(intake->tables[i].name, table) == 0) {
            *ret = intake->tables[i].keeps_ids;
            return 0;
        }
    }
    if (ids_claim(intake->ledger, intake->source, table, ret, err) < 0) {
        return -(int)err->code;
    }
    intake->tables = xrealloc(intake->tables, (intake->table_count + 1) * sizeof(*intake->tables));
    intake->tables[intake->table_count++] =
        (struct intake_table){.name = xstrdup(table), .keeps_ids = *ret};
    return 0;
}

int intake_id(struct intake *intake, const char *table, struct str key, struct uuid *ret,
              struct err *err)
{
    bool keeps = false;

    if (keeps_ids(intake, table, &keeps, err) < 0) {
        return -(int)err->code;
    }
    *ret = row_id(intake->source, table, keeps, key);
    return 0;
}

/* ---- rows ---- */

static bool has_unchanged(const struct row *row)
{
    for (size_t i = 0; i < row->count; i++) {
        if (row->values[i].unchanged) {
            return true;
        }
    }
    return false;
}

static int never_seen(const struct row *row, struct str key, struct err *err)
{
    return err_set(err, ERR_INVALID,
                   "row " STR_FMT " of %s was changed before it was ever seen whole", STR_ARG(key),
                   row->table);
}

/* Values that were not sent are those of the row's last state, of which they are views; a row that
 * was never seen has none, and is told. */
static int fill_unchanged(struct intake *intake, struct row *row, struct memory *last,
                          struct row_origin *origin, struct err *err)
{
    struct reader *reader = NULL;
    struct last_state state;
    struct str key;

    if (intake_flush(intake, NULL, err) < 0 || row_key(row, &key, err) < 0 ||
        read_begin(intake->ledger, &reader, err) < 0) {
        return -(int)err->code;
    }
    struct uuid id = row_id(row->source, row->table, row->keeps_ids, key);
    int result = read_last(reader, &id, last, &state, err);
    read_end(reader);
    if (result < 0 && err->code != ERR_NOT_FOUND) {
        return result;
    }
    bool is_row = result == 0 && row_of_memory(last, row->source, row->table, origin);
    if (!is_row && (result < 0 || intake->hear == NULL)) {
        return never_seen(row, key, err);
    }
    for (size_t i = 0; i < row->count; i++) {
        struct row_value *value = &row->values[i];
        if (value->unchanged) {
            value->unchanged = false;
            value->digest = row_too_large(origin, value->column);
            bool is_known = row_text(last, origin, row->mapping, value->column, &value->text);
            if (!is_row && !is_known) { /* of a memory that was written there, its content is */
                return never_seen(row, key, err);
            }
        }
    }
    return 0;
}

static void note_row(struct intake *intake, const struct row *row, const char *what)
{
    struct str key = STR("?");
    struct err none = ERR_INIT;

    if (row_key(row, &key, &none) < 0) {
        key = STR("?");
    }
    AUTO(free_ptr)
    char *why =
        xprintf("%s, row %.*s: %s", row->table, (int)(key.len < 64 ? key.len : 64), key.ptr, what);
    note_refused(intake, why);
}

static int refuse_row(struct intake *intake, const struct row *row, struct err *err)
{
    if (!is_rows_fault(err->code)) {
        return -(int)err->code;
    }
    note_row(intake, row, err->message);
    err->code = ERR_NONE;
    return 0;
}

/* For the guard its content is emptied; what it was is in the row's history. */
static void note_too_large(struct intake *intake, const struct row *row, const char *column)
{
    AUTO(free_ptr)
    char *what = xprintf(
        "\"%.63s\" is too large for a memory, or not UTF-8; what the row said before is kept",
        column);

    note_row(intake, row, what);
}

static bool has_pending(const struct intake *intake, const struct uuid *id)
{
    for (size_t i = 0; i < intake->count; i++) {
        const struct draft *draft = &intake->drafts[i];
        if (uuid_eq(draft->memory != NULL ? &draft->memory->id : &draft->id, id)) {
            return true;
        }
    }
    return false;
}

static int hear(struct intake *intake, const struct row *row, struct memory *memory,
                bool *ret_is_echo, struct err *err)
{
    *ret_is_echo = false;
    if (intake->hear == NULL) {
        return 0;
    }
    if (has_pending(intake, &memory->id) && intake_flush(intake, NULL, err) < 0) {
        return -(int)err->code;
    }
    return intake->hear(intake->hear_arg, row, memory, ret_is_echo, err);
}

int intake_put(struct intake *intake, const struct row *row, struct err *err)
{
    AUTO(memory_done) struct memory last;
    AUTO(row_origin_done) struct row_origin origin = {.table = NULL};
    AUTO(free_ptr) struct row_value *values = NULL;
    struct row whole = *row;
    const char *large = NULL;
    struct memory memory;
    int result = keeps_ids(intake, row->table, &whole.keeps_ids, err);

    memory_init(&last);
    if (result < 0) {
        return result;
    }
    if (has_unchanged(row)) {
        values = xcalloc(row->count, sizeof(*values));
        memcpy(values, row->values, row->count * sizeof(*values));
        whole.values = values;
        result = fill_unchanged(intake, &whole, &last, &origin, err);
    }
    result = result == 0 ? row_to_memory(&whole, &memory, &large, err) : result;
    if (result < 0) {
        return refuse_row(intake, row, err);
    }
    bool is_echo = false;
    result = hear(intake, &whole, &memory, &is_echo, err);
    if (result < 0 || is_echo) {
        memory_done(&memory);
        return result;
    }
    if (large != NULL) {
        note_too_large(intake, row, large);
    }
    return intake_put_take(intake, &memory, err);
}

int intake_define(struct intake *intake, const char *table, const char *project, struct str sql,
                  struct err *err)
{
    struct memory memory;

    if (definition_to_memory(intake->source, table, project, sql, &memory, err) < 0) {
        if (!is_rows_fault(err->code)) {
            return -(int)err->code;
        }
        note_refused(intake, err->message);
        err->code = ERR_NONE;
        return 0;
    }
    if (intake_put_take(intake, &memory, err) < 0) {
        return -(int)err->code;
    }
    AUTO(free_ptr) char *actor = definition_actor(intake->source);
    memcpy(intake->actors[intake->count - 1], actor, strlen(actor) + 1);
    return 0;
}

int intake_delete_id(struct intake *intake, const struct uuid *id, struct err *err)
{
    struct draft *draft = NULL;

    int rc = next_draft(intake, 0, &draft, err);
    if (rc < 0) {
        return rc;
    }
    draft->op = OP_DELETE;
    draft->id = *id;
    return 0;
}

int intake_delete(struct intake *intake, const char *table, struct str key, struct err *err)
{
    struct uuid id;

    return intake_id(intake, table, key, &id, err) < 0 ? -(int)err->code
                                                       : intake_delete_id(intake, &id, err);
}

/* ---- a table that is gone ---- */

struct going {
    struct intake *intake;
    const char *table;
    struct row_origin origin;
    struct uuid *ids; /* heap */
    size_t count;
    size_t capacity;
};

static int note_alive(void *arg, const struct memory *memory, const struct last_state *state,
                      struct err *err)
{
    struct going *going = arg;

    (void)state;
    (void)err;
    if (memory->deleted_us != TIME_NONE ||
        !row_of_memory(memory, going->intake->source, going->table, &going->origin) ||
        going->origin.values == NULL) {
        return 0;
    }
    if (going->count == going->capacity) {
        going->capacity = going->capacity == 0 ? 1024 : going->capacity * 2;
        going->ids = xrealloc(going->ids, going->capacity * sizeof(*going->ids));
    }
    going->ids[going->count++] = memory->id;
    return 0;
}

static int write_decision(struct intake *intake, const char *rule, const char *summary,
                          struct ranges *ranges, struct err *err)
{
    struct decision decision = {.kind = DECISION_HELD};
    struct written written = {0};
    struct env *env = ledger_env(intake->ledger);

    decision_init(&decision);
    decision.kind = DECISION_HELD;
    decision.alert = uuid_new(env);
    decision.rule = xstrdup(rule);
    decision.actor = xstrdup(intake->actor);
    size_t len = utf8_cut(str_of(summary), DECISION_TEXT_MAX_BYTES);
    decision.summary = xstrndup(summary, len);
    decision.started_us = env->now_us(env);
    if (ranges != NULL) {
        ranges_sort(ranges);
        decision.ranges = *ranges;
        *ranges = (struct ranges){.items = NULL};
        decision.changes = decision.memories = ranges_total(&decision.ranges);
    }
    struct draft draft = {
        .kind = KIND_GUARD, .op = OP_HOLD, .decision = &decision, .source = "holdfast"};
    int result = ledger_write(intake->ledger, &draft, 1, true, &written, err);
    intake->has_held = true;
    written_done(&written, 1);
    decision_done(&decision);
    return result;
}

int intake_alert(struct intake *intake, const char *rule, const char *summary, struct err *err)
{
    return write_decision(intake, rule, summary, NULL, err);
}

void intake_suspect(struct intake *intake, bool suspect)
{
    intake->suspect = suspect;
}

int intake_hold(struct intake *intake, const char *rule, const char *summary, struct err *err)
{
    int result = intake_flush(intake, NULL, err);

    if (result == 0 && intake->unheld.count > 0) {
        result = write_decision(intake, rule, summary, &intake->unheld, err);
    }
    ranges_done(&intake->unheld);
    ranges_init(&intake->unheld);
    intake->suspect = false;
    return result;
}

int intake_gone_ids(struct intake *intake, const struct uuid *ids, size_t count, const char *rule,
                    const char *summary, struct err *err)
{
    int result = intake_flush(intake, NULL, err);

    intake_suspect(intake, true);
    for (size_t i = 0; i < count && result == 0; i++) {
        result = intake_delete_id(intake, &ids[i], err);
    }
    return result == 0 ? intake_hold(intake, rule, summary, err) : result;
}

int intake_gone(struct intake *intake, const char *table, const char *rule, const char *summary,
                struct err *err)
{
    struct going going = {.intake = intake, .table = table};
    struct reader *reader = NULL;

    int result = intake_flush(intake, NULL, err);
    if (result == 0) {
        result = read_begin(intake->ledger, &reader, err);
    }
    if (result == 0) {
        result = read_last_all(reader, note_alive, &going, err);
        read_end(reader);
    }
    if (result == 0) {
        AUTO(free_ptr)
        char *text = xprintf("%s (%zu row%s)", summary, going.count, going.count == 1 ? "" : "s");
        result = intake_gone_ids(intake, going.ids, going.count, rule, text, err);
    }
    row_origin_done(&going.origin);
    free(going.ids);
    return result;
}
