#include "ledger/draft.h"

int draft_set_text(char *to, size_t max, const char *from, const char *what, struct err *err)
{
    size_t len = from == NULL ? 0 : strlen(from);

    if (len > max) {
        return err_set(err, ERR_LIMIT, "%s has %zu bytes; at most %zu are allowed", what, len, max);
    }
    memcpy(to, len == 0 ? "" : from, len + 1);
    return 0;
}

int draft_start(struct store *store, enum change_kind kind, enum change_op op, const char *source,
                struct change *ret, struct err *err)
{
    *ret = (struct change){.kind = kind, .op = op, .at_us = store->env->now_us(store->env)};
    if (source == NULL || source[0] == '\0') {
        return err_set(err, ERR_INVALID, "source is empty; it says who writes");
    }
    return draft_set_text(ret->source, SOURCE_MAX_BYTES, source, "source", err);
}

void draft_answer(const struct change *change, const struct uuid *id, struct written *ret)
{
    ret->id = *id;
    ret->origin = change->origin;
    ret->seq = change->seq;
    ret->version = change->version;
}

void draft_answer_unchanged(const struct store *store, int64_t key, const struct uuid *id,
                            uint64_t version, struct written *ret)
{
    const struct head *origin = origins_head(&store->origins, key_origin_no(key));

    if (origin != NULL) { /* a damaged row may name one that does not exist; verify tells */
        ret->origin = origin->origin;
    }
    ret->id = *id;
    ret->seq = key_seq(key);
    ret->version = version;
    ret->unchanged = true;
}

int draft_next_version(uint64_t wanted, uint64_t current, uint64_t highest, uint64_t *ret,
                       struct err *err)
{
    if (wanted == 0 && highest >= VERSION_MAX) {
        return err_set(err, ERR_LIMIT, "its version is %llu, the highest there is",
                       (unsigned long long)highest);
    }
    if (wanted > VERSION_GIVEN_MAX) {
        return err_set(err, ERR_INVALID, "sync_version is %llu; 1 to %llu are allowed",
                       (unsigned long long)wanted, (unsigned long long)VERSION_GIVEN_MAX);
    }
    if (wanted != 0 && wanted <= current) {
        return err_set(
            err, ERR_CONFLICT,
            "sync_version %llu is not above the current %llu, and what it says is not the same",
            (unsigned long long)wanted, (unsigned long long)current);
    }
    *ret = wanted != 0 ? wanted : highest + 1;
    return 0;
}

/* ---- decisions ---- */

/* What would make guard_apply refuse, found before anything is written. */
static int check_ranges(struct store *store, const struct ranges *ranges, struct err *err)
{
    size_t unknown = 0;

    for (size_t i = 0; i < ranges->count; i++) {
        const struct range *range = &ranges->items[i];
        if (range->from < 1 || range->from > range->to || range->to > KEY_SEQ_MAX) {
            return err_set(err, ERR_INVALID, "ranges: %llu to %llu is no range of changes",
                           (unsigned long long)range->from, (unsigned long long)range->to);
        }
        bool again = i > 0 && uuid_eq(&range->origin, &range[-1].origin);
        unknown += !again && origins_find(&store->origins, &range->origin) == 0;
    }
    if (store->origins.count + unknown > ORIGINS_MAX) {
        return err_set(err, ERR_LIMIT,
                       "ranges: they name too many installations that are not known here");
    }
    return 0;
}

int draft_put_decision(struct store *store, const struct draft *draft, struct written *ret,
                       struct err *err)
{
    struct change change;

    if (draft->decision == NULL || uuid_is_nil(&draft->decision->alert)) {
        return err_set(err, ERR_INVALID, "a decision needs its alert");
    }
    enum change_op op = draft->decision->kind == DECISION_ACCEPTED ? OP_RELEASE : OP_HOLD;
    int result = check_ranges(store, &draft->decision->ranges, err);
    if (result == 0) {
        result = draft_start(store, KIND_GUARD, op, draft->source, &change, err);
    }
    if (result == 0) {
        result = alert_version(store, &draft->decision->alert, &change.version, err);
    }
    if (result == 0) {
        result = decision_project(store, draft->decision, change.project_id, err);
    }
    if (result == 0) {
        buf_reset(&store->body);
        result = decision_write_body(draft->decision, &store->body, err);
    }
    if (result < 0) {
        return result;
    }
    change.version++;
    change.body = buf_str(&store->body);
    uuid_format(&draft->decision->alert, change.id);
    result = own_change_finish(store, &change, err);
    if (result == 0) {
        result = guard_apply(store, &change, err);
    }
    if (result == 0) {
        draft_answer(&change, &draft->decision->alert, ret);
    }
    return result;
}

/* ---- the way in ---- */

int store_write(struct store *store, const struct draft *draft, struct written *ret,
                struct effect *ret_effect, bool *ret_has_effect, struct err *err)
{
    *ret = (struct written){.code = ERR_NONE};
    *ret_has_effect = false;
    switch (draft->kind) {
    case KIND_MEMORY:
        return draft->op == OP_DELETE
                   ? draft_delete_memory(store, draft, ret, ret_effect, ret_has_effect, err)
                   : draft_put_memory(store, draft, ret, ret_effect, ret_has_effect, err);
    case KIND_SESSION:
        return draft_put_session(store, draft, ret, err);
    case KIND_PROJECT:
        return draft_put_project(store, draft, ret, err);
    case KIND_GUARD:
        return draft_put_decision(store, draft, ret, err);
    case KIND_TASK:
    case KIND_EMBEDDING:
    case CHANGE_KINDS:
        break;
    }
    return err_set(err, ERR_INVALID, "changes of kind %d are not written by drafts",
                   (int)draft->kind);
}
