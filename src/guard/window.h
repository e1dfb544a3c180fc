/*
 * window - what was destroyed or changed lately: by memory, by project, by actor.
 *
 * Every effect that may count against somebody is an *event* until it is older than the longest
 * window. The events of one memory form a chain; what a memory counts for in a window is its net
 * change there: what it was before the first event of the window against what it is after the last.
 * So fifty edits of one memory are one memory, and what was emptied and written again is not lost.
 * It counts for the project that it was of before the first of its events: who moves a memory
 * away and destroys it there takes it from where it was.
 *
 * An event is *free* until an incident takes it; taken events count in no window any more. From a
 * memory's chain only the newest event can be taken: whatever came on top of a change goes with it,
 * or holding that change would show nothing.
 *
 * Time is the monotonic clock's, so that setting the wall clock back frees nobody's window. It
 * stands still within a transaction of the ledger: windows_expire is called at its start,
 * windows_commit or windows_undo at its end.
 *
 * Memory: up to WINDOW_EVENTS_MAX events stay one by one (about 500 bytes each with their
 * memory's), plus what the transaction under way adds. Beyond it the oldest become *summaries*:
 * counts and ranges, so that the rules go on counting them (a memory in a summary and among the
 * events counts twice: the guard then errs on the side of an alert).
 *
 * Thread: one at a time.
 */
#ifndef HOLDFAST_GUARD_WINDOW_H
#define HOLDFAST_GUARD_WINDOW_H

#include "guard/limits.h"
#include "guard/pool.h"
#include "guard/table.h"

/* Free events kept one by one: with those of a request their ranges fit into one judge's decisions.
 * Fewer, where sources with thresholds of their own make a memory's entry large (windows_init). */
#define WINDOW_EVENTS_MAX 49152
#define WINDOW_EVENTS_BYTES ((size_t)WINDOW_EVENTS_MAX * 640)

/* Summaries of one project and class; more are merged, oldest first. */
#define WINDOW_SUMMARIES_MAX 8

/* Ranges of all summaries; changes beyond are counted, but can't be held any more. */
#define WINDOW_SUMMARY_RANGES_MAX 4096

/* Quarters of a memory: who loses less than one was edited, and is no memory cut short; of a text
 * that was replaced by another less than one is left. */
#define WINDOW_CUT_QUARTERS 1
#define WINDOW_REPLACED_QUARTERS 1

struct incident;

struct window_event {
    uint64_t serial; /* 1.. in order of arrival */
    int64_t mono_ms;
    int64_t at_us;
    struct uuid origin;
    uint64_t seq;
    struct window_memory *memory;
    struct window_actor *actor;
    struct window_event *older; /* all free events, by time */
    struct window_event *newer;
    struct window_event *memory_older;
    struct window_event *memory_newer;
    struct window_event *actor_older; /* destroying ones within WINDOW_DELETE */
    struct window_event *actor_newer;
    uint64_t version_jump;
    struct window_project *place; /* that the memory is of after it */
    uint32_t old_bytes;
    uint32_t new_bytes;
    struct sketch old_text; /* of the content; as far as the events tell */
    struct sketch new_text;
    uint32_t groups; /* a bit for that of its actor, and of those whose events it took over */
    double loss_max; /* of them, the least */
    bool is_delete;
    bool is_jump;       /* of the version, by more than is believed of its actor */
    bool is_content;    /* the content changed */
    bool is_blank;      /* what is there after it is blank */
    bool is_destroying; /* it deleted or blanked */
    bool is_gutting;    /* it blanked, or took away more than loss_max of the content */
    bool is_replacing;  /* of the text before it less than a quarter is left */
    bool is_edit;       /* three quarters are, or it left the content as it was */
    bool is_moving;     /* to another project */
    bool is_short;      /* it took nothing away: only WINDOW_UPDATE and LOSS look at it */
    bool of_actor;      /* it is in the actor's list */
    bool is_taken;
};

/* A memory in one of the net slots. */
struct window_tally {
    struct window_event *first; /* within the window, whosever it is */
    /* Of the slot's members: changes of content within it; but for WINDOW_UPDATE and LOSS also
     * deletions and moves. None: it counts for nothing there. */
    uint32_t counted;
    bool is_replaced; /* as it was last added to the totals of a WINDOW_DRIP */
};

struct window_memory {
    struct table_link link;
    struct uuid id;
    struct window_project *project; /* that it was of before its first event */
    struct window_memory *older;    /* of the project */
    struct window_memory *newer;
    struct window_event *last;
    uint32_t taken;                /* events taken since the last commit */
    struct window_tally tallies[]; /* in each net slot */
};

/* What a memory counts for in a window. */
struct window_net {
    bool is_deleted;
    bool is_destroyed;    /* deleted or blank */
    bool is_wrecked;      /* destroyed, or more than loss_max of the content is gone */
    bool is_changed;      /* alive, with its content changed */
    bool is_lost;         /* changed, and smaller than before */
    bool is_cut;          /* lost, and at least a quarter is gone */
    bool is_replaced;     /* WINDOW_DRIP: changed, and since the first change that was no edit less
                             than a quarter of the text is left */
    bool is_away;         /* alive, and of another project than before */
    uint64_t old_bytes;   /* cut: before the first event ... */
    uint64_t taken_bytes; /* ... and how much less it is now */
};

struct window_totals {
    uint64_t deleted; /* distinct memories, as above */
    uint64_t destroyed;
    uint64_t wrecked;
    uint64_t changed;
    uint64_t cut;
    uint64_t replaced;
    uint64_t away; /* of a project, always those of the drip; of all projects 0 */
    uint64_t old_bytes;
    uint64_t taken_bytes;
};

/* Of what an event did; a summary is of one class. */
enum window_class {
    CLASS_DELETE,
    CLASS_BLANK,
    CLASS_GUT,
    CLASS_SHRINK,
    CLASS_REPLACE,
    CLASS_CHANGE,
    WINDOW_CLASSES
};

struct window_summary {
    struct window_summary *next; /* newest first */
    struct window_project *project;
    enum window_class class;
    uint32_t groups; /* whose events are in it */
    uint64_t run;    /* of the folding that made it */
    int64_t mono_ms; /* of the newest event in it: it leaves windows late rather than early */
    int64_t started_us;
    uint64_t changes;
    uint64_t unlisted; /* of these, in no range */
    uint64_t memories;
    struct window_totals totals; /* of what these memories count for */
    struct ranges ranges;
    bool is_taken;
};

struct window_project {
    struct table_link link;
    struct window_project *next;
    char *id;
    uint64_t events; /* after which a memory is of it, free or taken */
    struct window_memory *first;
    struct window_memory *last;
    struct window_totals *totals; /* of the free events, in each net slot; heap */
    struct window_summary *summaries;
    struct incident **incidents; /* the latest of each watch that is bound here; heap */
    uint64_t touched;            /* the judge's call that added to it last */
    uint64_t call; /* the one that asked for its memories last; what follows is of that */
    bool live_known;
    uint64_t live;    /* as the ledger told */
    int64_t restored; /* memories that live again since, because their deletion is held */
    bool is_marked;
};

struct window_tick {
    int64_t mono_ms;
    uint64_t deletes;
};
#define WINDOW_TICKS 16 /* full: the oldest two become one, with the later time */

struct window_actor {
    struct table_link link;
    struct window_actor *next;
    char *name;
    char *how;                  /* it did the last of what it did (struct draft); NULL: not known */
    size_t group;               /* whose thresholds are its */
    uint64_t events;            /* that name it, free or taken */
    struct window_event *first; /* destroying ones within WINDOW_DELETE */
    struct window_event *last;
    uint64_t deletes;        /* among them */
    uint64_t folded_deletes; /* not among them any more, see WINDOW_EVENTS_MAX */
    int64_t folded_mono_ms;
    struct window_tick held[WINDOW_TICKS]; /* deletions that were held, for `status` */
    size_t held_count;
    struct incident **incidents; /* as a project's */
    uint64_t touched;            /* the judge's call that added to it last */
    bool is_marked;
};

struct window_step;

struct windows {
    const struct limits *limits; /* borrowed */
    int64_t now_ms;              /* of the transaction */
    uint64_t next_serial;
    struct window_event *oldest;
    struct window_event *newest;
    size_t count;                                  /* free events */
    struct window_event *cursor[LIMITS_SLOTS_MAX]; /* the oldest free event that is within */
    uint64_t edge[LIMITS_SLOTS_MAX]; /* its serial, or what the next will get at most */
    struct pool events;
    struct pool memory_pool;
    struct table memories;
    struct table projects;
    struct table actors;
    struct window_project *project_list;
    struct window_project all; /* of all projects: no id, no memories nor summaries of its own */
    struct window_actor *actor_list;
    size_t swept_at; /* projects and actors after the last sweep */
    size_t summary_count;
    size_t summary_ranges;
    uint64_t fold_runs;
    size_t events_max; /* WINDOW_EVENTS_MAX; tests set less */
    uint64_t call;     /* counts the judge's calls */
    struct window_step *steps;
    size_t step_count;
    size_t step_capacity;
};

void windows_init(struct windows *windows, const struct limits *limits, struct env *env);
void windows_done(struct windows *windows);

/* Start a transaction: the clock moves, what is too old goes. */
void windows_expire(struct windows *windows, int64_t now_ms);

/*
 * The event of an effect, or NULL when it counts for nothing. mono_ms must not be below that of the
 * last event. An update of what had no bytes brings back what was deleted: it counts only on top of
 * that deletion.
 */
struct window_event *windows_add(struct windows *windows, const struct effect *effect,
                                 int64_t mono_ms);

/* Start a call of the judge. */
void windows_call(struct windows *windows);

/*
 * Take the newest free event of a memory, resp. a summary. They stay readable until the transaction
 * ends.
 */
void windows_take(struct windows *windows, struct window_event *event);
void windows_take_summary(struct windows *windows, struct window_summary *summary);

/* End the transaction, keeping or taking back what was added and taken. */
void windows_commit(struct windows *windows);
size_t windows_mark(const struct windows *windows);
void windows_undo(struct windows *windows, size_t mark); /* 0: to the transaction's start */

struct window_project *windows_project(struct windows *windows, const char *id);
struct window_actor *windows_actor(struct windows *windows, const char *name);

/* The memories of a project (or of all) that are alive now, those counted whose deletion this call
 * took. */
uint64_t windows_live(struct windows *windows, struct window_project *project,
                      const struct judge_view *view);

/* What counts in a net slot of a project (or of all), summaries included; away: the slot that tells
 * what was moved away. */
struct window_totals windows_totals(const struct windows *windows,
                                    const struct window_project *project, size_t slot, size_t away);
struct window_net window_memory_net(const struct windows *windows,
                                    const struct window_memory *memory, size_t slot);
/* Does it count in a slot? */
bool window_summary_within(const struct windows *windows, const struct window_summary *summary,
                           size_t slot);

/* Deletions by an actor within WINDOW_DELETE: free ones, and (for showing) those held, too. */
uint64_t window_actor_deletes(const struct windows *windows, const struct window_actor *actor);
uint64_t window_actor_shown(const struct windows *windows, const struct window_actor *actor,
                            int64_t now_ms);
void window_actor_held(struct window_actor *actor, int64_t mono_ms, uint64_t deletes);

/*
 * Free projects and actors that nothing names any more: neither events nor summaries nor is_marked,
 * which the caller sets on those that it still needs. Outside of a transaction. windows_crowded
 * tells when it is worth the walk.
 */
bool windows_crowded(const struct windows *windows);
void windows_sweep(struct windows *windows);

#endif
