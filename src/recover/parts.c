#include "recover/parts.h"

#define HEAD_MS                                                                                    \
    (30 * 1000) /* a vault that takes longer to say how far it goes can't be reached               \
                 */

#define HASH_MS (10 * 60 * 1000) /* a damaged one is read through for it */

void parts_done(struct parts *parts)
{
    free(parts->heads);
    free(parts->items);
    free(parts->hashes);
    free(parts->moves);
    ranges_done(&parts->gaps);
    *parts = (struct parts){.items = NULL};
}

/* ---- the two sides ---- */

struct finding {
    const struct recover_context *context;
    struct reader *reader;
    struct head *heads; /* heap; the ledger's */
    size_t head_count;
    struct parts *parts;
};

static const struct head *head_here(const struct finding *finding, const struct uuid *origin)
{
    static const struct head none;

    for (size_t i = 0; i < finding->head_count; i++) {
        if (uuid_eq(&finding->heads[i].origin, origin)) {
            return &finding->heads[i];
        }
    }
    return &none;
}

static int take_hash(void *arg, const struct change *change, struct err *err)
{
    (void)err;
    *(struct sha256 *)arg = change->hash;
    return 0;
}

/* Do both have the same change of this number? The heads are known without asking. */
static int is_same(struct finding *finding, const struct vault_head *head, uint64_t seq, bool *ret,
                   struct err *err)
{
    struct vault *vault = finding->context->vault;
    const struct head *here = head_here(finding, &head->origin);
    struct sha256 ours = here->hash;
    struct sha256 theirs = head->hash;
    int result = 0;

    if (seq != here->seq) {
        result = read_change(finding->reader, &head->origin, seq, take_hash, &ours, err);
    }
    if (result == 0 && seq != head->seq) {
        result = vault->ops->hash_at(vault, &head->origin, seq, &theirs, deadline_in(HASH_MS), err);
        if (result == -ERR_NOT_FOUND && finding->parts->damage_count > 0) {
            *ret = false; /* nobody knows: the last one that is known to be the same counts */
            return 0;
        }
        if (result < 0) {
            pipe_vault_error(err);
            result = -(int)err->code;
        }
    }
    *ret = result == 0 && sha256_eq(&ours, &theirs);
    return result;
}

/* The last change that both have; they differ at `other`. */
static int find_fork(struct finding *finding, const struct vault_head *head, uint64_t other,
                     uint64_t *ret, struct err *err)
{
    uint64_t low = 0;
    int result = 0;

    while (result == 0 && other - low > 1) {
        uint64_t middle = low + (other - low) / 2;
        bool same = false;
        result = is_same(finding, head, middle, &same, err);
        *(same ? &low : &other) = middle;
    }
    *ret = low;
    return result;
}

/* ---- runs ---- */

/* Changes of one origin without a hole. */
struct run {
    uint64_t from;
    uint64_t to;
    struct sha256 first;
    struct sha256 last;
};

struct listing {
    const struct recover_context *context;
    uint64_t until;
    struct run *items;
    size_t count;
    uint64_t total;
};

static int list_change(void *arg, const struct change *change, struct err *err)
{
    struct listing *listing = arg;
    struct run *last = listing->count == 0 ? NULL : &listing->items[listing->count - 1];

    if (change->seq > listing->until) {
        return 1; /* came after the head was asked */
    }
    if (listing->context->cancel != NULL && wake_cancelled(listing->context->cancel)) {
        return err_set(err, ERR_CANCELLED, "the recovery was cancelled");
    }
    listing->total++;
    if (last != NULL && change->seq == last->to + 1) {
        last->to = change->seq;
        last->last = change->hash;
        return 0;
    }
    listing->items = xrealloc(listing->items, (listing->count + 1) * sizeof(*listing->items));
    listing->items[listing->count++] =
        (struct run){change->seq, change->seq, change->hash, change->hash};
    return 0;
}

static int list_runs(const struct vault_head *head, uint64_t after, struct listing *listing,
                     struct err *err)
{
    struct vault *vault = listing->context->vault;
    struct vault_filter filter = {.origin = head->origin, .after_seq = after};

    int result =
        vault->ops->scan(vault, &filter, list_change, listing, deadline_in(PIPE_SCAN_MS), err);
    if (result < 0) {
        pipe_vault_error(err);
        return -(int)err->code;
    }
    if (head->seq - after - listing->total > head->gaps) {
        char origin[UUID_TEXT_MAX];
        uuid_format(&head->origin, origin);
        return err_set(err, ERR_CORRUPT,
                       "the vault says that it holds %llu changes of origin %s, but only %llu "
                       "behind change %llu are there; recover from another vault",
                       (unsigned long long)head->seq, origin, (unsigned long long)listing->total,
                       (unsigned long long)after);
    }
    return 0;
}

static void add_part(struct parts *parts, const struct uuid *origin, uint64_t after, uint64_t until,
                     const struct sha256 *hash)
{
    size_t count = parts->count + 1;

    parts->items = xrealloc(parts->items, count * sizeof(*parts->items));
    parts->hashes = xrealloc(parts->hashes, count * sizeof(*parts->hashes));
    parts->items[parts->count] =
        (struct pipe_part){.origin = *origin, .after = after, .until = until};
    parts->hashes[parts->count++] = *hash;
    parts->total += until - after;
}

static void add_moved(struct finding *finding, const struct uuid *origin, const struct run *run)
{
    struct parts *parts = finding->parts;
    struct store_move move = {.from = *origin,
                              .after = run->from - 1,
                              .until = run->to,
                              .to = store_move_target(origin, &run->first)};
    uint64_t here = head_here(finding, &move.to)->seq;

    parts->moves = xrealloc(parts->moves, (parts->move_count + 1) * sizeof(*parts->moves));
    parts->moves[parts->move_count++] = move;
    if (move.after + here < move.until) {
        add_part(parts, origin, move.after + here, move.until, &run->last);
    }
}

static void add_gap(struct parts *parts, const struct uuid *origin, uint64_t from, uint64_t to)
{
    if (from <= to) {
        ranges_add(&parts->gaps, origin, from);
        parts->gaps.items[parts->gaps.count - 1].to = to;
    }
}

/* What is behind `after`: the first run goes on where the ledger ends, unless it is a fork. */
static int add_runs(struct finding *finding, const struct vault_head *head, uint64_t after,
                    bool forked, struct err *err)
{
    struct listing listing = {.context = finding->context, .until = head->seq};
    uint64_t next = after + 1;

    int result = list_runs(head, after, &listing, err);
    for (size_t i = 0; i < listing.count && result == 0; i++) {
        const struct run *run = &listing.items[i];
        add_gap(finding->parts, &head->origin, next, run->from - 1);
        if (!forked && run->from == after + 1) {
            add_part(finding->parts, &head->origin, after, run->to, &run->last);
        } else {
            add_moved(finding, &head->origin, run);
        }
        next = run->to + 1;
    }
    if (result == 0) {
        add_gap(finding->parts, &head->origin, next, head->seq);
    }
    free(listing.items);
    return result;
}

static int compare_head(struct finding *finding, const struct vault_head *head, struct err *err)
{
    uint64_t here = head_here(finding, &head->origin)->seq;
    uint64_t common = here < head->seq ? here : head->seq;
    bool same = true;

    int result = common == 0 ? 0 : is_same(finding, head, common, &same, err);
    if (result < 0) {
        return result;
    }
    if (!same) {
        result = find_fork(finding, head, common, &common, err);
        return result < 0 ? result : add_runs(finding, head, common, true, err);
    }
    if (here >= head->seq) {
        return 0;
    }
    if (head->gaps > 0) {
        return add_runs(finding, head, here, false, err);
    }
    add_part(finding->parts, &head->origin, here, head->seq, &head->hash);
    return 0;
}

/* ---- all of it ---- */

/* An origin that is listed without a change is damaged: what is wrong with it? */
static int check_readable(struct vault *vault, const struct vault_head *head, struct err *err)
{
    struct sha256 ignored;

    return head->seq > 0
               ? 0
               : vault->ops->hash_at(vault, &head->origin, 1, &ignored, deadline_in(HEAD_MS), err);
}

int parts_ask(const struct recover_context *context, struct parts *ret, struct err *err)
{
    struct vault *vault = context->vault;

    *ret = (struct parts){.items = NULL};
    if (vault == NULL) {
        return 0;
    }
    if ((vault->ops->caps & VAULT_CAP_SCAN) == 0) {
        return err_set(err, ERR_USAGE,
                       "%s: a vault of kind %s can't be recovered from; name another one",
                       context->vault_spec, vault->ops->kind);
    }
    int result = vault->ops->head(vault, &ret->heads, &ret->head_count, deadline_in(HEAD_MS), err);
    for (size_t i = 0; i < ret->head_count && result == 0; i++) {
        result = check_readable(vault, &ret->heads[i], err);
    }
    if (result < 0) {
        pipe_vault_error(err);
        return err_context(err, "%s", context->vault_spec);
    }
    return 0;
}

/* What is lost at the end of a chain shows in no head. */
static void add_lost_ends(struct finding *finding)
{
    struct parts *parts = finding->parts;

    for (size_t i = 0; i < parts->damage_count; i++) {
        const struct vault_damage *damage = &parts->damages[i];
        uint64_t known = head_here(finding, &damage->origin)->seq;
        bool behind = true;
        for (size_t k = 0; k < parts->head_count; k++) {
            behind = behind && !(uuid_eq(&parts->heads[k].origin, &damage->origin) &&
                                 parts->heads[k].seq > damage->from);
        }
        if (behind) {
            add_gap(parts, &damage->origin, damage->from > known ? damage->from : known + 1,
                    damage->to);
        }
    }
}

int parts_find(const struct recover_context *context, struct reader *reader, struct parts *parts,
               struct err *err)
{
    struct finding finding = {.context = context, .reader = reader, .parts = parts};

    int result = read_heads(reader, &finding.heads, &finding.head_count, err);
    for (size_t i = 0; i < parts->head_count && result == 0; i++) {
        result = compare_head(&finding, &parts->heads[i], err);
    }
    add_lost_ends(&finding);
    free(finding.heads);
    return result < 0 ? err_context(err, "%s", context->vault_spec) : 0;
}

struct range parts_span(const struct parts *parts, const struct pipe_part *part)
{
    for (size_t i = 0; i < parts->move_count; i++) {
        const struct store_move *move = &parts->moves[i];
        if (uuid_eq(&move->from, &part->origin) && part->after >= move->after &&
            part->until <= move->until) {
            return (struct range){move->to, part->after + 1 - move->after,
                                  part->until - move->after};
        }
    }
    return (struct range){part->origin, part->after + 1, part->until};
}
