/*
 * box - a file vault in a folder of its own, with a chain to put into it, for the tests of the file
 * driver.
 */
#ifndef HOLDFAST_TESTS_VAULT_BOX_H
#define HOLDFAST_TESTS_VAULT_BOX_H

#include "vault/chain.h"
#include "vault/place.h"

#include <stdatomic.h>

#include "vault/file_vault.h"

#define BOX_NOW_US 1795371523000001 /* 2026-11-22T18:18:43.000001Z */
#define BOX_ORIGIN "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"

struct box {
    char *folder; /* for this test alone */
    char *target; /* folder/vault */
    char *origin; /* folder/vault/origins/<uuid of chain> */
    struct env_fake env;
    struct vault_options options;
    struct vault *vault;
    struct chain chain;
};

static inline void box_close(struct box *box)
{
    vault_file_ops.close(box->vault);
    box->vault = NULL;
}

static inline int box_try_open(struct box *box, struct err *err)
{
    return vault_file_ops.open(&box->options, &box->vault, err);
}

static inline void box_open(struct box *box)
{
    struct err err = ERR_INIT;

    assert_ok(box_try_open(box, &err), &err);
}

static inline void box_reopen(struct box *box)
{
    box_close(box);
    box_open(box);
}

/* In a folder that is there already (taken over). */
static inline struct box *box_new_in_take(char *folder)
{
    struct box *box = xcalloc(1, sizeof(*box));

    box->folder = folder;
    box->target = path_join(folder, "vault");
    box->origin = path_join(box->target, "origins/" BOX_ORIGIN);
    env_fake_init(&box->env, BOX_NOW_US, 5);
    chain_init(&box->chain, 0xaa);
    box->options =
        (struct vault_options){.name = "box", .target = box->target, .env = &box->env.env};
    return box;
}

/* The folder stays. */
static inline void box_done(struct box *box)
{
    box_close(box);
    chain_done(&box->chain);
    free(box->target);
    free(box->origin);
    free(box->folder);
    free(box);
}

static inline void box_free(struct box *box)
{
    char *folder = xstrdup(box->folder);

    box_done(box);
    place_drop(folder);
}

static inline int box_set_up(void **state)
{
    *state = box_new_in_take(place_new());
    box_open(*state);
    return 0;
}

static inline int box_tear_down(void **state)
{
    box_free(*state);
    return 0;
}

#define BOX_TEST(name) cmocka_unit_test_setup_teardown(name, box_set_up, box_tear_down)

static inline int box_try_append(struct box *box, uint64_t from, uint64_t to, struct err *err)
{
    struct vault_batch batch = chain_batch(&box->chain, from, to);

    return vault_file_ops.append(box->vault, &batch, deadline_in(20000), err);
}

static inline void box_append(struct box *box, uint64_t from, uint64_t to)
{
    struct err err = ERR_INIT;

    assert_ok(box_try_append(box, from, to, &err), &err);
}

static inline void box_append_gap(struct box *box, uint64_t seq)
{
    struct vault_item gap = box->chain.items[seq - 1];
    struct vault_batch batch = {box->chain.origin, &gap, 1};
    struct err err = ERR_INIT;

    gap.record = (struct str){NULL, 0};
    assert_ok(vault_file_ops.append(box->vault, &batch, deadline_in(20000), &err), &err);
}

/* The head of the box's origin: seq 0 when there is none, UINT64_MAX when it is listed as damaged.
 */
static inline uint64_t box_head(struct box *box)
{
    struct vault_head *heads = NULL;
    size_t count = 0;
    uint64_t seq = 0;
    struct err err = ERR_INIT;

    assert_ok(vault_file_ops.head(box->vault, &heads, &count, deadline_in(20000), &err), &err);
    for (size_t i = 0; i < count; i++) {
        if (uuid_eq(&heads[i].origin, &box->chain.origin)) {
            seq = heads[i].seq == 0 ? UINT64_MAX : heads[i].seq;
        }
    }
    free(heads);
    return seq;
}

struct box_seen {
    const struct chain *chain;
    uint64_t count;
    uint64_t last;
};

static inline int box_see(void *arg, const struct change *change, struct err *err)
{
    struct box_seen *seen = arg;

    (void)err;
    assert_true(change->seq > seen->last && change->seq <= seen->chain->count);
    const struct vault_item *item = &seen->chain->items[change->seq - 1];
    assert_true(str_eq(change->record, item->record));
    assert_true(sha256_eq(&change->hash, &item->hash));
    seen->last = change->seq;
    seen->count++;
    return 0;
}

/* Scan all; what is seen must be the chain's. */
static inline int box_try_scan(struct box *box, uint64_t *ret_count, struct err *err)
{
    struct vault_filter filter = {.origin = box->chain.origin};
    struct box_seen seen = {.chain = &box->chain};

    int rc = vault_file_ops.scan(box->vault, &filter, box_see, &seen, deadline_in(60000), err);
    *ret_count = seen.count;
    return rc;
}

static inline void box_assert_holds(struct box *box, uint64_t count)
{
    uint64_t seen = 0;
    struct err err = ERR_INIT;

    assert_int_equal(box_head(box), count);
    assert_ok(box_try_scan(box, &seen, &err), &err);
    assert_int_equal(seen, count);
}

/* A file of the origin's folder; heap. */
static inline char *box_file(struct box *box, const char *name)
{
    return path_join(box->origin, name);
}

#define BOX_SEGMENT_1 "00000000000000000001.jsonl"

static inline void box_seal(struct box *box)
{
    static const _Atomic bool never = false;
    struct err err = ERR_INIT;

    assert_ok(file_seal_origin(box->origin, &box->chain.origin, &never, &err), &err);
}

#endif
