/*
 * index - full text over the current memories: live/index.db, a consumer of the journal that can be
 * deleted at any time.
 *
 * One thread keeps it up to date, in batches, a moment after the commit (never on the way to an
 * acknowledgement). A search first waits, by its deadline, until the index has what was committed
 * before it was asked, so that one reads one's own writes. FTS5 with `porter unicode61
 * remove_diacritics 2`; rowid = the memory's place, so that turn, the two before it and the session
 * are neighbours in every posting list and windows are scored in one pass (docs/search.md).
 *
 * Thread: start and stop by the engine; search from any thread.
 */
#ifndef HOLDFAST_SEARCH_INDEX_H
#define HOLDFAST_SEARCH_INDEX_H

#include "ledger/read.h"

struct index;

#define INDEX_VERSION 1 /* another one on disk is rebuilt */

/* Open or make home/live/index.db and start keeping it. A damaged, foreign or older file is thrown
 * away and rebuilt (it is derived). */
int index_start(struct ledger *ledger, struct index **ret, struct err *err) MUST_CHECK;
void index_stop(struct index *index);

/* The ledger's folder was exchanged: follow it. Called by the engine after a recovery was
 * activated. */
int index_reopen(struct index *index, struct err *err) MUST_CHECK;

/* Give back what its connections have cached, as soon as there is nothing to index. */
void index_trim(struct index *index);

/* Wait until all that is committed now is indexed. ERR_TIMEOUT. */
int index_wait(struct index *index, struct deadline deadline, struct err *err) MUST_CHECK;
uint64_t index_behind(struct index *index); /* changes that are not indexed yet */

#define SEARCH_LIMIT_MAX 1000
#define SEARCH_QUERY_MAX_BYTES 4096
#define SNIPPET_MAX_BYTES 320

struct search_query {
    const char
        *text; /* words, "exact phrases"; everything else is text too: no query is a syntax error */
    size_t limit;                /* 1..SEARCH_LIMIT_MAX */
    struct memory_filter filter; /* exact: nothing that does not pass is ever returned */
};

struct search_hit {
    struct memory memory; /* the caller's */
    struct memory_state state;
    double score;  /* higher is better; comparable within one answer */
    char *snippet; /* heap; words found are between [ and ] */
};

/* Best first; ties by created_at descending, id. Heap array, search_hits_free. A query without any
 * word that is indexed finds nothing. */
int index_search(struct index *index, const struct search_query *query, struct deadline deadline,
                 struct search_hit **ret_hits, size_t *ret_count, struct err *err) MUST_CHECK;
void search_hits_free(struct search_hit *hits, size_t count);

/* For a recovery: build index.db for a staged ledger in its folder, fed while it is staged, on a
 * thread of its own. */
struct index_builder;
int index_builder_start(const char *folder, struct index_builder **ret, struct err *err) MUST_CHECK;
/* After the staged ledger.db is complete and closed: read what is current there and index it. */
int index_builder_run(struct index_builder *builder, struct err *err) MUST_CHECK;
void index_builder_free(struct index_builder *builder);

#endif
