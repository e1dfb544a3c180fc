#include "search/gather.h"

#include "ledger/read.h"

struct gatherer {
    struct index_file *file;
    sqlite3_stmt *statement;
    sqlite3_stmt *tagged;
    struct gathered *into; /* of the call under way */
    const struct number_set *blocks;
    size_t next_block; /* of blocks: the first that is not below the last row's */
};

void number_set_done(struct number_set *set)
{
    if (set != NULL) {
        free(set->items);
        *set = (struct number_set){.items = NULL};
    }
}

bool number_set_has(const struct number_set *set, int64_t number)
{
    size_t low = 0;
    size_t high = set->count;

    if (set->items == NULL) {
        return true;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->items[middle] < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < set->count && set->items[low] == number;
}

/* As number_set_has, for blocks that come in ascending order. */
static bool in_set(struct gatherer *gatherer, int64_t block)
{
    const struct number_set *set = gatherer->blocks;

    if (set->items == NULL) {
        return true;
    }
    while (gatherer->next_block < set->count && set->items[gatherer->next_block] < block) {
        gatherer->next_block++;
    }
    return gatherer->next_block < set->count && set->items[gatherer->next_block] == block;
}

static void count_frequency(struct frequency *frequency, int64_t place)
{
    bool same_block = frequency->turns > 0 &&
                      frequency->last_place >> PLACE_BLOCK_SHIFT == place >> PLACE_BLOCK_SHIFT;
    int64_t apart = place - frequency->last_place;

    frequency->turns++;
    frequency->windows += same_block && apart < 3 ? apart : 3;
    frequency->sessions += !same_block;
    frequency->last_place = place;
}

static void add_tally(struct gathered *into, size_t term, unsigned count)
{
    if (into->tally_count == into->tally_capacity) {
        into->tally_capacity = into->tally_capacity == 0 ? 1024 : 2 * into->tally_capacity;
        into->tallies = xrealloc(into->tallies, into->tally_capacity * sizeof(*into->tallies));
    }
    into->tallies[into->tally_count++] = (struct tally){(uint8_t)term, (uint8_t)count};
}

static void add_match(struct gathered *into, int64_t place, uint32_t tallies)
{
    if (into->match_count == into->match_capacity) {
        into->match_capacity = into->match_capacity == 0 ? 1024 : 2 * into->match_capacity;
        into->matches = xrealloc(into->matches, into->match_capacity * sizeof(*into->matches));
    }
    into->matches[into->match_count++] =
        (struct match){place, (uint32_t)into->tally_count - tallies, tallies};
}

static unsigned count_hits(const Fts5ExtensionApi *api, Fts5Context *context, int phrase)
{
    Fts5PhraseIter iter;
    unsigned hits = 0;
    int column;
    int offset;

    if (api->xPhraseFirst(context, phrase, &iter, &column, &offset) != SQLITE_OK) {
        return 0;
    }
    while (column >= 0 && hits < GATHER_COUNT_MAX) {
        hits++;
        api->xPhraseNext(context, &iter, &column, &offset);
    }
    return hits;
}

/* FTS5's call for one row. It answers 0, so that SQLite goes on to the next row by itself. */
static void take_row(const Fts5ExtensionApi *api, Fts5Context *context, sqlite3_context *answer,
                     int argc, sqlite3_value **argv)
{
    struct gatherer *gatherer = api->xUserData(context);
    struct gathered *into = gatherer->into;
    int64_t place = api->xRowid(context);
    bool wanted = in_set(gatherer, place >> PLACE_BLOCK_SHIFT);
    uint32_t tallies = 0;

    (void)argc;
    (void)argv;
    for (size_t i = 0; i < into->query->count; i++) {
        unsigned hits = count_hits(api, context, (int)i);
        if (hits == 0) {
            continue;
        }
        count_frequency(&into->frequencies[i], place);
        if (wanted) {
            add_tally(into, i, hits);
            tallies++;
        }
    }
    if (tallies > 0) {
        add_match(into, place, tallies);
    }
    sqlite3_result_int(answer, 0);
}

int gatherer_new(struct index_file *file, struct gatherer **ret, struct err *err)
{
    static const char tagged[] = "SELECT rowid FROM words WHERE words MATCH ? ORDER BY rowid";
    static const char sql[] =
        "SELECT 1 FROM words WHERE words MATCH ? AND holdfast_gather(words) ORDER BY rowid";
    struct fts5_api *api = NULL;

    int result = words_fts5_api(&file->conn, &api, err);
    if (result < 0 || api == NULL) {
        return result;
    }
    struct gatherer *gatherer = xcalloc(1, sizeof(*gatherer));
    gatherer->file = file;
    int rc = api->xCreateFunction(api, "holdfast_gather", gatherer, take_row, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_prepare_v3(file->conn.db, sql, -1, SQLITE_PREPARE_PERSISTENT,
                                &gatherer->statement, NULL);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_prepare_v3(file->conn.db, tagged, -1, SQLITE_PREPARE_PERSISTENT,
                                &gatherer->tagged, NULL);
    }
    if (rc != SQLITE_OK) {
        result = conn_error(&file->conn, rc, err);
        gatherer_free(gatherer);
        return result;
    }
    *ret = gatherer;
    return 0;
}

void gatherer_free(struct gatherer *gatherer)
{
    if (gatherer != NULL) {
        (void)sqlite3_finalize(gatherer->statement); /* repeats the error of its last step */
        (void)sqlite3_finalize(gatherer->tagged);    /* so does this */
        free(gatherer);
    }
}

void gathered_done(struct gathered *gathered)
{
    free(gathered->matches);
    free(gathered->tallies);
    *gathered = (struct gathered){.query = NULL};
}

int gather(struct gatherer *gatherer, const struct query_terms *query,
           const struct number_set *blocks, struct gathered *ret, struct err *err)
{
    AUTO(free_ptr) char *expression = query_terms_expression(query);
    sqlite3_stmt *statement = gatherer->statement;
    struct gathered into = {.query = query};
    int result = 0;

    if (expression != NULL) {
        gatherer->into = &into;
        gatherer->blocks = blocks;
        gatherer->next_block = 0;
        (void)sqlite3_bind_text(statement, 1, expression, -1, SQLITE_STATIC); /* can't fail */
        int rc = sqlite3_step(statement);
        result = rc == SQLITE_DONE ? 0 : conn_error(&gatherer->file->conn, rc, err);
        (void)sqlite3_reset(statement); /* repeats the error of the step */
        gatherer->into = NULL;
    }
    if (result < 0) {
        gathered_done(&into);
        return result;
    }
    *ret = into;
    return 0;
}

/* ---- tags ---- */

static int add_tag_word(void *arg, const struct word *word)
{
    struct buf *phrase = arg;
    struct err err;

    if (word->same_place) {
        return 0;
    }
    int result = phrase->len == 0 ? 0 : buf_add_c(phrase, " ", &err);
    return result < 0 ? result : buf_add_str(phrase, word->text, &err);
}

/* tags : "a tag" AND tags : "another"; NULL when no tag has a word. */
static char *tags_expression(struct words *words, const char *const *tags, size_t count)
{
    struct buf expression = BUF_INIT(SIZE_MAX / 2);
    struct err err;

    for (size_t i = 0; i < count; i++) {
        AUTO(buf_done) struct buf phrase = BUF_INIT(SIZE_MAX / 2);
        (void)words_each(words, str_of(tags[i]), add_tag_word,
                         &phrase); /* the buffers have no bound */
        if (phrase.len > 0) {
            (void)!buf_printf(&expression, &err, "%stags : \"%s\"",
                              expression.len == 0 ? "" : " AND ", phrase.data);
        }
    }
    return expression.len == 0 ? NULL : buf_take(&expression);
}

static void add_number(struct number_set *set, size_t *capacity, int64_t number)
{
    if (set->count == *capacity) {
        *capacity = *capacity == 0 ? 256 : 2 * *capacity;
        set->items = xrealloc(set->items, *capacity * sizeof(*set->items));
    }
    set->items[set->count++] = number;
}

int gather_tagged(struct gatherer *gatherer, struct words *words, const char *const *tags,
                  size_t count, struct number_set *ret, struct err *err)
{
    AUTO(free_ptr) char *expression = tags_expression(words, tags, count);
    sqlite3_stmt *statement = gatherer->tagged;
    struct number_set set = {.items = NULL};
    size_t capacity = 0;
    int rc;

    if (expression == NULL) {
        *ret = set;
        return 0;
    }
    set.items = xmalloc(sizeof(*set.items)); /* an empty set is not NULL, which is all */
    capacity = 1;
    (void)sqlite3_bind_text(statement, 1, expression, -1, SQLITE_STATIC); /* can't fail */
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        add_number(&set, &capacity, sqlite3_column_int64(statement, 0));
    }
    int result = rc == SQLITE_DONE ? 0 : conn_error(&gatherer->file->conn, rc, err);
    (void)sqlite3_reset(statement); /* repeats the error of the step */
    if (result < 0) {
        number_set_done(&set);
        return result;
    }
    *ret = set;
    return 0;
}
