/* Folders of Markdown notes with YAML front matter: basic-memory's, and Claude Code's memory
 * folder. A memory a file. */
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <yaml.h>

#include "base/file.h"
#include "base/timestamp.h"
#include "cli/import.h"
#include "model/limits.h"

#define NOTE_MAX_BYTES ((size_t)1024 * 1024)
#define FOLDER_DEPTH_MAX 32

/* Front matter between two "---" lines at the start. Returns where the body begins; 0 when there is
 * none. */
static size_t front_matter(struct str text, struct str *ret)
{
    if (!str_starts(text, STR("---\n")) && !str_starts(text, STR("---\r\n"))) {
        return 0;
    }
    size_t start = (size_t)((const char *)memchr(text.ptr, '\n', text.len) - text.ptr) + 1;
    for (size_t at = start; at < text.len;) {
        const char *newline = memchr(text.ptr + at, '\n', text.len - at);
        size_t len = newline ? (size_t)(newline - text.ptr) - at : text.len - at;
        size_t trimmed = len && text.ptr[at + len - 1] == '\r' ? len - 1 : len;
        if (trimmed == 3 && memcmp(text.ptr + at, "---", 3) == 0) {
            *ret = (struct str){text.ptr + start, at - start};
            return at + len + (newline ? 1 : 0);
        }
        at += len + 1;
    }
    return 0;
}

/* A YAML node as JSON: scalars stay text, since that is what the person wrote. NULL where it is too
 * deep. */
static json_t *node_to_json(yaml_document_t *document, const yaml_node_t *node, int depth)
{
    if (!node || depth > 8) {
        return NULL;
    }
    if (node->type == YAML_SCALAR_NODE) {
        return json_stringn((const char *)node->data.scalar.value, node->data.scalar.length);
    }
    if (node->type == YAML_SEQUENCE_NODE) {
        json_t *array = json_array();
        for (const yaml_node_item_t *i = node->data.sequence.items.start;
             i < node->data.sequence.items.top; i++) {
            json_array_append_new(
                array, node_to_json(document, yaml_document_get_node(document, *i), depth + 1));
        }
        return array;
    }
    json_t *object = json_object();
    for (const yaml_node_pair_t *p = node->data.mapping.pairs.start;
         p < node->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = yaml_document_get_node(document, p->key);
        if (key && key->type == YAML_SCALAR_NODE) {
            json_object_set_new(
                object, (const char *)key->data.scalar.value,
                node_to_json(document, yaml_document_get_node(document, p->value), depth + 1));
        }
    }
    return object;
}

static json_t *parse_front(struct str front)
{
    yaml_parser_t parser;
    yaml_document_t document;
    json_t *object = NULL;

    if (!yaml_parser_initialize(&parser)) {
        return NULL;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)front.ptr, front.len);
    if (yaml_parser_load(&parser, &document)) {
        const yaml_node_t *root = yaml_document_get_root_node(&document);
        if (root && root->type == YAML_MAPPING_NODE) {
            object = node_to_json(&document, root, 0);
        }
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    return object;
}

/* Tags: a list, or words separated by commas. */
static json_t *tags_of(const json_t *front)
{
    const json_t *value = json_object_get(front, "tags");
    json_t *tags = json_array();
    size_t i;
    const json_t *item;

    json_array_foreach (value, i, item)
        if (json_string_length(item)) {
            json_array_append_new(tags, json_string(json_string_value(item)));
        }
    for (const char *at = json_string_value(value); at && *at;) {
        size_t len = strcspn(at, ",");
        size_t skip = strspn(at, " ");
        size_t end = len;
        while (end > skip && at[end - 1] == ' ') {
            end--;
        }
        if (end > skip) {
            json_array_append_new(tags, json_stringn(at + skip, end - skip));
        }
        at += len + (at[len] == ',');
    }
    return tags;
}

/* A time that the front matter states, in the form a memory takes; else the file's own. */
static void set_time(json_t *memory, const char *field, const json_t *front,
                     const char *const *names, int64_t fallback_us)
{
    char text[TIMESTAMP_TEXT_MAX];
    struct err ignored = ERR_INIT; /* not a time that we can read: the file's own is used */
    int64_t us = fallback_us;

    for (; *names; names++) {
        const char *value = json_string_value(json_object_get(front, *names));
        if (value && timestamp_parse_human(str_of(value), 0, &us, &ignored) == 0 && us > 0) {
            break;
        }
        us = fallback_us;
    }
    timestamp_format(us, text);
    json_object_set_new(memory, field, json_string(text));
}

struct folder {
    const char *format;
    struct spool *spool;
    struct import_notes *notes;
};

static int add_note(const struct folder *folder, const char *path, const char *relative,
                    const struct stat *stat, struct err *err)
{
    static const char *const created[] = {"created_at", "created", "date", NULL};
    static const char *const updated[] = {"updated_at", "updated", "modified", NULL};
    AUTO(buf_done) struct buf text = BUF_INIT(NOTE_MAX_BYTES);
    struct err why = ERR_INIT;
    struct str front_text = {NULL, 0};
    char id[37];

    if (file_read(path, NOTE_MAX_BYTES, &text, &why) != 0) {
        import_note(folder->notes, "%s: %s", relative, why.message);
        return 0;
    }
    size_t body = front_matter(buf_str(&text), &front_text);
    AUTO(json_unref) json_t *front = body ? parse_front(front_text) : NULL;
    body = front ? body : 0; /* what can't be read as front matter stays in the text */
    while (body < text.len && strchr("\r\n", text.data[body])) {
        body++;
    }
    json_t *content = json_stringn(text.data ? text.data + body : "", text.len - body);
    if (!content || json_string_length(content) == 0) {
        import_note(folder->notes, content ? "%s: it is empty" : "%s: it is not UTF-8", relative);
        json_decref(content);
        return 0;
    }
    const char *permalink = json_string_value(json_object_get(front, "permalink"));
    import_id(folder->format, permalink ? permalink : relative, id);
    AUTO(json_unref) json_t *metadata = front ? json_copy(front) : json_object();
    json_object_del(metadata, "tags");
    json_object_set_new(metadata, "file", json_string(relative));
    AUTO(json_unref)
    json_t *memory = json_pack("{s:s,s:o,s:n,s:o,s:O}", "id", id, "content", content, "session_id",
                               "tags", tags_of(front), "metadata", metadata);
    int64_t file_us = (int64_t)stat->st_mtim.tv_sec * 1000000 + stat->st_mtim.tv_nsec / 1000;
    set_time(memory, "created_at", front, created, file_us);
    set_time(memory, "updated_at", front, updated, file_us);
    return spool_add_json(folder->spool, memory, err);
}

static bool is_markdown(const char *name)
{
    size_t len = strlen(name);

    return len > 3 && (strcmp(name + len - 3, ".md") == 0 ||
                       (len > 9 && strcmp(name + len - 9, ".markdown") == 0));
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int add_folder(const struct folder *folder, const char *path, const char *relative,
                      int depth, struct err *err)
{
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, NULL, by_name);
    int rc = 0;

    if (count < 0) {
        return err_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
                         "can't read the folder %s", path);
    }
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        AUTO(free_ptr) char *full = path_join(path, name);
        AUTO(free_ptr) char *inner = *relative ? path_join(relative, name) : xstrdup(name);
        struct stat st;
        if (rc != 0 || name[0] == '.') {
            free(entries[i]);
            continue;
        }
        if (lstat(full, &st) != 0 || S_ISLNK(st.st_mode)) {
            import_note(folder->notes, "%s: a link, or not readable", inner);
        } else if (S_ISDIR(st.st_mode) && depth < FOLDER_DEPTH_MAX) {
            rc = add_folder(folder, full, inner, depth + 1, err);
        } else if (S_ISREG(st.st_mode) && is_markdown(name)) {
            rc = add_note(folder, full, inner, &st, err);
        } else {
            import_note(folder->notes, "%s: not a Markdown file", inner);
        }
        free(entries[i]);
    }
    free(entries);
    return rc;
}

int import_markdown(const char *path, const char *format, struct spool *spool,
                    struct import_notes *notes, struct err *err)
{
    struct folder folder = {format, spool, notes};
    struct stat st;

    if (stat(path, &st) != 0) {
        return err_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "can't read %s",
                         path);
    }
    if (S_ISDIR(st.st_mode)) {
        return add_folder(&folder, path, "", 0, err);
    }
    const char *slash = strrchr(path, '/');
    return add_note(&folder, path, slash ? slash + 1 : path, &st, err);
}
