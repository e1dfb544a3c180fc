/* Drafts become changes of this installation. Everything that can be refused is refused before a
 * row is written. */
#include <math.h>

#include "base/fault.h"
#include "ledger/store_internal.h"

/* ---- shared steps ---- */

int apply_change(struct store *store, const struct change *change, const struct times *times,
                 struct err *err)
{
    switch (change->kind) {
    case KIND_MEMORY:
        return memory_apply(store, change, times, err);
    case KIND_GUARD:
        return guard_apply(store, change, err);
    case KIND_SESSION:
    case KIND_PROJECT:
    case KIND_TASK:
    case KIND_EMBEDDING:
    case CHANGE_KINDS:
        break;
    }
    return thing_apply(store, change, err);
}

static int set_text(char *to, size_t max, const char *from, const char *what, struct err *err)
{
    size_t len = from == NULL ? 0 : strlen(from);

    if (len > max) {
        return err_set(err, ERR_LIMIT, "%s has %zu bytes; at most %zu are allowed", what, len, max);
    }
    memcpy(to, len == 0 ? "" : from, len + 1);
    return 0;
}

/* What every change of ours begins with. */
static int start_change(struct store *store, enum change_kind kind, enum change_op op,
                        const char *source, struct change *ret, struct err *err)
{
    *ret = (struct change){.kind = kind, .op = op, .at_us = store->env->now_us(store->env)};
    if (source == NULL || source[0] == '\0') {
        return err_set(err, ERR_INVALID, "source is empty; it says who writes");
    }
    return set_text(ret->source, SOURCE_MAX_BYTES, source, "source", err);
}

static void answer(const struct change *change, const struct uuid *id, struct written *ret)
{
    ret->id = *id;
    ret->origin = change->origin;
    ret->seq = change->seq;
    ret->version = change->version;
}

static void answer_unchanged(const struct store *store, int64_t key, const struct uuid *id,
                             uint64_t version, struct written *ret)
{
    const struct head *origin = origins_head(&store->origins, key_origin_no(key));

    if (origin != NULL) { /* a damaged row may name one that does not exist; verify tells */
        ret->origin = origin->origin;
    }
    ret->id = *id;
    ret->seq = key_seq(key);
    ret->version = version;
    ret->unchanged = true;
}

/* The version of a put: `wanted` must be above `current` (ERR_CONFLICT), 0 means one more than the
 * highest. */
static int next_version(uint64_t wanted, uint64_t current, uint64_t highest, uint64_t *ret,
                        struct err *err)
{
    if (wanted == 0 && highest >= VERSION_MAX) {
        return err_set(err, ERR_LIMIT, "its version is %llu, the highest there is",
                       (unsigned long long)highest);
    }
    if (wanted > VERSION_MAX) {
        return err_set(err, ERR_INVALID, "sync_version is %llu; 1 to %llu are allowed",
                       (unsigned long long)wanted, (unsigned long long)VERSION_MAX);
    }
    if (wanted != 0 && wanted <= current) {
        return err_set(
            err, ERR_CONFLICT,
            "sync_version %llu is not above the current %llu, and what it says is not the same",
            (unsigned long long)wanted, (unsigned long long)current);
    }
    *ret = wanted != 0 ? wanted : highest + 1;
    return 0;
}

/* ---- projects and sessions that nobody announced ---- */

static int journal_thing(struct store *store, struct change *change, struct err *err)
{
    change->body = buf_str(&store->body);
    int result = own_change_finish(store, change, err);
    return result < 0 ? result : thing_apply(store, change, err);
}

static int ensure_project(struct store *store, const char *id, int64_t created_us,
                          const char *source, struct err *err)
{
    struct thing_row row;
    struct change change;
    char *text = (char *)(uintptr_t)id; /* only read */

    int result = thing_find(store, KIND_PROJECT, id, &row, err);
    if (result < 0 || row.found) {
        return result;
    }
    struct project project;
    project_init(&project);
    project.id = text;
    project.name = text;
    project.created_us = created_us;
    buf_reset(&store->body);
    result = project_write_body(&project, &store->body, err);
    if (result == 0) {
        result = start_change(store, KIND_PROJECT, OP_PUT, source, &change, err);
    }
    if (result == 0) {
        result = set_text(change.id, CHANGE_ID_MAX_BYTES, id, "project_id", err);
    }
    if (result < 0) {
        return result;
    }
    memcpy(change.project_id, change.id, sizeof(change.project_id));
    change.version = 1;
    return journal_thing(store, &change, err);
}

static int ensure_session(struct store *store, const struct uuid *id, const char *project_id,
                          int64_t started_us, const char *source, struct err *err)
{
    struct thing_row row;
    struct change change;
    char text[UUID_TEXT_MAX];

    uuid_format(id, text);
    int result = uuid_is_nil(id) ? 0 : thing_find(store, KIND_SESSION, text, &row, err);
    if (result < 0 || uuid_is_nil(id) || row.found) {
        return result;
    }
    struct session session;
    session_init(&session);
    session.id = *id;
    session.project_id = (char *)(uintptr_t)project_id; /* only read */
    session.started_us = started_us;
    buf_reset(&store->body);
    result = session_write_body(&session, &store->body, err);
    if (result == 0) {
        result = start_change(store, KIND_SESSION, OP_PUT, source, &change, err);
    }
    if (result == 0) {
        result = set_text(change.project_id, PROJECT_ID_MAX_BYTES, project_id, "project_id", err);
    }
    if (result < 0) {
        return result;
    }
    memcpy(change.id, text, sizeof(text));
    change.session_id = *id;
    change.version = 1;
    return journal_thing(store, &change, err);
}

/* A cached block has both; else look. */
static int ensure_both(struct store *store, const struct memory *memory, const char *source,
                       struct err *err)
{
    if (blocks_cached(&store->blocks, memory->project_id, &memory->session_id) != NULL) {
        return 0;
    }
    int result = ensure_project(store, memory->project_id, memory->created_us, source, err);
    return result < 0 ? result
                      : ensure_session(store, &memory->session_id, memory->project_id,
                                       memory->created_us, source, err);
}

/* ---- memories ---- */

/* A memory as its effective change says it; the caller's (memory_done). */
static int load_memory(struct store *store, const struct uuid *id, const struct memory_row *row,
                       struct memory *ret, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    struct change change;
    int64_t earlier;

    int result =
        change_of_key(&store->conn, &store->origins, row->key, &query, &change, &earlier, err);
    if (result == 0) {
        result = memory_read_body(change.body, ret, err);
    }
    if (result == 0) {
        ret->id = *id;
        ret->version = change.version;
        ret->project_id = xstrdup(change.project_id);
        ret->session_id = change.session_id;
    }
    return result;
}

static bool blank(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (strchr(" \t\r\n\v\f", text[i]) == NULL) {
            return false;
        }
    }
    return true;
}

#define BLANKED_FROM_BYTES 20 /* shorter contents are not judged by how much is left */
#define BLANKED_SHARE 10

/* known_version: the highest there was of this memory; what is above it by more than one was given
 * by the caller. */
static void describe_effect(struct store *store, const struct memory *old, const struct memory *new,
                            uint64_t known_version, const struct change *change, const char *source,
                            struct effect *ret)
{
    bool deleted = new->deleted_us != TIME_NONE;
    bool shrunk = old->content_len >= BLANKED_FROM_BYTES &&
                  new->content_len < old->content_len / BLANKED_SHARE;

    *ret = (struct effect){
        .kind = deleted ? EFFECT_DELETE : EFFECT_UPDATE,
        .origin = change->origin,
        .seq = change->seq,
        .memory = old->id,
        .project_id = blocks_project(&store->blocks, old->project_id)->id,
        .source = source,
        .session_id = change->session_id,
        .content_changed = old->content_len != new->content_len ||
                           memcmp(old->content, new->content, old->content_len) != 0,
        .blanked = !deleted && (blank(new->content, new->content_len) || shrunk),
        .old_bytes = old->content_len,
        .new_bytes = deleted ? 0 : new->content_len,
        .old_version = known_version,
        .new_version = change->version,
        .at_us = change->at_us,
    };
}

#define ENVELOPE_MAX_BYTES                                                                         \
    4096 /* what a record has beside its body: ids, source and project, escaped */

/* Write the body of `memory` to store->memory_body. */
static int write_memory_body(struct store *store, const struct memory *memory, struct err *err)
{
    buf_reset(&store->memory_body);
    int result = memory_write_body(memory, &store->memory_body, err);
    if (result == 0 && store->memory_body.len > CHANGE_RECORD_MAX - ENVELOPE_MAX_BYTES) {
        return err_set(err, ERR_LIMIT, "the memory has %zu bytes as JSON; at most %d are allowed",
                       store->memory_body.len, CHANGE_RECORD_MAX - ENVELOPE_MAX_BYTES);
    }
    return result;
}

/* Journal what `memory` says, whole: id, version, project, session, times. */
static int journal_memory(struct store *store, const struct memory *memory, const char *source,
                          struct change *change, struct err *err)
{
    struct times times = {memory->created_us, memory->updated_us, memory->deleted_us};

    int result = write_memory_body(store, memory, err);
    if (result == 0) {
        result = set_text(change->project_id, PROJECT_ID_MAX_BYTES, memory->project_id,
                          "project_id", err);
    }
    if (result == 0) {
        result = ensure_both(store, memory, source, err);
    }
    if (result < 0) {
        return result;
    }
    change->op = memory->deleted_us == TIME_NONE ? OP_PUT : OP_DELETE;
    change->session_id = memory->session_id;
    change->version = memory->version;
    change->body = buf_str(&store->memory_body);
    uuid_format(&memory->id, change->id);
    result = own_change_finish(store, change, err);
    return result < 0 ? result : memory_apply(store, change, &times, err);
}

static bool time_allowed(int64_t us)
{
    return us == TIME_NONE || (us >= TIMESTAMP_MIN_US && us <= TIMESTAMP_MAX_US);
}

static int check_memory(const struct memory *memory, struct err *err)
{
    if (memory == NULL || memory->content == NULL || memory->project_id == NULL) {
        return err_set(err, ERR_INVALID, "a memory needs content and a project_id");
    }
    int result = memory_content_check((struct str){memory->content, memory->content_len}, err);
    if (result == 0) {
        result = project_id_check(str_of(memory->project_id), err);
    }
    if (result < 0) {
        return result;
    }
    if (!(memory->importance >= 0 && memory->importance <= 1)) {
        return err_set(err, ERR_INVALID, "importance is %g; 0 to 1 is allowed", memory->importance);
    }
    if (memory->tag_count > MEMORY_TAGS_MAX) {
        return err_set(err, ERR_LIMIT, "tags: %zu; at most %d are allowed", memory->tag_count,
                       MEMORY_TAGS_MAX);
    }
    if ((unsigned)memory->type >= MEMORY_TYPES) {
        return err_set(err, ERR_INVALID, "memory_type %d does not exist", (int)memory->type);
    }
    if (!time_allowed(memory->created_us) || !time_allowed(memory->updated_us) ||
        !time_allowed(memory->deleted_us)) {
        return err_set(err, ERR_INVALID, "a time is out of the years 1 to 9999");
    }
    return 0;
}

static int highest_of(struct store *store, const struct memory_row *row, uint64_t *ret,
                      struct err *err)
{
    *ret = row->version;
    return row->held == HELD_NONE ? 0 : highest_version(store, row->last_key, ret, err);
}

static bool same_state(const struct memory *old, const struct memory *new)
{
    return (old->deleted_us == TIME_NONE) == (new->deleted_us == TIME_NONE) &&
           memory_same(old, new);
}

/* Fill in what a draft left open. next borrows the draft's fields. */
static void complete(struct memory *next, const struct memory_row *row, bool existed,
                     int64_t now_us)
{
    if (next->created_us == TIME_NONE) {
        next->created_us = existed ? row->times.created_us : now_us;
    }
    if (next->updated_us == TIME_NONE) {
        next->updated_us = now_us;
    }
}

static int put_over(struct store *store, struct memory *next, const struct memory_row *row,
                    const char *source, struct change *change, struct written *ret,
                    struct effect *ret_effect, bool *ret_has_effect, struct err *err)
{
    AUTO(memory_done) struct memory old;
    uint64_t highest;

    memory_init(&old);
    int result = load_memory(store, &next->id, row, &old, err);
    if (result < 0) {
        return result;
    }
    if (same_state(&old, next)) {
        answer_unchanged(store, row->key, &next->id, row->version, ret);
        return 0;
    }
    result = highest_of(store, row, &highest, err);
    if (result == 0) {
        result = next_version(next->version, row->version, highest, &next->version, err);
    }
    if (result == 0) {
        result = journal_memory(store, next, source, change, err);
    }
    if (result == 0) {
        answer(change, &next->id, ret);
        if (old.deleted_us == TIME_NONE) { /* bringing back what was deleted harms nothing */
            describe_effect(store, &old, next, highest, change, source, ret_effect);
            *ret_has_effect = true;
        }
    }
    return result;
}

static int put_memory(struct store *store, const struct draft *draft, struct written *ret,
                      struct effect *ret_effect, bool *ret_has_effect, struct err *err)
{
    struct memory_row row = {.key = 0};
    struct change change;
    uint64_t highest = 0;

    int result = check_memory(draft->memory, err);
    if (result == 0) {
        result = start_change(store, KIND_MEMORY, OP_PUT, draft->source, &change, err);
    }
    if (result < 0) {
        return result;
    }
    struct memory next = *draft->memory;
    bool found = false;
    if (uuid_is_nil(&next.id)) {
        next.id = uuid_new(store->env);
    } else {
        result = memory_row_find(store, &next.id, &row, err);
        found = result > 0;
    }
    if (result < 0) {
        return result;
    }
    complete(&next, &row, found && row.key != 0, change.at_us);
    if (found && row.key != 0) {
        return put_over(store, &next, &row, draft->source, &change, ret, ret_effect, ret_has_effect,
                        err);
    }
    result = found ? highest_version(store, row.last_key, &highest, err)
                   : 0; /* all that was said of it is held */
    if (result == 0) {
        result = next_version(next.version, 0, highest, &next.version, err);
    }
    if (result == 0) {
        result = journal_memory(store, &next, draft->source, &change, err);
    }
    if (result == 0) {
        answer(&change, &next.id, ret);
    }
    return result;
}

static int delete_memory(struct store *store, const struct draft *draft, struct written *ret,
                         struct effect *ret_effect, bool *ret_has_effect, struct err *err)
{
    AUTO(memory_done) struct memory memory;
    struct memory_row row;
    struct change change;
    uint64_t highest;

    memory_init(&memory);
    int found = memory_row_find(store, &draft->id, &row, err);
    if (found < 0) {
        return found;
    }
    if (found == 0 || row.key == 0) {
        char text[UUID_TEXT_MAX];
        uuid_format(&draft->id, text);
        return err_set(err, ERR_NOT_FOUND, "there is no memory %s", text);
    }
    if (row.times.deleted_us != TIME_NONE) {
        answer_unchanged(store, row.key, &draft->id, row.version, ret);
        return 0;
    }
    int result = load_memory(store, &draft->id, &row, &memory, err);
    if (result == 0) {
        result = start_change(store, KIND_MEMORY, OP_DELETE, draft->source, &change, err);
    }
    if (result == 0) {
        result = highest_of(store, &row, &highest, err);
    }
    if (result < 0) {
        return result;
    }
    struct memory next = memory;
    next.updated_us = change.at_us;
    next.deleted_us = change.at_us;
    result = next_version(0, row.version, highest, &next.version, err);
    if (result == 0) {
        result = journal_memory(store, &next, draft->source, &change, err);
    }
    if (result == 0) {
        answer(&change, &draft->id, ret);
        describe_effect(store, &memory, &next, highest, &change, draft->source, ret_effect);
        *ret_has_effect = true;
    }
    return result;
}

/* ---- sessions and projects ---- */

/* Does the effective change of a thing say what is in store->body? */
static int same_body(struct store *store, const struct thing_row *row, const char *project_id,
                     bool *ret, uint64_t *ret_version, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    struct change change;
    int64_t earlier;

    *ret = false;
    if (!row->found || row->key == 0) {
        return 0;
    }
    int result =
        change_of_key(&store->conn, &store->origins, row->key, &query, &change, &earlier, err);
    if (result == 0) {
        *ret = str_eq(change.body, buf_str(&store->body)) &&
               strcmp(change.project_id, project_id) == 0;
        *ret_version = change.version;
    }
    return result;
}

/* Journal a session or project whose body is in store->body, unless that is what it is already. */
static int put_thing(struct store *store, struct change *change, const struct uuid *id,
                     uint64_t wanted, struct written *ret, struct err *err)
{
    struct thing_row row;
    uint64_t version = 0;
    uint64_t highest = 0;
    bool same = false;

    int result = thing_find(store, change->kind, change->id, &row, err);
    if (result == 0) {
        result = same_body(store, &row, change->project_id, &same, &version, err);
    }
    if (result == 0 && same) {
        answer_unchanged(store, row.key, id, version, ret);
        return 0;
    }
    if (result == 0 && row.found) {
        result = highest_version(store, row.last_key, &highest, err);
    }
    if (result == 0) {
        result = next_version(wanted, row.found ? row.version : 0, highest, &change->version, err);
    }
    if (result == 0) {
        result = journal_thing(store, change, err);
    }
    if (result == 0) {
        answer(change, id, ret);
    }
    return result;
}

static int put_session(struct store *store, const struct draft *draft, struct written *ret,
                       struct err *err)
{
    struct change change;

    if (draft->session == NULL || draft->session->project_id == NULL) {
        return err_set(err, ERR_INVALID, "a session needs a project_id");
    }
    int result = project_id_check(str_of(draft->session->project_id), err);
    if (result == 0) {
        result = start_change(store, KIND_SESSION, OP_PUT, draft->source, &change, err);
    }
    if (result == 0) {
        result = set_text(change.project_id, PROJECT_ID_MAX_BYTES, draft->session->project_id,
                          "project_id", err);
    }
    if (result < 0) {
        return result;
    }
    struct session session = *draft->session;
    if (uuid_is_nil(&session.id)) {
        session.id = uuid_new(store->env);
    }
    if (session.started_us == TIME_NONE) {
        session.started_us = change.at_us;
    }
    change.session_id = session.id;
    uuid_format(&session.id, change.id);
    result = ensure_project(store, session.project_id, session.started_us, draft->source, err);
    if (result == 0) {
        buf_reset(&store->body);
        result = session_write_body(&session, &store->body, err);
    }
    return result < 0 ? result : put_thing(store, &change, &session.id, session.version, ret, err);
}

static int put_project(struct store *store, const struct draft *draft, struct written *ret,
                       struct err *err)
{
    struct change change;

    if (draft->project == NULL || draft->project->id == NULL) {
        return err_set(err, ERR_INVALID, "a project needs an id");
    }
    struct project project = *draft->project;
    int result = project_id_check(str_of(project.id), err);
    if (result == 0) {
        result = start_change(store, KIND_PROJECT, OP_PUT, draft->source, &change, err);
    }
    if (result == 0) {
        result = set_text(change.id, CHANGE_ID_MAX_BYTES, project.id, "project id", err);
    }
    if (result < 0) {
        return result;
    }
    memcpy(change.project_id, change.id, sizeof(change.project_id));
    if (project.created_us == TIME_NONE) {
        project.created_us = change.at_us;
    }
    if (project.name == NULL) {
        project.name = project.id;
    }
    buf_reset(&store->body);
    result = project_write_body(&project, &store->body, err);
    return result < 0 ? result
                      : put_thing(store, &change, &(struct uuid){{0}}, project.version, ret, err);
}

/* ---- decisions ---- */

/* What would make guard_apply refuse, found before anything is written. */
static int check_ranges(struct store *store, const struct ranges *ranges, struct err *err)
{
    size_t unknown = 0;

    for (size_t i = 0; i < ranges->count; i++) {
        const struct range *range = &ranges->items[i];
        if (range->from < 1 || range->from > range->to || range->to > KEY_SEQ_MAX) {
            return err_set(err, ERR_INVALID, "ranges: %llu to %llu is no range of changes",
                           (unsigned long long)range->from, (unsigned long long)range->to);
        }
        unknown += origins_find(&store->origins, &range->origin) == 0;
    }
    if (store->origins.count + unknown > ORIGINS_MAX) {
        return err_set(err, ERR_LIMIT,
                       "ranges: they name too many installations that are not known here");
    }
    return 0;
}

static int put_decision(struct store *store, const struct draft *draft, struct written *ret,
                        struct err *err)
{
    struct change change;

    if (draft->decision == NULL || uuid_is_nil(&draft->decision->alert)) {
        return err_set(err, ERR_INVALID, "a decision needs its alert");
    }
    enum change_op op = draft->decision->kind == DECISION_ACCEPTED ? OP_RELEASE : OP_HOLD;
    int result = check_ranges(store, &draft->decision->ranges, err);
    if (result == 0) {
        result = start_change(store, KIND_GUARD, op, draft->source, &change, err);
    }
    if (result == 0) {
        result = alert_version(store, &draft->decision->alert, &change.version, err);
    }
    if (result == 0) {
        result = decision_project(store, draft->decision, change.project_id, err);
    }
    if (result == 0) {
        buf_reset(&store->body);
        result = decision_write_body(draft->decision, &store->body, err);
    }
    if (result < 0) {
        return result;
    }
    change.version++;
    change.body = buf_str(&store->body);
    uuid_format(&draft->decision->alert, change.id);
    result = own_change_finish(store, &change, err);
    if (result == 0) {
        result = guard_apply(store, &change, err);
    }
    if (result == 0) {
        answer(&change, &draft->decision->alert, ret);
    }
    return result;
}

/* ---- the way in ---- */

int store_write(struct store *store, const struct draft *draft, struct written *ret,
                struct effect *ret_effect, bool *ret_has_effect, struct err *err)
{
    *ret = (struct written){.code = ERR_NONE};
    *ret_has_effect = false;
    switch (draft->kind) {
    case KIND_MEMORY:
        return draft->op == OP_DELETE
                   ? delete_memory(store, draft, ret, ret_effect, ret_has_effect, err)
                   : put_memory(store, draft, ret, ret_effect, ret_has_effect, err);
    case KIND_SESSION:
        return put_session(store, draft, ret, err);
    case KIND_PROJECT:
        return put_project(store, draft, ret, err);
    case KIND_GUARD:
        return put_decision(store, draft, ret, err);
    case KIND_TASK:
    case KIND_EMBEDDING:
    case CHANGE_KINDS:
        break;
    }
    return err_set(err, ERR_INVALID, "changes of kind %d are not written by drafts",
                   (int)draft->kind);
}

/* ---- changes as they are ---- */

static int import_known(struct store *store, int64_t key, const struct change *change,
                        struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    struct sha256 hash;

    if (query_start(&store->conn, SQL_JOURNAL_HASH, &query, err) < 0) {
        return -(int)err->code;
    }
    query_i64(&query, 1, key);
    int result = query_step(&query, err);
    if (result > 0) {
        result = query_get_fixed(&query, 0, hash.bytes, sizeof(hash.bytes), err);
    }
    if (result < 0) {
        return result;
    }
    if (sha256_eq(&hash, &change->hash)) {
        return 0;
    }
    return err_set(err, ERR_CORRUPT, "a fork: two changes have this number, and different hashes");
}

static int import_new(struct store *store, const struct change *change, struct head *head,
                      struct err *err)
{
    struct times times = {0, 0, TIME_NONE};

    if (change->seq != head->seq + 1 || change->seq > KEY_SEQ_MAX) {
        return err_set(err, ERR_CORRUPT, "a gap: the last one here is %llu",
                       (unsigned long long)head->seq);
    }
    if (!sha256_eq(&change->prev, &head->hash)) {
        return err_set(err, ERR_CORRUPT, "its prev is not the hash of the change before it");
    }
    int result = change->kind == KIND_MEMORY ? times_of_body(change, &times, err) : 0;
    if (result == 0) {
        result = apply_change(store, change, &times, err);
    }
    if (result == 0 && store->ids_in_map && store->ids.count >= IDMAP_MAX) {
        result = store_make_index(store, err);
    }
    return result;
}

int store_import(struct store *store, const struct change *change, bool *ret_new, struct err *err)
{
    int64_t no;

    int result = origins_number(&store->origins, &store->conn, &change->origin, &no, err);
    if (result == 0) {
        struct head *head = origins_head(&store->origins, no);
        *ret_new = change->seq > head->seq;
        result = *ret_new ? import_new(store, change, head, err)
                          : import_known(store, key_of(no, change->seq), change, err);
    }
    if (result < 0) {
        char text[UUID_TEXT_MAX];
        uuid_format(&change->origin, text);
        return err_context(err, "change %llu of origin %s", (unsigned long long)change->seq, text);
    }
    return 0;
}
