/* sketch - does one text still say what another said? */
#include "model/sketch.h"
#include "support/unit.h"

#define WORD 7 /* bytes, with the space behind it */

/* Words by chance; heap. */
static char *prose(uint64_t seed, size_t words)
{
    char *text = xmalloc(words * WORD + 1);

    for (size_t i = 0; i < words * WORD; i++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        text[i] = (i + 1) % WORD == 0 ? ' ' : (char)('a' + (seed >> 33) % 26);
    }
    text[words * WORD] = '\0';
    return text;
}

static bool keeps_less(const char *before, const char *after, unsigned quarters)
{
    struct sketch a = sketch_of(str_of(before));
    struct sketch b = sketch_of(str_of(after));

    return sketch_keeps_less(&a, &b, quarters);
}

static void a_text_keeps_itself(void **state)
{
    (void)state;
    for (size_t words = 1; words < 2000; words = words * 3 + 1) {
        AUTO(free_ptr) char *text = prose(words, words);
        assert_false(keeps_less(text, text, 4));
    }
}

static void another_text_keeps_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        AUTO(free_ptr) char *text = prose(seed, 1 + seed * 3);
        AUTO(free_ptr) char *same_length = prose(seed + 1000, 1 + seed * 3);
        AUTO(free_ptr) char *longer = prose(seed + 2000, 10 + seed * 6);
        assert_true(keeps_less(text, same_length, 1));
        assert_true(keeps_less(text, longer, 1));
        assert_true(keeps_less(text, "x", 1));
    }
}

static void an_edit_keeps_most(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        AUTO(free_ptr) char *text = prose(seed, 40);
        AUTO(free_ptr) char *more = prose(seed + 1000, 4);
        AUTO(free_ptr) char *longer = xprintf("%s and %s", text, more);
        AUTO(free_ptr) char *before = xprintf("%s: %s", more, text);
        AUTO(free_ptr) char *corrected = xstrdup(text);
        corrected[100] = 'X';
        assert_false(keeps_less(text, longer, 2));
        assert_false(keeps_less(text, before, 2));
        assert_false(keeps_less(text, corrected, 2));
    }
}

/* A text that has it all and ten times as much besides: an estimate, so nearly all of them. */
static void a_text_that_grows_tenfold_keeps_what_it_said(void **state)
{
    size_t wrong = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        AUTO(free_ptr) char *text = prose(seed, 40);
        AUTO(free_ptr) char *more = prose(seed + 1000, 360);
        AUTO(free_ptr) char *longer = xprintf("%s%s", text, more);
        wrong += keeps_less(text, longer, 1) ? 1 : 0;
    }
    assert_true(wrong <= 400 / 10); /* 3 % are expected */
}

static void half_that_is_left_is_more_than_a_quarter_and_a_tenth_is_less(void **state)
{
    size_t halves = 0;
    size_t tenths = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        AUTO(free_ptr) char *text = prose(seed, 60);
        AUTO(free_ptr) char *other = prose(seed + 1000, 60);
        size_t len = strlen(text);
        AUTO(free_ptr) char *half = xprintf("%.*s%.*s", (int)len / 2, text, (int)len / 2, other);
        AUTO(free_ptr)
        char *tenth = xprintf("%.*s%.*s", (int)len / 10, text, (int)(len - len / 10), other);
        halves += keeps_less(text, half, 1) ? 1 : 0;
        tenths += keeps_less(text, tenth, 1) ? 1 : 0;
    }
    assert_true(halves <= 400 / 50);
    assert_true(tenths >= 400 * 9 / 10);
}

static struct sketch before_of(const char *before, const char *after)
{
    struct sketch a;
    struct sketch b;

    sketch_change(str_of(before), str_of(after), &a, &b);
    assert_int_equal(a.shingles == 0, b.shingles == 0);
    return a;
}

static void an_edit_on_the_face_of_it_needs_no_sketch(void **state)
{
    (void)state;
    assert_int_equal(before_of("0123456789abcdef", "0123456789abcdef and more").shingles, 0);
    assert_int_equal(before_of("0123456789abcdef", "0123456789ab").shingles, 0);
    assert_int_equal(before_of("0123456789abcdef", "0123456789a").shingles, 9);
    assert_int_equal(before_of("0123456789abcdef", "xxx0123456789abcdef").shingles, 0);
    assert_int_equal(before_of("0123456789abcdef", "0123456xxxxbcdef").shingles, 0);
    assert_int_equal(before_of("0123456789abcdef", "012345xxxxxbcdef").shingles, 9);
    assert_int_equal(before_of("aaaaaaaaaaaaaaaa", "aaaaaaaaaaaa").shingles, 0);
    assert_int_equal(before_of("aaaaaaaaaaaaaaaa", "aaaaaaaaaaa").shingles, 9);
    assert_int_equal(before_of("0123456789abcdef", "").shingles, 9);
    assert_int_equal(before_of("", "0123456789abcdef").shingles, 0);
}

/* The same through the comparison by blocks: the changed byte is at each place in turn. */
static void a_change_in_a_long_text_is_found_wherever_it_is(void **state)
{
    AUTO(free_ptr) char *text = prose(7, 60);
    size_t len = strlen(text);

    (void)state;
    for (size_t at = 0; at < len; at++) {
        AUTO(free_ptr) char *changed = xstrdup(text);
        changed[at] = '!';
        assert_int_equal(before_of(text, changed).shingles, 0);
        memset(changed + at, '!', len - at); /* all from there on */
        assert_int_equal(before_of(text, changed).shingles == 0, at >= len - len / 4);
    }
}

static void no_text_is_not_less(void **state)
{
    struct sketch none = {.shingles = 0};
    struct sketch some = sketch_of(str_of("a few words"));

    (void)state;
    assert_false(sketch_keeps_less(&none, &some, 4));
    assert_false(sketch_keeps_less(&some, &none, 4));
}

static void short_and_empty_texts_have_a_sketch(void **state)
{
    (void)state;
    assert_int_equal(sketch_of(str_of("")).shingles, 1);
    assert_int_equal(sketch_of(str_of("1234567")).shingles, 1);
    assert_int_equal(sketch_of(str_of("12345678")).shingles, 1);
    assert_int_equal(sketch_of(str_of("123456789")).shingles, 2);
    assert_true(keeps_less("1234567", "1234568", 1));
    assert_false(keeps_less("1234567", "1234567", 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_keeps_itself),
        cmocka_unit_test(another_text_keeps_nothing),
        cmocka_unit_test(an_edit_keeps_most),
        cmocka_unit_test(a_text_that_grows_tenfold_keeps_what_it_said),
        cmocka_unit_test(half_that_is_left_is_more_than_a_quarter_and_a_tenth_is_less),
        cmocka_unit_test(an_edit_on_the_face_of_it_needs_no_sketch),
        cmocka_unit_test(a_change_in_a_long_text_is_found_wherever_it_is),
        cmocka_unit_test(no_text_is_not_less),
        cmocka_unit_test(short_and_empty_texts_have_a_sketch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
