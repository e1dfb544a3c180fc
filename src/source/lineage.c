#include "source/lineage.h"

#include "base/num.h"
#include "source/row_origin.h"

/* ---- who said it ---- */

static bool is_of(const char *actor, const char *source)
{
    size_t len = strlen(source);

    return strncmp(actor, source, len) == 0 && (actor[len] == '\0' || actor[len] == ':');
}

static json_t *values_of(const struct memory *memory)
{
    return json_object_get(metadata_tree(memory->metadata), "row");
}

/* The row's own number; 0 where it has none. */
static uint64_t number_of(const struct memory *row)
{
    const char *text = json_string_value(json_object_get(values_of(row), "sync_version"));
    struct err none = ERR_INIT;
    int64_t number = 0;

    return text != NULL && num_parse_i64(str_of(text), 0, (int64_t)VERSION_MAX, "sync_version",
                                         &number, &none) == 0
               ? (uint64_t)number
               : 0;
}

/* ---- a row against a version ---- */

static bool same_session(const struct memory *a, const struct memory *b)
{
    return uuid_eq(&a->session_id, &b->session_id);
}

static bool same_type(const struct memory *a, const struct memory *b)
{
    return a->type == b->type;
}

static bool same_importance(const struct memory *a, const struct memory *b)
{
    return !(a->importance < b->importance) && !(a->importance > b->importance);
}

static bool same_project(const struct memory *a, const struct memory *b)
{
    return strcmp(a->project_id, b->project_id) == 0;
}

static const struct {
    const char *column;
    bool (*same)(const struct memory *a, const struct memory *b);
} fields[] = {{"memory_type", same_type},
              {"importance", same_importance},
              {"session_id", same_session},
              {"tags", memory_same_tags}};

/* What is no field of a memory is as the table told it last; nobody else sets it. */
static bool same_other(const struct memory *row, const char *column, const json_t *value)
{
    const json_t *before = row == NULL ? NULL : json_object_get(values_of(row), column);

    return json_is_null(value) ? before == NULL || json_is_null(before)
                               : json_equal(value, before) != 0;
}

/* A column that a field is written into. Where the field is what the row said, so is the text; a
 * session that the database lacks is written as NULL. */
static bool same_field(bool (*same)(const struct memory *a, const struct memory *b),
                       const struct memory *version, const struct memory *row,
                       const struct memory *candidate, const char *column, const json_t *value)
{
    if (row != NULL && same(version, row)) {
        return same_other(row, column, value);
    }
    return same(version, candidate) || (same == same_session && json_is_null(value));
}

static bool same_column(const struct lineage_of *of, const struct memory *version,
                        const struct memory *row, const struct memory *candidate,
                        const char *column, const json_t *value)
{
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (strcmp(column, fields[i].column) == 0) {
            return same_field(fields[i].same, version, row, candidate, column, value);
        }
    }
    if (strcmp(column, mapping_project(of->mapping)) == 0) {
        return same_field(same_project, version, row, candidate, column, value);
    }
    if (strcmp(column, "created_at") == 0 && row == NULL) {
        return candidate->created_us == version->created_us;
    }
    return strcmp(column, mapping_id(of->mapping)) == 0 ||
           strcmp(column, mapping_content(of->mapping)) == 0 || strcmp(column, "updated_at") == 0 ||
           strcmp(column, "sync_version") == 0 || same_other(row, column, value);
}

static bool same_content(const struct memory *a, const struct memory *b)
{
    return a->content_len == b->content_len && memcmp(a->content, b->content, a->content_len) == 0;
}

static bool same_large(const struct memory *row, const struct memory *candidate)
{
    const json_t *before =
        row == NULL ? NULL : json_object_get(metadata_tree(row->metadata), "too_large");
    const json_t *now = json_object_get(metadata_tree(candidate->metadata), "too_large");

    return now == NULL || json_equal(now, before) != 0;
}

/* Does the candidate say what this version's row would? row: NULL, the table told none. */
static bool says(const struct lineage_of *of, const struct memory *candidate,
                 const struct memory *version, const struct memory *row, uint64_t number)
{
    const json_t *values = values_of(candidate);
    bool same = version->deleted_us == TIME_NONE && same_content(candidate, version) &&
                same_large(row, candidate) &&
                (json_object_get(values, "sync_version") == NULL || number_of(candidate) == number);
    const char *column;
    const json_t *value;

    json_object_foreach ((json_t *)(uintptr_t)values, column, value) {
        same = same && same_column(of, version, row, candidate, column, value);
    }
    return same;
}

/* ---- the history ---- */

struct reading {
    const struct lineage_of *of;
    const struct memory *candidate;
    struct lineage *lineage;
};

static int take_copy(const struct memory *from, struct memory *to, struct err *err)
{
    memory_done(to);
    memory_init(to);
    return memory_copy(from, to, err);
}

/* Two rows, or versions of one: alike, but for these columns. */
static bool are_alike(const struct memory *one, const struct memory *other, const char *const *but,
                      size_t count)
{
    AUTO(json_unref) json_t *a = json_copy(values_of(one));
    AUTO(json_unref) json_t *b = json_copy(values_of(other));

    for (size_t i = 0; i < count; i++) {
        (void)json_object_del(a, but[i]); /* it may not be there */
        (void)json_object_del(b, but[i]);
    }
    return one->deleted_us == TIME_NONE && other->deleted_us == TIME_NONE &&
           same_content(one, other) && json_equal(a, b) != 0;
}

/* What any update touches. */
static const char *const touched[] = {"updated_at", "sync_version"};
#define TIME_ALONE 1
#define TIME_AND_NUMBER 2

static int note_version(void *arg, const struct change *change, const struct memory *memory,
                        bool held, struct err *err)
{
    struct reading *reading = arg;
    struct lineage *l = reading->lineage;
    const struct lineage_of *of = reading->of;
    AUTO(row_origin_done) struct row_origin origin = {.table = NULL};

    if (held) {
        return 0;
    }
    bool is_row = row_of_memory(memory, of->source, of->table, &origin) && origin.values != NULL;
    bool is_ours = is_row && is_of(change->source, of->source);
    l->is_first = !l->is_known;
    l->is_minor = is_ours && l->is_known && l->is_ours &&
                  are_alike(&l->current, memory, touched, TIME_AND_NUMBER);
    l->is_ours = is_ours;
    l->is_elsewhere = !is_row && json_object_get(metadata_tree(memory->metadata), "source") != NULL;
    l->said = l->said == LINEAGE_NEWS ? LINEAGE_NEWS : LINEAGE_EARLIER;
    l->origin = change->origin;
    l->seq = change->seq;
    l->at_us = change->at_us;
    l->is_known = true;
    if (is_ours) {
        l->has_row = true;
        l->number = number_of(memory);
        if (take_copy(memory, &l->row, err) < 0) {
            return -(int)err->code;
        }
    } else {
        l->number =
            l->has_row ? number_of(&l->row) + (memory->version - l->row.version) : memory->version;
    }
    if (!is_ours && !l->is_elsewhere && reading->candidate != NULL &&
        says(of, reading->candidate, memory, l->has_row ? &l->row : NULL, l->number)) {
        l->said = LINEAGE_CURRENT;
    }
    return take_copy(memory, &l->current, err);
}

bool lineage_is_told(const struct lineage *lineage, const struct memory *candidate)
{
    return lineage->has_row && are_alike(&lineage->row, candidate, NULL, 0) &&
           same_large(&lineage->row, candidate);
}

/* The row has not moved since the table told it, but for the time. */
static bool is_as_before(const struct lineage *lineage, const struct memory *candidate)
{
    return lineage->has_row && are_alike(&lineage->row, candidate, touched, TIME_ALONE) &&
           same_large(&lineage->row, candidate);
}

int lineage_read(struct reader *reader, const struct lineage_of *of, const struct uuid *id,
                 const struct memory *candidate, struct lineage *ret, struct err *err)
{
    struct reading reading = {.of = of, .candidate = candidate, .lineage = ret};

    *ret = (struct lineage){.seq = 0};
    memory_init(&ret->current);
    memory_init(&ret->row);
    int rc = read_history(reader, id, note_version, &reading, err);
    if (rc < 0 && err->code == ERR_NOT_FOUND) {
        err->code = ERR_NONE;
        rc = 0;
    }
    if (ret->is_ours) { /* what doors said before is the table's past */
        ret->said = LINEAGE_NEWS;
    } else if (rc == 0 && ret->said == LINEAGE_NEWS && candidate != NULL &&
               is_as_before(ret, candidate)) {
        ret->said = LINEAGE_AS_BEFORE;
    }
    return rc;
}

void lineage_done(struct lineage *lineage)
{
    memory_done(&lineage->current);
    memory_done(&lineage->row);
    *lineage = (struct lineage){.seq = 0};
    memory_init(&lineage->current);
    memory_init(&lineage->row);
}

/* ---- what no row has ---- */

static bool is_rows_own(const char *key)
{
    static const char *const own[] = {"source", "row", "too_large", "definition"};

    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (strcmp(key, own[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void keep_metadata(json_t *before, struct memory *memory)
{
    AUTO(json_unref) json_t *both = json_copy(metadata_tree(memory->metadata));
    struct metadata *checked = NULL;
    struct err none = ERR_INIT;
    const char *key;
    json_t *value;

    json_object_foreach (before, key, value) {
        if (!is_rows_own(key) && json_object_get(both, key) == NULL) {
            (void)json_object_set(both, key, value); /* what was read is UTF-8 */
        }
    }
    if (metadata_from_json(both, &checked, &none) == 0) { /* else it is in the history */
        metadata_free(memory->metadata);
        memory->metadata = checked;
    }
}

void lineage_keep(const struct lineage *lineage, struct memory *memory)
{
    const struct memory *before = &lineage->current;

    if (!lineage->is_known || before->deleted_us != TIME_NONE) {
        return;
    }
    memory->scope = before->scope;
    memory->task = json_incref(before->task);
    memory->references = json_incref(before->references);
    keep_metadata(metadata_tree(before->metadata), memory);
}
