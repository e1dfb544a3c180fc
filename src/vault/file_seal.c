/*
 * Sealing: a segment that is no longer appended to is compressed, on a thread of its own, so that
 * no append waits for it. The plain file counts until the compressed one is proved to hold the same
 * and has its final name (docs/formats.md §2.2).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <unistd.h>
#include <zstd.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/json.h"
#include "model/emit.h"
#include "vault/file_vault.h"

#define SUMMARY_MAGIC 0x184D2A50U /* of a skippable frame, RFC 8878 §3.1.2 */
#define SUMMARY_MAX 512           /* bytes of its JSON; it has at most 350 */
#define LEVEL 3                   /* some 300 MB/s: the disk is slower */
#define FRAME_TEXT_MAX (FILE_FRAME_BYTES + CHANGE_LINE_MAX + 1)
#define PAUSE_AFTER_FAILURE_MS (60 * 1000)

/* ---- the summary ---- */

static void le32_put(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        p[i] = (uint8_t)(v >> (8 * i));
    }
}

static uint32_t le32_get(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int write_summary(const struct file_segment *segment, struct buf *buf, struct err *err)
{
    struct emit emit = emit_begin(buf, err);
    char prev[SHA256_HEX_MAX];
    char hash[SHA256_HEX_MAX];

    sha256_hex(&segment->prev, prev);
    sha256_hex(&segment->hash, hash);
    EMIT(&emit, "{\"changes\":");
    emit_uint(&emit, segment->last + 1 - segment->first);
    EMIT(&emit, ",\"first\":");
    emit_uint(&emit, segment->first);
    EMIT(&emit, ",\"gaps\":");
    emit_uint(&emit, segment->gaps);
    EMIT(&emit, ",\"hash\":");
    emit_string(&emit, str_of(hash));
    EMIT(&emit, ",\"last\":");
    emit_uint(&emit, segment->last);
    EMIT(&emit, ",\"prev\":");
    emit_string(&emit, str_of(prev));
    int rc = emit_end(&emit);
    return rc == 0 ? file_line_end_sum(buf, emit.start, err) : rc;
}

static bool parse_summary(struct str text, struct file_segment *ret)
{
    AUTO(json_unref) json_t *root = NULL;
    struct err why = ERR_INIT;
    json_int_t changes;
    json_int_t first;
    json_int_t gaps;
    json_int_t last;
    const char *hash;
    const char *prev;

    if (!file_line_sum_is_right(text) || json_parse(text, &root, &why) < 0 ||
        json_unpack(root, "{s:I,s:I,s:I,s:s,s:I,s:s}", "changes", &changes, "first", &first, "gaps",
                    &gaps, "hash", &hash, "last", &last, "prev", &prev) != 0 ||
        first < 1 || last < first || changes != last + 1 - first || gaps < 0 || gaps > changes ||
        sha256_parse_hex(str_of(hash), &ret->hash, &why) < 0 ||
        sha256_parse_hex(str_of(prev), &ret->prev, &why) < 0) {
        return false;
    }
    ret->first = (uint64_t)first;
    ret->last = (uint64_t)last;
    ret->gaps = (uint64_t)gaps;
    return true;
}

int file_summary_read(int fd, const char *path, struct file_segment *ret, bool *ret_found,
                      struct err *err)
{
    uint8_t bytes[8 + SUMMARY_MAX];
    struct file_segment found = {0};

    *ret_found = false;
    ssize_t got = pread(fd, bytes, sizeof(bytes), 0);
    if (got < 0) {
        return file_errno(err, errno, "reading", path);
    }
    if (got < 8 || le32_get(bytes) != SUMMARY_MAGIC || le32_get(bytes + 4) > SUMMARY_MAX ||
        le32_get(bytes + 4) > (size_t)got - 8) {
        return 0;
    }
    if (parse_summary((struct str){(const char *)bytes + 8, le32_get(bytes + 4)}, &found)) {
        *ret = found;
        *ret_found = true;
    }
    return 0;
}

/* ---- one segment ---- */

struct seal {
    const char *path; /* of the origin's folder */
    int folder;
    const struct uuid *origin;
    const _Atomic bool *stop;
    struct file_segment segment;
    char plain[FILE_NAME_MAX];
    char sealed[FILE_NAME_MAX];
    char temporary[FILE_NAME_MAX];
};

static int stopped(const struct seal *seal, struct err *err)
{
    return atomic_load(seal->stop) ? err_set(err, ERR_CANCELLED, "%s: cancelled", seal->path) : 0;
}

static int open_reader(const struct seal *seal, const char *name, bool compressed,
                       struct file_reader *ret, struct err *err)
{
    AUTO(free_ptr) char *path = path_join(seal->path, name);
    int fd = file_openat(seal->folder, name, O_RDONLY);

    if (fd < 0) {
        return file_errno(err, errno, "opening", path);
    }
    return file_reader_open_take(fd, path, compressed, ret, err);
}

static int prove(const struct seal *seal, const struct file_reader *reader, struct str line,
                 struct file_line *ret, struct err *err)
{
    AUTO(buf_done) struct buf record = BUF_INIT(CHANGE_LINE_MAX);
    struct change change;

    if (file_line_read(line, seal->origin, &record, ret, &change, err) < 0) {
        return file_reader_context(reader, err);
    }
    return 0;
}

/* What the summary says, out of the plain segment. A damaged one is not sealed. */
static int sum_up(struct seal *seal, struct err *err)
{
    AUTO(file_reader_close) struct file_reader reader = {.fd = -1};
    struct file_segment *segment = &seal->segment;
    AUTO(buf_done) struct buf last = BUF_INIT(CHANGE_LINE_MAX);
    struct file_line proved;
    struct str line;
    bool more = true;

    segment->last = segment->first - 1;
    segment->gaps = 0;
    int rc = open_reader(seal, seal->plain, false, &reader, err);
    while (rc == 0 && (rc = file_reader_line(&reader, &line, &more, err)) == 0 && more) {
        uint64_t seq;
        bool gap;
        rc = file_line_peek(line, &seq, &gap, err);
        if (rc < 0 || seq != segment->last + 1) {
            (void)err_set(err, ERR_CORRUPT, "it is not the line that is due");
            return file_reader_context(&reader, err);
        }
        if (seq == segment->first) {
            rc = prove(seal, &reader, line, &proved, err);
            segment->prev = rc == 0 ? proved.prev : segment->prev;
        }
        buf_reset(&last);
        rc = rc == 0 ? buf_add_str(&last, line, err) : rc;
        segment->last = seq;
        segment->gaps += gap ? 1 : 0;
        rc = rc == 0 ? stopped(seal, err) : rc;
    }
    if (rc == 0) {
        rc = prove(seal, &reader, buf_str(&last), &proved, err);
        segment->hash = rc == 0 ? proved.hash : segment->hash;
    }
    return rc;
}

/* What was gathered, as a frame of its own. */
static int compress_frame(ZSTD_CCtx *zstd, struct buf *text, struct buf *packed, int to,
                          const char *path, struct err *err)
{
    size_t bound = ZSTD_compressBound(text->len);

    buf_reset(packed);
    int rc = buf_reserve(packed, bound, err);
    if (rc < 0) {
        return rc;
    }
    size_t len = ZSTD_compress2(zstd, packed->data, bound, text->data, text->len);
    if (ZSTD_isError(len)) {
        return err_set(err, ERR_INTERNAL, "%s: compressing: %s", path, ZSTD_getErrorName(len));
    }
    buf_reset(text);
    return file_write_all(to, packed->data, len, path, err) < 0 ? file_trouble(err) : 0;
}

/* Whole lines into each frame, so that what is damaged of one costs no line of another. */
static int compress(const struct seal *seal, ZSTD_CCtx *zstd, int to, const char *path,
                    struct err *err)
{
    AUTO(file_reader_close) struct file_reader reader = {.fd = -1};
    AUTO(buf_done) struct buf text = BUF_INIT(FRAME_TEXT_MAX);
    AUTO(buf_done) struct buf packed = BUF_INIT(ZSTD_compressBound(FRAME_TEXT_MAX));
    struct str line;
    bool more = true;

    int rc = open_reader(seal, seal->plain, false, &reader, err);
    while (rc == 0 && more) {
        rc = file_reader_line(&reader, &line, &more, err);
        if (rc == 0 && more && (rc = buf_add_str(&text, line, err)) == 0) {
            rc = buf_add_c(&text, "\n", err);
        }
        if (rc == 0 && (more ? text.len >= FILE_FRAME_BYTES : text.len > 0)) {
            rc = stopped(seal, err);
            rc = rc == 0 ? compress_frame(zstd, &text, &packed, to, path, err) : rc;
        }
    }
    return rc;
}

static int write_summary_frame(const struct seal *seal, int to, const char *path, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT(SUMMARY_MAX);
    uint8_t head[8];

    int rc = write_summary(&seal->segment, &text, err);
    le32_put(head, SUMMARY_MAGIC);
    le32_put(head + 4, (uint32_t)text.len);
    if (rc == 0) {
        rc = file_write_all(to, head, sizeof(head), path, err);
    }
    if (rc == 0) {
        rc = file_write_all(to, text.data, text.len, path, err);
    }
    return rc < 0 ? file_trouble(err) : 0;
}

static int write_sealed(const struct seal *seal, struct err *err)
{
    AUTO(free_ptr) char *path = path_join(seal->path, seal->temporary);
    AUTO(close_fd)
    int to = file_openat(seal->folder, seal->temporary, O_WRONLY | O_CREAT | O_TRUNC);

    if (to < 0) {
        return file_errno(err, errno, "making", path);
    }
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    if (zstd == NULL || ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, LEVEL))) {
        abort(); /* memory is out: see buf.h */
    }
    int rc = write_summary_frame(seal, to, path, err);
    CRASH_POINT("vault.seal.begun");
    if (rc == 0) {
        rc = compress(seal, zstd, to, path, err);
    }
    (void)ZSTD_freeCCtx(zstd); /* always 0 */
    CRASH_POINT("vault.seal.written");
    if (rc == 0 && file_sync(to, path, err) < 0) {
        rc = file_trouble(err);
    }
    CRASH_POINT("vault.seal.synced");
    return rc;
}

/* The two files hold the same lines. */
static int compare(const struct seal *seal, struct err *err)
{
    AUTO(file_reader_close) struct file_reader plain = {.fd = -1};
    AUTO(file_reader_close) struct file_reader packed = {.fd = -1};
    struct str a;
    struct str b;
    bool more = true;

    int rc = open_reader(seal, seal->plain, false, &plain, err);
    if (rc == 0) {
        rc = open_reader(seal, seal->temporary, true, &packed, err);
    }
    while (rc == 0 && more) {
        bool more_packed = false;
        rc = file_reader_line(&plain, &a, &more, err);
        if (rc == 0) {
            rc = file_reader_line(&packed, &b, &more_packed, err);
        }
        if (rc == 0 && (more != more_packed || (more && !str_eq(a, b)))) {
            rc = err_set(err, ERR_UNAVAILABLE, "%s is not what was written to it", packed.path);
        }
        rc = rc == 0 ? stopped(seal, err) : rc;
    }
    return rc;
}

static int put_in_place(const struct seal *seal, struct err *err)
{
    if (FAULT("vault.rename", EIO) ||
        renameat(seal->folder, seal->temporary, seal->folder, seal->sealed) != 0) {
        return file_errno(err, errno, "renaming", seal->temporary);
    }
    CRASH_POINT("vault.seal.renamed");
    int rc = file_sync_fd(seal->folder, seal->path, err);
    if (rc < 0) {
        return rc;
    }
    CRASH_POINT("vault.seal.folder_synced");
    if (unlinkat(seal->folder, seal->plain, 0) != 0) {
        return file_errno(err, errno, "removing the sealed", seal->plain);
    }
    CRASH_POINT("vault.seal.unlinked");
    return file_sync_fd(seal->folder, seal->path, err);
}

/* Its lock is the plain file's own, so that of two installations one seals it. */
static int seal_segment(struct seal *seal, struct err *err)
{
    struct stat st;
    AUTO(close_fd) int fd = file_openat(seal->folder, seal->plain, O_RDONLY);

    if (fd < 0) {
        return errno == ENOENT ? 0 : file_errno(err, errno, "opening", seal->plain);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, &st) != 0 || st.st_nlink == 0) {
        return 0; /* somebody is at it, or was done with it just now */
    }
    int rc = sum_up(seal, err);
    if (rc == 0) {
        rc = write_sealed(seal, err);
    }
    if (rc == 0) {
        rc = compare(seal, err);
        CRASH_POINT("vault.seal.compared");
    }
    if (rc == 0) {
        return put_in_place(seal, err);
    }
    (void)unlinkat(seal->folder, seal->temporary, 0); /* never read; made anew the next time */
    return rc;
}

/* ---- all of an origin ---- */

/* The lowest plain segment from `from` on, if it is not the last of all. */
static int find_plain(int folder, uint64_t from, uint64_t *ret_first, bool *ret_found,
                      struct err *err)
{
    int fd = file_openat(folder, ".", O_RDONLY | O_DIRECTORY);
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    uint64_t plain = UINT64_MAX;
    uint64_t last = 0;

    if (entries == NULL) {
        int saved = errno;
        close_fd(&fd);
        return file_errno(err, saved, "listing", "an origin");
    }
    while ((entry = readdir(entries)) != NULL) {
        uint64_t first;
        bool sealed;
        if (file_segment_parse(entry->d_name, &first, &sealed)) {
            last = first > last ? first : last;
            plain = !sealed && first >= from && first < plain ? first : plain;
        }
    }
    (void)closedir(entries); /* nothing was written */
    *ret_first = plain;
    *ret_found = plain < last;
    return 0;
}

int file_seal_origin(const char *path, const struct uuid *origin, const _Atomic bool *stop,
                     struct err *err)
{
    AUTO(close_fd) int folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct err first = ERR_INIT;
    uint64_t from = 1;

    if (folder < 0) {
        return file_errno(err, errno, "opening", path);
    }
    for (;;) {
        struct seal seal = {.path = path, .folder = folder, .origin = origin, .stop = stop};
        bool found = false;
        struct err trouble = ERR_INIT;
        int rc = find_plain(folder, from, &seal.segment.first, &found, err);
        if (rc < 0 || !found) {
            return rc < 0 || first.code == ERR_NONE ? rc : err_copy(err, &first);
        }
        from = seal.segment.first + 1;
        file_segment_name(seal.segment.first, false, seal.plain);
        file_segment_name(seal.segment.first, true, seal.sealed);
        (void)snprintf(seal.temporary, sizeof(seal.temporary), "%.35s.tmp", seal.sealed);
        rc = seal_segment(&seal, &trouble);
        if (rc == -ERR_CANCELLED || rc == -ERR_FULL) {
            return err_copy(err, &trouble);
        }
        if (rc < 0 && first.code == ERR_NONE) {
            first = trouble;
        }
    }
}

/* ---- the thread ---- */

struct file_sealer {
    pthread_t thread;
    char *path;
    struct uuid origin;
    _Atomic bool stop;
    _Atomic bool done;
    bool failed; /* read after done */
};

static void *seal_run(void *arg)
{
    struct file_sealer *sealer = arg;
    struct err err = ERR_INIT;

    /* What can't be sealed stays plain, which is as good; the next time tries again. */
    sealer->failed = file_seal_origin(sealer->path, &sealer->origin, &sealer->stop, &err) < 0;
    atomic_store(&sealer->done, true);
    return NULL;
}

static void reap(struct file_vault *vault)
{
    struct file_sealer *sealer = vault->sealer;

    (void)pthread_join(sealer->thread, NULL); /* started, and joined once */
    if (sealer->failed) {
        vault->seal_after_ms = vault->env->mono_ms(vault->env) + PAUSE_AFTER_FAILURE_MS;
    }
    free(sealer->path);
    free(sealer);
    vault->sealer = NULL;
}

void file_seal_start(struct file_vault *vault, struct file_origin *origin)
{
    if (vault->sealer != NULL && atomic_load(&vault->sealer->done)) {
        reap(vault);
    }
    if (vault->sealer != NULL || vault->env->mono_ms(vault->env) < vault->seal_after_ms) {
        return;
    }
    struct file_sealer *sealer = xcalloc(1, sizeof(*sealer));
    sealer->path = file_origin_path(vault, origin, NULL);
    sealer->origin = origin->uuid;
    if (pthread_create(&sealer->thread, NULL, seal_run, sealer) != 0) {
        free(sealer->path);
        free(sealer);
        return; /* no thread to be had: the next roll tries again */
    }
    vault->sealer = sealer;
    origin->unsealed = false;
}

void file_seal_stop(struct file_vault *vault)
{
    if (vault->sealer != NULL) {
        atomic_store(&vault->sealer->stop, true);
        reap(vault);
    }
}
