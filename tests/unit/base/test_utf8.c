/* utf8 - strict UTF-8. */
#include "support/unit.h"

#include "base/utf8.h"

static void code_points_are_counted(void **state)
{
    (void)state;
    static const struct {
        struct str text;
        size_t count;
    } CASES[] = {
        {STR(""), 0},
        {STR("a"), 1},
        {STR("twelve bytes"), 12},
        {STR("käse"), 4},
        {STR("中文"), 2},
        {STR("a😀b"), 3},
        {STR("\x7F\xC2\x80\xDF\xBF"), 3},
        {STR("\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF"), 4},
        {STR("\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"), 2},
        {STR("01234567ö01234567ö0"), 19},
    };
    struct err err;

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        size_t count = 99;
        assert_ok(utf8_check(CASES[i].text, &count, &err), &err);
        assert_int_equal(count, CASES[i].count);
    }
}

static void what_is_not_utf8_is_refused_with_its_reason(void **state)
{
    (void)state;
    static const struct {
        struct str text;
        const char *says;
    } CASES[] = {
        {STR("\x80"), "byte 0 (0x80) is not UTF-8: a byte that can't start a character"},
        {STR("ab\xBF"), "byte 2 (0xBF)"},
        {STR("\xFF"), "can't start a character"},
        {STR("\xFE"), "can't start a character"},
        {STR("\xF8\x88\x80\x80\x80"), "can't start a character"},
        {STR("\xC3"), "cut off"},
        {STR("\xC3"
             "a"),
         "cut off"},
        {STR("\xE4\xB8"), "cut off"},
        {STR("\xF0\x9F\x98"), "cut off"},
        {STR("\xF0\x9F\x98x"), "cut off"},
        {STR("\xC0\x80"), "an overlong form"},
        {STR("\xC1\xBF"), "an overlong form"},
        {STR("\xE0\x9F\xBF"), "an overlong form"},
        {STR("\xF0\x8F\xBF\xBF"), "an overlong form"},
        {STR("\xED\xA0\x80"), "a surrogate"},
        {STR("\xED\xBF\xBF"), "a surrogate"},
        {STR("\xF4\x90\x80\x80"), "above U+10FFFF"},
        {STR("\xF5\x80\x80\x80"), "above U+10FFFF"},
    };
    struct err err;

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        size_t count = 99;
        assert_refused(utf8_check(CASES[i].text, &count, &err), &err, ERR_INVALID, CASES[i].says);
        assert_int_equal(count, 99);
    }
}

static void a_nul_is_refused_wherever_it_stands(void **state)
{
    (void)state;
    struct err err;

    for (size_t at = 0; at < 20; at++) {
        char text[20];
        char says[32];
        size_t count;
        memset(text, 'x', sizeof(text));
        text[at] = '\0';
        (void)snprintf(says, sizeof(says), "byte %zu is a NUL", at);
        assert_refused(utf8_check((struct str){text, sizeof(text)}, &count, &err), &err,
                       ERR_INVALID, says);
    }
}

/* The fast way over eight bytes of ASCII must stop at the right place. */
static void the_place_of_a_bad_byte_is_exact(void **state)
{
    (void)state;
    struct err err;

    for (size_t at = 0; at < 40; at++) {
        char text[40];
        char says[32];
        size_t count;
        memset(text, 'x', sizeof(text));
        text[at] = (char)0xFF;
        (void)snprintf(says, sizeof(says), "byte %zu (0xFF)", at);
        assert_refused(utf8_check((struct str){text, sizeof(text)}, &count, &err), &err,
                       ERR_INVALID, says);
    }
}

static void a_cut_ends_between_two_characters(void **state)
{
    (void)state;
    static const size_t EXPECTED[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11};
    struct str text = STR("aö中😀z"); /* of 1, 2, 3, 4 and 1 bytes */

    for (size_t max = 0; max < sizeof(EXPECTED) / sizeof(EXPECTED[0]); max++) {
        assert_int_equal(utf8_cut(text, max), EXPECTED[max]);
    }
    assert_int_equal(utf8_cut(STR(""), 5), 0);
}

static void what_is_not_utf8_is_cut_anywhere(void **state)
{
    (void)state;

    assert_int_equal(utf8_cut(STR("\x80\x80\x80\x80\x80\x80"), 5), 5);
    assert_int_equal(utf8_cut(STR("\x80\x80"), 1), 1);
    assert_int_equal(utf8_cut(STR("\x80"), 0), 0);
}

static void what_is_no_text_becomes_question_marks(void **state)
{
    (void)state;
    static const struct {
        struct str before;
        const char *after;
    } CASES[] = {
        {STR(""), ""},
        {STR("käse 中文 😀\n"), "käse 中文 😀\n"},
        {STR("a\x1B[2J\t\r\x7F\0b"), "a?[2J????b"},
        {STR("\xC2\x9B"
             "2J\xC2\xA0"),
         "??2J\xC2\xA0"},
        {STR("\xFF\xC0\x80ok\xF0\x9F\x98"), "???ok???"},
        {STR("\xC2"), "?"},
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        AUTO(free_ptr) char *text = xstrndup(CASES[i].before.ptr, CASES[i].before.len);
        utf8_make_printable(text, CASES[i].before.len);
        assert_string_equal(text, CASES[i].after);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(code_points_are_counted),
        cmocka_unit_test(what_is_not_utf8_is_refused_with_its_reason),
        cmocka_unit_test(a_nul_is_refused_wherever_it_stands),
        cmocka_unit_test(the_place_of_a_bad_byte_is_exact),
        cmocka_unit_test(a_cut_ends_between_two_characters),
        cmocka_unit_test(what_is_not_utf8_is_cut_anywhere),
        cmocka_unit_test(what_is_no_text_becomes_question_marks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
