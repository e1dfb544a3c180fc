#include "recover/pipe.h"

#include <errno.h>
#include <pthread.h>

#include "base/fault.h"

#define CHECK_MS 200 /* how soon a cancellation is noticed while the vault gives nothing */
#define PART_READ 1  /* what the callback returns to end a scan at `until` */

struct pipe {
    struct vault *vault;
    const struct pipe_part *parts;
    size_t part_count;
    struct wake *cancel;
    pthread_t thread;
    struct pipe_block *filling; /* the reading thread's, NULL: take the next free one */
    uint64_t until;             /* the reading thread's */

    pthread_mutex_t mutex; /* of all below */
    pthread_cond_t moved;
    struct pipe_block *blocks[PIPE_BLOCKS];
    uint64_t filled; /* blocks ever filled; block n is blocks[n % PIPE_BLOCKS] */
    uint64_t taken;  /* blocks ever handed out by pipe_next */
    bool holding;    /* the last one handed out is still in use */
    bool stopping;
    bool finished;
    struct err err; /* of the reading thread, when it failed */
};

/* ---- the reading thread ---- */

/* A free block to fill: NULL when the pipe is being stopped. */
static struct pipe_block *free_block(struct pipe *pipe)
{
    struct pipe_block *block = NULL;

    (void)pthread_mutex_lock(&pipe->mutex);
    while (!pipe->stopping && pipe->filled - pipe->taken + (pipe->holding ? 1 : 0) >= PIPE_BLOCKS) {
        (void)pthread_cond_wait(&pipe->moved, &pipe->mutex); /* pipe_next and pipe_stop signal */
    }
    if (!pipe->stopping) {
        block = pipe->blocks[pipe->filled % PIPE_BLOCKS];
        block->count = 0;
        block->len = 0;
    }
    (void)pthread_mutex_unlock(&pipe->mutex);
    return block;
}

static void hand_over(struct pipe *pipe)
{
    if (pipe->filling == NULL || pipe->filling->count == 0) {
        return;
    }
    (void)pthread_mutex_lock(&pipe->mutex);
    pipe->filled++;
    pipe->filling = NULL;
    (void)pthread_cond_broadcast(&pipe->moved);
    (void)pthread_mutex_unlock(&pipe->mutex);
}

static bool fits(const struct pipe_block *block, const struct change *change)
{
    return block->count < PIPE_BLOCK_CHANGES &&
           block->len + change->record.len <= sizeof(block->bytes);
}

static int take_change(void *arg, const struct change *change, struct err *err)
{
    struct pipe *pipe = arg;

    if (change->seq > pipe->until) {
        return PART_READ; /* came after the head was asked */
    }
    if (change->record.len > PIPE_BLOCK_BYTES) {
        return err_set(err, ERR_CORRUPT, "change %llu has %zu bytes; at most %d are allowed",
                       (unsigned long long)change->seq, change->record.len, PIPE_BLOCK_BYTES);
    }
    if (pipe->filling != NULL && !fits(pipe->filling, change)) {
        hand_over(pipe);
    }
    if (pipe->filling == NULL) {
        pipe->filling = free_block(pipe);
    }
    if (pipe->filling == NULL || (pipe->cancel != NULL && wake_cancelled(pipe->cancel))) {
        return err_set(err, ERR_CANCELLED, "the recovery was cancelled");
    }
    struct pipe_block *block = pipe->filling;
    struct change *copy = &block->changes[block->count++];
    char *record = block->bytes + block->len;
    *copy = *change;
    memcpy(record, change->record.ptr, change->record.len);
    copy->record.ptr = record;
    copy->body.ptr = record + (change->body.ptr - change->record.ptr);
    block->len += change->record.len;
    return change->seq == pipe->until ? PART_READ : 0;
}

void pipe_vault_error(struct err *err)
{
    switch (err->code) {
    case ERR_CORRUPT:
    case ERR_NEWER:
    case ERR_AUTH:
    case ERR_FORBIDDEN:
    case ERR_TIMEOUT:
    case ERR_CANCELLED:
    case ERR_INTERNAL:
        return;
    default:
        err->code = ERR_UNAVAILABLE;
    }
}

static int read_part(struct pipe *pipe, const struct pipe_part *part, struct err *err)
{
    struct vault_filter filter = {.origin = part->origin, .after_seq = part->after};

    if (FAULT("recover.scan", EIO)) {
        return err_set(err, ERR_UNAVAILABLE, "the vault stopped answering (injected)");
    }
    pipe->until = part->until;
    int result = pipe->vault->ops->scan(pipe->vault, &filter, take_change, pipe,
                                        deadline_in(PIPE_SCAN_MS), err);
    if (result < 0) {
        pipe_vault_error(err);
        result = -(int)err->code;
    }
    return result == PART_READ ? 0 : result;
}

static void *run(void *arg)
{
    struct pipe *pipe = arg;
    struct err err = ERR_INIT;
    int result = 0;

    for (size_t i = 0; i < pipe->part_count && result == 0; i++) {
        result = read_part(pipe, &pipe->parts[i], &err);
    }
    if (result == 0) {
        hand_over(pipe);
    }
    (void)pthread_mutex_lock(&pipe->mutex);
    pipe->finished = true;
    if (result < 0) {
        pipe->err = err;
    }
    (void)pthread_cond_broadcast(&pipe->moved);
    (void)pthread_mutex_unlock(&pipe->mutex);
    return NULL;
}

/* ---- the caller's side ---- */

static void free_pipe(struct pipe *pipe)
{
    for (size_t i = 0; i < PIPE_BLOCKS; i++) {
        free(pipe->blocks[i]);
    }
    (void)pthread_cond_destroy(&pipe->moved);
    (void)pthread_mutex_destroy(&pipe->mutex);
    free(pipe);
}

int pipe_start(struct vault *vault, const struct pipe_part *parts, size_t count,
               struct wake *cancel, struct pipe **ret, struct err *err)
{
    struct pipe *pipe = xcalloc(1, sizeof(*pipe));

    *pipe = (struct pipe){
        .vault = vault, .parts = parts, .part_count = count, .cancel = cancel, .err = ERR_INIT};
    (void)pthread_mutex_init(&pipe->mutex, NULL); /* can't fail on Linux with default attributes */
    (void)pthread_cond_init(&pipe->moved, NULL);  /* likewise */
    for (size_t i = 0; i < PIPE_BLOCKS; i++) {
        pipe->blocks[i] = xmalloc(sizeof(*pipe->blocks[i]));
    }
    int rc =
        FAULT("recover.thread", EAGAIN) ? EAGAIN : pthread_create(&pipe->thread, NULL, run, pipe);
    if (rc != 0) {
        free_pipe(pipe);
        return err_errno(err, ERR_FULL, rc, "starting a thread for the recovery");
    }
    *ret = pipe;
    return 0;
}

static struct timespec after_ms(int64_t ms)
{
    struct timespec at;

    (void)clock_gettime(CLOCK_REALTIME, &at); /* can't fail; only bounds a wait that is repeated */
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    at.tv_sec += (time_t)(ms / 1000) + at.tv_nsec / 1000000000;
    at.tv_nsec %= 1000000000;
    return at;
}

int pipe_next(struct pipe *pipe, const struct pipe_block **ret, struct err *err)
{
    int result = 0;

    *ret = NULL;
    (void)pthread_mutex_lock(&pipe->mutex);
    pipe->holding = false;
    (void)pthread_cond_broadcast(&pipe->moved);
    while (pipe->taken == pipe->filled && !pipe->finished && result == 0) {
        struct timespec until = after_ms(CHECK_MS);
        (void)pthread_cond_timedwait(&pipe->moved, &pipe->mutex, &until);
        if (pipe->cancel != NULL && wake_cancelled(pipe->cancel)) {
            result = err_set(err, ERR_CANCELLED, "the recovery was cancelled");
        }
    }
    if (result == 0 && pipe->taken < pipe->filled) {
        *ret = pipe->blocks[pipe->taken++ % PIPE_BLOCKS];
        pipe->holding = true;
    } else if (result == 0 && pipe->err.code != ERR_NONE) {
        result = err_copy(err, &pipe->err);
    }
    (void)pthread_mutex_unlock(&pipe->mutex);
    return result;
}

void pipe_stop(struct pipe *pipe)
{
    if (pipe == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&pipe->mutex);
    pipe->stopping = true;
    (void)pthread_cond_broadcast(&pipe->moved);
    (void)pthread_mutex_unlock(&pipe->mutex);
    (void)pthread_join(pipe->thread,
                       NULL); /* it ends at its next change, or when the vault gives up */
    free_pipe(pipe);
}
