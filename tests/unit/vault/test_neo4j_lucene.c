/* What is asked of the full-text index: text, in which nothing is syntax. */
#include "support/unit.h"

#include "vault/neo4j_vault.h"

static void assert_lucene(const char *const *texts, size_t count, const char *expected)
{
    AUTO(buf_done) struct buf buf = BUF_INIT(1000);
    struct err err = ERR_INIT;

    assert_ok(neo4j_lucene(texts, count, &buf, &err), &err);
    assert_string_equal(buf.data, expected);
}

static void each_text_is_a_phrase_in_quotes(void **state)
{
    static const char *const texts[] = {"deploy", "src/foo.c", "to be"};

    (void)state;
    assert_lucene(texts, 3, "\"deploy\" \"src/foo.c\" \"to be\"");
    assert_lucene(texts, 1, "\"deploy\"");
}

static void quotes_and_backslashes_are_escaped(void **state)
{
    static const char *const cases[][2] = {
        {"a\"b", "\"a\\\"b\""},       {"\"", "\"\\\"\""},
        {"\\", "\"\\\\\""},           {"a\\\" OR b", "\"a\\\\\\\" OR b\""},
        {"\\u0022", "\"\\\\u0022\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_lucene(&cases[i][0], 1, cases[i][1]);
    }
}

static void all_else_is_as_it_was(void **state)
{
    static const char *const texts[] = {"+ - && || ! ( ) { } [ ] ^ ~ * ? : / AND OR NOT TO $x 'y'",
                                        "a\nb\tc", "数据 ünï"};

    (void)state;
    assert_lucene(texts, 3,
                  "\"+ - && || ! ( ) { } [ ] ^ ~ * ? : / AND OR NOT TO $x 'y'\" \"a\nb\tc\" "
                  "\"数据 ünï\"");
}

static void what_is_too_much_is_refused(void **state)
{
    static const char *const texts[] = {"0123456789"};
    AUTO(buf_done) struct buf fits = BUF_INIT(12);
    AUTO(buf_done) struct buf small = BUF_INIT(11);
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(neo4j_lucene(texts, 1, &fits, &err), &err);
    assert_int_equal(neo4j_lucene(texts, 1, &small, &err), -ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest neo4j_lucene_tests[] = {
        cmocka_unit_test(each_text_is_a_phrase_in_quotes),
        cmocka_unit_test(quotes_and_backslashes_are_escaped),
        cmocka_unit_test(all_else_is_as_it_was),
        cmocka_unit_test(what_is_too_much_is_refused),
    };

    return cmocka_run_group_tests(neo4j_lucene_tests, NULL, NULL);
}
