/*
 * index - full text over the current memories: live/index.db, a consumer of the journal that can be
 * deleted at any time.
 *
 * One thread keeps it up to date, in batches, a moment after the commit (never on the way to an
 * acknowledgement). FTS5 without contents, `porter holdfast` (words.h); rowid = the memory's place,
 * so that turn, the two before it and the session are neighbours in every posting list and windows
 * are scored in one pass (docs/search.md).
 *
 * A search first waits, by its deadline, until the index has what was committed before it was
 * asked, so that one reads one's own writes. At the deadline, or when the index can't go on (a full
 * disk), it answers with what there is. With nothing to answer from it fails: ERR_TIMEOUT while an
 * index is made, else with what stops the index.
 *
 * Thread: start and stop by the engine; search from any thread.
 */
#ifndef HOLDFAST_SEARCH_INDEX_H
#define HOLDFAST_SEARCH_INDEX_H

#include "ledger/read.h"

struct index;

#define INDEX_VERSION 1 /* another one on disk is rebuilt */

/* Start keeping home/live/index.db. A damaged, foreign, unfinished or older file, or one of another
 * ledger, is thrown away and rebuilt (it is derived), now or whenever that shows. Fails only for
 * want of a thread: what is wrong with the file is told by index_wait. */
int index_start(struct ledger *ledger, struct index **ret, struct err *err) MUST_CHECK;
void index_stop(struct index *index);

/* The ledger's folder was exchanged: follow it. Called after a recovery was activated. Returns when
 * the old file is closed, so that nothing is found there any more; the new one is opened, made or
 * rebuilt behind that, and whoever searches waits for it. */
void index_reopen(struct index *index);

/* Give back what its connections have cached, as soon as there is nothing to index. */
void index_trim(struct index *index);

/* Wait until all that is committed now is indexed. ERR_TIMEOUT, ERR_CANCELLED (shutdown), or what
 * stops the index: ERR_FULL, ERR_IO, ... */
int index_wait(struct index *index, struct deadline deadline, struct err *err) MUST_CHECK;
uint64_t index_behind(struct index *index); /* changes that are not indexed yet */

#define SEARCH_LIMIT_MAX 1000
#define SEARCH_QUERY_MAX_BYTES 4096
#define SNIPPET_MAX_BYTES 320

struct search_query {
    const char
        *text; /* words, "exact phrases"; everything else is text too: no query is a syntax error */
    size_t limit;                /* 1..SEARCH_LIMIT_MAX */
    struct memory_filter filter; /* exact: nothing that does not pass is ever returned; its words
                                    still count for its neighbours */
};

struct search_hit {
    struct memory memory; /* the caller's */
    struct memory_state state;
    double score;  /* higher is better; comparable within one answer */
    char *snippet; /* heap; words found are between [ and ] */
};

/*
 * Best first; ties by created_at descending, id. Heap array, search_hits_free. A query without any
 * word that is indexed finds nothing. A hit has one of the query's words or stands at most two
 * behind one that has, in the same session; the latter not when the query is one word or phrases
 * only. filter.with_deleted is not looked at: what is deleted is never found. ERR_INVALID (limit),
 * ERR_LIMIT (query), else as said above.
 */
int index_search(struct index *index, const struct search_query *query, struct deadline deadline,
                 struct search_hit **ret_hits, size_t *ret_count, struct err *err) MUST_CHECK;
void search_hits_free(struct search_hit *hits, size_t count);

#endif
