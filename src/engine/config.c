#include "engine/config.h"

#include <errno.h>
#include <unistd.h>

#include "base/file.h"
#include "base/num.h"
#include "engine/config_keys.h"

#define CONFIG_NAME "holdfast.yaml"

static const char *const choices_ack[] = {"ledger", "vault", NULL};
static const char *const choices_on_alert[] = {"hold", "pause", "fence", NULL};
static const char *const choices_format[] = {"logfmt", "json", NULL};
static const char *const choices_level[] = {"debug", "info", "warn", "error", NULL};

#define KEY(section_, name_, type_, field_, ...)                                                   \
    {                                                                                              \
        .section = section_, .name = name_, .type = type_,                                         \
        .offset = offsetof(struct config, field_), ##__VA_ARGS__                                   \
    }

/* The one table of keys: parsing, checking and docs/configuration.md (./dev lint compares them)
 * read it. */
const struct config_key config_keys[] = {
    KEY("daemon", "project", KEY_TEXT, daemon.project, .max = PROJECT_ID_MAX_BYTES),
    KEY("daemon", "ack", KEY_CHOICE, daemon.ack, .choices = choices_ack, .env = "HOLDFAST_ACK"),
    KEY("daemon", "log_level", KEY_CHOICE, daemon.log_level, .choices = choices_level),
    KEY("daemon", "log_format", KEY_CHOICE_BOOL, daemon.log_json, .choices = choices_format),
    KEY("daemon", "session_idle", KEY_DURATION, daemon.session_idle_ms, .min = 1000,
        .max = 7 * 86400 * 1000.0),
    KEY("guard", "enabled", KEY_BOOL, guard.rules.enabled),
    KEY("guard", "on_alert", KEY_CHOICE, guard.on_alert, .choices = choices_on_alert),
    KEY("guard", "allow_yes", KEY_BOOL, guard.allow_yes),
    KEY("guard", "command", KEY_TEXT, guard.command, .max = 4096),
    KEY("guard", "webhook", KEY_URL, guard.webhook, .max = 4096),
    KEY("guard", "delete_max", KEY_COUNT, guard.rules.delete_max, .min = 1, .max = 1e6,
        .env = "DESTRUCTION_THRESHOLD"),
    KEY("guard", "delete_window", KEY_DURATION, guard.rules.delete_window_ms, .min = 1000,
        .max = 3600000, .env = "DESTRUCTION_WINDOW_SECONDS"),
    KEY("guard", "share_max", KEY_SHARE, guard.rules.share_max),
    KEY("guard", "share_min", KEY_COUNT, guard.rules.share_min, .min = 1, .max = 1e6),
    KEY("guard", "share_window", KEY_DURATION, guard.rules.share_window_ms, .min = 1000,
        .max = 3600000),
    KEY("guard", "drip_window", KEY_DURATION, guard.rules.drip_window_ms, .min = 1000,
        .max = 3600000),
    KEY("guard", "update_max", KEY_SHARE, guard.rules.update_max),
    KEY("guard", "update_min", KEY_COUNT, guard.rules.update_min, .min = 1, .max = 1e6),
    KEY("guard", "update_window", KEY_DURATION, guard.rules.update_window_ms, .min = 1000,
        .max = 3600000),
    KEY("guard", "loss_max", KEY_SHARE, guard.rules.loss_max),
    KEY("guard", "loss_min", KEY_COUNT, guard.rules.loss_min, .min = 1, .max = 1e6),
    KEY("guard", "loss_window", KEY_DURATION, guard.rules.loss_window_ms, .min = 1000,
        .max = 3600000),
    KEY("guard", "total_max", KEY_COUNT, guard.rules.total_max, .min = 1, .max = 1e6),
    KEY("guard", "total_min", KEY_COUNT, guard.rules.total_min, .min = 1, .max = 1e6),
    KEY("guard", "version_jump_max", KEY_COUNT, guard.rules.version_jump_max, .min = 1,
        .max = 1e15),
    KEY("sync", "batch_size", KEY_COUNT, sync.batch_size, .min = 1, .max = VAULT_BATCH_MAX,
        .env = "SYNC_BATCH_SIZE"),
    KEY("sync", "initial_backoff", KEY_DURATION, sync.backoff_initial_ms, .min = 10, .max = 3600000,
        .env = "SYNC_INITIAL_BACKOFF"),
    KEY("sync", "max_backoff", KEY_DURATION, sync.backoff_max_ms, .min = 10, .max = 86400000,
        .env = "SYNC_MAX_BACKOFF"),
    KEY("sync", "max_retries", KEY_COUNT, sync.max_retries, .min = 0, .max = 1e9,
        .env = "SYNC_MAX_RETRIES"),
};
const size_t config_keys_count = sizeof(config_keys) / sizeof(config_keys[0]);

static void config_defaults(struct config *config)
{
    *config = (struct config){
        .daemon = {.ack = ACK_LEDGER, .log_level = LOG_INFO, .session_idle_ms = 30 * 60 * 1000},
        .guard = {.rules = GUARD_OPTIONS_DEFAULT, .on_alert = ON_ALERT_HOLD},
        .sync = {.batch_size = REPLICATOR_BATCH_DEFAULT,
                 .backoff_initial_ms = BACKOFF_INITIAL_MS,
                 .backoff_max_ms = BACKOFF_MAX_MS,
                 .max_retries = 5},
    };
}

void config_done(struct config *config)
{
    if (!config) {
        return;
    }
    free(config->path);
    free(config->daemon.project);
    free(config->guard.command);
    free(config->guard.webhook);
    for (size_t i = 0; i < config->vault_count; i++) {
        free(config->vaults[i].name);
        free(config->vaults[i].spec);
    }
    config_sources_done(config);
    config_defaults(config);
}

/* ---- values ---- */

/* "500ms", "60s", "30m", "1h", "7d"; a bare number is seconds only where the environment gives one.
 */
static int parse_duration(const struct config_key *key, const char *text, bool seconds,
                          double *ret_ms, struct err *err)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    size_t digits = strspn(text, "0123456789");
    int64_t number = 0;

    if (digits &&
        num_parse_i64((struct str){text, digits}, 0, INT32_MAX, key->name, &number, err) == 0) {
        if (seconds && !text[digits]) {
            *ret_ms = (double)number * 1000;
            return 0;
        }
        for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
            if (strcmp(text + digits, units[i].unit) == 0) {
                *ret_ms = (double)number * units[i].ms;
                return 0;
            }
        }
    }
    return err_set(err, ERR_CONFIG,
                   "is \"%.64s\"; it is a duration such as 500ms, 60s, 30m, 1h or 7d", text);
}

static int set_choice(const struct config_key *key, const char *text, void *field, struct err *err)
{
    char all[128] = "";
    size_t at = 0;

    for (int i = 0; key->choices[i]; i++) {
        if (strcmp(key->choices[i], text) == 0) {
            if (key->type == KEY_CHOICE_BOOL) {
                *(bool *)field = i == 1;
            } else {
                *(unsigned *)field = (unsigned)i;
            }
            return 0;
        }
        int n = snprintf(all + at, sizeof(all) - at, "%s%s", at ? ", " : "", key->choices[i]);
        at += n > 0 ? (size_t)n : 0;
    }
    return err_set(err, ERR_CONFIG, "is \"%.64s\"; allowed are %s", text, all);
}

static int set_text(const struct config_key *key, const char *text, char **field, struct err *err)
{
    if (!*text || strlen(text) > (size_t)key->max) {
        return err_set(err, ERR_CONFIG, "has %zu bytes; allowed are 1 to %.0f", strlen(text),
                       key->max);
    }
    if (key->type == KEY_URL && strncmp(text, "http://", 7) != 0 &&
        strncmp(text, "https://", 8) != 0) {
        return err_set(err, ERR_CONFIG, "is \"%.64s\"; it must begin with http:// or https://",
                       text);
    }
    if (strcmp(key->name, "project") == 0 && project_id_check(str_of(text), err) != 0) {
        return -(int)err->code;
    }
    free(*field);
    *field = xstrdup(text);
    return 0;
}

int config_set_value(void *field, const struct config_key *key, const char *text, bool from_env,
                     struct err *err)
{
    struct err why = ERR_INIT;
    double number = 0;
    int64_t count = 0;

    switch (key->type) {
    case KEY_TEXT:
    case KEY_URL:
        return set_text(key, text, field, err);
    case KEY_CHOICE:
    case KEY_CHOICE_BOOL:
        return set_choice(key, text, field, err);
    case KEY_BOOL:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
            return err_set(err, ERR_CONFIG, "is \"%.64s\"; allowed are true and false", text);
        }
        *(bool *)field = *text == 't';
        return 0;
    case KEY_COUNT:
        if (num_parse_i64(str_of(text), (int64_t)key->min, (int64_t)key->max, "", &count, &why) !=
            0) {
            return err_set(err, ERR_CONFIG,
                           "is \"%.64s\"; allowed is a whole number from %.0f to %.0f", text,
                           key->min, key->max);
        }
        *(uint64_t *)field = (uint64_t)count;
        return 0;
    case KEY_SHARE:
        if (num_parse_double(str_of(text), 0, 1, "", &number, &why) != 0) {
            return err_set(err, ERR_CONFIG, "is \"%.64s\"; allowed is a number from 0 to 1", text);
        }
        *(double *)field = number;
        return 0;
    case KEY_DURATION:
        if (parse_duration(key, text, from_env, &number, err) != 0) {
            return -(int)err->code;
        }
        if (number < key->min || number > key->max) {
            return err_set(err, ERR_CONFIG, "is \"%.64s\"; allowed are %.0f to %.0f seconds", text,
                           key->min / 1000, key->max / 1000);
        }
        *(int64_t *)field = (int64_t)number;
        return 0;
    }
    return err_set(err, ERR_INTERNAL, "has no type");
}

/* ---- the file ---- */

int config_at_line(const struct config_loading *l, const yaml_node_t *node, struct err *err)
{
    err->code = ERR_CONFIG;
    return err_context(err, "%s: line %zu", l->path, node->start_mark.line + 1);
}

const char *config_scalar(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

static int unknown_key(const struct config_loading *l, const yaml_node_t *node, const char *section,
                       const char *name, struct err *err)
{
    char known[512] = "";
    size_t at = 0;

    for (size_t i = 0; i < config_keys_count && at < sizeof(known); i++) {
        if (strcmp(config_keys[i].section, section) == 0) {
            int n = snprintf(known + at, sizeof(known) - at, "%s%s", at ? ", " : "",
                             config_keys[i].name);
            at += n > 0 ? (size_t)n : 0;
        }
    }
    (void)err_set(err, ERR_CONFIG, "unknown key \"%s.%.64s\"; %s knows %s", section, name, section,
                  known);
    return config_at_line(l, node, err);
}

static const struct config_key *find_key(const char *section, const char *name)
{
    for (size_t i = 0; i < config_keys_count; i++) {
        if (strcmp(config_keys[i].section, section) == 0 &&
            strcmp(config_keys[i].name, name) == 0) {
            return &config_keys[i];
        }
    }
    return NULL;
}

/* A mapping's next pair, with duplicates refused. */
int config_pair_at(const struct config_loading *l, const yaml_node_t *mapping,
                   const yaml_node_pair_t *pair, const yaml_node_t **ret_key,
                   const yaml_node_t **ret_value, struct err *err)
{
    *ret_key = yaml_document_get_node(l->document, pair->key);
    *ret_value = yaml_document_get_node(l->document, pair->value);
    if (!*ret_key || !*ret_value || !config_scalar(*ret_key)) {
        (void)err_set(err, ERR_CONFIG, "a key must be plain text");
        return config_at_line(l, mapping, err);
    }
    for (const yaml_node_pair_t *p = mapping->data.mapping.pairs.start; p < pair; p++) {
        const yaml_node_t *before = yaml_document_get_node(l->document, p->key);
        if (before && config_scalar(before) &&
            strcmp(config_scalar(before), config_scalar(*ret_key)) == 0) {
            (void)err_set(err, ERR_CONFIG, "\"%.64s\" stands here a second time",
                          config_scalar(*ret_key));
            return config_at_line(l, *ret_key, err);
        }
    }
    return 0;
}

static void *field_of(struct config *config, const struct config_key *key)
{
    return (char *)config + key->offset;
}

void config_name_value(struct err *err, const char *name)
{
    struct err why = *err;

    (void)err_set(err, ERR_CONFIG, "%s %s", name, why.message);
}

static int load_section(const struct config_loading *l, const char *section,
                        const yaml_node_t *node, struct err *err)
{
    if (node->type == YAML_SCALAR_NODE && !*config_scalar(node)) {
        return 0; /* a section with everything commented out */
    }
    if (node->type != YAML_MAPPING_NODE) {
        (void)err_set(err, ERR_CONFIG, "\"%s\" must hold keys, indented below it", section);
        return config_at_line(l, node, err);
    }
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = NULL;
        const yaml_node_t *value = NULL;
        if (config_pair_at(l, node, pair, &key, &value, err) != 0) {
            return -(int)err->code;
        }
        const struct config_key *row = find_key(section, config_scalar(key));
        if (!row) {
            return unknown_key(l, key, section, config_scalar(key), err);
        }
        int rc = config_scalar(value) ? config_set_value(field_of(l->config, row), row,
                                                         config_scalar(value), false, err)
                                      : err_set(err, ERR_CONFIG, "must be one value");
        if (rc != 0) {
            AUTO(free_ptr) char *full = xprintf("%s.%s", section, row->name);
            config_name_value(err, full);
            return config_at_line(l, value, err);
        }
    }
    return 0;
}

char *config_free_name(const struct config *config, const char *kind, size_t kind_len)
{
    for (size_t number = 1;; number++) {
        char *name = number == 1 ? xstrndup(kind, kind_len)
                                 : xprintf("%.*s-%zu", (int)kind_len, kind, number);
        bool taken = false;
        for (size_t i = 0; i < config->vault_count; i++) {
            taken = taken || strcmp(config->vaults[i].name, name) == 0;
        }
        if (!taken) {
            return name;
        }
        free(name);
    }
}

bool config_name_ok(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");

    return len >= 1 && len <= 63 && !name[len];
}

/* The kinds, and the key that says where such a vault is. */
static const struct vault_kind {
    const char *kind;
    const char *key;
} vault_kinds[] = {{"file", "path"}, {"neo4j", "url"}};

#define VAULT_KINDS (sizeof(vault_kinds) / sizeof(vault_kinds[0]))

static const struct vault_kind *find_vault_kind(const char *kind)
{
    for (size_t i = 0; i < VAULT_KINDS; i++) {
        if (kind != NULL && strcmp(vault_kinds[i].kind, kind) == 0) {
            return &vault_kinds[i];
        }
    }
    return NULL;
}

const char *config_vault_key(const char *kind)
{
    const struct vault_kind *found = find_vault_kind(kind);

    return found == NULL ? NULL : found->key;
}

/* It is shown in messages and by doctor: it may hold no password, and is not repeated if it does.
 */
static int check_url(const char *url, struct err *err)
{
    const char *host = strstr(url, "://");

    if (host == NULL || strchr(host, '@') != NULL) {
        return err_set(err, ERR_CONFIG,
                       "a Neo4j vault's url is bolt://HOST:PORT (or bolt+s, neo4j, neo4j+s), "
                       "without user and password: those are NEO4J_USER and NEO4J_PASSWORD");
    }
    return 0;
}

/* What follows the kind in its spec; heap. A relative folder is below the configuration's. */
static int vault_target(const struct config_loading *l, const char *kind, const char *where,
                        char **ret, struct err *err)
{
    if (strcmp(kind, "file") != 0) {
        int rc = check_url(where, err);
        *ret = rc == 0 ? xstrdup(where) : NULL;
        return rc;
    }
    AUTO(free_ptr) char *folder = xstrdup(l->path);
    char *slash = strrchr(folder, '/');
    *(slash ? slash : folder) = 0;
    *ret = where[0] == '/' ? xstrdup(where) : path_join(folder, where);
    return 0;
}

static int add_vault(const struct config_loading *l, const yaml_node_t *node, char *name,
                     const char *kind, const char *where, struct err *err)
{
    struct config *config = l->config;
    AUTO(free_ptr) char *own_name = name;

    if (config->vault_count == CONFIG_VAULTS_MAX) {
        return err_set(err, ERR_CONFIG, "at most %d vaults", CONFIG_VAULTS_MAX),
               config_at_line(l, node, err);
    }
    if (!own_name) {
        own_name = config_free_name(config, kind, strlen(kind));
    }
    if (!config_name_ok(own_name)) {
        return err_set(err, ERR_CONFIG,
                       "vault name \"%.64s\": allowed are 1 to 63 of a-z, 0-9 and -", own_name),
               config_at_line(l, node, err);
    }
    for (size_t i = 0; i < config->vault_count; i++) {
        if (strcmp(config->vaults[i].name, own_name) == 0) {
            return err_set(err, ERR_CONFIG, "two vaults are named \"%s\"", own_name),
                   config_at_line(l, node, err);
        }
    }
    AUTO(free_ptr) char *target = NULL;
    if (vault_target(l, kind, where, &target, err) != 0) {
        return config_at_line(l, node, err);
    }
    config->vaults[config->vault_count++] =
        (struct config_vault){.name = own_name, .spec = xprintf("%s:%s", kind, target)};
    own_name = NULL;
    return 0;
}

enum { VAULT_NAME, VAULT_KIND, VAULT_PATH, VAULT_URL, VAULT_KEYS };

static const char *const vault_keys[VAULT_KEYS] = {"name", "kind", "path", "url"};

static int read_vault_keys(const struct config_loading *l, const yaml_node_t *node,
                           const char *values[VAULT_KEYS], struct err *err)
{
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = NULL;
        const yaml_node_t *value = NULL;
        size_t i = 0;
        if (config_pair_at(l, node, pair, &key, &value, err) != 0) {
            return -(int)err->code;
        }
        while (i < VAULT_KEYS && strcmp(vault_keys[i], config_scalar(key)) != 0) {
            i++;
        }
        if (i == VAULT_KEYS || !config_scalar(value)) {
            return err_set(err, ERR_CONFIG,
                           "unknown key \"vaults[].%.64s\"; a vault knows name, kind, path, url",
                           config_scalar(key)),
                   config_at_line(l, key, err);
        }
        values[i] = config_scalar(value);
    }
    return 0;
}

static int load_vault(const struct config_loading *l, const yaml_node_t *node, struct err *err)
{
    const char *values[VAULT_KEYS] = {NULL};

    if (node->type != YAML_MAPPING_NODE) {
        return err_set(err, ERR_CONFIG,
                       "a vault is: - kind: file, path: ..., or kind: neo4j, url: ...; and perhaps "
                       "name: ..."),
               config_at_line(l, node, err);
    }
    if (read_vault_keys(l, node, values, err) != 0) {
        return -(int)err->code;
    }
    const struct vault_kind *kind = find_vault_kind(values[VAULT_KIND]);
    if (kind == NULL) {
        return err_set(err, ERR_CONFIG, "vault kind is \"%.64s\"; allowed are file and neo4j",
                       values[VAULT_KIND] ? values[VAULT_KIND] : ""),
               config_at_line(l, node, err);
    }
    bool url = strcmp(kind->key, vault_keys[VAULT_URL]) == 0;
    const char *where = values[url ? VAULT_URL : VAULT_PATH];
    if (where == NULL || *where == '\0' || values[url ? VAULT_PATH : VAULT_URL] != NULL) {
        return err_set(err, ERR_CONFIG, "a vault of kind %s needs a %s", kind->kind, kind->key),
               config_at_line(l, node, err);
    }
    return add_vault(l, node, values[VAULT_NAME] ? xstrdup(values[VAULT_NAME]) : NULL, kind->kind,
                     where, err);
}

static int load_vaults(const struct config_loading *l, const yaml_node_t *node, struct err *err)
{
    if (node->type == YAML_SCALAR_NODE && !*config_scalar(node)) {
        return 0;
    }
    if (node->type != YAML_SEQUENCE_NODE) {
        return err_set(err, ERR_CONFIG, "\"vaults\" must be a list"), config_at_line(l, node, err);
    }
    for (const yaml_node_item_t *item = node->data.sequence.items.start;
         item < node->data.sequence.items.top; item++) {
        if (load_vault(l, yaml_document_get_node(l->document, *item), err) != 0) {
            return -(int)err->code;
        }
    }
    return 0;
}

static int load_document(const struct config_loading *l, struct err *err)
{
    static const char *const sections[] = {"daemon", "guard", "sync"};
    const yaml_node_t *root = yaml_document_get_root_node(l->document);

    if (!root || (root->type == YAML_SCALAR_NODE && !*config_scalar(root))) {
        return 0;
    }
    if (root->type != YAML_MAPPING_NODE) {
        return err_set(err, ERR_CONFIG, "expected sections: daemon, guard, sync, vaults, sources"),
               config_at_line(l, root, err);
    }
    for (const yaml_node_pair_t *pair = root->data.mapping.pairs.start;
         pair < root->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = NULL;
        const yaml_node_t *value = NULL;
        size_t i = 0;
        if (config_pair_at(l, root, pair, &key, &value, err) != 0) {
            return -(int)err->code;
        }
        while (i < 3 && strcmp(sections[i], config_scalar(key)) != 0) {
            i++;
        }
        bool is_sources = strcmp(config_scalar(key), "sources") == 0;
        if (i == 3 && !is_sources && strcmp(config_scalar(key), "vaults") != 0) {
            return err_set(
                       err, ERR_CONFIG,
                       "unknown section \"%.64s\"; there are daemon, guard, sync, vaults, sources",
                       config_scalar(key)),
                   config_at_line(l, key, err);
        }
        if ((i < 3        ? load_section(l, sections[i], value, err)
             : is_sources ? config_load_sources(l, value, err)
                          : load_vaults(l, value, err)) != 0) {
            return -(int)err->code;
        }
    }
    return 0;
}

/* Aliases can blow a small file up; nobody needs them here. Events show them before a document is
 * built. */
static int refuse_aliases(const char *path, struct str text, struct err *err)
{
    yaml_parser_t parser;
    int rc = 0;

    if (!yaml_parser_initialize(&parser)) {
        return err_set(err, ERR_INTERNAL, "libyaml does not start");
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.ptr, text.len);
    for (bool end = false; !end && rc == 0;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            rc = err_set(err, ERR_CONFIG, "%s: line %zu: %s", path, parser.problem_mark.line + 1,
                         parser.problem ? parser.problem : "not YAML");
            break;
        }
        if (event.type == YAML_ALIAS_EVENT) {
            rc = err_set(err, ERR_CONFIG, "%s: line %zu: aliases (*name) are not allowed", path,
                         event.start_mark.line + 1);
        }
        end = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return rc;
}

int config_parse(const char *path, struct str text, struct config *config, struct err *err)
{
    yaml_parser_t parser;
    yaml_document_t document;

    if (refuse_aliases(path, text, err) != 0) {
        return -(int)err->code;
    }
    if (!yaml_parser_initialize(&parser)) {
        return err_set(err, ERR_INTERNAL, "libyaml does not start");
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.ptr, text.len);
    int rc = 0;
    if (yaml_parser_load(&parser, &document)) {
        struct config_loading l = {path, &document, config};
        rc = load_document(&l, err);
        yaml_document_delete(&document);
    } else {
        rc = err_set(err, ERR_CONFIG, "%s: line %zu: %s", path, parser.problem_mark.line + 1,
                     parser.problem ? parser.problem : "not YAML");
    }
    yaml_parser_delete(&parser);
    return rc;
}

/* ---- the environment ---- */

/* NEO4J_URI is a vault, unless the file has it already (perhaps with options behind '#'). */
static int add_neo4j(struct config *config, const char *url, struct err *err)
{
    AUTO(free_ptr) char *spec = xprintf("neo4j:%s", url);
    size_t len = strlen(spec);

    if (check_url(url, err) != 0) {
        return err_context(err, "environment variable NEO4J_URI");
    }
    for (size_t i = 0; i < config->vault_count; i++) {
        const char *there = config->vaults[i].spec;
        if (strncmp(there, spec, len) == 0 && (there[len] == '\0' || there[len] == '#')) {
            return 0;
        }
    }
    if (config->vault_count == CONFIG_VAULTS_MAX) {
        return err_set(err, ERR_CONFIG, "environment variable NEO4J_URI: at most %d vaults",
                       CONFIG_VAULTS_MAX);
    }
    char *name = config_free_name(config, "neo4j", strlen("neo4j"));
    config->vaults[config->vault_count++] =
        (struct config_vault){.name = name, .spec = xstrdup(spec)};
    return 0;
}

static int load_environment(struct config *config, struct err *err)
{
    const char *neo4j = getenv("NEO4J_URI");
    const char *project = getenv("HOLDFAST_PROJECT");

    if (project &&
        set_text(find_key("daemon", "project"), project, &config->daemon.project, err) != 0) {
        return config_name_value(err, "environment variable HOLDFAST_PROJECT"), -(int)err->code;
    }
    for (size_t i = 0; i < config_keys_count; i++) {
        const char *value = config_keys[i].env ? getenv(config_keys[i].env) : NULL;
        if (value && config_set_value(field_of(config, &config_keys[i]), &config_keys[i], value,
                                      true, err) != 0) {
            AUTO(free_ptr) char *name = xprintf("environment variable %s", config_keys[i].env);
            config_name_value(err, name);
            return -(int)err->code;
        }
    }
    if (neo4j != NULL && neo4j[0] != '\0' && add_neo4j(config, neo4j, err) != 0) {
        return -(int)err->code;
    }
    return config_sources_environment(config, err);
}

int config_load(const char *home, const char *file, struct config *ret, struct err *err)
{
    AUTO(free_ptr) char *path = file ? xstrdup(file) : path_join(home, CONFIG_NAME);
    AUTO(buf_done) struct buf text = BUF_INIT(CONFIG_FILE_MAX_BYTES);
    struct config config;
    int rc = 0;

    config_defaults(&config);
    if (file || file_exists(path)) {
        rc = file_read(path, CONFIG_FILE_MAX_BYTES, &text, err);
        if (rc == -ERR_NOT_FOUND) { /* one that was named */
            err->code = ERR_CONFIG;
            rc = err_context(err, "the configuration");
        }
        if (rc == 0) {
            config.path = xstrdup(path);
            rc = config_parse(path, buf_str(&text), &config, err);
        }
    }
    if (rc == 0) {
        rc = load_environment(&config, err);
    }
    if (rc != 0) {
        config_done(&config);
        return rc;
    }
    *ret = config;
    return 0;
}

int config_default_home(char **ret, struct err *err)
{
    const char *given = getenv("HOLDFAST_HOME");
    const char *data = getenv("XDG_DATA_HOME");
    const char *home = getenv("HOME");
    char here[4096];

    if (given && *given) {
        *ret = given[0] == '/' || !getcwd(here, sizeof(here)) ? xstrdup(given)
                                                              : xprintf("%s/%s", here, given);
    } else if (data && data[0] == '/') {
        *ret = path_join(data, "holdfast");
    } else if (home && home[0] == '/') {
        *ret = path_join(home, ".local/share/holdfast");
    } else {
        return err_set(err, ERR_CONFIG,
                       "where is the home? Neither HOLDFAST_HOME, XDG_DATA_HOME nor HOME is set; "
                       "give --home DIR");
    }
    return 0;
}
