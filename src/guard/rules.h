/*
 * rules - the table of what trips, and the words for it.
 *
 * The table's order matters: when changes trip several rules, the first of them holds these
 * changes, and what is held counts for no other.
 *
 * Thread: one at a time.
 */
#ifndef HOLDFAST_GUARD_RULES_H
#define HOLDFAST_GUARD_RULES_H

#include "guard/incident.h"

enum rule_scope {
    RULE_OF_ACTOR,   /* looks at what one actor did, anywhere */
    RULE_OF_PROJECT, /* looks at what happened to one project, by anybody */
    RULE_OF_ALL,     /* looks at what happened anywhere, by anybody */
    RULE_OF_CHANGE,  /* looks at each change by itself; an incident is one actor's */
};

enum rule_id {
    RULE_DELETES,
    RULE_SHARE,
    RULE_BULK_UPDATE,
    RULE_CONTENT_LOSS,
    RULE_VERSION_JUMP,
    RULE_TOTAL_LOSS,
    RULE_TOTAL_UPDATE,
    RULES
};

/* A threshold of a rule, in struct guard_options. */
struct rule_number {
    size_t offset;
    enum { NUMBER_COUNT, NUMBER_SHARE, NUMBER_WINDOW } type;
};
#define RULE_NUMBERS_MAX 6

/* One look of a rule: a window, and what counts there. */
struct rule_look {
    enum window_kind window;
    /* Of projects: do these totals, with `live` memories alive now, trip it? */
    bool (*trips)(const struct guard_options *options, const struct window_totals *totals,
                  uint64_t live);
    /* Of projects: does a memory with this net change belong? Classes: do summaries of it? */
    bool (*concerns)(const struct window_net *net);
    bool classes[WINDOW_CLASSES];
    /* Does a change belong: from the first that does in its memory's chain all are held; and later
     * ones join the incident. */
    bool (*belongs)(const struct window_event *event);
};

struct rule {
    enum rule_id id;
    const char *name; /* as in alerts */
    enum rule_scope scope;
    struct rule_look looks[LIMITS_LOOKS_MAX]; /* tried in this order; a second one is longer, and
                                                 the last one of a project's is of WINDOW_DRIP */
    size_t look_count;
    struct rule_number numbers[RULE_NUMBERS_MAX];
    size_t number_count;
};

extern const struct rule guard_rules[RULES];

/* NULL: none of ours (an alert from outside). */
const struct rule *rule_by_name(const char *name);

/*
 * One sentence for a person: "12 of 40 memories of project demo were deleted by mcp:claude-code
 * within 8 s; ...", and how what a source lost is put back there. of: how many memories the project
 * had. Heap.
 */
char *rule_summary(const struct limits *limits, const struct incident *incident, uint64_t of);

#endif
