/* What is intact of a damaged copy: every line that proves itself, whatever is around it. */
#include <errno.h>
#include <fcntl.h>

#include "vault/file_vault.h"

#define LINES_BETWEEN_CHECKS 256 /* of deadline and cancellation */

struct salvage {
    const struct file_load *load;
    const struct vault_filter *filter;
    vault_scan_fn *each;
    void *arg;
    struct file_salvage *found;
    struct buf record;
    char *where;          /* heap: the first damage since the last intact change; NULL: none */
    uint64_t bad;         /* damaged lines since */
    uint64_t first;       /* seq of the first line of the file being read */
    uint64_t good_offset; /* behind the last intact line of the file being read */
};

/* ---- damage ---- */

static void note_bad(struct salvage *salvage, struct err *why)
{
    if (salvage->where == NULL) {
        salvage->where = xstrdup(why->message);
    }
    salvage->bad++;
    why->code = ERR_NONE; /* it is told in the list */
}

static void note_bad_line(struct salvage *salvage, const struct file_reader *reader,
                          struct err *why)
{
    (void)file_reader_context(reader, why);
    note_bad(salvage, why);
}

/* Changes from..to are not there; the place is the caller's no more. */
static void add_damage_take(struct salvage *salvage, uint64_t from, uint64_t to, char *where)
{
    struct file_salvage *found = salvage->found;

    found->damages = xrealloc(found->damages, (found->damage_count + 1) * sizeof(*found->damages));
    found->damages[found->damage_count++] =
        (struct vault_damage){salvage->load->origin->uuid, from, to, where};
}

/* The next intact change is `next`: what is between is lost. */
static void close_hole(struct salvage *salvage, uint64_t next)
{
    const struct file_load *load = salvage->load;
    uint64_t from = salvage->found->seq + 1;

    if (next > from && salvage->where == NULL) {
        AUTO(free_ptr) char *path = file_origin_path(load->vault, load->origin, NULL);
        salvage->where = xprintf("%s: a segment is missing", path);
    }
    if (salvage->where != NULL) {
        add_damage_take(salvage, from, next - 1, salvage->where);
    }
    salvage->found->gaps += next - from;
    salvage->where = NULL;
    salvage->bad = 0;
}

/* ---- lines ---- */

/* Does it follow what was found before? */
static int check_place(const struct file_salvage *found, const struct file_line *line,
                       struct err *err)
{
    if (line->seq <= found->seq) {
        return err_set(err, ERR_CORRUPT, "it has seq %llu behind seq %llu",
                       (unsigned long long)line->seq, (unsigned long long)found->seq);
    }
    if (line->seq == found->seq + 1 && !sha256_eq(&line->prev, &found->hash)) {
        return err_set(err, ERR_CORRUPT, "its prev is not the hash of the record before it");
    }
    return 0;
}

static void note_hashes(struct file_salvage *found, const struct file_line *line)
{
    if (found->asked_seq == line->seq || found->asked_seq + 1 == line->seq) {
        found->asked = found->asked_seq == line->seq ? line->hash : line->prev;
        found->asked_known = true;
    }
    found->seq = line->seq;
    found->hash = line->hash;
}

/* The change behind a gap, if it came later; a damaged one is as if it never came. */
static void fill_gap(struct salvage *salvage, const struct file_line *gap, struct change *change,
                     bool *ret_there)
{
    const struct file_load *load = salvage->load;
    struct err why = ERR_INIT;

    if (file_late_read(load->vault, load->origin, load->hold->folder, gap, &salvage->record, change,
                       ret_there, &why) < 0) {
        add_damage_take(salvage, gap->seq, gap->seq, xstrdup(why.message));
        *ret_there = false;
    }
    salvage->found->gaps += *ret_there ? 0 : 1;
}

static int take_line(struct salvage *salvage, struct file_reader *reader, struct str text,
                     struct err *err)
{
    struct err why = ERR_INIT;
    struct file_line line;
    struct change change;
    bool there = true;

    if (file_line_read(text, &salvage->load->origin->uuid, &salvage->record, &line, &change, &why) <
            0 ||
        check_place(salvage->found, &line, &why) < 0) {
        note_bad_line(salvage, reader, &why);
        return 0;
    }
    close_hole(salvage, line.seq);
    note_hashes(salvage->found, &line);
    salvage->good_offset = reader->next_offset;
    reader->record = line.seq + 1 - salvage->first; /* behind a damaged frame it was not known */
    if (line.gap) {
        fill_gap(salvage, &line, &change, &there);
    }
    bool wanted = there && salvage->each != NULL && line.seq > salvage->filter->after_seq;
    return wanted ? salvage->each(salvage->arg, &change, err) : 0;
}

/* ---- files ---- */

/* A damaged frame costs what is in it; how many lines, the next intact one tells. */
static int skip_frame(struct salvage *salvage, struct file_reader *reader, bool *ret_more,
                      struct err *err)
{
    if (salvage->where == NULL) {
        note_bad(salvage, err);
    }
    err->code = ERR_NONE; /* it is told in the list */
    int rc = file_go_on(salvage->load->vault, salvage->load->deadline, err);
    return rc < 0 ? rc : file_reader_next_frame(reader, ret_more, err);
}

/* One line, whatever it is; *ret_more is false where nothing can be read behind it. */
static int step(struct salvage *salvage, struct file_reader *reader, bool *ret_more,
                struct err *err)
{
    struct err why = ERR_INIT;
    enum file_line_kind kind;
    struct str text;

    *ret_more = false;
    int rc = file_reader_next(reader, &text, &kind, err);
    if (rc == -ERR_CORRUPT) {
        return skip_frame(salvage, reader, ret_more, err);
    }
    if (rc < 0 || kind == FILE_LINE_END) {
        return rc;
    }
    *ret_more = true;
    if (kind == FILE_LINE_WHOLE) {
        return take_line(salvage, reader, text, err);
    }
    (void)err_set(&why, ERR_CORRUPT, "the line has no end");
    note_bad_line(salvage, reader, &why);
    rc = kind == FILE_LINE_LONG ? file_reader_skip(reader, err) : 0;
    return rc == -ERR_CORRUPT ? 0 : rc; /* told; the next line goes on with the next frame */
}

/* Is what is damaged behind the last intact line the torn end of an append? Then it never counted.
 */
static int forgive_torn_end(struct salvage *salvage, const struct file_reader *reader,
                            struct err *err)
{
    bool torn = false;

    if (salvage->where == NULL || reader->zstd != NULL) {
        return 0;
    }
    int rc = file_tail_is_torn(reader->fd, reader->path, &salvage->load->origin->uuid,
                               salvage->good_offset, &torn, err);
    if (rc == 0 && torn) {
        free(salvage->where);
        salvage->where = NULL;
        salvage->bad = 0;
    }
    return rc;
}

static int read_segment(struct salvage *salvage, size_t i, struct err *err)
{
    const struct file_load *load = salvage->load;
    AUTO(file_reader_close) struct file_reader reader = {.fd = -1};
    bool sealed;
    bool there;
    bool more = true;

    int rc = file_segment_open(load->vault, load->origin, load->hold->folder,
                               load->origin->segments[i].first, &reader, &sealed, &there, err);
    if (rc == -ERR_CORRUPT) {
        note_bad(salvage, err);
        return 0;
    }
    if (rc < 0 || !there) {
        return rc; /* what is missing shows at the next one */
    }
    reader.careful = true;
    salvage->good_offset = 0;
    salvage->first = load->origin->segments[i].first;
    for (uint64_t lines = 1; rc == 0 && more; lines++) {
        rc = step(salvage, &reader, &more, err);
        if (rc == 0 && lines % LINES_BETWEEN_CHECKS == 0) {
            rc = file_go_on(load->vault, load->deadline, err);
        }
    }
    bool last = i + 1 == load->origin->segment_count;
    return rc == 0 && last ? forgive_torn_end(salvage, &reader, err) : rc;
}

/* The late changes that can be found; each proves itself when it is used. */
static int list_lates(struct salvage *salvage, struct err *err)
{
    const struct file_load *load = salvage->load;
    AUTO(free_ptr) char *path = file_origin_path(load->vault, load->origin, FILE_LATE_NAME);
    AUTO(file_reader_close) struct file_reader reader = {.fd = -1};
    int fd = file_openat(load->hold->folder, FILE_LATE_NAME, O_RDONLY);

    if (fd < 0) {
        return errno == ENOENT || errno == ELOOP ? 0 : file_errno(err, errno, "opening", path);
    }
    int rc = file_reader_open_take(fd, path, false, &reader, err);
    while (rc == 0) {
        struct err why = ERR_INIT;
        struct file_late late;
        enum file_line_kind kind;
        struct str line;
        bool gap;
        rc = file_reader_next(&reader, &line, &kind, err);
        if (rc < 0 || kind == FILE_LINE_END) {
            break;
        }
        late = (struct file_late){.offset = reader.offset, .len = line.len};
        if (kind == FILE_LINE_LONG) {
            rc = file_reader_skip(&reader, err);
        } else if (file_line_peek(line, &late.seq, &gap, &why) == 0 && !gap) {
            file_late_add(load->origin, &late);
        } else {
            (void)err_set(&why, ERR_CORRUPT, "it is no late change");
            (void)file_reader_context(&reader, &why);
            add_damage_take(salvage, 1, 0, xstrdup(why.message)); /* what it was stays a gap */
        }
    }
    file_late_sort(load->origin);
    return rc;
}

/* ---- the whole ---- */

int file_salvage_origin(const struct file_load *load, const struct vault_filter *filter,
                        vault_scan_fn *each, void *arg, struct file_salvage *ret, struct err *err)
{
    struct salvage salvage = {.load = load,
                              .filter = filter,
                              .each = each,
                              .arg = arg,
                              .found = ret,
                              .record = BUF_INIT(CHANGE_LINE_MAX)};

    file_origin_forget(load->origin);
    int rc = file_load_list(load, err);
    if (rc == 0) {
        rc = list_lates(&salvage, err);
    }
    for (size_t i = 0; rc == 0 && i < load->origin->segment_count; i++) {
        rc = read_segment(&salvage, i, err);
    }
    if (rc == 0 && salvage.where != NULL) {
        add_damage_take(&salvage, ret->seq + 1, ret->seq + salvage.bad, salvage.where);
        salvage.where = NULL;
    }
    free(salvage.where);
    buf_done(&salvage.record);
    file_origin_forget(load->origin); /* what was listed is not what a load finds */
    return rc;
}
