/* What a memory's history says of its row. */
#include "ledger/home.h"

#include "source/intake.h"
#include "source/lineage.h"

static struct source_mapping mapping = {.table = (char *)"memories"};
static const struct lineage_of of = {
    .source = "app", .table = "public.memories", .mapping = &mapping};

struct shown {
    const char *content;
    const char *version; /* sync_version; NULL: the table has no such column */
    const char *other;   /* a column that is no field of a memory; NULL: NULL */
};

/* The row of memory 1, as it is captured. */
static void row_of(const struct shown *shown, struct row_value values[4], struct row *ret)
{
    static char id[UUID_TEXT_MAX];
    struct uuid one = id_of(1);

    uuid_format(&one, id);
    values[0] = (struct row_value){.column = "id", .text = str_of(id)};
    values[1] = (struct row_value){.column = "content", .text = str_of(shown->content)};
    values[2] = (struct row_value){.column = "other"};
    if (shown->other != NULL) {
        values[2].text = str_of(shown->other);
    }
    if (shown->version != NULL) {
        values[3] = (struct row_value){.column = "sync_version", .text = str_of(shown->version)};
    }
    *ret = (struct row){.source = of.source,
                        .table = of.table,
                        .mapping = &mapping,
                        .project = "p",
                        .keeps_ids = true,
                        .values = values,
                        .count = shown->version == NULL ? 3 : 4};
}

static void capture(struct home *home, const struct shown *shown)
{
    struct row_value values[4];
    struct intake intake;
    struct row row;
    struct err err = ERR_INIT;

    row_of(shown, values, &row);
    intake_init(&intake, home->ledger, of.source);
    intake_actor(&intake, "agent (psql)", NULL);
    assert_ok(intake_put(&intake, &row, &err), &err);
    assert_ok(intake_flush(&intake, NULL, &err), &err);
    intake_done(&intake);
}

/* What a door says, with what the memory has besides. */
static void say(struct home *home, const char *content)
{
    AUTO(memory_done) struct memory memory = memory_of(content);
    AUTO(memory_done) struct memory before;
    struct memory_state state;
    struct reader *reader = NULL;
    struct uuid id = id_of(1);
    struct err err = ERR_INIT;

    memory_init(&before);
    memory.id = id;
    assert_ok(read_begin(home->ledger, &reader, &err), &err);
    if (read_memory(reader, &id, &before, &state, &err) == 0) {
        memory.metadata = metadata_copy(before.metadata);
    }
    read_end(reader);
    struct draft draft = {.kind = KIND_MEMORY, .op = OP_PUT, .memory = &memory, .source = "cli"};
    struct written written;
    err.code = ERR_NONE;
    assert_ok(write_draft(home, &draft, &written, &err), &err);
    assert_written(&written);
}

/* The lineage of memory 1 as against a row; lineage_done. */
static void read_against(struct home *home, const struct shown *shown, struct lineage *ret)
{
    AUTO(memory_done) struct memory heard;
    struct row_value values[4];
    struct reader *reader = NULL;
    struct row row;
    struct uuid id = id_of(1);
    struct err err = ERR_INIT;

    memory_init(&heard);
    if (shown != NULL) {
        row_of(shown, values, &row);
        assert_ok(row_to_memory(&row, &heard, NULL, &err), &err);
    }
    assert_ok(read_begin(home->ledger, &reader, &err), &err);
    assert_ok(lineage_read(reader, &of, &id, shown == NULL ? NULL : &heard, ret, &err), &err);
    read_end(reader);
}

static enum lineage_said said_of(struct home *home, const struct shown *shown)
{
    AUTO(lineage_done) struct lineage l = {.seq = 0};

    read_against(home, shown, &l);
    return l.said;
}

static void of_a_memory_that_never_was_nothing_is_known(void **state)
{
    AUTO(lineage_done) struct lineage l = {.seq = 0};

    read_against(*state, NULL, &l);
    assert_false(l.is_known);
}

static void a_row_says_what_a_door_said_when_all_of_it_is_the_same(void **state)
{
    say(*state, "one");
    assert_int_equal(said_of(*state, &(struct shown){"one", "1", NULL}), LINEAGE_CURRENT);
    assert_int_equal(said_of(*state, &(struct shown){"one", NULL, NULL}), LINEAGE_CURRENT);
    assert_int_equal(said_of(*state, &(struct shown){"two", "1", NULL}), LINEAGE_NEWS);
    assert_int_equal(said_of(*state, &(struct shown){"one", "2", NULL}), LINEAGE_NEWS);
    assert_int_equal(said_of(*state, &(struct shown){"one", "1", "theirs"}), LINEAGE_NEWS);
}

static void a_row_may_say_what_a_door_said_earlier(void **state)
{
    say(*state, "one");
    say(*state, "two");
    assert_int_equal(said_of(*state, &(struct shown){"one", "1", NULL}), LINEAGE_EARLIER);
    assert_int_equal(said_of(*state, &(struct shown){"two", "2", NULL}), LINEAGE_CURRENT);
    assert_int_equal(said_of(*state, &(struct shown){"one", "2", NULL}), LINEAGE_NEWS);
}

static void what_the_table_said_is_never_an_echo(void **state)
{
    capture(*state, &(struct shown){"one", "7", "x"});
    assert_int_equal(said_of(*state, &(struct shown){"one", "7", "x"}), LINEAGE_NEWS);
    AUTO(lineage_done) struct lineage l = {.seq = 0};
    read_against(*state, NULL, &l);
    assert_true(l.is_ours && l.has_row && l.is_first);
    assert_int_equal(l.number, 7);
}

/* The row's own number counts on; its other columns are as the table told them. */
static void a_doors_change_of_a_captured_row_counts_on_from_it(void **state)
{
    AUTO(lineage_done) struct lineage l = {.seq = 0};

    capture(*state, &(struct shown){"one", "7", "x"});
    say(*state, "two");
    say(*state, "three");
    read_against(*state, NULL, &l);
    assert_false(l.is_ours);
    assert_true(l.has_row);
    assert_int_equal(l.number, 9);
    assert_string_equal(l.row.content, "one");
    assert_int_equal(said_of(*state, &(struct shown){"three", "9", "x"}), LINEAGE_CURRENT);
    assert_int_equal(said_of(*state, &(struct shown){"two", "8", "x"}), LINEAGE_EARLIER);
    assert_int_equal(said_of(*state, &(struct shown){"three", "9", NULL}), LINEAGE_NEWS);
}

static void a_row_that_has_not_moved_does_not_undo_what_a_door_said_since(void **state)
{
    capture(*state, &(struct shown){"one", "7", "x"});
    say(*state, "two");
    assert_int_equal(said_of(*state, &(struct shown){"one", "7", "x"}), LINEAGE_AS_BEFORE);
    assert_int_equal(said_of(*state, &(struct shown){"one", "8", "x"}), LINEAGE_NEWS);
    assert_int_equal(said_of(*state, &(struct shown){"one", "7", "y"}), LINEAGE_NEWS);
    struct written written = delete_of(*state, id_of(1));
    assert_written(&written);
    assert_int_equal(said_of(*state, &(struct shown){"one", "7", "x"}), LINEAGE_AS_BEFORE);
}

/* Then what the doors said before is no row's any more. */
static void after_the_table_has_spoken_it_counts_from_there(void **state)
{
    AUTO(lineage_done) struct lineage l = {.seq = 0};

    say(*state, "one");
    capture(*state, &(struct shown){"two", "20", NULL});
    read_against(*state, &(struct shown){"one", "1", NULL}, &l);
    assert_true(l.is_ours);
    assert_int_equal(l.said, LINEAGE_NEWS);
    assert_int_equal(l.number, 20);
    say(*state, "three");
    assert_int_equal(said_of(*state, &(struct shown){"three", "21", NULL}), LINEAGE_CURRENT);
}

static void an_update_that_touches_its_number_alone_is_minor(void **state)
{
    AUTO(lineage_done) struct lineage l = {.seq = 0};

    capture(*state, &(struct shown){"one", "1", "x"});
    capture(*state, &(struct shown){"one", "2", "x"});
    read_against(*state, NULL, &l);
    assert_true(l.is_minor);
    lineage_done(&l);
    capture(*state, &(struct shown){"one", "2", "y"});
    read_against(*state, NULL, &l);
    assert_false(l.is_minor);
}

static void what_a_door_deleted_no_row_says(void **state)
{
    AUTO(lineage_done) struct lineage l = {.seq = 0};

    say(*state, "one");
    struct written written = delete_of(*state, id_of(1));
    assert_written(&written);
    read_against(*state, &(struct shown){"one", "1", NULL}, &l);
    assert_int_equal(l.said, LINEAGE_EARLIER);
    assert_int_not_equal(l.current.deleted_us, TIME_NONE);
    assert_int_equal(l.number, 2);
}

static void a_row_takes_over_what_only_a_memory_has(void **state)
{
    struct home *home = *state;
    AUTO(lineage_done) struct lineage l = {.seq = 0};
    AUTO(memory_done) struct memory memory = memory_of("one");
    AUTO(memory_done) struct memory heard;
    struct row_value values[4];
    struct row row;
    struct err err = ERR_INIT;

    memory.id = id_of(1);
    memory.scope = SCOPE_PROJECT;
    AUTO(json_unref) json_t *metadata = json_pack("{s:i,s:s}", "mine", 1, "row", "not a row");
    assert_ok(metadata_from_json(metadata, &memory.metadata, &err), &err);
    memory.references =
        json_pack("[{s:s,s:s}]", "id", "01900000-0000-7000-8000-000000000009", "context", "y");
    (void)put_memory(home, &memory);
    row_of(&(struct shown){"two", "1", NULL}, values, &row);
    memory_init(&heard);
    assert_ok(row_to_memory(&row, &heard, NULL, &err), &err);
    read_against(home, NULL, &l);
    lineage_keep(&l, &heard);
    assert_int_equal(heard.scope, SCOPE_PROJECT);
    assert_int_equal(json_array_size(heard.references), 1);
    assert_int_equal(json_integer_value(json_object_get(metadata_tree(heard.metadata), "mine")), 1);
    assert_true(json_is_object(json_object_get(metadata_tree(heard.metadata), "row")));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, home_setup, home_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(of_a_memory_that_never_was_nothing_is_known),
        TEST(a_row_says_what_a_door_said_when_all_of_it_is_the_same),
        TEST(a_row_may_say_what_a_door_said_earlier),
        TEST(what_the_table_said_is_never_an_echo),
        TEST(a_doors_change_of_a_captured_row_counts_on_from_it),
        TEST(a_row_that_has_not_moved_does_not_undo_what_a_door_said_since),
        TEST(after_the_table_has_spoken_it_counts_from_there),
        TEST(an_update_that_touches_its_number_alone_is_minor),
        TEST(what_a_door_deleted_no_row_says),
        TEST(a_row_takes_over_what_only_a_memory_has),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
