#include "session/tracker.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "base/num.h"

#define TRACKER_OPEN_MAX                                                                           \
    4096 /* open sessions kept in memory; beyond it the idlest is ended early */

/* One open session. Its `agent` text in the ledger is "<label>/<pid>-<start ticks>". */
struct slot {
    struct uuid id;
    char *project_id;
    struct agent agent;
    int64_t active_us;
};

struct tracker {
    struct ledger *ledger;
    int64_t idle_us;
    pthread_mutex_t
        lock; /* guards slots; `making` serialises the start of sessions and is taken first */
    pthread_mutex_t making;
    struct slot *slots;
    size_t count;
    size_t capacity;
};

uint64_t agent_start_ticks(int64_t pid)
{
    char path[40];
    char text[1024];

    if (pid <= 0) {
        return 0;
    }
    (void)snprintf(path, sizeof(path), "/proc/%lld/stat", (long long)pid);
    AUTO(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (len <= 0) {
        return 0;
    }
    text[len] = 0;
    /* The name in parentheses may hold anything; field 22 is the 20th behind it. */
    const char *at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++) {
        at = strchr(at, ' ');
        at = at ? at + 1 : NULL;
    }
    return at ? strtoull(at, NULL, 10) : 0;
}

static bool agent_alive(const struct agent *agent)
{
    return agent->pid > 0 && agent->start_ticks != 0 &&
           agent_start_ticks(agent->pid) == agent->start_ticks;
}

static bool agent_same(const struct agent *a, const struct agent *b)
{
    return strcmp(a->label, b->label) == 0 && a->pid == b->pid && a->start_ticks == b->start_ticks;
}

static char *agent_text(const struct agent *agent)
{
    return xprintf("%s/%lld-%llu", agent->label, (long long)agent->pid,
                   (unsigned long long)agent->start_ticks);
}

static struct agent agent_parse(const char *text)
{
    struct agent agent = {.pid = 0};
    const char *slash = text ? strrchr(text, '/') : NULL;
    char *end = NULL;

    if (!slash) {
        return agent;
    }
    (void)snprintf(agent.label, sizeof(agent.label), "%.*s", (int)(slash - text), text);
    agent.pid = strtoll(slash + 1, &end, 10);
    agent.start_ticks = end && *end == '-' ? strtoull(end + 1, NULL, 10) : 0;
    return agent;
}

static int64_t now_us(const struct tracker *tracker)
{
    struct env *env = ledger_env(tracker->ledger);

    return env->now_us(env);
}

/* With lock held. */
static void slot_remove(struct tracker *tracker, size_t i)
{
    free(tracker->slots[i].project_id);
    tracker->slots[i] = tracker->slots[--tracker->count];
}

/* With lock held. */
static void slot_add(struct tracker *tracker, const struct uuid *id, const char *project_id,
                     const struct agent *agent, int64_t active_us)
{
    if (tracker->count == tracker->capacity) {
        tracker->capacity = tracker->capacity ? tracker->capacity * 2 : 16;
        tracker->slots = xrealloc(tracker->slots, tracker->capacity * sizeof(*tracker->slots));
    }
    tracker->slots[tracker->count++] = (struct slot){
        .id = *id, .project_id = xstrdup(project_id), .agent = *agent, .active_us = active_us};
}

/* Write a session's end (or any new state); the summary is kept where none is given. */
static int write_session(struct tracker *tracker, const struct session *session, const char *source,
                         struct err *err)
{
    struct draft draft = {.kind = KIND_SESSION, .op = OP_PUT, .session = session, .source = source};
    struct written written = {0};

    int rc = ledger_write(tracker->ledger, &draft, 1, true, &written, err);
    if (rc == 0 && written.code != ERR_NONE) {
        rc = err_set(err, written.code, "%s", written.message ? written.message : "");
    }
    written_done(&written, 1);
    return rc;
}

static int end_at(struct tracker *tracker, const struct uuid *id, int64_t ended_us,
                  const char *summary, const char *source, struct err *err)
{
    struct reader *reader = NULL;
    struct session session;

    if (read_begin(tracker->ledger, &reader, err) != 0) {
        return -(int)err->code;
    }
    int rc = read_session(reader, id, &session, err);
    read_end(reader);
    if (rc != 0) {
        return rc;
    }
    if (session.ended_us == TIME_NONE) {
        session.ended_us = ended_us < session.started_us ? session.started_us : ended_us;
        if (summary) {
            free(session.summary);
            session.summary = xstrdup(summary);
        }
        session.version = 0;
        rc = write_session(tracker, &session, source, err);
    }
    session_done(&session);
    return rc;
}

static int open_from_ledger(void *arg, const struct session *session, struct err *err)
{
    struct tracker *tracker = arg;
    struct agent agent = agent_parse(session->agent);

    (void)err;
    if (session->ended_us == TIME_NONE && session->agent) {
        slot_add(tracker, &session->id, session->project_id, &agent,
                 session->active_us == TIME_NONE ? session->started_us : session->active_us);
    }
    return 0;
}

int tracker_open(struct ledger *ledger, int64_t idle_ms, struct tracker **ret, struct err *err)
{
    struct reader *reader = NULL;

    if (read_begin(ledger, &reader, err) != 0) {
        return -(int)err->code;
    }
    struct tracker *tracker = xcalloc(1, sizeof(*tracker));
    tracker->ledger = ledger;
    tracker->idle_us = idle_ms * 1000;
    pthread_mutex_init(&tracker->lock, NULL);
    pthread_mutex_init(&tracker->making, NULL);
    int rc = read_sessions(reader, NULL, TRACKER_OPEN_MAX, open_from_ledger, tracker, err);
    read_end(reader);
    if (rc != 0) {
        tracker_close(tracker);
        return rc;
    }
    *ret = tracker;
    return 0;
}

void tracker_close(struct tracker *tracker)
{
    if (!tracker) {
        return;
    }
    while (tracker->count) {
        slot_remove(tracker, tracker->count - 1);
    }
    free(tracker->slots);
    pthread_mutex_destroy(&tracker->lock);
    pthread_mutex_destroy(&tracker->making);
    free(tracker);
}

/*
 * The open session this agent goes on with: its own, or that of a predecessor of the same project
 * and label whose process is gone. Marks it active and makes it this agent's. With lock held.
 */
static bool slot_find(struct tracker *tracker, const struct agent *agent, const char *project_id,
                      int64_t now, struct uuid *ret)
{
    struct slot *found = NULL;

    for (size_t i = 0; i < tracker->count; i++) {
        struct slot *slot = &tracker->slots[i];
        if (strcmp(slot->project_id, project_id) != 0 ||
            strcmp(slot->agent.label, agent->label) != 0 ||
            now - slot->active_us > tracker->idle_us) {
            continue;
        }
        if (agent_same(&slot->agent, agent)) {
            found = slot;
            break;
        }
        if (!agent_alive(&slot->agent) && (!found || slot->active_us > found->active_us)) {
            found = slot;
        }
    }
    if (!found) {
        return false;
    }
    found->agent = *agent;
    found->active_us = now;
    *ret = found->id;
    return true;
}

struct previous {
    const char *label;
    struct uuid id;
    struct uuid journey;
};

/* The newest session of this project and label. */
static int find_previous(void *arg, const struct session *session, struct err *err)
{
    struct previous *previous = arg;
    struct agent agent = agent_parse(session->agent);

    (void)err;
    if (strcmp(agent.label, previous->label) != 0) {
        return 0;
    }
    previous->id = session->id;
    previous->journey = session->journey_id;
    return 1;
}

#define PREVIOUS_LOOK_BACK                                                                         \
    1000 /* sessions of a project that are looked through for the one before */

/* With `making` held. */
static int make_session(struct tracker *tracker, const struct agent *agent, const char *project_id,
                        const struct uuid *journey, struct uuid *ret, struct err *err)
{
    struct previous previous = {.label = agent->label};
    struct reader *reader = NULL;
    struct session session;

    if (read_begin(tracker->ledger, &reader, err) != 0) {
        return -(int)err->code;
    }
    int rc = read_sessions(reader, project_id, PREVIOUS_LOOK_BACK, find_previous, &previous, err);
    read_end(reader);
    if (rc < 0) {
        return rc;
    }
    session_init(&session);
    session.id = uuid_new(ledger_env(tracker->ledger));
    session.project_id = xstrdup(project_id);
    session.started_us = now_us(tracker);
    session.previous_id = previous.id;
    session.journey_id = journey && !uuid_is_nil(journey) ? *journey : previous.journey;
    session.agent = agent_text(agent);
    rc = write_session(tracker, &session, agent->label, err);
    if (rc == 0) {
        *ret = session.id;
        pthread_mutex_lock(&tracker->lock);
        slot_add(tracker, &session.id, project_id, agent, session.started_us);
        pthread_mutex_unlock(&tracker->lock);
    }
    session_done(&session);
    return rc;
}

int tracker_current(struct tracker *tracker, const struct agent *agent, const char *project_id,
                    struct uuid *ret, struct err *err)
{
    int rc = 0;

    pthread_mutex_lock(&tracker->lock);
    bool found = slot_find(tracker, agent, project_id, now_us(tracker), ret);
    pthread_mutex_unlock(&tracker->lock);
    if (found) {
        return 0;
    }
    (void)tracker_sweep(tracker); /* what was left idle ends before the next begins */
    pthread_mutex_lock(&tracker->making);
    pthread_mutex_lock(&tracker->lock);
    found = slot_find(tracker, agent, project_id, now_us(tracker),
                      ret); /* another thread may have been faster */
    pthread_mutex_unlock(&tracker->lock);
    if (!found) {
        rc = make_session(tracker, agent, project_id, NULL, ret, err);
    }
    pthread_mutex_unlock(&tracker->making);
    return rc;
}

/* End the open sessions that `mine` chooses. */
static int end_agents(struct tracker *tracker, const struct agent *agent, const char *project_id,
                      struct err *err)
{
    int rc = 0;

    for (;;) {
        struct uuid id = {{0}};
        pthread_mutex_lock(&tracker->lock);
        for (size_t i = 0; i < tracker->count; i++) {
            if (agent_same(&tracker->slots[i].agent, agent) &&
                (!project_id || strcmp(tracker->slots[i].project_id, project_id) == 0)) {
                id = tracker->slots[i].id;
                slot_remove(tracker, i);
                break;
            }
        }
        pthread_mutex_unlock(&tracker->lock);
        if (uuid_is_nil(&id) || rc != 0) {
            return rc;
        }
        rc = end_at(tracker, &id, now_us(tracker), NULL, agent->label, err);
    }
}

int tracker_start(struct tracker *tracker, const struct agent *agent, const char *project_id,
                  const struct uuid *journey, struct uuid *ret, struct err *err)
{
    pthread_mutex_lock(&tracker->making);
    int rc = end_agents(tracker, agent, project_id, err);
    if (rc == 0) {
        rc = make_session(tracker, agent, project_id, journey, ret, err);
    }
    pthread_mutex_unlock(&tracker->making);
    return rc;
}

int tracker_end(struct tracker *tracker, const struct uuid *session, const char *summary,
                const char *source, struct err *err)
{
    int rc = end_at(tracker, session, now_us(tracker), summary, source, err);

    if (rc != 0) {
        return rc;
    }
    pthread_mutex_lock(&tracker->lock);
    for (size_t i = 0; i < tracker->count; i++) {
        if (uuid_eq(&tracker->slots[i].id, session)) {
            slot_remove(tracker, i);
            break;
        }
    }
    pthread_mutex_unlock(&tracker->lock);
    return 0;
}

int tracker_agent_gone(struct tracker *tracker, const struct agent *agent, struct err *err)
{
    return end_agents(tracker, agent, NULL, err);
}

int64_t tracker_sweep(struct tracker *tracker)
{
    int64_t now = now_us(tracker);
    int64_t next = INT64_MAX;

    for (;;) {
        struct slot idle = {.active_us = 0};
        struct err ignored =
            ERR_INIT; /* a session that can't be ended now is open again at the next start */
        next = INT64_MAX;
        pthread_mutex_lock(&tracker->lock);
        for (size_t i = 0; i < tracker->count && !idle.project_id; i++) {
            struct slot *slot = &tracker->slots[i];
            int64_t ends = slot->active_us + tracker->idle_us;
            if (now > ends) {
                idle = *slot;
                idle.project_id = xstrdup(slot->project_id);
                slot_remove(tracker, i);
            } else {
                next = ends < next ? ends : next;
            }
        }
        pthread_mutex_unlock(&tracker->lock);
        if (!idle.project_id) {
            return next;
        }
        (void)end_at(tracker, &idle.id, idle.active_us, NULL, "holdfast", &ignored);
        free(idle.project_id);
    }
}
