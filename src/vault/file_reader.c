#include "vault/file_reader.h"

#include <errno.h>
#include <unistd.h>
#include <zstd.h>

#include "base/fault.h"

#define PACKED_BYTES (64 * 1024)
#define FRAME_MAGIC "\x28\xb5\x2f\xfd" /* RFC 8878 §3.1.1 */
#define FRAME_MAGIC_LEN 4

int file_reader_open_take(int fd, const char *path, bool compressed, struct file_reader *ret,
                          struct err *err)
{
    (void)err; /* opening may come to need it */
    *ret = (struct file_reader){.path = xstrdup(path), .fd = fd};
    ret->room = FILE_READER_MIN;
    ret->data = xmalloc(ret->room);
    if (compressed) {
        ret->zstd = ZSTD_createDCtx();
        ret->packed = xmalloc(PACKED_BYTES);
        if (ret->zstd == NULL) {
            abort(); /* memory is out: see buf.h */
        }
    }
    return 0;
}

void file_reader_close(struct file_reader *reader)
{
    if (reader == NULL || reader->path == NULL) {
        return;
    }
    close_fd(&reader->fd);
    (void)ZSTD_freeDCtx(reader->zstd); /* takes NULL, always 0 */
    free(reader->packed);
    free(reader->data);
    free(reader->path);
    *reader = (struct file_reader){.fd = -1};
}

int file_reader_seek(struct file_reader *reader, uint64_t offset, uint64_t records, struct err *err)
{
    if (lseek(reader->fd, (off_t)offset, SEEK_SET) < 0) {
        return err_errno(err, ERR_UNAVAILABLE, errno, "reading %s", reader->path);
    }
    reader->start = 0;
    reader->end = 0;
    reader->at_end = false;
    reader->offset = offset;
    reader->next_offset = offset;
    reader->record = records;
    return 0;
}

static int read_some(struct file_reader *reader, char *into, size_t room, size_t *ret_got,
                     struct err *err)
{
    ssize_t got;

    do {
        got = FAULT("vault.read", EIO) ? -1 : read(reader->fd, into, room);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return err_errno(err, ERR_UNAVAILABLE, errno, "reading %s", reader->path);
    }
    *ret_got = (size_t)got;
    return 0;
}

/* More of the compressed file, unless the decoder still holds text that had no room. */
static int read_packed(struct file_reader *reader, struct err *err)
{
    if (reader->flushing || reader->packed_at < reader->packed_len) {
        return 0;
    }
    reader->packed_at = 0;
    reader->packed_offset += reader->packed_len;
    reader->packed_len = 0;
    int rc = read_some(reader, reader->packed, PACKED_BYTES, &reader->packed_len, err);
    reader->at_end = rc == 0 && reader->packed_len == 0;
    if (reader->at_end && reader->frame_open) {
        return err_set(err, ERR_CORRUPT, "%s: record %llu: the compressed data has no end",
                       reader->path, (unsigned long long)reader->record + 1);
    }
    return rc;
}

/* Decompress something into the window; at_end when the file has no more. */
static int unpack(struct file_reader *reader, struct err *err)
{
    size_t before = reader->end;

    while (reader->end == before) {
        int rc = read_packed(reader, err);
        if (rc < 0 || reader->at_end) {
            return rc;
        }
        size_t left = reader->packed_len - reader->packed_at;
        size_t step = reader->wanted == 0 ? 1 : reader->wanted; /* 0: a frame begins */
        step = reader->careful && step < left ? step : left;
        ZSTD_inBuffer in = {reader->packed, reader->packed_at + step, reader->packed_at};
        ZSTD_outBuffer out = {reader->data, reader->room, reader->end};
        size_t rest = ZSTD_decompressStream(reader->zstd, &out, &in);
        if (ZSTD_isError(rest)) {
            return err_set(err, ERR_CORRUPT, "%s: record %llu: the compressed data is damaged: %s",
                           reader->path, (unsigned long long)reader->record + 1,
                           ZSTD_getErrorName(rest));
        }
        reader->frame_open = rest != 0;
        reader->wanted = rest;
        reader->flushing = rest != 0 && out.pos == out.size; /* a frame's end holds none back */
        reader->packed_at = in.pos;
        reader->end = out.pos;
        if (rest == 0) {
            reader->frame_offset = reader->packed_offset + in.pos;
        }
    }
    return 0;
}

static int fill(struct file_reader *reader, struct err *err)
{
    size_t got = 0;

    memmove(reader->data, reader->data + reader->start, reader->end - reader->start);
    reader->end -= reader->start;
    reader->start = 0;
    if (reader->end > reader->room / 2) { /* a long line: it will fit in at the last */
        reader->room = reader->room < FILE_READER_BYTES / 2 ? reader->room * 2 : FILE_READER_BYTES;
        reader->data = xrealloc(reader->data, reader->room);
    }
    if (reader->zstd != NULL) {
        return unpack(reader, err);
    }
    int rc = read_some(reader, reader->data + reader->end, reader->room - reader->end, &got, err);
    reader->end += got;
    reader->at_end = rc == 0 && got == 0;
    return rc;
}

static void give(struct file_reader *reader, size_t len, size_t with_end, struct str *ret)
{
    *ret = (struct str){reader->data + reader->start, len};
    reader->offset = reader->next_offset;
    reader->next_offset += with_end;
    reader->start += with_end;
    reader->record++;
}

int file_reader_next(struct file_reader *reader, struct str *ret, enum file_line_kind *ret_kind,
                     struct err *err)
{
    for (size_t looked = 0;;) {
        const char *first = reader->data + reader->start;
        size_t have = reader->end - reader->start;
        const char *lf = have == looked ? NULL : memchr(first + looked, '\n', have - looked);
        size_t len = lf == NULL ? have : (size_t)(lf - first);
        looked = have;
        if (len > CHANGE_LINE_MAX) {
            *ret_kind = FILE_LINE_LONG;
            give(reader, CHANGE_LINE_MAX, 0, ret);
            return 0;
        }
        if (lf != NULL) {
            *ret_kind = FILE_LINE_WHOLE;
            give(reader, len, len + 1, ret);
            return 0;
        }
        if (reader->at_end) {
            *ret_kind = have == 0 ? FILE_LINE_END : FILE_LINE_PART;
            if (have > 0) {
                give(reader, have, have, ret);
            }
            return 0;
        }
        int rc = fill(reader, err);
        if (rc < 0) {
            return rc;
        }
    }
}

int file_reader_skip(struct file_reader *reader, struct err *err)
{
    for (;;) {
        size_t have = reader->end - reader->start;
        const char *first = reader->data + reader->start;
        const char *lf = have == 0 ? NULL : memchr(first, '\n', have);
        size_t len = lf == NULL ? have : (size_t)(lf - first) + 1;
        reader->start += len;
        reader->next_offset += len;
        if (lf != NULL || reader->at_end) {
            return 0;
        }
        int rc = fill(reader, err);
        if (rc < 0) {
            return rc;
        }
    }
}

/* Begin anew at a byte of the compressed file, with nothing read. */
static int begin_frame(struct file_reader *reader, uint64_t offset, struct err *err)
{
    if (lseek(reader->fd, (off_t)offset, SEEK_SET) < 0) {
        return err_errno(err, ERR_UNAVAILABLE, errno, "reading %s", reader->path);
    }
    reader->packed_offset = offset;
    reader->packed_len = 0;
    reader->packed_at = 0;
    reader->frame_offset = offset;
    reader->frame_open = false;
    reader->wanted = 0;
    reader->flushing = false;
    reader->at_end = false;
    reader->start = 0;
    reader->end = 0;
    (void)ZSTD_DCtx_reset(reader->zstd, ZSTD_reset_session_only); /* that can't fail */
    return 0;
}

int file_reader_next_frame(struct file_reader *reader, bool *ret_found, struct err *err)
{
    /* What was decompressed last may be bytes of the next one, taken for this one's. */
    uint64_t at = reader->frame_offset + 1;
    size_t kept = 0; /* the end of what was searched may be the beginning of a number */
    size_t got = 1;

    int rc = begin_frame(reader, at, err);
    while (rc == 0 && got > 0) {
        rc = read_some(reader, reader->packed + kept, PACKED_BYTES - kept, &got, err);
        size_t have = kept + got;
        const char *found =
            rc < 0 ? NULL : memmem(reader->packed, have, FRAME_MAGIC, FRAME_MAGIC_LEN);
        if (found != NULL) {
            *ret_found = true;
            return begin_frame(reader, at + (uint64_t)(found - reader->packed), err);
        }
        kept = have < FRAME_MAGIC_LEN ? have : FRAME_MAGIC_LEN - 1;
        memmove(reader->packed, reader->packed + have - kept, kept);
        at += have - kept;
    }
    reader->at_end = true;
    *ret_found = false;
    return rc;
}

int file_reader_context(const struct file_reader *reader, struct err *err)
{
    return err_context(err, "%s: record %llu", reader->path, (unsigned long long)reader->record);
}

int file_reader_line(struct file_reader *reader, struct str *ret, bool *ret_more, struct err *err)
{
    enum file_line_kind kind;
    int rc = file_reader_next(reader, ret, &kind, err);

    if (rc < 0) {
        return rc;
    }
    if (kind == FILE_LINE_PART || kind == FILE_LINE_LONG) {
        (void)err_set(err, ERR_CORRUPT, "the line has no end");
        return file_reader_context(reader, err);
    }
    *ret_more = kind == FILE_LINE_WHOLE;
    return 0;
}
