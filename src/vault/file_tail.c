/* Torn ends (docs/formats.md §2.3): what a crash in the middle of an append leaves. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "vault/file_vault.h"

#define NAME_TRIES 1000 /* torn-<time>, torn-<time>-2, ...: the clock may stand still */

/* The bytes of fd from `from` to its end; *ret_more when there are more than FILE_TORN_BYTES_MAX.
 */
static int read_end(int fd, const char *path, uint64_t from, struct buf *ret, bool *ret_more,
                    struct err *err)
{
    *ret_more = false;
    for (;;) {
        size_t want = 256 * (size_t)1024;
        if (ret->len + want > ret->max) {
            *ret_more = true;
            return 0;
        }
        int rc = buf_reserve(ret, want, err);
        if (rc < 0) {
            return rc;
        }
        ssize_t got = pread(fd, ret->data + ret->len, want, (off_t)(from + ret->len));
        if (got < 0 && errno != EINTR) {
            return file_errno(err, errno, "reading", path);
        }
        if (got == 0) {
            return 0;
        }
        ret->len += got > 0 ? (size_t)got : 0;
    }
}

/* A whole line whose LF became another byte is damage: a torn end stops before it, not behind it.
 */
static bool has_lost_its_end(struct str end, const struct uuid *origin)
{
    AUTO(buf_done) struct buf record = BUF_INIT(CHANGE_LINE_MAX);
    struct file_line line;
    struct change change;
    struct err why = ERR_INIT;

    return end.len > 1 && file_line_read((struct str){end.ptr, end.len - 1}, origin, &record, &line,
                                         &change, &why) == 0;
}

/* Zero bytes from the line's start or a sector's to a sector's end or the file's. */
static bool has_empty_sector(struct str line, uint64_t from, bool to_end)
{
    for (size_t i = 0; i < line.len;) {
        uint64_t sector_end = (from + i) / FILE_SECTOR * FILE_SECTOR + FILE_SECTOR;
        size_t stop = (size_t)(sector_end - from);
        bool cut = stop > line.len;
        stop = cut ? line.len : stop;
        size_t zeros = i;
        while (zeros < stop && line.ptr[zeros] == '\0') {
            zeros++;
        }
        if (zeros == stop && (!cut || to_end)) {
            return true;
        }
        i = stop;
    }
    return false;
}

static size_t count_lines(struct str text)
{
    size_t count = 0;
    const char *end = text.ptr + text.len;

    for (const char *p = text.ptr; p < end && (p = memchr(p, '\n', (size_t)(end - p))) != NULL;
         p++) {
        count++;
    }
    return count;
}

int file_tail_is_torn(int fd, const char *path, const struct uuid *origin, uint64_t from,
                      bool *ret_torn, struct err *err)
{
    AUTO(buf_done) struct buf end = BUF_INIT(FILE_TORN_BYTES_MAX);
    bool more;

    int rc = read_end(fd, path, from, &end, &more, err);
    if (rc < 0) {
        return rc;
    }
    struct str all = buf_str(&end);
    const char *lf = all.len == 0 ? NULL : memchr(all.ptr, '\n', all.len);
    struct str line = {all.ptr, lf == NULL ? all.len : (size_t)(lf - all.ptr)};
    if (lf == NULL && !more && line.len <= CHANGE_LINE_MAX) {
        *ret_torn = !has_lost_its_end(line, origin);
        return 0;
    }
    *ret_torn = !more && count_lines(all) <= FILE_TORN_LINES_MAX &&
                has_empty_sector(line, from, lf == NULL);
    return 0;
}

/* A new file torn-<time> in the origin's folder. */
static int make_torn(struct file_vault *vault, const struct file_origin *origin, int folder,
                     char **ret_path, struct err *err)
{
    char when[FILE_TIME_MAX];

    file_time_name(vault->env, when);
    for (int i = 1; i <= NAME_TRIES; i++) {
        AUTO(free_ptr)
        char *name = i == 1 ? xprintf("torn-%s", when) : xprintf("torn-%s-%d", when, i);
        int fd = file_openat(folder, name, O_WRONLY | O_CREAT | O_EXCL);
        if (fd >= 0 || errno != EEXIST) {
            int saved = errno;
            *ret_path = file_origin_path(vault, origin, name);
            return fd >= 0 ? fd : file_errno(err, saved, "making", *ret_path);
        }
    }
    return err_set(err, ERR_UNAVAILABLE, "%s has too many torn ends of one moment", origin->name);
}

static int save_end(struct file_vault *vault, const struct file_origin *origin, int folder,
                    struct str end, struct err *err)
{
    AUTO(free_ptr) char *path = NULL;
    AUTO(close_fd) int fd = make_torn(vault, origin, folder, &path, err);

    if (fd < 0) {
        return -(int)err->code;
    }
    int rc = file_write_all(fd, end.ptr, end.len, path, err);
    if (rc == 0) {
        rc = file_sync(fd, path, err);
    }
    if (rc < 0) {
        (void)unlink(path); /* the end itself is still where it was */
        return file_trouble(err);
    }
    return file_sync_fd(folder, path, err);
}

int file_tail_cut(struct file_vault *vault, const struct file_origin *origin,
                  const struct file_hold *hold, const char *name, uint64_t from, struct err *err)
{
    AUTO(free_ptr) char *path = file_origin_path(vault, origin, name);
    AUTO(buf_done) struct buf end = BUF_INIT(FILE_TORN_BYTES_MAX);
    AUTO(close_fd) int fd = file_openat(hold->folder, name, O_RDWR);
    bool more;

    if (fd < 0) {
        return file_errno(err, errno, "opening", path);
    }
    int rc = read_end(fd, path, from, &end, &more, err);
    if (rc == 0) {
        rc = save_end(vault, origin, hold->folder, buf_str(&end), err);
    }
    if (rc < 0) {
        return rc;
    }
    CRASH_POINT("vault.torn.saved");
    if (FAULT("vault.truncate", EIO) || ftruncate(fd, (off_t)from) != 0) {
        return file_errno(err, errno, "cutting the torn end of", path);
    }
    CRASH_POINT("vault.torn.cut");
    vault->torn_cut++;
    return file_sync_fd(fd, path, err);
}
