/*
 * rank - which memories answer a query best, by words.
 *
 * One pass over FTS5's posting lists gathers, per memory, how often each term is in it (gather.h).
 * Then each memory is scored three times by BM25: by its own text (turn), with the two before it in
 * its session (window), and by its whole session's text. Each of the three is divided by its
 * largest value for this query, and they are added with the weights below. So a reply is found by
 * the words of what it replies to, and a session about the matter lifts all that was said there.
 *
 * Candidates are the memories that have a term, and the two after each (whose window has it) unless
 * the query is a mere lookup. docs/search.md says what was measured.
 */
#ifndef HOLDFAST_SEARCH_RANK_H
#define HOLDFAST_SEARCH_RANK_H

#include "search/gather.h"

/* BM25's constants, as Anserini has them for short texts: a word that comes again says little more,
 * and a long text is discounted mildly. k1 = 1.2 and b = 0.75 found 1 % fewer (docs/search.md). */
#define RANK_K1 0.9
#define RANK_B 0.4

/* The session weighs most, as it says what the talk was about; the turn and its window share what
 * was said. Between 1 and 2 for the session nothing much changes on real talk. */
#define RANK_WEIGHT_TURN 1.0
#define RANK_WEIGHT_WINDOW 1.0
#define RANK_WEIGHT_SESSION 1.5

#define RANK_WINDOW 3 /* the memory and the two before it */

struct candidate {
    int64_t place;
    int64_t created_us;
    float turn;
    float window;
    float session;
    float score; /* the three together */
};

/* Candidates, best first: a heap, of which rank_pop takes the top. */
struct ranking {
    struct candidate *items;
    size_t count;
    size_t capacity;
};

/* What a candidate must be, as far as docs tell. Its neighbours lend it their words in any case. */
struct rank_filter {
    int64_t since_us;                /* INT64_MIN: no bound */
    int64_t until_us;                /* INT64_MAX: no bound */
    const struct number_set *places; /* the only ones there are */
    bool hide_private;
    const struct number_set
        *own_blocks; /* with hide_private: where private ones are shown all the same */
};

/* Score what was gathered. file is in the snapshot of the gathering. */
int rank_score(struct index_file *file, const struct gathered *gathered,
               const struct rank_filter *filter, struct ranking *ret, struct err *err) MUST_CHECK;
void ranking_done(struct ranking *ranking);

/* The best one: higher score, then newer, then lower place. False at the end. */
bool rank_pop(struct ranking *ranking, struct candidate *ret);
/* The same without taking it; NULL at the end. */
const struct candidate *rank_top(const struct ranking *ranking);

#endif
