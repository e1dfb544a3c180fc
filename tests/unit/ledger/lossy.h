/*
 * lossy - a SQLite VFS on which the power fails: what was not synced is lost, kept, or kept in
 * part, sector by sector.
 *
 * All writes reach the real file at once; for each sector written since the file's last sync its
 * older content is kept beside. When the power fails (at the Nth write or sync), every such sector
 * gets one of the two contents by chance, the file one of the two lengths, and the process ends.
 */
#ifndef HOLDFAST_TESTS_UNIT_LEDGER_LOSSY_H
#define HOLDFAST_TESTS_UNIT_LEDGER_LOSSY_H

#include <stdint.h>

/* Make it SQLite's default, for this process. The power fails at operation number fail_at (from 1).
 */
void lossy_install(uint64_t fail_at, uint64_t seed);
uint64_t lossy_operations(void); /* so far */

#define LOSSY_EXIT 77 /* the process's status when the power failed */

#endif
