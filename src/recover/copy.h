/*
 * copy - a consistent copy of a SQLite file that is in use.
 */
#ifndef HOLDFAST_RECOVER_COPY_H
#define HOLDFAST_RECOVER_COPY_H

#include "base/err.h"

/*
 * Copy `name` from one folder to another (where it must not exist) as of one moment, without
 * stopping its writer. The copy is one file without a log, and not durable yet. ERR_FULL, ERR_IO,
 * ERR_CORRUPT, ERR_VANISHED.
 */
int copy_database(const char *from_folder, const char *to_folder, const char *name, struct err *err)
    MUST_CHECK;

#endif
