/*
 * After a start: the windows and the incidents under way, as the journal tells them.
 *
 * A change says what a memory became, not what it was before; so of each memory that was changed
 * lately the history is read, and its effects are made again.
 */
#include "guard/guard_internal.h"
#include "ledger/read_recover.h"

#define CHUNK_FIRST 4096 /* changes read at once, from the end backwards; doubled until MAX */
#define CHUNK_MAX 65536
#define BLANK_LEAST_BYTES 20 /* as struct effect says */

struct rebuild {
    struct guard *guard;
    struct reader *reader;
    int64_t now_us;
    int64_t now_ms;
    int64_t cutoff_us; /* what is older is in no window */

    struct uuid *ids; /* of memories changed since */
    size_t id_count;
    size_t id_capacity;
    bool chunk_is_recent;

    struct effect *effects; /* their texts are the windows' */
    size_t effect_count;
    size_t effect_capacity;

    struct ranges *accepted; /* of each alert that a person accepted since; of recoveries */
    size_t accepted_count;
    struct alert *open;
    size_t open_count;
};

static void rebuild_done(struct rebuild *rebuild)
{
    for (size_t i = 0; i < rebuild->accepted_count; i++) {
        ranges_done(&rebuild->accepted[i]);
    }
    for (size_t i = 0; i < rebuild->open_count; i++) {
        alert_done(&rebuild->open[i]);
    }
    free(rebuild->accepted);
    free(rebuild->open);
    free(rebuild->ids);
    free(rebuild->effects);
}

/* Ages are by the wall clock; what lies in the future happened now. */
static int64_t mono_of(const struct rebuild *rebuild, int64_t at_us)
{
    return at_us >= rebuild->now_us ? rebuild->now_ms
                                    : rebuild->now_ms - (rebuild->now_us - at_us) / 1000;
}

/* ---- what was changed lately ---- */

static int note_change(void *arg, const struct change *change, struct err *err)
{
    struct rebuild *rebuild = arg;
    struct uuid id;

    if (change->at_us < rebuild->cutoff_us) {
        return 0;
    }
    rebuild->chunk_is_recent = true;
    if (change->kind != KIND_MEMORY || (change->op == OP_PUT && change->version == 1)) {
        return 0; /* the first version of a memory takes nothing away */
    }
    if (uuid_parse(str_of(change->id), &id, err) < 0) {
        return -(int)err->code;
    }
    if (rebuild->id_count == rebuild->id_capacity) {
        rebuild->id_capacity = rebuild->id_capacity == 0 ? 64 : 2 * rebuild->id_capacity;
        rebuild->ids = xrealloc(rebuild->ids, rebuild->id_capacity * sizeof(*rebuild->ids));
    }
    rebuild->ids[rebuild->id_count++] = id;
    return 0;
}

/* From the end back, until a whole chunk is too old: single changes may be out of order after the
 * clock was set. */
static int scan_origin(struct rebuild *rebuild, const struct head *head, struct err *err)
{
    uint64_t chunk = CHUNK_FIRST;

    for (uint64_t high = head->seq; high > 0;) {
        uint64_t low = high > chunk ? high - chunk : 0;
        rebuild->chunk_is_recent = false;
        int result = read_changes(rebuild->reader, &head->origin, low, (size_t)(high - low),
                                  note_change, rebuild, err);
        if (result < 0 || !rebuild->chunk_is_recent) {
            return result;
        }
        high = low;
        chunk = chunk < CHUNK_MAX ? 2 * chunk : CHUNK_MAX;
    }
    return 0;
}

static int compare_ids(const void *a, const void *b)
{
    return uuid_cmp(a, b);
}

static int scan_journal(struct rebuild *rebuild, struct err *err)
{
    AUTO(free_ptr) struct head *heads = NULL;
    size_t head_count = 0;
    size_t kept = 0;

    int result = read_heads(rebuild->reader, &heads, &head_count, err);
    for (size_t i = 0; i < head_count && result == 0; i++) {
        result = scan_origin(rebuild, &heads[i], err);
    }
    if (result < 0 || rebuild->id_count == 0) {
        return result;
    }
    qsort(rebuild->ids, rebuild->id_count, sizeof(*rebuild->ids), compare_ids);
    for (size_t i = 0; i < rebuild->id_count; i++) {
        if (kept == 0 || !uuid_eq(&rebuild->ids[i], &rebuild->ids[kept - 1])) {
            rebuild->ids[kept++] = rebuild->ids[i];
        }
    }
    rebuild->id_count = kept;
    return 0;
}

/* ---- what the changes did ---- */

/* A memory before a change. */
struct past {
    struct rebuild *rebuild;
    bool is_there;
    bool is_deleted;
    bool has_effects; /* that count */
    uint64_t version;
    struct window_project *project;
    char *content; /* heap */
    size_t content_len;
};

static bool is_blank(size_t old_len, const char *content, size_t len)
{
    return strspn(content, " \t\r\n\v\f") == len ||
           (old_len >= BLANK_LEAST_BYTES && len < old_len / 10);
}

static bool is_accepted(const struct rebuild *rebuild, const struct change *change)
{
    for (size_t i = 0; i < rebuild->accepted_count; i++) {
        if (ranges_contain(&rebuild->accepted[i], &change->origin, change->seq)) {
            return true;
        }
    }
    return false;
}

static struct effect effect_of(const struct past *past, const struct change *change,
                               const struct memory *memory)
{
    struct windows *windows = &past->rebuild->guard->windows;
    bool deleted = memory->deleted_us != TIME_NONE;
    bool moved = strcmp(past->project->id, change->project_id) != 0;
    struct effect effect = {
        .kind = deleted ? EFFECT_DELETE : EFFECT_UPDATE,
        .origin = change->origin,
        .seq = change->seq,
        .memory = memory->id,
        .project_id = past->project->id,
        .moved_to = moved ? windows_project(windows, change->project_id)->id : NULL,
        .source = windows_actor(windows, change->source)->name,
        .content_changed = past->content_len != memory->content_len ||
                           memcmp(past->content, memory->content, memory->content_len) != 0,
        .blanked = !deleted && is_blank(past->content_len, memory->content, memory->content_len),
        .old_bytes = past->is_deleted ? 0 : past->content_len,
        .new_bytes = deleted ? 0 : memory->content_len,
        .old_version = past->version,
        .new_version = change->version,
        .at_us = change->at_us,
    };

    if (effect.content_changed) {
        sketch_change((struct str){past->content, past->content_len},
                      (struct str){memory->content, memory->content_len}, &effect.old_text,
                      &effect.new_text);
    }
    return effect;
}

/* Would the windows still have it? What took nothing away stays short, unless it came on top of
 * what did. */
static bool is_of_use(const struct past *past, const struct effect *effect)
{
    const struct rebuild *rebuild = past->rebuild;
    int64_t age_ms = rebuild->now_ms - mono_of(rebuild, effect->at_us);
    bool takes = (effect->kind == EFFECT_DELETE && effect->old_bytes > 0) || effect->blanked ||
                 effect->new_bytes < effect->old_bytes || effect->moved_to != NULL ||
                 sketch_keeps_less(&effect->old_text, &effect->new_text, SKETCH_EDIT_QUARTERS);

    return takes || past->has_effects || age_ms <= limits_short_ms(&rebuild->guard->limits);
}

static void add_effect(struct rebuild *rebuild, const struct effect *effect)
{
    if (rebuild->effect_count == rebuild->effect_capacity) {
        rebuild->effect_capacity =
            rebuild->effect_capacity == 0 ? 64 : 2 * rebuild->effect_capacity;
        rebuild->effects =
            xrealloc(rebuild->effects, rebuild->effect_capacity * sizeof(*rebuild->effects));
    }
    rebuild->effects[rebuild->effect_count++] = *effect;
}

static void look_at_change(struct past *past, const struct change *change,
                           const struct memory *memory, bool held)
{
    struct rebuild *rebuild = past->rebuild;
    bool deleted = memory->deleted_us != TIME_NONE;

    if (!past->is_there || change->at_us < rebuild->cutoff_us) {
        return;
    }
    if (held) {
        if (deleted && !past->is_deleted) {
            window_actor_held(windows_actor(&rebuild->guard->windows, change->source),
                              mono_of(rebuild, change->at_us), 1);
        }
        return;
    }
    struct effect effect = effect_of(past, change, memory);
    if (is_of_use(past, &effect) && !is_accepted(rebuild, change)) {
        add_effect(rebuild, &effect);
        past->has_effects = true;
    }
}

static int walk_history(void *arg, const struct change *change, const struct memory *memory,
                        bool held, struct err *err)
{
    struct past *past = arg;

    (void)err;
    look_at_change(past, change, memory, held);
    if (held) {
        return 0; /* it changed nothing that shows */
    }
    past->is_there = true;
    past->is_deleted = memory->deleted_us != TIME_NONE;
    past->version = change->version;
    past->project = windows_project(&past->rebuild->guard->windows, change->project_id);
    free(past->content);
    past->content = xstrndup(memory->content, memory->content_len);
    past->content_len = memory->content_len;
    return 0;
}

static int compare_effects(const void *a, const void *b)
{
    const struct effect *x = a;
    const struct effect *y = b;

    if (x->at_us != y->at_us) {
        return x->at_us < y->at_us ? -1 : 1;
    }
    int order = uuid_cmp(&x->origin, &y->origin);
    return order != 0 ? order : (x->seq > y->seq) - (x->seq < y->seq);
}

static int rebuild_windows(struct rebuild *rebuild, struct err *err)
{
    struct windows *windows = &rebuild->guard->windows;
    int result = 0;

    for (size_t i = 0; i < rebuild->id_count && result == 0; i++) {
        struct past past = {.rebuild = rebuild};
        result = read_history(rebuild->reader, &rebuild->ids[i], walk_history, &past, err);
        free(past.content);
    }
    if (result < 0) {
        return result;
    }
    if (rebuild->effect_count > 0) {
        qsort(rebuild->effects, rebuild->effect_count, sizeof(*rebuild->effects), compare_effects);
    }
    for (size_t i = 0; i < rebuild->effect_count; i++) {
        struct effect *effect = &rebuild->effects[i];
        (void)windows_add(windows, effect, mono_of(rebuild, effect->at_us)); /* NULL: of no use */
    }
    return 0;
}

/* ---- alerts ---- */

static int note_alert(void *arg, const struct alert *alert, struct err *err)
{
    struct rebuild *rebuild = arg;

    (void)err;
    bool accepted_lately =
        alert->state == ALERT_ACCEPTED && alert->resolved_us >= rebuild->cutoff_us;
    if (rule_by_name(alert->rule) == NULL || (alert->state != ALERT_OPEN && !accepted_lately)) {
        return 0;
    }
    rebuild->open = xrealloc(rebuild->open, (rebuild->open_count + 1) * sizeof(*rebuild->open));
    rebuild->open[rebuild->open_count++] = (struct alert){
        .id = alert->id,
        .state = alert->state,
        .rule = xstrdup(alert->rule),
        .actor = xstrdup(alert->actor),
        .project_id = xstrdup(alert->project_id),
        .started_us = alert->started_us,
        .changes = alert->changes,
        .memories = alert->memories,
    };
    return 0;
}

static struct ranges *add_accepted(struct rebuild *rebuild)
{
    rebuild->accepted =
        xrealloc(rebuild->accepted, (rebuild->accepted_count + 1) * sizeof(*rebuild->accepted));
    struct ranges *added = &rebuild->accepted[rebuild->accepted_count++];
    ranges_init(added);
    return added;
}

/* A person asked for what a recovery brought or took back, as for what was accepted. */
static int note_recovery(void *arg, const struct decision *decision, struct err *err)
{
    const struct ranges *from = &decision->ranges;

    (void)err;
    if (from->count > 0) {
        struct ranges *to = add_accepted(arg);
        to->items = xmalloc(from->count * sizeof(*to->items));
        memcpy(to->items, from->items, from->count * sizeof(*to->items));
        to->count = to->capacity = from->count;
        ranges_sort(to);
    }
    return 0;
}

static int read_accepted(struct rebuild *rebuild, struct err *err)
{
    int result = 0;

    for (size_t i = 0; i < rebuild->open_count && result == 0; i++) {
        if (rebuild->open[i].state == ALERT_ACCEPTED) {
            result = read_alert_ranges(rebuild->reader, &rebuild->open[i].id, add_accepted(rebuild),
                                       err);
        }
    }
    return result < 0 ? result : read_recoveries(rebuild->reader, note_recovery, rebuild, err);
}

static int note_time(void *arg, const struct change *change, struct err *err)
{
    int64_t *last_us = arg;

    (void)err;
    *last_us = change->at_us > *last_us ? change->at_us : *last_us;
    return 0;
}

/* When the last change that an alert holds was made: each origin's last is in its last range. */
static int last_change(struct rebuild *rebuild, const struct ranges *ranges, int64_t *ret_us,
                       struct err *err)
{
    int64_t last_us = INT64_MIN;
    int result = 0;

    for (size_t i = 0; i < ranges->count && result == 0; i++) {
        const struct range *range = &ranges->items[i];
        if (i + 1 == ranges->count || !uuid_eq(&range[1].origin, &range->origin)) {
            result = read_changes(rebuild->reader, &range->origin, range->to - 1, 1, note_time,
                                  &last_us, err);
        }
    }
    *ret_us = last_us;
    return result;
}

struct restored {
    struct rebuild *rebuild;
    struct incident *incident;
};

static int restore_change(void *arg, const struct change *change, struct err *err)
{
    struct restored *restored = arg;
    struct incidents *incidents = &restored->rebuild->guard->incidents;
    struct windows *windows = &restored->rebuild->guard->windows;
    struct incident *incident = restored->incident;
    struct uuid id;

    if (change->kind != KIND_MEMORY) {
        return 0;
    }
    if (uuid_parse(str_of(change->id), &id, err) < 0) {
        return -(int)err->code;
    }
    struct window_project *project = windows_project(windows, change->project_id);
    incident_add_memory(incidents, incident, &id);
    struct window_actor *actor = windows_actor(windows, change->source);
    incident_add_actor(incident, actor, 1);
    incident->state.groups |= UINT32_C(1) << actor->group;
    incident_add_project(incident, project);
    incident->state.deletes += change->op == OP_DELETE ? 1 : 0;
    incident->state.blanks += change->op == OP_PUT ? 1 : 0;
    struct incident **place =
        &project->incidents[incident->watch - restored->rebuild->guard->limits.watches];
    if (incident->rule->scope == RULE_OF_PROJECT && *place != incident) {
        incident_bind(incidents, place, incident);
    }
    return 0;
}

struct whose {
    const struct limits *limits;
    uint32_t groups;
};

static int note_group(void *arg, const struct change *change, struct err *err)
{
    struct whose *whose = arg;

    (void)err;
    whose->groups |= UINT32_C(1) << limits_group(whose->limits, change->source);
    return 0;
}

/*
 * Which watch tripped is not on record, and the configuration may be another one now: it is the
 * actor's own, or of those that count all whose changes it holds the one with the fewest members
 * besides.
 */
static int find_watch(struct rebuild *rebuild, const struct alert *alert,
                      const struct ranges *ranges, const struct watch **ret, struct err *err)
{
    const struct limits *limits = &rebuild->guard->limits;
    const struct rule *rule = rule_by_name(alert->rule);
    struct whose whose = {.limits = limits};
    int result = 0;

    *ret = limits_watch(limits, rule->id, limits_group(limits, alert->actor));
    if (limits->group_count == 1 || rule->scope == RULE_OF_ACTOR || rule->scope == RULE_OF_CHANGE) {
        return 0;
    }
    for (size_t i = 0; i < ranges->count && result == 0; i++) {
        const struct range *range = &ranges->items[i];
        result = read_changes(rebuild->reader, &range->origin, range->from - 1,
                              (size_t)(range->to - range->from + 1), note_group, &whose, err);
    }
    const struct watch *best = NULL;
    for (size_t i = 0; i < limits->watch_count; i++) {
        const struct watch *watch = &limits->watches[i];
        if (watch->rule == rule && (whose.groups & ~watch->members) == 0 &&
            (best == NULL ||
             __builtin_popcount(watch->members) < __builtin_popcount(best->members))) {
            best = watch;
        }
    }
    *ret = best != NULL ? best : *ret;
    return result;
}

static int restore_incident(struct rebuild *rebuild, const struct alert *alert,
                            const struct ranges *ranges, int64_t last_us, struct err *err)
{
    struct guard *guard = rebuild->guard;
    const struct watch *watch = NULL;
    struct windows *windows = &guard->windows;
    size_t look = 0;
    int result = find_watch(rebuild, alert, ranges, &watch, err);

    if (result < 0 || watch == NULL) {
        return result; /* NULL: the rule is off for all whose changes it holds */
    }
    const struct rule *rule = watch->rule;

    /* Which of its looks tripped is not on record: longer than the first, it was not the first. */
    if (rule->look_count > 1 && (last_us - alert->started_us) / 1000 > watch->length_ms[0]) {
        look = 1;
    }
    if (rebuild->now_ms - mono_of(rebuild, last_us) >= watch->length_ms[look]) {
        return 0; /* it is over, though nobody resolved it */
    }
    struct incident *incident =
        incident_new(&guard->incidents, watch, look, mono_of(rebuild, last_us));
    incident->alert = alert->id;
    incident->state.first_mono_ms = mono_of(rebuild, alert->started_us);
    incident->state.last_mono_ms = mono_of(rebuild, last_us);
    incident->state.started_us = alert->started_us;
    incident->state.changes = alert->changes;
    if (rule->scope == RULE_OF_ALL) {
        incident_bind(&guard->incidents, &windows->all.incidents[watch - guard->limits.watches],
                      incident);
    } else if (rule->scope != RULE_OF_PROJECT) {
        struct window_actor *actor = windows_actor(windows, alert->actor);
        incident_bind(&guard->incidents, &actor->incidents[watch - guard->limits.watches],
                      incident);
    }
    struct restored restored = {rebuild, incident};
    for (size_t i = 0; i < ranges->count && result == 0; i++) {
        const struct range *range = &ranges->items[i];
        result =
            read_changes(rebuild->reader, &range->origin, range->from - 1,
                         (size_t)(range->to - range->from + 1), restore_change, &restored, err);
    }
    if (alert->memories > incident->memories.count) {
        incident->state.more_memories = alert->memories - incident->memories.count;
    }
    return result;
}

static int rebuild_incidents(struct rebuild *rebuild, struct err *err)
{
    int result = 0;

    for (size_t i = 0; i < rebuild->open_count && result == 0; i++) {
        AUTO(ranges_done) struct ranges ranges;
        int64_t last_us;
        ranges_init(&ranges);
        if (rebuild->open[i].state != ALERT_OPEN) {
            continue;
        }
        result = read_alert_ranges(rebuild->reader, &rebuild->open[i].id, &ranges, err);
        if (result == 0) {
            result = last_change(rebuild, &ranges, &last_us, err);
        }
        if (result == 0 && last_us != INT64_MIN) {
            result = restore_incident(rebuild, &rebuild->open[i], &ranges, last_us, err);
        }
    }
    return result;
}

int guard_rebuild(struct guard *guard, struct reader *reader, struct err *err)
{
    AUTO(rebuild_done)
    struct rebuild rebuild = {
        .guard = guard,
        .reader = reader,
        .now_us = guard->env->now_us(guard->env),
        .now_ms = guard->env->mono_ms(guard->env),
    };

    if (!limits_any(&guard->limits)) {
        return 0;
    }
    rebuild.cutoff_us = rebuild.now_us - limits_long_ms(&guard->limits) * 1000;
    windows_expire(&guard->windows, rebuild.now_ms);
    int result = read_alerts(reader, false, note_alert, &rebuild, err);
    if (result == 0) {
        result = read_accepted(&rebuild, err);
    }
    if (result == 0) {
        result = scan_journal(&rebuild, err);
    }
    if (result == 0) {
        result = rebuild_windows(&rebuild, err);
    }
    if (result == 0) {
        result = rebuild_incidents(&rebuild, err);
    }
    if (result < 0) {
        return err_context(err, "guard: what happened before the start can't be read");
    }
    incidents_commit(&guard->incidents);
    windows_commit(&guard->windows);
    return 0;
}
