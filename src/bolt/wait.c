#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bolt/driver_internal.h"
#include "bolt/net.h"

int bolt_waiter_init(struct waiter *waiter, struct bolt_error *error)
{
    *waiter = (struct waiter){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    return waiter->fd >= 0 ? 0
                           : bolt_fail_errno(error, BOLT_ERR_MEMORY, errno, "no event descriptor");
}

void bolt_waiter_done(struct waiter *waiter)
{
    if (waiter->fd >= 0) {
        (void)close(waiter->fd); /* nothing is lost with it */
    }
}

void bolt_waiter_enqueue(struct waiter **queue, struct waiter *waiter)
{
    while (*queue != NULL) {
        queue = &(*queue)->next;
    }
    *queue = waiter;
    waiter->next = NULL;
}

void bolt_waiter_remove(struct waiter **queue, struct waiter *waiter)
{
    while (*queue != NULL && *queue != waiter) {
        queue = &(*queue)->next;
    }
    if (*queue != NULL) {
        *queue = waiter->next;
    }
}

void bolt_waiter_grant(struct waiter *waiter)
{
    uint64_t one = 1;

    waiter->granted = true;
    if (write(waiter->fd, &one, sizeof(one)) < 0) {
        /* It can only be full, and is then readable as well. */
    }
}

int bolt_waiter_wait(const struct bolt_driver *driver, struct waiter *waiter, int64_t deadline_ms,
                     struct bolt_error *error)
{
    struct net net = {.fd = waiter->fd, .cancel = driver->options.connection.cancel};

    (void)snprintf(net.peer, sizeof(net.peer), "%s:%u", driver->uri.host, driver->uri.port);
    return net_wait(&net, true, false, deadline_ms, error);
}

void bolt_driver_sleep_ms(const struct bolt_driver *driver, int64_t ms)
{
    const struct bolt_clock *clock = &driver->options.clock;
    struct waiter nobody = {.fd = -1};
    struct bolt_error ended;

    if (clock->sleep_ms != NULL) {
        clock->sleep_ms(clock->arg, ms);
    } else if (bolt_waiter_wait(driver, &nobody, bolt_deadline_in(ms), &ended) < 0) {
        /* It ended by the deadline, or by cancellation, which the next call tells. */
    }
}
