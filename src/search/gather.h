/*
 * gather - one pass over the posting lists: for each memory that has a term, how often it has each.
 *
 * FTS5 calls an auxiliary function of ours for every row of the match, in ascending order of
 * places. What a filter of blocks leaves out still counts for the frequencies, so that the same
 * question weighs its words the same everywhere.
 *
 * Thread: that of the index_file.
 */
#ifndef HOLDFAST_SEARCH_GATHER_H
#define HOLDFAST_SEARCH_GATHER_H

#include "search/index_file.h"
#include "search/query.h"

#define GATHER_COUNT_MAX                                                                           \
    255 /* of one term in one memory: more of it would change no score that shows */

struct tally {
    uint8_t term;
    uint8_t count;
};

struct match {
    int64_t place;
    uint32_t first; /* of its tallies */
    uint32_t count; /* of them, at least 1 */
};

/* In how many turns, windows and sessions a term is. */
struct frequency {
    int64_t turns;
    int64_t windows; /* counted as if every memory had two after it: an upper bound */
    int64_t sessions;
    int64_t last_place; /* for counting */
};

struct gathered {
    const struct query_terms *query;
    struct match *matches; /* ascending places */
    size_t match_count;
    size_t match_capacity;
    struct tally *tallies;
    size_t tally_count;
    size_t tally_capacity;
    struct frequency frequencies[QUERY_TERMS_MAX];
};

/* Blocks or places to look at: sorted; items NULL for all. */
struct number_set {
    int64_t *items; /* heap */
    size_t count;
};

void number_set_done(struct number_set *set);
bool number_set_has(const struct number_set *set, int64_t number);

/* An index_file to search in, able to gather. */
struct gatherer;
int gatherer_new(struct index_file *file, struct gatherer **ret, struct err *err) MUST_CHECK;
void gatherer_free(struct gatherer *gatherer); /* before the file is closed */

/* Within a transaction of the file. query and blocks are borrowed; query must outlive *ret. */
int gather(struct gatherer *gatherer, const struct query_terms *query,
           const struct number_set *blocks, struct gathered *ret, struct err *err) MUST_CHECK;
void gathered_done(struct gathered *gathered);

/* The places of all memories whose tags have the words of each of these, in that order: no memory
 * with these tags is missing, some more may be there. Within a transaction. */
int gather_tagged(struct gatherer *gatherer, struct words *words, const char *const *tags,
                  size_t count, struct number_set *ret, struct err *err) MUST_CHECK;

#endif
