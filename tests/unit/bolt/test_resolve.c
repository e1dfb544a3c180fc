/* resolve - names to addresses, with a resolver of the test's own: it may take as long as it wants.
 */
#include "bolt/bytes.h"

#include <netdb.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 20000 /* what no test ever waits for */
#define LOOKUPS_MAX 4 /* of one test */

static sem_t let_go;              /* once for each lookup that hangs */
static sem_t hanging;             /* raised by each of them */
static atomic_int asked;          /* lookups of names, one after the other, */
static pid_t askers[LOOKUPS_MAX]; /* and the threads that asked */
static atomic_int dropped;        /* results that were freed */

int __real_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret);
int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret);
void __real_freeaddrinfo(struct addrinfo *addresses);
void __wrap_freeaddrinfo(struct addrinfo *addresses);

int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret)
{
    if ((hints->ai_flags & AI_NUMERICHOST) != 0) {
        return __real_getaddrinfo(node, service, hints, ret);
    }
    askers[asked] = gettid();
    atomic_fetch_add(&asked, 1);
    if (strcmp(node, "nowhere.example") == 0) {
        return EAI_NONAME;
    }
    if (strcmp(node, "hangs.example") == 0) {
        (void)sem_post(&hanging);
        while (sem_wait(&let_go) != 0) {
        }
    }
    return __real_getaddrinfo("127.0.0.1", service, hints, ret);
}

void __wrap_freeaddrinfo(struct addrinfo *addresses)
{
    __real_freeaddrinfo(addresses);
    atomic_fetch_add(&dropped, 1);
}

/* Until the threads of all lookups are gone, with whatever they had. */
static bool wait_for_askers(void)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    int64_t end_ms = bolt_deadline_in(WAIT_MS);
    char task[64];

    for (int i = 0; i < asked; i++) {
        (void)snprintf(task, sizeof(task), "/proc/self/task/%d", (int)askers[i]);
        while (access(task, F_OK) == 0) {
            if (bolt_deadline_in(0) >= end_ms) {
                return false;
            }
            (void)nanosleep(&moment, NULL);
        }
    }
    return true;
}

static int open_at(const char *uri, int64_t deadline_ms, struct bolt_cancel *cancel,
                   struct bolt_error *error)
{
    const struct bolt_options options = {.uri = uri, .cancel = cancel};
    struct bolt_connection *connection = NULL;

    return bolt_open(&options, deadline_ms, &connection, error);
}

static int set_up(void **state)
{
    (void)state;
    asked = dropped = 0;
    return sem_init(&let_go, 0, 0) | sem_init(&hanging, 0, 0);
}

static int tear_down(void **state)
{
    (void)state;
    return wait_for_askers() ? sem_destroy(&let_go) | sem_destroy(&hanging) : -1;
}

/* Nobody listens on the port; that is found out by asking there. */
static void a_name_leads_to_its_addresses(void **state)
{
    (void)state;
    struct bolt_error error;

    assert_bolt_refused(open_at("bolt://here.example:1", bolt_deadline_in(WAIT_MS), NULL, &error),
                        &error, BOLT_ERR_CONNECT,
                        "connecting to here.example:1: Connection refused");
    assert_int_equal(asked, 1);
    assert_int_equal(dropped, 1);
}

static void a_name_that_is_not_known_is_told(void **state)
{
    (void)state;
    struct bolt_error error;

    assert_bolt_refused(open_at("bolt://nowhere.example", bolt_deadline_in(WAIT_MS), NULL, &error),
                        &error, BOLT_ERR_CONNECT,
                        "connecting to nowhere.example:7687: the name can't be resolved: ");
}

static void numbers_are_not_looked_up(void **state)
{
    (void)state;
    struct bolt_error error;

    assert_bolt_refused(open_at("bolt://127.0.0.1:1", bolt_deadline_in(WAIT_MS), NULL, &error),
                        &error, BOLT_ERR_CONNECT, "Connection refused");
    assert_bolt_refused(open_at("bolt://[::1]:1", bolt_deadline_in(WAIT_MS), NULL, &error), &error,
                        BOLT_ERR_CONNECT, "connecting to ");
    assert_int_equal(asked, 0);
}

static void a_resolver_that_hangs_is_waited_for_until_the_deadline(void **state)
{
    (void)state;
    struct bolt_error error;

    assert_bolt_refused(open_at("bolt://hangs.example", bolt_deadline_in(20), NULL, &error), &error,
                        BOLT_ERR_TIMEOUT,
                        "resolving the name: hangs.example:7687: no answer by the deadline");
    assert_int_equal(dropped, 0);
    (void)sem_post(&let_go);
    assert_true(wait_for_askers());
    assert_int_equal(dropped, 1);
}

static void *cancel_it(void *arg)
{
    while (sem_wait(&hanging) != 0) {
    }
    bolt_cancel_now(arg);
    return NULL;
}

static void a_resolver_that_hangs_can_be_cancelled(void **state)
{
    (void)state;
    struct bolt_error error;
    struct bolt_cancel *cancel = bolt_cancel_new(&error);
    pthread_t thread;

    assert_non_null(cancel);
    assert_int_equal(pthread_create(&thread, NULL, cancel_it, cancel), 0);
    assert_bolt_refused(open_at("bolt://hangs.example", BOLT_NEVER, cancel, &error), &error,
                        BOLT_ERR_CANCELLED, "cancelled");
    assert_int_equal(pthread_join(thread, NULL), 0);
    bolt_cancel_free(cancel); /* the late answer needs nothing of the caller's */
    (void)sem_post(&let_go);
    assert_true(wait_for_askers());
    assert_int_equal(dropped, 1);
}

static void *answer_it(void *arg)
{
    (void)arg;
    while (sem_wait(&hanging) != 0) {
    }
    (void)sem_post(&let_go);
    return NULL;
}

static void a_slow_answer_is_as_good_as_a_quick_one(void **state)
{
    (void)state;
    struct bolt_error error;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, answer_it, NULL), 0);
    assert_bolt_refused(open_at("bolt://hangs.example:1", BOLT_NEVER, NULL, &error), &error,
                        BOLT_ERR_CONNECT, "connecting to hangs.example:1: Connection refused");
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(dropped, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_name_leads_to_its_addresses),
        TEST(a_name_that_is_not_known_is_told),
        TEST(numbers_are_not_looked_up),
        TEST(a_resolver_that_hangs_is_waited_for_until_the_deadline),
        TEST(a_resolver_that_hangs_can_be_cancelled),
        TEST(a_slow_answer_is_as_good_as_a_quick_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
