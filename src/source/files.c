/* The driver's table: a folder of files, captured by inotify (docs/files.md). */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mount.h"
#include "base/utf8.h"
#include "source/files_internal.h"

/* The position's first character. */
#define FOLDER_THERE '+'
#define FOLDER_GONE '-'
#define FILE_THERE 'f'
#define FILE_GONE 'F'
#define MOUNT_MAX 240            /* bytes of it in the position, which has 256 */
#define NAMES_MAX ((size_t)1024) /* bytes of them that init shows */

static const char *const default_include[] = {"**/*.md", "**/*.mdc", "**/.cursorrules"};
static const char *const default_ignore[] = {"**/.git/**", "**/.hg/**", "**/.svn/**",
                                             "**/node_modules/**", "**/.venv/**"};

/* ---- which files ---- */

bool files_wants_folder(const struct files *files, const char *path)
{
    if (files->only != NULL || globs_match_folder(&files->ignore, path)) {
        return false;
    }
    AUTO(free_ptr) char *whole = path_join(files->root, path);
    for (size_t i = 0; i < sizeof(files->own) / sizeof(files->own[0]); i++) {
        if (files->own[i] != NULL && strcmp(files->own[i], whole) == 0) {
            return false;
        }
    }
    return true;
}

bool files_wants(const struct files *files, const char *path)
{
    const char *name = strrchr(path, '/');

    if (files->only != NULL) {
        return strcmp(files->only, path) == 0;
    }
    name = name == NULL ? path : name + 1;
    if (strlen(path) > FILES_PATH_MAX || strstr(name, FILES_BESIDE) != NULL ||
        !globs_match(&files->include, path) || globs_match_below(&files->ignore, path)) {
        return false;
    }
    AUTO(free_ptr) char *whole = path_join(files->root, path);
    for (size_t i = 0; i < sizeof(files->own) / sizeof(files->own[0]); i++) {
        size_t len = files->own[i] == NULL ? 0 : strlen(files->own[i]);
        if (len > 0 && strncmp(whole, files->own[i], len) == 0 && whole[len] == '/') {
            return false;
        }
    }
    return true;
}

static int copy_globs(struct globs *to, const struct globs *from, const char *const *defaults,
                      size_t default_count, struct err *err)
{
    bool is_given = from != NULL && from->count > 0;
    size_t count = is_given ? from->count : default_count;

    for (size_t i = 0; i < count; i++) {
        if (globs_add(to, is_given ? from->items[i] : defaults[i], err) < 0) {
            return -(int)err->code;
        }
    }
    return 0;
}

/* ---- time, and its end ---- */

int64_t files_now_ms(const struct files *files)
{
    struct env *env =
        files->options->ledger == NULL ? env_system() : ledger_env(files->options->ledger);

    return env->mono_ms(env);
}

/* ---- open and close ---- */

static void files_close(struct source *source)
{
    struct files *files = (struct files *)source;

    if (files == NULL) {
        return;
    }
    files_watch_close(files);
    files_tree_done(&files->tree);
    settle_done(&files->settle);
    intake_done(&files->intake);
    globs_done(&files->include);
    globs_done(&files->ignore);
    close_fd(&files->root_fd);
    for (size_t i = 0; i < sizeof(files->own) / sizeof(files->own[0]); i++) {
        free(files->own[i]);
    }
    free(files->root);
    free(files->only);
    free(files->mount);
    free(files->git);
    free(files);
}

/* The path without links, as far as it exists. */
static char *real_of(const char *path)
{
    char *real = realpath(path, NULL);
    char *slash = strrchr(path, '/');

    if (real != NULL || slash == NULL || slash == path) {
        return real != NULL ? real : xstrdup(path);
    }
    AUTO(free_ptr) char *folder = xstrndup(path, (size_t)(slash - path));
    AUTO(free_ptr) char *above = real_of(folder);
    return path_join(above, slash + 1);
}

/* A path that is no folder is one file. While nothing is there, it is what it was before. */
static void set_root(struct files *files, const char *position)
{
    AUTO(free_ptr) char *plain = xstrdup(files->options->path);
    struct stat st;

    for (size_t len = strlen(plain); len > 1 && plain[len - 1] == '/'; len--) {
        plain[len - 1] = '\0';
    }
    char *real = real_of(plain);
    char *slash = strrchr(real, '/');
    bool was_file = position != NULL && (position[0] == FILE_THERE || position[0] == FILE_GONE);
    bool is_file = stat(real, &st) == 0 ? !S_ISDIR(st.st_mode) : was_file;
    if (is_file && slash != NULL) {
        files->only = xstrdup(slash + 1);
        slash[slash == real ? 1 : 0] = '\0';
    }
    files->root = real;
}

/* The position: whether the root was there, and what it is mounted on. */
static char *position_of(const struct files *files, bool is_there)
{
    char kind = files->only != NULL ? (is_there ? FILE_THERE : FILE_GONE)
                                    : (is_there ? FOLDER_THERE : FOLDER_GONE);

    return xprintf("%c%.*s", kind, MOUNT_MAX, files->mount == NULL ? "" : files->mount);
}

/* Heap; NULL: it was never captured. */
static int read_position(const struct source_options *options, char **ret, struct err *err)
{
    *ret = NULL;
    return options->ledger == NULL ? 0 : source_kept(options->ledger, options->name, ret, err);
}

static int files_open(const struct source_options *options, struct source **ret, struct err *err)
{
    AUTO(free_ptr) char *position = NULL;

    if (read_position(options, &position, err) < 0) {
        return -(int)err->code;
    }
    struct files *files = xcalloc(1, sizeof(*files));
    files->base.ops = &source_files_ops;
    files->options = options;
    files->root_fd = files->watch.fd = -1;
    set_root(files, position);
    files->mount = mount_of(files->root);
    files->git = git_folder_of(files->root);
    if (options->ledger != NULL) {
        files->own[0] = real_of(ledger_home(options->ledger));
        files->own[1] = xprintf("%s.vault", files->own[0]);
    }
    if (copy_globs(&files->include, options->include, default_include,
                   sizeof(default_include) / sizeof(default_include[0]), err) < 0 ||
        copy_globs(&files->ignore, options->ignore, default_ignore,
                   sizeof(default_ignore) / sizeof(default_ignore[0]), err) < 0) {
        files_close(&files->base);
        return -(int)err->code;
    }
    *ret = &files->base;
    return 0;
}

int files_open_root(struct files *files, struct err *err)
{
    close_fd(&files->root_fd);
    files->root_fd = open(files->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return files->root_fd >= 0
               ? 0
               : err_errno(err, errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_CONFIG,
                           errno, "opening folder %s", files->root);
}

/* ---- is it away, or gone? ---- */

/* Is one of the files there that are known? */
static bool has_known(const struct files *files)
{
    struct files_at at;
    bool found = false;

    files_at_init(&at, files->root_fd);
    for (size_t i = 0; i < files->tree.count && !found && files->root_fd >= 0; i++) {
        found = files->tree.items[i]->alive && files_is_there(&at, files->tree.items[i]->path);
    }
    files_at_done(&at);
    return found;
}

int files_check_mount(struct files *files, struct err *err)
{
    AUTO(free_ptr) char *position = NULL;

    if (read_position(files->options, &position, err) < 0) {
        return -(int)err->code;
    }
    const char *mount = position == NULL ? "" : position + 1;
    if (files->mount == NULL || mount[0] == '\0' || strncmp(mount, files->mount, MOUNT_MAX) == 0) {
        return 0;
    }
    if (files->root_fd >= 0 && files->tree.count == 0 && files_load(files, err) < 0) {
        return -(int)err->code;
    }
    return has_known(files) ? 0
                            : err_set(err, ERR_AWAY,
                                      "%s was on the disk mounted at %s, which is not there now: "
                                      "connect it",
                                      files->root, mount);
}

static bool was_there(const char *position)
{
    return position != NULL && (position[0] == FOLDER_THERE || position[0] == FILE_THERE);
}

/* The root is not there: what was in it is gone, once. */
static int root_is_gone(struct files *files, const char *position, struct err *err)
{
    if (was_there(position)) {
        AUTO(free_ptr) char *now = position_of(files, false);
        if (files_vanished(files, err) < 0 || intake_flush(&files->intake, now, err) < 0) {
            return -(int)err->code;
        }
    }
    return err_set(err, ERR_UNAVAILABLE, "there is no folder %s%s", files->root,
                   position == NULL ? "; make it, or correct the source's path"
                                    : ": it was removed or renamed");
}

/* ---- capture ---- */

static void tell(struct files *files, int64_t lag_ms)
{
    AUTO(free_ptr)
    char *position =
        xprintf("%zu file%s in %zu folder%s", files->tree.alive, files->tree.alive == 1 ? "" : "s",
                files->watch.count, files->watch.count == 1 ? "" : "s");

    files->events->on_position(files->events->arg, position, lag_ms);
    files_tell_trouble(files);
}

/* What the ledger would not take, of the batch that was written last. */
static void tell_refused(struct files *files, uint64_t before)
{
    if (files->intake.counts.refused > before) {
        AUTO(free_ptr)
        char *text = xprintf("%llu file%s could not be kept; the last one: %s",
                             (unsigned long long)(files->intake.counts.refused - before),
                             files->intake.counts.refused - before == 1 ? "" : "s",
                             files->intake.counts.last_refused);
        files->events->on_note(files->events->arg, text);
    }
}

static int apply_due(struct files *files, struct err *err)
{
    struct files_batch batch;
    uint64_t refused = files->intake.counts.refused;
    int64_t now_ms = files_now_ms(files);

    if (files->watch.going.path != NULL && files->watch.going.due_ms <= now_ms) {
        files_watch_settled(files);
    }
    settle_take(&files->settle, now_ms, &batch);
    if (batch.count == 0 && batch.move_count == 0) {
        files_batch_done(&batch);
        return 0;
    }
    int rc = files_apply(files, &batch, err);
    int64_t lag_ms = files_now_ms(files) - batch.first_ms;
    files_batch_done(&batch);
    if (rc == 0) {
        tell_refused(files, refused);
        tell(files, lag_ms);
    }
    return rc;
}

/* Every file on disk, and every file that is known. */
static int scan(struct files *files, struct err *err)
{
    int64_t now_ms = files_now_ms(files);

    files->watch.overflowed = false;
    files->watch.is_short = false;
    for (size_t i = 0; i < files->tree.count; i++) {
        if (files->tree.items[i]->alive) {
            settle_note(&files->settle, files->tree.items[i]->path, now_ms, 0);
        }
    }
    if (files_walk(files, "", 0, err) < 0) {
        return -(int)err->code;
    }
    files->rescan_ms = files->watch.is_short ? now_ms + FILES_RESCAN_MS : 0;
    return apply_due(files, err);
}

/* How long nothing has to be done; -1: until something is told. */
static int wait_ms(const struct files *files)
{
    int64_t now_ms = files_now_ms(files);
    int64_t next_ms = settle_next_ms(&files->settle);

    if (files->watch.going.path != NULL && files->watch.going.due_ms < next_ms) {
        next_ms = files->watch.going.due_ms;
    }
    if (files->rescan_ms != 0 && files->rescan_ms < next_ms) {
        next_ms = files->rescan_ms;
    }
    return next_ms == INT64_MAX ? -1 : next_ms <= now_ms ? 0 : (int)(next_ms - now_ms);
}

/* While nothing is done, the root is not held open: that would keep its disk from being unmounted,
 * and its end from being told. */
static int open_again(struct files *files, struct err *err)
{
    if (files_open_root(files, err) == -ERR_NOT_FOUND) {
        err->code = ERR_NONE;
        files->watch.root_lost = true;
    }
    return -(int)err->code;
}

static int wait_for_news(struct files *files, struct err *err)
{
    struct wake *cancel = files->options->cancel;
    struct pollfd polls[] = {{.fd = files->watch.fd, .events = POLLIN},
                             {.fd = cancel == NULL ? -1 : cancel->fd, .events = POLLIN}};

    close_fd(&files->root_fd);
    if (poll(polls, 2, wait_ms(files)) < 0 && errno != EINTR) {
        return err_errno(err, ERR_UNAVAILABLE, errno, "waiting for changes in %s", files->root);
    }
    if (source_cancelled(files->options, err) < 0 || open_again(files, err) < 0) {
        return -(int)err->code;
    }
    if (polls[1].revents != 0) {
        (void)wake_wait(cancel, deadline_in(0)); /* a signal without meaning for us */
    }
    return polls[0].revents != 0 ? files_watch_take(files, err) : 0;
}

/* It was removed, renamed, replaced or unmounted. */
static int root_is_lost(struct files *files, struct err *err)
{
    AUTO(free_ptr) char *before = position_of(files, true);
    AUTO(free_ptr) char *now = mount_of(files->root);

    if (files->watch.unmounted ||
        (now != NULL && files->mount != NULL && strcmp(now, files->mount) != 0)) {
        return err_set(err, ERR_AWAY, "the disk of %s was unmounted", files->root);
    }
    if (files_open_root(files, err) == -ERR_NOT_FOUND) {
        err->code = ERR_NONE;
        return root_is_gone(files, before, err);
    }
    return err->code != ERR_NONE
               ? -(int)err->code
               : err_set(err, ERR_UNAVAILABLE, "folder %s was replaced: it is compared as a whole",
                         files->root);
}

static int follow(struct files *files, struct err *err)
{
    int rc = 0;

    while (rc == 0) {
        rc = wait_for_news(files, err);
        if (rc == 0 && (files->watch.root_lost || files->watch.unmounted)) {
            rc = root_is_lost(files, err);
        }
        if (rc == 0 && files->watch.overflowed) {
            files->events->on_note(files->events->arg,
                                   "more changed at once than the kernel tells: every file is "
                                   "compared");
        }
        bool is_due = files->rescan_ms != 0 && files->rescan_ms <= files_now_ms(files);
        if (rc == 0 && (files->watch.overflowed || is_due)) {
            rc = scan(files, err);
        }
        rc = rc == 0 ? apply_due(files, err) : rc;
    }
    return rc;
}

/* There is no root. What was in it is looked up only if that is news. */
static int capture_nothing(struct files *files, const char *position, struct err *err)
{
    err->code = ERR_NONE;
    if (files_check_mount(files, err) < 0 || (was_there(position) && files_load(files, err) < 0)) {
        return -(int)err->code;
    }
    return root_is_gone(files, position, err);
}

static int files_capture(struct source *source, const struct source_events *events, struct err *err)
{
    struct files *files = (struct files *)source;
    AUTO(free_ptr) char *position = NULL;

    files->events = events;
    intake_init(&files->intake, files->options->ledger, files->options->name);
    if (read_position(files->options, &position, err) < 0) {
        return -(int)err->code;
    }
    if (files_open_root(files, err) < 0) {
        return err->code == ERR_NOT_FOUND ? capture_nothing(files, position, err) : -(int)err->code;
    }
    if (files_load(files, err) < 0 || files_check_mount(files, err) < 0) {
        return -(int)err->code;
    }
    AUTO(free_ptr) char *now = position_of(files, true);
    if (files_watch_open(files, err) < 0 || scan(files, err) < 0 ||
        intake_flush(&files->intake, now, err) < 0) {
        return -(int)err->code;
    }
    tell(files, 0);
    return follow(files, err);
}

/* ---- the rest of the table ---- */

static int files_check(struct source *source, struct source_health *ret, struct err *err)
{
    struct files *files = (struct files *)source;
    int64_t begin_us = env_system()->now_us(env_system());

    if (files_open_root(files, err) < 0) {
        return -(int)err->code;
    }
    ret->latency_us = env_system()->now_us(env_system()) - begin_us;
    (void)snprintf(ret->detail, sizeof(ret->detail), "%.200s is there%s", files->options->path,
                   files->git == NULL ? "" : ", in a git work tree");
    return 0;
}

static int files_setup(struct source *source, bool remove, struct buf *ret, struct err *err)
{
    struct files *files = (struct files *)source;
    struct files_count count = {.files = 0};

    if (remove) {
        return 0;
    }
    buf_init(&count.names, NAMES_MAX);
    int rc = files_open_root(files, err);
    rc = rc == 0 ? files_count(files, &count, err) : rc;
    rc = rc == 0 && count.names.len > 0 ? buf_add_str(ret, buf_str(&count.names), err) : rc;
    size_t named = 0;
    for (size_t i = 0; i < count.names.len; i++) {
        named += count.names.data[i] == '\n';
    }
    buf_done(&count.names);
    if (rc == 0 && named < count.files) {
        rc = buf_printf(ret, err, "  and %zu more\n", count.files - named);
    }
    if (rc == 0 && count.large > 0) {
        rc = buf_printf(ret, err, "%zu of them %s too large, and would be left alone.\n",
                        count.large, count.large == 1 ? "is" : "are");
    }
    return rc < 0 ? rc
                  : buf_printf(ret, err, "%zu file%s in %zu folder%s, %llu bytes.\n", count.files,
                               count.files == 1 ? "" : "s", count.folders,
                               count.folders == 1 ? "" : "s", (unsigned long long)count.bytes);
}

static int files_run(struct source *source, struct str sql, struct err *err)
{
    (void)source;
    (void)sql;
    (void)err;
    return 0; /* nothing has to be prepared */
}

static int files_op_restore(struct source *source, struct source_restore *restore, struct err *err)
{
    return files_restore((struct files *)source, restore, err);
}

const struct source_ops source_files_ops = {
    .kind = "files",
    .open = files_open,
    .capture = files_capture,
    .restore = files_op_restore,
    .check = files_check,
    .setup = files_setup,
    .run = files_run,
    .close = files_close,
};
