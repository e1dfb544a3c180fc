/* What a search finds: words, phrases, what filters let through, what is current. */
#include "search/world.h"

static void what_was_remembered_is_found_at_once(void **state)
{
    keep(*state, "the harbour is closed on Sundays", (struct about){0});
    assert_answer(*state, "harbour", "the harbour is closed on Sundays");
}

static void a_word_is_found_in_its_other_forms(void **state)
{
    keep(*state, "we migrated the databases", (struct about){0});
    assert_answer(*state, "migrating", "we migrated the databases");
    assert_answer(*state, "Database", "we migrated the databases");
}

static void a_word_that_is_nowhere_finds_nothing(void **state)
{
    keep(*state, "one thing", (struct about){0});
    assert_answer(*state, "zebra", "");
    assert_answer(*state, "", "");
    assert_answer(*state, "?! -- \"\"", "");
}

static void stop_words_count_only_when_alone(void **state)
{
    keep(*state, "what is the plan", (struct about){.session = 1});
    keep(*state, "the deploy failed", (struct about){.session = 2});
    assert_answer(*state, "what about the deploy", "the deploy failed");
    assert_answer(*state, "what is", "what is the plan");
}

static void a_quoted_phrase_must_be_there_as_it_is(void **state)
{
    keep(*state, "pool of connections", (struct about){.session = 1});
    keep(*state, "the connection pool is full", (struct about){.session = 2});
    assert_answer(*state, "\"connection pool\"", "the connection pool is full");
    assert_answer(*state, "\"pool connection\"", "");
    assert_answer(*state, "\xe2\x80\x9cpool of connections\xe2\x80\x9d", "pool of connections");
}

static void no_query_is_a_syntax_error(void **state)
{
    static const char *const queries[] = {
        "\"",          "a AND",      "NOT",          "harbour*",      "(harbour",   "harbour)",
        "col:harbour", "{a b}: c",   "NEAR(a b, 3)", "^harbour",      "a\"b\"c",    "-harbour",
        "+",           "'; DROP --", "\xff\xfe",     "\"\"harbour\"", "harbour OR", "\\",
    };

    keep(*state, "harbour", (struct about){0});
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        AUTO(answer_done) struct answer answer = ask(*state, queries[i]);
        assert_int_equal(answer.count, strstr(queries[i], "harbour") != NULL);
    }
}

static void identifiers_are_found_whole_and_by_their_parts(void **state)
{
    keep(*state, "call getUserName before src/auth/token_cache.c", (struct about){.session = 1});
    assert_answer(*state, "getusername", "call getUserName before src/auth/token_cache.c");
    assert_answer(*state, "user", "call getUserName before src/auth/token_cache.c");
    assert_answer(*state, "token_cache", "call getUserName before src/auth/token_cache.c");
    assert_answer(*state, "\"src/auth/token_cache.c\"",
                  "call getUserName before src/auth/token_cache.c");
    assert_answer(*state, "\"getUserName before\"",
                  "call getUserName before src/auth/token_cache.c");
    assert_answer(*state, "cache.c", "call getUserName before src/auth/token_cache.c");
}

static void a_whole_identifier_beats_its_parts(void **state)
{
    keep(*state, "the token of the cache", (struct about){.session = 1});
    keep(*state, "look at token_cache", (struct about){.session = 2});
    keep(*state, "a cache and a token", (struct about){.session = 3});
    AUTO(answer_done) struct answer answer = ask(*state, "token_cache");
    assert_int_equal(answer.count, 3);
    assert_string_equal(answer.hits[0].memory.content, "look at token_cache");
}

static void text_without_spaces_is_found_by_its_parts(void **state)
{
    keep(*state, "数据库迁移到新的服务器", (struct about){.session = 1});
    keep(*state, "天气很好", (struct about){.session = 2});
    keep(*state, "データベースを移行した", (struct about){.session = 3});
    assert_answer(*state, "迁移", "数据库迁移到新的服务器");
    assert_answer(*state, "数据库", "数据库迁移到新的服务器");
    assert_answer(*state, "\"新的服务器\"", "数据库迁移到新的服务器");
    assert_answer(*state, "移行", "データベースを移行した");
    assert_answer(*state, "好", "天气很好");
}

static void accents_and_case_do_not_matter(void **state)
{
    keep(*state, "Café Müller schließt", (struct about){0});
    assert_answer(*state, "cafe", "Café Müller schließt");
    assert_answer(*state, "MÜLLER", "Café Müller schließt");
}

static void tags_are_found_too(void **state)
{
    keep(*state, "use one writer", (struct about){.tag = "architecture"});
    assert_answer(*state, "architecture", "use one writer");
}

/* ---- what is current ---- */

static void a_changed_memory_is_found_by_its_new_words_only(void **state)
{
    keep(*state, "the old wording", (struct about){.id = 1});
    assert_answer(*state, "old", "the old wording");
    keep(*state, "the new wording", (struct about){.id = 1});
    assert_answer(*state, "old", "");
    assert_answer(*state, "new", "the new wording");
}

static void a_deleted_memory_is_not_found(void **state)
{
    struct world *world = *state;

    keep(world, "gone soon", (struct about){.id = 1});
    assert_answer(world, "gone", "gone soon");
    delete_of(world->home, id_of(1));
    assert_answer(world, "gone", "");
    keep(world, "gone and back", (struct about){.id = 1});
    assert_answer(world, "gone", "gone and back");
}

static void what_is_held_does_not_count_until_it_is_released(void **state)
{
    struct world *world = *state;

    keep(world, "precious", (struct about){.id = 1});
    struct written deletion = delete_of(world->home, id_of(1));
    assert_answer(world, "precious", "");
    decide(world, 1, DECISION_HELD, &deletion);
    assert_answer(world, "precious", "precious");
    decide(world, 1, DECISION_ACCEPTED, &deletion);
    assert_answer(world, "precious", "");
}

static void a_memory_all_of_whose_changes_are_held_is_not_found(void **state)
{
    struct written only = keep(*state, "never meant", (struct about){.id = 1});

    assert_answer(*state, "meant", "never meant");
    decide(*state, 1, DECISION_HELD, &only);
    assert_answer(*state, "meant", "");
    decide(*state, 1, DECISION_ACCEPTED, &only);
    assert_answer(*state, "meant", "never meant");
}

static void a_memory_that_moved_is_found_once(void **state)
{
    struct search_query query = {.text = "nomad", .limit = 10, .filter = MEMORY_FILTER_INIT};

    keep(*state, "a nomad", (struct about){.id = 1, .session = 1, .project = "p"});
    assert_answer(*state, "nomad", "a nomad");
    struct written moved =
        keep(*state, "a nomad", (struct about){.id = 1, .session = 2, .project = "q"});
    assert_answer(*state, "nomad", "a nomad");
    query.filter.project_id = "p";
    assert_answer_for(*state, &query, "");
    query.filter.project_id = "q";
    assert_answer_for(*state, &query, "a nomad");
    decide(*state, 1, DECISION_HELD, &moved); /* so it is back where it was */
    assert_answer_for(*state, &query, "");
    query.filter.project_id = "p";
    assert_answer_for(*state, &query, "a nomad");
}

/* ---- filters ---- */

static void a_filter_lets_through_what_it_names_and_nothing_else(void **state)
{
    struct search_query query = {.text = "apple", .limit = 10, .filter = MEMORY_FILTER_INIT};
    const char *tags[] = {"fruit"};

    keep(*state, "apple one", (struct about){.project = "p", .session = 1, .created_us = 100});
    keep(*state, "apple two",
         (struct about){.project = "q", .session = 2, .created_us = 200, .tag = "fruit"});
    keep(*state, "apple three", (struct about){.project = "q", .session = 3, .created_us = 300});
    query.filter.project_id = "p";
    assert_answer_for(*state, &query, "apple one");
    query.filter.project_id = "unknown";
    assert_answer_for(*state, &query, "");
    query.filter.project_id = NULL;
    query.filter.session_id = session_of(3);
    assert_answer_for(*state, &query, "apple three");
    query.filter.session_id = session_of(0);
    query.filter.since_us = 200;
    query.filter.until_us = 300;
    assert_answer_for(*state, &query, "apple two");
    query.filter = (struct memory_filter)MEMORY_FILTER_INIT;
    query.filter.tags = tags;
    query.filter.tag_count = 1;
    assert_answer_for(*state, &query, "apple two");
}

static void what_is_private_never_shows_in_another_project(void **state)
{
    struct search_query query = {.text = "secret", .limit = 10, .filter = MEMORY_FILTER_INIT};

    keep(*state, "secret of p", (struct about){.project = "p", .scope = SCOPE_PROJECT});
    query.filter.asking_project = "q";
    assert_answer_for(*state, &query, "");
    keep(*state, "secret of q", (struct about){.project = "q", .scope = SCOPE_PROJECT});
    assert_answer_for(*state, &query, "secret of q");
    query.filter.asking_project = "p";
    assert_answer_for(*state, &query, "secret of p");
    query.filter.asking_project = "never seen";
    assert_answer_for(*state, &query, "");
}

static void a_filter_that_few_pass_still_finds_them(void **state)
{
    struct search_query query = {.text = "needle", .limit = 3, .filter = MEMORY_FILTER_INIT};
    const char *tags[] = {"rare"};

    for (unsigned i = 0; i < 200; i++) {
        keep(*state, "needle needle", (struct about){.session = 1});
    }
    keep(*state, "a needle in a haystack of other words",
         (struct about){.session = 2, .tag = "rare"});
    query.filter.tags = tags;
    query.filter.tag_count = 1;
    assert_answer_for(*state, &query, "a needle in a haystack of other words");
}

static void a_tag_is_matched_as_it_is_written(void **state)
{
    struct search_query query = {.text = "apple", .limit = 10, .filter = MEMORY_FILTER_INIT};
    const char *tags[] = {"Red Fruit", "🍎"};

    query.filter.tags = tags;
    keep(*state, "apple one", (struct about){.tag = "Red Fruit"});
    keep(*state, "apple two", (struct about){.tag = "red fruit"});
    keep(*state, "apple three", (struct about){.tag = "🍎"});
    query.filter.tag_count = 1;
    assert_answer_for(*state, &query, "apple one");
    query.filter.tag_count = 2;
    assert_answer_for(*state, &query, "");
    query.filter.tags = &tags[1];
    query.filter.tag_count = 1;
    assert_answer_for(*state, &query, "apple three");
    tags[1] = "unknown tag";
    assert_answer_for(*state, &query, "");
    tags[1] = "\"red\" OR fruit";
    assert_answer_for(*state, &query, "");
}

static void no_more_than_the_limit_come(void **state)
{
    struct search_query query = {.text = "many", .limit = 3, .filter = MEMORY_FILTER_INIT};

    for (unsigned i = 0; i < 5; i++) {
        keep(*state, "many", (struct about){.session = i + 1});
    }
    AUTO(answer_done) struct answer answer = ask_for(*state, &query);
    assert_int_equal(answer.count, 3);
}

static void a_limit_or_a_query_out_of_bounds_is_refused(void **state)
{
    struct world *world = *state;
    struct search_query query = {.text = "x", .limit = 0, .filter = MEMORY_FILTER_INIT};
    char text[SEARCH_QUERY_MAX_BYTES + 2];
    struct answer answer;
    struct err err = ERR_INIT;

    assert_refused(
        index_search(world->index, &query, deadline_in(0), &answer.hits, &answer.count, &err), &err,
        ERR_INVALID, "limit");
    query.limit = SEARCH_LIMIT_MAX + 1;
    assert_refused(
        index_search(world->index, &query, deadline_in(0), &answer.hits, &answer.count, &err), &err,
        ERR_INVALID, "limit");
    query.limit = SEARCH_LIMIT_MAX;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    query.text = text;
    assert_refused(
        index_search(world->index, &query, deadline_in(0), &answer.hits, &answer.count, &err), &err,
        ERR_LIMIT, "query");
    text[SEARCH_QUERY_MAX_BYTES] = '\0';
    assert_answer_for(world, &query, "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_was_remembered_is_found_at_once),
        TEST(a_word_is_found_in_its_other_forms),
        TEST(a_word_that_is_nowhere_finds_nothing),
        TEST(stop_words_count_only_when_alone),
        TEST(a_quoted_phrase_must_be_there_as_it_is),
        TEST(no_query_is_a_syntax_error),
        TEST(identifiers_are_found_whole_and_by_their_parts),
        TEST(a_whole_identifier_beats_its_parts),
        TEST(text_without_spaces_is_found_by_its_parts),
        TEST(accents_and_case_do_not_matter),
        TEST(tags_are_found_too),
        TEST(a_changed_memory_is_found_by_its_new_words_only),
        TEST(a_deleted_memory_is_not_found),
        TEST(what_is_held_does_not_count_until_it_is_released),
        TEST(a_memory_all_of_whose_changes_are_held_is_not_found),
        TEST(a_memory_that_moved_is_found_once),
        TEST(a_filter_lets_through_what_it_names_and_nothing_else),
        TEST(what_is_private_never_shows_in_another_project),
        TEST(a_filter_that_few_pass_still_finds_them),
        TEST(a_tag_is_matched_as_it_is_written),
        TEST(no_more_than_the_limit_come),
        TEST(a_limit_or_a_query_out_of_bounds_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
