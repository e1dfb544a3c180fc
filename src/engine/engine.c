#include "engine/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "engine/sources.h"

#define RULE_SYNC_PAUSED "sync_paused" /* the alert of a pause that no person asked for */
#define RULE_VAULT_AWAY "vault_away"   /* an outage: told, but no destruction */
#define FLAG_PAUSED "paused"
#define FLAG_GUARD "guard.enabled" /* FLAG_GUARD_ON, or what was last told to be off */
#define FLAG_GUARD_ON "1"
#define FLAG_VANISHED "store.vanished" /* the origin in whose ledger that was told */

/* ---- what other threads tell the engine ---- */

/* Journal an alert that did not come from the writer: a vault emptied, the store gone, the guard
 * off. */
static int journal_alert(struct engine *engine, const char *rule, const char *actor,
                         const char *summary, struct err *err)
{
    struct decision decision;
    struct written written = {0};

    guard_outside_alert(engine->env, rule, actor, summary, &decision);
    struct draft draft = {
        .kind = KIND_GUARD, .op = OP_HOLD, .decision = &decision, .source = "holdfast"};
    int rc = ledger_write(engine->ledger, &draft, 1, true, &written, err);
    written_done(&written, 1);
    decision_done(&decision);
    return rc;
}

/* The same where nobody waits for it; false: it is in the log only. */
static bool raise_alert(struct engine *engine, const char *rule, const char *actor,
                        const char *summary)
{
    struct err err = ERR_INIT;

    if (journal_alert(engine, rule, actor, summary, &err) == 0) {
        return true;
    }
    log_error("alert.lost", "rule=%s: %s; the alert could not be journaled: %s", rule, summary,
              err.message);
    return false;
}

static void on_damage(void *arg, const char *vault, const char *what)
{
    AUTO(free_ptr) char *actor = xprintf("vault %s", vault);

    (void)raise_alert(arg, "vault_damaged", actor, what); /* or the log has it */
}

static bool on_away(void *arg, const char *vault, const char *what)
{
    AUTO(free_ptr) char *actor = xprintf("vault %s", vault);

    return raise_alert(arg, RULE_VAULT_AWAY, actor, what);
}

/* It goes on as a new installation, and a person is told. */
static int went_back(struct engine *engine, const struct uuid *origin, uint64_t after,
                     const char *vault, struct err *err)
{
    bool renewed = false;

    if (ledger_renew_origin(engine->ledger, origin, after, &renewed, err) != 0) {
        return -(int)err->code;
    }
    if (renewed) {
        AUTO(free_ptr)
        char *what = xprintf("The ledger went back in time: it lacks changes that vault %s has "
                             "acknowledged. Nothing is lost there; to bring it back: holdfast "
                             "recover",
                             vault);
        (void)raise_alert(engine, "ledger_went_back", "ledger", what);
    }
    return 0;
}

/* Found while a vault is looked at. */
static int on_behind(void *arg, const char *vault, const struct uuid *origin, uint64_t after,
                     struct err *err)
{
    return went_back(arg, origin, after, vault, err);
}

static void on_state(void *arg, const char *vault, const char *trouble)
{
    (void)arg;
    if (trouble) {
        log_warn("vault.down",
                 "vault=%s: %s; changes wait in the ledger and are sent when it is back", vault,
                 trouble);
    } else {
        log_info("vault.up", "vault=%s is connected", vault);
    }
}

struct open_alerts {
    uint64_t count;
    uint64_t of_pause;  /* of these */
    uint64_t of_outage; /* of these */
};

static int count_alert(void *arg, const struct alert *alert, struct err *err)
{
    struct open_alerts *open = arg;

    (void)err;
    open->count++;
    open->of_pause += strcmp(alert->rule, RULE_SYNC_PAUSED) == 0 ? 1 : 0;
    open->of_outage += strcmp(alert->rule, RULE_VAULT_AWAY) == 0 ? 1 : 0;
    return 0;
}

static int open_alerts(struct engine *engine, struct open_alerts *ret, struct err *err)
{
    struct reader *reader = NULL;

    *ret = (struct open_alerts){.count = 0};
    if (read_begin(engine->ledger, &reader, err) != 0) {
        return -(int)err->code;
    }
    int rc = read_alerts(reader, true, count_alert, ret, err);
    read_end(reader);
    return rc;
}

void engine_alerts_changed(struct engine *engine)
{
    struct err err = ERR_INIT;
    struct open_alerts open;

    pthread_mutex_lock(&engine->alert_lock);
    if (open_alerts(engine, &open, &err) != 0) {
        log_error("alerts.unknown", "can't count the open alerts: %s; writing stays as it is",
                  err.message);
    } else {
        engine->writes_stopped =
            engine->config.guard.on_alert == ON_ALERT_PAUSE && open.count > open.of_outage;
    }
    for (size_t i = 0; i < engine->replicator_count; i++) {
        replicator_pause(engine->replicators[i], engine->paused || engine->writes_stopped);
    }
    pthread_mutex_unlock(&engine->alert_lock);
}

static void on_alert(void *arg, const struct alert *alert)
{
    (void)alert; /* the notifier has told it; here only its consequences */
    engine_alerts_changed(arg);
}

int engine_may_write(struct engine *engine, struct err *err)
{
    if (!engine->writes_stopped) {
        return 0;
    }
    return err_set(err, ERR_PAUSED,
                   "an alert is open and guard.on_alert is pause: nothing is written until a "
                   "person resolves it; see: holdfast alerts");
}

/* ---- pause and resume ---- */

/* Raise the alert of a pause that no person asked for, unless it is open already. */
static int tell_paused(struct engine *engine, const char *actor, struct err *err)
{
    struct open_alerts open;

    if (open_alerts(engine, &open, err) != 0) {
        return -(int)err->code;
    }
    if (open.of_pause > 0) {
        return 0;
    }
    AUTO(free_ptr)
    char *what = xprintf("Sending to the vaults was paused by %s, and no person asked for it at a "
                         "terminal: what is remembered since is in this ledger only. To go on: "
                         "holdfast resume",
                         actor);
    return journal_alert(engine, RULE_SYNC_PAUSED, actor, what, err);
}

int engine_pause(struct engine *engine, const char *actor, bool is_person, struct err *err)
{
    if (!is_person && !engine->paused && tell_paused(engine, actor, err) != 0) {
        return err_context(err, "it is not paused, because the alert of it can't be written");
    }
    if (sync_flag_set(engine->log, FLAG_PAUSED, "1", err) != 0) {
        return -(int)err->code;
    }
    engine->paused = true;
    engine_alerts_changed(engine);
    log_info("sync.paused",
             "sync is paused; memories are kept in the ledger and wait for: holdfast resume");
    return 0;
}

int engine_resume(struct engine *engine, bool person_confirmed, struct err *err)
{
    struct open_alerts open;

    if (open_alerts(engine, &open, err) != 0) {
        return -(int)err->code;
    }
    uint64_t others = open.count - open.of_pause; /* what resuming ends is no reason not to */
    if (others > 0 && !person_confirmed) {
        return err_set(err, ERR_REFUSED,
                       "%llu alert%s open; a person resolves %s first (holdfast alerts), or runs "
                       "at a terminal: holdfast resume",
                       (unsigned long long)others, others == 1 ? " is" : "s are",
                       others == 1 ? "it" : "them");
    }
    if (sync_flag_set(engine->log, FLAG_PAUSED, NULL, err) != 0) {
        return -(int)err->code;
    }
    engine->paused = false;
    engine_alerts_changed(engine);
    for (size_t i = 0; i < engine->replicator_count; i++) {
        replicator_poke(engine->replicators[i]);
    }
    log_info("sync.resumed", "sync goes on");
    return 0;
}

/* ---- open and close ---- */

static int start_vaults(struct engine *engine, struct err *err)
{
    for (size_t i = 0; i < engine->config.vault_count; i++) {
        struct replicator_options options = {.name = engine->config.vaults[i].name,
                                             .spec = engine->config.vaults[i].spec,
                                             .batch_max = engine->config.sync.batch_size,
                                             .backoff_initial_ms =
                                                 engine->config.sync.backoff_initial_ms,
                                             .backoff_max_ms = engine->config.sync.backoff_max_ms,
                                             .check_ms = REPLICATOR_CHECK_MS,
                                             .paused = engine->paused || engine->writes_stopped,
                                             .ledger = engine->ledger,
                                             .log = engine->log,
                                             .arg = engine,
                                             .on_damage = on_damage,
                                             .on_behind = on_behind,
                                             .on_away = on_away,
                                             .on_state = on_state};
        if (replicator_start(&options, &engine->replicators[engine->replicator_count], err) != 0) {
            return err_context(err, "vault %s", options.name);
        }
        engine->replicator_count++;
    }
    return 0;
}

/*
 * Something of the guard is off that was not at the last start: somebody switched it off, which a
 * person must see. Told once for each configuration: the alert stays open over restarts until a
 * person resolves it. What could not be told now is told at the next start.
 */
static void note_guard_switch(struct engine *engine)
{
    AUTO(free_ptr) char *off = config_guard_off(&engine->config);
    AUTO(free_ptr) char *before = NULL;
    const char *now = off ? off : FLAG_GUARD_ON;
    struct err err = ERR_INIT;
    bool changed =
        sync_flag_get(engine->log, FLAG_GUARD, &before, &err) != 0 || strcmp(before, now) != 0;

    if (!changed || (off && !raise_alert(engine, RULE_GUARD_OFF, "configuration", off))) {
        return;
    }
    err.code = ERR_NONE;
    if (sync_flag_set(engine->log, FLAG_GUARD, now, &err) != 0) {
        log_warn("flag.lost", "%s; the next start may repeat an alert", err.message);
    }
}

static uint64_t head_of(const struct head *heads, size_t count, const struct uuid *origin)
{
    for (size_t i = 0; i < count; i++) {
        if (uuid_eq(&heads[i].origin, origin)) {
            return heads[i].seq;
        }
    }
    return 0;
}

static int own_head(struct engine *engine, const struct uuid *origin, uint64_t *ret,
                    struct err *err)
{
    AUTO(free_ptr) struct head *heads = NULL;
    struct reader *reader = NULL;
    size_t count = 0;

    int rc = read_begin(engine->ledger, &reader, err);
    if (rc == 0) {
        rc = read_heads(reader, &heads, &count, err);
    }
    read_end(reader);
    *ret = rc == 0 ? head_of(heads, count, origin) : 0;
    return rc;
}

/*
 * An older copy of the ledger was put in place: its next changes would get numbers that the vaults
 * have given to others. So it goes on as a new installation, and what it lost can be recovered. A
 * crash never looks like this: a vault gets only what is durable here. When sync.db is as old as
 * the ledger, the replicator finds it out from the vault.
 */
static int note_ledger_went_back(struct engine *engine, struct err *err)
{
    struct uuid origin = ledger_origin(engine->ledger);
    uint64_t head;

    int rc = own_head(engine, &origin, &head, err);
    for (size_t i = 0; rc == 0 && i < engine->config.vault_count; i++) {
        const char *vault = engine->config.vaults[i].name;
        struct sha256 hash;
        uint64_t acked = 0;
        rc = sync_cursor_get(engine->log, vault, &origin, &acked, &hash, err);
        if (rc == 0 && acked > head) {
            rc = went_back(engine, &origin, head, vault, err);
        }
    }
    return rc;
}

/* What the vaults have acknowledged of ledgers that this home had, and that are not in this one. */
struct vanished {
    const struct head *heads;
    size_t count;
    uint64_t changes; /* of the largest */
    char *vault;      /* heap; that has it */
};

static int look_for_vanished(void *arg, const struct sync_cursor *cursor, struct err *err)
{
    struct vanished *vanished = arg;

    (void)err;
    if (head_of(vanished->heads, vanished->count, &cursor->origin) == 0 &&
        cursor->seq > vanished->changes) {
        free(vanished->vault);
        vanished->vault = xstrdup(cursor->vault);
        vanished->changes = cursor->seq;
    }
    return 0;
}

/* Once for each ledger that was made anew. */
static void tell_vanished(struct engine *engine, const struct vanished *vanished)
{
    struct uuid origin = ledger_origin(engine->ledger);
    AUTO(free_ptr) char *told = NULL;
    char text[UUID_TEXT_MAX];
    struct err err = ERR_INIT;

    uuid_format(&origin, text);
    if (sync_flag_get(engine->log, FLAG_VANISHED, &told, &err) == 0 && strcmp(told, text) == 0) {
        return;
    }
    AUTO(free_ptr)
    char *what = xprintf("The ledger of this home is gone and a new one was made: vault %s has "
                         "acknowledged %llu changes that are not here. Nothing is lost there; to "
                         "bring it back: holdfast recover",
                         vanished->vault, (unsigned long long)vanished->changes);
    (void)raise_alert(engine, "store_vanished", "ledger", what);
    err.code = ERR_NONE;
    if (sync_flag_set(engine->log, FLAG_VANISHED, text, &err) != 0) {
        log_warn("flag.lost", "%s; the next start may repeat an alert", err.message);
    }
}

/* The ledger was removed or emptied, by whom ever; sync.db, beside it, remembers that there was
 * one. */
static int note_store_vanished(struct engine *engine, struct err *err)
{
    AUTO(free_ptr) struct head *heads = NULL;
    struct vanished vanished = {.changes = 0};
    struct reader *reader = NULL;

    int rc = read_begin(engine->ledger, &reader, err);
    if (rc == 0) {
        rc = read_heads(reader, &heads, &vanished.count, err);
    }
    read_end(reader);
    vanished.heads = heads;
    if (rc == 0) {
        rc = sync_cursors(engine->log, look_for_vanished, &vanished, err);
    }
    if (rc == 0 && vanished.changes > 0) {
        tell_vanished(engine, &vanished);
    }
    free(vanished.vault);
    return rc;
}

static int open_ledger(struct engine *engine, const char *who, struct err *err)
{
    struct ledger_options options = {
        .home = engine->home, .env = engine->env, .judge = &engine->judge, .who = who};
    struct guard_source sources[CONFIG_SOURCES_MAX];
    size_t source_count = config_guard_sources(&engine->config, sources);
    struct reader *reader = NULL;

    if (guard_open(&engine->config.guard.rules, sources, source_count, engine->env, &engine->guard,
                   err) != 0) {
        return -(int)err->code;
    }
    engine->judge = guard_judge_for(engine->guard);
    if (ledger_open(&options, &engine->ledger, err) != 0) {
        return -(int)err->code;
    }
    if (read_begin(engine->ledger, &reader, err) != 0) {
        return -(int)err->code;
    }
    int rc = guard_rebuild(engine->guard, reader, err);
    read_end(reader);
    return rc;
}

/*
 * The home as it is really called (SQLite opens nothing through a symbolic link), made if missing,
 * and its owner's alone: what is in it is as private as the agents' work.
 */
static int open_home(struct engine *engine, struct err *err)
{
    struct stat st;

    if (file_mkdirs(engine->home, 0700, err) != 0) {
        return -(int)err->code;
    }
    char *real = realpath(engine->home, NULL);
    if (!real) {
        return err_errno(err, ERR_IO, errno, "the home %s", engine->home);
    }
    free(engine->home);
    engine->home = real;
    if (stat(real, &st) == 0 && (st.st_mode & 077) != 0 && st.st_uid == geteuid() &&
        chmod(real, st.st_mode & 0700) == 0) {
        log_warn("engine.home", "%s was open to others (mode %03o); now only its owner may enter",
                 real, (unsigned)st.st_mode & 0777);
    }
    return 0;
}

static int open_parts(struct engine *engine, const struct engine_options *options, struct err *err)
{
    char *paused = NULL;
    struct err none = ERR_INIT;

    if (config_load(engine->home, options->config_file, &engine->config, err) != 0) {
        return -(int)err->code;
    }
    log_configure(engine->config.daemon.log_level, engine->config.daemon.log_json);
    if (open_ledger(engine, options->who ? options->who : "holdfast", err) != 0 ||
        recover_clean(engine->home, err) != 0 ||
        sync_log_open(engine->home, engine->env, &engine->log, err) != 0 ||
        note_ledger_went_back(engine, err) != 0 || note_store_vanished(engine, err) != 0 ||
        index_start(engine->ledger, &engine->index, err) != 0 ||
        tracker_open(engine->ledger, engine->config.daemon.session_idle_ms, &engine->tracker,
                     err) != 0) {
        return -(int)err->code;
    }
    engine->paused = sync_flag_get(engine->log, FLAG_PAUSED, &paused, &none) == 0;
    free(paused);
    note_guard_switch(engine);
    engine_alerts_changed(engine); /* before anything may be sent */
    if (start_vaults(engine, err) != 0 || sources_start(engine, err) != 0) {
        return -(int)err->code;
    }
    return notifier_start(engine->ledger, engine->log, &engine->config, on_alert, engine,
                          &engine->notifier, err);
}

int engine_open(const struct engine_options *options, struct engine **ret, struct err *err)
{
    struct engine *engine = xcalloc(1, sizeof(*engine));

    engine->env = options->env ? options->env : env_system();
    pthread_mutex_init(&engine->alert_lock, NULL);
    toll_init(&engine->toll);
    if (options->home) {
        engine->home = xstrdup(options->home);
    } else if (config_default_home(&engine->home, err) != 0) {
        goto fail;
    }
    if (open_home(engine, err) != 0 || open_parts(engine, options, err) != 0) {
        goto fail;
    }
    *ret = engine;
    return 0;
fail:
    engine_close(engine);
    return -(int)err->code;
}

void engine_close(struct engine *engine)
{
    if (!engine) {
        return;
    }
    notifier_stop(engine->notifier);
    sources_stop(engine);
    for (size_t i = 0; i < engine->replicator_count; i++) {
        replicator_stop(engine->replicators[i]);
    }
    tracker_close(engine->tracker);
    index_stop(engine->index);
    ledger_close(engine->ledger);
    guard_close(engine->guard);
    sync_log_close(engine->log);
    config_done(&engine->config);
    pthread_mutex_destroy(&engine->alert_lock);
    toll_done(&engine->toll);
    free(engine->home);
    free(engine);
}

const struct config_vault *engine_vault(const struct engine *engine, const char *name)
{
    for (size_t i = 0; i < engine->config.vault_count; i++) {
        if (!name || strcmp(engine->config.vaults[i].name, name) == 0) {
            return &engine->config.vaults[i];
        }
    }
    return NULL;
}

bool engine_is_stranger(const struct config *config, const struct vault_ops *ops,
                        const char *target)
{
    for (size_t i = 0; i < config->vault_count && ops->same_server; i++) {
        const struct vault_ops *known = NULL;
        const char *there = NULL;
        struct err none = ERR_INIT;
        if (vault_driver(config->vaults[i].spec, &known, &there, &none) == 0 && known == ops &&
            ops->same_server(target, there)) {
            return false;
        }
    }
    return ops->same_server != NULL;
}

int engine_open_vault(struct engine *engine, const char *name_or_spec, bool read_only,
                      struct deadline open_by, struct vault **ret, char **ret_spec, struct err *err)
{
    const struct config_vault *configured = engine_vault(engine, name_or_spec);
    const struct vault_ops *ops = NULL;
    AUTO(free_ptr) char *place = NULL;
    const char *name = NULL; /* of a configured one */
    const char *spec = name_or_spec;
    const char *target = NULL;

    if (!spec && !configured) {
        return err_set(err, ERR_UNAVAILABLE,
                       "no vault is configured and none was named; say which: holdfast recover "
                       "--from file:PATH");
    }
    if (configured) {
        name = configured->name;
        spec = configured->spec;
    }
    if (vault_driver(spec, &ops, &target, err) != 0) {
        return err_context(err, "\"%s\" is neither a configured vault nor a vault's spec", spec);
    }
    struct vault_options options = {.name = spec,
                                    .target = target,
                                    .installation = ledger_origin(engine->ledger),
                                    .env = engine->env,
                                    .open_by = open_by,
                                    .read_only = read_only,
                                    .stranger = !configured &&
                                                engine_is_stranger(&engine->config, ops, target)};
    if (name && !read_only &&
        (sync_vault_identity_get(engine->log, name, &options.expect_vault, err) != 0 ||
         sync_vault_flag_get(engine->log, name, SYNC_FLAG_PLACE, &place, err) != 0)) {
        return -(int)err->code;
    }
    options.expect_place = place;
    if (ops->open(&options, ret, err) != 0) {
        AUTO(free_ptr) char *shown = vault_spec_shown(spec);
        return err_context(err, "vault %s", shown);
    }
    *ret_spec = xstrdup(spec);
    return 0;
}
