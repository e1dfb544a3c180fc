/*
 * env - clock and chance behind one struct, so that tests can set both.
 *
 * Wall time is for what is shown and stored; monotonic time for windows, backoff and deadlines.
 * Thread: env_system() may be used from any thread. A fake may be set from the test's thread while
 * others read it.
 */
#ifndef HOLDFAST_BASE_ENV_H
#define HOLDFAST_BASE_ENV_H

#include "base/err.h"

struct env {
    int64_t (*now_us)(struct env *env);  /* wall clock, UTC microseconds */
    int64_t (*mono_ms)(struct env *env); /* monotonic, milliseconds from an arbitrary start */
    void (*random)(struct env *env, void *bytes, size_t len);
};

struct env *env_system(void);

/* A fake: both clocks stand still until advanced; random bytes come from a seeded generator. */
struct env_fake {
    struct env env;
    _Atomic int64_t us;
    _Atomic uint64_t seed;
};
void env_fake_init(struct env_fake *fake, int64_t now_us, uint64_t seed);
void env_fake_advance_ms(struct env_fake *fake, int64_t ms);

#define DEADLINE_NEVER INT64_MAX

/* A point on the monotonic clock (system clock, CLOCK_MONOTONIC) by which a call must be over. */
struct deadline {
    int64_t at_ms;
};
struct deadline deadline_in(int64_t ms);
int64_t deadline_left_ms(struct deadline deadline); /* never below 0; INT64_MAX for never */
static inline struct deadline deadline_never(void)
{
    return (struct deadline){DEADLINE_NEVER};
}

#endif
