/*
 * place - a real ledger with the guard as its judge, and a project of 40 memories, for the tests of
 * both together.
 */
#ifndef HOLDFAST_TESTS_UNIT_GUARD_PLACE_H
#define HOLDFAST_TESTS_UNIT_GUARD_PLACE_H

#include "ledger/home.h"

#include "guard/guard.h"

#define PROJECT_MAX 40 /* memories that setup makes; id_of(1) and on */

struct place {
    struct home home;
    struct guard_options options;
    struct guard_source sources[2]; /* with thresholds of their own */
    size_t source_count;
    struct guard *guard;
    struct ledger_judge judge;
};

static inline void start(struct place *place)
{
    struct reader *reader;
    struct err err = ERR_INIT;

    assert_ok(guard_open(&place->options, place->sources, place->source_count, &place->home.env.env,
                         &place->guard, &err),
              &err);
    place->judge = guard_judge_for(place->guard);
    place->home.judge = &place->judge;
    home_open(&place->home);
    assert_ok(read_begin(place->home.ledger, &reader, &err), &err);
    assert_ok(guard_rebuild(place->guard, reader, &err), &err);
    read_end(reader);
}

static inline void stop(struct place *place)
{
    home_close(&place->home);
    guard_close(place->guard);
    place->guard = NULL;
}

static inline void restart(struct place *place)
{
    stop(place);
    start(place);
}

static inline void pass_ms(struct place *place, int64_t ms)
{
    env_fake_advance_ms(&place->home.env, ms);
}

/* The content of memory `number`: 300 bytes. */
static inline void content_for(unsigned number, char ret[301])
{
    memset(ret, '.', 300);
    ret[300] = '\0';
    int len = snprintf(ret, 300, "fact %u", number);
    ret[len] = '.';
}

/* Memories `from` to `to` as content_for says, in one request. */
static inline void put_many(struct place *place, unsigned from, unsigned to)
{
    size_t count = to - from + 1;
    AUTO(free_ptr) struct memory *memories = xcalloc(count, sizeof(*memories));
    AUTO(free_ptr) struct draft *drafts = xcalloc(count, sizeof(*drafts));
    AUTO(free_ptr) struct written *written = xcalloc(count, sizeof(*written));
    struct err err = ERR_INIT;
    char content[301];

    for (unsigned i = 0; i < count; i++) {
        content_for(from + i, content);
        memories[i] = memory_of(content);
        memories[i].id = id_of(from + i);
        drafts[i] = (struct draft){
            .kind = KIND_MEMORY, .op = OP_PUT, .memory = &memories[i], .source = "test"};
    }
    assert_ok(ledger_write(place->home.ledger, drafts, count, true, written, &err), &err);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(written[i].code, ERR_NONE);
        memory_done(&memories[i]);
    }
}

static inline int place_setup(void **state)
{
    struct place *place = xcalloc(1, sizeof(*place));
    const struct guard_options defaults = GUARD_OPTIONS_DEFAULT;
    const char *tmp = getenv("TMPDIR");

    place->options = defaults;
    (void)snprintf(place->home.path, sizeof(place->home.path), "%s/hf-guard-XXXXXX",
                   tmp == NULL ? "/tmp" : tmp);
    assert_non_null(mkdtemp(place->home.path));
    env_fake_init(&place->home.env, HOME_NOW_US, 42);
    start(place);
    put_many(place, 1, PROJECT_MAX);
    pass_ms(place, 7200000);
    *state = place;
    return 0;
}

static inline int place_teardown(void **state)
{
    struct place *place = *state;
    struct err err = ERR_INIT;

    (void)assert_verifies(&place->home);
    stop(place);
    assert_ok(file_remove_tree(place->home.path, &err), &err);
    free(place);
    return 0;
}

/* ---- what there is ---- */

static inline int copy_alert(void *arg, const struct alert *alert, struct err *err)
{
    struct alert *last = arg;

    (void)err;
    uint64_t count = last->version + 1; /* counts, here */
    alert_done(last);
    *last = (struct alert){
        .id = alert->id,
        .state = alert->state,
        .rule = xstrdup(alert->rule),
        .actor = xstrdup(alert->actor),
        .project_id = xstrdup(alert->project_id),
        .summary = xstrdup(alert->summary),
        .person = xstrdup(alert->person),
        .changes = alert->changes,
        .memories = alert->memories,
        .started_us = alert->started_us,
        .version = count,
    };
    return 0;
}

/* The newest alert; its version is how many there are. */
static inline struct alert last_alert(struct place *place, bool open_only)
{
    struct alert alert = {.version = 0};
    struct reader *reader;
    struct err err = ERR_INIT;

    assert_ok(read_begin(place->home.ledger, &reader, &err), &err);
    assert_ok(read_alerts(reader, open_only, copy_alert, &alert, &err), &err);
    read_end(reader);
    return alert;
}

static inline void assert_alerts(struct place *place, uint64_t count)
{
    AUTO(alert_done) struct alert alert = last_alert(place, false);

    if (alert.version != count && alert.summary != NULL) {
        print_error("the newest alert: %s\n", alert.summary);
    }
    assert_int_equal(alert.version, count);
}

static inline void assert_intact(struct place *place, unsigned from, unsigned to)
{
    char content[301];

    for (unsigned i = from; i <= to; i++) {
        content_for(i, content);
        assert_content(&place->home, id_of(i), content);
    }
}

static inline void assert_gone(struct place *place, unsigned from, unsigned to)
{
    for (unsigned i = from; i <= to; i++) {
        assert_content(&place->home, id_of(i), NULL);
    }
}

static inline bool is_shown_as_held(struct place *place, unsigned number)
{
    AUTO(memory_done) struct memory memory;
    struct memory_state state;
    struct reader *reader;
    struct err err = ERR_INIT;
    struct uuid id = id_of(number);

    memory_init(&memory);
    assert_ok(read_begin(place->home.ledger, &reader, &err), &err);
    assert_ok(read_memory(reader, &id, &memory, &state, &err), &err);
    read_end(reader);
    return state.held;
}

static inline void delete_many(struct place *place, unsigned from, unsigned to, bool expect_held)
{
    struct draft drafts[PROJECT_MAX] = {{.kind = KIND_MEMORY}};
    struct written written[PROJECT_MAX];
    size_t count = to - from + 1;
    struct err err = ERR_INIT;

    for (unsigned i = 0; i < count; i++) {
        drafts[i] = (struct draft){
            .kind = KIND_MEMORY, .op = OP_DELETE, .id = id_of(from + i), .source = "mcp:x"};
    }
    assert_ok(ledger_write(place->home.ledger, drafts, count, true, written, &err), &err);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(written[i].code, ERR_NONE);
        assert_int_equal(written[i].held, expect_held);
    }
    written_done(written, count);
}

/* ---- a person's word ---- */

static inline int resolution(struct place *place, const struct uuid *alert, bool accept,
                             struct decision *ret, struct err *err)
{
    struct reader *reader;

    assert_ok(guard_seal(place->guard, alert, err), err);
    assert_ok(read_begin(place->home.ledger, &reader, err), err);
    int result = guard_resolution(reader, alert, accept, "ann", ret, err);
    read_end(reader);
    return result;
}

static inline void resolve(struct place *place, bool accept)
{
    AUTO(alert_done) struct alert alert = last_alert(place, true);
    AUTO(decision_done) struct decision decision;
    struct written written;
    struct err err = ERR_INIT;

    assert_ok(resolution(place, &alert.id, accept, &decision, &err), &err);
    struct draft draft = {.kind = KIND_GUARD,
                          .op = accept ? OP_RELEASE : OP_HOLD,
                          .decision = &decision,
                          .source = "cli"};
    assert_ok(ledger_write(place->home.ledger, &draft, 1, true, &written, &err), &err);
    assert_int_equal(written.code, ERR_NONE);
}

/* ---- more ranges than a decision takes ---- */

#define MANY 12000

static inline struct draft *interleaved_drafts(struct memory *memories, bool deletes)
{
    struct draft *drafts = xcalloc(2 * (size_t)MANY, sizeof(*drafts));

    for (unsigned i = 0; i < MANY; i++) {
        memory_init(&memories[i]);
        memories[i].content = xstrdup("a fact among many");
        memories[i].content_len = strlen(memories[i].content);
        memories[i].project_id = xstrdup("many");
        memories[i].id = id_of((deletes ? 200000 : 100000) + i);
        drafts[2 * i] = (struct draft){
            .kind = KIND_MEMORY, .op = OP_PUT, .memory = &memories[i], .source = "mcp:x"};
        drafts[2 * i + 1] = (struct draft){
            .kind = KIND_MEMORY, .op = OP_DELETE, .id = id_of(100000 + i), .source = "mcp:x"};
    }
    return drafts;
}

static inline void write_interleaved(struct place *place, bool deletes)
{
    AUTO(free_ptr) struct memory *memories = xcalloc(MANY, sizeof(*memories));
    AUTO(free_ptr) struct draft *drafts = interleaved_drafts(memories, deletes);
    AUTO(free_ptr) struct written *written = xcalloc(2 * (size_t)MANY, sizeof(*written));
    struct err err = ERR_INIT;
    size_t count = deletes ? 2 * (size_t)MANY : MANY;

    if (!deletes) {
        for (size_t i = 0; i < MANY; i++) {
            drafts[i] = drafts[2 * i];
        }
    }
    assert_ok(ledger_write(place->home.ledger, drafts, count, true, written, &err), &err);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(written[i].code, ERR_NONE);
    }
    for (size_t i = 0; i < MANY; i++) {
        memory_done(&memories[i]);
    }
}

#define PLACE_TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

#endif
