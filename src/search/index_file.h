/*
 * index_file - the tables of index.db: words, what is known of each memory without asking the
 * ledger, and cursors.
 *
 *   words    FTS5 without contents: content and tags of each current memory by its place
 * (docs/search.md says why) docs     for 64 places in a row, one blob with 20 bytes for each:
 * struct doc totals   one row: struct totals cursors  per origin of the journal: how far it is
 * indexed, and the hash of that change
 *
 * All of it is derived. PRAGMA application_id says whose file it is, PRAGMA user_version which
 * INDEX_VERSION made it; a file that a rebuild did not finish has another application_id, so that
 * it is never mistaken for a whole one.
 *
 * Thread: one at a time per index_file. One connection writes and checkpoints, any number search.
 */
#ifndef HOLDFAST_SEARCH_INDEX_FILE_H
#define HOLDFAST_SEARCH_INDEX_FILE_H

#include "base/hash.h"
#include "ledger/read.h"
#include "search/words.h"

#define INDEX_FILE_APPLICATION_ID 0x48464958 /* "HFIX" */
#define INDEX_FILE_UNFINISHED_ID 0x48465558  /* "HFUX" */

#define DOCS_PER_CHUNK 64
#define DOC_BYTES 20
#define DOC_WORDS_MAX ((1u << 24) - 1)

/* What searching needs to know of a memory before it fetches it. */
struct doc {
    uint64_t key; /* cursor number << 40 | seq of the change that was indexed; 0: nothing is at this
                     place */
    int64_t created_us;
    uint32_t words;  /* in content and tags */
    bool is_private; /* scope = project */
    bool loose;      /* of no session */
};

#define DOC_KEY_SEQ_BITS 40
#define INDEX_CHUNKS_PER_BLOCK (((int64_t)1 << PLACE_BLOCK_SHIFT) / DOCS_PER_CHUNK)

struct doc_chunk {
    int64_t no; /* place / DOCS_PER_CHUNK */
    struct doc docs[DOCS_PER_CHUNK];
};

/* What averages are made of. A session is a block that has one. */
struct totals {
    int64_t docs;
    int64_t words;
    int64_t blocks; /* that have docs */
    int64_t sessions;
    int64_t session_words;
};

enum index_file_mode {
    INDEX_FILE_KEEP,   /* WAL, synchronous=NORMAL: made if missing */
    INDEX_FILE_SEARCH, /* read only */
};

#define INDEX_FILE_STATEMENTS 10

struct index_file {
    struct conn conn;
    enum index_file_mode mode;
    struct words_tally tally;
    sqlite3_stmt *statements[INDEX_FILE_STATEMENTS]; /* prepared at first use */
    int log_pages;                                   /* of SQLite's log, after the last commit */
    struct totals totals;   /* as of begin, kept up to date by put and drop */
    struct doc_chunk chunk; /* the writer's last one; no < 0: none */
    bool chunk_changed;
    bool chunk_was_empty; /* when it was read */
    bool chunk_loose;     /* what the last doc changed in it was */
};

/*
 * ERR_CORRUPT for a file that is damaged, foreign, unfinished or of another version: the caller
 * removes it and opens anew. ERR_FULL, ERR_IO. KEEP starts a new file as unfinished;
 * index_file_finish ends that.
 */
int index_file_open(const char *folder, enum index_file_mode mode, struct index_file **ret,
                    struct err *err) MUST_CHECK;
void index_file_close(struct index_file *file);
int index_file_remove(const char *folder, struct err *err)
    MUST_CHECK; /* with its log; a missing one is fine */

/* Made by this open, and finish has not been called since. */
int index_file_is_new(struct index_file *file, bool *ret, struct err *err) MUST_CHECK;
int index_file_finish(struct index_file *file, struct err *err)
    MUST_CHECK; /* within a transaction */

/* Transactions of the writer, snapshots of a searcher. */
int index_file_begin(struct index_file *file, struct err *err) MUST_CHECK;
int index_file_commit(struct index_file *file, struct err *err) MUST_CHECK;
void index_file_rollback(struct index_file *file);

/*
 * Put a memory where none is, or take one away with the text it was put with. Ascending places are
 * fast: FTS5 writes out what it has gathered whenever a place is not above the last one.
 */
int index_file_put(struct index_file *file, int64_t place, const struct doc *doc,
                   struct str content, struct str tags, struct err *err) MUST_CHECK;
int index_file_drop(struct index_file *file, int64_t place, struct str content, struct str tags,
                    struct err *err) MUST_CHECK;
/* Another change says what is at the place, in the same words. */
int index_file_set(struct index_file *file, int64_t place, const struct doc *doc, struct err *err)
    MUST_CHECK;
int index_file_doc(struct index_file *file, int64_t place, struct doc *ret, struct err *err)
    MUST_CHECK; /* key 0: none */

/* The docs of one chunk; all zero when nothing is there. */
int index_file_chunk(struct index_file *file, int64_t no, struct doc_chunk *ret, struct err *err)
    MUST_CHECK;

/* Each chunk of first..last that there is, ascending. A non-zero return ends the walk and is
 * returned. */
typedef int doc_chunk_fn(void *arg, const struct doc_chunk *chunk);
int index_file_flush(struct index_file *file, struct err *err)
    MUST_CHECK; /* so that the next one sees what put and drop did */
int index_file_chunks(struct index_file *file, int64_t first, int64_t last, doc_chunk_fn *each,
                      void *arg, struct err *err) MUST_CHECK;

/* KEEP: bring SQLite's log into the file if it has so many pages. This is where the disk is waited
 * for. */
int index_file_checkpoint(struct index_file *file, int least_pages, struct err *err) MUST_CHECK;

/* Give memory back to the system after a large batch. */
void index_file_trim(struct index_file *file);

#endif
