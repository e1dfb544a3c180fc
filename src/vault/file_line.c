#include "vault/file_line.h"

#include "model/emit.h"
#include "model/scan.h"

#define GAP_START "{\"gap\":true,\"hash\":\""
#define SUM_KEY ",\"sum\":\""
#define HEX_LEN (SHA256_HEX_MAX - 1)
#define SUM_SUFFIX_LEN (sizeof(SUM_KEY) - 1 + HEX_LEN + 2)

static bool is_gap(struct str line)
{
    return str_starts(line, STR(GAP_START));
}

/* Where ,"seq": begins in a line, looked for from the end: text before it may hold the same
 * letters, but behind it come only a UUID, a source (whose quotes are escaped) and numbers. */
static const char *find_seq(struct str line)
{
    static const char KEY[] = ",\"seq\":";

    for (size_t left = line.len; left > 0;) {
        const char *comma = memrchr(line.ptr, ',', left);
        if (comma == NULL) {
            return NULL;
        }
        left = (size_t)(comma - line.ptr);
        if (line.len - left >= sizeof(KEY) - 1 && memcmp(comma, KEY, sizeof(KEY) - 1) == 0) {
            return comma + sizeof(KEY) - 1;
        }
    }
    return NULL;
}

int file_line_peek(struct str line, uint64_t *ret_seq, bool *ret_gap, struct err *err)
{
    if (line.len == 0 || memchr(line.ptr, '\0', line.len) != NULL) {
        return err_set(err, ERR_CORRUPT, "the line is empty or holds zero bytes");
    }
    bool gap = is_gap(line);
    size_t suffix = gap ? SUM_SUFFIX_LEN : CHANGE_LINE_SUFFIX_LEN;
    struct str front = {line.ptr, line.len < suffix ? 0 : line.len - suffix};
    const char *digits = front.len == 0 ? NULL : find_seq(front);
    if (digits == NULL) {
        return err_set(err, ERR_CORRUPT, "the line is neither a change nor a gap");
    }
    struct scan scan = {.start = line.ptr, .at = digits, .end = line.ptr + line.len};
    int rc = scan_uint(&scan, VERSION_MAX, ret_seq, err);
    *ret_gap = gap;
    return rc;
}

static int scan_hash(struct scan *scan, struct sha256 *ret, struct err *err)
{
    if ((size_t)(scan->end - scan->at) < HEX_LEN ||
        sha256_parse_hex((struct str){scan->at, HEX_LEN}, ret, err) < 0) {
        return scan_wrong(scan, "expected 64 hex digits in lower case", err);
    }
    scan->at += HEX_LEN;
    return 0;
}

/* ---- sums ---- */

static void emit_hash(struct emit *emit, const struct sha256 *hash)
{
    char hex[SHA256_HEX_MAX];

    sha256_hex(hash, hex);
    emit_raw(emit, (struct str){hex, HEX_LEN});
}

int file_line_end_sum(struct buf *buf, size_t start, struct err *err)
{
    struct emit emit = emit_begin(buf, err);
    struct sha256 sum = sha256_of2(buf->data + start, buf->len - start, "}", 1);

    EMIT(&emit, SUM_KEY);
    emit_hash(&emit, &sum);
    EMIT(&emit, "\"}");
    return emit_end(&emit);
}

bool file_line_sum_is_right(struct str object)
{
    struct scan scan = {.start = object.ptr, .end = object.ptr + object.len};
    struct sha256 sum = {{0}};
    struct err why = ERR_INIT;

    if (object.len < SUM_SUFFIX_LEN) {
        return false;
    }
    scan.at = scan.end - SUM_SUFFIX_LEN;
    struct sha256 expected = sha256_of2(object.ptr, object.len - SUM_SUFFIX_LEN, "}", 1);
    return scan_expect(&scan, STR(SUM_KEY), &why) == 0 && scan_hash(&scan, &sum, &why) == 0 &&
           scan_expect(&scan, STR("\"}"), &why) == 0 && sha256_eq(&sum, &expected);
}

/* ---- reading ---- */

#define TRY(call)                                                                                  \
    do {                                                                                           \
        int try_rc = (call);                                                                       \
        if (try_rc < 0) {                                                                          \
            return try_rc;                                                                         \
        }                                                                                          \
    } while (0)

static int read_gap(struct str line, struct uuid *ret_origin, struct file_line *ret,
                    struct err *err)
{
    struct scan scan;

    if (!file_line_sum_is_right(line)) {
        return err_set(err, ERR_CORRUPT, "the gap's sum does not match: the line was altered");
    }
    line.len -= SUM_SUFFIX_LEN;
    ret->gap = true;
    TRY(scan_begin(line, &scan, err));
    TRY(scan_expect(&scan, STR(GAP_START), err));
    TRY(scan_hash(&scan, &ret->hash, err));
    TRY(scan_expect(&scan, STR("\",\"origin\":"), err));
    TRY(scan_uuid(&scan, ret_origin, err));
    TRY(scan_expect(&scan, STR(",\"prev\":\""), err));
    TRY(scan_hash(&scan, &ret->prev, err));
    TRY(scan_expect(&scan, STR("\",\"seq\":"), err));
    TRY(scan_uint(&scan, VERSION_MAX, &ret->seq, err));
    return scan_end(&scan, err);
}

int file_line_read(struct str line, const struct uuid *origin, struct buf *record_buf,
                   struct file_line *ret, struct change *ret_change, struct err *err)
{
    struct file_line found = {0};
    struct uuid of;

    if (is_gap(line)) {
        TRY(read_gap(line, &of, &found, err));
    } else {
        TRY(change_read_line(line, record_buf, ret_change, err));
        found = (struct file_line){ret_change->seq, ret_change->prev, ret_change->hash, false};
        of = ret_change->origin;
    }
    if (!uuid_eq(&of, origin)) {
        char text[UUID_TEXT_MAX];
        uuid_format(&of, text);
        return err_set(err, ERR_CORRUPT, "it is of the origin %s, which belongs elsewhere", text);
    }
    *ret = found;
    return 0;
}

/* ---- writing ---- */

int file_line_write_gap(const struct uuid *origin, const struct file_line *gap, struct buf *buf,
                        struct err *err)
{
    struct emit emit = emit_begin(buf, err);

    EMIT(&emit, GAP_START);
    emit_hash(&emit, &gap->hash);
    EMIT(&emit, "\",\"origin\":");
    emit_uuid(&emit, origin);
    EMIT(&emit, ",\"prev\":\"");
    emit_hash(&emit, &gap->prev);
    EMIT(&emit, "\",\"seq\":");
    emit_uint(&emit, gap->seq);
    int rc = emit_end(&emit);
    if (rc == 0) {
        rc = file_line_end_sum(buf, emit.start, err);
    }
    return rc == 0 ? buf_add(buf, "\n", 1, err) : rc;
}
