/* index_search: from a query to memories. */
#include "search/feed.h"
#include "search/index_internal.h"
#include "search/snippet.h"

/* ---- connections ---- */

static void searcher_close(struct searcher *searcher)
{
    if (searcher != NULL) {
        words_free(searcher->words);
        gatherer_free(searcher->gatherer);
        index_file_close(searcher->file);
        free(searcher);
    }
}

static int searcher_open(const char *folder, unsigned generation, struct searcher **ret,
                         struct err *err)
{
    struct searcher *searcher = xcalloc(1, sizeof(*searcher));

    searcher->generation = generation;
    int result = index_file_open(folder, INDEX_FILE_SEARCH, &searcher->file, err);
    if (result == 0) {
        result = gatherer_new(searcher->file, &searcher->gatherer, err);
    }
    if (result == 0) {
        result = words_new(&searcher->file->conn, &searcher->words, err);
    }
    if (result < 0) {
        searcher_close(searcher);
        return result;
    }
    *ret = searcher;
    return 0;
}

int searcher_take(struct index *index, struct searcher **ret, struct err *err)
{
    (void)pthread_mutex_lock(&index->mutex);
    struct searcher *searcher = index->idle;
    unsigned generation = index->generation;
    bool open = index->open;
    if (searcher != NULL) {
        index->idle = searcher->next;
        index->idle_count--;
        searcher->next = NULL;
    }
    (void)pthread_mutex_unlock(&index->mutex);
    if (searcher != NULL) {
        *ret = searcher;
        return 0;
    }
    if (!open) {
        return err_set(
            err, ERR_TIMEOUT,
            "there is nothing to search in yet: the index is being made; try again in a moment");
    }
    int result = searcher_open(index->folder, generation, ret, err);
    if (result == -ERR_CORRUPT) {
        index_suspect(index, generation);
    }
    return result;
}

void searcher_put(struct index *index, struct searcher *searcher)
{
    (void)pthread_mutex_lock(&index->mutex);
    if (searcher->generation == index->generation && index->idle_count < SEARCHERS_IDLE_MAX) {
        searcher->next = index->idle;
        index->idle = searcher;
        index->idle_count++;
        searcher = NULL;
    }
    (void)pthread_mutex_unlock(&index->mutex);
    searcher_close(searcher);
}

void searchers_close(struct index *index)
{
    (void)pthread_mutex_lock(&index->mutex);
    struct searcher *searcher = index->idle;
    index->idle = NULL;
    index->idle_count = 0;
    (void)pthread_mutex_unlock(&index->mutex);
    while (searcher != NULL) {
        struct searcher *next = searcher->next;
        searcher_close(searcher);
        searcher = next;
    }
}

/* ---- one search ---- */

struct search {
    const struct search_query *query;
    struct searcher *searcher;
    struct reader *reader;
    struct query_terms terms;
    struct number_set blocks;     /* where the filter's project and session are */
    struct number_set own_blocks; /* of the asking project */
    struct number_set tagged;     /* places that may have the filter's tags */
    struct ranking ranking;
    struct search_hit *hits;
    size_t count;
};

static void hit_done(struct search_hit *hit)
{
    memory_done(&hit->memory);
    free(hit->snippet);
}

void search_hits_free(struct search_hit *hits, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        hit_done(&hits[i]);
    }
    free(hits);
}

static void search_done(struct search *search)
{
    query_terms_done(&search->terms);
    number_set_done(&search->blocks);
    number_set_done(&search->own_blocks);
    number_set_done(&search->tagged);
    ranking_done(&search->ranking);
    search_hits_free(search->hits, search->count);
}

static int compare_blocks(const void *a, const void *b)
{
    const int64_t *x = a;
    const int64_t *y = b;

    return (*x > *y) - (*x < *y);
}

static int sorted_blocks(struct reader *reader, const char *project_id,
                         const struct uuid *session_id, struct number_set *ret, struct err *err)
{
    int result = read_blocks(reader, project_id, session_id, &ret->items, &ret->count, err);
    if (result == 0 && ret->count > 1) {
        qsort(ret->items, ret->count, sizeof(*ret->items), compare_blocks);
    }
    return result;
}

/* A project may see what is private to it: a filter for it needs no second look. */
static bool hides_private(const struct memory_filter *filter)
{
    return filter->asking_project != NULL &&
           (filter->project_id == NULL || strcmp(filter->asking_project, filter->project_id) != 0);
}

static int find_blocks(struct search *search, struct err *err)
{
    const struct memory_filter *filter = &search->query->filter;
    const struct uuid *session = uuid_is_nil(&filter->session_id) ? NULL : &filter->session_id;
    int result = 0;

    if (filter->project_id != NULL || session != NULL) {
        result = sorted_blocks(search->reader, filter->project_id, session, &search->blocks, err);
    }
    if (result == 0 && hides_private(filter)) {
        result =
            sorted_blocks(search->reader, filter->asking_project, NULL, &search->own_blocks, err);
    }
    return result;
}

static int gather_all(struct search *search, struct gathered *ret, struct err *err)
{
    const struct memory_filter *filter = &search->query->filter;
    struct searcher *searcher = search->searcher;

    int result = gather_tagged(searcher->gatherer, searcher->words, filter->tags, filter->tag_count,
                               &search->tagged, err);
    return result < 0 ? result
                      : gather(searcher->gatherer, &search->terms, &search->blocks, ret, err);
}

/* All candidates, as far as the index knows. The file's transaction is open. */
static int rank(struct search *search, struct err *err)
{
    const struct memory_filter *filter = &search->query->filter;
    bool some = filter->project_id != NULL || !uuid_is_nil(&filter->session_id);
    struct gathered gathered;
    struct rank_filter rank_filter = {
        .since_us = filter->since_us, /* TIME_NONE is the least there is */
        .until_us = filter->until_us == TIME_NONE ? INT64_MAX : filter->until_us,
        .places = &search->tagged,
        .hide_private = hides_private(filter),
        .own_blocks = &search->own_blocks,
    };

    if (some && search->blocks.count == 0) {
        return 0; /* no such project or session */
    }
    int result = gather_all(search, &gathered, err);
    if (result < 0) {
        return result;
    }
    result = rank_score(search->searcher->file, &gathered, &rank_filter, &search->ranking, err);
    gathered_done(&gathered);
    return result;
}

/* ---- fetching ---- */

/* What the index says of it is still so: it has a term, unless it was found by its neighbours'. */
static bool still_has_term(struct search *search, const struct candidate *candidate,
                           const struct search_hit *hit, bool in_content)
{
    AUTO(buf_done) struct buf tags = BUF_INIT(FEED_TAGS_MAX);
    struct err err;

    if (in_content || candidate->turn <= 0) {
        return true;
    }
    return feed_tags(&hit->memory, &tags, &err) == 0 &&
           snippet_has_term(search->searcher->words, &search->terms, buf_str(&tags));
}

/* *ret_fits: the memory at the candidate's place passes the filter; then *ret is the caller's. */
static int fetch(struct search *search, const struct candidate *candidate, struct search_hit *ret,
                 bool *ret_fits, struct err *err)
{
    struct search_hit hit = {.score = (double)candidate->score};
    struct memory_filter filter = search->query->filter;
    bool in_content;

    *ret_fits = false;
    memory_init(&hit.memory);
    int result = read_memory_at(search->reader, candidate->place, &hit.memory, &hit.state, err);
    if (result == -ERR_NOT_FOUND) {
        return 0; /* it moved or went since it was indexed */
    }
    filter.with_deleted =
        false; /* what is deleted is not indexed: show it never rather than for a moment */
    if (result < 0 || !memory_filter_match(&filter, &hit.memory)) {
        hit_done(&hit);
        return result;
    }
    struct str content = {hit.memory.content, hit.memory.content_len};
    hit.snippet = snippet_make(search->searcher->words, &search->terms, content, &in_content);
    *ret_fits = still_has_term(search, candidate, &hit, in_content);
    if (*ret_fits) {
        *ret = hit;
    } else {
        hit_done(&hit);
    }
    return 0;
}

static int compare_ids(const void *a, const void *b)
{
    const struct search_hit *x = a;
    const struct search_hit *y = b;

    return uuid_cmp(&x->memory.id, &y->memory.id);
}

static bool equal(const struct candidate *a, const struct candidate *b)
{
    return !(a->score < b->score) && !(a->score > b->score) && a->created_us == b->created_us;
}

/* Append to hits the best candidate and all that equal it, by id. */
static int fetch_equals(struct search *search, size_t *capacity, struct err *err)
{
    size_t first = search->count;
    struct candidate best = *rank_top(&search->ranking);
    int result = 0;

    while (result == 0 && rank_top(&search->ranking) != NULL &&
           equal(rank_top(&search->ranking), &best)) {
        struct candidate candidate;
        bool fits = false;
        (void)rank_pop(&search->ranking, &candidate);
        if (search->count == *capacity) {
            *capacity = *capacity == 0 ? 16 : 2 * *capacity;
            search->hits = xrealloc(search->hits, *capacity * sizeof(*search->hits));
        }
        result = fetch(search, &candidate, &search->hits[search->count], &fits, err);
        search->count += fits;
    }
    if (search->count - first > 1) {
        qsort(search->hits + first, search->count - first, sizeof(*search->hits), compare_ids);
    }
    return result;
}

static int fetch_best(struct search *search, struct err *err)
{
    size_t limit = search->query->limit;
    size_t capacity = 0;
    int result = 0;

    while (result == 0 && search->count < limit && rank_top(&search->ranking) != NULL) {
        result = fetch_equals(search, &capacity, err);
    }
    while (search->count > limit) {
        hit_done(&search->hits[--search->count]);
    }
    return result;
}

/* ---- the whole ---- */

/* The index's snapshot first, the ledger's second: so all that the index names is there. */
static int search_ranked(struct index *index, struct search *search, struct err *err)
{
    struct index_file *file = search->searcher->file;

    int result = index_file_begin(file, err);
    if (result < 0) {
        return result;
    }
    result = read_begin(index->ledger, &search->reader, err);
    if (result == 0) {
        result = find_blocks(search, err);
    }
    if (result == 0) {
        result = rank(search, err);
        if (result == -ERR_CORRUPT) {
            index_suspect(index, search->searcher->generation);
        }
    }
    index_file_rollback(file);
    return result;
}

static int search_once(struct index *index, struct search *search, struct err *err)
{
    int result = searcher_take(index, &search->searcher, err);
    if (result < 0 || search->searcher == NULL) {
        return result;
    }
    query_terms_parse(search->searcher->words, str_of(search->query->text), &search->terms);
    if (search->terms.count > 0) {
        result = search_ranked(index, search, err);
        if (result == 0) {
            result = fetch_best(search, err);
        }
    }
    read_end(search->reader);
    searcher_put(index, search->searcher);
    return result;
}

static int check_query(const struct search_query *query, struct err *err)
{
    size_t len = strlen(query->text);

    if (query->limit < 1 || query->limit > SEARCH_LIMIT_MAX) {
        return err_set(err, ERR_INVALID, "limit is %zu; 1 to %d are allowed", query->limit,
                       SEARCH_LIMIT_MAX);
    }
    if (len > SEARCH_QUERY_MAX_BYTES) {
        return err_set(err, ERR_LIMIT, "query has %zu bytes; at most %d are allowed", len,
                       SEARCH_QUERY_MAX_BYTES);
    }
    return 0;
}

/* The file was exchanged or is to be: what was found may be of another ledger than what was
 * fetched. */
static bool is_stale(struct index *index, unsigned generation)
{
    (void)pthread_mutex_lock(&index->mutex);
    bool stale = index->generation != generation || index->suspect;
    (void)pthread_mutex_unlock(&index->mutex);
    return stale;
}

static unsigned present_generation(struct index *index)
{
    (void)pthread_mutex_lock(&index->mutex);
    unsigned generation = index->generation;
    (void)pthread_mutex_unlock(&index->mutex);
    return generation;
}

/* Nothing is indexed, though something is to be. */
static bool has_nothing(struct index *index)
{
    (void)pthread_mutex_lock(&index->mutex);
    bool nothing = !index->open || !index->some;
    (void)pthread_mutex_unlock(&index->mutex);
    return nothing;
}

#define TRIES 2 /* the second after the index was found damaged, or exchanged meanwhile */

int index_search(struct index *index, const struct search_query *query, struct deadline deadline,
                 struct search_hit **ret_hits, size_t *ret_count, struct err *err)
{
    int result = check_query(query, err);

    for (int i = 0; i < TRIES && result == 0; i++) {
        AUTO(search_done) struct search search = {.query = query};
        struct err why = ERR_INIT;
        int waited = index_wait(index, deadline, &why);
        if (waited == -ERR_CANCELLED || (waited < 0 && has_nothing(index))) {
            return err_copy(err, &why);
        }
        unsigned generation = present_generation(index);
        result = search_once(index, &search, err);
        if (i + 1 < TRIES && is_stale(index, generation)) {
            result = 0;
            continue;
        }
        if (result == 0) {
            *ret_hits = search.hits;
            *ret_count = search.count;
            search.hits = NULL;
            search.count = 0;
            break;
        }
    }
    return result;
}
