#include "search/rank.h"

#include <math.h>

#include "ledger/read.h"

#define LOOSE_SLOTS                                                                                \
    4 /* chunks of a block without a session that are kept: a window touches two                   \
       */

/* The docs of the block that is being scored: all of a session's, or those that were asked for
 * where there is none. */
struct block_docs {
    struct index_file *file;
    bool loose;
    uint64_t words;           /* of the whole session */
    struct doc_chunk *chunks; /* ascending; of a loose block: LOOSE_SLOTS, by number */
    size_t count;
    size_t capacity;
};

/* What BM25 needs of one of the three views. */
struct view {
    double average;
    double idf[QUERY_TERMS_MAX];
};

/* How often each term is in several matches together; only touched terms are set, and cleared
 * again. */
struct sum {
    unsigned counts[QUERY_TERMS_MAX];
    uint8_t touched[QUERY_TERMS_MAX];
    size_t count;
};

struct scorer {
    const struct gathered *gathered;
    const struct rank_filter *filter;
    struct block_docs docs;
    struct view turn;
    struct view window;
    struct view session;
    struct sum sum; /* of what is being scored; empty in between */
    struct ranking ranking;
};

/* ---- BM25 ---- */

/* n of total have the term: never negative, so that a word that all have is worth little, not less
 * than nothing. */
static double idf(int64_t n, int64_t total)
{
    double with = (double)(n < total ? n : total);

    return log(1 + ((double)total - with + 0.5) / (with + 0.5));
}

/* The part of BM25's denominator that a text's length decides. */
static double norm(const struct view *view, uint64_t words)
{
    return RANK_K1 * (1 - RANK_B + RANK_B * (double)words / view->average);
}

static double weigh(const struct view *view, size_t term, unsigned count, double length_norm)
{
    return view->idf[term] * count * (RANK_K1 + 1) / (count + length_norm);
}

/* Averages are at least 1, so that empty texts divide nothing by nothing. */
static double average(double words, int64_t texts)
{
    return texts <= 0 || words < (double)texts ? 1 : words / (double)texts;
}

static void prepare(struct scorer *scorer, const struct totals *totals)
{
    const struct gathered *gathered = scorer->gathered;
    double turns_per_window =
        totals->docs <= 0
            ? 1
            : RANK_WINDOW - (double)RANK_WINDOW * (double)totals->blocks / (double)totals->docs;

    /* A block of n >= 2 has 3n - 3 memories in its n windows. */
    scorer->turn.average = average((double)totals->words, totals->docs);
    scorer->window.average = scorer->turn.average * (turns_per_window < 1 ? 1 : turns_per_window);
    scorer->session.average = average((double)totals->session_words, totals->sessions);
    for (size_t i = 0; i < gathered->query->count; i++) {
        const struct frequency *frequency = &gathered->frequencies[i];
        scorer->turn.idf[i] = idf(frequency->turns, totals->docs);
        scorer->window.idf[i] = idf(frequency->windows, totals->docs);
        scorer->session.idf[i] = idf(frequency->sessions, totals->sessions);
    }
}

/* ---- the docs of a block ---- */

static bool chunk_is_loose(const struct doc_chunk *chunk)
{
    for (int i = 0; i < DOCS_PER_CHUNK; i++) {
        if (chunk->docs[i].key != 0) {
            return chunk->docs[i].loose;
        }
    }
    return false;
}

static int take_chunk(void *arg, const struct doc_chunk *chunk)
{
    struct block_docs *docs = arg;

    docs->loose = chunk_is_loose(chunk);
    if (docs->loose) {
        return 1;
    }
    if (docs->count == docs->capacity) {
        docs->capacity = docs->capacity == 0 ? LOOSE_SLOTS : 2 * docs->capacity;
        docs->chunks = xrealloc(docs->chunks, docs->capacity * sizeof(*docs->chunks));
    }
    docs->chunks[docs->count++] = *chunk;
    for (int i = 0; i < DOCS_PER_CHUNK; i++) {
        docs->words += chunk->docs[i].words;
    }
    return 0;
}

static int block_docs_load(struct block_docs *docs, int64_t block, struct err *err)
{
    int64_t first = block * INDEX_CHUNKS_PER_BLOCK;

    docs->count = 0;
    docs->words = 0;
    docs->loose = false;
    int result = index_file_chunks(docs->file, first, first + INDEX_CHUNKS_PER_BLOCK - 1,
                                   take_chunk, docs, err);
    if (result > 0 && docs->capacity < LOOSE_SLOTS) {
        docs->capacity = LOOSE_SLOTS;
        docs->chunks = xrealloc(docs->chunks, docs->capacity * sizeof(*docs->chunks));
    }
    for (size_t i = 0; result > 0 && i < LOOSE_SLOTS; i++) {
        docs->chunks[i].no = -1;
    }
    return result < 0 ? result : 0;
}

static int loose_chunk(struct block_docs *docs, int64_t no, const struct doc_chunk **ret,
                       struct err *err)
{
    struct doc_chunk *chunk = &docs->chunks[no % LOOSE_SLOTS];

    *ret = chunk;
    return chunk->no == no ? 0 : index_file_chunk(docs->file, no, chunk, err);
}

static const struct doc_chunk *session_chunk(const struct block_docs *docs, int64_t no)
{
    size_t low = 0;
    size_t high = docs->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (docs->chunks[middle].no < no) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < docs->count && docs->chunks[low].no == no ? &docs->chunks[low] : NULL;
}

/* *ret_doc is all zero where nothing is. */
static int doc_of(struct block_docs *docs, int64_t place, struct doc *ret, struct err *err)
{
    int64_t no = place / DOCS_PER_CHUNK;
    const struct doc_chunk *chunk;

    if (docs->loose) {
        int result = loose_chunk(docs, no, &chunk, err);
        if (result < 0) {
            return result;
        }
    } else {
        chunk = session_chunk(docs, no);
    }
    *ret = (struct doc){.key = 0};
    if (chunk != NULL) {
        *ret = chunk->docs[place % DOCS_PER_CHUNK];
    }
    return 0;
}

/* ---- scores ---- */

static void sum_add(struct sum *sum, const struct gathered *gathered, const struct match *match)
{
    for (uint32_t i = 0; i < match->count; i++) {
        struct tally tally = gathered->tallies[match->first + i];
        if (sum->counts[tally.term] == 0) {
            sum->touched[sum->count++] = tally.term;
        }
        sum->counts[tally.term] += tally.count;
    }
}

/* BM25 of the sum, which is empty afterwards. */
static float sum_score_take(struct sum *sum, const struct view *view, uint64_t words)
{
    double length_norm = norm(view, words);
    double score = 0;

    for (size_t i = 0; i < sum->count; i++) {
        uint8_t term = sum->touched[i];
        score += weigh(view, term, sum->counts[term], length_norm);
        sum->counts[term] = 0;
    }
    sum->count = 0;
    return (float)score;
}

static bool passes(const struct rank_filter *filter, const struct doc *doc, int64_t place)
{
    if (doc->created_us < filter->since_us || doc->created_us >= filter->until_us ||
        !number_set_has(filter->places, place)) {
        return false;
    }
    return !filter->hide_private || !doc->is_private ||
           (filter->own_blocks->count > 0 &&
            number_set_has(filter->own_blocks, place >> PLACE_BLOCK_SHIFT));
}

static void add_candidate(struct ranking *ranking, const struct candidate *candidate)
{
    if (ranking->count == ranking->capacity) {
        ranking->capacity = ranking->capacity == 0 ? 256 : 2 * ranking->capacity;
        ranking->items = xrealloc(ranking->items, ranking->capacity * sizeof(*ranking->items));
    }
    ranking->items[ranking->count++] = *candidate;
}

/* The memory at place, whose window is that of the matches up to `last` that are near enough;
 * first..last are its block's. */
static int score_place(struct scorer *scorer, int64_t place, const struct match *first,
                       const struct match *last, float session, struct err *err)
{
    const struct gathered *gathered = scorer->gathered;
    struct candidate candidate = {.place = place, .session = session};
    struct doc doc = {.key = 0};
    struct doc before;

    int result = doc_of(&scorer->docs, place, &doc, err);
    if (result < 0 || doc.key == 0 || !passes(scorer->filter, &doc, place)) {
        return result;
    }
    uint64_t words = doc.words;
    for (int64_t i = 1; i < RANK_WINDOW && place - i >= 0 &&
                        (place - i) >> PLACE_BLOCK_SHIFT == place >> PLACE_BLOCK_SHIFT;
         i++) {
        result = doc_of(&scorer->docs, place - i, &before, err);
        if (result < 0) {
            return result;
        }
        words += before.words;
    }
    if (last->place == place) {
        sum_add(&scorer->sum, gathered, last);
        candidate.turn = sum_score_take(&scorer->sum, &scorer->turn, doc.words);
    }
    for (const struct match *match = last; match->place > place - RANK_WINDOW; match--) {
        sum_add(&scorer->sum, gathered, match);
        if (match == first) {
            break;
        }
    }
    candidate.window = sum_score_take(&scorer->sum, &scorer->window, words);
    candidate.created_us = doc.created_us;
    add_candidate(&scorer->ranking, &candidate);
    return 0;
}

/* A match and those after it up to `end`, the next match's place, whose windows have it. */
static int score_match(struct scorer *scorer, const struct match *first, const struct match *match,
                       int64_t end, float session, struct err *err)
{
    int64_t reach = scorer->gathered->query->lookup ? 1 : RANK_WINDOW;

    for (int64_t place = match->place; place < match->place + reach && place < end; place++) {
        int result = score_place(scorer, place, first, match, session, err);
        if (result < 0) {
            return result;
        }
    }
    return 0;
}

/* The matches first..end - 1, all of one block. */
static int score_block(struct scorer *scorer, const struct match *first, const struct match *end,
                       struct err *err)
{
    int64_t block = first->place >> PLACE_BLOCK_SHIFT;
    float session = 0;

    int result = block_docs_load(&scorer->docs, block, err);
    if (result < 0) {
        return result;
    }
    if (!scorer->docs.loose) {
        for (const struct match *match = first; match < end; match++) {
            sum_add(&scorer->sum, scorer->gathered, match);
        }
        session = sum_score_take(&scorer->sum, &scorer->session, scorer->docs.words);
    }
    for (const struct match *match = first; match < end && result == 0; match++) {
        int64_t next = match + 1 < end ? match[1].place : (block + 1) << PLACE_BLOCK_SHIFT;
        result = score_match(scorer, first, match, next, session, err);
    }
    return result;
}

static int score_all(struct scorer *scorer, struct err *err)
{
    const struct match *match = scorer->gathered->matches;
    size_t count = scorer->gathered->match_count;
    const struct match *last = count == 0 ? match : match + count;

    while (match < last) {
        const struct match *end = match + 1;
        while (end < last && end->place >> PLACE_BLOCK_SHIFT == match->place >> PLACE_BLOCK_SHIFT) {
            end++;
        }
        int result = score_block(scorer, match, end, err);
        if (result < 0) {
            return result;
        }
        match = end;
    }
    return 0;
}

/* ---- the heap ---- */

static bool is_better(const struct candidate *a, const struct candidate *b)
{
    if (a->score > b->score || a->score < b->score) {
        return a->score > b->score;
    }
    if (a->created_us != b->created_us) {
        return a->created_us > b->created_us;
    }
    return a->place < b->place;
}

static void sift_down(struct ranking *ranking, size_t at)
{
    struct candidate item = ranking->items[at];

    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= ranking->count) {
            break;
        }
        if (child + 1 < ranking->count &&
            is_better(&ranking->items[child + 1], &ranking->items[child])) {
            child++;
        }
        if (!is_better(&ranking->items[child], &item)) {
            break;
        }
        ranking->items[at] = ranking->items[child];
        at = child;
    }
    ranking->items[at] = item;
}

const struct candidate *rank_top(const struct ranking *ranking)
{
    return ranking->count == 0 ? NULL : &ranking->items[0];
}

bool rank_pop(struct ranking *ranking, struct candidate *ret)
{
    if (ranking->count == 0) {
        return false;
    }
    *ret = ranking->items[0];
    ranking->items[0] = ranking->items[--ranking->count];
    if (ranking->count > 0) {
        sift_down(ranking, 0);
    }
    return true;
}

void ranking_done(struct ranking *ranking)
{
    free(ranking->items);
    *ranking = (struct ranking){.items = NULL};
}

/* ---- the three together ---- */

static float part(float value, float most, double weight)
{
    return most > 0 ? (float)(weight * (double)value / (double)most) : 0;
}

static void combine(struct ranking *ranking)
{
    struct candidate most = {.turn = 0};

    for (size_t i = 0; i < ranking->count; i++) {
        const struct candidate *item = &ranking->items[i];
        most.turn = fmaxf(most.turn, item->turn);
        most.window = fmaxf(most.window, item->window);
        most.session = fmaxf(most.session, item->session);
    }
    for (size_t i = 0; i < ranking->count; i++) {
        struct candidate *item = &ranking->items[i];
        item->score = part(item->turn, most.turn, RANK_WEIGHT_TURN) +
                      part(item->window, most.window, RANK_WEIGHT_WINDOW) +
                      part(item->session, most.session, RANK_WEIGHT_SESSION);
    }
    for (size_t i = ranking->count / 2; i-- > 0;) {
        sift_down(ranking, i);
    }
}

int rank_score(struct index_file *file, const struct gathered *gathered,
               const struct rank_filter *filter, struct ranking *ret, struct err *err)
{
    struct scorer *scorer = xcalloc(1, sizeof(*scorer));

    scorer->gathered = gathered;
    scorer->filter = filter;
    scorer->docs.file = file;
    prepare(scorer, &file->totals);
    int result = score_all(scorer, err);
    free(scorer->docs.chunks);
    if (result < 0) {
        ranking_done(&scorer->ranking);
    } else {
        combine(&scorer->ranking);
        *ret = scorer->ranking;
    }
    free(scorer);
    return result;
}
