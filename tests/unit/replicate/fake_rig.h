/*
 * fake_rig - a rig with the fake vault, and questions to both.
 */
#ifndef HOLDFAST_TESTS_REPLICATE_FAKE_RIG_H
#define HOLDFAST_TESTS_REPLICATE_FAKE_RIG_H

#include "replicate/fake_vault.h"
#include "replicate/rig.h"

#include "base/fault.h"

static inline int fake_set_up(void **state)
{
    fake_reset();
    *state = rig_new(&fake_ops);
    return 0;
}

static inline int fake_tear_down(void **state)
{
    fault_set(NULL);
    rig_free(*state);
    fake_reset();
    return 0;
}

/* ---- what the vault has ---- */

static inline size_t vault_count(const struct uuid *origin)
{
    fake_lock();
    const struct fake_chain *chain = fake_chain_of(origin, false);
    size_t count = chain == NULL ? 0 : chain->count;
    fake_unlock();
    return count;
}

static inline size_t vault_has(struct rig *rig)
{
    struct uuid origin = ledger_origin(rig->ledger);

    return vault_count(&origin);
}

static inline bool vault_has_text(struct rig *rig, const char *text)
{
    struct uuid origin = ledger_origin(rig->ledger);
    bool found = false;

    fake_lock();
    const struct fake_chain *chain = fake_chain_of(&origin, false);
    for (size_t i = 0; chain != NULL && i < chain->count; i++) {
        found = found ||
                (chain->items[i].record != NULL && strstr(chain->items[i].record, text) != NULL);
    }
    fake_unlock();
    return found;
}

static inline int compare_change(void *arg, const struct change *change, struct err *err)
{
    const struct fake_chain *chain = arg;
    const struct fake_item *item = &chain->items[change->seq - 1];

    (void)err;
    assert_true(change->seq <= chain->count);
    assert_non_null(item->record);
    assert_true(str_eq_c(change->record, item->record));
    assert_true(sha256_eq(&change->hash, &item->hash));
    return 0;
}

/* Every change of the journal is in the vault, as it is. */
static inline void assert_same(struct rig *rig)
{
    struct uuid origin = ledger_origin(rig->ledger);
    struct reader *reader = NULL;
    struct err err = ERR_INIT;

    assert_ok(read_begin(rig->ledger, &reader, &err), &err);
    fake_lock();
    struct fake_chain *chain = fake_chain_of(&origin, false);
    assert_non_null(chain);
    assert_ok(read_changes(reader, &origin, 0, SIZE_MAX, compare_change, chain, &err), &err);
    fake_unlock();
    read_end(reader);
}

static inline size_t opens(void)
{
    fake_lock();
    size_t count = fake_place.opens;
    fake_unlock();
    return count;
}

static inline size_t appends(void)
{
    fake_lock();
    size_t count = fake_place.appends;
    fake_unlock();
    return count;
}

static inline bool is_hanging(void)
{
    fake_lock();
    bool is = fake_place.is_hanging;
    fake_unlock();
    return is;
}

#define FAKE_SET(field, value)                                                                     \
    do {                                                                                           \
        fake_lock();                                                                               \
        fake_place.field = (value);                                                                \
        fake_unlock();                                                                             \
    } while (0)

/* Remember count, and have it all in the vault. */
static inline void filled_with(struct rig *rig, size_t count)
{
    rig_remember_many(rig, count);
    rig_start(rig);
    rig_drain(rig);
    assert_int_equal(rig_damages(rig), 0);
}

static inline struct fake_chain *own_chain(struct rig *rig)
{
    struct uuid origin = ledger_origin(rig->ledger);

    return fake_chain_of(&origin, false);
}

#define FAKE_TEST(name) cmocka_unit_test_setup_teardown(name, fake_set_up, fake_tear_down)

#endif
