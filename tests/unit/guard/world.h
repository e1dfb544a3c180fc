/*
 * world - a ledger in miniature for the guard: memories with their changes, what is held of them,
 * and a clock that a test moves. It makes effects as the writer does, and applies decisions as the
 * writer does.
 *
 * A request is begin, any number of actions, end (which asks the judge and settles). Actions
 * outside of a request are requests of their own. A memory is named by its number, from 0.
 */
#ifndef HOLDFAST_TESTS_UNIT_GUARD_WORLD_H
#define HOLDFAST_TESTS_UNIT_GUARD_WORLD_H

#include "support/unit.h"

#include "guard/guard_internal.h"

#define WORLD_NOW_US 1700000000000000
#define WORLD_ALERTS_MAX 256
#define WORLD_PROJECTS_MAX 256

/* What a memory is after a change. */
struct world_change {
    size_t memory;
    size_t earlier; /* change of the same memory before, 0: none; changes are numbered from 1 */
    uint64_t version;
    uint32_t bytes;
    uint32_t text;        /* which text: another number is another content */
    struct sketch sketch; /* of it */
    const char *project;
    bool deleted;
    bool held;
};

struct world_memory {
    struct uuid id;
    const char *project; /* that it was made in */
    size_t last;         /* change */
};

struct world_project {
    const char *name;
    uint64_t live; /* memories that are alive in it */
};

struct world_alert {
    struct uuid id;
    char *rule;
    char *actor;
    char *summary;
    uint64_t changes;
    uint64_t memories;
    uint64_t held; /* changes in its ranges */
    uint64_t decisions;
    int64_t started_us;
};

/* A clock whose wall time can be set without the other noticing. */
struct world_clock {
    struct env_fake fake;
    int64_t wall_shift_us;
};

struct world {
    struct world_clock env;
    struct guard *guard;
    struct ledger_judge judge;
    struct uuid origin;

    struct world_memory *memories;
    size_t memory_count;
    size_t memory_capacity;
    struct world_change *changes; /* [0] is none */
    size_t change_count;
    size_t change_capacity;

    struct effect *effects;
    size_t effect_count;
    size_t effect_capacity;
    bool in_request;

    struct world_alert alerts[WORLD_ALERTS_MAX];
    size_t alert_count;
    uint64_t held; /* changes in all */

    struct world_project projects[WORLD_PROJECTS_MAX];
    size_t project_count;
    uint64_t live; /* memories in all projects */

    uint64_t seed; /* of the texts */
    struct err err;
};

/* ---- life ---- */

static inline int64_t world_now_us(struct env *env)
{
    struct world_clock *clock = (struct world_clock *)env;

    return clock->fake.us + clock->wall_shift_us;
}

static inline struct env *world_env(struct world *world)
{
    return &world->env.fake.env;
}

/* sources: those with thresholds of their own. */
static inline void world_init_with(struct world *world, const struct guard_options *options,
                                   const struct guard_source *sources, size_t source_count)
{
    const struct guard_options defaults = GUARD_OPTIONS_DEFAULT;
    struct err err = ERR_INIT;

    *world = (struct world){.change_count = 1, .seed = 88172645463325252ULL};
    env_fake_init(&world->env.fake, WORLD_NOW_US, 7);
    world_env(world)->now_us = world_now_us;
    assert_ok(guard_open(options == NULL ? &defaults : options, sources, source_count,
                         world_env(world), &world->guard, &err),
              &err);
    world->judge = guard_judge_for(world->guard);
    world->origin = uuid_new(world_env(world));
}

static inline void world_init(struct world *world, const struct guard_options *options)
{
    world_init_with(world, options, NULL, 0);
}

static inline void world_done(struct world *world)
{
    guard_close(world->guard);
    for (size_t i = 0; i < world->alert_count; i++) {
        free(world->alerts[i].rule);
        free(world->alerts[i].actor);
        free(world->alerts[i].summary);
    }
    free(world->memories);
    free(world->changes);
    free(world->effects);
}

static inline int world_setup(void **state)
{
    struct world *world = xmalloc(sizeof(*world));

    world_init(world, NULL);
    *state = world;
    return 0;
}

static inline int world_teardown(void **state)
{
    world_done(*state);
    free(*state);
    return 0;
}

static inline void wait_ms(struct world *world, int64_t ms)
{
    env_fake_advance_ms(&world->env.fake, ms);
}

/* ---- what there is ---- */

/* The change that says what a memory is now. */
static inline struct world_change *now_of(struct world *world, size_t memory)
{
    size_t change = world->memories[memory].last;

    while (change != 0 && world->changes[change].held) {
        change = world->changes[change].earlier;
    }
    return change == 0 ? NULL : &world->changes[change];
}

/* The same by value; where nothing is shown, something deleted. */
static inline struct world_change shown(struct world *world, size_t memory)
{
    const struct world_change *now = now_of(world, memory);

    return now == NULL
               ? (struct world_change){.project = world->memories[memory].project, .deleted = true}
               : *now;
}

static inline bool is_alive(struct world *world, size_t memory)
{
    const struct world_change *now = now_of(world, memory);

    return now != NULL && !now->deleted;
}

static inline struct world_project *project_of(struct world *world, const char *name)
{
    for (size_t i = 0; i < world->project_count; i++) {
        if (strcmp(world->projects[i].name, name) == 0) {
            return &world->projects[i];
        }
    }
    assert_true(world->project_count < WORLD_PROJECTS_MAX);
    world->projects[world->project_count].name = name;
    return &world->projects[world->project_count++];
}

/* Leave a memory out of the counts, before it changes; take it in again, after it did. */
static inline void uncount(struct world *world, size_t memory)
{
    const struct world_change *now = now_of(world, memory);

    if (now != NULL && !now->deleted) {
        project_of(world, now->project)->live--;
        world->live--;
    }
}

static inline void count_again(struct world *world, size_t memory)
{
    const struct world_change *now = now_of(world, memory);

    if (now != NULL && !now->deleted) {
        project_of(world, now->project)->live++;
        world->live++;
    }
}

static inline uint64_t world_live(const struct judge_view *view, const char *project_id)
{
    struct world *world = view->ctx;

    return project_id == NULL ? world->live : project_of(world, project_id)->live;
}

/* ---- requests ---- */

static inline struct world_alert *alert_by_id(struct world *world, const struct uuid *id)
{
    for (size_t i = 0; i < world->alert_count; i++) {
        if (uuid_eq(&world->alerts[i].id, id)) {
            return &world->alerts[i];
        }
    }
    assert_true(world->alert_count < WORLD_ALERTS_MAX);
    world->alerts[world->alert_count].id = *id;
    return &world->alerts[world->alert_count++];
}

static inline void take_text(char **place, const char *text)
{
    free(*place);
    *place = xstrdup(text);
}

static inline void apply_decision(struct world *world, const struct decision *decision)
{
    struct world_alert *alert = alert_by_id(world, &decision->alert);

    assert_int_equal(decision->kind, DECISION_HELD);
    assert_true(decision->ranges.count >= 1 && decision->ranges.count <= RANGES_MAX);
    assert_true(strlen(decision->summary) <= DECISION_TEXT_MAX_BYTES);
    for (size_t i = 0; i < decision->ranges.count; i++) {
        const struct range *range = &decision->ranges.items[i];
        assert_true(uuid_eq(&range->origin, &world->origin));
        for (uint64_t seq = range->from; seq <= range->to; seq++) {
            assert_true(seq < world->change_count);
            assert_false(world->changes[seq].held); /* nothing is held twice */
            uncount(world, world->changes[seq].memory);
            world->changes[seq].held = true;
            count_again(world, world->changes[seq].memory);
            alert->held++;
            world->held++;
        }
    }
    take_text(&alert->rule, decision->rule);
    take_text(&alert->actor, decision->actor);
    take_text(&alert->summary, decision->summary);
    alert->changes = decision->changes;
    alert->memories = decision->memories;
    alert->started_us = decision->started_us;
    alert->decisions++;
}

static inline void begin(struct world *world)
{
    world->in_request = true;
    world->effect_count = 0;
}

/* Ask the judge; the transaction stays open. */
static inline int judge_it(struct world *world)
{
    struct decision decisions[JUDGE_DECISIONS_MAX];
    struct judge_view view = {world_live, world};
    size_t count = 0;

    world->in_request = false;
    if (world->effect_count == 0) {
        return 0;
    }
    for (size_t i = 0; i < JUDGE_DECISIONS_MAX; i++) {
        decision_init(&decisions[i]);
    }
    int result = world->judge.judge(world->judge.arg, world->effects, world->effect_count, &view,
                                    decisions, &count, &world->err);
    assert_true(count <= JUDGE_DECISIONS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (result == 0) {
            apply_decision(world, &decisions[i]);
        }
    }
    for (size_t i = 0; i < JUDGE_DECISIONS_MAX; i++) {
        decision_done(&decisions[i]);
    }
    return result;
}

static inline void end(struct world *world)
{
    assert_ok(judge_it(world), &world->err);
    world->judge.settled(world->judge.arg, true);
}

struct world_copy {
    struct world_change *changes;
    size_t change_count;
    struct world_memory *memories;
    size_t memory_count;
    struct world_project projects[WORLD_PROJECTS_MAX];
    size_t project_count;
    uint64_t live;
    uint64_t held;
    struct world_alert alerts[WORLD_ALERTS_MAX];
    size_t alert_count;
};

/* Keep what there is, for a transaction that will be rolled back; once at a time. */
static inline struct world_copy world_keep(const struct world *world)
{
    struct world_copy copy = {
        .changes = xmalloc((world->change_count + 1) * sizeof(*world->changes)),
        .change_count = world->change_count,
        .memories = xmalloc((world->memory_count + 1) * sizeof(*world->memories)),
        .memory_count = world->memory_count,
        .project_count = world->project_count,
        .live = world->live,
        .held = world->held,
        .alert_count = world->alert_count,
    };

    if (world->changes != NULL) {
        memcpy(copy.changes, world->changes, world->change_count * sizeof(*world->changes));
        memcpy(copy.memories, world->memories, world->memory_count * sizeof(*world->memories));
    }
    memcpy(copy.projects, world->projects, sizeof(copy.projects));
    memcpy(copy.alerts, world->alerts, sizeof(copy.alerts));
    for (size_t i = 0; i < copy.alert_count; i++) {
        copy.alerts[i].rule = xstrdup(world->alerts[i].rule);
        copy.alerts[i].actor = xstrdup(world->alerts[i].actor);
        copy.alerts[i].summary = xstrdup(world->alerts[i].summary);
    }
    return copy;
}

/* The ledger could not commit: all is as it was. */
static inline void roll_back(struct world *world, struct world_copy *copy)
{
    world->judge.settled(world->judge.arg, false);
    for (size_t i = 0; i < world->alert_count; i++) {
        free(world->alerts[i].rule);
        free(world->alerts[i].actor);
        free(world->alerts[i].summary);
    }
    memcpy(world->changes, copy->changes, copy->change_count * sizeof(*world->changes));
    memcpy(world->memories, copy->memories, copy->memory_count * sizeof(*world->memories));
    world->change_count = copy->change_count;
    world->memory_count = copy->memory_count;
    memcpy(world->projects, copy->projects, sizeof(world->projects));
    world->project_count = copy->project_count;
    world->live = copy->live;
    world->held = copy->held;
    memset(world->alerts, 0, sizeof(world->alerts));
    memcpy(world->alerts, copy->alerts, sizeof(copy->alerts));
    world->alert_count = copy->alert_count;
    free(copy->changes);
    free(copy->memories);
}

/* ---- actions ---- */

static inline struct uuid memory_id(size_t number)
{
    struct uuid id = {{0x01, 0x8b, 0xcf, 0xe5, 0x68, 0, 0x70}};

    id.bytes[8] = 0x80;
    for (int i = 0; i < 6; i++) {
        id.bytes[15 - i] = (uint8_t)(number >> (8 * i));
    }
    return id;
}

static inline struct world_change *add_change(struct world *world, size_t memory)
{
    if (world->change_count == world->change_capacity || world->changes == NULL) {
        world->change_capacity = world->change_capacity == 0 ? 1024 : 2 * world->change_capacity;
        world->changes = xrealloc(world->changes, world->change_capacity * sizeof(*world->changes));
    }
    struct world_change *change = &world->changes[world->change_count];
    *change = (struct world_change){.memory = memory, .earlier = world->memories[memory].last};
    world->memories[memory].last = world->change_count++;
    return change;
}

/* ---- texts ---- */

static inline uint64_t world_chance(struct world *world, uint64_t below)
{
    world->seed ^= world->seed << 13;
    world->seed ^= world->seed >> 7;
    world->seed ^= world->seed << 17;
    return (world->seed >> 11) % below;
}

/* Of a text of so many bytes; some percent of it are as in another one (the rest is by chance). */
static inline struct sketch another_text(struct world *world, uint32_t bytes,
                                         const struct sketch *before, unsigned kept_percent)
{
    struct sketch sketch = {.shingles = bytes < SKETCH_SHINGLE ? 1 : bytes - SKETCH_SHINGLE + 1};

    for (size_t i = 0; i < SKETCH_BINS; i++) {
        sketch.bins[i] = world_chance(world, 100) < kept_percent
                             ? before->bins[i]
                             : (uint8_t)(world_chance(world, UINT8_MAX) + 1);
    }
    return sketch;
}

/* A new memory of so many bytes: additive, the guard never hears of it. */
static inline size_t add(struct world *world, const char *project, uint32_t bytes)
{
    if (world->memory_count == world->memory_capacity) {
        world->memory_capacity = world->memory_capacity == 0 ? 256 : 2 * world->memory_capacity;
        world->memories =
            xrealloc(world->memories, world->memory_capacity * sizeof(*world->memories));
    }
    size_t number = world->memory_count++;
    world->memories[number] = (struct world_memory){.id = memory_id(number), .project = project};
    struct world_change *change = add_change(world, number);
    change->version = 1;
    change->bytes = bytes;
    change->sketch = another_text(world, bytes, &change->sketch, 0);
    change->project = project;
    count_again(world, number);
    return number;
}

/* So many memories of 300 bytes; the number of the first. */
static inline size_t add_many(struct world *world, const char *project, size_t count)
{
    size_t first = world->memory_count;

    for (size_t i = 0; i < count; i++) {
        (void)add(world, project, 300);
    }
    return first;
}

static inline uint64_t highest_version_of(struct world *world, size_t memory)
{
    uint64_t highest = 0;

    for (size_t c = world->memories[memory].last; c != 0; c = world->changes[c].earlier) {
        highest = world->changes[c].version > highest ? world->changes[c].version : highest;
    }
    return highest;
}

static inline void tell(struct world *world, const struct world_change *before,
                        const struct world_change *after, const char *actor, bool white)
{
    if (world->effect_count == world->effect_capacity) {
        world->effect_capacity = world->effect_capacity == 0 ? 256 : 2 * world->effect_capacity;
        world->effects = xrealloc(world->effects, world->effect_capacity * sizeof(*world->effects));
    }
    bool changed = before->bytes != after->bytes || before->text != after->text;
    bool shrunk = before->bytes >= 20 && after->bytes * 10 < before->bytes;
    world->effects[world->effect_count++] = (struct effect){
        .kind = after->deleted ? EFFECT_DELETE : EFFECT_UPDATE,
        .origin = world->origin,
        .seq = (uint64_t)(after - world->changes),
        .memory = world->memories[after->memory].id,
        .project_id = before->project,
        .moved_to = strcmp(before->project, after->project) != 0 ? after->project : NULL,
        .source = actor,
        .content_changed = changed,
        .blanked = !after->deleted && (white || shrunk),
        .old_bytes = before->deleted ? 0 : before->bytes,
        .new_bytes = after->deleted ? 0 : after->bytes,
        .old_text = changed ? before->sketch : (struct sketch){.shingles = 0},
        .new_text = changed ? after->sketch : (struct sketch){.shingles = 0},
        .old_version = before->version,
        .new_version = after->version,
        .at_us = world_now_us(world_env(world)),
    };
}

struct action {
    uint32_t bytes;
    bool other_text;
    unsigned kept_percent; /* of the text before, in another one */
    bool white;            /* nothing but white space */
    bool deletes;
    const char *project; /* NULL: the same */
    uint64_t version;    /* 0: the next */
};

static inline void act(struct world *world, size_t memory, const char *actor, struct action action)
{
    bool alone = !world->in_request;

    if (alone) {
        begin(world);
    }
    bool was_there = now_of(world, memory) != NULL;
    struct world_change before = shown(world, memory);
    uint64_t version = action.version != 0 ? action.version : highest_version_of(world, memory) + 1;
    uncount(world, memory);
    struct world_change *after = add_change(world, memory);
    after->version = version;
    after->bytes = action.bytes;
    after->text = before.text + (action.other_text ? 1 : 0);
    after->sketch = action.other_text || action.bytes != before.bytes
                        ? another_text(world, action.bytes, &before.sketch, action.kept_percent)
                        : before.sketch;
    after->project = action.project != NULL ? action.project : before.project;
    after->deleted = action.deletes;
    count_again(world, memory);
    if (was_there) {
        tell(world, &before, after, actor, action.white);
    }
    if (alone) {
        end(world);
    }
}

static inline void del(struct world *world, size_t memory, const char *actor)
{
    struct world_change *now = now_of(world, memory);

    if (now != NULL && !now->deleted) {
        act(world, memory, actor, (struct action){.bytes = now->bytes, .deletes = true});
    }
}

/* An edit: another content of so many bytes, which has nine tenths of what it was. */
static inline void edit(struct world *world, size_t memory, const char *actor, uint32_t bytes)
{
    act(world, memory, actor,
        (struct action){.bytes = bytes, .other_text = true, .kept_percent = 90});
}

/* To another project, as it is. */
static inline void move(struct world *world, size_t memory, const char *actor, const char *project)
{
    act(world, memory, actor,
        (struct action){.bytes = shown(world, memory).bytes, .project = project});
}

/* A text of so many bytes that has nothing of the one before. */
static inline void put(struct world *world, size_t memory, const char *actor, uint32_t bytes)
{
    act(world, memory, actor, (struct action){.bytes = bytes, .other_text = true});
}

static inline void blank(struct world *world, size_t memory, const char *actor)
{
    act(world, memory, actor, (struct action){.bytes = 1, .other_text = true, .white = true});
}

/* Other tags, the same content. */
static inline void tag(struct world *world, size_t memory, const char *actor)
{
    act(world, memory, actor, (struct action){.bytes = shown(world, memory).bytes});
}

static inline void del_many(struct world *world, size_t first, size_t count, const char *actor)
{
    begin(world);
    for (size_t i = 0; i < count; i++) {
        del(world, first + i, actor);
    }
    end(world);
}

/* ---- what came of it ---- */

static inline size_t alive_among(struct world *world, size_t first, size_t count)
{
    size_t alive = 0;

    for (size_t i = 0; i < count; i++) {
        alive += is_alive(world, first + i) ? 1 : 0;
    }
    return alive;
}

static inline void assert_quiet(struct world *world)
{
    if (world->alert_count > 0) {
        print_error("an alert: %s: %s\n", world->alerts[0].rule, world->alerts[0].summary);
    }
    assert_int_equal(world->alert_count, 0);
    assert_int_equal(world->held, 0);
}

/* The only alert, of this rule, holding so many changes to so many memories. */
static inline void assert_alert(struct world *world, const char *rule, uint64_t changes,
                                uint64_t memories)
{
    assert_int_equal(world->alert_count, 1);
    assert_string_equal(world->alerts[0].rule, rule);
    assert_int_equal(world->alerts[0].held, changes);
    assert_int_equal(world->alerts[0].changes, changes);
    assert_int_equal(world->alerts[0].memories, memories);
}

#endif
