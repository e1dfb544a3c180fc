/* Sessions: transactions that are tried again, by the official drivers' rules. */
#include "bolt/driver_internal.h"
#include "driver_fixture.h"

#define TRANSIENT "Neo.TransientError.Transaction.DeadlockDetected"

struct job {
    struct fixture *f;
    unsigned calls;
    int gives; /* 0: run a query and give what it gives */
};

static int set_up(void **state)
{
    struct fixture *f = fixture_new("bolt");

    fixture_open(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture_free(*state);
    return 0;
}

static int work(struct bolt_connection *connection, int64_t deadline_ms, void *arg,
                struct bolt_error *error)
{
    struct job *job = arg;

    job->calls++;
    return job->gives != 0
               ? job->gives
               : bolt_execute(connection, "CREATE (n)", NULL, NULL, NULL, deadline_ms, error);
}

static struct bolt_session *session_of(struct fixture *f)
{
    struct bolt_session *session;

    if (bolt_session_open(f->driver, &(struct bolt_session_options){.database = "neo4j"}, &session,
                          &f->error) < 0) {
        fail_msg("%s", f->error.message);
    }
    return session;
}

/* One managed transaction in a session of its own. */
static int write_once(struct fixture *f, struct job *job, int64_t deadline_ms)
{
    struct bolt_session *session = session_of(f);

    job->f = f;
    int rc = bolt_session_write(session, NULL, work, job, deadline_ms, &f->error);
    bolt_session_close(session);
    return rc;
}

static void fault(struct fixture *f, enum bolt_request request, unsigned times, const char *code)
{
    fake_fault(f->servers[0], request, code != NULL ? FAKE_FAIL : FAKE_DROP, times, code);
}

static unsigned commits(struct fixture *f)
{
    return fake_count(f->servers[0], BOLT_REQUEST_COMMIT);
}

static void assert_pauses(const struct fixture *f, size_t count, const int64_t *pauses)
{
    assert_int_equal(f->pause_count, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(f->pauses[i], pauses[i]);
    }
}

/* ---- what works ---- */

static void a_transaction_is_committed_once(void **state)
{
    struct fixture *f = *state;
    struct job job = {.gives = 0};

    assert_int_equal(write_once(f, &job, BOLT_NEVER), 0);
    assert_int_equal(job.calls, 1);
    assert_int_equal(commits(f), 1);
    assert_int_equal(f->pause_count, 0);
    assert_int_equal(fake_count(f->servers[0], BOLT_REQUEST_RESET), 0);
    assert_int_equal(stats(f).idle, 1);
}

static void each_transaction_sees_those_before_it(void **state)
{
    struct fixture *f = *state;
    const char *const given[] = {"from:1", "from:2", NULL};
    static const char *const BEGINS[] = {"db=neo4j bookmarks=from:1,from:2",
                                         "db=neo4j bookmarks=bm:1",
                                         "mode=r db=neo4j bookmarks=bm:2"};
    struct bolt_session *session;
    struct job job = {.f = f};

    assert_int_equal(
        bolt_session_open(f->driver,
                          &(struct bolt_session_options){.database = "neo4j", .bookmarks = given},
                          &session, &f->error),
        0);
    assert_string_equal(bolt_session_bookmarks(session)[1], "from:2");
    for (int i = 0; i < 3; i++) {
        int rc = i < 2 ? bolt_session_write(session, NULL, work, &job, BOLT_NEVER, &f->error)
                       : bolt_session_read(session, NULL, work, &job, BOLT_NEVER, &f->error);
        assert_int_equal(rc, 0);
        char *begin = fake_last_begin(f->servers[0]);
        assert_string_equal(begin, BEGINS[i]);
        free(begin);
    }
    assert_string_equal(bolt_session_bookmarks(session)[0], "bm:3");
    assert_null(bolt_session_bookmarks(session)[1]);
    bolt_session_close(session);
}

static void a_transaction_that_failed_leaves_no_bookmark(void **state)
{
    struct fixture *f = *state;
    struct bolt_session *session = session_of(f);
    struct job job = {.f = f};

    fault(f, BOLT_REQUEST_RUN, 1, "Neo.ClientError.Statement.SyntaxError");
    assert_int_equal(bolt_session_write(session, NULL, work, &job, BOLT_NEVER, &f->error),
                     -BOLT_ERR_SERVER);
    assert_null(bolt_session_bookmarks(session)[0]);
    bolt_session_close(session);
}

static void a_session_takes_so_many_bookmarks_and_no_more(void **state)
{
    struct fixture *f = *state;
    const char *many[BOLT_SESSION_BOOKMARKS_MAX + 2] = {NULL};
    struct bolt_session_options options = {.bookmarks = many};
    struct bolt_session *session;

    for (size_t i = 0; i < BOLT_SESSION_BOOKMARKS_MAX; i++) {
        many[i] = "bm";
    }
    assert_int_equal(bolt_session_open(f->driver, &options, &session, &f->error), 0);
    bolt_session_close(session);
    many[BOLT_SESSION_BOOKMARKS_MAX] = "one more";
    assert_int_equal(bolt_session_open(f->driver, &options, &session, &f->error), -BOLT_ERR_LIMIT);
    bolt_session_close(NULL);
}

/* ---- trying again ---- */

static void what_failed_for_a_while_is_tried_again_after_doubling_pauses(void **state)
{
    static const enum bolt_request WHERE[] = {BOLT_REQUEST_BEGIN, BOLT_REQUEST_RUN,
                                              BOLT_REQUEST_COMMIT};
    struct fixture *f = *state;

    for (size_t i = 0; i < 3; i++) {
        struct job job = {.gives = 0};
        f->pause_count = 0;
        fault(f, WHERE[i], 3, TRANSIENT);
        assert_int_equal(write_once(f, &job, BOLT_NEVER), 0);
        assert_int_equal(job.calls, 4); /* BEGIN fails when work asks */
        assert_pauses(f, 3, (const int64_t[]){1000, 2000, 4000});
    }
    assert_int_equal(commits(f), 3 + 3);
    assert_int_equal(stats(f).retried, 9);
}

static void it_is_given_up_half_a_minute_after_the_first_failure(void **state)
{
    struct fixture *f = *state;
    struct job job = {.gives = 0};

    fault(f, BOLT_REQUEST_RUN, 1000, TRANSIENT);
    assert_int_equal(write_once(f, &job, BOLT_NEVER), -BOLT_ERR_SERVER);
    assert_pauses(f, 5, (const int64_t[]){1000, 2000, 4000, 8000, 16000});
    assert_int_equal(job.calls, 6);
    assert_string_equal(f->error.code, TRANSIENT);
    assert_non_null(strstr(f->error.message, "given up after 6 tries"));
}

static void the_time_of_retries_counts_from_the_first_failure(void **state)
{
    struct fixture *f = *state;
    struct job job = {.gives = 0};

    bolt_driver_close(f->driver);
    f->options.retry_ms = 1000;
    fixture_open(f);
    fault(f, BOLT_REQUEST_RUN, 1000, TRANSIENT);
    f->now_ms += 3600000;
    assert_int_equal(write_once(f, &job, BOLT_NEVER), -BOLT_ERR_SERVER);
    assert_int_equal(job.calls, 2); /* at 0 s and at 1 s, which is the end */
}

static void the_first_pause_may_be_shorter(void **state)
{
    struct fixture *f = *state;
    struct job job = {.gives = 0};

    bolt_driver_close(f->driver);
    f->options.retry_first_ms = 10;
    fixture_open(f);
    fault(f, BOLT_REQUEST_RUN, 3, TRANSIENT);
    assert_int_equal(write_once(f, &job, BOLT_NEVER), 0);
    assert_pauses(f, 3, (const int64_t[]){10, 20, 40});
}

static void the_first_pause_has_its_bounds(void **state)
{
    static const int64_t REFUSED[] = {BOLT_NO_LIMIT, BOLT_RETRY_FIRST_MAX_MS + 1};
    struct fixture *f = *state;
    struct bolt_driver *driver;

    for (size_t i = 0; i < 2; i++) {
        f->options.retry_first_ms = REFUSED[i];
        assert_int_equal(bolt_driver_open(&f->options, &driver, &f->error), -BOLT_ERR_USAGE);
        assert_non_null(strstr(f->error.message, "retry_first_ms"));
    }
    f->options.retry_first_ms = BOLT_RETRY_FIRST_MAX_MS;
    assert_int_equal(bolt_driver_open(&f->options, &driver, &f->error), 0);
    bolt_driver_close(driver);
}

static void pauses_vary_by_a_fifth(void **state)
{
    (void)state;
    assert_true(bolt_retry_jitter(1000, 0) == 800);
    assert_true(bolt_retry_jitter(1000, CHANCE_EVEN) == 1000);
    assert_true(bolt_retry_jitter(1000, UINT32_MAX) == 1199);
    assert_true(bolt_retry_jitter(INT32_MAX, UINT32_MAX) > INT32_MAX);
    assert_true(bolt_retry_jitter(0, UINT32_MAX) == 0);
}

static void no_pause_goes_past_the_deadline(void **state)
{
    struct fixture *f = *state;
    struct job job = {.gives = 0};

    fault(f, BOLT_REQUEST_RUN, 1000, TRANSIENT);
    assert_int_equal(write_once(f, &job, bolt_deadline_in(7000)), -BOLT_ERR_SERVER);
    assert_pauses(f, 3, (const int64_t[]){1000, 2000, 4000}); /* the next were 8000 */
}

static void only_what_may_succeed_is_tried_again(void **state)
{
    static const char *const NEVER[] = {
        "Neo.ClientError.Schema.ConstraintValidationFailed",
        "Neo.ClientError.Statement.SyntaxError",
        "Neo.ClientError.Transaction.TransactionTimedOut",
        "Neo.ClientError.Security.Forbidden",
        "Neo.TransientError.Transaction.Terminated",
        "Neo.TransientError.Transaction.LockClientStopped",
        "Neo.TransientError.General.MemoryPoolOutOfMemoryError", /* unchanged it fails again */
        "Neo.DatabaseError.General.UnknownError",
    };
    static const char *const AGAIN[] = {
        TRANSIENT,
        "Neo.TransientError.Of.TheFuture",
        "Neo.ClientError.Cluster.NotALeader",
        "Neo.ClientError.General.ForbiddenOnReadOnlyDatabase",
        "Neo.ClientError.Security.AuthorizationExpired",
        "Memgraph.TransientError.MemgraphError.MemgraphError",
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(NEVER) / sizeof(NEVER[0]); i++) {
        struct job job = {.gives = 0};
        fault(f, BOLT_REQUEST_RUN, 1, NEVER[i]);
        assert_int_equal(write_once(f, &job, BOLT_NEVER), -BOLT_ERR_SERVER);
        assert_int_equal(job.calls, 1);
        assert_string_equal(f->error.code, NEVER[i]);
    }
    assert_int_equal(f->pause_count, 0);
    for (size_t i = 0; i < sizeof(AGAIN) / sizeof(AGAIN[0]); i++) {
        struct job job = {.gives = 0};
        fault(f, BOLT_REQUEST_RUN, 1, AGAIN[i]);
        assert_int_equal(write_once(f, &job, BOLT_NEVER), 0);
        assert_int_equal(job.calls, 2);
    }
}

static void what_was_too_much_for_the_servers_memory_or_time_is_told_as_such(void **state)
{
    static const char *const SMALLER[] = {
        "Neo.TransientError.General.MemoryPoolOutOfMemoryError",
        "Neo.ClientError.Transaction.TransactionTimedOut",
        "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration",
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(SMALLER) / sizeof(SMALLER[0]); i++) {
        struct job job = {.gives = 0};
        fault(f, BOLT_REQUEST_RUN, 1, SMALLER[i]);
        assert_int_equal(write_once(f, &job, BOLT_NEVER), -BOLT_ERR_SERVER);
        assert_true(bolt_error_traits(&f->error) & BOLT_TRAIT_SMALLER);
    }
}

static void a_connection_lost_before_commit_is_tried_again(void **state)
{
    static const enum bolt_request WHERE[] = {BOLT_REQUEST_BEGIN, BOLT_REQUEST_RUN,
                                              BOLT_REQUEST_DISCARD};
    struct fixture *f = *state;

    for (size_t i = 0; i < 3; i++) {
        struct job job = {.gives = 0};
        fault(f, WHERE[i], 1, NULL);
        assert_int_equal(write_once(f, &job, BOLT_NEVER), 0);
    }
    assert_int_equal(f->pause_count, 3);
    assert_int_equal(commits(f), 3);
}

static void server_comes_back(struct fixture *f)
{
    if (f->pause_count == 2) {
        fake_up(f->servers[0]);
    }
}

static void a_server_that_restarts_is_waited_for(void **state)
{
    struct fixture *f = *state;
    struct job job = {.gives = 0};

    f->on_pause = server_comes_back;
    fake_down(f->servers[0]);
    assert_int_equal(write_once(f, &job, BOLT_NEVER), 0);
    assert_int_equal(job.calls, 1);
    assert_int_equal(f->pause_count, 2);
}

static void a_refused_logon_is_told_at_once(void **state)
{
    struct fixture *f = *state;
    struct job job = {.gives = 0};

    fault(f, BOLT_REQUEST_LOGON, 1, "Neo.ClientError.Security.Unauthorized");
    assert_int_equal(write_once(f, &job, BOLT_NEVER), -BOLT_ERR_AUTH);
    assert_int_equal(f->pause_count, 0);
}

/* ---- commits that nobody confirmed ---- */

static void a_lost_reply_to_commit_is_unknown_and_not_tried_again(void **state)
{
    struct fixture *f = *state;
    struct job job = {.gives = 0};

    fault(f, BOLT_REQUEST_COMMIT, 1, NULL);
    assert_int_equal(write_once(f, &job, BOLT_NEVER), -BOLT_ERR_COMMIT_UNKNOWN);
    assert_int_equal(f->error.kind, BOLT_ERR_COMMIT_UNKNOWN);
    assert_false(bolt_error_is_retryable(&f->error));
    assert_int_equal(job.calls, 1);
    assert_int_equal(commits(f), 1);
    assert_int_equal(f->pause_count, 0);
    assert_int_equal(stats(f).lent, 0);
    assert_int_equal(stats(f).idle, 0);
}

static void a_commit_that_is_not_answered_in_time_is_unknown_too(void **state)
{
    struct fixture *f = *state;
    struct job job = {.gives = 0};

    fake_fault(f->servers[0], BOLT_REQUEST_COMMIT, FAKE_STALL, 1, NULL);
    assert_int_equal(write_once(f, &job, bolt_deadline_in(1500)), -BOLT_ERR_COMMIT_UNKNOWN);
    assert_int_equal(job.calls, 1);
    assert_int_equal(fake_count(f->servers[0], BOLT_REQUEST_RESET), 0); /* nobody waits for more */
    assert_int_equal(stats(f).lent, 0);
}

static void a_commit_that_the_server_refused_is_not_unknown(void **state)
{
    struct fixture *f = *state;
    struct job job = {.gives = 0};

    fault(f, BOLT_REQUEST_COMMIT, 1, "Neo.ClientError.Schema.ConstraintValidationFailed");
    assert_int_equal(write_once(f, &job, BOLT_NEVER), -BOLT_ERR_SERVER);
    assert_int_equal(job.calls, 1);
}

/* ---- what work gives ---- */

static void a_positive_number_rolls_back_and_is_handed_on(void **state)
{
    struct fixture *f = *state;
    struct job job = {.gives = 7};

    assert_int_equal(write_once(f, &job, BOLT_NEVER), 7);
    assert_int_equal(commits(f), 0);
    assert_int_equal(fake_count(f->servers[0], BOLT_REQUEST_RESET), 1);
    assert_int_equal(stats(f).idle, 1);
}

static void a_failure_without_an_error_is_told_as_such(void **state)
{
    struct fixture *f = *state;
    struct job job = {.gives = -BOLT_ERR_LOST};

    f->error.kind = BOLT_ERR_CONNECT; /* from something else, and retryable */
    assert_int_equal(write_once(f, &job, BOLT_NEVER), -BOLT_ERR_USAGE);
    assert_int_equal(job.calls, 1);
    assert_int_equal(commits(f), 0);
}

/* ---- in a cluster ---- */

static void leader_moves(struct fixture *f)
{
    for (size_t i = 0; i < SERVERS; i++) {
        fake_route(f->servers[i], 300, fake_address(f->servers[0]), fake_address(f->servers[0]),
                   fake_address(f->servers[2]));
    }
}

static void a_leader_that_moves_is_followed(void **state)
{
    struct fixture *f = *state;
    struct job job = {.gives = 0};

    bolt_driver_close(f->driver);
    (void)snprintf(f->uri, sizeof(f->uri), "neo4j://%s", fake_address(f->servers[0]));
    fixture_open(f);
    fake_route(f->servers[0], 300, fake_address(f->servers[0]), fake_address(f->servers[0]),
               fake_address(f->servers[1]));
    fake_fault(f->servers[1], BOLT_REQUEST_RUN, FAKE_FAIL, 1000,
               "Neo.ClientError.Cluster.NotALeader");
    f->on_pause = leader_moves;
    assert_int_equal(write_once(f, &job, BOLT_NEVER), 0);
    assert_int_equal(job.calls, 2);
    assert_int_equal(fake_count(f->servers[2], BOLT_REQUEST_COMMIT), 1);
    assert_pauses(f, 1, (const int64_t[]){1000});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_transaction_is_committed_once),
        TEST(each_transaction_sees_those_before_it),
        TEST(a_transaction_that_failed_leaves_no_bookmark),
        TEST(a_session_takes_so_many_bookmarks_and_no_more),
        TEST(what_failed_for_a_while_is_tried_again_after_doubling_pauses),
        TEST(it_is_given_up_half_a_minute_after_the_first_failure),
        TEST(the_time_of_retries_counts_from_the_first_failure),
        TEST(the_first_pause_may_be_shorter),
        TEST(the_first_pause_has_its_bounds),
        TEST(pauses_vary_by_a_fifth),
        TEST(no_pause_goes_past_the_deadline),
        TEST(only_what_may_succeed_is_tried_again),
        TEST(what_was_too_much_for_the_servers_memory_or_time_is_told_as_such),
        TEST(a_connection_lost_before_commit_is_tried_again),
        TEST(a_server_that_restarts_is_waited_for),
        TEST(a_refused_logon_is_told_at_once),
        TEST(a_lost_reply_to_commit_is_unknown_and_not_tried_again),
        TEST(a_commit_that_is_not_answered_in_time_is_unknown_too),
        TEST(a_commit_that_the_server_refused_is_not_unknown),
        TEST(a_positive_number_rolls_back_and_is_handed_on),
        TEST(a_failure_without_an_error_is_told_as_such),
        TEST(a_leader_that_moves_is_followed),
    };

    return cmocka_run_group_tests_name("bolt/managed", tests, NULL, NULL);
}
