/* change - records, lines and their hashes; what is altered shows. */
#include "model/samples.h"

#define RECORD                                                                                     \
    "{\"at\":\"" SAMPLE_TIME "\",\"body\":{\"content\":\"x\"},\"id\":\"" SAMPLE_ID                 \
    "\",\"kind\":\"memory\",\"op\":\"put\",\"origin\":\"" SAMPLE_ORIGIN                            \
    "\",\"project_id\":\"holdfast\",\"seq\":7,\"session_id\":\"" SAMPLE_SESSION                    \
    "\",\"source\":\"cli\",\"version\":3}"

/* SHA-256 of 32 zero bytes and RECORD, as sha256sum says it. */
#define RECORD_HASH "9c49bd18cac246f83fa020eec3ee682f86e1e09100cef8447e913c0935ef53ba"

static void set_text(char *field, size_t size, const char *text)
{
    assert_true(strlen(text) < size);
    memcpy(field, text, strlen(text) + 1);
}

static struct change sample(void)
{
    struct change change = {
        .origin = sample_uuid(SAMPLE_ORIGIN),
        .seq = 7,
        .kind = KIND_MEMORY,
        .op = OP_PUT,
        .version = 3,
        .at_us = SAMPLE_US,
        .session_id = sample_uuid(SAMPLE_SESSION),
        .body = STR("{\"content\":\"x\"}"),
    };

    set_text(change.id, sizeof(change.id), SAMPLE_ID);
    set_text(change.source, sizeof(change.source), "cli");
    set_text(change.project_id, sizeof(change.project_id), "holdfast");
    return change;
}

static void assert_same_fields(const struct change *a, const struct change *b)
{
    assert_true(uuid_eq(&a->origin, &b->origin));
    assert_int_equal(a->seq, b->seq);
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->op, b->op);
    assert_string_equal(a->id, b->id);
    assert_int_equal(a->version, b->version);
    assert_int_equal(a->at_us, b->at_us);
    assert_string_equal(a->source, b->source);
    assert_string_equal(a->project_id, b->project_id);
    assert_true(uuid_eq(&a->session_id, &b->session_id));
    assert_true(str_eq(a->body, b->body));
}

/* Write change, read it back, and compare. */
static void assert_round_trip(const struct change *change)
{
    AUTO(buf_done) struct buf record = BUF_INIT(CHANGE_RECORD_MAX);
    struct change back;

    OK(change_write_record(change, &record, &err));
    OK(change_read_record(buf_str(&record), &back, &err));
    assert_same_fields(change, &back);
    assert_true(str_eq(back.record, buf_str(&record)));
    assert_true(sha256_is_zero(&back.prev) && sha256_is_zero(&back.hash));
}

/* The sample's line behind a prev of 32 bytes 0xab. */
static void sample_line(struct buf *line)
{
    struct sha256 prev;
    memset(prev.bytes, 0xab, sizeof(prev.bytes));
    struct sha256 hash = change_hash(&prev, STR(RECORD));

    OK(change_write_line(STR(RECORD), &prev, &hash, line, &err));
}

static void a_record_holds_every_key_in_canonical_order(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf record = BUF_INIT(CHANGE_RECORD_MAX);
    struct change change = sample();

    OK(change_write_record(&change, &record, &err));
    assert_string_equal(record.data, RECORD);
}

static void a_record_is_what_any_canonical_json_writer_makes(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf record = BUF_INIT(CHANGE_RECORD_MAX);
    AUTO(buf_done) struct buf canonical = BUF_INIT(CHANGE_RECORD_MAX);
    AUTO(json_unref) json_t *tree = NULL;
    struct change change = sample();

    set_text(change.source, sizeof(change.source), "a \"quoted\" \\ caf\xc3\xa9 \xf0\x9f\x8c\x8a");
    OK(change_write_record(&change, &record, &err));
    OK(json_parse(buf_str(&record), &tree, &err));
    OK(json_canonical(tree, &canonical, &err));
    assert_string_equal(record.data, canonical.data);
}

static void the_hash_of_a_record_never_changes(void **state)
{
    (void)state;
    struct sha256 zero = {{0}};
    char hex[SHA256_HEX_MAX];

    struct sha256 hash = change_hash(&zero, STR(RECORD));
    sha256_hex(&hash, hex);
    assert_string_equal(hex, RECORD_HASH);
}

static void the_hash_depends_on_the_one_before(void **state)
{
    (void)state;
    struct sha256 zero = {{0}};

    struct sha256 first = change_hash(&zero, STR(RECORD));
    struct sha256 second = change_hash(&first, STR(RECORD));
    assert_false(sha256_eq(&first, &second));
}

static void a_record_reads_back_with_equal_fields(void **state)
{
    (void)state;
    struct change change = sample();

    assert_round_trip(&change);
}

static void empty_project_and_session_read_back(void **state)
{
    (void)state;
    struct change change = sample();

    change.project_id[0] = '\0';
    change.session_id = (struct uuid){{0}};
    assert_round_trip(&change);
}

static void every_kind_and_op_reads_back(void **state)
{
    (void)state;
    struct change change = sample();

    for (int kind = 0; kind < CHANGE_KINDS; kind++) {
        for (int op = 0; op < CHANGE_OPS; op++) {
            change.kind = (enum change_kind)kind;
            change.op = (enum change_op)op;
            assert_round_trip(&change);
        }
    }
}

static void escaped_texts_read_back(void **state)
{
    (void)state;
    struct change change = sample();

    set_text(change.source, sizeof(change.source), "mcp:\"x\" \\n");
    set_text(change.project_id, sizeof(change.project_id), "h\xc3\xb6hle/\"\\\"");
    assert_round_trip(&change);
}

static void a_body_may_hold_anything_that_is_balanced(void **state)
{
    (void)state;
    struct change change = sample();
    static const char *const bodies[] = {
        "{}",
        "{\"a\":\"}\"}",
        "{\"a\":\"\\\"}\\\\\"}",
        "{\"a\":[{},[],{\"b\":[1,2.5e+30,null,true]}],\"c\":\"{[\"}",
    };

    for (size_t i = 0; i < COUNT(bodies); i++) {
        change.body = str_of(bodies[i]);
        assert_round_trip(&change);
    }
}

/* ---- limits ---- */

static void texts_at_their_limits_read_back(void **state)
{
    (void)state;
    struct change change = sample();

    change.kind = KIND_PROJECT;
    memset(change.id, '"', CHANGE_ID_MAX_BYTES);
    memset(change.project_id, '\\', PROJECT_ID_MAX_BYTES);
    memset(change.source, 's', SOURCE_MAX_BYTES);
    assert_round_trip(&change);
}

static void numbers_at_their_limits_read_back(void **state)
{
    (void)state;
    struct change change = sample();

    change.seq = VERSION_MAX;
    change.version = VERSION_MAX;
    change.at_us = TIMESTAMP_MAX_US;
    assert_round_trip(&change);
    change.seq = 1;
    change.version = 1;
    change.at_us = TIMESTAMP_MIN_US;
    assert_round_trip(&change);
}

/* What write says of change; the buffer must be as it was. */
static void assert_not_written(const struct change *change, enum err_code code, const char *message)
{
    AUTO(buf_done) struct buf record = BUF_INIT(2 * CHANGE_RECORD_MAX);

    OK(buf_add_c(&record, "before", &err));
    REFUSED(change_write_record(change, &record, &err), code, message);
    assert_string_equal(record.data, "before");
    assert_int_equal(record.len, 6);
}

static void writing_refuses_numbers_past_their_limits(void **state)
{
    (void)state;
    struct change change = sample();

    change.seq = 0;
    assert_not_written(&change, ERR_INVALID, "seq is 0; 1 to 9,007,199,254,740,991 are allowed");
    change.seq = VERSION_MAX + 1;
    assert_not_written(&change, ERR_INVALID, "seq is 9,007,199,254,740,992");
    change = sample();
    change.version = 0;
    assert_not_written(&change, ERR_INVALID, "version is 0");
    change = sample();
    change.at_us = TIMESTAMP_MAX_US + 1;
    assert_not_written(&change, ERR_INVALID, "at is");
    change.at_us = TIMESTAMP_MIN_US - 1;
    assert_not_written(&change, ERR_INVALID, "at is");
}

static void writing_refuses_what_reading_would(void **state)
{
    (void)state;
    struct change change = sample();

    set_text(change.id, sizeof(change.id), "not-a-uuid");
    assert_not_written(&change, ERR_INVALID, "id: ");
    set_text(change.id, sizeof(change.id), "0190F7A2-5C1E-7ABC-8DEF-0123456789AB");
    assert_not_written(&change, ERR_INVALID, "id is not in lower case");
    change.kind = KIND_PROJECT;
    change.id[0] = '\0';
    assert_not_written(&change, ERR_INVALID, "id is empty");
    change = sample();
    change.source[0] = '\0';
    assert_not_written(&change, ERR_INVALID, "source is empty; 1 to 128 bytes are allowed");
    set_text(change.source, sizeof(change.source), "a\nb");
    assert_not_written(&change, ERR_INVALID, "source holds the control character U+000A");
    change = sample();
    memset(change.source, 's', sizeof(change.source));
    assert_not_written(&change, ERR_LIMIT, "source has 129 bytes; at most 128 are allowed");
    change = sample();
    set_text(change.project_id, sizeof(change.project_id), "\xff");
    assert_not_written(&change, ERR_INVALID, "project_id: ");
    change = sample();
    change.kind = CHANGE_KINDS;
    assert_not_written(&change, ERR_INVALID, "kind 6");
    change = sample();
    change.op = CHANGE_OPS;
    assert_not_written(&change, ERR_INVALID, "op 4");
}

static void writing_refuses_a_body_that_is_no_object(void **state)
{
    (void)state;
    static const char *const bodies[] = {"", "[]", "null", "{", "{]", "{\"a\":\"}", "{}{}", "{\n}"};
    struct change change = sample();

    for (size_t i = 0; i < COUNT(bodies); i++) {
        change.body = str_of(bodies[i]);
        assert_not_written(&change, ERR_INVALID, "body: byte ");
    }
}

/* A change whose record has exactly len bytes. */
static struct change of_record_length(size_t len, char **ret_body)
{
    struct change change = sample();
    size_t around = sizeof(RECORD) - 1 - change.body.len;
    char *body = sample_repeat("x", len - around);

    memcpy(body, "{\"a\":\"", 6);
    memcpy(body + len - around - 2, "\"}", 2);
    change.body = str_of(body);
    *ret_body = body;
    return change;
}

static void a_record_may_have_its_limit_and_no_byte_more(void **state)
{
    (void)state;
    AUTO(free_ptr) char *largest_body = NULL;
    struct change largest = of_record_length(CHANGE_RECORD_MAX, &largest_body);
    AUTO(free_ptr) char *larger_body = NULL;
    struct change larger = of_record_length(CHANGE_RECORD_MAX + 1, &larger_body);
    AUTO(buf_done) struct buf record = BUF_INIT(2 * CHANGE_RECORD_MAX);
    struct change back;

    assert_round_trip(&largest);
    assert_not_written(&larger, ERR_LIMIT, "the change has 1,048,577 bytes");
    OK(change_write_record(&largest, &record, &err));
    OK(buf_add_c(&record, " ", &err));
    REFUSED(change_read_record(buf_str(&record), &back, &err), ERR_CORRUPT, "1,048,577 bytes");
}

/* ---- what reading refuses ---- */

/* RECORD with the first `old` in it replaced. */
static void with(const char *old, const char *new, struct buf *ret)
{
    const char *at = strstr(RECORD, old);

    assert_non_null(at);
    buf_reset(ret);
    OK(buf_add(ret, RECORD, (size_t)(at - RECORD), &err));
    OK(buf_add_c(ret, new, &err));
    OK(buf_add_c(ret, at + strlen(old), &err));
}

static void reading_refuses_whatever_is_not_the_canonical_form(void **state)
{
    (void)state;
    static const struct {
        const char *old;
        const char *new;
        const char *message;
    } cases[] = {
        {"{\"at\"", " {\"at\"", "byte 0: expected {\"at\":"},
        {"{\"at\":", "{\"at\": ", "byte 6: expected a time"},
        {SAMPLE_TIME, "2026-11-22T18:18:43.00001Z", "expected a time"},
        {SAMPLE_TIME, "2026-11-22T18:18:60.000001Z", "expected a time"},
        {SAMPLE_TIME, "2026-11-22t18:18:43.000001Z", "expected a time"},
        {SAMPLE_TIME, "2026-11-22T18:18:43.000001z", "expected a time"},
        {SAMPLE_TIME, "2026-02-30T18:18:43.000001Z", "expected a time"},
        {SAMPLE_TIME, "2026-11-22T18:18:43.1+01:00", "expected a time"},
        {"{\"content\":\"x\"}", "[]", "byte 43: the body is not an object"},
        {"{\"content\":\"x\"}", "7", "the body is not an object"},
        {"{\"content\":\"x\"}", "", "expected a value"},
        {"{\"content\":\"x\"}", "{\"content\":\"x\"]", "a bracket that closes another kind"},
        {"{\"content\":\"x\"}", "{\"content\":\"x\n\"}", "a control character"},
        {"\"body\"", "\"bodies\"", "expected ,\"body\":"},
        {"\"" SAMPLE_ID "\"", "7", "expected a string"},
        {SAMPLE_ID, "0190F7A2-5C1E-7ABC-8DEF-0123456789AB", "id is not in lower case"},
        {SAMPLE_ID, "0190f7a2", "id: "},
        {"\"memory\"", "\"dream\"", "an unknown kind or op"},
        {"\"memory\"", "7", "expected a string"},
        {"\"put\"", "\"erase\"", "an unknown kind or op"},
        {SAMPLE_ORIGIN, "0190F7a2-5c1e-7abc-8def-00000000beef", "expected a UUID in lower case"},
        {SAMPLE_ORIGIN, "0190f7a2-5c1e-7abc-8def-00000000bee", "expected a UUID"},
        {"\"holdfast\"", "null", "expected a string"},
        {"holdfast", "hold\\u0066ast", "an escape that canonical JSON does not use"},
        {"holdfast", "hold\\/fast", "an escape that canonical JSON does not use"},
        {"holdfast", "hold\\u0000", "an escape that canonical JSON does not use"},
        {"holdfast", "hold\\u001", "an escape that canonical JSON does not use"},
        {"holdfast", "hold\\u0007", "project_id holds the control character U+0007"},
        {"holdfast", "hold\\u000a", "an escape that canonical JSON does not use"},
        {"holdfast", "hold\\u001F", "an escape that canonical JSON does not use"},
        {"holdfast", "hold\xff", "project_id: "},
        {"\"seq\":7", "\"seq\":0", "seq is 0"},
        {"\"seq\":7", "\"seq\":07", "expected a whole number"},
        {"\"seq\":7", "\"seq\":-7", "expected a whole number"},
        {"\"seq\":7", "\"seq\":7.0", "expected ,\"session_id\":"},
        {"\"seq\":7", "\"seq\":9007199254740992", "a number that is too large"},
        {"\"seq\":7", "\"seq\":99999999999999999999999", "a number that is too large"},
        {"\"seq\":7", "\"seq\":\"7\"", "expected a whole number"},
        {"\"" SAMPLE_SESSION "\"", "\"\"", "expected a UUID"},
        {SAMPLE_SESSION, "00000000-0000-0000-0000-000000000000", "nil UUID"},
        {"\"cli\"", "\"\"", "source is empty"},
        {",\"source\":\"cli\"", "", "expected ,\"source\":"},
        {"\"version\":3", "\"version\":0", "version is 0"},
        {"\"version\":3}", "\"version\":3", "expected }"},
        {"\"version\":3}", "\"version\":3} ", "something follows the end"},
        {"\"version\":3}", "\"version\":3,\"x\":1}", "expected }"},
    };
    AUTO(buf_done) struct buf record = BUF_INIT(CHANGE_RECORD_MAX);
    struct change change = {.seq = 99};

    for (size_t i = 0; i < COUNT(cases); i++) {
        with(cases[i].old, cases[i].new, &record);
        REFUSED(change_read_record(buf_str(&record), &change, &err), ERR_CORRUPT, cases[i].message);
        assert_int_equal(change.seq, 99); /* written only on success */
    }
}

static void texts_of_a_record_end_at_their_limits(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf record = BUF_INIT(CHANGE_RECORD_MAX);
    AUTO(free_ptr) char *project = sample_repeat("p", PROJECT_ID_MAX_BYTES + 1);
    AUTO(free_ptr) char *source = sample_repeat("s", SOURCE_MAX_BYTES + 1);
    AUTO(free_ptr) char *huge = sample_repeat("\\u0001", 2 * PROJECT_ID_MAX_BYTES);
    struct change change;

    with("holdfast", project, &record);
    REFUSED(change_read_record(buf_str(&record), &change, &err), ERR_CORRUPT, "too long");
    with("cli", source, &record);
    REFUSED(change_read_record(buf_str(&record), &change, &err), ERR_CORRUPT, "too long");
    with("holdfast", huge, &record);
    REFUSED(change_read_record(buf_str(&record), &change, &err), ERR_CORRUPT, "too long");
    with("holdfast", project + 1, &record);
    OK(change_read_record(buf_str(&record), &change, &err));
    with("cli", source + 1, &record);
    OK(change_read_record(buf_str(&record), &change, &err));
}

static void a_body_nests_to_the_limit_and_no_deeper(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf record = BUF_INIT(CHANGE_RECORD_MAX);
    AUTO(buf_done) struct buf body = BUF_INIT(CHANGE_RECORD_MAX);
    AUTO(free_ptr) char *open = sample_repeat("[", JSON_DEPTH_MAX - 1);
    AUTO(free_ptr) char *close = sample_repeat("]", JSON_DEPTH_MAX - 1);
    struct change change;

    OK(buf_printf(&body, &err, "{\"a\":%s%s}", open, close));
    with("{\"content\":\"x\"}", body.data, &record);
    REFUSED(change_read_record(buf_str(&record), &change, &err), ERR_CORRUPT, "nested too deeply");
    buf_reset(&body);
    OK(buf_printf(&body, &err, "{\"a\":%s%s}", open + 1, close + 1));
    with("{\"content\":\"x\"}", body.data, &record);
    OK(change_read_record(buf_str(&record), &change, &err));
    AUTO(json_unref) json_t *tree = NULL;
    OK(json_parse(change.record, &tree, &err)); /* whoever reads the line as JSON can */
}

static void every_cut_off_record_is_refused(void **state)
{
    (void)state;
    struct change change;

    for (size_t len = 0; len < sizeof(RECORD) - 1; len++) {
        AUTO(free_ptr)
        char *cut = xmalloc(len); /* exact, so that a sanitizer sees a read past it */
        memcpy(cut, RECORD, len);
        REFUSED(change_read_record((struct str){cut, len}, &change, &err), ERR_CORRUPT, "");
    }
}

/* ---- lines ---- */

static void a_line_is_the_record_with_prev_and_hash(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf line = BUF_INIT(CHANGE_LINE_MAX);
    struct sha256 zero = {{0}};
    struct sha256 hash = change_hash(&zero, STR(RECORD));
    AUTO(free_ptr) char *zeros = sample_repeat("0", 64);
    AUTO(free_ptr)
    char *expected = xprintf("%.*s,\"prev\":\"%s\",\"hash\":\"%s\"}\n", (int)sizeof(RECORD) - 2,
                             RECORD, zeros, RECORD_HASH);

    OK(change_write_line(STR(RECORD), &zero, &hash, &line, &err));
    assert_string_equal(line.data, expected);
    assert_int_equal(line.len, sizeof(RECORD) - 1 + CHANGE_LINE_SUFFIX_LEN);
}

static void a_line_reads_back_with_equal_fields(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf line = BUF_INIT(CHANGE_LINE_MAX);
    AUTO(buf_done) struct buf record = BUF_INIT(CHANGE_RECORD_MAX);
    struct change expected = sample();
    struct change change;

    OK(buf_add_c(&record, "left from the last line", &err));
    sample_line(&line);
    OK(change_read_line((struct str){line.data, line.len - 1}, &record, &change, &err));
    assert_same_fields(&change, &expected);
    assert_string_equal(record.data, RECORD);
    assert_true(change.record.ptr == record.data);
    assert_int_equal(change.prev.bytes[31], 0xab);
    struct sha256 hash = change_hash(&change.prev, STR(RECORD));
    assert_true(sha256_eq(&hash, &change.hash));
}

static void a_line_with_any_byte_altered_is_refused(void **state)
{
    (void)state;
    static const unsigned char flips[] = {0x01, 0x02, 0x10, 0x20, 0x80, 0xff};
    AUTO(buf_done) struct buf line = BUF_INIT(CHANGE_LINE_MAX);
    AUTO(buf_done) struct buf record = BUF_INIT(CHANGE_RECORD_MAX);
    struct change change;

    sample_line(&line);
    for (size_t i = 0; i + 1 < line.len; i++) {
        for (size_t j = 0; j < sizeof(flips); j++) {
            line.data[i] = (char)(line.data[i] ^ (char)flips[j]);
            REFUSED(change_read_line((struct str){line.data, line.len - 1}, &record, &change, &err),
                    ERR_CORRUPT, "");
            line.data[i] = (char)(line.data[i] ^ (char)flips[j]);
        }
    }
    OK(change_read_line((struct str){line.data, line.len - 1}, &record, &change, &err));
}

static void every_cut_off_line_is_refused(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf line = BUF_INIT(CHANGE_LINE_MAX);
    AUTO(buf_done) struct buf record = BUF_INIT(CHANGE_RECORD_MAX);
    struct change change;

    sample_line(&line);
    for (size_t len = 0; len + 1 < line.len; len++) {
        REFUSED(change_read_line((struct str){line.data, len}, &record, &change, &err), ERR_CORRUPT,
                "");
    }
}

static void a_line_with_its_newline_is_refused(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf line = BUF_INIT(CHANGE_LINE_MAX);
    AUTO(buf_done) struct buf record = BUF_INIT(CHANGE_RECORD_MAX);
    struct change change;

    sample_line(&line);
    REFUSED(change_read_line(buf_str(&line), &record, &change, &err), ERR_CORRUPT, "byte ");
}

static void a_record_that_is_wrong_under_a_right_hash_is_refused(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf wrong = BUF_INIT(CHANGE_RECORD_MAX);
    AUTO(buf_done) struct buf line = BUF_INIT(CHANGE_LINE_MAX);
    AUTO(buf_done) struct buf record = BUF_INIT(CHANGE_RECORD_MAX);
    struct sha256 zero = {{0}};
    struct change change;

    with("\"seq\":7", "\"seq\":0", &wrong);
    struct sha256 hash = change_hash(&zero, buf_str(&wrong));
    OK(change_write_line(buf_str(&wrong), &zero, &hash, &line, &err));
    REFUSED(change_read_line((struct str){line.data, line.len - 1}, &record, &change, &err),
            ERR_CORRUPT, "seq is 0");
}

static void the_longest_line_reads_back_and_a_longer_one_is_refused(void **state)
{
    (void)state;
    AUTO(free_ptr) char *body = NULL;
    struct change largest = of_record_length(CHANGE_RECORD_MAX, &body);
    AUTO(buf_done) struct buf record = BUF_INIT(CHANGE_RECORD_MAX);
    AUTO(buf_done) struct buf line = BUF_INIT(CHANGE_LINE_MAX);
    AUTO(buf_done) struct buf back = BUF_INIT(CHANGE_RECORD_MAX);
    AUTO(free_ptr) char *longer = sample_repeat("x", CHANGE_LINE_MAX + 1);
    struct change change;

    OK(change_write_record(&largest, &record, &err));
    struct sha256 hash = change_hash(&largest.prev, buf_str(&record));
    OK(change_write_line(buf_str(&record), &largest.prev, &hash, &line, &err));
    OK(change_read_line((struct str){line.data, line.len - 1}, &back, &change, &err));
    assert_same_fields(&change, &largest);
    REFUSED(change_read_line(str_of(longer), &back, &change, &err), ERR_CORRUPT, "the line has");
}

/* ---- order ---- */

static void the_higher_version_wins_then_the_later_time_then_the_greater_origin(void **state)
{
    (void)state;
    struct change a = sample();
    struct change b = sample();

    assert_int_equal(change_compare(&a, &b), 0);
    b.origin = sample_uuid("0190f7a2-5c1e-7abc-8def-00000000bef0");
    assert_true(change_compare(&a, &b) < 0 && change_compare(&b, &a) > 0);
    a.at_us++;
    assert_true(change_compare(&a, &b) > 0 && change_compare(&b, &a) < 0);
    b.version++;
    assert_true(change_compare(&a, &b) < 0 && change_compare(&b, &a) > 0);
}

static void the_time_of_a_change_is_its_bodys_updated_at_if_it_has_one(void **state)
{
    (void)state;
    struct change early = sample();
    struct change late = sample();

    early.body = STR("{\"a\":{\"updated_at\":7},\"updated_at\":\"2026-11-22T18:18:43.000000Z\"}");
    late.body = STR("{\"content\":\"x\",\"updated_at\":\"2026-11-22T18:18:43.000002Z\",\"z\":1}");
    early.at_us += 1000; /* arrived later: does not count */
    assert_true(change_compare(&early, &late) < 0 && change_compare(&late, &early) > 0);
    late.body = STR("{}"); /* none: when it was made, which is in between */
    assert_true(change_compare(&early, &late) < 0 && change_compare(&late, &early) > 0);
    late.body = STR("{\"updated_at\":\"yesterday\"}"); /* none that can be read */
    assert_true(change_compare(&early, &late) < 0 && change_compare(&late, &early) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_holds_every_key_in_canonical_order),
        cmocka_unit_test(a_record_is_what_any_canonical_json_writer_makes),
        cmocka_unit_test(the_hash_of_a_record_never_changes),
        cmocka_unit_test(the_hash_depends_on_the_one_before),
        cmocka_unit_test(a_record_reads_back_with_equal_fields),
        cmocka_unit_test(empty_project_and_session_read_back),
        cmocka_unit_test(every_kind_and_op_reads_back),
        cmocka_unit_test(escaped_texts_read_back),
        cmocka_unit_test(a_body_may_hold_anything_that_is_balanced),
        cmocka_unit_test(texts_at_their_limits_read_back),
        cmocka_unit_test(numbers_at_their_limits_read_back),
        cmocka_unit_test(writing_refuses_numbers_past_their_limits),
        cmocka_unit_test(writing_refuses_what_reading_would),
        cmocka_unit_test(writing_refuses_a_body_that_is_no_object),
        cmocka_unit_test(a_record_may_have_its_limit_and_no_byte_more),
        cmocka_unit_test(reading_refuses_whatever_is_not_the_canonical_form),
        cmocka_unit_test(texts_of_a_record_end_at_their_limits),
        cmocka_unit_test(a_body_nests_to_the_limit_and_no_deeper),
        cmocka_unit_test(every_cut_off_record_is_refused),
        cmocka_unit_test(a_line_is_the_record_with_prev_and_hash),
        cmocka_unit_test(a_line_reads_back_with_equal_fields),
        cmocka_unit_test(a_line_with_any_byte_altered_is_refused),
        cmocka_unit_test(every_cut_off_line_is_refused),
        cmocka_unit_test(a_line_with_its_newline_is_refused),
        cmocka_unit_test(a_record_that_is_wrong_under_a_right_hash_is_refused),
        cmocka_unit_test(the_longest_line_reads_back_and_a_longer_one_is_refused),
        cmocka_unit_test(the_higher_version_wins_then_the_later_time_then_the_greater_origin),
        cmocka_unit_test(the_time_of_a_change_is_its_bodys_updated_at_if_it_has_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
