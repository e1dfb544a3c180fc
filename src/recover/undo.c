#include "base/fault.h"
#include "recover/decide.h"
#include "recover/past.h"
#include "recover/plan.h"
#include "recover/recover.h"
#include "recover/stage.h"

/* The recovery asked for, or the last one that was not undone. */
static const struct past_recovery *find(const struct past *past, const struct uuid *id)
{
    for (size_t i = past->count; i-- > 0;) {
        const struct past_recovery *item = &past->items[i];
        bool meant = id == NULL || uuid_is_nil(id) || uuid_eq(id, &item->id);
        if (meant && !item->filter && !item->undone) {
            return item;
        }
    }
    return NULL;
}

static int not_found(const struct uuid *id, struct err *err)
{
    char text[UUID_TEXT_MAX];

    if (id == NULL || uuid_is_nil(id)) {
        return err_set(err, ERR_NOT_FOUND, "there is no recovery to undo");
    }
    uuid_format(id, text);
    return err_set(err, ERR_NOT_FOUND, "there is no recovery %s that is not undone already", text);
}

static int write_decisions(struct ledger *ledger, const struct decision *decisions, size_t count,
                           const char *source, struct err *err)
{
    AUTO(free_ptr) struct draft *drafts = xcalloc(count, sizeof(*drafts));
    AUTO(free_ptr) struct written *written = xcalloc(count, sizeof(*written));

    for (size_t i = 0; i < count; i++) {
        drafts[i] = decision_draft(&decisions[i], source);
    }
    int result = ledger_write(ledger, drafts, count, true, written, err);
    CRASH_POINT("recover.undone");
    if (result == 0 &&
        written[0].code != ERR_NONE) { /* atomic: each says what the first failure was */
        result = err_set(err, written[0].code, "%s", written[0].message);
    }
    written_done(written, count);
    return result;
}

static int undo(struct ledger *ledger, const struct past_recovery *item, const char *source,
                struct err *err)
{
    struct env *env = ledger_env(ledger);
    struct decision_frame frame = {
        .id = item->id,
        .kind = DECISION_UNDONE,
        .rule = RULE_RECOVER,
        .source = source,
        .summary = "the recovery was undone",
        .memories = item->memories,
        .started_us = env->now_us(env),
    };
    struct decision *decisions;
    size_t count;

    decisions_make(&frame, &item->named, &decisions, &count);
    int result = count == 0 ? 0 : write_decisions(ledger, decisions, count, source, err);
    decisions_free(decisions, count);
    return result;
}

/* ---- what goes with it ---- */

struct losing {
    const struct ranges *named;
    struct idset ids;
};

static int note_lost(void *arg, const struct memory_brief *brief, struct err *err)
{
    struct losing *losing = arg;

    (void)err;
    if (!brief->deleted && ranges_contain(losing->named, &brief->origin, brief->seq)) {
        idset_add(&losing->ids, &brief->id);
    }
    return 0;
}

/* Memories that are what they are by what this recovery brought: they go, or are what they were
 * before. */
static int count_lost(struct ledger *ledger, const struct past_recovery *item,
                      struct recover_report *report, struct err *err)
{
    struct losing losing = {.named = &item->named};
    struct reader *reader = NULL;

    int result = read_begin(ledger, &reader, err);
    if (result == 0) {
        result = read_briefs(reader, note_lost, &losing, err);
    }
    if (result == 0) {
        result = plan_count_harm(report, reader, &losing.ids, NULL, err);
    }
    read_end(reader);
    idset_done(&losing.ids);
    return result;
}

static int undo_locked(struct ledger *ledger, const struct uuid *id, const char *source,
                       const struct recover_consent *consent, struct recover_report *report,
                       struct err *err)
{
    struct reader *reader = NULL;
    struct past past = {.items = NULL};

    int result = read_begin(ledger, &reader, err);
    if (result == 0) {
        result = past_read(reader, &past, err);
    }
    read_end(reader);
    if (result < 0) {
        return result;
    }
    const struct past_recovery *item = find(&past, id);
    if (item == NULL) {
        result = not_found(id, err);
    } else {
        result = count_lost(ledger, item, report, err);
        if (result == 0 && consent != NULL) {
            result = consent->ask(consent->arg, report, err);
        }
        if (result == 0) {
            result = undo(ledger, item, source, err);
        }
        report->id = item->id;
        report->recovered_count = item->memories;
    }
    past_done(&past);
    return result;
}

int recover_undo(struct ledger *ledger, const struct uuid *id, const char *source,
                 const struct recover_consent *consent, struct recover_report *ret, struct err *err)
{
    struct stage stage = STAGE_INIT;
    struct recover_report report = {.from = NULL};
    struct env *env = ledger_env(ledger);
    int64_t started_ms = env->mono_ms(env);

    int result = stage_open(ledger_home(ledger), &stage, err);
    if (result == 0) {
        result = undo_locked(ledger, id, source, consent, &report, err);
    }
    stage_close(&stage);
    if (result < 0) {
        recover_report_done(&report);
        return result;
    }
    report.from = xstrdup("journal");
    report.duration_us = (env->mono_ms(env) - started_ms) * 1000;
    *ret = report;
    return 0;
}
