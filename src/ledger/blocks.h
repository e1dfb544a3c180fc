/*
 * blocks - which block a memory's place is in, how many memories of a project are alive, and how
 * many there are in all.
 *
 * A block belongs to one project and session; when its positions are used up, the two get another.
 * What is cached here is read again after blocks_forget; the counts are kept exact by blocks_count,
 * whose effects since a mark can be undone.
 */
#ifndef HOLDFAST_LEDGER_BLOCKS_H
#define HOLDFAST_LEDGER_BLOCKS_H

#include "ledger/conn.h"
#include "model/limits.h"

#define BLOCKS_CACHED_MAX 16384 /* blocks; the cache is emptied beyond it: 2 MiB */

struct project_count {
    char *id; /* lives as long as the blocks */
    uint64_t live;
    struct project_count *next;
};

struct block {
    int64_t no;
    int64_t used; /* positions */
    struct project_count *project;
    struct uuid session;
    struct block *next_by_name;
    struct block *next_by_no;
};

struct count_step {
    struct project_count *project;
    int live;
    int deleted;
};

#define BLOCKS_BUCKETS 4096
#define PROJECT_BUCKETS 256

struct blocks {
    struct block *by_name[BLOCKS_BUCKETS];
    struct block *by_no[BLOCKS_BUCKETS];
    struct project_count *projects[PROJECT_BUCKETS];
    size_t cached;
    uint64_t live;            /* memories in all */
    uint64_t deleted;         /* with a tombstone */
    struct count_step *steps; /* since the transaction began */
    size_t step_count;
    size_t step_capacity;
};

void blocks_done(struct blocks *blocks);
void blocks_forget(struct blocks *blocks);
/* Count all memories. */
int blocks_load_counts(struct blocks *blocks, struct conn *conn, struct err *err) MUST_CHECK;

/* The block that memories of a project and session go to, made when there is none or it is full. */
int blocks_open(struct blocks *blocks, struct conn *conn, const char *project_id,
                const struct uuid *session_id, struct block **ret, struct err *err) MUST_CHECK;
/* The same, only if it is cached. */
struct block *blocks_cached(struct blocks *blocks, const char *project_id,
                            const struct uuid *session_id);
/* The block with this number: ERR_CORRUPT when there is none. */
int blocks_by_no(struct blocks *blocks, struct conn *conn, int64_t no, struct block **ret,
                 struct err *err) MUST_CHECK;

struct project_count *blocks_project(struct blocks *blocks, const char *project_id);
void blocks_count(struct blocks *blocks, struct project_count *project, int live, int deleted);
void blocks_keep_counts(struct blocks *blocks);
void blocks_undo_counts(struct blocks *blocks,
                        size_t step_count); /* back to when there were so many steps */

#endif
