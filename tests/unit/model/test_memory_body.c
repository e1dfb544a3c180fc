/* memory - the canonical body of a change: written, read back to the byte, and refused when it is
 * anything else. */
#include "model/samples.h"

#define SMALL                                                                                      \
    "{\"content\":\"x\",\"created_at\":\"" SAMPLE_TIME                                             \
    "\",\"importance\":0.5,\"memory_type\":\"semantic\",\"updated_at\":\"" SAMPLE_TIME "\"}"

#define FULL                                                                                       \
    "{\"content\":\"a\\n\\\"b\\\" caf\xc3\xa9 \\u0001\",\"created_at\":\"" SAMPLE_TIME             \
    "\",\"deleted_at\":\"2026-11-23T00:00:00.000000Z\",\"importance\":0.123456789,"                \
    "\"memory_type\":\"strategic\",\"metadata\":{\"a\":{\"}\":\"{\\\"\"},\"b\":[1,1.5,null]},"     \
    "\"references\":[{\"context\":\"see\",\"id\":\"" SAMPLE_ID "\"},{\"id\":\"" SAMPLE_ORIGIN      \
    "\"}],\"scope\":\"project\",\"tags\":[\"b\",\"a \\\"q\\\"\"],\"task\":{\"id\":\"T-1\","        \
    "\"source\":\"archon\",\"status\":\"done\",\"title\":\"Format\"},\"updated_at\":"              \
    "\"" SAMPLE_TIME "\"}"

/* Read body, write it again, and compare every byte. */
static void assert_round_trip(const char *body)
{
    AUTO(memory_done) struct memory memory;
    AUTO(buf_done) struct buf again = BUF_INIT(CHANGE_RECORD_MAX);

    OK(memory_read_body(str_of(body), &memory, &err));
    OK(memory_write_body(&memory, &again, &err));
    assert_string_equal(again.data, body);
}

static void bodies_read_and_written_are_the_same_to_the_byte(void **state)
{
    (void)state;

    assert_round_trip(SMALL);
    assert_round_trip(FULL);
}

static void a_full_body_is_read_field_by_field(void **state)
{
    (void)state;
    AUTO(memory_done) struct memory memory;

    OK(memory_read_body(STR(FULL), &memory, &err));
    assert_string_equal(memory.content, "a\n\"b\" caf\xc3\xa9 \x01");
    assert_int_equal(memory.content_len, strlen(memory.content));
    assert_int_equal(memory.created_us, SAMPLE_US);
    assert_int_equal(memory.updated_us, SAMPLE_US);
    assert_int_equal(memory.deleted_us, 1795392000000000LL);
    assert_true(memory.importance >= 0.123456789 && memory.importance <= 0.123456789);
    assert_int_equal(memory.type, MEMORY_STRATEGIC);
    assert_int_equal(memory.scope, SCOPE_PROJECT);
    assert_int_equal(memory.tag_count, 2);
    assert_string_equal(memory.tags[1], "a \"q\"");
    assert_int_equal(json_array_size(memory.references), 2);
    assert_int_equal(json_object_size(metadata_tree(memory.metadata)), 2);
    assert_string_equal(json_string_value(json_object_get(memory.task, "status")), "done");
}

static void a_body_leaves_what_the_envelope_says_as_it_was(void **state)
{
    (void)state;
    AUTO(memory_done) struct memory memory;

    OK(memory_read_body(STR(SMALL), &memory, &err));
    assert_true(uuid_is_nil(&memory.id) && uuid_is_nil(&memory.session_id));
    assert_null(memory.project_id);
    assert_int_equal(memory.version, 0);
    assert_int_equal(memory.deleted_us, TIME_NONE);
}

static void a_body_is_what_any_canonical_json_writer_makes(void **state)
{
    (void)state;
    AUTO(json_unref) json_t *tree = sample_json(FULL);
    AUTO(buf_done) struct buf canonical = BUF_INIT(CHANGE_RECORD_MAX);

    OK(json_canonical(tree, &canonical, &err));
    assert_string_equal(canonical.data, FULL);
}

static void memories_come_back_from_their_body_the_same(void **state)
{
    (void)state;
    AUTO(json_unref)
    json_t *object =
        sample_json("{\"content\":\"x\\ty\",\"importance\":0.3,\"tags\":[\"t\"],"
                    "\"metadata\":{\"z\":1,\"a\":2},\"task\":{\"title\":\"b\",\"id\":\"1\"},"
                    "\"references\":[{\"id\":\"" SAMPLE_ID "\",\"context\":\"\"}],"
                    "\"created_at\":\"2026-01-01T00:00:00+02:00\","
                    "\"updated_at\":\"2026-01-02T00:00:00Z\"}");
    AUTO(memory_done) struct memory memory;
    AUTO(memory_done) struct memory back;
    AUTO(buf_done) struct buf body = BUF_INIT(CHANGE_RECORD_MAX);

    OK(memory_from_json(object, &memory, &err));
    OK(memory_write_body(&memory, &body, &err));
    OK(memory_read_body(buf_str(&body), &back, &err));
    assert_true(memory_same(&memory, &back));
    assert_int_equal(back.created_us, memory.created_us);
}

/* The body with this importance, as text. */
static void assert_importance(double importance, const char *expected)
{
    AUTO(memory_done) struct memory memory;
    AUTO(memory_done) struct memory back;
    AUTO(buf_done) struct buf body = BUF_INIT(CHANGE_RECORD_MAX);
    AUTO(free_ptr) char *text = xprintf("\"importance\":%s,\"memory_type\"", expected);

    OK(memory_read_body(STR(SMALL), &memory, &err));
    memory.importance = importance;
    OK(memory_write_body(&memory, &body, &err));
    if (strstr(body.data, text) == NULL) {
        fail_msg("%.17g is written as %s", importance, body.data);
    }
    OK(memory_read_body(buf_str(&body), &back, &err));
    assert_memory_equal(&back.importance, &importance, sizeof(importance)); /* to the bit */
}

static void importance_keeps_every_bit(void **state)
{
    (void)state;

    assert_importance(0, "0");
    assert_importance(1, "1");
    assert_importance(0.5, "0.5");
    assert_importance(0.1, "0.1");
    assert_importance(0.999999, "0.999999");
    assert_importance(0.000001, "0.000001");
    assert_importance(1e-7, "1e-7");
    assert_importance(0.1 + 0.2, "0.30000000000000004");
    assert_importance(1.0 / 3, "0.3333333333333333");
    assert_importance(0.9999999999999999, "0.9999999999999999");
    assert_importance(0.1234567, "0.1234567");
    assert_importance(0.123456789012345, "0.123456789012345");
    assert_importance(5e-324, "5e-324");
}

static void any_importance_reads_back_to_the_bit(void **state)
{
    (void)state;
    AUTO(memory_done) struct memory memory;
    AUTO(buf_done) struct buf body = BUF_INIT(CHANGE_RECORD_MAX);
    AUTO(buf_done) struct buf number = BUF_INIT(64);
    uint64_t seed = 42;

    OK(memory_read_body(STR(SMALL), &memory, &err));
    for (int i = 0; i < 20000; i++) {
        seed = seed * 6364136223846793005U + 1442695040888963407U;
        uint64_t scale = i % 3 == 0 ? 1000 : i % 3 == 1 ? 1000000 : (uint64_t)1 << 53;
        memory.importance = (double)((seed >> 11) % (scale + 1)) / (double)scale;
        buf_reset(&body);
        buf_reset(&number);
        OK(memory_write_body(&memory, &body, &err));
        OK(json_canonical_number(memory.importance, &number, &err));
        assert_non_null(strstr(body.data, number.data));
        AUTO(memory_done) struct memory back;
        OK(memory_read_body(buf_str(&body), &back, &err));
        assert_memory_equal(&back.importance, &memory.importance, sizeof(double));
    }
}

static void writing_beyond_the_cap_leaves_the_buffer_as_it_was(void **state)
{
    (void)state;
    AUTO(memory_done) struct memory memory;

    OK(memory_read_body(STR(FULL), &memory, &err));
    for (size_t max = 3; max < sizeof(FULL) - 1; max++) {
        AUTO(buf_done) struct buf body = BUF_INIT(max);
        OK(buf_add_c(&body, "abc", &err));
        REFUSED(memory_write_body(&memory, &body, &err), ERR_LIMIT, "limit");
        assert_string_equal(body.data, "abc");
    }
}

/* ---- what reading refuses ---- */

/* body with the first `old` in it replaced. */
static void with(const char *body, const char *old, const char *new, struct buf *ret)
{
    const char *at = strstr(body, old);

    assert_non_null(at);
    buf_reset(ret);
    OK(buf_add(ret, body, (size_t)(at - body), &err));
    OK(buf_add_c(ret, new, &err));
    OK(buf_add_c(ret, at + strlen(old), &err));
}

static void whatever_is_no_body_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *old;
        const char *new;
        const char *message;
    } cases[] = {
        {"{\"content\"", "[\"content\"", "byte 0: expected {"},
        {"{\"content\"", "{ \"content\"", "byte 1: expected a string"},
        {"\"scope\":\"project\"", "\"shape\":1", "shape is not a field of a memory's body"},
        {"\"scope\":\"project\"", "\"scope\":\"secret\"", "scope: scope is \"secret\""},
        {"\"scope\":\"project\",", "\"scope\":\"project\",\"scope\":\"project\",", "out of order"},
        {"\"scope\":\"project\"", "\"content\":\"x\"", "content is out of order"},
        {"\"created_at\":\"" SAMPLE_TIME "\",", "",
         "deleted_at is out of order, or a field before"},
        {",\"updated_at\":\"" SAMPLE_TIME "\"", "", "updated_at is missing"},
        {",\"updated_at\":\"" SAMPLE_TIME "\"", ",\"updated_at\":null", "updated_at: byte "},
        {"0.123456789", "1.5", "importance: byte "},
        {"0.123456789", "-0.5", "importance: byte "},
        {"0.123456789", "0.x", "importance: byte "},
        {"0.123456789", "\"1\"", "importance: byte "},
        {"0.123456789", "", "importance: byte "},
        {"0.123456789", "nan", "importance: byte "},
        {"\"strategic\"", "\"dream\"", "memory_type: memory_type is \"dream\""},
        {"\"strategic\"", "null", "memory_type: byte "},
        {"\"content\":\"a", "\"content\":\"\xff", "a byte that can't start a character"},
        {"\"content\":\"a", "\"content\":\"\\u0000", "content: byte "},
        {"\"content\":\"a", "\"content\":\"\n", "a control character"},
        {"\"content\":", "\"content\" :", "expected :"},
        {"[\"b\",\"a \\\"q\\\"\"]", "[]", "tags: byte "},
        {"[\"b\",", "[\"b\",,", "tags: byte "},
        {"[\"b\",", "[\"\",", "tags: tags[0] is empty"},
        {"[\"b\",", "[\"\\u0001\",", "tags: tags[0] holds the control character"},
        {"\"metadata\":{", "\"metadata\":[", "metadata: byte "},
        {"1.5,null]", "1.5,nul]", "metadata: "},
        {"\"T-1\"", "7", "task: task: id is a number"},
        {SAMPLE_ID, "7", "references: references[0]: id: \"7\" is not a UUID"},
        {"\"references\":[", "\"references\":7,\"x\":[", "references: references is a number"},
    };
    AUTO(buf_done) struct buf body = BUF_INIT(CHANGE_RECORD_MAX);
    struct memory memory = {.version = 99};

    for (size_t i = 0; i < COUNT(cases); i++) {
        with(FULL, cases[i].old, cases[i].new, &body);
        REFUSED(memory_read_body(buf_str(&body), &memory, &err), ERR_CORRUPT, cases[i].message);
        assert_int_equal(memory.version, 99); /* written only on success */
    }
}

static void something_behind_the_body_is_refused(void **state)
{
    (void)state;
    struct memory memory;

    REFUSED(memory_read_body(STR(SMALL "x"), &memory, &err), ERR_CORRUPT,
            "something follows the end");
    REFUSED(memory_read_body(STR(SMALL "\n"), &memory, &err), ERR_CORRUPT, "a control character");
}

static void every_cut_off_body_is_refused(void **state)
{
    (void)state;
    struct memory memory;

    for (size_t len = 0; len < sizeof(FULL) - 1; len++) {
        AUTO(free_ptr)
        char *cut = xmalloc(len); /* exact, so that a sanitizer sees a read past it */
        memcpy(cut, FULL, len);
        REFUSED(memory_read_body((struct str){cut, len}, &memory, &err), ERR_CORRUPT, "");
    }
}

static void limits_hold_for_bodies_too(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf body = BUF_INIT(CHANGE_RECORD_MAX);
    AUTO(free_ptr) char *content = sample_repeat("x", MEMORY_CONTENT_MAX + 1);
    AUTO(free_ptr) char *quoted = xprintf("\"content\":\"%s\"", content);
    AUTO(free_ptr) char *tag = sample_repeat("t", MEMORY_TAG_MAX_BYTES + 1);
    AUTO(free_ptr) char *one_tag = xprintf("[\"%s\"]", tag);
    AUTO(free_ptr) char *tags = sample_repeat("\"t\",", MEMORY_TAGS_MAX + 1);
    AUTO(free_ptr) char *many_tags = xprintf("[%.*s]", (int)strlen(tags) - 1, tags);
    struct memory memory;

    with(SMALL, "\"content\":\"x\"", quoted, &body);
    REFUSED(memory_read_body(buf_str(&body), &memory, &err), ERR_CORRUPT, "content has 50,001");
    with(FULL, "[\"b\",\"a \\\"q\\\"\"]", one_tag, &body);
    REFUSED(memory_read_body(buf_str(&body), &memory, &err), ERR_CORRUPT, "tags[0] has 129 bytes");
    with(FULL, "[\"b\",\"a \\\"q\\\"\"]", many_tags, &body);
    REFUSED(memory_read_body(buf_str(&body), &memory, &err), ERR_CORRUPT, "more or longer tags");
}

/* ---- the largest memory ---- */

static json_t *largest_references(void)
{
    AUTO(free_ptr) char *context = sample_repeat("\n", MEMORY_REFERENCE_CONTEXT_MAX_BYTES);
    json_t *references = json_array();

    for (size_t i = 0; i < MEMORY_REFERENCES_MAX; i++) {
        json_t *reference = json_pack("{ssss}", "id", SAMPLE_ID, "context", context);
        assert_int_equal(json_array_append_new(references, reference), 0);
    }
    return references;
}

static json_t *largest_tags(void)
{
    AUTO(free_ptr) char *tag = sample_repeat("\"", MEMORY_TAG_MAX_BYTES);
    json_t *tags = json_array();

    for (int i = 0; i < MEMORY_TAGS_MAX; i++) {
        tag[i] = 'x'; /* no two alike */
        assert_int_equal(json_array_append_new(tags, json_string(tag)), 0);
        tag[i] = '"';
    }
    return tags;
}

/* At every limit, of the characters that take the most bytes in JSON. */
static json_t *largest_memory(void)
{
    AUTO(free_ptr) char *content = sample_repeat("\x01", MEMORY_CONTENT_MAX);
    AUTO(free_ptr) char *text = sample_repeat("\n", TASK_TEXT_MAX_BYTES);
    AUTO(free_ptr) char *value = sample_repeat("x", MEMORY_METADATA_MAX_BYTES - 8);
    json_t *object = json_pack("{sssoso}", "content", content, "references", largest_references(),
                               "tags", largest_tags());

    assert_int_equal(json_object_set_new(object, "scope", json_string("project")), 0);
    assert_int_equal(json_object_set_new(object, "importance", json_real(0.30000000000000004)), 0);
    assert_int_equal(json_object_set_new(object, "metadata", json_pack("{ss}", "a", value)), 0);
    assert_int_equal(json_object_set_new(object, "task",
                                         json_pack("{ssssssss}", "id", text, "title", text,
                                                   "status", text, "source", text)),
                     0);
    assert_int_equal(json_object_set_new(object, "created_at", json_string(SAMPLE_TIME)), 0);
    assert_int_equal(json_object_set_new(object, "updated_at", json_string(SAMPLE_TIME)), 0);
    assert_int_equal(json_object_set_new(object, "deleted_at", json_string(SAMPLE_TIME)), 0);
    return object;
}

static void the_largest_memory_fits_into_a_record(void **state)
{
    (void)state;
    AUTO(json_unref) json_t *object = largest_memory();
    AUTO(memory_done) struct memory memory;
    AUTO(memory_done) struct memory back;
    AUTO(buf_done) struct buf body = BUF_INIT(CHANGE_RECORD_MAX);
    AUTO(buf_done) struct buf record = BUF_INIT(CHANGE_RECORD_MAX);
    struct change change = {.seq = VERSION_MAX, .version = VERSION_MAX, .id = SAMPLE_ID};

    memset(change.project_id, '"', PROJECT_ID_MAX_BYTES);
    memset(change.source, '"', SOURCE_MAX_BYTES);
    change.session_id = sample_uuid(SAMPLE_SESSION);
    OK(memory_from_json(object, &memory, &err));
    assert_int_equal(memory.tag_count, MEMORY_TAGS_MAX);
    OK(memory_write_body(&memory, &body, &err));
    change.body = buf_str(&body);
    OK(change_write_record(&change, &record, &err));
    OK(memory_read_body(change.body, &back, &err));
    assert_true(memory_same(&memory, &back));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_read_and_written_are_the_same_to_the_byte),
        cmocka_unit_test(a_full_body_is_read_field_by_field),
        cmocka_unit_test(a_body_leaves_what_the_envelope_says_as_it_was),
        cmocka_unit_test(a_body_is_what_any_canonical_json_writer_makes),
        cmocka_unit_test(memories_come_back_from_their_body_the_same),
        cmocka_unit_test(importance_keeps_every_bit),
        cmocka_unit_test(any_importance_reads_back_to_the_bit),
        cmocka_unit_test(writing_beyond_the_cap_leaves_the_buffer_as_it_was),
        cmocka_unit_test(whatever_is_no_body_is_refused),
        cmocka_unit_test(something_behind_the_body_is_refused),
        cmocka_unit_test(every_cut_off_body_is_refused),
        cmocka_unit_test(limits_hold_for_bodies_too),
        cmocka_unit_test(the_largest_memory_fits_into_a_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
