/* The ledger as a whole: opening and closing, the keeper of SQLite's log, pauses, health. */
#include "ledger/ledger.h"

#include <errno.h>

#include "base/fault.h"
#include "base/file.h"
#include "ledger/ledger_internal.h"

/* ---- the names on disk ---- */

static int identity_of(struct file_identity *file, struct err *err)
{
    struct stat now;

    if (stat(file->path, &now) < 0) {
        return err_errno(err, errno == ENOENT ? ERR_VANISHED : ERR_IO, errno, "%s", file->path);
    }
    file->device = now.st_dev;
    file->inode = now.st_ino;
    return 0;
}

int identity_take(struct ledger *ledger, struct err *err)
{
    int result = identity_of(&ledger->files[0], err);

    return result < 0 ? result : identity_of(&ledger->files[1], err);
}

static int check_one(const struct file_identity *file, struct err *err)
{
    struct stat now;

    if (stat(file->path, &now) < 0) {
        return errno == ENOENT || errno == ENOTDIR
                   ? err_set(err, ERR_VANISHED,
                             "%s was removed while it was in use; what is unsent can still be "
                             "read, nothing more is taken in",
                             file->path)
                   : err_errno(err, ERR_IO, errno, "%s", file->path);
    }
    if (now.st_dev != file->device || now.st_ino != file->inode) {
        return err_set(err, ERR_VANISHED,
                       "%s was replaced by another file while it was in use; what is unsent can "
                       "still be read, nothing more is taken in",
                       file->path);
    }
    return 0;
}

int identity_check(const struct file_identity *files, struct err *err)
{
    int result = check_one(&files[0], err);

    return result < 0 ? result : check_one(&files[1], err);
}

int ledger_check_store(struct ledger *ledger, struct err *err)
{
    (void)pthread_mutex_lock(&ledger->mutex);
    /* While a recovery exchanges the folder, the names lead elsewhere on purpose. */
    int result = ledger->pausing ? 0 : identity_check(ledger->files, err);
    (void)pthread_mutex_unlock(&ledger->mutex);
    return result;
}

/* ---- health ---- */

bool ledger_stops_at(enum err_code code)
{
    return code == ERR_IO || code == ERR_CORRUPT || code == ERR_VANISHED;
}

void ledger_stop(struct ledger *ledger, const struct err *why)
{
    (void)pthread_mutex_lock(&ledger->mutex);
    if (ledger->stopped.code == ERR_NONE) {
        ledger->stopped = *why;
    }
    (void)pthread_cond_broadcast(&ledger->door);
    (void)pthread_mutex_unlock(&ledger->mutex);
}

int ledger_health(struct ledger *ledger, struct err *err)
{
    (void)pthread_mutex_lock(&ledger->mutex);
    int result = ledger->stopped.code == ERR_NONE ? 0 : err_copy(err, &ledger->stopped);
    (void)pthread_mutex_unlock(&ledger->mutex);
    return result;
}

/* ---- the keeper: brings SQLite's log into the file, so that no caller waits for that ---- */

/* With the right to write, without the mutex. */
static int keep_log(struct store *store, struct err *err)
{
    if (!store_log_extended(store) && store_extend_log(store, err) < 0 &&
        ledger_stops_at(err->code)) {
        return -(int)err->code;
    }
    if (store_log_pages(store) < CHECKPOINT_PAGES) {
        return 0;
    }
    /* A full disk is no reason to stop: the log stays, and a later try takes it. */
    return store_checkpoint(store, false, err) < 0 && ledger_stops_at(err->code) ? -(int)err->code
                                                                                 : 0;
}

static void keep(struct ledger *ledger)
{
    struct err err = ERR_INIT;

    right_take(ledger);
    if (ledger->stopped.code == ERR_NONE) {
        (void)pthread_mutex_unlock(&ledger->mutex);
        bool failed = keep_log(ledger->store, &err) < 0;
        int left = store_log_pages(ledger->store);
        if (failed) {
            ledger_stop(ledger, &err);
        }
        (void)pthread_mutex_lock(&ledger->mutex);
        /* What readers hold up is tried again when there is as much more, not at each commit. */
        ledger->keeper_pages = CHECKPOINT_PAGES + (left < CHECKPOINT_PAGES ? 0 : left);
    }
    ledger->keeper_due = false;
    right_give(ledger);
}

static void *keeper_main(void *arg)
{
    struct ledger *ledger = arg;

    (void)pthread_mutex_lock(&ledger->mutex);
    while (!ledger->closing) {
        if (ledger->keeper_due) {
            keep(ledger);
        } else {
            (void)pthread_cond_wait(&ledger->keeper_wake, &ledger->mutex);
        }
    }
    (void)pthread_mutex_unlock(&ledger->mutex);
    return NULL;
}

/* ---- opening and closing ---- */

static void init(struct ledger *ledger, const struct ledger_options *options)
{
    pthread_condattr_t monotonic;

    ledger->home = xstrdup(options->home);
    ledger->live = path_join(options->home, "live");
    ledger->files[0].path = path_join(ledger->live, "ledger.db");
    ledger->files[1].path = path_join(ledger->live, "ledger.db-wal");
    ledger->env = options->env;
    ledger->judge = options->judge;
    ledger->lock = LOCK_NONE;
    ledger->keeper_pages = EXTEND_PAGES;
    (void)pthread_mutex_init(&ledger->mutex, NULL); /* these can't fail on Linux */
    (void)pthread_mutex_init(&ledger->pool_mutex, NULL);
    (void)pthread_cond_init(&ledger->door, NULL);
    (void)pthread_cond_init(&ledger->right_free, NULL);
    (void)pthread_cond_init(&ledger->keeper_wake, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&ledger->pool_back, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
}

static int open_store(struct ledger *ledger, struct err *err)
{
    int result = store_open(ledger->live, STORE_LIVE, ledger->env, &ledger->store, err);

    if (result == 0) {
        store_counts(ledger->store, &ledger->live_count, &ledger->deleted_count);
        result = identity_take(ledger, err);
    }
    return result;
}

static int open_all(struct ledger *ledger, const struct ledger_options *options, struct err *err)
{
    int result = file_mkdirs(ledger->home, 0700, err);

    if (result == 0) {
        result = lock_take(ledger->home, options->who == NULL ? "another engine" : options->who,
                           &ledger->lock, err);
    }
    if (result == 0) {
        result = open_store(ledger, err);
    }
    if (result == 0) {
        ledger->origin = store_origin(ledger->store);
        result = file_sync_dir(ledger->home, err);
    }
    if (result == 0) {
        result = pool_open(ledger, err);
    }
    if (result == 0) {
        int code = pthread_create(&ledger->keeper, NULL, keeper_main, ledger);
        result = code == 0 ? 0 : err_errno(err, ERR_INTERNAL, code, "starting the ledger's keeper");
        ledger->keeper_runs = result == 0;
    }
    return result;
}

int ledger_open(const struct ledger_options *options, struct ledger **ret, struct err *err)
{
    struct ledger *ledger = xcalloc(1, sizeof(*ledger));

    init(ledger, options);
    int result = open_all(ledger, options, err);
    if (result < 0) {
        ledger_close(ledger);
        return result;
    }
    *ret = ledger;
    return 0;
}

static void done(struct ledger *ledger)
{
    (void)pthread_cond_destroy(&ledger->door);
    (void)pthread_cond_destroy(&ledger->right_free);
    (void)pthread_cond_destroy(&ledger->keeper_wake);
    (void)pthread_cond_destroy(&ledger->pool_back);
    (void)pthread_mutex_destroy(&ledger->mutex);
    (void)pthread_mutex_destroy(&ledger->pool_mutex);
    free(ledger->subscribers);
    free(ledger->files[0].path);
    free(ledger->files[1].path);
    free(ledger->live);
    free(ledger->home);
    free(ledger);
}

void ledger_close(struct ledger *ledger)
{
    struct err err = ERR_INIT;

    if (ledger == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&ledger->mutex);
    ledger->closing = true;
    (void)pthread_cond_broadcast(&ledger->door);
    (void)pthread_cond_broadcast(&ledger->keeper_wake);
    while (ledger->writing || ledger->callers > 0) {
        (void)pthread_cond_wait(&ledger->right_free, &ledger->mutex);
    }
    bool whole = ledger->stopped.code == ERR_NONE && ledger->store != NULL;
    (void)pthread_mutex_unlock(&ledger->mutex);
    if (ledger->keeper_runs) {
        (void)pthread_join(ledger->keeper, NULL);
    }
    pool_close(ledger);
    if (whole && identity_check(ledger->files, &err) == 0 &&
        store_checkpoint(ledger->store, true, &err) < 0) {
        /* The log holds what is not in the file yet; the next start reads it. */
    }
    store_close(ledger->store);
    lock_release(&ledger->lock);
    done(ledger);
}

/* ---- pauses ---- */

/* Whatever was put in place: this installation goes on being itself. */
static int keep_origin(struct ledger *ledger, struct err *err)
{
    struct uuid found = store_origin(ledger->store);

    return uuid_eq(&found, &ledger->origin) ? 0
                                            : store_set_origin(ledger->store, &ledger->origin, err);
}

/* Open what was put in place of the files. Nothing else goes on meanwhile; the mutex is not held.
 */
static int reopen(struct ledger *ledger, struct err *err)
{
    store_close(ledger->store); /* takes no checkpoint: its files lie elsewhere now */
    ledger->store = NULL;
    CRASH_POINT("ledger.reopen.before");
    (void)pthread_mutex_lock(&ledger->mutex);
    int result = open_store(ledger, err);
    (void)pthread_mutex_unlock(&ledger->mutex);
    if (result == 0) {
        result = keep_origin(ledger, err);
    }
    return result < 0 ? result : pool_renew(ledger, err);
}

static int run_frozen(struct ledger *ledger, ledger_pause_fn *fn, void *arg, struct err *err)
{
    struct err why = ERR_INIT;
    bool exchanged = false;

    int result = fn(arg, ledger->live, &exchanged, err);
    if (exchanged && reopen(ledger, &why) < 0) {
        (void)err_context(&why, "opening the ledger after the exchange");
        why.code = ledger_stops_at(why.code) ? why.code : ERR_IO;
        ledger_stop(ledger, &why); /* there is nothing open to go on with */
        return result < 0 ? result : err_copy(err, &why);
    }
    return result;
}

static int run_paused(struct ledger *ledger, ledger_pause_fn *fn, void *arg, struct err *err)
{
    int result = identity_check(ledger->files, err);

    if (result == 0) {
        result = store_checkpoint(ledger->store, true, err);
    }
    if (result < 0) {
        return result;
    }
    pool_freeze(ledger);
    result = run_frozen(ledger, fn, arg, err);
    pool_thaw(ledger);
    return result;
}

int ledger_with_writer_paused(struct ledger *ledger, ledger_pause_fn *fn, void *arg,
                              struct err *err)
{
    int result = 0;

    (void)pthread_mutex_lock(&ledger->mutex);
    if (ledger->writing && pthread_equal(ledger->writer, pthread_self())) {
        result = err_set(err, ERR_INTERNAL, "a pause from within a write or a pause");
        (void)pthread_mutex_unlock(&ledger->mutex);
        return result;
    }
    ledger->callers++;
    right_take(ledger);
    if (ledger->stopped.code != ERR_NONE) {
        result = err_copy(err, &ledger->stopped);
    } else if (ledger->closing) {
        result = err_set(err, ERR_CANCELLED, "the ledger is closing");
    }
    ledger->pausing = result == 0;
    (void)pthread_mutex_unlock(&ledger->mutex);
    if (result == 0) {
        result = run_paused(ledger, fn, arg, err);
    }
    (void)pthread_mutex_lock(&ledger->mutex);
    ledger->pausing = false;
    ledger->keeper_pages = EXTEND_PAGES;
    for (size_t i = 0; i < ledger->subscriber_count; i++) {
        wake_signal(ledger->subscribers[i]); /* the journal may be another one now */
    }
    ledger->callers--;
    right_give(ledger);
    (void)pthread_mutex_unlock(&ledger->mutex);
    return result;
}

/* ---- what it is, who listens ---- */

struct uuid ledger_origin(struct ledger *ledger)
{
    (void)pthread_mutex_lock(&ledger->mutex);
    struct uuid origin = ledger->origin;
    (void)pthread_mutex_unlock(&ledger->mutex);
    return origin;
}

const char *ledger_home(const struct ledger *ledger)
{
    return ledger->home;
}

struct env *ledger_env(const struct ledger *ledger)
{
    return ledger->env;
}

uint64_t ledger_commits(struct ledger *ledger)
{
    (void)pthread_mutex_lock(&ledger->mutex);
    uint64_t commits = ledger->commits;
    (void)pthread_mutex_unlock(&ledger->mutex);
    return commits;
}

void ledger_subscribe(struct ledger *ledger, struct wake *wake)
{
    (void)pthread_mutex_lock(&ledger->mutex);
    ledger->subscribers =
        xrealloc(ledger->subscribers, (ledger->subscriber_count + 1) * sizeof(struct wake *));
    ledger->subscribers[ledger->subscriber_count++] = wake;
    (void)pthread_mutex_unlock(&ledger->mutex);
}

void ledger_unsubscribe(struct ledger *ledger, struct wake *wake)
{
    (void)pthread_mutex_lock(&ledger->mutex);
    for (size_t i = 0; i < ledger->subscriber_count; i++) {
        if (ledger->subscribers[i] == wake) {
            ledger->subscribers[i] = ledger->subscribers[--ledger->subscriber_count];
            break;
        }
    }
    (void)pthread_mutex_unlock(&ledger->mutex);
}
