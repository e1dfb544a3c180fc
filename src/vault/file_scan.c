/* Reading changes back: the hash of one, a range of lines, a scan that proves the whole chain. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "vault/file_vault.h"

#define LINES_BETWEEN_CHECKS 256 /* of deadline and cancellation */

/* ---- lines across segments ---- */

static int open_segment(struct file_walk *walk, struct err *err)
{
    uint64_t first = walk->origin->segments[walk->segment].first;
    bool sealed;
    bool there;
    char name[FILE_NAME_MAX];

    int rc = file_segment_open(walk->vault, walk->origin, walk->folder, first, &walk->reader,
                               &sealed, &there, err);
    if (rc == 0 && !there) {
        file_segment_name(first, false, name);
        AUTO(free_ptr) char *path = file_origin_path(walk->vault, walk->origin, name);
        rc = err_set(err, ERR_CORRUPT, "%s: the segment is missing", path);
    }
    return rc;
}

/* The segment that holds seq: by first seq. */
static size_t segment_of(const struct file_origin *origin, uint64_t seq)
{
    size_t low = 0;
    size_t high = origin->segment_count;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (origin->segments[middle].first <= seq) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

int file_walk_open(struct file_vault *vault, const struct file_origin *origin,
                   const struct file_hold *hold, uint64_t from, struct file_walk *ret,
                   struct err *err)
{
    struct str line;

    assert(from >= 1 && from <= origin->seq);
    *ret = (struct file_walk){.vault = vault,
                              .origin = origin,
                              .folder = hold->folder,
                              .segment = segment_of(origin, from)};
    ret->seq = origin->segments[ret->segment].first - 1;
    int rc = open_segment(ret, err);
    while (rc == 0 && ret->seq + 1 < from) {
        rc = file_walk_next(ret, &line, err);
    }
    if (rc < 0) {
        file_walk_close(ret);
    }
    return rc;
}

void file_walk_close(struct file_walk *walk)
{
    file_reader_close(&walk->reader);
}

/* The segment being read is done: it must have no more lines, and the next is opened. */
static int next_segment(struct file_walk *walk, struct err *err)
{
    struct str line;
    bool more;

    int rc = file_reader_line(&walk->reader, &line, &more, err);
    if (rc == 0 && more) {
        (void)err_set(err, ERR_CORRUPT, "it has a seq that the next segment begins with");
        rc = file_reader_context(&walk->reader, err);
    }
    if (rc < 0) {
        return rc;
    }
    file_reader_close(&walk->reader);
    walk->segment++;
    return open_segment(walk, err);
}

int file_walk_next(struct file_walk *walk, struct str *ret, struct err *err)
{
    const struct file_segment *segment = &walk->origin->segments[walk->segment];
    bool more;

    assert(walk->seq < walk->origin->seq);
    int rc = walk->seq == segment->last ? next_segment(walk, err) : 0;
    if (rc == 0) {
        rc = file_reader_line(&walk->reader, ret, &more, err);
    }
    if (rc == 0 && !more) {
        rc = err_set(err, ERR_CORRUPT, "%s: record %llu: the file ends before it",
                     walk->reader.path, (unsigned long long)walk->reader.record + 1);
    }
    walk->seq++;
    return rc;
}

/* ---- one hash ---- */

int file_hash_at(struct file_vault *vault, struct file_origin *origin, const struct file_hold *hold,
                 uint64_t seq, struct sha256 *ret, struct err *err)
{
    AUTO(buf_done) struct buf record = BUF_INIT(CHANGE_LINE_MAX);
    AUTO(file_walk_close) struct file_walk walk = {0};
    struct file_line found;
    struct change change;
    struct str line;

    if (seq == 0 || seq > origin->seq) {
        return err_set(err, ERR_NOT_FOUND, "%s: it holds no seq %llu of the origin %s", vault->path,
                       (unsigned long long)seq, origin->name);
    }
    if (seq == origin->seq || seq == origin->asked_seq) {
        *ret = seq == origin->seq ? origin->hash : origin->asked_hash;
        return 0;
    }
    int rc = file_walk_open(vault, origin, hold, seq, &walk, err);
    if (rc == 0) {
        rc = file_walk_next(&walk, &line, err);
    }
    if (rc == 0 && file_line_read(line, &origin->uuid, &record, &found, &change, err) < 0) {
        rc = file_reader_context(&walk.reader, err);
    }
    if (rc == 0 && found.seq != seq) {
        (void)err_set(err, ERR_CORRUPT, "it has seq %llu where %llu is due",
                      (unsigned long long)found.seq, (unsigned long long)seq);
        rc = file_reader_context(&walk.reader, err);
    }
    if (rc < 0) {
        return rc;
    }
    origin->asked_seq = seq;
    origin->asked_hash = found.hash;
    *ret = found.hash;
    return 0;
}

/* ---- scan ---- */

struct scan {
    struct file_vault *vault;
    const struct file_origin *origin;
    const struct file_hold *hold;
    vault_scan_fn *each;
    void *arg;
    struct deadline deadline;
    struct buf record;
    struct sha256 prev; /* of the line that comes next */
    bool prev_known;
    size_t lates; /* used so far */
};

int file_late_read(const struct file_vault *vault, const struct file_origin *origin, int folder,
                   const struct file_line *gap, struct buf *record_buf, struct change *ret,
                   bool *ret_there, struct err *err)
{
    AUTO(free_ptr) char *path = file_origin_path(vault, origin, FILE_LATE_NAME);
    AUTO(close_fd)
    int fd = file_openat(folder, FILE_LATE_NAME, O_RDONLY);
    AUTO(buf_done) struct buf line = BUF_INIT(CHANGE_LINE_MAX);
    const struct file_late *late = file_late_find(origin, gap->seq);
    struct file_line found;

    *ret_there = late != NULL;
    if (late == NULL) {
        return 0;
    }
    int rc = buf_reserve(&line, late->len, err);
    if (rc < 0) {
        return rc;
    }
    if (fd < 0 || pread(fd, line.data, late->len, (off_t)late->offset) != (ssize_t)late->len) {
        return file_errno(err, errno, "reading", path);
    }
    line.len = late->len;
    if (file_line_read(buf_str(&line), &origin->uuid, record_buf, &found, ret, err) < 0) {
        return err_context(err, "%s: the record of seq %llu", path, (unsigned long long)late->seq);
    }
    if (found.seq != gap->seq || !sha256_eq(&found.hash, &gap->hash) ||
        !sha256_eq(&found.prev, &gap->prev)) {
        return err_set(err, ERR_CORRUPT, "%s: the record of seq %llu is not the one of the gap",
                       path, (unsigned long long)gap->seq);
    }
    return 0;
}

static int check_place(struct scan *scan, const struct file_line *found, uint64_t due,
                       struct err *err)
{
    if (found->seq != due) {
        return err_set(err, ERR_CORRUPT, "it has seq %llu where %llu is due",
                       (unsigned long long)found->seq, (unsigned long long)due);
    }
    if (scan->prev_known && !sha256_eq(&found->prev, &scan->prev)) {
        return err_set(err, ERR_CORRUPT, "its prev is not the hash of the record before it");
    }
    return 0;
}

static int scan_line(struct scan *scan, const struct file_walk *walk, struct str line,
                     struct err *err)
{
    struct file_line found;
    struct change change;

    int rc = file_line_read(line, &scan->origin->uuid, &scan->record, &found, &change, err);
    if (rc == 0) {
        rc = check_place(scan, &found, walk->seq, err);
    }
    if (rc < 0) {
        return file_reader_context(&walk->reader, err);
    }
    scan->prev = found.hash;
    scan->prev_known = true;
    if (found.gap) {
        bool there;
        rc = file_late_read(scan->vault, scan->origin, scan->hold->folder, &found, &scan->record,
                            &change, &there, err);
        if (rc < 0 || !there) {
            return rc;
        }
        scan->lates++;
    }
    return rc < 0 ? rc : scan->each(scan->arg, &change, err);
}

int file_scan_origin(struct file_vault *vault, const struct file_origin *origin,
                     const struct file_hold *hold, const struct vault_filter *filter,
                     vault_scan_fn *each, void *arg, struct deadline deadline, struct err *err)
{
    AUTO(file_walk_close) struct file_walk walk = {0};
    struct scan scan = {.vault = vault,
                        .origin = origin,
                        .hold = hold,
                        .each = each,
                        .arg = arg,
                        .deadline = deadline,
                        .record = BUF_INIT(CHANGE_LINE_MAX)};
    uint64_t from = uuid_is_nil(&filter->origin) ? 1 : filter->after_seq + 1;
    struct str line;

    if (from > origin->seq) {
        return 0;
    }
    scan.prev_known = from == 1; /* zero */
    int rc = file_walk_open(vault, origin, hold, from, &walk, err);
    while (rc == 0 && walk.seq < origin->seq) {
        rc = file_walk_next(&walk, &line, err);
        if (rc == 0) {
            rc = scan_line(&scan, &walk, line, err);
        }
        if (rc == 0 && walk.seq % LINES_BETWEEN_CHECKS == 0) {
            rc = file_go_on(vault, deadline, err);
        }
    }
    buf_done(&scan.record);
    if (rc == 0 && from == 1 && scan.lates < origin->late_count) {
        rc =
            err_set(err, ERR_CORRUPT,
                    "%s/origins/%s/" FILE_LATE_NAME ": %zu of its %zu records fill no gap",
                    vault->path, origin->name, origin->late_count - scan.lates, origin->late_count);
    }
    return rc;
}
