/*
 * engine - assembles ledger, guard, index, vaults and sessions from the configuration, and is what
 * operations work on.
 *
 * Thread: open and close by one; the operations (api/ops.h) may come from any.
 */
#ifndef HOLDFAST_ENGINE_ENGINE_H
#define HOLDFAST_ENGINE_ENGINE_H

#include <pthread.h>

#include "engine/config.h"
#include "engine/notify.h"
#include "engine/toll.h"
#include "recover/recover.h"
#include "search/index.h"
#include "session/tracker.h"
#include "source/runner.h"

/* The alert that the configuration switches off the guard, a rule of it, or the asking of a person:
 * the one alert that no --yes resolves. */
#define RULE_GUARD_OFF "guard_off"

struct engine {
    char *home;
    struct config config;
    struct env *env;
    struct sync_log *log;
    struct guard *guard;
    struct ledger_judge judge;
    struct ledger *ledger;
    struct index *index;
    struct tracker *tracker;
    struct notifier *notifier;
    struct replicator *replicators[CONFIG_VAULTS_MAX];
    size_t replicator_count;
    struct runner *runners[CONFIG_SOURCES_MAX];
    size_t runner_count;
    struct runner
        *followers[CONFIG_SOURCES_MAX]; /* of the same source; NULL: its driver has none */
    _Atomic bool paused;         /* sync paused by a person, or by an alert with on_alert = pause */
    pthread_mutex_t alert_lock;  /* one recount of the open alerts at a time */
    _Atomic bool writes_stopped; /* on_alert = pause: an alert is open, nothing is written */
    _Atomic uint64_t calls;      /* operations served */
    _Atomic bool stirred;        /* some since memory was given back */
    struct toll toll;            /* what recoveries harmed without a person's word */
    struct wake *_Atomic housekeeper; /* of engine_run; NULL: it does not run yet */
};

struct engine_options {
    const char *home;        /* NULL: the default home */
    const char *config_file; /* NULL: home/holdfast.yaml */
    const char *who;         /* for the lock */
    struct env *env;         /* NULL: env_system() */
};

/* ERR_BUSY when another engine holds the home. */
int engine_open(const struct engine_options *options, struct engine **ret, struct err *err)
    MUST_CHECK;
void engine_close(
    struct engine *engine); /* within a second: what could not be sent waits in the ledger */

/* Run the housekeeping until wake is cancelled: idle sessions, the store's own files watched
 * (inotify), health. 0 on a clean stop; -ERR_* when the ledger stopped. */
int engine_run(struct engine *engine, struct wake *wake, struct err *err) MUST_CHECK;

/* An operation was served. A while after the last one the housekeeping gives back what caches hold.
 */
void engine_note_call(struct engine *engine);

/*
 * Pause and resume sync (kept over restarts). A pause that no person asked for raises an alert,
 * and does not happen when that can't be written. Resume is ERR_REFUSED while another alert is
 * open, unless person_confirmed.
 */
int engine_pause(struct engine *engine, const char *actor, bool is_person, struct err *err)
    MUST_CHECK;
int engine_resume(struct engine *engine, bool person_confirmed, struct err *err) MUST_CHECK;

/* Alerts were opened or resolved: look again whether writing is stopped. */
void engine_alerts_changed(struct engine *engine);

/* ERR_PAUSED when on_alert = pause stopped writing: the message says which alert and what to do. */
int engine_may_write(struct engine *engine, struct err *err) MUST_CHECK;

/* No vault of the configuration (which NEO4J_URI is one of) is where this target is: the secrets of
 * the environment are theirs, and not for it. */
bool engine_is_stranger(const struct config *config, const struct vault_ops *ops,
                        const char *target);

/* A vault by name or spec, or the first configured one (NULL); read_only for a recovery or verify,
 * else it must be the one that was used before. open_by as in struct vault_options. The caller
 * closes it through its ops. */
int engine_open_vault(struct engine *engine, const char *name_or_spec, bool read_only,
                      struct deadline open_by, struct vault **ret, char **ret_spec, struct err *err)
    MUST_CHECK;
#define ENGINE_OPEN_LONG ((struct deadline){0}) /* by the driver's own measure */

/*
 * Ask a vault that ranks by itself, by name or spec, or the first configured one that does (NULL).
 * The ledger and its index have no part in it. vector may be NULL. Hits as of index_search, but for
 * state.place (0) and state.held (false); score 1 is the first of every ranking. ERR_USAGE: that
 * vault can't, or none can; else as its search says (vault/vault.h).
 */
int engine_search_vault(struct engine *engine, const char *name_or_spec,
                        const struct search_query *query, const float *vector, size_t dimensions,
                        struct deadline deadline, struct search_hit **ret_hits, size_t *ret_count,
                        struct err *err) MUST_CHECK;

/* The configured vault with this name, or the first (NULL); NULL: there is none. Borrowed. */
const struct config_vault *engine_vault(const struct engine *engine, const char *name);

#endif
