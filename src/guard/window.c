/* Events, their chains and the windows that slide over them. Summaries are in summary.c. */
#include "guard/window_internal.h"

#include <assert.h>

#define BLANK_LEAST_BYTES                                                                          \
    20 /* less than this can't be called emptied by its size alone (ledger.h, struct effect) */
#define BLANK_PART 10 /* what is left is less than one part in so many */

enum step_kind { STEP_ADDED, STEP_TAKEN, STEP_TAKEN_SUMMARY };

struct window_step {
    enum step_kind kind;
    void *thing;
};

static void note(struct windows *windows, enum step_kind kind, void *thing)
{
    if (windows->step_count == windows->step_capacity) {
        windows->step_capacity = windows->step_capacity == 0 ? 64 : 2 * windows->step_capacity;
        windows->steps = xrealloc(windows->steps, windows->step_capacity * sizeof(*windows->steps));
    }
    windows->steps[windows->step_count++] = (struct window_step){kind, thing};
}

/* ---- life ---- */

void windows_init(struct windows *windows, const struct limits *limits, struct env *env)
{
    size_t memory_bytes =
        sizeof(struct window_memory) + limits->net_count * sizeof(struct window_tally);
    size_t fitting = WINDOW_EVENTS_BYTES / (sizeof(struct window_event) + memory_bytes);
    uint64_t seeds[3];

    env->random(env, seeds, sizeof(seeds));
    *windows =
        (struct windows){.limits = limits,
                         .next_serial = 1,
                         .events_max = fitting < WINDOW_EVENTS_MAX ? fitting : WINDOW_EVENTS_MAX};
    for (size_t i = 0; i < limits->slot_count; i++) {
        windows->edge[i] = 1;
    }
    window_project_init(windows, &windows->all);
    pool_init(&windows->events, sizeof(struct window_event));
    pool_init(&windows->memory_pool, memory_bytes);
    table_init(&windows->memories, seeds[0]);
    table_init(&windows->projects, seeds[1]);
    table_init(&windows->actors, seeds[2]);
}

void windows_done(struct windows *windows)
{
    window_names_free(windows);
    window_project_done(&windows->all);
    table_done(&windows->memories);
    table_done(&windows->projects);
    table_done(&windows->actors);
    pool_done(&windows->events);
    pool_done(&windows->memory_pool);
    free(windows->steps);
}

/* ---- memories ---- */

static bool memory_match(const struct table_link *link, const void *key)
{
    return uuid_eq(&((const struct window_memory *)(const void *)link)->id, key);
}

static struct window_memory *find_memory(struct windows *windows, const struct uuid *id,
                                         uint64_t *ret_hash)
{
    *ret_hash = table_hash(&windows->memories, id->bytes, sizeof(id->bytes));
    return (struct window_memory *)table_find(&windows->memories, *ret_hash, memory_match, id);
}

static void memory_link(struct window_memory *memory, struct window_project *project)
{
    memory->project = project;
    memory->newer = NULL;
    memory->older = project->last;
    if (project->last != NULL) {
        project->last->newer = memory;
    } else {
        project->first = memory;
    }
    project->last = memory;
}

static struct window_memory *make_memory(struct windows *windows, const struct uuid *id,
                                         uint64_t hash, struct window_project *project)
{
    struct window_memory *memory = pool_take(&windows->memory_pool);

    memory->id = *id;
    memory_link(memory, project);
    table_add(&windows->memories, &memory->link, hash);
    return memory;
}

static void memory_unlink(struct window_memory *memory)
{
    struct window_project *project = memory->project;

    if (memory->older != NULL) {
        memory->older->newer = memory->newer;
    } else {
        project->first = memory->newer;
    }
    if (memory->newer != NULL) {
        memory->newer->older = memory->older;
    } else {
        project->last = memory->older;
    }
}

void window_memory_free(struct windows *windows, struct window_memory *memory)
{
    memory_unlink(memory);
    table_remove(&windows->memories, &memory->link);
    pool_give(&windows->memory_pool, memory);
}

/* ---- what a memory counts for ---- */

bool window_counts(const struct windows *windows, const struct window_event *event, size_t slot)
{
    const struct window_slot *of = &windows->limits->slots[slot];
    bool of_updates = of->kind == WINDOW_UPDATE || of->kind == WINDOW_LOSS;

    return (event->groups & of->members) != 0 &&
           (event->is_content || ((event->is_delete || event->is_moving) && !of_updates));
}

static bool shrank_to_nothing(uint32_t old_bytes, uint32_t new_bytes)
{
    return old_bytes >= BLANK_LEAST_BYTES && (uint64_t)new_bytes * BLANK_PART < old_bytes;
}

static uint32_t bytes_gone(uint32_t old_bytes, uint32_t new_bytes)
{
    return new_bytes < old_bytes ? old_bytes - new_bytes : 0;
}

static bool is_gutted(double loss_max, uint32_t old_bytes, uint32_t new_bytes)
{
    return (double)bytes_gone(old_bytes, new_bytes) > loss_max * (double)old_bytes;
}

struct window_net window_net_since(const struct window_event *first)
{
    const struct window_memory *memory = first->memory;
    const struct window_event *last = memory->last;
    uint64_t gone = bytes_gone(first->old_bytes, last->new_bytes);
    double loss_max = first->loss_max < last->loss_max ? first->loss_max : last->loss_max;
    struct window_net net = {.is_deleted = last->is_delete, .is_changed = !last->is_delete};

    net.is_destroyed =
        net.is_deleted || last->is_blank || shrank_to_nothing(first->old_bytes, last->new_bytes);
    net.is_wrecked = net.is_destroyed || is_gutted(loss_max, first->old_bytes, last->new_bytes);
    if (net.is_changed) {
        net.is_away = last->place != memory->project;
        net.is_lost = gone > 0;
        net.is_cut = net.is_lost && gone * 4 >= first->old_bytes * (uint64_t)WINDOW_CUT_QUARTERS;
        net.old_bytes = net.is_cut ? first->old_bytes : 0;
        net.taken_bytes = net.is_cut ? gone : 0;
    }
    return net;
}

bool window_replaced_since(const struct window_event *first)
{
    const struct window_event *last = first->memory->last;

    while (first != NULL && first->is_edit) {
        first = first->memory_newer;
    }
    return first != NULL && !last->is_delete &&
           sketch_keeps_less(&first->old_text, &last->new_text, WINDOW_REPLACED_QUARTERS);
}

static bool is_drip(const struct windows *windows, size_t slot)
{
    return windows->limits->slots[slot].kind == WINDOW_DRIP;
}

struct window_net window_memory_net(const struct windows *windows,
                                    const struct window_memory *memory, size_t slot)
{
    const struct window_tally *tally = &memory->tallies[slot];

    if (tally->counted == 0) {
        return (struct window_net){.is_deleted = false};
    }
    struct window_net net = window_net_since(tally->first);
    net.is_replaced = is_drip(windows, slot) && window_replaced_since(tally->first);
    return net;
}

void window_totals_add(struct window_totals *totals, const struct window_net *net, bool add)
{
    uint64_t sign = add ? 1 : UINT64_MAX; /* modulo 2^64: minus one */

    totals->deleted += net->is_deleted ? sign : 0;
    totals->destroyed += net->is_destroyed ? sign : 0;
    totals->wrecked += net->is_wrecked ? sign : 0;
    totals->changed += net->is_changed ? sign : 0;
    totals->cut += net->is_cut ? sign : 0;
    totals->replaced += net->is_replaced ? sign : 0;
    totals->away += net->is_away ? sign : 0;
    totals->old_bytes += sign * net->old_bytes;
    totals->taken_bytes += sign * net->taken_bytes;
}

void window_account(struct windows *windows, struct window_memory *memory, size_t slot, bool add)
{
    struct window_tally *tally = &memory->tallies[slot];

    if (tally->counted == 0) {
        return;
    }
    struct window_net net = window_net_since(tally->first);
    if (is_drip(windows, slot)) {
        tally->is_replaced = add ? window_replaced_since(tally->first) : tally->is_replaced;
        net.is_replaced = tally->is_replaced;
    }
    window_totals_add(&memory->project->totals[slot], &net, add);
    window_totals_add(&windows->all.totals[slot], &net, add);
}

/* Put an event at the end of its memory's chain. */
static void chain_attach(struct windows *windows, struct window_event *event)
{
    struct window_memory *memory = event->memory;

    for (size_t k = 0; k < windows->limits->net_count; k++) {
        window_account(windows, memory, k, false);
    }
    event->memory_older = memory->last;
    event->memory_newer = NULL;
    if (memory->last != NULL) {
        memory->last->memory_newer = event;
    }
    memory->last = event;
    for (size_t k = 0; k < windows->limits->net_count; k++) {
        if (event->serial >= windows->edge[k]) {
            struct window_tally *tally = &memory->tallies[k];
            tally->first = tally->first == NULL ? event : tally->first;
            tally->counted += window_counts(windows, event, k) ? 1 : 0;
        }
        window_account(windows, memory, k, true);
    }
}

/* Take the last event off its memory's chain. */
static void chain_detach(struct windows *windows, struct window_event *event)
{
    struct window_memory *memory = event->memory;

    for (size_t k = 0; k < windows->limits->net_count; k++) {
        window_account(windows, memory, k, false);
        if (event->serial >= windows->edge[k]) {
            struct window_tally *tally = &memory->tallies[k];
            tally->first = tally->first == event ? NULL : tally->first;
            tally->counted -= window_counts(windows, event, k) ? 1 : 0;
        }
    }
    memory->last = event->memory_older;
    if (memory->last != NULL) {
        memory->last->memory_newer = NULL;
    }
    for (size_t k = 0; k < windows->limits->net_count; k++) {
        window_account(windows, memory, k, true);
    }
}

/* The first event of a chain leaves a window. */
static void chain_leave(struct windows *windows, struct window_event *event, size_t slot)
{
    struct window_memory *memory = event->memory;
    struct window_tally *tally = &memory->tallies[slot];

    window_account(windows, memory, slot, false);
    tally->first = event->memory_newer;
    tally->counted -= window_counts(windows, event, slot) ? 1 : 0;
    window_account(windows, memory, slot, true);
}

/* ---- lists ---- */

static void list_link(struct windows *windows, struct window_event *event)
{
    if (event->older != NULL) {
        event->older->newer = event;
    } else {
        windows->oldest = event;
    }
    if (event->newer != NULL) {
        event->newer->older = event;
    } else {
        windows->newest = event;
    }
    for (size_t k = 0; k < windows->limits->slot_count; k++) {
        struct window_event *cursor = windows->cursor[k];
        if (event->serial >= windows->edge[k] &&
            (cursor == NULL || cursor->serial > event->serial)) {
            windows->cursor[k] = event;
        }
    }
    windows->count++;
}

/* The event keeps its own pointers, so that undoing in the reverse order puts it back where it was.
 */
static void list_unlink(struct windows *windows, struct window_event *event)
{
    if (event->older != NULL) {
        event->older->newer = event->newer;
    } else {
        windows->oldest = event->newer;
    }
    if (event->newer != NULL) {
        event->newer->older = event->older;
    } else {
        windows->newest = event->older;
    }
    for (size_t k = 0; k < windows->limits->slot_count; k++) {
        if (windows->cursor[k] == event) {
            windows->cursor[k] = event->newer;
        }
    }
    windows->count--;
}

static void actor_link(struct window_event *event)
{
    struct window_actor *actor = event->actor;

    if (event->actor_older != NULL) {
        event->actor_older->actor_newer = event;
    } else {
        actor->first = event;
    }
    if (event->actor_newer != NULL) {
        event->actor_newer->actor_older = event;
    } else {
        actor->last = event;
    }
    actor->deletes += event->is_delete ? 1 : 0;
}

static void actor_unlink(struct window_event *event)
{
    struct window_actor *actor = event->actor;

    if (event->actor_older != NULL) {
        event->actor_older->actor_newer = event->actor_newer;
    } else {
        actor->first = event->actor_newer;
    }
    if (event->actor_newer != NULL) {
        event->actor_newer->actor_older = event->actor_older;
    } else {
        actor->last = event->actor_older;
    }
    actor->deletes -= event->is_delete ? 1 : 0;
}

void window_actor_drop(struct window_event *event)
{
    if (event->of_actor) {
        actor_unlink(event);
        event->of_actor = false;
    }
}

static void event_free(struct windows *windows, struct window_event *event)
{
    event->actor->events--;
    event->place->events--;
    pool_give(&windows->events, event);
}

/* ---- coming and going ---- */

static uint32_t bytes_of(size_t bytes)
{
    return bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
}

void window_event_weigh(struct window_event *event)
{
    event->is_gutting =
        event->is_blank || is_gutted(event->loss_max, event->old_bytes, event->new_bytes);
    event->is_replacing =
        sketch_keeps_less(&event->old_text, &event->new_text, WINDOW_REPLACED_QUARTERS);
}

/* What it says of the content, or what the event before it says. */
static void describe_text(struct window_event *event, const struct effect *effect)
{
    const struct window_event *before = event->memory->last;

    event->is_content = !event->is_delete && (effect->content_changed || effect->blanked);
    event->is_blank = event->is_content ? effect->blanked : before != NULL && before->is_blank;
    if (effect->new_text.shingles != 0) { /* of a tombstone, too */
        event->old_text = effect->old_text;
        event->new_text = effect->new_text;
    } else if (before != NULL) {
        event->old_text = event->new_text = before->new_text;
    }
    event->is_edit = !sketch_keeps_less(&event->old_text, &event->new_text, SKETCH_EDIT_QUARTERS);
    if (event->is_content) {
        window_event_weigh(event);
    }
}

static void describe(struct windows *windows, struct window_event *event,
                     const struct effect *effect)
{
    const struct window_event *before = event->memory->last;
    const struct guard_options *options = &windows->limits->options[event->actor->group];

    event->groups = UINT32_C(1) << event->actor->group;
    event->loss_max = options->loss_max;
    event->at_us = effect->at_us;
    event->origin = effect->origin;
    event->seq = effect->seq;
    event->old_bytes = bytes_of(effect->old_bytes);
    event->new_bytes = effect->kind == EFFECT_DELETE ? 0 : bytes_of(effect->new_bytes);
    event->is_delete = effect->kind == EFFECT_DELETE;
    describe_text(event, effect);
    event->is_destroying =
        (event->is_delete && effect->old_bytes > 0) || (event->is_content && effect->blanked);
    event->is_moving = effect->moved_to != NULL;
    event->place = event->is_moving ? windows_project(windows, effect->moved_to)
                   : before != NULL ? before->place
                                    : event->memory->project;
    event->place->events++;
    event->is_short = !event->is_destroying && !event->is_moving &&
                      event->new_bytes >= event->old_bytes && event->is_edit;
    if (effect->new_version > effect->old_version) {
        event->version_jump = effect->new_version - effect->old_version;
        event->is_jump = event->version_jump > options->version_jump_max;
    }
}

/* Nothing that a rule looks at: a change of other fields but the project, or of what was deleted
 * (it had no bytes), or by whom nothing is judged. */
static bool is_harmless(const struct windows *windows, const struct effect *effect)
{
    const struct limits *limits = windows->limits;
    const struct guard_options *options = &limits->options[limits_group(limits, effect->source)];
    bool takes = effect->kind == EFFECT_DELETE || effect->content_changed || effect->blanked ||
                 effect->moved_to != NULL;
    bool jumps = effect->new_version > effect->old_version &&
                 effect->new_version - effect->old_version > options->version_jump_max;

    return !options->enabled || (!(takes && effect->old_bytes > 0) && !jumps);
}

/* Effects come in runs of one project and actor: the last event's are tried first. */
static struct window_project *project_near(struct windows *windows, const char *id)
{
    struct window_project *last = windows->newest == NULL ? NULL : windows->newest->memory->project;

    return last != NULL && strcmp(last->id, id) == 0 ? last : windows_project(windows, id);
}

static struct window_actor *actor_near(struct windows *windows, const char *name)
{
    struct window_actor *last = windows->newest == NULL ? NULL : windows->newest->actor;

    return last != NULL && strcmp(last->name, name) == 0 ? last : windows_actor(windows, name);
}

static void note_how(struct window_actor *actor, const char *how)
{
    if (how != NULL && (actor->how == NULL || strcmp(actor->how, how) != 0)) {
        free(actor->how);
        actor->how = xstrdup(how);
    }
}

struct window_event *windows_add(struct windows *windows, const struct effect *effect,
                                 int64_t mono_ms)
{
    uint64_t hash;
    struct window_memory *memory = find_memory(windows, &effect->memory, &hash);

    if (memory == NULL) {
        if (is_harmless(windows, effect)) {
            return NULL;
        }
        memory =
            make_memory(windows, &effect->memory, hash, project_near(windows, effect->project_id));
    }
    struct window_event *event = pool_take(&windows->events);
    event->memory = memory;
    event->actor = actor_near(windows, effect->source);
    event->actor->events++;
    note_how(event->actor, effect->how);
    event->serial = windows->next_serial++;
    event->mono_ms = mono_ms;
    describe(windows, event, effect);
    chain_attach(windows, event);
    event->older = windows->newest;
    list_link(windows, event);
    if (event->is_destroying) {
        event->of_actor = true;
        event->actor_older = event->actor->last;
        actor_link(event);
    }
    note(windows, STEP_ADDED, event);
    return event;
}

/* ---- taking ---- */

void windows_call(struct windows *windows)
{
    windows->call++;
}

static void enter_call(const struct windows *windows, struct window_project *project)
{
    if (project->call != windows->call) {
        project->call = windows->call;
        project->live_known = false;
        project->restored = 0;
    }
}

uint64_t windows_live(struct windows *windows, struct window_project *project,
                      const struct judge_view *view)
{
    enter_call(windows, project);
    if (!project->live_known) {
        project->live = view->live(view, project->id);
        project->live_known = true;
    }
    int64_t live = (int64_t)project->live + project->restored;
    return live > 0 ? (uint64_t)live : 0;
}

/* Is the memory alive after this event (NULL: none), in its project or (NULL) anywhere? */
static int alive_in(const struct window_event *event, const struct window_project *project)
{
    return event == NULL || (!event->is_delete && (project == NULL || event->place == project)) ? 1
                                                                                                : 0;
}

void windows_take(struct windows *windows, struct window_event *event)
{
    struct window_memory *memory = event->memory;
    struct window_project *project = memory->project;

    assert(memory->last == event);
    enter_call(windows, project);
    enter_call(windows, &windows->all);
    chain_detach(windows, event);
    project->restored += alive_in(memory->last, project) - alive_in(event, project);
    windows->all.restored += alive_in(memory->last, NULL) - alive_in(event, NULL);
    list_unlink(windows, event);
    if (event->of_actor) {
        actor_unlink(event);
    }
    event->is_taken = true;
    memory->taken++;
    note(windows, STEP_TAKEN, event);
}

void windows_take_summary(struct windows *windows, struct window_summary *summary)
{
    summary->is_taken = true;
    note(windows, STEP_TAKEN_SUMMARY, summary);
}

/* Out of every window, list and chain for good; it is the first of its chain. */
void window_event_drop(struct windows *windows, struct window_event *event)
{
    struct window_memory *memory = event->memory;

    for (size_t k = 0; k < windows->limits->net_count; k++) {
        if (event->serial >= windows->edge[k]) {
            chain_leave(windows, event, k);
        }
    }
    window_actor_drop(event);
    list_unlink(windows, event);
    if (event->memory_newer != NULL) {
        event->memory_newer->memory_older = NULL;
    } else {
        memory->last = NULL;
        window_memory_free(windows, memory);
    }
    event_free(windows, event);
}

/* Its move was so long ago that it is of this project now. */
static void move_memory(struct windows *windows, struct window_memory *memory,
                        struct window_project *project)
{
    for (size_t k = 0; k < windows->limits->net_count; k++) {
        window_account(windows, memory, k, false);
    }
    memory_unlink(memory);
    memory_link(memory, project);
    for (size_t k = 0; k < windows->limits->net_count; k++) {
        window_account(windows, memory, k, true);
    }
}

static size_t slot_short(const struct windows *windows)
{
    return windows->limits->slot_count - 2;
}

/* Too old for any window; and what only stayed because it came on top of it goes too. */
static void drop_oldest(struct windows *windows, struct window_event *event)
{
    struct window_event *next = event->memory_newer;

    if (event->is_moving && next != NULL) {
        move_memory(windows, event->memory, event->place);
    }
    window_event_drop(windows, event);
    while (next != NULL && next->is_short && next->serial < windows->edge[slot_short(windows)]) {
        struct window_event *after = next->memory_newer;
        window_event_drop(windows, next);
        next = after;
    }
}

static void leave(struct windows *windows, struct window_event *event, size_t slot)
{
    const struct window_slot *of = &windows->limits->slots[slot];

    switch (of->kind) {
    case WINDOW_DELETE:
        if ((of->members >> event->actor->group & 1) != 0) {
            window_actor_drop(event);
        }
        break;
    case WINDOW_SHARE:
    case WINDOW_DRIP:
    case WINDOW_UPDATE:
    case WINDOW_LOSS:
        chain_leave(windows, event, slot);
        break;
    case WINDOW_SHORT:
        if (event->is_short && event->memory_older == NULL) {
            window_event_drop(windows, event);
        }
        break;
    case WINDOW_LONG:
    case WINDOW_KINDS:
        drop_oldest(windows, event);
        break;
    }
}

void windows_expire(struct windows *windows, int64_t now_ms)
{
    windows->now_ms = now_ms;
    for (size_t k = 0; k < windows->limits->slot_count; k++) {
        struct window_event *event;
        while ((event = windows->cursor[k]) != NULL &&
               now_ms - event->mono_ms > windows->limits->slots[k].length_ms) {
            windows->cursor[k] = event->newer;
            windows->edge[k] = event->serial + 1;
            leave(windows, event, k);
        }
    }
    window_summaries_expire(windows);
}

/* ---- the end of a transaction ---- */

static void undo_added(struct windows *windows, struct window_event *event)
{
    struct window_memory *memory = event->memory;

    chain_detach(windows, event);
    list_unlink(windows, event);
    if (event->of_actor) {
        actor_unlink(event);
    }
    if (memory->last == NULL && memory->taken == 0) {
        window_memory_free(windows, memory);
    }
    event_free(windows, event);
}

static void undo_taken(struct windows *windows, struct window_event *event)
{
    event->is_taken = false;
    event->memory->taken--;
    if (event->of_actor) {
        actor_link(event);
    }
    list_link(windows, event);
    chain_attach(windows, event);
}

size_t windows_mark(const struct windows *windows)
{
    return windows->step_count;
}

static void forget_steps(struct windows *windows)
{
    windows->step_count = 0;
    if (windows->step_capacity > 4096) { /* of a request far above the common */
        free(windows->steps);
        windows->steps = NULL;
        windows->step_capacity = 0;
    }
}

void windows_undo(struct windows *windows, size_t mark)
{
    while (windows->step_count > mark) {
        struct window_step step = windows->steps[--windows->step_count];
        switch (step.kind) {
        case STEP_ADDED:
            undo_added(windows, step.thing);
            break;
        case STEP_TAKEN:
            undo_taken(windows, step.thing);
            break;
        case STEP_TAKEN_SUMMARY:
            ((struct window_summary *)step.thing)->is_taken = false;
            break;
        }
    }
    if (mark == 0) {
        forget_steps(windows);
    }
}

static void commit_taken(struct windows *windows, struct window_event *event)
{
    struct window_memory *memory = event->memory;

    if (event->is_delete) {
        window_actor_held(event->actor, event->mono_ms, 1);
    }
    memory->taken--;
    if (memory->taken == 0 && memory->last == NULL) {
        window_memory_free(windows, memory);
    }
    event_free(windows, event);
}

void windows_commit(struct windows *windows)
{
    for (size_t i = 0; i < windows->step_count; i++) {
        if (windows->steps[i].kind == STEP_TAKEN) {
            commit_taken(windows, windows->steps[i].thing);
        }
    }
    forget_steps(windows);
    window_summaries_drop_taken(windows);
    if (windows->count > windows->events_max) {
        windows_fold(windows, windows->events_max - windows->events_max / 8);
    }
}
