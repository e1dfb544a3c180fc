/* In what order memories are found: by their own words, their neighbours' and their session's. */
#include "search/world.h"

static void assert_first(struct world *world, const char *text, const char *expected)
{
    AUTO(answer_done) struct answer answer = ask(world, text);

    assert_true(answer.count > 0);
    assert_string_equal(answer.hits[0].memory.content, expected);
}

/* Sessions about other things, so that frequencies mean something. */
static void add_noise(struct world *world)
{
    for (unsigned i = 0; i < 20; i++) {
        AUTO(free_ptr) char *text = xprintf("chatter number %u about lunch", i);
        keep(world, text, (struct about){.session = 100 + i / 4});
    }
}

static void more_of_the_words_is_better(void **state)
{
    add_noise(*state);
    keep(*state, "the parser broke", (struct about){.session = 1});
    keep(*state, "the parser broke on unicode", (struct about){.session = 2});
    assert_first(*state, "parser unicode", "the parser broke on unicode");
}

static void a_rare_word_weighs_more_than_a_common_one(void **state)
{
    add_noise(*state);
    keep(*state, "zeppelin", (struct about){.session = 1});
    assert_first(*state, "zeppelin lunch", "zeppelin");
}

static void a_shorter_text_is_better(void **state)
{
    add_noise(*state);
    keep(*state, "the parser and then a good many other words that say nothing of it",
         (struct about){.session = 1});
    keep(*state, "parser here", (struct about){.session = 2});
    assert_first(*state, "parser", "parser here");
}

static void a_reply_is_found_by_what_it_replies_to(void **state)
{
    add_noise(*state);
    keep(*state, "which database did we choose for the ledger?", (struct about){.session = 1});
    keep(*state, "it was SQLite in the end", (struct about){.session = 1});
    AUTO(answer_done) struct answer answer = ask(*state, "database for the ledger");
    assert_int_equal(answer.count, 2);
    assert_string_equal(answer.hits[1].memory.content, "it was SQLite in the end");
    assert_true(answer.hits[0].score > answer.hits[1].score);
}

static void a_window_is_two_back_and_within_one_session(void **state)
{
    add_noise(*state);
    keep(*state, "zeppelin over the harbour", (struct about){.session = 1});
    keep(*state, "one after", (struct about){.session = 1});
    keep(*state, "two after", (struct about){.session = 1});
    keep(*state, "three after", (struct about){.session = 1});
    keep(*state, "another session", (struct about){.session = 2});
    AUTO(answer_done) struct answer answer = ask(*state, "zeppelin harbour");
    AUTO(free_ptr) char *found = contents(&answer);
    assert_int_equal(answer.count, 3);
    assert_null(strstr(found, "three after"));
    assert_null(strstr(found, "another"));
}

static void a_lookup_of_one_word_brings_no_neighbours(void **state)
{
    keep(*state, "zeppelin over the harbour", (struct about){.session = 1});
    keep(*state, "one after", (struct about){.session = 1});
    assert_answer(*state, "zeppelin", "zeppelin over the harbour");
    assert_answer(*state, "\"the harbour\"", "zeppelin over the harbour");
}

static void what_was_deleted_lends_no_words(void **state)
{
    struct world *world = *state;

    add_noise(world);
    keep(world, "zeppelin over the harbour", (struct about){.id = 1, .session = 1});
    keep(world, "one after", (struct about){.session = 1});
    delete_of(world->home, id_of(1));
    assert_answer(world, "zeppelin harbour", "");
}

static void a_session_about_the_matter_lifts_what_was_said_there(void **state)
{
    add_noise(*state);
    for (unsigned i = 0; i < 6; i++) {
        keep(*state, "kubernetes cluster notes", (struct about){.session = 1});
        keep(*state, "breakfast menu notes", (struct about){.session = 2});
    }
    keep(*state, "upgrade the nodes one by one", (struct about){.session = 1});
    keep(*state, "upgrade the coffee of the house", (struct about){.session = 2});
    AUTO(answer_done) struct answer answer = ask(*state, "kubernetes upgrade");
    AUTO(free_ptr) char *found = contents(&answer);
    const char *nodes = strstr(found, "upgrade the nodes");
    const char *coffee = strstr(found, "upgrade the coffee");
    assert_non_null(nodes);
    assert_true(coffee == NULL || nodes < coffee);
}

static void without_a_session_there_is_still_a_window(void **state)
{
    add_noise(*state);
    keep(*state, "which database for the ledger?", (struct about){0});
    keep(*state, "it was SQLite", (struct about){0});
    AUTO(answer_done) struct answer answer = ask(*state, "database ledger");
    assert_int_equal(answer.count, 2);
}

static void equals_come_newest_first_then_by_id(void **state)
{
    keep(*state, "twin", (struct about){.id = 3, .session = 1, .created_us = 100});
    keep(*state, "twin", (struct about){.id = 1, .session = 2, .created_us = 200});
    keep(*state, "twin", (struct about){.id = 5, .session = 3, .created_us = 200});
    keep(*state, "twin", (struct about){.id = 4, .session = 4, .created_us = 200});
    AUTO(answer_done) struct answer answer = ask(*state, "twin");
    static const unsigned expected[] = {1, 4, 5, 3};
    assert_int_equal(answer.count, 4);
    for (size_t i = 0; i < 4; i++) {
        struct uuid id = id_of(expected[i]);
        assert_true(uuid_eq(&answer.hits[i].memory.id, &id));
    }
}

static void a_long_session_is_scored_across_its_chunks(void **state)
{
    struct search_query query = {
        .text = "zeppelin harbour", .limit = 1000, .filter = MEMORY_FILTER_INIT};

    for (unsigned i = 0; i < 200; i++) {
        bool here = i == 63 || i == 128; /* the last of a chunk, and the first of one */
        keep(*state, here ? "zeppelin over the harbour" : "nothing of note",
             (struct about){.session = 1});
    }
    AUTO(answer_done) struct answer answer = ask_for(*state, &query);
    assert_int_equal(answer.count, 6); /* each with two after it */
    assert_string_equal(answer.hits[0].memory.content, "zeppelin over the harbour");
    assert_string_equal(answer.hits[1].memory.content, "zeppelin over the harbour");
    query.filter.session_id = session_of(2);
    assert_answer_for(*state, &query, "");
}

static void the_filter_leaves_out_no_words_of_neighbours(void **state)
{
    struct search_query query = {
        .text = "database ledger", .limit = 10, .filter = MEMORY_FILTER_INIT};

    add_noise(*state);
    keep(*state, "which database for the ledger?", (struct about){.session = 1, .created_us = 100});
    keep(*state, "it was SQLite", (struct about){.session = 1, .created_us = 200});
    query.filter.since_us = 150;
    assert_answer_for(*state, &query, "it was SQLite");
}

static void the_same_question_gives_the_same_answer_after_a_rebuild(void **state)
{
    struct world *world = *state;
    static const char *const questions[] = {"chatter lunch", "number 7", "parser",
                                            "chatter parser unicode"};
    AUTO(free_ptr) char *path = xprintf("%s/live/index.db", world->home->path);

    add_noise(world);
    keep(world, "the parser broke on unicode", (struct about){.id = 1, .session = 1});
    keep(world, "the parser was mended", (struct about){.id = 1, .session = 2});
    delete_of(world->home, keep(world, "gone", (struct about){.session = 2}).id);
    for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
        AUTO(answer_done) struct answer before = ask(world, questions[i]);
        world_close(world);
        assert_int_equal(unlink(path), 0);
        world_open(world);
        AUTO(answer_done) struct answer after = ask(world, questions[i]);
        assert_int_equal(before.count, after.count);
        for (size_t j = 0; j < after.count; j++) {
            assert_true(uuid_eq(&before.hits[j].memory.id, &after.hits[j].memory.id));
            assert_true(before.hits[j].score >= after.hits[j].score &&
                        before.hits[j].score <= after.hits[j].score);
        }
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(more_of_the_words_is_better),
        TEST(a_rare_word_weighs_more_than_a_common_one),
        TEST(a_shorter_text_is_better),
        TEST(a_reply_is_found_by_what_it_replies_to),
        TEST(a_window_is_two_back_and_within_one_session),
        TEST(a_lookup_of_one_word_brings_no_neighbours),
        TEST(what_was_deleted_lends_no_words),
        TEST(a_session_about_the_matter_lifts_what_was_said_there),
        TEST(without_a_session_there_is_still_a_window),
        TEST(equals_come_newest_first_then_by_id),
        TEST(a_long_session_is_scored_across_its_chunks),
        TEST(the_filter_leaves_out_no_words_of_neighbours),
        TEST(the_same_question_gives_the_same_answer_after_a_rebuild),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
