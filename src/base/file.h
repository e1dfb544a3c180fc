/*
 * file - durable files. Every name made or changed is followed by an fsync of its directory.
 *
 * A failed fsync is ERR_IO and final for that descriptor: the kernel may have dropped the pages and would say 0 next time.
 */
#ifndef HOLDFAST_BASE_FILE_H
#define HOLDFAST_BASE_FILE_H

#include <sys/types.h>

#include "base/buf.h"

int file_mkdirs(const char *path, mode_t mode, struct err *err) MUST_CHECK; /* like mkdir -p; an existing folder is fine */
int file_sync_dir(const char *path, struct err *err) MUST_CHECK;
int file_sync(int fd, const char *path, struct err *err) MUST_CHECK; /* fdatasync */
int file_write_all(int fd, const void *bytes, size_t len, const char *path, struct err *err) MUST_CHECK;
int file_read(const char *path, size_t max, struct buf *buf, struct err *err) MUST_CHECK; /* ERR_NOT_FOUND, ERR_LIMIT */

/* Write beside, fsync, rename over, fsync the folder: readers see the old or the new content, never less. */
int file_replace(const char *path, struct str content, mode_t mode, struct err *err) MUST_CHECK;

bool file_exists(const char *path);
int file_remove_tree(const char *path, struct err *err) MUST_CHECK; /* for staging places of our own; a missing one is fine */
char *path_join(const char *folder, const char *name); /* heap, the caller's */

#endif
