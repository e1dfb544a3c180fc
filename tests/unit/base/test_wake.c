/* wake - waiting that can be woken and cancelled. */
#include "support/unit.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/wake.h"

#define LONG_MS 30000 /* nobody waits this long unless a wake-up is lost */

static int set_up(void **state)
{
    static struct wake wake;
    struct err err;

    *state = &wake;
    return wake_init(&wake, &err);
}

static int tear_down(void **state)
{
    wake_done(*state);
    return 0;
}

static bool readable(const struct wake *wake)
{
    struct pollfd fd = {.fd = wake->fd, .events = POLLIN};

    return poll(&fd, 1, 0) == 1;
}

static void nobody_signals_and_the_deadline_ends_it(void **state)
{
    struct wake *wake = *state;

    assert_false(wake_wait(wake, deadline_in(0)));
    struct deadline soon = deadline_in(20);
    assert_false(wake_wait(wake, soon));
    assert_int_equal(deadline_left_ms(soon), 0);
}

static void a_signal_is_taken_by_one_wait(void **state)
{
    struct wake *wake = *state;

    wake_signal(wake);
    wake_signal(wake);
    assert_true(wake_wait(wake, deadline_in(0)));
    assert_false(wake_wait(wake, deadline_in(0)));
    assert_false(wake_cancelled(wake));
}

static void a_cancel_is_for_ever(void **state)
{
    struct wake *wake = *state;

    wake_cancel(wake);
    for (int i = 0; i < 3; i++) {
        assert_true(wake_wait(wake, deadline_in(LONG_MS)));
        assert_true(wake_cancelled(wake));
    }
}

/* So that a library that polls the descriptor itself also ends at once, every time. */
static void the_descriptor_stays_readable_once_cancelled(void **state)
{
    struct wake *wake = *state;

    assert_false(readable(wake));
    wake_cancel(wake);
    assert_true(wake_wait(wake, deadline_in(LONG_MS)));
    assert_true(readable(wake));
}

static void *signal_it(void *arg)
{
    wake_signal(arg);
    return NULL;
}

static void *cancel_it(void *arg)
{
    wake_cancel(arg);
    return NULL;
}

static void another_thread_ends_the_wait(void **state)
{
    struct wake *wake = *state;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, signal_it, wake), 0);
    assert_true(wake_wait(wake, deadline_in(LONG_MS)));
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(wake_cancelled(wake));
    assert_int_equal(pthread_create(&thread, NULL, cancel_it, wake), 0);
    assert_true(wake_wait(wake, deadline_never()));
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(wake_cancelled(wake));
}

#define ITEMS 200000

struct work {
    struct wake *wake;
    atomic_uint made;
};

static void *make_items(void *arg)
{
    struct work *work = arg;

    for (unsigned i = 0; i < ITEMS; i++) {
        atomic_fetch_add(&work->made, 1);
        wake_signal(work->wake);
    }
    return NULL;
}

/* A lost one shows as a wait until the deadline. */
static void no_signal_is_lost_while_earlier_ones_are_taken(void **state)
{
    struct work work = {.wake = *state};
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, make_items, &work), 0);
    while (atomic_load(&work.made) < ITEMS) {
        assert_true(wake_wait(work.wake, deadline_in(LONG_MS)));
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static struct wake *in_handler;

static void cancel_in_handler(int number)
{
    (void)number;
    wake_cancel(in_handler);
}

static void a_signal_handler_may_cancel_and_keeps_errno(void **state)
{
    struct wake *wake = *state;
    struct sigaction action = {.sa_handler = cancel_in_handler};
    struct sigaction before;

    in_handler = wake;
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    errno = EEXIST;
    assert_int_equal(raise(SIGUSR1), 0);
    assert_int_equal(errno, EEXIST);
    assert_true(wake_wait(wake, deadline_in(LONG_MS)));
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
}

static void done_takes_null_zeroed_and_done_ones(void **state)
{
    (void)state;
    struct wake zeroed = {0};
    struct wake wake;
    struct err err;

    wake_done(NULL);
    wake_done(&zeroed);
    assert_ok(wake_init(&wake, &err), &err);
    wake_done(&wake);
    wake_done(&wake);
    assert_int_equal(wake.fd, -1);
}

#define WITH_WAKE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WAKE(nobody_signals_and_the_deadline_ends_it),
        WITH_WAKE(a_signal_is_taken_by_one_wait),
        WITH_WAKE(a_cancel_is_for_ever),
        WITH_WAKE(the_descriptor_stays_readable_once_cancelled),
        WITH_WAKE(another_thread_ends_the_wait),
        WITH_WAKE(no_signal_is_lost_while_earlier_ones_are_taken),
        WITH_WAKE(a_signal_handler_may_cancel_and_keeps_errno),
        cmocka_unit_test(done_takes_null_zeroed_and_done_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
