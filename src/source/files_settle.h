/*
 * files_settle - paths that may have changed, until they are quiet.
 *
 * Editors and agents empty a file and then write it, move it aside and put another in its place,
 * remove and make it anew. So a path is looked at when nothing was told for a moment, or when it
 * has waited long enough; the version before is in the ledger, and what was there in between is no
 * loss. Times are given, none is asked for.
 *
 * Thread: one.
 */
#ifndef HOLDFAST_SOURCE_FILES_SETTLE_H
#define HOLDFAST_SOURCE_FILES_SETTLE_H

#include "base/buf.h"

#define SETTLE_QUIET_MS 20     /* without a word, then it is looked at */
#define SETTLE_LONGEST_MS 60   /* so long a path waits for others that go on changing */
#define SETTLE_CREATED_MS 500  /* a new file is read when it is closed, or at last then */
#define SETTLE_RESTLESS_MS 500 /* so long a path waits that goes on changing itself */

struct settle_item {
    char *path; /* heap */
    int64_t first_ms;
    int64_t due_ms; /* not before */
    bool is_urgent; /* then, whatever else goes on */
    struct settle_item *next;
};

/* A file or a folder that has another path now. */
struct files_move {
    char *from; /* heap */
    char *to;   /* heap */
    bool is_folder;
    bool waits; /* it was not believed yet, and is told once more */
};

struct files_settle {
    struct settle_item **buckets;
    size_t bucket_count;
    size_t count;
    struct files_move *moves;
    size_t move_count;
    size_t move_capacity;
    int64_t last_ms; /* when something was told last; later, while a second look waits */
};

void settle_done(struct files_settle *settle);

/* It may have changed. delay: SETTLE_QUIET_MS, SETTLE_CREATED_MS, or 0: it need not wait. */
void settle_note(struct files_settle *settle, const char *path, int64_t now_ms, int64_t delay_ms);
/* It is to be looked at once more, after delay_ms >= SETTLE_QUIET_MS; what is told meanwhile comes
 * with it, as far as that may wait: where a file went belongs to where it was. */
void settle_again(struct files_settle *settle, const char *path, int64_t now_ms, int64_t delay_ms);
/* It was moved; what it moved over is changed, too. Moves in a row become one. */
void settle_move(struct files_settle *settle, const char *from, const char *to, bool is_folder,
                 int64_t now_ms);

/* When something will be due; INT64_MAX: nothing waits. */
int64_t settle_next_ms(const struct files_settle *settle);

struct files_batch {
    char **paths; /* heap array of heap strings; sorted, each once */
    size_t count;
    struct files_move *moves;
    size_t move_count;
    int64_t first_ms; /* when the oldest of it was told */
};
void files_batch_done(struct files_batch *batch);

/* Take what is due. All moves come with the first batch. */
void settle_take(struct files_settle *settle, int64_t now_ms, struct files_batch *ret);

#endif
