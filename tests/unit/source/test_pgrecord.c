/* A row in one text, as PostgreSQL's record_out writes it. */
#include "support/unit.h"

#include "source/pgrecord.h"

#define FIELDS_MAX 8

static size_t parse(const char *text, struct str *ret_fields, char *room)
{
    struct err err = ERR_INIT;
    size_t count = 0;

    assert_int_equal(pgrecord_parse(str_of(text), room, ret_fields, FIELDS_MAX, &count, &err), 0);
    return count;
}

static void assert_field(struct str field, const char *text)
{
    if (text == NULL) {
        assert_null(field.ptr);
        return;
    }
    assert_non_null(field.ptr);
    assert_int_equal(field.len, strlen(text));
    assert_memory_equal(field.ptr, text, field.len);
}

static void fields_are_split_at_commas(void **state)
{
    struct str fields[FIELDS_MAX];
    char room[64];

    (void)state;
    assert_int_equal(parse("(1,two,3.0)", fields, room), 3);
    assert_field(fields[0], "1");
    assert_field(fields[1], "two");
    assert_field(fields[2], "3.0");
}

static void null_and_empty_are_told_apart(void **state)
{
    struct str fields[FIELDS_MAX];
    char room[64];

    (void)state;
    assert_int_equal(parse("(,\"\",,)", fields, room), 4);
    assert_field(fields[0], NULL);
    assert_field(fields[1], "");
    assert_field(fields[2], NULL);
    assert_field(fields[3], NULL);
}

static void doubled_quotes_and_backslashes_are_one(void **state)
{
    struct str fields[FIELDS_MAX];
    char room[64];

    (void)state;
    assert_int_equal(
        parse("(\"a \"\"b\"\" \\\\ c, (d)\",\"\\\\x00ff\",\" \",\"\n\")", fields, room), 4);
    assert_field(fields[0], "a \"b\" \\ c, (d)");
    assert_field(fields[1], "\\x00ff");
    assert_field(fields[2], " ");
    assert_field(fields[3], "\n");
}

static void a_row_within_a_row_stays_one_field(void **state)
{
    struct str fields[FIELDS_MAX];
    char room[64];

    (void)state;
    assert_int_equal(parse("(\"(1,\"\"x,\"\"\"\"y\"\")\",\"{1,NULL}\")", fields, room), 2);
    assert_field(fields[0], "(1,\"x,\"\"y\")");
    assert_field(fields[1], "{1,NULL}");
}

static void what_is_no_row_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "(",
        "1,2",
        "(1",
        "(\"a)",
        "(a\\",
        "(1)2",
        "(1),(2",
        "(\"\"",
        "(a,b\")",
        "(1,2,3,4,5,6,7,8,9)",
    };
    struct str fields[FIELDS_MAX];
    char room[64];

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct err err = ERR_INIT;
        size_t count;
        assert_int_equal(pgrecord_parse(str_of(texts[i]), room, fields, FIELDS_MAX, &count, &err),
                         -ERR_CORRUPT);
    }
}

static void as_many_fields_as_there_is_room_for_are_taken(void **state)
{
    struct str fields[FIELDS_MAX];
    char room[64];

    (void)state;
    assert_int_equal(parse("(1,2,3,4,5,6,7,8)", fields, room), FIELDS_MAX);
}

/* Each cut of a row is refused, and nothing behind it is read. */
static void a_row_cut_anywhere_is_refused(void **state)
{
    static const char text[] = "(1,\"a \"\"b\"\" \\\\\",,\"\")";
    struct str fields[FIELDS_MAX];

    (void)state;
    for (size_t len = 0; len < sizeof(text) - 1; len++) {
        struct err err = ERR_INIT;
        size_t count;
        AUTO(free_ptr) char *cut = xmalloc(len + 1);
        AUTO(free_ptr) char *room = xmalloc(len + 1);
        memcpy(cut, text, len);
        assert_int_equal(
            pgrecord_parse((struct str){cut, len}, room, fields, FIELDS_MAX, &count, &err),
            -ERR_CORRUPT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_split_at_commas),
        cmocka_unit_test(null_and_empty_are_told_apart),
        cmocka_unit_test(doubled_quotes_and_backslashes_are_one),
        cmocka_unit_test(a_row_within_a_row_stays_one_field),
        cmocka_unit_test(what_is_no_row_is_refused),
        cmocka_unit_test(as_many_fields_as_there_is_room_for_are_taken),
        cmocka_unit_test(a_row_cut_anywhere_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
