/*
 * The proof that a ledger holds what it says. First the journal, row by row in order; then the
 * projection: each memory's changes, and that the one that wins is the current one.
 *
 * Most memories have one change. Reading that again for each would take as long as the first walk;
 * instead both walks sum up a number made of all that the projection repeats (with a random start,
 * so that nobody can aim at it). Only when the sums differ each memory is compared with its change.
 */
#include "base/num.h"
#include "ledger/reader.h"

struct verify {
    struct reader *reader;
    struct verify_result result;
    int64_t origin_no;       /* whose rows we are in */
    uint64_t seq;            /* the last one seen of it */
    struct sha256 hash;      /* of that */
    uint64_t memory_changes; /* in the journal */
    uint64_t seed;           /* of the sum */
    uint64_t sum;            /* of the journal's changes of memories, less the projection's */
    bool any_held;
    bool slowly;   /* compare each memory */
    int64_t block; /* whose place this is: */
    uint64_t block_place;
    uint64_t chained; /* reached from the memories */
};

/* Note the first thing found bad. Always 1, so that the walk ends. */
static int bad(struct verify *verify, const struct uuid *origin, uint64_t seq, const char *reason)
{
    if (verify->result.ok) {
        verify->result.ok = false;
        verify->result.bad_origin = *origin;
        verify->result.bad_seq = seq;
        (void)snprintf(verify->result.reason, sizeof(verify->result.reason), "%.*s",
                       (int)sizeof(verify->result.reason) - 1, reason);
    }
    return 1;
}

static int bad_key(struct verify *verify, int64_t key, const char *reason)
{
    static const struct uuid none;
    const struct head *origin = origins_head(&verify->reader->origins, key_origin_no(key));

    return bad(verify, origin == NULL ? &none : &origin->origin, key_seq(key), reason);
}

/* ---- the sum ---- */

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t mixed = (a ^ b) * 0x9e3779b97f4a7c15U;

    return mixed ^ mixed >> 32;
}

/* Of a project and session: where a memory belongs. */
static uint64_t place_number(const struct verify *verify, struct str project_id,
                             const uint8_t session[16])
{
    uint64_t number = verify->seed;

    for (size_t i = 0; i < project_id.len; i++) {
        number = mix(number, (uint8_t)project_id.ptr[i]);
    }
    return mix(mix(number, be64_get(session)), be64_get(session + 8));
}

/* Of a change as the projection repeats it. */
static uint64_t change_number(const struct verify *verify, int64_t key, int64_t earlier_key,
                              const struct uuid *id, uint64_t version, const struct times *times,
                              uint64_t place)
{
    const uint64_t parts[] = {(uint64_t)key,
                              (uint64_t)earlier_key,
                              be64_get(id->bytes),
                              be64_get(id->bytes + 8),
                              version,
                              (uint64_t)times->created_us,
                              (uint64_t)times->updated_us,
                              (uint64_t)times->deleted_us,
                              place};
    uint64_t number = verify->seed;

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        number = mix(number, parts[i]);
    }
    return number;
}

/* ---- the journal ---- */

/* What the columns of SQL_JOURNAL_ROWS say. */
struct row {
    int64_t key;
    int64_t earlier_key;
    int64_t kind;
    struct str id;
    int64_t version;
    int64_t at_us;
    struct str hash;
    struct str record;
};

static struct row row_of(struct query *query)
{
    return (struct row){
        .key = query_get_i64(query, 0),
        .earlier_key = query_get_i64(query, 1),
        .kind = query_get_i64(query, 2),
        .id = query_get_bytes(query, 3),
        .version = query_get_i64(query, 4),
        .at_us = query_get_i64(query, 5),
        .hash = query_get_bytes(query, 6),
        .record = query_get_bytes(query, 7),
    };
}

static bool same_id(const struct change *change, struct str id)
{
    struct uuid uuid;
    struct err ignored;

    if (str_eq_c(id, change->id)) {
        return true;
    }
    return id.len == sizeof(uuid.bytes) && uuid_parse(str_of(change->id), &uuid, &ignored) == 0 &&
           memcmp(uuid.bytes, id.ptr, id.len) == 0;
}

static int add_memory_change(struct verify *verify, const struct row *row,
                             const struct change *change)
{
    struct times times;
    struct uuid id;
    struct err err = ERR_INIT;

    if (times_of_body(change, &times, &err) < 0 || uuid_parse(str_of(change->id), &id, &err) < 0) {
        return bad_key(verify, row->key, err.message);
    }
    uint64_t place = place_number(verify, str_of(change->project_id), change->session_id.bytes);
    verify->sum +=
        change_number(verify, row->key, row->earlier_key, &id, change->version, &times, place);
    verify->memory_changes++;
    return 0;
}

/* Does the record say what its row says? */
static int check_record(struct verify *verify, const struct row *row, const struct head *origin)
{
    struct change change;
    struct err err = ERR_INIT;

    if (change_read_record(row->record, &change, &err) < 0) {
        return bad_key(verify, row->key, err.message);
    }
    if (!uuid_eq(&change.origin, &origin->origin) || change.seq != key_seq(row->key) ||
        (int64_t)change.kind != row->kind || (int64_t)change.version != row->version ||
        change.at_us != row->at_us || !same_id(&change, row->id)) {
        return bad_key(verify, row->key, "the record says something else than its row");
    }
    return change.kind == KIND_MEMORY ? add_memory_change(verify, row, &change) : 0;
}

static int check_row(struct verify *verify, const struct row *row)
{
    const struct head *origin = origins_head(&verify->reader->origins, key_origin_no(row->key));

    if (key_origin_no(row->key) != verify->origin_no) {
        verify->origin_no = key_origin_no(row->key);
        verify->seq = 0;
        verify->hash = (struct sha256){{0}};
    }
    if (origin == NULL) {
        return bad_key(verify, row->key, "its origin is unknown");
    }
    if (key_seq(row->key) != verify->seq + 1) {
        return bad_key(verify, key_of(verify->origin_no, verify->seq + 1), "the change is missing");
    }
    struct sha256 hash = change_hash(&verify->hash, row->record);
    if (row->hash.len != sizeof(hash.bytes) ||
        memcmp(row->hash.ptr, hash.bytes, sizeof(hash.bytes)) != 0) {
        return bad_key(verify, row->key,
                       "the hash does not match: the record, or one before it, was altered");
    }
    verify->hash = hash;
    verify->seq = key_seq(row->key);
    verify->result.changes++;
    return check_record(verify, row, origin);
}

static int check_journal(struct verify *verify, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    int result;

    if (query_start(&verify->reader->conn, SQL_JOURNAL_ROWS, &query, err) < 0) {
        return -(int)err->code;
    }
    query_i64(&query, 1, INT64_MIN);
    query_i64(&query, 2, INT64_MAX);
    while ((result = query_step(&query, err)) > 0) {
        struct row row = row_of(&query);
        if (check_row(verify, &row) != 0) {
            return 0;
        }
    }
    return result;
}

/* ---- the projection ---- */

struct memory_row {
    int64_t place;
    int64_t key;
    int64_t last_key;
    uint64_t version;
    struct times times;
    struct uuid id;
};

/* The winner so far among a memory's changes that count. */
struct winner {
    int64_t key;
    uint64_t version;
    struct times times;
    struct uuid origin;
    char project_id[PROJECT_ID_MAX_BYTES + 1];
    struct uuid session_id;
};

static bool beats(const struct change *change, const struct times *times, int64_t key,
                  const struct winner *best)
{
    if (best->key == 0 || change->version != best->version) {
        return best->key == 0 || change->version > best->version;
    }
    if (times->updated_us != best->times.updated_us) {
        return times->updated_us > best->times.updated_us;
    }
    int order = uuid_cmp(&change->origin, &best->origin);
    return order != 0 ? order > 0 : key > best->key;
}

static int weigh(struct verify *verify, int64_t key, const struct memory_row *row,
                 struct winner *best, int64_t *ret_earlier, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    struct change change;
    struct times times;
    struct uuid id;
    bool held = false;

    int result = reader_get(verify->reader, key, &query, &change, ret_earlier, err);
    if (result < 0) {
        return result;
    }
    if (change.kind != KIND_MEMORY || uuid_parse(str_of(change.id), &id, err) < 0 ||
        !uuid_eq(&id, &row->id)) {
        return bad_key(verify, key,
                       "a memory's list of changes leads to a change of something else");
    }
    result = times_of_body(&change, &times, err);
    if (result == 0) {
        result = reader_held(verify->reader, key, &held, err);
    }
    if (result == 0 && !held && beats(&change, &times, key, best)) {
        *best = (struct winner){key, change.version, times, change.origin, "", change.session_id};
        memcpy(best->project_id, change.project_id, sizeof(best->project_id));
    }
    verify->chained++;
    verify->sum -=
        change_number(verify, key, *ret_earlier, &id, change.version, &times,
                      place_number(verify, str_of(change.project_id), change.session_id.bytes));
    return result;
}

/* Is the memory where its project and session are? */
static int check_place(struct verify *verify, const struct memory_row *row,
                       const struct winner *best, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};

    int result = query_start(&verify->reader->conn, SQL_BLOCK_BY_NO, &query, err);
    if (result == 0) {
        query_i64(&query, 1, place_block(row->place));
        result = query_step(&query, err);
    }
    if (result < 0) {
        return result;
    }
    struct str session = result == 0 ? (struct str){"", 0} : query_get_bytes(&query, 1);
    if (result == 0 || !str_eq_c(query_get_bytes(&query, 0), best->project_id) ||
        session.len != sizeof(best->session_id.bytes) ||
        memcmp(session.ptr, best->session_id.bytes, session.len) != 0) {
        return bad_key(verify, best->key,
                       "its memory is kept in another project's or session's place");
    }
    return 0;
}

static int check_memory(struct verify *verify, const struct memory_row *row, struct err *err)
{
    struct winner best = {.key = 0};
    int result = 0;

    for (int64_t key = row->last_key; key != 0 && result == 0;) {
        int64_t earlier = 0;
        if (verify->chained >= verify->memory_changes) {
            return bad_key(verify, key, "a memory's list of changes is longer than the journal");
        }
        result = weigh(verify, key, row, &best, &earlier, err);
        key = earlier;
    }
    if (result != 0) {
        return result;
    }
    if (best.key != row->key) {
        return bad_key(verify, best.key != 0 ? best.key : row->key,
                       "its memory's current change is not the one that wins");
    }
    if (best.key == 0) {
        return 0; /* all held: nothing else is said of it */
    }
    if (best.version != row->version || best.times.created_us != row->times.created_us ||
        best.times.updated_us != row->times.updated_us ||
        best.times.deleted_us != row->times.deleted_us) {
        return bad_key(verify, best.key,
                       "its memory's version or times are not those of the record");
    }
    return check_place(verify, row, &best, err);
}

/* What the projection repeats of the one change of a memory goes off the sum. */
static int subtract_memory(struct verify *verify, const struct memory_row *row, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};

    if (verify->block != place_block(row->place)) {
        int result = query_start(&verify->reader->conn, SQL_BLOCK_BY_NO, &query, err);
        if (result == 0) {
            query_i64(&query, 1, place_block(row->place));
            result = query_step(&query, err);
        }
        if (result < 0) {
            return result;
        }
        struct str session = result == 0 ? (struct str){"", 0} : query_get_bytes(&query, 1);
        if (session.len != sizeof(row->id.bytes)) {
            return bad_key(verify, row->key,
                           "its memory is kept in a place that belongs to nobody");
        }
        verify->block = place_block(row->place);
        verify->block_place =
            place_number(verify, query_get_bytes(&query, 0), (const uint8_t *)session.ptr);
    }
    verify->chained++;
    verify->sum -= change_number(verify, row->key, 0, &row->id, row->version, &row->times,
                                 verify->block_place);
    return 0;
}

/* May the memory be proved by the sum? *ret false for more than one change, and for a change that
 * does not count. */
static int is_simple(struct verify *verify, const struct memory_row *row, bool *ret,
                     struct err *err)
{
    bool held = false;
    int result = 0;

    *ret = !verify->slowly && row->version == 1 && row->key == row->last_key;
    if (*ret && verify->any_held) {
        result = reader_held(verify->reader, row->key, &held, err);
        *ret = !held;
    }
    return result;
}

/* Prove one row of the projection. 1: it is bad. */
static int check_row_of_memory(struct verify *verify, struct query *query, struct err *err)
{
    bool simple = false;
    struct memory_row row = {
        .place = query_get_i64(query, 0),
        .key = query_get_i64(query, 1),
        .last_key = query_get_i64(query, 2),
        .version = (uint64_t)query_get_i64(query, 3),
        .times = {query_get_i64(query, 4), query_get_i64(query, 5),
                  query_is_null(query, 6) ? TIME_NONE : query_get_i64(query, 6)},
    };

    int result = query_get_fixed(query, 8, row.id.bytes, sizeof(row.id.bytes), err);
    if (result == 0) {
        result = is_simple(verify, &row, &simple, err);
    }
    if (result < 0) {
        return result;
    }
    return simple ? subtract_memory(verify, &row, err) : check_memory(verify, &row, err);
}

static int check_projection(struct verify *verify, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    int result;

    if (query_start(&verify->reader->conn, SQL_MEMORY_ROWS, &query, err) < 0) {
        return -(int)err->code;
    }
    while ((result = query_step(&query, err)) > 0) {
        result = check_row_of_memory(verify, &query, err);
        if (result != 0) {
            break;
        }
    }
    if (result != 0 || (verify->sum == 0 && verify->chained == verify->memory_changes)) {
        return result < 0 ? result : 0;
    }
    if (verify->slowly) {
        (void)bad_key(verify, 0, "changes of memories are in the journal that no memory leads to");
        return 0;
    }
    return 1;
}

/* The quick way first; if it finds that something is wrong somewhere, the slow one finds where. */
static int check_projection_twice(struct verify *verify, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    uint64_t sum = verify->sum;

    int result = query_start(&verify->reader->conn, SQL_HELD_ANY, &query, err);
    if (result == 0) {
        result = query_step(&query, err);
    }
    if (result >= 0) {
        verify->any_held = result > 0;
        result = check_projection(verify, err);
    }
    if (result <= 0) {
        return result;
    }
    verify->slowly = true;
    verify->chained = 0;
    verify->sum = sum;
    return check_projection(verify, err);
}

int read_verify(struct reader *reader, struct verify_result *ret, struct err *err)
{
    struct verify verify = {.reader = reader, .result = {.ok = true}};
    struct env *env = env_system();

    env->random(env, &verify.seed, sizeof(verify.seed));

    int result = check_journal(&verify, err);
    if (result == 0 && verify.result.ok) {
        result = check_projection_twice(&verify, err);
    }
    if (result == -ERR_CORRUPT) {
        (void)bad_key(&verify, key_of(verify.origin_no, verify.seq + 1), err->message);
        result = 0;
    }
    if (result == 0) {
        *ret = verify.result;
    }
    return result;
}
