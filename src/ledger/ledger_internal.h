/*
 * ledger_internal - what the files of the ledger share: the queue, the right to write, the pool of
 * readers.
 */
#ifndef HOLDFAST_LEDGER_LEDGER_INTERNAL_H
#define HOLDFAST_LEDGER_LEDGER_INTERNAL_H

#include <pthread.h>
#include <semaphore.h>
#include <sys/stat.h>

#include "ledger/conn.h"
#include "ledger/lock.h"
#include "ledger/origins.h"
#include "ledger/read.h"
#include "ledger/store.h"

#define READERS_IDLE_MAX                                                                           \
    8 /* connections kept open for reuse: more threads than this seldom read at once */
#define READER_WAIT_MS 5000 /* for a connection to come back, when no new one can be opened */
#define EXTEND_PAGES                                                                               \
    64 /* of log, written by one process: then it will write more, and room is made for that */
#define CHECKPOINT_PAGES 1024 /* 4 MiB of log, then the keeper brings it into the file */

/* A call of ledger_write, on its thread's stack. */
struct request {
    const struct draft *drafts;
    size_t count;
    bool atomic;
    const struct source_position *position; /* set with the last draft; NULL: none */
    struct written *written;
    struct err *err;
    size_t done;  /* drafts committed */
    size_t taken; /* drafts behind them that the batch under way has */
    int result;
    pthread_t caller;
    sem_t turn;    /* posted when the caller has the right to write, and when it is answered */
    bool answered; /* set before the latter: from then on it is the caller's alone */
    struct request *next;
};

/* Names on disk that must stay what was opened. */
struct file_identity {
    char *path;
    dev_t device;
    ino_t inode;
};

struct ledger {
    char *home;
    char *live; /* home/live */
    struct env *env;
    const struct ledger_judge *judge;
    struct uuid origin;
    struct lock lock;

    pthread_mutex_t mutex; /* guards all from here to `store`; never held during I/O */
    pthread_cond_t door;   /* the queue has room */
    pthread_cond_t
        right_free; /* the right to write is free, for those that want it for themselves */
    pthread_cond_t keeper_wake;
    struct request *first;
    struct request *last;
    size_t waiting; /* drafts in the queue */
    bool writing;   /* somebody has the right to write: all of `store` is that thread's */
    pthread_t writer;
    bool pausing;          /* ledger_with_writer_paused is under way */
    unsigned right_wanted; /* by keeper, pause and close: they go before the queue */
    size_t callers;        /* threads within ledger_write or a pause */
    bool closing;
    struct err stopped;
    struct wake **subscribers;
    size_t subscriber_count;
    uint64_t live_count;
    uint64_t deleted_count;
    uint64_t commits;
    int keeper_pages; /* of log at which the keeper is wanted next */
    bool keeper_due;
    struct file_identity
        files[2]; /* ledger.db and its log; changed under the right to write and the mutex */

    struct store *store; /* of the thread that has the right to write */

    pthread_mutex_t pool_mutex; /* guards the pool */
    pthread_cond_t pool_back;   /* a reader came back */
    struct reader *pool;
    size_t pool_idle;
    size_t pool_out;     /* of this generation */
    size_t pool_opening; /* threads that open a new one just now */
    pthread_t pool_freezer;
    bool pool_frozen;    /* no new ones but the freezer's: the files are being exchanged */
    unsigned generation; /* of the files: one more after each exchange */

    pthread_t keeper;
    bool keeper_runs;
};

/* Take the right to write, alone; the mutex is held before and after. Who has it gives it to those
 * that want it for themselves, else to the first request of the queue, whose caller then leads. */
void right_take(struct ledger *ledger);
void right_give(struct ledger *ledger);

/* Stop the ledger for good, with the first reason given. The mutex is not held. */
void ledger_stop(struct ledger *ledger, const struct err *why);
bool ledger_stops_at(enum err_code code);

int identity_take(struct ledger *ledger, struct err *err) MUST_CHECK;
int identity_check(const struct file_identity *files, struct err *err) MUST_CHECK;

/* The pool (read.c). */
int pool_open(struct ledger *ledger, struct err *err) MUST_CHECK;
void pool_close(struct ledger *ledger); /* idle readers; those in use close themselves */
/* From freeze to thaw nobody but the calling thread opens a connection: the name leads to one file
 * now, to another then. */
void pool_freeze(struct ledger *ledger);
void pool_thaw(struct ledger *ledger);
int pool_renew(struct ledger *ledger, struct err *err)
    MUST_CHECK; /* after an exchange, still frozen */

/* Counters for tests and metrics. */
uint64_t ledger_commits(struct ledger *ledger);

#endif
