/* The section sources: */
#include "engine/config_keys.h"

#define DEFAULT_TABLE "public.memories"
#define A_SOURCE_IS                                                                                \
    "a source is: - kind: postgres, url: postgresql://...; or - kind: files (or sqlite), path: "   \
    "/..."

static void globs_free(struct globs *globs)
{
    if (globs != NULL) {
        globs_done(globs);
        free(globs);
    }
}

static void source_done(struct config_source *source)
{
    free(source->name);
    free(source->kind);
    free(source->url);
    free(source->slot);
    free(source->project);
    free(source->on_alert);
    free(source->capture);
    for (size_t i = 0; i < source->table_count; i++) {
        mapping_done(&source->tables[i]);
    }
    free(source->tables);
    free(source->path);
    globs_free(source->include);
    globs_free(source->ignore);
    free(source->guard);
    *source = (struct config_source){.name = NULL};
}

void config_sources_done(struct config *config)
{
    for (size_t i = 0; i < config->source_count; i++) {
        source_done(&config->sources[i]);
    }
    config->source_count = 0;
}

static int refuse(const struct config_loading *l, const yaml_node_t *node, struct err *err)
{
    err->code = ERR_CONFIG;
    return config_at_line(l, node, err);
}

/* One value of a key that is not there yet. */
static int set_text(const struct config_loading *l, const yaml_node_t *node, const char *what,
                    size_t max, char **ret, struct err *err)
{
    const char *text = config_scalar(node);

    if (text == NULL || text[0] == '\0' || strlen(text) > max) {
        (void)err_set(err, ERR_CONFIG, "%s must be one value of 1 to %zu bytes", what, max);
        return config_at_line(l, node, err);
    }
    *ret = xstrdup(text);
    return 0;
}

/* ---- one table ---- */

#define NAME_MAX_BYTES 63        /* of a column in PostgreSQL */
#define TABLE_NAME_MAX_BYTES 127 /* SCHEMA.TABLE */

static int set_ignored(const struct config_loading *l, const yaml_node_t *node,
                       struct source_mapping *table, struct err *err)
{
    if (node->type == YAML_SCALAR_NODE) {
        return set_text(l, node, "ignore", NAME_MAX_BYTES, &table->ignored[table->ignored_count++],
                        err);
    }
    if (node->type != YAML_SEQUENCE_NODE) {
        (void)err_set(err, ERR_CONFIG, "ignore must be a column, or a list of columns");
        return config_at_line(l, node, err);
    }
    for (const yaml_node_item_t *item = node->data.sequence.items.start;
         item < node->data.sequence.items.top; item++) {
        if (table->ignored_count == SOURCE_IGNORED_GIVEN_MAX) {
            (void)err_set(err, ERR_CONFIG, "at most %d columns can be ignored",
                          SOURCE_IGNORED_GIVEN_MAX);
            return config_at_line(l, node, err);
        }
        if (set_text(l, yaml_document_get_node(l->document, *item), "ignore", NAME_MAX_BYTES,
                     &table->ignored[table->ignored_count], err) != 0) {
            return -(int)err->code;
        }
        table->ignored_count++;
    }
    return 0;
}

static int load_table_key(const struct config_loading *l, const yaml_node_t *key,
                          const yaml_node_t *value, struct source_mapping *table, struct err *err)
{
    const struct {
        const char *name;
        size_t max;
        char **field;
    } keys[] = {{"table", TABLE_NAME_MAX_BYTES, &table->table},
                {"id", NAME_MAX_BYTES, &table->id},
                {"content", NAME_MAX_BYTES, &table->content},
                {"project", NAME_MAX_BYTES, &table->project}};

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (strcmp(keys[i].name, config_scalar(key)) == 0) {
            return set_text(l, value, keys[i].name, keys[i].max, keys[i].field, err);
        }
    }
    if (strcmp(config_scalar(key), "ignore") == 0) {
        return set_ignored(l, value, table, err);
    }
    (void)err_set(err, ERR_CONFIG,
                  "unknown key \"sources[].tables[].%.64s\"; a table knows table, id, content, "
                  "project, ignore",
                  config_scalar(key));
    return refuse(l, key, err);
}

/* "public.notes" alone, or a mapping. */
static int load_table(const struct config_loading *l, const yaml_node_t *node,
                      struct source_mapping *table, struct err *err)
{
    if (node->type == YAML_SCALAR_NODE) {
        return set_text(l, node, "table", TABLE_NAME_MAX_BYTES, &table->table, err);
    }
    for (const yaml_node_pair_t *pair =
             node->type == YAML_MAPPING_NODE ? node->data.mapping.pairs.start : NULL;
         pair != NULL && pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = NULL;
        const yaml_node_t *value = NULL;
        if (config_pair_at(l, node, pair, &key, &value, err) != 0 ||
            load_table_key(l, key, value, table, err) != 0) {
            return -(int)err->code;
        }
    }
    if (table->table == NULL) {
        (void)err_set(err, ERR_CONFIG, "a table of a source needs its name: table: SCHEMA.NAME");
        return refuse(l, node, err);
    }
    return 0;
}

static int load_tables(const struct config_loading *l, const yaml_node_t *node,
                       struct config_source *source, struct err *err)
{
    if (node->type != YAML_SEQUENCE_NODE) {
        (void)err_set(err, ERR_CONFIG, "tables must be a list");
        return refuse(l, node, err);
    }
    source->tables = xcalloc(SOURCE_TABLES_MAX, sizeof(*source->tables));
    for (const yaml_node_item_t *item = node->data.sequence.items.start;
         item < node->data.sequence.items.top; item++) {
        if (source->table_count == SOURCE_TABLES_MAX) {
            (void)err_set(err, ERR_CONFIG, "at most %d tables of a source", SOURCE_TABLES_MAX);
            return refuse(l, node, err);
        }
        if (load_table(l, yaml_document_get_node(l->document, *item),
                       &source->tables[source->table_count++], err) != 0) {
            return -(int)err->code;
        }
    }
    return 0;
}

/* ---- patterns of files ---- */

static int add_glob(const struct config_loading *l, const yaml_node_t *node, struct globs *globs,
                    struct err *err)
{
    const char *pattern = config_scalar(node);

    return globs_add(globs, pattern == NULL ? "" : pattern, err) < 0 ? refuse(l, node, err) : 0;
}

/* One pattern, or a list of them. */
static int load_globs(const struct config_loading *l, const yaml_node_t *node, struct globs **ret,
                      struct err *err)
{
    *ret = *ret == NULL ? xcalloc(1, sizeof(**ret)) : *ret;
    if (node->type != YAML_SEQUENCE_NODE) {
        return add_glob(l, node, *ret, err);
    }
    for (const yaml_node_item_t *item = node->data.sequence.items.start;
         item < node->data.sequence.items.top; item++) {
        if (add_glob(l, yaml_document_get_node(l->document, *item), *ret, err) < 0) {
            return -(int)err->code;
        }
    }
    return 0;
}

/* "~/x" is below the home folder of whom the daemon runs as. */
static int check_path(struct config_source *source, struct err *err)
{
    const char *home = getenv("HOME");
    const char *path = source->path;

    if (path[0] == '~' && (path[1] == '/' || path[1] == '\0') && home != NULL && home[0] == '/') {
        char *whole = xprintf("%s%s", home, path + 1);
        free(source->path);
        source->path = whole;
        return 0;
    }
    return path[0] == '/'
               ? 0
               : err_set(err, ERR_CONFIG, "a source's path is absolute, or begins with ~/");
}

/* ---- one source ---- */

/* A password may not stand in the file; the message does not repeat it. */
static int check_url(const char *url, struct err *err)
{
    const char *scheme = strstr(url, "://");
    const char *user = scheme == NULL ? url : scheme + 3;
    const char *at = strchr(user, '@');

    if (scheme == NULL ||
        (strncmp(url, "postgresql://", 13) != 0 && strncmp(url, "postgres://", 11) != 0)) {
        return err_set(err, ERR_CONFIG,
                       "a PostgreSQL source's url is postgresql://USER@HOST:PORT/DATABASE");
    }
    if ((at != NULL && memchr(user, ':', (size_t)(at - user)) != NULL) ||
        strstr(url, "password=") != NULL) {
        return err_set(err, ERR_CONFIG,
                       "a source's url may hold no password here; give it by PGPASSWORD or "
                       "PGPASSFILE, or the whole url by DATABASE_URL");
    }
    return 0;
}

static bool slot_ok(const char *slot)
{
    size_t len = strspn(slot, "abcdefghijklmnopqrstuvwxyz0123456789_");

    return len >= 1 && len <= 63 && slot[len] == '\0';
}

static int set_bool(const struct config_loading *l, const yaml_node_t *node, const char *what,
                    bool *ret, struct err *err)
{
    const char *text = config_scalar(node);

    if (text == NULL || (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)) {
        (void)err_set(err, ERR_CONFIG, "%s must be true or false", what);
        return refuse(l, node, err);
    }
    *ret = strcmp(text, "true") == 0;
    return 0;
}

static int load_source_key(const struct config_loading *l, const yaml_node_t *key,
                           const yaml_node_t *value, struct config_source *source, struct err *err)
{
    const struct {
        const char *name;
        size_t max;
        char **field;
    } keys[] = {{"name", SOURCE_NAME_MAX, &source->name},
                {"kind", SOURCE_NAME_MAX, &source->kind},
                {"url", 4096, &source->url},
                {"slot", 63, &source->slot},
                {"project", PROJECT_ID_MAX_BYTES, &source->project},
                {"on_alert", SOURCE_NAME_MAX, &source->on_alert},
                {"capture", SOURCE_NAME_MAX, &source->capture},
                {"path", 4096, &source->path}};

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (strcmp(keys[i].name, config_scalar(key)) == 0) {
            return set_text(l, value, keys[i].name, keys[i].max, keys[i].field, err);
        }
    }
    if (strcmp(config_scalar(key), "include") == 0) {
        return load_globs(l, value, &source->include, err);
    }
    if (strcmp(config_scalar(key), "ignore") == 0) {
        return load_globs(l, value, &source->ignore, err);
    }
    if (strcmp(config_scalar(key), "tables") == 0) {
        return load_tables(l, value, source, err);
    }
    if (strcmp(config_scalar(key), "guard") == 0) {
        return config_load_guard(l, value, source, err);
    }
    if (strcmp(config_scalar(key), "mirror") == 0) {
        return set_bool(l, value, "mirror", &source->mirror, err);
    }
    if (strcmp(config_scalar(key), "triggers") == 0) {
        return set_bool(l, value, "triggers", &source->triggers, err);
    }
    (void)err_set(err, ERR_CONFIG,
                  "unknown key \"sources[].%.64s\"; a source knows name, kind, project, guard; of "
                  "PostgreSQL url, slot, tables, on_alert, capture, mirror; of files path, "
                  "include, ignore; of SQLite path, tables, triggers",
                  config_scalar(key));
    return refuse(l, key, err);
}

static bool is_files(const struct config_source *source)
{
    return strcmp(source->kind, source_files_ops.kind) == 0;
}

static bool is_sqlite(const struct config_source *source)
{
    return strcmp(source->kind, source_sqlite_ops.kind) == 0;
}

/* What each kind needs, and what is another kind's. */
static int check_kind(struct config_source *source, struct err *err)
{
    const struct source_ops *ops;

    if (source->kind == NULL) {
        return err_set(err, ERR_CONFIG, A_SOURCE_IS);
    }
    if (source_driver(source->kind, &ops, err) < 0) {
        return -(int)err->code;
    }
    if (is_sqlite(source)) {
        return source->path == NULL || source->url != NULL || source->slot != NULL ||
                       source->include != NULL || source->ignore != NULL ||
                       source->on_alert != NULL || source->capture != NULL || source->mirror
                   ? err_set(err, ERR_CONFIG,
                             "a source of kind sqlite needs a path, and has no url, slot, include, "
                             "ignore, on_alert, capture or mirror")
                   : check_path(source, err);
    }
    if (is_files(source)) {
        return source->path == NULL || source->url != NULL || source->slot != NULL ||
                       source->tables != NULL || source->on_alert != NULL ||
                       source->capture != NULL || source->mirror || source->triggers
                   ? err_set(err, ERR_CONFIG,
                             "a source of files needs a path, and has no url, slot, tables, "
                             "triggers, on_alert, capture or mirror")
                   : check_path(source, err);
    }
    return source->url == NULL || source->path != NULL || source->include != NULL ||
                   source->ignore != NULL || source->triggers
               ? err_set(err, ERR_CONFIG,
                         "a source of kind %s needs a url, and has no path, include, ignore or "
                         "triggers",
                         source->kind)
               : check_url(source->url, err);
}

/* What changes say that come by a door: whose thresholds judge a change is told by such a name. */
static const char *const doors[] = {"cli", "http", "mcp", "holdfast", "guard"};

static int check_source(const struct config *config, struct config_source *source, struct err *err)
{
    if (check_kind(source, err) < 0) {
        return -(int)err->code;
    }
    source->name = source->name == NULL ? xstrdup(source->kind) : source->name;
    if (!config_name_ok(source->name)) {
        return err_set(err, ERR_CONFIG,
                       "source name \"%.64s\": allowed are 1 to 63 of a-z, 0-9 and -",
                       source->name);
    }
    for (size_t i = 0; i < sizeof(doors) / sizeof(doors[0]); i++) {
        if (strcmp(source->name, doors[i]) == 0) {
            return err_set(err, ERR_CONFIG,
                           "source name \"%s\": changes by a door are called so; name it otherwise",
                           source->name);
        }
    }
    if (source->slot != NULL && !slot_ok(source->slot)) {
        return err_set(err, ERR_CONFIG, "slot \"%.64s\": allowed are 1 to 63 of a-z, 0-9 and _",
                       source->slot);
    }
    if (source->on_alert != NULL && strcmp(source->on_alert, "hold") != 0 &&
        strcmp(source->on_alert, "fence") != 0) {
        return err_set(err, ERR_CONFIG,
                       "on_alert of a source is \"%.64s\"; allowed are hold, fence",
                       source->on_alert);
    }
    if (source->capture != NULL && strcmp(source->capture, "stream") != 0 &&
        strcmp(source->capture, "outbox") != 0) {
        return err_set(err, ERR_CONFIG,
                       "capture of a source is \"%.64s\"; allowed are stream, outbox",
                       source->capture);
    }
    if (source->project != NULL && project_id_check(str_of(source->project), err) < 0) {
        return -(int)err->code;
    }
    for (size_t i = 0; i + 1 < config->source_count; i++) {
        if (strcmp(config->sources[i].name, source->name) == 0) {
            return err_set(err, ERR_CONFIG, "two sources are named \"%s\"", source->name);
        }
        if (source->slot != NULL && config->sources[i].slot != NULL &&
            strcmp(config->sources[i].slot, source->slot) == 0) {
            return err_set(err, ERR_CONFIG, "two sources have the slot \"%s\"; each needs its own",
                           source->slot);
        }
    }
    return 0;
}

static int load_source(const struct config_loading *l, const yaml_node_t *node, struct err *err)
{
    struct config *config = l->config;

    if (node->type != YAML_MAPPING_NODE || config->source_count == CONFIG_SOURCES_MAX) {
        (void)err_set(err, ERR_CONFIG, A_SOURCE_IS "; at most %d", CONFIG_SOURCES_MAX);
        return refuse(l, node, err);
    }
    struct config_source *source = &config->sources[config->source_count++];
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = NULL;
        const yaml_node_t *value = NULL;
        if (config_pair_at(l, node, pair, &key, &value, err) != 0 ||
            load_source_key(l, key, value, source, err) != 0) {
            return -(int)err->code;
        }
    }
    return check_source(config, source, err) < 0 ? refuse(l, node, err) : 0;
}

int config_load_sources(const struct config_loading *l, const yaml_node_t *node, struct err *err)
{
    if (node->type == YAML_SCALAR_NODE && *config_scalar(node) == '\0') {
        return 0;
    }
    if (node->type != YAML_SEQUENCE_NODE) {
        (void)err_set(err, ERR_CONFIG, "\"sources\" must be a list");
        return refuse(l, node, err);
    }
    for (const yaml_node_item_t *item = node->data.sequence.items.start;
         item < node->data.sequence.items.top; item++) {
        if (load_source(l, yaml_document_get_node(l->document, *item), err) != 0) {
            return -(int)err->code;
        }
    }
    return 0;
}

/* ---- the environment ---- */

static bool has_source(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->source_count; i++) {
        if (strcmp(config->sources[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* One more source, unless the file has the same one. Its password stays in memory and is never
 * shown. */
static int add_database(struct config *config, const char *url, struct err *err)
{
    if (strncmp(url, "postgresql://", 13) != 0 && strncmp(url, "postgres://", 11) != 0) {
        return err_set(err, ERR_CONFIG,
                       "environment variable DATABASE_URL does not begin with postgresql://; no "
                       "other database can be captured");
    }
    for (size_t i = 0; i < config->source_count; i++) {
        if (config->sources[i].url != NULL && strcmp(config->sources[i].url, url) == 0) {
            return 0;
        }
    }
    if (config->source_count == CONFIG_SOURCES_MAX) {
        return err_set(err, ERR_CONFIG, "environment variable DATABASE_URL: at most %d sources",
                       CONFIG_SOURCES_MAX);
    }
    char *name = has_source(config, "postgres") ? xstrdup("database-url") : xstrdup("postgres");
    config->sources[config->source_count++] =
        (struct config_source){.name = name, .kind = xstrdup("postgres"), .url = xstrdup(url)};
    return 0;
}

/* What is written there about a row is no part of it (docs/postgres.md, section 11). */
static void ignore_marks(struct source_mapping *table)
{
    static const char *const marks[] = {"sync_status", "synced_at", "remote_id"};

    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]) && mapping_is_memories(table); i++) {
        if (!mapping_ignores(table, marks[i])) {
            table->ignored[table->ignored_count++] = xstrdup(marks[i]);
        }
    }
}

int config_sources_environment(struct config *config, struct err *err)
{
    const char *url = getenv("DATABASE_URL");

    if (url != NULL && url[0] != '\0' && add_database(config, url, err) < 0) {
        return -(int)err->code;
    }
    for (size_t i = 0; i < config->source_count; i++) {
        struct config_source *source = &config->sources[i];
        if (source->table_count == 0 && source->url != NULL) {
            free(source->tables);
            source->tables = xcalloc(1, sizeof(*source->tables));
            source->tables[source->table_count++].table = xstrdup(DEFAULT_TABLE);
        }
        for (size_t k = 0; k < source->table_count && source->url != NULL; k++) {
            ignore_marks(&source->tables[k]);
        }
        if (source->project == NULL) {
            source->project =
                xstrdup(config->daemon.project != NULL ? config->daemon.project : source->name);
        }
        config_complete_guard(config, source);
    }
    return 0;
}
