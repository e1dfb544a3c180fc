/*
 * fake_vault - a vault in memory that does as it is told: refuses, hangs, rejects, lies, forgets.
 *
 * Its place (what a real one keeps on its disk) outlives open and close. Thread: all under the
 * mutex; the tests' thread changes it while the replicator's calls it.
 */
#ifndef HOLDFAST_TESTS_REPLICATE_FAKE_VAULT_H
#define HOLDFAST_TESTS_REPLICATE_FAKE_VAULT_H

#include "support/unit.h"

#include <pthread.h>
#include <unistd.h>

#include "vault/vault.h"

#define FAKE_ORIGINS 4
#define FAKE_BATCHES 4096

struct fake_item {
    uint64_t seq;
    char *record; /* NULL: a gap */
    struct sha256 hash;
};

struct fake_chain {
    struct uuid origin;
    struct fake_item *items;
    size_t count;
};

struct fake_place {
    pthread_mutex_t mutex;
    struct uuid identity;
    struct fake_chain chains[FAKE_ORIGINS];
    size_t chain_count;
    const char *where;        /* the disk it says that it is on; NULL: it can't tell */
    char expected[64];        /* where the last open expected it */
    enum err_code open_fails; /* ERR_NONE: it does not */
    enum err_code append_fails;
    enum err_code head_fails;
    bool append_then_fails;     /* it is there, but the answer is lost */
    size_t slow_above;          /* larger batches are not taken in time; 0: all are */
    bool hangs;                 /* append waits until cancelled or its deadline */
    bool is_hanging;            /* it does, or did */
    bool was_cancelled;         /* and this ended it */
    const char *rejects;        /* records with this text are ERR_INVALID; NULL: none */
    enum err_code rejects_with; /* ERR_NONE: ERR_INVALID */
    bool always_corrupt;        /* every append finds damage */
    size_t opens;
    size_t heads;
    size_t proofs_of_a_round; /* slices that reading it through takes; 0: nothing to read */
    size_t proofs_left;
    size_t proofs;          /* slices that were read */
    struct env_fake *clock; /* goes on with each call; NULL: does not */
    int64_t append_ms;
    int64_t prove_ms;
    size_t proofs_meanwhile; /* slices before the last append */
    bool prove_finds;        /* damage, in the next slice */
    enum err_code prove_fails;
    size_t appends;
    size_t asides;
    size_t taken;                 /* changes that were new */
    size_t batches[FAKE_BATCHES]; /* sizes of appends that went well */
    size_t batch_count;
};

static struct fake_place fake_place;

struct fake_vault {
    struct vault base;
    struct wake *cancel;
};

static inline void fake_lock(void)
{
    (void)pthread_mutex_lock(&fake_place.mutex);
}

static inline void fake_unlock(void)
{
    (void)pthread_mutex_unlock(&fake_place.mutex);
}

static inline void fake_empty_chain(struct fake_chain *chain, size_t keep)
{
    while (chain->count > keep) {
        free(chain->items[--chain->count].record);
    }
}

/* Forget everything, counters too. */
static inline void fake_reset(void)
{
    for (size_t i = 0; i < fake_place.chain_count; i++) {
        fake_empty_chain(&fake_place.chains[i], 0);
        free(fake_place.chains[i].items);
    }
    fake_place = (struct fake_place){.mutex = PTHREAD_MUTEX_INITIALIZER};
    memset(fake_place.identity.bytes, 0x11, sizeof(fake_place.identity.bytes));
}

static inline struct fake_chain *fake_chain_of(const struct uuid *origin, bool make)
{
    for (size_t i = 0; i < fake_place.chain_count; i++) {
        if (uuid_eq(&fake_place.chains[i].origin, origin)) {
            return &fake_place.chains[i];
        }
    }
    if (!make) {
        return NULL;
    }
    assert_true(fake_place.chain_count < FAKE_ORIGINS);
    struct fake_chain *chain = &fake_place.chains[fake_place.chain_count++];
    *chain = (struct fake_chain){.origin = *origin};
    return chain;
}

static inline int fake_fail(enum err_code code, struct err *err)
{
    return err_set(err, code, "the fake vault was told to fail (%s)", err_name((int)code));
}

static inline int fake_open(const struct vault_options *options, struct vault **ret,
                            struct err *err)
{
    fake_lock();
    fake_place.opens++;
    (void)snprintf(fake_place.expected, sizeof(fake_place.expected), "%s",
                   options->expect_place == NULL ? "" : options->expect_place);
    enum err_code fails = fake_place.open_fails;
    bool other = !uuid_is_nil(&options->expect_vault) &&
                 !uuid_eq(&options->expect_vault, &fake_place.identity);
    fake_unlock();
    if (fails != ERR_NONE) {
        return fake_fail(fails, err);
    }
    if (other) {
        return err_set(err, ERR_CORRUPT, "it is not the vault that was used here before");
    }
    struct fake_vault *vault = xcalloc(1, sizeof(*vault));
    extern const struct vault_ops fake_ops;
    vault->base.ops = &fake_ops;
    vault->cancel = options->cancel;
    *ret = &vault->base;
    return 0;
}

static inline const char *fake_where(const struct vault *vault)
{
    (void)vault;
    fake_lock();
    const char *where = fake_place.where;
    fake_unlock();
    return where;
}

static inline struct uuid fake_identity(const struct vault *vault)
{
    (void)vault;
    return fake_place.identity;
}

static inline bool fake_rejects(const struct vault_item *item)
{
    return fake_place.rejects != NULL && item->record.len > 0 &&
           memmem(item->record.ptr, item->record.len, fake_place.rejects,
                  strlen(fake_place.rejects)) != NULL;
}

static inline int fake_take(struct fake_chain *chain, const struct vault_item *item,
                            struct err *err)
{
    char *record = item->record.len == 0 ? NULL : xstrndup(item->record.ptr, item->record.len);

    if (item->seq <= chain->count) {
        struct fake_item *there = &chain->items[item->seq - 1];
        if (!sha256_eq(&there->hash, &item->hash)) {
            free(record);
            return err_set(err, ERR_CORRUPT, "two histories at seq %llu",
                           (unsigned long long)item->seq);
        }
        if (there->record == NULL) {
            there->record = record;
        } else {
            free(record);
        }
        return 0;
    }
    if (item->seq != chain->count + 1) {
        free(record);
        return err_set(err, ERR_CORRUPT, "it ends at %zu, seq %llu was sent", chain->count,
                       (unsigned long long)item->seq);
    }
    chain->items = xrealloc(chain->items, (chain->count + 1) * sizeof(*chain->items));
    chain->items[chain->count++] = (struct fake_item){item->seq, record, item->hash};
    fake_place.taken++;
    return 0;
}

static inline int fake_append_locked(const struct vault_batch *batch, struct err *err)
{
    struct fake_chain *chain = fake_chain_of(&batch->origin, true);
    int rc = 0;

    fake_place.appends++;
    fake_place.proofs_meanwhile = fake_place.proofs;
    if (fake_place.clock != NULL) {
        env_fake_advance_ms(fake_place.clock, fake_place.append_ms);
    }
    if (fake_place.append_fails != ERR_NONE) {
        return fake_fail(fake_place.append_fails, err);
    }
    if (fake_place.slow_above > 0 && batch->count > fake_place.slow_above) {
        return fake_fail(ERR_TIMEOUT, err);
    }
    if (fake_place.always_corrupt) {
        return fake_fail(ERR_CORRUPT, err);
    }
    for (size_t i = 0; i < batch->count; i++) {
        if (fake_rejects(&batch->items[i])) {
            return err_set(
                err, fake_place.rejects_with == ERR_NONE ? ERR_INVALID : fake_place.rejects_with,
                "it holds %s", fake_place.rejects);
        }
    }
    for (size_t i = 0; rc == 0 && i < batch->count; i++) {
        rc = fake_take(chain, &batch->items[i], err);
    }
    if (rc == 0 && fake_place.batch_count < FAKE_BATCHES) {
        fake_place.batches[fake_place.batch_count++] = batch->count;
    }
    return rc == 0 && fake_place.append_then_fails ? fake_fail(ERR_UNAVAILABLE, err) : rc;
}

static inline int fake_append(struct vault *base, const struct vault_batch *batch,
                              struct deadline deadline, struct err *err)
{
    struct fake_vault *vault = (struct fake_vault *)base;

    fake_lock();
    bool hangs = fake_place.hangs;
    fake_place.is_hanging = fake_place.is_hanging || hangs;
    int rc = hangs ? 0 : fake_append_locked(batch, err);
    fake_unlock();
    while (hangs && !wake_cancelled(vault->cancel) && deadline_left_ms(deadline) > 0) {
        (void)usleep(1000);
        fake_lock();
        hangs = fake_place.hangs;
        fake_unlock();
    }
    fake_lock();
    fake_place.was_cancelled = hangs && wake_cancelled(vault->cancel);
    fake_unlock();
    return hangs ? err_set(err, ERR_CANCELLED, "cancelled") : rc;
}

static inline int fake_compare_heads(const void *a, const void *b)
{
    return uuid_cmp(&((const struct vault_head *)a)->origin,
                    &((const struct vault_head *)b)->origin);
}

static inline int fake_head(struct vault *vault, struct vault_head **ret_heads, size_t *ret_count,
                            struct deadline deadline, struct err *err)
{
    (void)vault;
    (void)deadline;
    struct vault_head *heads = xcalloc(FAKE_ORIGINS, sizeof(*heads));
    size_t count = 0;

    fake_lock();
    fake_place.heads++;
    fake_place.proofs_left = fake_place.proofs_of_a_round;
    enum err_code fails = fake_place.head_fails;
    for (size_t i = 0; i < fake_place.chain_count; i++) {
        const struct fake_chain *chain = &fake_place.chains[i];
        struct vault_head head = {.origin = chain->origin, .seq = chain->count};
        for (size_t k = 0; k < chain->count; k++) {
            head.gaps += chain->items[k].record == NULL ? 1 : 0;
            head.hash = chain->items[k].hash;
        }
        if (chain->count > 0) {
            heads[count++] = head;
        }
    }
    fake_unlock();
    if (fails != ERR_NONE) {
        free(heads);
        return fake_fail(fails, err);
    }
    qsort(heads, count, sizeof(*heads), fake_compare_heads);
    *ret_heads = heads;
    *ret_count = count;
    return 0;
}

static inline int fake_hash_at(struct vault *vault, const struct uuid *origin, uint64_t seq,
                               struct sha256 *ret, struct deadline deadline, struct err *err)
{
    (void)vault;
    (void)deadline;
    int rc = 0;

    fake_lock();
    const struct fake_chain *chain = fake_chain_of(origin, false);
    if (chain == NULL || seq == 0 || seq > chain->count) {
        rc = err_set(err, ERR_NOT_FOUND, "no seq %llu", (unsigned long long)seq);
    } else {
        *ret = chain->items[seq - 1].hash;
    }
    fake_unlock();
    return rc;
}

static inline int fake_set_aside(struct vault *vault, const struct uuid *origin,
                                 struct deadline deadline, struct err *err)
{
    (void)vault;
    (void)deadline;
    (void)err;

    fake_lock();
    struct fake_chain *chain = fake_chain_of(origin, false);
    fake_place.asides++;
    if (chain != NULL) {
        fake_empty_chain(chain, 0);
    }
    fake_unlock();
    return 0;
}

static inline int fake_prove(struct vault *vault, enum vault_proof *ret, struct deadline deadline,
                             struct err *err)
{
    (void)vault;
    (void)deadline;
    fake_lock();
    enum err_code fails = fake_place.prove_fails;
    bool damaged = fake_place.prove_finds;
    bool more = fake_place.proofs_left > 0;
    fake_place.proofs += more ? 1 : 0;
    fake_place.proofs_left -= more ? 1 : 0;
    fake_place.prove_finds = false;
    if (fake_place.clock != NULL && more) {
        env_fake_advance_ms(fake_place.clock, fake_place.prove_ms);
    }
    fake_unlock();
    *ret = damaged ? VAULT_PROOF_DAMAGED : more ? VAULT_PROOF_MORE : VAULT_PROOF_DONE;
    return fails == ERR_NONE ? 0 : fake_fail(fails, err);
}

static inline int fake_check(struct vault *vault, struct vault_health *ret,
                             struct deadline deadline, struct err *err)
{
    (void)vault;
    (void)deadline;
    (void)err;
    *ret = (struct vault_health){.can_write = true};
    return 0;
}

static inline int fake_scan(struct vault *vault, const struct vault_filter *filter,
                            vault_scan_fn *each, void *arg, struct deadline deadline,
                            struct err *err)
{
    (void)vault;
    (void)filter;
    (void)each;
    (void)arg;
    (void)deadline;
    return err_set(err, ERR_INTERNAL, "the fake vault has no scan");
}

static inline void fake_close(struct vault *vault)
{
    free(vault);
}

const struct vault_ops fake_ops = {
    .kind = "fake",
    .open = fake_open,
    .identity = fake_identity,
    .place = fake_where,
    .append = fake_append,
    .head = fake_head,
    .hash_at = fake_hash_at,
    .scan = fake_scan,
    .prove = fake_prove,
    .set_aside = fake_set_aside,
    .check = fake_check,
    .close = fake_close,
};

#endif
