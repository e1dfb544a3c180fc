/* A vault that is not what it was: told, and filled again. */
#include "replicate/fake_rig.h"

static void an_emptied_vault_is_told_and_filled_again(void **state)
{
    struct rig *rig = *state;

    filled_with(rig, 150);
    fake_lock();
    fake_empty_chain(own_chain(rig), 0);
    fake_unlock();
    rig_drain(rig);
    assert_int_equal(rig_damages(rig), 1);
    assert_true(strstr(rig->damage, "emptied") != NULL && strstr(rig->damage, "151") != NULL);
    assert_int_equal(vault_has(rig), 151);
    assert_same(rig);
    assert_int_equal(fake_place.asides, 0);
    assert_int_equal(rig_events(rig, "refilled").count, 1);
    assert_int_equal(rig_events(rig, "damaged").count, 1);
}

static void it_is_noticed_by_the_clock_alone(void **state)
{
    struct rig *rig = *state;

    filled_with(rig, 20);
    fake_lock();
    fake_empty_chain(own_chain(rig), 0);
    fake_unlock();
    env_fake_advance_ms(&rig->env, REPLICATOR_CHECK_MS);
    rig_remember(rig, "wakes it");
    rig_until(rig_damages(rig) == 1);
    rig_drain(rig);
    assert_same(rig);
}

static size_t looked_at(const size_t *number)
{
    fake_lock();
    size_t seen = *number;
    fake_unlock();
    return seen;
}

static void a_vault_is_read_through_behind_each_check(void **state)
{
    struct rig *rig = *state;

    filled_with(rig, 20);
    fake_lock();
    fake_place.proofs_of_a_round = 3;
    fake_unlock();
    rig_drain(rig);
    rig_until(looked_at(&fake_place.proofs) == 3);
    rig_remember(rig, "sends come between");
    rig_drain(rig);
    rig_until(looked_at(&fake_place.proofs) == 6);
    assert_int_equal(rig_damages(rig), 0);
}

/* 30 batches wait, of 10 ms each; a slice takes 10 ms too. So each tenth call may be a slice. */
static void a_vault_is_read_through_while_there_is_always_something_to_send(void **state)
{
    struct rig *rig = *state;

    fake_lock();
    fake_place.clock = &rig->env;
    fake_place.append_ms = 10;
    fake_place.prove_ms = 10;
    fake_place.proofs_of_a_round = 1000;
    fake_unlock();
    uint64_t last = rig_remember_many(rig, 2999);
    rig_start(rig);
    rig_until(vault_has(rig) == last);
    assert_int_equal(looked_at(&fake_place.appends), 30);
    assert_int_equal(looked_at(&fake_place.proofs_meanwhile), 4);
}

/* The driver knows which origin; the check asks it. */
static void what_reading_through_finds_is_looked_at_at_once(void **state)
{
    struct rig *rig = *state;

    filled_with(rig, 20);
    rig_drain(rig);
    size_t heads = looked_at(&fake_place.heads);
    fake_lock();
    fake_place.prove_finds = true;
    fake_place.proofs_of_a_round = 1;
    fake_unlock();
    rig_drain(rig);
    rig_until(looked_at(&fake_place.heads) >= heads + 2);
}

static void a_vault_that_is_lost_while_it_is_read_through_is_an_outage(void **state)
{
    struct rig *rig = *state;

    filled_with(rig, 20);
    fake_lock();
    fake_place.prove_fails = ERR_UNAVAILABLE;
    fake_place.proofs_of_a_round = 1;
    fake_unlock();
    rig_drain(rig);
    rig_until(rig_events(rig, "retry").count == 1);
    fake_lock();
    fake_place.prove_fails = ERR_NONE;
    fake_unlock();
    rig_drain(rig);
    assert_same(rig);
}

static void open_with_place(struct rig *rig, const char *where)
{
    fake_lock();
    fake_place.where = where;
    fake_unlock();
    rig_start(rig);
    rig_drain(rig);
}

static void a_place_that_can_not_be_told_for_once_is_remembered(void **state)
{
    struct rig *rig = *state;

    rig_remember(rig, "one");
    open_with_place(rig, "/mnt/a");
    assert_string_equal(fake_place.expected, "");
    rig_stop(rig);
    open_with_place(rig, NULL);
    assert_string_equal(fake_place.expected, "/mnt/a");
    rig_stop(rig);
    open_with_place(rig, "/mnt/b");
    assert_string_equal(fake_place.expected, "/mnt/a");
    rig_stop(rig);
    open_with_place(rig, "/mnt/b");
    assert_string_equal(fake_place.expected, "/mnt/b");
}

/* From one try to open the vault to the end of it. */
static void try_to_open(struct rig *rig, enum err_code fails)
{
    fake_lock();
    fake_place.open_fails = fails;
    size_t opens = fake_place.opens;
    fake_unlock();
    rig_start(rig);
    rig_until(looked_at(&fake_place.opens) > opens);
    if (fails == ERR_NONE) {
        rig_drain(rig);
    }
    rig_stop(rig);
}

static void a_disk_that_is_away_is_told_once_it_is_on_record(void **state)
{
    struct rig *rig = *state;

    rig_remember(rig, "one");
    rig->away_is_lost = true;
    try_to_open(rig, ERR_AWAY);
    assert_int_equal(rig_aways(rig), 1);
    rig->away_is_lost = false;
    try_to_open(rig, ERR_AWAY);
    assert_int_equal(rig_aways(rig), 2);
    try_to_open(rig, ERR_AWAY);
    assert_int_equal(rig_aways(rig), 2);
    try_to_open(rig, ERR_NONE);
    try_to_open(rig, ERR_AWAY);
    assert_int_equal(rig_aways(rig), 3);
}

static void a_vault_rolled_back_is_told_and_filled_from_there(void **state)
{
    struct rig *rig = *state;

    filled_with(rig, 150);
    size_t before = fake_place.taken;
    fake_lock();
    fake_empty_chain(own_chain(rig), 100);
    fake_unlock();
    rig_drain(rig);
    assert_int_equal(rig_damages(rig), 1);
    assert_true(strstr(rig->damage, "rolled back") != NULL && strstr(rig->damage, "100") != NULL);
    assert_int_equal(fake_place.taken - before, 51);
    assert_int_equal(fake_place.asides, 0);
    assert_same(rig);
}

static void an_append_finds_the_vault_rolled_back(void **state)
{
    struct rig *rig = *state;
    struct err err = ERR_INIT;

    filled_with(rig, 50);
    fake_lock();
    fake_empty_chain(own_chain(rig), 10);
    fake_unlock();
    uint64_t seq = rig_remember(rig, "more");
    assert_ok(rig_wait_for(rig, seq, deadline_in(RIG_WAIT_MS), &err), &err);
    rig_until(rig_damages(rig) == 1);
    rig_drain(rig);
    assert_true(strstr(rig->damage, "rolled back") != NULL);
    assert_int_equal(fake_place.asides, 0);
    assert_same(rig);
}

static void an_altered_vault_is_put_aside_and_filled_again(void **state)
{
    struct rig *rig = *state;

    filled_with(rig, 50);
    fake_lock();
    own_chain(rig)->items[50].hash.bytes[0] ^= 1;
    fake_unlock();
    rig_drain(rig);
    assert_int_equal(rig_damages(rig), 1);
    assert_true(strstr(rig->damage, "altered") != NULL);
    assert_int_equal(fake_place.asides, 1);
    assert_same(rig);
}

static void a_vault_rolled_back_to_other_content_is_put_aside(void **state)
{
    struct rig *rig = *state;

    filled_with(rig, 50);
    fake_lock();
    fake_empty_chain(own_chain(rig), 20);
    own_chain(rig)->items[19].hash.bytes[7] ^= 1;
    fake_unlock();
    rig_drain(rig);
    assert_int_equal(rig_damages(rig), 1);
    assert_int_equal(fake_place.asides, 1);
    assert_same(rig);
}

/* Something of our chain that the ledger does not know comes into the vault. */
static void write_elsewhere(struct rig *rig)
{
    struct vault_item item = {.seq = 52, .record = STR("{\"from\":\"elsewhere\"}")};
    struct err err = ERR_INIT;

    fake_lock();
    memset(item.hash.bytes, 0x55, sizeof(item.hash.bytes));
    assert_ok(fake_take(own_chain(rig), &item, &err), &err);
    fake_unlock();
}

static void assert_left_alone(struct rig *rig, const struct uuid *earlier)
{
    struct uuid now = ledger_origin(rig->ledger);

    assert_int_equal(rig->renewals, 1);
    assert_false(uuid_eq(&now, earlier));
    assert_int_equal(fake_place.asides, 0);
    assert_int_equal(rig_damages(rig), 0);
    assert_int_equal(vault_count(earlier), 52);
    assert_int_equal(rig_status(rig).queue, 0);
}

/* The ledger was put back to an older state and written on, here or elsewhere. */
static void a_fork_stays_where_it_is(void **state)
{
    struct rig *rig = *state;

    filled_with(rig, 50);
    struct uuid earlier = ledger_origin(rig->ledger);
    write_elsewhere(rig);
    rig_remember(rig, "ours");
    rig_until(rig_status(rig).queue == 0 && rig_status(rig).head_seq == 1);
    rig_drain(rig);
    rig_drain(rig);
    assert_left_alone(rig, &earlier);
    assert_true(vault_has_text(rig, "ours"));
    assert_int_equal(rig_events(rig, "conflict").count, 1);
    rig_remember(rig, "and more of ours");
    rig_drain(rig);
    assert_same(rig);
    assert_left_alone(rig, &earlier);
}

/* Also when the ledger is restarted, and no cursor remembers anything. */
static void a_fork_that_was_found_is_not_found_again(void **state)
{
    struct rig *rig = *state;

    filled_with(rig, 50);
    struct uuid earlier = ledger_origin(rig->ledger);
    write_elsewhere(rig);
    rig_remember(rig, "ours");
    rig_until(rig_status(rig).queue == 0 && rig_status(rig).head_seq == 1);
    rig_stop(rig);
    rig_start(rig);
    rig_drain(rig);
    assert_left_alone(rig, &earlier);
    assert_same(rig);
}

static void who_waits_for_a_change_of_a_fork_is_told(void **state)
{
    struct rig *rig = *state;
    struct err err = ERR_INIT;

    filled_with(rig, 50);
    struct uuid earlier = ledger_origin(rig->ledger);
    write_elsewhere(rig);
    uint64_t seq = rig_remember(rig, "ours");
    assert_refused(
        replicator_wait_for(rig->replicator, &earlier, seq, deadline_in(RIG_WAIT_MS), &err), &err,
        ERR_UNAVAILABLE, "went back in time");
}

static void a_ledger_behind_its_vault_goes_on_as_another(void **state)
{
    struct rig *rig = *state;

    filled_with(rig, 50);
    struct uuid earlier = ledger_origin(rig->ledger);
    write_elsewhere(rig);
    rig_drain(rig);
    rig_drain(rig);
    assert_left_alone(rig, &earlier);
    rig_remember(rig, "of the new one");
    rig_drain(rig);
    assert_int_equal(vault_has(rig), 1);
    assert_same(rig);
    assert_left_alone(rig, &earlier);
}

static int refuse_to_renew(void *arg, const char *vault, const struct uuid *origin, uint64_t after,
                           struct err *err)
{
    (void)arg;
    (void)vault;
    (void)origin;
    (void)after;
    return err_set(err, ERR_FULL, "no room for that");
}

/* Nothing is sent, and nothing put aside, until the ledger goes on as another. */
static void a_fork_that_can_not_be_left_is_an_outage(void **state)
{
    struct rig *rig = *state;
    struct err err = ERR_INIT;

    rig->options.on_behind = refuse_to_renew;
    filled_with(rig, 50);
    write_elsewhere(rig);
    rig_remember(rig, "ours");
    rig_until(rig_status(rig).failures > 0);
    assert_refused(replicator_drain(rig->replicator, deadline_in(RIG_WAIT_MS), &err), &err,
                   ERR_UNAVAILABLE, "went back in time");
    assert_int_equal(fake_place.asides, 0);
    assert_int_equal(vault_has(rig), 52);
}

static void damage_again_and_again_is_no_loop(void **state)
{
    struct rig *rig = *state;
    struct err err = ERR_INIT;

    filled_with(rig, 5);
    FAKE_SET(always_corrupt, true);
    rig_remember(rig, "more");
    rig_until(rig_status(rig).failures == 1);
    assert_int_equal(fake_place.asides, 1);
    size_t before = appends();
    assert_refused(replicator_drain(rig->replicator, deadline_in(RIG_WAIT_MS), &err), &err,
                   ERR_UNAVAILABLE, "damaged again");
    assert_int_equal(appends(), before);
    assert_int_equal(rig_status(rig).failures, 2);
    assert_int_equal(fake_place.asides, 1);
    FAKE_SET(always_corrupt, false);
    env_fake_advance_ms(&rig->env, REPLICATOR_CHECK_MS);
    rig_drain(rig);
    assert_same(rig);
}

static void another_vault_in_its_place_is_never_written(void **state)
{
    struct rig *rig = *state;
    struct err err = ERR_INIT;

    filled_with(rig, 5);
    rig_stop(rig);
    fake_lock();
    memset(fake_place.identity.bytes, 0x22, sizeof(fake_place.identity.bytes));
    fake_empty_chain(own_chain(rig), 0);
    fake_unlock();
    rig_start(rig);
    assert_refused(replicator_drain(rig->replicator, deadline_in(RIG_WAIT_MS), &err), &err,
                   ERR_UNAVAILABLE, "not the vault");
    rig_until(rig_damages(rig) == 1);
    assert_false(rig_status(rig).connected);
    assert_int_equal(vault_has(rig), 0);
    size_t before = opens();
    env_fake_advance_ms(&rig->env, REPLICATOR_CHECK_MS / 2);
    uint64_t seq = rig_remember(rig, "more");
    rig_until(rig_status(rig).head_seq == seq);
    assert_int_equal(opens(), before);
    env_fake_advance_ms(&rig->env, REPLICATOR_CHECK_MS / 2 + 1);
    rig_remember(rig, "more");
    rig_until(opens() == before + 1);
    assert_int_equal(rig_damages(rig), 1); /* told once */
    fake_lock();
    memset(fake_place.identity.bytes, 0x11, sizeof(fake_place.identity.bytes));
    fake_unlock();
    rig_until(rig_status(rig).failures > 0);
    rig_drain(rig);
    assert_same(rig);
}

int main(void)
{
    const struct CMUnitTest replicator_damage[] = {
        FAKE_TEST(an_emptied_vault_is_told_and_filled_again),
        FAKE_TEST(it_is_noticed_by_the_clock_alone),
        FAKE_TEST(a_vault_is_read_through_behind_each_check),
        FAKE_TEST(a_vault_is_read_through_while_there_is_always_something_to_send),
        FAKE_TEST(what_reading_through_finds_is_looked_at_at_once),
        FAKE_TEST(a_vault_that_is_lost_while_it_is_read_through_is_an_outage),
        FAKE_TEST(a_place_that_can_not_be_told_for_once_is_remembered),
        FAKE_TEST(a_disk_that_is_away_is_told_once_it_is_on_record),
        FAKE_TEST(a_vault_rolled_back_is_told_and_filled_from_there),
        FAKE_TEST(an_append_finds_the_vault_rolled_back),
        FAKE_TEST(an_altered_vault_is_put_aside_and_filled_again),
        FAKE_TEST(a_vault_rolled_back_to_other_content_is_put_aside),
        FAKE_TEST(a_fork_stays_where_it_is),
        FAKE_TEST(a_fork_that_was_found_is_not_found_again),
        FAKE_TEST(who_waits_for_a_change_of_a_fork_is_told),
        FAKE_TEST(a_fork_that_can_not_be_left_is_an_outage),
        FAKE_TEST(a_ledger_behind_its_vault_goes_on_as_another),
        FAKE_TEST(damage_again_and_again_is_no_loop),
        FAKE_TEST(another_vault_in_its_place_is_never_written),
    };

    return cmocka_run_group_tests(replicator_damage, NULL, NULL);
}
