/*
 * mount - where a path is mounted: a disk that is away looks like an empty folder below it.
 *
 * Thread: any.
 */
#ifndef HOLDFAST_BASE_MOUNT_H
#define HOLDFAST_BASE_MOUNT_H

#include "base/buf.h"

/*
 * The mount point that path is below, or would be if it were there. It says the same after a
 * restart, as a device number does not, and is known for every file system. Heap; NULL: can't tell.
 */
char *mount_of(const char *path);

#endif
