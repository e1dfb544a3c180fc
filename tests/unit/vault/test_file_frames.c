/* A sealed segment is made of frames that stand alone: damage costs the one that it is in. */
#include "vault/box.h"

#include <zstd.h>

#define CHANGES 240 /* in the sealed segment: five frames of 52 or so */
#define FRAMES_MAX 8

struct frame {
    size_t offset; /* in the file */
    size_t len;
    uint64_t first; /* seq */
    uint64_t last;
};

struct sealed {
    char *path;
    struct buf bytes;
    struct frame frames[FRAMES_MAX];
    size_t count;
};

/* A sealed segment of CHANGES, and an open one with one more. */
static void fill(struct box *box)
{
    chain_grow(&box->chain, CHANGES + 1, 20000);
    box_append(box, 1, CHANGES);
    vault_file_set_segment_max(box->vault, 1);
    box_append(box, CHANGES + 1, CHANGES + 1);
    file_seal_stop((struct file_vault *)box->vault);
    box_seal(box);
    box_close(box);
}

static uint64_t count_lines(const char *text, size_t len)
{
    uint64_t lines = 0;

    for (size_t i = 0; i < len; i++) {
        lines += text[i] == '\n' ? 1 : 0;
    }
    return lines;
}

/* What is in the sealed file; each frame holds whole lines. */
static struct sealed look(struct box *box)
{
    struct sealed sealed = {.path = box_file(box, BOX_SEGMENT_1 ".zst")};
    uint64_t seq = 0;

    sealed.bytes = place_read(sealed.path);
    size_t at = ZSTD_findFrameCompressedSize(sealed.bytes.data, sealed.bytes.len); /* the summary */
    while (at < sealed.bytes.len) {
        const char *begin = sealed.bytes.data + at;
        size_t len = ZSTD_findFrameCompressedSize(begin, sealed.bytes.len - at);
        size_t text_len = (size_t)ZSTD_getFrameContentSize(begin, len);
        char *text = xmalloc(text_len);
        assert_int_equal(ZSTD_decompress(text, text_len, begin, len), text_len);
        assert_int_equal(text[0], '{');
        assert_int_equal(text[text_len - 1], '\n');
        assert_in_range(text_len, 1, FILE_FRAME_BYTES + CHANGE_LINE_MAX + 1);
        assert_true(text_len >= FILE_FRAME_BYTES || at + len == sealed.bytes.len);
        assert_in_range(sealed.count, 0, FRAMES_MAX - 1);
        struct frame *frame = &sealed.frames[sealed.count++];
        *frame = (struct frame){at, len, seq + 1, seq + count_lines(text, text_len)};
        seq = frame->last;
        free(text);
        at += len;
    }
    assert_int_equal(seq, CHANGES);
    assert_in_range(sealed.count, 4, FRAMES_MAX);
    return sealed;
}

static void forget(struct sealed *sealed)
{
    buf_done(&sealed->bytes);
    free(sealed->path);
}

/* Note what is given; whatever it is, it must be what was sent. */
static int take(void *arg, const struct change *change, struct err *err)
{
    bool *given = arg;

    (void)err;
    assert_in_range(change->seq, 1, CHANGES + 1);
    assert_false(given[change->seq]);
    given[change->seq] = true;
    return 0;
}

/*
 * A recovery from the copy as it is now: exactly from..to are not given, and that is told as one
 * damage in the sealed file, or as damage that costs nothing when from > to.
 */
static void assert_costs(struct box *box, uint64_t from, uint64_t to)
{
    struct vault_filter filter = {.origin = box->chain.origin};
    struct vault_damage *damages = NULL;
    bool given[CHANGES + 2] = {false};
    struct err err = ERR_INIT;
    size_t count = 0;

    box->options.read_only = true;
    box_open(box);
    assert_ok(vault_file_ops.salvage(box->vault, &damages, &count, deadline_in(60000), &err), &err);
    assert_int_equal(count, 1);
    assert_int_equal(damages[0].from, from);
    assert_int_equal(damages[0].to, to);
    assert_non_null(strstr(damages[0].where, BOX_SEGMENT_1 ".zst: record "));
    vault_damages_free(damages, count);
    assert_ok(vault_file_ops.scan(box->vault, &filter, take, given, deadline_in(60000), &err),
              &err);
    for (uint64_t seq = 1; seq <= CHANGES + 1; seq++) {
        assert_int_equal(given[seq], seq < from || seq > to);
    }
    box_close(box);
}

/* The file with `len` bytes from `at` on made zero. */
static void with_zeros(struct sealed *sealed, size_t at, size_t len)
{
    AUTO(buf_done) struct buf bytes = BUF_INIT(SIZE_MAX / 2);
    struct err err = ERR_INIT;

    assert_ok(buf_add_str(&bytes, buf_str(&sealed->bytes), &err), &err);
    memset(bytes.data + at, 0, len);
    place_write(sealed->path, buf_str(&bytes));
}

static void damage_costs_the_frame_that_it_is_in_and_no_other(void **state)
{
    struct box *box = *state;

    fill(box);
    struct sealed sealed = look(box);
    for (size_t i = 0; i < sealed.count; i++) {
        const struct frame *frame = &sealed.frames[i];
        with_zeros(&sealed, frame->offset, 4); /* it does not even begin as one */
        assert_costs(box, frame->first, frame->last);
        with_zeros(&sealed, frame->offset + 9, 8); /* its first block */
        assert_costs(box, frame->first, frame->last);
    }
    place_write(sealed.path, buf_str(&sealed.bytes));
    forget(&sealed);
    box_open(box);
    box_assert_holds(box, CHANGES + 1);
}

static void damage_over_the_border_of_two_frames_costs_both(void **state)
{
    struct box *box = *state;

    fill(box);
    struct sealed sealed = look(box);
    size_t middle = sealed.frames[1].offset + 9;
    with_zeros(&sealed, middle, sealed.frames[2].offset + 4 - middle);
    assert_costs(box, sealed.frames[1].first, sealed.frames[2].last);
    forget(&sealed);
    box_open(box);
}

/* What can't be decompressed as a whole may well be text that proves itself, line by line. */
static void a_wrong_checksum_costs_nothing(void **state)
{
    struct box *box = *state;

    fill(box);
    struct sealed sealed = look(box);
    with_zeros(&sealed, sealed.frames[2].offset - 4, 4);
    assert_costs(box, sealed.frames[2].first, sealed.frames[2].first - 1);
    forget(&sealed);
    box_open(box);
}

/* Whatever it then says of how long it is: the frames behind it are found. */
static void a_damaged_summary_costs_nothing(void **state)
{
    struct box *box = *state;

    fill(box);
    struct sealed sealed = look(box);
    with_zeros(&sealed, 0, 4);
    assert_costs(box, 1, 0);
    memset(sealed.bytes.data + 4, 0xff, 4);
    with_zeros(&sealed, 8, 1);
    assert_costs(box, 1, 0);
    forget(&sealed);
    box_open(box);
}

static void an_end_that_is_missing_costs_what_was_in_it(void **state)
{
    struct box *box = *state;

    fill(box);
    struct sealed sealed = look(box);
    const struct frame *cut = &sealed.frames[sealed.count - 2];
    place_write(sealed.path, (struct str){sealed.bytes.data, cut->offset + 20});
    assert_costs(box, cut->first, CHANGES);
    forget(&sealed);
    box_open(box);
}

/* The number that frames begin with may turn up anywhere: what does not prove itself is no change.
 */
static void what_looks_like_a_frame_within_damage_is_passed_over(void **state)
{
    struct box *box = *state;

    fill(box);
    struct sealed sealed = look(box);
    const struct frame *frame = &sealed.frames[1];
    char *bytes = sealed.bytes.data + frame->offset;
    for (size_t at = 9; at + 16 < frame->len; at += 16) {
        memcpy(bytes + at, sealed.bytes.data + sealed.frames[0].offset, 16);
    }
    with_zeros(&sealed, frame->offset, 4);
    assert_costs(box, frame->first, frame->last);
    forget(&sealed);
    box_open(box);
}

/* No more room, no more frame, no more file: that is the end, and no frame that was cut off. */
static void a_last_frame_that_just_fits_the_window_is_whole(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *path = path_join(box->folder, "fits.zst");
    AUTO(file_reader_close) struct file_reader reader = {.fd = -1};
    AUTO(free_ptr) char *packed = xmalloc(ZSTD_compressBound(FILE_READER_MIN));
    AUTO(free_ptr) char *text = xmalloc(FILE_READER_MIN);
    struct err err = ERR_INIT;
    struct str line;
    bool more = true;
    size_t lines = 0;

    memset(text, 'x', FILE_READER_MIN);
    for (size_t end = 1024; end <= FILE_READER_MIN; end += 1024) {
        text[end - 1] = '\n';
    }
    size_t len =
        ZSTD_compress(packed, ZSTD_compressBound(FILE_READER_MIN), text, FILE_READER_MIN, 3);
    place_write(path, (struct str){packed, len});
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_ok(file_reader_open_take(fd, path, true, &reader, &err), &err);
    while (more) {
        assert_ok(file_reader_line(&reader, &line, &more, &err), &err);
        lines += more ? 1 : 0;
    }
    assert_int_equal(lines, FILE_READER_MIN / 1024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOX_TEST(damage_costs_the_frame_that_it_is_in_and_no_other),
        BOX_TEST(damage_over_the_border_of_two_frames_costs_both),
        BOX_TEST(a_wrong_checksum_costs_nothing),
        BOX_TEST(a_damaged_summary_costs_nothing),
        BOX_TEST(an_end_that_is_missing_costs_what_was_in_it),
        BOX_TEST(what_looks_like_a_frame_within_damage_is_passed_over),
        BOX_TEST(a_last_frame_that_just_fits_the_window_is_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
