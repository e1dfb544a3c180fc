/*
 * file - durable files. Every name made or changed is followed by an fsync of its directory.
 *
 * A failed fsync is ERR_IO and final for that descriptor: the kernel may have dropped the pages and
 * would say 0 next time. Other failures: ERR_NOT_FOUND (no such name), ERR_CONFIG (a name that
 * can't serve: no permission, a file where a folder must be), ERR_FULL (disk, quota, or too many
 * open files), and ERR_IO for the rest.
 *
 * Faults for tests (base/fault.h): file.open EMFILE, file.write ENOSPC, file.fsync EIO (files and
 * folders), file.rename EIO; crash points file.replace.before_rename and file.replace.after_rename.
 */
#ifndef HOLDFAST_BASE_FILE_H
#define HOLDFAST_BASE_FILE_H

#include <sys/types.h>

#include "base/buf.h"

int file_mkdirs(const char *path, mode_t mode, struct err *err)
    MUST_CHECK; /* like mkdir -p; an existing folder is fine */
int file_sync_dir(const char *path, struct err *err) MUST_CHECK;
int file_sync(int fd, const char *path, struct err *err) MUST_CHECK; /* fdatasync */
int file_write_all(int fd, const void *bytes, size_t len, const char *path, struct err *err)
    MUST_CHECK;

/* Append the whole file to buf. ERR_NOT_FOUND; ERR_LIMIT for more than max bytes. On failure buf is
 * as it was. */
int file_read(const char *path, size_t max, struct buf *buf, struct err *err) MUST_CHECK;

/*
 * Write beside, fsync, rename over, fsync the folder: readers see the old or the new content, never
 * less. A crash may leave "PATH.new-XXXXXX" behind. When the last fsync fails, the new content is
 * there but may not outlast a power cut.
 */
int file_replace(const char *path, struct str content, mode_t mode, struct err *err) MUST_CHECK;

bool file_exists(const char *path);
int file_remove_tree(const char *path, struct err *err)
    MUST_CHECK; /* for staging places of our own; a missing one is fine */
char *path_join(const char *folder, const char *name);    /* heap, the caller's */
bool path_is_below(const char *path, const char *folder); /* or the folder itself; by the texts */

#endif
