#include "api/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/file.h"

void spool_init(struct spool *spool)
{
    *spool = (struct spool){.memory = BUF_INIT(SPOOL_MEMORY_MAX), .fd = -1};
}

void spool_done(struct spool *spool)
{
    if (!spool) {
        return;
    }
    buf_done(&spool->memory);
    close_fd(&spool->fd);
    spool->fd = -1;
    spool->len = 0;
}

/* Move what is in memory into a file without a name, so that nothing is left behind whatever
 * happens. */
static int spool_to_file(struct spool *spool, struct err *err)
{
    const char *folder = getenv("TMPDIR");
    int fd = open(folder && *folder ? folder : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0) {
        return err_errno(err, ERR_IO, errno, "can't make a temporary file for a large body");
    }
    if (file_write_all(fd, spool->memory.data, spool->memory.len, "temporary file", err) != 0) {
        (void)close(fd); /* the error that matters is in err */
        return -(int)err->code;
    }
    spool->fd = fd;
    buf_done(&spool->memory);
    buf_init(&spool->memory, SPOOL_MEMORY_MAX);
    return 0;
}

int spool_add(struct spool *spool, const void *bytes, size_t len, struct err *err)
{
    if (len > SPOOL_MAX - spool->len) {
        return err_set(err, ERR_LIMIT, "the body is longer than %llu bytes",
                       (unsigned long long)SPOOL_MAX);
    }
    if (spool->fd < 0 && spool->memory.len + len > SPOOL_MEMORY_MAX &&
        spool_to_file(spool, err) != 0) {
        return -(int)err->code;
    }
    int rc = spool->fd < 0 ? buf_add(&spool->memory, bytes, len, err)
                           : file_write_all(spool->fd, bytes, len, "temporary file", err);

    if (rc == 0) {
        spool->len += len;
    }
    return rc;
}

static int spool_dump(const char *bytes, size_t len, void *arg)
{
    struct {
        struct spool *spool;
        struct err *err;
    } *to = arg;

    return spool_add(to->spool, bytes, len, to->err) == 0 ? 0 : -1;
}

int spool_add_json(struct spool *spool, const json_t *value, struct err *err)
{
    struct {
        struct spool *spool;
        struct err *err;
    } to = {spool, err};

    err->code = ERR_NONE;
    if (json_dump_callback(value, spool_dump, &to,
                           JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY) != 0) {
        return err->code ? -(int)err->code
                         : err_set(err, ERR_INTERNAL, "can't write an answer as JSON");
    }
    return spool_add(spool, "\n", 1, err);
}

int spool_read(struct spool *spool, uint64_t offset, void *bytes, size_t capacity, size_t *ret_len,
               struct err *err)
{
    size_t left = offset < spool->len ? (size_t)(spool->len - offset) : 0;
    size_t want = left < capacity ? left : capacity;

    if (spool->fd < 0) {
        if (want) {
            memcpy(bytes, spool->memory.data + offset, want);
        }
        *ret_len = want;
        return 0;
    }
    for (;;) {
        ssize_t got = pread(spool->fd, bytes, want, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return err_errno(err, ERR_IO, errno, "can't read a temporary file back");
        }
        *ret_len = (size_t)got;
        return 0;
    }
}

#define LINES_CHUNK ((size_t)256 * 1024)

void spool_lines_init(struct spool_lines *lines, struct spool *spool, size_t max)
{
    *lines =
        (struct spool_lines){.spool = spool, .max = max, .chunk = BUF_INIT(max + LINES_CHUNK + 1)};
}

void spool_lines_done(struct spool_lines *lines)
{
    buf_done(&lines->chunk);
}

/* Drop what was handed out and read one more chunk. *ret_end: there is no more. */
static int lines_fill(struct spool_lines *lines, bool *ret_end, struct err *err)
{
    size_t got = 0;

    if (lines->at && lines->chunk.data) {
        memmove(lines->chunk.data, lines->chunk.data + lines->at, lines->chunk.len - lines->at);
        lines->chunk.len -= lines->at;
        lines->at = 0;
    }
    if (buf_reserve(&lines->chunk, LINES_CHUNK, err) != 0) {
        return -(int)err->code;
    }
    if (spool_read(lines->spool, lines->offset, lines->chunk.data + lines->chunk.len, LINES_CHUNK,
                   &got, err) != 0) {
        return -(int)err->code;
    }
    lines->chunk.len += got;
    lines->offset += got;
    *ret_end = got == 0;
    return 0;
}

int spool_lines_next(struct spool_lines *lines, struct str *ret_line, bool *ret_more,
                     struct err *err)
{
    size_t dropped = 0; /* bytes of a line that is too long, already thrown away */
    size_t seen = 0;    /* bytes behind `at` that hold no newline */

    for (;;) {
        const char *start = lines->chunk.data ? lines->chunk.data + lines->at : "";
        size_t have = lines->chunk.len - lines->at;
        const char *newline = have > seen ? memchr(start + seen, '\n', have - seen) : NULL;
        bool end = false;

        if (!newline && have > lines->max) {
            dropped += have;
            lines->at = lines->chunk.len;
            seen = 0;
        } else {
            seen = have;
        }
        if (!newline && lines_fill(lines, &end, err) != 0) {
            return -(int)err->code;
        }
        if (!newline && !end) {
            continue;
        }
        start = lines->chunk.data ? lines->chunk.data + lines->at : "";
        size_t len = newline ? (size_t)(newline - start) : lines->chunk.len - lines->at;
        *ret_more = newline || len + dropped > 0;
        if (!*ret_more) {
            return 0;
        }
        lines->at += len + (newline ? 1 : 0);
        lines->number++;
        *ret_line = dropped || len > lines->max ? (struct str){NULL, dropped + len}
                                                : (struct str){start, len};
        return 0;
    }
}
