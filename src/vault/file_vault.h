/*
 * file_vault - the parts of the file driver (file*.c), for each other and for its tests.
 * docs/formats.md §2 is the format.
 *
 * What is known of an origin is kept in memory and trusted only as long as its files look as they
 * did (folder, open segment, late.jsonl: inode, size, time of change); nothing is held open between
 * two calls, so that a folder that was removed, replaced or rolled back by somebody else shows at
 * the next call.
 *
 * Layers, top to bottom: file.c (the driver's table), file_append.c, file_scan.c, file_seal.c,
 * file_origin.c (an origin's folder), file_load.c (its files -> struct file_origin), file_tail.c
 * (torn ends), file_place.c (the vault's folder), file_mount.c (its disk), file_reader.c,
 * file_line.c.
 */
#ifndef HOLDFAST_VAULT_FILE_VAULT_H
#define HOLDFAST_VAULT_FILE_VAULT_H

#include <pthread.h>
#include <sys/stat.h>

#include "vault/file_line.h"
#include "vault/file_reader.h"
#include "vault/vault.h"

#define FILE_VAULT_VERSION 1
#define FILE_SEGMENT_MAX (64ULL * 1024 * 1024) /* bytes; the next batch goes to a new segment */
#define FILE_FRAME_BYTES                                                                           \
    (1024 * 1024) /* of text in a frame of a sealed segment, and the line that reaches it: what    \
                     damage costs. 2 or 3 % more of the disk than one frame for all; a quarter of  \
                     it would be 9 to 12 % */
#define FILE_TORN_LINES_MAX VAULT_BATCH_MAX    /* lines behind an empty sector: one batch */
#define FILE_TORN_BYTES_MAX (18 * 1024 * 1024) /* bytes of one batch with its lines' suffixes */
#define FILE_SECTOR 512                        /* what a disk writes whole, at the least */
#define FILE_NAME_MAX 40 /* with NUL; "00000000000000000001.jsonl.zst.tmp" fits */
#define FILE_TIME_MAX 24 /* with NUL; "20261122T181843.000001Z" fits */

/* How a file looked. ino 0: it is not there. */
struct file_sign {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec changed;
};

struct file_segment {
    uint64_t first; /* seq of its first line, by its name */
    uint64_t last;  /* first - 1 when it is empty */
    uint64_t gaps;
    struct sha256
        prev; /* of its first line; hash of its last (both as before it when it is empty) */
    struct sha256 hash;
    bool sealed;
};

struct file_late {
    uint64_t seq;
    uint64_t offset; /* of its line in late.jsonl */
    size_t len;      /* without LF */
};

struct file_origin {
    struct uuid uuid;
    char name[UUID_TEXT_MAX];
    bool loaded;
    struct file_sign folder;
    struct file_sign tail; /* the last segment */
    struct file_sign late;
    struct file_segment *segments; /* by first; contiguous */
    size_t segment_count;
    uint64_t bytes; /* of whole lines in the last segment */
    bool torn;      /* the last segment, or late.jsonl, has a torn end that is not cut yet */
    struct file_late *lates; /* by seq */
    size_t late_count;
    uint64_t late_bytes;
    uint64_t seq; /* the head; 0: nothing there */
    struct sha256 hash;
    uint64_t gaps; /* not filled */
    bool unsealed; /* there are segments to seal */
    bool synced;   /* all of it is known to be durable */
    /* What a failed write added, and could not be cut off: nobody knows whether it is on the disk.
     */
    char doubt_name[FILE_NAME_MAX]; /* "": nothing */
    uint64_t doubt_from;
    uint64_t doubt_end;
    uint64_t asked_seq; /* what hash_at answered last; 0: nothing */
    struct sha256 asked_hash;
};

struct file_vault {
    struct vault base;
    char *path;
    struct uuid identity; /* nil until known */
    char *mount;          /* where that is mounted that it is on; NULL until known */
    struct env *env;
    struct wake *cancel; /* may be NULL */
    bool read_only;
    bool salvaging;               /* what is damaged is passed over */
    struct file_sign json;        /* vault.json, when its identity was checked */
    struct file_origin **origins; /* by uuid */
    size_t origin_count;
    uint64_t segment_max; /* FILE_SEGMENT_MAX, less in tests */
    uint64_t torn_cut;    /* torn ends cut since open */

    struct file_sealer *sealer; /* NULL: none runs */
    int64_t seal_after_ms;      /* env's monotonic clock: not before, after a failure */
};

/* ---- file_place.c ---- */

/* The vault's folder and its origins/, open for one call. */
struct file_place {
    int root;
    int origins;
};

/*
 * Open them, making what is missing unless read_only. ERR_CONFIG: the target is no folder, or
 * others' things are in it; ERR_CORRUPT: another vault, or a damaged vault.json; ERR_NEWER;
 * ERR_AWAY: its disk is not mounted; ERR_UNAVAILABLE; ERR_FULL.
 */
int file_place_open(struct file_vault *vault, struct file_place *ret, struct err *err) MUST_CHECK;
void file_place_close(struct file_place *place);

struct file_sign file_sign_of(const struct stat *st);
bool file_sign_eq(const struct file_sign *a, const struct file_sign *b);
/* How a name looks now. ERR_CORRUPT when it is a symbolic link. */
int file_sign_at(int folder, const char *name, const char *path, struct file_sign *ret,
                 struct err *err) MUST_CHECK;

/* The errors of base/file and of errno, as a vault tells them: ERR_FULL, else ERR_UNAVAILABLE. */
int file_trouble(struct err *err);
int file_errno(struct err *err, int errno_value, const char *doing, const char *path);

/* flock(LOCK_EX), given up at the deadline (ERR_TIMEOUT) or when cancelled. */
int file_lock(const struct file_vault *vault, int fd, const char *path, struct deadline deadline,
              struct err *err) MUST_CHECK;
/* ERR_TIMEOUT or ERR_CANCELLED when a long call must end. */
int file_go_on(const struct file_vault *vault, struct deadline deadline, struct err *err)
    MUST_CHECK;

int file_sync_fd(int fd, const char *path, struct err *err) MUST_CHECK; /* of a folder: fsync */
void file_time_name(struct env *env, char ret_text[FILE_TIME_MAX]);

/* ---- file_mount.c ---- */

/* Before the known vault is made anew: ERR_AWAY when its place is on another mount than it was,
 * ERR_UNAVAILABLE when on which it is can't be told now. */
int file_mount_check(const struct file_vault *vault, struct err *err) MUST_CHECK;

/* ---- file_origin.c: an origin's folder ---- */

#define FILE_LATE_NAME "late.jsonl"

/* The origin's folder, and its lock while `lock` is held (-1: not held). */
struct file_hold {
    int folder;
    int lock;
};

char *file_origin_path(
    const struct file_vault *vault, const struct file_origin *origin,
    const char *name); /* for messages; heap, the caller's; NULL name: the folder */
void file_segment_name(uint64_t first, bool sealed, char ret_name[FILE_NAME_MAX]);
/* First seq of a segment's name; false for any other name. */
bool file_segment_parse(const char *name, uint64_t *ret_first, bool *ret_sealed);

/* openat with O_NOFOLLOW | O_CLOEXEC: the descriptor, or -1 and errno. */
int file_openat(int folder, const char *name, int flags);

/*
 * Open the origin's folder for reading; *ret_there is false when there is none. ERR_CORRUPT when it
 * is a link or a file.
 */
int file_origin_open(const struct file_vault *vault, const struct file_place *place,
                     const struct file_origin *origin, struct file_hold *ret, bool *ret_there,
                     struct err *err) MUST_CHECK;
/* The same for writing: made if missing, and locked. */
int file_origin_lock(const struct file_vault *vault, const struct file_place *place,
                     const struct file_origin *origin, struct deadline deadline,
                     struct file_hold *ret, struct err *err) MUST_CHECK;
void file_origin_release(struct file_hold *hold);

/*
 * Make origin say what its files hold, reading what changed since the last time. With the lock
 * held, a torn end is put aside and cut. ERR_CORRUPT names file and record, and leaves origin not
 * loaded.
 */
int file_origin_refresh(struct file_vault *vault, struct file_origin *origin,
                        const struct file_hold *hold, struct deadline deadline, struct err *err)
    MUST_CHECK;
void file_origin_forget(struct file_origin *origin); /* read anew next time */
/* The files look as they do by what this process just did to them, with the lock held. */
int file_origin_note(const struct file_vault *vault, struct file_origin *origin, int folder,
                     struct err *err) MUST_CHECK;

/* ---- file_load.c: what its files hold ---- */

/*
 * Open the segment that begins with `first`: the plain one counts where both are there. *ret_sealed
 * says which it is; it may have been sealed since somebody looked. *ret_there is false when there
 * is neither.
 */
int file_segment_open(const struct file_vault *vault, const struct file_origin *origin, int folder,
                      uint64_t first, struct file_reader *ret, bool *ret_sealed, bool *ret_there,
                      struct err *err) MUST_CHECK;

/* One load: whose, and who asks. */
struct file_load {
    struct file_vault *vault;
    struct file_origin *origin;
    const struct file_hold *hold;
    struct deadline deadline;
};
/* Read all, or what was added to the last segment. After an error nothing is known of the origin.
 */
int file_load_all(const struct file_load *load, struct err *err) MUST_CHECK;
int file_load_more(const struct file_load *load, struct err *err) MUST_CHECK;

/* Only list its segments by their names, into an origin that was forgotten. */
int file_load_list(const struct file_load *load, struct err *err) MUST_CHECK;

void file_late_add(struct file_origin *origin, const struct file_late *late);
void file_late_sort(struct file_origin *origin);
const struct file_late *file_late_find(const struct file_origin *origin, uint64_t seq);

/* ---- file_tail.c: torn ends ---- */

/* Is what begins at `from`, the first line that is not whole, a torn end (docs/formats.md §2.3)? */
int file_tail_is_torn(int fd, const char *path, const struct uuid *origin, uint64_t from,
                      bool *ret_torn, struct err *err) MUST_CHECK;
/* Copy what is behind `from` to torn-<time>, durably, and cut it off. */
int file_tail_cut(struct file_vault *vault, const struct file_origin *origin,
                  const struct file_hold *hold, const char *name, uint64_t from, struct err *err)
    MUST_CHECK;

/* ---- file_append.c ---- */
int file_append(struct file_vault *vault, struct file_origin *origin,
                const struct file_place *place, const struct vault_batch *batch,
                struct deadline deadline, struct err *err) MUST_CHECK;

/* ---- file_scan.c ---- */

/* The lines of an origin from a seq on, across its segments. */
struct file_walk {
    struct file_vault *vault;
    const struct file_origin *origin;
    int folder;
    size_t segment; /* being read, when reader.path is set */
    uint64_t seq;   /* of the line given last */
    struct file_reader reader;
};
/* Next given is the line of seq `from`, 1 to the head's. Lines before it in its segment are passed
 * over unchecked. */
int file_walk_open(struct file_vault *vault, const struct file_origin *origin,
                   const struct file_hold *hold, uint64_t from, struct file_walk *ret,
                   struct err *err) MUST_CHECK;
void file_walk_close(struct file_walk *walk);
/* The next line, until the head as origin has it (asserted): not checked. */
int file_walk_next(struct file_walk *walk, struct str *ret, struct err *err) MUST_CHECK;

int file_hash_at(struct file_vault *vault, struct file_origin *origin, const struct file_hold *hold,
                 uint64_t seq, struct sha256 *ret, struct err *err) MUST_CHECK;
int file_scan_origin(struct file_vault *vault, const struct file_origin *origin,
                     const struct file_hold *hold, const struct vault_filter *filter,
                     vault_scan_fn *each, void *arg, struct deadline deadline, struct err *err)
    MUST_CHECK;

/*
 * The change that fills a gap, out of late.jsonl, which is opened anew for each: they are few.
 * *ret_there is false when none does. ERR_CORRUPT.
 */
int file_late_read(const struct file_vault *vault, const struct file_origin *origin, int folder,
                   const struct file_line *gap, struct buf *record_buf, struct change *ret,
                   bool *ret_there, struct err *err) MUST_CHECK;

/* ---- file_salvage.c: what is intact of a damaged copy ---- */

/* Found by going through all that an origin has, whatever is wrong with it. */
struct file_salvage {
    uint64_t seq; /* the last intact change; 0: none */
    struct sha256 hash;
    uint64_t gaps;       /* changes before it that are not there */
    uint64_t asked_seq;  /* set before: a change whose hash is wanted; 0: none */
    struct sha256 asked; /* that, when asked_known */
    bool asked_known;
    struct vault_damage *damages; /* heap: vault_damages_free */
    size_t damage_count;
};

/*
 * Give each intact change behind filter->after_seq that passes the filter; each may be NULL. A
 * change is intact when its line proves itself and follows the one before it, if that is there.
 * ret is zeroed by the caller, and the caller's also after an error. Only what keeps it from
 * reading on (ERR_UNAVAILABLE, ERR_TIMEOUT, ERR_CANCELLED) is an error, and what each returns.
 */
int file_salvage_origin(const struct file_load *load, const struct vault_filter *filter,
                        vault_scan_fn *each, void *arg, struct file_salvage *ret, struct err *err)
    MUST_CHECK;

/* ---- file_seal.c ---- */

/*
 * What the frame before a sealed segment says (docs/formats.md §2.2). *ret_found is false when
 * there is none, or one that contradicts itself: the segment is then read through.
 */
int file_summary_read(int fd, const char *path, struct file_segment *ret, bool *ret_found,
                      struct err *err) MUST_CHECK;

/*
 * Seal the segments of the origin in this folder but the last, one after the other. ERR_CANCELLED
 * when *stop becomes true. ERR_CORRUPT, ERR_UNAVAILABLE: of the first that can't be sealed, which
 * stays as it was; the others are. ERR_FULL ends it. Thread: any; it uses nothing of a vault.
 */
int file_seal_origin(const char *path, const struct uuid *origin, const _Atomic bool *stop,
                     struct err *err) MUST_CHECK;

/* Do that on a thread of the vault's; nothing when one runs already, or failed a short while ago.
 */
void file_seal_start(struct file_vault *vault, struct file_origin *origin);
void file_seal_stop(struct file_vault *vault); /* and wait for it */

/* ---- file.c, for tests ---- */
void vault_file_set_segment_max(struct vault *vault, uint64_t bytes);

#endif
