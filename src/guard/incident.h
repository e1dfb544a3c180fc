/*
 * incident - one burst of destruction: an alert, what is held under it, and what may still join it.
 *
 * An incident is under way while its alert is open and less than its rule's window has passed since
 * its last change. It is bound to the project or actor in which its rule tripped, through their
 * `incidents`. The changes that a judge's call adds are its pending ones until they have become a
 * decision.
 *
 * Thread: one at a time.
 */
#ifndef HOLDFAST_GUARD_INCIDENT_H
#define HOLDFAST_GUARD_INCIDENT_H

#include "guard/window.h"

/* Actors told apart in an alert; more are "others". */
#define INCIDENT_ACTORS_MAX 4

/* Memories known by id, to count each once; beyond it each change counts as one memory more. */
#define INCIDENT_MEMORIES_MAX 131072

/* Memories by id, in the order they came. */
struct id_set {
    struct uuid *items;
    size_t count;
    size_t capacity;
    uint32_t *slots; /* index + 1; 0: empty */
    size_t slot_count;
};

struct incident_actor {
    struct window_actor *actor;
    uint64_t changes;
};

/* What a call may have to take back. */
struct incident_state {
    int64_t quiet_ms; /* after so long without a change it is over */
    int64_t first_mono_ms;
    int64_t last_mono_ms;
    int64_t started_us; /* wall time of the first change */
    uint64_t changes;
    uint64_t more_memories; /* besides those in the set */
    uint64_t unlisted;      /* changes that led to it, but can't be held any more */
    uint64_t deletes;
    uint64_t blanks;
    uint64_t cuts;      /* that blanked nothing, but took away most */
    uint64_t old_bytes; /* of the memories concerned, and what was taken from them */
    uint64_t taken_bytes;
    uint64_t version_jump; /* the highest */
    struct incident_actor actors[INCIDENT_ACTORS_MAX];
    size_t actor_count;
    bool more_actors;
    struct window_project *project; /* NULL: of several (or none yet) */
    bool several_projects;
    uint32_t groups; /* whose changes it holds (guard/limits.h) */
    bool is_merged;  /* its changes went into another one */
};

struct incident_change {
    struct uuid origin;
    uint64_t from;
    uint64_t to;
};

struct incident {
    struct incident *next;
    struct uuid alert;
    const struct watch *watch; /* that tripped, */
    const struct rule *rule;   /* its rule, */
    size_t look;               /* and which of the rule's looks */
    struct incident_state state;
    struct id_set memories;
    bool is_sealed; /* its alert is resolved, or about to be: nothing joins any more */
    uint64_t made;  /* the judge's call that made it; 0: it was there at the start */
    uint64_t call;  /* the last that added to it; what follows is of that call */
    size_t step;    /* where its state before that call is kept */
    struct incident_change *pending;
    size_t pending_count;
    size_t pending_capacity;
};

struct incident_step;

struct incidents {
    struct env *env;
    struct incident *list; /* newest first */
    uint64_t seed;
    uint64_t call;             /* counts the judge's calls */
    size_t call_mark;          /* the steps before it */
    struct incident **touched; /* in this call, in order */
    size_t touched_count;
    size_t touched_capacity;
    struct incident_step *steps;
    size_t step_count;
    size_t step_capacity;
};

void incidents_init(struct incidents *incidents, struct env *env);
void incidents_done(struct incidents *incidents);

/* Start a transaction: let go of those that are over, in these windows. */
void incidents_expire(struct incidents *incidents, struct windows *windows);

/* Start a call. */
void incidents_call(struct incidents *incidents);

/* A new one; its alert's id is made from env. It is over until it takes something; after that, when
 * the look's window has passed without a change. */
struct incident *incident_new(struct incidents *incidents, const struct watch *watch, size_t look,
                              int64_t now_ms);

/* Bind it to where its rule looks, resp. find the one that is under way there (NULL: none). */
void incident_bind(struct incidents *incidents, struct incident **place, struct incident *incident);
struct incident *incident_at(struct incident *const *place, int64_t now_ms);

/* Take a change and all that came on top of it in its memory, resp. a summary. */
void incident_take(struct incidents *incidents, struct windows *windows, struct incident *incident,
                   struct window_event *from);
void incident_take_summary(struct incidents *incidents, struct windows *windows,
                           struct incident *incident, struct window_summary *summary);

/* Move what `from` took in this call into `into`, and what it is bound to if it is new. */
void incident_merge(struct incidents *incidents, struct incident *into, struct incident *from);

uint64_t incident_memories(const struct incident *incident);
/* Whose changes are most of it; NULL: nobody's yet. */
const struct window_actor *incident_main_actor(const struct incident *incident);

/* The pending changes, sorted, as ranges. */
void incident_ranges(struct incident *incident, struct ranges *ret);
void incident_forget_pending(struct incident *incident);

/* Count a memory as concerned, each once. */
void incident_add_memory(struct incidents *incidents, struct incident *incident,
                         const struct uuid *id);
void incident_add_actor(struct incident *incident, struct window_actor *actor, uint64_t changes);
void incident_add_project(struct incident *incident, struct window_project *project);

size_t incidents_mark(const struct incidents *incidents);
void incidents_undo(struct incidents *incidents, size_t mark);
void incidents_commit(struct incidents *incidents);

#endif
