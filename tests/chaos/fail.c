/*
 * fail - a library to preload that makes one call fail.
 *
 * FAIL_CALL is "write" (write, pwrite), "sync" (fsync, fdatasync), "rename", "open", "cut"
 * (ftruncate), "mkdir", "unlink" or "malloc" (malloc, calloc, realloc); FAIL_NTH which one, from 1,
 * of this process (0: none); FAIL_ERRNO the errno, 0 for a write that is cut short. Only files
 * below FAIL_UNDER count, and with FAIL_NAME only those whose path has that in it. With FAIL_ARM
 * counting begins when that file is there. FAIL_COUNT names a file to which the number of calls is
 * written at exit; FAIL_HIT one that is made at the moment of the failure.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REAL(type, name) ((type)real(#name))

enum call {
    CALL_WRITE,
    CALL_SYNC,
    CALL_RENAME,
    CALL_OPEN,
    CALL_CUT,
    CALL_MKDIR,
    CALL_UNLINK,
    CALL_MALLOC,
    CALL_NONE
};

static const char *const names[] = {"write", "sync",  "rename", "open",
                                    "cut",   "mkdir", "unlink", "malloc"};
static enum call chosen = CALL_NONE;
static const char *under = "";
static long nth;
static int error;
static const char *arm, *mark, *name_part;
static atomic_long passed;

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);

    if (!found)
        abort();
    return found;
}

static long number(const char *variable)
{
    const char *text = getenv(variable);

    return text ? strtol(text, NULL, 10) : 0;
}

__attribute__((constructor)) static void start(void)
{
    const char *call = getenv("FAIL_CALL");

    under = getenv("FAIL_UNDER") ? getenv("FAIL_UNDER") : "/nowhere";
    nth = number("FAIL_NTH");
    error = (int)number("FAIL_ERRNO");
    arm = getenv("FAIL_ARM");
    mark = getenv("FAIL_HIT");
    name_part = getenv("FAIL_NAME");
    for (int i = 0; call && i < CALL_NONE; i++)
        if (strcmp(names[i], call) == 0)
            chosen = (enum call)i;
    if (chosen == CALL_NONE)
        abort();
}

/* Also when the process aborts, nothing more is needed: the count matters for the run without a
 * fault. */
__attribute__((destructor)) static void end(void)
{
    const char *path = getenv("FAIL_COUNT");
    char text[32];

    chosen = CALL_NONE;
    int fd =
        path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;
    int len = snprintf(text, sizeof(text), "%ld", (long)passed);
    if (fd >= 0 && syscall(SYS_write, fd, text, (size_t)len) != len)
        abort();
}

static bool hit(enum call call)
{
    if (call != chosen || (arm && syscall(SYS_access, arm, F_OK) != 0) || ++passed != nth)
        return false;
    if (mark)
        (void)syscall(SYS_close, syscall(SYS_openat, AT_FDCWD, mark, O_WRONLY | O_CREAT, 0600));
    errno = error;
    return true;
}

static bool path_under(const char *path)
{
    size_t len = strlen(under);

    return strncmp(path, under, len) == 0 && (path[len] == '/' || path[len] == '\0') &&
           (!name_part || strstr(path, name_part));
}

static bool fd_under(int fd)
{
    char link[64], path[PATH_MAX];
    int saved = errno;

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof(path) - 1);
    path[len > 0 ? len : 0] = '\0';
    errno = saved;
    return path_under(path);
}

static bool place_under(int folder, const char *name)
{
    return name[0] == '/' ? path_under(name) : folder != AT_FDCWD && fd_under(folder);
}

/* ---- data ---- */

ssize_t write(int fd, const void *bytes, size_t len)
{
    if (chosen == CALL_WRITE && fd_under(fd) && hit(CALL_WRITE)) {
        if (error)
            return -1;
        len = len / 2;
    }
    return REAL(ssize_t(*)(int, const void *, size_t), write)(fd, bytes, len);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t offset)
{
    if (chosen == CALL_WRITE && fd_under(fd) && hit(CALL_WRITE)) {
        if (error)
            return -1;
        len = len / 2;
    }
    return REAL(ssize_t(*)(int, const void *, size_t, off_t), pwrite64)(fd, bytes, len, offset);
}

int ftruncate64(int fd, off_t size)
{
    if (chosen == CALL_CUT && fd_under(fd) && hit(CALL_CUT))
        return -1;
    return REAL(int (*)(int, off_t), ftruncate64)(fd, size);
}

int fsync(int fd)
{
    if (chosen == CALL_SYNC && fd_under(fd) && hit(CALL_SYNC))
        return -1;
    return 0; /* no power fails here */
}

int fdatasync(int fd)
{
    return fsync(fd);
}

/* ---- names ---- */

static int open_any(int folder, const char *name, int flags, mode_t mode)
{
    if (chosen == CALL_OPEN && place_under(folder, name) && hit(CALL_OPEN))
        return -1;
    return REAL(int (*)(int, const char *, int, ...), openat64)(folder, name, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list args;

    va_start(args, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
    va_end(args);
    return open_any(AT_FDCWD, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...)
{
    va_list args;

    va_start(args, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
    va_end(args);
    return open_any(folder, path, flags, mode);
}

int mkostemp64(char *template, int flags)
{
    if (chosen == CALL_OPEN && path_under(template) && hit(CALL_OPEN))
        return -1;
    return REAL(int (*)(char *, int), mkostemp64)(template, flags);
}

int mkdir(const char *path, mode_t mode)
{
    if (chosen == CALL_MKDIR && path_under(path) && hit(CALL_MKDIR))
        return -1;
    return REAL(int (*)(const char *, mode_t), mkdir)(path, mode);
}

int mkdirat(int folder, const char *name, mode_t mode)
{
    if (chosen == CALL_MKDIR && place_under(folder, name) && hit(CALL_MKDIR))
        return -1;
    return REAL(int (*)(int, const char *, mode_t), mkdirat)(folder, name, mode);
}

int unlink(const char *path)
{
    if (chosen == CALL_UNLINK && path_under(path) && hit(CALL_UNLINK))
        return -1;
    return REAL(int (*)(const char *), unlink)(path);
}

int unlinkat(int folder, const char *name, int flags)
{
    if (chosen == CALL_UNLINK && place_under(folder, name) && hit(CALL_UNLINK))
        return -1;
    return REAL(int (*)(int, const char *, int), unlinkat)(folder, name, flags);
}

int rename(const char *from, const char *to)
{
    if (chosen == CALL_RENAME && path_under(to) && hit(CALL_RENAME))
        return -1;
    return REAL(int (*)(const char *, const char *), rename)(from, to);
}

int renameat(int folder, const char *from, int to_folder, const char *to)
{
    if (chosen == CALL_RENAME && place_under(to_folder, to) && hit(CALL_RENAME))
        return -1;
    return REAL(int (*)(int, const char *, int, const char *), renameat)(folder, from, to_folder,
                                                                         to);
}

int renameat2(int folder, const char *from, int to_folder, const char *to, unsigned flags)
{
    if (chosen == CALL_RENAME && place_under(to_folder, to) && hit(CALL_RENAME))
        return -1;
    return REAL(int (*)(int, const char *, int, const char *, unsigned),
                renameat2)(folder, from, to_folder, to, flags);
}

/* ---- memory: glibc's own entry points, so that nothing here allocates before it counts ---- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

void *malloc(size_t size)
{
    if (chosen == CALL_MALLOC && hit(CALL_MALLOC))
        return NULL;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    if (chosen == CALL_MALLOC && hit(CALL_MALLOC))
        return NULL;
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    if (chosen == CALL_MALLOC && hit(CALL_MALLOC))
        return NULL;
    return __libc_realloc(old, size);
}
