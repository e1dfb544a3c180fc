/*
 * wake - waiting that can be woken and cancelled: an eventfd that a thread polls, and sticky
 * cancellation.
 *
 * Each long-living thread owns one struct wake. Others call wake_signal (something to do) or
 * wake_cancel (stop now). Thread: signal and cancel from any thread (also from a signal handler);
 * wait from the owner only.
 */
#ifndef HOLDFAST_BASE_WAKE_H
#define HOLDFAST_BASE_WAKE_H

#include "base/env.h"

struct wake {
    int fd;
    _Atomic bool signalled; /* fd is readable, or the owner is about to look anyway: a second
                               signal costs no system call */
    _Atomic bool cancelled;
};

int wake_init(struct wake *wake, struct err *err) MUST_CHECK;
void wake_done(struct wake *wake);
void wake_signal(struct wake *wake);
void wake_cancel(struct wake *wake);
bool wake_cancelled(struct wake *wake);

/* Wait until signalled, cancelled, or the deadline. True when signalled or cancelled; takes the
 * signal. */
bool wake_wait(struct wake *wake, struct deadline deadline);

#endif
