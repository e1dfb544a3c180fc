#include "guard/incident.h"

#include <assert.h>

enum step_kind { STEP_MADE, STEP_STATE, STEP_BOUND };

struct incident_step {
    enum step_kind kind;
    struct incident *incident;
    struct incident_state *state; /* STATE: as it was; heap */
    size_t memory_count;
    struct incident **place; /* BOUND: what was in it */
    struct incident *before;
};

static void note(struct incidents *incidents, struct incident_step step)
{
    if (incidents->step_count == incidents->step_capacity) {
        incidents->step_capacity =
            incidents->step_capacity == 0 ? 16 : 2 * incidents->step_capacity;
        incidents->steps =
            xrealloc(incidents->steps, incidents->step_capacity * sizeof(*incidents->steps));
    }
    incidents->steps[incidents->step_count++] = step;
}

/* ---- memories by id ---- */

static size_t id_slot(const struct id_set *set, const struct uuid *id, uint64_t seed)
{
    uint64_t words[2];

    memcpy(words, id->bytes, sizeof(words));
    uint64_t hash = table_mix(words[0] ^ seed, words[1] ^ 0x9E3779B97F4A7C15ULL);
    hash = table_mix(hash ^ 0xA0761D6478BD642FULL, 0xE7037ED1A0B428DBULL);
    size_t slot = (size_t)hash & (set->slot_count - 1);
    while (set->slots[slot] != 0 && !uuid_eq(&set->items[set->slots[slot] - 1], id)) {
        slot = (slot + 1) & (set->slot_count - 1);
    }
    return slot;
}

static void id_set_index(struct id_set *set, size_t slot_count, uint64_t seed)
{
    free(set->slots);
    set->slots = xcalloc(slot_count, sizeof(*set->slots));
    set->slot_count = slot_count;
    for (size_t i = 0; i < set->count; i++) {
        set->slots[id_slot(set, &set->items[i], seed)] = (uint32_t)i + 1;
    }
}

static void id_set_add(struct id_set *set, const struct uuid *id, uint64_t seed)
{
    if (2 * (set->count + 1) > set->slot_count) {
        id_set_index(set, set->slot_count == 0 ? 32 : 2 * set->slot_count, seed);
    }
    size_t slot = id_slot(set, id, seed);
    if (set->slots[slot] != 0) {
        return;
    }
    if (set->count == set->capacity) {
        set->capacity = set->capacity == 0 ? 16 : 2 * set->capacity;
        set->items = xrealloc(set->items, set->capacity * sizeof(*set->items));
    }
    set->items[set->count++] = *id;
    set->slots[slot] = (uint32_t)set->count;
}

static bool id_set_has(const struct id_set *set, const struct uuid *id, uint64_t seed)
{
    return set->slot_count > 0 && set->slots[id_slot(set, id, seed)] != 0;
}

static void id_set_cut(struct id_set *set, size_t count, uint64_t seed)
{
    if (count < set->count) {
        set->count = count;
        id_set_index(set, set->slot_count, seed);
    }
}

static void id_set_done(struct id_set *set)
{
    free(set->items);
    free(set->slots);
}

/* ---- life ---- */

void incidents_init(struct incidents *incidents, struct env *env)
{
    *incidents = (struct incidents){.env = env};
    env->random(env, &incidents->seed, sizeof(incidents->seed));
}

static void incident_free(struct incident *incident)
{
    id_set_done(&incident->memories);
    free(incident->pending);
    free(incident);
}

void incidents_done(struct incidents *incidents)
{
    for (size_t i = 0; i < incidents->step_count; i++) {
        free(incidents->steps[i].state);
    }
    while (incidents->list != NULL) {
        struct incident *incident = incidents->list;
        incidents->list = incident->next;
        incident_free(incident);
    }
    free(incidents->steps);
    free(incidents->touched);
}

static bool is_over(const struct incident *incident, int64_t now_ms)
{
    return incident->is_sealed || incident->state.is_merged ||
           now_ms - incident->state.last_mono_ms >= incident->state.quiet_ms;
}

static void unbind(struct incident **places, size_t count, int64_t now_ms)
{
    for (size_t i = 0; i < count; i++) {
        if (places[i] != NULL && is_over(places[i], now_ms)) {
            places[i] = NULL;
        }
    }
}

void incidents_expire(struct incidents *incidents, struct windows *windows)
{
    int64_t now_ms = windows->now_ms;
    size_t watches = windows->limits->watch_count;
    bool any = false;

    for (const struct incident *i = incidents->list; i != NULL; i = i->next) {
        any = any || is_over(i, now_ms);
    }
    if (!any) {
        return;
    }
    for (struct window_project *p = windows->project_list; p != NULL; p = p->next) {
        unbind(p->incidents, watches, now_ms);
    }
    unbind(windows->all.incidents, watches, now_ms);
    for (struct window_actor *a = windows->actor_list; a != NULL; a = a->next) {
        unbind(a->incidents, watches, now_ms);
    }
    for (struct incident **at = &incidents->list; *at != NULL;) {
        struct incident *incident = *at;
        if (is_over(incident, now_ms)) {
            *at = incident->next;
            incident_free(incident);
        } else {
            at = &incident->next;
        }
    }
}

void incidents_call(struct incidents *incidents)
{
    incidents->call++;
    incidents->call_mark = incidents->step_count;
    incidents->touched_count = 0;
}

struct incident *incident_new(struct incidents *incidents, const struct watch *watch, size_t look,
                              int64_t now_ms)
{
    int64_t quiet_ms = watch->length_ms[look];
    struct incident *incident = xcalloc(1, sizeof(*incident));

    incident->alert = uuid_new(incidents->env);
    incident->watch = watch;
    incident->rule = watch->rule;
    incident->look = look;
    incident->made = incidents->call;
    incident->state.quiet_ms = quiet_ms;
    incident->state.first_mono_ms = now_ms;
    incident->state.last_mono_ms = now_ms - quiet_ms; /* until it takes something */
    incident->state.started_us = INT64_MAX;
    incident->next = incidents->list;
    incidents->list = incident;
    note(incidents, (struct incident_step){.kind = STEP_MADE, .incident = incident});
    return incident;
}

void incident_bind(struct incidents *incidents, struct incident **place, struct incident *incident)
{
    note(incidents,
         (struct incident_step){
             .kind = STEP_BOUND, .incident = incident, .place = place, .before = *place});
    *place = incident;
}

struct incident *incident_at(struct incident *const *place, int64_t now_ms)
{
    return *place != NULL && !is_over(*place, now_ms) ? *place : NULL;
}

/* ---- what it took ---- */

/* Keep what may have to be taken back, before the first change of a call. */
static void touch(struct incidents *incidents, struct incident *incident)
{
    if (incident->call == incidents->call) {
        return;
    }
    struct incident_state *state = xmalloc(sizeof(*state));
    *state = incident->state;
    incident->call = incidents->call;
    incident->step = incidents->step_count;
    incident->pending_count = 0;
    note(incidents, (struct incident_step){.kind = STEP_STATE,
                                           .incident = incident,
                                           .state = state,
                                           .memory_count = incident->memories.count});
    if (incidents->touched_count == incidents->touched_capacity) {
        incidents->touched_capacity =
            incidents->touched_capacity == 0 ? 16 : 2 * incidents->touched_capacity;
        incidents->touched =
            xrealloc(incidents->touched, incidents->touched_capacity * sizeof(struct incident *));
    }
    incidents->touched[incidents->touched_count++] = incident;
}

void incident_add_memory(struct incidents *incidents, struct incident *incident,
                         const struct uuid *id)
{
    if (incident->memories.count < INCIDENT_MEMORIES_MAX) {
        id_set_add(&incident->memories, id, incidents->seed);
    } else if (!id_set_has(&incident->memories, id, incidents->seed)) {
        incident->state.more_memories++;
    }
}

void incident_add_actor(struct incident *incident, struct window_actor *actor, uint64_t changes)
{
    struct incident_state *state = &incident->state;

    for (size_t i = 0; i < state->actor_count; i++) {
        if (state->actors[i].actor == actor) {
            state->actors[i].changes += changes;
            return;
        }
    }
    if (state->actor_count == INCIDENT_ACTORS_MAX) {
        state->more_actors = true;
        return;
    }
    state->actors[state->actor_count++] = (struct incident_actor){actor, changes};
}

void incident_add_project(struct incident *incident, struct window_project *project)
{
    struct incident_state *state = &incident->state;

    if (state->project != NULL && state->project != project) {
        state->several_projects = true;
    } else {
        state->project = project;
    }
}

static void add_pending(struct incident *incident, const struct uuid *origin, uint64_t from,
                        uint64_t to)
{
    if (incident->pending_count == incident->pending_capacity) {
        incident->pending_capacity =
            incident->pending_capacity == 0 ? 16 : 2 * incident->pending_capacity;
        incident->pending =
            xrealloc(incident->pending, incident->pending_capacity * sizeof(*incident->pending));
    }
    incident->pending[incident->pending_count++] = (struct incident_change){*origin, from, to};
}

static void add_event(struct incident *incident, const struct window_event *event)
{
    struct incident_state *state = &incident->state;

    add_pending(incident, &event->origin, event->seq, event->seq);
    incident_add_actor(incident, event->actor, 1);
    state->groups |= event->groups;
    state->changes++;
    state->deletes += event->is_delete ? 1 : 0;
    state->blanks += event->is_destroying && !event->is_delete ? 1 : 0;
    state->cuts += event->is_gutting && !event->is_destroying ? 1 : 0;
    if (event->version_jump > state->version_jump) {
        state->version_jump = event->version_jump;
    }
    if (event->at_us < state->started_us) {
        state->started_us = event->at_us;
    }
    if (event->mono_ms < state->first_mono_ms) {
        state->first_mono_ms = event->mono_ms;
    }
    if (event->mono_ms > state->last_mono_ms) {
        state->last_mono_ms = event->mono_ms;
    }
}

void incident_take(struct incidents *incidents, struct windows *windows, struct incident *incident,
                   struct window_event *from)
{
    struct window_memory *memory = from->memory;
    uint64_t old_bytes = from->old_bytes;
    uint64_t new_bytes = memory->last->new_bytes;

    touch(incidents, incident);
    incident->state.old_bytes += old_bytes;
    incident->state.taken_bytes += new_bytes < old_bytes ? old_bytes - new_bytes : 0;
    incident_add_memory(incidents, incident, &memory->id);
    incident_add_project(incident, memory->project);
    while (!from->is_taken) {
        struct window_event *event = memory->last;
        windows_take(windows, event);
        add_event(incident, event);
    }
}

void incident_take_summary(struct incidents *incidents, struct windows *windows,
                           struct incident *incident, struct window_summary *summary)
{
    struct incident_state *state = &incident->state;
    uint64_t listed = summary->changes - summary->unlisted;

    touch(incidents, incident);
    for (size_t i = 0; i < summary->ranges.count; i++) {
        const struct range *range = &summary->ranges.items[i];
        add_pending(incident, &range->origin, range->from, range->to);
    }
    incident_add_project(incident, summary->project);
    if (summary->mono_ms > state->last_mono_ms) {
        state->last_mono_ms = summary->mono_ms;
    }
    state->groups |= summary->groups;
    state->changes += listed;
    state->unlisted += summary->unlisted;
    state->more_memories += summary->memories < listed ? summary->memories : listed;
    state->deletes += summary->class == CLASS_DELETE ? listed : 0;
    state->blanks += summary->class == CLASS_BLANK ? listed : 0;
    state->cuts += summary->class == CLASS_GUT ? listed : 0;
    state->old_bytes += summary->totals.old_bytes;
    state->taken_bytes += summary->totals.taken_bytes;
    if (summary->started_us < state->started_us) {
        state->started_us = summary->started_us;
    }
    windows_take_summary(windows, summary);
}

uint64_t incident_memories(const struct incident *incident)
{
    return incident->memories.count + incident->state.more_memories;
}

const struct window_actor *incident_main_actor(const struct incident *incident)
{
    const struct incident_actor *most = NULL;

    for (size_t i = 0; i < incident->state.actor_count; i++) {
        const struct incident_actor *actor = &incident->state.actors[i];
        most = most == NULL || actor->changes > most->changes ? actor : most;
    }
    return most == NULL ? NULL : most->actor;
}

/* ---- as ranges ---- */

static int compare_changes(const void *a, const void *b)
{
    const struct incident_change *x = a;
    const struct incident_change *y = b;
    int order = uuid_cmp(&x->origin, &y->origin);

    return order != 0 ? order : (x->from > y->from) - (x->from < y->from);
}

static bool is_sorted(const struct incident *incident)
{
    for (size_t i = 1; i < incident->pending_count; i++) {
        if (compare_changes(&incident->pending[i - 1], &incident->pending[i]) > 0) {
            return false;
        }
    }
    return true;
}

void incident_ranges(struct incident *incident, struct ranges *ret)
{
    ranges_init(ret);
    if (!is_sorted(incident)) { /* it mostly is */
        qsort(incident->pending, incident->pending_count, sizeof(*incident->pending),
              compare_changes);
    }
    for (size_t i = 0; i < incident->pending_count; i++) {
        const struct incident_change *change = &incident->pending[i];
        ranges_add(ret, &change->origin, change->from);
        struct range *last = &ret->items[ret->count - 1];
        last->to = change->to > last->to ? change->to : last->to;
    }
}

void incident_forget_pending(struct incident *incident)
{
    free(incident->pending);
    incident->pending = NULL;
    incident->pending_count = incident->pending_capacity = 0;
}

/* ---- merging ---- */

static void rebind(struct incidents *incidents, struct incident *into, struct incident *from)
{
    size_t count = incidents->step_count;

    for (size_t i = incidents->call_mark; i < count; i++) {
        struct incident_step step = incidents->steps[i];
        if (step.kind == STEP_BOUND && *step.place == from) {
            incident_bind(incidents, step.place, into);
        }
    }
}

static void add_state(struct incident *into, const struct incident_state *now,
                      const struct incident_state *before)
{
    struct incident_state *state = &into->state;

    state->groups |= now->groups;
    state->changes += now->changes - before->changes;
    state->more_memories += now->more_memories - before->more_memories;
    state->unlisted += now->unlisted - before->unlisted;
    state->deletes += now->deletes - before->deletes;
    state->blanks += now->blanks - before->blanks;
    state->cuts += now->cuts - before->cuts;
    state->old_bytes += now->old_bytes - before->old_bytes;
    state->taken_bytes += now->taken_bytes - before->taken_bytes;
    if (now->version_jump > state->version_jump) {
        state->version_jump = now->version_jump;
    }
    if (now->started_us < state->started_us) {
        state->started_us = now->started_us;
    }
    if (now->first_mono_ms < state->first_mono_ms) {
        state->first_mono_ms = now->first_mono_ms;
    }
    for (size_t i = 0; i < now->actor_count; i++) {
        uint64_t had = i < before->actor_count ? before->actors[i].changes : 0;
        incident_add_actor(into, now->actors[i].actor, now->actors[i].changes - had);
    }
    state->more_actors = state->more_actors || now->more_actors;
    if (now->project != NULL) {
        incident_add_project(into, now->project);
    }
    state->several_projects = state->several_projects || now->several_projects;
    state->quiet_ms = now->quiet_ms > state->quiet_ms ? now->quiet_ms : state->quiet_ms;
    if (now->last_mono_ms > state->last_mono_ms) {
        state->last_mono_ms = now->last_mono_ms;
    }
}

void incident_merge(struct incidents *incidents, struct incident *into, struct incident *from)
{
    struct incident_step step = incidents->steps[from->step];

    assert(from->call == incidents->call && step.kind == STEP_STATE);
    touch(incidents, into);
    for (size_t i = 0; i < from->pending_count; i++) {
        struct incident_change *change = &from->pending[i];
        add_pending(into, &change->origin, change->from, change->to);
    }
    for (size_t i = step.memory_count; i < from->memories.count; i++) {
        incident_add_memory(incidents, into, &from->memories.items[i]);
    }
    add_state(into, &from->state, step.state);
    int64_t last_mono_ms = from->state.last_mono_ms;
    from->state = *step.state;
    from->state.last_mono_ms = last_mono_ms; /* it goes on, though these changes are the other's */
    id_set_cut(&from->memories, step.memory_count, incidents->seed);
    from->pending_count = 0;
    if (from->made == incidents->call) {
        from->state.is_merged = true;
        rebind(incidents, into, from);
    }
}

/* ---- the end of a transaction ---- */

size_t incidents_mark(const struct incidents *incidents)
{
    return incidents->step_count;
}

static void remove_incident(struct incidents *incidents, struct incident *incident)
{
    struct incident **at = &incidents->list;

    while (*at != incident) {
        at = &(*at)->next;
    }
    *at = incident->next;
    incident_free(incident);
}

void incidents_undo(struct incidents *incidents, size_t mark)
{
    while (incidents->step_count > mark) {
        struct incident_step step = incidents->steps[--incidents->step_count];
        switch (step.kind) {
        case STEP_MADE:
            remove_incident(incidents, step.incident);
            break;
        case STEP_STATE:
            step.incident->state = *step.state;
            id_set_cut(&step.incident->memories, step.memory_count, incidents->seed);
            free(step.state);
            break;
        case STEP_BOUND:
            *step.place = step.before;
            break;
        }
    }
    incidents->touched_count = 0;
}

void incidents_commit(struct incidents *incidents)
{
    for (size_t i = 0; i < incidents->step_count; i++) {
        free(incidents->steps[i].state);
    }
    incidents->step_count = 0;
    incidents->touched_count = 0;
}
