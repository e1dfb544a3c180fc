/*
 * session, project - the work that memories come from. A journey is a chain of sessions that share
 * journey_id.
 */
#ifndef HOLDFAST_MODEL_SESSION_H
#define HOLDFAST_MODEL_SESSION_H

#include "model/memory.h"

struct session {
    struct uuid id;
    char *project_id; /* heap */
    int64_t started_us;
    int64_t ended_us;        /* TIME_NONE: open */
    int64_t active_us;       /* last written to; not part of the body, kept in the projection */
    char *summary;           /* heap or NULL */
    struct uuid previous_id; /* nil: the first */
    struct uuid journey_id;  /* nil: of none */
    char *agent; /* heap or NULL: who opened it, e.g. "claude-code 2.1 (pid 4711)"; at most
                    SOURCE_MAX_BYTES */
    uint64_t memory_count; /* derived: memories that are alive; not part of the body */
    uint64_t version;
};

struct project {
    char *id;          /* heap */
    char *name;        /* heap; the id when none was given */
    char *description; /* heap or NULL */
    int64_t created_us;
    uint64_t memory_count; /* derived */
    uint64_t version;
};

/*
 * As for memories: _from_json refuses unknown fields by name, takes null as absent, and every field
 * but a project's id is optional; _to_json shows every field. A body leaves out the id, the project
 * and the version, which the change's envelope says: a session's has agent, ended_at, journey_id,
 * previous_id and summary if there is one, and started_at; a project's has created_at, description
 * if there is one, and name. ERR_CORRUPT if it isn't one. An empty summary or description is none.
 */
void session_init(struct session *session);
void session_done(struct session *session);
json_t *session_to_json(const struct session *session);
int session_from_json(const json_t *object, struct session *ret, struct err *err) MUST_CHECK;
int session_write_body(const struct session *session, struct buf *buf, struct err *err) MUST_CHECK;
int session_read_body(struct str body, struct session *ret, struct err *err) MUST_CHECK;

void project_init(struct project *project);
void project_done(struct project *project);
json_t *project_to_json(const struct project *project);
int project_from_json(const json_t *object, struct project *ret, struct err *err) MUST_CHECK;
int project_write_body(const struct project *project, struct buf *buf, struct err *err) MUST_CHECK;
int project_read_body(struct str body, struct project *ret, struct err *err) MUST_CHECK;

#endif
