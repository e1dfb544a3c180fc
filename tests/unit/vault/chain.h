/*
 * chain - changes of one origin, chained, for tests of vaults and replication.
 */
#ifndef HOLDFAST_TESTS_VAULT_CHAIN_H
#define HOLDFAST_TESTS_VAULT_CHAIN_H

#include "support/unit.h"

#include "vault/vault.h"

struct chain {
    struct uuid origin;
    struct vault_item *items; /* items[0] is seq 1 */
    size_t count;
    size_t room;
};

static inline void chain_init(struct chain *chain, uint8_t origin)
{
    *chain = (struct chain){0};
    memset(chain->origin.bytes, origin, sizeof(chain->origin.bytes));
}

static inline void chain_done(struct chain *chain)
{
    for (size_t i = 0; i < chain->count; i++) {
        free((void *)(uintptr_t)chain->items[i].record.ptr);
    }
    free(chain->items);
    *chain = (struct chain){0};
}

/* One change more, of a kind and project, with this body. */
static inline void chain_add_body(struct chain *chain, enum change_kind kind, const char *project,
                                  struct str body)
{
    struct err err = ERR_INIT;
    struct buf record = BUF_INIT(CHANGE_RECORD_MAX);
    struct change change = {.origin = chain->origin,
                            .seq = chain->count + 1,
                            .kind = kind,
                            .op = kind == KIND_GUARD ? OP_HOLD : OP_PUT,
                            .version = 1,
                            .at_us = 1795371523000001LL + (int64_t)chain->count,
                            .body = body};

    (void)snprintf(change.id, sizeof(change.id), "01900000-0000-7000-8000-%012zx",
                   chain->count + 1);
    (void)snprintf(change.source, sizeof(change.source), "test");
    (void)snprintf(change.project_id, sizeof(change.project_id), "%s", project);
    assert_ok(change_write_record(&change, &record, &err), &err);
    if (chain->count == chain->room) {
        chain->room = chain->room == 0 ? 16 : 2 * chain->room;
        chain->items = xrealloc(chain->items, chain->room * sizeof(*chain->items));
    }
    struct vault_item *item = &chain->items[chain->count];
    *item = (struct vault_item){.seq = change.seq, .record = {NULL, record.len}};
    item->record.ptr = buf_take(&record);
    if (chain->count > 0) {
        item->prev = item[-1].hash;
    }
    item->hash = change_hash(&item->prev, item->record);
    chain->count++;
}

/* Grow to count changes, each with a content of about `bytes` bytes that differs by `salt`. */
static inline void chain_grow_salted(struct chain *chain, size_t count, size_t bytes, char salt)
{
    while (chain->count < count) {
        struct err err = ERR_INIT;
        struct buf body = BUF_INIT(CHANGE_RECORD_MAX);
        assert_ok(buf_printf(&body, &err, "{\"content\":\"%c %zu ", salt, chain->count + 1), &err);
        for (size_t i = 0; i < bytes; i++) {
            char letter = (char)('a' + (i * 7 + chain->count) % 26);
            assert_ok(buf_add(&body, &letter, 1, &err), &err);
        }
        assert_ok(buf_add_c(&body, "\"}", &err), &err);
        chain_add_body(chain, KIND_MEMORY, "p", buf_str(&body));
        buf_done(&body);
    }
}

static inline void chain_grow(struct chain *chain, size_t count, size_t bytes)
{
    chain_grow_salted(chain, count, bytes, '-');
}

/* Changes from..to as a batch (borrowed). */
static inline struct vault_batch chain_batch(const struct chain *chain, uint64_t from, uint64_t to)
{
    return (struct vault_batch){chain->origin, chain->items + (from - 1), (size_t)(to + 1 - from)};
}

#endif
