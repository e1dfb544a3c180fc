/* What other threads may ask: how it stands, to hurry, to wait until something is acknowledged. */
#include "replicate/replicator_internal.h"

#include <errno.h>
#include <time.h>

/* ---- hurry, pause ---- */

void replicator_pause(struct replicator *r, bool is_paused)
{
    (void)pthread_mutex_lock(&r->mutex);
    r->paused = is_paused;
    (void)pthread_cond_broadcast(&r->changed);
    (void)pthread_mutex_unlock(&r->mutex);
    wake_signal(&r->wake);
}

void replicator_poke(struct replicator *r)
{
    (void)pthread_mutex_lock(&r->mutex);
    r->pokes++;
    (void)pthread_mutex_unlock(&r->mutex);
    wake_signal(&r->wake);
}

void replicator_suspect(struct replicator *r, const struct uuid *origin, const char *what)
{
    (void)pthread_mutex_lock(&r->mutex);
    r->suspects = xrealloc(r->suspects, (r->suspect_count + 1) * sizeof(*r->suspects));
    r->suspects[r->suspect_count++] = (struct suspect){*origin, xstrdup(what)};
    (void)pthread_mutex_unlock(&r->mutex);
    replicator_poke(r);
}

/* ---- how it stands ---- */

/* The mutex is held. */
static uint64_t queue_of(const struct replicator *r)
{
    uint64_t queue = 0;

    for (size_t i = 0; i < r->cursor_count; i++) {
        queue += cursor_queue(&r->cursors[i]);
    }
    return queue;
}

void replicator_status(struct replicator *r, struct replicator_status *ret)
{
    int64_t now_us = r->env->now_us(r->env);
    struct replicator_status status = {0};

    (void)snprintf(status.name, sizeof(status.name), "%s", r->name); /* cut to what is shown */
    (void)snprintf(status.kind, sizeof(status.kind), "%s", r->ops->kind);
    (void)pthread_mutex_lock(&r->mutex);
    status.connected = r->connected;
    status.paused = r->paused;
    for (size_t i = 0; i < r->cursor_count; i++) {
        if (uuid_eq(&r->cursors[i].origin, &r->origin)) {
            status.acked_seq = r->cursors[i].acked;
            status.head_seq = r->cursors[i].head;
        }
    }
    status.queue = queue_of(r);
    status.dead = r->dead;
    status.elsewhere = r->elsewhere;
    if (r->waiting_since_us != TIME_NONE && now_us > r->waiting_since_us) {
        status.lag_ms = (now_us - r->waiting_since_us) / 1000;
    }
    status.last_ok_us = r->last_ok_us;
    status.failures = r->failures;
    if (r->failures > 0) {
        memcpy(status.error, r->error, sizeof(status.error));
    }
    (void)pthread_mutex_unlock(&r->mutex);
    *ret = status;
}

/* ---- waiting: the mutex is held around all of these ---- */

static void ask_begin(struct replicator *r)
{
    (void)pthread_mutex_lock(&r->mutex);
    r->askers++;
}

static void ask_end(struct replicator *r)
{
    r->askers--;
    (void)pthread_cond_broadcast(&r->changed);
    (void)pthread_mutex_unlock(&r->mutex);
}

/* What check_hope compares with, so that a vault that is down right now is an answer. */
static uint64_t failed_before(const struct replicator *r)
{
    return r->failures > 0 ? r->failed_total - 1 : r->failed_total;
}

/* ERR_TIMEOUT at the deadline. */
static int wait_change(struct replicator *r, struct deadline deadline, struct err *err)
{
    struct timespec until = {.tv_sec = deadline.at_ms / 1000,
                             .tv_nsec = deadline.at_ms % 1000 * 1000000};

    if (deadline_left_ms(deadline) == 0) {
        return err_set(err, ERR_TIMEOUT, "vault %s has not acknowledged it in time", r->name);
    }
    if (deadline.at_ms == DEADLINE_NEVER) {
        (void)pthread_cond_wait(&r->changed, &r->mutex); /* can't fail */
    } else {
        (void)pthread_cond_timedwait(&r->changed, &r->mutex, &until); /* the clock is read above */
    }
    return 0;
}

/* Why waiting is of no use: it is stopped or paused. */
static int check_runs(const struct replicator *r, struct err *err)
{
    if (r->stopping || r->state == STATE_STOPPED) {
        return err_set(err, ERR_CANCELLED, "vault %s: the replicator is being stopped", r->name);
    }
    if (r->paused) {
        return err_set(err, ERR_PAUSED, "vault %s: syncing is paused", r->name);
    }
    return 0;
}

static int say_failure(const struct replicator *r, struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, "vault %s: %s", r->name, r->error);
}

/* The same, or an attempt failed since `failed_before`. */
static int check_hope(const struct replicator *r, uint64_t failed_before, struct err *err)
{
    int rc = check_runs(r, err);

    return rc == 0 && r->failed_total != failed_before ? say_failure(r, err) : rc;
}

static const struct cursor *cursor_of(const struct replicator *r, const struct uuid *origin)
{
    for (size_t i = 0; i < r->cursor_count; i++) {
        if (uuid_eq(&r->cursors[i].origin, origin)) {
            return &r->cursors[i];
        }
    }
    return NULL;
}

static bool all_acked(const struct replicator *r, const struct head *heads, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct cursor *cursor = cursor_of(r, &heads[i].origin);
        if (cursor == NULL || (!cursor->forked && cursor->acked < heads[i].seq)) {
            return false;
        }
    }
    return true;
}

/* ---- drain ---- */

static int read_targets(struct replicator *r, struct head **ret_heads, size_t *ret_count,
                        struct err *err)
{
    struct reader *reader = NULL;

    int rc = read_begin(r->ledger, &reader, err);
    if (rc == 0) {
        rc = read_heads(reader, ret_heads, ret_count, err);
    }
    read_end(reader);
    return rc;
}

int replicator_drain(struct replicator *r, struct deadline deadline, struct err *err)
{
    AUTO(free_ptr) struct head *heads = NULL;
    size_t count = 0;

    int rc = read_targets(r, &heads, &count, err);
    if (rc < 0) {
        return rc;
    }
    ask_begin(r);
    uint64_t poke = ++r->pokes; /* which makes it compare the heads, too */
    wake_signal(&r->wake);
    while (rc == 0 && (r->pokes_met < poke || !all_acked(r, heads, count))) {
        rc = check_runs(r, err);
        if (rc == 0 && r->failures > 0 && r->pokes_failed >= poke) {
            rc = say_failure(r, err); /* not of an attempt that was under way before */
        }
        if (rc == 0) {
            rc = wait_change(r, deadline, err);
        }
    }
    ask_end(r);
    return rc;
}

/* ---- one change ---- */

struct letter_of {
    struct uuid origin;
    uint64_t seq;
    char *error; /* heap, when found */
};

static int find_letter(void *arg, const struct dead_letter *letter, struct err *err)
{
    struct letter_of *wanted = arg;

    (void)err;
    if (letter->seq != wanted->seq || !uuid_eq(&letter->origin, &wanted->origin)) {
        return 0;
    }
    wanted->error = xstrdup(letter->error);
    return 1;
}

/* The cursor passes a dead letter, too. */
static int check_letter(struct replicator *r, const struct uuid *origin, uint64_t seq,
                        struct err *err)
{
    struct letter_of wanted = {.origin = *origin, .seq = seq};

    (void)pthread_mutex_lock(&r->mutex);
    bool none = r->dead == 0;
    (void)pthread_mutex_unlock(&r->mutex);
    if (none) {
        return 0;
    }
    int rc = dead_letters(r->log, r->name, find_letter, &wanted, err);
    if (rc > 0) {
        rc = err_set(err, ERR_INVALID, "vault %s can't take it: %s", r->name, wanted.error);
        free(wanted.error);
    }
    return rc;
}

int replicator_wait_for(struct replicator *r, const struct uuid *origin, uint64_t seq,
                        struct deadline deadline, struct err *err)
{
    int rc = 0;

    ask_begin(r);
    uint64_t failed = failed_before(r);
    for (;;) {
        const struct cursor *cursor = cursor_of(r, origin);
        if (cursor != NULL && cursor->acked >= seq) {
            break;
        }
        rc = check_hope(r, failed, err);
        if (rc == 0 && cursor != NULL && cursor->forked) {
            rc = err_set(err, ERR_UNAVAILABLE,
                         "vault %s has another change in its place: the ledger went back in time; "
                         "it is sent once more as a new one",
                         r->name);
        }
        if (rc == 0) {
            rc = wait_change(r, deadline, err);
        }
        if (rc < 0) {
            break;
        }
    }
    ask_end(r);
    return rc == 0 ? check_letter(r, origin, seq, err) : rc;
}

/* ---- replay ---- */

/* Wait for the turn, hand it over, wait for the answer, which the thread gives whatever happens. */
static int replay(struct replicator *r, struct replay *ret, struct err *err)
{
    int rc = check_hope(r, failed_before(r), err);

    while (rc == 0 && (r->replay.wanted || r->replay.done)) { /* somebody else's */
        rc = wait_change(r, deadline_never(), err);
        if (rc == 0) {
            rc = check_hope(r, failed_before(r), err);
        }
    }
    if (rc < 0) {
        return rc;
    }
    r->replay = (struct replay){.wanted = true};
    wake_signal(&r->wake);
    while (!r->replay.done && r->state != STATE_STOPPED) {
        (void)pthread_cond_wait(&r->changed, &r->mutex);
    }
    *ret = r->replay;
    r->replay = (struct replay){.wanted = false};
    return ret->done
               ? 0
               : err_set(err, ERR_CANCELLED, "vault %s: the replicator is being stopped", r->name);
}

int replicator_replay(struct replicator *r, uint64_t *ret_replayed, struct err *err)
{
    struct replay answer = {.wanted = false};

    ask_begin(r);
    int rc = replay(r, &answer, err);
    ask_end(r);
    if (rc == 0 && answer.err.code != ERR_NONE) {
        (void)err_copy(err, &answer.err);
        rc = err_context(err, "vault %s", r->name);
    }
    if (rc == 0) {
        *ret_replayed = answer.replayed;
    }
    return rc;
}
