/*
 * lock - one engine per home: a flock on home/lock, whose text says who holds it.
 */
#ifndef HOLDFAST_LEDGER_LOCK_H
#define HOLDFAST_LEDGER_LOCK_H

#include "base/buf.h"

#define LOCK_WHO_MAX_BYTES 256 /* of the holder's name as shown */

/* ERR_BUSY names the holder and what to do. The file stays when the lock is given back: removing it
 * would race. */
int lock_take(const char *home, const char *who, int *ret_fd, struct err *err) MUST_CHECK;
void lock_release(int *fd);

#endif
