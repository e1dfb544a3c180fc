/*
 * chain - changes of other installations, made by hand, for the tests of imports.
 */
#ifndef HOLDFAST_TESTS_UNIT_LEDGER_CHAIN_H
#define HOLDFAST_TESTS_UNIT_LEDGER_CHAIN_H

#include "ledger/home.h"

/* An installation that only exists as a chain of changes. */
struct chain {
    struct uuid origin;
    uint64_t seq;
    struct sha256 hash;
    struct buf body;
    struct buf record;
    struct change change; /* the last one; its views point into record */
};

static inline void chain_init(struct chain *chain, uint8_t number)
{
    *chain = (struct chain){.origin = {{0xc0, [15] = number}}};
    buf_init(&chain->body, (size_t)2 * CHANGE_RECORD_MAX);
    buf_init(&chain->record, (size_t)2 * CHANGE_RECORD_MAX);
}

static inline void chain_done(struct chain *chain)
{
    buf_done(&chain->body);
    buf_done(&chain->record);
}

/* The next change, its body being in chain->body. */
static inline const struct change *chain_next(struct chain *chain, struct change change)
{
    struct err err = ERR_INIT;

    change.origin = chain->origin;
    change.seq = ++chain->seq;
    change.prev = chain->hash;
    change.body = buf_str(&chain->body);
    (void)snprintf(change.source, sizeof(change.source), "elsewhere");
    buf_reset(&chain->record);
    assert_ok(change_write_record(&change, &chain->record, &err), &err);
    change.record = buf_str(&chain->record);
    change.body = (struct str){NULL, 0};
    change.hash = change_hash(&change.prev, change.record);
    assert_ok(change_read_record(change.record, &chain->change, &err), &err);
    chain->change.prev = change.prev;
    chain->change.hash = change.hash;
    chain->hash = change.hash;
    return &chain->change;
}

struct chain_put {
    struct uuid id;
    const char *content;
    uint64_t version;
    int64_t updated_us;  /* 0: HOME_NOW_US */
    const char *project; /* NULL: "p" */
    struct uuid session;
    bool deleted;
};

/* `PUT(id_of(1), "content", 2, .deleted = true)` */
#define PUT(put_id, put_content, put_version, ...)                                                 \
    ((struct chain_put){                                                                           \
        .id = (put_id), .content = (put_content), .version = (put_version), ##__VA_ARGS__})

static inline const struct change *chain_memory(struct chain *chain, struct chain_put put)
{
    AUTO(memory_done) struct memory memory = memory_of(put.content);
    struct change change = {
        .kind = KIND_MEMORY, .op = put.deleted ? OP_DELETE : OP_PUT, .version = put.version};
    struct err err = ERR_INIT;

    memory.created_us = HOME_NOW_US;
    memory.updated_us = put.updated_us == 0 ? HOME_NOW_US : put.updated_us;
    memory.deleted_us = put.deleted ? memory.updated_us : TIME_NONE;
    buf_reset(&chain->body);
    assert_ok(memory_write_body(&memory, &chain->body, &err), &err);
    change.at_us = memory.updated_us;
    change.session_id = put.session;
    uuid_format(&put.id, change.id);
    (void)snprintf(change.project_id, sizeof(change.project_id), "%s",
                   put.project == NULL ? "p" : put.project);
    return chain_next(chain, change);
}

static inline const struct change *chain_decision(struct chain *chain, struct uuid alert,
                                                  uint64_t version, enum decision_kind kind,
                                                  struct uuid origin, uint64_t from, uint64_t to)
{
    AUTO(decision_done) struct decision decision;
    struct change change = {.kind = KIND_GUARD,
                            .op = kind == DECISION_ACCEPTED ? OP_RELEASE : OP_HOLD,
                            .version = version,
                            .at_us = HOME_NOW_US};
    struct err err = ERR_INIT;

    decision_init(&decision);
    decision.kind = kind;
    decision.alert = alert;
    decision.rule = xstrdup("deletes");
    decision.actor = xstrdup("elsewhere");
    decision.summary = xstrdup("somebody deleted a lot");
    decision.person = xstrdup(kind == DECISION_HELD ? "" : "a person");
    decision.started_us = HOME_NOW_US;
    for (uint64_t seq = from; seq <= to; seq++) {
        ranges_add(&decision.ranges, &origin, seq);
    }
    buf_reset(&chain->body);
    assert_ok(decision_write_body(&decision, &chain->body, &err), &err);
    uuid_format(&alert, change.id);
    return chain_next(chain, change);
}

/* Take the change into the home's live ledger, between two transactions of the writer. */
struct chain_import {
    const struct change *change;
    struct env *env;
    int result;
    bool new;
    struct err *err;
};

static inline int chain_import_paused(void *arg, const char *live, bool *ret_exchanged,
                                      struct err *err)
{
    struct chain_import *import = arg;
    struct store *store = NULL;

    *ret_exchanged = true; /* the ledger must read anew */
    assert_ok(store_open(live, STORE_LIVE, import->env, &store, err), err);
    assert_ok(store_begin(store, err), err);
    import->result = store_import(store, import->change, &import->new, import->err);
    if (import->result == 0) {
        assert_ok(store_commit(store, err), err);
    } else {
        store_rollback(store);
    }
    store_close(store);
    return 0;
}

static inline int try_import(struct home *home, const struct change *change, bool *ret_new,
                             struct err *ret_err)
{
    struct chain_import import = {.change = change, .env = &home->env.env, .err = ret_err};
    struct err err = ERR_INIT;

    assert_ok(ledger_with_writer_paused(home->ledger, chain_import_paused, &import, &err), &err);
    *ret_new = import.new;
    return import.result;
}

static inline void import(struct home *home, const struct change *change)
{
    struct err err = ERR_INIT;
    bool new = false;

    assert_ok(try_import(home, change, &new, &err), &err);
    assert_true(new);
}

#endif
