/*
 * toll - what recoveries, and their undoing, lately took away or overwrote without a person's word.
 *
 * The guard does not judge a recovery; one that harms much asks a person. What small ones harm adds
 * up here by project, so that many of them, memory by memory, ask a person too. It is kept in
 * memory: a restart begins anew.
 *
 * Thread: any.
 */
#ifndef HOLDFAST_ENGINE_TOLL_H
#define HOLDFAST_ENGINE_TOLL_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

/* Recoveries within a window. When so many are known, each project counts as harmed whole. */
#define TOLL_MAX 1024
#define TOLL_EVERYTHING (UINT64_MAX / 2)

struct toll_entry {
    char *project_id;
    uint64_t count;
    int64_t at_ms; /* monotonic */
};

struct toll {
    pthread_mutex_t lock; /* of all below */
    struct toll_entry *entries;
    size_t count;
};

void toll_init(struct toll *toll);
void toll_done(struct toll *toll);

/* How many memories of the project were harmed since then, or TOLL_EVERYTHING. What is older is
 * forgotten. */
uint64_t toll_since(struct toll *toll, const char *project_id, int64_t since_ms);
void toll_add(struct toll *toll, const char *project_id, uint64_t count, int64_t now_ms);

#endif
