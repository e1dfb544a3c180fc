/*
 * world - a ledger with an index on it, for the tests of searching.
 */
#ifndef HOLDFAST_TESTS_UNIT_SEARCH_WORLD_H
#define HOLDFAST_TESTS_UNIT_SEARCH_WORLD_H

#include "ledger/home.h"
#include "search/index.h"

#define PATIENCE_MS 20000 /* for what always comes; a slow machine under valgrind needs it */

struct world {
    struct home *home;
    struct index *index;
};

/* What a test says of a memory besides its content; NULL and 0 are the usual. */
struct about {
    unsigned id;      /* 0: a new one */
    unsigned session; /* 0: none */
    const char *project;
    const char *tag;
    enum memory_scope scope;
    int64_t created_us;
    double importance; /* 0: what it is by itself */
};

static inline void world_open(struct world *world)
{
    struct err err = ERR_INIT;

    assert_ok(index_start(world->home->ledger, &world->index, &err), &err);
}

static inline void world_close(struct world *world)
{
    index_stop(world->index);
    world->index = NULL;
}

static inline int world_setup(void **state)
{
    struct world *world = xcalloc(1, sizeof(*world));
    void *home = NULL;

    home_setup(&home);
    world->home = home;
    world_open(world);
    *state = world;
    return 0;
}

static inline int world_teardown(void **state)
{
    struct world *world = *state;
    void *home = world->home;

    world_close(world);
    home_teardown(&home);
    free(world);
    return 0;
}

/* Sessions have ids that no memory has. */
static inline struct uuid session_of(unsigned number)
{
    return number == 0 ? (struct uuid){{0}} : id_of(1000000 + number);
}

static inline void set_about(struct memory *memory, const struct about *about)
{
    memory->id = about->id == 0 ? (struct uuid){{0}} : id_of(about->id);
    memory->session_id = session_of(about->session);
    memory->scope = about->scope;
    if (about->project != NULL) {
        free(memory->project_id);
        memory->project_id = xstrdup(about->project);
    }
    if (about->tag != NULL) {
        memory->tags = xcalloc(1, sizeof(*memory->tags));
        memory->tags[0] = xstrdup(about->tag);
        memory->tag_count = 1;
    }
    if (about->importance != 0) {
        memory->importance = about->importance;
    }
    if (about->created_us != 0) {
        memory->created_us = memory->updated_us = about->created_us;
    }
}

static inline struct written keep(struct world *world, const char *content, struct about about)
{
    AUTO(memory_done) struct memory memory = memory_of(content);
    struct draft draft = {.kind = KIND_MEMORY, .op = OP_PUT, .memory = &memory, .source = "test"};
    struct written written;
    struct err err = ERR_INIT;

    set_about(&memory, &about);
    assert_ok(write_draft(world->home, &draft, &written, &err), &err);
    if (written.code != ERR_NONE) {
        print_error("keep: %s\n", written.message);
    }
    assert_int_equal(written.code, ERR_NONE);
    return written;
}

/* A hold or a release of one change by alert `alert`. */
static inline void decide(struct world *world, unsigned alert, enum decision_kind kind,
                          const struct written *change)
{
    AUTO(decision_done) struct decision decision;
    struct written written;
    struct err err = ERR_INIT;

    decision_init(&decision);
    decision.alert = id_of(2000000 + alert);
    decision.kind = kind;
    decision.rule = xstrdup("deletes");
    decision.actor = xstrdup("test");
    decision.summary = xstrdup("a test decided so");
    decision.person = xstrdup(kind == DECISION_HELD ? "" : "somebody");
    decision.changes = decision.memories = 1;
    decision.started_us = HOME_NOW_US;
    ranges_add(&decision.ranges, &change->origin, change->seq);
    struct draft draft = {.kind = KIND_GUARD,
                          .op = kind == DECISION_ACCEPTED ? OP_RELEASE : OP_HOLD,
                          .decision = &decision,
                          .source = "test"};
    assert_ok(write_draft(world->home, &draft, &written, &err), &err);
    if (written.code != ERR_NONE) {
        print_error("decide: %s\n", written.message);
    }
    assert_int_equal(written.code, ERR_NONE);
}

struct answer {
    struct search_hit *hits;
    size_t count;
};

static inline void answer_done(struct answer *answer)
{
    search_hits_free(answer->hits, answer->count);
}

static inline struct answer ask_for(struct world *world, const struct search_query *query)
{
    struct answer answer = {.hits = NULL};
    struct err err = ERR_INIT;

    assert_ok(index_search(world->index, query, deadline_in(PATIENCE_MS), &answer.hits,
                           &answer.count, &err),
              &err);
    return answer;
}

static inline struct answer ask(struct world *world, const char *text)
{
    struct search_query query = {.text = text, .limit = 10, .filter = MEMORY_FILTER_INIT};

    return ask_for(world, &query);
}

/* The contents of the answer with | between, as a heap string. */
static inline char *contents(const struct answer *answer)
{
    struct buf text = BUF_INIT(1 << 20);
    struct err err = ERR_INIT;

    for (size_t i = 0; i < answer->count; i++) {
        assert_ok(
            buf_printf(&text, &err, "%s%s", i == 0 ? "" : "|", answer->hits[i].memory.content),
            &err);
    }
    return buf_take(&text);
}

static inline void assert_answer(struct world *world, const char *text, const char *expected)
{
    AUTO(answer_done) struct answer answer = ask(world, text);
    AUTO(free_ptr) char *found = contents(&answer);

    assert_string_equal(found, expected);
}

static inline void assert_answer_for(struct world *world, const struct search_query *query,
                                     const char *expected)
{
    AUTO(answer_done) struct answer answer = ask_for(world, query);
    AUTO(free_ptr) char *found = contents(&answer);

    assert_string_equal(found, expected);
}

#endif
