/* The guard at a real ledger: holding is atomic with the commit, a person's word is final. */
#include "guard/place.h"

#include <pthread.h>

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

/* A source may say so of single drafts; the others are judged as ever. */
static void what_version_control_has_is_not_judged_and_counts_for_nothing(void **state)
{
    struct place *place = *state;
    struct draft drafts[PROJECT_MAX];
    struct written written[PROJECT_MAX];
    struct err err = ERR_INIT;

    for (unsigned i = 0; i < PROJECT_MAX; i++) {
        drafts[i] = (struct draft){.kind = KIND_MEMORY,
                                   .op = OP_DELETE,
                                   .id = id_of(i + 1),
                                   .versioned = i < 20,
                                   .source = "notes"};
    }
    assert_ok(ledger_write(place->home.ledger, drafts, 20, false, written, &err), &err);
    assert_gone(place, 1, 20);
    assert_alerts(place, 0);
    assert_ok(ledger_write(place->home.ledger, drafts + 20, 20, false, written, &err), &err);
    assert_gone(place, 1, 20);
    assert_intact(place, 21, PROJECT_MAX);
    assert_alerts(place, 1);
}

/* Deletes all, and writes what `over` says over it, in one request. */
static void delete_and_put_over_all(struct place *place, const struct memory *over)
{
    struct draft drafts[2 * PROJECT_MAX] = {{.kind = KIND_MEMORY}};
    struct written written[2 * PROJECT_MAX];
    struct memory others[PROJECT_MAX];
    struct err err = ERR_INIT;

    for (unsigned i = 0; i < PROJECT_MAX; i++) {
        others[i] = *over;
        others[i].id = id_of(i + 1);
        drafts[i] = (struct draft){
            .kind = KIND_MEMORY, .op = OP_DELETE, .id = others[i].id, .source = "mcp:x"};
        drafts[PROJECT_MAX + i] = (struct draft){
            .kind = KIND_MEMORY, .op = OP_PUT, .memory = &others[i], .source = "mcp:x"};
    }
    assert_ok(ledger_write(place->home.ledger, drafts, 2 * PROJECT_MAX, true, written, &err), &err);
    for (size_t i = 0; i < 2 * PROJECT_MAX; i++) {
        assert_int_equal(written[i].code, ERR_NONE);
        assert_true(written[i].held);
    }
    assert_intact(place, 1, PROJECT_MAX);
    assert_alerts(place, 1);
}

static void deleting_and_writing_others_over_it_changes_nothing_that_shows(void **state)
{
    AUTO(memory_done) struct memory junk = memory_of("junk");

    delete_and_put_over_all(*state, &junk);
}

/* A deletion on top of a deletion would stay when the one below is held. */
static void deleting_and_writing_another_tombstone_over_it_changes_nothing_that_shows(void **state)
{
    AUTO(memory_done) struct memory junk = memory_of("junk");

    junk.deleted_us = HOME_NOW_US;
    delete_and_put_over_all(*state, &junk);
}

static void deleting_and_writing_junk_one_by_one_changes_nothing_that_shows(void **state)
{
    struct place *place = *state;

    for (unsigned i = 1; i <= PROJECT_MAX; i++) {
        delete_of(&place->home, id_of(i));
        put(&place->home, id_of(i), "junk over what was deleted");
        pass_ms(place, 200);
    }
    assert_intact(place, 1, PROJECT_MAX);
    assert_alerts(place, 1);
}

static void tombstones_may_be_written_again(void **state)
{
    AUTO(memory_done) struct memory other = memory_of("what it was, said otherwise");
    struct place *place = *state;

    delete_many(place, 1, 8, false);
    pass_ms(place, 7200000);
    delete_many(place, 9, 12, false);
    other.deleted_us = HOME_NOW_US;
    for (unsigned i = 1; i <= 12; i++) {
        other.id = id_of(i);
        put_memory(&place->home, &other);
    }
    assert_alerts(place, 0);
}

static void a_forged_version_over_a_deleted_memory_is_held(void **state)
{
    AUTO(memory_done) struct memory forged = memory_of("forged");
    struct place *place = *state;

    delete_of(&place->home, id_of(1));
    forged.id = id_of(1);
    forged.version = 5000;
    assert_true(put_memory(&place->home, &forged).held);
    assert_gone(place, 1, 1);
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
    while (counts_of(&place->home).alerts_open > 0) {
        resolve(place, false);
    }
    for (unsigned i = 0; i < WRITERS * EACH; i++) {
        assert_false(is_shown_as_held(place, 1000 + i));
    }
    assert_intact(place, 1, PROJECT_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_TEST(delete_all_changes_nothing_that_shows),
        PLACE_TEST(what_version_control_has_is_not_judged_and_counts_for_nothing),
        PLACE_TEST(what_came_before_the_threshold_comes_back),
        PLACE_TEST(garbage_over_everything_changes_nothing_that_shows),
        PLACE_TEST(deleting_and_writing_others_over_it_changes_nothing_that_shows),
        PLACE_TEST(deleting_and_writing_another_tombstone_over_it_changes_nothing_that_shows),
        PLACE_TEST(deleting_and_writing_junk_one_by_one_changes_nothing_that_shows),
        PLACE_TEST(tombstones_may_be_written_again),
        PLACE_TEST(a_forged_version_over_a_deleted_memory_is_held),
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
        PLACE_TEST(writers_watchers_and_deciders_do_not_disturb_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
