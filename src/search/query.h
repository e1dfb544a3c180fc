/*
 * query - what a person or an agent types, as terms to look for.
 *
 * Everything is text; nothing is an operator but double quotes, so that no query is a syntax error:
 *   words         each is a term; English stop words count only when there is nothing else
 *   "a phrase"    one term: these words in this order, stop words too; an odd quote at the end is
 * nothing a.b_c, x-y    each part is a term, and all of them as a phrase is one more camelCase the
 * whole is a term, and each part 数据库        each two neighbouring characters are a phrase A
 * memory is found when it has one of the terms; rank.h says in what order.
 */
#ifndef HOLDFAST_SEARCH_QUERY_H
#define HOLDFAST_SEARCH_QUERY_H

#include "search/words.h"

#define QUERY_TERMS_MAX                                                                            \
    64 /* distinct terms that are looked at; the first ones: more than any question has, and one   \
          byte each in rank.c */

struct term {
    char *text;  /* heap; words with a space between, unstemmed */
    char *stems; /* heap; the same, stemmed: two terms with the same stems are one */
};

struct query_terms {
    struct term terms[QUERY_TERMS_MAX];
    size_t count; /* 0: nothing that could be found */
    bool lookup;  /* too little to have a context: what is found must have a term itself */
    /* The same for an index that cuts texts its own way: what was typed, each phrase, each run
     * without a space, and each word within one; neither folded nor stemmed. Without what says
     * nothing. */
    char *typed[QUERY_TERMS_MAX]; /* heap */
    size_t typed_count;
};

void query_terms_init(struct query_terms *query);
void query_terms_done(struct query_terms *query);

/* Any bytes are a query. */
void query_terms_parse(struct words *words, struct str text, struct query_terms *query);

/* The FTS5 expression: each term is one phrase of it, in their order. Heap, the caller's. NULL when
 * there is no term. */
char *query_terms_expression(const struct query_terms *query);

#endif
