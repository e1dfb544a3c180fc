#include "ledger/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static int refuse(const char *home, struct err *err)
{
    AUTO(free_ptr) char *path = path_join(home, "lock");
    struct err ignored;
    AUTO(buf_done) struct buf text = BUF_INIT(LOCK_WHO_MAX_BYTES);

    if (file_read(path, LOCK_WHO_MAX_BYTES, &text, &ignored) < 0 || text.len == 0) {
        return err_set(err, ERR_BUSY, "%s: another engine holds it; stop that one first", home);
    }
    size_t len = text.data[text.len - 1] == '\n' ? text.len - 1 : text.len;
    return err_set(err, ERR_BUSY,
                   "%s: held by %.*s; stop it first (`holdfast stop`), or work through it", home,
                   (int)len, text.data);
}

/* The file that was locked is still the one that the name leads to: else its holder went away with
 * its home. */
static bool still_there(int fd, const char *path)
{
    struct stat locked;
    struct stat named;

    return fstat(fd, &locked) == 0 && stat(path, &named) == 0 && locked.st_dev == named.st_dev &&
           locked.st_ino == named.st_ino;
}

static int write_who(int fd, const char *path, const char *who, struct err *err)
{
    AUTO(free_ptr)
    char *text = strstr(who, "pid ") != NULL
                     ? xprintf("%.*s\n", LOCK_WHO_MAX_BYTES - 1, who)
                     : xprintf("%.*s (pid %ld)\n", LOCK_WHO_MAX_BYTES - 32, who, (long)getpid());

    if (ftruncate(fd, 0) < 0) {
        return err_errno(err, ERR_IO, errno, "%s", path);
    }
    return file_write_all(fd, text, strlen(text), path, err);
}

/* Open and lock; the descriptor, or -ERR_*. */
static int take_one(const char *home, const char *path, int flags, struct err *err)
{
    int fd = -1;

    do {
        close_fd(&fd);
        fd = open(path, flags | O_CLOEXEC, 0600);
        if (fd < 0) {
            return err_errno(err, ERR_IO, errno, "%s", path);
        }
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
            int why = errno;
            close_fd(&fd);
            return why == EWOULDBLOCK ? refuse(home, err) : err_errno(err, ERR_IO, why, "%s", path);
        }
    } while (!still_there(fd, path));
    return fd;
}

int lock_take(const char *home, const char *who, struct lock *ret, struct err *err)
{
    AUTO(free_ptr) char *path = path_join(home, "lock");
    AUTO(lock_release) struct lock lock = LOCK_NONE;

    lock.folder = take_one(home, home, O_RDONLY | O_DIRECTORY, err);
    if (lock.folder < 0) {
        return lock.folder;
    }
    lock.file = take_one(home, path, O_RDWR | O_CREAT, err);
    if (lock.file < 0) {
        return lock.file;
    }
    int result = write_who(lock.file, path, who, err);
    if (result == 0) {
        *ret = lock;
        lock = LOCK_NONE;
    }
    return result;
}

void lock_release(struct lock *lock)
{
    if (lock->file >= 0) {
        if (ftruncate(lock->file, 0) < 0) {
            /* The text is for people; the lock is what counts. */
        }
        close_fd(&lock->file);
    }
    if (lock->folder >= 0) {
        close_fd(&lock->folder);
    }
}
