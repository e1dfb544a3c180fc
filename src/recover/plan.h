/*
 * plan - what a recovery will do, found by comparing the ledger with what it would be.
 *
 * `after` reads the staged ledger, where all that the vault brought counts already; `before` the
 * live one. Where nothing was staged both are the live one. A memory is within the request's filter
 * or not as a whole, by what its latest change says.
 *
 * Thread: one at a time.
 */
#ifndef HOLDFAST_RECOVER_PLAN_H
#define HOLDFAST_RECOVER_PLAN_H

#include "recover/idset.h"
#include "recover/past.h"
#include "recover/recover.h"

/* A memory whose state of the past comes back as a new change. */
struct take_back {
    struct uuid id;
    struct uuid origin; /* the change that says that state */
    uint64_t seq;
    size_t project; /* of the report */
};

struct plan {
    const struct recover_request *request;
    struct past past;
    struct ranges imported; /* sorted, as all of these: what the vault brought */
    struct ranges hidden;   /* what earlier recoveries keep out of the view */
    struct ranges guarded;  /* what the guard keeps out of it */
    struct ranges excluded; /* of imported: not within the filter, to be kept out of the view */
    struct ranges released; /* of hidden: within the filter, to come into the view */
    struct idset touched;   /* memories that the vault's changes speak of */
    struct idset veiled;    /* memories with hidden changes */
    struct idset wanted;    /* memories within the filter, when there is one */
    struct idset sessions;  /* theirs */
    struct idset gone;      /* memories that are alive here, and will not be */
    struct idset replaced;  /* memories that are alive here, and will be overwritten */
    struct take_back *back; /* heap */
    size_t back_count;
    size_t back_capacity;
    bool found_project; /* some memory is of what the request names, whatever else it asks for */
    bool found_session;
    bool found_memory;
    struct recover_report *report;
    size_t last_project; /* of the report: the one counted last */
};

void plan_done(struct plan *plan);

/* Does the request leave anything out? */
bool plan_filtered(const struct recover_request *request);

/* Fill in all but request, past, imported, touched and report, which are set; count into the
 * report. ERR_NOT_FOUND: no memory is of the project, session or id that the request names, or its
 * moment is before the first change. */
int plan_make(struct plan *plan, struct reader *after, struct reader *before, struct err *err)
    MUST_CHECK;

/* The project of a report, added when it is not there yet; *last is where the last one was found.
 */
struct recover_project *plan_project(struct recover_report *report, size_t *last, const char *id);

/*
 * Count into the report's projects what happens to memories that are alive in `before`: gone, and
 * replaced (either may be NULL) name them.
 */
int plan_count_harm(struct recover_report *report, struct reader *before, const struct idset *gone,
                    const struct idset *replaced, struct err *err) MUST_CHECK;

/* Is there anything to activate? */
bool plan_has_work(const struct plan *plan);

#endif
