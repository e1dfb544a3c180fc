/* An origin's folder: its names, its lock, and knowing when its files are no longer as they were.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fault.h"
#include "vault/file_vault.h"

#define SEQ_DIGITS 20

/* ---- names ---- */

char *file_origin_path(const struct file_vault *vault, const struct file_origin *origin,
                       const char *name)
{
    return name == NULL ? xprintf("%s/origins/%s", vault->path, origin->name)
                        : xprintf("%s/origins/%s/%s", vault->path, origin->name, name);
}

void file_segment_name(uint64_t first, bool sealed, char ret_name[FILE_NAME_MAX])
{
    (void)snprintf(ret_name, FILE_NAME_MAX, "%020llu.jsonl%s", (unsigned long long)first,
                   sealed ? ".zst" : "");
}

bool file_segment_parse(const char *name, uint64_t *ret_first, bool *ret_sealed)
{
    struct str rest = str_of(name);
    uint64_t first = 0;

    if (rest.len < SEQ_DIGITS || rest.ptr[0] != '0') { /* VERSION_MAX has 16 digits */
        return false;
    }
    for (size_t i = 0; i < SEQ_DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9') {
            return false;
        }
        first = first * 10 + (uint64_t)(name[i] - '0');
    }
    *ret_first = first;
    *ret_sealed = strcmp(name + SEQ_DIGITS, ".jsonl.zst") == 0;
    return *ret_sealed || strcmp(name + SEQ_DIGITS, ".jsonl") == 0;
}

/* ---- opening and locking ---- */

int file_openat(int folder, const char *name, int flags)
{
    int fd;

    if (FAULT("vault.open", EMFILE)) {
        return -1;
    }
    do {
        fd = openat(folder, name, flags | O_NOFOLLOW | O_CLOEXEC, (mode_t)0600);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

void file_origin_release(struct file_hold *hold)
{
    close_fd(&hold->lock); /* which unlocks */
    close_fd(&hold->folder);
}

int file_origin_open(const struct file_vault *vault, const struct file_place *place,
                     const struct file_origin *origin, struct file_hold *ret, bool *ret_there,
                     struct err *err)
{
    AUTO(free_ptr) char *path = file_origin_path(vault, origin, NULL);

    *ret = (struct file_hold){.folder = -1, .lock = -1};
    if (place->origins < 0) {
        *ret_there = false;
        return 0;
    }
    ret->folder = file_openat(place->origins, origin->name, O_RDONLY | O_DIRECTORY);
    *ret_there = ret->folder >= 0;
    if (*ret_there || errno == ENOENT) {
        return 0;
    }
    if (errno == ELOOP || errno == ENOTDIR) {
        return err_set(err, ERR_CORRUPT, "%s is not a folder", path);
    }
    return file_errno(err, errno, "opening", path);
}

static int make_folder(const struct file_place *place, const struct file_origin *origin,
                       const char *path, struct err *err)
{
    if (FAULT("vault.mkdir", EIO) ||
        (mkdirat(place->origins, origin->name, 0700) != 0 && errno != EEXIST)) {
        return file_errno(err, errno, "making the folder", path);
    }
    CRASH_POINT("vault.origin.made");
    return file_sync_fd(place->origins, path, err);
}

/* The folder may have been put aside, with its lock, while the lock was waited for. */
static bool is_still(const struct file_place *place, const struct file_origin *origin,
                     const struct file_hold *hold)
{
    struct stat by_name;
    struct stat held;

    if (fstatat(place->origins, origin->name, &by_name, AT_SYMLINK_NOFOLLOW) != 0 ||
        fstat(hold->folder, &held) != 0 || by_name.st_ino != held.st_ino ||
        by_name.st_dev != held.st_dev) {
        return false;
    }
    return fstatat(hold->folder, "lock", &by_name, AT_SYMLINK_NOFOLLOW) == 0 &&
           fstat(hold->lock, &held) == 0 && by_name.st_ino == held.st_ino;
}

static int try_origin_lock(const struct file_vault *vault, const struct file_place *place,
                           const struct file_origin *origin, const char *path,
                           struct deadline deadline, struct file_hold *hold, struct err *err)
{
    bool there;

    int rc = file_origin_open(vault, place, origin, hold, &there, err);
    if (rc == 0 && !there) {
        rc = make_folder(place, origin, path, err);
        if (rc == 0) {
            rc = file_origin_open(vault, place, origin, hold, &there, err);
        }
    }
    if (rc < 0) {
        return rc;
    }
    hold->lock = file_openat(hold->folder, "lock", O_RDWR | O_CREAT);
    if (hold->lock < 0) {
        return file_errno(err, errno, "opening the lock of", path);
    }
    return file_lock(vault, hold->lock, path, deadline, err);
}

int file_origin_lock(const struct file_vault *vault, const struct file_place *place,
                     const struct file_origin *origin, struct deadline deadline,
                     struct file_hold *ret, struct err *err)
{
    AUTO(free_ptr) char *path = file_origin_path(vault, origin, NULL);

    for (;;) {
        struct file_hold hold = {.folder = -1, .lock = -1};
        int rc = try_origin_lock(vault, place, origin, path, deadline, &hold, err);
        if (rc == 0 && is_still(place, origin, &hold)) {
            *ret = hold;
            return 0;
        }
        file_origin_release(&hold);
        if (rc == 0) {
            rc = file_go_on(vault, deadline, err);
        }
        if (rc < 0) {
            return rc;
        }
    }
}

/* ---- what is known of it ---- */

void file_origin_forget(struct file_origin *origin)
{
    free(origin->segments);
    free(origin->lates);
    origin->segments = NULL;
    origin->segment_count = 0;
    origin->lates = NULL;
    origin->late_count = 0;
    origin->loaded = false;
    origin->asked_seq = 0;
    origin->torn = false;
    origin->unsealed = false;
    origin->seq = 0;
    origin->gaps = 0;
    origin->bytes = 0;
    origin->late_bytes = 0;
    origin->hash = (struct sha256){0};
    origin->synced = false;
}

/* How the origin's files look now. */
struct looks {
    struct file_sign folder;
    struct file_sign tail;
    struct file_sign late;
    bool went_on; /* there is a segment behind the last one that is known */
};

static int look_at(const struct file_vault *vault, const struct file_origin *origin, int folder,
                   const char *name, struct file_sign *ret, struct err *err)
{
    AUTO(free_ptr) char *path = file_origin_path(vault, origin, name);

    return file_sign_at(folder, name, path, ret, err);
}

static int look(const struct file_vault *vault, const struct file_origin *origin, int folder,
                struct looks *ret, struct err *err)
{
    struct stat st;
    struct file_sign next = {0};
    char name[FILE_NAME_MAX];

    *ret = (struct looks){0};
    if (fstat(folder, &st) != 0) {
        return file_errno(err, errno, "looking at", origin->name);
    }
    ret->folder = file_sign_of(&st);
    int rc = look_at(vault, origin, folder, FILE_LATE_NAME, &ret->late, err);
    if (rc == 0 && origin->segment_count > 0) {
        const struct file_segment *tail = &origin->segments[origin->segment_count - 1];
        file_segment_name(tail->first, tail->sealed, name);
        rc = look_at(vault, origin, folder, name, &ret->tail, err);
        if (rc == 0 && tail->last >= tail->first) {
            file_segment_name(tail->last + 1, false, name);
            rc = look_at(vault, origin, folder, name, &next, err);
        }
    }
    ret->went_on = next.ino != 0;
    return rc;
}

/* Nothing changed but that the last segment grew: somebody else appended. */
static bool only_grew(const struct file_origin *origin, const struct looks *now)
{
    return origin->segment_count > 0 && !origin->segments[origin->segment_count - 1].sealed &&
           !origin->torn && !now->went_on && file_sign_eq(&origin->folder, &now->folder) &&
           file_sign_eq(&origin->late, &now->late) && origin->tail.ino == now->tail.ino &&
           origin->tail.dev == now->tail.dev && now->tail.size > origin->tail.size;
}

static bool as_before(const struct file_origin *origin, const struct looks *now)
{
    return !now->went_on && file_sign_eq(&origin->folder, &now->folder) &&
           file_sign_eq(&origin->late, &now->late) && file_sign_eq(&origin->tail, &now->tail);
}

/* Whatever was added while the files were read counts as a change the next time: hence the sizes
 * that were read. */
static void note(struct file_origin *origin, const struct file_sign *folder,
                 const struct looks *now)
{
    bool plain = origin->segment_count > 0 && !origin->segments[origin->segment_count - 1].sealed;

    origin->folder = *folder;
    origin->tail = now->tail;
    origin->late = now->late;
    if (plain && !origin->torn) {
        origin->tail.size = (off_t)origin->bytes;
    }
    if (origin->late.ino != 0 && !origin->torn) {
        origin->late.size = (off_t)origin->late_bytes;
    }
}

int file_origin_note(const struct file_vault *vault, struct file_origin *origin, int folder,
                     struct err *err)
{
    struct looks now;

    int rc = look(vault, origin, folder, &now, err);
    if (rc == 0) {
        note(origin, &now.folder, &now);
    }
    return rc;
}

static int load(const struct file_load *load, struct err *err)
{
    struct file_origin *origin = load->origin;
    struct looks now;
    struct looks after;

    int rc = look(load->vault, origin, load->hold->folder, &now, err);
    if (rc < 0 || (origin->loaded && as_before(origin, &now))) {
        return rc;
    }
    rc = origin->loaded && only_grew(origin, &now) ? file_load_more(load, err)
                                                   : file_load_all(load, err);
    if (rc == 0) {
        rc = look(load->vault, origin, load->hold->folder, &after, err);
    }
    if (rc == 0) {
        note(origin, &now.folder, &after);
        origin->synced = false;
    }
    return rc;
}

/* With the lock held nobody is in the middle of an append: what is torn was torn by a crash. */
static int cut_torn(const struct file_load *load, struct err *err)
{
    struct file_origin *origin = load->origin;
    char name[FILE_NAME_MAX];
    int rc = 0;

    if (origin->segment_count > 0 && origin->tail.size > (off_t)origin->bytes &&
        !origin->segments[origin->segment_count - 1].sealed) {
        file_segment_name(origin->segments[origin->segment_count - 1].first, false, name);
        rc = file_tail_cut(load->vault, origin, load->hold, name, origin->bytes, err);
    }
    if (rc == 0 && origin->late.size > (off_t)origin->late_bytes) {
        rc =
            file_tail_cut(load->vault, origin, load->hold, FILE_LATE_NAME, origin->late_bytes, err);
    }
    file_origin_forget(origin);
    return rc;
}

static int sync_name(const struct file_load *load, const char *name, struct err *err)
{
    AUTO(free_ptr) char *path = file_origin_path(load->vault, load->origin, name);
    AUTO(close_fd) int fd = file_openat(load->hold->folder, name, O_RDONLY);

    if (fd < 0) {
        return file_errno(err, errno, "opening", path);
    }
    return file_sync_fd(fd, path, err);
}

/*
 * What is found may have been written by a process that died before it was durable: it is made so
 * before anybody is told that it is there.
 */
static int sync_found(const struct file_load *load, struct err *err)
{
    struct file_origin *origin = load->origin;
    char name[FILE_NAME_MAX];
    int rc = 0;

    if (origin->segment_count > 0 && !origin->segments[origin->segment_count - 1].sealed) {
        file_segment_name(origin->segments[origin->segment_count - 1].first, false, name);
        rc = sync_name(load, name, err);
    }
    if (rc == 0 && origin->late.ino != 0) {
        rc = sync_name(load, FILE_LATE_NAME, err);
    }
    if (rc == 0) {
        rc = file_sync_fd(load->hold->folder, origin->name, err);
    }
    origin->synced = rc == 0;
    return rc;
}

/* With the lock held, and nobody having added to it since, what is in doubt is cut off after all.
 */
static int settle_doubt(const struct file_load *load, struct err *err)
{
    struct file_origin *origin = load->origin;
    AUTO(free_ptr) char *path = file_origin_path(load->vault, origin, origin->doubt_name);
    AUTO(close_fd) int fd = file_openat(load->hold->folder, origin->doubt_name, O_WRONLY);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0) {
        return errno == ENOENT ? 0 : file_errno(err, errno, "opening", path);
    }
    if ((uint64_t)st.st_size == origin->doubt_end &&
        (FAULT("vault.truncate", EIO) || ftruncate(fd, (off_t)origin->doubt_from) != 0)) {
        return file_errno(err, errno, "cutting off what a failed write left in", path);
    }
    origin->doubt_name[0] = '\0';
    return file_sync_fd(fd, path, err);
}

int file_origin_refresh(struct file_vault *vault, struct file_origin *origin,
                        const struct file_hold *hold, struct deadline deadline, struct err *err)
{
    struct file_load what = {vault, origin, hold, deadline};
    int rc = 0;

    if (origin->doubt_name[0] != '\0' && hold->lock >= 0) {
        rc = settle_doubt(&what, err);
    }
    if (rc == 0) {
        rc = load(&what, err);
    }
    if (rc == 0 && origin->torn && hold->lock >= 0 && !vault->read_only) {
        rc = cut_torn(&what, err);
        if (rc == 0) {
            rc = load(&what, err);
        }
    }
    if (rc == 0 && !vault->read_only && !origin->synced) {
        rc = sync_found(&what, err);
    }
    if (rc < 0) {
        file_origin_forget(origin);
    }
    return rc;
}
