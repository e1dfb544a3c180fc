/*
 * Restore: what the ledger holds and the folder lacks. A file is written beside its place, made
 * durable and renamed there; it goes over another only if that is still what the ledger last heard
 * of (then its text is in the history), else it is somebody's, and stays. Nothing is deleted.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "source/files_internal.h"

#define NS_OF_S 1000000000LL
#define NAME_MAX_BYTES 255

struct restoring {
    struct files *files;
    struct source_restore *restore;
    struct source_restore_table *answer;
    struct reader *reader;
    struct files_at at;
    struct file_state now; /* of the file on disk */
    bool is_listed_whole;
};

/* ---- what is told ---- */

static int list(struct restoring *r, const char *what, const char *path, struct err *err)
{
    if (!r->is_listed_whole) {
        return 0;
    }
    if (buf_printf(&r->restore->sql, err, "%s %s\n", what, path) == 0) {
        return 0;
    }
    r->is_listed_whole = false; /* the list is for people; the counts go on */
    err->code = ERR_NONE;
    return 0;
}

/* ---- writing ---- */

static int rename_with(int folder, const char *from, const char *to, unsigned flags)
{
    return (int)syscall(SYS_renameat2, folder, from, folder, to, flags);
}

static bool is_not_supported(int errno_value)
{
    return errno_value == EINVAL || errno_value == ENOSYS || errno_value == ENOTSUP;
}

static int write_beside(int folder, const char *beside, const struct file_origin *want,
                        const char *path, struct err *err)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
    struct stat st;

    AUTO(close_fd)
    int fd = openat(folder, beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_errno(err, errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_CONFIG, errno,
                         "making a file beside %s", path);
    }
    if (file_write_all(fd, want->text.ptr, want->text.len, path, err) < 0) {
        return -(int)err->code;
    }
    if (geteuid() == 0 && fstat(folder, &st) == 0 && fchown(fd, st.st_uid, st.st_gid) != 0) {
        return err_errno(err, ERR_CONFIG, errno, "giving %s to its folder's owner", path);
    }
    times[1].tv_sec = want->mtime_ns / NS_OF_S - (want->mtime_ns % NS_OF_S < 0 ? 1 : 0);
    times[1].tv_nsec = (long)(want->mtime_ns - (int64_t)times[1].tv_sec * NS_OF_S);
    if (fchmod(fd, want->mode & 0777) != 0 || futimens(fd, times) != 0) {
        return err_errno(err, ERR_CONFIG, errno, "setting mode and time of %s", path);
    }
    return file_sync(fd, path, err);
}

/* Put it where nothing is; 1: something is there by now. */
static int put_new(int folder, const char *beside, const char *name, const char *path,
                   struct err *err)
{
    struct stat st;

    int rc = rename_with(folder, beside, name, RENAME_NOREPLACE);
    if (rc != 0 && is_not_supported(errno)) {
        if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
            return 1;
        }
        rc = renameat(folder, beside, folder, name);
    }
    return rc == 0           ? 0
           : errno == EEXIST ? 1
                             : err_errno(err, ERR_CONFIG, errno, "putting %s in place", path);
}

/* Is this still the file that was compared? */
static bool is_same_file(struct restoring *r, const char *path)
{
    struct file_state then = {.left = FILES_KEPT};
    struct err none = ERR_INIT;

    buf_init(&then.text, FILES_BYTES_MAX + 1);
    bool is_same = files_read(&r->at, path, &then, &none) == 0 && then.left == r->now.left &&
                   then.size == r->now.size && then.mtime_ns == r->now.mtime_ns &&
                   sha256_eq(&then.hash, &r->now.hash);
    buf_done(&then.text);
    return is_same;
}

/* Put it in the other's place; 1: somebody changed that meanwhile, and it stays. */
static int put_over(struct restoring *r, int folder, const char *beside, const char *name,
                    const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/');
    AUTO(free_ptr)
    char *beside_path =
        xprintf("%.*s%s", slash == NULL ? 0 : (int)(slash + 1 - path), path, beside);

    int rc = rename_with(folder, beside, name, RENAME_EXCHANGE);
    if (rc == 0 && !is_same_file(r, beside_path)) {
        (void)rename_with(folder, beside, name, RENAME_EXCHANGE); /* else both are there */
        return 1;
    }
    if (rc == 0) {
        (void)unlinkat(folder, beside, 0); /* what the ledger has; it is in nobody's way */
        return 0;
    }
    if (!is_not_supported(errno)) {
        return err_errno(err, ERR_CONFIG, errno, "putting %s in place", path);
    }
    if (!is_same_file(r, path)) {
        return 1;
    }
    return renameat(folder, beside, folder, name) == 0
               ? 0
               : err_errno(err, ERR_CONFIG, errno, "putting %s in place", path);
}

/* 1: it was left as it is. */
static int write_file(struct restoring *r, const struct file_origin *want, bool is_there,
                      struct err *err)
{
    char random[2 * 8 + 1];
    uint64_t number;
    const char *name;
    int folder;

    if (files_at_folder(&r->at, want->path, true, &folder, &name, err) < 0) {
        return -(int)err->code;
    }
    env_system()->random(env_system(), &number, sizeof(number));
    (void)snprintf(random, sizeof(random), "%016llx", (unsigned long long)number);
    int room = NAME_MAX_BYTES - 1 - (int)strlen(FILES_BESIDE) - (int)strlen(random);
    AUTO(free_ptr) char *beside = xprintf(".%.*s%s%s", room, name, FILES_BESIDE, random);
    int rc = write_beside(folder, beside, want, want->path, err);
    if (rc == 0) {
        rc = is_there ? put_over(r, folder, beside, name, want->path, err)
                      : put_new(folder, beside, name, want->path, err);
    }
    if (rc != 0) {
        (void)unlinkat(folder, beside, 0); /* ours */
        return rc;
    }
    return fsync(folder) == 0 || errno == EINVAL
               ? 0
               : err_errno(err, ERR_IO, errno, "making the folder of %s durable", want->path);
}

/* ---- one file ---- */

static bool is_text(const struct file_state *now, struct str text)
{
    return now->left == FILES_KEPT && str_eq(buf_str(&now->text), text);
}

/* Is the file on disk what the ledger last heard of? */
static bool is_as_heard(const struct file_state *now, const struct file_origin *heard)
{
    return heard->left == FILES_KEPT ? is_text(now, heard->text)
                                     : now->left == heard->left && now->size == heard->size &&
                                           now->mtime_ns == heard->mtime_ns;
}

/* heard: NULL when it was heard to be gone. */
static int restore_file(struct restoring *r, const struct file_origin *want,
                        const struct file_origin *heard, struct err *err)
{
    struct source_restore_table *answer = r->answer;

    int rc = files_read(&r->at, want->path, &r->now, err);
    bool is_there = rc == 0;
    if (rc < 0 && rc != -ERR_NOT_FOUND) {
        return rc == -ERR_BUSY ? (err->code = ERR_NONE, answer->kept++,
                                  list(r, "keep, as it is being changed:", want->path, err))
                               : rc;
    }
    err->code = ERR_NONE;
    if (is_there && is_text(&r->now, want->text)) {
        answer->same++;
        return 0;
    }
    bool may_write = !is_there || (heard != NULL && is_as_heard(&r->now, heard));
    rc = may_write && !r->restore->dry_run ? write_file(r, want, is_there, err) : 0;
    if (rc < 0) {
        return rc;
    }
    if (!may_write || rc == 1) {
        answer->kept++;
        return list(r, "keep, as somebody changed it since:", want->path, err);
    }
    *(is_there ? &answer->updated : &answer->inserted) += 1;
    return list(r, is_there ? "put back" : "write", want->path, err);
}

static bool is_asked_for(const struct restoring *r, const char *path)
{
    const char *only = r->restore->only_table;
    size_t len = only == NULL ? 0 : strlen(only);

    for (; len > 0 && only[len - 1] == '/'; len--) {
    }
    return len == 0 || (len == 1 && only[0] == '.') ||
           (strncmp(path, only, len) == 0 && (path[len] == '/' || path[len] == '\0'));
}

/* What the memory is to be: as it shows, or as it was at the moment. False: nothing. */
static int find_wanted(struct restoring *r, const struct memory *memory,
                       const struct last_state *state, struct memory *ret, bool *ret_found,
                       struct err *err)
{
    struct memory_state effective;
    int rc;

    if (r->restore->at_us != TIME_NONE) {
        rc = read_memory_as_of(r->reader, &memory->id, r->restore->at_us, ret, err);
    } else if (state->counts) {
        rc = memory_copy(memory, ret, err);
    } else {
        rc = read_memory(r->reader, &memory->id, ret, &effective, err);
    }
    *ret_found = rc == 0 && ret->deleted_us == TIME_NONE;
    if (rc == -ERR_NOT_FOUND) {
        err->code = ERR_NONE;
        return 0;
    }
    return rc;
}

static int restore_memory(void *arg, const struct memory *memory, const struct last_state *state,
                          struct err *err)
{
    struct restoring *r = arg;
    const char *source = r->files->options->name;
    AUTO(memory_done) struct memory wanted;
    struct file_origin heard;
    struct file_origin want;
    bool found;

    memory_init(&wanted);
    if (!files_of_memory(memory, source, &heard)) {
        return 0;
    }
    if (find_wanted(r, memory, state, &wanted, &found, err) < 0) {
        return -(int)err->code;
    }
    if (!found || !files_of_memory(&wanted, source, &want) || want.left != FILES_KEPT ||
        !files_wants(r->files, want.path) || !is_asked_for(r, want.path)) {
        return 0;
    }
    bool was_heard = memory->deleted_us == TIME_NONE && strcmp(heard.path, want.path) == 0;
    return restore_file(r, &want, was_heard ? &heard : NULL, err);
}

/* ---- all of them ---- */

/* The root itself may be gone. A dry run finds nothing there. */
static int make_root(struct files *files, bool dry_run, struct err *err)
{
    if (files_check_mount(files, err) < 0) {
        return -(int)err->code;
    }
    int rc = files_open_root(files, err);
    if (rc != -ERR_NOT_FOUND) {
        return rc;
    }
    err->code = ERR_NONE;
    if (dry_run) {
        return 0;
    }
    return file_mkdirs(files->root, 0755, err) < 0 ? -(int)err->code : files_open_root(files, err);
}

int files_restore(struct files *files, struct source_restore *restore, struct err *err)
{
    struct restoring r = {.files = files, .restore = restore, .is_listed_whole = true};

    buf_init(&restore->sql, SOURCE_RESTORE_SQL_MAX);
    if (make_root(files, restore->dry_run, err) < 0 ||
        read_begin(files->options->ledger, &r.reader, err) < 0) {
        return -(int)err->code;
    }
    r.answer = &restore->tables[restore->table_count++];
    *r.answer = (struct source_restore_table){
        .table = xstrdup(restore->only_table == NULL ? "." : restore->only_table)};
    files_at_init(&r.at, files->root_fd);
    buf_init(&r.now.text, FILES_BYTES_MAX + 1);
    int rc = read_last_all(r.reader, restore_memory, &r, err);
    read_end(r.reader);
    files_at_done(&r.at);
    buf_done(&r.now.text);
    return rc;
}
