/* What recoveries harmed lately: a short list, looked through from end to end. */
#include "engine/toll.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

void toll_init(struct toll *toll)
{
    *toll = (struct toll){.entries = NULL};
    (void)pthread_mutex_init(&toll->lock, NULL); /* a plain one can't fail */
}

void toll_done(struct toll *toll)
{
    for (size_t i = 0; i < toll->count; i++) {
        free(toll->entries[i].project_id);
    }
    free(toll->entries);
    (void)pthread_mutex_destroy(&toll->lock);
}

static void forget_before(struct toll *toll, int64_t since_ms)
{
    size_t kept = 0;

    for (size_t i = 0; i < toll->count; i++) {
        if (toll->entries[i].at_ms < since_ms) {
            free(toll->entries[i].project_id);
        } else {
            toll->entries[kept++] = toll->entries[i];
        }
    }
    toll->count = kept;
}

uint64_t toll_since(struct toll *toll, const char *project_id, int64_t since_ms)
{
    uint64_t sum = 0;

    (void)pthread_mutex_lock(&toll->lock);
    forget_before(toll, since_ms);
    for (size_t i = 0; i < toll->count; i++) {
        if (strcmp(toll->entries[i].project_id, project_id) == 0) {
            sum += toll->entries[i].count;
        }
    }
    if (toll->count == TOLL_MAX) {
        sum = TOLL_EVERYTHING;
    }
    (void)pthread_mutex_unlock(&toll->lock);
    return sum;
}

void toll_add(struct toll *toll, const char *project_id, uint64_t count, int64_t now_ms)
{
    (void)pthread_mutex_lock(&toll->lock);
    if (toll->count < TOLL_MAX) {
        toll->entries = xrealloc(toll->entries, (toll->count + 1) * sizeof(*toll->entries));
        toll->entries[toll->count++] = (struct toll_entry){xstrdup(project_id), count, now_ms};
    }
    (void)pthread_mutex_unlock(&toll->lock);
}
