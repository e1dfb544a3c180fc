/* Vaults: status, sync now, events, dead letters, doctor. */
#include "api/handlers.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include "base/timestamp.h"
#include "engine/sources.h"

#define SYNC_TIMEOUT_DEFAULT_S 60
#define EVENTS_LIMIT_DEFAULT 20
#define DOCTOR_REMOTE_S 5 /* the whole check of one vault or source, connecting included */
#define ROOM_LEAST_BYTES ((uint64_t)256 * 1024) /* less on the home's disk: it is full */
#define CHECKED_LAG_UNHEALTHY_MS 60000          /* a vault further behind than this is not "well" */

/* The ledger can be read and written; err says what is wrong, the caller goes on. */
static bool ledger_is_well(struct engine *engine, struct err *err)
{
    struct statvfs disk;

    if (ledger_health(engine->ledger, err) != 0 || ledger_check_store(engine->ledger, err) != 0) {
        return false;
    }
    if (statvfs(engine->home, &disk) != 0) {
        return true;
    }
    uint64_t blocks = geteuid() == 0 ? disk.f_bfree : disk.f_bavail; /* some are kept for root */
    if (blocks * disk.f_frsize >= ROOM_LEAST_BYTES) {
        return true;
    }
    (void)err_set(err, ERR_FULL,
                  "the disk of %s is full: nothing can be remembered until there is room; what was "
                  "remembered is safe",
                  engine->home);
    return false;
}

static json_t *time_or_null(int64_t us)
{
    char text[TIMESTAMP_TEXT_MAX];

    if (us == TIME_NONE) {
        return json_null();
    }
    timestamp_format(us, text);
    return json_string(text);
}

static json_t *vault_to_json(const struct replicator_status *v)
{
    return json_pack("{s:s,s:s,s:b,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o}", "name", v->name, "kind",
                     v->kind, "connected", v->connected, "paused", v->paused, "acked_seq",
                     (json_int_t)v->acked_seq, "head_seq", (json_int_t)v->head_seq, "lag_ms",
                     (json_int_t)v->lag_ms, "queue", (json_int_t)v->queue, "dead",
                     (json_int_t)v->dead, "elsewhere", (json_int_t)v->elsewhere, "last_ok",
                     time_or_null(v->last_ok_us), "error",
                     v->error[0] ? json_string(v->error) : json_null());
}

/* It has not been met yet since the start, and nothing speaks against it. */
static bool connecting(const struct replicator_status *v)
{
    return !v->connected && !v->paused && v->error[0] == 0;
}

struct sync_totals {
    uint64_t queue, failed;
    int64_t last_us;
    const char *error;
    bool well;
};

static json_t *vaults_to_json(struct engine *engine, struct replicator_status *statuses,
                              struct sync_totals *totals)
{
    json_t *vaults = json_array();

    *totals = (struct sync_totals){.last_us = TIME_NONE, .well = true};
    for (size_t i = 0; i < engine->replicator_count; i++) {
        struct replicator_status *v = &statuses[i];
        replicator_status(engine->replicators[i], v);
        json_array_append_new(vaults, vault_to_json(v));
        totals->queue = v->queue > totals->queue ? v->queue : totals->queue;
        totals->failed += v->dead;
        totals->last_us = v->last_ok_us > totals->last_us ? v->last_ok_us : totals->last_us;
        totals->error = v->error[0] ? v->error : totals->error;
        totals->well = totals->well && (v->connected || connecting(v)) && v->dead == 0 &&
                       v->lag_ms < CHECKED_LAG_UNHEALTHY_MS &&
                       v->failures <= engine->config.sync.max_retries;
    }
    return vaults;
}

/* What is written into a source; null where nothing is. */
static json_t *mirror_to_json(struct runner *follower)
{
    struct runner_status s;

    if (follower == NULL) {
        return json_null();
    }
    runner_status(follower, &s);
    const struct source_mirror *m = &s.mirror;
    const char *error = s.error[0] ? s.error : m->trouble;
    if (!m->is_mirror && m->marked == 0 && m->trouble[0] == 0) {
        return json_null();
    }
    return json_pack("{s:b,s:I,s:I,s:I,s:I,s:I,s:o}", "rows", m->is_mirror, "written",
                     (json_int_t)m->written, "marked", (json_int_t)m->marked, "refused",
                     (json_int_t)m->refused, "waiting", (json_int_t)m->waiting, "lag_ms",
                     (json_int_t)m->lag_ms, "error", error[0] ? json_string(error) : json_null());
}

static json_t *sources_to_json(struct engine *engine, struct sync_totals *totals)
{
    json_t *sources = json_array();

    for (size_t i = 0; i < engine->runner_count; i++) {
        struct runner_status s;
        AUTO(free_ptr)
        char *guard = config_guard_text(&engine->config, &engine->config.sources[i]);
        runner_status(engine->runners[i], &s);
        json_array_append_new(
            sources, json_pack("{s:s,s:s,s:b,s:s,s:I,s:s,s:o,s:o,s:o,s:o,s:o}", "name", s.name,
                               "kind", s.kind, "connected", s.connected, "position", s.position,
                               "lag_ms", (json_int_t)s.lag_ms, "state", s.state, "capture",
                               s.capture[0] ? json_string(s.capture) : json_null(), "fence",
                               s.fence[0] ? json_string(s.fence) : json_null(), "error",
                               s.error[0] ? json_string(s.error) : json_null(), "guard",
                               guard ? json_string(guard) : json_null(), "mirror",
                               mirror_to_json(engine->followers[i])));
        totals->well = totals->well && s.error[0] == 0;
    }
    return sources;
}

static json_t *guard_to_json(struct engine *engine)
{
    struct guard_status status;

    guard_status(engine->guard, &status);
    return json_pack("{s:b,s:I,s:I,s:I}", "active", engine->config.guard.rules.enabled,
                     "delete_count_in_window", (json_int_t)status.deletes_in_window, "threshold",
                     (json_int_t)status.threshold, "window_seconds",
                     (json_int_t)(status.window_ms / 1000));
}

int op_get_sync_status(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    struct engine *engine = call->engine;
    struct replicator_status statuses[CONFIG_VAULTS_MAX];
    struct sync_totals totals;
    struct ledger_counts counts;
    struct err trouble = ERR_INIT;
    {
        AUTO(reader_done) struct reader *reader = NULL;
        if (read_begin(engine->ledger, &reader, err) != 0 ||
            read_counts(reader, &counts, err) != 0) {
            return -(int)err->code;
        }
    }
    bool ledger_well = ledger_is_well(engine, &trouble);
    json_t *vaults = vaults_to_json(engine, statuses, &totals);
    json_t *sources = sources_to_json(engine, &totals);
    bool healthy = ledger_well && totals.well && engine->replicator_count && !engine->paused &&
                   counts.alerts_open == 0 && engine->config.guard.rules.enabled;
    const char *error = ledger_well ? totals.error : trouble.message;

    reply->document = json_pack(
        "{s:b,s:b,s:I,s:I,s:I,s:I,s:I,s:o,s:o,s:s,s:o,s:o,s:o}", "healthy", healthy, "paused",
        (int)engine->paused, "alerts_open", (json_int_t)counts.alerts_open, "memories",
        (json_int_t)counts.memories, "queue_size", (json_int_t)totals.queue, "pending_count",
        (json_int_t)totals.queue, "failed_count", (json_int_t)totals.failed, "last_sync",
        time_or_null(totals.last_us), "last_error", error ? json_string(error) : json_null(),
        "privilege_separation", "none", "vaults", vaults, "sources", sources,
        "destruction_detection", guard_to_json(engine));
    json_object_set_new(reply->document, "changes", json_integer((json_int_t)counts.changes));
    json_object_set_new(reply->document, "deleted", json_integer((json_int_t)counts.deleted));
    json_object_set_new(reply->document, "sessions", json_integer((json_int_t)counts.sessions));
    json_object_set_new(reply->document, "projects", json_integer((json_int_t)counts.projects));
    json_object_set_new(reply->document, "index_behind",
                        json_integer((json_int_t)index_behind(engine->index)));
    return 0;
}

int op_sync_now(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    struct engine *engine = call->engine;
    struct deadline deadline =
        deadline_in(call_integer(call, "timeout", SYNC_TIMEOUT_DEFAULT_S) * 1000);
    int64_t started_ms = engine->env->mono_ms(engine->env);
    uint64_t before = 0, after = 0, failed = 0, replayed = 0;
    struct replicator_status status;
    struct err first = ERR_INIT;

    for (size_t i = 0; i < engine->replicator_count; i++) {
        struct err trouble = ERR_INIT;
        replicator_status(engine->replicators[i], &status);
        before += status.queue;
        replicator_poke(engine->replicators[i]);
        int rc = replicator_drain(engine->replicators[i], deadline, &trouble);
        if (rc == 0 && call_bool(call, "replay")) {
            rc = replicator_replay(engine->replicators[i], &replayed, &trouble);
        }
        replicator_status(engine->replicators[i], &status);
        after += status.queue;
        failed += status.dead;
        if (rc != 0 && first.code == ERR_NONE) {
            (void)err_copy(&first, &trouble); /* it names the vault */
        }
    }
    if (!engine->replicator_count) {
        return err_set(err, ERR_UNAVAILABLE,
                       "no vault is configured; add one with: holdfast init --vault file:PATH");
    }
    if (first.code != ERR_NONE) {
        return err_copy(err, &first);
    }
    reply->document =
        json_pack("{s:I,s:I,s:I,s:I}", "synced", (json_int_t)(before > after ? before - after : 0),
                  "failed", (json_int_t)failed, "queue_size", (json_int_t)after, "duration_ms",
                  (json_int_t)(engine->env->mono_ms(engine->env) - started_ms));
    return 0;
}

static int add_event(void *arg, const struct sync_event *e, struct err *err)
{
    char at[TIMESTAMP_TEXT_MAX];
    char origin[UUID_TEXT_MAX];

    timestamp_format(e->at_us, at);
    uuid_format(&e->origin, origin);
    AUTO(json_unref)
    json_t *object = json_pack(
        "{s:s,s:s,s:s,s:s,s:I,s:s,s:I,s:I,s:I,s:I,s:o}", "at", at, "vault", e->vault, "direction",
        e->direction == SYNC_PUSH ? "push" : "pull", "result", e->result, "count",
        (json_int_t)e->count, "origin", origin, "from_seq", (json_int_t)e->from_seq, "to_seq",
        (json_int_t)e->to_seq, "duration_us", (json_int_t)e->duration_us, "retries",
        (json_int_t)e->retries, "error", e->error ? json_string(e->error) : json_null());
    return spool_add_json(arg, object, err);
}

int op_sync_events(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    return sync_events(call->engine->log, call_text(call, "vault"),
                       (size_t)call_integer(call, "limit", EVENTS_LIMIT_DEFAULT), add_event,
                       &reply->lines, err);
}

static int add_letter(void *arg, const struct dead_letter *letter, struct err *err)
{
    char at[TIMESTAMP_TEXT_MAX];
    char origin[UUID_TEXT_MAX];

    timestamp_format(letter->at_us, at);
    uuid_format(&letter->origin, origin);
    AUTO(json_unref)
    json_t *object =
        json_pack("{s:I,s:s,s:s,s:s,s:I,s:s}", "id", (json_int_t)letter->id, "at", at, "vault",
                  letter->vault, "origin", origin, "seq", (json_int_t)letter->seq, "error",
                  letter->error ? letter->error : "");
    return spool_add_json(arg, object, err);
}

int op_dead_letters(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    return dead_letters(call->engine->log, call_text(call, "vault"), add_letter, &reply->lines,
                        err);
}

static int doctor_line(struct spool *spool, const char *what, bool ok, const char *detail,
                       const char *advice, struct err *err)
{
    AUTO(json_unref)
    json_t *object =
        json_pack("{s:s,s:b,s:s,s:s}", "check", what, "ok", ok, "detail", detail, "advice", advice);

    return spool_add_json(spool, object, err);
}

/* ---- what a vault has of other installations ---- */

struct elsewhere {
    uint64_t changes; /* that are not in the journal here */
    int64_t last_us;  /* of the newest; TIME_NONE: not known */
};

static int note_time(void *arg, const struct change *change, struct err *err)
{
    struct elsewhere *found = arg;

    (void)err;
    found->last_us = change->at_us > found->last_us ? change->at_us : found->last_us;
    return 0;
}

static uint64_t seq_here(const struct head *heads, size_t count, const struct uuid *origin)
{
    for (size_t i = 0; i < count; i++) {
        if (uuid_eq(&heads[i].origin, origin)) {
            return heads[i].seq;
        }
    }
    return 0;
}

static int journal_heads(struct engine *engine, struct head **ret, size_t *ret_count,
                         struct err *err)
{
    struct reader *reader = NULL;

    int rc = read_begin(engine->ledger, &reader, err);
    if (rc == 0) {
        rc = read_heads(reader, ret, ret_count, err);
    }
    read_end(reader);
    return rc;
}

static int look_elsewhere(struct engine *engine, struct vault *vault, struct deadline deadline,
                          struct elsewhere *ret, struct err *err)
{
    struct uuid own = ledger_origin(engine->ledger);
    AUTO(free_ptr) struct vault_head *there = NULL;
    AUTO(free_ptr) struct head *here = NULL;
    size_t there_count = 0;
    size_t here_count = 0;

    *ret = (struct elsewhere){0, TIME_NONE};
    if (journal_heads(engine, &here, &here_count, err) != 0 ||
        vault->ops->head(vault, &there, &there_count, deadline, err) != 0) {
        return -(int)err->code;
    }
    for (size_t i = 0; i < there_count; i++) {
        const struct vault_head *head = &there[i];
        uint64_t known = seq_here(here, here_count, &head->origin);
        struct vault_filter last = {.origin = head->origin, .after_seq = head->seq - 1};
        struct err unread = ERR_INIT;
        if (uuid_eq(&head->origin, &own) || head->seq <= known) {
            continue;
        }
        ret->changes += head->seq - known;
        if (vault->ops->scan(vault, &last, note_time, ret, deadline, &unread) != 0) {
            log_debug("doctor.time", "%s; the time of its last change is not told", unread.message);
        }
    }
    return 0;
}

static int doctor_elsewhere(const char *name, const struct elsewhere *found, struct spool *spool,
                            struct err *err)
{
    AUTO(free_ptr) char *what = xprintf(OP_DOCTOR_ELSEWHERE " in vault %s", name);
    AUTO(free_ptr)
    char *advice = xprintf("holdfast recover --from %s --dry-run shows what comes back", name);
    char last[TIMESTAMP_TEXT_MAX] = "";

    if (found->changes == 0) {
        return 0;
    }
    if (found->last_us != TIME_NONE) {
        timestamp_format(found->last_us, last);
    }
    AUTO(free_ptr)
    char *detail =
        xprintf("it holds %llu changes of other installations that are not here%s%s",
                (unsigned long long)found->changes, last[0] ? ", the last of " : "", last);
    return doctor_line(spool, what, false, detail, advice, err);
}

/* What to do about a vault that can't be opened or asked. */
static const char *advice_of(enum err_code code)
{
    switch (code) {
    case ERR_UNAVAILABLE:
    case ERR_TIMEOUT:
        return "start what answers there, or mend the way to it; what is not sent waits in the "
               "ledger, and follows by itself";
    case ERR_AUTH:
        return "correct the user or the password (NEO4J_PASSWORD, or the vault's password_file), "
               "and restart the daemon: holdfast stop";
    case ERR_FORBIDDEN:
        return "give this user the right to read and write there";
    case ERR_CONFIG:
        return "mend what the message names, or this vault in holdfast.yaml";
    case ERR_NEWER:
        return "update Holdfast here: a newer one writes there";
    case ERR_CORRUPT:
        return "holdfast verify says what is damaged; the ledger has all of it";
    default:
        return "mend what the message names; what is not sent waits in the ledger";
    }
}

/* The line of what can't be asked; when its time is over, how much that was. */
static int doctor_trouble(struct spool *spool, const char *what, const struct err *trouble,
                          struct deadline deadline, const char *advice, struct err *err)
{
    bool late = deadline_left_ms(deadline) == 0;
    AUTO(free_ptr)
    char *detail = late ? xprintf("%s; no more than %d s are spent here on one check",
                                  trouble->message, DOCTOR_REMOTE_S)
                        : xstrdup(trouble->message);

    return doctor_line(spool, what, false, detail, advice, err);
}

static int doctor_vault(const struct op_call *call, const struct config_vault *v,
                        struct spool *spool, struct err *err)
{
    struct err trouble = ERR_INIT;
    struct vault_health health = {0};
    struct elsewhere found;
    struct vault *vault = NULL;
    AUTO(free_ptr) char *spec = NULL;
    AUTO(free_ptr) char *shown = vault_spec_shown(v->spec);
    AUTO(free_ptr) char *what = xprintf("vault %s (%s)", v->name, shown);
    struct deadline deadline = deadline_in(1000 * DOCTOR_REMOTE_S);
    int rc = engine_open_vault(call->engine, v->name, false, deadline, &vault, &spec, &trouble);

    if (rc == 0) {
        rc = vault->ops->check(vault, &health, deadline, &trouble);
        rc = rc == 0 ? look_elsewhere(call->engine, vault, deadline, &found, &trouble) : rc;
        vault->ops->close(vault);
    }
    if (rc != 0) {
        return doctor_trouble(spool, what, &trouble, deadline, advice_of(trouble.code), err);
    }
    AUTO(free_ptr)
    char *detail = xprintf("%s; answered in %lld us", health.detail, (long long)health.latency_us);
    const char *advice = health.advice[0] == '\0' && !health.can_write
                             ? "give this user the right to write there"
                             : health.advice;
    rc = doctor_line(spool, what, advice[0] == '\0', detail, advice, err);
    return rc == 0 ? doctor_elsewhere(v->name, &found, spool, err) : rc;
}

static int doctor_source(const struct op_call *call, const struct config_source *s,
                         struct spool *spool, struct err *err)
{
    AUTO(free_ptr) char *what = xprintf("source %s (%s)", s->name, s->kind);
    struct source_health health = {.latency_us = 0};
    struct source_options options;
    const struct source_ops *driver = NULL;
    struct source *source = NULL;
    struct err trouble = ERR_INIT;
    int rc = sources_find(&call->engine->config, s->name, &options, &driver, &trouble);

    options.end = deadline_in(1000 * DOCTOR_REMOTE_S);
    rc = rc == 0 ? driver->open(&options, &source, &trouble) : rc;
    if (rc == 0) {
        rc = driver->check(source, &health, &trouble);
        driver->close(source);
    }
    if (rc != 0) {
        return doctor_trouble(spool, what, &trouble, options.end,
                              "mend what the message names; until then nothing of it is captured",
                              err);
    }
    AUTO(free_ptr) char *guard = config_guard_text(&call->engine->config, s);
    bool guarded = !s->guard || s->guard->rules.enabled;
    AUTO(free_ptr)
    char *detail =
        xprintf("%s; answered in %lld us%s%s", health.detail, (long long)health.latency_us,
                guard ? "; its guard: " : "", guard ? guard : "");
    return doctor_line(spool, what, guarded, detail,
                       guarded ? "" : "remove enabled: false from its guard:", err);
}

int op_doctor(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    struct engine *engine = call->engine;
    struct err trouble = ERR_INIT;
    struct spool *spool = &reply->lines;
    int rc;

    bool well = ledger_is_well(engine, &trouble);
    const char *advice = well                       ? ""
                         : trouble.code == ERR_FULL ? "make room on that disk"
                                                    : "stop the daemon, then: holdfast recover";
    rc = doctor_line(spool, "ledger", well, well ? engine->home : trouble.message, advice, err);
    bool guarded = engine->config.guard.rules.enabled;
    if (rc == 0) {
        rc = doctor_line(spool, "guard", guarded,
                         guarded ? "on" : "switched off in the configuration",
                         guarded ? "" : "remove guard.enabled: false", err);
    }
    if (rc == 0) {
        rc = doctor_line(spool, "privilege separation", false,
                         "none: the daemon runs as the same user as the agents",
                         "run it as a user of its own to keep agents away from its files", err);
    }
    if (rc == 0 && engine->config.vault_count == 0) {
        rc = doctor_line(spool, "vaults", false, "none is configured",
                         "holdfast init --vault file:PATH, on another disk if you can", err);
    }
    for (size_t i = 0; i < engine->config.vault_count && rc == 0; i++) {
        rc = doctor_vault(call, &engine->config.vaults[i], spool, err);
    }
    for (size_t i = 0; i < engine->config.source_count && rc == 0; i++) {
        rc = doctor_source(call, &engine->config.sources[i], spool, err);
    }
    return rc;
}
