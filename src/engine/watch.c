/* The daemon's housekeeping: idle sessions, and the store's own files watched, so that their
 * removal is seen at once. */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "engine/engine.h"
#include "ledger/trim.h"

#define WATCH_EVENTS (IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB)
#define VANISHED_DRAIN_MS                                                                          \
    5000 /* what was acknowledged and not yet sent gets this long to reach the vaults */

#define QUIET_MS 1000 /* without a call, then memory is given back */

static int watch_open(const struct engine *engine, struct err *err)
{
    AUTO(free_ptr) char *live = path_join(engine->home, "live");
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

    if (fd < 0) {
        return err_errno(err, ERR_INTERNAL, errno, "can't watch %s", engine->home);
    }
    if (inotify_add_watch(fd, engine->home, WATCH_EVENTS) < 0 ||
        inotify_add_watch(fd, live, WATCH_EVENTS) < 0) {
        int why = errno;
        close_fd(&fd);
        return err_errno(err, ERR_INTERNAL, why, "can't watch %s", engine->home);
    }
    return fd;
}

/* The ledger's files are gone or replaced: tell everybody while the open descriptors still hold the
 * data, and send it off. */
static int store_vanished(struct engine *engine, struct err *err)
{
    struct err trouble = ERR_INIT;

    log_error("store.vanished",
              "%s; nothing more is written here. What was acknowledged is being sent to the "
              "vaults; then run: holdfast recover",
              err->message);
    notifier_outside(engine->notifier, "store_vanished", err->message);
    for (size_t i = 0; i < engine->replicator_count; i++) {
        if (replicator_drain(engine->replicators[i], deadline_in(VANISHED_DRAIN_MS), &trouble) !=
            0) {
            log_error("store.vanished", "not everything reached a vault: %s", trouble.message);
        }
    }
    return -(int)err->code;
}

static int64_t wait_ms(struct engine *engine)
{
    int64_t next_us = tracker_sweep(engine->tracker);
    int64_t left_ms = (next_us - engine->env->now_us(engine->env)) / 1000 + 1;

    if (next_us == INT64_MAX) {
        return -1;
    }
    return left_ms < 0 ? 0 : left_ms;
}

void engine_note_call(struct engine *engine)
{
    struct wake *housekeeper = engine->housekeeper;

    engine->calls++;
    if (!atomic_exchange(&engine->stirred, true) && housekeeper) {
        wake_signal(housekeeper);
    }
}

/* Nothing was asked for a while: an idle daemon is small. */
static void give_back(struct engine *engine, uint64_t *seen_calls)
{
    uint64_t calls = engine->calls;

    if (calls != *seen_calls) {
        *seen_calls = calls;
        return;
    }
    engine->stirred = false;
    ledger_trim(engine->ledger);
    index_trim(engine->index);
    log_debug("engine.quiet", "nobody asked for anything; what caches held is given back");
}

/* How long the housekeeping may sleep: -1, for ever. */
static int sleep_ms(struct engine *engine)
{
    int64_t ms = wait_ms(engine);

    if (ms < 0 && !engine->stirred) {
        return -1;
    }
    int64_t most = engine->stirred ? QUIET_MS : 3600 * 1000;
    return ms < 0 || ms > most ? (int)most : (int)ms;
}

int engine_run(struct engine *engine, struct wake *wake, struct err *err)
{
    AUTO(close_fd) int fd = watch_open(engine, err);
    char events[4096];
    uint64_t seen_calls = 0;

    engine->housekeeper = wake;
    if (fd < 0) {
        return -(int)err->code;
    }
    while (!wake_cancelled(wake)) {
        struct pollfd polls[] = {{.fd = wake->fd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
        int ready = poll(polls, 2, sleep_ms(engine));
        if (ready < 0 && errno != EINTR) {
            return err_errno(err, ERR_INTERNAL, errno, "poll");
        }
        if (polls[1].revents) {
            while (read(fd, events, sizeof(events)) > 0) {
            }
        }
        if (ledger_health(engine->ledger, err) != 0) {
            return -(int)err->code;
        }
        if (polls[1].revents && ledger_check_store(engine->ledger, err) != 0) {
            return store_vanished(engine, err);
        }
        if (polls[1].revents) {
            /* A recovery exchanges the folder: watch the one that is live now. */
            close_fd(&fd);
            fd = watch_open(engine, err);
            if (fd < 0) {
                return -(int)err->code;
            }
        }
        if (ready == 0 && engine->stirred) {
            give_back(engine, &seen_calls);
        }
        (void)wake_wait(wake, deadline_in(0));
    }
    return 0;
}
