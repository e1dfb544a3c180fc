/*
 * index_internal - what the keeping thread (index.c) and the searches (search.c) share.
 */
#ifndef HOLDFAST_SEARCH_INDEX_INTERNAL_H
#define HOLDFAST_SEARCH_INDEX_INTERNAL_H

#include <pthread.h>

#include "search/cursors.h"
#include "search/index.h"
#include "search/rank.h"

#define SEARCHERS_IDLE_MAX                                                                         \
    2 /* connections kept for the next search; each has up to 2 MiB of pages */

/* A connection to search with. */
struct searcher {
    struct index_file *file;
    struct gatherer *gatherer;
    struct words *words;
    unsigned generation; /* of the file that it has open */
    struct searcher *next;
};

struct index {
    struct ledger *ledger;
    char *folder; /* the ledger's */
    pthread_t thread;
    struct wake
        commits;       /* signalled after each commit, and when the thread is asked for something */
    struct wake hurry; /* signalled when somebody waits, so that it stops to wait for more */

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t moved;  /* broadcast when any of it changes */
    struct cursors done;   /* committed */
    bool open;             /* there is a file to search in */
    bool some;             /* and something in it, or nothing to be in it */
    bool whole;            /* and no rebuild under way */
    bool suspect;          /* a search found it damaged */
    unsigned waiting;
    unsigned reopens_wanted;
    unsigned reopens_done;
    bool trim_asked;
    struct err failure; /* what keeps the thread from going on; ERR_NONE */
    struct searcher *idle;
    unsigned idle_count;
    unsigned generation; /* counts the files */

    /* the thread's own */
    struct index_file *file;
    struct cursors cursors; /* of file */
    size_t last_batch;      /* changes; 0 after a pause */
    bool trim_due;
};

/* The commands of the keeping thread. Any thread. */
void index_hurry(struct index *index);
void index_suspect(struct index *index,
                   unsigned generation); /* the file of that generation is damaged: rebuild it */

/* A connection to the present file. ERR_TIMEOUT when there is none. */
int searcher_take(struct index *index, struct searcher **ret, struct err *err) MUST_CHECK;
void searcher_put(struct index *index, struct searcher *searcher);
void searchers_close(struct index *index); /* the idle ones; the mutex is held by nobody */

#endif
