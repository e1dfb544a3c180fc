/*
 * file_reader - the lines of one file of a file vault, plain or compressed, as a stream.
 *
 * Memory is one window of at most FILE_READER_BYTES whatever the file's size. A reader sees the
 * file as it was when it was opened or longer: files of a vault only grow.
 */
#ifndef HOLDFAST_VAULT_FILE_READER_H
#define HOLDFAST_VAULT_FILE_READER_H

#include "model/change.h"

#define FILE_READER_MIN (128 * 1024)            /* bytes of its window at first */
#define FILE_READER_BYTES (2 * CHANGE_LINE_MAX) /* the longest line and room to read ahead */

enum file_line_kind {
    FILE_LINE_END,   /* there is no more */
    FILE_LINE_WHOLE, /* ended by LF */
    FILE_LINE_PART,  /* bytes behind the last LF */
    FILE_LINE_LONG,  /* more than CHANGE_LINE_MAX bytes without LF; nothing can be read behind it */
};

struct file_reader {
    char *path; /* for messages */
    int fd;
    void *zstd; /* ZSTD_DCtx; NULL for a plain file */
    char *packed;
    size_t packed_len;
    size_t packed_at;
    uint64_t packed_offset; /* of packed in the file */
    uint64_t frame_offset;  /* of the frame that is being decompressed */
    size_t wanted;          /* bytes of it that the decoder's next step takes */
    bool careful;           /* give it no more than that: all that is before damage is given */
    bool frame_open;        /* the compressed data goes on */
    bool flushing;          /* the decoder holds text that had no room */
    bool at_end;
    char *data;
    size_t start; /* data[start..end) was read and not given yet */
    size_t end;
    size_t room;
    uint64_t offset;      /* of the line given last, in the plain text */
    uint64_t next_offset; /* of the one behind it */
    uint64_t record;      /* number of the line given last, from 1 */
};

/* Takes fd over, also when it fails; path is copied. */
int file_reader_open_take(int fd, const char *path, bool compressed, struct file_reader *ret,
                          struct err *err) MUST_CHECK;
void file_reader_close(struct file_reader *reader);

/* Go on at a byte of a plain file, behind `records` lines. */
int file_reader_seek(struct file_reader *reader, uint64_t offset, uint64_t records, struct err *err)
    MUST_CHECK;

/* The next line, without its LF: a view until the next call. ERR_CORRUPT for damaged compression,
 * ERR_UNAVAILABLE. */
int file_reader_next(struct file_reader *reader, struct str *ret, enum file_line_kind *ret_kind,
                     struct err *err) MUST_CHECK;

/* After FILE_LINE_LONG: go on behind the line's end, wherever that is. */
int file_reader_skip(struct file_reader *reader, struct err *err) MUST_CHECK;

/* After ERR_CORRUPT of damaged compression: go on with the next frame, whatever of this one was not
 * given yet. *ret_found is false when there is none. The record's number is not known from there.
 */
int file_reader_next_frame(struct file_reader *reader, bool *ret_found, struct err *err) MUST_CHECK;

/* Prepend "PATH: record N: " and return -err->code. */
int file_reader_context(const struct file_reader *reader, struct err *err);

/* As file_reader_next where anything but whole lines is damage: *ret_more is false at the end. */
int file_reader_line(struct file_reader *reader, struct str *ret, bool *ret_more, struct err *err)
    MUST_CHECK;

#endif
