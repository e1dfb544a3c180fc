/* The replicator against a vault that does as it is told. */
#include "replicate/fake_rig.h"
#include "vault/chain.h"

#include "base/fit.h"
#include "ledger/store.h"
#include "replicate/replicator_internal.h"

/* ---- sending ---- */

static void what_waits_is_sent_in_order(void **state)
{
    struct rig *rig = *state;

    rig_remember_many(rig, 250);
    rig_start(rig);
    rig_drain(rig);
    assert_int_equal(vault_has(rig), 251); /* and the project */
    assert_same(rig);
    assert_int_equal(fake_place.batches[0], 100);
    assert_int_equal(fake_place.batches[2], 51);
    struct replicator_status status = rig_status(rig);
    assert_int_equal(status.acked_seq, 251);
    assert_int_equal(status.head_seq, 251);
    assert_int_equal(status.queue, 0);
    assert_int_equal(status.lag_ms, 0);
    assert_true(status.connected);
    assert_int_equal(status.last_ok_us, RIG_NOW_US);
    assert_string_equal(status.kind, "fake");
    assert_int_equal(rig_events(rig, "ok").changes, 251);
}

static void a_commit_is_sent_without_being_asked(void **state)
{
    struct rig *rig = *state;
    struct err err = ERR_INIT;

    rig_start(rig);
    for (int i = 0; i < 20; i++) {
        uint64_t seq = rig_remember(rig, "now");
        assert_ok(rig_wait_for(rig, seq, deadline_in(RIG_WAIT_MS), &err), &err);
        assert_int_equal(vault_has(rig), seq);
    }
    assert_same(rig);
}

static void ten_thousand_that_wait_are_drained(void **state)
{
    struct rig *rig = *state;
    unsigned count = unit_times(10000);

    FAKE_SET(open_fails, ERR_UNAVAILABLE);
    rig_start(rig);
    rig_remember_many(rig, count);
    rig_until(rig_status(rig).queue == count + 1);
    FAKE_SET(open_fails, ERR_NONE);
    rig_drain(rig);
    assert_same(rig);
    assert_int_equal(rig_status(rig).queue, 0);
}

static void a_restart_goes_on_where_it_was(void **state)
{
    struct rig *rig = *state;

    rig_remember_many(rig, 50);
    rig_start(rig);
    rig_drain(rig);
    rig_stop(rig);
    size_t before = appends();
    rig_start(rig);
    rig_drain(rig);
    assert_int_equal(appends(), before);
    rig_remember(rig, "one more");
    rig_drain(rig);
    assert_int_equal(fake_place.taken, 52);
    assert_same(rig);
}

static void an_answer_that_was_lost_makes_no_double(void **state)
{
    struct rig *rig = *state;
    struct err err = ERR_INIT;

    FAKE_SET(append_then_fails, true);
    rig_remember_many(rig, 10);
    rig_start(rig);
    /* Who asks early hears of the failure; later, the vault's head has told that all of it arrived.
     */
    int result = replicator_drain(rig->replicator, deadline_in(RIG_WAIT_MS), &err);
    assert_true(result == 0 || result == -(int)ERR_UNAVAILABLE);
    FAKE_SET(append_then_fails, false);
    rig_drain(rig);
    assert_int_equal(fake_place.taken, 11);
    assert_same(rig);
}

/* What another installation made, and came here by a recovery, goes to the vault too. */
static void changes_of_other_origins_are_sent(void **state)
{
    struct rig *rig = *state;
    struct chain chain;
    struct store *store = NULL;
    struct err err = ERR_INIT;
    AUTO(free_ptr) char *live = path_join(rig->home, "live");

    ledger_close(rig->ledger);
    chain_init(&chain, 0xcc);
    chain_grow(&chain, 0, 0);
    for (int i = 0; i < 30; i++) {
        chain_add_body(&chain, KIND_MEMORY, "p",
                       STR("{\"content\":\"c\",\"created_at\":\"2026-11-22T18:18:43.000001Z\","
                           "\"importance\":0.5,\"memory_type\":\"semantic\","
                           "\"updated_at\":\"2026-11-22T18:18:43.000001Z\"}"));
    }
    assert_ok(store_open(live, STORE_LIVE, &rig->env.env, &store, &err), &err);
    assert_ok(store_begin(store, &err), &err);
    for (size_t i = 0; i < chain.count; i++) {
        struct change change;
        bool is_new;
        assert_ok(change_read_record(chain.items[i].record, &change, &err), &err);
        change.prev = chain.items[i].prev;
        change.hash = chain.items[i].hash;
        assert_ok(store_import(store, &change, &is_new, &err), &err);
    }
    assert_ok(store_commit(store, &err), &err);
    store_close(store);
    rig_open_ledger(rig);
    rig_remember(rig, "ours");
    rig_start(rig);
    rig_drain(rig);
    assert_int_equal(vault_count(&chain.origin), 30);
    assert_int_equal(vault_has(rig), 2);
    assert_same(rig);
    chain_done(&chain);
}

/* ---- outages ---- */

static void backoff_doubles_to_five_minutes_with_jitter(void **state)
{
    static const int64_t EXPECTED[] = {1,  2,   4,   8,   16,  32,
                                       64, 128, 256, 300, 300, 300}; /* seconds */
    struct env_fake env;
    int64_t least = INT64_MAX;
    int64_t most = 0;

    (void)state;
    env_fake_init(&env, 0, 3);
    assert_int_equal(backoff_ms(0, BACKOFF_INITIAL_MS, BACKOFF_MAX_MS, &env.env), 0);
    for (int round = 0; round < 1000; round++) {
        for (size_t i = 0; i < sizeof(EXPECTED) / sizeof(EXPECTED[0]); i++) {
            int64_t ms = backoff_ms(i + 1, BACKOFF_INITIAL_MS, BACKOFF_MAX_MS, &env.env);
            assert_in_range(ms, EXPECTED[i] * 800, EXPECTED[i] * 1200);
            int64_t percent = ms / EXPECTED[i] / 10;
            least = percent < least ? percent : least;
            most = percent > most ? percent : most;
        }
    }
    assert_in_range(least, 80, 82);
    assert_in_range(most, 118, 120);
    assert_in_range(backoff_ms(UINT64_MAX, 1000, 300000, &env.env), 240000, 360000);
}

/* With a clock that stands still nothing is tried again, whatever wakes it; then each time a delay
 * has passed. */
static void an_outage_is_tried_again_after_longer_and_longer(void **state)
{
    static const int64_t SECONDS[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300};
    struct rig *rig = *state;

    FAKE_SET(open_fails, ERR_UNAVAILABLE);
    rig_start(rig);
    for (size_t i = 0; i < sizeof(SECONDS) / sizeof(SECONDS[0]); i++) {
        rig_until(rig_status(rig).failures == i + 1);
        assert_int_equal(opens(), i + 1);
        env_fake_advance_ms(&rig->env, SECONDS[i] * 790);
        uint64_t seq = rig_remember(rig, "wakes it");
        rig_until(rig_status(rig).head_seq == seq); /* it was awake, and tried nothing */
        assert_int_equal(opens(), i + 1);
        env_fake_advance_ms(&rig->env, SECONDS[i] * 420);
        rig_remember(rig, "wakes it");
    }
    rig_until(rig_status(rig).failures == sizeof(SECONDS) / sizeof(SECONDS[0]) + 1);
    assert_int_equal(rig->troubles, 1); /* told once */
    assert_int_equal(rig_status(rig).dead, 0);
    assert_true(strstr(rig_status(rig).error, "told to fail") != NULL);
    assert_true(rig_status(rig).lag_ms > 1000);
    FAKE_SET(open_fails, ERR_NONE);
    rig_drain(rig);
    assert_int_equal(rig->wells, 1);
    assert_int_equal(rig_status(rig).failures, 0);
    assert_string_equal(rig_status(rig).error, "");
    assert_same(rig);
    assert_true(rig_events(rig, "retry").count >= 12);
}

static void no_outage_makes_a_dead_letter(void **state)
{
    static const enum err_code CODES[] = {
        ERR_UNAVAILABLE, ERR_TIMEOUT, ERR_FULL,  ERR_RATE,  ERR_BUSY,     ERR_AUTH,   ERR_FORBIDDEN,
        ERR_CONFIG,      ERR_IO,      ERR_NEWER, ERR_USAGE, ERR_INTERNAL, ERR_REFUSED};
    struct rig *rig = *state;
    struct err err = ERR_INIT;

    rig_start(rig);
    rig_drain(rig);
    for (size_t i = 0; i < sizeof(CODES) / sizeof(CODES[0]); i++) {
        FAKE_SET(append_fails, CODES[i]);
        rig_remember(rig, "waits");
        assert_refused(replicator_drain(rig->replicator, deadline_in(RIG_WAIT_MS), &err), &err,
                       ERR_UNAVAILABLE, "told to fail");
        assert_int_equal(rig_status(rig).dead, 0);
        FAKE_SET(append_fails, ERR_NONE);
        rig_drain(rig);
    }
    assert_same(rig);
}

static void what_a_slow_vault_does_not_take_in_time_comes_in_smaller_batches(void **state)
{
    struct rig *rig = *state;
    struct err err = ERR_INIT;
    size_t tries = 1;

    FAKE_SET(slow_above, 20);
    uint64_t last = rig_remember_many(rig, 3000);
    rig_start(rig);
    while (replicator_drain(rig->replicator, deadline_in(RIG_WAIT_MS), &err) != 0) {
        assert_int_equal(err.code, ERR_UNAVAILABLE);
        tries++;
    }
    /* 100, 50, 25 are too many; then each 16 of 12 are followed by one of 24. */
    assert_true(tries > 3 && tries <= 4 + last / ((uint64_t)FIT_GROW_AFTER * 12));
    assert_int_equal(vault_has(rig), last);
    assert_same(rig);
}

/* ---- what the vault can't take ---- */

static void one_bad_change_blocks_no_other(void **state)
{
    struct rig *rig = *state;

    FAKE_SET(rejects, "poison");
    rig_remember_many(rig, 60);
    uint64_t bad = rig_remember(rig, "poison");
    rig_remember_many(rig, 60);
    rig_start(rig);
    rig_drain(rig);
    assert_int_equal(vault_has(rig), 122);
    assert_int_equal(rig_status(rig).dead, 1);
    assert_int_equal(rig_status(rig).queue, 0);
    struct uuid origin = ledger_origin(rig->ledger);
    struct fake_chain *chain = fake_chain_of(&origin, false);
    for (size_t i = 0; i < chain->count; i++) {
        assert_true((chain->items[i].record == NULL) == (i + 1 == bad));
    }
    assert_true(rig_events(rig, "rejected").count <= 9); /* a search by halves */
    assert_true(strstr(rig_events(rig, "rejected").first_error, "poison") != NULL);
}

static void many_bad_changes_are_each_put_apart(void **state)
{
    struct rig *rig = *state;

    FAKE_SET(rejects, "poison");
    for (int i = 0; i < 12; i++) {
        rig_remember_many(rig, (size_t)(i * i % 7 + 1));
        rig_remember(rig, i % 3 == 0 ? "poison" : "poisonous");
        rig_remember(rig, "poison too");
    }
    rig_start(rig);
    rig_drain(rig);
    assert_int_equal(rig_status(rig).dead, 24);
    FAKE_SET(rejects, "poisonous");
    uint64_t replayed = 0;
    struct err err = ERR_INIT;
    assert_ok(replicator_replay(rig->replicator, &replayed, &err), &err);
    assert_int_equal(replayed, 16);
    assert_int_equal(rig_status(rig).dead, 8);
    FAKE_SET(rejects, NULL);
    assert_ok(replicator_replay(rig->replicator, &replayed, &err), &err);
    assert_int_equal(replayed, 8);
    assert_int_equal(rig_status(rig).dead, 0);
    assert_same(rig);
}

static int see_letter(void *arg, const struct dead_letter *letter, struct err *err)
{
    struct dead_letter *seen = arg;

    (void)err;
    assert_string_equal(letter->vault, "v");
    assert_true(strstr(letter->error, "poison") != NULL);
    *seen = *letter;
    return 0;
}

static void a_dead_letter_is_listed_and_counts_not_as_acknowledged(void **state)
{
    struct rig *rig = *state;
    struct dead_letter seen = {0};
    struct err err = ERR_INIT;

    FAKE_SET(rejects, "poison");
    rig_start(rig);
    uint64_t bad = rig_remember(rig, "poison");
    rig_drain(rig);
    assert_ok(dead_letters(rig->log, "v", see_letter, &seen, &err), &err);
    assert_int_equal(seen.seq, bad);
    assert_int_equal(seen.at_us, RIG_NOW_US);
    assert_refused(rig_wait_for(rig, bad, deadline_in(RIG_WAIT_MS), &err), &err, ERR_INVALID,
                   "poison");
    assert_ok(rig_wait_for(rig, bad - 1, deadline_in(RIG_WAIT_MS), &err), &err);
}

static void a_replay_that_can_not_be_is_answered(void **state)
{
    struct rig *rig = *state;
    uint64_t replayed = 7;
    struct err err = ERR_INIT;

    rig_start(rig);
    rig_drain(rig);
    assert_ok(replicator_replay(rig->replicator, &replayed, &err), &err);
    assert_int_equal(replayed, 0);
    replicator_pause(rig->replicator, true);
    assert_refused(replicator_replay(rig->replicator, &replayed, &err), &err, ERR_PAUSED, "paused");
    replicator_pause(rig->replicator, false);
    FAKE_SET(head_fails, ERR_TIMEOUT);
    replicator_poke(rig->replicator);
    rig_until(rig_status(rig).failures > 0);
    assert_refused(replicator_replay(rig->replicator, &replayed, &err), &err, ERR_UNAVAILABLE,
                   "told to fail");
}

/* ---- the sync log ---- */

static void a_lost_sync_log_is_made_up_for_by_the_vault(void **state)
{
    struct rig *rig = *state;
    struct err err = ERR_INIT;
    AUTO(free_ptr) char *path = path_join(rig->home, "sync.db");

    filled_with(rig, 300);
    rig_stop(rig);
    sync_log_close(rig->log);
    assert_int_equal(unlink(path), 0);
    assert_ok(sync_log_open(rig->home, &rig->env.env, &rig->log, &err), &err);
    size_t before = appends();
    rig_start(rig);
    rig_drain(rig);
    assert_int_equal(appends(), before);
    assert_int_equal(rig_status(rig).acked_seq, 301);
    assert_int_equal(rig_damages(rig), 0);
}

static void a_sync_log_that_fails_stops_nothing(void **state)
{
    struct rig *rig = *state;

    rig_start(rig);
    rig_drain(rig);
    fault_set("sync.sql:1+");
    rig_remember_many(rig, 250);
    rig_drain(rig);
    assert_same(rig);
    assert_int_equal(rig_status(rig).queue, 0);
    assert_true(strstr(rig->trouble, "sync.db") != NULL);
    uint64_t replayed;
    struct err err = ERR_INIT;
    assert_refused(replicator_replay(rig->replicator, &replayed, &err), &err, ERR_UNAVAILABLE,
                   "vault v: ");
    FAKE_SET(rejects, "poison");
    rig_remember(rig, "poison");
    rig_remember(rig, "fine");
    rig_drain(rig);
    assert_true(vault_has_text(rig, "fine"));
    fault_set(NULL);
    rig_remember(rig, "well again");
    rig_drain(rig);
}

/* ---- pause, stop, waiting ---- */

static void a_pause_holds_everything_until_it_ends(void **state)
{
    struct rig *rig = *state;
    struct err err = ERR_INIT;

    rig_start(rig);
    rig_drain(rig);
    replicator_pause(rig->replicator, true);
    uint64_t seq = rig_remember(rig, "waits");
    rig_until(rig_status(rig).head_seq == seq);
    struct replicator_status status = rig_status(rig);
    assert_true(status.paused);
    assert_int_equal(status.queue, seq);
    assert_refused(replicator_drain(rig->replicator, deadline_in(RIG_WAIT_MS), &err), &err,
                   ERR_PAUSED, "paused");
    assert_refused(rig_wait_for(rig, seq, deadline_in(RIG_WAIT_MS), &err), &err, ERR_PAUSED,
                   "paused");
    replicator_poke(rig->replicator);
    assert_int_equal(vault_has(rig), 0);
    replicator_pause(rig->replicator, false);
    rig_drain(rig);
    assert_same(rig);
}

static void one_that_starts_paused_asks_nothing_of_the_vault(void **state)
{
    struct rig *rig = *state;

    uint64_t seq = rig_remember(rig, "waits");
    rig->options.paused = true;
    rig_start(rig);
    rig_until(rig_status(rig).head_seq == seq);
    assert_int_equal(opens(), 0);
    replicator_pause(rig->replicator, false);
    rig_drain(rig);
    assert_same(rig);
}

static void a_vault_that_hangs_does_not_hold_up_the_end(void **state)
{
    struct rig *rig = *state;
    struct err err = ERR_INIT;

    FAKE_SET(hangs, true);
    uint64_t seq = rig_remember(rig, "hangs");
    rig_start(rig);
    assert_refused(rig_wait_for(rig, seq, deadline_in(30), &err), &err, ERR_TIMEOUT, "");
    assert_refused(replicator_drain(rig->replicator, deadline_in(30), &err), &err, ERR_TIMEOUT, "");
    rig_until(is_hanging());
    rig_stop(rig);
    assert_true(fake_place.was_cancelled);
    assert_int_equal(rig_events(rig, "retry").count, 0); /* a stop is no failure */
}

static void a_vault_that_is_down_is_an_answer(void **state)
{
    struct rig *rig = *state;
    struct err err = ERR_INIT;

    FAKE_SET(open_fails, ERR_UNAVAILABLE);
    rig_start(rig);
    rig_until(rig_status(rig).failures == 1);
    uint64_t seq = rig_remember(rig, "waits");
    assert_refused(rig_wait_for(rig, seq, deadline_in(RIG_WAIT_MS), &err), &err, ERR_UNAVAILABLE,
                   "told to fail");
    assert_int_equal(opens(), 1); /* nobody hurries it for one change */
}

static unsigned askers(struct rig *rig)
{
    (void)pthread_mutex_lock(&rig->replicator->mutex);
    unsigned count = rig->replicator->askers;
    (void)pthread_mutex_unlock(&rig->replicator->mutex);
    return count;
}

static void *drain_thread(void *arg)
{
    struct rig *rig = arg;
    static struct err err;

    int rc = replicator_drain(rig->replicator, deadline_in(RIG_WAIT_MS), &err);
    return rc == -ERR_CANCELLED ? rig : NULL;
}

static void a_stop_answers_those_who_wait(void **state)
{
    struct rig *rig = *state;
    pthread_t thread;
    void *answer = NULL;

    FAKE_SET(hangs, true);
    rig_remember(rig, "hangs");
    rig_start(rig);
    assert_int_equal(pthread_create(&thread, NULL, drain_thread, rig), 0);
    rig_until(is_hanging() && askers(rig) == 1);
    rig_stop(rig);
    (void)pthread_join(thread, &answer);
    assert_ptr_equal(answer, rig);
}

static void an_idle_replicator_asks_the_vault_only_when_it_is_time(void **state)
{
    struct rig *rig = *state;

    filled_with(rig, 5);
    size_t heads = fake_place.heads;
    env_fake_advance_ms(&rig->env, REPLICATOR_CHECK_MS - 1);
    uint64_t seq = rig_remember(rig, "wakes it");
    rig_until(vault_has(rig) == seq);
    assert_int_equal(fake_place.heads, heads);
    env_fake_advance_ms(&rig->env, 1);
    seq = rig_remember(rig, "wakes it");
    rig_until(vault_has(rig) == seq && fake_place.heads > heads);
}

static void a_spec_of_no_driver_is_refused(void **state)
{
    struct rig *rig = *state;
    struct err err = ERR_INIT;

    rig->options.ops = NULL;
    rig->options.spec = "ftp:somewhere";
    rig->options.ledger = rig->ledger;
    rig->options.log = rig->log;
    assert_refused(replicator_start(&rig->options, &rig->replicator, &err), &err, ERR_CONFIG,
                   "file:");
}

int main(void)
{
    const struct CMUnitTest replicator[] = {
        FAKE_TEST(what_waits_is_sent_in_order),
        FAKE_TEST(a_commit_is_sent_without_being_asked),
        FAKE_TEST(ten_thousand_that_wait_are_drained),
        FAKE_TEST(a_restart_goes_on_where_it_was),
        FAKE_TEST(an_answer_that_was_lost_makes_no_double),
        FAKE_TEST(changes_of_other_origins_are_sent),
        FAKE_TEST(an_outage_is_tried_again_after_longer_and_longer),
        FAKE_TEST(no_outage_makes_a_dead_letter),
        FAKE_TEST(what_a_slow_vault_does_not_take_in_time_comes_in_smaller_batches),
        FAKE_TEST(one_bad_change_blocks_no_other),
        FAKE_TEST(many_bad_changes_are_each_put_apart),
        FAKE_TEST(a_dead_letter_is_listed_and_counts_not_as_acknowledged),
        FAKE_TEST(a_replay_that_can_not_be_is_answered),
        FAKE_TEST(a_lost_sync_log_is_made_up_for_by_the_vault),
        FAKE_TEST(a_sync_log_that_fails_stops_nothing),
        FAKE_TEST(a_pause_holds_everything_until_it_ends),
        FAKE_TEST(one_that_starts_paused_asks_nothing_of_the_vault),
        FAKE_TEST(a_vault_that_hangs_does_not_hold_up_the_end),
        FAKE_TEST(a_vault_that_is_down_is_an_answer),
        FAKE_TEST(a_stop_answers_those_who_wait),
        FAKE_TEST(an_idle_replicator_asks_the_vault_only_when_it_is_time),
        FAKE_TEST(a_spec_of_no_driver_is_refused),
        cmocka_unit_test(backoff_doubles_to_five_minutes_with_jitter),
    };

    return cmocka_run_group_tests(replicator, NULL, NULL);
}
