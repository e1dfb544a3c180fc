/* memory - the object that users send and see: defaults, every rule and limit with its message. */
#include "model/samples.h"

/* Every field, in the order that a dump with sorted keys has. */
#define FULL                                                                                       \
    "{\"content\":\"Use tabs\",\"created_at\":\"" SAMPLE_TIME                                      \
    "\",\"deleted_at\":\"2026-11-23T00:00:00.000000Z\",\"id\":\"" SAMPLE_ID                        \
    "\",\"importance\":0.75,\"memory_type\":\"procedural\",\"metadata\":{\"a\":[1,2]},"            \
    "\"project_id\":\"holdfast\",\"references\":[{\"context\":\"see\",\"id\":\"" SAMPLE_ORIGIN     \
    "\"}],\"scope\":\"project\",\"session_id\":\"" SAMPLE_SESSION                                  \
    "\",\"sync_version\":3,\"tags\":[\"b\",\"a\"],\"task\":{\"id\":\"T-1\",\"source\":\"archon\"," \
    "\"status\":\"done\",\"title\":\"Format\"},\"updated_at\":\"" SAMPLE_TIME "\"}"

static void read_text(const char *text, struct memory *ret)
{
    AUTO(json_unref) json_t *object = sample_json(text);

    OK(memory_from_json(object, ret, &err));
}

static void assert_object_refused(const json_t *object, enum err_code code, const char *message)
{
    struct memory memory = {.version = 99};

    REFUSED(memory_from_json(object, &memory, &err), code, message);
    assert_int_equal(memory.version, 99); /* written only on success */
}

/* What is said of a memory with the one field more, given as JSON. */
static void assert_field_refused(const char *field, const char *value, enum err_code code,
                                 const char *message)
{
    AUTO(free_ptr) char *text = xprintf("{\"content\":\"x\",\"%s\":%s}", field, value);
    AUTO(json_unref) json_t *object = sample_json(text);

    assert_object_refused(object, code, message);
}

static void assert_field_accepted(const char *field, const char *value)
{
    AUTO(free_ptr) char *text = xprintf("{\"content\":\"x\",\"%s\":%s}", field, value);
    AUTO(memory_done) struct memory memory;

    read_text(text, &memory);
}

static void content_alone_is_a_draft_with_defaults(void **state)
{
    (void)state;
    AUTO(memory_done) struct memory memory;

    read_text("{\"content\":\"x\"}", &memory);
    assert_string_equal(memory.content, "x");
    assert_int_equal(memory.content_len, 1);
    assert_int_equal(memory.type, MEMORY_SEMANTIC);
    assert_true(memory.importance >= 0.5 && memory.importance <= 0.5);
    assert_int_equal(memory.scope, SCOPE_SHARED);
    assert_true(uuid_is_nil(&memory.id) && uuid_is_nil(&memory.session_id));
    assert_null(memory.project_id);
    assert_int_equal(memory.tag_count, 0);
    assert_true(memory.task == NULL && memory.references == NULL && memory.metadata == NULL);
    assert_int_equal(memory.version, 0);
    assert_true(memory.created_us == TIME_NONE && memory.updated_us == TIME_NONE &&
                memory.deleted_us == TIME_NONE);
}

static void every_field_is_read(void **state)
{
    (void)state;
    AUTO(memory_done) struct memory memory;

    read_text(FULL, &memory);
    assert_string_equal(memory.content, "Use tabs");
    assert_int_equal(memory.type, MEMORY_PROCEDURAL);
    assert_true(memory.importance >= 0.75 && memory.importance <= 0.75);
    assert_int_equal(memory.scope, SCOPE_PROJECT);
    struct uuid id = sample_uuid(SAMPLE_ID);
    struct uuid session = sample_uuid(SAMPLE_SESSION);
    assert_true(uuid_eq(&memory.id, &id) && uuid_eq(&memory.session_id, &session));
    assert_string_equal(memory.project_id, "holdfast");
    assert_int_equal(memory.tag_count, 2);
    assert_string_equal(memory.tags[0], "b");
    assert_string_equal(memory.tags[1], "a");
    assert_string_equal(json_string_value(json_object_get(memory.task, "title")), "Format");
    assert_int_equal(json_array_size(memory.references), 1);
    assert_int_equal(json_array_size(json_object_get(metadata_tree(memory.metadata), "a")), 2);
    assert_int_equal(memory.version, 3);
    assert_int_equal(memory.created_us, SAMPLE_US);
    assert_int_equal(memory.updated_us, SAMPLE_US);
    assert_int_equal(memory.deleted_us, 1795392000000000LL);
}

static void an_object_read_and_shown_is_the_same(void **state)
{
    (void)state;
    AUTO(memory_done) struct memory memory;

    read_text(FULL, &memory);
    AUTO(json_unref) json_t *object = memory_to_json(&memory);
    AUTO(free_ptr) char *text = json_dumps(object, JSON_SORT_KEYS | JSON_COMPACT);
    assert_string_equal(text, FULL);
}

static void a_draft_shows_every_field_and_reads_back(void **state)
{
    (void)state;
    AUTO(memory_done) struct memory memory;
    AUTO(memory_done) struct memory back;

    read_text("{\"content\":\"x\"}", &memory);
    AUTO(json_unref) json_t *object = memory_to_json(&memory);
    AUTO(free_ptr) char *text = json_dumps(object, JSON_SORT_KEYS | JSON_COMPACT);
    assert_string_equal(text,
                        "{\"content\":\"x\",\"created_at\":null,\"deleted_at\":null,\"id\":null,"
                        "\"importance\":0.5,\"memory_type\":\"semantic\",\"metadata\":{},"
                        "\"project_id\":null,\"references\":[],\"scope\":\"shared\","
                        "\"session_id\":null,\"sync_version\":null,\"tags\":[],\"task\":null,"
                        "\"updated_at\":null}");
    OK(memory_from_json(object, &back, &err));
    assert_true(memory_same(&memory, &back));
}

static void a_memory_without_anything_can_be_shown(void **state)
{
    (void)state;
    struct memory memory;

    memory_init(&memory);
    AUTO(json_unref) json_t *object = memory_to_json(&memory);
    assert_true(json_is_null(json_object_get(object, "content")));
}

static void null_is_as_if_absent(void **state)
{
    (void)state;
    static const char *const fields[] = {
        "created_at",   "deleted_at", "id",         "importance", "memory_type",
        "metadata",     "project_id", "references", "scope",      "session_id",
        "sync_version", "tags",       "task",       "updated_at",
    };

    for (size_t i = 0; i < COUNT(fields); i++) {
        assert_field_accepted(fields[i], "null");
    }
}

static void fields_that_our_replies_carry_are_ignored(void **state)
{
    (void)state;
    static const char *const fields[] = {"embedding", "score", "snippet",     "sync_status",
                                         "origin",    "seq",   "memory_count"};

    for (size_t i = 0; i < COUNT(fields); i++) {
        assert_field_accepted(fields[i], "{\"any\":[1]}");
    }
}

static void an_unknown_field_is_refused_by_name(void **state)
{
    (void)state;

    assert_field_refused("contnet", "1", ERR_INVALID,
                         "contnet is not a field of a memory; allowed are content, created_at, "
                         "deleted_at, id, importance, memory_type, metadata, project_id, "
                         "references, scope, session_id, sync_version, tags, task, updated_at");
    AUTO(free_ptr) char *long_name = sample_repeat("\xc3\xa9", 1000);
    assert_field_refused(long_name, "1", ERR_INVALID, "\xc3\xa9 is not a field of a memory");
}

static void what_is_no_object_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *message;
    } cases[] = {
        {"[]", "a memory is an array; an object is allowed"},
        {"\"x\"", "a memory is a string"},
        {"null", "a memory is null"},
        {"1.5", "a memory is a number"},
        {"true", "a memory is a boolean"},
        {"{}", "content is missing"},
        {"{\"content\":null}", "content is missing"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO(json_unref) json_t *value = sample_json(cases[i].text);
        assert_object_refused(value, ERR_INVALID, cases[i].message);
    }
}

static void each_broken_rule_has_its_message(void **state)
{
    (void)state;
    static const struct {
        const char *field;
        const char *value;
        const char *message;
    } cases[] = {
        {"importance", "1.01", "importance is 1.01; allowed is 0 to 1"},
        {"importance", "1.0000000000000002", "importance is 1.0000000000000002; allowed"},
        {"importance", "-0.5", "importance is -0.5; allowed is 0 to 1"},
        {"importance", "2", "importance is 2; allowed is 0 to 1"},
        {"importance", "\"1\"", "importance is a string; a number from 0 to 1 is allowed"},
        {"memory_type", "\"dream\"",
         "memory_type is \"dream\"; allowed are episodic, semantic, procedural, strategic"},
        {"memory_type", "\"Semantic\"", "memory_type is \"Semantic\""},
        {"memory_type", "7", "memory_type is a number; a string is allowed"},
        {"scope", "\"private\"", "scope is \"private\"; allowed are shared, project"},
        {"scope", "[]", "scope is an array; a string is allowed"},
        {"id", "\"7\"", "id: \"7\" is not a UUID"},
        {"id", "7", "id is a number; a string is allowed"},
        {"id", "\"00000000-0000-0000-0000-000000000000\"", "id is the nil UUID"},
        {"session_id", "\"s1\"", "session_id: \"s1\" is not a UUID"},
        {"sync_version", "0", "sync_version is 0; 1 to 4,503,599,627,370,496 is allowed"},
        {"sync_version", "-3", "sync_version is -3; 1 to"},
        {"sync_version", "4503599627370497",
         "sync_version is 4503599627370497; 1 to 4,503,599,627,370,496 is allowed"},
        {"sync_version", "1.5", "sync_version is a fraction; a whole number from 1 to"},
        {"sync_version", "\"1\"", "sync_version is a string; a whole number from 1 to"},
        {"created_at", "\"yesterday\"", "created_at: \"yesterday\" is not a time"},
        {"created_at", "1795372723", "created_at is a number; a string is allowed"},
        {"updated_at", "\"2026-13-01T00:00:00Z\"", "updated_at: "},
        {"deleted_at", "\"\"", "deleted_at: "},
        {"project_id", "\"\"", "project_id is empty; 1 to 200 bytes are allowed"},
        {"project_id", "\"a\\nb\"", "project_id holds the control character U+000A; none is"},
        {"project_id", "\"a\\u007fb\"", "project_id holds the control character U+007F"},
        {"project_id", "\"a\\u0085b\"", "project_id holds the control character U+0085"},
        {"project_id", "{}", "project_id is an object; a string is allowed"},
        {"tags", "\"a\"", "tags is a string; an array of strings is allowed"},
        {"tags", "[\"a\",7]", "tags[1] is a number; a string is allowed"},
        {"tags", "[\"a\",\"\"]", "tags[1] is empty; 1 to 128 bytes are allowed"},
        {"tags", "[\"a\\tb\"]", "tags[0] holds the control character U+0009"},
        {"references", "{}", "references is an object; an array is allowed"},
        {"references", "[7]", "references[0]: a reference is a number; an object is allowed"},
        {"references", "[{}]", "references[0]: id is missing"},
        {"references", "[{\"id\":\"7\"}]", "references[0]: id: \"7\" is not a UUID"},
        {"references", "[{\"id\":\"" SAMPLE_ID "\"},{\"id\":\"" SAMPLE_ID "\",\"context\":7}]",
         "references[1]: context is a number; a string is allowed"},
        {"references", "[{\"id\":\"" SAMPLE_ID "\",\"context\":\"\\u0001\"}]",
         "references[0]: context holds the control character U+0001; tab and line ends are"},
        {"references", "[{\"id\":\"" SAMPLE_ID "\",\"note\":\"\"}]",
         "references[0]: note is not a field of a reference; allowed are context, id"},
        {"task", "\"T-1\"", "task: a task is a string; an object is allowed"},
        {"task", "{}", "task: id is missing; a task has id, title, status, source"},
        {"task", "{\"id\":\"\"}", "task: id is empty; 1 to 500 bytes are allowed"},
        {"task", "{\"id\":\"1\",\"title\":7}", "task: title is a number; a string is allowed"},
        {"task", "{\"id\":\"1\",\"owner\":\"\"}", "task: owner is not a field of a task"},
        {"metadata", "[]", "metadata is an array; an object is allowed"},
        {"metadata", "{\"a\":9007199254740992}", "metadata: the integer 9007199254740992"},
        {"content", "7", "content is a number; a string is allowed"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO(json_unref) json_t *object = sample_json("{\"content\":\"x\"}");
        assert_int_equal(json_object_set_new(object, cases[i].field, sample_json(cases[i].value)),
                         0);
        assert_object_refused(object, ERR_INVALID, cases[i].message);
    }
}

static void values_at_the_edge_of_a_rule_are_accepted(void **state)
{
    (void)state;
    static const struct {
        const char *field;
        const char *value;
    } cases[] = {
        {"importance", "0"},
        {"importance", "1"},
        {"importance", "-0.0"},
        {"importance", "5e-324"},
        {"sync_version", "1"},
        {"sync_version", "4503599627370496"},
        {"created_at", "\"0001-01-01T00:00:00Z\""},
        {"created_at", "\"9999-12-31T23:59:59.999999Z\""},
        {"created_at", "\"2026-11-22T19:18:43.5+01:00\""},
        {"id", "\"0190F7A2-5C1E-7ABC-8DEF-0123456789AB\""},
        {"project_id", "\"caf\xc3\xa9 / \xf0\x9f\x8c\x8a\""},
        {"project_id", "\"\xc2\xa0\""},
        {"task", "{\"id\":\"1\"}"},
        {"task", "{\"id\":\"1\",\"status\":null,\"title\":\"a\\nb\"}"},
        {"references", "[{\"id\":\"" SAMPLE_ID "\",\"context\":\"\"}]"},
        {"metadata", "{\"a\":{\"b\":[null,true,1e300]}}"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_field_accepted(cases[i].field, cases[i].value);
    }
}

/* ---- limits ---- */

static json_t *array_of(const char *format, size_t count)
{
    json_t *array = json_array();

    for (size_t i = 0; i < count; i++) {
        AUTO(free_ptr) char *item = xprintf("%s%zu", format, i);
        assert_int_equal(json_array_append_new(array, json_string(item)), 0);
    }
    return array;
}

static json_t *with(const char *field, json_t *value)
{
    json_t *object = sample_json("{\"content\":\"x\"}");

    assert_int_equal(json_object_set_new(object, field, value), 0);
    return object;
}

static json_t *text_of(const char *unit, size_t count)
{
    AUTO(free_ptr) char *text = sample_repeat(unit, count);

    return json_string(text);
}

static void assert_limit(const char *field, json_t *at_limit, json_t *past_limit,
                         const char *message)
{
    AUTO(memory_done) struct memory memory;
    AUTO(json_unref) json_t *good = with(field, at_limit);
    AUTO(json_unref) json_t *bad = with(field, past_limit);

    OK(memory_from_json(good, &memory, &err));
    assert_object_refused(bad, ERR_LIMIT, message);
}

static void content_has_at_most_50000_characters(void **state)
{
    (void)state;
    const char *message = "content has 50,001 characters; at most 50,000 are allowed";

    assert_limit("content", text_of("x", 50000), text_of("x", 50001), message);
    assert_limit("content", text_of("\xf0\x9f\x8c\x8a", 50000), text_of("\xf0\x9f\x8c\x8a", 50001),
                 message);
}

static void texts_have_their_limits_in_bytes(void **state)
{
    (void)state;

    assert_limit("project_id", text_of("p", PROJECT_ID_MAX_BYTES),
                 text_of("p", PROJECT_ID_MAX_BYTES + 1),
                 "project_id has 201 bytes; at most 200 are allowed");
    assert_limit("tags", json_pack("[o]", text_of("t", MEMORY_TAG_MAX_BYTES)),
                 json_pack("[so]", "a", text_of("t", MEMORY_TAG_MAX_BYTES + 1)),
                 "tags[1] has 129 bytes; at most 128 are allowed");
    assert_limit("task", json_pack("{so}", "id", text_of("i", TASK_TEXT_MAX_BYTES)),
                 json_pack("{so}", "id", text_of("i", TASK_TEXT_MAX_BYTES + 1)),
                 "task: id has 501 bytes; at most 500 are allowed");
    assert_limit("task", json_pack("{ssso}", "id", "1", "title", text_of("i", TASK_TEXT_MAX_BYTES)),
                 json_pack("{ssso}", "id", "1", "title", text_of("i", TASK_TEXT_MAX_BYTES + 1)),
                 "task: title has 501 bytes; at most 500 are allowed");
    assert_limit("references",
                 json_pack("[{ssso}]", "id", SAMPLE_ID, "context",
                           text_of("c", MEMORY_REFERENCE_CONTEXT_MAX_BYTES)),
                 json_pack("[{ssso}]", "id", SAMPLE_ID, "context",
                           text_of("c", MEMORY_REFERENCE_CONTEXT_MAX_BYTES + 1)),
                 "references[0]: context has 1,025 bytes; at most 1,024 are allowed");
}

static json_t *references(size_t count)
{
    json_t *array = json_array();

    for (size_t i = 0; i < count; i++) {
        assert_int_equal(json_array_append_new(array, json_pack("{ss}", "id", SAMPLE_ID)), 0);
    }
    return array;
}

static void lists_have_their_limits_in_items(void **state)
{
    (void)state;

    assert_limit("tags", array_of("t", MEMORY_TAGS_MAX), array_of("t", MEMORY_TAGS_MAX + 1),
                 "tags[64]: 65 tags; at most 64 are allowed");
    assert_limit("references", references(MEMORY_REFERENCES_MAX),
                 references(MEMORY_REFERENCES_MAX + 1),
                 "references[256]: 257 references; at most 256 are allowed");
}

/* {"a":"xxx…"} of len bytes. */
static json_t *metadata_of(size_t len)
{
    return json_pack("{so}", "a", text_of("x", len - strlen("{\"a\":\"\"}")));
}

/* Objects and arrays in turn, an object outermost. */
static json_t *nested(size_t levels)
{
    json_t *value = levels % 2 == 1 ? json_object() : json_array();

    for (size_t left = levels - 1; left > 0; left--) {
        value = left % 2 == 1 ? json_pack("{so}", "a", value) : json_pack("[o]", value);
    }
    return value;
}

static void metadata_has_its_limits_in_bytes_and_levels(void **state)
{
    (void)state;

    assert_limit("metadata", metadata_of(MEMORY_METADATA_MAX_BYTES),
                 metadata_of(MEMORY_METADATA_MAX_BYTES + 1),
                 "metadata is too large; 16,384 bytes of canonical JSON are allowed");
    assert_limit("metadata", nested(MEMORY_METADATA_DEPTH_MAX),
                 nested(MEMORY_METADATA_DEPTH_MAX + 1),
                 "metadata is nested deeper than the 32 levels that are allowed");
}

/* ---- details ---- */

static void repeated_tags_are_kept_once_in_the_order_given(void **state)
{
    (void)state;
    AUTO(memory_done) struct memory memory;

    read_text("{\"content\":\"x\",\"tags\":[\"b\",\"a\",\"b\",\"c\",\"a\"]}", &memory);
    assert_int_equal(memory.tag_count, 3);
    assert_string_equal(memory.tags[0], "b");
    assert_string_equal(memory.tags[1], "a");
    assert_string_equal(memory.tags[2], "c");
}

static void control_characters_of_content_are_kept_to_the_byte(void **state)
{
    (void)state;
    AUTO(memory_done) struct memory memory;

    read_text("{\"content\":\"a\\u0001\\u001b\\t\\r\\n\\u007f\\u0085b\"}", &memory);
    assert_string_equal(memory.content, "a\x01\x1b\t\r\n\x7f\xc2\x85"
                                        "b");
}

static void empty_parts_are_as_if_absent(void **state)
{
    (void)state;
    AUTO(memory_done) struct memory memory;

    read_text("{\"content\":\"x\",\"metadata\":{},\"references\":[],\"tags\":[]}", &memory);
    assert_true(memory.metadata == NULL && memory.references == NULL && memory.tags == NULL);
}

static void ids_of_references_are_in_lower_case(void **state)
{
    (void)state;
    AUTO(memory_done) struct memory memory;

    read_text("{\"content\":\"x\",\"references\":"
              "[{\"id\":\"0190F7A2-5C1E-7ABC-8DEF-0123456789AB\",\"context\":null}]}",
              &memory);
    AUTO(free_ptr) char *text = json_dumps(memory.references, JSON_COMPACT);
    assert_string_equal(text, "[{\"id\":\"" SAMPLE_ID "\"}]");
}

static void content_is_checked_to_be_utf8_without_nul(void **state)
{
    (void)state;

    OK(memory_content_check(STR("caf\xc3\xa9"), &err));
    REFUSED(memory_content_check(STR(""), &err), ERR_INVALID,
            "content is empty; 1 to 50,000 characters are allowed");
    REFUSED(memory_content_check(STR("a\0b"), &err), ERR_INVALID, "content: ");
    REFUSED(memory_content_check(STR("caf\xc3"), &err), ERR_INVALID, "content: ");
    REFUSED(memory_content_check(STR("\xed\xa0\x80"), &err), ERR_INVALID, "content: ");
}

static void project_ids_are_checked(void **state)
{
    (void)state;
    AUTO(free_ptr) char *longest = sample_repeat("p", PROJECT_ID_MAX_BYTES);
    AUTO(free_ptr) char *longer = sample_repeat("p", PROJECT_ID_MAX_BYTES + 1);

    OK(project_id_check(str_of(longest), &err));
    REFUSED(project_id_check(str_of(longer), &err), ERR_LIMIT, "project_id has 201 bytes");
    REFUSED(project_id_check(STR(""), &err), ERR_INVALID, "project_id is empty");
    REFUSED(project_id_check(STR("a\0b"), &err), ERR_INVALID, "project_id: ");
    REFUSED(project_id_check(STR("a\xffz"), &err), ERR_INVALID, "project_id: ");
}

static void every_type_is_found_by_its_name(void **state)
{
    (void)state;

    for (int i = 0; i < MEMORY_TYPES; i++) {
        enum memory_type type = MEMORY_TYPES;
        OK(memory_type_parse(str_of(memory_type_name((enum memory_type)i)), &type, &err));
        assert_int_equal(type, i);
    }
}

/* ---- life ---- */

static void a_copy_is_the_same_and_shares_nothing(void **state)
{
    (void)state;
    struct memory memory;
    AUTO(memory_done) struct memory copy;

    read_text(FULL, &memory);
    OK(memory_copy(&memory, &copy, &err));
    assert_true(memory_same(&memory, &copy));
    assert_int_equal(copy.version, memory.version);
    assert_int_equal(copy.created_us, memory.created_us);
    assert_ptr_not_equal(copy.metadata, memory.metadata);
    memory_done(&memory);
    assert_string_equal(copy.tags[1], "a");
    assert_string_equal(json_string_value(json_object_get(copy.task, "id")), "T-1");
}

static void a_copy_of_nothing_is_nothing(void **state)
{
    (void)state;
    struct memory memory;
    AUTO(memory_done) struct memory copy;

    memory_init(&memory);
    OK(memory_copy(&memory, &copy, &err));
    assert_true(memory_same(&memory, &copy));
}

static void done_takes_anything(void **state)
{
    (void)state;
    struct memory zero = {.content = NULL};
    struct memory memory;

    memory_done(NULL);
    memory_done(&zero);
    memory_init(&memory);
    memory_done(&memory);
    read_text(FULL, &memory);
    memory_done(&memory);
    memory_done(&memory);
}

static void memories_are_the_same_but_for_version_and_times(void **state)
{
    (void)state;
    AUTO(memory_done) struct memory a;
    AUTO(memory_done) struct memory b;

    read_text(FULL, &a);
    read_text(FULL, &b);
    b.version++;
    b.created_us++;
    b.updated_us++;
    assert_true(memory_same(&a, &b));
}

static void any_other_difference_is_seen(void **state)
{
    (void)state;
    static const struct {
        const char *field;
        const char *value;
    } cases[] = {
        {"content", "\"Use tabz\""},   {"content", "\"Use tabs \""},
        {"deleted_at", "null"},        {"id", "\"" SAMPLE_ORIGIN "\""},
        {"importance", "0.7500001"},   {"memory_type", "\"episodic\""},
        {"metadata", "{\"a\":[2,1]}"}, {"metadata", "{}"},
        {"project_id", "\"other\""},   {"project_id", "null"},
        {"references", "[]"},          {"scope", "\"shared\""},
        {"session_id", "null"},        {"tags", "[\"a\",\"b\"]"},
        {"tags", "[\"b\"]"},           {"task", "null"},
    };
    AUTO(memory_done) struct memory memory;

    read_text(FULL, &memory);
    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO(json_unref) json_t *object = sample_json(FULL);
        AUTO(memory_done) struct memory other;
        assert_int_equal(json_object_set_new(object, cases[i].field, sample_json(cases[i].value)),
                         0);
        OK(memory_from_json(object, &other, &err));
        if (memory_same(&memory, &other) || memory_same(&other, &memory)) {
            fail_msg("%s %s is not seen", cases[i].field, cases[i].value);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_alone_is_a_draft_with_defaults),
        cmocka_unit_test(every_field_is_read),
        cmocka_unit_test(an_object_read_and_shown_is_the_same),
        cmocka_unit_test(a_draft_shows_every_field_and_reads_back),
        cmocka_unit_test(a_memory_without_anything_can_be_shown),
        cmocka_unit_test(null_is_as_if_absent),
        cmocka_unit_test(fields_that_our_replies_carry_are_ignored),
        cmocka_unit_test(an_unknown_field_is_refused_by_name),
        cmocka_unit_test(what_is_no_object_is_refused),
        cmocka_unit_test(each_broken_rule_has_its_message),
        cmocka_unit_test(values_at_the_edge_of_a_rule_are_accepted),
        cmocka_unit_test(content_has_at_most_50000_characters),
        cmocka_unit_test(texts_have_their_limits_in_bytes),
        cmocka_unit_test(lists_have_their_limits_in_items),
        cmocka_unit_test(metadata_has_its_limits_in_bytes_and_levels),
        cmocka_unit_test(repeated_tags_are_kept_once_in_the_order_given),
        cmocka_unit_test(control_characters_of_content_are_kept_to_the_byte),
        cmocka_unit_test(empty_parts_are_as_if_absent),
        cmocka_unit_test(ids_of_references_are_in_lower_case),
        cmocka_unit_test(content_is_checked_to_be_utf8_without_nul),
        cmocka_unit_test(project_ids_are_checked),
        cmocka_unit_test(every_type_is_found_by_its_name),
        cmocka_unit_test(a_copy_is_the_same_and_shares_nothing),
        cmocka_unit_test(a_copy_of_nothing_is_nothing),
        cmocka_unit_test(done_takes_anything),
        cmocka_unit_test(memories_are_the_same_but_for_version_and_times),
        cmocka_unit_test(any_other_difference_is_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
