/*
 * Killed at any moment, the index catches up at the next start.
 *
 * Crash points are read from the environment once in a process, so that everything here that opens
 * a ledger does it in a child; the parent only watches how it ends.
 */
#include "search/world.h"

#include <signal.h>

#define MEMORIES 60

struct place {
    char home[64];
};

static int setup(void **state)
{
    struct place *place = xcalloc(1, sizeof(*place));
    const char *tmp = getenv("TMPDIR");

    (void)snprintf(place->home, sizeof(place->home), "%s/hf-index-XXXXXX",
                   tmp == NULL ? "/tmp" : tmp);
    assert_non_null(mkdtemp(place->home));
    *state = place;
    return 0;
}

static void must(int result, const struct err *err)
{
    if (result < 0) {
        fprintf(stderr, "child: %s\n", err->message);
        _exit(3);
    }
}

static void open_world(const struct place *place, struct world *world, struct home *home)
{
    struct ledger_options options = {.home = place->home, .env = env_system(), .who = "a child"};
    struct err err = ERR_INIT;

    *home = (struct home){.ledger = NULL};
    *world = (struct world){.home = home};
    must(ledger_open(&options, &home->ledger, &err), &err);
    must(index_start(home->ledger, &world->index, &err), &err);
}

static void close_world(struct world *world)
{
    index_stop(world->index);
    ledger_close(world->home->ledger);
}

static void write_number(struct world *world, unsigned number, const char *word)
{
    AUTO(free_ptr) char *text = xprintf("%s number n%u", word, number);
    AUTO(memory_done) struct memory memory = memory_of(text);
    struct draft draft = {.kind = KIND_MEMORY, .op = OP_PUT, .memory = &memory, .source = "child"};
    struct written written;
    struct err err = ERR_INIT;

    memory.id = id_of(number);
    memory.session_id = session_of(number % 7);
    must(ledger_write(world->home->ledger, &draft, 1, false, &written, &err), &err);
    must(-(int)written.code, &err);
    if (number % 9 == 0) {
        must(index_wait(world->index, deadline_in(PATIENCE_MS), &err), &err);
    }
}

static void write_all(const struct place *place)
{
    struct world world;
    struct home home;

    open_world(place, &world, &home);
    for (unsigned i = 1; i <= MEMORIES; i++) {
        write_number(&world, i, "first");
        write_number(&world, i, "second");
    }
    close_world(&world);
}

static size_t count_found(struct world *world, const char *text)
{
    struct search_query query = {
        .text = text, .limit = SEARCH_LIMIT_MAX, .filter = MEMORY_FILTER_INIT};
    struct answer answer;
    struct err err = ERR_INIT;

    must(index_search(world->index, &query, deadline_in(PATIENCE_MS), &answer.hits, &answer.count,
                      &err),
         &err);
    search_hits_free(answer.hits, answer.count);
    return answer.count;
}

/* Every memory of the ledger is found, by what it says now. */
static void check_all(const struct place *place)
{
    struct world world;
    struct home home;
    struct ledger_counts counts;
    struct reader *reader;
    struct err err = ERR_INIT;

    open_world(place, &world, &home);
    must(read_begin(home.ledger, &reader, &err), &err);
    must(read_counts(reader, &counts, &err), &err);
    read_end(reader);
    size_t first = count_found(&world, "first");
    size_t second = count_found(&world, "second");
    if (first + second != counts.memories || count_found(&world, "number") != counts.memories) {
        fprintf(stderr, "child: %zu and %zu of %llu are found\n", first, second,
                (unsigned long long)counts.memories);
        _exit(5);
    }
    close_world(&world);
}

static void lose_index(const struct place *place)
{
    AUTO(free_ptr) char *path = xprintf("%s/live/index.db", place->home);

    if (unlink(path) < 0) {
        _exit(6);
    }
    check_all(place);
}

static void clean(const struct place *place)
{
    struct err err = ERR_INIT;

    must(file_remove_tree(place->home, &err), &err);
}

/* The status of a child that runs it; crash_at may be NULL. */
static int run_child(void (*run)(const struct place *), const struct place *place,
                     const char *crash_at)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        if (crash_at != NULL && setenv("HOLDFAST_CRASH_AT", crash_at, 1) != 0) {
            _exit(7);
        }
        run(place);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static int teardown(void **state)
{
    struct place *place = *state;

    assert_int_equal(run_child(clean, place, NULL), 0);
    free(place);
    return 0;
}

static void assert_killed(int status)
{
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void killed_while_following_it_catches_up(void **state)
{
    static const char *const points[] = {
        "index.batch.applied:1", "index.batch.applied:4", "index.commit.before:2",
        "index.commit.before:5", "index.commit.after:1",  "index.commit.after:3",
    };

    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        assert_killed(run_child(write_all, *state, points[i]));
        assert_int_equal(run_child(check_all, *state, NULL), 0);
    }
    assert_int_equal(run_child(write_all, *state, NULL), 0);
    assert_int_equal(run_child(check_all, *state, NULL), 0);
}

static void killed_while_rebuilding_it_is_rebuilt(void **state)
{
    static const char *const points[] = {"index.commit.before:1", "index.fill.slice:1"};

    assert_int_equal(run_child(write_all, *state, NULL), 0);
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        assert_killed(run_child(lose_index, *state, points[i]));
        assert_int_equal(run_child(check_all, *state, NULL), 0);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(killed_while_following_it_catches_up),
        TEST(killed_while_rebuilding_it_is_rebuilt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
