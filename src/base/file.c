#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"

#define TREE_FDS 16 /* folders that file_remove_tree holds open at once */

/* What an errno of the file system means for the caller. */
static enum err_code code_of(int errno_value)
{
    switch (errno_value) {
    case ENOENT:
        return ERR_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
        return ERR_CONFIG;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOSPC:
    case EDQUOT:
        return ERR_FULL;
    default:
        return ERR_IO;
    }
}

static int fail(struct err *err, const char *doing, const char *path)
{
    int errno_value = errno;

    return err_errno(err, code_of(errno_value), errno_value, "%s %s", doing, path);
}

static int open_retrying(const char *path, int flags)
{
    int fd;

    if (FAULT("file.open", EMFILE)) {
        return -1;
    }
    do {
        fd = open(path, flags | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

/* The folder that holds path's last name: heap, the caller's. */
static char *parent_of(const char *path)
{
    size_t len = strlen(path);

    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    while (len > 0 && path[len - 1] != '/') {
        len--;
    }
    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    return len == 0 ? xstrdup(".") : xstrndup(path, len);
}

static int sync_parent(const char *path, struct err *err)
{
    AUTO(free_ptr) char *parent = parent_of(path);

    return file_sync_dir(parent, err);
}

static bool is_folder(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int make_folder(const char *path, mode_t mode, struct err *err)
{
    if (mkdir(path, mode) == 0) {
        return sync_parent(path, err);
    }
    int why = errno;
    if (is_folder(path)) { /* EEXIST mostly, but EROFS and EACCES are also said of what exists */
        return 0;
    }
    if (why == EEXIST || why == ENOTDIR) {
        return err_set(err, ERR_CONFIG, "%s exists and is not a folder", path);
    }
    errno = why;
    return fail(err, "making the folder", path);
}

int file_mkdirs(const char *path, mode_t mode, struct err *err)
{
    AUTO(free_ptr) char *part = xstrdup(path);
    size_t len = strlen(path);
    int rc = 0;

    for (size_t i = 1; rc == 0 && i <= len; i++) {
        bool at_end = path[i] == '/' || path[i] == '\0';
        if (at_end && path[i - 1] != '/') {
            part[i] = '\0';
            rc = make_folder(part, mode, err);
            part[i] = path[i];
        }
    }
    return rc;
}

/* fsync or fdatasync. Only a signal is a reason to try again. */
static int sync_retrying(int (*sync)(int), int fd)
{
    int rc;

    if (FAULT("file.fsync", EIO)) {
        return -1;
    }
    do {
        rc = sync(fd);
    } while (rc != 0 && errno == EINTR);
    return rc;
}

int file_sync_dir(const char *path, struct err *err)
{
    AUTO(close_fd) int fd = open_retrying(path, O_RDONLY | O_DIRECTORY);

    if (fd < 0) {
        return fail(err, "opening the folder", path);
    }
    /* EINVAL: a file system that knows no such thing, and has nothing to make durable by it */
    if (sync_retrying(fsync, fd) != 0 && errno != EINVAL) {
        return err_errno(err, ERR_IO, errno, "making the folder %s durable", path);
    }
    return 0;
}

int file_sync(int fd, const char *path, struct err *err)
{
    if (sync_retrying(fdatasync, fd) != 0) {
        return err_errno(err, ERR_IO, errno, "making %s durable", path);
    }
    return 0;
}

int file_write_all(int fd, const void *bytes, size_t len, const char *path, struct err *err)
{
    const char *p = bytes;

    while (len > 0) {
        ssize_t written = FAULT("file.write", ENOSPC) ? -1 : write(fd, p, len);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            errno = written == 0 ? EIO : errno;
            return fail(err, "writing", path);
        }
        p += written;
        len -= (size_t)written;
    }
    return 0;
}

static int too_large(const char *path, size_t max, struct err *err)
{
    return err_set(err, ERR_LIMIT, "%s is larger than the limit of %zu bytes", path, max);
}

/* Reads to the end, not to the size that stat says: some files (in /proc, pipes) say 0. */
static int read_to_end(int fd, const char *path, size_t max, struct buf *buf, struct err *err)
{
    char chunk[16 * 1024];
    size_t total = 0;

    for (;;) {
        ssize_t got = read(fd, chunk, sizeof(chunk));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return fail(err, "reading", path);
        }
        if (got == 0) {
            return buf_add(buf, "", 0, err);
        }
        if ((size_t)got > max - total) {
            return too_large(path, max, err);
        }
        total += (size_t)got;
        int rc = buf_add(buf, chunk, (size_t)got, err);
        if (rc < 0) {
            return err_context(err, "reading %s", path);
        }
    }
}

int file_read(const char *path, size_t max, struct buf *buf, struct err *err)
{
    AUTO(close_fd) int fd = open_retrying(path, O_RDONLY);
    size_t start = buf->len;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0) {
        return fail(err, "opening", path);
    }
    if (S_ISREG(st.st_mode) && (uintmax_t)st.st_size > max) {
        return too_large(path, max, err);
    }
    int rc = read_to_end(fd, path, max, buf, err);
    if (rc < 0 && buf->data != NULL) {
        buf->len = start;
        buf->data[start] = '\0';
    }
    return rc;
}

static int write_new(int fd, const char *path, struct str content, mode_t mode, struct err *err)
{
    if (fchmod(fd, mode) != 0) {
        return fail(err, "setting the mode of", path);
    }
    int rc = file_write_all(fd, content.ptr, content.len, path, err);
    return rc == 0 ? file_sync(fd, path, err) : rc;
}

static int rename_over(const char *from, const char *to, struct err *err)
{
    CRASH_POINT("file.replace.before_rename");
    if (FAULT("file.rename", EIO) || rename(from, to) != 0) {
        return fail(err, "putting the new content in place of", to);
    }
    CRASH_POINT("file.replace.after_rename");
    return sync_parent(to, err);
}

int file_replace(const char *path, struct str content, mode_t mode, struct err *err)
{
    AUTO(free_ptr) char *new_path = xprintf("%s.new-XXXXXX", path);
    AUTO(close_fd) int fd = FAULT("file.open", EMFILE) ? -1 : mkostemp(new_path, O_CLOEXEC);

    if (fd < 0) {
        return fail(err, "making a new file beside", path);
    }
    int rc = write_new(fd, new_path, content, mode, err);
    if (rc == 0) {
        rc = rename_over(new_path, path, err);
    }
    if (rc < 0) {
        (void)unlink(new_path); /* gone already when only the last sync failed */
    }
    return rc;
}

bool file_exists(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

int file_remove_tree(const char *path, struct err *err)
{
    struct stat st;

    if (lstat(path, &st) != 0 && errno == ENOENT) {
        return 0;
    }
    if (nftw(path, remove_entry, TREE_FDS, FTW_DEPTH | FTW_PHYS) != 0) {
        return fail(err, "removing", path);
    }
    return sync_parent(path, err);
}

char *path_join(const char *folder, const char *name)
{
    size_t len = strlen(folder);
    bool slash = len > 0 && folder[len - 1] != '/';

    return xprintf("%s%s%s", folder, slash ? "/" : "", name);
}

bool path_is_below(const char *path, const char *folder)
{
    size_t len = strlen(folder);

    return strncmp(path, folder, len) == 0 && (path[len] == '/' || path[len] == '\0');
}
