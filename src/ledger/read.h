/*
 * read - questions to the ledger: memories, their history, sessions, projects, alerts, the journal.
 *
 * A reader is a connection with a snapshot: what it sees does not move between read_begin and
 * read_end. Readers are kept in a pool; none ever checkpoints or writes.
 *
 * Thread: read_begin from any thread; a reader belongs to one thread until read_end.
 */
#ifndef HOLDFAST_LEDGER_READ_H
#define HOLDFAST_LEDGER_READ_H

#include "ledger/ledger.h"

struct reader;

int read_begin(struct ledger *ledger, struct reader **ret, struct err *err) MUST_CHECK;
void read_end(struct reader *reader);

/* A reader on a ledger.db that nobody writes (a staged one): own connection, closed by read_end. */
int read_folder(const char *folder, struct reader **ret, struct err *err) MUST_CHECK;

#define PLACE_BLOCK_SHIFT 20 /* a place is block << 20 | position */

struct memory_state {
    int64_t place;
    struct uuid origin; /* of the effective change */
    uint64_t seq;
    bool held; /* a change to it is held by an open alert */
};

/* The current state, deleted ones too (deleted_us says so). ERR_NOT_FOUND. The memory is the
 * caller's (memory_done). */
int read_memory(struct reader *reader, const struct uuid *id, struct memory *ret,
                struct memory_state *ret_state, struct err *err) MUST_CHECK;
int read_memory_at(struct reader *reader, int64_t place, struct memory *ret,
                   struct memory_state *ret_state, struct err *err) MUST_CHECK;

struct memory_filter {
    const char *project_id;  /* NULL: all */
    struct uuid session_id;  /* nil: all */
    int64_t since_us;        /* created_at >= ; TIME_NONE: no bound */
    int64_t until_us;        /* created_at <  ; TIME_NONE: no bound */
    const char *const *tags; /* all of these */
    size_t tag_count;
    bool with_deleted;
    const char *asking_project; /* set: memories with scope project of other projects are left out;
                                   NULL: none is left out */
};
#define MEMORY_FILTER_INIT                                                                         \
    {                                                                                              \
        .since_us = TIME_NONE, .until_us = TIME_NONE                                               \
    }

/* Does a memory pass the filter? For code that has it in hand already. */
bool memory_filter_match(const struct memory_filter *filter, const struct memory *memory);

/* Each in order of created_at, id. The memory is borrowed for the call; a non-zero return ends the
 * walk and is returned. */
typedef int read_memory_fn(void *arg, const struct memory *memory, const struct memory_state *state,
                           struct err *err);
int read_memories(struct reader *reader, const struct memory_filter *filter, read_memory_fn *each,
                  void *arg, struct err *err) MUST_CHECK;

/* Every change to a memory, oldest version first, held ones too; memory is as of that change. */
typedef int read_history_fn(void *arg, const struct change *change, const struct memory *memory,
                            bool held, struct err *err);
int read_history(struct reader *reader, const struct uuid *id, read_history_fn *each, void *arg,
                 struct err *err) MUST_CHECK;

/* The state at a moment: the winner among its changes with at <= at_us that are not held now.
 * ERR_NOT_FOUND if it was not there yet. */
int read_memory_as_of(struct reader *reader, const struct uuid *id, int64_t at_us,
                      struct memory *ret, struct err *err) MUST_CHECK;

/* Sessions newest first (started_at descending), projects by id. NULL project: all. Borrowed for
 * the call. */
typedef int read_session_fn(void *arg, const struct session *session, struct err *err);
int read_sessions(struct reader *reader, const char *project_id, size_t limit,
                  read_session_fn *each, void *arg, struct err *err) MUST_CHECK;
int read_session(struct reader *reader, const struct uuid *id, struct session *ret, struct err *err)
    MUST_CHECK;
typedef int read_project_fn(void *arg, const struct project *project, struct err *err);
int read_projects(struct reader *reader, read_project_fn *each, void *arg, struct err *err)
    MUST_CHECK;

enum alert_state { ALERT_OPEN, ALERT_REVERTED, ALERT_ACCEPTED, ALERT_STATES };
const char *alert_state_name(enum alert_state state);

/* An alert as its decisions made it. Strings heap (alert_done). */
struct alert {
    struct uuid id;
    enum alert_state state;
    char *rule;
    char *actor;      /* source of the incident's changes */
    char *project_id; /* "" when it is about several or none */
    char *summary;
    char *person; /* who resolved it, "" while open */
    int64_t started_us;
    int64_t detected_us;
    int64_t resolved_us; /* TIME_NONE while open */
    uint64_t changes;
    uint64_t memories;
    uint64_t version; /* decisions so far */
};
void alert_done(struct alert *alert);
typedef int read_alert_fn(void *arg, const struct alert *alert, struct err *err);
int read_alerts(struct reader *reader, bool open_only, read_alert_fn *each, void *arg,
                struct err *err) MUST_CHECK; /* oldest first */
int read_alert(struct reader *reader, const struct uuid *id, struct alert *ret, struct err *err)
    MUST_CHECK;
int read_alert_ranges(struct reader *reader, const struct uuid *id, struct ranges *ret,
                      struct err *err) MUST_CHECK; /* union of what its decisions named */

/*
 * What the last change said of a memory, whether it counts or is held: for who must know what a
 * source looks like now. ERR_NOT_FOUND.
 */
struct last_state {
    int64_t place;
    bool counts; /* it is also what the memory is in the current view */
};
int read_last(struct reader *reader, const struct uuid *id, struct memory *ret,
              struct last_state *ret_state, struct err *err) MUST_CHECK;

/* The same of all memories, deleted ones too, by place. Borrowed for the call; a non-zero return
 * ends the walk and is returned. */
typedef int read_last_fn(void *arg, const struct memory *memory, const struct last_state *state,
                         struct err *err);
int read_last_all(struct reader *reader, read_last_fn *each, void *arg, struct err *err) MUST_CHECK;
/* The same of those alone whose last change does not count. */
int read_last_uncounted(struct reader *reader, read_last_fn *each, void *arg, struct err *err)
    MUST_CHECK;
/* What every memory is in the current view, in the same way; those that are in none are left out.
 */
int read_effective_all(struct reader *reader, read_last_fn *each, void *arg, struct err *err)
    MUST_CHECK;

/* Up to where a source was captured, as its driver wrote it; heap. ERR_NOT_FOUND: never yet. */
int read_source_position(struct reader *reader, const char *source, char **ret, struct err *err)
    MUST_CHECK;

/* The journal. */
struct head {
    struct uuid origin;
    uint64_t seq;
    struct sha256 hash;
};
#define ORIGINS_MAX 4096 /* installations that one ledger may hold changes of */
int read_heads(struct reader *reader, struct head **ret_heads, size_t *ret_count, struct err *err)
    MUST_CHECK; /* heap array, by origin */

/* Changes of one origin with seq > after, ascending, until `each` returns non-zero, `limit` changes
 * or the end. Borrowed; prev and hash set. */
typedef int read_change_fn(void *arg, const struct change *change, struct err *err);
int read_changes(struct reader *reader, const struct uuid *origin, uint64_t after, size_t limit,
                 read_change_fn *each, void *arg, struct err *err) MUST_CHECK;
int read_change(struct reader *reader, const struct uuid *origin, uint64_t seq,
                read_change_fn *each, void *arg, struct err *err) MUST_CHECK; /* ERR_NOT_FOUND */

/* The newest changes of all origins, newest first by their time; for `log`. */
int read_recent_changes(struct reader *reader, const char *project_id, size_t limit,
                        read_change_fn *each, void *arg, struct err *err) MUST_CHECK;

struct ledger_counts {
    uint64_t memories; /* alive */
    uint64_t deleted;
    uint64_t changes;
    uint64_t sessions;
    uint64_t projects;
    uint64_t alerts_open;
};
int read_counts(struct reader *reader, struct ledger_counts *ret, struct err *err) MUST_CHECK;

struct verify_result {
    bool ok;
    uint64_t changes;       /* looked at */
    struct uuid bad_origin; /* of the first bad one, when !ok */
    uint64_t bad_seq;
    char reason[256];
};

/*
 * Walk the whole journal: numbering without gaps, every hash from its prev and record, every record
 * readable and saying the same as its row, every memory's current change the one that wins. What is
 * found bad is told in *ret, not as an error.
 */
int read_verify(struct reader *reader, struct verify_result *ret, struct err *err) MUST_CHECK;

/* The block of a place, and all blocks of a project (heap array): what search filters by. */
int read_block(struct reader *reader, int64_t block, char **ret_project_id,
               struct uuid *ret_session_id, struct err *err) MUST_CHECK;
int read_blocks(struct reader *reader, const char *project_id, const struct uuid *session_id,
                int64_t **ret_blocks, size_t *ret_count, struct err *err) MUST_CHECK;

#endif
