/* The driver on a real folder and a real ledger, by a clock that the test sets. */
#include "ledger/home.h"

#include <fcntl.h>

#include "source/files_internal.h"

struct world {
    struct home *home;
    char *root;
    struct source_options options;
    struct source *source;
    struct files *files;
    unsigned notes;
    char trouble[256];
};

static void ignore_position(void *arg, const char *position, int64_t lag_ms)
{
    (void)arg;
    (void)position;
    (void)lag_ms;
}

static void count_note(void *arg, const char *what)
{
    struct world *world = arg;

    (void)what;
    world->notes++;
}

static void keep_trouble(void *arg, const char *what)
{
    struct world *world = arg;

    (void)snprintf(world->trouble, sizeof(world->trouble), "%s", what == NULL ? "" : what);
}

static void open_source(struct world *world)
{
    static struct source_events events;
    struct err err = ERR_INIT;

    events = (struct source_events){.arg = world,
                                    .on_position = ignore_position,
                                    .on_note = count_note,
                                    .on_trouble = keep_trouble};
    world->options = (struct source_options){
        .name = "notes", .project = "sea", .path = world->root, .ledger = world->home->ledger};
    assert_ok(source_files_ops.open(&world->options, &world->source, &err), &err);
    world->files = (struct files *)world->source;
    world->files->events = &events;
    intake_init(&world->files->intake, world->home->ledger, "notes");
    assert_ok(files_open_root(world->files, &err), &err);
    assert_ok(files_load(world->files, &err), &err);
}

static int begin(void **state)
{
    struct world *world = xcalloc(1, sizeof(*world));
    void *home = NULL;

    assert_int_equal(home_setup(&home), 0);
    world->home = home;
    world->root = xprintf("%s.files", world->home->path);
    assert_int_equal(mkdir(world->root, 0755), 0);
    open_source(world);
    *state = world;
    return 0;
}

static int end(void **state)
{
    struct world *world = *state;
    void *home = world->home;
    struct err err = ERR_INIT;

    source_files_ops.close(world->source);
    assert_ok(file_remove_tree(world->root, &err), &err);
    free(world->root);
    assert_int_equal(home_teardown(&home), 0);
    free(world);
    return 0;
}

/* ---- what is done to files ---- */

static void write_file(struct world *world, const char *name, const char *text)
{
    AUTO(free_ptr) char *path = path_join(world->root, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)close(fd);
}

static void remove_file(struct world *world, const char *name)
{
    AUTO(free_ptr) char *path = path_join(world->root, name);

    assert_int_equal(unlink(path), 0);
}

static void rename_file(struct world *world, const char *from, const char *to)
{
    AUTO(free_ptr) char *old = path_join(world->root, from);
    AUTO(free_ptr) char *new = path_join(world->root, to);

    assert_int_equal(rename(old, new), 0);
}

static void tell(struct world *world, const char *name)
{
    settle_note(&world->files->settle, name, files_now_ms(world->files), SETTLE_QUIET_MS);
}

static void look(struct world *world)
{
    struct files_batch batch;
    struct err err = ERR_INIT;

    settle_take(&world->files->settle, files_now_ms(world->files), &batch);
    assert_ok(files_apply(world->files, &batch, &err), &err);
    files_batch_done(&batch);
}

static void advance(struct world *world, int64_t ms)
{
    env_fake_advance_ms(&world->home->env, ms);
    look(world);
}

/* Long enough for everything that waits. */
static void settle(struct world *world)
{
    for (int i = 0; i < 4; i++) {
        advance(world, FILES_DOUBT_MS);
    }
    assert_true(settle_next_ms(&world->files->settle) == INT64_MAX);
}

static void keep(struct world *world, const char *name, const char *text)
{
    write_file(world, name, text);
    tell(world, name);
}

/* ---- what the ledger has ---- */

struct history {
    unsigned changes;
    unsigned deletions;
    char last[64];
};

static int count_change(void *arg, const struct change *change, const struct memory *memory,
                        bool held, struct err *err)
{
    struct history *history = arg;

    (void)held;
    (void)err;
    history->changes++;
    history->deletions += change->op == OP_DELETE;
    (void)snprintf(history->last, sizeof(history->last), "%s", memory->content);
    return 0;
}

static struct history history_of(struct world *world, const struct uuid *id)
{
    struct history history = {.changes = 0};
    struct reader *reader = NULL;
    struct err err = ERR_INIT;

    assert_ok(read_begin(world->home->ledger, &reader, &err), &err);
    assert_ok(read_history(reader, id, count_change, &history, &err), &err);
    read_end(reader);
    return history;
}

static struct uuid id_at(struct world *world, const char *name)
{
    const struct file_entry *entry = files_tree_find(&world->files->tree, name);

    assert_non_null(entry);
    return entry->id;
}

static struct history history_at(struct world *world, const char *name)
{
    struct uuid id = id_at(world, name);

    return history_of(world, &id);
}

/* ---- the tests ---- */

static void a_file_that_is_emptied_and_then_written_was_never_empty(void **state)
{
    struct world *world = *state;

    keep(world, "a.md", "before");
    settle(world);
    keep(world, "a.md", "");
    advance(world, SETTLE_QUIET_MS); /* it is seen empty, and not believed */
    assert_int_equal(history_at(world, "a.md").changes, 1);
    keep(world, "a.md", "after");
    settle(world);
    assert_int_equal(history_at(world, "a.md").changes, 2);
    assert_string_equal(history_at(world, "a.md").last, "after");
}

static void a_file_that_stays_empty_is_believed(void **state)
{
    struct world *world = *state;

    keep(world, "a.md", "before");
    settle(world);
    keep(world, "a.md", "");
    settle(world);
    assert_int_equal(history_at(world, "a.md").changes, 2);
    assert_string_equal(history_at(world, "a.md").last, ROW_BLANK);
}

static void a_file_that_is_removed_and_made_anew_was_never_gone(void **state)
{
    struct world *world = *state;

    keep(world, "a.md", "before");
    settle(world);
    remove_file(world, "a.md");
    tell(world, "a.md");
    advance(world, SETTLE_QUIET_MS);
    assert_int_equal(history_at(world, "a.md").changes, 1);
    keep(world, "a.md", "after");
    settle(world);
    assert_int_equal(history_at(world, "a.md").deletions, 0);
    assert_string_equal(history_at(world, "a.md").last, "after");
}

static void a_file_that_stays_away_is_deleted_and_comes_back_as_itself(void **state)
{
    struct world *world = *state;

    keep(world, "a.md", "text");
    keep(world, "other.md", "other");
    settle(world);
    struct uuid id = id_at(world, "a.md");
    remove_file(world, "a.md");
    tell(world, "a.md");
    settle(world);
    assert_int_equal(history_of(world, &id).deletions, 1);
    keep(world, "a.md", "text");
    settle(world);
    struct uuid again = id_at(world, "a.md");
    assert_true(uuid_eq(&id, &again));
    assert_int_equal(history_of(world, &id).changes, 3);
}

static void a_memory_moves_with_its_file_and_the_old_place_is_anothers(void **state)
{
    struct world *world = *state;

    keep(world, "a.md", "a text to know again");
    settle(world);
    struct uuid id = id_at(world, "a.md");
    rename_file(world, "a.md", "b.md");
    settle_move(&world->files->settle, "a.md", "b.md", false, files_now_ms(world->files));
    keep(world, "b.md", "a text to know again, edited at once");
    settle(world);
    struct uuid moved = id_at(world, "b.md");
    assert_true(uuid_eq(&id, &moved));
    assert_int_equal(history_of(world, &id).deletions, 0);

    keep(world, "a.md", "a new one");
    settle(world);
    struct uuid new = id_at(world, "a.md");
    assert_false(uuid_eq(&id, &new));

    /* After a start all of it is as it was. */
    source_files_ops.close(world->source);
    open_source(world);
    struct uuid at_a = id_at(world, "a.md");
    struct uuid at_b = id_at(world, "b.md");
    assert_true(uuid_eq(&at_a, &new) && uuid_eq(&at_b, &id));
    assert_int_equal(world->files->tree.alive, 2);
}

static void what_another_text_went_over_was_no_move(void **state)
{
    struct world *world = *state;

    keep(world, "a.md", "the first of two notes about the harbour");
    keep(world, "c.md", "kept");
    settle(world);
    struct uuid id = id_at(world, "a.md");
    rename_file(world, "a.md", "b.md");
    settle_move(&world->files->settle, "a.md", "b.md", false, files_now_ms(world->files));
    keep(world, "b.md", "SOMETHING ELSE ALTOGETHER, OF WHICH NOTHING WAS THERE");
    settle(world);
    struct uuid other = id_at(world, "b.md");
    assert_false(uuid_eq(&id, &other));
    assert_int_equal(history_of(world, &id).deletions, 1);
}

static void a_text_that_turns_up_elsewhere_takes_its_memory_along(void **state)
{
    struct world *world = *state;

    keep(world, "a.md", "known by its text");
    settle(world);
    struct uuid id = id_at(world, "a.md");
    rename_file(world, "a.md", "b.md");
    tell(world, "a.md");
    tell(world, "b.md");
    settle(world);
    struct uuid moved = id_at(world, "b.md");
    assert_true(uuid_eq(&id, &moved));
    assert_int_equal(history_of(world, &id).deletions, 0);
}

static void a_backup_made_by_renaming_keeps_the_memory_at_its_name(void **state)
{
    struct world *world = *state;

    keep(world, "a.md", "before");
    settle(world);
    struct uuid id = id_at(world, "a.md");
    rename_file(world, "a.md", "old.md");
    settle_move(&world->files->settle, "a.md", "old.md", false, files_now_ms(world->files));
    advance(world, SETTLE_QUIET_MS); /* it is seen in between */
    keep(world, "a.md", "after");
    settle(world);
    struct uuid now = id_at(world, "a.md");
    assert_true(uuid_eq(&id, &now));
    assert_string_equal(history_of(world, &id).last, "after");
}

static void a_file_made_to_be_put_over_another_is_no_loss(void **state)
{
    struct world *world = *state;

    keep(world, "a.md", "before");
    settle(world);
    for (int i = 0; i < 20; i++) {
        AUTO(free_ptr) char *text = xprintf("version %d", i);
        keep(world, ".tmp.md", text);
        settle(world); /* so slow that it is captured */
        rename_file(world, ".tmp.md", "a.md");
        settle_move(&world->files->settle, ".tmp.md", "a.md", false, files_now_ms(world->files));
        advance(world, SETTLE_QUIET_MS);
        assert_false(files_tree_find(&world->files->tree, ".tmp.md")->alive);
        assert_string_equal(history_at(world, "a.md").last, text);
    }
    assert_int_equal(history_at(world, "a.md").changes, 21);
}

static void a_file_that_moves_out_of_what_is_captured_is_gone(void **state)
{
    struct world *world = *state;

    keep(world, "a.md", "text");
    keep(world, "b.md", "other");
    settle(world);
    struct uuid id = id_at(world, "a.md");
    rename_file(world, "a.md", "a.txt");
    settle_move(&world->files->settle, "a.md", "a.txt", false, files_now_ms(world->files));
    settle(world);
    assert_int_equal(history_of(world, &id).deletions, 1);
    assert_null(files_tree_find(&world->files->tree, "a.txt"));
}

static void a_file_that_becomes_binary_has_lost_its_text(void **state)
{
    struct world *world = *state;

    keep(world, "a.md", "text");
    settle(world);
    keep(world, "a.md", "\xff\xfe");
    settle(world);
    assert_string_equal(history_at(world, "a.md").last, ROW_BLANK);
    assert_int_equal(world->notes, 1);
    files_tell_trouble(world->files);
    assert_non_null(strstr(world->trouble, "a.md (binary)"));

    tell(world, "a.md"); /* told once more, it is no news */
    settle(world);
    assert_int_equal(history_at(world, "a.md").changes, 2);
    assert_int_equal(world->notes, 1);

    keep(world, "a.md", "text again");
    settle(world);
    assert_string_equal(history_at(world, "a.md").last, "text again");
    files_tell_trouble(world->files);
    assert_string_equal(world->trouble, "");
}

static void a_binary_file_is_named_and_kept_out(void **state)
{
    struct world *world = *state;

    keep(world, "a.md", "\xff\xfe");
    keep(world, "b.md", "text");
    settle(world);
    assert_int_equal(world->files->tree.alive, 1);
    assert_int_equal(world->files->tree.left, 1);
    remove_file(world, "a.md");
    tell(world, "a.md");
    settle(world);
    assert_int_equal(world->files->tree.left, 0);
}

static void what_says_nothing_new_is_not_journaled(void **state)
{
    struct world *world = *state;

    keep(world, "a.md", "text");
    settle(world);
    tell(world, "a.md");
    tell(world, "never-there.md");
    settle(world);
    assert_int_equal(history_at(world, "a.md").changes, 1);
}

static void the_last_file_of_a_source_is_held_by_an_alert(void **state)
{
    struct world *world = *state;
    struct ledger_counts counts;
    struct reader *reader = NULL;
    struct err err = ERR_INIT;

    keep(world, "a.md", "text");
    settle(world);
    remove_file(world, "a.md");
    tell(world, "a.md");
    settle(world);
    assert_ok(read_begin(world->home->ledger, &reader, &err), &err);
    assert_ok(read_counts(reader, &counts, &err), &err);
    read_end(reader);
    assert_int_equal(counts.alerts_open, 1);
    assert_int_equal(counts.memories, 1);
}

static void a_loss_waits_for_git_but_not_for_ever(void **state)
{
    struct world *world = *state;
    AUTO(free_ptr) char *git = path_join(world->root, ".git");

    keep(world, "a.md", "text");
    keep(world, "b.md", "text too");
    settle(world);
    assert_int_equal(mkdir(git, 0755), 0);
    free(world->files->git);
    world->files->git = git_folder_of(world->root);
    write_file(world, ".git/index.lock", "");
    remove_file(world, "a.md");
    tell(world, "a.md");
    for (int64_t ms = 0; ms < FILES_GIT_WAIT_MS; ms += 100) {
        advance(world, 100);
        assert_int_equal(history_at(world, "a.md").deletions, 0);
    }
    for (int i = 0; i < 4; i++) {
        advance(world, 100);
    }
    assert_int_equal(history_at(world, "a.md").deletions, 1);

    /* A lock that was left behind holds nothing up any more. */
    remove_file(world, "b.md");
    tell(world, "b.md");
    settle(world);
    assert_int_equal(history_at(world, "b.md").deletions, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_that_is_emptied_and_then_written_was_never_empty,
                                        begin, end),
        cmocka_unit_test_setup_teardown(a_file_that_stays_empty_is_believed, begin, end),
        cmocka_unit_test_setup_teardown(a_file_that_is_removed_and_made_anew_was_never_gone, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_file_that_stays_away_is_deleted_and_comes_back_as_itself,
                                        begin, end),
        cmocka_unit_test_setup_teardown(a_memory_moves_with_its_file_and_the_old_place_is_anothers,
                                        begin, end),
        cmocka_unit_test_setup_teardown(what_another_text_went_over_was_no_move, begin, end),
        cmocka_unit_test_setup_teardown(a_text_that_turns_up_elsewhere_takes_its_memory_along,
                                        begin, end),
        cmocka_unit_test_setup_teardown(a_backup_made_by_renaming_keeps_the_memory_at_its_name,
                                        begin, end),
        cmocka_unit_test_setup_teardown(a_file_made_to_be_put_over_another_is_no_loss, begin, end),
        cmocka_unit_test_setup_teardown(a_file_that_moves_out_of_what_is_captured_is_gone, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_file_that_becomes_binary_has_lost_its_text, begin, end),
        cmocka_unit_test_setup_teardown(a_binary_file_is_named_and_kept_out, begin, end),
        cmocka_unit_test_setup_teardown(what_says_nothing_new_is_not_journaled, begin, end),
        cmocka_unit_test_setup_teardown(the_last_file_of_a_source_is_held_by_an_alert, begin, end),
        cmocka_unit_test_setup_teardown(a_loss_waits_for_git_but_not_for_ever, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
