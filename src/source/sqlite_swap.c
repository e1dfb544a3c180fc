/* Where a restore writes: in the file, or beside it, to be exchanged. */
#include "source/sqlite_internal.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

/* ---- who holds what was removed ---- */

/* "PATH (deleted)", or that of its log. */
static bool is_removed(const char *link, const char *path)
{
    size_t len = strlen(path);

    if (strncmp(link, path, len) != 0) {
        return false;
    }
    const char *rest = link + len;
    rest += strncmp(rest, "-wal", 4) == 0 || strncmp(rest, "-shm", 4) == 0 ? 4 : 0;
    return strcmp(rest, " (deleted)") == 0;
}

static bool holds_removed(const char *pid, const char *path)
{
    AUTO(free_ptr) char *folder = xprintf("/proc/%s/fd", pid);
    DIR *dir = opendir(folder);
    bool found = false;

    for (const struct dirent *entry; !found && dir != NULL && (entry = readdir(dir)) != NULL;) {
        char link[4096 + 16];
        ssize_t len = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);
        link[len > 0 ? len : 0] = '\0';
        found = len > 0 && is_removed(link, path);
    }
    if (dir != NULL) {
        (void)closedir(dir); /* it was only read */
    }
    return found;
}

/* 0: none, or none that we may see. */
static int find_holder(const char *path)
{
    DIR *dir = opendir("/proc");
    int holder = 0;

    for (const struct dirent *entry;
         holder == 0 && dir != NULL && (entry = readdir(dir)) != NULL;) {
        bool is_process = isdigit((unsigned char)entry->d_name[0]) != 0;
        int pid = is_process ? (int)strtol(entry->d_name, NULL, 10) : 0;
        if (pid != 0 && pid != (int)getpid() && holds_removed(entry->d_name, path)) {
            holder = pid;
        }
    }
    if (dir != NULL) {
        (void)closedir(dir); /* it was only read */
    }
    return holder;
}

/* ---- what is there ---- */

static int check_sound(const char *path, bool *ret_is_log, struct wake *cancel, struct err *err)
{
    sqlite3 *db = NULL;

    if (sqlite_connect(path, SQLITE_OPEN_READONLY, LITE_RESTORE_BUSY_MS, cancel, &db, err) < 0) {
        return -(int)err->code;
    }
    AUTO(free_ptr) char *answer = NULL;
    AUTO(free_ptr) char *mode = NULL;
    int64_t tables = 0;
    int rc = sqlite_ask(db, "SELECT count(*) FROM sqlite_schema", &tables, err);
    if (rc == 0) {
        answer = sqlite_ask_text(db, "PRAGMA quick_check(1)");
        mode = sqlite_ask_text(db, "PRAGMA journal_mode");
        *ret_is_log = mode != NULL && strcmp(mode, "wal") == 0;
    }
    sqlite_disconnect(&db);
    if (rc == 0 && (answer == NULL || strcmp(answer, "ok") != 0)) {
        return err_set(err, ERR_CORRUPT, "%s", answer == NULL ? "it can't be checked" : answer);
    }
    return rc;
}

/* A sound copy, through SQLite, with what is in its log. */
static int copy_sound(const struct sqlite_place *place, struct wake *cancel, struct err *err)
{
    sqlite3 *from = NULL;
    sqlite3 *to = NULL;
    int rc =
        sqlite_connect(place->path, SQLITE_OPEN_READONLY, LITE_RESTORE_BUSY_MS, cancel, &from, err);

    if (rc == 0) {
        rc = sqlite_connect(place->target, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                            LITE_RESTORE_BUSY_MS, NULL, &to, err);
    }
    sqlite3_backup *backup = rc == 0 ? sqlite3_backup_init(to, "main", from, "main") : NULL;
    if (rc == 0 && backup == NULL) {
        rc = sqlite_error(to, sqlite3_errcode(to), err);
    }
    if (backup != NULL) {
        int code = sqlite3_backup_step(backup, -1);
        (void)sqlite3_backup_finish(backup); /* repeats the step's error */
        rc = code == SQLITE_DONE ? 0 : sqlite_error(to, code, err);
    }
    if (rc == 0) { /* the copy is nobody's yet: it needs no log */
        rc = sqlite_run(to, "PRAGMA journal_mode = DELETE", err);
    }
    sqlite_disconnect(&from);
    sqlite_disconnect(&to);
    return rc;
}

static void remove_set(const char *path)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        AUTO(free_ptr) char *name = xprintf("%s%s", path, ends[i]);
        (void)unlink(name); /* most of them are not there */
    }
}

int sqlite_place_choose(const struct source_options *options, bool dry_run,
                        struct sqlite_place *ret, struct err *err)
{
    AUTO(free_ptr) char *real = realpath(options->path, NULL);
    struct sqlite_identity now;
    struct err why = ERR_INIT;

    *ret = (struct sqlite_place){.path = xstrdup(real != NULL ? real : options->path)};
    bool is_there = sqlite_identify(ret->path, &now, &why) == 0;
    ret->is_empty = is_there && now.size == 0 && now.log_size < 0;
    bool is_sound = ret->is_empty ||
                    (is_there && check_sound(ret->path, &ret->is_log, options->cancel, &why) == 0);
    if (!is_sound && why.code != ERR_NOT_FOUND && why.code != ERR_CORRUPT) {
        return err_copy(err, &why); /* it may be sound, and locked */
    }
    ret->mode = is_there ? now.mode & 07777 : 0;
    ret->holder = find_holder(ret->path);
    ret->is_beside = !is_sound || ret->holder != 0 || dry_run;
    ret->is_empty = ret->is_empty || !is_sound;
    ret->target = ret->is_beside ? xprintf("%s.holdfast-new", ret->path) : xstrdup(ret->path);
    if (ret->is_beside) {
        remove_set(ret->target);
    }
    return ret->is_beside && !ret->is_empty ? copy_sound(ret, options->cancel, err) : 0;
}

void sqlite_place_done(struct sqlite_place *place)
{
    if (place->is_beside && place->target != NULL) {
        remove_set(place->target);
    }
    free(place->path);
    free(place->target);
    *place = (struct sqlite_place){.path = NULL};
}

/* ---- the exchange ---- */

/* Durable, and with the rights and the owner of what was there; else of the folder. */
static int finish_file(const struct sqlite_place *place, struct err *err)
{
    AUTO(free_ptr) char *folder = xstrdup(place->path);
    AUTO(close_fd) int fd = open(place->target, O_RDONLY | O_CLOEXEC); /* nobody else has it */
    struct stat like;

    *strrchr(folder, '/') = '\0';
    if (fd < 0 || fchmod(fd, place->mode != 0 ? place->mode : 0600) < 0) {
        return err_errno(err, ERR_IO, errno, "%s", place->target);
    }
    bool knows = stat(place->path, &like) == 0 || stat(folder, &like) == 0;
    if (knows && geteuid() == 0 && fchown(fd, like.st_uid, like.st_gid) < 0) {
        return err_errno(err, ERR_IO, errno, "%s", place->target);
    }
    return file_sync(fd, place->target, err);
}

static int move_aside(const char *path, const char *kept, const char *end, struct err *err)
{
    AUTO(free_ptr) char *from = xprintf("%s%s", path, end);
    AUTO(free_ptr) char *to = xprintf("%s%s", kept, end);

    return rename(from, to) == 0 || errno == ENOENT ? 0 : err_errno(err, ERR_IO, errno, "%s", from);
}

static char *free_name(const char *path)
{
    for (int number = 1;; number++) {
        char *name = xprintf("%s.replaced-%d", path, number);
        if (access(name, F_OK) != 0) {
            return name;
        }
        free(name);
    }
}

/*
 * The old file goes first, so that nobody opens it without its log; then its log, that would be
 * taken for the new file's. What is left after a crash in between is a file that is gone, and the
 * next restore begins anew.
 */
int sqlite_place_exchange(struct sqlite_place *place, char **ret_kept, struct err *err)
{
    AUTO(free_ptr) char *folder = xstrdup(place->path);
    AUTO(free_ptr) char *shm = xprintf("%s-shm", place->path);
    char *kept = free_name(place->path);

    *strrchr(folder, '/') = '\0';
    bool was_there = access(place->path, F_OK) == 0;
    if (finish_file(place, err) < 0 || move_aside(place->path, kept, "", err) < 0 ||
        move_aside(place->path, kept, "-wal", err) < 0 ||
        move_aside(place->path, kept, "-journal", err) < 0) {
        free(kept);
        return -(int)err->code;
    }
    (void)unlink(shm); /* an index of the log that is gone */
    if (rename(place->target, place->path) < 0) {
        free(kept);
        return err_errno(err, ERR_IO, errno, "%s", place->path);
    }
    if (!was_there) {
        free(kept);
        kept = NULL;
    }
    *ret_kept = kept;
    return file_sync_dir(folder[0] == '\0' ? "/" : folder, err);
}
