/*
 * handlers - the functions behind the rows of ops.def, and what they share. See ops.def for what
 * each does.
 */
#ifndef HOLDFAST_API_HANDLERS_H
#define HOLDFAST_API_HANDLERS_H

#include "api/op.h"

/* memory (op_memory.c, op_lines.c) */
op_handler op_remember, op_remember_lines, op_recall, op_get_memory, op_history, op_forget,
    op_export, op_log;
/* sessions and projects (op_session.c) */
op_handler op_list_sessions, op_get_session, op_start_session, op_end_session, op_agent_gone,
    op_list_projects, op_current_project;
/* vaults (op_sync.c) */
op_handler op_sync_now, op_get_sync_status, op_sync_events, op_dead_letters, op_pause_sync,
    op_resume_sync, op_doctor;
/* alerts, recovery, verification, the daemon itself (op_guard.c, op_recover.c) */
op_handler op_alerts, op_resolve, op_recover, op_recover_undo, op_verify, op_health, op_shutdown;

/* sources (op_source.c) */
op_handler op_restore;

/* Parameters of a checked call; the fallback when it was left out. */
const char *call_text(const struct op_call *call, const char *name); /* NULL */
bool call_bool(const struct op_call *call, const char *name);
int64_t call_integer(const struct op_call *call, const char *name, int64_t fallback);
struct uuid call_uuid(const struct op_call *call, const char *name); /* nil */
int call_time(const struct op_call *call, const char *name, int64_t *ret_us, struct err *err)
    MUST_CHECK; /* TIME_NONE */

/*
 * The caller's project: the parameter, else the configuration, else .holdfast in its folder, else
 * what its git remote was called before, else its git root's (or folder's) name. Heap. ret_why may
 * be NULL: a static text that says which.
 */
int call_project(const struct op_call *call, char **ret, const char **ret_why, struct err *err)
    MUST_CHECK;

/* A reader that ends by itself: `AUTO(reader_done) struct reader *reader = NULL;` */
void reader_done(struct reader **reader);

/* The tags of a filter from an array of strings: pointers into params. */
int call_tags(const struct op_call *call, const char *ret_tags[MEMORY_TAGS_MAX], size_t *ret_count,
              struct err *err) MUST_CHECK;

/* "pending", "queued" or "synced" for a change of this installation just written; and "held". */
const char *sync_status_of(struct engine *engine, uint64_t seq, bool held);

/*
 * Only a person decides: one who typed `expected` (what: its name) at a terminal, as the parameter
 * confirm, or `yes` where the configuration allows it. ERR_REFUSED names the command for a person.
 */
int call_person(const struct op_call *call, const char *expected, const char *what,
                const char *command, struct err *err) MUST_CHECK;

/* Does any vault wait? Used by ack = vault: waits until one vault has (this origin's) seq. */
int wait_for_vault(struct engine *engine, const struct uuid *origin, uint64_t seq, struct err *err)
    MUST_CHECK;

#endif
