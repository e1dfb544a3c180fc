#include "recover/plan.h"

#include "base/timestamp.h"
#include "recover/history.h"
#include "recover/spans.h"

void plan_done(struct plan *plan)
{
    past_done(&plan->past);
    ranges_done(&plan->imported);
    ranges_done(&plan->hidden);
    ranges_done(&plan->guarded);
    ranges_done(&plan->excluded);
    ranges_done(&plan->released);
    idset_done(&plan->touched);
    idset_done(&plan->veiled);
    idset_done(&plan->wanted);
    idset_done(&plan->sessions);
    idset_done(&plan->gone);
    idset_done(&plan->replaced);
    free(plan->back);
    *plan = (struct plan){.request = NULL};
}

bool plan_filtered(const struct recover_request *request)
{
    return request->project_id != NULL || !uuid_is_nil(&request->session_id) ||
           !uuid_is_nil(&request->memory_id) || request->since_us != TIME_NONE;
}

bool plan_has_work(const struct plan *plan)
{
    if (plan_filtered(plan->request) && plan->report->recovered_count == 0 &&
        plan->report->taken_away_count == 0) {
        return false; /* nothing within the filter comes: its history may stay where it is */
    }
    return plan->imported.count > 0 || plan->released.count > 0 || plan->back_count > 0;
}

/* ---- counting ---- */

enum outcome { SKIPPED, FRESH, NEWER, TAKEN_BACK, TAKEN_AWAY };

struct recover_project *plan_project(struct recover_report *report, size_t *last, const char *id)
{
    size_t i = *last;

    if (i < report->project_count && strcmp(report->projects[i].project_id, id) == 0) {
        return &report->projects[i];
    }
    for (i = 0; i < report->project_count; i++) {
        if (strcmp(report->projects[i].project_id, id) == 0) {
            break;
        }
    }
    if (i == report->project_count) {
        report->projects = xrealloc(report->projects, (i + 1) * sizeof(*report->projects));
        report->projects[i] = (struct recover_project){.project_id = xstrdup(id)};
        report->project_count++;
    }
    *last = i;
    return &report->projects[i];
}

static bool reported(const struct plan *plan, const char *project_id)
{
    for (size_t i = 0; i < plan->report->project_count; i++) {
        if (strcmp(plan->report->projects[i].project_id, project_id) == 0) {
            return true;
        }
    }
    return false;
}

static void count(struct plan *plan, const char *project_id, enum outcome outcome, bool conflict)
{
    struct recover_report *report = plan->report;
    struct recover_project *project = plan_project(report, &plan->last_project, project_id);

    project->conflicts += conflict ? 1 : 0;
    report->conflict_count += conflict ? 1 : 0;
    if (outcome == SKIPPED) {
        project->skipped++;
        report->skipped_count++;
        return;
    }
    if (outcome == TAKEN_AWAY) {
        return; /* plan_count_harm counts it where it was */
    }
    project->recovered++;
    report->recovered_count++;
    project->fresh += outcome == FRESH ? 1 : 0;
    project->newer += outcome == NEWER ? 1 : 0;
    project->taken_back += outcome == TAKEN_BACK ? 1 : 0;
}

/* ---- one memory ---- */

/* What a memory will be. */
struct prospect {
    struct uuid id;
    struct uuid origin; /* of the change that says so */
    uint64_t seq;
    bool deleted;
    const char *project_id;
    struct uuid session_id;
    const struct history *history; /* NULL: not looked at */
};

struct comparing {
    struct plan *plan;
    struct reader *after;
    struct reader *before;
    bool anew; /* the live ledger has no memory at all: nothing to look up there */
};

static int change_time(void *arg, const struct change *change, struct err *err)
{
    (void)err;
    *(int64_t *)arg = change->at_us;
    return 0;
}

static int within(struct comparing *comparing, const struct prospect *prospect, bool *ret,
                  struct err *err)
{
    const struct recover_request *request = comparing->plan->request;
    int64_t at_us = TIME_NONE;

    bool of_project =
        request->project_id == NULL || strcmp(request->project_id, prospect->project_id) == 0;
    bool of_session =
        uuid_is_nil(&request->session_id) || uuid_eq(&request->session_id, &prospect->session_id);
    bool of_memory =
        uuid_is_nil(&request->memory_id) || uuid_eq(&request->memory_id, &prospect->id);
    comparing->plan->found_project = comparing->plan->found_project || of_project;
    comparing->plan->found_session = comparing->plan->found_session || of_session;
    comparing->plan->found_memory = comparing->plan->found_memory || of_memory;
    *ret = of_project && of_session && of_memory;
    if (!*ret || request->since_us == TIME_NONE) {
        return 0;
    }
    int result =
        read_change(comparing->after, &prospect->origin, prospect->seq, change_time, &at_us, err);
    *ret = at_us >= request->since_us;
    return result;
}

/* Before and after, without what is taken back. ret_was has seq 0 when it was not here. */
static int compare(struct comparing *comparing, const struct prospect *prospect, enum outcome *ret,
                   struct memory_brief *ret_was, struct err *err)
{
    struct plan *plan = comparing->plan;
    struct memory_brief was = {.seq = 0};

    bool brought = ranges_contain(&plan->imported, &prospect->origin, prospect->seq) ||
                   ranges_contain(&plan->hidden, &prospect->origin, prospect->seq);
    /* What was deleted is not brought back; what is not brought was made here meanwhile. */
    *ret = brought && !prospect->deleted ? FRESH : SKIPPED;
    *ret_was = was;
    if (comparing->anew) {
        return 0;
    }
    int result = read_brief(comparing->before, &prospect->id, &was, err);
    if (result < 0) {
        return err->code == ERR_NOT_FOUND ? 0 : result;
    }
    *ret_was = was;
    bool same = was.seq == prospect->seq && uuid_eq(&was.origin, &prospect->origin);
    *ret = !brought || same ? SKIPPED : NEWER;
    if (*ret == NEWER && prospect->deleted) {
        *ret = was.deleted ? SKIPPED : TAKEN_AWAY;
    }
    return 0;
}

static void note_back(struct plan *plan, const struct uuid *id, const struct version *version)
{
    if (plan->back_count == plan->back_capacity) {
        plan->back_capacity = plan->back_capacity == 0 ? 64 : 2 * plan->back_capacity;
        plan->back = xrealloc(plan->back, plan->back_capacity * sizeof(*plan->back));
    }
    plan->back[plan->back_count++] =
        (struct take_back){.id = *id, .origin = version->origin, .seq = version->seq};
}

/* Is the memory at the moment asked for alive, and not what it is? Then it is to be taken back. */
static bool takes_back(struct plan *plan, const struct uuid *id, const struct history *history)
{
    const struct version *then = history_as_of(history, plan->request->at_us);

    if (then == NULL || then->memory.deleted_us != TIME_NONE ||
        !version_differs(then, history->latest)) {
        return false;
    }
    note_back(plan, id, then);
    return true;
}

/* It is alive: does it go, or get another's content, or an earlier one? The same chain going on is
 * neither: that is how an older copy catches up. */
static void note_harm(struct plan *plan, const struct prospect *prospect,
                      const struct memory_brief *was, enum outcome outcome)
{
    const struct take_back *back = outcome == TAKEN_BACK ? &plan->back[plan->back_count - 1] : NULL;

    if (outcome == TAKEN_AWAY) {
        idset_add(&plan->gone, &prospect->id);
    } else if ((outcome == NEWER && !uuid_eq(&was->origin, &prospect->origin)) ||
               (back != NULL && !(back->seq == was->seq && uuid_eq(&back->origin, &was->origin)))) {
        idset_add(&plan->replaced, &prospect->id);
    }
}

static int judge(struct comparing *comparing, const struct prospect *prospect, struct err *err)
{
    struct plan *plan = comparing->plan;
    enum outcome outcome = SKIPPED;
    struct memory_brief was;

    int result = compare(comparing, prospect, &outcome, &was, err);
    if (result < 0) {
        return result;
    }
    bool at = plan->request->at_us != TIME_NONE;
    bool contested = was.seq > 0 && idset_has(&plan->touched, &prospect->id);
    bool conflict = false;
    if (at || contested) {
        struct history own = {.items = NULL};
        const struct history *history = prospect->history;
        if (history == NULL) {
            result = history_read(comparing->after, &prospect->id, &plan->hidden, &plan->guarded,
                                  &own, err);
            history = &own;
        }
        if (result == 0 && history->latest != NULL) {
            conflict = contested && history_conflicts(history, &plan->imported);
            if (at && takes_back(plan, &prospect->id, history)) {
                outcome = TAKEN_BACK;
            }
        }
        history_done(&own);
    }
    if (result == 0) {
        count(plan, prospect->project_id, outcome, conflict);
    }
    if (result == 0 && outcome == TAKEN_BACK) {
        plan->back[plan->back_count - 1].project = plan->last_project;
    }
    if (result == 0 && was.seq > 0 && !was.deleted) {
        note_harm(plan, prospect, &was, outcome);
    }
    return result;
}

static int look_at(struct comparing *comparing, const struct prospect *prospect, struct err *err)
{
    struct plan *plan = comparing->plan;
    bool is_within;

    int result = within(comparing, prospect, &is_within, err);
    if (result < 0 || !is_within) {
        return result;
    }
    if (plan_filtered(plan->request)) {
        idset_add(&plan->wanted, &prospect->id);
        if (!uuid_is_nil(&prospect->session_id)) {
            idset_add(&plan->sessions, &prospect->session_id);
        }
    }
    return judge(comparing, prospect, err);
}

/* ---- all memories ---- */

static int take_brief(void *arg, const struct memory_brief *brief, struct err *err)
{
    struct comparing *comparing = arg;

    if (idset_has(&comparing->plan->veiled, &brief->id)) {
        return 0; /* what is hidden of it may win: its history is looked at */
    }
    struct prospect prospect = {
        .id = brief->id,
        .origin = brief->origin,
        .seq = brief->seq,
        .deleted = brief->deleted,
        .project_id = brief->project_id,
        .session_id = brief->session_id,
    };
    return look_at(comparing, &prospect, err);
}

static int look_behind_veil(struct comparing *comparing, const struct uuid *id, struct err *err)
{
    struct plan *plan = comparing->plan;
    struct history history;

    int result = history_read(comparing->after, id, &plan->hidden, &plan->guarded, &history, err);
    if (result < 0) {
        return result;
    }
    if (history.latest != NULL) {
        const struct version *latest = history.latest;
        struct prospect prospect = {
            .id = *id,
            .origin = latest->origin,
            .seq = latest->seq,
            .deleted = latest->memory.deleted_us != TIME_NONE,
            .project_id = latest->memory.project_id,
            .session_id = latest->memory.session_id,
            .history = &history,
        };
        result = look_at(comparing, &prospect, err);
    }
    history_done(&history);
    return result;
}

static int look_at_all(struct comparing *comparing, struct err *err)
{
    const struct idset *veiled = &comparing->plan->veiled;

    int result = read_briefs(comparing->after, take_brief, comparing, err);
    for (size_t i = 0; i < veiled->capacity && result == 0; i++) {
        if (!uuid_is_nil(&veiled->slots[i])) {
            result = look_behind_veil(comparing, &veiled->slots[i], err);
        }
    }
    return result;
}

/* ---- which changes are within the filter ---- */

typedef int each_fn(void *arg, const struct change *change, struct err *err);

static int read_spans(struct reader *reader, const struct ranges *spans, each_fn *each, void *arg,
                      struct err *err)
{
    int result = 0;

    for (size_t i = 0; i < spans->count && result == 0; i++) {
        const struct range *range = &spans->items[i];
        result = read_changes(reader, &range->origin, range->from - 1, range->to - range->from + 1,
                              each, arg, err);
    }
    return result;
}

static int note_veiled(void *arg, const struct change *change, struct err *err)
{
    struct uuid id;

    if (change->kind != KIND_MEMORY) {
        return 0;
    }
    int result = uuid_parse(str_of(change->id), &id, err);
    if (result == 0 && !uuid_is_nil(&id)) {
        idset_add(arg, &id);
    }
    return result;
}

struct sorting {
    const struct plan *plan;
    struct ranges *wanted; /* NULL: not asked for */
    struct ranges *others; /* likewise */
    bool last;             /* where the change before went */
};

/* A change that shows in no view goes where its neighbour went, so that ranges stay few. */
static bool is_wanted(const struct sorting *sorting, const struct change *change)
{
    const struct plan *plan = sorting->plan;
    const struct recover_request *request = plan->request;
    struct err ignored = ERR_INIT;
    struct uuid id;
    bool is_uuid = uuid_parse(str_of(change->id), &id, &ignored) == 0;

    switch (change->kind) {
    case KIND_MEMORY:
    case KIND_EMBEDDING:
        return is_uuid && idset_has(&plan->wanted, &id);
    case KIND_SESSION:
        return is_uuid && (idset_has(&plan->sessions, &id) ||
                           (request->project_id != NULL && uuid_is_nil(&request->session_id) &&
                            uuid_is_nil(&request->memory_id) && request->since_us == TIME_NONE &&
                            strcmp(change->project_id, request->project_id) == 0));
    case KIND_PROJECT:
        return reported(plan, change->id);
    case KIND_TASK:
        return reported(plan, change->project_id);
    case KIND_GUARD:
    case CHANGE_KINDS:
        break;
    }
    return sorting->last;
}

static int sort_change(void *arg, const struct change *change, struct err *err)
{
    struct sorting *sorting = arg;

    (void)err;
    sorting->last = is_wanted(sorting, change);
    struct ranges *to = sorting->last ? sorting->wanted : sorting->others;
    if (to != NULL) {
        spans_put(to, &change->origin, change->seq, change->seq);
    }
    return 0;
}

static int sort_changes(struct plan *plan, struct reader *after, struct err *err)
{
    struct sorting imported = {.plan = plan, .others = &plan->excluded};
    struct sorting hidden = {.plan = plan, .wanted = &plan->released};

    if (!plan_filtered(plan->request)) {
        spans_put_all(&plan->released, &plan->hidden);
        return 0;
    }
    int result = read_spans(after, &plan->imported, sort_change, &imported, err);
    return result < 0 ? result : read_spans(after, &plan->hidden, sort_change, &hidden, err);
}

/* ---- harm ---- */

struct harming {
    struct recover_report *report;
    const struct idset *gone;
    const struct idset *replaced;
    size_t last;
};

static int count_harmed(void *arg, const struct memory_brief *brief, struct err *err)
{
    struct harming *harming = arg;
    bool gone = harming->gone != NULL && idset_has(harming->gone, &brief->id);
    bool replaced = harming->replaced != NULL && idset_has(harming->replaced, &brief->id);

    (void)err;
    if (!brief->deleted && (gone || replaced)) {
        struct recover_project *project =
            plan_project(harming->report, &harming->last, brief->project_id);
        project->taken_away += gone ? 1 : 0;
        project->overwritten += replaced ? 1 : 0;
        harming->report->taken_away_count += gone ? 1 : 0;
        harming->report->overwritten_count += replaced ? 1 : 0;
    }
    return 0;
}

static int count_before(void *arg, const struct memory_brief *brief, struct err *err)
{
    struct harming *harming = arg;
    struct recover_report *report = harming->report;

    (void)err;
    for (size_t i = 0; i < report->project_count && !brief->deleted; i++) {
        struct recover_project *project = &report->projects[i];
        if (project->taken_away + project->overwritten > 0 &&
            strcmp(project->project_id, brief->project_id) == 0) {
            project->before++;
        }
    }
    return 0;
}

int plan_count_harm(struct recover_report *report, struct reader *before, const struct idset *gone,
                    const struct idset *replaced, struct err *err)
{
    struct harming harming = {.report = report, .gone = gone, .replaced = replaced};

    int result = read_briefs(before, count_harmed, &harming, err);
    if (result == 0 && report->taken_away_count + report->overwritten_count > 0) {
        result = read_briefs(before, count_before, &harming, err);
    }
    return result;
}

/* ---- is what the request names there at all? ---- */

static int check_names(const struct plan *plan, struct err *err)
{
    const struct recover_request *request = plan->request;
    const char *from = plan->report->from;
    char id[UUID_TEXT_MAX];

    if (request->project_id != NULL && !plan->found_project) {
        return err_set(err, ERR_NOT_FOUND,
                       "there is no memory of a project \"%s\" in %s, nor here; check its name: "
                       "holdfast recover --dry-run lists the projects",
                       request->project_id, from);
    }
    if (!uuid_is_nil(&request->session_id) && !plan->found_session) {
        uuid_format(&request->session_id, id);
        return err_set(err, ERR_NOT_FOUND, "there is no memory of session %s in %s, nor here", id,
                       from);
    }
    if (!uuid_is_nil(&request->memory_id) && !plan->found_memory) {
        uuid_format(&request->memory_id, id);
        return err_set(err, ERR_NOT_FOUND, "there is no memory %s in %s, nor here", id, from);
    }
    return 0;
}

/* The moment asked for must not be before everything. */
static int check_moment(const struct plan *plan, struct reader *after, struct err *err)
{
    AUTO(free_ptr) struct head *heads = NULL;
    int64_t first_us = INT64_MAX;
    char asked[TIMESTAMP_TEXT_MAX];
    char first[TIMESTAMP_TEXT_MAX];
    size_t count = 0;

    if (plan->request->at_us == TIME_NONE) {
        return 0;
    }
    int result = read_heads(after, &heads, &count, err);
    for (size_t i = 0; i < count && result == 0; i++) {
        int64_t at_us = INT64_MAX;
        result = read_change(after, &heads[i].origin, 1, change_time, &at_us, err);
        first_us = at_us < first_us ? at_us : first_us;
    }
    if (result < 0 || plan->request->at_us >= first_us) {
        return result;
    }
    timestamp_format(plan->request->at_us, asked);
    if (first_us == INT64_MAX) {
        return err_set(err, ERR_NOT_FOUND, "there is no change at all in %s, nor here",
                       plan->report->from);
    }
    timestamp_format(first_us, first);
    return err_set(err, ERR_NOT_FOUND,
                   "%s is before everything in %s and here: the first change is of %s", asked,
                   plan->report->from, first);
}

int plan_make(struct plan *plan, struct reader *after, struct reader *before, struct err *err)
{
    struct comparing comparing = {.plan = plan, .after = after, .before = before};
    struct ledger_counts counts;

    past_held(&plan->past, &plan->hidden);
    int result = read_counts(before, &counts, err);
    if (result == 0) {
        comparing.anew = counts.memories + counts.deleted == 0;
        result = past_guarded(after, &plan->guarded, err);
    }
    if (result == 0) {
        result = read_spans(after, &plan->hidden, note_veiled, &plan->veiled, err);
    }
    if (result == 0) {
        result = look_at_all(&comparing, err);
    }
    if (result == 0) {
        result = check_names(plan, err);
    }
    if (result == 0) {
        result = check_moment(plan, after, err);
    }
    if (result == 0 && !comparing.anew) {
        result = plan_count_harm(plan->report, before, &plan->gone, &plan->replaced, err);
    }
    return result < 0 ? result : sort_changes(plan, after, err);
}
