/*
 * tracker - which session a new memory belongs to.
 *
 * A session belongs to one agent process in one project. It goes on while the gaps are within
 * idle_ms (30 minutes), and ends by command, by idleness, or when the agent's process is gone. An
 * agent whose process was replaced (a shell per command) goes on with its predecessor's session of
 * the same project and label while that is not idle and its process is gone; two agents that live
 * at once have two sessions. previous_id chains the sessions of a project and label; a new session
 * takes over the journey of the one before.
 *
 * Times: wall clock from the ledger's env; ended_at of an idle session is its last activity.
 * Thread: any; one mutex, which is not held while the ledger is written.
 */
#ifndef HOLDFAST_SESSION_TRACKER_H
#define HOLDFAST_SESSION_TRACKER_H

#include "ledger/read.h"

struct tracker;

#define SESSION_IDLE_MS_DEFAULT (30 * 60 * 1000)

/* Who is calling: one agent process. */
struct agent {
    char label[64]; /* "cli", "mcp:claude-code", ... */
    int64_t pid;    /* of the process that lives as long as the agent; 0: not known */
    uint64_t
        start_ticks; /* its start time from /proc/PID/stat, so that a reused pid is another agent */
};

/* The start time of a process, or 0 if there is none. */
uint64_t agent_start_ticks(int64_t pid);

int tracker_open(struct ledger *ledger, int64_t idle_ms, struct tracker **ret, struct err *err)
    MUST_CHECK; /* open sessions are read from the ledger */
void tracker_close(struct tracker *tracker);

/* The session that `agent` is in for this project, made when there is none; marks it active. */
int tracker_current(struct tracker *tracker, const struct agent *agent, const char *project_id,
                    struct uuid *ret, struct err *err) MUST_CHECK;

/* Start one explicitly (ending the agent's present one in that project). journey nil: that of the
 * session before. */
int tracker_start(struct tracker *tracker, const struct agent *agent, const char *project_id,
                  const struct uuid *journey, struct uuid *ret, struct err *err) MUST_CHECK;

/* End a session now, with a summary or NULL. ERR_NOT_FOUND; one that has ended already stays as it
 * is (0). */
int tracker_end(struct tracker *tracker, const struct uuid *session, const char *summary,
                const char *source, struct err *err) MUST_CHECK;

/* End all open sessions of an agent: its process said good-bye. */
int tracker_agent_gone(struct tracker *tracker, const struct agent *agent, struct err *err)
    MUST_CHECK;

/* End what is idle or whose process is gone. Returns when the next one may become idle (wall
 * microseconds; INT64_MAX: none open). */
int64_t tracker_sweep(struct tracker *tracker);

#endif
