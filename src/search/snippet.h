/*
 * snippet - the part of a memory that shows why it was found, with the words found between [ and ].
 *
 * The part is the one with the most different terms. White space and control characters come out as
 * one space each run; what is left out at either end is shown by "…".
 *
 * Thread: that of words.
 */
#ifndef HOLDFAST_SEARCH_SNIPPET_H
#define HOLDFAST_SEARCH_SNIPPET_H

#include "search/query.h"

/*
 * At most SNIPPET_MAX_BYTES (index.h) of valid UTF-8 when content is; heap, the caller's. Without
 * any term in it
 * (*ret_found false): its beginning.
 */
char *snippet_make(struct words *words, const struct query_terms *query, struct str content,
                   bool *ret_found);

/* Does the text have one of the terms? The same as FTS5 would answer. */
bool snippet_has_term(struct words *words, const struct query_terms *query, struct str text);

#endif
