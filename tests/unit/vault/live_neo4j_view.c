/*
 * What the graph shows: the last writer's version, what a memory belongs to, its embedding. On a
 * real server, which NEO4J_URI names and which is emptied. Run by
 * tests/integration/test_neo4j_vault.py.
 */
#include "vault/live_neo4j.h"

#include <pthread.h>

#include "base/base64.h"
#include "ledger/read.h"
#include "model/memory.h"
#include "model/range.h"

#define AT 1795371523000001LL /* microseconds */
#define DIMENSIONS 4
#define ID "01900000-0000-7000-8000-00000000000a"

struct fixture {
    struct vault *vault;
    struct chain a; /* its origin is less than b's */
    struct chain b;
    struct vault_conflict conflict; /* the last that was told; what is heap */
    unsigned conflicts;
};

static void note_conflict(void *arg, const struct vault_conflict *conflict)
{
    struct fixture *f = arg;

    free((void *)(uintptr_t)f->conflict.what);
    f->conflict = *conflict;
    f->conflict.what = xstrdup(conflict->what);
    f->conflicts++;
}

static void open_vault(struct fixture *f, const char *options)
{
    AUTO(free_ptr) char *target = xprintf("%s%s", live_needed("NEO4J_URI"), options);
    struct vault_options how = {.name = "view",
                                .target = target,
                                .env = env_system(),
                                .on_conflict = note_conflict,
                                .arg = f};
    struct err err = ERR_INIT;

    assert_ok(vault_neo4j_ops.open(&how, &f->vault, &err), &err);
}

static int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));

    live_execute("MATCH (n) DETACH DELETE n");
    live_execute("DROP INDEX memory_embedding IF EXISTS");
    chain_init(&f->a, 0xaa);
    chain_init(&f->b, 0xbb);
    open_vault(f, "#dimensions=4");
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    vault_neo4j_ops.close(f->vault);
    chain_done(&f->a);
    chain_done(&f->b);
    free((void *)(uintptr_t)f->conflict.what);
    free(f);
    return 0;
}

/* One more change of a chain. */
struct what {
    enum change_kind kind;
    uint64_t version;
    int64_t updated_us;
    const char *session; /* "" for none */
    const char *content;
    const char *references; /* the member of the body with its comma, or "" */
    const char *body;       /* instead of the members above */
    const char *id;         /* NULL: ID */
    enum change_op op;
};

static void add_change(struct chain *chain, const struct what *what)
{
    struct err err = ERR_INIT;
    struct buf record = BUF_INIT(CHANGE_RECORD_MAX);
    char time[TIMESTAMP_TEXT_MAX];
    struct change change = {.origin = chain->origin,
                            .seq = chain->count + 1,
                            .kind = what->kind,
                            .op = what->op,
                            .version = what->version,
                            .at_us = what->updated_us,
                            .source = "test",
                            .project_id = "sea"};

    (void)snprintf(change.id, sizeof(change.id), "%s", what->id == NULL ? ID : what->id);
    timestamp_format(what->updated_us, time);
    AUTO(free_ptr)
    char *body = what->body != NULL
                     ? xstrdup(what->body)
                     : xprintf("{\"content\":\"%s\",\"created_at\":\"%s\",\"importance\":0.5,"
                               "\"memory_type\":\"semantic\"%s,\"updated_at\":\"%s\"}",
                               what->content, time, what->references, time);
    change.body = str_of(body);
    if (what->session[0] != '\0') {
        assert_ok(uuid_parse(str_of(what->session), &change.session_id, &err), &err);
    }
    assert_ok(change_write_record(&change, &record, &err), &err);
    chain->items = xrealloc(chain->items, (chain->count + 1) * sizeof(*chain->items));
    struct vault_item *item = &chain->items[chain->count];
    *item = (struct vault_item){.seq = change.seq, .record = {NULL, record.len}};
    item->record.ptr = buf_take(&record);
    if (chain->count > 0) {
        item->prev = item[-1].hash;
    }
    item->hash = change_hash(&item->prev, item->record);
    chain->count++;
}

static int try_append(struct fixture *f, struct chain *chain, const struct what *what,
                      struct err *err)
{
    add_change(chain, what);
    struct vault_batch batch = chain_batch(chain, chain->count, chain->count);
    return vault_neo4j_ops.append(f->vault, &batch, deadline_in(LIVE_MS), err);
}

static void put(struct fixture *f, struct chain *chain, uint64_t version, int64_t updated_us,
                const char *content)
{
    struct what what = {KIND_MEMORY, version, updated_us, "", content, "", NULL, NULL, OP_PUT};
    struct err err = ERR_INIT;

    assert_ok(try_append(f, chain, &what, &err), &err);
}

static void shows(const char *expected)
{
    AUTO(free_ptr) char *content = live_text("MATCH (m:Memory {id: '" ID "'}) RETURN m.content");

    assert_string_equal(content, expected);
}

static void the_last_writer_shows_whoever_comes_first(void **state)
{
    struct fixture *f = *state;

    put(f, &f->a, 1, AT, "a1");
    shows("a1");
    put(f, &f->b, 1, AT - 1, "b1, earlier");
    shows("a1");
    put(f, &f->b, 1, AT, "b1, at the same time");
    shows("b1, at the same time");
    put(f, &f->a, 1, AT, "a1, at the same time");
    shows("b1, at the same time");
    put(f, &f->a, 1, AT + 1, "a1, later");
    shows("a1, later");
    put(f, &f->b, 3, AT - 5, "b3");
    put(f, &f->a, 2, AT + 9, "a2");
    shows("b3");
    assert_int_equal(
        live_number("MATCH (c:Change)-[:OF]->(:Memory {id: '" ID "'}) RETURN count(c)"), 7);
}

static void the_last_of_a_batch_shows(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;

    for (uint64_t version = 1; version <= 3; version++) {
        struct what what = {KIND_MEMORY, version, AT,   "",    version == 3 ? "three" : "no",
                            "",          NULL,    NULL, OP_PUT};
        add_change(&f->a, &what);
    }
    struct vault_batch batch = chain_batch(&f->a, 1, 3);
    assert_ok(vault_neo4j_ops.append(f->vault, &batch, deadline_in(LIVE_MS), &err), &err);
    shows("three");
}

static void what_two_made_of_one_memory_is_told_with_both_versions(void **state)
{
    struct fixture *f = *state;

    put(f, &f->a, 1, AT, "the first words");
    put(f, &f->a, 2, AT + 1, "a's words");
    put(f, &f->b, 1, AT, "the first words");
    assert_int_equal(f->conflicts, 0);
    put(f, &f->b, 2, AT + 1, "a's words"); /* the same: nobody lost anything */
    assert_int_equal(f->conflicts, 0);
    put(f, &f->a, 3, AT + 3, "a's later words");
    put(f, &f->b, 3, AT + 2, "b's words");
    assert_int_equal(f->conflicts, 1);
    assert_true(uuid_eq(&f->conflict.origin, &f->b.origin));
    assert_int_equal(f->conflict.seq, 3);
    assert_non_null(strstr(f->conflict.what, "version 3 of the memory " ID));
    const char *winner = strstr(f->conflict.what, "a's later words");
    const char *loser = strstr(f->conflict.what, "b's words");
    assert_true(winner != NULL && loser != NULL && winner < loser);
    shows("a's later words");
}

static void what_holds_no_more_is_ended_and_stays(void **state)
{
    static const char S1[] = "01990000-0000-7000-8000-000000000001";
    static const char S2[] = "01990000-0000-7000-8000-000000000002";
    static const char REFERENCE[] = ",\"references\":[{\"context\":\"why\",\"id\":"
                                    "\"01900000-0000-7000-8000-00000000000b\"}]";
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    struct what first = {KIND_MEMORY, 1, AT, S1, "x", REFERENCE, NULL, NULL, OP_PUT};
    struct what second = {KIND_MEMORY, 2, AT + 1, S2, "x", "", NULL, NULL, OP_PUT};
    struct what third = {KIND_MEMORY, 3, AT + 2, S1, "x", REFERENCE, NULL, NULL, OP_PUT};
    static const char *const now =
        "MATCH (:Memory {id: '" ID "'})-[b:BELONGS_TO]->(s) WHERE b.until IS NULL RETURN s.id";
    static const char *const referring =
        "MATCH (:Memory {id: '" ID "'})-[r:REFERENCES]->() WHERE r.until IS NULL RETURN count(r)";

    assert_ok(try_append(f, &f->a, &first, &err), &err);
    assert_int_equal(live_number(referring), 1);
    assert_ok(try_append(f, &f->a, &second, &err), &err);
    AUTO(free_ptr) char *moved = live_text(now);
    assert_string_equal(moved, S2);
    assert_int_equal(live_number(referring), 0);
    assert_int_equal(live_number("MATCH (s:Session {id: '01990000-0000-7000-8000-000000000001'}) "
                                 "RETURN s.memory_count"),
                     0);
    assert_ok(try_append(f, &f->a, &third, &err), &err);
    AUTO(free_ptr) char *back = live_text(now);
    assert_string_equal(back, S1);
    assert_int_equal(live_number(referring), 1);
    assert_int_equal(live_number("MATCH ()-[b:BELONGS_TO]->() RETURN count(b)"), 2);
}

#define OTHER "\"01900000-0000-7000-8000-00000000000b\"}"
#define WHY "{\"context\":\"why\",\"id\":" OTHER
#define HOW "{\"context\":\"how\",\"id\":" OTHER
#define NO_WORD "{\"context\":\"\",\"id\":" OTHER
#define BARE "{\"id\":" OTHER

/* The next version of the memory has these references (NULL: none); it shows this many, and there
 * were ever so many. */
static void refer(struct fixture *f, const char *references, int64_t showing, int64_t ever)
{
    struct chain *chain = &f->a;
    struct err err = ERR_INIT;
    AUTO(free_ptr)
    char *member = references == NULL ? xstrdup("") : xprintf(",\"references\":[%s]", references);
    struct what what = {.kind = KIND_MEMORY,
                        .version = chain->count + 1,
                        .updated_us = AT + (int64_t)chain->count,
                        .session = "",
                        .content = "x",
                        .references = member,
                        .op = OP_PUT};

    assert_ok(try_append(f, chain, &what, &err), &err);
    struct vault_batch again = chain_batch(chain, 1, chain->count);
    assert_ok(vault_neo4j_ops.append(f->vault, &again, deadline_in(LIVE_MS), &err), &err);
    assert_int_equal(live_number("MATCH (:Memory {id: '" ID "'})-[r:REFERENCES]->(:Memory) "
                                 "WHERE r.until IS NULL RETURN count(r)"),
                     showing);
    assert_int_equal(live_number("MATCH ()-[r:REFERENCES]->() RETURN count(r)"), ever);
}

static void references_to_one_memory_show_by_their_contexts(void **state)
{
    struct fixture *f = *state;

    refer(f, WHY "," HOW "," BARE "," NO_WORD, 4, 4);
    assert_int_equal(live_number("MATCH ()-[r:REFERENCES]->() RETURN count(DISTINCT r.context)"),
                     3);
    assert_int_equal(
        live_number("MATCH ()-[r:REFERENCES]->() WHERE r.context IS NULL RETURN count(r)"), 1);
    refer(f, HOW, 1, 4);
    refer(f, WHY "," WHY "," BARE "," BARE, 2, 4);
    AUTO(free_ptr)
    char *shown = live_text("MATCH ()-[r:REFERENCES]->() WHERE r.until IS NULL "
                            "WITH coalesce(r.context, '-') AS c ORDER BY c "
                            "RETURN reduce(all = '', x IN collect(c) | all + x)");
    assert_string_equal(shown, "-why");
    refer(f, NULL, 0, 4);
    refer(f, BARE, 1, 4);
}

/* An embedding's body. */
static char *embedding(const float *vector, size_t count, size_t dims)
{
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    struct err err = ERR_INIT;

    assert_ok(base64_add(&text, vector, count * sizeof(float), &err), &err);
    return xprintf("{\"digest\":\"d\",\"dims\":%zu,\"model\":\"m\",\"vector\":\"%s\"}", dims,
                   text.data);
}

static void an_embedding_is_found_by_the_index(void **state)
{
    static const float VECTOR[DIMENSIONS] = {0.5F, -0.25F, 0, 1};
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    AUTO(free_ptr) char *body = embedding(VECTOR, DIMENSIONS, DIMENSIONS);
    struct what what = {KIND_EMBEDDING, 1, AT, "", "", "", body, NULL, OP_PUT};

    put(f, &f->a, 1, AT, "a1");
    assert_ok(try_append(f, &f->a, &what, &err), &err);
    AUTO(free_ptr)
    char *found = live_text("CALL db.index.vector.queryNodes('memory_embedding', 5, [0.5, -0.25, "
                            "0.0, 1.0]) YIELD node RETURN node.id");
    assert_string_equal(found, ID);
    assert_int_equal(
        live_number("MATCH (m:Memory {id: '" ID "'}) RETURN toInteger(m.embedding[0] * 100)"), 50);
    shows("a1");
}

static void a_vector_that_the_index_would_pass_over_is_refused(void **state)
{
    static const float NONE[DIMENSIONS] = {0, 0, 0, 0};
    static const float NOT_A_NUMBER[DIMENSIONS] = {1, 0, __builtin_nanf(""), 0};
    static const float FIVE[5] = {1, 2, 3, 4, 5};
    struct fixture *f = *state;
    struct {
        char *body;
        const char *why;
    } cases[] = {
        {embedding(NONE, DIMENSIONS, DIMENSIONS), "zeros"},
        {embedding(NOT_A_NUMBER, DIMENSIONS, DIMENSIONS), "not finite"},
        {embedding(FIVE, 5, 5), "has 5 dimensions"},
        {embedding(FIVE, 4, 5), "that it says"},
        {xstrdup("{\"vector\":\"!\"}"), "is not base64"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct what what = {KIND_EMBEDDING, 1, AT, "", "", "", cases[i].body, NULL, OP_PUT};
        struct err err = ERR_INIT;
        assert_refused(try_append(f, &f->a, &what, &err), &err, ERR_INVALID, cases[i].why);
        f->a.count--;
        free((void *)(uintptr_t)f->a.items[f->a.count].record.ptr);
        free(cases[i].body);
    }
    put(f, &f->a, 1, AT, "goes on");
    shows("goes on");
}

static void an_index_of_other_dimensions_is_told(void **state)
{
    struct fixture *f = *state;
    struct vault_health health = {0};
    struct err err = ERR_INIT;

    vault_neo4j_ops.close(f->vault);
    open_vault(f, "#dimensions=768");
    assert_ok(vault_neo4j_ops.check(f->vault, &health, deadline_in(LIVE_MS), &err), &err);
    assert_non_null(strstr(health.advice, "has 4 dimensions, the configuration says 768"));
}

/* ---- what the guard holds ---- */

static void decide(struct fixture *f, struct chain *chain, uint64_t version, enum change_op op,
                   const struct range *range)
{
    AUTO(buf_done) struct buf body = BUF_INIT(CHANGE_RECORD_MAX);
    struct decision decision;
    struct err err = ERR_INIT;

    decision_init(&decision);
    assert_ok(uuid_parse(STR("01900000-0000-7000-8000-0000000000ff"), &decision.alert, &err), &err);
    decision.kind = op == OP_HOLD ? DECISION_HELD : DECISION_ACCEPTED;
    decision.started_us = AT;
    ranges_add(&decision.ranges, &range->origin, range->from);
    decision.ranges.items[0].to = range->to;
    assert_ok(decision_write_body(&decision, &body, &err), &err);
    decision_done(&decision);
    struct what what = {KIND_GUARD, version, AT, "", "", "", body.data, NULL, OP_PUT};
    what.id = "01900000-0000-7000-8000-0000000000ff";
    what.op = op;
    assert_ok(try_append(f, chain, &what, &err), &err);
}

static void what_is_held_does_not_show_until_it_is_released(void **state)
{
    struct fixture *f = *state;
    struct range second = {f->a.origin, 2, 2};

    put(f, &f->a, 1, AT, "true");
    put(f, &f->a, 2, AT + 1, "wrecked");
    shows("wrecked");
    decide(f, &f->a, 1, OP_HOLD, &second);
    shows("true");
    decide(f, &f->a, 2, OP_RELEASE, &second);
    shows("wrecked");
    decide(f, &f->a, 3, OP_HOLD, &(struct range){f->a.origin, 1, 2});
    shows("");
    put(f, &f->a, 3, AT + 2, "new");
    shows("new");
}

static void what_a_held_version_referred_to_shows_no_more(void **state)
{
    struct fixture *f = *state;

    refer(f, BARE, 1, 1);
    refer(f, WHY "," HOW, 2, 3);
    decide(f, &f->a, 1, OP_HOLD, &(struct range){f->a.origin, 2, 2});
    AUTO(free_ptr)
    char *bare = live_text("MATCH ()-[r:REFERENCES]->() WHERE r.until IS NULL "
                           "RETURN coalesce(r.context, 'bare')");
    assert_string_equal(bare, "bare");
    assert_int_equal(live_number("MATCH ()-[r:REFERENCES]->() RETURN count(r.until)"), 2);
}

/* Decisions and what they speak of may come in any order: they are of different origins. */
static void what_was_held_before_it_came_does_not_show(void **state)
{
    struct fixture *f = *state;

    put(f, &f->a, 1, AT, "true");
    decide(f, &f->b, 1, OP_HOLD, &(struct range){f->a.origin, 2, 9});
    shows("true");
    put(f, &f->a, 2, AT + 1, "wrecked");
    shows("true");
}

/* ---- search ---- */

static const float NORTH[DIMENSIONS] = {0, 0, 1, 0};

static void embed(struct fixture *f)
{
    AUTO(free_ptr) char *body = embedding(NORTH, DIMENSIONS, DIMENSIONS);
    struct what what = {KIND_EMBEDDING, 1, AT, "", "", "", body, NULL, OP_PUT};
    struct err err = ERR_INIT;

    assert_ok(try_append(f, &f->a, &what, &err), &err);
}

/* The content of the one memory that is found by a word (NULL: none is asked for) or a vector; ""
 * when none is. */
static void finds(struct fixture *f, const char *word, const float *vector, const char *expected)
{
    struct memory_filter filter = MEMORY_FILTER_INIT;
    struct vault_query query = {.texts = &word,
                                .text_count = word == NULL ? 0 : 1,
                                .vector = vector,
                                .dimensions = DIMENSIONS,
                                .filter = &filter,
                                .limit = 10};
    struct vault_hit *hits = NULL;
    size_t count = 0;
    struct err err = ERR_INIT;

    assert_ok(vault_neo4j_ops.search(f->vault, &query, &hits, &count, deadline_in(LIVE_MS), &err),
              &err);
    assert_int_equal(count, expected[0] == '\0' ? 0 : 1);
    if (count > 0) {
        assert_string_equal(hits[0].memory.content, expected);
        assert_true(hits[0].score > 0.99);
    }
    vault_hits_free(hits, count);
}

static void what_shows_is_found_by_words_and_by_its_embedding(void **state)
{
    struct fixture *f = *state;

    finds(f, "kelp", NORTH, "");
    put(f, &f->a, 1, AT, "kelp holds");
    finds(f, "kelp", NULL, "kelp holds");
    finds(f, NULL, NORTH, "");
    embed(f);
    finds(f, NULL, NORTH, "kelp holds");
    finds(f, "kelp", NORTH, "kelp holds");
    put(f, &f->a, 2, AT + 1, "kelp let go");
    finds(f, "holds", NULL, "");
    finds(f, "kelp", NORTH, "kelp let go");
}

static void what_is_held_is_never_found(void **state)
{
    struct fixture *f = *state;
    struct range wrecked = {f->a.origin, 3, 3};

    put(f, &f->a, 1, AT, "kelp holds");
    embed(f);
    put(f, &f->a, 2, AT + 1, "kelp wrecked");
    decide(f, &f->a, 1, OP_HOLD, &wrecked);
    finds(f, "wrecked", NULL, "");
    finds(f, "kelp", NORTH, "kelp holds");
    decide(f, &f->a, 2, OP_HOLD, &(struct range){f->a.origin, 1, 3});
    finds(f, "kelp", NORTH, "");
    decide(f, &f->a, 3, OP_RELEASE, &(struct range){f->a.origin, 1, 3});
    finds(f, "kelp", NORTH, "kelp wrecked");
}

static void what_a_damaged_chain_said_is_found_until_it_is_written_anew(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;

    put(f, &f->a, 1, AT, "kelp holds");
    assert_ok(vault_neo4j_ops.set_aside(f->vault, &f->a.origin, deadline_in(LIVE_MS), &err), &err);
    live_execute("MATCH (c:Change) SET c.record = c.record + ' '");
    struct vault_batch batch = chain_batch(&f->a, 1, 1);
    assert_ok(vault_neo4j_ops.append(f->vault, &batch, deadline_in(LIVE_MS), &err), &err);
    finds(f, "kelp", NULL, "kelp holds"); /* the new copy, not the one put aside */
    assert_ok(vault_neo4j_ops.set_aside(f->vault, &f->a.origin, deadline_in(LIVE_MS), &err), &err);
    finds(f, "kelp", NULL, "kelp holds"); /* the newest there is */
}

/* ---- writers at the same time ---- */

#define WRITERS 8
#define WRITER_BATCHES 10
#define WRITER_THINGS 10 /* the same for all, in different orders */

struct writer {
    pthread_t thread;
    struct chain chain;
    struct err err;
    int rc;
};

static void grow_writer(struct writer *writer, uint8_t number)
{
    chain_init(&writer->chain, (uint8_t)(0x10 + number));
    for (size_t i = 0; i < (size_t)WRITER_BATCHES * WRITER_THINGS; i++) {
        struct what what = {
            KIND_MEMORY, 1 + i / WRITER_THINGS, AT + number, "", "x", "", NULL, NULL, OP_PUT};
        AUTO(free_ptr)
        char *id = xprintf("01900000-0000-7000-8000-%012zu", (i * (number + 1)) % WRITER_THINGS);
        what.id = id;
        add_change(&writer->chain, &what);
    }
}

static void *write_all(void *arg)
{
    struct writer *writer = arg;
    AUTO(free_ptr) char *target = xprintf("%s#dimensions=4", live_needed("NEO4J_URI"));
    struct vault_options how = {.name = "writer", .target = target, .env = env_system()};
    struct vault *vault = NULL;

    writer->rc = vault_neo4j_ops.open(&how, &vault, &writer->err);
    for (uint64_t i = 0; writer->rc == 0 && i < WRITER_BATCHES; i++) {
        struct vault_batch batch =
            chain_batch(&writer->chain, i * WRITER_THINGS + 1, (i + 1) * WRITER_THINGS);
        writer->rc = vault_neo4j_ops.append(vault, &batch, deadline_in(LIVE_MS), &writer->err);
    }
    vault_neo4j_ops.close(vault);
    return NULL;
}

static void eight_writers_of_the_same_memories_all_get_through(void **state)
{
    struct writer *writers = xcalloc(WRITERS, sizeof(*writers));

    (void)state;
    for (uint8_t i = 0; i < WRITERS; i++) {
        grow_writer(&writers[i], i);
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_all, &writers[i]), 0);
    }
    for (size_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
        assert_ok(writers[i].rc, &writers[i].err);
        chain_done(&writers[i].chain);
    }
    free(writers);
    assert_int_equal(live_number("MATCH (c:Change) RETURN count(c)"),
                     WRITERS * WRITER_BATCHES * WRITER_THINGS);
    /* The last writer by time has to do with every other one of them. */
    assert_int_equal(live_number("MATCH (m:Memory) WHERE m.sync_version = 10 AND m.origin = "
                                 "'17171717-1717-1717-1717-171717171717' RETURN count(m)"),
                     WRITER_THINGS / 2);
}

#define VIEW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest neo4j_view[] = {
        VIEW(the_last_writer_shows_whoever_comes_first),
        VIEW(the_last_of_a_batch_shows),
        VIEW(what_two_made_of_one_memory_is_told_with_both_versions),
        VIEW(what_holds_no_more_is_ended_and_stays),
        VIEW(references_to_one_memory_show_by_their_contexts),
        VIEW(an_embedding_is_found_by_the_index),
        VIEW(a_vector_that_the_index_would_pass_over_is_refused),
        VIEW(an_index_of_other_dimensions_is_told),
        VIEW(what_is_held_does_not_show_until_it_is_released),
        VIEW(what_a_held_version_referred_to_shows_no_more),
        VIEW(what_was_held_before_it_came_does_not_show),
        VIEW(what_shows_is_found_by_words_and_by_its_embedding),
        VIEW(what_is_held_is_never_found),
        VIEW(what_a_damaged_chain_said_is_found_until_it_is_written_anew),
        VIEW(eight_writers_of_the_same_memories_all_get_through),
    };

    return cmocka_run_group_tests(neo4j_view, NULL, NULL);
}
