/* Rows to the ledger. */
#include "ledger/home.h"

#include "source/intake.h"

static struct source_mapping mapping = {.table = (char *)"notes"};

static char *position_of(struct home *home)
{
    struct reader *reader = NULL;
    struct err err = ERR_INIT;
    char *text = NULL;

    assert_ok(read_begin(home->ledger, &reader, &err), &err);
    assert_ok(read_source_position(reader, "app", &text, &err), &err);
    read_end(reader);
    return text;
}

static void put_note(struct intake *intake, const char *key, const char *content)
{
    struct row_value values[] = {{.column = "id", .text = str_of(key)},
                                 {.column = "content", .text = str_of(content)}};
    struct row row = {.source = "app",
                      .table = "public.notes",
                      .mapping = &mapping,
                      .project = "p",
                      .values = values,
                      .count = 2};
    struct err err = ERR_INIT;

    assert_ok(intake_put(intake, &row, &err), &err);
}

static void a_row_that_can_not_be_a_memory_is_counted_and_does_not_hold_the_others_back(
    void **state)
{
    struct home *home = *state;
    struct intake intake;
    struct err err = ERR_INIT;

    intake_init(&intake, home->ledger, "app");
    put_note(&intake, "\xff", "its key is no text");
    put_note(&intake, "2", "good");
    assert_ok(intake_flush(&intake, "0/10", &err), &err);
    assert_int_equal(intake.counts.refused, 1);
    assert_int_equal(counts_of(home).memories, 1);
    AUTO(free_ptr) char *position = position_of(home);
    assert_string_equal(position, "0/10");
    intake_done(&intake);
}

/* ---- a guard that can't hold so much ---- */

static int refuse_all(void *arg, const struct effect *effects, size_t count,
                      const struct judge_view *view, struct decision *ret_decisions,
                      size_t *ret_count, struct err *err)
{
    (void)arg;
    (void)effects;
    (void)count;
    (void)view;
    (void)ret_decisions;
    (void)ret_count;
    return err_set(err, ERR_LIMIT, "the request destroys too much to be held at once");
}

static void settled(void *arg, bool committed)
{
    (void)arg;
    (void)committed;
}

/* It is the ledger's limit, not the row's: were the rows passed over, their end would go unjudged
 * as soon as the position moved on. */
static void what_the_guard_refuses_as_a_whole_comes_again(void **state)
{
    static const struct ledger_judge judge = {.judge = refuse_all, .settled = settled};
    struct home *home = *state;
    struct intake intake;
    struct err err = ERR_INIT;

    intake_init(&intake, home->ledger, "app");
    put_note(&intake, "1", "one");
    assert_ok(intake_flush(&intake, "0/10", &err), &err);
    intake_done(&intake);
    home_close(home);
    home->judge = &judge;
    home_open(home);

    intake_init(&intake, home->ledger, "app");
    assert_ok(intake_delete(&intake, "public.notes", STR("1"), &err), &err);
    assert_refused(intake_flush(&intake, "0/20", &err), &err, ERR_LIMIT, "too much");
    assert_int_equal(intake.counts.refused, 0);
    AUTO(free_ptr) char *position = position_of(home);
    assert_string_equal(position, "0/10");
    assert_int_equal(counts_of(home).memories, 1);
    intake_done(&intake);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, home_setup, home_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_row_that_can_not_be_a_memory_is_counted_and_does_not_hold_the_others_back),
        TEST(what_the_guard_refuses_as_a_whole_comes_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
