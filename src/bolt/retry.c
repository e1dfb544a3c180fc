#include <sys/random.h>

#include "bolt/driver_internal.h"

void bolt_retry_init(struct retry *retry, struct bolt_driver *driver)
{
    *retry = (struct retry){.driver = driver, .pause_ms = driver->options.retry_first_ms};
}

int64_t bolt_retry_jitter(int64_t pause_ms, uint32_t random)
{
    int64_t span = pause_ms * BOLT_RETRY_JITTER_PERCENT / 100;

    return pause_ms - span + (int64_t)((2 * (uint64_t)span * random) >> 32);
}

static uint32_t chance(const struct bolt_clock *clock)
{
    uint32_t number = 0;

    if (clock->random != NULL) {
        return clock->random(clock->arg);
    }
    if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != (ssize_t)sizeof(number)) {
        number = UINT32_MAX / 2; /* early at boot: no jitter */
    }
    return number;
}

static bool give_up(const struct retry *retry, struct bolt_error *error)
{
    if (retry->tries > 1) {
        (void)bolt_fail_context(error, "given up after %u tries", retry->tries);
    }
    return false;
}

bool bolt_retry_again(struct retry *retry, int64_t deadline_ms, struct bolt_error *error)
{
    const struct bolt_driver_options *options = &retry->driver->options;
    unsigned traits = bolt_error_traits(error);
    int64_t now_ms = bolt_driver_now_ms(retry->driver);

    if (retry->tries++ == 0) {
        retry->first_ms = now_ms;
    }
    if ((traits & BOLT_TRAIT_RETRY) == 0 || (traits & BOLT_TRAIT_SMALLER) != 0) {
        return false;
    }
    if (now_ms - retry->first_ms >= options->retry_ms) {
        return give_up(retry, error);
    }
    int64_t pause_ms = bolt_retry_jitter(retry->pause_ms, chance(&options->clock));
    if (deadline_ms != BOLT_NEVER && bolt_deadline_in(pause_ms) >= deadline_ms) {
        return give_up(retry, error);
    }
    retry->pause_ms = retry->pause_ms < INT32_MAX ? 2 * retry->pause_ms : retry->pause_ms;
    atomic_fetch_add(&retry->driver->retried, 1);
    bolt_driver_sleep_ms(retry->driver, pause_ms);
    return true;
}
