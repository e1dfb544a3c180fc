#include "recover/activate.h"

#include "base/fault.h"
#include "recover/decide.h"
#include "recover/spans.h"

/* What happens while the writer stands still. */
struct pause {
    struct activation *activation;
    struct store *store;
    struct reader *live; /* what is live at this moment */
    struct idset moved;  /* memories written since the plan was made */
    struct uuid id;      /* of the recovery */
    int64_t started_us;
    struct ranges made; /* the changes of states that were taken back */
    bool exchanged;
};

static const struct recover_request *request_of(const struct pause *pause)
{
    return pause->activation->plan->request;
}

/* ---- what was written since the plan was made ---- */

static int catch_up_one(void *arg, const struct change *change, struct err *err)
{
    struct pause *pause = arg;
    struct uuid id;
    bool is_new;
    int result = 0;

    if (pause->activation->stage->folder != NULL) {
        result = store_import(pause->store, change, &is_new, err);
    }
    if (result == 0 && change->kind == KIND_MEMORY) {
        result = uuid_parse(str_of(change->id), &id, err);
        if (result == 0 && !uuid_is_nil(&id)) {
            idset_add(&pause->moved, &id);
        }
    }
    return result;
}

static uint64_t seen_by_plan(const struct activation *activation, const struct uuid *origin)
{
    for (size_t i = 0; i < activation->head_count; i++) {
        if (uuid_eq(&activation->heads[i].origin, origin)) {
            return activation->heads[i].seq;
        }
    }
    return 0;
}

static int catch_up(struct pause *pause, struct err *err)
{
    AUTO(free_ptr) struct head *heads = NULL;
    size_t count = 0;

    int result = read_heads(pause->live, &heads, &count, err);
    for (size_t i = 0; i < count && result == 0; i++) {
        uint64_t seen = seen_by_plan(pause->activation, &heads[i].origin);
        if (heads[i].seq > seen) {
            result = read_changes(pause->live, &heads[i].origin, seen, SIZE_MAX, catch_up_one,
                                  pause, err);
        }
    }
    return result < 0 ? err_context(err, "catching up what was written meanwhile") : 0;
}

/* ---- decisions ---- */

static int write_draft(struct pause *pause, const struct draft *draft, struct err *err)
{
    struct written written;
    struct effect effect;
    bool has_effect;

    return store_write(pause->store, draft, &written, &effect, &has_effect, err);
}

static int decide(struct pause *pause, struct uuid id, enum decision_kind kind, const char *rule,
                  const char *summary, uint64_t memories, const struct ranges *ranges,
                  struct err *err)
{
    const char *source = request_of(pause)->source;
    struct decision_frame frame = {
        .id = id,
        .kind = kind,
        .rule = rule,
        .source = source,
        .summary = summary,
        .memories = memories,
        .started_us = pause->started_us,
    };
    struct decision *decisions;
    size_t count;
    int result = 0;

    decisions_make(&frame, ranges, &decisions, &count);
    for (size_t i = 0; i < count && result == 0; i++) {
        struct draft draft = decision_draft(&decisions[i], source);
        result = write_draft(pause, &draft, err);
    }
    decisions_free(decisions, count);
    return result;
}

/* What earlier recoveries hide, and this one wants, comes into the view again. */
static int release(struct pause *pause, struct err *err)
{
    const struct plan *plan = pause->activation->plan;
    int result = 0;

    for (size_t i = 0; i < plan->past.count && result == 0; i++) {
        const struct past_recovery *past = &plan->past.items[i];
        struct ranges ranges = {.items = NULL};
        spans_intersect(&past->held, &plan->released, &ranges);
        result = decide(pause, past->id, DECISION_ACCEPTED,
                        past->filter ? RULE_RECOVER_FILTER : RULE_RECOVER,
                        "brought back by a later recovery", 0, &ranges, err);
        ranges_done(&ranges);
    }
    return result;
}

/* The whole, then what is wanted of it, where that takes fewer ranges than naming what is not
 * wanted. */
static int exclude(struct pause *pause, struct err *err)
{
    static const char summary[] = "outside of what the recovery was asked for";
    const struct plan *plan = pause->activation->plan;
    struct uuid id = uuid_new(ledger_env(pause->activation->context->ledger));
    struct ranges wanted = {.items = NULL};

    spans_subtract(&plan->imported, &plan->excluded, &wanted);
    bool whole = plan->excluded.count > RANGES_MAX &&
                 wanted.count + plan->imported.count < plan->excluded.count / 2;
    int result = decide(pause, id, DECISION_UNDONE, RULE_RECOVER_FILTER, summary, 0,
                        whole ? &plan->imported : &plan->excluded, err);
    if (result == 0 && whole) {
        result = decide(pause, id, DECISION_ACCEPTED, RULE_RECOVER_FILTER,
                        "within what the recovery was asked for", 0, &wanted, err);
    }
    ranges_done(&wanted);
    return result;
}

static int record(struct pause *pause, struct err *err)
{
    const struct plan *plan = pause->activation->plan;
    struct recover_report *report = plan->report;
    struct ranges all = {.items = NULL};

    spans_subtract(&plan->imported, &plan->excluded, &all);
    spans_put_all(&all, &plan->released);
    spans_put_all(&all, &pause->made);
    ranges_sort(&all);
    AUTO(free_ptr)
    char *summary = xprintf("%llu memories recovered from %s",
                            (unsigned long long)report->recovered_count, report->from);
    int result = decide(pause, pause->id, DECISION_ACCEPTED, RULE_RECOVER, summary,
                        report->recovered_count, &all, err);
    ranges_done(&all);
    return result;
}

/* ---- states of the past ---- */

struct taking_back {
    struct pause *pause;
    const struct take_back *item;
};

static int put_back(void *arg, const struct change *change, struct err *err)
{
    struct taking_back *taking_back = arg;
    struct pause *pause = taking_back->pause;
    AUTO(memory_done) struct memory memory;
    struct written written = {.seq = 0};
    struct effect effect;
    bool has_effect;

    memory_init(&memory);
    int result = memory_read_body(change->body, &memory, err);
    if (result < 0) {
        return result;
    }
    memory.id = taking_back->item->id;
    memory.project_id = xstrdup(change->project_id);
    memory.session_id = change->session_id;
    memory.version = 0;
    memory.updated_us = TIME_NONE;
    struct draft draft = {
        .kind = KIND_MEMORY, .op = OP_PUT, .memory = &memory, .source = request_of(pause)->source};
    result = store_write(pause->store, &draft, &written, &effect, &has_effect, err);
    if (result == 0 && !written.unchanged) {
        spans_put(&pause->made, &written.origin, written.seq, written.seq);
    }
    return result;
}

/* Somebody wrote it while the recovery was under way: that is newer than what was asked for. */
static void leave(struct plan *plan, const struct take_back *item)
{
    struct recover_project *project = &plan->report->projects[item->project];

    project->taken_back--;
    project->recovered--;
    project->skipped++;
    plan->report->recovered_count--;
    plan->report->skipped_count++;
}

static int take_back_all(struct pause *pause, struct reader *reader, struct err *err)
{
    struct plan *plan = pause->activation->plan;
    int result = 0;

    for (size_t i = 0; i < plan->back_count && result == 0; i++) {
        struct taking_back taking_back = {.pause = pause, .item = &plan->back[i]};
        if (idset_has(&pause->moved, &plan->back[i].id)) {
            leave(plan, &plan->back[i]);
            continue;
        }
        result = read_change(reader, &plan->back[i].origin, plan->back[i].seq, put_back,
                             &taking_back, err);
    }
    return result;
}

static int take_back(struct pause *pause, struct err *err)
{
    const struct stage *stage = pause->activation->stage;
    struct reader *staged = NULL;

    if (pause->activation->plan->back_count == 0) {
        return 0;
    }
    int result = stage->folder == NULL ? 0 : read_folder(stage->folder, &staged, err);
    if (result == 0) {
        result = take_back_all(pause, staged == NULL ? pause->live : staged, err);
    }
    read_end(staged);
    return result;
}

/* ---- all of it ---- */

static int write_all(struct pause *pause, struct err *err)
{
    const struct activation *activation = pause->activation;
    struct uuid own = ledger_origin(activation->context->ledger);
    int result = store_begin(pause->store, err);

    if (result == 0 && activation->stage->folder != NULL) {
        result = store_set_origin(pause->store, &own, err); /* it may be another one since */
    }
    if (result == 0) {
        result = catch_up(pause, err);
    }
    CRASH_POINT("recover.caught_up");
    if (result == 0) {
        result = release(pause, err);
    }
    if (result == 0) {
        result = exclude(pause, err);
    }
    if (result == 0) {
        result = take_back(pause, err);
    }
    if (result == 0) {
        result = record(pause, err);
    }
    CRASH_POINT("recover.decided");
    if (result == 0) {
        result = store_commit(pause->store, err);
    }
    CRASH_POINT("recover.committed");
    return result;
}

static int run_paused(void *arg, const char *live, bool *ret_exchanged, struct err *err)
{
    struct pause *pause = arg;
    struct stage *stage = pause->activation->stage;
    const struct recover_context *context = pause->activation->context;
    const char *folder = stage->folder == NULL ? live : stage->folder;

    int result = read_begin(context->ledger, &pause->live, err);
    if (result == 0) {
        result = store_open(folder, STORE_LIVE, ledger_env(context->ledger), &pause->store, err);
    }
    if (result == 0) {
        result = write_all(pause, err);
    }
    read_end(pause->live);
    store_close(pause->store);
    if (result < 0) {
        return result;
    }
    if (stage->folder == NULL) {
        pause->exchanged = true; /* the ledger must read anew what was written past it */
    } else {
        result = stage_exchange(stage, live, &pause->exchanged, err);
    }
    *ret_exchanged = pause->exchanged;
    return result;
}

int activate(struct activation *activation, struct err *err)
{
    struct ledger *ledger = activation->context->ledger;
    struct env *env = ledger_env(ledger);
    struct pause pause = {
        .activation = activation,
        .id = uuid_new(env),
        .started_us = env->now_us(env),
    };

    int result = ledger_with_writer_paused(ledger, run_paused, &pause, err);
    CRASH_POINT("recover.activated");
    if (result == 0) {
        activation->plan->report->id = pause.id;
    } else if (pause.exchanged) {
        activation->stage->keep =
            true; /* the new one did not open: leave the old one to be looked at */
    }
    idset_done(&pause.moved);
    ranges_done(&pause.made);
    return result < 0 ? err_context(err, "activating") : 0;
}
