/* Projects and actors of the windows: by name, and let go when nothing names them any more. */
#include "guard/window_internal.h"

#define SWEEP_LEAST 256 /* projects and actors; below it a walk gains nothing */

static bool project_match(const struct table_link *link, const void *key)
{
    return strcmp(((const struct window_project *)(const void *)link)->id, key) == 0;
}

void window_project_init(const struct windows *windows, struct window_project *project)
{
    project->totals = xcalloc(windows->limits->net_count + 1, sizeof(*project->totals));
    project->incidents = xcalloc(windows->limits->watch_count + 1, sizeof(struct incident *));
}

void window_project_done(struct window_project *project)
{
    free(project->totals);
    free(project->incidents);
    free(project->id);
}

struct window_project *windows_project(struct windows *windows, const char *id)
{
    uint64_t hash = table_hash(&windows->projects, id, strlen(id));
    struct table_link *link = table_find(&windows->projects, hash, project_match, id);

    if (link == NULL) {
        struct window_project *project = xcalloc(1, sizeof(*project));
        window_project_init(windows, project);
        project->id = xstrdup(id);
        project->next = windows->project_list;
        windows->project_list = project;
        table_add(&windows->projects, &project->link, hash);
        return project;
    }
    return (struct window_project *)link; /* its first member, as the actor's */
}

static bool actor_match(const struct table_link *link, const void *key)
{
    return strcmp(((const struct window_actor *)(const void *)link)->name, key) == 0;
}

struct window_actor *windows_actor(struct windows *windows, const char *name)
{
    uint64_t hash = table_hash(&windows->actors, name, strlen(name));
    struct table_link *link = table_find(&windows->actors, hash, actor_match, name);

    if (link == NULL) {
        struct window_actor *actor = xcalloc(1, sizeof(*actor));
        actor->name = xstrdup(name);
        actor->group = limits_group(windows->limits, name);
        actor->incidents = xcalloc(windows->limits->watch_count + 1, sizeof(struct incident *));
        actor->next = windows->actor_list;
        windows->actor_list = actor;
        table_add(&windows->actors, &actor->link, hash);
        return actor;
    }
    return (struct window_actor *)link;
}

/* ---- life ---- */

static void project_free(struct window_project *project)
{
    while (project->summaries != NULL) {
        struct window_summary *summary = project->summaries;
        project->summaries = summary->next;
        ranges_done(&summary->ranges);
        free(summary);
    }
    window_project_done(project);
    free(project);
}

static void actor_free(struct window_actor *actor)
{
    free(actor->incidents);
    free(actor->name);
    free(actor->how);
    free(actor);
}

void window_names_free(struct windows *windows)
{
    while (windows->project_list != NULL) {
        struct window_project *project = windows->project_list;
        windows->project_list = project->next;
        project_free(project);
    }
    while (windows->actor_list != NULL) {
        struct window_actor *actor = windows->actor_list;
        windows->actor_list = actor->next;
        actor_free(actor);
    }
}

/* ---- actors ---- */

static int64_t delete_window_ms(const struct windows *windows, const struct window_actor *actor)
{
    return windows->limits->options[actor->group].delete_window_ms;
}

uint64_t window_actor_deletes(const struct windows *windows, const struct window_actor *actor)
{
    bool within = windows->now_ms - actor->folded_mono_ms <= delete_window_ms(windows, actor);

    return actor->deletes + (within ? actor->folded_deletes : 0);
}

uint64_t window_actor_shown(const struct windows *windows, const struct window_actor *actor,
                            int64_t now_ms)
{
    int64_t length_ms = delete_window_ms(windows, actor);
    uint64_t total = 0;

    for (const struct window_event *event = actor->first; event != NULL;
         event = event->actor_newer) {
        total += event->is_delete && now_ms - event->mono_ms <= length_ms ? 1 : 0;
    }
    for (size_t i = 0; i < actor->held_count; i++) {
        total += now_ms - actor->held[i].mono_ms <= length_ms ? actor->held[i].deletes : 0;
    }
    if (now_ms - actor->folded_mono_ms <= length_ms) {
        total += actor->folded_deletes;
    }
    return total;
}

void window_actor_held(struct window_actor *actor, int64_t mono_ms, uint64_t deletes)
{
    struct window_tick *held = actor->held;

    if (actor->held_count > 0 && held[actor->held_count - 1].mono_ms == mono_ms) {
        held[actor->held_count - 1].deletes += deletes;
        return;
    }
    if (actor->held_count == WINDOW_TICKS) {
        held[1].deletes += held[0].deletes;
        memmove(held, held + 1, (WINDOW_TICKS - 1) * sizeof(*held));
        actor->held_count--;
    }
    held[actor->held_count++] = (struct window_tick){mono_ms, deletes};
}

/* ---- sweeping ---- */

bool windows_crowded(const struct windows *windows)
{
    return windows->projects.count + windows->actors.count > 2 * windows->swept_at + SWEEP_LEAST;
}

static bool actor_idle(const struct windows *windows, const struct window_actor *actor)
{
    return actor->events == 0 && !actor->is_marked &&
           window_actor_shown(windows, actor, windows->now_ms) == 0;
}

void windows_sweep(struct windows *windows)
{
    for (struct window_project **at = &windows->project_list; *at != NULL;) {
        struct window_project *project = *at;
        if (project->first == NULL && project->summaries == NULL && project->events == 0 &&
            !project->is_marked) {
            *at = project->next;
            table_remove(&windows->projects, &project->link);
            project_free(project);
        } else {
            project->is_marked = false;
            at = &project->next;
        }
    }
    for (struct window_actor **at = &windows->actor_list; *at != NULL;) {
        struct window_actor *actor = *at;
        if (actor_idle(windows, actor)) {
            *at = actor->next;
            table_remove(&windows->actors, &actor->link);
            actor_free(actor);
        } else {
            actor->is_marked = false;
            at = &actor->next;
        }
    }
    windows->swept_at = windows->projects.count + windows->actors.count;
}
