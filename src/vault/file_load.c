/* An origin's files -> struct file_origin, reading as little as can be trusted. */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "vault/file_vault.h"

#define LINES_BETWEEN_CHECKS 4096 /* of deadline and cancellation */
#define LISTINGS_MAX 100          /* of a folder in which segments are being sealed meanwhile */

/* ---- segments ---- */

static int damaged(const struct file_load *load, const char *name, const char *what,
                   struct err *err)
{
    AUTO(free_ptr) char *path = file_origin_path(load->vault, load->origin, name);

    return err_set(err, ERR_CORRUPT, "%s: %s", path, what);
}

static int compare_segments(const void *a, const void *b)
{
    const struct file_segment *x = a;
    const struct file_segment *y = b;

    if (x->first != y->first) {
        return x->first < y->first ? -1 : 1;
    }
    return (int)x->sealed - (int)y->sealed; /* the plain one, which counts, comes first */
}

/* All segments by name, one of each; what else is in the folder is left alone. */
int file_load_list(const struct file_load *load, struct err *err)
{
    struct file_origin *origin = load->origin;
    int fd = file_openat(load->hold->folder, ".", O_RDONLY | O_DIRECTORY);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    size_t room = 0;

    if (folder == NULL) {
        int saved = errno;
        close_fd(&fd);
        return file_errno(err, saved, "listing", origin->name);
    }
    while ((entry = readdir(folder)) != NULL) {
        struct file_segment segment = {0};
        if (!file_segment_parse(entry->d_name, &segment.first, &segment.sealed)) {
            continue;
        }
        if (origin->segment_count == room) {
            room = room == 0 ? 8 : room * 2;
            origin->segments = xrealloc(origin->segments, room * sizeof(*origin->segments));
        }
        origin->segments[origin->segment_count++] = segment;
    }
    (void)closedir(folder); /* nothing was written */
    size_t kept = 0;
    if (origin->segment_count > 0) {
        qsort(origin->segments, origin->segment_count, sizeof(*origin->segments), compare_segments);
    }
    for (size_t i = 0; i < origin->segment_count; i++) {
        if (kept == 0 || origin->segments[kept - 1].first != origin->segments[i].first) {
            origin->segments[kept++] = origin->segments[i];
        }
    }
    origin->segment_count = kept;
    return 0;
}

int file_segment_open(const struct file_vault *vault, const struct file_origin *origin, int folder,
                      uint64_t first, struct file_reader *ret, bool *ret_sealed, bool *ret_there,
                      struct err *err)
{
    for (int sealed = 0; sealed < 2; sealed++) {
        char name[FILE_NAME_MAX];
        file_segment_name(first, sealed == 1, name);
        AUTO(free_ptr) char *path = file_origin_path(vault, origin, name);
        int fd = file_openat(folder, name, O_RDONLY);
        if (fd >= 0) {
            *ret_sealed = sealed == 1;
            *ret_there = true;
            return file_reader_open_take(fd, path, sealed == 1, ret, err);
        }
        if (errno == ELOOP) {
            return err_set(err, ERR_CORRUPT, "%s is a symbolic link; a vault has none", path);
        }
        if (errno != ENOENT) {
            return file_errno(err, errno, "opening", path);
        }
    }
    *ret_there = false;
    return 0;
}

static int open_segment(const struct file_load *load, struct file_segment *segment,
                        struct file_reader *ret, struct err *err)
{
    char name[FILE_NAME_MAX];
    bool there;

    int rc = file_segment_open(load->vault, load->origin, load->hold->folder, segment->first, ret,
                               &segment->sealed, &there, err);
    if (rc == 0 && !there) {
        file_segment_name(segment->first, segment->sealed, name);
        rc = damaged(load, name, "the segment was removed while it was looked for", err);
    }
    return rc;
}

/* Going through the lines of one segment. */
struct walk {
    const struct file_load *load;
    struct file_segment *segment; /* what is found so far */
    struct file_reader reader;
    struct buf line; /* a copy of the last good one */
    uint64_t end;    /* of the last good line, with its LF */
};

static int prove(const struct walk *walk, struct file_line *ret, struct err *err)
{
    AUTO(buf_done) struct buf record = BUF_INIT(CHANGE_LINE_MAX);
    struct change change;

    return file_line_read(buf_str(&walk->line), &walk->load->origin->uuid, &record, ret, &change,
                          err);
}

static int walk_line(struct walk *walk, struct str line, struct err *err)
{
    struct file_segment *segment = walk->segment;
    struct file_line proved;
    uint64_t seq;
    bool gap;

    int rc = file_line_peek(line, &seq, &gap, err);
    if (rc == 0 && seq != segment->last + 1) {
        rc = err_set(err, ERR_CORRUPT, "it has seq %llu where %llu is due", (unsigned long long)seq,
                     (unsigned long long)segment->last + 1);
    }
    if (rc < 0) {
        return rc;
    }
    buf_reset(&walk->line);
    rc = buf_add_str(&walk->line, line, err);
    if (rc == 0 && seq == segment->first) {
        rc = prove(walk, &proved, err);
        segment->prev = rc == 0 ? proved.prev : segment->prev;
    }
    if (rc == 0) {
        segment->last = seq;
        segment->gaps += gap ? 1 : 0;
        walk->end = walk->reader.next_offset;
    }
    return rc;
}

/*
 * To the end, or to the first line that is damaged. The first and the last line are proved, of the
 * others only the numbering is looked at: a scan proves them.
 */
static int walk_lines(struct walk *walk, struct err *err)
{
    const struct file_load *load = walk->load;
    uint64_t before = walk->segment->last;

    for (;;) {
        enum file_line_kind kind;
        struct str line;
        int rc = file_reader_next(&walk->reader, &line, &kind, err);
        if (rc < 0 || kind == FILE_LINE_END) {
            return rc;
        }
        rc = kind == FILE_LINE_WHOLE ? walk_line(walk, line, err)
                                     : err_set(err, ERR_CORRUPT, "the line has no end");
        if (rc < 0) {
            return file_reader_context(&walk->reader, err);
        }
        if ((walk->segment->last - before) % LINES_BETWEEN_CHECKS == 0) {
            rc = file_go_on(load->vault, load->deadline, err);
            if (rc < 0) {
                return rc;
            }
        }
    }
}

static int prove_last(struct walk *walk, uint64_t before, struct err *err)
{
    struct file_line proved;

    if (walk->segment->last == before) {
        return 0;
    }
    if (prove(walk, &proved, err) < 0) {
        return err_context(err, "%s: record %llu", walk->reader.path,
                           (unsigned long long)walk->segment->last + 1 - walk->segment->first);
    }
    walk->segment->hash = proved.hash;
    return 0;
}

/* tail: the last segment of the origin, which may have a torn end; what is before it counts. */
static int walk_all(struct walk *walk, bool tail, struct err *err)
{
    struct file_reader *reader = &walk->reader;
    uint64_t before = walk->segment->last;

    int rc = walk_lines(walk, err);
    if (rc == -ERR_CORRUPT && tail && !walk->segment->sealed) {
        struct err why = ERR_INIT;
        bool torn = false;
        int judged = file_tail_is_torn(reader->fd, reader->path, &walk->load->origin->uuid,
                                       walk->end, &torn, &why);
        if (judged < 0) {
            return err_copy(err, &why);
        }
        walk->load->origin->torn = walk->load->origin->torn || torn;
        rc = torn ? 0 : rc;
    }
    return rc == 0 ? prove_last(walk, before, err) : rc;
}

static int walk_segment(const struct file_load *load, struct file_segment *segment, bool tail,
                        uint64_t from, struct err *err)
{
    struct walk walk = {
        .load = load, .segment = segment, .line = BUF_INIT(CHANGE_LINE_MAX), .end = from};

    int rc = open_segment(load, segment, &walk.reader, err);
    if (rc == 0 && from > 0) {
        rc = file_reader_seek(&walk.reader, from, segment->last + 1 - segment->first, err);
    }
    if (rc == 0) {
        rc = walk_all(&walk, tail, err);
    }
    if (rc == 0 && tail) {
        load->origin->bytes = walk.end;
    }
    buf_done(&walk.line);
    file_reader_close(&walk.reader);
    return rc;
}

/* A segment before the last, or a last one that is sealed: by its summary if it has one. */
static int load_whole_segment(const struct file_load *load, struct file_segment *segment,
                              struct err *err)
{
    bool found = false;

    if (segment->sealed) {
        struct file_segment summary = {0};
        struct file_reader reader;
        int rc = open_segment(load, segment, &reader, err);
        if (rc == 0) {
            rc = file_summary_read(reader.fd, reader.path, &summary, &found, err);
            file_reader_close(&reader);
        }
        if (rc < 0) {
            return rc;
        }
        if (found && summary.first == segment->first) {
            summary.sealed = true;
            *segment = summary;
            return 0;
        }
    }
    return walk_segment(load, segment, false, 0, err);
}

/* A folder that is listed while a segment is being sealed may show neither of its names. */
static bool is_there_after_all(const struct file_load *load, uint64_t first)
{
    struct stat st;
    char name[FILE_NAME_MAX];

    for (int sealed = 0; sealed < 2; sealed++) {
        file_segment_name(first, sealed == 1, name);
        if (fstatat(load->hold->folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
            return true;
        }
    }
    return false;
}

/* A segment goes on where the one before it ended. ERR_BUSY: look again. */
static int check_place(const struct file_load *load, size_t i, struct err *err)
{
    const struct file_segment *segments = load->origin->segments;
    assert(segments != NULL && i < load->origin->segment_count);
    const struct file_segment *segment = &segments[i];
    const struct file_segment *before = i == 0 ? NULL : &segments[i - 1];
    uint64_t due = before == NULL ? 1 : before->last + 1;
    static const struct sha256 ZERO;
    const struct sha256 *prev = before == NULL ? &ZERO : &before->hash;
    char name[FILE_NAME_MAX];

    if (segment->first > due && is_there_after_all(load, due)) {
        return err_set(err, ERR_BUSY, "%s: a segment was sealed just now", load->origin->name);
    }
    if (segment->first != due) {
        file_segment_name(due, false, name);
        return damaged(load, name, "the segment is missing, or the one before it has lost its end",
                       err);
    }
    if (segment->last >= segment->first && !sha256_eq(&segment->prev, prev)) {
        file_segment_name(segment->first, segment->sealed, name);
        return damaged(load, name, "record 1: its prev is not the hash of the record before it",
                       err);
    }
    return 0;
}

static int load_segments(const struct file_load *load, struct err *err)
{
    struct file_origin *origin = load->origin;

    int rc = file_load_list(load, err);
    for (size_t i = 0; rc == 0 && i < origin->segment_count; i++) {
        struct file_segment *segment = &origin->segments[i];
        bool tail = i + 1 == origin->segment_count;
        segment->last = segment->first - 1;
        if (i > 0) {
            segment->hash = origin->segments[i - 1].hash;
        }
        rc = tail && !segment->sealed ? walk_segment(load, segment, true, 0, err)
                                      : load_whole_segment(load, segment, err);
        if (rc == 0) {
            rc = check_place(load, i, err);
        }
        origin->gaps += segment->gaps;
        origin->unsealed = origin->unsealed || (!tail && !segment->sealed);
    }
    return rc;
}

/* ---- late.jsonl ---- */

static int compare_lates(const void *a, const void *b)
{
    const struct file_late *x = a;
    const struct file_late *y = b;

    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

void file_late_add(struct file_origin *origin, const struct file_late *late)
{
    size_t count = origin->late_count;

    if ((count & (count - 1)) == 0) { /* 0 and each power of two: full */
        origin->lates =
            xrealloc(origin->lates, (count == 0 ? 1 : 2 * count) * sizeof(*origin->lates));
    }
    origin->lates[origin->late_count++] = *late;
}

void file_late_sort(struct file_origin *origin)
{
    if (origin->late_count > 0) {
        qsort(origin->lates, origin->late_count, sizeof(*origin->lates), compare_lates);
    }
}

const struct file_late *file_late_find(const struct file_origin *origin, uint64_t seq)
{
    struct file_late key = {.seq = seq};

    return origin->late_count == 0 ? NULL
                                   : bsearch(&key, origin->lates, origin->late_count,
                                             sizeof(*origin->lates), compare_lates);
}

static int late_line(struct file_origin *origin, const struct file_reader *reader, struct str line,
                     struct err *err)
{
    struct file_late late = {.offset = reader->offset, .len = line.len};
    bool gap;

    int rc = file_line_peek(line, &late.seq, &gap, err);
    if (rc == 0 && gap) {
        rc = err_set(err, ERR_CORRUPT, "a gap is no late change");
    }
    if (rc == 0) {
        file_late_add(origin, &late);
        origin->late_bytes = reader->next_offset;
    }
    return rc;
}

static int read_lates(const struct file_load *load, struct file_reader *reader, struct err *err)
{
    for (;;) {
        enum file_line_kind kind;
        struct str line;
        int rc = file_reader_next(reader, &line, &kind, err);
        if (rc < 0 || kind == FILE_LINE_END) {
            return rc;
        }
        rc = kind == FILE_LINE_WHOLE ? late_line(load->origin, reader, line, err)
                                     : err_set(err, ERR_CORRUPT, "the line has no end");
        if (rc < 0) {
            (void)file_reader_context(reader, err);
            bool torn = false;
            struct err why = ERR_INIT;
            int judged = file_tail_is_torn(reader->fd, reader->path, &load->origin->uuid,
                                           load->origin->late_bytes, &torn, &why);
            load->origin->torn = load->origin->torn || torn;
            return judged < 0 ? err_copy(err, &why) : torn ? 0 : rc;
        }
    }
}

static int load_lates(const struct file_load *load, struct err *err)
{
    struct file_origin *origin = load->origin;
    AUTO(free_ptr) char *path = file_origin_path(load->vault, origin, FILE_LATE_NAME);
    AUTO(file_reader_close) struct file_reader reader = {.fd = -1};
    int fd = file_openat(load->hold->folder, FILE_LATE_NAME, O_RDONLY);

    if (fd < 0) {
        return errno == ENOENT ? 0 : file_errno(err, errno, "opening", path);
    }
    int rc = file_reader_open_take(fd, path, false, &reader, err);
    if (rc == 0) {
        rc = read_lates(load, &reader, err);
    }
    if (rc < 0) {
        return rc;
    }
    file_late_sort(origin);
    for (size_t i = 1; i < origin->late_count; i++) {
        if (origin->lates[i].seq == origin->lates[i - 1].seq) {
            return err_set(err, ERR_CORRUPT, "%s: seq %llu is there twice", path,
                           (unsigned long long)origin->lates[i].seq);
        }
    }
    if (origin->late_count > origin->gaps) {
        return err_set(err, ERR_CORRUPT, "%s: %zu late changes for %llu gaps", path,
                       origin->late_count, (unsigned long long)origin->gaps);
    }
    origin->gaps -= origin->late_count;
    return 0;
}

/* ---- the whole ---- */

static void take_head(struct file_origin *origin)
{
    size_t count = origin->segment_count;

    if (count > 0) {
        origin->seq = origin->segments[count - 1].last;
        origin->hash = origin->segments[count - 1].hash;
    }
}

int file_load_all(const struct file_load *load, struct err *err)
{
    int rc = -ERR_BUSY;

    for (int i = 0; i < LISTINGS_MAX && rc == -ERR_BUSY; i++) {
        file_origin_forget(load->origin);
        rc = load_segments(load, err);
    }
    if (rc == 0) {
        rc = load_lates(load, err);
    }
    if (rc < 0) {
        file_origin_forget(load->origin);
        return rc;
    }
    take_head(load->origin);
    load->origin->loaded = true;
    return 0;
}

int file_load_more(const struct file_load *load, struct err *err)
{
    struct file_origin *origin = load->origin;
    struct file_segment *tail = &origin->segments[origin->segment_count - 1];
    uint64_t gaps = tail->gaps;
    uint64_t begin = tail->last;

    int rc = walk_segment(load, tail, true, origin->bytes, err);
    if (rc == 0 && begin < tail->first) {
        rc = check_place(load, origin->segment_count - 1, err);
    }
    if (rc < 0) {
        file_origin_forget(origin);
        return rc;
    }
    origin->gaps += tail->gaps - gaps;
    take_head(origin);
    return 0;
}
