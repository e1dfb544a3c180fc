/* The thread: its states, and the loop that goes from one to the next. */
#include "replicate/replicator_internal.h"

#include <assert.h>
#include <poll.h>

#include "base/fault.h"
#include "base/utf8.h"

/* ---- what went well, what did not ---- */

struct deadline replicator_deadline(void)
{
    return deadline_in((int64_t)FAULT_LIMIT("HOLDFAST_CALL_MS", CALL_MS));
}

static int64_t now_ms(const struct replicator *r)
{
    return r->env->mono_ms(r->env);
}

static void disconnect(struct replicator *r)
{
    if (r->vault != NULL) {
        r->ops->close(r->vault);
        r->vault = NULL;
    }
}

void replicator_went_well(struct replicator *r)
{
    (void)pthread_mutex_lock(&r->mutex);
    r->connected = true;
    r->failures = 0;
    (void)pthread_cond_broadcast(&r->changed);
    (void)pthread_mutex_unlock(&r->mutex);
    r->told_damage.code = ERR_NONE;
    if (r->told_trouble) {
        r->told_trouble = false;
        r->on_state(r->arg, r->name, NULL);
    }
}

void replicator_log_failed(struct replicator *r, const struct err *err)
{
    AUTO(free_ptr)
    char *text = xprintf(
        "%s; going on without it: what is acknowledged is kept in memory, and asked of the vault "
        "after a restart",
        err->message);

    if (!r->told_log) {
        r->told_log = true;
        r->on_state(r->arg, r->name, text);
    }
}

/* The vault as a whole is damaged, newer, or another one: for a person, who is told once. */
static void tell_damage(struct replicator *r, const struct err *err)
{
    const char *newer = "; it is left as it is, and what comes waits here until this Holdfast is "
                        "one that knows it";

    if (r->told_damage.code != err->code || strcmp(r->told_damage.message, err->message) != 0) {
        AUTO(free_ptr)
        char *what = xprintf("%s%s", err->message, err->code == ERR_NEWER ? newer : "");
        (void)err_copy(&r->told_damage, err);
        r->on_damage(r->arg, r->name, what);
    }
}

/* What sync.db remembers of the vault; heap, NULL: nothing. */
static char *recall_flag(struct replicator *r, const char *flag)
{
    struct err err = ERR_INIT;
    char *value = NULL;

    if (sync_vault_flag_get(r->log, r->name, flag, &value, &err) < 0) {
        replicator_log_failed(r, &err);
    }
    return value;
}

static void remember_flag(struct replicator *r, const char *flag, const char *value)
{
    AUTO(free_ptr) char *before = recall_flag(r, flag);
    struct err err = ERR_INIT;

    if (before == NULL ? value == NULL : value != NULL && strcmp(before, value) == 0) {
        return;
    }
    if (sync_vault_flag_set(r->log, r->name, flag, value, &err) < 0) {
        replicator_log_failed(r, &err);
    }
}

static void tell_away(struct replicator *r, const struct err *err)
{
    AUTO(free_ptr) char *told = recall_flag(r, SYNC_FLAG_AWAY);

    if (told == NULL && r->on_away(r->arg, r->name, err->message)) {
        remember_flag(r, SYNC_FLAG_AWAY, "1");
    }
}

enum replicator_state replicator_failed(struct replicator *r, const struct err *err)
{
    bool damage = replicator_reaction(err->code) == REACT_DAMAGE || err->code == ERR_NEWER;
    bool away = err->code == ERR_AWAY;

    disconnect(r);
    if (err->code == ERR_CANCELLED && wake_cancelled(&r->wake)) {
        return STATE_BACKOFF; /* and from there to the end: nothing failed */
    }
    uint64_t failures = r->failures + 1; /* nobody else changes it */
    r->retry_ms = now_ms(r) + (damage || away ? r->check_ms
                                              : backoff_ms(failures, r->backoff_initial_ms,
                                                           r->backoff_max_ms, r->env));
    size_t len = utf8_cut(str_of(err->message), sizeof(r->error) - 1);
    (void)pthread_mutex_lock(&r->mutex);
    r->connected = false;
    r->failures = failures;
    r->failed_total++;
    r->pokes_failed = r->pokes_tried;
    memcpy(r->error, err->message, len);
    r->error[len] = '\0';
    (void)pthread_cond_broadcast(&r->changed);
    (void)pthread_mutex_unlock(&r->mutex);
    replicator_refuse_replay(r, err);
    if (away) {
        tell_away(r, err);
    }
    if (damage) {
        tell_damage(r, err);
    } else if (!r->told_trouble) {
        r->told_trouble = true;
        r->on_state(r->arg, r->name, err->message);
    }
    return STATE_BACKOFF;
}

/* ---- states ---- */

/* Until a moment on env's clock, or a wake. INT64_MAX: no such moment. */
static void wait_until(struct replicator *r, int64_t at_ms)
{
    (void)wake_wait(&r->wake,
                    at_ms == INT64_MAX ? deadline_never() : deadline_in(at_ms - now_ms(r)));
}

static bool poked(struct replicator *r)
{
    (void)pthread_mutex_lock(&r->mutex);
    bool result = r->pokes != r->pokes_tried;
    (void)pthread_mutex_unlock(&r->mutex);
    return result;
}

/* An attempt begins that serves the pokes there were so far, whatever comes of it. */
static uint64_t try_pokes(struct replicator *r)
{
    (void)pthread_mutex_lock(&r->mutex);
    uint64_t pokes = r->pokes;
    r->pokes_tried = pokes;
    (void)pthread_mutex_unlock(&r->mutex);
    return pokes;
}

static bool paused(struct replicator *r)
{
    (void)pthread_mutex_lock(&r->mutex);
    bool result = r->paused;
    (void)pthread_mutex_unlock(&r->mutex);
    return result;
}

static bool replay_wanted(struct replicator *r)
{
    (void)pthread_mutex_lock(&r->mutex);
    bool result = r->replay.wanted;
    (void)pthread_mutex_unlock(&r->mutex);
    return result;
}

/* The vault opened: it is the one that was used before, or it is used for the first time. */
static void keep_identity(struct replicator *r, const struct uuid *expected)
{
    struct uuid identity = r->ops->identity(r->vault);
    struct err err = ERR_INIT;

    if (!uuid_eq(&identity, expected) &&
        sync_vault_identity_set(r->log, r->name, &identity, &err) < 0) {
        replicator_log_failed(r, &err);
    }
    const char *place = r->ops->place == NULL ? NULL : r->ops->place(r->vault);
    if (place != NULL) { /* what can't be told now is not forgotten */
        remember_flag(r, SYNC_FLAG_PLACE, place);
    }
    remember_flag(r, SYNC_FLAG_AWAY, NULL);
}

/* The vault shows what two installations made of one memory. */
static void note_conflict(void *arg, const struct vault_conflict *conflict)
{
    struct replicator *r = arg;
    const struct cursor of = {.origin = conflict->origin};

    replicator_note(r, "conflict", &of, conflict->seq, 1, r->env->now_us(r->env), conflict->what);
}

/* The vault was altered, and is right again: for a person all the same. */
static void note_mended(void *arg, const char *what)
{
    struct replicator *r = arg;

    replicator_note(r, "damaged", NULL, 0, 0, r->env->now_us(r->env), what);
    r->on_damage(r->arg, r->name, what);
}

static enum replicator_state step_connect(struct replicator *r)
{
    struct vault_options options = {.name = r->name,
                                    .target = r->target,
                                    .installation = r->origin,
                                    .env = r->env,
                                    .cancel = &r->wake,
                                    .on_conflict = note_conflict,
                                    .on_mended = note_mended,
                                    .arg = r};
    struct err err = ERR_INIT;
    int64_t begin_us = r->env->now_us(r->env);

    if (r->vault != NULL) {
        return STATE_CHECK;
    }
    (void)try_pokes(r);
    AUTO(free_ptr) char *place = recall_flag(r, SYNC_FLAG_PLACE);
    options.expect_place = place;
    if (sync_vault_identity_get(r->log, r->name, &options.expect_vault, &err) < 0) {
        replicator_log_failed(r, &err);
    }
    if (r->ops->open(&options, &r->vault, &err) < 0) {
        r->vault = NULL;
        replicator_note(r, "retry", NULL, 0, 0, begin_us, err.message);
        return replicator_failed(r, &err);
    }
    keep_identity(r, &options.expect_vault);
    return STATE_CHECK;
}

static enum replicator_state step_check(struct replicator *r)
{
    struct err err = ERR_INIT;
    int64_t begin_us = r->env->now_us(r->env);
    uint64_t pokes = try_pokes(r);

    if (replicator_check(r, &err) < 0) {
        replicator_note(r, "retry", NULL, 0, 0, begin_us, err.message);
        return replicator_failed(r, &err);
    }
    r->check_due_ms = now_ms(r) + r->check_ms;
    r->proving = r->ops->prove != NULL;
    (void)pthread_mutex_lock(&r->mutex);
    r->pokes_met = pokes;
    (void)pthread_mutex_unlock(&r->mutex);
    replicator_went_well(r);
    return STATE_SEND;
}

/* A slice of the vault's proof; what waits to be sent goes before the next, until the next has its
 * share of the time. */
static enum replicator_state prove(struct replicator *r)
{
    enum vault_proof proof = VAULT_PROOF_DONE;
    struct err err = ERR_INIT;
    int64_t begin_us = r->env->now_us(r->env);
    int64_t begin_ms = now_ms(r);

    if (r->ops->prove(r->vault, &proof, replicator_deadline(), &err) < 0) {
        replicator_note(r, "retry", NULL, 0, 0, begin_us, err.message);
        return replicator_failed(r, &err);
    }
    r->proving = proof == VAULT_PROOF_MORE;
    r->prove_due_ms = now_ms(r) + (PROOF_SHARE - 1) * (now_ms(r) - begin_ms);
    return proof == VAULT_PROOF_DAMAGED ? STATE_CHECK : STATE_IDLE;
}

static enum replicator_state step_send(struct replicator *r)
{
    struct cursor *cursor = replicator_waiting(r);
    struct err err = ERR_INIT;

    if (cursor == NULL) {
        return STATE_IDLE;
    }
    if (replicator_send(r, cursor, &err) < 0) {
        return replicator_failed(r, &err);
    }
    r->gather = deadline_in(REPLICATOR_GATHER_MS);
    bool check = cursor->suspicion.code != ERR_NONE || poked(r) || now_ms(r) >= r->check_due_ms;
    if (check) {
        return STATE_CHECK;
    }
    return r->proving && now_ms(r) >= r->prove_due_ms ? prove(r) : STATE_SEND;
}

/*
 * What is committed soon after a send goes with the next one: under load, an fsync in the vault for
 * each commit would take the disk from the commits themselves. Commits don't end this wait; whoever
 * waits for an acknowledgement forgoes it.
 */
static void let_gather(struct replicator *r)
{
    (void)pthread_mutex_lock(&r->mutex);
    bool hurry = r->askers > 0 || r->pokes != r->pokes_tried;
    (void)pthread_mutex_unlock(&r->mutex);
    if (!hurry) {
        (void)poll(NULL, 0, (int)deadline_left_ms(r->gather));
    }
}

static enum replicator_state step_idle(struct replicator *r)
{
    struct err err = ERR_INIT;

    let_gather(r);
    if (replicator_read_heads(r, &err) < 0) {
        return replicator_failed(r, &err);
    }
    if (r->new_origins || poked(r) || now_ms(r) >= r->check_due_ms) {
        return STATE_CHECK;
    }
    if (replicator_waiting(r) != NULL) {
        return STATE_SEND;
    }
    if (replay_wanted(r)) {
        return replicator_do_replay(r, &err) < 0 ? replicator_failed(r, &err) : STATE_IDLE;
    }
    if (r->proving) {
        return prove(r);
    }
    wait_until(r, r->check_due_ms);
    return STATE_IDLE;
}

/* A commit wakes it too, which changes nothing but the length of the queue that is shown. */
static enum replicator_state step_backoff(struct replicator *r)
{
    struct err err = ERR_INIT;

    if (poked(r) || now_ms(r) >= r->retry_ms) {
        return STATE_CONNECT;
    }
    if (replicator_read_heads(r, &err) < 0) {
        err.code = ERR_NONE; /* it was for the status only; sending will say what is wrong */
    }
    wait_until(r, r->retry_ms);
    return STATE_BACKOFF;
}

static enum replicator_state step_paused(struct replicator *r)
{
    struct err err = ERR_INIT;

    if (!paused(r)) {
        return STATE_CONNECT;
    }
    (void)err_set(&err, ERR_PAUSED, "syncing is paused");
    replicator_refuse_replay(r, &err);
    if (replicator_read_heads(r, &err) < 0) {
        err.code = ERR_NONE; /* it was for the status only */
    }
    wait_until(r, INT64_MAX);
    return STATE_PAUSED;
}

/* ---- the loop ---- */

#define TO(state) (1U << (state))

/* What a state does, and where it may lead; from everywhere it leads to PAUSED, too. */
static const struct {
    enum replicator_state (*step)(struct replicator *r);
    unsigned to;
} states[STATES] = {
    [STATE_CONNECT] = {step_connect, TO(STATE_CHECK) | TO(STATE_BACKOFF)},
    [STATE_CHECK] = {step_check, TO(STATE_SEND) | TO(STATE_BACKOFF)},
    [STATE_SEND] = {step_send,
                    TO(STATE_SEND) | TO(STATE_CHECK) | TO(STATE_IDLE) | TO(STATE_BACKOFF)},
    [STATE_IDLE] = {step_idle,
                    TO(STATE_IDLE) | TO(STATE_SEND) | TO(STATE_CHECK) | TO(STATE_BACKOFF)},
    [STATE_BACKOFF] = {step_backoff, TO(STATE_BACKOFF) | TO(STATE_CONNECT)},
    [STATE_PAUSED] = {step_paused, TO(STATE_PAUSED) | TO(STATE_CONNECT)},
};

static void publish(struct replicator *r, enum replicator_state state)
{
    (void)pthread_mutex_lock(&r->mutex);
    if (r->state != state) {
        r->state = state;
        (void)pthread_cond_broadcast(&r->changed);
    }
    (void)pthread_mutex_unlock(&r->mutex);
}

static void *replicator_run(void *arg)
{
    struct replicator *r = arg;
    enum replicator_state state = STATE_CONNECT;

    while (!wake_cancelled(&r->wake)) {
        publish(r, state);
        enum replicator_state next = paused(r) ? STATE_PAUSED : state;
        if (next == state) {
            next = states[state].step(r);
            assert((states[state].to & TO(next)) != 0);
        }
        state = next;
    }
    disconnect(r);
    publish(r, STATE_STOPPED);
    return NULL;
}

/* ---- start and stop ---- */

static int64_t or_default(int64_t value, int64_t otherwise)
{
    return value > 0 ? value : otherwise;
}

static void init_monotonic_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;

    (void)pthread_condattr_init(&attributes); /* none of these can fail on Linux */
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(condition, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

static void replicator_free(struct replicator *r)
{
    wake_done(&r->wake);
    (void)pthread_cond_destroy(&r->changed);
    (void)pthread_mutex_destroy(&r->mutex);
    for (size_t i = 0; i < r->suspect_count; i++) {
        free(r->suspects[i].what);
    }
    free(r->suspects);
    free(r->cursors);
    free(r->name);
    free(r->target);
    free(r);
}

static struct replicator *replicator_new(const struct replicator_options *options,
                                         const struct vault_ops *ops, const char *target)
{
    struct replicator *r = xcalloc(1, sizeof(*r));
    int64_t batch = or_default((int64_t)options->batch_max, REPLICATOR_BATCH_DEFAULT);

    r->name = xstrdup(options->name);
    r->target = xstrdup(target);
    r->ops = ops;
    r->batch = FIT_INIT(batch < VAULT_BATCH_MAX ? (size_t)batch : VAULT_BATCH_MAX);
    r->backoff_initial_ms = or_default(options->backoff_initial_ms, BACKOFF_INITIAL_MS);
    r->backoff_max_ms = or_default(options->backoff_max_ms, BACKOFF_MAX_MS);
    r->check_ms = or_default(options->check_ms, REPLICATOR_CHECK_MS);
    r->paused = options->paused;
    r->ledger = options->ledger;
    r->log = options->log;
    r->env = ledger_env(options->ledger);
    r->origin = ledger_origin(options->ledger);
    r->arg = options->arg;
    r->on_damage = options->on_damage;
    r->on_behind = options->on_behind;
    r->on_away = options->on_away;
    r->on_state = options->on_state;
    r->last_ok_us = TIME_NONE;
    r->waiting_since_us = TIME_NONE;
    (void)pthread_mutex_init(&r->mutex, NULL); /* a plain one can't fail */
    init_monotonic_condition(&r->changed);
    return r;
}

int replicator_start(const struct replicator_options *options, struct replicator **ret,
                     struct err *err)
{
    const struct vault_ops *ops = options->ops;
    const char *target = options->spec;
    int rc = ops == NULL ? vault_driver(options->spec, &ops, &target, err) : 0;

    if (rc < 0) {
        return rc;
    }
    struct replicator *r = replicator_new(options, ops, target);
    struct err why = ERR_INIT;
    rc = wake_init(&r->wake, err);
    if (rc == 0 && dead_letter_count(r->log, r->name, &r->dead, &why) < 0) {
        replicator_log_failed(r, &why);
    }
    if (rc == 0) {
        ledger_subscribe(r->ledger, &r->wake);
        int errno_value = pthread_create(&r->thread, NULL, replicator_run, r);
        if (errno_value != 0) {
            ledger_unsubscribe(r->ledger, &r->wake);
            rc = err_errno(err, ERR_BUSY, errno_value, "starting the thread of vault %s", r->name);
        }
    }
    if (rc < 0) {
        replicator_free(r);
        return rc;
    }
    *ret = r;
    return 0;
}

void replicator_stop(struct replicator *r)
{
    if (r == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&r->mutex);
    r->stopping = true;
    (void)pthread_cond_broadcast(&r->changed);
    (void)pthread_mutex_unlock(&r->mutex);
    wake_cancel(&r->wake);
    (void)pthread_join(r->thread, NULL); /* started, and joined once */
    (void)pthread_mutex_lock(&r->mutex);
    while (r->askers > 0) { /* they were told above, and leave */
        (void)pthread_cond_wait(&r->changed, &r->mutex);
    }
    (void)pthread_mutex_unlock(&r->mutex);
    ledger_unsubscribe(r->ledger, &r->wake);
    replicator_free(r);
}
