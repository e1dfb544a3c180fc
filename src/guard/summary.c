/*
 * Summaries: what becomes of the oldest events when there are too many. Counts stay, so that the
 * rules go on as before; ranges stay up to a bound, so that what they count can be held.
 */
#include "guard/window_internal.h"

/* ---- folding ---- */

static enum window_class class_of(const struct window_event *event)
{
    if (event->is_delete) {
        return CLASS_DELETE;
    }
    if (event->is_blank) {
        return CLASS_BLANK;
    }
    if (event->is_gutting) {
        return CLASS_GUT;
    }
    if (event->new_bytes < event->old_bytes) {
        return CLASS_SHRINK;
    }
    return event->is_replacing ? CLASS_REPLACE : CLASS_CHANGE;
}

static void sum_up(struct window_totals *into, const struct window_totals *totals)
{
    into->deleted += totals->deleted;
    into->destroyed += totals->destroyed;
    into->wrecked += totals->wrecked;
    into->changed += totals->changed;
    into->cut += totals->cut;
    into->replaced += totals->replaced;
    into->away += totals->away;
    into->old_bytes += totals->old_bytes;
    into->taken_bytes += totals->taken_bytes;
}

/* The two oldest of a class and groups become one when there are too many. The newer of them takes
 * the older's in. */
static void merge_oldest(struct windows *windows, struct window_project *project,
                         const struct window_summary *of)
{
    struct window_summary **before_oldest = NULL;
    struct window_summary *into = NULL;
    size_t count = 0;

    for (struct window_summary **at = &project->summaries; *at != NULL; at = &(*at)->next) {
        if ((*at)->class == of->class && (*at)->groups == of->groups) {
            count++;
            into = before_oldest == NULL ? NULL : *before_oldest;
            before_oldest = at;
        }
    }
    if (count <= WINDOW_SUMMARIES_MAX || into == NULL) {
        return;
    }
    struct window_summary *oldest = *before_oldest;
    into->started_us =
        oldest->started_us < into->started_us ? oldest->started_us : into->started_us;
    into->changes += oldest->changes;
    into->unlisted += oldest->unlisted;
    into->memories += oldest->memories;
    sum_up(&into->totals, &oldest->totals);
    size_t total = into->ranges.count + oldest->ranges.count;
    if (total > 0) {
        into->ranges.items = xrealloc(into->ranges.items, total * sizeof(*into->ranges.items));
        if (oldest->ranges.count > 0) {
            memcpy(into->ranges.items + into->ranges.count, oldest->ranges.items,
                   oldest->ranges.count * sizeof(*oldest->ranges.items));
        }
        into->ranges.count = into->ranges.capacity = total;
    }
    *before_oldest = oldest->next;
    windows->summary_count--;
    ranges_done(&oldest->ranges);
    free(oldest);
}

/* The summary that takes in what is folded now: one for each run of windows_fold. */
static struct window_summary *summary_for(struct windows *windows, enum window_class class,
                                          uint64_t run, const struct window_event *event)
{
    struct window_project *project = event->memory->project;

    for (struct window_summary *s = project->summaries; s != NULL && s->run == run; s = s->next) {
        if (s->class == class && s->groups == event->groups) {
            return s;
        }
    }
    struct window_summary *summary = xcalloc(1, sizeof(*summary));
    summary->next = project->summaries;
    summary->project = project;
    summary->class = class;
    summary->groups = event->groups;
    summary->run = run;
    summary->started_us = event->at_us;
    project->summaries = summary;
    windows->summary_count++;
    merge_oldest(windows, project, summary);
    return summary;
}

static void list_change(struct windows *windows, struct window_summary *summary,
                        const struct window_event *event)
{
    size_t before = summary->ranges.count;
    const struct range *last = before == 0 ? NULL : &summary->ranges.items[before - 1];
    bool grows =
        last != NULL && last->to + 1 == event->seq && uuid_eq(&last->origin, &event->origin);

    summary->changes++;
    if (!grows && windows->summary_ranges >= WINDOW_SUMMARY_RANGES_MAX) {
        summary->unlisted++;
        return;
    }
    ranges_add(&summary->ranges, &event->origin, event->seq);
    windows->summary_ranges += summary->ranges.count - before;
}

/* The next event of the memory takes over what this one stands for: where it began, and what it
 * did. */
static void hand_over(struct windows *windows, const struct window_event *event)
{
    struct window_event *next = event->memory_newer;
    struct window_memory *memory = event->memory;

    for (size_t k = 0; k < windows->limits->net_count; k++) {
        window_account(windows, memory, k, false);
    }
    struct window_event old = *next;
    next->groups |= event->groups;
    next->loss_max = event->loss_max < next->loss_max ? event->loss_max : next->loss_max;
    next->old_bytes = event->old_bytes;
    next->old_text = event->is_edit ? next->old_text : event->old_text;
    next->is_edit = next->is_edit && event->is_edit;
    next->is_moving = next->is_moving || event->is_moving;
    next->is_short = next->is_short && event->is_short && next->new_bytes >= next->old_bytes;
    next->is_content = next->is_content || (event->is_content && !next->is_delete);
    if (next->is_content) {
        window_event_weigh(next);
    }
    for (size_t k = 0; k < windows->limits->net_count; k++) {
        if (next->serial >= windows->edge[k] && window_counts(windows, next, k) &&
            !window_counts(windows, &old, k)) {
            memory->tallies[k].counted++;
        }
        window_account(windows, memory, k, true);
    }
}

static void fold_event(struct windows *windows, struct window_event *event, uint64_t run)
{
    bool is_last = event->memory_newer == NULL;

    if (event->of_actor && event->is_delete) {
        event->actor->folded_deletes =
            window_actor_deletes(windows, event->actor) - event->actor->deletes + 1;
        event->actor->folded_mono_ms = event->mono_ms;
    }
    if (event->is_delete || event->is_content) {
        struct window_summary *summary = summary_for(windows, class_of(event), run, event);
        list_change(windows, summary, event);
        summary->mono_ms = event->mono_ms;
        if (is_last) {
            struct window_net net = window_net_since(event);
            net.is_replaced = window_replaced_since(event);
            window_totals_add(&summary->totals, &net, true);
            summary->memories++;
        }
    }
    if (!is_last) {
        hand_over(windows, event);
    }
    window_event_drop(windows, event);
}

void windows_fold(struct windows *windows, size_t left)
{
    uint64_t run = ++windows->fold_runs;
    bool dense = windows->count > 2 * windows->events_max;
    struct window_event *event = windows->oldest;

    while (event != NULL && windows->count > left) {
        struct window_event *next = event->newer;
        /*
         * What counts against an actor right now stays: it is no more than delete_max for each,
         * unless that is set so high that the bound would mean nothing. An event behind such a one
         * in its chain stays with it.
         */
        if (event->memory_older == NULL && (!event->of_actor || dense)) {
            fold_event(windows, event, run);
        }
        event = next;
    }
}

/* ---- counting ---- */

bool window_summary_within(const struct windows *windows, const struct window_summary *summary,
                           size_t slot)
{
    const struct window_slot *of = &windows->limits->slots[slot];

    return !summary->is_taken && (summary->groups & of->members) != 0 &&
           windows->now_ms - summary->mono_ms <= of->length_ms;
}

static void add_summaries(const struct windows *windows, const struct window_project *project,
                          size_t slot, struct window_totals *totals)
{
    for (const struct window_summary *s = project->summaries; s != NULL; s = s->next) {
        if (window_summary_within(windows, s, slot)) {
            sum_up(totals, &s->totals);
        }
    }
}

struct window_totals windows_totals(const struct windows *windows,
                                    const struct window_project *project, size_t slot, size_t away)
{
    struct window_totals totals = project->totals[slot];

    if (project != &windows->all) {
        add_summaries(windows, project, slot, &totals);
        totals.away = project->totals[away].away;
        return totals;
    }
    for (const struct window_project *p = windows->project_list;
         windows->summary_count > 0 && p != NULL; p = p->next) {
        add_summaries(windows, p, slot, &totals);
    }
    totals.away = 0;
    return totals;
}

/* ---- going ---- */

static void drop_summaries(struct windows *windows, bool taken_only)
{
    for (struct window_project *project = windows->project_list;
         windows->summary_count > 0 && project != NULL; project = project->next) {
        for (struct window_summary **at = &project->summaries; *at != NULL;) {
            struct window_summary *summary = *at;
            bool old = windows->now_ms - summary->mono_ms > limits_long_ms(windows->limits);
            if (summary->is_taken || (old && !taken_only)) {
                *at = summary->next;
                windows->summary_ranges -= summary->ranges.count;
                windows->summary_count--;
                ranges_done(&summary->ranges);
                free(summary);
            } else {
                at = &summary->next;
            }
        }
    }
}

void window_summaries_expire(struct windows *windows)
{
    drop_summaries(windows, false);
}

void window_summaries_drop_taken(struct windows *windows)
{
    drop_summaries(windows, true);
}
