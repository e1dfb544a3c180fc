/*
 * What the kernel tells (inotify), and walking through the folders.
 *
 * A folder is watched before it is read: what comes in between is told, what was there is found.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "source/files_internal.h"

#define EVENTS                                                                                     \
    (IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB |            \
     IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define EVENT_BYTES ((size_t)64 * 1024) /* taken at once */
#define TAKES_MAX 64                    /* in a row, while others go on */

/* ---- folders ---- */

static struct files_folder **place_of(struct files_watch *watch, int wd)
{
    struct files_folder **place = &watch->folders[(unsigned)wd % FILES_FOLDER_BUCKETS];

    while (*place != NULL && (*place)->watch != wd) {
        place = &(*place)->next;
    }
    return place;
}

static void forget_folder(struct files_watch *watch, struct files_folder **place)
{
    struct files_folder *folder = *place;

    *place = folder->next;
    free(folder->path);
    free(folder);
    watch->count--;
}

static void set_folder(struct files_watch *watch, int wd, const char *path)
{
    struct files_folder **place = place_of(watch, wd);

    if (*place == NULL) {
        *place = xcalloc(1, sizeof(**place));
        (*place)->watch = wd;
        watch->count++;
    }
    free((*place)->path);
    (*place)->path = xstrdup(path);
}

/* All folders below `from`: they are below `to` now; NULL: they are out of the tree. */
static void move_folders(struct files_watch *watch, const char *from, const char *to)
{
    for (size_t i = 0; i < FILES_FOLDER_BUCKETS; i++) {
        for (struct files_folder **place = &watch->folders[i]; *place != NULL;) {
            struct files_folder *folder = *place;
            if (!path_is_below(folder->path, from)) {
                place = &folder->next;
            } else if (to == NULL) {
                (void)inotify_rm_watch(watch->fd, folder->watch); /* it may be gone with it */
                forget_folder(watch, place);
            } else {
                char *path = xprintf("%s%s", to, folder->path + strlen(from));
                free(folder->path);
                folder->path = path;
                place = &folder->next;
            }
        }
    }
}

int files_watch_open(struct files *files, struct err *err)
{
    files->watch.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (files->watch.fd < 0) {
        return err_errno(err, ERR_FULL, errno,
                         "the kernel gives no more inotify instances; raise them: sysctl "
                         "fs.inotify.max_user_instances=512");
    }
    return 0;
}

void files_watch_close(struct files *files)
{
    struct files_watch *watch = &files->watch;

    close_fd(&watch->fd);
    for (size_t i = 0; i < FILES_FOLDER_BUCKETS; i++) {
        while (watch->folders[i] != NULL) {
            forget_folder(watch, &watch->folders[i]);
        }
    }
    free(watch->going.path);
    *watch = (struct files_watch){.fd = -1};
}

/* ---- walking ---- */

struct walk {
    struct files *files;
    int64_t delay_ms;
    struct files_count *count; /* NULL: watch, and note */
};

static int watch_folder(struct walk *walk, int fd, const char *folder, struct err *err)
{
    struct files_watch *watch = &walk->files->watch;
    char path[64];

    /* By its descriptor: the name may be another's by now. */
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/.", fd);
    int wd = FAULT("files.watch", ENOSPC) ? -1 : inotify_add_watch(watch->fd, path, EVENTS);
    if (wd >= 0) {
        set_folder(watch, wd, folder);
        return 0;
    }
    if (errno == ENOSPC) {
        watch->is_short = true;
        return 0;
    }
    return errno == ENOENT || errno == EACCES
               ? 0
               : err_errno(err, ERR_UNAVAILABLE, errno, "watching folder %s", folder);
}

static int count_file(struct walk *walk, int fd, const char *name, const char *path,
                      struct err *err)
{
    struct files_count *count = walk->count;
    struct stat st;

    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return 0;
    }
    count->files++;
    count->bytes += (uint64_t)st.st_size;
    count->large += st.st_size > FILES_BYTES_MAX;
    int rc = buf_printf(&count->names, err, "  %s\n", path);
    err->code = rc == -ERR_LIMIT ? ERR_NONE : err->code; /* the first of them are shown */
    return rc == -ERR_LIMIT ? 0 : rc;
}

static int walk_folder(struct walk *walk, int from, const char *name, const char *folder,
                       unsigned depth, struct err *err);

static bool is_folder_at(int fd, const struct dirent *entry)
{
    struct stat st;

    return entry->d_type == DT_DIR ||
           (entry->d_type == DT_UNKNOWN &&
            fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode));
}

static int walk_entry(struct walk *walk, int fd, const struct dirent *entry, const char *folder,
                      unsigned depth, struct err *err)
{
    struct files *files = walk->files;

    AUTO(free_ptr)
    char *path =
        folder[0] == '\0' ? xstrdup(entry->d_name) : xprintf("%s/%s", folder, entry->d_name);
    if (is_folder_at(fd, entry)) {
        return depth < FILES_DEPTH_MAX && files_wants_folder(files, path)
                   ? walk_folder(walk, fd, entry->d_name, path, depth + 1, err)
                   : 0;
    }
    bool may_be_file = entry->d_type == DT_REG || entry->d_type == DT_UNKNOWN;
    if (!may_be_file || !files_wants(files, path)) {
        return 0;
    }
    if (walk->count != NULL) {
        return count_file(walk, fd, entry->d_name, path, err);
    }
    settle_note(&files->settle, path, files_now_ms(files), walk->delay_ms);
    return 0;
}

static int walk_folder(struct walk *walk, int from, const char *name, const char *folder,
                       unsigned depth, struct err *err)
{
    int fd = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0) {
        return errno == EMFILE || errno == ENFILE
                   ? err_errno(err, ERR_FULL, errno, "opening folder %s", folder)
                   : 0; /* it went away, or is not ours to read */
    }
    int rc = walk->count != NULL ? 0 : watch_folder(walk, fd, folder, err);
    DIR *dir = rc == 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        (void)close(fd); /* it was read only */
        return rc;
    }
    if (walk->count != NULL) {
        walk->count->folders++;
    }
    rc = source_cancelled(walk->files->options, err);
    for (const struct dirent *entry; rc == 0 && (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            rc = walk_entry(walk, dirfd(dir), entry, folder, depth, err);
        }
    }
    (void)closedir(dir); /* it was read only */
    return rc;
}

int files_walk(struct files *files, const char *folder, int64_t delay_ms, struct err *err)
{
    struct walk walk = {.files = files, .delay_ms = delay_ms};

    return walk_folder(&walk, files->root_fd, folder[0] == '\0' ? "." : folder, folder, 0, err);
}

int files_count(struct files *files, struct files_count *ret, struct err *err)
{
    struct walk walk = {.files = files, .count = ret};

    return walk_folder(&walk, files->root_fd, ".", "", 0, err);
}

/* ---- what is told ---- */

static void note(struct files *files, const char *path, int64_t delay_ms)
{
    if (files_wants(files, path)) {
        settle_note(&files->settle, path, files_now_ms(files), delay_ms);
    }
}

/* Every file that is known below a folder. */
static void note_below(struct files *files, const char *folder)
{
    for (size_t i = 0; i < files->tree.count; i++) {
        const struct file_entry *entry = files->tree.items[i];
        if (entry->alive && path_is_below(entry->path, folder)) {
            note(files, entry->path, SETTLE_QUIET_MS);
        }
    }
}

void files_watch_settled(struct files *files)
{
    struct files_going *going = &files->watch.going;

    if (going->path == NULL) {
        return;
    }
    if (going->is_folder) {
        note_below(files, going->path);
        move_folders(&files->watch, going->path, NULL);
    }
    free(going->path);
    going->path = NULL;
}

static int moved_to(struct files *files, uint32_t cookie, const char *path, bool is_folder,
                    struct err *err)
{
    struct files_going *going = &files->watch.going;
    bool is_known = going->path != NULL && going->cookie == cookie;

    if (!is_known) {
        files_watch_settled(files); /* the two halves of a move follow each other */
    }
    if (is_known && is_folder) {
        move_folders(&files->watch, going->path, path);
        note_below(files, going->path);
    }
    if (is_known) {
        settle_move(&files->settle, going->path, path, is_folder, files_now_ms(files));
        free(going->path);
        going->path = NULL;
    }
    if (is_folder) {
        return files_wants_folder(files, path) ? files_walk(files, path, SETTLE_QUIET_MS, err) : 0;
    }
    note(files, path, SETTLE_QUIET_MS);
    return 0;
}

static void moved_from(struct files *files, uint32_t cookie, const char *path, bool is_folder)
{
    struct files_going *going = &files->watch.going;

    files_watch_settled(files);
    *going = (struct files_going){.cookie = cookie,
                                  .is_folder = is_folder,
                                  .due_ms = files_now_ms(files) + SETTLE_QUIET_MS,
                                  .path = xstrdup(path)};
    if (!is_folder) {
        note(files, path, SETTLE_QUIET_MS);
    }
}

static int apply_event(struct files *files, const struct inotify_event *event,
                       const struct files_folder *folder, struct err *err)
{
    bool is_folder = (event->mask & IN_ISDIR) != 0;
    const char *name = event->name;

    AUTO(free_ptr)
    char *path = folder->path[0] == '\0' ? xstrdup(name) : xprintf("%s/%s", folder->path, name);
    if (event->mask & IN_MOVED_FROM) {
        moved_from(files, event->cookie, path, is_folder);
        return 0;
    }
    if (event->mask & IN_MOVED_TO) {
        return moved_to(files, event->cookie, path, is_folder, err);
    }
    if (!is_folder) {
        bool is_begun = (event->mask & (IN_CREATE | IN_CLOSE_WRITE | IN_DELETE)) == IN_CREATE;
        note(files, path, is_begun ? SETTLE_CREATED_MS : SETTLE_QUIET_MS);
        return 0;
    }
    return (event->mask & (IN_CREATE | IN_ATTRIB)) && files_wants_folder(files, path)
               ? files_walk(files, path, SETTLE_QUIET_MS, err)
               : 0;
}

static int take_event(struct files *files, const struct inotify_event *event, struct err *err)
{
    struct files_watch *watch = &files->watch;

    if (event->mask & IN_Q_OVERFLOW) {
        watch->overflowed = true;
        return 0;
    }
    struct files_folder **place = place_of(watch, event->wd);
    if (*place == NULL) {
        return 0; /* of a watch that was given up */
    }
    bool is_root = (*place)->path[0] == '\0';
    if (is_root && (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT))) {
        watch->root_lost = true;
    }
    if (event->mask & IN_UNMOUNT) {
        watch->unmounted = true;
    }
    if (event->mask & IN_IGNORED) {
        forget_folder(watch, place);
        return 0;
    }
    return event->len > 0 ? apply_event(files, event, *place, err) : 0;
}

/* *ret_more: there may be more to take. */
static int take_some(struct files *files, bool *ret_more, struct err *err)
{
    _Alignas(struct inotify_event) char bytes[EVENT_BYTES];
    ssize_t got = read(files->watch.fd, bytes, sizeof(bytes));

    *ret_more = got > 0 || (got < 0 && errno == EINTR);
    if (got < 0) {
        return errno == EAGAIN || errno == EINTR
                   ? 0
                   : err_errno(err, ERR_UNAVAILABLE, errno, "reading what changed in %s",
                               files->root);
    }
    for (char *at = bytes; at < bytes + got;) {
        const struct inotify_event *event = (const struct inotify_event *)(void *)at;
        if (take_event(files, event, err) < 0) {
            return -(int)err->code;
        }
        at += sizeof(*event) + event->len;
    }
    return 0;
}

/* All of it, though not for ever: where a file went is told after it went away. */
int files_watch_take(struct files *files, struct err *err)
{
    bool is_more = true;
    int rc = 0;

    for (unsigned i = 0; i < TAKES_MAX && is_more && rc == 0; i++) {
        rc = take_some(files, &is_more, err);
    }
    return rc;
}
