/* Reading the chains: heads, hashes, and the changes themselves, each proved by its hash. */
#include <stdlib.h>

#include "vault/neo4j_vault.h"

#define PARAMETERS_MAX 4096 /* bytes of the parameters of a statement that reads */

/* ---- the origins that are known ---- */

struct neo4j_chain *neo4j_chain_know(struct neo4j_vault *vault, const struct uuid *origin)
{
    size_t at = 0;

    while (at < vault->chain_count && uuid_cmp(&vault->chains[at].origin, origin) < 0) {
        at++;
    }
    if (at < vault->chain_count && uuid_eq(&vault->chains[at].origin, origin)) {
        return &vault->chains[at];
    }
    vault->chains = xrealloc(vault->chains, (vault->chain_count + 1) * sizeof(struct neo4j_chain));
    memmove(vault->chains + at + 1, vault->chains + at,
            (vault->chain_count - at) * sizeof(struct neo4j_chain));
    vault->chain_count++;
    vault->chains[at] = (struct neo4j_chain){.origin = *origin, .copy = 1};
    return &vault->chains[at];
}

/* What was proved and found of another copy says nothing of this one. */
static void use_copy(struct neo4j_chain *chain, uint64_t copy)
{
    if (chain->copy != (int64_t)copy) {
        *chain = (struct neo4j_chain){.origin = chain->origin, .copy = (int64_t)copy};
    }
}

/* ---- the origins that are there ---- */

struct listed {
    struct uuid origin;
    uint64_t copy; /* 0: its Origin was altered, or taken away */
};

struct list {
    struct listed *items;
    size_t count;
};

static void list_done(struct list *list)
{
    free(list->items);
}

static void list_add(struct list *list, const struct uuid *origin, uint64_t copy)
{
    list->items = xrealloc(list->items, (list->count + 1) * sizeof(*list->items));
    list->items[list->count++] = (struct listed){*origin, copy};
}

static bool list_has(const struct list *list, const struct uuid *origin)
{
    for (size_t i = 0; i < list->count; i++) {
        if (uuid_eq(&list->items[i].origin, origin)) {
            return true;
        }
    }
    return false;
}

/* The number of a copy; 0: it is none. */
static uint64_t copy_of(const struct bolt_record *record, size_t at)
{
    struct err altered = ERR_INIT;
    uint64_t copy = 0;

    return neo4j_get_uint(record, at, &copy, &altered) == 0 && copy <= INT64_MAX ? copy : 0;
}

/* Of an Origin whose id was altered nobody can tell whose it was: the Changes say which one is
 * missing. */
static int take_origin(void *arg, const struct bolt_record *record, struct err *err)
{
    struct list *list = arg;
    struct err altered = ERR_INIT;
    struct uuid origin;

    (void)err;
    if (neo4j_get_uuid(record, 0, &origin, &altered) == 0) {
        list_add(list, &origin, copy_of(record, 1));
    }
    return 0;
}

static int take_copy(void *arg, const struct bolt_record *record, struct err *err)
{
    (void)err;
    *(uint64_t *)arg = copy_of(record, 0);
    return 0;
}

static int ask_copy(struct neo4j_vault *vault, enum neo4j_statement statement,
                    const struct uuid *origin, uint64_t *ret, struct deadline deadline,
                    struct err *err)
{
    AUTO(bolt_packer_done) struct bolt_packer packer;

    *ret = 0;
    bolt_packer_init(&packer, PARAMETERS_MAX);
    bolt_pack_map(&packer, 1);
    bolt_pack_key(&packer, "origin");
    neo4j_pack_uuid(&packer, origin);
    return neo4j_query(vault, BOLT_READ, statement, &packer, take_copy, ret, deadline, err);
}

static int write_origin(struct neo4j_vault *vault, const struct listed *listed,
                        struct deadline deadline, struct err *err)
{
    const struct neo4j_chain chain = {.origin = listed->origin, .copy = (int64_t)listed->copy};
    AUTO(bolt_packer_done) struct bolt_packer packer;

    bolt_packer_init(&packer, PARAMETERS_MAX);
    bolt_pack_map(&packer, 2);
    neo4j_pack_chain(&packer, &chain);
    return neo4j_query(vault, BOLT_WRITE, NEO4J_ORIGIN_MEND, &packer, NULL, NULL, deadline, err);
}

/* Its Changes say which copy is in use. Written there only by who tells a person, too. */
static int mend_origin(struct neo4j_vault *vault, struct listed *listed, struct deadline deadline,
                       struct err *err)
{
    char origin[UUID_TEXT_MAX];
    uint64_t last = 0;

    int rc = ask_copy(vault, NEO4J_LAST_COPY, &listed->origin, &last, deadline, err);
    listed->copy = last == 0 ? 1 : last;
    if (rc < 0 || vault->on_mended == NULL) {
        return rc;
    }
    rc = write_origin(vault, listed, deadline, err);
    if (rc == 0) {
        uuid_format(&listed->origin, origin);
        AUTO(free_ptr)
        char *what = xprintf("%s: the node Origin of %s was altered or deleted; it was put right "
                             "from its Changes, of which copy %llu is the one in use",
                             vault->uri, origin, (unsigned long long)listed->copy);
        vault->on_mended(vault->arg, what);
    }
    return rc;
}

struct next_origin {
    struct list *list;
    char *after; /* heap: the last that was found; texts that are no UUID are passed over */
    bool found;
};

static int take_next(void *arg, const struct bolt_record *record, struct err *err)
{
    struct next_origin *next = arg;
    struct err altered = ERR_INIT;
    struct uuid origin;
    struct str text;

    int rc = neo4j_get_str(record, 0, &text, err);
    if (rc < 0) {
        return rc;
    }
    next->found = true;
    next->after = xrealloc(next->after, text.len + 1);
    memcpy(next->after, text.ptr, text.len);
    next->after[text.len] = '\0';
    if (uuid_parse(text, &origin, &altered) == 0 && !list_has(next->list, &origin)) {
        list_add(next->list, &origin, 0);
    }
    return 0;
}

/* The origins of Changes that have no Origin any more: from one to the next along the index. */
static int list_orphans(struct neo4j_vault *vault, struct list *list, struct deadline deadline,
                        struct err *err)
{
    struct next_origin next = {.list = list, .after = xstrdup(""), .found = true};
    AUTO(bolt_packer_done) struct bolt_packer packer;
    int rc = 0;

    bolt_packer_init(&packer, 0);
    while (rc == 0 && next.found) {
        next.found = false;
        bolt_packer_reset(&packer);
        bolt_pack_map(&packer, 1);
        bolt_pack_key(&packer, "after");
        bolt_pack_text(&packer, next.after);
        rc = neo4j_query(vault, BOLT_READ, NEO4J_NEXT_ORIGIN, &packer, take_next, &next, deadline,
                         err);
    }
    free(next.after);
    return rc;
}

static int compare_listed(const void *a, const void *b)
{
    return uuid_cmp(&((const struct listed *)a)->origin, &((const struct listed *)b)->origin);
}

/* Know every origin of which there is something. Those that are known and are not there any more
 * stay known: hash_at says NOT_FOUND of them. */
static int list_origins(struct neo4j_vault *vault, struct list *ret, struct deadline deadline,
                        struct err *err)
{
    int rc = neo4j_query(vault, BOLT_READ, NEO4J_ORIGINS, NULL, take_origin, ret, deadline, err);

    rc = rc == 0 ? list_orphans(vault, ret, deadline, err) : rc;
    for (size_t i = 0; rc == 0 && i < ret->count; i++) {
        rc = ret->items[i].copy == 0 ? mend_origin(vault, &ret->items[i], deadline, err) : 0;
        use_copy(neo4j_chain_know(vault, &ret->items[i].origin), ret->items[i].copy);
    }
    if (ret->count > 0) {
        qsort(ret->items, ret->count, sizeof(*ret->items), compare_listed);
    }
    return rc;
}

int neo4j_chain_ask(struct neo4j_vault *vault, struct neo4j_chain *chain, bool *ret_there,
                    struct deadline deadline, struct err *err)
{
    struct listed listed = {.origin = chain->origin};
    uint64_t last = 0;

    int rc = ask_copy(vault, NEO4J_ORIGIN_COPY, &chain->origin, &listed.copy, deadline, err);
    if (rc == 0 && listed.copy == 0) {
        rc = ask_copy(vault, NEO4J_LAST_COPY, &chain->origin, &last, deadline, err);
        rc = rc == 0 && last > 0 ? mend_origin(vault, &listed, deadline, err) : rc;
    }
    *ret_there = listed.copy > 0;
    if (rc == 0 && *ret_there) {
        use_copy(chain, listed.copy);
    }
    return rc;
}

/* ---- heads ---- */

int neo4j_take_head(void *arg, const struct bolt_record *record, struct err *err)
{
    struct vault_head *head = arg;
    uint64_t seq;
    uint64_t gaps;

    int rc = neo4j_get_uint(record, 0, &seq, err);
    if (rc == 0) {
        rc = neo4j_get_uint(record, 2, &gaps, err);
    }
    if (rc < 0) {
        return rc;
    }
    head->gaps += gaps;
    if (seq > head->seq) {
        head->seq = seq;
        rc = neo4j_get_hash(record, 1, &head->hash, err);
    }
    return rc;
}

static int read_head(struct neo4j_vault *vault, const struct neo4j_chain *chain,
                     struct vault_head *ret, struct deadline deadline, struct err *err)
{
    AUTO(bolt_packer_done) struct bolt_packer packer;

    *ret = (struct vault_head){.origin = chain->origin};
    bolt_packer_init(&packer, PARAMETERS_MAX);
    bolt_pack_map(&packer, 2);
    neo4j_pack_chain(&packer, chain);
    return neo4j_query(vault, BOLT_READ, NEO4J_HEAD, &packer, neo4j_take_head, ret, deadline, err);
}

static void begin_round(struct neo4j_vault *vault)
{
    for (size_t i = 0; i < vault->chain_count; i++) {
        vault->chains[i].verified = 0;
        vault->chains[i].verified_hash = (struct sha256){{0}};
    }
    vault->round_done = false;
}

int neo4j_heads(struct neo4j_vault *vault, struct vault_head **ret_heads, size_t *ret_count,
                struct deadline deadline, struct err *err)
{
    AUTO(list_done) struct list list = {0};
    int rc = list_origins(vault, &list, deadline, err);

    if (rc < 0) {
        return rc;
    }
    struct vault_head *heads = xcalloc(list.count, sizeof(*heads));
    size_t count = 0;
    if (vault->round_done) {
        begin_round(vault);
    }
    for (size_t i = 0; rc == 0 && i < list.count; i++) {
        struct neo4j_chain *chain = neo4j_chain_know(vault, &list.items[i].origin);
        rc = read_head(vault, chain, &heads[count], deadline, err);
        chain->head = heads[count].seq;
        if (chain->damage.code != ERR_NONE) {
            heads[count] = (struct vault_head){.origin = chain->origin};
            count++;
        } else {
            count += heads[count].seq > 0 ? 1 : 0;
        }
    }
    if (rc < 0) {
        free(heads);
        return rc;
    }
    *ret_heads = heads;
    *ret_count = count;
    return 0;
}

/* ---- changes ---- */

/* A walk along one chain. */
struct walk {
    struct neo4j_vault *vault;
    const struct neo4j_chain *chain;
    uint64_t seq; /* proved up to here */
    struct sha256 hash;
    uint64_t got; /* of this page */
    struct gap {
        uint64_t seq;
        struct sha256 prev;
        struct sha256 hash;
    } * gaps; /* a page of those that come next */
    size_t gap_count;
    size_t gap_at;
    bool more_gaps; /* than those */
    vault_scan_fn *each;
    void *arg;
};

static int damaged(const struct walk *walk, uint64_t seq, const char *what, struct err *err)
{
    char origin[UUID_TEXT_MAX];

    uuid_format(&walk->chain->origin, origin);
    return err_set(err, ERR_CORRUPT, "%s: origin %s, change %llu: %s", walk->vault->uri, origin,
                   (unsigned long long)seq, what);
}

static int take_gap(void *arg, const struct bolt_record *record, struct err *err)
{
    struct walk *walk = arg;
    struct gap gap;

    int rc = neo4j_get_uint(record, 0, &gap.seq, err);
    rc = rc == 0 ? neo4j_get_hash(record, 1, &gap.prev, err) : rc;
    rc = rc == 0 ? neo4j_get_hash(record, 2, &gap.hash, err) : rc;
    if (rc == 0) {
        walk->gaps = xrealloc(walk->gaps, (walk->gap_count + 1) * sizeof(struct gap));
        walk->gaps[walk->gap_count++] = gap;
    }
    return rc;
}

/* Go over the gaps that come next in the chain, and those that were filled. */
static int pass_gaps(struct walk *walk, uint64_t before, struct err *err)
{
    while (walk->gap_at < walk->gap_count) {
        const struct gap *gap = &walk->gaps[walk->gap_at];
        if (gap->seq > walk->seq + 1 || gap->seq >= before) {
            break;
        }
        if (gap->seq == walk->seq + 1) {
            if (!sha256_eq(&gap->prev, &walk->hash)) {
                return damaged(walk, gap->seq, "the gap does not follow the change before it", err);
            }
            walk->seq = gap->seq;
            walk->hash = gap->hash;
        }
        walk->gap_at++;
    }
    return 0;
}

int neo4j_get_change(const struct bolt_record *record, size_t at, struct change *ret,
                     struct err *err)
{
    struct sha256 prev;
    struct sha256 hash;
    struct str text;

    int rc = neo4j_get_hash(record, at, &prev, err);
    rc = rc == 0 ? neo4j_get_hash(record, at + 1, &hash, err) : rc;
    rc = rc == 0 ? neo4j_get_str(record, at + 2, &text, err) : rc;
    rc = rc == 0 ? change_read_record(text, ret, err) : rc;
    if (rc < 0) {
        return rc;
    }
    struct sha256 made = change_hash(&prev, text);
    if (!sha256_eq(&made, &hash)) {
        return err_set(err, ERR_CORRUPT, "its hash is not that of its record: it was altered");
    }
    ret->prev = prev;
    ret->hash = hash;
    return 0;
}

static bool is_text(const struct bolt_record *record, size_t at, const char *wanted)
{
    struct err none = ERR_INIT;
    struct str text;

    return neo4j_get_str(record, at, &text, &none) == 0 && str_eq_c(text, wanted);
}

/* What the record says stands beside it too, for the statements that look for it there. */
static bool has_its_own(const struct bolt_record *record, const struct change *change)
{
    struct err none = ERR_INIT;
    uint64_t version = 0;

    return is_text(record, 5, change_kind_name(change->kind)) &&
           is_text(record, 6, change_op_name(change->op)) && is_text(record, 7, change->id) &&
           neo4j_get_uint(record, 8, &version, &none) == 0 && version == change->version;
}

static int prove(const struct walk *walk, const struct bolt_record *record, struct change *ret,
                 struct err *err)
{
    struct err why = ERR_INIT;
    uint64_t seq = ret->seq;

    if (neo4j_get_change(record, 1, ret, &why) < 0) {
        return damaged(walk, seq, why.message, err);
    }
    if (ret->seq != seq || !uuid_eq(&ret->origin, &walk->chain->origin)) {
        return damaged(walk, seq, "its record is of another seq or origin", err);
    }
    if (!sha256_eq(&ret->prev, &walk->hash)) {
        return damaged(walk, seq, "it does not follow the one before it", err);
    }
    const struct bolt_value *linked = record->count > 4 ? &record->values[4] : NULL;
    if (linked == NULL || linked->type != BOLT_BOOLEAN || !linked->as.boolean) {
        return damaged(walk, seq, "what it is of was deleted, or is something else", err);
    }
    return has_its_own(record, ret)
               ? 0
               : damaged(walk, seq, "its properties are not those of its record", err);
}

static int take_change(void *arg, const struct bolt_record *record, struct err *err)
{
    struct walk *walk = arg;
    struct change change;

    int rc = neo4j_get_uint(record, 0, &change.seq, err);
    rc = rc == 0 ? pass_gaps(walk, change.seq, err) : rc;
    if (rc < 0) {
        return rc;
    }
    if (change.seq != walk->seq + 1) {
        return damaged(walk, walk->seq + 1, "it is missing", err);
    }
    rc = prove(walk, record, &change, err);
    if (rc < 0) {
        return rc;
    }
    walk->seq = change.seq;
    walk->hash = change.hash;
    walk->got++;
    return walk->each == NULL ? 0 : walk->each(walk->arg, &change, err);
}

/* The parameters of one page: behind `after`, and of changes up to `to`. */
static void pack_page(struct bolt_packer *packer, const struct walk *walk, uint64_t after,
                      uint64_t to)
{
    bolt_packer_reset(packer);
    bolt_pack_map(packer, 5);
    neo4j_pack_chain(packer, walk->chain);
    bolt_pack_key(packer, "after");
    bolt_pack_integer(packer, (int64_t)after);
    bolt_pack_key(packer, "to");
    bolt_pack_integer(packer, (int64_t)to);
    bolt_pack_key(packer, "limit");
    bolt_pack_integer(packer, NEO4J_PAGE);
}

/* The next page of gaps, when those that are known were passed. */
static int know_gaps(struct walk *walk, struct bolt_packer *packer, struct deadline deadline,
                     struct err *err)
{
    if (walk->gap_at < walk->gap_count || !walk->more_gaps) {
        return 0;
    }
    pack_page(packer, walk, walk->gap_count == 0 ? walk->seq : walk->gaps[walk->gap_count - 1].seq,
              INT64_MAX);
    walk->gap_count = 0;
    walk->gap_at = 0;
    int rc = neo4j_query(walk->vault, BOLT_READ, NEO4J_GAPS, packer, take_gap, walk, deadline, err);
    walk->more_gaps = walk->gap_count >= NEO4J_PAGE;
    return rc;
}

/* Up to where the gaps are known, and no further than is wanted. */
static uint64_t known_until(const struct walk *walk, uint64_t end)
{
    uint64_t last = walk->more_gaps ? walk->gaps[walk->gap_count - 1].seq : end;

    return last < end ? last : end;
}

static int walk_pages(struct walk *walk, uint64_t max, struct deadline deadline, struct err *err)
{
    AUTO(bolt_packer_done) struct bolt_packer packer;
    uint64_t end = max < INT64_MAX - walk->seq ? walk->seq + max : INT64_MAX;
    int rc = 0;

    bolt_packer_init(&packer, PARAMETERS_MAX);
    while (rc == 0 && walk->seq < end) {
        rc = know_gaps(walk, &packer, deadline, err);
        if (rc < 0) {
            return rc;
        }
        uint64_t to = known_until(walk, end);
        walk->got = 0;
        pack_page(&packer, walk, walk->seq, to);
        rc = neo4j_query(walk->vault, BOLT_READ, NEO4J_CHANGES, &packer, take_change, walk,
                         deadline, err);
        if (rc == 0 && walk->got < NEO4J_PAGE) {
            rc = pass_gaps(walk, to + 1, err);
            if (walk->seq < to) {
                return rc; /* the end of the chain */
            }
        }
    }
    return rc;
}

int neo4j_walk(struct neo4j_vault *vault, const struct neo4j_chain *chain, uint64_t *seq,
               struct sha256 *hash, uint64_t max, vault_scan_fn *each, void *arg,
               struct deadline deadline, struct err *err)
{
    struct walk walk = {.vault = vault,
                        .chain = chain,
                        .seq = *seq,
                        .hash = *hash,
                        .more_gaps = true,
                        .each = each,
                        .arg = arg};
    int rc = walk_pages(&walk, max, deadline, err);

    *seq = walk.seq;
    *hash = walk.hash;
    free(walk.gaps);
    return rc;
}

/* ---- proving, in rounds ---- */

/*
 * Only up to the head that was found before: what another installation commits just now may be seen
 * in part, and would look as if something were missing.
 */
static int prove_slice(struct neo4j_vault *vault, struct neo4j_chain *chain,
                       struct deadline deadline, struct err *err)
{
    uint64_t left = chain->head - chain->verified;
    uint64_t before = chain->verified;
    struct err why = ERR_INIT;

    int rc = neo4j_walk(vault, chain, &chain->verified, &chain->verified_hash,
                        left < NEO4J_PROVE_CHANGES ? left : NEO4J_PROVE_CHANGES, NULL, NULL,
                        deadline, &why);
    if (rc == -ERR_CORRUPT) {
        chain->damage = why;
        return 0;
    }
    if (rc == 0 && chain->verified == before) {
        chain->verified = chain->head; /* its end was taken away: the next head shows it */
    }
    return rc < 0 ? err_copy(err, &why) : 0;
}

int neo4j_prove(struct neo4j_vault *vault, enum vault_proof *ret, struct deadline deadline,
                struct err *err)
{
    for (size_t i = 0; i < vault->chain_count; i++) {
        struct neo4j_chain *chain = &vault->chains[i];
        if (chain->damage.code == ERR_NONE && chain->verified < chain->head) {
            int rc = prove_slice(vault, chain, deadline, err);
            *ret = chain->damage.code == ERR_NONE ? VAULT_PROOF_MORE : VAULT_PROOF_DAMAGED;
            return rc;
        }
    }
    vault->round_done = true;
    *ret = VAULT_PROOF_DONE;
    return 0;
}

/* ---- one hash ---- */

static int take_hash(void *arg, const struct bolt_record *record, struct err *err)
{
    struct vault_head *found = arg;

    int rc = neo4j_get_uint(record, 0, &found->seq, err);
    return rc == 0 ? neo4j_get_hash(record, 1, &found->hash, err) : rc;
}

static int read_hash(struct neo4j_vault *vault, const struct neo4j_chain *chain, uint64_t seq,
                     struct vault_head *ret, struct deadline deadline, struct err *err)
{
    AUTO(bolt_packer_done) struct bolt_packer packer;

    *ret = (struct vault_head){.seq = 0};
    bolt_packer_init(&packer, PARAMETERS_MAX);
    bolt_pack_map(&packer, 4);
    neo4j_pack_chain(&packer, chain);
    bolt_pack_key(&packer, "from");
    bolt_pack_integer(&packer, (int64_t)seq);
    bolt_pack_key(&packer, "to");
    bolt_pack_integer(&packer, (int64_t)seq);
    return neo4j_query(vault, BOLT_READ, NEO4J_HASHES, &packer, take_hash, ret, deadline, err);
}

int neo4j_hash(struct neo4j_vault *vault, const struct uuid *origin, uint64_t seq,
               struct sha256 *ret, struct deadline deadline, struct err *err)
{
    struct neo4j_chain *chain = neo4j_chain_know(vault, origin);
    struct vault_head found = {.seq = 0};
    char text[UUID_TEXT_MAX];
    bool there = false;

    int rc = neo4j_chain_ask(vault, chain, &there, deadline, err);
    if (rc == 0 && there && chain->damage.code != ERR_NONE) {
        return err_copy(err, &chain->damage);
    }
    if (rc == 0 && there) {
        rc = read_hash(vault, chain, seq, &found, deadline, err);
    }
    if (rc == 0 && found.seq != seq) {
        uuid_format(origin, text);
        return err_set(err, ERR_NOT_FOUND, "%s: seq %llu of the origin %s is not there", vault->uri,
                       (unsigned long long)seq, text);
    }
    if (rc == 0) {
        *ret = found.hash;
    }
    return rc;
}

/* ---- scan ---- */

static int scan_chain(struct neo4j_vault *vault, const struct neo4j_chain *chain, uint64_t after,
                      vault_scan_fn *each, void *arg, struct deadline deadline, struct err *err)
{
    uint64_t seq = after;
    struct vault_head before = {.seq = 0};
    int rc = 0;

    if (seq > 0) {
        rc = read_hash(vault, chain, seq, &before, deadline, err);
        if (rc == 0 && before.seq != seq) {
            return 0; /* nothing behind the end */
        }
    }
    return rc < 0
               ? rc
               : neo4j_walk(vault, chain, &seq, &before.hash, UINT64_MAX, each, arg, deadline, err);
}

int neo4j_scan(struct neo4j_vault *vault, const struct vault_filter *filter, vault_scan_fn *each,
               void *arg, struct deadline deadline, struct err *err)
{
    AUTO(list_done) struct list list = {0};
    bool all = uuid_is_nil(&filter->origin);
    int rc = list_origins(vault, &list, deadline, err);

    for (size_t i = 0; rc == 0 && i < list.count; i++) {
        if (all || uuid_eq(&filter->origin, &list.items[i].origin)) {
            rc = scan_chain(vault, neo4j_chain_know(vault, &list.items[i].origin),
                            all ? 0 : filter->after_seq, each, arg, deadline, err);
        }
    }
    return rc;
}
