/*
 * draft - how drafts become changes of this installation. Everything that can be refused is refused
 * before a row is written (ERR_INVALID, ERR_LIMIT, ERR_CONFLICT, ERR_NOT_FOUND); any other error is
 * to undo the transaction.
 */
#ifndef HOLDFAST_LEDGER_DRAFT_H
#define HOLDFAST_LEDGER_DRAFT_H

#include "ledger/store_internal.h"

/* ---- one function for each kind of draft; arguments as store_write's ---- */

int draft_put_memory(struct store *store, const struct draft *draft, struct written *ret,
                     struct effect *ret_effect, bool *ret_has_effect, struct err *err) MUST_CHECK;
int draft_delete_memory(struct store *store, const struct draft *draft, struct written *ret,
                        struct effect *ret_effect, bool *ret_has_effect, struct err *err)
    MUST_CHECK;
int draft_put_session(struct store *store, const struct draft *draft, struct written *ret,
                      struct err *err) MUST_CHECK;
int draft_put_project(struct store *store, const struct draft *draft, struct written *ret,
                      struct err *err) MUST_CHECK;
int draft_put_decision(struct store *store, const struct draft *draft, struct written *ret,
                       struct err *err) MUST_CHECK;

/* ---- what they share ---- */

int draft_set_text(char *to, size_t max, const char *from, const char *what, struct err *err)
    MUST_CHECK;
/* What every change of ours begins with. */
int draft_start(struct store *store, enum change_kind kind, enum change_op op, const char *source,
                struct change *ret, struct err *err) MUST_CHECK;
/* The version of a put: `wanted` must be above `current` (ERR_CONFLICT) and at most
 * VERSION_GIVEN_MAX (ERR_INVALID), 0 means one more than the highest. */
int draft_next_version(uint64_t wanted, uint64_t current, uint64_t highest, uint64_t *ret,
                       struct err *err) MUST_CHECK;
void draft_answer(const struct change *change, const struct uuid *id, struct written *ret);
void draft_answer_unchanged(const struct store *store, int64_t key, const struct uuid *id,
                            uint64_t version, struct written *ret);

/* Journal a project or session that nobody announced, unless there is one that counts. A nil
 * session is none. */
int draft_ensure_project(struct store *store, const char *id, int64_t created_us,
                         const char *source, struct err *err) MUST_CHECK;
int draft_ensure_session(struct store *store, const struct uuid *id, const char *project_id,
                         int64_t started_us, const char *source, struct err *err) MUST_CHECK;

#endif
