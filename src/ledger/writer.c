/*
 * Group commit without a thread in between: of the threads that want to write, the first that finds
 * the right to write free takes all requests that wait, commits them as one transaction, and
 * answers them; those that came meanwhile are the next batch. A lone caller so writes on its own
 * thread, and 64 callers share an fsync.
 */
#include "base/fault.h"
#include "ledger/ledger_internal.h"

#define EFFECTS_FIRST 16

/* All that one transaction takes in; requests are linked by next. */
struct batch {
    struct ledger *ledger;
    struct request *first;
    struct request *last;
    size_t count;
    bool judged;
    bool journaled;
    bool stopped; /* the ledger stopped at it */
    uint64_t commits;
};

struct effects {
    struct effect *items;
    size_t count;
    size_t capacity;
};

static void effects_done(struct effects *effects)
{
    free(effects->items);
}

static struct effect *effects_next(struct effects *effects)
{
    if (effects->count == effects->capacity) {
        effects->capacity = effects->capacity == 0 ? EFFECTS_FIRST : effects->capacity * 2;
        effects->items = xrealloc(effects->items, effects->capacity * sizeof(*effects->items));
    }
    return &effects->items[effects->count];
}

/* ---- one request within the transaction ---- */

/* Is it the draft that is wrong, or the ledger that fails? */
static bool is_drafts_fault(enum err_code code)
{
    return code == ERR_INVALID || code == ERR_LIMIT || code == ERR_CONFLICT ||
           code == ERR_NOT_FOUND || code == ERR_USAGE;
}

static void refuse(struct written *written, enum err_code code, const char *message)
{
    free(written->message);
    *written = (struct written){.code = code, .message = xstrdup(message)};
}

static void refuse_all(struct request *request, size_t from, size_t count, const struct err *err)
{
    for (size_t i = from; i < from + count; i++) {
        refuse(&request->written[i], err->code, err->message);
    }
}

static void refuse_atomic(struct request *request, size_t failed, const struct err *err)
{
    struct err others = *err;

    (void)err_context(&others, "nothing was written, because draft %zu failed", failed);
    refuse_all(request, 0, request->count, &others);
    refuse(&request->written[failed], err->code, err->message);
}

static bool may_have_effects(const struct request *request)
{
    for (size_t i = request->done; i < request->done + request->taken; i++) {
        const struct draft *draft = &request->drafts[i];
        if (draft->kind == KIND_MEMORY &&
            (draft->op == OP_DELETE ||
             (draft->memory != NULL && !uuid_is_nil(&draft->memory->id)))) {
            return true;
        }
    }
    return false;
}

static int write_one(struct batch *batch, struct request *request, size_t i,
                     struct effects *effects, struct err *err)
{
    struct store *store = batch->ledger->store;
    uint64_t rows = store_rows_written(store);
    bool has_effect = false;

    int result = store_write(store, &request->drafts[i], &request->written[i],
                             effects_next(effects), &has_effect, err);
    if (result == 0) {
        effects->count += has_effect && !request->drafts[i].versioned;
        batch->journaled |= !request->written[i].unchanged;
    } else if (is_drafts_fault(err->code) && store_rows_written(store) != rows) {
        err->code =
            ERR_INTERNAL; /* a refused draft must leave nothing behind: undo the transaction */
        result = -ERR_INTERNAL;
    }
    return result;
}

/* Write the drafts of a request. *ret_failed: an atomic one met a wrong draft, and is to be undone.
 */
static int write_drafts(struct batch *batch, struct request *request, struct effects *effects,
                        bool *ret_failed, struct err *err)
{
    *ret_failed = false;
    for (size_t i = request->done; i < request->done + request->taken; i++) {
        if (write_one(batch, request, i, effects, err) == 0) {
            continue;
        }
        if (!is_drafts_fault(err->code)) {
            return -(int)err->code;
        }
        if (request->atomic) {
            refuse_atomic(request, i, err);
            *ret_failed = true;
            return 0;
        }
        refuse(&request->written[i], err->code, err->message);
    }
    return 0;
}

/* ---- the judge ---- */

static uint64_t view_live(const struct judge_view *view, const char *project_id)
{
    uint64_t live;
    uint64_t deleted;

    if (project_id != NULL) {
        return store_live(view->ctx, project_id);
    }
    store_counts(view->ctx, &live, &deleted);
    return live;
}

/* Tell the callers of this batch what the decision holds. */
static void mark_held(struct batch *batch, const struct decision *decision)
{
    for (struct request *request = batch->first; request != NULL; request = request->next) {
        for (size_t i = request->done; i < request->done + request->taken; i++) {
            struct written *written = &request->written[i];
            if (written->code == ERR_NONE && !written->unchanged &&
                ranges_contain(&decision->ranges, &written->origin, written->seq)) {
                written->held = true;
            }
        }
    }
}

static int journal_decisions(struct batch *batch, const struct decision *decisions, size_t count,
                             struct err *err)
{
    int result = 0;

    for (size_t i = 0; i < count && result == 0; i++) {
        struct draft draft = {.kind = KIND_GUARD, .decision = &decisions[i], .source = "guard"};
        struct written written;
        struct effect effect;
        bool has_effect;
        result = store_write(batch->ledger->store, &draft, &written, &effect, &has_effect, err);
    }
    for (size_t i = 0; i < count && result == 0; i++) {
        mark_held(batch, &decisions[i]);
    }
    return result;
}

static int ask_judge(struct batch *batch, const struct effects *effects, struct err *err)
{
    const struct ledger_judge *judge = batch->ledger->judge;
    struct judge_view view = {.live = view_live, .ctx = batch->ledger->store};
    struct decision decisions[JUDGE_DECISIONS_MAX];
    size_t count = 0;

    if (judge == NULL || effects->count == 0) {
        return 0;
    }
    for (size_t i = 0; i < JUDGE_DECISIONS_MAX; i++) {
        decision_init(&decisions[i]);
    }
    batch->judged = true;
    int result =
        judge->judge(judge->arg, effects->items, effects->count, &view, decisions, &count, err);
    if (result == 0) {
        result = journal_decisions(batch, decisions, count, err);
    }
    for (size_t i = 0; i < JUDGE_DECISIONS_MAX; i++) {
        decision_done(&decisions[i]);
    }
    return result < 0 ? err_context(err, "guard") : 0;
}

static int set_position(struct store *store, const struct request *request, struct err *err)
{
    bool is_last = request->done + request->taken == request->count;

    return request->position != NULL && is_last ? store_set_position(store, request->position, err)
                                                : 0;
}

static int write_request(struct batch *batch, struct request *request, struct err *err)
{
    AUTO(effects_done) struct effects effects = {.items = NULL};
    struct store *store = batch->ledger->store;
    bool marked = (request->atomic && request->count > 1) ||
                  (batch->ledger->judge != NULL && may_have_effects(request));
    bool failed;

    int result = marked ? store_mark(store, err) : 0;
    if (result == 0) {
        result = write_drafts(batch, request, &effects, &failed, err);
    }
    if (result < 0) {
        return result;
    }
    if (!failed && ask_judge(batch, &effects, err) < 0) {
        if (ledger_stops_at(err->code) || err->code == ERR_FULL || err->code == ERR_BUSY) {
            return -(int)err->code;
        }
        refuse_all(request, request->done, request->taken, err);
        for (size_t i = request->done; i < request->done + request->taken; i++) {
            request->written[i].is_whole = true;
        }
        failed = true;
    }
    if (!failed && set_position(store, request, err) < 0) {
        return -(int)err->code;
    }
    if (!marked) {
        return 0;
    }
    return failed ? store_return_to_mark(store, err) : store_unmark(store, err);
}

/* ---- one transaction ---- */

static int transact(struct batch *batch, struct err *err)
{
    struct ledger *ledger = batch->ledger;

    int result = identity_check(ledger->files, err);
    if (result == 0) {
        result = store_begin(ledger->store, err);
    }
    for (struct request *request = batch->first; request != NULL && result == 0;
         request = request->next) {
        result = write_request(batch, request, err);
    }
    if (result == 0) {
        result = store_commit(ledger->store, err);
    }
    if (result < 0) {
        store_rollback(ledger->store);
    }
    if (batch->judged) {
        ledger->judge->settled(ledger->judge->arg, result == 0);
        batch->judged = false;
    }
    return result;
}

/* What a request's callers learn when its transaction failed. */
static void fail_request(struct request *request, const struct err *err)
{
    for (size_t i = request->done; i < request->count; i++) {
        if (request->done > 0) {
            refuse(&request->written[i], err->code,
                   err->message); /* a part of it is durable, and says so */
        } else {
            free(request->written[i].message);
            request->written[i] = (struct written){.code = err->code};
        }
    }
    request->result = request->done > 0 ? 0 : err_copy(request->err, err);
    request->done = request->count;
}

static void commit_one_by_one(struct batch *batch);

static void commit_batch(struct batch *batch)
{
    struct err err = ERR_INIT;

    if (transact(batch, &err) == 0) {
        batch->commits++;
        for (struct request *request = batch->first; request != NULL; request = request->next) {
            request->done += request->taken;
        }
        return;
    }
    batch->journaled = false;
    if (ledger_stops_at(err.code)) {
        ledger_stop(batch->ledger, &err);
        batch->stopped = true;
    } else if (batch->count > 1 && err.code != ERR_FULL && err.code != ERR_BUSY) {
        commit_one_by_one(batch);
        return;
    }
    for (struct request *request = batch->first; request != NULL; request = request->next) {
        fail_request(request, &err);
    }
}

/* One of them breaks the transaction: the others must not suffer for it. */
static void commit_one_by_one(struct batch *batch)
{
    for (struct request *request = batch->first; request != NULL;) {
        struct request *next = request->next;
        struct batch single = {
            .ledger = batch->ledger, .first = request, .last = request, .count = 1};
        if (batch->stopped) {
            break; /* answer_batch tells the rest */
        }
        request->next = NULL;
        commit_batch(&single);
        batch->journaled |= single.journaled;
        batch->stopped |= single.stopped;
        batch->commits += single.commits;
        request->next = next;
        request = next;
    }
}

/* ---- the queue (the mutex is held) ---- */

static void enqueue(struct ledger *ledger, struct request *request)
{
    request->next = NULL;
    if (ledger->last == NULL) {
        ledger->first = request;
    } else {
        ledger->last->next = request;
    }
    ledger->last = request;
    ledger->waiting += request->count - request->done;
}

/* Move requests from the queue to the batch, up to LEDGER_BATCH_MAX drafts; an atomic one is never
 * split. */
static void take_batch(struct ledger *ledger, struct batch *ret)
{
    size_t room = LEDGER_BATCH_MAX;

    *ret = (struct batch){.ledger = ledger};
    while (ledger->first != NULL && room > 0) {
        struct request *request = ledger->first;
        size_t left = request->count - request->done;
        if (request->atomic && left > room && ret->count > 0) {
            break;
        }
        request->taken = request->atomic || left <= room ? left : room;
        room -= request->taken < room ? request->taken : room;
        ledger->first = request->next;
        ledger->last = ledger->first == NULL ? NULL : ledger->last;
        ledger->waiting -= left;
        request->next = NULL;
        if (ret->last == NULL) {
            ret->first = request;
        } else {
            ret->last->next = request;
        }
        ret->last = request;
        ret->count++;
    }
}

/*
 * Answer what is through; what is left of a long one waits behind those that came meanwhile.
 * Returns the answered, linked by next; their callers are counted out, and wait for call_back only.
 */
static struct request *answer_batch(struct ledger *ledger, struct batch *batch)
{
    struct request *answered = NULL;

    for (struct request *request = batch->first; request != NULL;) {
        struct request *next = request->next;
        if (request->done < request->count && ledger->stopped.code != ERR_NONE) {
            fail_request(request, &ledger->stopped);
        }
        if (request->done < request->count) {
            enqueue(ledger, request);
        } else {
            request->answered = true;
            request->next = answered;
            answered = request;
            ledger->callers--;
        }
        request = next;
    }
    return answered;
}

/* Without the mutex, so that nobody wakes up to wait for it. Each is its caller's again once it is
 * called, and gone. */
static void call_back(struct request *answered)
{
    while (answered != NULL) {
        struct request *next = answered->next;
        (void)sem_post(&answered->turn); /* fails only at SEM_VALUE_MAX */
        answered = next;
    }
}

static void tell_subscribers(struct ledger *ledger)
{
    for (size_t i = 0; i < ledger->subscriber_count; i++) {
        wake_signal(ledger->subscribers[i]);
    }
}

static void after_commit(struct ledger *ledger, const struct batch *batch)
{
    store_counts(ledger->store, &ledger->live_count, &ledger->deleted_count);
    ledger->commits += batch->commits;
    if (batch->journaled) {
        tell_subscribers(ledger);
    }
    if (store_log_pages(ledger->store) >= ledger->keeper_pages && !ledger->keeper_due) {
        ledger->keeper_due = true;
        (void)pthread_cond_signal(&ledger->keeper_wake);
    }
}

/* Use the right to write, which the caller has, for one batch, and pass it on. */
static void lead(struct ledger *ledger)
{
    struct batch batch;

    (void)pthread_mutex_lock(&ledger->mutex);
    take_batch(ledger, &batch);
    if (ledger->stopped.code == ERR_NONE) {
        (void)pthread_mutex_unlock(&ledger->mutex);
        commit_batch(&batch);
        CRASH_POINT("ledger.answer.before");
        (void)pthread_mutex_lock(&ledger->mutex);
        after_commit(ledger, &batch);
    }
    struct request *answered = answer_batch(ledger, &batch);
    right_give(ledger);
    (void)pthread_cond_broadcast(&ledger->door);
    (void)pthread_mutex_unlock(&ledger->mutex);
    call_back(answered);
}

void right_take(struct ledger *ledger)
{
    ledger->right_wanted++;
    while (ledger->writing) {
        (void)pthread_cond_wait(&ledger->right_free, &ledger->mutex);
    }
    ledger->right_wanted--;
    ledger->writing = true;
    ledger->writer = pthread_self();
}

void right_give(struct ledger *ledger)
{
    bool to_queue = ledger->right_wanted == 0 && ledger->first != NULL;

    ledger->writing = to_queue;
    if (to_queue) {
        ledger->writer = ledger->first->caller;
        (void)sem_post(&ledger->first->turn); /* fails only at SEM_VALUE_MAX */
    } else if (ledger->right_wanted > 0 || ledger->closing) {
        (void)pthread_cond_broadcast(&ledger->right_free);
    }
}

/* ---- a new installation ---- */

struct moving {
    struct store *store;
    struct store_move move;
};

static int move_one(void *arg, const struct change *change, struct err *err)
{
    struct moving *moving = arg;
    bool is_new;

    return store_import_moved(moving->store, change, &moving->move, 1, &is_new, err);
}

static int move_all(struct ledger *ledger, const struct store_move *move, struct err *err)
{
    struct moving moving = {.store = ledger->store, .move = *move};
    struct reader *reader = NULL;

    int result = identity_check(ledger->files, err);
    if (result == 0) {
        result = read_begin(ledger, &reader, err);
    }
    if (result == 0) {
        result = store_begin(ledger->store, err);
    }
    if (result == 0) {
        result = store_set_origin(ledger->store, &move->to, err);
    }
    if (result == 0) {
        result = read_changes(reader, &move->from, move->after, SIZE_MAX, move_one, &moving, err);
    }
    read_end(reader);
    if (result == 0) {
        result = store_commit(ledger->store, err);
    }
    if (result < 0) {
        store_rollback(ledger->store);
    }
    return result;
}

int ledger_renew_origin(struct ledger *ledger, const struct uuid *from, uint64_t after,
                        bool *ret_renewed, struct err *err)
{
    struct batch renewal = {.ledger = ledger, .journaled = true, .commits = 1};
    struct store_move move = {
        .from = *from, .after = after, .until = UINT64_MAX, .to = uuid_new(ledger->env)};

    (void)pthread_mutex_lock(&ledger->mutex);
    ledger->callers++;
    right_take(ledger);
    bool is_from = uuid_eq(&ledger->origin, from);
    int result = ledger->stopped.code == ERR_NONE ? 0 : err_copy(err, &ledger->stopped);
    (void)pthread_mutex_unlock(&ledger->mutex);
    *ret_renewed = false;
    if (result == 0 && is_from) {
        result = move_all(ledger, &move, err);
        *ret_renewed = result == 0;
    }
    if (result < 0 && ledger_stops_at(err->code)) {
        ledger_stop(ledger, err);
    }
    (void)pthread_mutex_lock(&ledger->mutex);
    if (*ret_renewed) {
        ledger->origin = move.to;
        after_commit(ledger, &renewal);
    }
    ledger->callers--;
    right_give(ledger);
    (void)pthread_mutex_unlock(&ledger->mutex);
    return result;
}

/* ---- the way in ---- */

/* Wait for room, and see whether the ledger takes anything at all. */
static int pass_door(struct ledger *ledger, struct err *err)
{
    if (ledger->writing && pthread_equal(ledger->writer, pthread_self())) {
        return err_set(err, ERR_INTERNAL,
                       "a write from within a write: the judge or a pause may not ask for one");
    }
    while (!ledger->closing && ledger->stopped.code == ERR_NONE &&
           ledger->waiting >= LEDGER_QUEUE_MAX) {
        (void)pthread_cond_wait(&ledger->door, &ledger->mutex);
    }
    if (ledger->stopped.code != ERR_NONE) {
        return err_copy(err, &ledger->stopped);
    }
    return ledger->closing ? err_set(err, ERR_CANCELLED, "the ledger is closing") : 0;
}

/* Until it is answered; the caller leads when its request comes to be the first. */
static void wait_for_answer(struct ledger *ledger, struct request *request)
{
    for (;;) {
        while (sem_wait(&request->turn) < 0) {
            /* a signal came, and was handled */
        }
        if (request->answered) {
            return;
        }
        lead(ledger);
    }
}

static int run_request(struct ledger *ledger, struct request *request)
{
    for (size_t i = 0; i < request->count; i++) {
        request->written[i] = (struct written){.code = ERR_NONE};
    }
    request->caller = pthread_self();
    (void)sem_init(&request->turn, 0, 0); /* can't fail with these */
    (void)pthread_mutex_lock(&ledger->mutex);
    ledger->callers++;
    request->result = pass_door(ledger, request->err);
    if (request->result == 0) {
        enqueue(ledger, request);
        if (!ledger->writing && ledger->right_wanted == 0) {
            right_give(ledger); /* to ourselves: nobody else waits */
        }
    } else {
        ledger->callers--;
        (void)pthread_cond_broadcast(&ledger->right_free); /* one who closes waits for callers */
    }
    (void)pthread_mutex_unlock(&ledger->mutex);
    if (request->result == 0) {
        wait_for_answer(ledger, request);
    }
    (void)sem_destroy(&request->turn);
    return request->result;
}

static int check_count(size_t count, struct err *err)
{
    return count <= LEDGER_REQUEST_MAX
               ? 0
               : err_set(err, ERR_LIMIT, "%zu drafts at once; at most %d are allowed", count,
                         LEDGER_REQUEST_MAX);
}

int ledger_write(struct ledger *ledger, const struct draft *drafts, size_t count, bool atomic,
                 struct written *ret_written, struct err *err)
{
    struct request request = {
        .drafts = drafts, .count = count, .atomic = atomic, .written = ret_written, .err = err};

    int result = check_count(count, err);
    return result < 0 || count == 0 ? result : run_request(ledger, &request);
}

int ledger_write_source(struct ledger *ledger, const struct draft *drafts, size_t count,
                        const struct source_position *position, struct written *ret_written,
                        struct err *err)
{
    struct request request = {
        .drafts = drafts, .count = count, .position = position, .written = ret_written, .err = err};
    size_t len = strlen(position->text);

    if (len == 0 || len > SOURCE_POSITION_MAX) {
        return err_set(err, ERR_LIMIT,
                       "the position of source %s has %zu bytes; allowed are 1 to %d",
                       position->source, len, SOURCE_POSITION_MAX);
    }
    int result = check_count(count, err);
    result = result == 0 ? run_request(ledger, &request) : result;
    /* Without drafts there is none that tells that the ledger had stopped. */
    return result == 0 && count == 0 ? ledger_health(ledger, err) : result;
}

void written_done(struct written *written, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(written[i].message);
        written[i].message = NULL;
    }
}
