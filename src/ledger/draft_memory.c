/* Drafts of memories: what is new, what is the same, what it did to what was there. */
#include "ledger/draft.h"

/* A cached block has both; else look. */
static int ensure_both(struct store *store, const struct memory *memory, const char *source,
                       struct err *err)
{
    if (blocks_cached(&store->blocks, memory->project_id, &memory->session_id) != NULL) {
        return 0;
    }
    int result = draft_ensure_project(store, memory->project_id, memory->created_us, source, err);
    return result < 0 ? result
                      : draft_ensure_session(store, &memory->session_id, memory->project_id,
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
                            uint64_t known_version, const struct change *change,
                            const struct draft *draft, struct effect *ret)
{
    bool deleted = new->deleted_us != TIME_NONE;
    bool shrunk = old->content_len >= BLANKED_FROM_BYTES &&
                  new->content_len < old->content_len / BLANKED_SHARE;
    bool moved = strcmp(old->project_id, new->project_id) != 0;

    *ret = (struct effect){
        .kind = deleted ? EFFECT_DELETE : EFFECT_UPDATE,
        .origin = change->origin,
        .seq = change->seq,
        .memory = old->id,
        .project_id = blocks_project(&store->blocks, old->project_id)->id,
        .moved_to = moved ? blocks_project(&store->blocks, new->project_id)->id : NULL,
        .source = draft->source,
        .how = draft->how,
        .session_id = change->session_id,
        .content_changed = old->content_len != new->content_len ||
                           memcmp(old->content, new->content, old->content_len) != 0,
        .blanked = !deleted && (blank(new->content, new->content_len) || shrunk),
        .old_bytes = old->deleted_us == TIME_NONE ? old->content_len : 0,
        .new_bytes = deleted ? 0 : new->content_len,
        .old_version = known_version,
        .new_version = change->version,
        .at_us = change->at_us,
    };
    if (ret->content_changed) {
        sketch_change((struct str){old->content, old->content_len},
                      (struct str){new->content, new->content_len}, &ret->old_text, &ret->new_text);
    }
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
        result = draft_set_text(change->project_id, PROJECT_ID_MAX_BYTES, memory->project_id,
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

static int put_over(struct store *store, const struct draft *draft, struct memory *next,
                    const struct memory_row *row, struct change *change, struct written *ret,
                    struct effect *ret_effect, bool *ret_has_effect, struct err *err)
{
    AUTO(memory_done) struct memory old;
    bool is_news = draft->over_held && row->last_key != row->key;
    uint64_t highest;

    memory_init(&old);
    int result = load_memory(store, &next->id, row, &old, err);
    if (result < 0) {
        return result;
    }
    if (!is_news && same_state(&old, next)) {
        draft_answer_unchanged(store, row->key, &next->id, row->version, ret);
        return 0;
    }
    result = highest_of(store, row, &highest, err);
    if (result == 0) {
        result = draft_next_version(next->version, row->version, highest, &next->version, err);
    }
    if (result == 0) {
        result = journal_memory(store, next, draft->source, change, err);
    }
    if (result == 0) {
        draft_answer(change, &next->id, ret);
        describe_effect(store, &old, next, highest, change, draft, ret_effect);
        *ret_has_effect = true;
    }
    return result;
}

int draft_put_memory(struct store *store, const struct draft *draft, struct written *ret,
                     struct effect *ret_effect, bool *ret_has_effect, struct err *err)
{
    struct memory_row row = {.key = 0};
    struct change change;
    uint64_t highest = 0;

    int result = check_memory(draft->memory, err);
    if (result == 0) {
        result = draft_start(store, KIND_MEMORY, OP_PUT, draft->source, &change, err);
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
        return put_over(store, draft, &next, &row, &change, ret, ret_effect, ret_has_effect, err);
    }
    result = found ? highest_version(store, row.last_key, &highest, err)
                   : 0; /* all that was said of it is held */
    if (result == 0) {
        result = draft_next_version(next.version, 0, highest, &next.version, err);
    }
    if (result == 0) {
        result = journal_memory(store, &next, draft->source, &change, err);
    }
    if (result == 0) {
        draft_answer(&change, &next.id, ret);
    }
    return result;
}

int draft_delete_memory(struct store *store, const struct draft *draft, struct written *ret,
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
        draft_answer_unchanged(store, row.key, &draft->id, row.version, ret);
        return 0;
    }
    int result = load_memory(store, &draft->id, &row, &memory, err);
    if (result == 0) {
        result = draft_start(store, KIND_MEMORY, OP_DELETE, draft->source, &change, err);
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
    result = draft_next_version(0, row.version, highest, &next.version, err);
    if (result == 0) {
        result = journal_memory(store, &next, draft->source, &change, err);
    }
    if (result == 0) {
        draft_answer(&change, &draft->id, ret);
        describe_effect(store, &memory, &next, highest, &change, draft, ret_effect);
        *ret_has_effect = true;
    }
    return result;
}
