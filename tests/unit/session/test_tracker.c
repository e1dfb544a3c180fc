/* tracker - which session a memory belongs to, with a clock that stands still until it is moved. */
#include "support/unit.h"

#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "session/tracker.h"

#define MINUTE_MS ((int64_t)60 * 1000)

struct world {
    char home[64];
    struct env_fake env;
    struct ledger *ledger;
    struct tracker *tracker;
};

static int setup(void **state)
{
    struct world *world = xcalloc(1, sizeof(*world));
    struct ledger_options options = {.home = world->home, .env = &world->env.env, .who = "a test"};
    struct err err = ERR_INIT;

    (void)snprintf(world->home, sizeof(world->home), "/tmp/hf-tracker-XXXXXX");
    assert_non_null(mkdtemp(world->home));
    env_fake_init(&world->env, 1700000000000000, 7);
    assert_ok(ledger_open(&options, &world->ledger, &err), &err);
    assert_ok(tracker_open(world->ledger, SESSION_IDLE_MS_DEFAULT, &world->tracker, &err), &err);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    struct err err = ERR_INIT;

    tracker_close(world->tracker);
    ledger_close(world->ledger);
    assert_ok(file_remove_tree(world->home, &err), &err);
    free(world);
    return 0;
}

static struct agent living(const char *label)
{
    struct agent agent = {.pid = getpid(), .start_ticks = agent_start_ticks(getpid())};

    (void)snprintf(agent.label, sizeof(agent.label), "%s", label);
    return agent;
}

/* A process that has ended: no other can have its pid and start. */
static struct agent gone(const char *label)
{
    struct agent agent = living(label);

    agent.start_ticks += 1;
    return agent;
}

static struct uuid current(struct world *world, const struct agent *agent, const char *project)
{
    struct err err = ERR_INIT;
    struct uuid id;

    assert_ok(tracker_current(world->tracker, agent, project, &id, &err), &err);
    return id;
}

static struct session stored(struct world *world, const struct uuid *id)
{
    struct reader *reader = NULL;
    struct err err = ERR_INIT;
    struct session session;

    assert_ok(read_begin(world->ledger, &reader, &err), &err);
    assert_ok(read_session(reader, id, &session, &err), &err);
    read_end(reader);
    return session;
}

static void a_process_has_a_start_time_and_a_missing_one_has_none(void **state)
{
    (void)state;
    assert_true(agent_start_ticks(getpid()) > 0);
    assert_int_equal(agent_start_ticks(0), 0);
    assert_int_equal(agent_start_ticks(INT32_MAX), 0);
}

static void an_agent_stays_in_its_session(void **state)
{
    struct world *world = *state;
    struct agent agent = living("cli");
    struct uuid first = current(world, &agent, "p");

    env_fake_advance_ms(&world->env, 29 * MINUTE_MS);
    struct uuid again = current(world, &agent, "p");
    env_fake_advance_ms(&world->env, 29 * MINUTE_MS);
    struct uuid later = current(world, &agent, "p");
    assert_true(uuid_eq(&first, &again) && uuid_eq(&first, &later));
}

static void half_an_hour_of_silence_ends_it_at_its_last_activity(void **state)
{
    struct world *world = *state;
    struct agent agent = living("cli");
    struct uuid first = current(world, &agent, "p");
    int64_t last_us = world->env.us;

    env_fake_advance_ms(&world->env, 30 * MINUTE_MS + 1);
    struct uuid second = current(world, &agent, "p");
    assert_false(uuid_eq(&first, &second));
    AUTO(session_done) struct session ended = stored(world, &first);
    AUTO(session_done) struct session now = stored(world, &second);
    assert_int_equal(ended.ended_us, last_us);
    assert_true(uuid_eq(&now.previous_id, &first));
    assert_true(now.ended_us == TIME_NONE);
}

static void two_living_agents_have_two_sessions(void **state)
{
    struct world *world = *state;
    struct agent one = living("mcp:claude");
    struct agent two = one;

    two.pid = getppid();
    two.start_ticks = agent_start_ticks(two.pid);
    struct uuid a = current(world, &one, "p");
    struct uuid b = current(world, &two, "p");
    struct uuid a_again = current(world, &one, "p");
    assert_false(uuid_eq(&a, &b));
    assert_true(uuid_eq(&a, &a_again));
}

static void a_successor_goes_on_with_what_a_dead_process_left(void **state)
{
    struct world *world = *state;
    struct agent before = gone("cli");
    struct agent after = living("cli");
    struct agent other = living("mcp:codex");
    struct uuid left = current(world, &before, "p");

    struct uuid foreign = current(world, &other, "p");
    struct uuid elsewhere = current(world, &after, "q");
    struct uuid taken_up = current(world, &after, "p");
    assert_false(uuid_eq(&left, &foreign));
    assert_false(uuid_eq(&left, &elsewhere));
    assert_true(uuid_eq(&left, &taken_up));
}

static void sessions_are_ended_by_command_with_a_summary(void **state)
{
    struct world *world = *state;
    struct agent agent = living("cli");
    struct uuid id = current(world, &agent, "p");
    struct uuid unknown = {{1}};
    struct err err = ERR_INIT;

    assert_ok(tracker_end(world->tracker, &id, "what was done", "cli", &err), &err);
    AUTO(session_done) struct session ended = stored(world, &id);
    assert_string_equal(ended.summary, "what was done");
    assert_true(ended.ended_us != TIME_NONE);
    assert_ok(tracker_end(world->tracker, &id, "too late", "cli", &err), &err);
    AUTO(session_done) struct session same = stored(world, &id);
    assert_string_equal(same.summary, "what was done");
    struct uuid next = current(world, &agent, "p");
    assert_false(uuid_eq(&id, &next));
    assert_refused(tracker_end(world->tracker, &unknown, NULL, "cli", &err), &err, ERR_NOT_FOUND,
                   "");
}

static void a_start_ends_the_present_one_and_keeps_the_journey(void **state)
{
    struct world *world = *state;
    struct agent agent = living("cli");
    struct uuid journey = {{9}};
    struct uuid none = {{0}};
    struct uuid first, second;
    struct err err = ERR_INIT;

    assert_ok(tracker_start(world->tracker, &agent, "p", &journey, &first, &err), &err);
    assert_ok(tracker_start(world->tracker, &agent, "p", &none, &second, &err), &err);
    AUTO(session_done) struct session before = stored(world, &first);
    AUTO(session_done) struct session now = stored(world, &second);
    assert_true(before.ended_us != TIME_NONE);
    assert_true(uuid_eq(&now.journey_id, &journey));
    assert_true(uuid_eq(&now.previous_id, &first));
}

static void an_agent_that_leaves_ends_all_of_its_sessions(void **state)
{
    struct world *world = *state;
    struct agent agent = living("mcp:claude");
    struct uuid p = current(world, &agent, "p");
    struct uuid q = current(world, &agent, "q");
    struct err err = ERR_INIT;

    assert_ok(tracker_agent_gone(world->tracker, &agent, &err), &err);
    AUTO(session_done) struct session one = stored(world, &p);
    AUTO(session_done) struct session two = stored(world, &q);
    assert_true(one.ended_us != TIME_NONE && two.ended_us != TIME_NONE);
}

static void open_sessions_are_taken_up_after_a_restart(void **state)
{
    struct world *world = *state;
    struct agent agent = living("mcp:claude");
    struct uuid before = current(world, &agent, "p");
    struct err err = ERR_INIT;

    tracker_close(world->tracker);
    env_fake_advance_ms(&world->env, MINUTE_MS);
    assert_ok(tracker_open(world->ledger, SESSION_IDLE_MS_DEFAULT, &world->tracker, &err), &err);
    struct uuid after = current(world, &agent, "p");
    assert_true(uuid_eq(&before, &after));
}

static void the_sweep_says_when_the_next_becomes_idle(void **state)
{
    struct world *world = *state;
    struct agent agent = living("cli");

    assert_true(tracker_sweep(world->tracker) == INT64_MAX);
    struct uuid id = current(world, &agent, "p");
    int64_t due_us = world->env.us + SESSION_IDLE_MS_DEFAULT * (int64_t)1000;
    assert_true(tracker_sweep(world->tracker) == due_us);
    env_fake_advance_ms(&world->env, SESSION_IDLE_MS_DEFAULT + 1);
    assert_true(tracker_sweep(world->tracker) == INT64_MAX);
    AUTO(session_done) struct session ended = stored(world, &id);
    assert_true(ended.ended_us != TIME_NONE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_has_a_start_time_and_a_missing_one_has_none),
        TEST(an_agent_stays_in_its_session),
        TEST(half_an_hour_of_silence_ends_it_at_its_last_activity),
        TEST(two_living_agents_have_two_sessions),
        TEST(a_successor_goes_on_with_what_a_dead_process_left),
        TEST(sessions_are_ended_by_command_with_a_summary),
        TEST(a_start_ends_the_present_one_and_keeps_the_journey),
        TEST(an_agent_that_leaves_ends_all_of_its_sessions),
        TEST(open_sessions_are_taken_up_after_a_restart),
        TEST(the_sweep_says_when_the_next_becomes_idle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
