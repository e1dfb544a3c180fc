/*
 * replicator - one thread per vault that carries the journal there, at once, in order, for ever.
 *
 * It sends what waits as soon as the ledger announces a commit (batches of at most batch_max, a
 * send every REPLICATOR_GATHER_MS unless somebody waits for it), keeps its own cursor per origin,
 * backs off from 1 s doubling to 5 min with jitter while the vault can't be reached (an outage
 * never makes a dead letter), and puts aside as dead letters what the vault says it never can take,
 * with a named gap in the vault's chain, so that one bad change never blocks the others. It
 * compares the vault's head with what was acknowledged when it connects and every check_ms:
 * emptied, rolled back or altered is told to on_damage, and the vault is refilled from the ledger.
 * A vault that is ahead of the ledger, or goes on otherwise behind what it acknowledged, is right:
 * it is the ledger that went back in time, which is told to on_behind.
 *
 * Thread: start, stop and the questions from any thread; the callbacks come from the replicator's
 * own thread.
 */
#ifndef HOLDFAST_REPLICATE_REPLICATOR_H
#define HOLDFAST_REPLICATE_REPLICATOR_H

#include "ledger/ledger.h"
#include "replicate/sync_log.h"
#include "vault/vault.h"

#define BACKOFF_INITIAL_MS 1000
#define BACKOFF_MAX_MS (5 * 60 * 1000)
#define REPLICATOR_BATCH_DEFAULT 500
#define REPLICATOR_CHECK_MS (30 * 1000) /* an emptied vault is noticed within this */
#define REPLICATOR_GATHER_MS                                                                       \
    5 /* from one send to the next when it has caught up: half of the lag that is allowed */

struct replicator;

struct replicator_options {
    const char *name;            /* the vault's name */
    const char *spec;            /* "file:/path" */
    const struct vault_ops *ops; /* NULL: found by spec */
    size_t batch_max;
    int64_t backoff_initial_ms;
    int64_t backoff_max_ms;
    int64_t check_ms;
    bool paused;           /* from the start, until replicator_pause(false) */
    struct ledger *ledger; /* borrowed, all of these */
    struct sync_log *log;
    void *arg;
    /* The vault was found emptied, rolled back or altered (what: one sentence). The refill starts
     * afterwards. */
    void (*on_damage)(void *arg, const char *vault, const char *what);
    /*
     * The vault holds what the ledger has forgotten: as `origin`, this installation, it has changes
     * behind `after` that are not the ledger's, which so went back in time. The ledger must go on
     * as another installation (ledger_renew_origin) when this returns 0; the vault's changes stay
     * where they are. An error is an outage: it is asked again.
     */
    int (*on_behind)(void *arg, const char *vault, const struct uuid *origin, uint64_t after,
                     struct err *err);
    /* What the vault is on is not mounted (what: one sentence). Told once, also over restarts,
     * until it was there again. False: that is not on record; it is told again. */
    bool (*on_away)(void *arg, const char *vault, const char *what);
    /* The connection was lost or came back; text NULL: it is well. For the log. */
    void (*on_state)(void *arg, const char *vault, const char *trouble);
};

int replicator_start(const struct replicator_options *options, struct replicator **ret,
                     struct err *err) MUST_CHECK;
void replicator_stop(struct replicator *replicator); /* cancels what runs, joins, frees */

void replicator_pause(struct replicator *replicator, bool paused);
void replicator_poke(struct replicator *replicator); /* try now, whatever the backoff says */

/*
 * Somebody read the vault's copy of this origin through and found it damaged (what: one sentence):
 * it is treated as the replicator's own find, at once. A copy that goes on behind the ledger's is
 * told, and left where it is: here it can't be filled again.
 */
void replicator_suspect(struct replicator *replicator, const struct uuid *origin, const char *what);

struct replicator_status {
    char name[64];
    char kind[16];
    bool connected;
    bool paused;
    uint64_t acked_seq; /* of this installation's origin */
    uint64_t head_seq;  /* of this installation's journal */
    uint64_t queue;     /* changes of all origins that wait */
    uint64_t dead;
    uint64_t
        elsewhere;  /* changes of other installations that the vault has and the journal has not */
    int64_t lag_ms; /* age of the oldest waiting change; 0 when none waits */
    int64_t last_ok_us; /* wall time of the last acknowledgement, TIME_NONE: never */
    uint64_t failures;  /* in a row */
    char error[256];    /* the last failure's text, "" when well */
};
/* Cheap: it reads nothing but memory. Heads and queue are those of the last commit that the thread
 * has seen. */
void replicator_status(struct replicator *replicator, struct replicator_status *ret);

/*
 * The questions below wait. Their errors name the vault.
 *
 * Try now, compare the vault's heads, and wait until everything that was in the journal at the call
 * is acknowledged (or a dead letter). ERR_UNAVAILABLE when that attempt fails, ERR_TIMEOUT,
 * ERR_PAUSED, ERR_CANCELLED.
 */
int replicator_drain(struct replicator *replicator, struct deadline deadline, struct err *err)
    MUST_CHECK;

/*
 * Wait until (origin, seq) is acknowledged: for ack = vault. ERR_UNAVAILABLE at once while the
 * vault is down (nobody hurries it for one change), or when it never takes this change because
 * another has its number there; ERR_INVALID when the vault can't take this change, else as above.
 */
int replicator_wait_for(struct replicator *replicator, const struct uuid *origin, uint64_t seq,
                        struct deadline deadline, struct err *err) MUST_CHECK;

/* Try all dead letters of this vault again; how many it took. ERR_UNAVAILABLE while it is down,
 * ERR_PAUSED. */
int replicator_replay(struct replicator *replicator, uint64_t *ret_replayed, struct err *err)
    MUST_CHECK;

/* The delay before attempt `failures` + 1, with ±20 % jitter from env: exported for tests. */
int64_t backoff_ms(uint64_t failures, int64_t initial_ms, int64_t max_ms, struct env *env);

#endif
