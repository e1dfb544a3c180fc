#include "recover/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>

#include "base/fault.h"
#include "base/file.h"
#include "ledger/conn.h"

static int run_backup(struct conn *from, struct conn *to, struct err *err)
{
    sqlite3_backup *backup = sqlite3_backup_init(to->db, "main", from->db, "main");

    if (backup == NULL) {
        return conn_error(to, sqlite3_extended_errcode(to->db), err);
    }
    int rc = FAULT("recover.copy", ENOSPC) ? SQLITE_FULL : sqlite3_backup_step(backup, -1);
    int finished = sqlite3_backup_finish(backup);
    if (rc == SQLITE_DONE && finished == SQLITE_OK) {
        return 0;
    }
    return conn_error(to, rc == SQLITE_DONE ? finished : rc, err);
}

/* Nobody else needs to read what is remembered; SQLite would go by the umask. */
static int make_file(const char *path, struct err *err)
{
    AUTO(close_fd) int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    return fd >= 0 ? 0 : err_errno(err, ERR_IO, errno, "making %s", path);
}

int copy_database(const char *from_folder, const char *to_folder, const char *name, struct err *err)
{
    AUTO(free_ptr) char *from_path = path_join(from_folder, name);
    AUTO(free_ptr) char *to_path = path_join(to_folder, name);
    AUTO(conn_close) struct conn from = {.db = NULL};
    AUTO(conn_close) struct conn to = {.db = NULL};

    int result = conn_open(&from, from_path, SQLITE_OPEN_READONLY, err);
    if (result == 0) {
        result = make_file(to_path, err);
    }
    if (result == 0) {
        result = conn_open(&to, to_path, SQLITE_OPEN_READWRITE, err);
    }
    if (result == 0) { /* a copy that was cut short is thrown away as a whole */
        result = conn_exec(&to, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF", err);
    }
    if (result == 0) {
        result = run_backup(&from, &to, err);
    }
    return result < 0 ? err_context(err, "copying %s to %s", from_path, to_folder) : 0;
}
