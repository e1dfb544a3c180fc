/* Adding a vault or a source to a configuration that a person may have written: their text stays to
 * the letter. */
#include "base/file.h"
#include "engine/config_keys.h"

static const char template[] =
    "# Holdfast's configuration. Every key: docs/configuration.md\n"
    "#\n"
    "# daemon:\n"
    "#   project: my-project      # else: the git root's name\n"
    "# guard:\n"
    "#   on_alert: hold           # or pause: nothing is written until a person decides; or fence\n"
    "#   command: notify-send \"Holdfast: destruction held\"\n"
    "\n";

/* A YAML single-quoted scalar. */
static int add_quoted(struct buf *buf, const char *text, struct err *err)
{
    int rc = buf_add_c(buf, "'", err);

    for (; *text && rc == 0; text++) {
        rc = *text == '\'' ? buf_add_c(buf, "''", err) : buf_add(buf, text, 1, err);
    }
    return rc == 0 ? buf_add_c(buf, "'", err) : rc;
}

static int add_item(struct buf *buf, const struct config *config, const char *spec, struct err *err)
{
    const char *colon = strchr(spec, ':');

    if (!colon || !colon[1] || strpbrk(spec, "\r\n")) {
        return err_set(
            err, ERR_USAGE,
            "\"%s\" is not a vault's spec; it is KIND:WHERE, such as file:/mnt/backup/holdfast",
            spec);
    }
    AUTO(free_ptr) char *name = config_free_name(config, spec, (size_t)(colon - spec));
    AUTO(free_ptr) char *kind = xstrndup(spec, (size_t)(colon - spec));
    const char *key = config_vault_key(kind);
    if (buf_printf(buf, err, "  - name: %s\n    kind: %s\n    %s: ", name, kind,
                   key == NULL ? "path" : key) != 0 ||
        add_quoted(buf, colon + 1, err) != 0) {
        return -(int)err->code;
    }
    return buf_add_c(buf, "\n", err);
}

/* The line of text that begins at `start`; *ret_next is where the next one does. */
static struct str line_at(struct str text, size_t start, size_t *ret_next)
{
    const char *newline = memchr(text.ptr + start, '\n', text.len - start);
    size_t len = newline ? (size_t)(newline - text.ptr) - start : text.len - start;

    *ret_next = start + len + (newline ? 1 : 0);
    return (struct str){text.ptr + start, len};
}

/* Where a new item goes: behind the last line that belongs to the section. *ret_found: there is
 * such a one. */
static int find_place(struct str old, struct str section, bool *ret_found, size_t *ret_at,
                      struct err *err)
{
    size_t next = 0;

    *ret_found = false;
    *ret_at = old.len;
    for (size_t start = 0; start < old.len; start = next) {
        struct str line = line_at(old, start, &next);
        bool blank = strspn(line.ptr, " \t\r") >= line.len;
        if (*ret_found && !blank && !strchr(" \t-#", line.ptr[0])) {
            return 0; /* the next section */
        }
        if (*ret_found && !blank) {
            *ret_at = next;
        }
        if (!str_starts(line, section)) {
            continue;
        }
        size_t rest = section.len;
        while (rest < line.len && strchr(" \t\r", line.ptr[rest])) {
            rest++;
        }
        if (rest < line.len && line.ptr[rest] != '#') {
            return err_set(err, ERR_CONFIG,
                           "\"" STR_FMT "\" is written on one line there; add to it by hand",
                           STR_ARG(section));
        }
        *ret_found = true;
        *ret_at = next;
    }
    return 0;
}

/* The new text: the item behind the others, or behind everything in a section of its own. */
static int insert(struct str old, struct str section, struct str item, struct buf *ret,
                  struct err *err)
{
    bool found = false;
    size_t at = 0;

    if (find_place(old, section, &found, &at, err) != 0 || buf_add(ret, old.ptr, at, err) != 0 ||
        (at && old.ptr[at - 1] != '\n' && buf_add_c(ret, "\n", err) != 0) ||
        (!found && buf_printf(ret, err, STR_FMT "\n", STR_ARG(section)) != 0) ||
        buf_add_str(ret, item, err) != 0) {
        return -(int)err->code;
    }
    return buf_add(ret, old.ptr + at, old.len - at, err);
}

/* The configuration as it is; when there is none, one with comments that explain it. */
static int read_old(const char *path, struct buf *ret, struct config *ret_config, struct err *err)
{
    int rc = file_exists(path) ? file_read(path, CONFIG_FILE_MAX_BYTES, ret, err)
                               : buf_add_c(ret, template, err);

    return rc == 0 ? config_parse(path, buf_str(ret), ret_config, err) : rc;
}

static bool has_vault(const struct config *config, const char *spec)
{
    for (size_t i = 0; i < config->vault_count; i++) {
        if (strcmp(config->vaults[i].spec, spec) == 0) {
            return true;
        }
    }
    return false;
}

int config_add_vault(const char *home, const char *spec, bool *ret_added, struct err *err)
{
    AUTO(free_ptr) char *path = path_join(home, "holdfast.yaml");
    AUTO(buf_done) struct buf old = BUF_INIT(CONFIG_FILE_MAX_BYTES);
    AUTO(buf_done) struct buf text = BUF_INIT(CONFIG_FILE_MAX_BYTES);
    AUTO(config_done) struct config before = {.path = NULL};
    AUTO(config_done) struct config after = {.path = NULL};
    AUTO(buf_done) struct buf item = BUF_INIT(CONFIG_FILE_MAX_BYTES);

    if (read_old(path, &old, &before, err) != 0) {
        return -(int)err->code;
    }
    *ret_added = !has_vault(&before, spec);
    if (!*ret_added) {
        return 0;
    }
    if (add_item(&item, &before, spec, err) != 0 ||
        insert(buf_str(&old), STR("vaults:"), buf_str(&item), &text, err) != 0 ||
        config_parse(path, buf_str(&text), &after, err) != 0) {
        return err_context(err, "adding a vault to %s", path);
    }
    if (after.vault_count != before.vault_count + 1 || !has_vault(&after, spec)) {
        return err_set(err, ERR_CONFIG,
                       "%s: the vault can't be added without changing what you wrote; add it by "
                       "hand: kind and path of %s",
                       path, spec);
    }
    return file_replace(path, buf_str(&text), 0600, err);
}

/* ---- a source at a path ---- */

static struct config_source *find_path(struct config *config, const char *path)
{
    for (size_t i = 0; i < config->source_count; i++) {
        struct config_source *source = &config->sources[i];
        if (source->path != NULL && strcmp(source->path, path) == 0) {
            return source;
        }
    }
    return NULL;
}

static bool is_source(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->source_count; i++) {
        if (strcmp(config->sources[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* The last part of the path, in the letters that a name has; a number behind it when it is taken.
 */
static char *name_of_path(const struct config *config, const char *kind, const char *path)
{
    const char *slash = strrchr(path, '/');
    AUTO(free_ptr) char *base = xstrdup(slash == NULL ? path : slash + 1);
    size_t len = 0;

    for (const char *c = base; *c != '\0' && len < SOURCE_NAME_MAX - 4; c++) {
        char lower = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
        bool fits = (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9');
        if (fits || (len > 0 && base[len - 1] != '-')) {
            base[len++] = fits ? lower : '-';
        }
    }
    len -= len > 0 && base[len - 1] == '-';
    base[len] = '\0';
    const char *stem = len == 0 ? kind : base;
    char *name = xstrdup(stem);
    for (int number = 2; is_source(config, name); number++) {
        free(name);
        name = xprintf("%s-%d", stem, number);
    }
    return name;
}

int config_add_path(const char *home, const char *kind, const char *path, const char *name,
                    bool triggers, bool dry_run, char **ret_name, bool *ret_added, struct err *err)
{
    AUTO(free_ptr) char *file = path_join(home, "holdfast.yaml");
    AUTO(buf_done) struct buf old = BUF_INIT(CONFIG_FILE_MAX_BYTES);
    AUTO(buf_done) struct buf text = BUF_INIT(CONFIG_FILE_MAX_BYTES);
    AUTO(buf_done) struct buf item = BUF_INIT(CONFIG_FILE_MAX_BYTES);
    AUTO(config_done) struct config before = {.path = NULL};
    AUTO(config_done) struct config after = {.path = NULL};

    if (read_old(file, &old, &before, err) != 0) {
        return -(int)err->code;
    }
    const struct config_source *there = find_path(&before, path);
    *ret_added = there == NULL;
    if (there != NULL) {
        *ret_name = xstrdup(there->name);
        return 0;
    }
    AUTO(free_ptr) char *chosen = name != NULL ? xstrdup(name) : name_of_path(&before, kind, path);
    if (buf_printf(&item, err, "  - name: %s\n    kind: %s\n    path: ", chosen, kind) != 0 ||
        add_quoted(&item, path, err) != 0 ||
        buf_add_c(&item, triggers ? "\n    triggers: true\n" : "\n", err) != 0 ||
        insert(buf_str(&old), STR("sources:"), buf_str(&item), &text, err) != 0 ||
        config_parse(file, buf_str(&text), &after, err) != 0) {
        return err_context(err, "adding a source to %s", file);
    }
    if (after.source_count != before.source_count + 1 || find_path(&after, path) == NULL) {
        return err_set(err, ERR_CONFIG,
                       "%s: the source can't be added without changing what you wrote; add it by "
                       "hand: kind: %s, path: %s",
                       file, kind, path);
    }
    *ret_name = xstrdup(chosen);
    return dry_run ? 0 : file_replace(file, buf_str(&text), 0600, err);
}
