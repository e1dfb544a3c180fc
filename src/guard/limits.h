/*
 * limits - whose thresholds judge what.
 *
 * A source may have thresholds of its own; all else has the configuration's. Each source is a
 * *group*, 0 being the doors. A change is of the group of who made it: the capture names
 * its source first ("NAME", "NAME: who"), as no door can (api/server.c).
 *
 * A change counts against its own group's thresholds, and against those of another group when these
 * are, in every number of the rule, as loose or looser: so a strict source still counts in the sums
 * of all, and what a loose one may lose is no reason to hold what comes by another door.
 * docs/guard.md says why.
 *
 * A *watch* is one rule with one group's thresholds, and which groups count in its sums: its
 * members. Groups with the same numbers of a rule share its watch. A *slot* is one window in which
 * sums are kept: what counts there, for how long, and whose. Where no source has thresholds of its
 * own there is one watch for each rule, and one slot for each window.
 *
 * Thread: made once, then only read.
 */
#ifndef HOLDFAST_GUARD_LIMITS_H
#define HOLDFAST_GUARD_LIMITS_H

#include "guard/guard.h"

enum window_kind {
    WINDOW_DELETE, /* of an actor; the others are of a project */
    WINDOW_SHARE,
    WINDOW_DRIP,
    WINDOW_UPDATE,
    WINDOW_LOSS,
    WINDOW_SHORT, /* how long an event stays that takes nothing away, */
    WINDOW_LONG,  /* and any event */
    WINDOW_KINDS
};

#define LIMITS_GROUPS_MAX (1 + GUARD_SOURCES_MAX)
#define LIMITS_RULES_MAX 8
#define LIMITS_LOOKS_MAX 2 /* of a rule */
#define LIMITS_WATCHES_MAX (LIMITS_RULES_MAX * LIMITS_GROUPS_MAX)
#define LIMITS_SLOTS_MAX (LIMITS_LOOKS_MAX * LIMITS_WATCHES_MAX + LIMITS_GROUPS_MAX + 2)
#define LIMITS_NONE SIZE_MAX

struct rule;

struct window_slot {
    enum window_kind kind;
    int64_t length_ms;
    uint32_t members; /* a bit for each group */
};

struct watch {
    const struct rule *rule;
    const struct guard_options *options;
    uint32_t members;
    size_t slots[LIMITS_LOOKS_MAX]; /* of its looks at projects; LIMITS_NONE: a look at actors */
    int64_t length_ms[LIMITS_LOOKS_MAX];
};

struct limits {
    size_t group_count;
    char *names[LIMITS_GROUPS_MAX]; /* heap; of [0]: NULL */
    size_t name_lens[LIMITS_GROUPS_MAX];
    struct guard_options options[LIMITS_GROUPS_MAX];
    struct watch watches[LIMITS_WATCHES_MAX]; /* by rule, in the rules' order */
    size_t watch_count;
    size_t own[LIMITS_RULES_MAX][LIMITS_GROUPS_MAX]; /* LIMITS_NONE: nothing of it is judged */
    /* Those of SHARE to LOSS, the net slots, come first; SHORT and LONG are the last two. */
    struct window_slot slots[LIMITS_SLOTS_MAX];
    size_t net_count;
    size_t slot_count;
};

void limits_init(struct limits *limits, const struct guard_options *options,
                 const struct guard_source *sources, size_t source_count);
void limits_done(struct limits *limits);

/* The group of what this actor does. */
size_t limits_group(const struct limits *limits, const char *actor);

/* A rule's (enum rule_id) watch with this group's thresholds; NULL: nothing of it is judged. */
const struct watch *limits_watch(const struct limits *limits, size_t rule, size_t group);

/* Is anything judged at all? */
bool limits_any(const struct limits *limits);

int64_t limits_short_ms(const struct limits *limits);
int64_t limits_long_ms(const struct limits *limits);
/* Of the window's kind, as these options say. */
int64_t limits_length_ms(const struct guard_options *options, enum window_kind kind);

#endif
