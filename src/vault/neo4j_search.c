/*
 * Search in the graph. The server ranks ids by words and by vector, the rankings become one, and
 * the best are read from the history and proved: what a node says of a memory is only believed for
 * finding it.
 */
#include <stdlib.h>

#include "base/fuse.h"
#include "ledger/read.h"
#include "vault/neo4j_vault.h"

#define LUCENE_MAX (1 << 20) /* bytes of the words asked for */

/* ---- words ---- */

/* Within quotes Lucene's classic parser knows two characters that are no text. */
static int add_quoted(struct buf *buf, const char *text, struct err *err)
{
    int rc = buf_add_c(buf, "\"", err);

    while (rc == 0 && *text != '\0') {
        size_t plain = strcspn(text, "\\\"");
        rc = buf_add(buf, text, plain, err);
        text += plain;
        if (rc == 0 && *text != '\0') {
            const char escaped[] = {'\\', *text++};
            rc = buf_add(buf, escaped, sizeof(escaped), err);
        }
    }
    return rc == 0 ? buf_add_c(buf, "\"", err) : rc;
}

int neo4j_lucene(const char *const *texts, size_t count, struct buf *ret, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = i == 0 ? 0 : buf_add_c(ret, " ", err);
        rc = rc == 0 ? add_quoted(ret, texts[i], err) : rc;
    }
    return rc;
}

/* ---- one ranking ---- */

struct ranked {
    struct uuid id;
    double score;
};

struct ranking {
    struct ranked *items; /* that show and pass the filter */
    size_t count;
    size_t capacity;
    size_t seen; /* others too */
};

static void ranking_done(struct ranking *ranking)
{
    free(ranking->items);
}

/* What has no id, or none of ours, does not show. */
static int take_ranked(void *arg, const struct bolt_record *record, struct err *err)
{
    struct ranking *ranking = arg;
    struct err none = ERR_INIT;
    struct ranked ranked;

    ranking->seen++;
    if (neo4j_get_uuid(record, 0, &ranked.id, &none) < 0) {
        return 0;
    }
    if (ranking->count == ranking->capacity) {
        ranking->capacity = 2 * ranking->capacity + NEO4J_RANKED_MIN;
        ranking->items = xrealloc(ranking->items, ranking->capacity * sizeof(*ranking->items));
    }
    int rc = neo4j_get_float(record, 1, &ranked.score, err);
    if (rc == 0) {
        ranking->items[ranking->count++] = ranked;
    }
    return rc;
}

static int compare_ranked(const void *a, const void *b)
{
    const struct ranked *x = a;
    const struct ranked *y = b;
    int order = (x->score < y->score) - (x->score > y->score);

    return order != 0 ? order : uuid_cmp(&x->id, &y->id);
}

static void add_ranking(struct fusion *fusion, struct ranking *ranking, size_t most)
{
    size_t count = ranking->count < most ? ranking->count : most;
    AUTO(free_ptr) struct uuid *ids = xcalloc(count, sizeof(*ids));

    if (count > 0) {
        qsort(ranking->items, ranking->count, sizeof(*ranking->items), compare_ranked);
    }
    for (size_t i = 0; i < count; i++) {
        ids[i] = ranking->items[i].id;
    }
    fusion_add(fusion, ids, count);
}

/* ---- asking ---- */

struct search {
    struct neo4j_vault *vault;
    const struct vault_query *query;
    struct deadline deadline;
    size_t depth; /* of a ranking */
};

#define FILTER_FIELDS 6

static void pack_filter(struct bolt_packer *packer, const struct memory_filter *filter)
{
    bolt_pack_key(packer, "project");
    bolt_pack_text(packer, filter->project_id);
    bolt_pack_key(packer, "asking");
    bolt_pack_text(packer, filter->asking_project);
    bolt_pack_key(packer, "session");
    neo4j_pack_uuid(packer, &filter->session_id);
    bolt_pack_key(packer, "since");
    neo4j_pack_time(packer, filter->since_us);
    bolt_pack_key(packer, "until");
    neo4j_pack_time(packer, filter->until_us);
    bolt_pack_key(packer, "tags");
    bolt_pack_list(packer, filter->tag_count);
    for (size_t i = 0; i < filter->tag_count; i++) {
        bolt_pack_text(packer, filter->tags[i]);
    }
}

static void begin_question(struct bolt_packer *packer, const struct search *search, size_t limit)
{
    bolt_packer_init(packer, 0);
    bolt_pack_map(packer, FILTER_FIELDS + 2);
    pack_filter(packer, search->query->filter);
    bolt_pack_key(packer, "limit");
    bolt_pack_integer(packer, (int64_t)limit);
}

struct index_state {
    const char *name;
    bool there;
    bool online;
};

static int take_state(void *arg, const struct bolt_record *record, struct err *err)
{
    struct index_state *index = arg;
    struct str name;
    struct str state;

    int rc = neo4j_get_str(record, 0, &name, err);
    rc = rc == 0 ? neo4j_get_str(record, 2, &state, err) : rc;
    if (rc == 0 && str_eq_c(name, index->name)) {
        index->there = true;
        index->online = str_eq_c(state, "ONLINE");
    }
    return rc;
}

/* The server did not answer a question to an index: say so if the index is why. */
static int explain(const struct search *search, const char *name, struct err *err)
{
    struct neo4j_vault *vault = search->vault;
    struct index_state index = {.name = name};
    struct err none = ERR_INIT;

    if (neo4j_query(vault, BOLT_READ, NEO4J_INDEXES, NULL, take_state, &index, search->deadline,
                    &none) < 0 ||
        index.online) {
        return -(int)err->code;
    }
    return err_set(err, ERR_UNAVAILABLE,
                   index.there ? "%s: the index %s is not ready yet; try again in a moment"
                               : "%s: the index %s is missing there; a daemon that sends to this "
                                 "vault makes it again",
                   vault->uri, name);
}

static int ask(const struct search *search, enum neo4j_statement statement, const char *index,
               const struct bolt_packer *packer, struct ranking *ret, struct err *err)
{
    int rc = neo4j_query(search->vault, BOLT_READ, statement, packer, take_ranked, ret,
                         search->deadline, err);

    return rc == -ERR_UNAVAILABLE ? explain(search, index, err) : rc;
}

static int rank_by_words(const struct search *search, struct fusion *fusion, struct err *err)
{
    AUTO(buf_done) struct buf words = BUF_INIT(LUCENE_MAX);
    AUTO(bolt_packer_done) struct bolt_packer packer;
    AUTO(ranking_done) struct ranking ranking = {.count = 0};

    begin_question(&packer, search, search->depth);
    int rc = neo4j_lucene(search->query->texts, search->query->text_count, &words, err);
    if (rc < 0) {
        return rc;
    }
    bolt_pack_key(&packer, "words");
    neo4j_pack_str(&packer, buf_str(&words));
    rc = ask(search, NEO4J_SEARCH_WORDS, "memory_content", &packer, &ranking, err);
    if (rc == 0) {
        add_ranking(fusion, &ranking, search->depth);
    }
    return rc;
}

static int check_dimensions(const struct search *search, struct err *err)
{
    size_t there = search->vault->dimensions;

    if (there == 0 || search->query->dimensions == there) {
        return 0; /* 0: there is no index, which asking will tell */
    }
    return err_set(err, ERR_INVALID,
                   "%s: the vector has %zu numbers; the index memory_embedding there has vectors "
                   "of %zu",
                   search->vault->uri, search->query->dimensions, there);
}

static int fetch_nearest(const struct search *search, size_t fetch, struct ranking *ret,
                         struct err *err)
{
    AUTO(bolt_packer_done) struct bolt_packer packer;

    begin_question(&packer, search, fetch);
    bolt_pack_key(&packer, "vector");
    bolt_pack_floats(&packer, search->query->vector, search->query->dimensions);
    ret->count = 0;
    ret->seen = 0;
    return ask(search, NEO4J_SEARCH_VECTOR, "memory_embedding", &packer, ret, err);
}

/*
 * The index knows no filter: ask for more, and more again, until enough pass. It may also give
 * fewer than it has: many equal vectors cut its graph in pieces, of which it finds one. Asked for
 * as many as there are, it looks at all.
 */
static int rank_by_vector(const struct search *search, struct fusion *fusion, struct err *err)
{
    AUTO(ranking_done) struct ranking ranking = {.count = 0};
    size_t wanted = search->query->limit;
    size_t fetch = search->depth * NEO4J_FETCH_TIMES;
    uint64_t all = 0;

    int rc = check_dimensions(search, err);
    rc = rc == 0 ? fetch_nearest(search, fetch, &ranking, err) : rc;
    if (rc == 0 && (ranking.count < wanted || ranking.seen < fetch)) {
        rc = neo4j_query(search->vault, BOLT_READ, NEO4J_COUNT_MEMORIES, NULL, neo4j_take_uint,
                         &all, search->deadline, err);
    }
    while (rc == 0 && (ranking.count < wanted || ranking.seen < fetch) && fetch < all &&
           fetch < NEO4J_FETCH_MAX) {
        fetch *= NEO4J_FETCH_TIMES;
        fetch = fetch < NEO4J_FETCH_MAX ? fetch : NEO4J_FETCH_MAX;
        rc = fetch_nearest(search, fetch, &ranking, err);
    }
    if (rc == 0) {
        add_ranking(fusion, &ranking, search->depth);
    }
    return rc;
}

/* ---- from ids to memories ---- */

struct finding {
    const struct search *search;
    const struct fused *wanted;
    struct vault_hit *hits; /* of each wanted one */
    bool *there;            /* it passes */
    size_t count;
};

static void finding_done(struct finding *finding)
{
    for (size_t i = 0; i < finding->count; i++) {
        if (finding->there[i]) {
            memory_done(&finding->hits[i].memory);
        }
    }
    free(finding->hits);
    free(finding->there);
}

static int damaged(const struct finding *finding, const struct uuid *id, struct err *err)
{
    char text[UUID_TEXT_MAX];

    uuid_format(id, text);
    err->code = ERR_CORRUPT;
    return err_context(err, "%s: the memory %s", finding->search->vault->uri, text);
}

/* The memory of a record, proved to be what was remembered of that id. */
static int read_memory_of(const struct finding *finding, const struct bolt_record *record,
                          const struct uuid *id, struct vault_hit *ret, struct err *err)
{
    struct change change;

    int rc = neo4j_get_change(record, 1, &change, err);
    rc = rc == 0 ? memory_of_change(&change, &ret->memory, err) : rc;
    if (rc < 0) {
        return damaged(finding, id, err);
    }
    if (!uuid_eq(&ret->memory.id, id)) {
        memory_done(&ret->memory);
        (void)err_set(err, ERR_CORRUPT, "the change that it shows is of another one");
        return damaged(finding, id, err);
    }
    ret->origin = change.origin;
    ret->seq = change.seq;
    return 0;
}

static int take_memory(void *arg, const struct bolt_record *record, struct err *err)
{
    struct finding *finding = arg;
    struct memory_filter filter = *finding->search->query->filter;
    struct vault_hit hit;
    struct uuid id;
    size_t at = 0;

    int rc = neo4j_get_uuid(record, 0, &id, err);
    while (rc == 0 && at < finding->count && !uuid_eq(&finding->wanted[at].id, &id)) {
        at++;
    }
    if (rc < 0 || at == finding->count || finding->there[at]) {
        return rc;
    }
    rc = read_memory_of(finding, record, &id, &hit, err);
    if (rc < 0) {
        return rc;
    }
    filter.with_deleted = false;
    finding->there[at] = memory_filter_match(&filter, &hit.memory);
    if (finding->there[at]) {
        hit.score = finding->wanted[at].score;
        finding->hits[at] = hit;
    } else {
        memory_done(&hit.memory);
    }
    return 0;
}

struct hits {
    struct vault_hit *items;
    size_t count;
};

static void hits_done(struct hits *hits)
{
    vault_hits_free(hits->items, hits->count);
}

/* Add those of the wanted ones that are there, in their order. */
static int find_some(const struct search *search, const struct fused *wanted, size_t count,
                     struct hits *hits, struct err *err)
{
    AUTO(bolt_packer_done) struct bolt_packer packer;
    AUTO(finding_done)
    struct finding finding = {.search = search,
                              .wanted = wanted,
                              .hits = xcalloc(count, sizeof(struct vault_hit)),
                              .there = xcalloc(count, sizeof(bool)),
                              .count = count};

    bolt_packer_init(&packer, 0);
    bolt_pack_map(&packer, 1);
    bolt_pack_key(&packer, "ids");
    bolt_pack_list(&packer, count);
    for (size_t i = 0; i < count; i++) {
        neo4j_pack_uuid(&packer, &wanted[i].id);
    }
    int rc = neo4j_query(search->vault, BOLT_READ, NEO4J_SEARCH_CHANGES, &packer, take_memory,
                         &finding, search->deadline, err);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (finding.there[i]) {
            hits->items[hits->count++] = finding.hits[i];
            finding.there[i] = false;
        }
    }
    return rc;
}

/* What went meanwhile, or is not what its node says, makes room for the next. */
static int find_best(const struct search *search, const struct fusion *fusion, struct hits *hits,
                     struct err *err)
{
    size_t limit = search->query->limit;
    size_t at = 0;
    int rc = 0;

    while (rc == 0 && hits->count < limit && at < fusion->count) {
        size_t count = fusion->count - at;
        count = count < limit - hits->count ? count : limit - hits->count;
        rc = find_some(search, fusion->items + at, count, hits, err);
        at += count;
    }
    return rc;
}

int neo4j_search(struct neo4j_vault *vault, const struct vault_query *query,
                 struct vault_hit **ret_hits, size_t *ret_count, struct deadline deadline,
                 struct err *err)
{
    AUTO(fusion_done) struct fusion fusion = FUSION_INIT;
    AUTO(hits_done) struct hits hits = {.items = xcalloc(query->limit, sizeof(struct vault_hit))};
    struct search search = {.vault = vault,
                            .query = query,
                            .deadline = deadline,
                            .depth =
                                query->limit > NEO4J_RANKED_MIN ? query->limit : NEO4J_RANKED_MIN};

    int rc = query->text_count == 0 ? 0 : rank_by_words(&search, &fusion, err);
    rc = rc == 0 && query->vector != NULL ? rank_by_vector(&search, &fusion, err) : rc;
    if (rc == 0) {
        fusion_finish(&fusion);
        rc = find_best(&search, &fusion, &hits, err);
    }
    if (rc == 0) {
        *ret_hits = hits.items;
        *ret_count = hits.count;
        hits.items = NULL;
        hits.count = 0;
    }
    return rc;
}
