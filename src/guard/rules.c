#include "guard/rules.h"

_Static_assert(RULES <= WINDOW_RULES_MAX, "each rule has a place in a project and in an actor");

/* ---- what trips ---- */

static bool share_trips(const struct guard_options *options, const struct window_totals *totals,
                        uint64_t live)
{
    uint64_t before = live + totals->deleted;

    return totals->destroyed >= options->share_min &&
           (double)totals->destroyed > options->share_max * (double)before;
}

static bool update_trips(const struct guard_options *options, const struct window_totals *totals,
                         uint64_t live)
{
    return totals->changed >= options->update_min &&
           (double)totals->changed > options->update_max * (double)live;
}

static bool loss_trips(const struct guard_options *options, const struct window_totals *totals,
                       uint64_t live)
{
    (void)live;
    return totals->cut >= options->loss_min &&
           (double)totals->taken_bytes > options->loss_max * (double)totals->old_bytes;
}

/* ---- what belongs ---- */

static bool is_destroyed(const struct window_net *net)
{
    return net->is_destroyed;
}

static bool is_changed(const struct window_net *net)
{
    return net->is_changed;
}

static bool is_lost(const struct window_net *net)
{
    return net->is_lost;
}

static bool destroys(const struct guard_options *options, const struct window_event *event)
{
    (void)options;
    return event->is_destroying;
}

static bool changes(const struct guard_options *options, const struct window_event *event)
{
    (void)options;
    return event->is_content;
}

static bool shrinks(const struct guard_options *options, const struct window_event *event)
{
    (void)options;
    return event->is_content && event->new_bytes < event->old_bytes;
}

static bool jumps(const struct guard_options *options, const struct window_event *event)
{
    return event->version_jump > options->version_jump_max;
}

const struct rule guard_rules[RULES] = {
    {
        .id = RULE_DELETES,
        .name = "deletes",
        .scope = RULE_OF_ACTOR,
        .windows = {WINDOW_DELETE},
        .window_count = 1,
        .belongs = destroys,
    },
    {
        .id = RULE_SHARE,
        .name = "share",
        .scope = RULE_OF_PROJECT,
        .windows = {WINDOW_SHARE, WINDOW_DRIP},
        .window_count = 2,
        .trips = share_trips,
        .concerns = is_destroyed,
        .classes = {[CLASS_DELETE] = true, [CLASS_BLANK] = true},
        .belongs = destroys,
    },
    {
        .id = RULE_BULK_UPDATE,
        .name = "bulk_update",
        .scope = RULE_OF_PROJECT,
        .windows = {WINDOW_UPDATE},
        .window_count = 1,
        .trips = update_trips,
        .concerns = is_changed,
        .classes = {[CLASS_BLANK] = true, [CLASS_SHRINK] = true, [CLASS_CHANGE] = true},
        .belongs = changes,
    },
    {
        .id = RULE_CONTENT_LOSS,
        .name = "content_loss",
        .scope = RULE_OF_PROJECT,
        .windows = {WINDOW_LOSS},
        .window_count = 1,
        .trips = loss_trips,
        .concerns = is_lost,
        .classes = {[CLASS_BLANK] = true, [CLASS_SHRINK] = true},
        .belongs = shrinks,
    },
    {
        .id = RULE_VERSION_JUMP,
        .name = "version_jump",
        .scope = RULE_OF_CHANGE,
        .windows = {WINDOW_UPDATE},
        .window_count = 1,
        .belongs = jumps,
    },
};

const struct rule *rule_by_name(const char *name)
{
    for (int i = 0; i < RULES; i++) {
        if (strcmp(guard_rules[i].name, name) == 0) {
            return &guard_rules[i];
        }
    }
    return NULL;
}

/* ---- in words ---- */

static char *who_text(const struct incident_state *state)
{
    const struct incident_actor *most = NULL;
    const struct incident_actor *second = NULL;

    for (size_t i = 0; i < state->actor_count; i++) {
        const struct incident_actor *actor = &state->actors[i];
        if (most == NULL || actor->changes > most->changes) {
            second = most;
            most = actor;
        } else if (second == NULL || actor->changes > second->changes) {
            second = actor;
        }
    }
    if (most == NULL) {
        return xstrdup("somebody unknown");
    }
    if (state->more_actors || state->actor_count > 2) {
        return xprintf("%s and others", most->actor->name);
    }
    return second == NULL ? xstrdup(most->actor->name)
                          : xprintf("%s and %s", most->actor->name, second->actor->name);
}

static char *span_text(const struct incident_state *state)
{
    int64_t ms = state->last_mono_ms - state->first_mono_ms;
    int64_t seconds = ms <= 1000 ? 1 : (ms + 999) / 1000;

    if (seconds <= 120) {
        return xprintf("%lld s", (long long)seconds);
    }
    if (seconds <= 7200) {
        return xprintf("%lld minutes", (long long)(seconds + 59) / 60);
    }
    return xprintf("%lld hours", (long long)(seconds + 3599) / 3600);
}

/* "12 of 40 memories of project demo" */
static char *what_text(const struct incident *incident, uint64_t of)
{
    const struct incident_state *state = &incident->state;
    uint64_t memories = incident_memories(incident);
    const char *noun = memories == 1 ? "memory" : "memories";

    if (state->several_projects || state->project == NULL) {
        return xprintf("%llu %s of several projects", (unsigned long long)memories, noun);
    }
    of = of < memories ? memories : of;
    return xprintf("%llu of %llu %s of project %s", (unsigned long long)memories,
                   (unsigned long long)of, of == 1 ? "memory" : "memories", state->project->id);
}

static const char *deed_text(const struct incident *incident)
{
    const struct incident_state *state = &incident->state;
    bool one = incident_memories(incident) == 1;

    switch (incident->rule->id) {
    case RULE_DELETES:
    case RULE_SHARE:
        if (state->blanks == 0) {
            return one ? "was deleted" : "were deleted";
        }
        if (state->deletes == 0) {
            return one ? "was emptied" : "were emptied";
        }
        return one ? "was deleted or emptied" : "were deleted or emptied";
    case RULE_BULK_UPDATE:
        return one ? "had its content changed" : "had their content changed";
    case RULE_CONTENT_LOSS:
        return one ? "was cut short" : "were cut short";
    case RULE_VERSION_JUMP:
    case RULES:
        break;
    }
    return one ? "had its sync_version raised" : "had their sync_version raised";
}

/* What the rule knows besides. */
static char *detail_text(const struct guard_options *options, const struct incident *incident)
{
    const struct incident_state *state = &incident->state;

    if (incident->rule->id == RULE_CONTENT_LOSS && state->old_bytes > 0) {
        uint64_t percent = state->taken_bytes * 100 / state->old_bytes;
        return xprintf(" (%llu %% of their content gone)", (unsigned long long)percent);
    }
    if (incident->rule->id == RULE_VERSION_JUMP) {
        return xprintf(" (by up to %llu; more than %llu at once is not believed)",
                       (unsigned long long)state->version_jump,
                       (unsigned long long)options->version_jump_max);
    }
    return xstrdup("");
}

static char *left_text(const struct incident_state *state)
{
    if (state->unlisted == 0) {
        return xstrdup("");
    }
    return xprintf("; %llu earlier changes were too many to keep in sight and are not held",
                   (unsigned long long)state->unlisted);
}

char *rule_summary(const struct guard_options *options, const struct incident *incident,
                   uint64_t of)
{
    const struct incident_state *state = &incident->state;
    AUTO(free_ptr) char *what = what_text(incident, of);
    AUTO(free_ptr) char *who = who_text(state);
    AUTO(free_ptr) char *span = span_text(state);
    AUTO(free_ptr) char *detail = detail_text(options, incident);
    AUTO(free_ptr) char *left = left_text(state);
    bool stays = incident->rule->id == RULE_DELETES || incident->rule->id == RULE_SHARE;

    return xprintf("%s %s by %s within %s%s; %s%s", what, deed_text(incident), who, span, detail,
                   stays ? "they are held: still shown, nothing is lost"
                         : "the changes are held: what was there before is still shown, nothing "
                           "is lost",
                   left);
}
