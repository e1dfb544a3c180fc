#include "base/env.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/random.h>
#include <time.h>

static struct timespec clock_read(clockid_t clock)
{
    struct timespec now = {0};

    (void)clock_gettime(clock, &now); /* can't fail for the two clocks used here */
    return now;
}

static int64_t system_now_us(struct env *env)
{
    (void)env;
    struct timespec now = clock_read(CLOCK_REALTIME);

    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t system_mono_ms(struct env *env)
{
    (void)env;
    struct timespec now = clock_read(CLOCK_MONOTONIC);

    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Identities and tokens depend on it: without chance there is nothing to go on with. */
static void system_random(struct env *env, void *bytes, size_t len)
{
    (void)env;
    uint8_t *out = bytes;

    while (len > 0) {
        ssize_t got = getrandom(out, len, 0);
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            abort();
        }
        out += got;
        len -= (size_t)got;
    }
}

struct env *env_system(void)
{
    static struct env env = {system_now_us, system_mono_ms, system_random};

    return &env;
}

static int64_t fake_now_us(struct env *env)
{
    return ((struct env_fake *)env)->us;
}

static int64_t fake_mono_ms(struct env *env)
{
    return ((struct env_fake *)env)->us / 1000;
}

/* splitmix64: its state is a counter, so that threads can share it. */
static uint64_t fake_next(struct env_fake *fake)
{
    uint64_t z = atomic_fetch_add(&fake->seed, 0x9E3779B97F4A7C15ULL) + 0x9E3779B97F4A7C15ULL;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
}

static void fake_random(struct env *env, void *bytes, size_t len)
{
    uint8_t *out = bytes;

    while (len > 0) {
        uint64_t word = fake_next((struct env_fake *)env);
        size_t part = len < sizeof(word) ? len : sizeof(word);
        memcpy(out, &word, part);
        out += part;
        len -= part;
    }
}

void env_fake_init(struct env_fake *fake, int64_t now_us, uint64_t seed)
{
    fake->env = (struct env){fake_now_us, fake_mono_ms, fake_random};
    atomic_init(&fake->us, now_us);
    atomic_init(&fake->seed, seed);
}

void env_fake_advance_ms(struct env_fake *fake, int64_t ms)
{
    atomic_fetch_add(&fake->us, ms * 1000);
}

struct deadline deadline_in(int64_t ms)
{
    struct deadline deadline = {0};

    if (__builtin_add_overflow(system_mono_ms(NULL), ms > 0 ? ms : 0, &deadline.at_ms)) {
        return deadline_never();
    }
    return deadline;
}

int64_t deadline_left_ms(struct deadline deadline)
{
    if (deadline.at_ms == DEADLINE_NEVER) {
        return INT64_MAX;
    }
    int64_t left = deadline.at_ms - system_mono_ms(NULL);
    return left > 0 ? left : 0;
}
