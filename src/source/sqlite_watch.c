/* Waiting for somebody's commit: inotify on the folders, so that also a file that is made anew, and
 * its log and journal, are seen. Nothing is asked while nothing happens. */
#include "source/sqlite_internal.h"

#include <errno.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/num.h"

#define DISTANT_LOOK_MS 5000 /* where inotify does not tell of other machines' writes */
#define QUIET_MS 2           /* a commit is several writes: they are waited for */
#define QUIET_MAX_MS 10      /* but no longer than this */
#define END_QUIET_MS 30 /* a set that is being removed is let go: opening it makes a log anew */
#define END_QUIET_MAX_MS 100

/* ---- what is watched ---- */

static bool is_distant(const char *path)
{
    /* NFS, CIFS, SMB2, FUSE, 9p, Ceph: linux/magic.h */
    static const long types[] = {0x6969,     0xFF534D42, 0xFE534D42,
                                 0x65735546, 0x01021997, 0x00c36400};
    struct statfs fs;

    if (statfs(path, &fs) < 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if ((unsigned)fs.f_type == (unsigned)types[i]) {
            return true;
        }
    }
    return false;
}

static int watch_folder_of(int fd, const char *path, struct err *err)
{
    AUTO(free_ptr) char *folder = xstrdup(path);
    char *slash = strrchr(folder, '/');

    *(slash == folder ? slash + 1 : slash) = '\0'; /* paths are absolute */
    /* What only reads, or closes a log that it opened to read, is no change: else our own looks
     * would wake us. */
    if (inotify_add_watch(fd, folder,
                          IN_MODIFY | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_CREATE |
                              IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR) < 0) {
        return errno == ENOENT || errno == ENOTDIR
                   ? err_set(err, ERR_NOT_FOUND, "the folder %s is not there", folder)
                   : err_errno(err, ERR_UNAVAILABLE, errno, "can't watch %s", folder);
    }
    return 0;
}

int sqlite_watch_open(struct sqlite_watch *watch, const char *path, struct err *err)
{
    char *real = realpath(path, NULL);

    *watch = (struct sqlite_watch){.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK)};
    watch->path = xstrdup(path);
    watch->real = real != NULL ? real : xstrdup(path);
    watch->is_distant = is_distant(path);
    if (watch->fd < 0) {
        return err_errno(err, ERR_UNAVAILABLE, errno, "can't watch %s", path);
    }
    if (watch_folder_of(watch->fd, watch->path, err) < 0 ||
        watch_folder_of(watch->fd, watch->real, err) < 0) {
        close_fd(&watch->fd); /* the names stay: they are looked at without it */
        watch->fd = -1;
        return -(int)err->code;
    }
    return 0;
}

void sqlite_watch_close(struct sqlite_watch *watch)
{
    close_fd(&watch->fd);
    free(watch->path);
    free(watch->real);
    *watch = (struct sqlite_watch){.fd = -1};
}

int sqlite_watch_refresh(struct sqlite_watch *watch, struct err *err)
{
    AUTO(free_ptr) char *path = xstrdup(watch->path);
    AUTO(free_ptr) char *real = realpath(path, NULL);

    if (real == NULL || strcmp(real, watch->real) == 0 || watch->fd < 0) {
        return 0;
    }
    sqlite_watch_close(watch);
    return sqlite_watch_open(watch, path, err);
}

/* ---- what happened ---- */

static const char *name_of(const char *path)
{
    return strrchr(path, '/') + 1;
}

enum part { PART_NONE, PART_FILE, PART_LOG };

/* Which file of the set it is; of a log and a journal, their being opened by a reader is nothing.
 */
static enum part part_of(const char *path, const struct inotify_event *event)
{
    const char *name = name_of(path);
    size_t len = strlen(name);

    if (event->len == 0 || strncmp(event->name, name, len) != 0) {
        return PART_NONE;
    }
    const char *rest = event->name + len;
    bool is_beside = strcmp(rest, "-wal") == 0 || strcmp(rest, "-journal") == 0;
    return *rest == '\0'                                 ? PART_FILE
           : is_beside && (event->mask & IN_CREATE) == 0 ? PART_LOG
                                                         : PART_NONE;
}

/* True: it is a change. */
static bool take_event(struct sqlite_watch *watch, const struct inotify_event *event)
{
    bool is_lost = (event->mask & IN_Q_OVERFLOW) != 0; /* what it was is not known */
    enum part part = part_of(watch->path, event);

    part = part == PART_NONE ? part_of(watch->real, event) : part;
    watch->saw_log = watch->saw_log || is_lost || (part == PART_LOG && (event->mask & IN_MODIFY));
    watch->saw_file = watch->saw_file || is_lost || part == PART_FILE;
    watch->saw_end =
        watch->saw_end || (part != PART_NONE && (event->mask & (IN_DELETE | IN_MOVED_FROM)) != 0);
    return is_lost || part != PART_NONE;
}

/* Takes all events there are. 1: one of them is a change. */
static int take_events(struct sqlite_watch *watch, struct err *err)
{
    _Alignas(struct inotify_event) char bytes[4096];
    bool changed = false;
    ssize_t len;

    while ((len = read(watch->fd, bytes, sizeof(bytes))) > 0) {
        for (char *at = bytes; at < bytes + len;) {
            const struct inotify_event *event = (const void *)at;
            if ((event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)) != 0) {
                return err_set(err, ERR_NOT_FOUND, "the folder of %s was removed", watch->path);
            }
            changed = take_event(watch, event) || changed;
            at += sizeof(*event) + event->len;
        }
    }
    return changed ? 1 : 0;
}

/* 1: a change; 0: the deadline came. */
static int wait_event(struct sqlite_watch *watch, struct wake *cancel, struct deadline deadline,
                      struct err *err)
{
    struct pollfd fds[2] = {{.fd = watch->fd, .events = POLLIN},
                            {.fd = cancel == NULL ? -1 : cancel->fd, .events = POLLIN}};

    for (;;) {
        if (cancel != NULL && wake_cancelled(cancel)) {
            return err_set(err, ERR_CANCELLED, "cancelled");
        }
        int64_t left = deadline_left_ms(deadline);
        int ready = poll(fds, 2, left > INT32_MAX ? -1 : (int)left);
        if (ready < 0 && errno != EINTR) {
            return err_errno(err, ERR_INTERNAL, errno, "poll");
        }
        if (ready > 0 && (fds[1].revents & POLLIN) != 0) {
            (void)wake_wait(cancel, deadline_in(0)); /* takes the signal; cancellation stays */
        }
        int rc = take_events(watch, err);
        if (rc != 0 || (ready == 0 && left <= INT32_MAX)) {
            return rc;
        }
    }
}

int sqlite_watch_wait(struct sqlite_watch *watch, struct wake *cancel, struct deadline deadline,
                      struct err *err)
{
    struct deadline look = deadline_in(DISTANT_LOOK_MS);
    bool looks = watch->is_distant && look.at_ms < deadline.at_ms;

    int rc = wait_event(watch, cancel, looks ? look : deadline, err);
    if (rc <= 0) {
        return rc == 0 && looks ? 1 : rc;
    }
    struct deadline most = deadline_in(watch->saw_end ? END_QUIET_MAX_MS : QUIET_MAX_MS);
    int more = 1;
    while (more > 0 && deadline_left_ms(most) > 0) {
        more =
            wait_event(watch, cancel, deadline_in(watch->saw_end ? END_QUIET_MS : QUIET_MS), err);
    }
    watch->saw_end = false;
    return more < 0 ? more : 1;
}

/* ---- what the name leads to ---- */

int sqlite_identify(const char *path, struct sqlite_identity *ret, struct err *err)
{
    AUTO(free_ptr) char *log = xprintf("%s-wal", path);
    struct stat file;
    struct stat beside;

    if (stat(path, &file) < 0) {
        return errno == ENOENT || errno == ENOTDIR
                   ? err_set(err, ERR_NOT_FOUND, "there is no file %s", path)
                   : err_errno(err, ERR_UNAVAILABLE, errno, "%s", path);
    }
    if (!S_ISREG(file.st_mode)) {
        return err_set(err, ERR_CORRUPT, "%s is no file", path);
    }
    *ret = (struct sqlite_identity){.device = file.st_dev,
                                    .inode = file.st_ino,
                                    .mode = file.st_mode,
                                    .size = file.st_size,
                                    .mtime_us = (int64_t)file.st_mtim.tv_sec * 1000000 +
                                                file.st_mtim.tv_nsec / 1000,
                                    .log_size = stat(log, &beside) == 0 ? beside.st_size : -1};
    return 0;
}

uint32_t sqlite_counter(sqlite3 *db)
{
    sqlite3_file *file = NULL;
    unsigned char bytes[4];

    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK ||
        file == NULL || file->pMethods == NULL ||
        file->pMethods->xRead(file, bytes, sizeof(bytes), 24) != SQLITE_OK) {
        return 0;
    }
    return be32_get(bytes);
}

#define LOG_HEAD 32   /* bytes of a log's header, of which 8..11 are the page size, 16..23 salts */
#define FRAME_HEAD 24 /* of a frame's, of which 8..15 are the log's salts */
#define INDEX_MX_FRAME 16

static bool has_frame(sqlite3_file *log, uint32_t number)
{
    unsigned char head[LOG_HEAD];
    unsigned char frame[FRAME_HEAD];

    if (log->pMethods->xRead(log, head, sizeof(head), 0) != SQLITE_OK) {
        return false;
    }
    int64_t at = LOG_HEAD + (int64_t)number * (FRAME_HEAD + (int64_t)be32_get(head + 8));
    return log->pMethods->xRead(log, frame, sizeof(frame), at) == SQLITE_OK &&
           memcmp(head + 16, frame + 8, 8) == 0;
}

struct sqlite_log sqlite_log_read(sqlite3 *db)
{
    struct sqlite_log ret = {.is_ahead = false};
    sqlite3_file *file = NULL;
    sqlite3_file *log = NULL;
    void volatile *index = NULL;
    uint32_t frames;

    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK ||
        sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) != SQLITE_OK ||
        file == NULL || file->pMethods == NULL || file->pMethods->iVersion < 2 || log == NULL ||
        log->pMethods == NULL ||
        file->pMethods->xShmMap(file, 0, 32 * 1024, 0, &index) != SQLITE_OK || index == NULL) {
        return ret;
    }
    for (size_t i = 0; i < sizeof(ret.index); i++) {
        ret.index[i] = ((const unsigned char volatile *)index)[i];
    }
    memcpy(&frames, ret.index + INDEX_MX_FRAME, sizeof(frames));
    ret.is_ahead = has_frame(log, frames);
    return ret;
}
