/* Questions about memories: now, in the past, all of them in order. */
#include "ledger/reader.h"

/* ---- one ---- */

static int memory_of_row(struct reader *reader, struct query *query, struct memory *ret,
                         struct memory_state *ret_state, struct err *err)
{
    struct change change;
    int64_t key = query_get_i64(query, 1);

    int result = reader_change(reader, query, key, 3, &change, err);
    if (result == 0) {
        result = memory_of_change(&change, ret, err);
    }
    if (result == 0) {
        *ret_state = (struct memory_state){.place = query_get_i64(query, 0),
                                           .origin = change.origin,
                                           .seq = change.seq,
                                           .held = query_get_i64(query, 2) == 2};
    }
    return result;
}

int read_memory(struct reader *reader, const struct uuid *id, struct memory *ret,
                struct memory_state *ret_state, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    char text[UUID_TEXT_MAX];

    int result = reader_find(reader, SQL_MEMORY_READ_ID, id, &query, err);
    if (result == 0) {
        uuid_format(id, text);
        return err_set(err, ERR_NOT_FOUND, "there is no memory %s", text);
    }
    return result < 0 ? result : memory_of_row(reader, &query, ret, ret_state, err);
}

int read_memory_at(struct reader *reader, int64_t place, struct memory *ret,
                   struct memory_state *ret_state, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};

    if (query_start(&reader->conn, SQL_MEMORY_READ_PLACE, &query, err) < 0) {
        return -(int)err->code;
    }
    query_i64(&query, 1, place);
    int result = query_step(&query, err);
    if (result == 0) {
        return err_set(err, ERR_NOT_FOUND, "there is no memory at place %lld", (long long)place);
    }
    return result < 0 ? result : memory_of_row(reader, &query, ret, ret_state, err);
}

/* ---- filters ---- */

static bool has_tag(const struct memory *memory, const char *tag)
{
    for (size_t i = 0; i < memory->tag_count; i++) {
        if (strcmp(memory->tags[i], tag) == 0) {
            return true;
        }
    }
    return false;
}

bool memory_filter_match(const struct memory_filter *filter, const struct memory *memory)
{
    if ((filter->project_id != NULL && strcmp(filter->project_id, memory->project_id) != 0) ||
        (!uuid_is_nil(&filter->session_id) && !uuid_eq(&filter->session_id, &memory->session_id)) ||
        (filter->since_us != TIME_NONE && memory->created_us < filter->since_us) ||
        (filter->until_us != TIME_NONE && memory->created_us >= filter->until_us) ||
        (!filter->with_deleted && memory->deleted_us != TIME_NONE) ||
        (filter->asking_project != NULL && memory->scope == SCOPE_PROJECT &&
         strcmp(filter->asking_project, memory->project_id) != 0)) {
        return false;
    }
    for (size_t i = 0; i < filter->tag_count; i++) {
        if (!has_tag(memory, filter->tags[i])) {
            return false;
        }
    }
    return true;
}

/* ---- all, in order ---- */

struct entry {
    int64_t created_us;
    struct uuid id;
    int64_t place;
};

struct entries {
    struct entry *items;
    size_t count;
    size_t capacity;
};

static void entries_done(struct entries *entries)
{
    free(entries->items);
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a;
    const struct entry *y = b;

    return x->created_us != y->created_us
               ? (x->created_us > y->created_us) - (x->created_us < y->created_us)
               : uuid_cmp(&x->id, &y->id);
}

static bool wanted(const struct memory_filter *filter, int64_t created_us, bool deleted)
{
    return (filter->since_us == TIME_NONE || created_us >= filter->since_us) &&
           (filter->until_us == TIME_NONE || created_us < filter->until_us) &&
           (filter->with_deleted || !deleted);
}

/* The rows of places first..last that the filter may let through. */
static int list_range(struct reader *reader, const struct memory_filter *filter, int64_t first,
                      int64_t last, struct entries *ret, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    int result;

    if (query_start(&reader->conn, SQL_MEMORY_RANGE, &query, err) < 0) {
        return -(int)err->code;
    }
    query_i64(&query, 1, first);
    query_i64(&query, 2, last);
    while ((result = query_step(&query, err)) > 0) {
        struct entry entry = {.created_us = query_get_i64(&query, 0),
                              .place = query_get_i64(&query, 2)};
        if (!wanted(filter, entry.created_us, query_get_i64(&query, 3) != 0)) {
            continue;
        }
        if (query_get_fixed(&query, 1, entry.id.bytes, sizeof(entry.id.bytes), err) < 0) {
            return -(int)err->code;
        }
        if (ret->count == ret->capacity) {
            ret->capacity = ret->capacity == 0 ? 64 : ret->capacity * 2;
            ret->items = xrealloc(ret->items, ret->capacity * sizeof(*ret->items));
        }
        ret->items[ret->count++] = entry;
    }
    return result;
}

static int list(struct reader *reader, const struct memory_filter *filter, struct entries *ret,
                struct err *err)
{
    AUTO(free_ptr) int64_t *blocks = NULL;
    size_t count;

    if (filter->project_id == NULL && uuid_is_nil(&filter->session_id)) {
        return list_range(reader, filter, 0, INT64_MAX, ret, err);
    }
    const struct uuid *session = uuid_is_nil(&filter->session_id) ? NULL : &filter->session_id;
    int result = read_blocks(reader, filter->project_id, session, &blocks, &count, err);
    for (size_t i = 0; result == 0 && i < count; i++) {
        result =
            list_range(reader, filter, place_first(blocks[i]), place_last(blocks[i]), ret, err);
    }
    return result;
}

static int give(struct reader *reader, const struct memory_filter *filter, int64_t place,
                read_memory_fn *each, void *arg, struct err *err)
{
    AUTO(memory_done) struct memory memory;
    struct memory_state state;

    memory_init(&memory);
    int result = read_memory_at(reader, place, &memory, &state, err);
    if (result < 0 || !memory_filter_match(filter, &memory)) {
        return result;
    }
    return each(arg, &memory, &state, err);
}

int read_memories(struct reader *reader, const struct memory_filter *filter, read_memory_fn *each,
                  void *arg, struct err *err)
{
    AUTO(entries_done) struct entries entries = {.items = NULL};

    int result = list(reader, filter, &entries, err);
    if (result == 0 && entries.count > 1) {
        qsort(entries.items, entries.count, sizeof(*entries.items), compare_entries);
    }
    for (size_t i = 0; result == 0 && i < entries.count; i++) {
        result = give(reader, filter, entries.items[i].place, each, arg, err);
    }
    return result;
}

/* ---- its past ---- */

/* A change of a memory, ranked as the writer ranks them (projection.c). */
struct version {
    int64_t key;
    uint64_t version;
    int64_t updated_us;
    int64_t at_us;
    struct uuid origin;
    bool held;
};

static int compare_versions(const void *a, const void *b)
{
    const struct version *x = a;
    const struct version *y = b;

    if (x->version != y->version) {
        return x->version < y->version ? -1 : 1;
    }
    if (x->updated_us != y->updated_us) {
        return x->updated_us < y->updated_us ? -1 : 1;
    }
    int order = uuid_cmp(&x->origin, &y->origin);
    return order != 0 ? order : (x->key > y->key) - (x->key < y->key);
}

static int describe(struct reader *reader, int64_t key, struct version *ret, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    struct change change;
    struct times times;
    int64_t earlier;

    int result = reader_get(reader, key, &query, &change, &earlier, err);
    if (result == 0) {
        result = times_of_body(&change, &times, err);
    }
    if (result == 0) {
        *ret = (struct version){.key = key,
                                .version = change.version,
                                .updated_us = times.updated_us,
                                .at_us = change.at_us,
                                .origin = change.origin};
        result = reader_held(reader, key, &ret->held, err);
    }
    return result;
}

/* Every change of a memory, least first: heap array. ERR_NOT_FOUND. */
static int list_versions(struct reader *reader, const struct uuid *id, struct version **ret,
                         size_t *ret_count, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    AUTO(free_ptr) int64_t *keys = NULL;
    AUTO(free_ptr) struct version *versions = NULL;
    size_t count = 0;

    int result = reader_find(reader, SQL_MEMORY_LAST_KEY, id, &query, err);
    if (result == 0) {
        char text[UUID_TEXT_MAX];
        uuid_format(id, text);
        return err_set(err, ERR_NOT_FOUND, "there never was a memory %s", text);
    }
    if (result > 0) {
        result = reader_chain(reader, query_get_i64(&query, 0), &keys, &count, err);
    }
    versions = xcalloc(count + 1, sizeof(*versions));
    for (size_t i = 0; result == 0 && i < count; i++) {
        result = describe(reader, keys[i], &versions[i], err);
    }
    if (result < 0) {
        return result;
    }
    qsort(versions, count, sizeof(*versions), compare_versions);
    *ret = versions;
    *ret_count = count;
    versions = NULL;
    return 0;
}

static int give_version(struct reader *reader, const struct version *version, read_history_fn *each,
                        void *arg, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    AUTO(memory_done) struct memory memory;
    struct change change;
    int64_t earlier;

    memory_init(&memory);
    int result = reader_get(reader, version->key, &query, &change, &earlier, err);
    if (result == 0) {
        result = memory_of_change(&change, &memory, err);
    }
    return result < 0 ? result : each(arg, &change, &memory, version->held, err);
}

int read_history(struct reader *reader, const struct uuid *id, read_history_fn *each, void *arg,
                 struct err *err)
{
    AUTO(free_ptr) struct version *versions = NULL;
    size_t count = 0;

    int result = list_versions(reader, id, &versions, &count, err);
    for (size_t i = 0; result == 0 && i < count; i++) {
        result = give_version(reader, &versions[i], each, arg, err);
    }
    return result;
}

int read_memory_as_of(struct reader *reader, const struct uuid *id, int64_t at_us,
                      struct memory *ret, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    AUTO(free_ptr) struct version *versions = NULL;
    struct change change;
    size_t count = 0;
    int64_t earlier;

    int result = list_versions(reader, id, &versions, &count, err);
    if (result < 0) {
        return result;
    }
    while (count > 0 && (versions[count - 1].held || versions[count - 1].at_us > at_us)) {
        count--;
    }
    if (count == 0) {
        char text[UUID_TEXT_MAX];
        uuid_format(id, text);
        return err_set(err, ERR_NOT_FOUND, "the memory %s was not there yet", text);
    }
    result = reader_get(reader, versions[count - 1].key, &query, &change, &earlier, err);
    return result < 0 ? result : memory_of_change(&change, ret, err);
}
