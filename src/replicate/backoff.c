#include "replicate/replicator.h"

#define JITTER_PERCENT 20 /* so that many replicators of one vault don't come back at once */

int64_t backoff_ms(uint64_t failures, int64_t initial_ms, int64_t max_ms, struct env *env)
{
    int64_t delay = initial_ms;
    uint32_t chance;

    if (failures == 0 || initial_ms <= 0) {
        return 0;
    }
    for (uint64_t i = 1; i < failures && delay < max_ms; i++) {
        delay *= 2;
    }
    delay = delay < max_ms ? delay : max_ms;
    env->random(env, &chance, sizeof(chance));
    /* -JITTER_PERCENT .. +JITTER_PERCENT of it */
    int64_t spread = delay * JITTER_PERCENT / 100;
    return delay - spread + (int64_t)((uint64_t)chance % ((uint64_t)spread * 2 + 1));
}
