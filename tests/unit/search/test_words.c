/* How text becomes words. */
#include "search/words_rig.h"

/* "a b" are two places, "a/b" two words at one place. */
static int show(void *arg, const struct word *word)
{
    struct buf *out = arg;
    struct err err = ERR_INIT;

    assert_ok(buf_printf(out, &err, "%s" STR_FMT,
                         out->len == 0      ? ""
                         : word->same_place ? "/"
                                            : " ",
                         STR_ARG(word->text)),
              &err);
    assert_true(word->start < word->end);
    return 0;
}

static void assert_words(struct rig *rig, const char *text, const char *expected)
{
    AUTO(buf_done) struct buf out = BUF_INIT(4096);
    struct err err = ERR_INIT;

    assert_ok(buf_add_c(&out, "", &err), &err);
    assert_int_equal(words_each(rig->words, str_of(text), show, &out), 0);
    assert_string_equal(out.data, expected);
}

static void words_are_letters_and_digits_in_lower_case(void **state)
{
    assert_words(*state, "The HARBOUR, at 10:30!", "the harbour at 10 30");
    assert_words(*state, "", "");
    assert_words(*state, " .,- \n", "");
    assert_words(*state, "x", "x");
}

static void identifiers_are_cut_at_their_signs(void **state)
{
    assert_words(*state, "snake_case src/foo.c ERR_IO a-b", "snake case src foo c err io a b");
}

static void parts_of_camel_case_stand_at_the_place_of_the_whole(void **state)
{
    assert_words(*state, "getUserName", "getusername/get/user/name");
    assert_words(*state, "HTTPServer2Go", "httpserver2go/http/server2/go");
    assert_words(*state, "GitHub x", "github/git/hub x");
    assert_words(*state, "Simple ALLCAPS sha256 E11000", "simple allcaps sha256 e11000");
}

static void text_beyond_ascii_is_folded(void **state)
{
    assert_words(*state, "Café MÜLLER naïve", "cafe muller naive");
    assert_words(*state, "Привет, Мир", "привет мир");
    assert_words(*state, "cafe\xcc\x81", "cafe"); /* with a combining accent */
    assert_words(*state, "don’t “getName”", "don t getname/get/name");
}

static void scripts_without_spaces_give_a_word_a_character(void **state)
{
    assert_words(*state, "数据库", "数 据 库");
    assert_words(*state, "API数据v2", "api 数 据 v2");
    assert_words(*state, "テスト。한국", "テ ス ト 한 국");
    assert_words(*state, "ภาษา", "ภ า ษ า");
}

static void bytes_that_are_no_text_break_nothing(void **state)
{
    assert_words(*state,
                 "a\xff"
                 "b",
                 "a b");
    assert_words(*state, "x \x80 y", "x y");
    static const char *const texts[] = {"\xe6\x95", "x\xf0\x9f", "\xff\xfe\xfd", "\xed\xa0\x80",
                                        "\xf8\x88"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        AUTO(buf_done) struct buf out = BUF_INIT(4096);
        struct rig *rig = *state;
        assert_int_equal(words_each(rig->words, str_of(texts[i]), show, &out), 0);
    }
}

static void a_very_long_word_is_cut(void **state)
{
    char text[WORD_MAX_BYTES + 2];
    char expected[WORD_MAX_BYTES + 1];

    memset(text, 'x', sizeof(text));
    text[WORD_MAX_BYTES] = '\0';
    memset(expected, 'x', sizeof(expected));
    expected[WORD_MAX_BYTES] = '\0';
    assert_words(*state, text, expected);
    text[WORD_MAX_BYTES] = 'x';
    text[WORD_MAX_BYTES + 1] = '\0';
    assert_words(*state, text, expected);
}

static void stems_are_those_of_porter(void **state)
{
    AUTO(buf_done) struct buf out = BUF_INIT(4096);
    struct rig *rig = *state;

    assert_int_equal(
        words_each_stemmed(rig->words, STR("migrated databases runningFast"), show, &out), 0);
    assert_string_equal(out.data, "migrat databas runningfast/run/fast");
}

static void parts_are_not_counted(void **state)
{
    struct rig *rig = *state;

    rig->tally.count = 0;
    assert_words(rig, "one getUserName 数据", "one getusername/get/user/name 数 据");
    assert_int_equal(rig->tally.count, 4);
}

static int stop_at_once(void *arg, const struct word *word)
{
    (void)arg;
    (void)word;
    return 7;
}

static void a_walk_can_be_ended(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(words_each(rig->words, STR("ASCII"), stop_at_once, NULL), 7);
    assert_int_equal(words_each(rig->words, STR("éé"), stop_at_once, NULL), 7);
    assert_int_equal(words_each(rig->words, STR("数"), stop_at_once, NULL), 7);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        TEST(words_are_letters_and_digits_in_lower_case),
        TEST(identifiers_are_cut_at_their_signs),
        TEST(parts_of_camel_case_stand_at_the_place_of_the_whole),
        TEST(text_beyond_ascii_is_folded),
        TEST(scripts_without_spaces_give_a_word_a_character),
        TEST(bytes_that_are_no_text_break_nothing),
        TEST(a_very_long_word_is_cut),
        TEST(stems_are_those_of_porter),
        TEST(parts_are_not_counted),
        TEST(a_walk_can_be_ended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
