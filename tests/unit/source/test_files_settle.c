/* Paths that wait until they are quiet, by a clock that the test sets. */
#include "support/unit.h"

#include "source/files_settle.h"

static struct files_settle settle;

static int begin(void **state)
{
    (void)state;
    settle = (struct files_settle){.buckets = NULL};
    return 0;
}

static int end(void **state)
{
    (void)state;
    settle_done(&settle);
    return 0;
}

/* What is due at a moment, in a line: "a b" or "a b, x>y". */
static char *taken(int64_t now_ms)
{
    struct files_batch batch;
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    struct err err = ERR_INIT;

    settle_take(&settle, now_ms, &batch);
    assert_ok(buf_add_c(&text, "", &err), &err);
    for (size_t i = 0; i < batch.count; i++) {
        assert_ok(buf_printf(&text, &err, "%s%s", i == 0 ? "" : " ", batch.paths[i]), &err);
    }
    for (size_t i = 0; i < batch.move_count; i++) {
        assert_ok(buf_printf(&text, &err, ", %s>%s", batch.moves[i].from, batch.moves[i].to), &err);
    }
    files_batch_done(&batch);
    return buf_take(&text);
}

static void assert_taken(int64_t now_ms, const char *wanted)
{
    AUTO(free_ptr) char *text = taken(now_ms);

    assert_string_equal(text, wanted);
}

static void note(const char *path, int64_t now_ms)
{
    settle_note(&settle, path, now_ms, SETTLE_QUIET_MS);
}

static void nothing_waits_at_first(void **state)
{
    (void)state;
    assert_true(settle_next_ms(&settle) == INT64_MAX);
    assert_taken(1000, "");
}

static void a_path_is_taken_once_and_when_it_is_quiet(void **state)
{
    (void)state;
    note("a", 1000);
    note("a", 1010); /* emptied, and written */
    assert_true(settle_next_ms(&settle) == 1010 + SETTLE_QUIET_MS);
    assert_taken(1010 + SETTLE_QUIET_MS - 1, "");
    assert_taken(1010 + SETTLE_QUIET_MS, "a");
    assert_true(settle_next_ms(&settle) == INT64_MAX);
    assert_taken(5000, "");
}

static void what_is_told_meanwhile_comes_with_a_second_look(void **state)
{
    (void)state;
    settle_again(&settle, "was", 1000, 40);
    note("is", 1005);
    assert_taken(1005 + SETTLE_QUIET_MS, "");
    assert_taken(1040, "is was");
    settle_again(&settle, "was", 2000, 5 * SETTLE_LONGEST_MS);
    note("is", 2005); /* it doesn't wait for ever */
    assert_taken(2005 + SETTLE_LONGEST_MS, "is");
    assert_taken(2000 + 5 * SETTLE_LONGEST_MS, "was");
}

static void what_happens_together_is_taken_together_and_sorted(void **state)
{
    (void)state;
    note("b/z", 1000);
    note("a", 1005);
    note("b", 1010);
    assert_taken(1029, "");
    assert_taken(1030, "a b b/z");
}

static void others_that_go_on_changing_hold_a_path_up_for_a_moment_only(void **state)
{
    (void)state;
    note("a", 1000);
    for (int64_t now = 1000; now < 1000 + SETTLE_LONGEST_MS; now += 10) {
        note("restless", now);
        assert_taken(now, "");
    }
    assert_taken(1000 + SETTLE_LONGEST_MS, "a");
}

static void a_path_that_never_rests_is_taken_at_last(void **state)
{
    (void)state;
    for (int64_t now = 1000; now < 1000 + SETTLE_RESTLESS_MS; now += 10) {
        note("restless", now);
        assert_taken(now, "");
    }
    assert_taken(1000 + SETTLE_RESTLESS_MS, "restless");
}

static void a_new_file_waits_until_it_is_closed(void **state)
{
    (void)state;
    settle_note(&settle, "a", 1000, SETTLE_CREATED_MS);
    settle_note(&settle, "never-closed", 1000, SETTLE_CREATED_MS);
    assert_taken(1100, "");
    note("a", 1200);
    assert_taken(1220, "a");
    assert_taken(1000 + SETTLE_CREATED_MS, "never-closed");
}

static void what_need_not_wait_is_due_at_once(void **state)
{
    (void)state;
    note("later", 1000);
    settle_note(&settle, "now", 1000, 0);
    assert_true(settle_next_ms(&settle) == 1000);
    assert_taken(1000, "now");
    assert_taken(1020, "later");
}

static void a_move_comes_with_both_its_paths(void **state)
{
    (void)state;
    settle_move(&settle, "a", "b", false, 1000);
    assert_taken(1019, "");
    assert_taken(1020, "a b, a>b");
}

static void moves_in_a_row_are_one(void **state)
{
    (void)state;
    settle_move(&settle, "a", "b", false, 1000);
    settle_move(&settle, "b", "c", false, 1001);
    assert_taken(1021, "a b c, a>c");
}

static void there_and_back_is_no_move(void **state)
{
    (void)state;
    settle_move(&settle, "a", "a~", false, 1000);
    settle_move(&settle, "a~", "a", false, 1001);
    assert_taken(1021, "a a~");
}

static void a_moved_folder_is_due_without_any_file(void **state)
{
    (void)state;
    settle_move(&settle, "x", "y", true, 1000);
    assert_true(settle_next_ms(&settle) == 1000 + SETTLE_QUIET_MS);
    assert_taken(1020, ", x>y");
    assert_true(settle_next_ms(&settle) == INT64_MAX);
}

static void a_hundred_thousand_paths_are_each_taken_once(void **state)
{
    struct files_batch batch;
    char path[32];

    (void)state;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 100000; i++) {
            (void)snprintf(path, sizeof(path), "n%d", i);
            settle_note(&settle, path, 1000, 0);
        }
    }
    settle_take(&settle, 1000, &batch);
    assert_int_equal(batch.count, 100000);
    for (size_t i = 1; i < batch.count; i++) {
        assert_true(strcmp(batch.paths[i - 1], batch.paths[i]) < 0);
    }
    files_batch_done(&batch);
    assert_null(settle.buckets); /* given back */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_waits_at_first, begin, end),
        cmocka_unit_test_setup_teardown(a_path_is_taken_once_and_when_it_is_quiet, begin, end),
        cmocka_unit_test_setup_teardown(what_is_told_meanwhile_comes_with_a_second_look, begin,
                                        end),
        cmocka_unit_test_setup_teardown(what_happens_together_is_taken_together_and_sorted, begin,
                                        end),
        cmocka_unit_test_setup_teardown(others_that_go_on_changing_hold_a_path_up_for_a_moment_only,
                                        begin, end),
        cmocka_unit_test_setup_teardown(a_path_that_never_rests_is_taken_at_last, begin, end),
        cmocka_unit_test_setup_teardown(a_new_file_waits_until_it_is_closed, begin, end),
        cmocka_unit_test_setup_teardown(what_need_not_wait_is_due_at_once, begin, end),
        cmocka_unit_test_setup_teardown(a_move_comes_with_both_its_paths, begin, end),
        cmocka_unit_test_setup_teardown(moves_in_a_row_are_one, begin, end),
        cmocka_unit_test_setup_teardown(there_and_back_is_no_move, begin, end),
        cmocka_unit_test_setup_teardown(a_moved_folder_is_due_without_any_file, begin, end),
        cmocka_unit_test_setup_teardown(a_hundred_thousand_paths_are_each_taken_once, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
