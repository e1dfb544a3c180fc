/* A row as a memory, and back. */
#include "support/unit.h"

#include "base/base64.h"
#include "source/row_origin.h"

#define KEY "00000000-0000-4000-8000-000000000001"

static struct source_mapping mapping = {.table = (char *)"memories"};

static struct row_value value(const char *column, const char *text)
{
    return (struct row_value){.column = column, .text = {text, text == NULL ? 0 : strlen(text)}};
}

static struct row row_with(struct row_value *values, size_t count)
{
    return (struct row){.source = "app",
                        .table = "public.memories",
                        .mapping = &mapping,
                        .project = "default",
                        .keeps_ids = true,
                        .values = values,
                        .count = count};
}

static void read_row(const struct row *row, struct memory *ret)
{
    struct err err = ERR_INIT;

    assert_ok(row_to_memory(row, ret, NULL, &err), &err);
}

static void the_specifications_columns_become_the_memorys_fields(void **state)
{
    struct row_value values[] = {value("id", KEY),
                                 value("content", "text"),
                                 value("memory_type", "episodic"),
                                 value("importance", "0.75"),
                                 value("session_id", "00000000-0000-4000-8000-000000000002"),
                                 value("project_id", "sea"),
                                 value("tags", "{a,\"b \\\"c\\\\\",NULL,\"NULL\"}"),
                                 value("created_at", "2026-01-02 03:04:05.5+00"),
                                 value("updated_at", "infinity")};
    struct row row = row_with(values, sizeof(values) / sizeof(values[0]));
    AUTO(memory_done) struct memory memory;
    char id[UUID_TEXT_MAX];

    (void)state;
    read_row(&row, &memory);
    uuid_format(&memory.id, id);
    assert_string_equal(id, KEY);
    assert_string_equal(memory.content, "text");
    assert_int_equal(memory.type, MEMORY_EPISODIC);
    assert_true(memory.importance == 0.75);
    assert_string_equal(memory.project_id, "sea");
    assert_false(uuid_is_nil(&memory.session_id));
    assert_int_equal(memory.tag_count, 3);
    assert_string_equal(memory.tags[1], "b \"c\\");
    assert_string_equal(memory.tags[2], "NULL");
    assert_true(memory.created_us == 1767323045500000LL);
    assert_true(memory.updated_us == TIME_NONE); /* it is in the row */
}

static void every_column_comes_back_as_it_was(void **state)
{
    struct row_value values[] = {value("id", KEY), value("content", NULL), value("a", ""),
                                 value("b", NULL), value("c", "{\"x\":1}\n\t\\")};
    struct row row = row_with(values, 5);
    AUTO(memory_done) struct memory memory;
    AUTO(row_origin_done) struct row_origin origin = {.table = NULL};
    struct str text;

    (void)state;
    read_row(&row, &memory);
    assert_true(row_of_memory(&memory, "app", "public.memories", &origin));
    assert_false(row_of_memory(&memory, "app", "public.others", &origin));
    assert_false(row_of_memory(&memory, "other", NULL, &origin));
    assert_true(row_of_memory(&memory, "app", NULL, &origin));
    assert_string_equal(origin.key, KEY);
    for (size_t i = 0; i < 5; i++) {
        assert_true(row_text(&memory, &origin, &mapping, values[i].column, &text));
        assert_true((text.ptr == NULL) == (values[i].text.ptr == NULL));
        assert_true(text.ptr == NULL || str_eq(text, values[i].text));
    }
    assert_false(row_text(&memory, &origin, &mapping, "unknown", &text));
}

/* Metadata of a door can be any object. */
static void odd_metadata_is_no_row_or_has_no_such_value(void **state)
{
    static const struct {
        const char *metadata;
        bool is_row;
    } cases[] = {
        {"{\"row\":{\"a\":\"x\"}}", false},
        {"{\"source\":5}", false},
        {"{\"source\":{\"key\":\"k\",\"name\":\"app\"}}", false},
        {"{\"source\":{\"key\":\"k\",\"name\":1,\"table\":\"t\"}}", false},
        {"{\"row\":[],\"source\":{\"key\":\"k\",\"name\":\"app\",\"table\":\"t\"}}", false},
        {"{\"row\":{},\"source\":{\"name\":\"app\",\"table\":\"t\"}}", false},
        {"{\"row\":{},\"source\":{\"key\":\"k\",\"name\":\"app\",\"table\":\"t\"},"
         "\"too_large\":7}",
         true},
        {"{\"row\":{\"a\":[1,{\"b\":\"c\"}],\"b\":{\"x\":\"y\"},\"c\":1.5,\"d\":true},"
         "\"source\":{\"key\":\"k\",\"more\":{\"name\":\"no\"},\"name\":\"app\",\"table\":\"t\"}}",
         true},
    };
    AUTO(row_origin_done) struct row_origin origin = {.table = NULL};
    static const char *const columns[] = {"a", "b", "c", "d"};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        AUTO(memory_done) struct memory memory;
        AUTO(json_unref) json_t *metadata = json_loads(cases[i].metadata, 0, NULL);
        struct err err = ERR_INIT;
        struct row_value found;
        memory_init(&memory);
        assert_non_null(metadata);
        assert_int_equal(metadata_from_json(metadata, &memory.metadata, &err), 0);
        assert_int_equal(row_of_memory(&memory, "app", NULL, &origin), cases[i].is_row);
        for (size_t k = 0; k < 4; k++) {
            (void)row_value(&memory, &origin, &mapping, columns[k], &found);
            assert_true(found.text.ptr == NULL && found.digest.ptr == NULL);
        }
    }
}

static void an_origin_is_used_again(void **state)
{
    AUTO(row_origin_done) struct row_origin origin = {.table = NULL};
    struct row_value many[40];
    char names[40][16];
    struct str text;

    (void)state;
    for (size_t count = 40; count > 2; count -= 19) {
        AUTO(memory_done) struct memory memory;
        for (size_t i = 0; i < count; i++) {
            /* of one byte, of two, of three and of four: beyond U+FFFF comes before U+FFFD */
            static const char *const first[] = {"\"", "\u00e9", "\ufffd", "\U0001F980"};
            (void)snprintf(names[i], sizeof(names[i]), "%s%zu\\", first[i % 4], i);
        }
        for (size_t i = 0; i < count; i++) {
            many[i] = value(names[i], names[count - 1 - i]);
        }
        many[0] = value("id", KEY);
        many[1] = value("content", "words");
        struct row row = row_with(many, count);
        read_row(&row, &memory);
        assert_true(row_of_memory(&memory, "app", "public.memories", &origin));
        assert_int_equal(origin.count, count - 1);
        for (size_t i = 0; i < count; i++) {
            assert_true(row_text(&memory, &origin, &mapping, many[i].column, &text));
            assert_true(str_eq(text, many[i].text));
        }
        assert_false(row_text(&memory, &origin, &mapping, "\"", &text));
    }
}

static void the_class_of_a_value_comes_back_with_it(void **state)
{
    struct row_value values[] = {value("id", KEY), value("content", "AAE="), value("n", "5"),
                                 value("t", "5"),  value("r", "0.1"),        value("b", "")};
    const enum row_class classes[] = {ROW_TEXT, ROW_RAW_TEXT, ROW_INTEGER,
                                      ROW_TEXT, ROW_REAL,     ROW_BLOB};
    struct row row = row_with(values, 6);
    AUTO(memory_done) struct memory memory;
    AUTO(row_origin_done) struct row_origin origin = {.table = NULL};
    struct row_value back;

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        values[i].class = classes[i];
    }
    read_row(&row, &memory);
    assert_string_equal(memory.content, "AAE="); /* as well as it can be shown */
    assert_true(row_of_memory(&memory, "app", NULL, &origin));
    for (size_t i = 0; i < 6; i++) {
        assert_true(row_value(&memory, &origin, &mapping, values[i].column, &back));
        assert_int_equal(back.class, classes[i]);
        assert_true(str_eq(back.text, values[i].text));
    }
}

static void a_key_that_is_no_column_is_given(void **state)
{
    struct row_value values[] = {value("a", "1"), value("b", "2"), value("content", "x")};
    struct row row = row_with(values, 3);
    AUTO(memory_done) struct memory memory;
    AUTO(row_origin_done) struct row_origin origin = {.table = NULL};

    (void)state;
    row.key = STR("[\"1\",\"2\"]");
    read_row(&row, &memory);
    assert_true(row_of_memory(&memory, "app", NULL, &origin));
    assert_string_equal(origin.key, "[\"1\",\"2\"]");
}

/* For the guard this is an emptied memory; on restore it is what it was. */
static void a_row_without_content_is_one_blank(void **state)
{
    const char *const none[] = {NULL, ""};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct row_value values[] = {value("id", "1"), value("content", none[i])};
        struct row row = row_with(values, 2);
        AUTO(memory_done) struct memory memory;
        read_row(&row, &memory);
        assert_string_equal(memory.content, ROW_BLANK);
    }
}

static void keys_of_two_tables_and_sources_stay_apart(void **state)
{
    struct uuid a = row_id("app", "public.notes", false, STR("1"));
    struct uuid b = row_id("app", "public.parts", false, STR("1"));
    struct uuid c = row_id("other", "public.notes", false, STR("1"));
    struct uuid again = row_id("app", "public.notes", false, STR("1"));
    struct uuid derived = row_id("app", "public.memories", false, STR(KEY));
    struct uuid kept = row_id("app", "public.memories", true, STR(KEY));

    (void)state;
    assert_true(uuid_eq(&a, &again));
    assert_false(uuid_eq(&a, &b));
    assert_false(uuid_eq(&a, &c));
    assert_false(uuid_eq(&derived, &kept));
    assert_int_equal(kept.bytes[15], 1);
}

/* What a value was is told by its digest, and the content of such a row is gone: for the guard it
 * is emptied. */
static void assert_too_large(const struct row *row, const char *column, bool is_large)
{
    AUTO(memory_done) struct memory memory;
    AUTO(row_origin_done) struct row_origin origin = {.table = NULL};
    struct str text;

    read_row(row, &memory);
    assert_true(row_of_memory(&memory, "app", NULL, &origin));
    assert_int_equal(row_too_large(&origin, column).len, is_large ? 64 : 0);
    assert_int_equal(row_text(&memory, &origin, row->mapping, column, &text), !is_large);
    if (strcmp(column, "content") == 0) {
        assert_int_equal(strcmp(memory.content, ROW_BLANK) == 0, is_large);
    }
}

static void a_value_that_is_too_large_is_left_out_and_known_by_its_digest(void **state)
{
    AUTO(free_ptr) char *text = xmalloc(MEMORY_CONTENT_MAX + 2);
    AUTO(memory_done) struct memory memory;
    struct err err = ERR_INIT;

    (void)state;
    memset(text, 'x', MEMORY_CONTENT_MAX + 2);
    struct row_value values[] = {value("id", KEY), value("content", "short"), value("more", "")};
    struct row row = row_with(values, 3);
    values[1].text = (struct str){text, MEMORY_CONTENT_MAX};
    assert_too_large(&row, "content", false);
    values[1].text.len++;
    assert_too_large(&row, "content", true);
    assert_too_large(&row, "more", false);
    values[1] = value("content", "short");
    /* Around it stand {"row":{"id":"…","more":""},"source":{"key":"…","name":"app","table":"…"}} */
    read_row(&row, &memory);
    size_t others = metadata_text(memory.metadata).len;
    values[2].text = (struct str){text, MEMORY_METADATA_MAX_BYTES - others};
    assert_too_large(&row, "more", false);
    assert_too_large(&row, "content", false);
    values[2].text.len++;
    assert_too_large(&row, "more", true);
    assert_too_large(&row, "content", false);
    memory_done(&memory);
    values[2].text.len = MEMORY_CONTENT_MAX;
    read_row(&row, &memory);
    struct sha256 digest = sha256_of(text, MEMORY_CONTENT_MAX);
    char hex[SHA256_HEX_MAX];
    sha256_hex(&digest, hex);
    assert_string_equal(json_string_value(json_object_get(
                            json_object_get(metadata_tree(memory.metadata), "too_large"), "more")),
                        hex);
    /* An update that does not touch it does not send it: its digest is taken over. */
    values[2] = (struct row_value){.column = "more", .digest = str_of(hex)};
    assert_too_large(&row, "more", true);
    assert_false(err.code != ERR_NONE);
}

static void as_many_large_values_are_left_out_as_must_be(void **state)
{
    AUTO(free_ptr) char *text = xmalloc(9000);
    AUTO(memory_done) struct memory memory;
    AUTO(row_origin_done) struct row_origin origin = {.table = NULL};

    (void)state;
    memset(text, '"', 9000); /* two bytes each in JSON */
    struct row_value values[] = {value("id", KEY), value("content", "x"), value("a", "small"),
                                 value("b", ""),   value("c", ""),        value("d", "")};
    struct row row = row_with(values, 6);
    for (size_t i = 3; i < 6; i++) {
        values[i].text = (struct str){text, 5000 + i * 500};
    }
    read_row(&row, &memory);
    assert_true(row_of_memory(&memory, "app", NULL, &origin));
    assert_null(row_too_large(&origin, "a").ptr);
    assert_null(row_too_large(&origin, "b").ptr);
    assert_non_null(row_too_large(&origin, "c").ptr);
    assert_non_null(row_too_large(&origin, "d").ptr);
}

/* As what it is it would stand beside the content that shows it, and does not fit there. */
static void a_large_value_that_is_no_text_is_told_with_its_class(void **state)
{
    static const char bytes[16 * 1024] = "not all zeros";
    AUTO(buf_done) struct buf base64 = BUF_INIT(MEMORY_CONTENT_MAX);
    struct sha256 digest = sha256_of(bytes, sizeof(bytes));
    char hex[SHA256_HEX_MAX];
    struct err err = ERR_INIT;

    (void)state;
    sha256_hex(&digest, hex);
    assert_ok(base64_add(&base64, bytes, sizeof(bytes), &err), &err);
    for (size_t i = 1; i < 3; i++) {
        AUTO(memory_done) struct memory memory;
        struct row_value values[] = {value("id", KEY), value("content", NULL), value("more", "")};
        struct row row = row_with(values, 3);
        AUTO(row_origin_done) struct row_origin origin = {.table = NULL};
        struct row_value back;
        values[i].text = buf_str(&base64);
        values[i].class = ROW_BLOB;
        assert_too_large(&row, values[i].column, true);
        read_row(&row, &memory);
        assert_true(row_of_memory(&memory, "app", NULL, &origin));
        assert_false(row_value(&memory, &origin, &mapping, values[i].column, &back));
        assert_int_equal(back.class, ROW_BLOB);
        assert_null(back.text.ptr);
        assert_true(str_eq_c(back.digest, hex)); /* of its bytes */
    }
}

static void what_says_which_row_it_is_is_never_left_out(void **state)
{
    AUTO(free_ptr) char *text = xmalloc(MEMORY_METADATA_MAX_BYTES);
    AUTO(memory_done) struct memory memory;
    char hex[SHA256_HEX_MAX] = "00";
    struct err err = ERR_INIT;

    (void)state;
    memset(text, 'x', MEMORY_METADATA_MAX_BYTES);
    struct row_value values[] = {value("a", ""), value("b", ""), value("content", "x")};
    struct row row = row_with(values, 3);
    row.key = STR("[\"long\",\"short\"]");
    values[0].text = (struct str){text, 9000};
    values[0].is_key = true;
    values[1].text = (struct str){text, 8000};
    assert_too_large(&row, "a", false);
    assert_too_large(&row, "b", true);
    values[0].digest = str_of(hex);
    assert_refused(row_to_memory(&row, &memory, NULL, &err), &err, ERR_LIMIT, "the key of a row");
}

/* It is known by its digest, as what is too large; such content is emptied to the guard. */
static void a_text_that_is_not_utf8_is_known_by_its_digest(void **state)
{
    struct row_value values[] = {value("id", KEY), value("content", "caf\xe9"),
                                 value("more", "\xff")};
    struct row row = row_with(values, 3);
    AUTO(memory_done) struct memory memory;

    (void)state;
    assert_too_large(&row, "content", true);
    assert_too_large(&row, "more", true);
    read_row(&row, &memory);
    assert_string_equal(memory.content, ROW_BLANK);
}

static void a_row_is_refused_when_it_can_not_be_kept(void **state)
{
    AUTO(free_ptr) char *text = xmalloc(MEMORY_METADATA_MAX_BYTES + 1);
    AUTO(memory_done) struct memory memory;
    struct err err = ERR_INIT;

    (void)state;
    memset(text, 'x', MEMORY_METADATA_MAX_BYTES + 1);
    text[MEMORY_METADATA_MAX_BYTES] = '\0';
    struct row_value values[] = {value("id", "\xff"), value("content", "x"), value("more", "")};
    struct row row = row_with(values, 3);
    assert_refused(row_to_memory(&row, &memory, NULL, &err), &err, ERR_INVALID,
                   "the key of a row of public.memories is not UTF-8");
    values[0] = value("id", KEY);
    values[2].column = "\xff";
    assert_refused(row_to_memory(&row, &memory, NULL, &err), &err, ERR_INVALID, "a column's name");
    values[2] = value("more", "");
    values[0] = value("id", text); /* what says which row it is must be kept */
    assert_refused(row_to_memory(&row, &memory, NULL, &err), &err, ERR_LIMIT, "metadata");
    values[0] = value("id", NULL);
    assert_refused(row_to_memory(&row, &memory, NULL, &err), &err, ERR_INVALID, "\"id\"");
}

static void ignored_columns_are_not_kept(void **state)
{
    struct source_mapping ignoring = {
        .table = (char *)"memories", .ignored = {(char *)"vector"}, .ignored_count = 1};
    struct row_value values[] = {value("id", KEY), value("content", "x"), value("vector", "[1]")};
    struct row row = row_with(values, 3);
    AUTO(memory_done) struct memory memory;
    AUTO(row_origin_done) struct row_origin origin = {.table = NULL};
    struct str text;

    (void)state;
    row.mapping = &ignoring;
    read_row(&row, &memory);
    assert_true(row_of_memory(&memory, "app", NULL, &origin));
    assert_false(row_text(&memory, &origin, &ignoring, "vector", &text));
}

static void a_digest_tells_rows_apart_but_not_their_times_of_capture(void **state)
{
    AUTO(buf_done) struct buf scratch = BUF_INIT(CHANGE_RECORD_MAX);
    struct row_value values[] = {value("id", KEY), value("content", "x"), value("more", NULL)};
    struct row row = row_with(values, 3);
    AUTO(memory_done) struct memory a;
    AUTO(memory_done) struct memory b;
    struct sha256 digest_a;
    struct sha256 digest_b;
    struct err err = ERR_INIT;

    (void)state;
    read_row(&row, &a);
    read_row(&row, &b);
    b.created_us = b.updated_us = b.deleted_us = 5;
    assert_ok(row_digest(&a, &scratch, &digest_a, &err), &err);
    assert_ok(row_digest(&b, &scratch, &digest_b, &err), &err);
    assert_true(sha256_eq(&digest_a, &digest_b));
    memory_done(&b);
    values[2] = value("more", ""); /* not NULL */
    read_row(&row, &b);
    assert_ok(row_digest(&b, &scratch, &digest_b, &err), &err);
    assert_false(sha256_eq(&digest_a, &digest_b));
}

static void a_definition_is_no_row(void **state)
{
    AUTO(memory_done) struct memory memory;
    AUTO(row_origin_done) struct row_origin origin = {.table = NULL};
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(definition_to_memory("app", "public.notes", "p", STR("CREATE TABLE notes ()"),
                                   &memory, &err),
              &err);
    assert_true(row_of_memory(&memory, "app", "public.notes", &origin));
    assert_null(origin.values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_specifications_columns_become_the_memorys_fields),
        cmocka_unit_test(every_column_comes_back_as_it_was),
        cmocka_unit_test(odd_metadata_is_no_row_or_has_no_such_value),
        cmocka_unit_test(an_origin_is_used_again),
        cmocka_unit_test(the_class_of_a_value_comes_back_with_it),
        cmocka_unit_test(a_key_that_is_no_column_is_given),
        cmocka_unit_test(a_row_without_content_is_one_blank),
        cmocka_unit_test(keys_of_two_tables_and_sources_stay_apart),
        cmocka_unit_test(a_value_that_is_too_large_is_left_out_and_known_by_its_digest),
        cmocka_unit_test(as_many_large_values_are_left_out_as_must_be),
        cmocka_unit_test(a_large_value_that_is_no_text_is_told_with_its_class),
        cmocka_unit_test(what_says_which_row_it_is_is_never_left_out),
        cmocka_unit_test(a_text_that_is_not_utf8_is_known_by_its_digest),
        cmocka_unit_test(a_row_is_refused_when_it_can_not_be_kept),
        cmocka_unit_test(ignored_columns_are_not_kept),
        cmocka_unit_test(a_digest_tells_rows_apart_but_not_their_times_of_capture),
        cmocka_unit_test(a_definition_is_no_row),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
