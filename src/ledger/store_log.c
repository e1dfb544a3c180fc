/*
 * SQLite's log (ledger.db-wal): how long it is, bringing it into the file, and making room for it
 * in advance.
 *
 * Appending to a file makes each fdatasync write its new length, too, which costs as much again as
 * the data. So the log is filled with zeros once, up to where the keeper empties it, and from then
 * on only overwritten. SQLite takes zeros for the log's end: a frame counts only with the salts and
 * checksums of its log.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "ledger/store_internal.h"

int store_note_log(void *arg, sqlite3 *db, const char *name, int pages)
{
    struct store *store = arg;

    (void)db;
    (void)name;
    store->log_pages = pages;
    return SQLITE_OK;
}

int store_log_pages(const struct store *store)
{
    return store->log_pages;
}

int store_checkpoint(struct store *store, bool whole, struct err *err)
{
    int pages = 0;
    int done = 0;

    CRASH_POINT("ledger.checkpoint.before");
    if (FAULT("ledger.checkpoint", EIO)) {
        return conn_error(&store->conn, SQLITE_IOERR_FSYNC, err);
    }
    (void)sqlite3_busy_timeout(store->conn.db,
                               0); /* writers wait meanwhile: don't wait for readers */
    int rc = sqlite3_wal_checkpoint_v2(
        store->conn.db, NULL, whole ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE,
        &pages, &done);
    (void)sqlite3_busy_timeout(store->conn.db, CONN_BUSY_MS);
    CRASH_POINT("ledger.checkpoint.after");
    if (rc == SQLITE_BUSY) {
        return 0; /* readers hold it up; the log stays, and a later one takes it */
    }
    if (rc != SQLITE_OK) {
        return conn_error(&store->conn, rc, err);
    }
    store->log_pages = pages - done;
    if (whole) {
        store->log_extended = false; /* it is empty now */
    }
    return 0;
}

bool store_log_extended(const struct store *store)
{
    return store->log_extended;
}

/* Zeros from `from` to the end. What can't be had is given back: it must not take a full disk's
 * last room. */
static int fill(int fd, const char *path, off_t from, struct err *err)
{
    static const char zeros[64 * 1024];
    off_t at = from;
    int result = 0;

    while (at < STORE_LOG_BYTES && result == 0) {
        size_t len = STORE_LOG_BYTES - at < (off_t)sizeof(zeros) ? (size_t)(STORE_LOG_BYTES - at)
                                                                 : sizeof(zeros);
        ssize_t written = pwrite(fd, zeros, len, at);
        if (written < 0 && errno != EINTR) {
            result = err_errno(err, ERR_IO, errno, "%s", path);
        }
        at += written < 0 ? 0 : written;
    }
    if (result < 0 && ftruncate(fd, from) < 0) {
        return err_errno(err, ERR_IO, errno, "%s", path);
    }
    return result;
}

int store_extend_log(struct store *store, struct err *err)
{
    AUTO(free_ptr) char *path = path_join(store->folder, "ledger.db-wal");
    AUTO(close_fd) int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat now;

    store->log_extended = true; /* also when it fails: it is tried once */
    if (fd < 0 || fstat(fd, &now) < 0) {
        return err_errno(err, ERR_IO, errno, "%s", path);
    }
    CRASH_POINT("ledger.log.extend");
    int result = fill(fd, path, now.st_size, err);
    if (result == 0) {
        result = file_sync(fd, path, err);
    }
    CRASH_POINT("ledger.log.extended");
    return result;
}
