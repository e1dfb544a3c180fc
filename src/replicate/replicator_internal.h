/*
 * replicator_internal - the parts of the replicator, for each other.
 *
 * replicator.c is the thread: its states and the loop. replicator_check.c compares the vault's
 * heads with what was acknowledged, replicator_send.c sends batches and replays dead letters,
 * replicator_ask.c answers other threads.
 *
 * The thread owns the vault and the cursors. What others may look at is under the mutex, which is
 * never held during a call to ledger, sync log or vault.
 */
#ifndef HOLDFAST_REPLICATE_REPLICATOR_INTERNAL_H
#define HOLDFAST_REPLICATE_REPLICATOR_INTERNAL_H

#include <pthread.h>

#include "base/fit.h"
#include "ledger/read.h"
#include "replicate/replicator.h"

#define PROOF_SHARE                                                                                \
    10 /* of the time, at most: one part in so many, while there is much to send                   \
        */
#define CALL_MS (30 * 1000) /* for one call of a vault's; a batch is at most 16 MiB */

enum replicator_state {
    STATE_CONNECT, /* open the vault */
    STATE_CHECK,   /* compare its heads with what it acknowledged */
    STATE_SEND,    /* send one batch of what waits */
    STATE_IDLE,    /* nothing waits: until a commit, a poke, or the next check */
    STATE_BACKOFF, /* it failed: until the delay is over, or a poke */
    STATE_PAUSED,  /* until it is resumed */
    STATE_STOPPED,
    STATES
};

/* How far the vault has got with one origin of the journal. */
struct cursor {
    struct uuid origin;
    uint64_t acked; /* these five under the mutex */
    struct sha256 hash;
    uint64_t head; /* the journal's */
    struct sha256 head_hash;
    uint64_t bad_until;   /* a change up to this seq was rejected; 0: none */
    bool refilling;       /* the vault lost it; it is being filled again */
    bool forked;          /* the vault goes on otherwise behind `acked`: it takes nothing of it */
    struct err suspicion; /* what an append said is wrong with the copy; the check finds out */
    bool explained;       /* and found it */
    bool damaged_before;  /* its copy was put aside at damaged_ms */
    int64_t damaged_ms;
};

/* Changes of the journal that the vault has still to get. */
static inline uint64_t cursor_queue(const struct cursor *cursor)
{
    return !cursor->forked && cursor->head > cursor->acked ? cursor->head - cursor->acked : 0;
}

struct replay {
    bool wanted;
    bool done;
    uint64_t replayed;
    struct err err;
};

/* What somebody else found damaged. */
struct suspect {
    struct uuid origin;
    char *what; /* heap */
};

struct replicator {
    char *name;
    char *target;
    const struct vault_ops *ops;
    struct fit batch; /* changes of one batch: fewer when the vault did not take them in time */
    int64_t backoff_initial_ms;
    int64_t backoff_max_ms;
    int64_t check_ms;
    struct ledger *ledger;
    struct sync_log *log;
    struct env *env;
    void *arg;
    void (*on_damage)(void *arg, const char *vault, const char *what);
    int (*on_behind)(void *arg, const char *vault, const struct uuid *origin, uint64_t after,
                     struct err *err);
    bool (*on_away)(void *arg, const char *vault, const char *what);
    void (*on_state)(void *arg, const char *vault, const char *trouble);

    pthread_t thread;
    struct wake wake; /* commits, pokes, pause, stop */

    /* The thread's own. */
    struct vault *vault; /* NULL: not connected */
    int64_t retry_ms;    /* env's clock: the end of a backoff */
    int64_t check_due_ms;
    struct deadline gather; /* of the real clock: when the next send may begin */
    bool told_trouble; /* on_state was told of the vault's trouble, and not yet that it is well */
    bool told_log;     /* the same of sync.db's */
    bool proving;      /* the vault is being read through */
    int64_t prove_due_ms;   /* env's clock: from then on a slice goes before what waits */
    bool new_origins;       /* the journal has origins whose heads were not compared yet */
    struct err told_damage; /* of the vault as a whole, so that it is told once */

    pthread_mutex_t mutex;
    pthread_cond_t changed; /* of anything below */
    bool paused;
    bool stopping;
    unsigned askers;       /* threads that wait for something */
    uint64_t pokes;        /* asked for */
    uint64_t pokes_tried;  /* and served by an attempt that was begun */
    uint64_t pokes_met;    /* and by a check that went well */
    uint64_t pokes_failed; /* those that the attempt that failed last served */
    struct replay replay;
    struct suspect *suspects; /* heap; not looked at yet */
    size_t suspect_count;
    struct uuid origin;     /* of this installation, as of the last look at the journal's heads */
    struct cursor *cursors; /* by origin; added to, never removed */
    size_t cursor_count;
    enum replicator_state state;
    bool connected; /* the last call went well */
    uint64_t failures;
    uint64_t failed_total;
    uint64_t dead;
    uint64_t elsewhere; /* as in struct replicator_status */
    int64_t last_ok_us;
    int64_t waiting_since_us; /* TIME_NONE: nothing waits */
    char error[256];          /* of the last failure */
};

/* ---- replicator.c ---- */

/* An attempt failed: note it, tell it, close the vault. The state to go to. */
enum replicator_state replicator_failed(struct replicator *r, const struct err *err);
/* An attempt went well. */
void replicator_went_well(struct replicator *r);
/* sync.db did not take something: told once; what it should hold is in memory. */
void replicator_log_failed(struct replicator *r, const struct err *err);
struct deadline replicator_deadline(void);

/* ---- replicator_check.c ---- */

/* Learn of the journal's heads; new origins get a cursor. */
int replicator_read_heads(struct replicator *r, struct err *err) MUST_CHECK;
/* Say that it is the journal that can't be read, not the vault. */
int replicator_journal_failed(struct err *err);
/* Compare all heads, put cursors right. */
int replicator_check(struct replicator *r, struct err *err) MUST_CHECK;
void replicator_set_cursor(struct replicator *r, struct cursor *cursor, uint64_t seq,
                           const struct sha256 *hash);

/* ---- replicator_send.c ---- */

/* An origin of which something waits: this installation's first. NULL: none. */
struct cursor *replicator_waiting(struct replicator *r);
int replicator_send(struct replicator *r, struct cursor *cursor, struct err *err) MUST_CHECK;
/* Do the replay that was asked for, or answer it with why it can't be done now. */
int replicator_do_replay(struct replicator *r, struct err *err) MUST_CHECK;
void replicator_refuse_replay(struct replicator *r, const struct err *why);
/* Note an attempt in sync.db. */
void replicator_note(struct replicator *r, const char *result, const struct cursor *cursor,
                     uint64_t from, uint64_t count, int64_t begin_us, const char *error);

/* What an error of a vault's means for what was tried. */
enum reaction {
    REACT_RETRY,  /* the vault can't be reached, or can't take anything now */
    REACT_REJECT, /* this change it never can take */
    REACT_DAMAGE, /* its copy is not what it acknowledged */
};
enum reaction replicator_reaction(enum err_code code);

#endif
