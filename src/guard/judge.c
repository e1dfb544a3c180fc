/* One request: record its effects, let them join what is under way, look at the rules, make the
 * decisions. */
#include "guard/guard_internal.h"

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

static struct incident **place_of(struct windows *windows, const struct rule *rule,
                                  const struct window_event *event)
{
    switch (rule->scope) {
    case RULE_OF_PROJECT:
        return &event->memory->project->incidents[rule->id];
    case RULE_OF_ALL:
        return &windows->all.incidents[rule->id];
    case RULE_OF_ACTOR:
    case RULE_OF_CHANGE:
        break;
    }
    return &event->actor->incidents[rule->id];
}

static struct incident *joined_by(struct guard *guard, const struct window_event *event)
{
    for (int i = 0; i < RULES; i++) {
        const struct rule *rule = &guard_rules[i];
        struct incident *incident =
            incident_at(place_of(&guard->windows, rule, event), guard->windows.now_ms);
        if (incident != NULL && incident->look->belongs(&guard->options, event)) {
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
static struct incident *open_incident(struct guard *guard, const struct rule *rule,
                                      const struct rule_look *look, struct incident **place)
{
    int64_t now_ms = guard->windows.now_ms;
    int64_t quiet_ms = guard->windows.length_ms[look->window];
    struct incident *incident = incident_at(place, now_ms);

    if (incident == NULL) {
        incident = incident_new(&guard->incidents, rule, look, quiet_ms, now_ms);
        incident_bind(&guard->incidents, place, incident);
    }
    return incident;
}

static void look_at_actor(struct guard *guard, const struct rule *rule, struct window_actor *actor)
{
    struct windows *windows = &guard->windows;

    if (window_actor_deletes(windows, actor) <= guard->options.delete_max || actor->first == NULL) {
        return;
    }
    uint64_t out_of_sight = window_actor_deletes(windows, actor) - actor->deletes;
    struct incident *incident =
        open_incident(guard, rule, &rule->looks[0], &actor->incidents[rule->id]);
    while (actor->first != NULL) {
        incident_take(&guard->incidents, windows, incident, actor->first);
    }
    incident->state.unlisted += out_of_sight;
}

/* Where in the window what happened to a memory begins to belong. */
static struct window_event *first_that_belongs(const struct guard *guard,
                                               const struct rule_look *look,
                                               const struct window_memory *memory)
{
    enum window_kind kind = look->window;

    for (struct window_event *e = memory->first[kind]; e != NULL; e = e->memory_newer) {
        if (look->belongs(&guard->options, e)) {
            return e;
        }
    }
    for (struct window_event *e = memory->first[kind]; e != NULL; e = e->memory_newer) {
        if (e->new_bytes < e->old_bytes) { /* no step destroyed it, all of them did */
            return e;
        }
    }
    return memory->first[kind];
}

static void take_project(struct guard *guard, const struct rule_look *look,
                         struct window_project *project, struct incident *incident)
{
    struct windows *windows = &guard->windows;

    for (struct window_memory *m = project->first; m != NULL; m = m->newer) {
        struct window_net net = window_memory_net(windows, m, look->window);
        if (look->concerns(&net)) {
            incident_take(&guard->incidents, windows, incident, first_that_belongs(guard, look, m));
        }
    }
    for (struct window_summary *s = project->summaries; s != NULL; s = s->next) {
        if (look->classes[s->class] && window_summary_within(windows, s, look->window)) {
            incident_take_summary(&guard->incidents, windows, incident, s);
        }
    }
}

/* A project, or all of them (windows->all). */
static void look_at_project(struct call *call, const struct rule *rule,
                            struct window_project *project)
{
    struct guard *guard = call->guard;
    struct windows *windows = &guard->windows;

    for (size_t i = 0; i < rule->look_count; i++) {
        const struct rule_look *look = &rule->looks[i];
        struct window_totals totals = windows_totals(windows, project, look->window);
        if (!look->trips(&guard->options, &totals, 0)) {
            continue; /* not even if nothing else were alive: no need to ask the ledger */
        }
        if (!look->trips(&guard->options, &totals, windows_live(windows, project, call->view))) {
            continue;
        }
        struct incident *incident = open_incident(guard, rule, look, &project->incidents[rule->id]);
        if (project != &windows->all) {
            take_project(guard, look, project, incident);
            continue;
        }
        for (struct window_project *p = windows->project_list; p != NULL; p = p->next) {
            take_project(guard, look, p, incident);
        }
    }
}

static void look_at_changes(struct call *call, const struct rule *rule)
{
    struct guard *guard = call->guard;
    const struct rule_look *look = &rule->looks[0];

    for (size_t i = 0; i < call->fresh_count; i++) {
        struct window_event *event = call->fresh[i];
        if (!event->is_taken && look->belongs(&guard->options, event)) {
            struct incident *incident =
                open_incident(guard, rule, look, place_of(&guard->windows, rule, event));
            incident_take(&guard->incidents, &guard->windows, incident, event);
        }
    }
}

static void look_once(struct call *call)
{
    for (int i = 0; i < RULES; i++) {
        const struct rule *rule = &guard_rules[i];
        switch (rule->scope) {
        case RULE_OF_ACTOR:
            for (size_t k = 0; k < call->actors.count; k++) {
                look_at_actor(call->guard, rule, call->actors.items[k]);
            }
            break;
        case RULE_OF_PROJECT:
            for (size_t k = 0; k < call->projects.count; k++) {
                look_at_project(call, rule, call->projects.items[k]);
            }
            break;
        case RULE_OF_ALL:
            look_at_project(call, rule, &call->guard->windows.all);
            break;
        case RULE_OF_CHANGE:
            look_at_changes(call, rule);
            break;
        }
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

/* How many memories the project had before: those alive, and those whose deletion is not held. */
static uint64_t memories_before(struct call *call, const struct incident *incident)
{
    struct window_project *project = incident->state.project;

    if (project == NULL || incident->state.several_projects) {
        return 0;
    }
    struct windows *windows = &call->guard->windows;
    enum window_kind kind =
        incident->rule->scope == RULE_OF_PROJECT ? incident->rule->looks[0].window : WINDOW_SHARE;
    struct window_totals totals = windows_totals(windows, project, kind);
    return windows_live(windows, project, call->view) + totals.away + totals.deleted;
}

static const char *main_actor(const struct incident *incident)
{
    const struct incident_actor *most = NULL;

    for (size_t i = 0; i < incident->state.actor_count; i++) {
        const struct incident_actor *actor = &incident->state.actors[i];
        most = most == NULL || actor->changes > most->changes ? actor : most;
    }
    return most == NULL ? "" : most->actor->name;
}

static void fill(struct decision *decision, const struct incident *incident, const char *summary,
                 const struct range *ranges, size_t count)
{
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
    decision->actor = xstrdup(main_actor(incident));
    decision->summary = xstrdup(summary);
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
    char *summary = rule_summary(&call->guard->options, incident, memories_before(call, incident));
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
