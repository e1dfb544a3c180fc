/*
 * question - a query without an index: what somebody else who ranks is to look for, and how what he
 * finds is shown. Needs no ledger, and no file.
 *
 * Thread: one at a time.
 */
#ifndef HOLDFAST_SEARCH_QUESTION_H
#define HOLDFAST_SEARCH_QUESTION_H

#include "search/query.h"

struct question;

/* Any text is a question. Fails only for want of what SQLite needs. */
int question_new(const char *text, struct question **ret, struct err *err) MUST_CHECK;
void question_free(struct question *question);

/* Its terms, and what of it was typed; borrowed. */
const struct query_terms *question_terms(const struct question *question);

/* As snippet_make: the part of a memory that shows why it was found. Heap, the caller's. */
char *question_snippet(struct question *question, struct str content);

#endif
