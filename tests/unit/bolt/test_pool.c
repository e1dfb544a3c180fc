#include "bolt/connection.h"
#include "bolt/slack.h"
#include "driver_fixture.h"

static int set_up(void **state)
{
    *state = fixture_new("bolt");
    return 0;
}

static int tear_down(void **state)
{
    fixture_free(*state);
    return 0;
}

static void a_connection_is_lent_again(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    struct bolt_connection *first = acquire(f, BOLT_WRITE);
    release(f, first);
    assert_ptr_equal(acquire(f, BOLT_READ), first);
    release(f, first);
    assert_int_equal(fake_accepted(f->servers[0]), 1);
    struct bolt_driver_stats now = stats(f);
    assert_int_equal(now.opened, 1);
    assert_int_equal(now.idle, 1);
    assert_int_equal(now.lent, 0);
    assert_int_equal(now.servers, 1);
}

static void opening_a_driver_sends_nothing_and_verifying_does(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    assert_int_equal(stats(f).opened, 0);
    assert_int_equal(bolt_driver_verify(f->driver, NULL, bolt_deadline_in(WAIT_MS), &f->error), 0);
    assert_int_equal(stats(f).idle, 1);
    fake_fault(f->servers[0], BOLT_REQUEST_RESET, FAKE_DROP, 1, NULL);
    assert_int_equal(bolt_driver_verify(f->driver, NULL, bolt_deadline_in(WAIT_MS), &f->error),
                     -BOLT_ERR_LOST);
    assert_int_equal(stats(f).idle, 0);
}

static void release_rolls_back_what_was_begun(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    struct bolt_connection *connection = acquire(f, BOLT_WRITE);
    assert_int_equal(bolt_begin(connection, NULL, bolt_deadline_in(WAIT_MS), &f->error), 0);
    release(f, connection);
    assert_int_equal(fake_count(f->servers[0], BOLT_REQUEST_RESET), 1);
    assert_ptr_equal(acquire(f, BOLT_WRITE), connection);
    assert_int_equal(bolt_begin(connection, NULL, bolt_deadline_in(WAIT_MS), &f->error), 0);
    release(f, connection);
}

/* All that the connection holds of what it sent and received. */
static size_t allocated(const struct bolt_connection *connection)
{
    return connection->rx.capacity + connection->tx.capacity + connection->scratch.capacity;
}

/* A query with so many bytes of parameters, and as many in the reply. */
static void exchange(struct fixture *f, struct bolt_connection *connection, size_t size)
{
    struct bolt_packer parameters;
    unsigned char *bytes = calloc(1, size);

    assert_non_null(bytes);
    fake_padding(f->servers[0], size);
    bolt_packer_init(&parameters, 0);
    bolt_pack_map(&parameters, 1);
    bolt_pack_key(&parameters, "bytes");
    bolt_pack_bytes(&parameters, bytes, size);
    if (bolt_execute(connection, "RETURN 1", &parameters, NULL, NULL, bolt_deadline_in(WAIT_MS),
                     &f->error) < 0) {
        fail_msg("%s", f->error.message);
    }
    bolt_packer_done(&parameters);
    free(bytes);
}

static void one_that_is_back_keeps_no_large_buffers(void **state)
{
    struct fixture *f = *state;
    const size_t large = SLACK_IDLE_MAX + 1000;

    fixture_open(f);
    struct bolt_connection *connection = acquire(f, BOLT_WRITE);
    size_t first = allocated(connection);
    exchange(f, connection, large);
    assert_true(allocated(connection) > 2 * large);
    release(f, connection);
    assert_ptr_equal(acquire(f, BOLT_WRITE), connection);
    assert_in_range(allocated(connection), 0, first);
    exchange(f, connection, 1000); /* it is as good as before */
    release(f, connection);
}

/* So that each transaction of a vault finds the room that the one before needed. */
static void one_that_is_back_keeps_what_large_transactions_need(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    struct bolt_connection *connection = acquire(f, BOLT_WRITE);
    exchange(f, connection, SLACK_IDLE_MAX / 4);
    size_t grown = allocated(connection);
    for (int i = 0; i < 2 * SLACK_TIMES; i++) {
        release(f, connection);
        assert_ptr_equal(acquire(f, BOLT_WRITE), connection);
        exchange(f, connection, SLACK_IDLE_MAX / 4);
        assert_int_equal(allocated(connection), grown);
    }
    release(f, connection);
}

static void a_failed_connection_is_reset_and_lent_again(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    fake_fault(f->servers[0], BOLT_REQUEST_BEGIN, FAKE_FAIL, 1, "Neo.ClientError.Some.Thing");
    struct bolt_connection *connection = acquire(f, BOLT_WRITE);
    assert_int_equal(bolt_begin(connection, NULL, bolt_deadline_in(WAIT_MS), &f->error),
                     -BOLT_ERR_SERVER);
    bolt_driver_release(f->driver, connection, &f->error);
    assert_ptr_equal(acquire(f, BOLT_WRITE), connection);
    release(f, connection);
    assert_int_equal(stats(f).opened, 1);
}

static void a_full_pool_says_so_in_time(void **state)
{
    struct fixture *f = *state;
    struct bolt_connection *none;

    f->options.pool_max = 2;
    fixture_open(f);
    struct bolt_connection *one = acquire(f, BOLT_WRITE);
    struct bolt_connection *two = acquire(f, BOLT_WRITE);
    assert_int_equal(try_acquire(f, BOLT_WRITE, 20, &none), -BOLT_ERR_TIMEOUT);
    assert_non_null(strstr(f->error.message, "all 2 are lent"));
    assert_int_equal(stats(f).waiting, 0);
    release(f, one);
    assert_ptr_equal(acquire(f, BOLT_WRITE), one);
    release(f, one);
    release(f, two);
}

static void acquire_ms_bounds_the_wait_too(void **state)
{
    struct fixture *f = *state;
    struct bolt_connection *none;

    f->options.pool_max = 1;
    f->options.acquire_ms = 1500;
    fixture_open(f);
    struct bolt_connection *one = acquire(f, BOLT_WRITE);
    assert_int_equal(bolt_driver_acquire(f->driver, NULL, BOLT_NEVER, &none, &f->error),
                     -BOLT_ERR_TIMEOUT);
    release(f, one);
}

/* ---- waiting ---- */

struct taker {
    struct fixture *f;
    pthread_t thread;
    struct bolt_connection *got;
    struct bolt_error error;
    int rc;
    atomic_int *order;
    int place; /* in the order of those who got one */
};

static void *take(void *arg)
{
    struct taker *taker = arg;

    taker->rc = bolt_driver_acquire(taker->f->driver, NULL, bolt_deadline_in(WAIT_MS), &taker->got,
                                    &taker->error);
    if (taker->rc == 0) {
        taker->place = atomic_fetch_add(taker->order, 1);
        bolt_driver_release(taker->f->driver, taker->got, NULL);
    }
    return NULL;
}

/* Start one that has to wait, and see it waiting. */
static void start_waiting(struct taker *taker, struct fixture *f, atomic_int *order, size_t nth)
{
    *taker = (struct taker){.f = f, .order = order};
    assert_int_equal(pthread_create(&taker->thread, NULL, take, taker), 0);
    while (stats(f).waiting < nth) {
        sched_yield();
    }
}

static void who_waits_gets_it_in_the_order_of_coming(void **state)
{
    struct fixture *f = *state;
    struct taker takers[3];
    atomic_int order = 0;

    f->options.pool_max = 1;
    fixture_open(f);
    struct bolt_connection *only = acquire(f, BOLT_WRITE);
    for (size_t i = 0; i < 3; i++) {
        start_waiting(&takers[i], f, &order, i + 1);
    }
    release(f, only);
    for (int i = 0; i < 3; i++) {
        (void)pthread_join(takers[i].thread, NULL);
        assert_int_equal(takers[i].rc, 0);
        assert_ptr_equal(takers[i].got, only);
        assert_int_equal(takers[i].place, i);
    }
    assert_int_equal(stats(f).opened, 1);
    assert_int_equal(stats(f).lent, 0);
}

static void who_waits_opens_one_when_the_lent_one_died(void **state)
{
    struct fixture *f = *state;
    struct taker taker;
    atomic_int order = 0;

    f->options.pool_max = 1;
    fixture_open(f);
    struct bolt_connection *only = acquire(f, BOLT_WRITE);
    start_waiting(&taker, f, &order, 1);
    fake_fault(f->servers[0], BOLT_REQUEST_RESET, FAKE_DROP, 1, NULL);
    release(f, only);
    (void)pthread_join(taker.thread, NULL);
    assert_int_equal(taker.rc, 0);
    assert_int_equal(stats(f).opened, 2);
    assert_int_equal(stats(f).lent, 0);
}

static void cancellation_ends_the_wait(void **state)
{
    struct fixture *f = *state;
    struct taker taker;
    atomic_int order = 0;

    f->options.pool_max = 1;
    f->options.connection.cancel = bolt_cancel_new(&f->error);
    assert_non_null(f->options.connection.cancel);
    fixture_open(f);
    struct bolt_connection *only = acquire(f, BOLT_WRITE);
    start_waiting(&taker, f, &order, 1);
    bolt_cancel_now(f->options.connection.cancel);
    (void)pthread_join(taker.thread, NULL);
    assert_int_equal(taker.rc, -BOLT_ERR_CANCELLED);
    release(f, only);
    assert_int_equal(stats(f).lent, 0);
    bolt_driver_close(f->driver);
    f->driver = NULL;
    bolt_cancel_free(f->options.connection.cancel);
}

/* ---- what is lent lives ---- */

static void one_past_its_lifetime_is_replaced(void **state)
{
    struct fixture *f = *state;

    f->options.lifetime_ms = 60000;
    f->options.idle_check_ms = BOLT_NO_LIMIT;
    fixture_open(f);
    release(f, acquire(f, BOLT_WRITE));
    f->now_ms += 59999;
    release(f, acquire(f, BOLT_WRITE));
    assert_int_equal(stats(f).opened, 1);
    f->now_ms += 1;
    release(f, acquire(f, BOLT_WRITE));
    assert_int_equal(stats(f).opened, 2);
    assert_int_equal(stats(f).closed, 1);
}

static void one_that_was_idle_for_long_is_asked_first(void **state)
{
    struct fixture *f = *state;

    f->options.idle_check_ms = 5000;
    fixture_open(f);
    struct bolt_connection *first = acquire(f, BOLT_WRITE);
    release(f, first);
    f->now_ms += 4999;
    release(f, acquire(f, BOLT_WRITE));
    assert_int_equal(stats(f).checked, 0);
    f->now_ms += 5000;
    assert_ptr_equal(acquire(f, BOLT_WRITE), first);
    assert_int_equal(stats(f).checked, 1);
    release(f, first);
    f->now_ms += 5000;
    fake_fault(f->servers[0], BOLT_REQUEST_RESET, FAKE_DROP, 1, NULL);
    release(f, acquire(f, BOLT_WRITE));
    assert_int_equal(stats(f).checked, 2);
    assert_int_equal(stats(f).opened, 2);
}

static void one_that_the_server_closed_is_replaced(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    release(f, acquire(f, BOLT_WRITE));
    fake_down(f->servers[0]);
    fake_up(f->servers[0]);
    struct bolt_connection *next = acquire(f, BOLT_WRITE);
    assert_int_equal(bolt_begin(next, NULL, bolt_deadline_in(WAIT_MS), &f->error), 0);
    release(f, next);
    assert_int_equal(stats(f).opened, 2);
}

static void a_server_that_is_down_leaves_no_place_taken(void **state)
{
    struct fixture *f = *state;
    struct bolt_connection *none;

    f->options.pool_max = 1;
    fixture_open(f);
    fake_down(f->servers[0]);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(try_acquire(f, BOLT_WRITE, WAIT_MS, &none), -BOLT_ERR_CONNECT);
    }
    assert_int_equal(stats(f).failed, 3);
    fake_up(f->servers[0]);
    release(f, acquire(f, BOLT_WRITE));
}

static void a_lost_connection_takes_the_idle_ones_with_it(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    struct bolt_connection *one = acquire(f, BOLT_WRITE);
    release(f, acquire(f, BOLT_WRITE));
    assert_int_equal(stats(f).idle, 1);
    fake_fault(f->servers[0], BOLT_REQUEST_BEGIN, FAKE_DROP, 1, NULL);
    assert_int_equal(bolt_begin(one, NULL, bolt_deadline_in(WAIT_MS), &f->error), -BOLT_ERR_LOST);
    bolt_driver_release(f->driver, one, &f->error);
    assert_int_equal(stats(f).idle, 0);
    assert_int_equal(stats(f).closed, 2);
}

static void expired_authorization_makes_all_log_on_again(void **state)
{
    struct fixture *f = *state;
    struct bolt_error expired = failure("Neo.ClientError.Security.AuthorizationExpired");

    fixture_open(f);
    struct bolt_connection *one = acquire(f, BOLT_WRITE);
    struct bolt_connection *two = acquire(f, BOLT_WRITE);
    release(f, acquire(f, BOLT_WRITE));
    bolt_driver_release(f->driver, one, &expired);
    assert_int_equal(stats(f).idle, 0);
    release(f, two); /* lent meanwhile, but logged on before */
    assert_int_equal(stats(f).idle, 0);
    release(f, acquire(f, BOLT_WRITE));
    assert_int_equal(stats(f).idle, 1);
    assert_int_equal(fake_count(f->servers[0], BOLT_REQUEST_LOGON), 4);
}

static void a_refused_logon_is_not_tried_again_by_itself(void **state)
{
    struct fixture *f = *state;
    struct bolt_connection *none;

    fixture_open(f);
    fake_fault(f->servers[0], BOLT_REQUEST_LOGON, FAKE_FAIL, 1,
               "Neo.ClientError.Security.Unauthorized");
    assert_int_equal(try_acquire(f, BOLT_WRITE, WAIT_MS, &none), -BOLT_ERR_AUTH);
    assert_int_equal(fake_count(f->servers[0], BOLT_REQUEST_LOGON), 1);
    assert_null(strstr(f->error.message, "secret"));
}

static void a_server_that_does_not_answer_costs_connect_ms_only(void **state)
{
    struct fixture *f = *state;
    struct bolt_connection *none;

    f->options.connect_ms = 30;
    fixture_open(f);
    fake_fault(f->servers[0], BOLT_REQUEST_HELLO, FAKE_STALL, 1, NULL);
    assert_int_equal(try_acquire(f, BOLT_WRITE, WAIT_MS, &none), -BOLT_ERR_CONNECT);
}

/* ---- options ---- */

static void options_are_checked(void **state)
{
    struct fixture *f = *state;
    struct bolt_driver_options options = f->options;

    options.acquire_ms = -2;
    assert_int_equal(bolt_driver_open(&options, &f->driver, &f->error), -BOLT_ERR_USAGE);
    assert_non_null(strstr(f->error.message, "acquire_ms is -2"));
    options = f->options;
    options.connection.host = "elsewhere";
    assert_int_equal(bolt_driver_open(&options, &f->driver, &f->error), -BOLT_ERR_USAGE);
    options = f->options;
    options.connection.uri = NULL;
    assert_int_equal(bolt_driver_open(&options, &f->driver, &f->error), -BOLT_ERR_USAGE);
    options.connection.uri = "http://localhost";
    assert_int_equal(bolt_driver_open(&options, &f->driver, &f->error), -BOLT_ERR_USAGE);
    assert_null(f->driver);
}

static void options_need_not_outlive_the_call(void **state)
{
    struct fixture *f = *state;
    char password[] = "secret";
    const char *disabled[] = {"HINT", NULL};

    f->options.connection.auth.credentials = password;
    f->options.connection.notifications.disabled = disabled;
    fixture_open(f);
    memset(password, 'x', sizeof(password));
    memset(f->uri, 'x', sizeof(f->uri) - 1);
    disabled[0] = NULL;
    release(f, acquire(f, BOLT_WRITE));
}

/* ---- many threads ---- */

#define THREADS 8
#define ROUNDS 60
#define POOL 3

struct hammer {
    struct fixture *f;
    pthread_t thread;
    unsigned number, done, failed;
};

static void *hammer(void *arg)
{
    struct hammer *hammer = arg;
    struct fixture *f = hammer->f;
    struct bolt_connection *connection;
    struct bolt_error error;

    for (unsigned i = 0; i < ROUNDS; i++) {
        int64_t deadline_ms = bolt_deadline_in(WAIT_MS);
        if (hammer->number == 0 && i % 10 == 5) {
            fake_fault(f->servers[0], BOLT_REQUEST_BEGIN, FAKE_DROP, 1, NULL);
        }
        if (bolt_driver_acquire(f->driver, NULL, deadline_ms, &connection, &error) < 0) {
            hammer->failed++;
            continue;
        }
        int rc = bolt_begin(connection, NULL, deadline_ms, &error);
        if (rc == 0 && i % 3 != 0) {
            rc = bolt_commit(connection, deadline_ms, &error);
        }
        hammer->done += rc == 0;
        bolt_driver_release(f->driver, connection, rc < 0 ? &error : NULL);
    }
    return NULL;
}

static void many_threads_share_few_connections(void **state)
{
    struct fixture *f = *state;
    struct hammer hammers[THREADS];
    unsigned done = 0;

    f->options.pool_max = POOL;
    fixture_open(f);
    for (unsigned i = 0; i < THREADS; i++) {
        hammers[i] = (struct hammer){.f = f, .number = i};
        assert_int_equal(pthread_create(&hammers[i].thread, NULL, hammer, &hammers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        (void)pthread_join(hammers[i].thread, NULL);
        assert_int_equal(hammers[i].failed, 0);
        done += hammers[i].done;
    }
    struct bolt_driver_stats now = stats(f);
    assert_true(done >= THREADS * ROUNDS - 6 && done < THREADS * ROUNDS);
    assert_int_equal(now.lent, 0);
    assert_int_equal(now.waiting, 0);
    assert_true(now.idle <= POOL);
    assert_int_equal(now.opened, now.closed + now.idle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_connection_is_lent_again),
        TEST(opening_a_driver_sends_nothing_and_verifying_does),
        TEST(release_rolls_back_what_was_begun),
        TEST(one_that_is_back_keeps_no_large_buffers),
        TEST(one_that_is_back_keeps_what_large_transactions_need),
        TEST(a_failed_connection_is_reset_and_lent_again),
        TEST(a_full_pool_says_so_in_time),
        TEST(acquire_ms_bounds_the_wait_too),
        TEST(who_waits_gets_it_in_the_order_of_coming),
        TEST(who_waits_opens_one_when_the_lent_one_died),
        TEST(cancellation_ends_the_wait),
        TEST(one_past_its_lifetime_is_replaced),
        TEST(one_that_was_idle_for_long_is_asked_first),
        TEST(one_that_the_server_closed_is_replaced),
        TEST(a_server_that_is_down_leaves_no_place_taken),
        TEST(a_lost_connection_takes_the_idle_ones_with_it),
        TEST(expired_authorization_makes_all_log_on_again),
        TEST(a_refused_logon_is_not_tried_again_by_itself),
        TEST(a_server_that_does_not_answer_costs_connect_ms_only),
        TEST(options_are_checked),
        TEST(options_need_not_outlive_the_call),
        TEST(many_threads_share_few_connections),
    };

    return cmocka_run_group_tests_name("bolt/pool", tests, NULL, NULL);
}
