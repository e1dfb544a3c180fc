/*
 * fault - named crash points and counted faults, compiled in with -Dfaults=true and nothing
 * otherwise.
 *
 * CRASH_POINT("ledger.commit.before") ends the process as kill -9 would when the environment
 * variable HOLDFAST_CRASH_AT names it ("name" or "name:N" for its Nth passing). FAULT("file.fsync",
 * EIO) is true (and sets errno) when HOLDFAST_FAULT_AT is "name:N" and this is the Nth passing of
 * that name, or "name:N+" for it and all later ones. With HOLDFAST_CRASH_LOG=FILE the name of every
 * crash point passed is appended to the file, once per process. The environment is read once; a
 * value that can't be read ends the process, lest a test pass because nothing was hit.
 *
 * FAULT_LIMIT("HOLDFAST_SEGMENT_MAX", 64 MiB) is the number in that environment variable, or the
 * limit itself: tests reach it with less.
 */
#ifndef HOLDFAST_BASE_FAULT_H
#define HOLDFAST_BASE_FAULT_H

#include "base/err.h"

#ifdef HOLDFAST_FAULTS
void fault_crash_point(const char *name);
bool fault_hit(const char *name, int errno_value);
uint64_t fault_limit(const char *variable, uint64_t limit);
/* For unit tests: set what the environment variables would (NULL clears), and start counting from
 * 0. */
void fault_set(const char *fault_at);
#define CRASH_POINT(name) fault_crash_point(name)
#define FAULT(name, errno_value) fault_hit(name, errno_value)
#define FAULT_LIMIT(variable, limit) fault_limit(variable, limit)
#else
#define CRASH_POINT(name) ((void)0)
#define FAULT(name, errno_value) false
#define FAULT_LIMIT(variable, limit) (limit)
#endif

#endif
