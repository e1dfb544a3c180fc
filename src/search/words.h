/*
 * words - how text becomes words, the same for what is stored and what is asked.
 *
 * Words are runs of letters and digits, in lower case and without diacritics (FTS5's unicode61,
 * remove_diacritics 2). Two things unicode61 can't do come on top: scripts that put no spaces
 * between words (Chinese, Japanese, Korean, Thai, Lao, Khmer, Burmese) give one word per character,
 * and an identifier in camelCase gives the whole and each part, all at the same place, so that
 * phrases around it still match. Stemming (Porter's, for English) is laid over all that.
 *
 * For SQLite this is the FTS5 tokenizer `holdfast`, to be wrapped as `porter holdfast`.
 *
 * Thread: what belongs to a connection stays on that connection's thread.
 */
#ifndef HOLDFAST_SEARCH_WORDS_H
#define HOLDFAST_SEARCH_WORDS_H

#include "ledger/conn.h"

#define WORD_MAX_BYTES                                                                             \
    128 /* of an ASCII word: the rest of a longer one (base64, hashes) is not looked at */

/* One word of a text. Views are valid for the call. */
struct word {
    struct str text; /* folded, and stemmed where that was asked */
    size_t start;    /* bytes of the original */
    size_t end;
    bool same_place; /* as the word before: a part of an identifier */
    bool unspaced;   /* one character of a script without spaces */
};

/* A non-zero return ends the walk. */
typedef int word_fn(void *arg, const struct word *word);

/* How many words (parts of identifiers not counted) the connection's tables took in since it was
 * set to 0. */
struct words_tally {
    uint64_t count;
};

/* Make `holdfast` known to the connection. tally must live as long as the connection. */
int words_register(struct conn *conn, struct words_tally *tally, struct err *err) MUST_CHECK;

/* FTS5's table of functions. */
struct fts5_api;
int words_fts5_api(struct conn *conn, struct fts5_api **ret, struct err *err) MUST_CHECK;

/* A tokenizer outside of any table, on a connection that words_register has seen. */
struct words;
int words_new(struct conn *conn, struct words **ret, struct err *err) MUST_CHECK;
void words_free(struct words *words); /* before its connection is closed */

/* Returns what ended the walk: 0 at the end of the text. */
int words_each(struct words *words, struct str text, word_fn *each, void *arg); /* as written */
int words_each_stemmed(struct words *words, struct str text, word_fn *each,
                       void *arg); /* as indexed */

#endif
