#include "search/index_internal.h"

#include <errno.h>
#include <time.h>

#include "base/fault.h"
#include "base/file.h"
#include "search/feed.h"

#define GATHER_MS                                                                                  \
    50 /* how long changes are left to gather before they are indexed, when nobody waits */
#define GATHER_BUSY_MS 250 /* and while many come */
#define BUSY_BATCH 100     /* changes in one batch that are many */
#define TRIM_BATCH 1000    /* changes in a batch after which memory is given back */
#define FILL_SLICE                                                                                 \
    32768 /* memories in one transaction of a rebuild: what is there can be searched meanwhile */
#define LOG_PAGES_IDLE                                                                             \
    1000 /* of SQLite's log (4 MiB) that are brought into the file when nothing else is to do */
#define LOG_PAGES_MAX 16384 /* and at once: 64 MiB */
#define RETRY_FIRST_MS 1000 /* after a failure, doubling */
#define RETRY_LAST_MS 60000

/* ---- telling the others ---- */

static void lock(struct index *index)
{
    (void)pthread_mutex_lock(&index->mutex); /* fails only for programmer errors */
}

static void unlock_moved(struct index *index)
{
    (void)pthread_cond_broadcast(&index->moved);
    (void)pthread_mutex_unlock(&index->mutex);
}

static void tell_progress(struct index *index, bool some, bool whole)
{
    lock(index);
    index->open = true;
    index->some = some;
    index->whole = whole;
    cursors_copy(&index->cursors, &index->done);
    unlock_moved(index);
}

static void tell_failure(struct index *index, const struct err *failure)
{
    lock(index);
    index->failure = *failure;
    unlock_moved(index);
}

/* ---- the file ---- */

static void close_file(struct index *index)
{
    lock(index);
    index->generation++;
    index->open = false;
    index->some = false;
    index->suspect = false;
    unlock_moved(index);
    searchers_close(index);
    index_file_close(index->file);
    index->file = NULL;
    cursors_done(&index->cursors);
}

static int verify(struct index *index, struct err *err)
{
    struct reader *reader;

    int result = cursors_load(&index->cursors, index->file, err);
    if (result == 0) {
        result = read_begin(index->ledger, &reader, err);
    }
    if (result == 0) {
        result = cursors_verify(&index->cursors, reader, err);
        read_end(reader);
    }
    return result;
}

/* Open what is there if it is whole and of this ledger. */
static int open_file(struct index *index, bool *ret_new, struct err *err)
{
    int result = index_file_open(index->folder, INDEX_FILE_KEEP, &index->file, err);

    if (result == 0) {
        result = index_file_is_new(index->file, ret_new, err);
    }
    if (result == 0) {
        result = verify(index, err);
    }
    if (result < 0) {
        close_file(index);
    }
    return result;
}

/* The same, throwing away what can't be used. */
static int open_or_make(struct index *index, bool *ret_new, struct err *err)
{
    int result = open_file(index, ret_new, err);

    if (result == -ERR_CORRUPT) {
        result = index_file_remove(index->folder, err);
        if (result == 0) {
            result = open_file(index, ret_new, err);
        }
    }
    return result;
}

/* ---- a rebuild ---- */

static int begin_both(struct index *index, struct reader **ret, struct err *err)
{
    int result = read_begin(index->ledger, ret, err);

    if (result == 0) {
        result = index_file_begin(index->file, err);
        if (result < 0) {
            read_end(*ret);
        }
    }
    return result;
}

/* One slice of it: `from` moves on. The cursors are those of the first slice, so that what changed
 * since comes by the journal. */
static int fill_slice(struct index *index, struct cursors *cursors, int64_t *from, bool *ret_end,
                      struct err *err)
{
    struct cursors none = {.items = NULL};
    struct reader *reader;

    int result = begin_both(index, &reader, err);
    if (result < 0) {
        return result;
    }
    if (*from == 0) {
        result = feed_heads(reader, cursors, err);
    }
    if (result == 0) {
        result = feed_fill(index->file, reader, cursors, from, FILL_SLICE, ret_end, err);
    }
    if (result == 0 && *ret_end) {
        result = cursors_save(cursors, &none, index->file, err);
    }
    if (result == 0 && *ret_end) {
        result = index_file_finish(index->file, err);
    }
    if (result == 0) {
        result = index_file_commit(index->file, err);
    }
    if (result < 0) {
        index_file_rollback(index->file);
    }
    read_end(reader);
    return result < 0 ? result : index_file_checkpoint(index->file, LOG_PAGES_MAX, err);
}

static bool asked_to_leave(struct index *index)
{
    lock(index);
    bool reopen = index->reopens_wanted != index->reopens_done;
    (void)pthread_mutex_unlock(&index->mutex);
    return reopen || wake_cancelled(&index->commits);
}

/* ERR_CANCELLED when the thread is wanted elsewhere: then the unfinished file is made anew later.
 */
static int fill(struct index *index, struct err *err)
{
    AUTO(cursors_done) struct cursors cursors = {.items = NULL};
    int64_t from = 0;
    bool end = false;

    tell_progress(index, false, false);
    while (!end) {
        int result = fill_slice(index, &cursors, &from, &end, err);
        if (result < 0) {
            return result;
        }
        CRASH_POINT("index.fill.slice");
        tell_progress(index, true, false);
        if (!end && asked_to_leave(index)) {
            return err_set(err, ERR_CANCELLED, "index: the rebuild was interrupted");
        }
    }
    cursors_copy(&cursors, &index->cursors);
    index_file_trim(index->file);
    return 0;
}

static int ensure_file(struct index *index, struct err *err)
{
    bool is_new = false;

    lock(index);
    bool suspect = index->suspect;
    (void)pthread_mutex_unlock(&index->mutex);
    if (suspect) {
        close_file(index);
        if (index_file_remove(index->folder, err) < 0) {
            return -(int)err->code;
        }
    }
    if (index->file != NULL) {
        return 0;
    }
    int result = open_or_make(index, &is_new, err);
    if (result == 0 && is_new) {
        result = fill(index, err);
    }
    if (result < 0) {
        close_file(index);
        return result;
    }
    tell_progress(index, true, true);
    return 0;
}

/* ---- the thread ---- */

/* Index what waits: 1 when there was something, 0 when there was nothing. */
static int step(struct index *index, struct err *err)
{
    struct reader *reader;
    size_t changes = 0;

    int result = ensure_file(index, err);
    if (result == 0) {
        result = read_begin(index->ledger, &reader, err);
    }
    if (result < 0) {
        return result;
    }
    result = feed_batch(index->file, reader, &index->cursors, &changes, err);
    read_end(reader);
    if (result == -ERR_CORRUPT) { /* rebuild it; should the ledger be the damaged one, that fails */
        index_suspect(index, index->generation);
        return 1;
    }
    if (result == 0) {
        result =
            index_file_checkpoint(index->file, changes > 0 ? LOG_PAGES_MAX : LOG_PAGES_IDLE, err);
    }
    if (result < 0) {
        return result;
    }
    if (changes > 0) {
        tell_progress(index, true, true);
        index->last_batch = changes;
        index->trim_due |= changes >= TRIM_BATCH;
    }
    return changes > 0;
}

/* Answer index_reopen. */
static void serve_reopen(struct index *index)
{
    lock(index);
    unsigned wanted = index->reopens_wanted;
    bool serve = wanted != index->reopens_done;
    (void)pthread_mutex_unlock(&index->mutex);
    if (!serve) {
        return;
    }
    close_file(index);
    lock(index);
    cursors_done(&index->done);
    index->failure = (struct err)ERR_INIT;
    index->reopens_done = wanted;
    unlock_moved(index);
}

static void wait_for_commits(struct index *index)
{
    lock(index);
    for (struct searcher *s = index->trim_asked ? index->idle : NULL; s != NULL; s = s->next) {
        (void)sqlite3_db_release_memory(s->file->conn.db); /* as much as there is */
    }
    index->trim_due |= index->trim_asked;
    index->trim_asked = false;
    (void)pthread_mutex_unlock(&index->mutex);
    if (index->trim_due) {
        index_file_trim(index->file);
        index->trim_due = false;
    }
    index->last_batch = 0;
    (void)wake_wait(&index->commits, deadline_never());
}

/* Leave changes some time to gather, unless somebody waits for them. */
static void let_gather(struct index *index)
{
    lock(index);
    bool hurry = index->waiting > 0 || !index->open || index->suspect ||
                 index->last_batch == FEED_CHANGES_MAX;
    (void)pthread_mutex_unlock(&index->mutex);
    if (!hurry) {
        (void)wake_wait(&index->hurry,
                        deadline_in(index->last_batch >= BUSY_BATCH ? GATHER_BUSY_MS : GATHER_MS));
    }
}

/* A failure: wait for a while, or until there is something else to do. */
static void back_off(struct index *index, int64_t *delay_ms)
{
    struct deadline deadline = deadline_in(*delay_ms);

    while (!asked_to_leave(index) && deadline_left_ms(deadline) > 0) {
        (void)wake_wait(&index->hurry, deadline);
    }
    *delay_ms = *delay_ms * 2 < RETRY_LAST_MS ? *delay_ms * 2 : RETRY_LAST_MS;
}

static void *keep(void *arg)
{
    struct index *index = arg;
    int64_t delay_ms = RETRY_FIRST_MS;
    struct err none = ERR_INIT;

    while (!wake_cancelled(&index->commits)) {
        struct err err = ERR_INIT;
        serve_reopen(index);
        int result = step(index, &err);
        if (result == -ERR_CANCELLED) {
            continue;
        }
        if (result < 0) {
            tell_failure(index, &err);
            back_off(index, &delay_ms);
            continue;
        }
        if (delay_ms != RETRY_FIRST_MS) {
            delay_ms = RETRY_FIRST_MS;
            tell_failure(index, &none);
        }
        if (result == 0) {
            wait_for_commits(index);
        }
        let_gather(index);
    }
    close_file(index);
    return NULL;
}

/* ---- life ---- */

static int init_cond(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;

    int rc = pthread_condattr_init(&attributes);
    if (rc == 0) {
        rc = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        rc = rc == 0 ? pthread_cond_init(cond, &attributes) : rc;
        (void)pthread_condattr_destroy(&attributes);
    }
    return rc;
}

static void index_free(struct index *index)
{
    wake_done(&index->commits);
    wake_done(&index->hurry);
    cursors_done(&index->done);
    cursors_done(&index->cursors);
    free(index->folder);
    free(index);
}

int index_start(struct ledger *ledger, struct index **ret, struct err *err)
{
    struct index *index = xcalloc(1, sizeof(*index));

    index->ledger = ledger;
    index->folder = path_join(ledger_home(ledger), "live");
    index->failure = (struct err)ERR_INIT;
    if (wake_init(&index->commits, err) < 0 || wake_init(&index->hurry, err) < 0) {
        index_free(index);
        return -(int)err->code;
    }
    int rc = pthread_mutex_init(&index->mutex, NULL);
    rc = rc == 0 ? init_cond(&index->moved) : rc;
    if (rc == 0) {
        ledger_subscribe(ledger, &index->commits);
        rc = pthread_create(&index->thread, NULL, keep, index);
        if (rc != 0) {
            ledger_unsubscribe(ledger, &index->commits);
        }
    }
    if (rc != 0) {
        index_free(index);
        return err_errno(err, ERR_IO, rc, "starting the index");
    }
    *ret = index;
    return 0;
}

void index_stop(struct index *index)
{
    if (index == NULL) {
        return;
    }
    wake_cancel(&index->commits);
    wake_cancel(&index->hurry);
    (void)pthread_join(index->thread, NULL); /* every wait of it was cancelled */
    ledger_unsubscribe(index->ledger, &index->commits);
    searchers_close(index);
    (void)pthread_cond_destroy(&index->moved);
    (void)pthread_mutex_destroy(&index->mutex);
    index_free(index);
}

/* ---- what others may ask ---- */

void index_hurry(struct index *index)
{
    wake_signal(&index->hurry);
    wake_signal(&index->commits);
}

void index_trim(struct index *index)
{
    lock(index);
    index->trim_asked = true;
    (void)pthread_mutex_unlock(&index->mutex);
    index_hurry(index);
}

void index_suspect(struct index *index, unsigned generation)
{
    lock(index);
    index->suspect |= generation == index->generation;
    index->whole &= !index->suspect;
    (void)pthread_mutex_unlock(&index->mutex);
    index_hurry(index);
}

/* Wait for the next broadcast. The mutex is held. False at the deadline. */
static bool wait_moved(struct index *index, struct deadline deadline)
{
    struct timespec until = {.tv_sec = deadline.at_ms / 1000,
                             .tv_nsec = deadline.at_ms % 1000 * 1000000};

    if (deadline.at_ms == DEADLINE_NEVER) {
        return pthread_cond_wait(&index->moved, &index->mutex) == 0;
    }
    return pthread_cond_timedwait(&index->moved, &index->mutex, &until) != ETIMEDOUT;
}

void index_reopen(struct index *index)
{
    lock(index);
    unsigned wanted = ++index->reopens_wanted;
    index->waiting++;
    while ((int)(index->reopens_done - wanted) < 0 && !wake_cancelled(&index->commits)) {
        index_hurry(index);
        (void)wait_moved(index, deadline_never());
    }
    index->waiting--;
    (void)pthread_mutex_unlock(&index->mutex);
}

static int read_heads_now(struct index *index, struct head **ret, size_t *ret_count,
                          struct err *err)
{
    struct reader *reader;

    int result = read_begin(index->ledger, &reader, err);
    if (result == 0) {
        result = read_heads(reader, ret, ret_count, err);
        read_end(reader);
    }
    return result;
}

/* The mutex is held. */
static bool has_all(const struct index *index, const struct head *heads, size_t count)
{
    return index->open && index->whole && cursors_behind(&index->done, heads, count) == 0;
}

int index_wait(struct index *index, struct deadline deadline, struct err *err)
{
    AUTO(free_ptr) struct head *heads = NULL;
    size_t count = 0;

    int result = read_heads_now(index, &heads, &count, err);
    if (result < 0) {
        return result;
    }
    lock(index);
    index->waiting++;
    while (result == 0 && !has_all(index, heads, count)) {
        index_hurry(index);
        if (index->failure.code != ERR_NONE) {
            result = err_copy(err, &index->failure);
        } else if (wake_cancelled(&index->commits)) {
            result = err_set(err, ERR_CANCELLED, "index: shutting down");
        } else if (!wait_moved(index, deadline)) {
            result = err_set(err, ERR_TIMEOUT, "index: %llu changes are not indexed yet",
                             (unsigned long long)cursors_behind(&index->done, heads, count));
        }
    }
    index->waiting--;
    (void)pthread_mutex_unlock(&index->mutex);
    return result;
}

uint64_t index_behind(struct index *index)
{
    AUTO(free_ptr) struct head *heads = NULL;
    struct err ignored = ERR_INIT; /* a ledger that can't be read says so elsewhere */
    size_t count = 0;

    if (read_heads_now(index, &heads, &count, &ignored) < 0) {
        return 0;
    }
    lock(index);
    uint64_t behind = cursors_behind(&index->done, heads, count);
    (void)pthread_mutex_unlock(&index->mutex);
    return behind;
}
