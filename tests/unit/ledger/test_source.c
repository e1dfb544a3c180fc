/* Where a source stands: set with its changes, and only with them. */
#include "ledger/home.h"

static char *position_of(struct home *home, const char *source)
{
    struct reader *reader = NULL;
    struct err err = ERR_INIT;
    char *text = NULL;

    assert_ok(read_begin(home->ledger, &reader, &err), &err);
    int result = read_source_position(reader, source, &text, &err);
    read_end(reader);
    assert_true(result == 0 || err.code == ERR_NOT_FOUND);
    return text;
}

static int write_at(struct home *home, const struct draft *drafts, size_t count, const char *text,
                    struct written *ret, struct err *err)
{
    struct source_position position = {.source = "app", .text = text};

    return ledger_write_source(home->ledger, drafts, count, &position, ret, err);
}

static void a_source_that_was_never_captured_has_no_position(void **state)
{
    assert_null(position_of(*state, "app"));
}

static void the_position_comes_with_the_changes_and_survives(void **state)
{
    struct home *home = *state;
    AUTO(memory_done) struct memory memory = memory_of("row");
    struct draft draft = {.kind = KIND_MEMORY, .memory = &memory, .source = "app"};
    struct written written;
    struct err err = ERR_INIT;

    assert_ok(write_at(home, &draft, 1, "0/10", &written, &err), &err);
    assert_written(&written);
    home_close(home);
    home_open(home);
    AUTO(free_ptr) char *text = position_of(home, "app");
    assert_string_equal(text, "0/10");
    assert_null(position_of(home, "other"));
}

static void a_position_alone_is_set_and_journals_nothing(void **state)
{
    struct home *home = *state;
    struct err err = ERR_INIT;

    assert_ok(write_at(home, NULL, 0, "0/10", NULL, &err), &err);
    assert_ok(write_at(home, NULL, 0, "0/20", NULL, &err), &err);
    AUTO(free_ptr) char *text = position_of(home, "app");
    assert_string_equal(text, "0/20");
    assert_int_equal(counts_of(home).changes, 0);
}

static void a_position_has_1_to_4096_bytes(void **state)
{
    char text[SOURCE_POSITION_MAX + 2];
    struct err err = ERR_INIT;

    memset(text, 'x', sizeof(text));
    text[SOURCE_POSITION_MAX + 1] = '\0';
    assert_refused(write_at(*state, NULL, 0, text, NULL, &err), &err, ERR_LIMIT, "4097 bytes");
    text[SOURCE_POSITION_MAX] = '\0';
    assert_ok(write_at(*state, NULL, 0, text, NULL, &err), &err);
    assert_refused(write_at(*state, NULL, 0, "", NULL, &err), &err, ERR_LIMIT, "0 bytes");
}

/* A transaction that fails takes neither; the next one takes both. */
static void a_failed_write_leaves_the_position_where_it_was(void **state)
{
    struct home *home = *state;
    AUTO(memory_done) struct memory memory = memory_of("row");
    struct draft draft = {.kind = KIND_MEMORY, .memory = &memory, .source = "app"};
    struct written written;
    struct err err = ERR_INIT;

    assert_ok(write_at(home, NULL, 0, "0/10", NULL, &err), &err);
    for (unsigned step = 1; step < 50; step++) {
        char fault_at[64];
        (void)snprintf(fault_at, sizeof(fault_at), "ledger.sql.full:%u", step);
        fault_set(fault_at);
        int result = write_at(home, &draft, 1, "0/20", &written, &err);
        fault_set(NULL);
        AUTO(free_ptr) char *text = position_of(home, "app");
        if (result == 0) {
            assert_string_equal(text, "0/20");
            assert_int_equal(counts_of(home).memories, 1);
            return;
        }
        assert_string_equal(text, "0/10");
        assert_int_equal(counts_of(home).memories, 0);
    }
    fail_msg("it failed for ever");
}

/* A wrong row must not stop a source: it is told, and the position goes on. */
static void a_refused_draft_does_not_hold_the_position_back(void **state)
{
    struct home *home = *state;
    AUTO(memory_done) struct memory memory = memory_of("");
    struct draft draft = {.kind = KIND_MEMORY, .memory = &memory, .source = "app"};
    struct written written;
    struct err err = ERR_INIT;

    assert_ok(write_at(home, &draft, 1, "0/10", &written, &err), &err);
    assert_refused_draft(&written, ERR_INVALID, "content");
    AUTO(free_ptr) char *text = position_of(home, "app");
    assert_string_equal(text, "0/10");
}

/* More drafts than one transaction takes: it moves with the last of them. */
static void a_long_write_moves_the_position_with_its_last_draft(void **state)
{
    struct home *home = *state;
    size_t count = LEDGER_BATCH_MAX + 1;
    AUTO(memory_done) struct memory memory = memory_of("row");
    struct draft *drafts = xcalloc(count, sizeof(*drafts));
    struct written *written = xcalloc(count, sizeof(*written));
    struct err err = ERR_INIT;

    for (size_t i = 0; i < count; i++) {
        drafts[i] = (struct draft){.kind = KIND_MEMORY, .memory = &memory, .source = "app"};
    }
    assert_ok(write_at(home, drafts, count, "0/10", written, &err), &err);
    AUTO(free_ptr) char *text = position_of(home, "app");
    assert_string_equal(text, "0/10");
    assert_int_equal(counts_of(home).memories, count);
    free(drafts);
    free(written);
}

/* ---- what the source last said ---- */

struct seen {
    unsigned memories;
    unsigned deleted;
    unsigned held;
};

static int note_last(void *arg, const struct memory *memory, const struct last_state *last,
                     struct err *err)
{
    struct seen *seen = arg;

    (void)err;
    seen->memories++;
    seen->deleted += memory->deleted_us != TIME_NONE;
    seen->held += !last->counts;
    return 0;
}

static void hold(struct home *home, const struct uuid *origin, uint64_t seq)
{
    AUTO(decision_done) struct decision decision;
    struct draft draft = {
        .kind = KIND_GUARD, .op = OP_HOLD, .decision = &decision, .source = "guard"};
    struct written written;
    struct err err = ERR_INIT;

    decision_init(&decision);
    decision.alert = uuid_new(&home->env.env);
    decision.rule = xstrdup("deletes");
    decision.started_us = HOME_NOW_US;
    ranges_add(&decision.ranges, origin, seq);
    assert_ok(write_draft(home, &draft, &written, &err), &err);
    assert_written(&written);
}

static void the_last_change_is_told_though_it_is_held(void **state)
{
    struct home *home = *state;
    AUTO(memory_done) struct memory memory;
    struct last_state last;
    struct seen seen = {0};
    struct reader *reader = NULL;
    struct err err = ERR_INIT;
    struct uuid id = id_of(1);

    put(home, id_of(1), "kept");
    put(home, id_of(2), "other");
    struct draft draft = {.kind = KIND_MEMORY, .op = OP_DELETE, .id = id, .source = "app"};
    struct written written;
    assert_ok(write_draft(home, &draft, &written, &err), &err);
    hold(home, &written.origin, written.seq);
    assert_content(home, id, "kept");
    memory_init(&memory);
    assert_ok(read_begin(home->ledger, &reader, &err), &err);
    assert_ok(read_last(reader, &id, &memory, &last, &err), &err);
    assert_true(memory.deleted_us != TIME_NONE);
    assert_false(last.counts);
    assert_ok(read_last_all(reader, note_last, &seen, &err), &err);
    id = id_of(3);
    assert_refused(read_last(reader, &id, &memory, &last, &err), &err, ERR_NOT_FOUND, "no memory");
    read_end(reader);
    assert_int_equal(seen.memories, 2);
    assert_int_equal(seen.deleted, 1);
    assert_int_equal(seen.held, 1);
}

/* A row that came back after its deletion was held: it is news, though it shows all the time. */
static void what_shows_is_journaled_again_over_a_held_change(void **state)
{
    struct home *home = *state;
    AUTO(memory_done) struct memory memory = memory_of("kept");
    struct draft drafts[2] = {
        {.kind = KIND_MEMORY, .op = OP_DELETE, .id = id_of(1), .source = "app"},
        {.kind = KIND_MEMORY, .memory = &memory, .source = "app"}};
    struct written written;
    struct err err = ERR_INIT;

    put(home, id_of(1), "kept");
    assert_ok(write_draft(home, &drafts[0], &written, &err), &err);
    hold(home, &written.origin, written.seq);
    memory.id = id_of(1);
    assert_ok(write_draft(home, &drafts[1], &written, &err), &err);
    assert_true(written.unchanged);
    drafts[1].over_held = true;
    assert_ok(write_draft(home, &drafts[1], &written, &err), &err);
    assert_false(written.unchanged);
    assert_int_equal(written.version, 3);
    assert_ok(write_draft(home, &drafts[1], &written, &err), &err);
    assert_true(written.unchanged); /* once */
    assert_content(home, id_of(1), "kept");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, home_setup, home_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_source_that_was_never_captured_has_no_position),
        TEST(the_position_comes_with_the_changes_and_survives),
        TEST(a_position_alone_is_set_and_journals_nothing),
        TEST(a_position_has_1_to_4096_bytes),
        TEST(a_failed_write_leaves_the_position_where_it_was),
        TEST(a_refused_draft_does_not_hold_the_position_back),
        TEST(a_long_write_moves_the_position_with_its_last_draft),
        TEST(the_last_change_is_told_though_it_is_held),
        TEST(what_shows_is_journaled_again_over_a_held_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
