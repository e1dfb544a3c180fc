#include "model/change.h"

#include <assert.h>

#include "model/emit.h"
#include "model/field.h"
#include "model/scan.h"

static const char *const kind_names[CHANGE_KINDS] = {
    [KIND_MEMORY] = "memory", [KIND_SESSION] = "session",     [KIND_PROJECT] = "project",
    [KIND_TASK] = "task",     [KIND_EMBEDDING] = "embedding", [KIND_GUARD] = "guard",
};

static const char *const op_names[CHANGE_OPS] = {
    [OP_PUT] = "put",
    [OP_DELETE] = "delete",
    [OP_HOLD] = "hold",
    [OP_RELEASE] = "release",
};

const char *change_kind_name(enum change_kind kind)
{
    return kind_names[kind];
}

const char *change_op_name(enum change_op op)
{
    return op_names[op];
}

struct sha256 change_hash(const struct sha256 *prev, struct str record)
{
    return sha256_of2(prev->bytes, sizeof(prev->bytes), record.ptr, record.len);
}

/* ---- what a record may hold: checked on writing too, so that whatever was written can be read
 * back ---- */

static bool has_uuid_id(enum change_kind kind)
{
    return kind == KIND_MEMORY || kind == KIND_SESSION || kind == KIND_GUARD;
}

static int check_id(const struct change *change, struct err *err)
{
    struct str id = {change->id, strnlen(change->id, sizeof(change->id))};
    struct uuid uuid;
    char text[UUID_TEXT_MAX];

    if (!has_uuid_id(change->kind)) {
        return field_check_text(id, "id", (struct field_rule){1, CHANGE_ID_MAX_BYTES, false}, err);
    }
    if (uuid_parse(id, &uuid, err) < 0) {
        return err_context(err, "id");
    }
    uuid_format(&uuid, text);
    if (!str_eq_c(id, text)) {
        return err_set(err, ERR_INVALID, "id is not in lower case");
    }
    return 0;
}

static int check_count(uint64_t number, const char *name, struct err *err)
{
    char found[FIELD_GROUPED_MAX];
    char max[FIELD_GROUPED_MAX];

    if (number >= 1 && number <= VERSION_MAX) {
        return 0;
    }
    field_grouped(number, found);
    field_grouped(VERSION_MAX, max);
    return err_set(err, ERR_INVALID, "%s is %s; 1 to %s are allowed", name, found, max);
}

static int too_long(size_t len, enum err_code code, struct err *err)
{
    char found[FIELD_GROUPED_MAX];
    char max[FIELD_GROUPED_MAX];

    field_grouped(len, found);
    field_grouped(CHANGE_RECORD_MAX, max);
    return err_set(err, code, "the change has %s bytes; at most %s are allowed", found, max);
}

static int check_fields(const struct change *change, struct err *err)
{
    struct str source = {change->source, strnlen(change->source, sizeof(change->source))};
    struct str project = {change->project_id,
                          strnlen(change->project_id, sizeof(change->project_id))};
    int result = check_count(change->seq, "seq", err);

    if (result == 0) {
        result = check_count(change->version, "version", err);
    }
    if (result == 0) {
        result = check_id(change, err);
    }
    if (result == 0) {
        result = field_check_text(source, "source", (struct field_rule){1, SOURCE_MAX_BYTES, false},
                                  err);
    }
    if (result == 0) {
        result = field_check_text(project, "project_id",
                                  (struct field_rule){0, PROJECT_ID_MAX_BYTES, false}, err);
    }
    return result;
}

static int check_body(struct str body, struct err *err)
{
    struct scan scan;
    struct str whole;
    int result = scan_begin(body, &scan, err);

    if (result == 0 && (body.len == 0 || body.ptr[0] != '{')) {
        result = scan_wrong(&scan, "expected an object", err);
    }
    if (result == 0) {
        result = scan_value(&scan, &whole, err);
    }
    if (result == 0) {
        result = scan_end(&scan, err);
    }
    return result;
}

static int check_whole(const struct change *change, struct err *err)
{
    if ((unsigned)change->kind >= CHANGE_KINDS || (unsigned)change->op >= CHANGE_OPS) {
        return err_set(err, ERR_INVALID, "kind %d or op %d does not exist", (int)change->kind,
                       (int)change->op);
    }
    if (change->at_us < TIMESTAMP_MIN_US || change->at_us > TIMESTAMP_MAX_US) {
        return err_set(err, ERR_INVALID, "at is %lld µs; the years 1 to 9999 are allowed",
                       (long long)change->at_us);
    }
    int result = check_fields(change, err);
    if (result == 0 && check_body(change->body, err) < 0) {
        err->code = ERR_INVALID; /* nothing stored is damaged: the caller's body is not JSON */
        result = err_context(err, "body");
    }
    return result;
}

/* ---- record ---- */

static void emit_name(struct emit *emit, struct str key, const char *name)
{
    emit_raw(emit, key);
    emit_raw(emit, str_of(name));
    EMIT(emit, "\"");
}

static void emit_record(struct emit *emit, const struct change *change)
{
    EMIT(emit, "{\"at\":");
    emit_time(emit, change->at_us);
    EMIT(emit, ",\"body\":");
    emit_raw(emit, change->body);
    EMIT(emit, ",\"id\":");
    emit_string(emit, str_of(change->id));
    emit_name(emit, STR(",\"kind\":\""), change_kind_name(change->kind));
    emit_name(emit, STR(",\"op\":\""), change_op_name(change->op));
    EMIT(emit, ",\"origin\":");
    emit_uuid(emit, &change->origin);
    EMIT(emit, ",\"project_id\":");
    emit_string(emit, str_of(change->project_id));
    EMIT(emit, ",\"seq\":");
    emit_uint(emit, change->seq);
    EMIT(emit, ",\"session_id\":");
    if (uuid_is_nil(&change->session_id)) {
        EMIT(emit, "null");
    } else {
        emit_uuid(emit, &change->session_id);
    }
    EMIT(emit, ",\"source\":");
    emit_string(emit, str_of(change->source));
    EMIT(emit, ",\"version\":");
    emit_uint(emit, change->version);
    EMIT(emit, "}");
}

int change_write_record(const struct change *change, struct buf *buf, struct err *err)
{
    int result = check_whole(change, err);
    if (result < 0) {
        return result;
    }
    struct emit emit = emit_begin(buf, err);
    emit_record(&emit, change);
    if (emit.result == 0 && buf->len - emit.start > CHANGE_RECORD_MAX) {
        emit.result = too_long(buf->len - emit.start, ERR_LIMIT, err);
    }
    return emit_end(&emit);
}

/* A string of at most max bytes, unescaped into out[max + 1]. */
static int scan_text(struct scan *scan, char *out, size_t max, struct err *err)
{
    char text[6 * PROJECT_ID_MAX_BYTES +
              1]; /* the longest of these strings with every byte as \u00XX */
    struct str escaped;
    size_t len;

    int result = scan_string(scan, &escaped, err);
    if (result == 0 && escaped.len >= sizeof(text)) {
        result = scan_wrong(scan, "the string is too long", err);
    }
    if (result == 0) {
        result = scan_unescape(scan, escaped, text, &len, err);
    }
    if (result == 0 && len > max) {
        result = scan_wrong(scan, "the string is too long", err);
    }
    if (result == 0) {
        memcpy(out, text, len + 1);
    }
    return result;
}

/* A string that must be one of names; the index of it. */
static int scan_name(struct scan *scan, const char *const *names, int count, int *ret,
                     struct err *err)
{
    const char *first = scan->at;
    struct str name;

    int result = scan_string(scan, &name, err);
    for (int i = 0; result == 0 && i < count; i++) {
        if (str_eq_c(name, names[i])) {
            *ret = i;
            return 0;
        }
    }
    if (result == 0) {
        scan->at = first;
        result = scan_wrong(scan, "an unknown kind or op", err);
    }
    return result;
}

static int scan_session(struct scan *scan, struct uuid *ret, struct err *err)
{
    if (scan_is(scan, STR("null"))) {
        return 0;
    }
    int result = scan_uuid(scan, ret, err);
    if (result == 0 && uuid_is_nil(ret)) {
        result = scan_wrong(scan, "the nil UUID where null is written", err);
    }
    return result;
}

#define TRY(call)                                                                                  \
    do {                                                                                           \
        int try_result = (call);                                                                   \
        if (try_result < 0) {                                                                      \
            return try_result;                                                                     \
        }                                                                                          \
    } while (0)

static int scan_record(struct scan *scan, struct change *c, struct err *err)
{
    int kind = 0;
    int op = 0;

    TRY(scan_expect(scan, STR("{\"at\":"), err));
    TRY(scan_time(scan, &c->at_us, err));
    TRY(scan_expect(scan, STR(",\"body\":"), err));
    TRY(scan_value(scan, &c->body, err));
    TRY(scan_expect(scan, STR(",\"id\":"), err));
    TRY(scan_text(scan, c->id, CHANGE_ID_MAX_BYTES, err));
    TRY(scan_expect(scan, STR(",\"kind\":"), err));
    TRY(scan_name(scan, kind_names, CHANGE_KINDS, &kind, err));
    TRY(scan_expect(scan, STR(",\"op\":"), err));
    TRY(scan_name(scan, op_names, CHANGE_OPS, &op, err));
    TRY(scan_expect(scan, STR(",\"origin\":"), err));
    TRY(scan_uuid(scan, &c->origin, err));
    TRY(scan_expect(scan, STR(",\"project_id\":"), err));
    TRY(scan_text(scan, c->project_id, PROJECT_ID_MAX_BYTES, err));
    TRY(scan_expect(scan, STR(",\"seq\":"), err));
    TRY(scan_uint(scan, VERSION_MAX, &c->seq, err));
    TRY(scan_expect(scan, STR(",\"session_id\":"), err));
    TRY(scan_session(scan, &c->session_id, err));
    TRY(scan_expect(scan, STR(",\"source\":"), err));
    TRY(scan_text(scan, c->source, SOURCE_MAX_BYTES, err));
    TRY(scan_expect(scan, STR(",\"version\":"), err));
    TRY(scan_uint(scan, VERSION_MAX, &c->version, err));
    TRY(scan_expect(scan, STR("}"), err));
    TRY(scan_end(scan, err));
    c->kind = (enum change_kind)kind;
    c->op = (enum change_op)op;
    return 0;
}

int change_read_record(struct str record, struct change *ret, struct err *err)
{
    struct change change = {.record = record};
    struct scan scan;

    if (record.len > CHANGE_RECORD_MAX) {
        return too_long(record.len, ERR_CORRUPT, err);
    }
    TRY(scan_begin(record, &scan, err));
    TRY(scan_record(&scan, &change, err));
    if (change.body.ptr[0] != '{') {
        return err_set(err, ERR_CORRUPT, "byte %zu: the body is not an object",
                       (size_t)(change.body.ptr - record.ptr));
    }
    if (check_fields(&change, err) < 0) {
        err->code = ERR_CORRUPT;
        return -ERR_CORRUPT;
    }
    *ret = change;
    return 0;
}

/* ---- line: the record with prev and hash put before its closing brace ---- */

#define PREV_KEY ",\"prev\":\""
#define HASH_KEY "\",\"hash\":\""
#define HEX_LEN (SHA256_HEX_MAX - 1)

int change_write_line(struct str record, const struct sha256 *prev, const struct sha256 *hash,
                      struct buf *buf, struct err *err)
{
    char prev_hex[SHA256_HEX_MAX];
    char hash_hex[SHA256_HEX_MAX];
    struct emit emit = emit_begin(buf, err);

    assert(record.len > 0); /* change_write_record's */
    sha256_hex(prev, prev_hex);
    sha256_hex(hash, hash_hex);
    emit_raw(&emit, (struct str){record.ptr, record.len - 1});
    EMIT(&emit, PREV_KEY);
    emit_raw(&emit, (struct str){prev_hex, HEX_LEN});
    EMIT(&emit, HASH_KEY);
    emit_raw(&emit, (struct str){hash_hex, HEX_LEN});
    EMIT(&emit, "\"}\n");
    return emit_end(&emit);
}

static int read_hash(struct scan *scan, struct sha256 *ret, struct err *err)
{
    struct err why = ERR_INIT;

    if ((size_t)(scan->end - scan->at) < HEX_LEN ||
        sha256_parse_hex((struct str){scan->at, HEX_LEN}, ret, &why) < 0) {
        return scan_wrong(scan, "expected 64 hex digits in lower case", err);
    }
    scan->at += HEX_LEN;
    return 0;
}

/* The suffix has one length, so that it is found from the line's end. */
static int read_suffix(struct str line, struct sha256 *ret_prev, struct sha256 *ret_hash,
                       struct err *err)
{
    struct scan scan = {.start = line.ptr, .at = line.ptr, .end = line.ptr + line.len};

    if (line.len < CHANGE_LINE_SUFFIX_LEN || line.len > CHANGE_LINE_MAX) {
        return err_set(err, ERR_CORRUPT, "the line has %zu bytes; %zu to %zu are allowed", line.len,
                       (size_t)CHANGE_LINE_SUFFIX_LEN, (size_t)CHANGE_LINE_MAX);
    }
    scan.at = scan.end - CHANGE_LINE_SUFFIX_LEN;
    TRY(scan_expect(&scan, STR(PREV_KEY), err));
    TRY(read_hash(&scan, ret_prev, err));
    TRY(scan_expect(&scan, STR(HASH_KEY), err));
    TRY(read_hash(&scan, ret_hash, err));
    return scan_expect(&scan, STR("\"}"), err);
}

int change_read_line(struct str line, struct buf *record_buf, struct change *ret, struct err *err)
{
    struct sha256 prev;
    struct sha256 hash;
    struct change change;

    TRY(read_suffix(line, &prev, &hash, err));
    buf_reset(record_buf);
    TRY(buf_add(record_buf, line.ptr, line.len - CHANGE_LINE_SUFFIX_LEN, err));
    TRY(buf_add(record_buf, "}", 1, err));
    struct sha256 found = change_hash(&prev, buf_str(record_buf));
    if (!sha256_eq(&found, &hash)) {
        return err_set(err, ERR_CORRUPT, "the hash does not match: the line was altered");
    }
    TRY(change_read_record(buf_str(record_buf), &change, err));
    change.prev = prev;
    change.hash = hash;
    *ret = change;
    return 0;
}
