/*
 * runner - one thread per source that captures for ever: it opens, captures, and after a failure
 * tries again, soon at first, each 30 s at last. Where a driver writes into the source, too,
 * another runner does that in the same way.
 *
 * Thread: start, stop and status from any; the callbacks come from the source's own thread.
 */
#ifndef HOLDFAST_SOURCE_RUNNER_H
#define HOLDFAST_SOURCE_RUNNER_H

#include "source/source.h"

#define RUNNER_BACKOFF_INITIAL_MS 500
#define RUNNER_BACKOFF_MAX_MS 15000 /* a source that is back is captured again within this */

struct runner;

struct runner_options {
    const char *kind;
    struct source_options source; /* borrowed as long as it runs; cancel is the runner's own */
    bool follows;                 /* it runs the driver's follow, not its capture */
    void *arg;
    /* The source can't be captured (text), or can again (NULL). For the log. */
    void (*on_state)(void *arg, const char *source, const char *trouble);
    void (*on_note)(void *arg, const char *source, const char *what);
};

int runner_start(const struct runner_options *options, struct runner **ret, struct err *err)
    MUST_CHECK;
void runner_stop(struct runner *runner); /* cancels what runs, joins, frees */

struct runner_status {
    const char *name; /* borrowed of the options */
    const char *kind;
    bool connected;
    char position[64]; /* "": none yet */
    int64_t lag_ms;
    char state[16];   /* "capturing", "waiting", "connecting" */
    char capture[16]; /* "stream", "outbox"; "": there is one way only, or it is not known yet */
    char fence[40];   /* the alert for which the source refuses to be destroyed; "": none */
    char error[256];  /* "" when well */
    struct source_mirror mirror; /* of one that follows */
};
void runner_status(struct runner *runner, struct runner_status *ret);

#endif
