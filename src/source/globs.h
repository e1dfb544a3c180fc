/*
 * globs - which paths of a folder are meant, in the words that .gitignore made known.
 *
 * A path is relative to the folder, with "/" between its parts, without "." or "..".
 *   *    any characters of one part        ?     one character of a part (one code point)
 *   [a-z] [!a-z]  one character of these, or not of these
 *   a part that is ** alone: any number of folders, none too
 * A pattern without "/", but for one at its end, means that name in any folder; any other is meant
 * from the root on. A pattern that names a folder means everything below it.
 *
 * Thread: any.
 */
#ifndef HOLDFAST_SOURCE_GLOBS_H
#define HOLDFAST_SOURCE_GLOBS_H

#include "base/buf.h"

#define GLOBS_MAX 64       /* patterns of one list */
#define GLOB_MAX_BYTES 255 /* of one pattern */
#define GLOB_STEPS_MAX                                                                             \
    (1 << 16) /* of one match: beyond, it is no match; patterns are a person's                     \
               */

struct globs {
    char *items[GLOBS_MAX]; /* heap */
    size_t count;
};
void globs_done(struct globs *globs);

/* ERR_CONFIG for an empty or too long pattern, one that begins with "/" or has ".." in it, or one
 * too many. */
int globs_add(struct globs *globs, const char *pattern, struct err *err) MUST_CHECK;

/* Does one of the patterns mean this path itself? */
bool globs_match(const struct globs *globs, const char *path);

/* Does one of them mean this folder as a whole? "x", "x/" and "x" with two stars behind it do. */
bool globs_match_folder(const struct globs *globs, const char *folder);

/* Does one of them mean the path, or a folder that it lies in? */
bool globs_match_below(const struct globs *globs, const char *path);

#endif
