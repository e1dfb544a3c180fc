/*
 * ids - whose rows keep their UUIDs as ids of memories.
 *
 * The specification's table `memories` has UUIDs, and its memories the same ones. Two tables may
 * hold the same UUIDs, such as production and a staging copy of it; then the rows of one would
 * write over the memories of the other. So in one ledger a single table keeps them: the first of
 * that name that was captured. Rows of any other get ids derived of source, table and key. Who
 * keeps them is written down in the ledger; where that is lost (a recovery), the rows themselves
 * tell.
 *
 * Thread: any; two sources that begin at once don't both get them.
 */
#ifndef HOLDFAST_SOURCE_IDS_H
#define HOLDFAST_SOURCE_IDS_H

#include "ledger/ledger.h"

/* Does this table ("schema.name") of this source keep its UUIDs? From the first answer on it is
 * always the same. */
int ids_claim(struct ledger *ledger, const char *source, const char *table, bool *ret_keeps,
              struct err *err) MUST_CHECK;

/* The memory's id that a key is, where a table keeps them. False: it is no UUID as PostgreSQL
 * writes it; keys that differ in nothing but capitals are two rows. */
bool ids_of_key(struct str key, struct uuid *ret);

#endif
