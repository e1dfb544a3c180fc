/* Questions: filters, order, history, the past, sessions, projects, places, the journal. */
#include "ledger/chain.h"
#include "ledger/reader.h"

struct list {
    char text[4096]; /* what was given, joined by commas */
    size_t count;
    size_t stop_at;
};

static int note(struct list *list, const char *text)
{
    size_t len = strlen(list->text);

    (void)snprintf(list->text + len, sizeof(list->text) - len, "%s%s", len == 0 ? "" : ",", text);
    return ++list->count == list->stop_at ? 42 : 0;
}

static struct reader *begin(struct home *home)
{
    struct reader *reader;
    struct err err = ERR_INIT;

    assert_ok(read_begin(home->ledger, &reader, &err), &err);
    return reader;
}

/* ---- memories ---- */

static int note_memory(void *arg, const struct memory *memory, const struct memory_state *state,
                       struct err *err)
{
    assert_true(state->place > 0);
    (void)err;
    return note(arg, memory->content);
}

static void assert_list(struct home *home, struct memory_filter filter, const char *expected)
{
    struct list list = {.count = 0};
    struct reader *reader = begin(home);
    struct err err = ERR_INIT;

    assert_ok(read_memories(reader, &filter, note_memory, &list, &err), &err);
    read_end(reader);
    assert_string_equal(list.text, expected);
}

struct sample {
    const char *content;
    int64_t created_s;
    const char *project;
    unsigned session;
    const char *tags[3];
    enum memory_scope scope;
};

static const struct sample samples[] = {
    {"d", 40, "q", 2, {"red", "blue"}, SCOPE_PROJECT}, {"a", 10, "p", 1, {"red"}, SCOPE_SHARED},
    {"c", 30, "p", 0, {NULL}, SCOPE_SHARED},           {"b", 20, "p", 1, {"blue"}, SCOPE_PROJECT},
    {"e", 50, "q", 2, {NULL}, SCOPE_SHARED},
};

/* a to e, not in the order of their times; e is deleted. */
static void fill(struct home *home)
{
    for (unsigned i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        const struct sample *sample = &samples[i];
        AUTO(memory_done) struct memory memory = memory_of(sample->content);
        memory.id = id_of(i + 1);
        memory.created_us = sample->created_s * 1000000;
        memory.scope = sample->scope;
        memory.project_id[0] = sample->project[0];
        memory.session_id =
            sample->session == 0 ? (struct uuid){{0}} : id_of(1000 + sample->session);
        memory.tags = xcalloc(3, sizeof(char *));
        while (memory.tag_count < 3 && sample->tags[memory.tag_count] != NULL) {
            memory.tags[memory.tag_count] = xstrdup(sample->tags[memory.tag_count]);
            memory.tag_count++;
        }
        put_memory(home, &memory);
    }
    delete_of(home, id_of(5));
}

static void memories_come_in_the_order_of_their_times(void **state)
{
    fill(*state);
    assert_list(*state, (struct memory_filter)MEMORY_FILTER_INIT, "a,b,c,d");
}

static void equal_times_are_ordered_by_id(void **state)
{
    put(*state, id_of(3), "3");
    put(*state, id_of(1), "1");
    put(*state, id_of(2), "2");
    assert_list(*state, (struct memory_filter)MEMORY_FILTER_INIT, "1,2,3");
}

#define FILTER(...)                                                                                \
    ((struct memory_filter){.since_us = TIME_NONE, .until_us = TIME_NONE, __VA_ARGS__})

static void filters_are_exact(void **state)
{
    static const char *const red[] = {"red"};
    static const char *const both[] = {"red", "blue"};
    static const char *const red_upper[] = {"RED"};
    struct home *home = *state;

    fill(home);
    assert_list(home, FILTER(.with_deleted = true), "a,b,c,d,e");
    assert_list(home, FILTER(.project_id = "p"), "a,b,c");
    assert_list(home, FILTER(.project_id = "nobody"), "");
    assert_list(home, FILTER(.session_id = id_of(1001)), "a,b");
    assert_list(home, FILTER(.session_id = id_of(1001), .project_id = "q"), "");
    assert_list(home, FILTER(.session_id = id_of(1002), .project_id = "q"), "d");
    assert_list(home, (struct memory_filter){.since_us = 20000000, .until_us = 40000000}, "b,c");
    assert_list(home, (struct memory_filter){.since_us = 20000001, .until_us = 40000001}, "c,d");
    assert_list(home, FILTER(.tags = red, .tag_count = 1), "a,d");
    assert_list(home, FILTER(.tags = both, .tag_count = 2), "d");
    assert_list(home, FILTER(.tags = red_upper, .tag_count = 1), "");
    assert_list(home, FILTER(.asking_project = "p"), "a,b,c");
    assert_list(home, FILTER(.asking_project = "q"), "a,c,d");
    assert_list(home, FILTER(.asking_project = "r"), "a,c");
}

static void a_walk_ends_when_its_caller_says_so(void **state)
{
    struct list list = {.stop_at = 2};
    struct memory_filter filter = MEMORY_FILTER_INIT;
    struct err err = ERR_INIT;

    fill(*state);
    struct reader *reader = begin(*state);
    assert_int_equal(read_memories(reader, &filter, note_memory, &list, &err), 42);
    assert_string_equal(list.text, "a,b");
    read_end(reader);
}

/* A walk in a walk, with the same reader and the same statements. */
static int walk_within(void *arg, const struct memory *memory, const struct memory_state *state,
                       struct err *err)
{
    struct reader *reader = arg;
    struct list list = {.count = 0};
    struct memory_filter filter = MEMORY_FILTER_INIT;

    (void)memory;
    (void)state;
    assert_ok(read_memories(reader, &filter, note_memory, &list, err), err);
    assert_string_equal(list.text, "a,b,c,d");
    return 0;
}

static int changes_within(void *arg, const struct change *change, struct err *err)
{
    struct reader *reader = arg;
    struct memory_filter filter = MEMORY_FILTER_INIT;

    if (change->seq == 3) {
        assert_ok(read_memories(reader, &filter, walk_within, reader, err), err);
    }
    return change->seq < 4 ? 0 : 1;
}

static int change_again(void *arg, const struct change *change, struct err *err)
{
    struct reader *reader = arg;
    struct uuid origin = ledger_origin(reader->ledger);

    (void)change;
    return read_changes(reader, &origin, 0, SIZE_MAX, changes_within, reader, err) == 1 ? 0 : 9;
}

static void a_reader_may_be_asked_from_within_an_answer(void **state)
{
    struct home *home = *state;
    struct uuid origin = ledger_origin(home->ledger);
    struct err err = ERR_INIT;

    fill(home);
    struct reader *reader = begin(home);
    assert_ok(read_changes(reader, &origin, 0, SIZE_MAX, change_again, reader, &err), &err);
    read_end(reader);
}

static void a_reader_sees_its_snapshot(void **state)
{
    struct home *home = *state;
    struct memory_state memory_state;
    struct memory memory;
    struct uuid id = id_of(1);
    struct err err = ERR_INIT;

    put(home, id, "before");
    struct reader *reader = begin(home);
    put(home, id, "after");
    memory_init(&memory);
    assert_ok(read_memory(reader, &id, &memory, &memory_state, &err), &err);
    assert_string_equal(memory.content, "before");
    memory_done(&memory);
    read_end(reader);
    assert_content(home, id, "after");
}

/* ---- places ---- */

static void memories_of_a_session_lie_side_by_side(void **state)
{
    struct home *home = *state;
    struct memory_state states[5];
    AUTO(free_ptr) char *project = NULL;
    AUTO(free_ptr) int64_t *blocks = NULL;
    struct uuid session;
    size_t count;
    struct err err = ERR_INIT;

    fill(home);
    struct reader *reader = begin(home);
    for (unsigned i = 0; i < 5; i++) {
        AUTO(memory_done) struct memory memory;
        AUTO(memory_done) struct memory same;
        struct memory_state same_state;
        struct uuid id = id_of(i + 1);
        memory_init(&memory);
        memory_init(&same);
        assert_ok(read_memory(reader, &id, &memory, &states[i], &err), &err);
        assert_ok(read_memory_at(reader, states[i].place, &same, &same_state, &err), &err);
        assert_string_equal(same.content, memory.content);
    }
    assert_int_equal(states[3].place, states[1].place + 1); /* b behind a */
    assert_int_equal(states[4].place, states[0].place + 1); /* e behind d */
    assert_int_equal(states[0].place & ((1 << PLACE_BLOCK_SHIFT) - 1), 0);
    assert_ok(read_block(reader, states[0].place >> PLACE_BLOCK_SHIFT, &project, &session, &err),
              &err);
    assert_string_equal(project, "q");
    struct uuid expected = id_of(1002);
    assert_true(uuid_eq(&session, &expected));
    assert_refused(read_block(reader, 99, &project, &session, &err), &err, ERR_NOT_FOUND, "99");
    assert_ok(read_blocks(reader, "p", NULL, &blocks, &count, &err), &err);
    assert_int_equal(count, 2);
    struct memory nothing;
    assert_refused(read_memory_at(reader, 77, &nothing, &states[0], &err), &err, ERR_NOT_FOUND,
                   "place 77");
    read_end(reader);
}

/* A session of more than a block's million memories: the next block is its own, too. */
static void a_full_block_is_continued_by_another(void **state)
{
    struct home *home = *state;
    AUTO(free_ptr) char *path = xprintf("%s/live/ledger.db", home->path);
    AUTO(free_ptr) int64_t *blocks = NULL;
    sqlite3 *db = NULL;
    size_t count;
    struct err err = ERR_INIT;

    put(home, id_of(1), "the last of its block");
    home_close(home);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "UPDATE memory SET place = 1 << 20 | 0xfffff", NULL, NULL, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    home_open(home);
    put(home, id_of(2), "the first of the next");
    put(home, id_of(3), "the second of the next");
    home_close(home);
    home_open(home);
    put(home, id_of(4), "the third of the next");
    struct reader *reader = begin(home);
    assert_ok(read_blocks(reader, "p", NULL, &blocks, &count, &err), &err);
    read_end(reader);
    assert_int_equal(count, 2);
    assert_list(
        home, FILTER(.project_id = "p"),
        "the last of its block,the first of the next,the second of the next,the third of the next");
    assert_int_equal(counts_of(home).memories, 4);
    assert_verifies(home);
}

/* ---- history ---- */

static int note_version(void *arg, const struct change *change, const struct memory *memory,
                        bool held, struct err *err)
{
    char text[128];

    (void)err;
    (void)snprintf(text, sizeof(text), "%llu%s%s%s", (unsigned long long)memory->version,
                   memory->content, change->op == OP_DELETE ? "-" : "", held ? "!" : "");
    return note(arg, text);
}

static void history_has_every_version_held_ones_too(void **state)
{
    struct home *home = *state;
    struct list list = {.count = 0};
    struct chain chain;
    struct uuid id = id_of(1);
    struct err err = ERR_INIT;

    chain_init(&chain, 1);
    import(home, chain_memory(&chain, PUT(id, "b", 2)));
    import(home, chain_memory(&chain, PUT(id, "a", 1)));
    put(home, id, "c");
    delete_of(home, id);
    import(home, chain_decision(&chain, id_of(900), 1, DECISION_HELD, chain.origin, 2, 2));
    chain_done(&chain);
    struct reader *reader = begin(home);
    assert_ok(read_history(reader, &id, note_version, &list, &err), &err);
    assert_string_equal(list.text, "1a!,2b,3c,4c-");
    list = (struct list){.stop_at = 1};
    assert_int_equal(read_history(reader, &id, note_version, &list, &err), 42);
    id = id_of(2);
    assert_refused(read_history(reader, &id, note_version, &list, &err), &err, ERR_NOT_FOUND,
                   "never was");
    read_end(reader);
}

static void assert_as_of(struct home *home, int64_t at_us, const char *expected)
{
    AUTO(memory_done) struct memory memory;
    struct reader *reader = begin(home);
    struct uuid id = id_of(1);
    struct err err = ERR_INIT;

    memory_init(&memory);
    int result = read_memory_as_of(reader, &id, at_us, &memory, &err);
    read_end(reader);
    if (expected == NULL) {
        assert_int_equal(result, -ERR_NOT_FOUND);
    } else {
        assert_ok(result, &err);
        assert_string_equal(memory.deleted_us == TIME_NONE ? memory.content : "-", expected);
    }
}

static void any_moment_of_the_past_can_be_read(void **state)
{
    struct home *home = *state;

    put(home, id_of(1), "one");
    env_fake_advance_ms(&home->env, 1000);
    put(home, id_of(1), "two");
    env_fake_advance_ms(&home->env, 1000);
    delete_of(home, id_of(1));
    env_fake_advance_ms(&home->env, 1000);
    put(home, id_of(1), "three");
    assert_as_of(home, HOME_NOW_US - 1, NULL);
    assert_as_of(home, HOME_NOW_US, "one");
    assert_as_of(home, HOME_NOW_US + 999999, "one");
    assert_as_of(home, HOME_NOW_US + 1000000, "two");
    assert_as_of(home, HOME_NOW_US + 2000000, "-");
    assert_as_of(home, INT64_MAX, "three");
}

/* ---- sessions and projects ---- */

static int note_session(void *arg, const struct session *session, struct err *err)
{
    char text[64];

    (void)err;
    (void)snprintf(text, sizeof(text), "%d:%llu:%lld", session->id.bytes[15],
                   (unsigned long long)session->memory_count,
                   (long long)(session->active_us - HOME_NOW_US));
    return note(arg, text);
}

static void sessions_come_newest_first(void **state)
{
    struct home *home = *state;
    struct reader *reader;
    struct err err = ERR_INIT;
    char p[] = "p";
    char q[] = "q";

    for (unsigned i = 1; i <= 4; i++) {
        struct session session;
        session_init(&session);
        session.id = id_of(i);
        session.project_id = i == 3 ? q : p;
        session.started_us = HOME_NOW_US - (i == 2 ? 5 : (int64_t)i * 10);
        put_session(home, &session);
    }
    AUTO(memory_done) struct memory memory = memory_of("in the second");
    memory.session_id = id_of(2);
    memory.updated_us = HOME_NOW_US + 77;
    put_memory(home, &memory);
    struct list list = {.count = 0};
    reader = begin(home);
    assert_ok(read_sessions(reader, NULL, 100, note_session, &list, &err), &err);
    assert_string_equal(list.text, "2:1:77,1:0:-10,3:0:-30,4:0:-40");
    list = (struct list){.count = 0};
    assert_ok(read_sessions(reader, "p", 2, note_session, &list, &err), &err);
    assert_string_equal(list.text, "2:1:77,1:0:-10");
    list = (struct list){.stop_at = 1};
    assert_int_equal(read_sessions(reader, NULL, SIZE_MAX, note_session, &list, &err), 42);
    struct session session;
    struct uuid nobody = id_of(99);
    session_init(&session);
    assert_refused(read_session(reader, &nobody, &session, &err), &err, ERR_NOT_FOUND,
                   "no session");
    read_end(reader);
}

static int note_project(void *arg, const struct project *project, struct err *err)
{
    char text[64];

    (void)err;
    (void)snprintf(text, sizeof(text), "%s:%s:%llu", project->id, project->name,
                   (unsigned long long)project->memory_count);
    return note(arg, text);
}

static void projects_come_by_id_with_their_counts(void **state)
{
    struct home *home = *state;
    struct list list = {.count = 0};
    struct err err = ERR_INIT;

    fill(home);
    struct reader *reader = begin(home);
    assert_ok(read_projects(reader, note_project, &list, &err), &err);
    assert_string_equal(list.text, "p:p:3,q:q:1");
    list = (struct list){.stop_at = 1};
    assert_int_equal(read_projects(reader, note_project, &list, &err), 42);
    read_end(reader);
}

/* ---- the journal ---- */

static int note_change(void *arg, const struct change *change, struct err *err)
{
    char text[64];

    (void)err;
    struct sha256 hash = change_hash(&change->prev, change->record);
    assert_true(sha256_eq(&hash, &change->hash));
    (void)snprintf(text, sizeof(text), "%llu%s", (unsigned long long)change->seq,
                   change->origin.bytes[0] == 0xc0 ? "x" : "");
    return note(arg, text);
}

static void changes_can_be_read_from_any_number_on(void **state)
{
    struct home *home = *state;
    struct uuid origin = ledger_origin(home->ledger);
    struct uuid nobody = id_of(99);
    struct list list = {.count = 0};
    struct err err = ERR_INIT;

    for (unsigned i = 1; i <= 4; i++) {
        put(home, id_of(i), "x");
    }
    struct reader *reader = begin(home);
    assert_ok(read_changes(reader, &origin, 0, 100, note_change, &list, &err), &err);
    assert_string_equal(list.text, "1,2,3,4,5");
    list = (struct list){.count = 0};
    assert_ok(read_changes(reader, &origin, 2, 2, note_change, &list, &err), &err);
    assert_string_equal(list.text, "3,4");
    list = (struct list){.count = 0};
    assert_ok(read_changes(reader, &origin, 5, 2, note_change, &list, &err), &err);
    assert_ok(read_changes(reader, &origin, UINT64_MAX, 2, note_change, &list, &err), &err);
    assert_ok(read_changes(reader, &nobody, 0, 2, note_change, &list, &err), &err);
    assert_ok(read_changes(reader, &origin, 0, 0, note_change, &list, &err), &err);
    assert_int_equal(list.count, 0);
    assert_ok(read_change(reader, &origin, 3, note_change, &list, &err), &err);
    assert_string_equal(list.text, "3");
    assert_refused(read_change(reader, &origin, 6, note_change, &list, &err), &err, ERR_NOT_FOUND,
                   "change 6");
    assert_refused(read_change(reader, &origin, 0, note_change, &list, &err), &err, ERR_NOT_FOUND,
                   "change 0");
    read_end(reader);
}

static void the_newest_changes_of_all_origins_come_by_their_time(void **state)
{
    struct home *home = *state;
    struct list list = {.count = 0};
    struct chain chain;
    struct err err = ERR_INIT;

    put(home, id_of(1), "mine"); /* 1 and 2 at 0 */
    chain_init(&chain, 1);
    import(home, chain_memory(&chain, PUT(id_of(2), "theirs", 1, .updated_us = HOME_NOW_US + 5)));
    import(home, chain_memory(&chain, PUT(id_of(3), "theirs", 1, .updated_us = HOME_NOW_US + 15,
                                          .project = "q")));
    chain_done(&chain);
    env_fake_advance_ms(&home->env, 1);
    put(home, id_of(1), "mine again"); /* 3 at 1000 */
    struct reader *reader = begin(home);
    assert_ok(read_recent_changes(reader, NULL, 100, note_change, &list, &err), &err);
    assert_string_equal(list.text, "3,2x,1x,2,1");
    list = (struct list){.count = 0};
    assert_ok(read_recent_changes(reader, "p", 2, note_change, &list, &err), &err);
    assert_string_equal(list.text, "3,1x");
    list = (struct list){.stop_at = 1};
    assert_int_equal(read_recent_changes(reader, NULL, 100, note_change, &list, &err), 42);
    read_end(reader);
}

static void a_folder_can_be_read_without_a_ledger(void **state)
{
    struct home *home = *state;
    AUTO(free_ptr) char *folder = path_join(home->path, "live");
    struct ledger_counts counts;
    struct reader *reader;
    struct err err = ERR_INIT;

    fill(home);
    home_close(home);
    assert_ok(read_folder(folder, &reader, &err), &err);
    assert_ok(read_counts(reader, &counts, &err), &err);
    assert_int_equal(counts.memories, 4);
    assert_int_equal(counts.deleted, 1);
    assert_int_equal(counts.projects, 2);
    assert_int_equal(counts.sessions, 2);
    assert_int_equal(counts.changes, 10);
    read_end(reader);
    assert_refused(read_folder(home->path, &reader, &err), &err, ERR_VANISHED, "ledger.db");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, home_setup, home_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(memories_come_in_the_order_of_their_times),
        TEST(equal_times_are_ordered_by_id),
        TEST(filters_are_exact),
        TEST(a_walk_ends_when_its_caller_says_so),
        TEST(a_reader_may_be_asked_from_within_an_answer),
        TEST(a_reader_sees_its_snapshot),
        TEST(memories_of_a_session_lie_side_by_side),
        TEST(a_full_block_is_continued_by_another),
        TEST(history_has_every_version_held_ones_too),
        TEST(any_moment_of_the_past_can_be_read),
        TEST(sessions_come_newest_first),
        TEST(projects_come_by_id_with_their_counts),
        TEST(changes_can_be_read_from_any_number_on),
        TEST(the_newest_changes_of_all_origins_come_by_their_time),
        TEST(a_folder_can_be_read_without_a_ledger),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
