/* What a batch may hold, for all drivers. */
#include "vault/vault.h"

/* A change that would not prove itself when it is read back is not written. */
static int check_item(const struct vault_batch *batch, const struct vault_item *item,
                      struct err *err)
{
    struct change change;
    struct err why = ERR_INIT;

    if (item->record.len == 0) {
        return 0;
    }
    struct sha256 hash = change_hash(&item->prev, item->record);
    if (!sha256_eq(&hash, &item->hash)) {
        return err_set(err, ERR_INVALID, "seq %llu: its hash is not that of its record",
                       (unsigned long long)item->seq);
    }
    if (change_read_record(item->record, &change, &why) < 0) {
        return err_set(err, ERR_INVALID, "seq %llu: %s", (unsigned long long)item->seq,
                       why.message);
    }
    if (change.seq != item->seq || !uuid_eq(&change.origin, &batch->origin)) {
        return err_set(err, ERR_INVALID, "seq %llu: its record is of another seq or origin",
                       (unsigned long long)item->seq);
    }
    return 0;
}

int vault_batch_check(const struct vault_batch *batch, struct err *err)
{
    size_t bytes = 0;

    if (batch->count > VAULT_BATCH_MAX) {
        return err_set(err, ERR_LIMIT, "%zu changes in a batch; at most %d are allowed",
                       batch->count, VAULT_BATCH_MAX);
    }
    for (size_t i = 0; i < batch->count; i++) {
        const struct vault_item *item = &batch->items[i];
        if (item->seq == 0 || item->seq > VERSION_MAX || (i > 0 && item->seq != item[-1].seq + 1)) {
            return err_set(err, ERR_INVALID, "seq %llu does not follow the one before it",
                           (unsigned long long)item->seq);
        }
        bytes += item->record.len;
        if (bytes > VAULT_BATCH_BYTES_MAX) {
            return err_set(err, ERR_LIMIT, "a batch of more than %d bytes; no more are allowed",
                           VAULT_BATCH_BYTES_MAX);
        }
        int rc = check_item(batch, item, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}
