/* What of a query is looked for, and how a snippet shows it. */
#include "search/words_rig.h"

#include "base/utf8.h"
#include "search/index.h"
#include "search/snippet.h"

static void assert_terms(struct rig *rig, const char *text, const char *expected)
{
    AUTO(query_terms_done) struct query_terms terms;

    query_terms_parse(rig->words, str_of(text), &terms);
    AUTO(free_ptr) char *expression = query_terms_expression(&terms);
    if (expected == NULL) {
        assert_null(expression);
    } else {
        assert_non_null(expression);
        assert_string_equal(expression, expected);
    }
}

static void words_are_terms_each_once(void **state)
{
    assert_terms(*state, "Deploy failed, deploys failing", "\"deploy\" OR \"failed\"");
}

static void stop_words_go_unless_there_is_nothing_else(void **state)
{
    assert_terms(*state, "What did we do about the deploy?", "\"deploy\"");
    assert_terms(*state, "who are you", "\"who\" OR \"are\" OR \"you\"");
    assert_terms(*state, "why didn't it start", "\"start\"");
    assert_terms(*state, "why didn’t it start", "\"start\"");
    assert_terms(*state, "Caroline's dog", "\"caroline\" OR \"dog\"");
}

static void phrases_keep_their_words_in_order(void **state)
{
    assert_terms(*state, "\"to be\" or not", "\"to be\"");
    assert_terms(*state, "the “Connection Pool” size", "\"connection pool\" OR \"size\"");
    assert_terms(*state, "an odd \"quote", "\"odd\" OR \"quote\"");
    assert_terms(*state, "\"\" \"!\"", NULL);
    assert_terms(*state, "\"GitHub Actions\"", "\"github actions\"");
}

static void what_signs_hold_together_is_a_phrase_too(void **state)
{
    assert_terms(*state, "src/foo.c", "\"src\" OR \"foo\" OR \"c\" OR \"src foo c\"");
    assert_terms(*state, "user_name", "\"user\" OR \"name\" OR \"user name\"");
    assert_terms(*state, "up-to-date", "\"date\"");
}

static void camel_case_is_looked_for_whole_and_in_parts(void **state)
{
    assert_terms(*state, "getUserName", "\"getusername\" OR \"get\" OR \"user\" OR \"name\"");
}

static void characters_are_looked_for_in_pairs(void **state)
{
    assert_terms(*state, "数据库", "\"数 据\" OR \"据 库\"");
    assert_terms(*state, "库", "\"库\"");
    assert_terms(*state, "API数据", "\"api\" OR \"数 据\"");
    assert_terms(*state, "\"数据库\"", "\"数 据 库\"");
}

static void a_query_has_so_many_terms_and_no_more(void **state)
{
    AUTO(query_terms_done) struct query_terms terms;
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    struct rig *rig = *state;
    struct err err = ERR_INIT;

    for (int i = 0; i <= QUERY_TERMS_MAX; i++) {
        assert_ok(buf_printf(&text, &err, "the w%d ", i), &err);
        if (i == QUERY_TERMS_MAX - 1) {
            query_terms_parse(rig->words, buf_str(&text), &terms);
            assert_int_equal(terms.count, QUERY_TERMS_MAX);
            query_terms_done(&terms);
        }
    }
    query_terms_parse(rig->words, buf_str(&text), &terms);
    assert_int_equal(terms.count, QUERY_TERMS_MAX);
}

/* What was typed, with | between. */
static void assert_typed(struct rig *rig, const char *text, const char *expected)
{
    AUTO(query_terms_done) struct query_terms terms;
    AUTO(buf_done) struct buf all = BUF_INIT(4096);
    struct err err = ERR_INIT;

    query_terms_parse(rig->words, str_of(text), &terms);
    for (size_t i = 0; i < terms.typed_count; i++) {
        assert_ok(buf_printf(&all, &err, "%s%s", i == 0 ? "" : "|", terms.typed[i]), &err);
    }
    assert_string_equal(all.len == 0 ? "" : all.data, expected);
}

static void what_was_typed_is_kept_as_it_was_for_other_indexes(void **state)
{
    assert_typed(*state, "Why did the Deploys fail?!", "Deploys|fail");
    assert_typed(*state, "deploy DEPLOY Déployé", "deploy|Déployé");
    assert_typed(*state, "Caroline's token_cache (src/foo.c)",
                 "Caroline|Caroline's|token|cache|token_cache|src|foo|c|src/foo.c");
    assert_typed(*state, "getUserName()", "getUserName|get|User|Name");
    assert_typed(*state, "the “Connection, of Pool” a \"to be\"", "Connection, of Pool|to be");
    assert_typed(*state, "数据库API", "数据|据库|API|数据库API");
    assert_typed(*state, "up to", "up|to");
    assert_typed(*state, "- !! \"?\" ", "");
}

static void no_more_is_kept_of_what_was_typed_than_there_are_terms(void **state)
{
    AUTO(query_terms_done) struct query_terms terms;
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    struct rig *rig = *state;
    struct err err = ERR_INIT;

    for (int i = 0; i <= QUERY_TERMS_MAX; i++) {
        assert_ok(buf_printf(&text, &err, "w%d ", i), &err);
    }
    query_terms_parse(rig->words, buf_str(&text), &terms);
    assert_int_equal(terms.typed_count, QUERY_TERMS_MAX);
    assert_string_equal(terms.typed[QUERY_TERMS_MAX - 1], "w63");
}

static void assert_lookup(struct rig *rig, const char *text, bool expected)
{
    AUTO(query_terms_done) struct query_terms terms;

    query_terms_parse(rig->words, str_of(text), &terms);
    assert_int_equal(terms.lookup, expected);
}

static void a_word_or_a_phrase_alone_is_a_lookup(void **state)
{
    assert_lookup(*state, "deploy", true);
    assert_lookup(*state, "the deploy", true);
    assert_lookup(*state, "\"deploy failed\"", true);
    assert_lookup(*state, "deployFailed", true);
    assert_lookup(*state, "数据", true);
    assert_lookup(*state, "why did the deploy fail", false);
    assert_lookup(*state, "数据库迁移", false);
}

/* ---- snippets ---- */

static char *snippet(struct rig *rig, const char *query, const char *content, bool *ret_found)
{
    AUTO(query_terms_done) struct query_terms terms;

    query_terms_parse(rig->words, str_of(query), &terms);
    return snippet_make(rig->words, &terms, str_of(content), ret_found);
}

static void assert_snippet(struct rig *rig, const char *query, const char *content,
                           const char *expected)
{
    bool found;
    AUTO(free_ptr) char *made = snippet(rig, query, content, &found);

    assert_string_equal(made, expected);
    assert_int_equal(found, strchr(expected, '[') != NULL);
}

static void what_was_found_is_marked(void **state)
{
    assert_snippet(*state, "database migration", "We migrated  both\ndatabases today.",
                   "We [migrated] both [databases] today.");
    assert_snippet(*state, "nothing", "We migrated.", "We migrated.");
    assert_snippet(*state, "据库", "新数据库。", "新数[据库]。");
}

static void only_whole_phrases_are_marked(void **state)
{
    assert_snippet(*state, "\"a b\"", "b a a b a", "b a [a b] a");
    assert_snippet(*state, "\"a a b\"", "a a a b", "a [a a b]");
    assert_snippet(*state, "\"github actions\"", "GitHub Actions", "[GitHub Actions]");
    assert_snippet(*state, "\"hub actions\"", "GitHub Actions", "[GitHub Actions]");
}

static void parts_and_wholes_are_marked_once(void **state)
{
    assert_snippet(*state, "getUserName", "x getUserName()", "x [getUserName]()");
    assert_snippet(*state, "user", "x getUserName()", "x get[User]Name()");
    assert_snippet(*state, "user_name", "a user_name b", "a [user_name] b");
}

static void control_bytes_come_out_as_spaces(void **state)
{
    assert_snippet(*state, "red", "\x1b[31m red\x07\x7f end", "[31m [red] end");
}

/* `count` times the text, and the needle in the middle. */
static char *hay(const char *text, int count, const char *needle)
{
    struct buf buf = BUF_INIT(1 << 20);
    struct err err = ERR_INIT;

    for (int i = 0; i < count; i++) {
        assert_ok(buf_printf(&buf, &err, "%s%s", text, i == count / 2 ? needle : ""), &err);
    }
    return buf_take(&buf);
}

static void the_part_with_the_words_is_shown(void **state)
{
    AUTO(free_ptr)
    char *content = hay("straw and more of it ", 100, "the needle lies here with a pin ");
    bool found;
    AUTO(free_ptr) char *made = snippet(*state, "needle pin", content, &found);

    assert_non_null(strstr(made, "the [needle] lies here with a [pin] straw"));
    assert_int_equal(strncmp(made, "… ", 4), 0);
    assert_string_equal(made + strlen(made) - 3, "…");
    assert_true(strlen(made) <= SNIPPET_MAX_BYTES);
}

static void a_snippet_is_short_and_valid_whatever_the_content(void **state)
{
    static const char *const texts[] = {"é", "数",       "needle", "needle ",          "\n",
                                        "x", "数needle", "😀",      "needle needlepin "};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        AUTO(free_ptr) char *content = hay(texts[i], 3000, " needle ");
        struct err err = ERR_INIT;
        size_t characters;
        bool found;
        AUTO(free_ptr) char *made = snippet(*state, "needle pin 数据", content, &found);
        assert_true(strlen(made) <= SNIPPET_MAX_BYTES);
        assert_ok(utf8_check(str_of(made), &characters, &err), &err);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        TEST(words_are_terms_each_once),
        TEST(stop_words_go_unless_there_is_nothing_else),
        TEST(phrases_keep_their_words_in_order),
        TEST(what_signs_hold_together_is_a_phrase_too),
        TEST(camel_case_is_looked_for_whole_and_in_parts),
        TEST(characters_are_looked_for_in_pairs),
        TEST(a_query_has_so_many_terms_and_no_more),
        TEST(what_was_typed_is_kept_as_it_was_for_other_indexes),
        TEST(no_more_is_kept_of_what_was_typed_than_there_are_terms),
        TEST(a_word_or_a_phrase_alone_is_a_lookup),
        TEST(what_was_found_is_marked),
        TEST(only_whole_phrases_are_marked),
        TEST(parts_and_wholes_are_marked_once),
        TEST(control_bytes_come_out_as_spaces),
        TEST(the_part_with_the_words_is_shown),
        TEST(a_snippet_is_short_and_valid_whatever_the_content),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
