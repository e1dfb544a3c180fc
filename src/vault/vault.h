/*
 * vault - what a remote copy must be able to do. One const table per driver, one line in vault.c's
 * array.
 *
 * A vault holds the changes of any number of origins, each in its own chain. It is append-only: no
 * driver has a way to delete or overwrite history. All calls block, end by their deadline
 * (ERR_TIMEOUT) and may be cancelled (ERR_CANCELLED). Errors carry the class that decides what the
 * replicator does: RETRY later, REJECT (this change never can: dead letter), STOP (the vault is
 * damaged or not ours: alert).
 *
 * Thread: one at a time per struct vault.
 */
#ifndef HOLDFAST_VAULT_VAULT_H
#define HOLDFAST_VAULT_VAULT_H

#include "base/env.h"
#include "base/wake.h"
#include "model/change.h"
#include "model/memory.h"

struct vault;

enum vault_cap {
    VAULT_CAP_SCAN = 1 << 0,   /* can be recovered from */
    VAULT_CAP_SEARCH = 1 << 1, /* ranks by itself: has search */
};

/* One change on its way into a vault. */
struct vault_item {
    uint64_t seq;
    struct str record; /* canonical JSON; empty for a gap: a change that this vault can't take (it
                          is in our dead letters) */
    struct sha256 prev;
    struct sha256 hash;
};

#define VAULT_BATCH_MAX 5000
#define VAULT_BATCH_BYTES_MAX (16 * 1024 * 1024)

/* Changes of one origin, seq ascending without holes. */
struct vault_batch {
    struct uuid origin;
    const struct vault_item *items;
    size_t count;
};

/* What every driver refuses before it looks at anything else: ERR_LIMIT for more than the maximum,
 * ERR_INVALID for a change that would not prove itself when it is read back (hash, seq, origin). */
int vault_batch_check(const struct vault_batch *batch, struct err *err) MUST_CHECK;

struct vault_head {
    struct uuid origin;
    uint64_t seq;       /* the last it holds (a gap counts as held: its hash is there) */
    struct sha256 hash; /* of that */
    uint64_t gaps;      /* named gaps in it that are not filled yet */
};

/* A chain proves itself as a whole only, so projects and times are a recovery's to choose by
 * (docs/recovery.md), of the history that it took in. */
struct vault_filter {
    struct uuid origin; /* nil: all */
    uint64_t after_seq; /* with an origin: only seq > this */
};

/* One change read back; borrowed for the call. Its hash was checked against prev and record, and
 * prev against the change before. */
typedef int vault_scan_fn(void *arg, const struct change *change, struct err *err);

/* A place of an origin's copy that does not prove itself, and the changes that are lost by it. */
struct vault_damage {
    struct uuid origin;
    uint64_t from; /* the first change that is lost; from > to: none is */
    uint64_t to;
    char *where; /* heap: file, record, and what is wrong with it */
};
void vault_damages_free(struct vault_damage *items, size_t count); /* a heap array; NULL is fine */

/* A question to a vault that ranks by itself; borrowed. */
struct memory_filter; /* ledger/read.h */
struct vault_query {
    const char *const *texts; /* what is looked for: any of them; the words of one in their order */
    size_t text_count;
    const float *vector; /* NULL: by words alone. As of vector_parse (model/vector.h) */
    size_t dimensions;
    const struct memory_filter *filter; /* with_deleted is not looked at */
    size_t limit;                       /* 1.. */
};

struct vault_hit {
    struct memory memory; /* the caller's */
    struct uuid origin;   /* of the change that it shows */
    uint64_t seq;
    double score; /* 0 to 1; 1: the first of every ranking asked for */
};
void vault_hits_free(struct vault_hit *hits, size_t count); /* a heap array; NULL is fine */

/* How far the reading through of a vault has got. */
enum vault_proof {
    VAULT_PROOF_MORE,    /* there is more to read */
    VAULT_PROOF_DONE,    /* all that the last head() listed was read, and proves itself */
    VAULT_PROOF_DAMAGED, /* it does not: head() says which origin */
};

struct vault_health {
    bool can_write;
    int64_t latency_us;
    char detail[384]; /* one line for `doctor`: what it is, how much it holds */
    char advice[384]; /* what to do about what is wrong; "" when nothing is */
};

/* Two installations made the same version of one memory, each something else. */
struct vault_conflict {
    struct uuid origin; /* whose change was appended just now */
    uint64_t seq;
    const char *what; /* one sentence with both versions, and which of them shows */
};

struct vault_options {
    const char *name;         /* as in the configuration */
    const char *target;       /* what follows "kind:" in a vault's spec: a path, a URL */
    struct uuid installation; /* this ledger's origin */
    struct uuid expect_vault; /* the vault's identity when it was first used; nil: any. Another one
                                 is ERR_CORRUPT ("not the vault that ...") */
    const char *expect_place; /* what `place` said when it was used last; NULL: not known. A vault
                                 that is missing is made anew only there, else ERR_AWAY */
    struct env *env;
    struct wake *cancel;     /* may be NULL; when cancelled, calls end with ERR_CANCELLED */
    struct deadline open_by; /* opening it ends by then (ERR_TIMEOUT); at_ms 0: by the driver's own
                                measure */
    bool read_only;          /* never make or write anything: for recovery from a vault of another
                                installation */
    bool stranger; /* it is nowhere that the configuration names: the environment's secrets
                      are not for it (same_server) */
    /* Told by an append, when it is durable, by drivers that show the present. May be NULL. */
    void (*on_conflict)(void *arg, const struct vault_conflict *conflict);
    /* Something was altered there, and was put right by what else is there and known (one
     * sentence). NULL: nothing is put right; what can be told is read around it. */
    void (*on_mended)(void *arg, const char *what);
    void *arg;
};

struct vault_ops {
    const char *kind; /* the part before ":" of a vault's spec */
    unsigned caps;    /* enum vault_cap */

    /* Whether the secrets for a known target may go to this one: the same server, no less
     * protected. A driver that has no secrets has no such function. */
    bool (*same_server)(const char *target, const char *known);
    /* Connect, or make the vault when the place is empty and read_only is not set. */
    int (*open)(const struct vault_options *options, struct vault **ret, struct err *err);
    struct uuid (*identity)(const struct vault *vault);
    /* Which disk it is on, as far as that can be told again after a restart; borrowed. NULL where
     * that is not known; a driver that has no disks has no such function. */
    const char *(*place)(const struct vault *vault);
    /* Durable there when it returns 0. What is there already with the same hash is skipped; with
     * another hash it is ERR_CORRUPT (a fork). A gap that is filled later comes as a batch of its
     * own. */
    int (*append)(struct vault *vault, const struct vault_batch *batch, struct deadline deadline,
                  struct err *err);
    /* Heap array of all origins' heads, by origin. It fails for the vault as a whole only: an
     * origin whose copy is damaged is listed with seq 0, and hash_at and append say what is wrong
     * with it. */
    int (*head)(struct vault *vault, struct vault_head **ret_heads, size_t *ret_count,
                struct deadline deadline, struct err *err);
    /* The hash it holds of (origin, seq): for comparing with what it acknowledged. ERR_NOT_FOUND.
     */
    int (*hash_at)(struct vault *vault, const struct uuid *origin, uint64_t seq, struct sha256 *ret,
                   struct deadline deadline, struct err *err);
    /* By origin, then seq; gaps that are not filled are passed over. A non-zero return of each ends
     * the scan and is returned. ERR_CORRUPT names the place of the damage. */
    int (*scan)(struct vault *vault, const struct vault_filter *filter, vault_scan_fn *each,
                void *arg, struct deadline deadline, struct err *err);
    /*
     * Read on through what it holds, for some tens of milliseconds, so that what was altered is
     * found even where nobody reads it. A new round begins with the head() behind the end of the
     * last. NULL: the driver has nothing to read through.
     */
    int (*prove)(struct vault *vault, enum vault_proof *ret, struct deadline deadline,
                 struct err *err);
    /*
     * For a recovery from a damaged copy: read all of it, and list what does not prove itself
     * (*ret_items: vault_damages_free). From now on this connection's head, hash_at and scan pass
     * that over as they do gaps; hash_at of a change that is lost is ERR_NOT_FOUND unless the next
     * one tells it. NULL: the driver can't.
     */
    int (*salvage)(struct vault *vault, struct vault_damage **ret_items, size_t *ret_count,
                   struct deadline deadline, struct err *err);
    /* An origin's copy here is damaged, rolled back or altered: put it aside under another name
     * (never delete it), so that it can be refilled from 1. */
    int (*set_aside)(struct vault *vault, const struct uuid *origin, struct deadline deadline,
                     struct err *err);
    int (*check)(struct vault *vault, struct vault_health *ret, struct deadline deadline,
                 struct err *err);
    /*
     * Best first, what words and vector each find made one by rank, ties by id. Every hit passes
     * the filter, and is a memory as its last change shows it that is neither deleted nor held.
     * *ret_hits: vault_hits_free. ERR_INVALID: a vector of other dimensions than are indexed;
     * ERR_UNAVAILABLE: an index is missing; ERR_CORRUPT: a change that was found does not prove
     * itself. NULL: the driver can't (VAULT_CAP_SEARCH).
     */
    int (*search)(struct vault *vault, const struct vault_query *query, struct vault_hit **ret_hits,
                  size_t *ret_count, struct deadline deadline, struct err *err);
    void (*close)(struct vault *vault);
};

/* Every driver's struct begins with this. */
struct vault {
    const struct vault_ops *ops;
};

/* The driver for a spec such as "file:/mnt/backup/holdfast"; *ret_target is the view behind the
 * colon. ERR_CONFIG lists the kinds there are. */
int vault_driver(const char *spec, const struct vault_ops **ret, const char **ret_target,
                 struct err *err) MUST_CHECK;

/* The spec as it may be shown: without the user and password that somebody wrote into it. Heap. */
char *vault_spec_shown(const char *spec);

extern const struct vault_ops vault_file_ops;
extern const struct vault_ops vault_neo4j_ops;

#endif
