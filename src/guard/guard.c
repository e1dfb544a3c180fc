#include "guard/guard_internal.h"

#include <assert.h>
#include <errno.h>

#define SEAL_WAIT_MS                                                                               \
    30000 /* a transaction of the ledger's takes milliseconds, one of 100,000 drafts a few seconds \
           */

/* ---- life ---- */

static int check_share(double share, const char *name, struct err *err)
{
    if (!(share >= 0.0 && share <= 1.0)) {
        return err_set(err, ERR_CONFIG, "guard.%s is %g; allowed is 0 to 1", name, share);
    }
    return 0;
}

static int check_window(int64_t window_ms, const char *name, struct err *err)
{
    if (window_ms < 1 || window_ms > GUARD_WINDOW_MAX_MS) {
        return err_set(err, ERR_CONFIG, "guard.%s is %lld ms; allowed is 1 ms to %lld ms (a day)",
                       name, (long long)window_ms, (long long)GUARD_WINDOW_MAX_MS);
    }
    return 0;
}

static int check_options(const struct guard_options *options, struct err *err)
{
    if (check_share(options->share_max, "share_max", err) < 0 ||
        check_share(options->update_max, "update_max", err) < 0 ||
        check_share(options->loss_max, "loss_max", err) < 0 ||
        check_window(options->delete_window_ms, "delete_window", err) < 0 ||
        check_window(options->share_window_ms, "share_window", err) < 0 ||
        check_window(options->drip_window_ms, "drip_window", err) < 0 ||
        check_window(options->update_window_ms, "update_window", err) < 0 ||
        check_window(options->loss_window_ms, "loss_window", err) < 0) {
        return -(int)err->code;
    }
    return 0;
}

/* ---- thresholds that never trip ---- */

/* What is being looked through. */
struct blind {
    const struct guard_options *options;
    const struct guard_options *unless; /* what is as here was told already; may be NULL */
    char *text;                         /* heap; NULL: nothing yet */
};

static const void *number_at(const struct guard_options *options, size_t offset)
{
    return (const char *)options + offset;
}

/* Every number is of eight bytes. */
static bool was_told(const struct blind *blind, size_t offset)
{
    return blind->unless != NULL && memcmp(number_at(blind->options, offset),
                                           number_at(blind->unless, offset), sizeof(uint64_t)) == 0;
}

static void name_blind(struct blind *blind, const char *name, const char *value, const char *limit)
{
    char *longer = xprintf("%s%sguard.%s is %s (%s)", blind->text == NULL ? "" : blind->text,
                           blind->text == NULL ? "" : ", ", name, value, limit);

    free(blind->text);
    blind->text = longer;
}

static void check_blind_count(struct blind *blind, const char *name, size_t offset, uint64_t most)
{
    uint64_t count = *(const uint64_t *)number_at(blind->options, offset);

    if (count > most && !was_told(blind, offset)) {
        AUTO(free_ptr) char *value = xprintf("%llu", (unsigned long long)count);
        AUTO(free_ptr) char *limit = xprintf("%llu at most", (unsigned long long)most);
        name_blind(blind, name, value, limit);
    }
}

static void check_blind_share(struct blind *blind, const char *name, size_t offset)
{
    double share = *(const double *)number_at(blind->options, offset);

    if (share >= 1.0 && !was_told(blind, offset)) {
        AUTO(free_ptr) char *value = xprintf("%g", share);
        name_blind(blind, name, value, "less than 1");
    }
}

static void check_blind_window(struct blind *blind, const char *name, size_t offset,
                               int64_t least_ms)
{
    int64_t window_ms = *(const int64_t *)number_at(blind->options, offset);

    if (window_ms < least_ms && !was_told(blind, offset)) {
        AUTO(free_ptr) char *value = xprintf("%g s", (double)window_ms / 1000);
        AUTO(free_ptr) char *limit = xprintf("%g s at least", (double)least_ms / 1000);
        name_blind(blind, name, value, limit);
    }
}

char *guard_blind(const struct guard_options *options, const struct guard_options *unless)
{
    static const struct {
        const char *name;
        size_t offset;
        uint64_t most;
    } counts[] = {
        {"delete_max", offsetof(struct guard_options, delete_max), GUARD_COUNT_BLIND},
        {"share_min", offsetof(struct guard_options, share_min), GUARD_COUNT_BLIND},
        {"update_min", offsetof(struct guard_options, update_min), GUARD_COUNT_BLIND},
        {"loss_min", offsetof(struct guard_options, loss_min), GUARD_COUNT_BLIND},
        {"total_max", offsetof(struct guard_options, total_max), GUARD_COUNT_BLIND},
        {"total_min", offsetof(struct guard_options, total_min), GUARD_COUNT_BLIND},
        {"version_jump_max", offsetof(struct guard_options, version_jump_max),
         GUARD_VERSION_JUMP_BLIND},
    };
    static const struct {
        const char *name;
        size_t offset;
    } shares[] = {{"share_max", offsetof(struct guard_options, share_max)},
                  {"update_max", offsetof(struct guard_options, update_max)},
                  {"loss_max", offsetof(struct guard_options, loss_max)}};
    static const struct {
        const char *name;
        size_t offset;
        int64_t least_ms;
    } spans[] = {
        {"delete_window", offsetof(struct guard_options, delete_window_ms), GUARD_WINDOW_BLIND_MS},
        {"share_window", offsetof(struct guard_options, share_window_ms), GUARD_WINDOW_BLIND_MS},
        {"update_window", offsetof(struct guard_options, update_window_ms), GUARD_WINDOW_BLIND_MS},
        {"loss_window", offsetof(struct guard_options, loss_window_ms), GUARD_WINDOW_BLIND_MS},
        {"drip_window", offsetof(struct guard_options, drip_window_ms), GUARD_DRIP_WINDOW_BLIND_MS},
    };
    struct blind blind = {.options = options, .unless = unless};

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        check_blind_count(&blind, counts[i].name, counts[i].offset, counts[i].most);
    }
    for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
        check_blind_share(&blind, shares[i].name, shares[i].offset);
    }
    for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
        check_blind_window(&blind, spans[i].name, spans[i].offset, spans[i].least_ms);
    }
    return blind.text;
}

/* ---- opening ---- */

int guard_open(const struct guard_options *options, const struct guard_source *sources,
               size_t source_count, struct env *env, struct guard **ret, struct err *err)
{
    pthread_condattr_t attributes;

    assert(source_count <= GUARD_SOURCES_MAX);
    if (check_options(options, err) < 0) {
        return -(int)err->code;
    }
    for (size_t i = 0; i < source_count; i++) {
        if (check_options(&sources[i].options, err) < 0) {
            return err_context(err, "source %s", sources[i].name);
        }
    }
    struct guard *guard = xcalloc(1, sizeof(*guard));
    limits_init(&guard->limits, options, sources, source_count);
    guard->env = env;
    (void)pthread_mutex_init(&guard->mutex, NULL); /* can't fail with default attributes */
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&guard->settled, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    windows_init(&guard->windows, &guard->limits, env);
    incidents_init(&guard->incidents, env);
    *ret = guard;
    return 0;
}

void guard_close(struct guard *guard)
{
    if (guard == NULL) {
        return;
    }
    incidents_done(&guard->incidents);
    windows_done(&guard->windows);
    limits_done(&guard->limits);
    (void)pthread_cond_destroy(&guard->settled);
    (void)pthread_mutex_destroy(&guard->mutex);
    free(guard);
}

/* ---- on the writer thread ---- */

static void sweep(struct guard *guard)
{
    for (const struct incident *i = guard->incidents.list; i != NULL; i = i->next) {
        if (i->state.project != NULL) {
            i->state.project->is_marked = true;
        }
        for (size_t k = 0; k < i->state.actor_count; k++) {
            i->state.actors[k].actor->is_marked = true;
        }
    }
    for (struct window_project *p = guard->windows.project_list; p != NULL; p = p->next) {
        for (size_t k = 0; k < guard->limits.watch_count; k++) {
            p->is_marked = p->is_marked || p->incidents[k] != NULL;
        }
    }
    for (struct window_actor *a = guard->windows.actor_list; a != NULL; a = a->next) {
        for (size_t k = 0; k < guard->limits.watch_count; k++) {
            a->is_marked = a->is_marked || a->incidents[k] != NULL;
        }
    }
    windows_sweep(&guard->windows);
}

void guard_begin(struct guard *guard)
{
    if (guard->is_open) {
        return;
    }
    guard->is_open = true;
    windows_expire(&guard->windows, guard->env->mono_ms(guard->env));
    incidents_expire(&guard->incidents, &guard->windows);
    if (windows_crowded(&guard->windows)) {
        sweep(guard);
    }
}

static int judge(void *arg, const struct effect *effects, size_t count,
                 const struct judge_view *view, struct decision *ret_decisions, size_t *ret_count,
                 struct err *err)
{
    struct guard *guard = arg;

    *ret_count = 0;
    if (!limits_any(&guard->limits)) {
        return 0;
    }
    (void)pthread_mutex_lock(&guard->mutex);
    guard_begin(guard);
    int result = judge_request(guard, effects, count, view, ret_decisions, ret_count, err);
    (void)pthread_mutex_unlock(&guard->mutex);
    return result;
}

static void settle(void *arg, bool committed)
{
    struct guard *guard = arg;

    (void)pthread_mutex_lock(&guard->mutex);
    if (guard->is_open) {
        if (committed) {
            incidents_commit(&guard->incidents);
            windows_commit(&guard->windows);
        } else {
            incidents_undo(&guard->incidents, 0);
            windows_undo(&guard->windows, 0);
        }
        guard->is_open = false;
        guard->transactions++;
        (void)pthread_cond_broadcast(&guard->settled);
    }
    (void)pthread_mutex_unlock(&guard->mutex);
}

struct ledger_judge guard_judge_for(struct guard *guard)
{
    return (struct ledger_judge){.arg = guard, .judge = judge, .settled = settle};
}

/* ---- from any thread ---- */

void guard_status(struct guard *guard, struct guard_status *ret)
{
    uint64_t most = 0;
    size_t group = 0;

    (void)pthread_mutex_lock(&guard->mutex);
    int64_t now_ms = guard->env->mono_ms(guard->env);
    for (const struct window_actor *a = guard->windows.actor_list; a != NULL; a = a->next) {
        uint64_t deletes = window_actor_shown(&guard->windows, a, now_ms);
        group = deletes > most ? a->group : group;
        most = deletes > most ? deletes : most;
    }
    (void)pthread_mutex_unlock(&guard->mutex);
    *ret = (struct guard_status){.deletes_in_window = most,
                                 .threshold = guard->limits.options[group].delete_max,
                                 .window_ms = guard->limits.options[group].delete_window_ms};
}

/* Wait until the transaction that was under way is settled. */
static int await_settled(struct guard *guard, struct err *err)
{
    uint64_t target = guard->transactions + 1;
    int64_t at_ms = deadline_in(SEAL_WAIT_MS).at_ms;
    struct timespec until = {.tv_sec = at_ms / 1000, .tv_nsec = at_ms % 1000 * 1000000};

    while (guard->is_open && guard->transactions < target) {
        if (pthread_cond_timedwait(&guard->settled, &guard->mutex, &until) == ETIMEDOUT) {
            return err_set(err, ERR_TIMEOUT,
                           "the ledger has been writing for %d s; nothing was resolved, try again",
                           SEAL_WAIT_MS / 1000);
        }
    }
    return 0;
}

int guard_seal(struct guard *guard, const struct uuid *alert, struct err *err)
{
    (void)pthread_mutex_lock(&guard->mutex);
    for (struct incident *i = guard->incidents.list; i != NULL; i = i->next) {
        if (uuid_eq(&i->alert, alert)) {
            i->is_sealed = true;
        }
    }
    int result = guard->is_open ? await_settled(guard, err) : 0;
    (void)pthread_mutex_unlock(&guard->mutex);
    return result;
}
