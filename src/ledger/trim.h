/*
 * trim - memory that connections keep for what they may read again, given back.
 *
 * Thread: any; it waits for its turn to write.
 */
#ifndef HOLDFAST_LEDGER_TRIM_H
#define HOLDFAST_LEDGER_TRIM_H

#include "ledger/ledger.h"

/* Drop the pages that the writing connection and the idle readers have cached. */
void ledger_trim(struct ledger *ledger);

#endif
