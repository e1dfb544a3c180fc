/* Reading files that others write, and their way into a memory and out of it. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/file.h"
#include "base/utf8.h"
#include "model/memory_field.h"
#include "source/files_internal.h"

#define NS_OF_S 1000000000LL
#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

const char *files_left_name(enum files_left left)
{
    switch (left) {
    case FILES_BINARY:
        return "binary";
    case FILES_LARGE:
        return "large";
    case FILES_UNREADABLE:
        return "unreadable";
    case FILES_KEPT:
        break;
    }
    return "";
}

/* ---- the folder of a path ---- */

void files_at_init(struct files_at *at, int root)
{
    *at = (struct files_at){.root = root, .folder = -1};
}

void files_at_done(struct files_at *at)
{
    if (at->folder >= 0) {
        (void)close(at->folder); /* it was read only */
    }
    free(at->prefix);
    files_at_init(at, at->root);
}

static bool is_missing(int errno_value)
{
    return errno_value == ENOENT || errno_value == ENOTDIR || errno_value == ELOOP;
}

static int no_folder(struct err *err, int errno_value, const char *path)
{
    return err_errno(err, is_missing(errno_value) ? ERR_NOT_FOUND : ERR_CONFIG, errno_value,
                     "opening the folder of %s", path);
}

/* One part further down. */
static int step(int from, const char *name, bool make)
{
    int fd = openat(from, name, FOLDER_FLAGS);

    if (fd < 0 && errno == ENOENT && make && (mkdirat(from, name, 0777) == 0 || errno == EEXIST)) {
        (void)fsync(from); /* a folder that is lost by a power cut is made once more */
        fd = openat(from, name, FOLDER_FLAGS);
    }
    return fd;
}

int files_at_folder(struct files_at *at, const char *path, bool make, int *ret_fd,
                    const char **ret_name, struct err *err)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);

    *ret_name = slash == NULL ? path : slash + 1;
    if (at->prefix != NULL && strlen(at->prefix) == len && memcmp(at->prefix, path, len) == 0) {
        *ret_fd = at->folder >= 0 ? at->folder : at->root;
        return 0;
    }
    files_at_done(at);
    AUTO(free_ptr) char *parts = xstrndup(path, len);
    char *rest = parts;
    AUTO(close_fd) int fd = -1;
    for (char *part; len > 0 && (part = strsep(&rest, "/")) != NULL;) {
        int next = step(fd >= 0 ? fd : at->root, part, make);
        if (next < 0) {
            return no_folder(err, errno, path);
        }
        close_fd(&fd);
        fd = next;
    }
    at->folder = fd;
    fd = -1;
    at->prefix = xstrndup(path, len);
    *ret_fd = at->folder >= 0 ? at->folder : at->root;
    return 0;
}

bool files_is_there(struct files_at *at, const char *path)
{
    struct err none = ERR_INIT;
    const char *name;
    struct stat st;
    int fd;

    return files_at_folder(at, path, false, &fd, &name, &none) == 0 &&
           fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

/* ---- reading ---- */

static int64_t ns_of(struct timespec time)
{
    return (int64_t)time.tv_sec * NS_OF_S + time.tv_nsec;
}

static bool same_stat(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && ns_of(a->st_mtim) == ns_of(b->st_mtim) &&
           ns_of(a->st_ctim) == ns_of(b->st_ctim);
}

/* All of it, and one byte more if there is one. */
static int read_text(int fd, size_t size, struct buf *text, const char *path, struct err *err)
{
    buf_reset(text);
    if (buf_reserve(text, size + 1, err) < 0) {
        return -(int)err->code;
    }
    while (text->len <= size) {
        ssize_t got = read(fd, text->data + text->len, size + 1 - text->len);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return err_errno(err, ERR_IO, errno, "reading %s", path);
        }
        if (got == 0) {
            break;
        }
        text->len += (size_t)got;
    }
    text->data[text->len < size ? text->len : size] = '\0';
    return 0;
}

static enum files_left left_by_text(struct str text)
{
    struct err why = ERR_INIT;
    size_t characters = 0;

    if (text.len > 0 && utf8_check(text, &characters, &why) < 0) {
        return FILES_BINARY;
    }
    return characters > MEMORY_CONTENT_MAX ? FILES_LARGE : FILES_KEPT;
}

/* 1: it changed meanwhile. */
static int read_once(int fd, const char *path, struct file_state *ret, struct err *err)
{
    struct stat before;
    struct stat after;

    if (fstat(fd, &before) != 0 || !S_ISREG(before.st_mode)) {
        return err_set(err, ERR_NOT_FOUND, "%s is no file", path);
    }
    ret->size = before.st_size;
    ret->mtime_ns = ns_of(before.st_mtim);
    ret->mode = before.st_mode & 07777;
    ret->left = before.st_size > FILES_BYTES_MAX ? FILES_LARGE : FILES_KEPT;
    ret->hash = (struct sha256){{0}};
    buf_reset(&ret->text);
    if (ret->left != FILES_KEPT) {
        return 0;
    }
    if (lseek(fd, 0, SEEK_SET) != 0 ||
        read_text(fd, (size_t)before.st_size, &ret->text, path, err) < 0) {
        return err->code == ERR_NONE ? err_errno(err, ERR_IO, errno, "reading %s", path)
                                     : -(int)err->code;
    }
    if (fstat(fd, &after) != 0 || !same_stat(&before, &after) ||
        ret->text.len != (size_t)before.st_size) {
        return 1;
    }
    ret->left = left_by_text(buf_str(&ret->text));
    if (ret->left == FILES_KEPT) {
        ret->hash = sha256_of(ret->text.data, ret->text.len);
    }
    return 0;
}

int files_read(struct files_at *at, const char *path, struct file_state *ret, struct err *err)
{
    const char *name;
    int folder;

    if (files_at_folder(at, path, false, &folder, &name, err) < 0) {
        return -(int)err->code;
    }
    AUTO(close_fd)
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 && is_missing(errno)) {
        return err_errno(err, ERR_NOT_FOUND, errno, "opening %s", path);
    }
    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) {
        return err_errno(err, ERR_FULL, errno, "opening %s", path);
    }
    if (fd < 0) {
        ret->left = FILES_UNREADABLE;
        return files_is_there(at, path) ? 0 : err_set(err, ERR_NOT_FOUND, "%s is no file", path);
    }
    for (int i = 0; i < FILES_READS_MAX; i++) {
        int rc = read_once(fd, path, ret, err);
        if (rc == -ERR_IO) { /* a bad sector is this file's trouble alone */
            err->code = ERR_NONE;
            ret->left = FILES_UNREADABLE;
            return 0;
        }
        if (rc <= 0) {
            return rc;
        }
    }
    return err_set(err, ERR_BUSY, "%s changes while it is read", path);
}

/* ---- a memory ---- */

#define NS_DIGITS 9
#define US_TEXT_LEN (sizeof("2026-11-22T18:18:43.000001") - 1)

/* RFC 3339 with nine digits. */
static void format_ns(int64_t ns, char ret[TIMESTAMP_TEXT_MAX + NS_DIGITS])
{
    int64_t us = ns / 1000 - (ns % 1000 < 0 ? 1 : 0);
    int64_t rest = ns - us * 1000;

    timestamp_format(us, ret);
    for (int i = 2; i >= 0; i--, rest /= 10) {
        ret[US_TEXT_LEN + (size_t)i] = (char)('0' + rest % 10);
    }
    memcpy(ret + US_TEXT_LEN + 3, "Z", 2);
}

static bool parse_ns(const char *text, int64_t *ret)
{
    struct err none = ERR_INIT;
    int64_t us;

    if (text == NULL || strlen(text) != US_TEXT_LEN + 4 ||
        strspn(text + US_TEXT_LEN, "0123456789") != 3 ||
        timestamp_parse(str_of(text), &us, &none) < 0 || us > INT64_MAX / 1000 ||
        us < INT64_MIN / 1000 + 1) {
        return false;
    }
    *ret = us * 1000 + strtol(text + US_TEXT_LEN, NULL, 10);
    return true;
}

static json_t *file_to_json(const struct file_state *state)
{
    char mtime[TIMESTAMP_TEXT_MAX + NS_DIGITS];
    char mode[8];

    format_ns(state->mtime_ns, mtime);
    (void)snprintf(mode, sizeof(mode), "%04o", (unsigned)state->mode & 07777);
    json_t *file = json_pack("{s:s,s:s}", "mode", mode, "mtime", mtime);
    if (state->left != FILES_KEPT) {
        json_object_set_new(file, "left", json_string(files_left_name(state->left)));
        json_object_set_new(file, "size", json_integer(state->size));
    } else if (state->size == 0) {
        json_object_set_new(file, "empty", json_true());
    }
    return file;
}

int files_to_memory(const struct source_options *options, const char *path,
                    const struct file_state *state, struct memory *ret, struct err *err)
{
    bool has_text = state->left == FILES_KEPT && state->size > 0;
    struct str text = has_text ? buf_str(&state->text) : STR(ROW_BLANK);

    size_t characters;

    memory_init(ret);
    if (utf8_check(str_of(path), &characters, err) < 0) {
        return err_set(err, ERR_INVALID, "its name is not UTF-8");
    }
    AUTO(json_unref)
    json_t *metadata = json_pack("{s:{s:s,s:s},s:o}", "source", "name", options->name, "path", path,
                                 "file", file_to_json(state));
    if (memory_content_check(text, err) < 0 ||
        metadata_from_json(metadata, &ret->metadata, err) < 0) {
        return -(int)err->code;
    }
    ret->content = xstrndup(text.ptr, text.len);
    ret->content_len = text.len;
    ret->project_id = xstrdup(options->project);
    ret->updated_us = state->mtime_ns / 1000;
    return 0;
}

static enum files_left left_of(const char *name)
{
    for (enum files_left left = FILES_BINARY; left <= FILES_UNREADABLE; left++) {
        if (name != NULL && strcmp(name, files_left_name(left)) == 0) {
            return left;
        }
    }
    return FILES_KEPT;
}

bool files_path_ok(const char *path)
{
    size_t len = strlen(path);

    if (len == 0 || len > FILES_PATH_MAX || path[0] == '/') {
        return false;
    }
    for (const char *part = path; part != NULL;) {
        size_t part_len = strcspn(part, "/");
        if (part_len == 0 || (part[0] == '.' && part_len == 1) ||
            (part[0] == '.' && part[1] == '.' && part_len == 2)) {
            return false;
        }
        part = part[part_len] == '/' ? part + part_len + 1 : NULL;
    }
    return true;
}

bool files_of_memory(const struct memory *memory, const char *source, struct file_origin *ret)
{
    json_t *metadata = metadata_tree(memory->metadata);
    const json_t *of = json_object_get(metadata, "source");
    const json_t *file = json_object_get(metadata, "file");
    const char *name = json_string_value(json_object_get(of, "name"));
    const char *mode = json_string_value(json_object_get(file, "mode"));
    bool is_empty = json_is_true(json_object_get(file, "empty"));

    *ret = (struct file_origin){
        .path = json_string_value(json_object_get(of, "path")),
        .left = left_of(json_string_value(json_object_get(file, "left"))),
        .mode = mode == NULL ? 0644 : (uint32_t)strtoul(mode, NULL, 8) & 07777,
    };
    if (name == NULL || strcmp(name, source) != 0 || ret->path == NULL ||
        !files_path_ok(ret->path) ||
        !parse_ns(json_string_value(json_object_get(file, "mtime")), &ret->mtime_ns)) {
        return false;
    }
    bool has_text = ret->left == FILES_KEPT && !is_empty;
    ret->text = has_text ? (struct str){memory->content, memory->content_len} : STR("");
    ret->size = ret->left == FILES_KEPT ? (int64_t)ret->text.len
                                        : json_integer_value(json_object_get(file, "size"));
    return true;
}
