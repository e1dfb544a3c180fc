#include "source/runner.h"

#include <pthread.h>

#include "base/utf8.h"

struct runner {
    struct runner_options options;
    const struct source_ops *ops;
    struct wake wake;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards all below */
    bool connected;
    char position[64];
    int64_t lag_ms;
    bool is_waiting;
    char capture[16];
    char fence[UUID_TEXT_MAX];
    char error[256];
    struct source_mirror mirror;
};

static void set_text(char *to, size_t size, const char *text)
{
    size_t len = text == NULL ? 0 : utf8_cut(str_of(text), size - 1);

    if (len > 0) {
        memcpy(to, text, len);
    }
    to[len] = '\0';
}

/* ---- what capture says ---- */

static void on_position(void *arg, const char *position, int64_t lag_ms)
{
    struct runner *r = arg;
    bool was_connected;

    (void)pthread_mutex_lock(&r->mutex);
    was_connected = r->connected;
    r->connected = true;
    r->is_waiting = false;
    r->lag_ms = lag_ms;
    set_text(r->position, sizeof(r->position), position);
    if (!was_connected) {
        r->error[0] = '\0';
    }
    (void)pthread_mutex_unlock(&r->mutex);
    if (!was_connected) {
        r->options.on_state(r->options.arg, r->options.source.name, NULL);
    }
}

static void on_note(void *arg, const char *what)
{
    struct runner *r = arg;

    r->options.on_note(r->options.arg, r->options.source.name, what);
}

static void on_trouble(void *arg, const char *what)
{
    struct runner *r = arg;

    (void)pthread_mutex_lock(&r->mutex);
    set_text(r->error, sizeof(r->error), what);
    (void)pthread_mutex_unlock(&r->mutex);
    if (what != NULL) {
        on_note(arg, what);
    }
}

static void on_fence(void *arg, const char *alert)
{
    struct runner *r = arg;

    (void)pthread_mutex_lock(&r->mutex);
    bool is_news = strcmp(r->fence, alert == NULL ? "" : alert) != 0;
    set_text(r->fence, sizeof(r->fence), alert);
    (void)pthread_mutex_unlock(&r->mutex);
    if (is_news) {
        AUTO(free_ptr)
        char *what = alert == NULL
                         ? xstrdup("the fence is down: it may be changed again")
                         : xprintf("the fence is up: nothing may be deleted, changed or dropped "
                                   "until a person resolves alert %s",
                                   alert);
        on_note(arg, what);
    }
}

static void on_capture(void *arg, const char *way)
{
    struct runner *r = arg;

    (void)pthread_mutex_lock(&r->mutex);
    set_text(r->capture, sizeof(r->capture), way);
    (void)pthread_mutex_unlock(&r->mutex);
}

static void on_mirror(void *arg, const struct source_mirror *mirror)
{
    struct runner *r = arg;

    (void)pthread_mutex_lock(&r->mutex);
    r->mirror = *mirror;
    (void)pthread_mutex_unlock(&r->mutex);
}

/* ---- the loop ---- */

static int capture_once(struct runner *r, struct err *err)
{
    struct source_events events = {.arg = r,
                                   .on_position = on_position,
                                   .on_note = on_note,
                                   .on_trouble = on_trouble,
                                   .on_fence = on_fence,
                                   .on_capture = on_capture,
                                   .on_mirror = on_mirror};
    struct source *source = NULL;

    int rc = r->ops->open(&r->options.source, &source, err);
    if (rc == 0) {
        rc = r->options.follows ? r->ops->follow(source, &events, err)
                                : r->ops->capture(source, &events, err);
        r->ops->close(source);
    }
    return rc;
}

/* Returns whether it had been captured at all since the last failure. */
static bool note_failure(struct runner *r, const struct err *err)
{
    char text[sizeof(r->error)];

    set_text(text, sizeof(text), err->message);
    (void)pthread_mutex_lock(&r->mutex);
    bool was_connected = r->connected;
    bool is_news = was_connected || strcmp(r->error, text) != 0;
    r->connected = false;
    r->is_waiting = true;
    set_text(r->error, sizeof(r->error), text);
    (void)pthread_mutex_unlock(&r->mutex);
    if (is_news) {
        r->options.on_state(r->options.arg, r->options.source.name, err->message);
    }
    return was_connected;
}

static void *run(void *arg)
{
    struct runner *r = arg;
    int64_t delay_ms = RUNNER_BACKOFF_INITIAL_MS;

    while (!wake_cancelled(&r->wake)) {
        struct err err = ERR_INIT;
        (void)capture_once(r, &err); /* it ends by an error only */
        if (wake_cancelled(&r->wake)) {
            break;
        }
        delay_ms = note_failure(r, &err)              ? RUNNER_BACKOFF_INITIAL_MS
                   : delay_ms < RUNNER_BACKOFF_MAX_MS ? delay_ms * 2
                                                      : RUNNER_BACKOFF_MAX_MS;
        (void)wake_wait(&r->wake, deadline_in(delay_ms));
    }
    return NULL;
}

/* ---- start and stop ---- */

int runner_start(const struct runner_options *options, struct runner **ret, struct err *err)
{
    const struct source_ops *ops;

    if (source_driver(options->kind, &ops, err) < 0) {
        return -(int)err->code;
    }
    struct runner *r = xcalloc(1, sizeof(*r));
    r->options = *options;
    r->ops = ops;
    (void)pthread_mutex_init(&r->mutex, NULL); /* a plain one can't fail */
    int rc = wake_init(&r->wake, err);
    if (rc == 0) {
        r->options.source.cancel = &r->wake;
        int errno_value = pthread_create(&r->thread, NULL, run, r);
        if (errno_value == 0) {
            *ret = r;
            return 0;
        }
        rc = err_errno(err, ERR_BUSY, errno_value, "starting the thread of source %s",
                       options->source.name);
        wake_done(&r->wake);
    }
    (void)pthread_mutex_destroy(&r->mutex);
    free(r);
    return rc;
}

void runner_stop(struct runner *r)
{
    if (r == NULL) {
        return;
    }
    wake_cancel(&r->wake);
    (void)pthread_join(r->thread, NULL); /* started, and joined once */
    wake_done(&r->wake);
    (void)pthread_mutex_destroy(&r->mutex);
    free(r);
}

void runner_status(struct runner *r, struct runner_status *ret)
{
    *ret = (struct runner_status){.name = r->options.source.name, .kind = r->ops->kind};
    (void)pthread_mutex_lock(&r->mutex);
    ret->connected = r->connected;
    ret->mirror = r->mirror;
    ret->lag_ms = r->lag_ms;
    set_text(ret->position, sizeof(ret->position), r->position);
    set_text(ret->state, sizeof(ret->state),
             r->connected    ? "capturing"
             : r->is_waiting ? "waiting"
                             : "connecting");
    set_text(ret->capture, sizeof(ret->capture), r->capture);
    set_text(ret->fence, sizeof(ret->fence), r->fence);
    set_text(ret->error, sizeof(ret->error), r->error);
    (void)pthread_mutex_unlock(&r->mutex);
}
