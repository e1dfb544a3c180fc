/* Appending a batch: what is there already is compared, what fills a gap goes to late.jsonl, the
 * rest behind the head. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "vault/file_vault.h"

#define LINE_EXTRA 512 /* bytes: the suffix of a line, or the whole of a gap's */

/* One append: what it writes where. */
struct append {
    struct file_vault *vault;
    struct file_origin *origin;
    const struct file_hold *hold;
    const struct vault_batch *batch;
    struct buf text;         /* lines that go behind the head */
    struct buf late;         /* lines that fill gaps */
    struct file_late *lates; /* of these, offsets from the start of `late` */
    size_t late_count;
    struct file_line head; /* the last line in text, when there is any */
    uint64_t first;        /* the first seq in text */
    uint64_t gaps;         /* in text */
};

/* ---- what is there already ---- */

static int fork_found(const struct append *append, const struct vault_item *item,
                      const struct sha256 *there, struct err *err)
{
    char ours[SHA256_HEX_MAX];
    char theirs[SHA256_HEX_MAX];

    sha256_hex(&item->hash, ours);
    sha256_hex(there, theirs);
    return err_set(err, ERR_CORRUPT,
                   "%s: two histories of the origin %s: before or at seq %llu the vault has the "
                   "hash %.12s…, the ledger %.12s…",
                   append->vault->path, append->origin->name, (unsigned long long)item->seq, theirs,
                   ours);
}

static int add_late(struct append *append, const struct vault_item *item, struct err *err)
{
    size_t start = append->late.len;

    int rc = change_write_line(item->record, &item->prev, &item->hash, &append->late, err);
    if (rc == 0) {
        append->lates = xrealloc(append->lates, (append->late_count + 1) * sizeof(*append->lates));
        append->lates[append->late_count++] =
            (struct file_late){item->seq, start, append->late.len - start - 1};
    }
    return rc;
}

static int compare_item(struct append *append, const struct file_walk *walk,
                        const struct vault_item *item, struct str line, struct buf *record,
                        struct err *err)
{
    struct file_line found;
    struct change change;

    if (file_line_read(line, &append->origin->uuid, record, &found, &change, err) < 0) {
        return file_reader_context(&walk->reader, err);
    }
    if (found.seq != item->seq || !sha256_eq(&found.hash, &item->hash)) {
        return fork_found(append, item, &found.hash, err);
    }
    if (found.gap && item->record.len > 0 && file_late_find(append->origin, item->seq) == NULL) {
        return add_late(append, item, err);
    }
    return 0;
}

/* Compare the first `count` items, which the vault should have. */
static int compare_items(struct append *append, size_t count, struct err *err)
{
    AUTO(buf_done) struct buf record = BUF_INIT(CHANGE_LINE_MAX);
    AUTO(file_walk_close) struct file_walk walk = {0};
    const struct vault_item *items = append->batch->items;
    struct str line;
    int rc = 0;

    if (count > 0) {
        rc = file_walk_open(append->vault, append->origin, append->hold, items[0].seq, &walk, err);
    }
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = file_walk_next(&walk, &line, err);
        if (rc == 0) {
            rc = compare_item(append, &walk, &items[i], line, &record, err);
        }
    }
    return rc;
}

/* ---- what is new ---- */

static int add_line(struct append *append, const struct vault_item *item, struct err *err)
{
    const struct file_origin *origin = append->origin;
    bool first = append->text.len == 0;
    const struct sha256 *prev = first ? &origin->hash : &append->head.hash;
    uint64_t due = first ? origin->seq + 1 : append->head.seq + 1;
    struct file_line line = {item->seq, item->prev, item->hash, item->record.len == 0};

    if (item->seq != due) {
        return err_set(err, ERR_CORRUPT,
                       "%s: the vault holds the origin %s up to seq %llu, but seq %llu is next: it "
                       "was emptied or rolled back",
                       append->vault->path, origin->name, (unsigned long long)due - 1,
                       (unsigned long long)item->seq);
    }
    if (!sha256_eq(prev, &item->prev)) {
        return fork_found(append, item, prev, err);
    }
    int rc = line.gap
                 ? file_line_write_gap(&origin->uuid, &line, &append->text, err)
                 : change_write_line(item->record, &item->prev, &item->hash, &append->text, err);
    append->first = first ? item->seq : append->first;
    append->head = line;
    append->gaps += line.gap ? 1 : 0;
    return rc;
}

static int sort_out(struct append *append, struct err *err)
{
    const struct vault_batch *batch = append->batch;
    size_t there = 0;

    while (there < batch->count && batch->items[there].seq <= append->origin->seq) {
        there++;
    }
    int rc = compare_items(append, there, err);
    for (size_t i = there; rc == 0 && i < batch->count; i++) {
        rc = add_line(append, &batch->items[i], err);
    }
    return rc;
}

/* ---- writing ---- */

/* Open for appending a file that is `size` bytes long; *ret_made when it was not there. */
static int open_end(const struct append *append, const char *name, const char *path, uint64_t size,
                    bool *ret_made, struct err *err)
{
    struct stat st;

    *ret_made = false;
    AUTO(close_fd) int fd = file_openat(append->hold->folder, name, O_WRONLY | O_APPEND);
    if (fd < 0 && errno == ENOENT && size == 0) {
        fd = file_openat(append->hold->folder, name, O_WRONLY | O_APPEND | O_CREAT | O_EXCL);
        *ret_made = fd >= 0;
    }
    if (fd < 0 && errno == ELOOP) {
        return err_set(err, ERR_CORRUPT, "%s is a symbolic link; a vault has none", path);
    }
    if (fd < 0 || fstat(fd, &st) != 0) {
        return file_errno(err, errno, "opening", path);
    }
    if ((uint64_t)st.st_size != size) {
        return err_set(err, ERR_UNAVAILABLE, "%s: somebody else writes to it without its lock",
                       path);
    }
    int result = fd;
    fd = -1;
    return result;
}

/*
 * After a failed write or sync nobody knows what of it is on the disk, and the kernel may say later
 * that all is well: what was added is cut off, so that it is written again from the start.
 */
static int take_back(struct append *append, int fd, const char *name, uint64_t size,
                     struct err *err)
{
    struct file_origin *origin = append->origin;
    struct stat st;

    if (FAULT("vault.truncate", EIO) || ftruncate(fd, (off_t)size) != 0 || fsync(fd) != 0) {
        (void)snprintf(origin->doubt_name, sizeof(origin->doubt_name), "%s", name);
        origin->doubt_from = size;
        origin->doubt_end = fstat(fd, &st) == 0 ? (uint64_t)st.st_size : size;
    }
    file_origin_forget(origin);
    return file_trouble(err);
}

/* Add text to a file of the origin, durably. */
static int write_end(struct append *append, const char *name, uint64_t size, struct str text,
                     struct err *err)
{
    AUTO(free_ptr) char *path = file_origin_path(append->vault, append->origin, name);
    bool made;
    AUTO(close_fd) int fd = open_end(append, name, path, size, &made, err);

    if (fd < 0) {
        return -(int)err->code;
    }
    CRASH_POINT("vault.append.before_write");
    int rc = file_write_all(fd, text.ptr, text.len, path, err);
    CRASH_POINT("vault.append.after_write");
    if (rc == 0) {
        rc = file_sync(fd, path, err);
    }
    if (rc < 0) {
        return take_back(append, fd, name, size, err);
    }
    CRASH_POINT("vault.append.after_sync");
    if (made) {
        rc = file_sync_fd(append->hold->folder, path, err);
        CRASH_POINT("vault.append.folder_synced");
    }
    if (rc < 0) {
        return take_back(append, fd, name, size, err);
    }
    return 0;
}

/* The last segment, or a new one when there is none, or it is full or sealed. */
static struct file_segment *segment_for(struct append *append, bool *ret_new)
{
    struct file_origin *origin = append->origin;
    size_t count = origin->segment_count;
    struct file_segment *tail = count == 0 ? NULL : &origin->segments[count - 1];

    *ret_new = tail == NULL || tail->sealed || origin->bytes >= append->vault->segment_max;
    if (!*ret_new) {
        return tail;
    }
    origin->unsealed = origin->unsealed || (tail != NULL && !tail->sealed);
    origin->segments = xrealloc(origin->segments, (count + 1) * sizeof(*origin->segments));
    origin->segments[count] = (struct file_segment){.first = append->first,
                                                    .last = append->first - 1,
                                                    .prev = origin->hash,
                                                    .hash = origin->hash};
    origin->segment_count++;
    origin->bytes = 0;
    return &origin->segments[count];
}

static int write_lines(struct append *append, struct err *err)
{
    struct file_origin *origin = append->origin;
    char name[FILE_NAME_MAX];
    bool is_new;

    struct file_segment *segment = segment_for(append, &is_new);
    file_segment_name(segment->first, false, name);
    int rc = write_end(append, name, origin->bytes, buf_str(&append->text), err);
    if (rc < 0) {
        return rc;
    }
    segment->last = append->head.seq;
    segment->hash = append->head.hash;
    segment->gaps += append->gaps;
    origin->seq = append->head.seq;
    origin->hash = append->head.hash;
    origin->gaps += append->gaps;
    origin->bytes += append->text.len;
    return 0;
}

static int write_lates(struct append *append, struct err *err)
{
    struct file_origin *origin = append->origin;

    int rc = write_end(append, FILE_LATE_NAME, origin->late_bytes, buf_str(&append->late), err);
    if (rc < 0) {
        return rc;
    }
    for (size_t i = 0; i < append->late_count; i++) {
        struct file_late late = append->lates[i];
        late.offset += origin->late_bytes;
        file_late_add(origin, &late);
    }
    file_late_sort(origin);
    origin->late_bytes += append->late.len;
    origin->gaps -= append->late_count;
    return 0;
}

static int write_all(struct append *append, struct err *err)
{
    int rc = append->late.len == 0 ? 0 : write_lates(append, err);

    if (rc == 0 && append->text.len > 0) {
        rc = write_lines(append, err);
    }
    if (rc == 0 && (append->late.len > 0 || append->text.len > 0)) {
        rc = file_origin_note(append->vault, append->origin, append->hold->folder, err);
    }
    if (rc < 0) {
        file_origin_forget(append->origin); /* read again what is there */
    }
    return rc;
}

int file_append(struct file_vault *vault, struct file_origin *origin,
                const struct file_place *place, const struct vault_batch *batch,
                struct deadline deadline, struct err *err)
{
    AUTO(file_origin_release) struct file_hold hold = {.folder = -1, .lock = -1};
    size_t max = VAULT_BATCH_BYTES_MAX + (size_t)LINE_EXTRA * VAULT_BATCH_MAX;
    struct append append = {.vault = vault,
                            .origin = origin,
                            .hold = &hold,
                            .batch = batch,
                            .text = BUF_INIT(max),
                            .late = BUF_INIT(max)};

    int rc = vault_batch_check(batch, err);
    if (rc == 0) {
        rc = file_origin_lock(vault, place, origin, deadline, &hold, err);
    }
    if (rc == 0) {
        rc = file_origin_refresh(vault, origin, &hold, deadline, err);
    }
    if (rc == 0) {
        rc = sort_out(&append, err);
    }
    if (rc == 0) {
        rc = write_all(&append, err);
    }
    buf_done(&append.text);
    buf_done(&append.late);
    free(append.lates);
    return rc;
}
