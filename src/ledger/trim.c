#include "ledger/trim.h"

#include "ledger/ledger_internal.h"
#include "ledger/reader.h"
#include "ledger/store_internal.h"

static void trim(struct conn *conn)
{
    (void)sqlite3_db_release_memory(conn->db); /* as much as there is */
}

void ledger_trim(struct ledger *ledger)
{
    (void)pthread_mutex_lock(&ledger->mutex);
    right_take(ledger);
    struct store *store = ledger->stopped.code == ERR_NONE ? ledger->store : NULL;
    (void)pthread_mutex_unlock(&ledger->mutex);
    if (store != NULL) {
        trim(&store->conn);
    }
    (void)pthread_mutex_lock(&ledger->mutex);
    right_give(ledger);
    (void)pthread_mutex_unlock(&ledger->mutex);

    (void)pthread_mutex_lock(&ledger->pool_mutex);
    for (struct reader *reader = ledger->pool; reader != NULL; reader = reader->next) {
        trim(&reader->conn);
    }
    (void)pthread_mutex_unlock(&ledger->pool_mutex);
}
