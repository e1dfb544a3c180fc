#include "engine/sources.h"

#include <sys/stat.h>

#include "base/hash.h"
#include "base/log.h"

static void on_state(void *arg, const char *source, const char *trouble)
{
    (void)arg;
    if (trouble) {
        log_warn("source.down",
                 "source=%s: %s; it is tried again, and nothing is deleted meanwhile", source,
                 trouble);
    } else {
        log_info("source.up", "source=%s is captured", source);
    }
}

static void on_note(void *arg, const char *source, const char *what)
{
    (void)arg;
    log_warn("source.note", "source=%s: %s", source, what);
}

static void on_follower_state(void *arg, const char *source, const char *trouble)
{
    (void)arg;
    if (trouble) {
        log_warn("source.follower_down",
                 "source=%s: nothing can be written into it: %s; it is tried again", source,
                 trouble);
    } else {
        log_info("source.follower_up", "source=%s: what belongs there is written into it", source);
    }
}

/* ---- what is safe elsewhere ---- */

/* A file vault on the home's own disk is lost with it. */
static bool is_remote(const struct engine *engine, const struct config_vault *vault)
{
    static const char file[] = "file:";
    struct stat home;
    struct stat there;

    return strncmp(vault->spec, file, strlen(file)) != 0 ||
           (stat(vault->spec + strlen(file), &there) == 0 && stat(engine->home, &home) == 0 &&
            there.st_dev != home.st_dev);
}

struct lacking {
    struct uuid origin;
    uint64_t before; /* the first that the vault never took */
};

static int note_dead_letter(void *arg, const struct dead_letter *letter, struct err *err)
{
    struct lacking *lacking = arg;

    (void)err;
    if (uuid_eq(&letter->origin, &lacking->origin) && letter->seq < lacking->before) {
        lacking->before = letter->seq;
    }
    return 0;
}

/* How far the vault has everything. */
static uint64_t acknowledged_by(struct engine *engine, struct replicator *replicator)
{
    struct lacking lacking = {.origin = ledger_origin(engine->ledger), .before = UINT64_MAX};
    struct replicator_status status;
    struct err none = ERR_INIT;

    replicator_status(replicator, &status);
    if (status.dead > 0 &&
        dead_letters(engine->log, status.name, note_dead_letter, &lacking, &none) < 0) {
        return 0; /* which they are is not known just now */
    }
    return status.acked_seq < lacking.before ? status.acked_seq : lacking.before - 1;
}

/* Of several vaults it is enough that one has it. */
static bool acknowledged(void *arg, uint64_t *ret_seq)
{
    struct engine *engine = arg;
    bool has_remote = false;

    *ret_seq = 0;
    for (size_t i = 0; i < engine->replicator_count; i++) {
        if (is_remote(engine, &engine->config.vaults[i])) {
            uint64_t by = acknowledged_by(engine, engine->replicators[i]);
            *ret_seq = by > *ret_seq ? by : *ret_seq;
            has_remote = true;
        }
    }
    return has_remote;
}

/* What a burst may still be held for: the longest of the windows that are not the drip's. */
static int64_t guard_reaches_ms(const struct guard_options *rules)
{
    const int64_t windows[] = {rules->delete_window_ms, rules->share_window_ms,
                               rules->update_window_ms, rules->loss_window_ms};
    int64_t longest = 0;

    for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]) && rules->enabled; i++) {
        longest = windows[i] > longest ? windows[i] : longest;
    }
    return longest;
}

/* ---- the sources ---- */

static struct source_options options_of(const struct config *config,
                                        const struct config_source *source)
{
    bool fence = source->on_alert != NULL ? strcmp(source->on_alert, "fence") == 0
                                          : config->guard.on_alert == ON_ALERT_FENCE;

    return (struct source_options){.name = source->name,
                                   .url = source->url,
                                   .slot = source->slot,
                                   .project = source->project,
                                   .fence = fence,
                                   .capture = source->capture,
                                   .triggers = source->triggers,
                                   .mirror = source->mirror,
                                   .mirror_wait_ms = guard_reaches_ms(&config->guard.rules),
                                   .tables = source->tables,
                                   .table_count = source->table_count,
                                   .path = source->path,
                                   .include = source->include,
                                   .ignore = source->ignore};
}

/* "holdfast_1a2b3c4d_app": each source of each home has its own, and a person sees which. */
static char *slot_of(const char *home, const char *source)
{
    AUTO(free_ptr) char *whole = xprintf("%s\n%s", home, source);
    struct sha256 hash = sha256_of(whole, strlen(whole));
    char hex[SHA256_HEX_MAX];

    sha256_hex(&hash, hex);
    char *slot = xprintf("holdfast_%.8s_%.45s", hex, source); /* 63 bytes at most */
    for (char *c = slot; *c != '\0'; c++) {
        *c = *c == '-' ? '_' : *c;
    }
    return slot;
}

void sources_name_slots(const char *home, struct config *config)
{
    for (size_t i = 0; i < config->source_count; i++) {
        if (!config->sources[i].slot) {
            config->sources[i].slot = slot_of(home, config->sources[i].name);
        }
    }
}

static int start_follower(struct engine *engine, struct runner_options options, size_t i,
                          struct err *err)
{
    const struct source_ops *ops;

    if (source_driver(options.kind, &ops, err) < 0) {
        return -(int)err->code;
    }
    options.follows = true;
    options.on_state = on_follower_state;
    return ops->follow == NULL ? 0 : runner_start(&options, &engine->followers[i], err);
}

int sources_start(struct engine *engine, struct err *err)
{
    sources_name_slots(engine->home, &engine->config);
    for (size_t i = 0; i < engine->config.source_count; i++) {
        const struct config_source *source = &engine->config.sources[i];
        struct runner_options options = {.kind = source->kind,
                                         .source = options_of(&engine->config, source),
                                         .arg = engine,
                                         .on_state = on_state,
                                         .on_note = on_note};
        options.source.ledger = engine->ledger;
        options.source.acknowledged = acknowledged;
        options.source.acknowledged_arg = engine;
        if (start_follower(engine, options, i, err) != 0 ||
            runner_start(&options, &engine->runners[engine->runner_count], err) != 0) {
            return err_context(err, "source %s", source->name);
        }
        engine->runner_count++;
    }
    return 0;
}

void sources_stop(struct engine *engine)
{
    for (size_t i = 0; i < engine->runner_count; i++) {
        runner_stop(engine->runners[i]);
    }
    for (size_t i = 0; i < CONFIG_SOURCES_MAX; i++) {
        runner_stop(engine->followers[i]);
        engine->followers[i] = NULL;
    }
    engine->runner_count = 0;
}

static int no_such_source(const struct config *config, const char *name, struct err *err)
{
    AUTO(buf_done) struct buf names = BUF_INIT(1024);

    for (size_t i = 0; i < config->source_count; i++) {
        if (buf_printf(&names, err, "%s%s", i ? ", " : "", config->sources[i].name) != 0) {
            break; /* the list is cut; the message is as good */
        }
    }
    return config->source_count == 0
               ? err_set(err, ERR_NOT_FOUND,
                         "no source is configured; run holdfast init files PATH, set "
                         "DATABASE_URL, or write sources: into holdfast.yaml")
               : err_set(err, ERR_NOT_FOUND, "%s%s%s; there are " STR_FMT,
                         name ? "there is no source \"" : "say which source", name ? name : "",
                         name ? "\"" : "", STR_ARG(buf_str(&names)));
}

int sources_find(const struct config *config, const char *name, struct source_options *ret,
                 const struct source_ops **ret_ops, struct err *err)
{
    for (size_t i = 0; i < config->source_count; i++) {
        const struct config_source *source = &config->sources[i];
        if (name ? strcmp(source->name, name) == 0 : config->source_count == 1) {
            *ret = options_of(config, source);
            return source_driver(source->kind, ret_ops, err);
        }
    }
    return no_such_source(config, name, err);
}
