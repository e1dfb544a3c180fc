/* Sending what waits, batch by batch; setting apart what the vault never can take; trying that
 * again. */
#include "replicate/replicator_internal.h"

/* ---- reactions ---- */

/* All codes that are not here mean that the vault can't be reached, or can't take anything now. */
static const struct {
    enum err_code code;
    enum reaction reaction;
} reactions[] = {
    {ERR_INVALID, REACT_REJECT},
    {ERR_LIMIT, REACT_REJECT},
    {ERR_CONFLICT, REACT_REJECT},
    {ERR_CORRUPT, REACT_DAMAGE},
};

enum reaction replicator_reaction(enum err_code code)
{
    for (size_t i = 0; i < sizeof(reactions) / sizeof(reactions[0]); i++) {
        if (reactions[i].code == code) {
            return reactions[i].reaction;
        }
    }
    return REACT_RETRY;
}

void replicator_note(struct replicator *r, const char *result, const struct cursor *cursor,
                     uint64_t from, uint64_t count, int64_t begin_us, const char *error)
{
    int64_t now_us = r->env->now_us(r->env);
    struct err err = ERR_INIT;
    struct sync_event event = {.at_us = now_us,
                               .vault = r->name,
                               .direction = SYNC_PUSH,
                               .result = result,
                               .count = count,
                               .from_seq = from,
                               .to_seq = count == 0 ? from : from + count - 1,
                               .duration_us = now_us - begin_us,
                               .retries = r->failures,
                               .error = error};

    if (cursor != NULL) {
        event.origin = cursor->origin;
    }
    if (sync_event_add(r->log, &event, &err) < 0) {
        replicator_log_failed(r, &err);
    } else {
        r->told_log = false;
    }
}

/* ---- a batch ---- */

struct batch {
    struct vault_item *items;
    size_t count;
    size_t max;
    struct buf records; /* one behind the other */
    int64_t last_at_us;
};

static void batch_done(struct batch *batch)
{
    free(batch->items);
    buf_done(&batch->records);
}

/* Views are set when the buffer no longer moves. */
static void batch_fix(struct batch *batch)
{
    const char *at = batch->records.data;

    for (size_t i = 0; i < batch->count; i++) {
        batch->items[i].record.ptr = at;
        at += batch->items[i].record.len;
    }
}

/* 1 ends the walk: it is full. */
static int take_change(void *arg, const struct change *change, struct err *err)
{
    struct batch *batch = arg;

    if (batch->count == batch->max ||
        batch->records.len + change->record.len > VAULT_BATCH_BYTES_MAX) {
        return 1;
    }
    int rc = buf_add_str(&batch->records, change->record, err);
    if (rc == 0) {
        batch->items[batch->count++] = (struct vault_item){
            change->seq, {NULL, change->record.len}, change->prev, change->hash};
        batch->last_at_us = change->at_us;
    }
    return rc;
}

/* The changes behind `after`, at most max of them, in *ret (batch_done). ERR_NOT_FOUND: the journal
 * has none. */
static int collect(struct replicator *r, const struct cursor *cursor, uint64_t after, size_t max,
                   struct batch *ret, struct err *err)
{
    struct reader *reader = NULL;

    *ret = (struct batch){.items = xcalloc(max, sizeof(*ret->items)),
                          .max = max,
                          .records = BUF_INIT(VAULT_BATCH_BYTES_MAX)};
    int rc = read_begin(r->ledger, &reader, err);
    if (rc == 0) {
        rc = read_changes(reader, &cursor->origin, after, max, take_change, ret, err);
    }
    read_end(reader); /* no snapshot is held while the vault takes its time */
    if (rc >= 0 && ret->count == 0) {
        rc = err_set(err, ERR_NOT_FOUND, "seq %llu is not there", (unsigned long long)after + 1);
    }
    if (rc < 0) {
        return replicator_journal_failed(err);
    }
    batch_fix(ret);
    return 0;
}

/*
 * How many to send at once. When a change of the last batch was rejected, half of what is left of
 * it, until the one that is to blame stands alone.
 */
static size_t batch_size(const struct replicator *r, const struct cursor *cursor)
{
    if (cursor->bad_until <= cursor->acked) {
        return r->batch.now;
    }
    uint64_t half = (cursor->bad_until - cursor->acked) / 2;
    return half == 0 ? 1 : half < r->batch.now ? (size_t)half : r->batch.now;
}

/* ---- dead letters ---- */

static void count_dead(struct replicator *r)
{
    struct err err = ERR_INIT;
    uint64_t dead = 0;

    if (dead_letter_count(r->log, r->name, &dead, &err) < 0) {
        replicator_log_failed(r, &err);
        return;
    }
    (void)pthread_mutex_lock(&r->mutex);
    r->dead = dead;
    (void)pthread_mutex_unlock(&r->mutex);
}

/* The letter first: a crash between the two sends the change again, and finds it rejected again. */
static int put_apart(struct replicator *r, struct cursor *cursor, const struct vault_item *item,
                     const char *why, struct err *err)
{
    struct vault_item gap = {item->seq, {NULL, 0}, item->prev, item->hash};
    struct vault_batch batch = {cursor->origin, &gap, 1};
    struct dead_letter letter = {.at_us = r->env->now_us(r->env),
                                 .vault = r->name,
                                 .origin = cursor->origin,
                                 .seq = item->seq,
                                 .error = why};
    struct err trouble = ERR_INIT;

    if (dead_letter_add(r->log, &letter, &trouble) < 0) {
        replicator_log_failed(r, &trouble); /* the gap in the vault still says so */
    }
    count_dead(r);
    return r->ops->append(r->vault, &batch, replicator_deadline(), err);
}

/* ---- sending ---- */

struct cursor *replicator_waiting(struct replicator *r)
{
    struct cursor *found = NULL;

    for (size_t i = 0; i < r->cursor_count; i++) {
        struct cursor *cursor = &r->cursors[i];
        if (cursor_queue(cursor) > 0 && (found == NULL || uuid_eq(&cursor->origin, &r->origin))) {
            found = cursor;
        }
    }
    return found;
}

static void acknowledged(struct replicator *r, struct cursor *cursor, const struct vault_item *last,
                         int64_t at_us)
{
    int64_t now_us = r->env->now_us(r->env);

    if (cursor->refilling && last->seq == cursor->head) {
        cursor->refilling = false;
        replicator_note(r, "refilled", cursor, 1, last->seq, now_us, NULL);
    }
    replicator_set_cursor(r, cursor, last->seq, &last->hash);
    bool waits = replicator_waiting(r) != NULL;
    (void)pthread_mutex_lock(&r->mutex);
    r->last_ok_us = now_us;
    /* What waits now is no older than what was just sent; another origin's may be from long ago. */
    bool ours = uuid_eq(&cursor->origin, &r->origin) && at_us < now_us;
    r->waiting_since_us = waits ? (ours ? at_us : now_us) : TIME_NONE;
    (void)pthread_mutex_unlock(&r->mutex);
    replicator_went_well(r);
}

/* The vault rejects the batch: look for the change that is to blame, or put it apart when it stands
 * alone. */
static int rejected(struct replicator *r, struct cursor *cursor, const struct batch *batch,
                    struct err *err)
{
    const struct vault_item *last = &batch->items[batch->count - 1];

    if (batch->count > 1) {
        cursor->bad_until = last->seq;
        return 0;
    }
    AUTO(free_ptr) char *why = xstrdup(err->message);
    int rc = put_apart(r, cursor, last, why, err);
    if (rc < 0) {
        return err_context(err, "leaving a gap for seq %llu, which was rejected (%s)",
                           (unsigned long long)last->seq, why);
    }
    cursor->bad_until = 0;
    acknowledged(r, cursor, last, batch->last_at_us);
    return 0;
}

static const char *result_name(int rc)
{
    static const char *const names[] = {
        [REACT_RETRY] = "retry", [REACT_REJECT] = "rejected", [REACT_DAMAGE] = "damaged"};

    return rc == 0 ? "ok" : names[replicator_reaction((enum err_code) - rc)];
}

static int send_batch(struct replicator *r, struct cursor *cursor, const struct batch *batch,
                      struct err *err)
{
    struct vault_batch sent = {cursor->origin, batch->items, batch->count};
    int64_t begin_us = r->env->now_us(r->env);

    int rc = r->ops->append(r->vault, &sent, replicator_deadline(), err);
    if (rc != -ERR_CANCELLED) {
        replicator_note(r, result_name(rc), cursor, batch->items[0].seq, batch->count, begin_us,
                        rc == 0 ? NULL : err->message);
    }
    if (rc == 0) {
        fit_passed(&r->batch, batch->count);
        acknowledged(r, cursor, &batch->items[batch->count - 1], batch->last_at_us);
        return 0;
    }
    if (rc == -ERR_TIMEOUT) { /* what it has of it all the same, it passes over the next time */
        fit_too_much(&r->batch, batch->count);
    }
    switch (replicator_reaction(err->code)) {
    case REACT_REJECT:
        return rejected(r, cursor, batch, err);
    case REACT_DAMAGE:
        cursor->suspicion = *err; /* the check that follows finds out what it is */
        return 0;
    case REACT_RETRY:
        break;
    }
    return rc;
}

int replicator_send(struct replicator *r, struct cursor *cursor, struct err *err)
{
    struct batch batch;

    int rc = collect(r, cursor, cursor->acked, batch_size(r, cursor), &batch, err);
    if (rc == 0) {
        rc = send_batch(r, cursor, &batch, err);
    }
    batch_done(&batch);
    return rc;
}

/* ---- replay ---- */

struct letters {
    struct dead_letter *items; /* error and vault are not kept */
    size_t count;
};

static int take_letter(void *arg, const struct dead_letter *letter, struct err *err)
{
    struct letters *letters = arg;

    (void)err;
    letters->items = xrealloc(letters->items, (letters->count + 1) * sizeof(*letters->items));
    letters->items[letters->count] = *letter;
    letters->items[letters->count].vault = NULL;
    letters->items[letters->count].error = NULL;
    letters->count++;
    return 0;
}

/* One letter. *ret_taken is false when the vault rejects it again, which is no error. */
static int replay_letter(struct replicator *r, const struct dead_letter *letter, bool *ret_taken,
                         struct err *err)
{
    struct cursor of = {.origin = letter->origin};
    struct batch batch;
    int64_t begin_us = r->env->now_us(r->env);

    *ret_taken = false;
    int rc = collect(r, &of, letter->seq - 1, 1, &batch, err);
    if (rc == 0) {
        struct vault_batch sent = {letter->origin, batch.items, 1};
        rc = r->ops->append(r->vault, &sent, replicator_deadline(), err);
        replicator_note(r, result_name(rc), &of, letter->seq, 1, begin_us,
                        rc == 0 ? NULL : err->message);
        *ret_taken = rc == 0;
    }
    batch_done(&batch);
    if (*ret_taken) {
        return dead_letter_remove(r->log, letter->id, err);
    }
    return replicator_reaction((enum err_code) - rc) == REACT_REJECT ? 0 : rc;
}

/* Answer whoever asked. */
static void answer_replay(struct replicator *r, uint64_t replayed, const struct err *err)
{
    (void)pthread_mutex_lock(&r->mutex);
    if (r->replay.wanted) {
        r->replay.wanted = false;
        r->replay.done = true;
        r->replay.replayed = replayed;
        r->replay.err = *err;
        (void)pthread_cond_broadcast(&r->changed);
    }
    (void)pthread_mutex_unlock(&r->mutex);
}

void replicator_refuse_replay(struct replicator *r, const struct err *why)
{
    answer_replay(r, 0, why);
}

int replicator_do_replay(struct replicator *r, struct err *err)
{
    struct letters letters = {0};
    struct err none = ERR_INIT;
    uint64_t replayed = 0;

    int rc = dead_letters(r->log, r->name, take_letter, &letters, err);
    for (size_t i = 0; rc == 0 && i < letters.count && !wake_cancelled(&r->wake); i++) {
        bool taken;
        rc = replay_letter(r, &letters.items[i], &taken, err);
        replayed += taken ? 1 : 0;
    }
    free(letters.items);
    count_dead(r);
    answer_replay(r, replayed, rc == 0 ? &none : err);
    return rc;
}
