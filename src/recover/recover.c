#include "recover/recover.h"

#include <errno.h>
#include <time.h>

#include "base/fault.h"
#include "recover/activate.h"
#include "recover/parts.h"
#include "recover/spans.h"

/* ---- the report ---- */

void recover_report_done(struct recover_report *report)
{
    for (size_t i = 0; i < report->project_count; i++) {
        free(report->projects[i].project_id);
    }
    free(report->projects);
    ranges_done(&report->gaps);
    vault_damages_free(report->damages, report->damage_count);
    free(report->from);
    *report = (struct recover_report){.from = NULL};
}

static int64_t monotonic_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* can't fail */
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void tell(const struct recover_context *context, const char *step, uint64_t done,
                 uint64_t total)
{
    if (context->progress != NULL) {
        context->progress(context->progress_arg, step, done, total);
    }
}

static int check_cancel(const struct recover_context *context, struct err *err)
{
    if (context->cancel != NULL && wake_cancelled(context->cancel)) {
        return err_set(err, ERR_CANCELLED, "the recovery was cancelled");
    }
    return 0;
}

/* ---- one recovery ---- */

struct run {
    const struct recover_context *context;
    const struct recover_request *request;
    struct stage stage;
    struct parts parts;
    struct plan plan;
    struct reader *before; /* the live ledger */
    struct reader *after;  /* the staged one, or the live one too */
    struct head *heads;    /* of before */
    size_t head_count;
    struct vault_damage *damages; /* of the vault, when it is read as a damaged one */
    size_t damage_count;
    struct recover_report report;
};

static void close_readers(struct run *run)
{
    if (run->after != run->before) {
        read_end(run->after);
    }
    read_end(run->before);
    run->before = run->after = NULL;
}

static void run_done(struct run *run)
{
    close_readers(run);
    stage_close(&run->stage);
    parts_done(&run->parts);
    plan_done(&run->plan);
    free(run->heads);
    run->heads = NULL;
    run->head_count = 0;
    recover_report_done(&run->report);
}

static int stage_missing(struct run *run, struct err *err)
{
    if (run->parts.count == 0) {
        run->after = run->before;
        return 0;
    }
    tell(run->context, "copy", 0, 0);
    int result =
        stage_build(&run->stage, run->context, run->before, &run->parts, &run->plan.touched, err);
    if (result < 0) {
        return err_context(err, "%s", run->context->vault_spec);
    }
    for (size_t i = 0; i < run->parts.count; i++) {
        struct range span = parts_span(&run->parts, &run->parts.items[i]);
        spans_put(&run->plan.imported, &span.origin, span.from, span.to);
    }
    ranges_sort(&run->plan.imported);
    run->report.changes_imported = run->parts.total;
    return read_folder(run->stage.folder, &run->after, err);
}

/* Nothing is missing: every change that was live, and every one that the vault has more. */
static int check_counts(struct run *run, struct err *err)
{
    struct ledger_counts before = {.changes = 0};
    struct ledger_counts after = {.changes = 0};

    int result = read_counts(run->before, &before, err);
    if (result == 0) {
        result = read_counts(run->after, &after, err);
    }
    uint64_t expected = before.changes + run->parts.total;
    if (result == 0 && after.changes < expected) {
        result = err_set(err, ERR_CORRUPT,
                         "%llu changes were staged where %llu are expected; nothing was activated",
                         (unsigned long long)after.changes, (unsigned long long)expected);
    }
    return result;
}

/* What lies on the disk now proves itself: every number, hash, record and current state. */
static int check_chains(struct run *run, struct err *err)
{
    struct verify_result verified;
    char origin[UUID_TEXT_MAX];

    int result = read_verify(run->after, &verified, err);
    if (result == 0 && FAULT("recover.verify", EIO)) {
        verified = (struct verify_result){.reason = "injected"};
    }
    if (result < 0 || verified.ok) {
        return result;
    }
    uuid_format(&verified.bad_origin, origin);
    return err_set(
        err, ERR_CORRUPT,
        "the staged copy is wrong at change %llu of origin %s (%s); nothing was activated",
        (unsigned long long)verified.bad_seq, origin, verified.reason);
}

static int validate(struct run *run, struct err *err)
{
    if (run->parts.count == 0) {
        return 0;
    }
    tell(run->context, "validate", 0, 0);
    int result = check_counts(run, err);
    return result < 0 ? result : check_chains(run, err);
}

static int make_plan(struct run *run, struct err *err)
{
    int result = parts_ask(run->context, &run->parts, err);

    run->parts.damages = run->damages;
    run->parts.damage_count = run->damage_count;
    if (result == 0) {
        result = read_begin(run->context->ledger, &run->before, err);
    }
    if (result == 0) {
        result = read_heads(run->before, &run->heads, &run->head_count, err);
    }
    if (result == 0) {
        result = parts_find(run->context, run->before, &run->parts, err);
    }
    if (result == 0) {
        spans_put_all(&run->report.gaps, &run->parts.gaps);
    }
    if (result == 0) {
        result = stage_missing(run, err);
    }
    if (result == 0) {
        result = validate(run, err);
    }
    CRASH_POINT("recover.validated");
    if (result == 0) {
        tell(run->context, "plan", 0, 0);
        result = past_read(run->after, &run->plan.past, err);
    }
    if (result == 0) {
        result = plan_make(&run->plan, run->after, run->before, err);
    }
    CRASH_POINT("recover.planned");
    return result;
}

static int activate_plan(struct run *run, struct err *err)
{
    const struct recover_context *context = run->context;
    struct activation activation = {
        .context = context,
        .plan = &run->plan,
        .stage = &run->stage,
        .heads = run->heads,
        .head_count = run->head_count,
    };

    int result = check_cancel(context, err);
    if (result < 0) {
        return result;
    }
    tell(context, "activate", 0, 0);
    result = activate(&activation, err);
    if (result == 0 && context->index != NULL && run->stage.folder != NULL) {
        index_reopen(context->index);
    }
    return result;
}

static int run_all(struct run *run, struct err *err)
{
    int result = stage_open(ledger_home(run->context->ledger), &run->stage, err);

    if (result == 0) {
        result = make_plan(run, err);
    }
    close_readers(run);
    if (result < 0 || run->request->dry_run || !plan_has_work(&run->plan)) {
        return result;
    }
    const struct recover_consent *consent = run->request->consent;
    if (consent != NULL) {
        result = consent->ask(consent->arg, &run->report, err);
    }
    if (result == 0) {
        result = activate_plan(run, err);
    }
    return result;
}

static int check_request(const struct recover_context *context,
                         const struct recover_request *request, struct err *err)
{
    if (request->source == NULL || request->source[0] == '\0') {
        return err_set(err, ERR_USAGE, "source is empty; it says who recovers");
    }
    if (context->vault == NULL && request->at_us == TIME_NONE) {
        return err_set(err, ERR_USAGE,
                       "there is no vault to recover from; name one, or a moment (--at) to go back "
                       "to in the ledger's own journal");
    }
    return 0;
}

static int run_once(struct run *run, struct err *err)
{
    const struct recover_context *context = run->context;

    run->plan.request = run->request;
    run->plan.report = &run->report;
    run->report.dry_run = run->request->dry_run;
    run->report.from = xstrdup(context->vault == NULL ? "journal" : context->vault_spec);
    return run_all(run, err);
}

/*
 * It failed because something is damaged: is it the vault? Then it is read again, as what is intact
 * of it. err stays what it is when not.
 */
static bool can_salvage(struct run *run, struct err *err)
{
    struct vault *vault = run->context->vault;
    struct err ignored = ERR_INIT;

    if (vault == NULL || vault->ops->salvage == NULL ||
        vault->ops->salvage(vault, &run->damages, &run->damage_count, deadline_in(PIPE_SCAN_MS),
                            &ignored) < 0 ||
        run->damage_count == 0) {
        return false;
    }
    run_done(run);
    err->code = ERR_NONE;
    return true;
}

int recover_run(const struct recover_context *context, const struct recover_request *request,
                struct recover_report *ret, struct err *err)
{
    struct run run = {.context = context, .request = request, .stage = STAGE_INIT};
    int64_t started_us = monotonic_us();

    int result = check_request(context, request, err);
    if (result < 0) {
        return result;
    }
    result = run_once(&run, err);
    if (result == -ERR_CORRUPT && can_salvage(&run, err)) {
        result = run_once(&run, err);
    }
    if (result == 0) {
        *ret = run.report;
        ret->damages = run.damages;
        ret->damage_count = run.damage_count;
        ret->duration_us = monotonic_us() - started_us;
        run.report = (struct recover_report){.from = NULL};
        run.damages = NULL;
        run.damage_count = 0;
    }
    vault_damages_free(run.damages, run.damage_count);
    run_done(&run);
    return result;
}
