/* What a source holds against what the ledger heard, and what is held though the guard lets it. */
#include "ledger/home.h"
#include "source/compare.h"

static struct source_mapping mapping = {.table = (char *)"notes"};
static const struct source_options options = {.name = "app"};

struct fixture {
    struct home *home;
    struct intake intake;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    void *home = NULL;

    assert_int_equal(home_setup(&home), 0);
    f->home = home;
    intake_init(&f->intake, f->home->ledger, "app");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    void *home = f->home;

    intake_done(&f->intake);
    free(f);
    return home_teardown(&home);
}

/* One row of a table: given to the comparison. */
static void give(struct compare *compare, const char *table, const char *key, const char *content)
{
    struct row_value values[] = {{.column = "id", .text = str_of(key)},
                                 {.column = "content", .text = str_of(content)}};
    struct row row = {.source = "app",
                      .table = table,
                      .mapping = &mapping,
                      .project = "p",
                      .values = values,
                      .count = 2};
    struct err err = ERR_INIT;

    assert_ok(compare_row(compare, &row, &err), &err);
}

static void load(struct fixture *f, struct compare *compare, const char *table)
{
    struct err err = ERR_INIT;

    assert_ok(compare_load(compare, &f->intake, &options, table, &err), &err);
}

static void end(struct fixture *f, struct compare *compare, const char *table)
{
    struct err err = ERR_INIT;

    assert_ok(compare_end(compare, table, &err), &err);
    assert_ok(intake_flush(&f->intake, NULL, &err), &err);
    compare_done(compare);
}

static void fill(struct fixture *f)
{
    struct compare compare;

    load(f, &compare, NULL);
    give(&compare, "notes", "1", "one");
    give(&compare, "notes", "2", "two");
    give(&compare, "parts", "1", "part one");
    end(f, &compare, "notes");
}

static uint64_t changes_of(struct fixture *f)
{
    return counts_of(f->home).changes;
}

static void the_first_comparison_is_the_snapshot_and_the_same_again_is_nothing(void **state)
{
    struct fixture *f = *state;
    struct compare compare;

    fill(f);
    uint64_t before = changes_of(f);
    assert_int_equal(counts_of(f->home).memories, 3);
    load(f, &compare, NULL);
    assert_int_equal(compare.table_count, 2);
    give(&compare, "notes", "2", "two");
    give(&compare, "notes", "1", "one");
    end(f, &compare, "notes");
    assert_int_equal(changes_of(f), before);
}

/* Also a table whose rows were not given at all, as long as it is not ended, loses none. */
static void what_is_missing_is_deleted_of_the_table_that_was_given_whole(void **state)
{
    struct fixture *f = *state;
    struct compare compare;

    fill(f);
    load(f, &compare, NULL);
    give(&compare, "notes", "1", "another text");
    end(f, &compare, "notes");
    assert_int_equal(counts_of(f->home).memories, 2);
    assert_int_equal(counts_of(f->home).deleted, 1);
}

static void a_table_that_is_given_again_counts_from_anew(void **state)
{
    struct fixture *f = *state;
    struct compare compare;

    fill(f);
    load(f, &compare, "notes");
    give(&compare, "notes", "1", "one");
    give(&compare, "notes", "2", "two");
    compare_again(&compare, "notes");
    give(&compare, "notes", "2", "two");
    end(f, &compare, "notes");
    assert_int_equal(counts_of(f->home).deleted, 1);
}

/* The table that keeps its UUIDs is the first of its name; another's equal ones are others' rows.
 */
static void rows_that_keep_their_ids_are_known_again(void **state)
{
    static const char key[] = "00000000-0000-4000-8000-000000000001";
    static const char *const tables[] = {"memories", "main.memories"};
    struct fixture *f = *state;
    struct compare compare;

    for (size_t i = 0; i < 2; i++) {
        load(f, &compare, tables[i]);
        give(&compare, tables[i], key, "the same in both");
        end(f, &compare, tables[i]);
        assert_int_equal(counts_of(f->home).memories, i + 1);
    }
    uint64_t before = changes_of(f);
    for (size_t i = 0; i < 2; i++) {
        load(f, &compare, tables[i]);
        assert_int_equal(compare.count, 1);
        give(&compare, tables[i], key, "the same in both");
        end(f, &compare, tables[i]);
    }
    assert_int_equal(changes_of(f), before);
}

static void what_was_heard_is_loaded_until_its_source_is_cancelled(void **state)
{
    struct fixture *f = *state;
    struct source_options cancelled = options;
    struct compare compare;
    struct wake wake;
    struct err err = ERR_INIT;

    fill(f);
    assert_ok(wake_init(&wake, &err), &err);
    cancelled.cancel = &wake;
    assert_ok(compare_load(&compare, &f->intake, &cancelled, NULL, &err), &err);
    compare_done(&compare);
    wake_cancel(&wake);
    assert_refused(compare_load(&compare, &f->intake, &cancelled, NULL, &err), &err, ERR_CANCELLED,
                   "source app");
    compare_done(&compare);
    wake_done(&wake);
}

static void suspect_changes_that_nobody_held_are_held_by_an_alert_of_their_own(void **state)
{
    struct fixture *f = *state;
    struct compare compare;
    struct err err = ERR_INIT;

    fill(f);
    load(f, &compare, NULL);
    give(&compare, "notes", "3", "new, and no suspect");
    intake_suspect(&f->intake, true);
    give(&compare, "notes", "1", "overwritten");
    assert_ok(compare_end(&compare, "notes", &err), &err);
    assert_ok(intake_hold(&f->intake, "source_replaced", "An older copy", &err), &err);
    compare_done(&compare);
    /* The row that is gone is still shown, and the other as it was. */
    assert_int_equal(counts_of(f->home).memories, 4);
    assert_int_equal(counts_of(f->home).deleted, 0);
    assert_int_equal(counts_of(f->home).alerts_open, 1);
    assert_false(f->intake.suspect);
    /* Nothing was left to hold: no alert. */
    assert_ok(intake_hold(&f->intake, "source_replaced", "Nothing", &err), &err);
    assert_int_equal(counts_of(f->home).alerts_open, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            the_first_comparison_is_the_snapshot_and_the_same_again_is_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_is_missing_is_deleted_of_the_table_that_was_given_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(a_table_that_is_given_again_counts_from_anew, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(rows_that_keep_their_ids_are_known_again, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_heard_is_loaded_until_its_source_is_cancelled,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            suspect_changes_that_nobody_held_are_held_by_an_alert_of_their_own, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
