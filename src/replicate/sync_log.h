/*
 * sync_log - sync.db: what each vault acknowledged, every attempt, dead letters, vault identities,
 * flags that outlive a restart.
 *
 * synchronous=NORMAL in WAL: an attempt costs no fsync. What a power failure takes from it is asked
 * of the vaults again (their heads), so a cursor may fall back but never runs ahead of its vault. A
 * damaged or missing sync.db is put aside and made anew: everything in it but the history of
 * attempts can be derived.
 *
 * Thread: any; one connection behind one mutex, which is held while a callback is given a row: it
 * must ask the log nothing.
 */
#ifndef HOLDFAST_REPLICATE_SYNC_LOG_H
#define HOLDFAST_REPLICATE_SYNC_LOG_H

#include "base/env.h"
#include "base/hash.h"
#include "base/uuid.h"

struct sync_log;

#define SYNC_EVENTS_KEPT                                                                           \
    100000 /* newest rows of attempts that are kept; failures and conflicts are kept ten times as  \
              long */

int sync_log_open(const char *home, struct env *env, struct sync_log **ret, struct err *err)
    MUST_CHECK;
void sync_log_close(struct sync_log *log);

/* Cursor: the last seq of an origin that a vault acknowledged, and its hash. 0 when none. */
int sync_cursor_get(struct sync_log *log, const char *vault, const struct uuid *origin,
                    uint64_t *ret_seq, struct sha256 *ret_hash, struct err *err) MUST_CHECK;
int sync_cursor_set(struct sync_log *log, const char *vault, const struct uuid *origin,
                    uint64_t seq, const struct sha256 *hash, struct err *err) MUST_CHECK;

/* All cursors that are not 0. */
struct sync_cursor {
    const char *vault;
    struct uuid origin;
    uint64_t seq;
};
typedef int sync_cursor_fn(void *arg, const struct sync_cursor *cursor, struct err *err);
int sync_cursors(struct sync_log *log, sync_cursor_fn *each, void *arg, struct err *err) MUST_CHECK;

/* The identity of a vault when it was first used; nil when it never was. */
int sync_vault_identity_get(struct sync_log *log, const char *vault, struct uuid *ret,
                            struct err *err) MUST_CHECK;
int sync_vault_identity_set(struct sync_log *log, const char *vault, const struct uuid *identity,
                            struct err *err) MUST_CHECK;

/* What else is remembered of a vault, as text. */
#define SYNC_FLAG_PLACE "place" /* the disk it was on (ops->place) */
#define SYNC_FLAG_AWAY "away"   /* a person was told that it is not mounted */
/* *ret is heap, or NULL when there is none. */
int sync_vault_flag_get(struct sync_log *log, const char *vault, const char *flag, char **ret,
                        struct err *err) MUST_CHECK;
int sync_vault_flag_set(struct sync_log *log, const char *vault, const char *flag,
                        const char *value, struct err *err) MUST_CHECK; /* NULL removes it */

enum sync_direction { SYNC_PUSH, SYNC_PULL };
struct sync_event {
    int64_t at_us;
    const char *vault;
    enum sync_direction direction;
    const char *result; /* "ok", "retry", "rejected", "conflict", "damaged", "refilled" */
    uint64_t count;     /* changes in the attempt */
    struct uuid origin;
    uint64_t from_seq;
    uint64_t to_seq;
    int64_t duration_us;
    uint64_t retries;  /* failed attempts in a row before this one */
    const char *error; /* NULL when ok */
};
int sync_event_add(struct sync_log *log, const struct sync_event *event, struct err *err)
    MUST_CHECK;
typedef int sync_event_fn(void *arg, const struct sync_event *event, struct err *err);
int sync_events(struct sync_log *log, const char *vault, size_t limit, sync_event_fn *each,
                void *arg, struct err *err) MUST_CHECK; /* newest first; NULL vault: all */

struct dead_letter {
    int64_t id;
    int64_t at_us;
    const char *vault;
    struct uuid origin;
    uint64_t seq;
    const char *error;
};
typedef int dead_letter_fn(void *arg, const struct dead_letter *letter, struct err *err);
int dead_letter_add(struct sync_log *log, const struct dead_letter *letter, struct err *err)
    MUST_CHECK;
int dead_letters(struct sync_log *log, const char *vault, dead_letter_fn *each, void *arg,
                 struct err *err) MUST_CHECK;
int dead_letter_count(struct sync_log *log, const char *vault, uint64_t *ret, struct err *err)
    MUST_CHECK;
int dead_letter_remove(struct sync_log *log, int64_t id, struct err *err)
    MUST_CHECK; /* after a replay succeeded */

/* Small named values that outlive a restart: "paused", "notified.<alert>", ... ERR_NOT_FOUND. */
int sync_flag_get(struct sync_log *log, const char *name, char **ret_value, struct err *err)
    MUST_CHECK;
int sync_flag_set(struct sync_log *log, const char *name, const char *value, struct err *err)
    MUST_CHECK; /* NULL removes it */

#endif
