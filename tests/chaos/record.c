/*
 * record - a library to preload that writes down what a program does to the files below a folder.
 *
 * RECORD_UNDER is the folder (absolute), RECORD_LOG the log. Each call that changes something, and
 * each fsync, is done and logged under one lock, so that the log's order is the order in which
 * things happened; across processes the log (O_APPEND) keeps each process's order. A record is a
 * line of JSON-free text, "OP ino a b c\n", with strings as "LEN:bytes" and written data behind the
 * line. powerloss.py reads it.
 *
 *   open INO PARENT LEN:NAME CREATED   a file was made (CREATED 1), or is seen for the first time
 * by this descriptor write INO OFFSET LENGTH            LENGTH bytes follow the line cut INO SIZE
 * ftruncate sync INO                           fsync, fdatasync: of a file or a folder mkdir INO
 * PARENT LEN:NAME          remove PARENT LEN:NAME          link INO PARENT LEN:NAME rename PARENT
 * LEN:NAME PARENT LEN:NAME      exchange (the same)
 *
 * Memory maps are not seen: SQLite's -shm only, which means nothing after a crash.
 */
#define _GNU_SOURCE
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(type, name) ((type)real(#name))

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static const char *under;
static int log_fd = -1;

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);

    if (!found)
        abort();
    return found;
}

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("RECORD_LOG");

    under = getenv("RECORD_UNDER");
    if (under && path)
        log_fd = REAL(int (*)(const char *, int, ...),
                      open64)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0)
        abort();
    int high = fcntl(log_fd, F_DUPFD_CLOEXEC, 900); /* out of the program's way */
    if (high >= 0) {
        (void)REAL(int (*)(int), close)(log_fd);
        log_fd = high;
    }
}

/* ---- the log ---- */

static void put(const void *head, size_t head_len, const void *data, size_t data_len)
{
    struct iovec parts[2] = {{(void *)(uintptr_t)head, head_len},
                             {(void *)(uintptr_t)data, data_len}};
    ssize_t (*real_writev)(int, const struct iovec *, int) =
        REAL(ssize_t(*)(int, const struct iovec *, int), writev);

    if (real_writev(log_fd, parts, data_len ? 2 : 1) != (ssize_t)(head_len + data_len))
        abort(); /* a log with holes would show losses that are none */
}

__attribute__((format(printf, 3, 4))) static void put_line(const void *data, size_t data_len,
                                                           const char *format, ...)
{
    char line[PATH_MAX * 2 + 128];
    va_list args;

    va_start(args, format);
    int len = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (len < 0 || len >= (int)sizeof(line))
        abort();
    put(line, (size_t)len, data, data_len);
}

/* ---- which file ---- */

static bool is_under(const char *path)
{
    size_t len = strlen(under);

    return strncmp(path, under, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* The path that a descriptor was opened by; "" when it is not below the folder. */
static void path_of(int fd, char ret[PATH_MAX])
{
    char link[64];

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, ret, PATH_MAX - 1);
    ret[len > 0 ? len : 0] = '\0';
    if (!is_under(ret))
        ret[0] = '\0';
}

static bool watched(int fd, uint64_t *ret_ino)
{
    char path[PATH_MAX];
    struct stat st;
    int saved = errno;

    path_of(fd, path);
    bool is = path[0] && fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
    if (is)
        *ret_ino = st.st_ino;
    errno = saved;
    return is;
}

/* A name as the folder's inode and the last part. False when it is elsewhere. */
static bool place_of(int folder, const char *name, uint64_t *ret_parent,
                     char ret_last[NAME_MAX + 1])
{
    char path[PATH_MAX], parent[PATH_MAX];
    struct stat st;
    int saved = errno;

    if (name[0] == '/') {
        (void)snprintf(path, sizeof(path), "%s", name);
    } else {
        char base[PATH_MAX] = "";
        if (folder == AT_FDCWD)
            (void)!getcwd(base, sizeof(base));
        else
            path_of(folder, base);
        if (!base[0] || snprintf(path, sizeof(path), "%s/%s", base, name) >= (int)sizeof(path)) {
            errno = saved;
            return false;
        }
    }
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        path[--len] = '\0';
    char *slash = strrchr(path, '/');
    if (!slash || !realpath((*slash = '\0', path[0] ? path : "/"), parent) || !is_under(parent) ||
        stat(parent, &st) != 0) {
        errno = saved;
        return false;
    }
    (void)snprintf(ret_last, NAME_MAX + 1, "%s", slash + 1);
    *ret_parent = st.st_ino;
    errno = saved;
    return true;
}

/* ---- opening ---- */

typedef int open_fn(int folder, const char *name, int flags, mode_t mode);

static int real_openat(int folder, const char *name, int flags, mode_t mode)
{
    return REAL(int (*)(int, const char *, int, ...), openat64)(folder, name, flags, mode);
}

static int open_any(int folder, const char *name, int flags, mode_t mode)
{
    char last[NAME_MAX + 1];
    uint64_t parent;
    struct stat st;

    if (!(flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE ||
        !place_of(folder, name, &parent, last))
        return real_openat(folder, name, flags, mode);
    (void)pthread_mutex_lock(&lock);
    bool there = fstatat(folder, name, &st, 0) == 0;
    int fd = real_openat(folder, name, flags, mode);
    int saved = errno;
    if (fd >= 0 && fstat(fd, &st) == 0) {
        if (!there)
            put_line(NULL, 0, "open %ju %ju %zu:%s 1\n", (uintmax_t)st.st_ino, (uintmax_t)parent,
                     strlen(last), last);
        else if (flags & O_TRUNC)
            put_line(NULL, 0, "cut %ju 0\n", (uintmax_t)st.st_ino);
    }
    (void)pthread_mutex_unlock(&lock);
    errno = saved;
    return fd;
}

static mode_t mode_of(int flags, va_list args)
{
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
}

#define OPENER(name)                                                                               \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        va_list args;                                                                              \
        va_start(args, flags);                                                                     \
        mode_t mode = mode_of(flags, args);                                                        \
        va_end(args);                                                                              \
        return open_any(AT_FDCWD, path, flags, mode);                                              \
    }
OPENER(open)
OPENER(open64)

#define OPENER_AT(name)                                                                            \
    int name(int folder, const char *path, int flags, ...)                                         \
    {                                                                                              \
        va_list args;                                                                              \
        va_start(args, flags);                                                                     \
        mode_t mode = mode_of(flags, args);                                                        \
        va_end(args);                                                                              \
        return open_any(folder, path, flags, mode);                                                \
    }
OPENER_AT(openat)
OPENER_AT(openat64)

static int made_temporary(int (*make)(char *, int), char *template, int flags)
{
    char last[NAME_MAX + 1];
    uint64_t parent;
    struct stat st;

    (void)pthread_mutex_lock(&lock);
    int fd = make(template, flags);
    int saved = errno;
    if (fd >= 0 && place_of(AT_FDCWD, template, &parent, last) && fstat(fd, &st) == 0)
        put_line(NULL, 0, "open %ju %ju %zu:%s 1\n", (uintmax_t)st.st_ino, (uintmax_t)parent,
                 strlen(last), last);
    (void)pthread_mutex_unlock(&lock);
    errno = saved;
    return fd;
}

int mkostemp(char *template, int flags)
{
    return made_temporary(REAL(int (*)(char *, int), mkostemp64), template, flags);
}

int mkostemp64(char *template, int flags)
{
    return made_temporary(REAL(int (*)(char *, int), mkostemp64), template, flags);
}

/* ---- data ---- */

static ssize_t written(ssize_t result, uint64_t ino, off_t offset, const void *bytes)
{
    int saved = errno;

    if (result > 0)
        put_line(bytes, (size_t)result, "write %ju %jd %zd\n", (uintmax_t)ino, (intmax_t)offset,
                 result);
    errno = saved;
    return result;
}

static ssize_t pwrite_any(int fd, const void *bytes, size_t len, off_t offset)
{
    ssize_t (*call)(int, const void *, size_t, off_t) =
        REAL(ssize_t(*)(int, const void *, size_t, off_t), pwrite64);
    uint64_t ino;

    if (!watched(fd, &ino))
        return call(fd, bytes, len, offset);
    (void)pthread_mutex_lock(&lock);
    ssize_t result = written(call(fd, bytes, len, offset), ino, offset, bytes);
    (void)pthread_mutex_unlock(&lock);
    return result;
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    return pwrite_any(fd, bytes, len, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t offset)
{
    return pwrite_any(fd, bytes, len, offset);
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    ssize_t (*call)(int, const void *, size_t) = REAL(ssize_t(*)(int, const void *, size_t), write);
    uint64_t ino;

    if (!watched(fd, &ino))
        return call(fd, bytes, len);
    (void)pthread_mutex_lock(&lock);
    ssize_t result = call(fd, bytes, len);
    int saved = errno;
    off_t end = lseek(fd, 0, SEEK_CUR); /* behind what was written, also with O_APPEND */
    errno = saved;
    (void)written(result, ino, end - (result > 0 ? result : 0), bytes);
    (void)pthread_mutex_unlock(&lock);
    return result;
}

static int cut_any(int fd, off_t size)
{
    int (*call)(int, off_t) = REAL(int (*)(int, off_t), ftruncate64);
    uint64_t ino;

    if (!watched(fd, &ino))
        return call(fd, size);
    (void)pthread_mutex_lock(&lock);
    int result = call(fd, size);
    int saved = errno;
    if (result == 0)
        put_line(NULL, 0, "cut %ju %jd\n", (uintmax_t)ino, (intmax_t)size);
    (void)pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

int ftruncate(int fd, off_t size)
{
    return cut_any(fd, size);
}

int ftruncate64(int fd, off_t size)
{
    return cut_any(fd, size);
}

static int sync_any(int (*call)(int), int fd)
{
    uint64_t ino;

    if (!watched(fd, &ino))
        return call(fd);
    (void)pthread_mutex_lock(&lock);
    int result = call(fd);
    int saved = errno;
    if (result == 0)
        put_line(NULL, 0, "sync %ju\n", (uintmax_t)ino);
    (void)pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

/* The disk's own wait is what makes these slow, and the simulated disk has none. */
static int nothing(int fd)
{
    return fcntl(fd, F_GETFD) < 0 ? -1 : 0;
}

int fsync(int fd)
{
    return sync_any(nothing, fd);
}

int fdatasync(int fd)
{
    return sync_any(nothing, fd);
}

/* ---- names ---- */

static int made_folder(int folder, const char *name, mode_t mode)
{
    int (*call)(int, const char *, mode_t) = REAL(int (*)(int, const char *, mode_t), mkdirat);
    char last[NAME_MAX + 1];
    uint64_t parent;
    struct stat st;

    (void)pthread_mutex_lock(&lock);
    bool is = place_of(folder, name, &parent, last);
    int result = call(folder, name, mode);
    int saved = errno;
    if (is && result == 0 && fstatat(folder, name, &st, 0) == 0)
        put_line(NULL, 0, "mkdir %ju %ju %zu:%s\n", (uintmax_t)st.st_ino, (uintmax_t)parent,
                 strlen(last), last);
    (void)pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

int mkdir(const char *path, mode_t mode)
{
    return made_folder(AT_FDCWD, path, mode);
}

int mkdirat(int folder, const char *name, mode_t mode)
{
    return made_folder(folder, name, mode);
}

static int removed(int folder, const char *name, int flags)
{
    int (*call)(int, const char *, int) = REAL(int (*)(int, const char *, int), unlinkat);
    char last[NAME_MAX + 1];
    uint64_t parent;

    (void)pthread_mutex_lock(&lock);
    bool is = place_of(folder, name, &parent, last);
    int result = call(folder, name, flags);
    int saved = errno;
    if (is && result == 0)
        put_line(NULL, 0, "remove %ju %zu:%s\n", (uintmax_t)parent, strlen(last), last);
    (void)pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

int unlink(const char *path)
{
    return removed(AT_FDCWD, path, 0);
}

int unlinkat(int folder, const char *name, int flags)
{
    return removed(folder, name, flags);
}

int rmdir(const char *path)
{
    return removed(AT_FDCWD, path, AT_REMOVEDIR);
}

int remove(const char *path)
{
    struct stat st;

    return removed(AT_FDCWD, path, lstat(path, &st) == 0 && S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0);
}

static int renamed(int folder, const char *name, int to_folder, const char *to_name, unsigned flags)
{
    int (*call)(int, const char *, int, const char *, unsigned) =
        REAL(int (*)(int, const char *, int, const char *, unsigned), renameat2);
    char last[NAME_MAX + 1], to_last[NAME_MAX + 1];
    uint64_t parent, to_parent;

    (void)pthread_mutex_lock(&lock);
    bool is =
        place_of(folder, name, &parent, last) && place_of(to_folder, to_name, &to_parent, to_last);
    int result = call(folder, name, to_folder, to_name, flags);
    int saved = errno;
    if (is && result == 0)
        put_line(NULL, 0, "%s %ju %zu:%s %ju %zu:%s\n",
                 flags & RENAME_EXCHANGE ? "exchange" : "rename", (uintmax_t)parent, strlen(last),
                 last, (uintmax_t)to_parent, strlen(to_last), to_last);
    (void)pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

int rename(const char *from, const char *to)
{
    return renamed(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat(int folder, const char *from, int to_folder, const char *to)
{
    return renamed(folder, from, to_folder, to, 0);
}

int renameat2(int folder, const char *from, int to_folder, const char *to, unsigned flags)
{
    return renamed(folder, from, to_folder, to, flags);
}

/* ---- what would escape the log ends the program: better than a wrong image ---- */

#define UNSEEN(result, name, ...)                                                                  \
    result name(__VA_ARGS__)                                                                       \
    {                                                                                              \
        fprintf(stderr, "record: " #name " is not recorded; add it\n");                            \
        abort();                                                                                   \
    }
UNSEEN(ssize_t, copy_file_range, int a, off64_t *b, int c, off64_t *d, size_t e, unsigned f)
UNSEEN(int, link, const char *a, const char *b)
UNSEEN(int, linkat, int a, const char *b, int c, const char *d, int e)
UNSEEN(int, truncate64, const char *a, off64_t b)
UNSEEN(ssize_t, pwritev64, int a, const struct iovec *b, int c, off64_t d)
UNSEEN(int, fallocate64, int a, int b, off64_t c, off64_t d)
UNSEEN(int, posix_fallocate64, int a, off64_t b, off64_t c)
