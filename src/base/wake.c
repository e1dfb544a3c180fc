#include "base/wake.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

int wake_init(struct wake *wake, struct err *err)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (fd < 0) {
        return err_errno(err, ERR_IO, errno, "making an eventfd");
    }
    wake->fd = fd;
    wake->signalled = false;
    wake->cancelled = false;
    return 0;
}

void wake_done(struct wake *wake)
{
    if (wake != NULL && wake->fd > 0) { /* 0: zeroed, never made */
        (void)close(wake->fd);          /* holds nothing */
        wake->fd = -1;
    }
}

void wake_signal(struct wake *wake)
{
    int saved = errno; /* a signal handler must leave it as it was */
    uint64_t one = 1;

    if (!atomic_exchange(&wake->signalled, true)) {
        (void)!write(wake->fd, &one, sizeof(one)); /* can't fail: it is 0 or 1 */
    }
    errno = saved;
}

void wake_cancel(struct wake *wake)
{
    wake->cancelled = true;
    wake_signal(wake);
}

bool wake_cancelled(struct wake *wake)
{
    return wake->cancelled;
}

/*
 * Once cancelled, fd stays readable, so that every later poll on it ends at once, whoever polls.
 * The order matters: a signal between the two lines is this one still, and the owner looks at what
 * there is to do only after them.
 */
static void take_signal(struct wake *wake)
{
    uint64_t count;

    (void)!read(wake->fd, &count, sizeof(count)); /* EAGAIN: nothing to take */
    wake->signalled = false;
    if (wake->cancelled) {
        wake_signal(wake);
    }
}

bool wake_wait(struct wake *wake, struct deadline deadline)
{
    struct pollfd poll_fd = {.fd = wake->fd, .events = POLLIN};

    for (;;) {
        int64_t left = deadline_left_ms(deadline);
        int ready = poll(&poll_fd, 1, left > INT_MAX ? INT_MAX : (int)left);
        if (ready > 0) {
            take_signal(wake);
            return true;
        }
        if (wake->cancelled) {
            return true;
        }
        if (ready == 0 && deadline_left_ms(deadline) == 0) {
            return false;
        }
    }
}
