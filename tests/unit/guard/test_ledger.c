/* The guard at a real ledger: holding is atomic with the commit, restarts forget nothing, a
 * person's word is final. */
#include "ledger/home.h"

#include <pthread.h>

#include "guard/guard.h"

#define PROJECT_MAX 40 /* memories that setup makes; id_of(1) and on */

struct place {
    struct home home;
    struct guard_options options;
    struct guard *guard;
    struct ledger_judge judge;
};

static void start(struct place *place)
{
    struct reader *reader;
    struct err err = ERR_INIT;

    assert_ok(guard_open(&place->options, &place->home.env.env, &place->guard, &err), &err);
    place->judge = guard_judge_for(place->guard);
    place->home.judge = &place->judge;
    home_open(&place->home);
    assert_ok(read_begin(place->home.ledger, &reader, &err), &err);
    assert_ok(guard_rebuild(place->guard, reader, &err), &err);
    read_end(reader);
}

static void stop(struct place *place)
{
    home_close(&place->home);
    guard_close(place->guard);
    place->guard = NULL;
}

static void restart(struct place *place)
{
    stop(place);
    start(place);
}

static void pass_ms(struct place *place, int64_t ms)
{
    env_fake_advance_ms(&place->home.env, ms);
}

/* The content of memory `number`: 300 bytes. */
static void content_for(unsigned number, char ret[301])
{
    memset(ret, '.', 300);
    ret[300] = '\0';
    int len = snprintf(ret, 300, "fact %u", number);
    ret[len] = '.';
}

/* Memories `from` to `to` as content_for says, in one request. */
static void put_many(struct place *place, unsigned from, unsigned to)
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

static int place_setup(void **state)
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

static int place_teardown(void **state)
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

static int copy_alert(void *arg, const struct alert *alert, struct err *err)
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
static struct alert last_alert(struct place *place, bool open_only)
{
    struct alert alert = {.version = 0};
    struct reader *reader;
    struct err err = ERR_INIT;

    assert_ok(read_begin(place->home.ledger, &reader, &err), &err);
    assert_ok(read_alerts(reader, open_only, copy_alert, &alert, &err), &err);
    read_end(reader);
    return alert;
}

static void assert_alerts(struct place *place, uint64_t count)
{
    AUTO(alert_done) struct alert alert = last_alert(place, false);

    if (alert.version != count && alert.summary != NULL) {
        print_error("the newest alert: %s\n", alert.summary);
    }
    assert_int_equal(alert.version, count);
}

static void assert_intact(struct place *place, unsigned from, unsigned to)
{
    char content[301];

    for (unsigned i = from; i <= to; i++) {
        content_for(i, content);
        assert_content(&place->home, id_of(i), content);
    }
}

static void assert_gone(struct place *place, unsigned from, unsigned to)
{
    for (unsigned i = from; i <= to; i++) {
        assert_content(&place->home, id_of(i), NULL);
    }
}

static bool is_shown_as_held(struct place *place, unsigned number)
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

static void delete_many(struct place *place, unsigned from, unsigned to, bool expect_held)
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

static int resolution(struct place *place, const struct uuid *alert, bool accept,
                      struct decision *ret, struct err *err)
{
    struct reader *reader;

    assert_ok(guard_seal(place->guard, alert, err), err);
    assert_ok(read_begin(place->home.ledger, &reader, err), err);
    int result = guard_resolution(reader, alert, accept, "ann", ret, err);
    read_end(reader);
    return result;
}

static void resolve(struct place *place, bool accept)
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

/* ---- holding ---- */

static void delete_all_changes_nothing_that_shows(void **state)
{
    struct place *place = *state;

    delete_many(place, 1, PROJECT_MAX, true);
    assert_intact(place, 1, PROJECT_MAX);
    assert_true(is_shown_as_held(place, 1));
    AUTO(alert_done) struct alert alert = last_alert(place, true);
    assert_int_equal(alert.version, 1);
    assert_string_equal(alert.rule, "deletes");
    assert_string_equal(alert.project_id, "p");
    assert_string_equal(alert.actor, "mcp:x");
    assert_int_equal(alert.changes, PROJECT_MAX);
    assert_int_equal(alert.memories, PROJECT_MAX);
    assert_string_equal(alert.summary, "40 of 40 memories of project p were deleted by mcp:x "
                                       "within 1 s; they are held: still shown, nothing is lost");
}

static void what_came_before_the_threshold_comes_back(void **state)
{
    struct place *place = *state;

    delete_many(place, 1, 8, false);
    assert_gone(place, 1, 8);
    pass_ms(place, 5000);
    delete_many(place, 9, 9, true);
    assert_intact(place, 1, PROJECT_MAX);
    assert_alerts(place, 1);
}

static void garbage_over_everything_changes_nothing_that_shows(void **state)
{
    struct place *place = *state;

    for (unsigned i = 1; i <= PROJECT_MAX; i++) {
        pass_ms(place, 200);
        put(&place->home, id_of(i), "garbage, garbage, garbage, garbage, garbage, garbage");
    }
    assert_intact(place, 1, PROJECT_MAX);
    assert_alerts(place, 1);
}

static void new_memories_flow_while_an_alert_is_open(void **state)
{
    struct place *place = *state;

    delete_many(place, 1, PROJECT_MAX, true);
    put(&place->home, id_of(1000), "still working");
    put(&place->home, id_of(1), "the same fact, seen anew");
    assert_content(&place->home, id_of(1000), "still working");
    assert_content(&place->home, id_of(1), "the same fact, seen anew");
}

static void a_commit_that_fails_is_not_counted(void **state)
{
    struct place *place = *state;
    struct draft drafts[10];
    struct written written[10];
    struct err err = ERR_INIT;

    for (unsigned i = 0; i < 10; i++) {
        drafts[i] = (struct draft){
            .kind = KIND_MEMORY, .op = OP_DELETE, .id = id_of(i + 1), .source = "cli"};
    }
    place->options.delete_max = 10;
    for (int n = 1; n < 400; n++) { /* every statement of it in turn */
        AUTO(free_ptr) char *at = xprintf("ledger.sql.full:%d", n);
        fault_set(at);
        int result = ledger_write(place->home.ledger, drafts, 8, true, written, &err);
        fault_set(NULL);
        if (result == 0 && written[0].code == ERR_NONE) {
            assert_true(n > 10);
            break;
        }
        written_done(written, 8);
    }
    assert_alerts(place, 0);
    assert_gone(place, 1, 8);
}

/* ---- resolving ---- */

static void a_reverted_alert_leaves_everything_as_it_was(void **state)
{
    struct place *place = *state;

    delete_many(place, 1, PROJECT_MAX, true);
    resolve(place, false);
    assert_intact(place, 1, PROJECT_MAX);
    assert_false(is_shown_as_held(place, 1));
    AUTO(alert_done) struct alert alert = last_alert(place, false);
    assert_int_equal(alert.state, ALERT_REVERTED);
    assert_string_equal(alert.person, "ann");
    assert_int_equal(alert.changes, PROJECT_MAX);
}

static void an_accepted_alert_takes_effect(void **state)
{
    struct place *place = *state;

    delete_many(place, 1, 20, true);
    resolve(place, true);
    assert_gone(place, 1, 20);
    assert_intact(place, 21, PROJECT_MAX);
    AUTO(alert_done) struct alert alert = last_alert(place, false);
    assert_int_equal(alert.state, ALERT_ACCEPTED);
}

static void after_a_decision_a_burst_has_an_alert_of_its_own(void **state)
{
    struct place *place = *state;

    delete_many(place, 1, 12, true);
    resolve(place, false);
    delete_many(place, 1, 12, true);
    assert_alerts(place, 2);
    resolve(place, true);
    delete_many(place, 13, 17, false);
    assert_alerts(place, 2);
    assert_gone(place, 1, 17);
}

static void an_unknown_alert_is_refused_and_the_open_ones_named(void **state)
{
    struct place *place = *state;
    struct decision decision;
    struct uuid unknown = id_of(77);
    struct err err = ERR_INIT;
    char text[UUID_TEXT_MAX];

    assert_refused(resolution(place, &unknown, true, &decision, &err), &err, ERR_NOT_FOUND,
                   "none is open");
    delete_many(place, 1, 12, true);
    AUTO(alert_done) struct alert alert = last_alert(place, true);
    uuid_format(&alert.id, text);
    assert_refused(resolution(place, &unknown, true, &decision, &err), &err, ERR_NOT_FOUND, text);
    assert_refused(resolution(place, &unknown, true, &decision, &err), &err, ERR_NOT_FOUND,
                   "open is:");
    for (int i = 0; i < 6; i++) {
        AUTO(decision_done) struct decision outside;
        struct written written;
        guard_outside_alert(&place->home.env.env, "vault_damaged", "vault a", "It is.", &outside);
        struct draft draft = {
            .kind = KIND_GUARD, .op = OP_HOLD, .decision = &outside, .source = "holdfast"};
        assert_ok(ledger_write(place->home.ledger, &draft, 1, true, &written, &err), &err);
        assert_int_equal(written.code, ERR_NONE);
    }
    assert_refused(resolution(place, &unknown, true, &decision, &err), &err, ERR_NOT_FOUND,
                   ", ...");
}

static void an_alert_is_resolved_once(void **state)
{
    struct place *place = *state;
    struct decision decision;
    struct err err = ERR_INIT;

    delete_many(place, 1, 12, true);
    resolve(place, false);
    AUTO(alert_done) struct alert alert = last_alert(place, false);
    assert_refused(resolution(place, &alert.id, true, &decision, &err), &err, ERR_CONFLICT,
                   "reverted by ann at 20");
}

static void an_outside_alert_can_be_resolved(void **state)
{
    struct place *place = *state;
    AUTO(decision_done) struct decision outside;
    struct written written;
    struct err err = ERR_INIT;

    guard_outside_alert(&place->home.env.env, "vault_damaged", "vault a", "It is.", &outside);
    struct draft draft = {
        .kind = KIND_GUARD, .op = OP_HOLD, .decision = &outside, .source = "holdfast"};
    assert_ok(ledger_write(place->home.ledger, &draft, 1, true, &written, &err), &err);
    assert_int_equal(written.code, ERR_NONE);
    restart(place);
    resolve(place, true);
    AUTO(alert_done) struct alert alert = last_alert(place, false);
    assert_int_equal(alert.state, ALERT_ACCEPTED);
}

/* ---- more ranges than a decision takes ---- */

#define MANY 12000

static struct draft *interleaved_drafts(struct memory *memories, bool deletes)
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

static void write_interleaved(struct place *place, bool deletes)
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

static void an_alert_of_more_ranges_than_a_decision_takes_is_resolved_whole(void **state)
{
    struct place *place = *state;

    write_interleaved(place, false);
    write_interleaved(place, true);
    assert_alerts(place, 1);
    assert_int_equal(counts_of(&place->home).deleted, 0);
    resolve(place, true);
    assert_int_equal(counts_of(&place->home).deleted, MANY);
    assert_int_equal(counts_of(&place->home).memories, PROJECT_MAX + MANY);
}

static void an_alert_of_more_ranges_than_a_decision_takes_is_reverted_whole(void **state)
{
    struct place *place = *state;

    write_interleaved(place, false);
    write_interleaved(place, true);
    resolve(place, false);
    assert_int_equal(counts_of(&place->home).deleted, 0);
    assert_int_equal(counts_of(&place->home).memories, PROJECT_MAX + 2 * MANY);
}

/* ---- restarts ---- */

static void a_drip_from_before_a_restart_trips_after_it(void **state)
{
    struct place *place = *state;

    for (unsigned i = 1; i <= 8; i++) {
        pass_ms(place, 7000);
        delete_of(&place->home, id_of(i));
        if (i % 3 == 0) {
            restart(place);
        }
    }
    assert_alerts(place, 0);
    pass_ms(place, 7000);
    delete_of(&place->home, id_of(9));
    assert_alerts(place, 1);
    assert_intact(place, 1, PROJECT_MAX);
}

static void a_burst_from_before_a_restart_counts(void **state)
{
    struct place *place = *state;

    put_many(place, 101, 200);
    delete_many(place, 1, 10, false);
    pass_ms(place, 59000);
    restart(place);
    delete_many(place, 11, 11, true);
    AUTO(alert_done) struct alert alert = last_alert(place, true);
    assert_string_equal(alert.rule, "deletes");
    assert_int_equal(alert.changes, 11);
}

static void what_is_too_old_counts_no_more_after_a_restart(void **state)
{
    struct place *place = *state;

    delete_many(place, 1, 8, false);
    pass_ms(place, 3600001);
    restart(place);
    delete_many(place, 9, 14, false);
    assert_alerts(place, 0);
}

static void losses_from_before_a_restart_count(void **state)
{
    struct place *place = *state;
    static const char cut[] = "a hundred bytes or so are left of what were three hundred, and "
                              "nobody asked for it to be cut, no";

    for (unsigned i = 1; i <= 4; i++) {
        put(&place->home, id_of(i), cut);
    }
    restart(place);
    assert_alerts(place, 0);
    put(&place->home, id_of(5), cut);
    assert_alerts(place, 1);
    AUTO(alert_done) struct alert alert = last_alert(place, true);
    assert_string_equal(alert.rule, "content_loss");
    assert_intact(place, 1, PROJECT_MAX);
}

static void rewrites_from_before_a_restart_count(void **state)
{
    struct place *place = *state;
    char content[400];

    memset(content, 'x', sizeof(content) - 1);
    content[sizeof(content) - 1] = '\0';
    for (unsigned i = 1; i <= 20; i++) {
        put(&place->home, id_of(i), content);
    }
    restart(place);
    assert_alerts(place, 0);
    put(&place->home, id_of(21), content);
    AUTO(alert_done) struct alert alert = last_alert(place, true);
    assert_non_null(alert.rule);
    assert_string_equal(alert.rule, "bulk_update");
    assert_intact(place, 1, PROJECT_MAX);
}

static void an_incident_goes_on_after_a_restart(void **state)
{
    struct place *place = *state;

    delete_many(place, 1, 20, true);
    pass_ms(place, 30000);
    restart(place);
    delete_many(place, 20, 25, true);
    AUTO(alert_done) struct alert alert = last_alert(place, true);
    assert_int_equal(alert.version, 1);
    assert_int_equal(alert.changes, 26);
    assert_int_equal(alert.memories, 25);
    assert_intact(place, 1, PROJECT_MAX);
}

static void a_share_incident_goes_on_after_a_restart(void **state)
{
    struct place *place = *state;

    for (unsigned i = 1; i <= 9; i++) {
        pass_ms(place, 61000);
        delete_of(&place->home, id_of(i));
    }
    assert_alerts(place, 1);
    restart(place);
    pass_ms(place, 1800000);
    delete_of(&place->home, id_of(10));
    AUTO(alert_done) struct alert alert = last_alert(place, true);
    assert_int_equal(alert.version, 1);
    assert_int_equal(alert.changes, 10);
    assert_string_equal(alert.rule, "share");
}

static void an_incident_that_is_over_stays_over_after_a_restart(void **state)
{
    struct place *place = *state;

    delete_many(place, 1, 20, true);
    pass_ms(place, 60000);
    restart(place);
    delete_many(place, 21, 25, false);
    assert_alerts(place, 1);
    assert_gone(place, 21, 25);
    assert_intact(place, 1, 20);
}

static void what_was_accepted_counts_no_more_after_a_restart(void **state)
{
    struct place *place = *state;

    delete_many(place, 1, 20, true);
    resolve(place, true);
    restart(place);
    delete_many(place, 21, 24, false);
    assert_alerts(place, 1);
    assert_gone(place, 1, 24);
}

static void what_was_reverted_counts_no_more_after_a_restart(void **state)
{
    struct place *place = *state;

    delete_many(place, 1, 20, true);
    resolve(place, false);
    restart(place);
    delete_many(place, 1, 8, false);
    assert_alerts(place, 1);
}

static void a_wall_clock_set_back_over_a_restart_frees_nobody(void **state)
{
    struct place *place = *state;

    delete_many(place, 1, 8, false);
    stop(place);
    pass_ms(place, -86400000);
    start(place);
    delete_many(place, 9, 9, true);
    assert_intact(place, 1, PROJECT_MAX);
}

static void many_changes_before_a_restart_are_all_seen(void **state)
{
    struct place *place = *state;

    delete_many(place, 1, 8, false);
    write_interleaved(place, false); /* 12,000 new memories: several chunks of the journal */
    restart(place);
    delete_many(place, 9, 9, true);
    assert_intact(place, 1, PROJECT_MAX);
}

static void what_was_destroyed_while_it_was_off_counts_when_it_is_on_again(void **state)
{
    struct place *place = *state;

    place->options.enabled = false;
    restart(place);
    delete_many(place, 1, 20, false);
    assert_alerts(place, 0);
    assert_gone(place, 1, 20);
    place->options.enabled = true;
    restart(place);
    assert_gone(place, 1, 20);
    delete_many(place, 21, 21, true);
    assert_alerts(place, 1);
    assert_intact(place, 1, PROJECT_MAX);
}

/* ---- several at once ---- */

#define WRITERS 4
#define EACH 60

struct worker {
    struct place *place;
    unsigned number;
    _Atomic bool *stop;
    pthread_t thread;
};

static void *write_and_delete(void *arg)
{
    struct worker *worker = arg;
    AUTO(free_ptr) char *source = xprintf("mcp:%u", worker->number);
    struct err err = ERR_INIT;

    for (unsigned i = 0; i < EACH; i++) {
        struct written written[2];
        AUTO(memory_done) struct memory memory = memory_of("something new");
        struct draft drafts[2] = {
            {.kind = KIND_MEMORY,
             .op = OP_DELETE,
             .id = id_of(1000 + worker->number * EACH + i),
             .source = source},
            {.kind = KIND_MEMORY, .op = OP_PUT, .memory = &memory, .source = source},
        };
        if (ledger_write(worker->place->home.ledger, drafts, 2, false, written, &err) < 0 ||
            written[0].code != ERR_NONE || written[1].code != ERR_NONE) {
            abort();
        }
    }
    return NULL;
}

static void *watch(void *arg)
{
    struct worker *worker = arg;
    struct guard_status status;

    while (!*worker->stop) {
        guard_status(worker->place->guard, &status);
        if (status.threshold != 10) {
            abort();
        }
    }
    return NULL;
}

/* Revert whatever alert is open, again and again. */
static void *decide(void *arg)
{
    struct worker *worker = arg;

    while (!*worker->stop) {
        struct alert alert = last_alert(worker->place, true);
        if (alert.version > 0) {
            resolve(worker->place, false);
        }
        alert_done(&alert);
    }
    return NULL;
}

static void writers_watchers_and_deciders_do_not_disturb_each_other(void **state)
{
    struct place *place = *state;
    struct worker workers[WRITERS + 2];
    _Atomic bool stop_now = false;
    void *(*const others[2])(void *) = {watch, decide};

    put_many(place, 1000, 1000 + WRITERS * EACH - 1);
    for (unsigned i = 0; i < WRITERS + 2; i++) {
        workers[i] = (struct worker){.place = place, .number = i, .stop = &stop_now};
        assert_int_equal(pthread_create(&workers[i].thread, NULL,
                                        i < WRITERS ? write_and_delete : others[i - WRITERS],
                                        &workers[i]),
                         0);
    }
    for (unsigned i = 0; i < WRITERS + 2; i++) {
        stop_now = i >= WRITERS;
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
    }
    struct alert alert = last_alert(place, true);
    if (alert.version > 0) {
        resolve(place, false);
    }
    alert_done(&alert);
    assert_int_equal(counts_of(&place->home).alerts_open, 0);
    for (unsigned i = 0; i < WRITERS * EACH; i++) {
        assert_false(is_shown_as_held(place, 1000 + i));
    }
    assert_intact(place, 1, PROJECT_MAX);
}

#define PLACE_TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_TEST(delete_all_changes_nothing_that_shows),
        PLACE_TEST(what_came_before_the_threshold_comes_back),
        PLACE_TEST(garbage_over_everything_changes_nothing_that_shows),
        PLACE_TEST(new_memories_flow_while_an_alert_is_open),
        PLACE_TEST(a_commit_that_fails_is_not_counted),
        PLACE_TEST(a_reverted_alert_leaves_everything_as_it_was),
        PLACE_TEST(an_accepted_alert_takes_effect),
        PLACE_TEST(after_a_decision_a_burst_has_an_alert_of_its_own),
        PLACE_TEST(an_unknown_alert_is_refused_and_the_open_ones_named),
        PLACE_TEST(an_alert_is_resolved_once),
        PLACE_TEST(an_outside_alert_can_be_resolved),
        PLACE_TEST(an_alert_of_more_ranges_than_a_decision_takes_is_resolved_whole),
        PLACE_TEST(an_alert_of_more_ranges_than_a_decision_takes_is_reverted_whole),
        PLACE_TEST(a_drip_from_before_a_restart_trips_after_it),
        PLACE_TEST(a_burst_from_before_a_restart_counts),
        PLACE_TEST(what_is_too_old_counts_no_more_after_a_restart),
        PLACE_TEST(losses_from_before_a_restart_count),
        PLACE_TEST(rewrites_from_before_a_restart_count),
        PLACE_TEST(an_incident_goes_on_after_a_restart),
        PLACE_TEST(a_share_incident_goes_on_after_a_restart),
        PLACE_TEST(an_incident_that_is_over_stays_over_after_a_restart),
        PLACE_TEST(what_was_accepted_counts_no_more_after_a_restart),
        PLACE_TEST(what_was_reverted_counts_no_more_after_a_restart),
        PLACE_TEST(a_wall_clock_set_back_over_a_restart_frees_nobody),
        PLACE_TEST(many_changes_before_a_restart_are_all_seen),
        PLACE_TEST(what_was_destroyed_while_it_was_off_counts_when_it_is_on_again),
        PLACE_TEST(writers_watchers_and_deciders_do_not_disturb_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
