/*
 * The graph vault in a cluster: it goes to the leader, follows it when it moves, and clears up a
 * COMMIT that nobody answered. Three servers of the tests' own, whose database answers every query
 * with nothing.
 */
#include "vault/chain.h"

#include "bolt/fake_server.h"
#include "vault/neo4j_vault.h"

#define SERVERS 3
#define WAIT_MS 20000 /* for what must come */
#define NOT_A_LEADER "Neo.ClientError.Cluster.NotALeader"

struct fixture {
    struct fake_server *servers[SERVERS]; /* the address names the first */
    char target[64];
    struct vault *vault;
    struct chain chain;
};

static int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));

    for (size_t i = 0; i < SERVERS; i++) {
        f->servers[i] = fake_start();
    }
    (void)snprintf(f->target, sizeof(f->target), "neo4j://%s", fake_address(f->servers[0]));
    chain_init(&f->chain, 0xaa);
    chain_grow(&f->chain, 10, 20);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    vault_neo4j_ops.close(f->vault);
    for (size_t i = 0; i < SERVERS; i++) {
        fake_stop(f->servers[i]);
    }
    chain_done(&f->chain);
    free(f);
    return 0;
}

/* All of them know this leader; < 0: there is none. */
static void lead(struct fixture *f, int leader)
{
    AUTO(free_ptr)
    char *all = xprintf("%s %s %s", fake_address(f->servers[0]), fake_address(f->servers[1]),
                        fake_address(f->servers[2]));

    for (int i = 0; i < SERVERS; i++) {
        fake_route(f->servers[i], 300, all, all,
                   leader < 0 ? "" : fake_address(f->servers[leader]));
    }
}

static int try_open(struct fixture *f, bool read_only, struct err *err)
{
    struct vault_options options = {
        .name = "graph", .target = f->target, .env = env_system(), .read_only = read_only};

    return vault_neo4j_ops.open(&options, &f->vault, err);
}

static void open_vault(struct fixture *f)
{
    struct err err = ERR_INIT;

    assert_ok(try_open(f, false, &err), &err);
}

/* The whole chain, which this database never has. */
static int try_append(struct fixture *f, struct err *err)
{
    struct vault_batch batch = chain_batch(&f->chain, 1, f->chain.count);

    return vault_neo4j_ops.append(f->vault, &batch, deadline_in(WAIT_MS), err);
}

static void append(struct fixture *f)
{
    struct err err = ERR_INIT;

    assert_ok(try_append(f, &err), &err);
}

static unsigned count(struct fixture *f, int server, enum bolt_request request)
{
    return fake_count(f->servers[server], request);
}

/* ---- the leader ---- */

static void everything_is_asked_of_the_leader(void **state)
{
    struct fixture *f = *state;
    struct vault_head *heads = NULL;
    struct err err = ERR_INIT;
    size_t head_count = 0;

    lead(f, 1);
    open_vault(f);
    append(f);
    assert_ok(vault_neo4j_ops.head(f->vault, &heads, &head_count, deadline_in(WAIT_MS), &err),
              &err);
    free(heads);
    assert_int_equal(count(f, 0, BOLT_REQUEST_ROUTE), 1);
    for (int i = 0; i < SERVERS; i++) {
        assert_int_equal(count(f, i, BOLT_REQUEST_RUN) > 0, i == 1);
    }
}

/* What was written on one server must be there on the next before it is asked: that is what the
 * bookmark says. */
static void a_leader_that_moves_is_followed(void **state)
{
    struct fixture *f = *state;

    lead(f, 1);
    open_vault(f);
    append(f);
    unsigned before = count(f, 1, BOLT_REQUEST_COMMIT);
    AUTO(free_ptr) char *bookmark = xprintf("bookmarks=bm:%u", before);
    lead(f, 2);
    fake_fault(f->servers[1], BOLT_REQUEST_RUN, FAKE_FAIL, 1000, NOT_A_LEADER);
    append(f);
    assert_int_equal(count(f, 1, BOLT_REQUEST_COMMIT), before);
    assert_int_equal(count(f, 2, BOLT_REQUEST_COMMIT), 1);
    AUTO(free_ptr) char *begin = fake_last_begin(f->servers[2]);
    assert_string_equal(begin, bookmark);
}

static void a_leader_that_dies_is_followed(void **state)
{
    struct fixture *f = *state;

    lead(f, 1);
    open_vault(f);
    append(f);
    lead(f, 2);
    fake_down(f->servers[1]);
    append(f);
    assert_int_equal(count(f, 2, BOLT_REQUEST_COMMIT), 1);
    fake_up(f->servers[1]);
}

static void without_a_leader_a_writing_vault_is_not_opened(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;

    lead(f, -1);
    assert_refused(try_open(f, false, &err), &err, ERR_UNAVAILABLE, "takes writes");
}

/* A recovery must not wait for a cluster that lost its majority. */
static void without_a_leader_a_recovery_reads_from_another(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;

    lead(f, -1);
    /* Connected it is; that nothing is there is what this database answers. */
    assert_refused(try_open(f, true, &err), &err, ERR_UNAVAILABLE, "there is no vault");
    unsigned runs = 0;
    for (int i = 0; i < SERVERS; i++) {
        runs += count(f, i, BOLT_REQUEST_RUN);
    }
    assert_int_equal(runs, 1);
}

/* ---- commits that nobody answered ---- */

static void a_commit_without_an_answer_is_cleared_up_by_sending_it_again(void **state)
{
    struct fixture *f = *state;

    lead(f, 1);
    open_vault(f);
    append(f);
    unsigned commits = count(f, 1, BOLT_REQUEST_COMMIT);
    fake_fault(f->servers[1], BOLT_REQUEST_COMMIT, FAKE_DROP, 1, NULL);
    append(f);
    assert_int_equal(count(f, 1, BOLT_REQUEST_COMMIT), commits + 2);
}

static void an_append_that_never_gets_an_answer_is_no_success(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;

    lead(f, 1);
    open_vault(f);
    append(f);
    fake_fault(f->servers[1], BOLT_REQUEST_COMMIT, FAKE_DROP, 1000, NULL);
    assert_refused(try_append(f, &err), &err, ERR_UNAVAILABLE, "not known");
}

/* ---- what passes, and what does not ---- */

static void a_deadlock_is_tried_again(void **state)
{
    struct fixture *f = *state;

    lead(f, 1);
    open_vault(f);
    append(f);
    unsigned commits = count(f, 1, BOLT_REQUEST_COMMIT);
    fake_fault(f->servers[1], BOLT_REQUEST_RUN, FAKE_FAIL, 3,
               "Neo.TransientError.Transaction.DeadlockDetected");
    append(f);
    assert_int_equal(count(f, 1, BOLT_REQUEST_COMMIT), commits + 1);
}

static void a_refused_logon_is_not_tried_again(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;

    lead(f, 0);
    fake_fault(f->servers[0], BOLT_REQUEST_LOGON, FAKE_FAIL, 1000,
               "Neo.ClientError.Security.Unauthorized");
    assert_refused(try_open(f, false, &err), &err, ERR_AUTH, "Unauthorized");
    assert_int_equal(count(f, 0, BOLT_REQUEST_LOGON), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest neo4j_cluster[] = {
        TEST(everything_is_asked_of_the_leader),
        TEST(a_leader_that_moves_is_followed),
        TEST(a_leader_that_dies_is_followed),
        TEST(without_a_leader_a_writing_vault_is_not_opened),
        TEST(without_a_leader_a_recovery_reads_from_another),
        TEST(a_commit_without_an_answer_is_cleared_up_by_sending_it_again),
        TEST(an_append_that_never_gets_an_answer_is_no_success),
        TEST(a_deadlock_is_tried_again),
        TEST(a_refused_logon_is_not_tried_again),
    };

    setenv("NEO4J_PASSWORD", "secret", 1);
    return cmocka_run_group_tests(neo4j_cluster, NULL, NULL);
}
