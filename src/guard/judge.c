/* One request: record its effects, let them join what is under way, look at the rules, make the
 * decisions. */
#include "guard/guard_internal.h"

#include "base/utf8.h"

struct touched {
    void **items;
    size_t count;
    size_t capacity;
};

/* Of one call; heap parts freed at its end. */
struct call {
    struct guard *guard;
    const struct judge_view *view;
    struct window_event **fresh; /* what the request added, in its order */
    size_t fresh_count;
    struct touched projects;
    struct touched actors;
};

static void call_done(struct call *call)
{
    free(call->fresh);
    free(call->projects.items);
    free(call->actors.items);
}

static void touch(struct touched *touched, void *thing, uint64_t *stamp, uint64_t call)
{
    if (*stamp == call) {
        return;
    }
    *stamp = call;
    if (touched->count == touched->capacity) {
        touched->capacity = touched->capacity == 0 ? 8 : 2 * touched->capacity;
        touched->items = xrealloc(touched->items, touched->capacity * sizeof(*touched->items));
    }
    touched->items[touched->count++] = thing;
}

/* ---- recording and joining ---- */

static void record(struct call *call, const struct effect *effects, size_t count)
{
    struct windows *windows = &call->guard->windows;

    call->fresh = xmalloc((count + 1) * sizeof(struct window_event *));
    for (size_t i = 0; i < count; i++) {
        struct window_event *event = windows_add(windows, &effects[i], windows->now_ms);
        if (event != NULL) {
            call->fresh[call->fresh_count++] = event;
            touch(&call->projects, event->memory->project, &event->memory->project->touched,
                  windows->call);
            touch(&call->actors, event->actor, &event->actor->touched, windows->call);
        }
    }
}

static struct incident **place_of(struct windows *windows, const struct watch *watch,
                                  const struct window_event *event)
{
    size_t at = (size_t)(watch - windows->limits->watches);

    switch (watch->rule->scope) {
    case RULE_OF_PROJECT:
        return &event->memory->project->incidents[at];
    case RULE_OF_ALL:
        return &windows->all.incidents[at];
    case RULE_OF_ACTOR:
    case RULE_OF_CHANGE:
        break;
    }
    return &event->actor->incidents[at];
}

/* Does it count in what the incident's rule looks at: by who did it, or by whose memory it is? */
static bool is_of(const struct incident *incident, const struct window_event *event)
{
    size_t slot = incident->watch->slots[incident->look];

    return (event->groups & incident->watch->members) != 0 ||
           (slot != LIMITS_NONE && event->memory->tallies[slot].counted > 0);
}

static struct incident *joined_by(struct guard *guard, const struct window_event *event)
{
    for (size_t i = 0; i < guard->limits.watch_count; i++) {
        const struct watch *watch = &guard->limits.watches[i];
        struct incident *incident =
            incident_at(place_of(&guard->windows, watch, event), guard->windows.now_ms);
        if (incident != NULL && is_of(incident, event) &&
            watch->rule->looks[incident->look].belongs(event)) {
            return incident;
        }
    }
    return NULL;
}

static void join(struct call *call)
{
    struct guard *guard = call->guard;

    for (size_t i = 0; i < call->fresh_count; i++) {
        struct window_event *event = call->fresh[i];
        struct incident *incident = event->is_taken ? NULL : joined_by(guard, event);
        if (incident != NULL) {
            incident_take(&guard->incidents, &guard->windows, incident, event);
        }
    }
}

/* ---- rules ---- */

/* The incident that is under way there, or a new one. */
static struct incident *open_incident(struct guard *guard, const struct watch *watch, size_t look,
                                      struct incident **place)
{
    int64_t now_ms = guard->windows.now_ms;
    struct incident *incident = incident_at(place, now_ms);

    if (incident == NULL) {
        incident = incident_new(&guard->incidents, watch, look, now_ms);
        incident_bind(&guard->incidents, place, incident);
    }
    return incident;
}

static void look_at_actor(struct guard *guard, const struct rule *rule, struct window_actor *actor)
{
    struct windows *windows = &guard->windows;
    const struct watch *watch = limits_watch(&guard->limits, rule->id, actor->group);

    if (watch == NULL || actor->first == NULL ||
        window_actor_deletes(windows, actor) <= watch->options->delete_max) {
        return;
    }
    uint64_t out_of_sight = window_actor_deletes(windows, actor) - actor->deletes;
    struct incident *incident =
        open_incident(guard, watch, 0, place_of(windows, watch, actor->first));
    while (actor->first != NULL) {
        incident_take(&guard->incidents, windows, incident, actor->first);
    }
    incident->state.unlisted += out_of_sight;
}

/* Where in the window what happened to a memory begins to belong. */
static struct window_event *first_that_belongs(const struct watch *watch, size_t look,
                                               const struct window_memory *memory)
{
    struct window_event *first = memory->tallies[watch->slots[look]].first;

    for (struct window_event *e = first; e != NULL; e = e->memory_newer) {
        if ((e->groups & watch->members) != 0 && watch->rule->looks[look].belongs(e)) {
            return e;
        }
    }
    for (struct window_event *e = first; e != NULL; e = e->memory_newer) {
        if (e->new_bytes < e->old_bytes) { /* no step destroyed it, all of them did */
            return e;
        }
    }
    return first;
}

static void take_project(struct guard *guard, const struct watch *watch, size_t look,
                         struct window_project *project, struct incident *incident)
{
    struct windows *windows = &guard->windows;
    const struct rule_look *what = &watch->rule->looks[look];
    size_t slot = watch->slots[look];

    for (struct window_memory *m = project->first; m != NULL; m = m->newer) {
        struct window_net net = window_memory_net(windows, m, slot);
        if (what->concerns(&net)) {
            incident_take(&guard->incidents, windows, incident, first_that_belongs(watch, look, m));
        }
    }
    for (struct window_summary *s = project->summaries; s != NULL; s = s->next) {
        if (what->classes[s->class] && window_summary_within(windows, s, slot)) {
            incident_take_summary(&guard->incidents, windows, incident, s);
        }
    }
}

/* A project, or all of them (windows->all). */
static void look_at_project(struct call *call, const struct watch *watch,
                            struct window_project *project)
{
    struct guard *guard = call->guard;
    struct windows *windows = &guard->windows;
    const struct rule *rule = watch->rule;
    size_t drip = watch->slots[rule->look_count - 1];

    for (size_t i = 0; i < rule->look_count; i++) {
        const struct rule_look *look = &rule->looks[i];
        struct window_totals totals = windows_totals(windows, project, watch->slots[i], drip);
        if (!look->trips(watch->options, &totals, 0)) {
            continue; /* not even if nothing else were alive: no need to ask the ledger */
        }
        if (!look->trips(watch->options, &totals, windows_live(windows, project, call->view))) {
            continue;
        }
        struct incident *incident =
            open_incident(guard, watch, i, &project->incidents[watch - guard->limits.watches]);
        if (project != &windows->all) {
            take_project(guard, watch, i, project, incident);
            continue;
        }
        for (struct window_project *p = windows->project_list; p != NULL; p = p->next) {
            take_project(guard, watch, i, p, incident);
        }
    }
}

static void look_at_changes(struct call *call, const struct rule *rule)
{
    struct guard *guard = call->guard;

    for (size_t i = 0; i < call->fresh_count; i++) {
        struct window_event *event = call->fresh[i];
        const struct watch *watch = limits_watch(&guard->limits, rule->id, event->actor->group);
        if (!event->is_taken && watch != NULL && rule->looks[0].belongs(event)) {
            struct incident *incident =
                open_incident(guard, watch, 0, place_of(&guard->windows, watch, event));
            incident_take(&guard->incidents, &guard->windows, incident, event);
        }
    }
}

static void look_at_all_actors(struct call *call, const struct rule *rule)
{
    for (size_t k = 0; k < call->actors.count; k++) {
        look_at_actor(call->guard, rule, call->actors.items[k]);
    }
}

/* By a rule's watch at sums; those at actors and changes are done once for the rule. */
static void look_by(struct call *call, const struct watch *watch)
{
    if (watch->rule->scope == RULE_OF_ALL) {
        look_at_project(call, watch, &call->guard->windows.all);
    }
    for (size_t k = 0; watch->rule->scope == RULE_OF_PROJECT && k < call->projects.count; k++) {
        look_at_project(call, watch, call->projects.items[k]);
    }
}

static void look_once(struct call *call)
{
    const struct limits *limits = &call->guard->limits;

    for (size_t i = 0; i < limits->watch_count; i++) {
        const struct watch *watch = &limits->watches[i];
        bool is_first = i == 0 || limits->watches[i - 1].rule != watch->rule;
        if (is_first && watch->rule->scope == RULE_OF_ACTOR) {
            look_at_all_actors(call, watch->rule);
        } else if (is_first && watch->rule->scope == RULE_OF_CHANGE) {
            look_at_changes(call, watch->rule);
        }
        look_by(call, watch);
    }
}

/*
 * What is taken may leave a memory as an earlier change left it, deleted for instance, and so
 * change the sums of rules that were looked at before, in its project. Each round takes something,
 * or is the last.
 */
static void look(struct call *call)
{
    struct windows *windows = &call->guard->windows;
    size_t mark;

    do {
        mark = windows_mark(windows);
        look_once(call);
        for (struct window_project *p = windows->project_list;
             windows_mark(windows) > mark && p != NULL; p = p->next) {
            if (p->call == windows->call) {
                touch(&call->projects, p, &p->touched, windows->call);
            }
        }
    } while (windows_mark(windows) > mark);
}

/* ---- decisions ---- */

/* A watch over the shares of projects, for what a rule of another kind does not count itself. */
static const struct watch *of_project(const struct limits *limits)
{
    for (size_t i = 0; i < limits->watch_count; i++) {
        if (limits->watches[i].rule->id == RULE_SHARE) {
            return &limits->watches[i];
        }
    }
    return NULL;
}

/* How many memories the project had before: those alive, and those whose deletion is not held. */
static uint64_t memories_before(struct call *call, const struct incident *incident)
{
    struct window_project *project = incident->state.project;

    if (project == NULL || incident->state.several_projects) {
        return 0;
    }
    struct windows *windows = &call->guard->windows;
    const struct watch *watch = incident->rule->scope == RULE_OF_PROJECT
                                    ? incident->watch
                                    : of_project(&call->guard->limits);
    uint64_t live = windows_live(windows, project, call->view);
    if (watch == NULL) {
        return live;
    }
    struct window_totals totals = windows_totals(windows, project, watch->slots[0],
                                                 watch->slots[watch->rule->look_count - 1]);
    return live + totals.away + totals.deleted;
}

static void fill(struct decision *decision, const struct incident *incident, const char *summary,
                 const struct range *ranges, size_t count)
{
    const struct window_actor *actor = incident_main_actor(incident);

    decision_init(decision);
    decision->alert = incident->alert;
    decision->kind = DECISION_HELD;
    decision->ranges.items = xmalloc((count + 1) * sizeof(*ranges));
    if (count > 0) {
        memcpy(decision->ranges.items, ranges, count * sizeof(*ranges));
    }
    decision->ranges.count = count;
    decision->ranges.capacity = count + 1;
    decision->rule = xstrdup(incident->rule->name);
    decision->actor = xstrdup(actor == NULL ? "" : actor->name);
    decision->summary = xstrndup(summary, utf8_cut(str_of(summary), DECISION_TEXT_MAX_BYTES));
    decision->changes = incident->state.changes;
    decision->memories = incident_memories(incident);
    decision->started_us = incident->state.started_us;
    decision->person = xstrdup("");
}

/* The decisions of one incident; NULL counts them only. */
static size_t decide(struct call *call, struct incident *incident, struct decision *ret)
{
    AUTO(ranges_done) struct ranges ranges = {.items = NULL};
    size_t made = 0;

    if (incident->pending_count == 0) {
        return 0;
    }
    incident_ranges(incident, &ranges);
    if (ret == NULL) {
        return (ranges.count + RANGES_MAX - 1) / RANGES_MAX;
    }
    AUTO(free_ptr)
    char *summary = rule_summary(&call->guard->limits, incident, memories_before(call, incident));
    for (size_t at = 0; at < ranges.count; at += RANGES_MAX) {
        size_t count = ranges.count - at < RANGES_MAX ? ranges.count - at : RANGES_MAX;
        fill(&ret[made++], incident, summary, &ranges.items[at], count);
    }
    incident_forget_pending(incident);
    return made;
}

static size_t needed(struct call *call)
{
    struct incidents *incidents = &call->guard->incidents;
    size_t total = 0;

    for (size_t i = 0; i < incidents->touched_count; i++) {
        total += decide(call, incidents->touched[i], NULL);
    }
    return total;
}

/*
 * More decisions than one call may make (a request that empties many projects at once): new
 * incidents of this call become one, and if that is not enough, the last ones of those that were
 * joined. What is held stays exactly the same.
 */
static void merge_until_they_fit(struct call *call)
{
    struct incidents *incidents = &call->guard->incidents;
    struct incident *into = NULL;

    if (needed(call) <= JUDGE_DECISIONS_MAX) {
        return;
    }
    for (size_t i = 0; i < incidents->touched_count; i++) {
        struct incident *incident = incidents->touched[i];
        if (incident->made == incidents->call && incident->pending_count > 0) {
            if (into != NULL) {
                incident_merge(incidents, into, incident);
            } else {
                into = incident;
            }
        }
    }
    for (size_t i = incidents->touched_count; i-- > 0 && needed(call) > JUDGE_DECISIONS_MAX;) {
        struct incident *incident = incidents->touched[i];
        if (into == NULL) {
            into = incident;
        } else if (incident != into && incident->pending_count > 0) {
            incident_merge(incidents, into, incident);
        }
    }
}

static int make_decisions(struct call *call, struct decision *ret_decisions, size_t *ret_count,
                          struct err *err)
{
    struct incidents *incidents = &call->guard->incidents;
    size_t count = 0;

    merge_until_they_fit(call);
    if (needed(call) > JUDGE_DECISIONS_MAX) {
        return err_set(err, ERR_LIMIT,
                       "the request destroys too much to be held at once (more than %d ranges of "
                       "changes); nothing of it was written",
                       JUDGE_DECISIONS_MAX * RANGES_MAX);
    }
    for (size_t i = 0; i < incidents->touched_count; i++) {
        count += decide(call, incidents->touched[i], &ret_decisions[count]);
    }
    *ret_count = count;
    return 0;
}

int judge_request(struct guard *guard, const struct effect *effects, size_t count,
                  const struct judge_view *view, struct decision *ret_decisions, size_t *ret_count,
                  struct err *err)
{
    AUTO(call_done) struct call call = {.guard = guard, .view = view};
    size_t events_mark = windows_mark(&guard->windows);
    size_t incidents_at = incidents_mark(&guard->incidents);

    windows_call(&guard->windows);
    incidents_call(&guard->incidents);
    record(&call, effects, count);
    join(&call);
    look(&call);
    int result = make_decisions(&call, ret_decisions, ret_count, err);
    if (result < 0) {
        incidents_undo(&guard->incidents, incidents_at);
        windows_undo(&guard->windows, events_mark);
    }
    return result;
}
