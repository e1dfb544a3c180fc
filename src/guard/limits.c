#include "guard/limits.h"

#include "guard/rules.h"

_Static_assert(LIMITS_GROUPS_MAX <= 32, "each group has a bit");
_Static_assert(RULES <= LIMITS_RULES_MAX, "each rule has its watches");

/* ---- numbers ---- */

int64_t limits_length_ms(const struct guard_options *options, enum window_kind kind)
{
    switch (kind) {
    case WINDOW_DELETE:
        return options->delete_window_ms;
    case WINDOW_SHARE:
        return options->share_window_ms;
    case WINDOW_DRIP:
        return options->drip_window_ms;
    case WINDOW_UPDATE:
        return options->update_window_ms;
    case WINDOW_LOSS:
        return options->loss_window_ms;
    case WINDOW_SHORT:
    case WINDOW_LONG:
    case WINDOW_KINDS:
        break;
    }
    return 0;
}

static bool number_is_looser(const struct rule_number *number, const struct guard_options *options,
                             const struct guard_options *than)
{
    const void *a = (const char *)options + number->offset;
    const void *b = (const char *)than + number->offset;

    switch (number->type) {
    case NUMBER_COUNT:
        return *(const uint64_t *)a > *(const uint64_t *)b;
    case NUMBER_SHARE:
        return *(const double *)a > *(const double *)b;
    case NUMBER_WINDOW:
        break;
    }
    return *(const int64_t *)a < *(const int64_t *)b; /* a shorter one sees less */
}

static bool is_looser(const struct rule *rule, const struct guard_options *options,
                      const struct guard_options *than)
{
    for (size_t i = 0; i < rule->number_count; i++) {
        if (number_is_looser(&rule->numbers[i], options, than)) {
            return true;
        }
    }
    return false;
}

/* ---- watches ---- */

static uint32_t members_of(const struct limits *limits, const struct rule *rule, size_t group)
{
    uint32_t members = 0;

    for (size_t g = 0; g < limits->group_count; g++) {
        if (limits->options[g].enabled &&
            !is_looser(rule, &limits->options[g], &limits->options[group])) {
            members |= UINT32_C(1) << g;
        }
    }
    return members;
}

static size_t slot_for(struct limits *limits, struct window_slot slot)
{
    for (size_t i = 0; i < limits->slot_count; i++) {
        const struct window_slot *there = &limits->slots[i];
        if (there->kind == slot.kind && there->length_ms == slot.length_ms &&
            there->members == slot.members) {
            return i;
        }
    }
    limits->slots[limits->slot_count] = slot;
    return limits->slot_count++;
}

static bool looks_at_sums(const struct rule *rule)
{
    return rule->scope == RULE_OF_PROJECT || rule->scope == RULE_OF_ALL;
}

static void add_watch(struct limits *limits, const struct rule *rule, size_t group)
{
    struct watch *watch = &limits->watches[limits->watch_count++];

    *watch = (struct watch){.rule = rule,
                            .options = &limits->options[group],
                            .members = members_of(limits, rule, group)};
    for (size_t i = 0; i < LIMITS_LOOKS_MAX; i++) {
        watch->slots[i] = LIMITS_NONE;
        if (i < rule->look_count) {
            enum window_kind kind = rule->looks[i].window;
            watch->length_ms[i] = limits_length_ms(watch->options, kind);
            if (looks_at_sums(rule)) {
                watch->slots[i] = slot_for(
                    limits, (struct window_slot){kind, watch->length_ms[i], watch->members});
            }
        }
    }
}

/* The watch of a group that has the same numbers, or one of its own. */
static void watch_group(struct limits *limits, const struct rule *rule, size_t group)
{
    limits->own[rule->id][group] = LIMITS_NONE;
    if (!limits->options[group].enabled) {
        return;
    }
    for (size_t g = 0; g < group; g++) {
        const struct guard_options *options = &limits->options[g];
        if (options->enabled && !is_looser(rule, options, &limits->options[group]) &&
            !is_looser(rule, &limits->options[group], options)) {
            limits->own[rule->id][group] = limits->own[rule->id][g];
            return;
        }
    }
    limits->own[rule->id][group] = limits->watch_count;
    add_watch(limits, rule, group);
}

/* ---- windows that are no rule's sums ---- */

static void add_delete_slots(struct limits *limits)
{
    for (size_t g = 0; g < limits->group_count; g++) {
        int64_t length_ms = limits->options[g].delete_window_ms;
        size_t i = limits->net_count;
        while (i < limits->slot_count && limits->slots[i].length_ms != length_ms) {
            i++;
        }
        if (i == limits->slot_count) {
            limits->slots[limits->slot_count++] = (struct window_slot){WINDOW_DELETE, length_ms, 0};
        }
        limits->slots[i].members |= UINT32_C(1) << g;
    }
}

static void add_stays(struct limits *limits)
{
    struct window_slot stay_short = {.kind = WINDOW_SHORT, .members = UINT32_MAX};
    struct window_slot stay_long = {.kind = WINDOW_LONG, .members = UINT32_MAX};

    for (size_t g = 0; g < limits->group_count; g++) {
        for (enum window_kind k = 0; k < WINDOW_SHORT; k++) {
            int64_t length_ms = limits_length_ms(&limits->options[g], k);
            bool of_updates = k == WINDOW_UPDATE || k == WINDOW_LOSS;
            if (of_updates && length_ms > stay_short.length_ms) {
                stay_short.length_ms = length_ms;
            }
            if (length_ms > stay_long.length_ms) {
                stay_long.length_ms = length_ms;
            }
        }
    }
    limits->slots[limits->slot_count++] = stay_short;
    limits->slots[limits->slot_count++] = stay_long;
}

int64_t limits_short_ms(const struct limits *limits)
{
    return limits->slots[limits->slot_count - 2].length_ms;
}

int64_t limits_long_ms(const struct limits *limits)
{
    return limits->slots[limits->slot_count - 1].length_ms;
}

/* ---- life ---- */

void limits_init(struct limits *limits, const struct guard_options *options,
                 const struct guard_source *sources, size_t source_count)
{
    *limits = (struct limits){.group_count = 1 + source_count, .options = {*options}};
    for (size_t i = 0; i < source_count; i++) {
        limits->names[1 + i] = xstrdup(sources[i].name);
        limits->name_lens[1 + i] = strlen(sources[i].name);
        limits->options[1 + i] = sources[i].options;
    }
    for (int i = 0; i < RULES; i++) {
        for (size_t g = 0; g < limits->group_count; g++) {
            watch_group(limits, &guard_rules[i], g);
        }
    }
    limits->net_count = limits->slot_count;
    add_delete_slots(limits);
    add_stays(limits);
}

void limits_done(struct limits *limits)
{
    for (size_t g = 0; g < limits->group_count; g++) {
        free(limits->names[g]);
    }
    limits->group_count = 0;
}

size_t limits_group(const struct limits *limits, const char *actor)
{
    for (size_t g = 1; g < limits->group_count; g++) {
        size_t len = limits->name_lens[g];
        if (strncmp(actor, limits->names[g], len) == 0 &&
            (actor[len] == '\0' || (actor[len] == ':' && actor[len + 1] == ' '))) {
            return g;
        }
    }
    return 0;
}

const struct watch *limits_watch(const struct limits *limits, size_t rule, size_t group)
{
    size_t own = limits->own[rule][group];

    return own == LIMITS_NONE ? NULL : &limits->watches[own];
}

bool limits_any(const struct limits *limits)
{
    return limits->watch_count > 0;
}
