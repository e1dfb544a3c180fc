/* Changes of other installations: they come in as they were, and every replica decides the same. */
#include "ledger/chain.h"

static struct chain a;
static struct chain b;

static int setup(void **state)
{
    chain_init(&a, 1);
    chain_init(&b, 2);
    return home_setup(state);
}

static int teardown(void **state)
{
    chain_done(&a);
    chain_done(&b);
    return home_teardown(state);
}

static void heads_are(struct home *home, size_t expected)
{
    AUTO(free_ptr) struct head *heads = NULL;
    struct reader *reader;
    struct err err = ERR_INIT;
    size_t count;

    assert_ok(read_begin(home->ledger, &reader, &err), &err);
    assert_ok(read_heads(reader, &heads, &count, &err), &err);
    read_end(reader);
    assert_int_equal(count, expected);
}

static void a_change_comes_in_as_it_was(void **state)
{
    put(*state, id_of(1), "mine");
    const struct change *change =
        chain_memory(&a, PUT(id_of(2), "theirs", 1, .project = "elsewhere"));
    import(*state, change);
    assert_content(*state, id_of(2), "theirs");
    heads_are(*state, 2);
    assert_int_equal(assert_verifies(*state), 3);
    put(*state, id_of(3), "mine again");
    assert_int_equal(assert_verifies(*state), 4);
}

static void a_change_that_is_here_already_is_skipped(void **state)
{
    struct err err = ERR_INIT;
    bool new = true;

    const struct change *change = chain_memory(&a, PUT(id_of(1), "once", 1));
    import(*state, change);
    assert_ok(try_import(*state, change, &new, &err), &err);
    assert_false(new);
    assert_int_equal(assert_verifies(*state), 1);
}

static void a_gap_is_refused(void **state)
{
    struct err err = ERR_INIT;
    bool new;

    (void)chain_memory(&a, PUT(id_of(1), "lost", 1));
    const struct change *second = chain_memory(&a, PUT(id_of(2), "second", 1));
    assert_refused(try_import(*state, second, &new, &err), &err, ERR_CORRUPT,
                   "a gap: the last one here is 0");
}

static void a_wrong_prev_is_refused(void **state)
{
    struct err err = ERR_INIT;
    bool new;

    import(*state, chain_memory(&a, PUT(id_of(1), "first", 1)));
    a.hash.bytes[0] ^= 1;
    const struct change *second = chain_memory(&a, PUT(id_of(2), "second", 1));
    assert_refused(try_import(*state, second, &new, &err), &err, ERR_CORRUPT, "prev");
}

static void a_fork_is_refused(void **state)
{
    struct chain other;
    struct err err = ERR_INIT;
    bool new;

    import(*state, chain_memory(&a, PUT(id_of(1), "one story", 1)));
    chain_init(&other, 1);
    assert_refused(
        try_import(*state, chain_memory(&other, PUT(id_of(1), "another story", 1)), &new, &err),
        &err, ERR_CORRUPT, "a fork");
    chain_done(&other);
}

/* The same changes of two origins in both orders. */
static void assert_same_winner(struct home *home, struct chain_put first, struct chain_put second,
                               const char *winner)
{
    for (int turn = 0; turn < 2; turn++) {
        first.id = second.id = id_of((unsigned)(100 + turn));
        if (turn == 0) {
            import(home, chain_memory(&a, first));
            import(home, chain_memory(&b, second));
        } else {
            import(home, chain_memory(&b, second));
            import(home, chain_memory(&a, first));
        }
        assert_content(home, first.id, winner);
    }
    assert_int_equal(assert_verifies(home), 4);
}

static void the_higher_version_wins_whatever_the_order(void **state)
{
    assert_same_winner(
        *state, (struct chain_put){.content = "older", .version = 2, .updated_us = HOME_NOW_US + 9},
        (struct chain_put){.content = "newer", .version = 3, .updated_us = HOME_NOW_US}, "newer");
}

static void then_the_later_update_wins(void **state)
{
    assert_same_winner(
        *state, (struct chain_put){.content = "later", .version = 2, .updated_us = HOME_NOW_US + 9},
        (struct chain_put){.content = "earlier", .version = 2, .updated_us = HOME_NOW_US}, "later");
}

static void then_the_greater_origin_wins(void **state)
{
    assert_same_winner(*state, (struct chain_put){.content = "of one", .version = 2},
                       (struct chain_put){.content = "of two", .version = 2}, "of two");
}

static void a_tombstone_wins_like_any_version(void **state)
{
    assert_same_winner(*state, (struct chain_put){.content = "x", .version = 2, .deleted = true},
                       (struct chain_put){.content = "x", .version = 1}, NULL);
    assert_int_equal(counts_of(*state).deleted, 2);
    assert_int_equal(counts_of(*state).memories, 0);
}

static void our_next_version_is_above_what_came_in(void **state)
{
    import(*state, chain_memory(&a, PUT(id_of(1), "theirs", 7)));
    assert_int_equal(put(*state, id_of(1), "mine").version, 8);
}

/* What is journaled is never lost, whatever its version: a recovery brings it as it was. */
static void the_highest_version_comes_in_as_it_was_and_nothing_goes_on_from_it(void **state)
{
    AUTO(memory_done) struct memory memory = memory_of("one more");
    AUTO(memory_done) struct memory theirs;

    import(*state, chain_memory(&a, PUT(id_of(1), "theirs", VERSION_MAX)));
    memory_init(&theirs);
    get(*state, id_of(1), &theirs);
    assert_string_equal(theirs.content, "theirs");
    assert_int_equal(theirs.version, VERSION_MAX);
    memory.id = id_of(1);
    struct written written = try_put(*state, &memory);
    assert_refused_draft(&written, ERR_LIMIT, "the highest there is");
    assert_verifies(*state);
}

/* A memory that moves to another project and session takes its place with it; counts follow. */
static void a_memory_may_move_to_another_project(void **state)
{
    AUTO(memory_done) struct memory memory = memory_of("wanderer");

    put(*state, id_of(9), "stays");
    memory.id = id_of(1);
    put_memory(*state, &memory);
    free(memory.project_id);
    memory.project_id = xstrdup("q");
    memory.session_id = id_of(55);
    assert_int_equal(put_memory(*state, &memory).version, 2);
    assert_content(*state, id_of(1), "wanderer");
    assert_verifies(*state);
    assert_int_equal(store_live(((struct home *)*state)->ledger->store, "p"), 1);
    assert_int_equal(store_live(((struct home *)*state)->ledger->store, "q"), 1);
    home_close(*state);
    home_open(*state);
    assert_int_equal(store_live(((struct home *)*state)->ledger->store, "p"), 1);
    assert_int_equal(store_live(((struct home *)*state)->ledger->store, "q"), 1);
}

/* ---- other kinds ---- */

static void embeddings_and_tasks_are_kept_with_their_history(void **state)
{
    struct change change = {
        .kind = KIND_EMBEDDING, .op = OP_PUT, .version = 1, .at_us = HOME_NOW_US};
    struct err err = ERR_INIT;
    struct uuid id = id_of(1);

    uuid_format(&id, change.id);
    for (int i = 0; i < 2; i++) {
        buf_reset(&a.body);
        assert_ok(buf_add_c(&a.body, "{\"dims\":3}", &err), &err);
        import(*state, chain_next(&a, change));
        change.version++;
    }
    change = (struct change){
        .kind = KIND_TASK, .op = OP_PUT, .id = "T-1", .version = 1, .at_us = HOME_NOW_US};
    buf_reset(&a.body);
    assert_ok(buf_add_c(&a.body, "{}", &err), &err);
    import(*state, chain_next(&a, change));
    assert_int_equal(assert_verifies(*state), 3);
}

static void a_session_of_two_origins_has_one_state(void **state)
{
    struct change change = {
        .kind = KIND_SESSION, .op = OP_PUT, .project_id = "p", .version = 2, .at_us = HOME_NOW_US};
    AUTO(session_done) struct session session;
    struct session found;
    struct reader *reader;
    struct err err = ERR_INIT;
    struct uuid id = id_of(5);
    struct home *home = *state;

    session_init(&session);
    session.project_id = xstrdup("p");
    session.started_us = HOME_NOW_US;
    session.summary = xstrdup("the better one");
    uuid_format(&id, change.id);
    buf_reset(&b.body);
    assert_ok(session_write_body(&session, &b.body, &err), &err);
    import(home, chain_next(&b, change));
    session.summary[0] = 'T';
    change.version = 1;
    buf_reset(&a.body);
    assert_ok(session_write_body(&session, &a.body, &err), &err);
    import(home, chain_next(&a, change));
    session_init(&found);
    assert_ok(read_begin(home->ledger, &reader, &err), &err);
    assert_ok(read_session(reader, &id, &found, &err), &err);
    read_end(reader);
    assert_string_equal(found.summary, "the better one");
    session_done(&found);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_change_comes_in_as_it_was),
        TEST(a_change_that_is_here_already_is_skipped),
        TEST(a_gap_is_refused),
        TEST(a_wrong_prev_is_refused),
        TEST(a_fork_is_refused),
        TEST(the_higher_version_wins_whatever_the_order),
        TEST(then_the_later_update_wins),
        TEST(then_the_greater_origin_wins),
        TEST(a_tombstone_wins_like_any_version),
        TEST(our_next_version_is_above_what_came_in),
        TEST(the_highest_version_comes_in_as_it_was_and_nothing_goes_on_from_it),
        TEST(a_memory_may_move_to_another_project),
        TEST(embeddings_and_tasks_are_kept_with_their_history),
        TEST(a_session_of_two_origins_has_one_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
