#include "guard/rules.h"

/* ---- what trips ---- */

/* What there was before: what is alive now, here or moved away, and what was deleted. */
static double before(const struct window_totals *totals, uint64_t live)
{
    return (double)(live + totals->away + totals->deleted);
}

static bool share_trips(const struct guard_options *options, const struct window_totals *totals,
                        uint64_t live)
{
    return totals->destroyed >= options->share_min &&
           (double)totals->destroyed > options->share_max * before(totals, live);
}

static bool update_trips(const struct guard_options *options, const struct window_totals *totals,
                         uint64_t live)
{
    return totals->changed >= options->update_min &&
           (double)totals->changed > options->update_max * (double)(live + totals->away);
}

static bool replaced_at_least(const struct guard_options *options,
                              const struct window_totals *totals, uint64_t live, uint64_t least)
{
    return totals->replaced >= least &&
           (double)totals->replaced > options->update_max * (double)(live + totals->away);
}

static bool rewrite_trips(const struct guard_options *options, const struct window_totals *totals,
                          uint64_t live)
{
    return replaced_at_least(options, totals, live, options->update_min);
}

/* By bytes, of those alone that lost a good part; or by number, of those that lost most: so a long
 * one of which little is lost can't hide the others. */
static bool loss_trips(const struct guard_options *options, const struct window_totals *totals,
                       uint64_t live)
{
    bool most_is_gone = (double)totals->taken_bytes > options->loss_max * (double)totals->old_bytes;

    (void)live;
    return (totals->cut >= options->loss_min && most_is_gone) ||
           totals->wrecked - totals->deleted >= options->loss_min;
}

static bool wrecked_at_least(const struct guard_options *options,
                             const struct window_totals *totals, uint64_t live, uint64_t least)
{
    return totals->wrecked >= least &&
           (double)totals->wrecked > options->share_max * before(totals, live);
}

/* Deletions count, but are held by the rules for them: below their limits, they stay. */
static bool slow_loss_trips(const struct guard_options *options, const struct window_totals *totals,
                            uint64_t live)
{
    return totals->wrecked > totals->deleted &&
           wrecked_at_least(options, totals, live, options->loss_min);
}

static bool total_trips(const struct guard_options *options, const struct window_totals *totals,
                        uint64_t live)
{
    return totals->wrecked > options->total_max ||
           wrecked_at_least(options, totals, live, options->total_min);
}

static bool slow_total_trips(const struct guard_options *options,
                             const struct window_totals *totals, uint64_t live)
{
    return wrecked_at_least(options, totals, live, options->total_min);
}

static bool total_rewrite_trips(const struct guard_options *options,
                                const struct window_totals *totals, uint64_t live)
{
    return replaced_at_least(options, totals, live, options->total_min);
}

/* ---- what belongs ---- */

static bool is_destroyed(const struct window_net *net)
{
    return net->is_destroyed;
}

static bool is_wrecked(const struct window_net *net)
{
    return net->is_wrecked;
}

static bool is_gutted(const struct window_net *net)
{
    return net->is_wrecked && !net->is_deleted;
}

static bool is_changed(const struct window_net *net)
{
    return net->is_changed;
}

static bool is_replaced(const struct window_net *net)
{
    return net->is_replaced;
}

static bool is_lost(const struct window_net *net)
{
    return net->is_lost;
}

static bool destroys(const struct window_event *event)
{
    return event->is_destroying;
}

static bool guts(const struct window_event *event)
{
    return event->is_gutting;
}

static bool wrecks(const struct window_event *event)
{
    return event->is_destroying || event->is_gutting;
}

static bool changes(const struct window_event *event)
{
    return event->is_content;
}

static bool replaces(const struct window_event *event)
{
    return event->is_replacing;
}

static bool shrinks(const struct window_event *event)
{
    return event->is_content && event->new_bytes < event->old_bytes;
}

static bool jumps(const struct window_event *event)
{
    return event->is_jump;
}

/* ---- the table ---- */

#define DESTROYED .concerns = is_destroyed, .classes = {[CLASS_DELETE] = true, [CLASS_BLANK] = true}
#define WRECKED                                                                                    \
    .concerns = is_wrecked,                                                                        \
    .classes = {[CLASS_DELETE] = true, [CLASS_BLANK] = true, [CLASS_GUT] = true}
#define REPLACED                                                                                   \
    .concerns = is_replaced,                                                                       \
    .classes = {[CLASS_BLANK] = true, [CLASS_GUT] = true, [CLASS_REPLACE] = true}

#define COUNT(name_)                                                                               \
    {                                                                                              \
        offsetof(struct guard_options, name_), NUMBER_COUNT                                        \
    }
#define SHARE(name_)                                                                               \
    {                                                                                              \
        offsetof(struct guard_options, name_), NUMBER_SHARE                                        \
    }
#define WINDOW(name_)                                                                              \
    {                                                                                              \
        offsetof(struct guard_options, name_), NUMBER_WINDOW                                       \
    }

const struct rule guard_rules[RULES] = {
    {
        .id = RULE_DELETES,
        .name = "deletes",
        .scope = RULE_OF_ACTOR,
        .looks = {{.window = WINDOW_DELETE, .belongs = destroys}},
        .look_count = 1,
        .numbers = {COUNT(delete_max), WINDOW(delete_window_ms)},
        .number_count = 2,
    },
    {
        .id = RULE_SHARE,
        .name = "share",
        .scope = RULE_OF_PROJECT,
        .looks = {{WINDOW_SHARE, share_trips, DESTROYED, .belongs = destroys},
                  {WINDOW_DRIP, share_trips, DESTROYED, .belongs = destroys}},
        .look_count = 2,
        .numbers = {SHARE(share_max), COUNT(share_min), WINDOW(share_window_ms),
                    WINDOW(drip_window_ms)},
        .number_count = 4,
    },
    {
        .id = RULE_BULK_UPDATE,
        .name = "bulk_update",
        .scope = RULE_OF_PROJECT,
        .looks = {{WINDOW_UPDATE, update_trips, is_changed,
                   .classes = {[CLASS_BLANK] = true,
                               [CLASS_GUT] = true,
                               [CLASS_SHRINK] = true,
                               [CLASS_REPLACE] = true,
                               [CLASS_CHANGE] = true},
                   .belongs = changes},
                  {WINDOW_DRIP, rewrite_trips, REPLACED, .belongs = replaces}},
        .look_count = 2,
        .numbers = {SHARE(update_max), COUNT(update_min), WINDOW(update_window_ms),
                    WINDOW(drip_window_ms)},
        .number_count = 4,
    },
    {
        .id = RULE_CONTENT_LOSS,
        .name = "content_loss",
        .scope = RULE_OF_PROJECT,
        .looks = {{WINDOW_LOSS, loss_trips, is_lost,
                   .classes = {[CLASS_BLANK] = true, [CLASS_GUT] = true, [CLASS_SHRINK] = true},
                   .belongs = shrinks},
                  {WINDOW_DRIP, slow_loss_trips, is_gutted,
                   .classes = {[CLASS_BLANK] = true, [CLASS_GUT] = true}, .belongs = guts}},
        .look_count = 2,
        .numbers = {SHARE(loss_max), COUNT(loss_min), WINDOW(loss_window_ms), SHARE(share_max),
                    WINDOW(drip_window_ms)},
        .number_count = 5,
    },
    {
        .id = RULE_VERSION_JUMP,
        .name = "version_jump",
        .scope = RULE_OF_CHANGE,
        .looks = {{.window = WINDOW_UPDATE, .belongs = jumps}},
        .look_count = 1,
        .numbers = {COUNT(version_jump_max), WINDOW(update_window_ms)},
        .number_count = 2,
    },
    {
        .id = RULE_TOTAL_LOSS,
        .name = "total_loss",
        .scope = RULE_OF_ALL,
        .looks = {{WINDOW_SHARE, total_trips, WRECKED, .belongs = wrecks},
                  {WINDOW_DRIP, slow_total_trips, WRECKED, .belongs = wrecks}},
        .look_count = 2,
        .numbers = {COUNT(total_max), COUNT(total_min), SHARE(share_max), SHARE(loss_max),
                    WINDOW(share_window_ms), WINDOW(drip_window_ms)},
        .number_count = 6,
    },
    {
        .id = RULE_TOTAL_UPDATE,
        .name = "total_update",
        .scope = RULE_OF_ALL,
        .looks = {{WINDOW_DRIP, total_rewrite_trips, REPLACED, .belongs = replaces}},
        .look_count = 1,
        .numbers = {COUNT(total_min), SHARE(update_max), WINDOW(drip_window_ms)},
        .number_count = 3,
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

static char *who_text(const struct incident *incident)
{
    const struct incident_state *state = &incident->state;
    const struct window_actor *most = incident_main_actor(incident);

    if (most == NULL) {
        return xstrdup("somebody unknown");
    }
    if (state->more_actors || state->actor_count > 2) {
        return xprintf("%s and others", most->name);
    }
    for (size_t i = 0; i < state->actor_count; i++) {
        if (state->actors[i].actor != most) {
            return xprintf("%s and %s", most->name, state->actors[i].actor->name);
        }
    }
    return xstrdup(most->name);
}

static char *how_text(const struct incident *incident)
{
    const struct window_actor *most = incident_main_actor(incident);

    return most == NULL || most->how == NULL ? xstrdup("") : xprintf(" (it came %s)", most->how);
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

/* "deleted, emptied or cut short" */
static char *destruction_text(const struct incident_state *state)
{
    const char *words[3];
    size_t count = 0;

    if (state->deletes > 0) {
        words[count++] = "deleted";
    }
    if (state->blanks > 0) {
        words[count++] = "emptied";
    }
    if (state->cuts > 0 || count == 0) {
        words[count++] = "cut short";
    }
    return count == 1   ? xstrdup(words[0])
           : count == 2 ? xprintf("%s or %s", words[0], words[1])
                        : xprintf("%s, %s or %s", words[0], words[1], words[2]);
}

static char *deed_text(const struct incident *incident)
{
    bool one = incident_memories(incident) == 1;
    const char *deed = NULL;

    switch (incident->rule->id) {
    case RULE_DELETES:
    case RULE_SHARE:
    case RULE_TOTAL_LOSS: {
        AUTO(free_ptr) char *what = destruction_text(&incident->state);
        return xprintf("%s %s", one ? "was" : "were", what);
    }
    case RULE_BULK_UPDATE:
        deed = "content changed";
        break;
    case RULE_TOTAL_UPDATE:
        deed = "content replaced";
        break;
    case RULE_CONTENT_LOSS:
        return xstrdup(one ? "was cut short" : "were cut short");
    case RULE_VERSION_JUMP:
    case RULES:
        deed = "sync_version raised";
        break;
    }
    return xprintf("had %s %s", one ? "its" : "their", deed);
}

/* What the rule knows besides. */
static char *detail_text(const struct incident *incident)
{
    const struct incident_state *state = &incident->state;

    if (incident->rule->id == RULE_CONTENT_LOSS && state->old_bytes > 0) {
        uint64_t percent = state->taken_bytes * 100 / state->old_bytes;
        return xprintf(" (%llu %% of their content gone)", (unsigned long long)percent);
    }
    if (incident->rule->id == RULE_VERSION_JUMP) {
        return xprintf(" (by up to %llu; more than %llu at once is not believed)",
                       (unsigned long long)state->version_jump,
                       (unsigned long long)incident->watch->options->version_jump_max);
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

#define SOURCES_NAMED_MAX 4

/* "; to put it back there: holdfast restore app": what is shown here still is to be brought there.
 */
static char *back_text(const struct limits *limits, const struct incident_state *state)
{
    char *text = xstrdup("");
    size_t named = 0;

    for (size_t g = 1; g < limits->group_count; g++) {
        if ((state->groups >> g & 1) == 0 || ++named > SOURCES_NAMED_MAX) {
            continue;
        }
        char *longer = xprintf("%s%sholdfast restore %s", text,
                               named == 1 ? "; to put it back there: " : " && ", limits->names[g]);
        free(text);
        text = longer;
    }
    return text;
}

char *rule_summary(const struct limits *limits, const struct incident *incident, uint64_t of)
{
    const struct incident_state *state = &incident->state;
    AUTO(free_ptr) char *what = what_text(incident, of);
    AUTO(free_ptr) char *deed = deed_text(incident);
    AUTO(free_ptr) char *who = who_text(incident);
    AUTO(free_ptr) char *span = span_text(state);
    AUTO(free_ptr) char *detail = detail_text(incident);
    AUTO(free_ptr) char *left = left_text(state);
    AUTO(free_ptr) char *back = back_text(limits, state);
    AUTO(free_ptr) char *how = how_text(incident);
    bool stays = incident->rule->id == RULE_DELETES || incident->rule->id == RULE_SHARE ||
                 incident->rule->id == RULE_TOTAL_LOSS;

    return xprintf("%s %s by %s within %s%s; %s%s%s%s", what, deed, who, span, detail,
                   stays ? "they are held: still shown, nothing is lost"
                         : "the changes are held: what was there before is still shown, nothing "
                           "is lost",
                   left, back, how);
}
