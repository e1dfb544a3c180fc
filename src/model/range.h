/*
 * range - sets of changes by (origin, first seq, last seq), as guard decisions name them, and the
 * decisions' bodies.
 */
#ifndef HOLDFAST_MODEL_RANGE_H
#define HOLDFAST_MODEL_RANGE_H

#include "base/json.h"
#include "base/uuid.h"

struct range {
    struct uuid origin;
    uint64_t from; /* inclusive */
    uint64_t to;   /* inclusive */
};

struct ranges {
    struct range *items; /* heap */
    size_t count;
    size_t capacity;
};

#define RANGES_MAX 10000 /* of one decision: 10,000 of the longest fit into CHANGE_RECORD_MAX */
#define DECISION_TEXT_MAX_BYTES 1024 /* each of rule, actor, summary, person */

void ranges_init(struct ranges *ranges);
void ranges_done(struct ranges *ranges);
/* Add one change; grows the last range when it continues it. */
void ranges_add(struct ranges *ranges, const struct uuid *origin, uint64_t seq);
/* Sort by origin and seq, and join what overlaps or touches. */
void ranges_sort(struct ranges *ranges);
/* Of such ranges: the first that ends at or after this change (count: none),
 * and whether the change is in one of them. */
size_t ranges_find(const struct ranges *sorted, const struct uuid *origin, uint64_t seq);
bool ranges_contain(const struct ranges *sorted, const struct uuid *origin, uint64_t seq);
uint64_t ranges_total(const struct ranges *ranges);

enum decision_kind {
    DECISION_HELD,     /* op hold: the guard keeps the ranges out of the current view until a person
                          decides */
    DECISION_REVERTED, /* op hold: a person said that they were not meant; they stay out for good */
    DECISION_ACCEPTED, /* op release: a person said that they were meant; they count again */
    DECISION_UNDONE,   /* op hold: a recovery was undone */
    DECISION_KINDS
};

/*
 * A decision, the body of a `guard` change:
 * {"alert","decision","ranges","rule","actor","summary","changes","memories",
 * "started_at","person"}. The change's id is the alert's UUID and its version counts the decisions
 * of that alert.
 */
struct decision {
    struct uuid alert;
    enum decision_kind kind;
    struct ranges ranges; /* of this one; an incident's ranges are the union of its HELD ones */
    char *rule;           /* heap; the rule's name, "" for UNDONE */
    char *actor;          /* heap; the source of the incident's changes */
    char *summary;        /* heap; one sentence for a person */
    uint64_t changes;     /* held so far in this incident */
    uint64_t memories;    /* distinct memories affected so far */
    int64_t started_us;   /* the incident's first change */
    char *person;         /* heap; who resolved, "" for the guard itself */
};

/*
 * Rules that are not the guard's: what a recovery brought (and its undoing), and what its filter
 * left out. Such decisions are no alerts, and they change what shows in the ledger of the
 * installation that made them, and nowhere else.
 */
#define RULE_RECOVER "recover"
#define RULE_RECOVER_FILTER "recover_filter"
bool rule_is_recovery(const char *rule);

/*
 * Writing: ERR_LIMIT for more than RANGES_MAX ranges or a text that is too long; NULL texts are
 * written as "". Reading: ERR_CORRUPT for a missing or unknown field, or a value out of its limits.
 * Texts may hold tabs and line ends.
 */
void decision_init(struct decision *decision);
void decision_done(struct decision *decision);
int decision_write_body(const struct decision *decision, struct buf *buf, struct err *err)
    MUST_CHECK;
int decision_read_body(struct str body, struct decision *ret, struct err *err) MUST_CHECK;
const char *decision_kind_name(enum decision_kind kind);

#endif
