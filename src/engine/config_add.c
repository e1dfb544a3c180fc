/* Adding a vault to a configuration that a person may have written: their text stays to the letter.
 */
#include "base/file.h"
#include "engine/config_keys.h"

static const char template[] =
    "# Holdfast's configuration. Every key: docs/configuration.md\n"
    "#\n"
    "# daemon:\n"
    "#   project: my-project      # else: the git root's name\n"
    "# guard:\n"
    "#   on_alert: hold           # or pause: nothing is written until a person decides\n"
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

/* A name that no vault has: the kind, or the kind and a number. Written out, so that cursors stay
 * with their vault when lines move. */
static char *free_name(const struct config *config, const char *kind, size_t kind_len)
{
    for (size_t number = 1;; number++) {
        AUTO(free_ptr)
        char *name = number == 1 ? xstrndup(kind, kind_len)
                                 : xprintf("%.*s-%zu", (int)kind_len, kind, number);
        bool taken = false;
        for (size_t i = 0; i < config->vault_count; i++) {
            taken = taken || strcmp(config->vaults[i].name, name) == 0;
        }
        if (!taken) {
            return xstrdup(name);
        }
    }
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
    AUTO(free_ptr) char *name = free_name(config, spec, (size_t)(colon - spec));
    if (buf_printf(buf, err, "  - name: %s\n    kind: %.*s\n    path: ", name, (int)(colon - spec),
                   spec) != 0 ||
        add_quoted(buf, colon + 1, err) != 0) {
        return -(int)err->code;
    }
    return buf_add_c(buf, "\n", err);
}

/* The new text: the item goes right behind the line "vaults:" when there is one, else behind
 * everything with a section of its own. */
static int insert(struct str old, const struct config *config, const char *spec, struct buf *ret,
                  struct err *err)
{
    size_t at = 0;
    bool found = false;

    for (size_t start = 0; start < old.len && !found;) {
        const char *newline = memchr(old.ptr + start, '\n', old.len - start);
        size_t len = newline ? (size_t)(newline - old.ptr) - start : old.len - start;
        struct str line = {old.ptr + start, len};
        start += len + (newline ? 1 : 0);
        if (!str_starts(line, STR("vaults:"))) {
            continue;
        }
        size_t rest = 7 + strspn(line.len > 7 ? line.ptr + 7 : "", " \t\r");
        if (rest < len && line.ptr[rest] != '#' && line.ptr[rest] != '\n') {
            return err_set(err, ERR_CONFIG,
                           "\"vaults:\" is written on one line there; add this to it by hand: "
                           "{kind: file, path: ...} for %s",
                           spec);
        }
        found = true;
        at = start;
    }
    if (!found) {
        at = old.len;
    }
    if (buf_add(ret, old.ptr, at, err) != 0 ||
        (at && old.ptr[at - 1] != '\n' && buf_add_c(ret, "\n", err) != 0) ||
        (!found && buf_add_c(ret, "vaults:\n", err) != 0) ||
        add_item(ret, config, spec, err) != 0) {
        return -(int)err->code;
    }
    return buf_add(ret, old.ptr + at, old.len - at, err);
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

    if (file_exists(path) ? file_read(path, CONFIG_FILE_MAX_BYTES, &old, err) != 0
                          : buf_add_c(&old, template, err) != 0) {
        return -(int)err->code;
    }
    if (config_parse(path, buf_str(&old), &before, err) != 0) {
        return -(int)err->code;
    }
    *ret_added = !has_vault(&before, spec);
    if (!*ret_added) {
        return 0;
    }
    if (insert(buf_str(&old), &before, spec, &text, err) != 0 ||
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
