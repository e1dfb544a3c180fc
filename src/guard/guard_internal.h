/*
 * guard_internal - what guard.c, judge.c and rebuild.c share.
 */
#ifndef HOLDFAST_GUARD_GUARD_INTERNAL_H
#define HOLDFAST_GUARD_GUARD_INTERNAL_H

#include <pthread.h>

#include "guard/rules.h"

struct guard {
    struct limits limits;
    struct env *env;

    pthread_mutex_t mutex; /* of all that follows */
    pthread_cond_t settled;
    uint64_t transactions; /* settled so far */
    bool is_open;          /* a transaction of the ledger's is under way */
    struct windows windows;
    struct incidents incidents;
};

/* Judge one request; the mutex is held, the transaction open. On error nothing is recorded of it.
 */
int judge_request(struct guard *guard, const struct effect *effects, size_t count,
                  const struct judge_view *view, struct decision *ret_decisions, size_t *ret_count,
                  struct err *err) MUST_CHECK;

/* Start a transaction unless one is under way. */
void guard_begin(struct guard *guard);

#endif
