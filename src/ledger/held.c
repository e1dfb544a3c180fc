/*
 * Alerts, and the changes that their decisions keep out of the current view.
 *
 * What an alert holds follows from its decisions in order of their version (then of origin),
 * whatever order they came in: a decision that comes late makes all of the alert's be applied
 * again.
 */
#include "base/fault.h"
#include "ledger/store_internal.h"

#define DECISION_LOOK_MAX                                                                          \
    100000 /* changes that are looked at for their project; of more it is not said */

struct alert_row {
    int64_t no; /* 0: not there yet */
    int64_t state;
    int64_t key;
    int64_t held_key;
    int64_t last_key;
    uint64_t version;
    int64_t detected_us;
};

struct keys {
    int64_t *items;
    size_t count;
    size_t capacity;
};

static void keys_done(struct keys *keys)
{
    free(keys->items);
}

static void keys_add(struct keys *keys, int64_t key)
{
    if (keys->count == keys->capacity) {
        keys->capacity = keys->capacity == 0 ? 64 : keys->capacity * 2;
        keys->items = xrealloc(keys->items, keys->capacity * sizeof(*keys->items));
    }
    keys->items[keys->count++] = key;
}

struct uuids {
    struct uuid *items;
    size_t count;
    size_t capacity;
};

static void uuids_done(struct uuids *uuids)
{
    free(uuids->items);
}

static void uuids_add(struct uuids *uuids, const struct uuid *id)
{
    if (uuids->count == uuids->capacity) {
        uuids->capacity = uuids->capacity == 0 ? 64 : uuids->capacity * 2;
        uuids->items = xrealloc(uuids->items, uuids->capacity * sizeof(*uuids->items));
    }
    uuids->items[uuids->count++] = *id;
}

/* ---- rows ---- */

int held_is(struct conn *conn, int64_t key, bool *ret_held, bool *ret_open, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};

    if (query_start(conn, SQL_HELD_STATE, &query, err) < 0) {
        return -(int)err->code;
    }
    query_i64(&query, 1, key);
    int result = query_step(&query, err);
    if (result < 0) {
        return result;
    }
    *ret_held = result > 0 && !query_is_null(&query, 0);
    *ret_open = *ret_held && query_get_i64(&query, 0) == ALERT_OPEN;
    return 0;
}

static int add_held(struct store *store, int64_t key, int64_t alert, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};

    if (query_start(&store->conn, SQL_HELD_ADD, &query, err) < 0) {
        return -(int)err->code;
    }
    query_i64(&query, 1, key);
    query_i64(&query, 2, alert);
    return query_run(&query, err);
}

static int drop_held(struct store *store, int64_t alert, int64_t first, int64_t last,
                     struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};

    if (query_start(&store->conn, SQL_HELD_DROP, &query, err) < 0) {
        return -(int)err->code;
    }
    query_i64(&query, 1, alert);
    query_i64(&query, 2, first);
    query_i64(&query, 3, last);
    return query_run(&query, err);
}

/* The keys that a query with these numbers gives, added to ret. */
static int collect(struct store *store, enum sql sql, const int64_t *numbers, int count,
                   struct keys *ret, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    int result;

    if (query_start(&store->conn, sql, &query, err) < 0) {
        return -(int)err->code;
    }
    for (int i = 0; i < count; i++) {
        query_i64(&query, i + 1, numbers[i]);
    }
    while ((result = query_step(&query, err)) > 0) {
        keys_add(ret, query_get_i64(&query, 0));
    }
    return result;
}

/* ---- changes that are still to come ---- */

/* Kept in the order of first_key. */
static size_t expected_position(const struct store *store, int64_t first_key)
{
    size_t low = 0;
    size_t high = store->expected_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (store->expected[middle].first_key < first_key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void note_expected(struct store *store, const struct expected *expected)
{
    size_t at = expected_position(store, expected->first_key);

    if (store->expected_count == store->expected_capacity) {
        store->expected_capacity =
            store->expected_capacity == 0 ? 16 : store->expected_capacity * 2;
        store->expected =
            xrealloc(store->expected, store->expected_capacity * sizeof(*store->expected));
    }
    memmove(&store->expected[at + 1], &store->expected[at],
            (store->expected_count - at) * sizeof(*expected));
    store->expected[at] = *expected;
    store->expected_count++;
}

int held_load(struct store *store, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    int result;

    store->expected_count = 0;
    if (query_start(&store->conn, SQL_EXPECTED, &query, err) < 0) {
        return -(int)err->code;
    }
    while ((result = query_step(&query, err)) > 0) {
        note_expected(store,
                      &(struct expected){query_get_i64(&query, 0), query_get_i64(&query, 1),
                                         query_get_i64(&query, 2), query_get_i64(&query, 3)});
    }
    return result;
}

static int add_expected(struct store *store, int64_t first, int64_t last, int64_t alert,
                        struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};

    if (query_start(&store->conn, SQL_EXPECTED_ADD, &query, err) < 0) {
        return -(int)err->code;
    }
    query_i64(&query, 1, first);
    query_i64(&query, 2, last);
    query_i64(&query, 3, alert);
    int result = query_step(&query, err);
    if (result > 0) {
        struct expected expected = {query_get_i64(&query, 0), first, last, alert};
        result = query_step(&query, err);
        if (result == 0) {
            note_expected(store, &expected);
        }
    }
    return result;
}

static int drop_expected(struct store *store, size_t index, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};

    if (query_start(&store->conn, SQL_EXPECTED_DROP, &query, err) < 0) {
        return -(int)err->code;
    }
    query_i64(&query, 1, store->expected[index].no);
    int result = query_run(&query, err);
    if (result == 0) {
        store->expected_count--;
        memmove(&store->expected[index], &store->expected[index + 1],
                (store->expected_count - index) * sizeof(*store->expected));
    }
    return result;
}

/* What e expects outside of first..last. */
static int expect_rest(struct store *store, const struct expected *e, int64_t first, int64_t last,
                       struct err *err)
{
    int result = 0;

    if (e->first_key < first) {
        result = add_expected(store, e->first_key, first - 1, e->alert, err);
    }
    if (result == 0 && e->last_key > last) {
        result = add_expected(store, last + 1, e->last_key, e->alert, err);
    }
    return result;
}

/* Take first..last out of what an alert expects. */
static int cut_expected(struct store *store, int64_t alert, int64_t first, int64_t last,
                        struct err *err)
{
    int result = 0;

    for (size_t i = 0; i < store->expected_count && result == 0;) {
        struct expected e = store->expected[i];
        if (e.alert != alert || e.last_key < first || e.first_key > last) {
            i++;
            continue;
        }
        result = drop_expected(store, i, err);
        if (result == 0) {
            result = expect_rest(store, &e, first, last, err); /* comes again, and is passed over */
        }
    }
    return result;
}

int held_on_arrival(struct store *store, int64_t key, bool *ret_held, struct err *err)
{
    size_t i =
        store->expected_count == 0 ? 0 : expected_position(store, key_of(key_origin_no(key), 0));
    int result = 0;

    /* Changes of one origin come in order, so that what ended before this one is gone, and all that
     * began has it. */
    *ret_held = false;
    while (i < store->expected_count && store->expected[i].first_key <= key && result == 0) {
        struct expected e = store->expected[i];
        if (key <= e.last_key) {
            *ret_held = true;
            result = add_held(store, key, e.alert, err);
        }
        if (result == 0 && key >= e.last_key) {
            result = drop_expected(store, i, err);
        } else {
            i++;
        }
    }
    return result;
}

/* ---- a decision ---- */

static int hold_range(struct store *store, int64_t alert, int64_t first, int64_t last, int64_t head,
                      struct keys *touched, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    int64_t here = last < head ? last : head;

    for (int64_t key = first; key <= here; key++) {
        keys_add(touched, key);
    }
    int result = query_start(&store->conn, SQL_HELD_ADD_RANGE, &query, err);
    if (result == 0) {
        query_i64(&query, 1, alert);
        query_i64(&query, 2, first);
        query_i64(&query, 3, here);
        result = query_run(&query, err);
    }
    if (result == 0 && last > head) {
        result = add_expected(store, first > head ? first : head + 1, last, alert, err);
    }
    return result;
}

/* Only what the alert held looks different afterwards: a recovery accepts a million changes that
 * nobody held. */
static int release_range(struct store *store, int64_t alert, int64_t first, int64_t last,
                         int64_t head, struct keys *touched, struct err *err)
{
    const int64_t numbers[] = {alert, first, last};

    (void)head;
    int result = collect(store, SQL_HELD_OF_ALERT_RANGE, numbers, 3, touched, err);
    if (result == 0) {
        result = drop_held(store, alert, first, last, err);
    }
    return result < 0 ? result : cut_expected(store, alert, first, last, err);
}

/* Hold or release what a decision names; the keys concerned are added to touched. */
static int apply_ranges(struct store *store, int64_t alert, const struct decision *decision,
                        struct keys *touched, struct err *err)
{
    int result = 0;

    for (size_t i = 0; i < decision->ranges.count && result == 0; i++) {
        const struct range *range = &decision->ranges.items[i];
        int64_t no;
        if (range->from < 1 || range->from > range->to || range->to > KEY_SEQ_MAX) {
            return err_set(err, ERR_INVALID, "ranges: %llu to %llu is no range of changes",
                           (unsigned long long)range->from, (unsigned long long)range->to);
        }
        result = origins_number(&store->origins, &store->conn, &range->origin, &no, err);
        if (result < 0) {
            return result;
        }
        int64_t head = key_of(no, origins_head(&store->origins, no)->seq);
        bool release = decision->kind == DECISION_ACCEPTED;
        result = (release ? release_range : hold_range)(store, alert, key_of(no, range->from),
                                                        key_of(no, range->to), head, touched, err);
    }
    return result;
}

/* What a recovery of another installation brought or undid there says nothing about the view here.
 */
static int apply_decided(struct store *store, int64_t alert, const struct change *change,
                         const struct decision *decision, struct keys *touched, struct err *err)
{
    bool foreign = origins_find(&store->origins, &change->origin) != store->origins.own;

    if (foreign && rule_is_recovery(decision->rule)) {
        return 0;
    }
    return apply_ranges(store, alert, decision, touched, err);
}

/* The memory of a key is added to memories; a thing of another kind, which is rare, is brought up
 * to date at once. */
static int recompute_thing(struct store *store, int64_t key, struct uuids *memories,
                           struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    char text[CHANGE_ID_MAX_BYTES + 1] = "";
    struct uuid id;

    if (query_start(&store->conn, SQL_JOURNAL_ID, &query, err) < 0) {
        return -(int)err->code;
    }
    query_i64(&query, 1, key);
    int result = query_step(&query, err);
    if (result <= 0) {
        return result;
    }
    enum change_kind kind = (enum change_kind)query_get_i64(&query, 0);
    struct str bytes = query_get_bytes(&query, 1);
    bool is_uuid = bytes.len == sizeof(id.bytes) && kind != KIND_PROJECT && kind != KIND_TASK;
    if (kind == KIND_GUARD) {
        return 0; /* decisions are on record, not in a view */
    }
    if (is_uuid) {
        memcpy(id.bytes, bytes.ptr, sizeof(id.bytes));
        uuid_format(&id, text);
    } else if (bytes.len <= CHANGE_ID_MAX_BYTES) {
        memcpy(text, bytes.ptr, bytes.len);
    }
    if (kind != KIND_MEMORY) {
        return thing_recompute(store, kind, text, err);
    }
    uuids_add(memories, &id);
    return 0;
}

static int compare_uuids(const void *a, const void *b)
{
    return uuid_cmp(a, b);
}

/* Bring all that the keys are about up to date, each memory once. */
static int recompute_keys(struct store *store, const struct keys *keys, struct err *err)
{
    AUTO(uuids_done) struct uuids memories = {.items = NULL};
    int result = 0;

    for (size_t i = 0; i < keys->count && result == 0; i++) {
        result = recompute_thing(store, keys->items[i], &memories, err);
    }
    if (memories.count > 1) {
        qsort(memories.items, memories.count, sizeof(*memories.items), compare_uuids);
    }
    for (size_t i = 0; i < memories.count && result == 0; i++) {
        if (i == 0 || !uuid_eq(&memories.items[i], &memories.items[i - 1])) {
            result = memory_recompute(store, &memories.items[i], err);
        }
    }
    return result;
}

/* ---- the alert's row ---- */

static int find_alert(struct store *store, const struct uuid *id, struct alert_row *ret,
                      struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};

    *ret = (struct alert_row){.no = 0};
    if (query_start(&store->conn, SQL_ALERT_GET, &query, err) < 0) {
        return -(int)err->code;
    }
    query_uuid(&query, 1, id);
    int result = query_step(&query, err);
    if (result > 0) {
        *ret = (struct alert_row){
            .no = query_get_i64(&query, 0),
            .state = query_get_i64(&query, 1),
            .key = query_get_i64(&query, 2),
            .held_key = query_get_i64(&query, 3),
            .last_key = query_get_i64(&query, 4),
            .version = (uint64_t)query_get_i64(&query, 5),
            .detected_us = query_get_i64(&query, 6),
        };
    }
    return result < 0 ? result : 0;
}

int alert_version(struct store *store, const struct uuid *id, uint64_t *ret, struct err *err)
{
    struct alert_row row;

    int result = find_alert(store, id, &row, err);
    *ret = result == 0 ? row.version : 0;
    return result;
}

static int write_alert(struct store *store, const struct uuid *id, struct alert_row *row,
                       struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    bool insert = row->no == 0;

    if (query_start(&store->conn, insert ? SQL_ALERT_INSERT : SQL_ALERT_UPDATE, &query, err) < 0) {
        return -(int)err->code;
    }
    if (insert) {
        query_uuid(&query, 1, id);
    } else {
        query_i64(&query, 1, row->no);
    }
    query_i64(&query, 2, row->state);
    query_i64(&query, 3, row->key);
    query_i64(&query, 4, row->held_key);
    query_i64(&query, 5, row->last_key);
    query_i64(&query, 6, (int64_t)row->version);
    query_i64(&query, 7, row->detected_us);
    int result = query_step(&query, err);
    if (result > 0) {
        row->no = query_get_i64(&query, 0);
        result = query_step(&query, err);
    }
    return result;
}

static enum alert_state state_after(enum decision_kind kind)
{
    switch (kind) {
    case DECISION_HELD:
        return ALERT_OPEN;
    case DECISION_ACCEPTED:
        return ALERT_ACCEPTED;
    case DECISION_REVERTED:
    case DECISION_UNDONE:
    case DECISION_KINDS:
        break;
    }
    return ALERT_REVERTED;
}

/* The next decision in order: row follows it. */
static void take_decision(struct alert_row *row, const struct change *change,
                          const struct decision *decision, int64_t key)
{
    row->state = state_after(decision->kind);
    row->key = key;
    row->version = change->version;
    if (decision->kind == DECISION_HELD) {
        row->held_key = key;
    }
}

/* ---- all decisions of an alert once more, in their order ---- */

struct replayed {
    uint64_t version;
    struct uuid origin;
    int64_t key;
};

static int compare_replayed(const void *a, const void *b)
{
    const struct replayed *x = a;
    const struct replayed *y = b;

    if (x->version != y->version) {
        return x->version < y->version ? -1 : 1;
    }
    int order = uuid_cmp(&x->origin, &y->origin);
    return order != 0 ? order : (x->key > y->key) - (x->key < y->key);
}

static int list_decisions(struct store *store, int64_t last_key, struct replayed **ret,
                          size_t *ret_count, struct err *err)
{
    struct change change;
    size_t capacity = 0;
    int result = 0;

    for (int64_t key = last_key; key != 0 && result == 0;) {
        AUTO(query_end) struct query query = {.conn = NULL};
        int64_t earlier = 0;
        result = change_of_key(&store->conn, &store->origins, key, &query, &change, &earlier, err);
        if (result == 0) {
            if (*ret_count == capacity) {
                capacity = capacity == 0 ? 16 : capacity * 2;
                *ret = xrealloc(*ret, capacity * sizeof(**ret));
            }
            (*ret)[(*ret_count)++] = (struct replayed){change.version, change.origin, key};
        }
        key = earlier;
    }
    return result;
}

static int replay_one(struct store *store, struct alert_row *row, int64_t key, struct keys *touched,
                      struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    AUTO(decision_done) struct decision decision;
    struct change change;
    int64_t earlier;

    decision_init(&decision);
    int result = change_of_key(&store->conn, &store->origins, key, &query, &change, &earlier, err);
    if (result == 0) {
        result = decision_read_body(change.body, &decision, err);
    }
    if (result == 0) {
        result = apply_decided(store, row->no, &change, &decision, touched, err);
    }
    if (result == 0) {
        take_decision(row, &change, &decision, key);
        row->detected_us = change.at_us < row->detected_us ? change.at_us : row->detected_us;
    }
    return result;
}

static int replay(struct store *store, struct alert_row *row, struct keys *touched, struct err *err)
{
    AUTO(free_ptr) struct replayed *decisions = NULL;
    size_t count = 0;

    int result = list_decisions(store, row->last_key, &decisions, &count, err);
    if (result == 0) {
        result = collect(store, SQL_HELD_OF_ALERT, &row->no, 1, touched, err);
    }
    if (result == 0) {
        result = drop_held(store, row->no, 0, INT64_MAX, err);
    }
    if (result == 0) {
        result = cut_expected(store, row->no, 0, INT64_MAX, err);
    }
    if (result < 0 || count == 0) {
        return result;
    }
    qsort(decisions, count, sizeof(*decisions), compare_replayed);
    row->held_key = 0;
    for (size_t i = 0; i < count && result == 0; i++) {
        result = replay_one(store, row, decisions[i].key, touched, err);
    }
    return result;
}

/* ---- a guard change ---- */

static int apply_decision(struct store *store, const struct uuid *id, struct alert_row *row,
                          const struct change *change, const struct decision *decision, int64_t key,
                          struct err *err)
{
    AUTO(keys_done) struct keys touched = {.items = NULL};
    bool in_order = change->version > row->version;
    int64_t state = row->state;
    int result = 0;

    row->last_key = key;
    if (row->no == 0) {
        row->detected_us = change->at_us;
        result = write_alert(store, id, row, err); /* gives it its number */
        state = ALERT_STATES;
    }
    if (result == 0 && in_order) {
        result = apply_decided(store, row->no, change, decision, &touched, err);
        take_decision(row, change, decision, key);
    } else if (result == 0) {
        result = replay(store, row, &touched, err);
    }
    if (result == 0 && state != row->state &&
        state != ALERT_STATES) { /* what it held before looks different now, too */
        result = collect(store, SQL_HELD_OF_ALERT, &row->no, 1, &touched, err);
    }
    if (result == 0) {
        result = write_alert(store, id, row, err);
    }
    return result < 0 ? result : recompute_keys(store, &touched, err);
}

int guard_apply(struct store *store, const struct change *change, struct err *err)
{
    AUTO(decision_done) struct decision decision;
    struct alert_row row;
    struct uuid id;
    int64_t key = key_of(origins_find(&store->origins, &change->origin), change->seq);

    decision_init(&decision);
    int result = uuid_parse(str_of(change->id), &id, err);
    if (result == 0) {
        result = decision_read_body(change->body, &decision, err);
    }
    if (result == 0) {
        result = find_alert(store, &id, &row, err);
    }
    if (result == 0) {
        result = journal_append(store, change, row.last_key, err);
    }
    if (result == 0) {
        result = apply_decision(store, &id, &row, change, &decision, key, err);
    }
    CRASH_POINT("ledger.alert.updated");
    return result;
}

/* ---- what a decision is about ---- */

/* 1: it is about *project too, 0: it says nothing, 2: it is about another one. */
static int same_project(struct store *store, int64_t key, const char **project, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    struct change change;
    int64_t earlier;

    int result = change_of_key(&store->conn, &store->origins, key, &query, &change, &earlier, err);
    if (result < 0 || change.project_id[0] == '\0') {
        return result;
    }
    const char *found = blocks_project(&store->blocks, change.project_id)->id;
    if (*project != NULL && *project != found) {
        return 2;
    }
    *project = found;
    return 1;
}

int decision_project(struct store *store, const struct decision *decision,
                     char ret[PROJECT_ID_MAX_BYTES + 1], struct err *err)
{
    const char *project = NULL;

    ret[0] = '\0';
    if (ranges_total(&decision->ranges) > DECISION_LOOK_MAX) {
        return 0;
    }
    for (size_t i = 0; i < decision->ranges.count; i++) {
        const struct range *range = &decision->ranges.items[i];
        int64_t no = origins_find(&store->origins, &range->origin);
        uint64_t head = no == 0 ? 0 : origins_head(&store->origins, no)->seq;
        for (uint64_t seq = range->from; seq <= range->to && seq <= head; seq++) {
            int result = same_project(store, key_of(no, seq), &project, err);
            if (result < 0 || result == 2) {
                return result < 0 ? result : 0;
            }
        }
    }
    if (project != NULL) {
        memcpy(ret, project, strlen(project) + 1);
    }
    return 0;
}
