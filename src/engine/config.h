/*
 * config - holdfast.yaml and the environment, checked against one table (config.c).
 *
 * An unknown key or a bad value is ERR_CONFIG naming file, line and key, and what is allowed.
 * Durations are written with a unit ("60s", "30m", "1h"), shares as numbers 0..1. Secrets never
 * stand in the file: they come from files, the environment or systemd credentials. The environment
 * overrides the file: SYNC_BATCH_SIZE, SYNC_INITIAL_BACKOFF and SYNC_MAX_BACKOFF (seconds),
 * SYNC_MAX_RETRIES, DESTRUCTION_THRESHOLD, DESTRUCTION_WINDOW_SECONDS, HOLDFAST_PROJECT. NEO4J_URI
 * adds a vault (its user and password are the driver's to read: vault/neo4j_vault.h),
 * DATABASE_URL a source.
 */
#ifndef HOLDFAST_ENGINE_CONFIG_H
#define HOLDFAST_ENGINE_CONFIG_H

#include "base/log.h"
#include "guard/guard.h"
#include "replicate/replicator.h"
#include "source/source.h"

enum config_ack { ACK_LEDGER, ACK_VAULT };
enum config_on_alert { ON_ALERT_HOLD, ON_ALERT_PAUSE, ON_ALERT_FENCE };

#define CONFIG_VAULTS_MAX 16
#define CONFIG_SOURCES_MAX 16
#define CONFIG_FILE_MAX_BYTES (1024 * 1024)

struct config_vault {
    char *name; /* [a-z0-9-]{1,63}, unique */
    char *spec; /* "file:/path", "neo4j:bolt://HOST:PORT" */
};

/* Thresholds of a source's own. */
struct config_guard {
    struct guard_options rules; /* whole: what is not given is the section guard's */
    uint64_t given;             /* a bit for each of config_keys */
};

struct config_source {
    char *name;     /* [a-z0-9-]{1,63}, unique */
    char *kind;     /* "files", "postgres", "sqlite" */
    char *url;      /* postgres: without a password, when it is the configuration's */
    char *slot;     /* NULL: made of the home's path */
    char *project;  /* of rows that say none; NULL: daemon.project, else the source's name */
    char *on_alert; /* postgres: "hold", "fence"; NULL: guard.on_alert */
    char *capture;  /* postgres: "stream", "outbox"; NULL: whichever can be */
    bool mirror;    /* postgres: memories that came by a door are written into it, too */
    bool triggers;  /* sqlite: triggers in the file note each change */
    struct source_mapping *tables; /* heap; postgres: at least one */
    size_t table_count;
    char *path;            /* files, sqlite: absolute */
    struct globs *include; /* files: heap; NULL: the defaults */
    struct globs *ignore;
    struct config_guard *guard; /* heap; NULL: the section guard's for all */
};

struct config {
    char *path;        /* of the file read; NULL when there was none */
    struct {           /* daemon: */
        char *project; /* default project; NULL: found by the door (git root's name) */
        enum config_ack ack;
        enum log_level log_level;
        bool log_json;
        int64_t session_idle_ms; /* 30 min */
    } daemon;
    struct { /* guard: */
        struct guard_options rules;
        enum config_on_alert on_alert;
        bool allow_yes; /* `resolve --yes` works without a terminal */
        char *command; /* run for each alert, the alert as JSON on its standard input; NULL: none */
        char *webhook; /* URL that gets a POST of the alert; NULL: none */
    } guard;
    struct { /* sync: */
        size_t batch_size;
        int64_t backoff_initial_ms;
        int64_t backoff_max_ms;
        uint64_t max_retries; /* failures in a row after which `status` says unhealthy; retrying
                                 goes on */
    } sync;
    struct config_vault vaults[CONFIG_VAULTS_MAX];
    size_t vault_count;
    struct config_source sources[CONFIG_SOURCES_MAX];
    size_t source_count;
};

/* Defaults, then the file (NULL: home/holdfast.yaml, which may be missing), then the environment.
 * config_done frees. */
int config_load(const char *home, const char *file, struct config *ret, struct err *err) MUST_CHECK;
void config_done(struct config *config);

/* The sources, each with the thresholds by which it is judged, for guard_open; how many. */
size_t config_guard_sources(const struct config *config,
                            struct guard_source ret[CONFIG_SOURCES_MAX]);

/* What a source's guard has otherwise than the rest, as the file would say it: "delete_max 50,
 * drip_window 10m". Heap; NULL: nothing. */
char *config_guard_text(const struct config *config, const struct config_source *source);

/* What the configuration switches off of the guard: an alert's sentences, heap. NULL: nothing. */
char *config_guard_off(const struct config *config);

/*
 * Add a vault to the home's holdfast.yaml (made when missing, with comments that explain it),
 * keeping what a person wrote there to the letter. The same spec again changes nothing (*ret_added
 * false). The result is loaded before it replaces the file.
 */
int config_add_vault(const char *home, const char *spec, bool *ret_added, struct err *err)
    MUST_CHECK;

/*
 * The same for a source that is at a path (kinds files, sqlite), by the name given or one of its
 * own (*ret_name, heap). A path that is configured already changes nothing (*ret_added false;
 * *ret_name as it is there). triggers: the new one has some. dry_run: nothing is written.
 */
int config_add_path(const char *home, const char *kind, const char *path, const char *name,
                    bool triggers, bool dry_run, char **ret_name, bool *ret_added, struct err *err)
    MUST_CHECK;

/* Default home: HOLDFAST_HOME, else $XDG_DATA_HOME/holdfast, else ~/.local/share/holdfast. Heap.
 * ERR_CONFIG when none can be told. */
int config_default_home(char **ret, struct err *err) MUST_CHECK;

#endif
