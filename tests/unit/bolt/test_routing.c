#include "driver_fixture.h"

#include "bolt/driver_internal.h"

#define TTL_S 300

/* A cluster: the first server routes and writes, the others read. */
static void route(struct fixture *f, const char *routers, const char *readers, const char *writers)
{
    for (size_t i = 0; i < SERVERS; i++) {
        fake_route(f->servers[i], TTL_S, routers, readers, writers);
    }
}

static const char *address(struct fixture *f, int server)
{
    return fake_address(f->servers[server]);
}

static const char *both(char text[64], const char *a, const char *b)
{
    (void)snprintf(text, 64, "%s %s", a, b);
    return text;
}

static int set_up(void **state)
{
    struct fixture *f = fixture_new("neo4j");
    char readers[64];

    route(f, address(f, 0), both(readers, address(f, 1), address(f, 2)), address(f, 0));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture_free(*state);
    return 0;
}

static unsigned routes_asked(struct fixture *f)
{
    unsigned count = 0;

    for (size_t i = 0; i < SERVERS; i++) {
        count += fake_count(f->servers[i], BOLT_REQUEST_ROUTE);
    }
    return count;
}

static void writes_go_to_the_writer_and_reads_to_the_least_busy_reader(void **state)
{
    struct fixture *f = *state;
    struct bolt_connection *lent[4];
    int readers[SERVERS] = {0};

    fixture_open(f);
    struct bolt_connection *writer = acquire(f, BOLT_WRITE);
    assert_int_equal(server_of(f, writer), 0);
    for (size_t i = 0; i < 4; i++) {
        lent[i] = acquire(f, BOLT_READ);
        readers[server_of(f, lent[i])]++;
    }
    assert_int_equal(readers[1], 2);
    assert_int_equal(readers[2], 2);
    for (size_t i = 0; i < 4; i++) {
        release(f, lent[i]);
    }
    release(f, writer);
    assert_int_equal(routes_asked(f), 1);
}

static void equally_busy_readers_take_turns(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    struct bolt_connection *one = acquire(f, BOLT_READ);
    int first = server_of(f, one);
    release(f, one);
    one = acquire(f, BOLT_READ);
    assert_int_not_equal(server_of(f, one), first);
    release(f, one);
}

static void a_table_is_asked_for_again_when_its_time_is_over(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    release(f, acquire(f, BOLT_WRITE));
    f->now_ms += TTL_S * 1000 - 1;
    release(f, acquire(f, BOLT_WRITE));
    assert_int_equal(routes_asked(f), 1);
    f->now_ms += 1;
    release(f, acquire(f, BOLT_WRITE));
    assert_int_equal(routes_asked(f), 2);
}

static void each_database_has_a_table_of_its_own(void **state)
{
    struct fixture *f = *state;
    const struct bolt_purpose purposes[] = {
        {.database = "one"}, {.database = "two"}, {.database = NULL}, {.impersonated_user = "ann"}};
    struct bolt_connection *connection;

    fixture_open(f);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < 4; i++) {
            assert_int_equal(bolt_driver_acquire(f->driver, &purposes[i], bolt_deadline_in(WAIT_MS),
                                                 &connection, &f->error),
                             0);
            release(f, connection);
        }
    }
    assert_int_equal(routes_asked(f), 4);
}

static void tables_of_more_databases_than_are_kept_are_asked_for_again(void **state)
{
    struct fixture *f = *state;
    struct bolt_connection *connection;
    char name[16];

    fixture_open(f);
    for (unsigned i = 0; i <= BOLT_ROUTE_TABLES_MAX; i++) {
        (void)snprintf(name, sizeof(name), "db%u", i == BOLT_ROUTE_TABLES_MAX ? 0 : i);
        const struct bolt_purpose purpose = {.database = name};
        assert_int_equal(bolt_driver_acquire(f->driver, &purpose, bolt_deadline_in(WAIT_MS),
                                             &connection, &f->error),
                         0);
        release(f, connection);
        f->now_ms++;
    }
    assert_int_equal(routes_asked(f), BOLT_ROUTE_TABLES_MAX); /* all are kept */
    release(f, acquire(f, BOLT_WRITE));                       /* one more: db1 goes */
    const struct bolt_purpose oldest = {.database = "db1"};
    assert_int_equal(
        bolt_driver_acquire(f->driver, &oldest, bolt_deadline_in(WAIT_MS), &connection, &f->error),
        0);
    release(f, connection);
    assert_int_equal(routes_asked(f), BOLT_ROUTE_TABLES_MAX + 2);
}

/* ---- leaders change, servers go ---- */

static void a_new_leader_is_asked_for(void **state)
{
    static const char *const CODES[] = {"Neo.ClientError.Cluster.NotALeader",
                                        "Neo.ClientError.General.ForbiddenOnReadOnlyDatabase"};
    struct fixture *f = *state;

    fixture_open(f);
    for (int i = 0; i < 2; i++) {
        struct bolt_connection *writer = acquire(f, BOLT_WRITE);
        assert_int_equal(server_of(f, writer), i);
        fake_fault(f->servers[i], BOLT_REQUEST_BEGIN, FAKE_FAIL, 1, CODES[i]);
        assert_int_equal(bolt_begin(writer, NULL, bolt_deadline_in(WAIT_MS), &f->error),
                         -BOLT_ERR_SERVER);
        route(f, address(f, 0), address(f, 2), address(f, i + 1));
        bolt_driver_release(f->driver, writer, &f->error);
    }
    struct bolt_connection *writer = acquire(f, BOLT_WRITE);
    assert_int_equal(server_of(f, writer), 2);
    release(f, writer);
    assert_int_equal(routes_asked(f), 3);
}

static void a_reader_that_is_down_is_passed_over(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    release(f, acquire(f, BOLT_WRITE));
    fake_down(f->servers[1]);
    for (int i = 0; i < 4; i++) {
        struct bolt_connection *reader = acquire(f, BOLT_READ);
        assert_int_equal(server_of(f, reader), 2);
        release(f, reader);
    }
    assert_true(stats(f).failed <= 1);
    assert_int_equal(routes_asked(f), 1);
    fake_up(f->servers[1]);
}

static void a_reader_that_closes_at_hello_is_passed_over(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    release(f, acquire(f, BOLT_WRITE));
    fake_fault(f->servers[1], BOLT_REQUEST_HELLO, FAKE_DROP, 1000, NULL);
    for (int i = 0; i < 4; i++) {
        struct bolt_connection *reader = acquire(f, BOLT_READ);
        assert_int_equal(server_of(f, reader), 2);
        release(f, reader);
    }
    assert_int_equal(fake_accepted(f->servers[1]), 1);
    assert_int_equal(routes_asked(f), 1);
}

/* Servers that speak no TLS, from now on asked for it: what is idle goes on. */
static void a_reader_that_is_not_to_be_trusted_is_passed_over(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    struct bolt_connection *reader = acquire(f, BOLT_READ);
    int good = server_of(f, reader);
    release(f, reader);
    const char *plain = f->driver->options.connection.uri;
    for (int i = 0; i < 4; i++) {
        f->driver->options.connection.uri = "neo4j+ssc://servers";
        int rc = try_acquire(f, BOLT_READ, WAIT_MS, &reader);
        f->driver->options.connection.uri = plain;
        assert_int_equal(rc, 0);
        assert_int_equal(server_of(f, reader), good);
        release(f, reader);
    }
    assert_int_equal(fake_accepted(f->servers[3 - good]), 1);
}

static void a_database_that_is_not_there_now_is_sought_elsewhere(void **state)
{
    struct fixture *f = *state;
    struct bolt_error gone = failure("Neo.TransientError.General.DatabaseUnavailable");

    fixture_open(f);
    struct bolt_connection *reader = acquire(f, BOLT_READ);
    int first = server_of(f, reader);
    bolt_driver_release(f->driver, reader, &gone);
    for (int i = 0; i < 3; i++) {
        reader = acquire(f, BOLT_READ);
        assert_int_equal(server_of(f, reader), 3 - first);
        release(f, reader);
    }
}

static void without_a_writer_reading_goes_on(void **state)
{
    struct fixture *f = *state;
    struct bolt_connection *none;

    route(f, address(f, 0), address(f, 1), "");
    fixture_open(f);
    release(f, acquire(f, BOLT_READ));
    assert_int_equal(try_acquire(f, BOLT_WRITE, WAIT_MS, &none), -BOLT_ERR_CONNECT);
    assert_non_null(strstr(f->error.message, "takes writes to neo4j"));
    assert_true(bolt_error_is_retryable(&f->error));
    route(f, address(f, 0), address(f, 1), address(f, 2));
    release(f, acquire(f, BOLT_WRITE));
}

static void all_servers_down_is_an_error_and_not_a_loop(void **state)
{
    struct fixture *f = *state;
    struct bolt_connection *none;

    route(f, address(f, 0), address(f, 1), address(f, 1));
    fixture_open(f);
    fake_down(f->servers[1]);
    assert_int_equal(try_acquire(f, BOLT_READ, WAIT_MS, &none), -BOLT_ERR_CONNECT);
    fake_up(f->servers[1]);
    fake_fault(f->servers[1], BOLT_REQUEST_HELLO, FAKE_DROP, 1, NULL);
    assert_int_equal(try_acquire(f, BOLT_READ, WAIT_MS, &none), -BOLT_ERR_CONNECT);
    assert_non_null(strstr(f->error.message, "serves neo4j now; the last one tried: "));
    assert_non_null(strstr(f->error.message, address(f, 1)));
    release(f, acquire(f, BOLT_READ));
}

static void connections_to_servers_that_left_are_closed(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    release(f, acquire(f, BOLT_READ));
    release(f, acquire(f, BOLT_READ));
    assert_int_equal(stats(f).servers, 3);
    route(f, address(f, 0), address(f, 0), address(f, 0));
    f->now_ms += TTL_S * 1000;
    release(f, acquire(f, BOLT_READ));
    assert_int_equal(stats(f).servers, 1);
    assert_int_equal(stats(f).closed, 2);
    while (fake_living(f->servers[1]) + fake_living(f->servers[2]) > 0) {
        sched_yield();
    }
}

/* ---- whom to ask ---- */

static void another_router_is_asked_when_one_is_down(void **state)
{
    struct fixture *f = *state;
    char routers[64];

    route(f, both(routers, address(f, 1), address(f, 2)), address(f, 2), address(f, 2));
    fixture_open(f);
    release(f, acquire(f, BOLT_READ));
    f->now_ms += TTL_S * 1000;
    fake_down(f->servers[1]);
    release(f, acquire(f, BOLT_READ));
    assert_int_equal(fake_count(f->servers[2], BOLT_REQUEST_ROUTE), 1);
    fake_up(f->servers[1]);
}

static void the_first_address_is_asked_again_when_no_router_is_left(void **state)
{
    struct fixture *f = *state;

    route(f, address(f, 1), address(f, 2), address(f, 2));
    fixture_open(f);
    release(f, acquire(f, BOLT_READ));
    f->now_ms += TTL_S * 1000;
    fake_down(f->servers[1]);
    release(f, acquire(f, BOLT_READ));
    assert_int_equal(fake_count(f->servers[0], BOLT_REQUEST_ROUTE), 2);
    fake_up(f->servers[1]);
}

static size_t resolve_to_second(void *arg, struct bolt_address *ret, size_t max)
{
    struct fixture *f = arg;

    assert_true(max >= 2);
    ret[0] = (struct bolt_address){.host = "127.0.0.1", .port = 1}; /* nobody listens there */
    ret[1] = (struct bolt_address){.host = "127.0.0.1", .port = fake_port(f->servers[1])};
    return 2;
}

static size_t resolve_to_two(void *arg, struct bolt_address *ret, size_t max)
{
    struct fixture *f = arg;

    assert_true(max >= 2);
    for (size_t i = 0; i < 2; i++) {
        ret[i] = (struct bolt_address){.host = "127.0.0.1", .port = fake_port(f->servers[i])};
    }
    return 2;
}

static size_t resolve_to_nothing(void *arg, struct bolt_address *ret, size_t max)
{
    (void)arg;
    (void)ret;
    (void)max;
    return 0;
}

static void the_resolver_says_whom_to_ask_first(void **state)
{
    struct fixture *f = *state;
    struct bolt_connection *none;

    f->options.resolve = resolve_to_second;
    f->options.resolve_arg = f;
    fixture_open(f);
    release(f, acquire(f, BOLT_READ));
    assert_int_equal(fake_count(f->servers[1], BOLT_REQUEST_ROUTE), 1);
    bolt_driver_close(f->driver);
    f->options.resolve = resolve_to_nothing;
    fixture_open(f);
    assert_int_equal(try_acquire(f, BOLT_READ, WAIT_MS, &none), -BOLT_ERR_CONNECT);
    assert_non_null(strstr(f->error.message, "resolver"));
}

static void a_router_that_gives_no_good_table_is_passed_over(void **state)
{
    struct fixture *f = *state;
    char routers[64];

    route(f, both(routers, address(f, 1), address(f, 2)), address(f, 2), address(f, 2));
    fixture_open(f);
    release(f, acquire(f, BOLT_READ));
    f->now_ms += TTL_S * 1000;
    fake_route(f->servers[1], TTL_S, address(f, 1), "", address(f, 1));
    release(f, acquire(f, BOLT_READ));
    assert_int_equal(fake_count(f->servers[2], BOLT_REQUEST_ROUTE), 1);
}

static void a_router_that_is_stuck_is_passed_over(void **state)
{
    struct fixture *f = *state;
    char routers[64];

    f->options.connect_ms = 1500;
    route(f, both(routers, address(f, 1), address(f, 2)), address(f, 2), address(f, 2));
    fixture_open(f);
    release(f, acquire(f, BOLT_READ));
    f->now_ms += TTL_S * 1000;
    fake_fault(f->servers[1], BOLT_REQUEST_ROUTE, FAKE_STALL, 1, NULL);
    release(f, acquire(f, BOLT_READ));
    assert_int_equal(fake_count(f->servers[2], BOLT_REQUEST_ROUTE), 1);
}

static void no_router_at_all_is_worth_another_try_later(void **state)
{
    struct fixture *f = *state;
    struct bolt_connection *none;

    fixture_open(f);
    fake_down(f->servers[0]);
    assert_int_equal(try_acquire(f, BOLT_READ, WAIT_MS, &none), -BOLT_ERR_CONNECT);
    assert_non_null(strstr(f->error.message, "none of 1 routers"));
    assert_true(bolt_error_is_retryable(&f->error));
    fake_up(f->servers[0]);
    release(f, acquire(f, BOLT_READ));
}

/* Trying again makes no certificate good; a router that is down may come back. */
static void a_router_that_is_not_to_be_trusted_is_passed_over(void **state)
{
    struct fixture *f = *state;
    struct bolt_connection *none;

    f->options.connection.uri = "neo4j+ssc://servers"; /* which speak no TLS */
    f->options.resolve = resolve_to_two;
    f->options.resolve_arg = f;
    fixture_open(f);
    assert_int_equal(try_acquire(f, BOLT_READ, WAIT_MS, &none), -BOLT_ERR_TLS);
    assert_non_null(strstr(f->error.message, "none of 2 routers"));
    assert_false(bolt_error_is_retryable(&f->error));
    assert_int_equal(fake_accepted(f->servers[1]), 1);
    bolt_driver_close(f->driver);
    f->options.resolve = resolve_to_second;
    fixture_open(f);
    assert_int_equal(try_acquire(f, BOLT_READ, WAIT_MS, &none), -BOLT_ERR_CONNECT);
    assert_true(bolt_error_is_retryable(&f->error));
}

static void a_database_that_does_not_exist_is_not_asked_for_elsewhere(void **state)
{
    struct fixture *f = *state;
    struct bolt_connection *none;
    char routers[64];

    route(f, both(routers, address(f, 0), address(f, 1)), address(f, 2), address(f, 2));
    fixture_open(f);
    release(f, acquire(f, BOLT_READ));
    f->now_ms += TTL_S * 1000;
    for (size_t i = 0; i < SERVERS; i++) {
        fake_fault(f->servers[i], BOLT_REQUEST_ROUTE, FAKE_FAIL, 1,
                   "Neo.ClientError.Database.DatabaseNotFound");
    }
    assert_int_equal(try_acquire(f, BOLT_READ, WAIT_MS, &none), -BOLT_ERR_SERVER);
    assert_string_equal(f->error.code, "Neo.ClientError.Database.DatabaseNotFound");
    assert_int_equal(routes_asked(f), 2);
    assert_int_equal(stats(f).lent, 0);
}

static void a_server_that_knows_no_routing_does_everything(void **state)
{
    struct fixture *f = *state;

    fake_route(f->servers[0], -1, "", "", ""); /* as Memgraph answers */
    fixture_open(f);
    struct bolt_connection *writer = acquire(f, BOLT_WRITE);
    assert_int_equal(server_of(f, writer), 0);
    release(f, writer);
    release(f, acquire(f, BOLT_READ));
    assert_int_equal(routes_asked(f), 1);
    assert_int_equal(stats(f).opened, 1);
}

static bool allow_but_second(void *arg, const char *host, uint16_t port)
{
    struct fixture *f = arg;

    assert_string_equal(host, "127.0.0.1");
    return port != fake_port(f->servers[1]);
}

static void only_hosts_that_are_allowed_are_talked_to(void **state)
{
    struct fixture *f = *state;

    f->options.allow = allow_but_second;
    f->options.allow_arg = f;
    fixture_open(f);
    for (int i = 0; i < 4; i++) {
        struct bolt_connection *reader = acquire(f, BOLT_READ);
        assert_int_equal(server_of(f, reader), 2);
        release(f, reader);
    }
    assert_int_equal(fake_accepted(f->servers[1]), 0);
}

/* ---- many threads ---- */

#define THREADS 8
#define HASTE_MS 1000 /* of who gives up while the others wait */

struct asker {
    struct fixture *f;
    pthread_t thread;
    int64_t wait_ms;
    int rc;
    struct bolt_error error;
};

static void *ask_once(void *arg)
{
    struct asker *asker = arg;
    struct bolt_connection *connection;
    const struct bolt_purpose purpose = {.mode = BOLT_READ, .database = "neo4j"};

    asker->rc = bolt_driver_acquire(asker->f->driver, &purpose, bolt_deadline_in(asker->wait_ms),
                                    &connection, &asker->error);
    if (asker->rc == 0) {
        bolt_driver_release(asker->f->driver, connection, NULL);
    }
    return NULL;
}

static void ask_in_a_thread(struct fixture *f, int64_t wait_ms, struct asker *ret)
{
    *ret = (struct asker){.f = f, .wait_ms = wait_ms};
    assert_int_equal(pthread_create(&ret->thread, NULL, ask_once, ret), 0);
}

static void ask_together(struct fixture *f, struct asker askers[THREADS])
{
    for (size_t i = 0; i < THREADS; i++) {
        ask_in_a_thread(f, WAIT_MS, &askers[i]);
    }
    for (size_t i = 0; i < THREADS; i++) {
        (void)pthread_join(askers[i].thread, NULL);
    }
}

static void many_threads_ask_for_one_table_once(void **state)
{
    struct fixture *f = *state;
    struct asker askers[THREADS];

    fixture_open(f);
    for (unsigned round = 1; round <= 5; round++) {
        ask_together(f, askers);
        for (size_t i = 0; i < THREADS; i++) {
            assert_int_equal(askers[i].rc, 0);
        }
        assert_int_equal(routes_asked(f), round);
        f->now_ms += TTL_S * 1000;
    }
    assert_int_equal(stats(f).routed, 5);
}

static void many_threads_learn_that_there_is_no_table(void **state)
{
    struct fixture *f = *state;
    struct asker askers[THREADS];

    fixture_open(f);
    fake_fault(f->servers[0], BOLT_REQUEST_ROUTE, FAKE_FAIL, 1000,
               "Neo.ClientError.Database.DatabaseNotFound");
    ask_together(f, askers);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(askers[i].rc, -BOLT_ERR_SERVER);
        assert_string_equal(askers[i].error.code, "Neo.ClientError.Database.DatabaseNotFound");
    }
    assert_int_equal(stats(f).lent, 0);
    assert_int_equal(stats(f).waiting, 0);
}

static void ones_deadline_is_not_that_of_who_waits_for_the_same_table(void **state)
{
    struct fixture *f = *state;
    struct asker hasty;
    struct asker patient;

    fixture_open(f);
    fake_fault(f->servers[0], BOLT_REQUEST_ROUTE, FAKE_STALL, 1, NULL);
    ask_in_a_thread(f, HASTE_MS, &hasty);
    while (routes_asked(f) == 0) {
        sched_yield();
    }
    ask_in_a_thread(f, WAIT_MS, &patient);
    (void)pthread_join(hasty.thread, NULL);
    (void)pthread_join(patient.thread, NULL);
    assert_int_equal(hasty.rc, -BOLT_ERR_TIMEOUT);
    assert_int_equal(patient.rc, 0);
    assert_int_equal(routes_asked(f), 2);
}

static void ones_bad_bookmark_is_not_that_of_who_waits_for_the_same_table(void **state)
{
    static const char CODE[] = "Neo.ClientError.Transaction.InvalidBookmark";
    struct fixture *f = *state;
    struct asker askers[THREADS];
    size_t refused = 0;

    fixture_open(f);
    fake_fault(f->servers[0], BOLT_REQUEST_ROUTE, FAKE_FAIL, 1, CODE);
    ask_together(f, askers);
    for (size_t i = 0; i < THREADS; i++) {
        if (askers[i].rc < 0) {
            assert_string_equal(askers[i].error.code, CODE);
            refused++;
        }
    }
    assert_int_equal(refused, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(writes_go_to_the_writer_and_reads_to_the_least_busy_reader),
        TEST(equally_busy_readers_take_turns),
        TEST(a_table_is_asked_for_again_when_its_time_is_over),
        TEST(each_database_has_a_table_of_its_own),
        TEST(tables_of_more_databases_than_are_kept_are_asked_for_again),
        TEST(a_new_leader_is_asked_for),
        TEST(a_reader_that_is_down_is_passed_over),
        TEST(a_reader_that_closes_at_hello_is_passed_over),
        TEST(a_reader_that_is_not_to_be_trusted_is_passed_over),
        TEST(a_database_that_is_not_there_now_is_sought_elsewhere),
        TEST(without_a_writer_reading_goes_on),
        TEST(all_servers_down_is_an_error_and_not_a_loop),
        TEST(connections_to_servers_that_left_are_closed),
        TEST(another_router_is_asked_when_one_is_down),
        TEST(the_first_address_is_asked_again_when_no_router_is_left),
        TEST(the_resolver_says_whom_to_ask_first),
        TEST(a_router_that_gives_no_good_table_is_passed_over),
        TEST(a_router_that_is_stuck_is_passed_over),
        TEST(no_router_at_all_is_worth_another_try_later),
        TEST(a_router_that_is_not_to_be_trusted_is_passed_over),
        TEST(a_database_that_does_not_exist_is_not_asked_for_elsewhere),
        TEST(a_server_that_knows_no_routing_does_everything),
        TEST(only_hosts_that_are_allowed_are_talked_to),
        TEST(many_threads_ask_for_one_table_once),
        TEST(many_threads_learn_that_there_is_no_table),
        TEST(ones_deadline_is_not_that_of_who_waits_for_the_same_table),
        TEST(ones_bad_bookmark_is_not_that_of_who_waits_for_the_same_table),
    };

    return cmocka_run_group_tests_name("bolt/routing", tests, NULL, NULL);
}
