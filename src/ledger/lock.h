/*
 * lock - one engine per home: a flock on the home's folder, which nobody can remove from under its
 * holder without removing the home, and on home/lock, whose text says who it is.
 */
#ifndef HOLDFAST_LEDGER_LOCK_H
#define HOLDFAST_LEDGER_LOCK_H

#include "base/buf.h"

#define LOCK_WHO_MAX_BYTES 256 /* of the holder's name as shown */

/* ERR_BUSY names the holder and what to do. The file stays when the lock is given back: removing it
 * would race. */
struct lock {
    int folder;
    int file;
};

#define LOCK_NONE                                                                                  \
    (struct lock)                                                                                  \
    {                                                                                              \
        .folder = -1, .file = -1                                                                   \
    }

int lock_take(const char *home, const char *who, struct lock *ret, struct err *err) MUST_CHECK;
void lock_release(struct lock *lock);

#endif
