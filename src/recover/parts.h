/*
 * parts - what a vault has and the ledger lacks: runs of changes of one origin each.
 *
 * Mostly a run goes on where the ledger ends, and comes in as it is. Two do not, and come in as a
 * chain of their own (struct store_move), which is named by what it begins with, so that the next
 * recovery knows it again:
 * - what is behind a gap, a change that the vault never could take: the chain can't go on without
 *   it;
 * - what is behind a fork, where the ledger has other changes under the same numbers: one of the
 *   two was put back from an older copy and written on.
 *
 * Thread: one at a time.
 */
#ifndef HOLDFAST_RECOVER_PARTS_H
#define HOLDFAST_RECOVER_PARTS_H

#include "ledger/read.h"
#include "ledger/store.h"
#include "recover/pipe.h"
#include "recover/recover.h"

struct parts {
    struct vault_head *heads; /* heap; what the vault said */
    size_t head_count;
    struct pipe_part *items; /* heap; by the vault's numbers */
    struct sha256 *hashes;   /* heap; the vault's, of the last change of each */
    size_t count;
    struct store_move *moves; /* heap; also of what is here already */
    size_t move_count;
    struct ranges gaps;                 /* what the vault never took, and the ledger has not */
    uint64_t total;                     /* changes */
    const struct vault_damage *damages; /* borrowed: what of the vault is passed over */
    size_t damage_count;
};
void parts_done(struct parts *parts);

/*
 * Ask the vault how far it goes; none without a vault. Before the ledger is looked at, because the
 * vault gets more from it all the time. *ret is zeroed before, and the caller's also after an
 * error. ERR_UNAVAILABLE, ERR_TIMEOUT when the vault can't be read.
 */
int parts_ask(const struct recover_context *context, struct parts *ret, struct err *err) MUST_CHECK;
/* Compare that with what reader sees. Errors as above; ERR_CORRUPT when the vault lacks what it
 * says that it has. */
int parts_find(const struct recover_context *context, struct reader *reader, struct parts *parts,
               struct err *err) MUST_CHECK;

/* The chain of which a part will be, and its numbers in it. */
struct range parts_span(const struct parts *parts, const struct pipe_part *part);

#endif
