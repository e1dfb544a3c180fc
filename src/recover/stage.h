/*
 * stage - the place where the next live folder is built: home/staging/<uuid>.
 *
 * One recovery per home: it holds a lock on home/staging from stage_open to stage_close, and a
 * crash frees it. Whatever lies in there without that lock is a dead recovery's and may go.
 *
 * Thread: one at a time.
 */
#ifndef HOLDFAST_RECOVER_STAGE_H
#define HOLDFAST_RECOVER_STAGE_H

#include "ledger/read.h"
#include "ledger/store.h"
#include "recover/idset.h"
#include "recover/parts.h"

#define STAGE_FOLDER "staging"
#define LIVE_FOLDER "live"

struct stage {
    char *root;   /* home/staging */
    char *folder; /* home/staging/<uuid>; NULL: nothing was staged */
    int lock;     /* < 0: not held */
    bool keep;    /* leave the folder where it is: somebody has to look at it */
};

#define STAGE_INIT                                                                                 \
    {                                                                                              \
        .lock = -1                                                                                 \
    }

/* Lock home/staging. ERR_CONFLICT when another recovery has it. */
int stage_open(const char *home, struct stage *stage, struct err *err) MUST_CHECK;
void stage_close(struct stage *stage); /* removes what is still staged, unlocks */

/*
 * Build the folder: what reader sees of the live ledger, then the parts, then sealed. A ledger much
 * smaller than what comes is imported like the rest, a larger one is copied with its full-text
 * index. touched receives the ids of the memories that the parts speak of, unless the ledger has
 * none at all. ERR_CORRUPT and ERR_UNAVAILABLE for what is wrong with the vault.
 */
int stage_build(struct stage *stage, const struct recover_context *context, struct reader *reader,
                const struct parts *parts, struct idset *touched, struct err *err) MUST_CHECK;

/* Exchange the staged folder with the live one; both names are durable when it returns 0.
 * *ret_exchanged says how far it came. */
int stage_exchange(struct stage *stage, const char *live, bool *ret_exchanged, struct err *err)
    MUST_CHECK;

#endif
