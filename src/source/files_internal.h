/*
 * files_internal - what the files of the folder driver share.
 *
 * The driver compares: whatever is told (inotify, a scan, an overflow) only names paths that may
 * have changed; each of them is looked at, and what differs from what the ledger last heard goes
 * into the intake. So an event that is lost, doubled or late changes nothing but the moment.
 *
 * Paths are relative to the root, of UTF-8.
 */
#ifndef HOLDFAST_SOURCE_FILES_INTERNAL_H
#define HOLDFAST_SOURCE_FILES_INTERNAL_H

#include <sys/stat.h>

#include "base/hash.h"
#include "source/files_settle.h"
#include "source/intake.h"
#include "source/source.h"

#define FILES_BYTES_MAX                                                                            \
    (4 * MEMORY_CONTENT_MAX)   /* a larger file has too many characters anyway                     \
                                */
#define FILES_PATH_MAX 2048    /* bytes: in metadata, all control characters escaped, it fits */
#define FILES_DEPTH_MAX 128    /* folders within folders */
#define FILES_READS_MAX 4      /* of a file that changes while it is read; then it is read later */
#define FILES_DOUBT_MS 40      /* so long a file has to be gone or empty until that is believed */
#define FILES_YOUNG_MS 60000   /* a file that is put over another within this was made for that */
#define FILES_RESCAN_MS 30000  /* from scan to scan, where the kernel gives too few watches */
#define FILES_GIT_WAIT_MS 2000 /* so long a loss waits for git to finish what it does */
#define FILES_BESIDE ".holdfast-"            /* in the name of what restore writes beside a file */
#define FILES_GIT_AFTER_US ((int64_t)500000) /* so long after its index git may still move HEAD */
#define FILES_GIT_CHANGED_MIN 5 /* so many known files changed at once may be a checkout */
#define FILES_GIT_LATELY_US ((int64_t)2000000) /* and fewer, so long after its index */

/* Why a file is not kept as it is. */
enum files_left { FILES_KEPT, FILES_BINARY, FILES_LARGE, FILES_UNREADABLE };
const char *files_left_name(enum files_left left);

/* What git did to a file, when both texts were shown: going back takes nothing, either. */
struct file_undo {
    struct sha256 took;
    struct sha256 put;
};

/* What the ledger last heard of a file, or that it has a file which is left. */
struct file_entry {
    char *path; /* heap */
    struct uuid id;
    struct sha256 hash; /* of its bytes; of one that is left: zero */
    int64_t size;
    int64_t mtime_ns;
    uint32_t mode; /* permission bits */
    enum files_left left;
    bool known; /* the ledger has a memory of it */
    bool alive;
    bool moved;             /* its path changed, and the ledger does not know yet */
    bool found;             /* it was gone in this batch, and turned up elsewhere */
    struct file_undo *undo; /* heap; NULL: git did nothing to it lately */
    int64_t born_ms;        /* when it came to be, if that was seen; 0: it was there before */
    int64_t doubt_ms;       /* when it was first found gone or emptied; 0: it is there */
    struct file_entry *next_by_path;
    struct file_entry *next_by_id;
};

/* All of them, by path and by id. */
struct files_tree {
    struct file_entry **items;
    size_t count;
    size_t capacity;
    struct file_entry **by_path;
    struct file_entry **by_id;
    size_t bucket_count;
    size_t alive; /* with a memory */
    size_t left;  /* named, not kept */
};

void files_tree_done(struct files_tree *tree);
/* The living one at a path; else one that was there; NULL. */
struct file_entry *files_tree_find(const struct files_tree *tree, const char *path);
struct file_entry *files_tree_find_id(const struct files_tree *tree, const struct uuid *id);
/* A new one, not alive; path is copied. */
struct file_entry *files_tree_add(struct files_tree *tree, const char *path, const struct uuid *id);
void files_tree_move(struct files_tree *tree, struct file_entry *entry, const char *path);
void files_tree_set(struct files_tree *tree, struct file_entry *entry, bool alive,
                    enum files_left left);
/* The id of a file that is new at this path: none that a file which moved away has taken along. */
struct uuid files_tree_id(const struct files_tree *tree, const char *source, const char *path);

/* ---- files_read.c: the file system, safely ---- */

/* A file as it is on disk now. */
struct file_state {
    enum files_left left;
    int64_t size;
    int64_t mtime_ns;
    uint32_t mode;
    struct buf text; /* when kept */
    struct sha256 hash;
};

/* The folder of a path, opened part by part from the root without following a link. The last one
 * is kept: neighbours share it. */
struct files_at {
    int root;     /* borrowed */
    int folder;   /* -1: none */
    char *prefix; /* heap; its path, "" for the root */
};
void files_at_init(struct files_at *at, int root);
void files_at_done(struct files_at *at);
/* *ret_fd belongs to `at`; *ret_name is the rest of path. make: folders that are missing are made.
 * ERR_NOT_FOUND: there is no such folder. */
int files_at_folder(struct files_at *at, const char *path, bool make, int *ret_fd,
                    const char **ret_name, struct err *err) MUST_CHECK;

/* Is there a file (no link, no folder)? */
bool files_is_there(struct files_at *at, const char *path);
/* ERR_NOT_FOUND: there is none (any more). ERR_BUSY: it changed at each try. */
int files_read(struct files_at *at, const char *path, struct file_state *ret, struct err *err)
    MUST_CHECK;

/* A file as a memory, and what it needs to come back. */
int files_to_memory(const struct source_options *options, const char *path,
                    const struct file_state *state, struct memory *ret, struct err *err) MUST_CHECK;
struct file_origin {
    const char *path;
    struct str text; /* its bytes */
    int64_t size;
    int64_t mtime_ns;
    uint32_t mode;
    enum files_left left;
};
/* Is it a path below the root? What a memory says may have been written by anybody. */
bool files_path_ok(const char *path);
bool files_of_memory(const struct memory *memory, const char *source, struct file_origin *ret);

/* ---- the driver ---- */

struct files_folder {
    int watch;
    char *path; /* heap; "" for the root */
    struct files_folder *next;
};

#define FILES_FOLDER_BUCKETS 4096
struct files_watch {
    int fd;                                             /* inotify; -1 */
    struct files_folder *folders[FILES_FOLDER_BUCKETS]; /* by watch */
    size_t count;
    struct files_going { /* moved from, and not yet to */
        uint32_t cookie;
        bool is_folder;
        int64_t due_ms; /* then it has left the tree */
        char *path;     /* heap; NULL: none */
    } going;
    bool is_short; /* of watches */
    bool overflowed;
    bool root_lost;
    bool unmounted;
};

struct files {
    struct source base;
    const struct source_options *options; /* borrowed */
    char *root;                           /* heap; the folder, without links */
    char *only;                           /* heap; the one file in it; NULL: all that match */
    char *mount;                          /* heap; NULL: can't tell */
    char *git;                            /* heap; the work tree's git folder; NULL: none */
    struct globs include;
    struct globs ignore;
    char *own[2]; /* heap; the home and its vault: never captured */
    int root_fd;  /* -1: not open now */
    struct files_tree tree;
    struct files_settle settle;
    struct files_watch watch;
    struct intake intake;
    const struct source_events *events;
    char trouble[256];
    int64_t git_wait_ms; /* since when a loss waits for git; 0: none does */
    int64_t rescan_ms;   /* when the next scan is due, where watches are short */
};

/* Is this a file that is captured? (The path alone decides.) */
bool files_wants(const struct files *files, const char *path);
bool files_wants_folder(const struct files *files, const char *path);
int files_open_root(struct files *files, struct err *err) MUST_CHECK; /* ERR_NOT_FOUND */
/* A disk that is not mounted is no destruction: its files come back with it. ERR_AWAY. */
int files_check_mount(struct files *files, struct err *err) MUST_CHECK;
int64_t files_now_ms(const struct files *files);

/* ---- files_watch.c ---- */

int files_watch_open(struct files *files, struct err *err) MUST_CHECK;
void files_watch_close(struct files *files);
/* Watch the folder and all below it, and note every file there. */
int files_walk(struct files *files, const char *folder, int64_t delay_ms, struct err *err)
    MUST_CHECK;
/* Take what the kernel tells now. */
int files_watch_take(struct files *files, struct err *err) MUST_CHECK;

/* What went away did not come to another place in the tree. */
void files_watch_settled(struct files *files);

/* What a walk without watches finds. */
struct files_count {
    size_t files;
    size_t folders;
    size_t large;
    uint64_t bytes;
    struct buf names; /* the first of them, a line each */
};
int files_count(struct files *files, struct files_count *ret, struct err *err) MUST_CHECK;

/* ---- files_apply.c ---- */

/* What the ledger last heard of this source's files. */
int files_load(struct files *files, struct err *err) MUST_CHECK;
/* Look at the paths (sorted), and take in what differs. */
int files_apply(struct files *files, struct files_batch *batch, struct err *err) MUST_CHECK;
/* Everything of it is gone. */
int files_vanished(struct files *files, struct err *err) MUST_CHECK;
void files_tell_trouble(struct files *files);

/* ---- files_git.c ---- */

/* What HEAD's recent moves took away or changed: by path, sorted. */
struct git_blob {
    uint8_t bytes[32];
    uint8_t len; /* 20 or 32; 0: not there */
};
struct git_change {
    char *path; /* heap */
    struct git_blob before;
    struct git_blob after; /* as HEAD has it */
};
struct git_changes {
    struct git_change *items;
    size_t count;
    size_t capacity;
};
void git_changes_done(struct git_changes *changes);

/* The git folder of the work tree that root lies in; heap, NULL: none. */
char *git_folder_of(const char *root);
/* Does git work there? It changes the files, then its index, which it locks for that, and says last
 * where HEAD is. */
bool git_is_busy(const char *git, int64_t now_us);
/* Did it work there lately? Then a few files may be of what it did, too. */
bool git_was_busy(const char *git, int64_t now_us);
/* What git can tell of its history; nothing when there is no git, or it fails: then the guard
 * judges as ever. */
int git_read_changes(struct files *files, struct git_changes *ret, struct err *err) MUST_CHECK;
bool git_knows(const struct git_changes *changes, const char *path);
/* Did git take this file from `before` to `after` (NULL: gone)? */
bool git_explains(const struct git_changes *changes, const char *path, struct str before,
                  const struct str *after);

/* ---- files_restore.c ---- */

int files_restore(struct files *files, struct source_restore *restore, struct err *err) MUST_CHECK;

#endif
