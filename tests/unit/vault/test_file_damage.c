/* Torn ends are cut and kept aside; any other damage is an error that names file and record. */
#include "vault/box.h"

#include <sys/file.h>

static int torn_files(struct box *box)
{
    return place_count(box->origin, "torn-");
}

static bool detail_says(struct box *box, const char *part)
{
    struct vault_health health;
    struct err err = ERR_INIT;

    assert_ok(vault_file_ops.check(box->vault, &health, deadline_in(9999), &err), &err);
    return strstr(health.detail, part) != NULL;
}

static void remove_torn(struct box *box)
{
    AUTO(free_ptr) char *path = box_file(box, "torn-20261122T181843.000001Z");

    assert_int_equal(unlink(path), 0); /* the clock stands still */
}

/* ---- torn ends ---- */

static void an_end_torn_at_any_byte_is_cut_and_kept_aside(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *path = box_file(box, BOX_SEGMENT_1);
    AUTO(free_ptr) char *torn = box_file(box, "torn-20261122T181843.000001Z");

    chain_grow(&box->chain, 5, 100);
    box_append(box, 1, 4);
    uint64_t before = place_size(path);
    box_append(box, 5, 5);
    struct buf whole = place_read(path);
    for (uint64_t len = before + 1; len < whole.len; len++) {
        box_close(box);
        place_write(path, (struct str){whole.data, (size_t)len});
        box_open(box);
        assert_int_equal(torn_files(box), 1);
        struct buf kept = place_read(torn);
        assert_true(
            str_eq(buf_str(&kept), (struct str){whole.data + before, (size_t)(len - before)}));
        buf_done(&kept);
        assert_true(detail_says(box, "1 torn end"));
        box_assert_holds(box, 4);
        assert_int_equal(place_size(path), before);
        box_append(box, 4, 5);
        box_assert_holds(box, 5);
        remove_torn(box);
    }
    buf_done(&whole);
}

static void a_torn_first_record_leaves_nothing(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *path = box_file(box, BOX_SEGMENT_1);

    chain_grow(&box->chain, 2, 100);
    box_append(box, 1, 1);
    assert_int_equal(truncate(path, 50), 0);
    box_reopen(box);
    assert_int_equal(box_head(box), 0);
    assert_int_equal(torn_files(box), 1);
    box_append(box, 1, 2);
    box_assert_holds(box, 2);
}

static void a_torn_gap_and_a_torn_late_change_are_cut(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *path = box_file(box, BOX_SEGMENT_1);
    AUTO(free_ptr) char *late = box_file(box, "late.jsonl");

    chain_grow(&box->chain, 3, 100);
    box_append(box, 1, 1);
    uint64_t one = place_size(path);
    box_append_gap(box, 2);
    struct buf whole = place_read(path);
    for (uint64_t len = one + 1; len < whole.len; len++) {
        box_close(box);
        place_write(path, (struct str){whole.data, (size_t)len});
        box_open(box);
        assert_int_equal(box_head(box), 1);
        assert_int_equal(torn_files(box), 1);
        remove_torn(box);
    }
    buf_done(&whole);
    box_append_gap(box, 2);
    box_append_gap(box, 3);
    box_append(box, 2, 2);
    uint64_t late_one = place_size(late);
    box_append(box, 3, 3);
    whole = place_read(late);
    for (uint64_t len = late_one + 1; len < whole.len; len++) {
        box_close(box);
        place_write(late, (struct str){whole.data, (size_t)len});
        box_open(box);
        assert_int_equal(torn_files(box), 1);
        assert_int_equal(place_size(late), late_one);
        remove_torn(box);
    }
    box_append(box, 3, 3);
    box_assert_holds(box, 3);
    buf_done(&whole);
}

static void a_reader_goes_by_what_is_before_a_torn_end_and_cuts_nothing(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *path = box_file(box, BOX_SEGMENT_1);

    chain_grow(&box->chain, 3, 100);
    box_append(box, 1, 3);
    uint64_t torn = place_size(path) - 7;
    assert_int_equal(truncate(path, (off_t)torn), 0);
    box->options.read_only = true;
    box_reopen(box);
    box_assert_holds(box, 2);
    assert_int_equal(place_size(path), torn);
    assert_int_equal(torn_files(box), 0);
}

/* Somebody is in the middle of an append: its end is left alone until the lock is free. */
static void what_another_is_just_writing_is_not_cut(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *path = box_file(box, BOX_SEGMENT_1);
    AUTO(free_ptr) char *lock = box_file(box, "lock");

    chain_grow(&box->chain, 3, 100);
    box_append(box, 1, 3);
    struct buf whole = place_read(path);
    assert_int_equal(truncate(path, (off_t)whole.len - 9), 0);
    AUTO(close_fd) int fd = open(lock, O_RDWR | O_CLOEXEC);
    AUTO(free_ptr) char *hold = xprintf("flock -n %s true", lock);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_true(system("command -v flock >/dev/null") != 0 || system(hold) != 0);
    box_reopen(box);
    assert_int_equal(box_head(box), 2);
    assert_int_equal(place_size(path), whole.len - 9);
    place_write(path, buf_str(&whole)); /* the other is done */
    assert_int_equal(box_head(box), 3);
    assert_int_equal(torn_files(box), 0);
    buf_done(&whole);
}

/* A power failure kept a later sector of the last batch and lost an earlier one. */
static void an_empty_sector_in_the_last_batch_is_a_torn_end(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *path = box_file(box, BOX_SEGMENT_1);

    chain_grow(&box->chain, 40, 300);
    box_append(box, 1, 10);
    uint64_t before = place_size(path);
    box_append(box, 11, 40);
    struct buf whole = place_read(path);
    size_t first = ((size_t)before / FILE_SECTOR + 1) * FILE_SECTOR;
    for (size_t sector = first; sector < whole.len; sector += 3 * FILE_SECTOR) {
        struct buf damaged = place_read(path);
        size_t len = damaged.len - sector < FILE_SECTOR ? damaged.len - sector : FILE_SECTOR;
        memset(damaged.data + sector, 0, len);
        uint64_t lines = 0; /* whole ones before it */
        for (size_t i = 0; i < sector; i++) {
            lines += damaged.data[i] == '\n' ? 1 : 0;
        }
        box_close(box);
        place_write(path, buf_str(&damaged));
        box_open(box);
        box_assert_holds(box, lines);
        assert_int_equal(torn_files(box), 1);
        box_append(box, lines + 1, 40);
        box_assert_holds(box, 40);
        remove_torn(box);
        buf_done(&damaged);
    }
    buf_done(&whole);
}

/* What a disk may have of a file after a power failure: all that was synced, and any sectors of
 * what was not. */
static struct buf after_power_failure(const struct buf *whole, size_t synced, size_t sector,
                                      struct env *chance)
{
    struct buf image = BUF_INIT(SIZE_MAX / 2);
    struct err err = ERR_INIT;
    uint32_t number;

    chance->random(chance, &number, sizeof(number));
    size_t len = synced + number % (whole->len - synced + 1);
    assert_ok(buf_add(&image, whole->data, len, &err), &err);
    for (size_t at = synced; at < len; at = (at / sector + 1) * sector) {
        size_t end = (at / sector + 1) * sector;
        chance->random(chance, &number, sizeof(number));
        if (number % 3 == 0) {
            memset(image.data + at, 0, (end < len ? end : len) - at);
        }
    }
    return image;
}

static void a_power_failure_in_the_middle_of_an_append_loses_nothing_acknowledged(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *path = box_file(box, BOX_SEGMENT_1);
    uint32_t number;

    chain_grow(&box->chain, 60, 250);
    for (int round = 0; round < 300; round++) {
        struct env *chance = &box->env.env;
        chance->random(chance, &number, sizeof(number));
        uint64_t acked = 1 + number % 30;
        box_append(box, 1, acked);
        size_t synced = (size_t)place_size(path);
        box_append(box, acked + 1, acked + 1 + number % 29);
        struct buf whole = place_read(path);
        struct buf image = after_power_failure(&whole, synced, round % 2 == 0 ? 512 : 4096, chance);
        box_close(box);
        place_write(path, buf_str(&image));
        box_open(box);
        uint64_t head = box_head(box);
        assert_in_range(head, acked, acked + 1 + number % 29);
        box_assert_holds(box, head);
        box_append(box, head + 1, 60);
        box_assert_holds(box, 60);
        box_close(box);
        struct err err = ERR_INIT;
        assert_ok(file_remove_tree(box->origin, &err), &err);
        box_open(box);
        buf_done(&whole);
        buf_done(&image);
    }
}

static void zeros_elsewhere_are_damage(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *path = box_file(box, BOX_SEGMENT_1);
    struct err err = ERR_INIT;
    uint64_t seen;

    chain_grow(&box->chain, 10, 800);
    box_append(box, 1, 10);
    struct buf content = place_read(path);
    size_t inside = 2 * FILE_SECTOR + 17; /* neither a line's start nor a sector's */
    memset(content.data + inside, 0, 300);
    box_close(box);
    place_write(path, buf_str(&content));
    box_open(box);
    assert_refused(box_try_scan(box, &seen, &err), &err, ERR_CORRUPT, BOX_SEGMENT_1 ": record 1");
    assert_int_equal(torn_files(box), 0);
    buf_done(&content);
}

/* An empty sector with more behind it than a batch can hold was not torn off by one. */
static void an_empty_sector_far_from_the_end_is_damage(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *path = box_file(box, BOX_SEGMENT_1);
    struct err err = ERR_INIT;
    uint64_t seen;

    chain_grow(&box->chain, VAULT_BATCH_MAX + 10, 1);
    box_append(box, 1, 5);
    box_append(box, 6, VAULT_BATCH_MAX + 5);
    box_append(box, VAULT_BATCH_MAX + 6, VAULT_BATCH_MAX + 10);
    struct buf content = place_read(path);
    memset(content.data + FILE_SECTOR, 0, FILE_SECTOR);
    box_close(box);
    place_write(path, buf_str(&content));
    box_open(box);
    assert_refused(box_try_scan(box, &seen, &err), &err, ERR_CORRUPT, BOX_SEGMENT_1 ": record 2");
    buf_done(&content);
}

/* Neither eats memory: a line has a limit, compressed or not. */
static void a_line_without_end_is_damage(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *plain = box_file(box, BOX_SEGMENT_1);
    AUTO(free_ptr) char *sealed = box_file(box, BOX_SEGMENT_1 ".zst");
    AUTO(free_ptr) char *bytes = xmalloc((size_t)32 << 20);
    AUTO(free_ptr) char *command = xprintf("zstd -q --rm %s -o %s", plain, sealed);
    struct err err = ERR_INIT;
    uint64_t seen;

    chain_grow(&box->chain, 1, 10);
    box_append(box, 1, 1);
    memset(bytes, 'a', (size_t)32 << 20);
    place_write(plain, (struct str){bytes, (size_t)32 << 20});
    box_reopen(box);
    assert_refused(box_try_scan(box, &seen, &err), &err, ERR_CORRUPT, BOX_SEGMENT_1 ": record 1");
    if (system("command -v zstd >/dev/null") == 0) {
        assert_int_equal(system(command), 0);
        box_reopen(box);
        assert_refused(box_try_scan(box, &seen, &err), &err, ERR_CORRUPT, ".zst: record 1");
    }
}

/* ---- flipped bytes ---- */

/* Reads all of a vault that was damaged; 0 when that went well and gave what was sent. */
static int read_all(struct box *box, uint64_t *ret_seen, struct err *err)
{
    *ret_seen = 0;
    int rc = box_try_open(box, err);
    if (rc == 0) {
        rc = box_try_scan(box, ret_seen, err);
    }
    box_close(box);
    return rc;
}

/* Flip each byte of a file in turn. Returns how often that passed unnoticed, with all of `count`
 * changes given. */
static int flip_all(struct box *box, const char *name, uint64_t count, bool records)
{
    AUTO(free_ptr) char *path = box_file(box, name);
    struct buf content = place_read(path);
    uint64_t record = 1;
    int unnoticed = 0;

    box_close(box);
    for (size_t i = 0; i < content.len; i++) {
        static const char FLIPS[] = {0x01, 0x20, (char)0x80};
        char was = content.data[i];
        struct err err = ERR_INIT;
        uint64_t seen;
        content.data[i] = (char)(was ^ FLIPS[i % sizeof(FLIPS)]);
        place_write(path, buf_str(&content));
        AUTO(free_ptr) char *where = xprintf("%s: record %llu", path, (unsigned long long)record);
        if (read_all(box, &seen, &err) == 0) {
            assert_int_equal(seen, count);
            unnoticed++;
        } else if (err.code != ERR_CORRUPT || strstr(err.message, records ? where : path) == NULL) {
            fail_msg("byte %zu of record %llu: %s", i, (unsigned long long)record, err.message);
        }
        content.data[i] = was;
        record += was == '\n' ? 1 : 0;
    }
    place_write(path, buf_str(&content));
    buf_done(&content);
    box_open(box);
    return unnoticed;
}

static void a_flipped_byte_names_its_file_and_record(void **state)
{
    struct box *box = *state;

    box->options.read_only = false;
    chain_grow(&box->chain, 4, 40);
    box_append(box, 1, 1);
    box_append_gap(box, 2);
    box_append(box, 3, 4);
    assert_int_equal(flip_all(box, BOX_SEGMENT_1, 3, true), 0);
    assert_int_equal(torn_files(box), 0);
}

static void a_flipped_byte_of_a_last_gap_is_found(void **state)
{
    struct box *box = *state;

    chain_grow(&box->chain, 2, 40);
    box_append(box, 1, 1);
    box_append_gap(box, 2);
    assert_int_equal(flip_all(box, BOX_SEGMENT_1, 1, true), 0);
}

static void a_flipped_byte_of_a_late_change_is_found(void **state)
{
    struct box *box = *state;

    chain_grow(&box->chain, 3, 40);
    box_append(box, 1, 1);
    box_append_gap(box, 2);
    box_append_gap(box, 3);
    box_append(box, 2, 2);
    box_append(box, 3, 3);
    assert_int_equal(flip_all(box, "late.jsonl", 3, false), 0);
}

/* In what is before the compressed data a flip may make nothing but the summary useless: then all
 * is read all the same. */
static void a_flipped_byte_of_a_sealed_segment_loses_nothing_unnoticed(void **state)
{
    struct box *box = *state;

    chain_grow(&box->chain, 4, 40);
    box_append(box, 1, 3);
    vault_file_set_segment_max(box->vault, 1);
    box_append(box, 4, 4);
    file_seal_stop((struct file_vault *)box->vault);
    box_seal(box);
    int unnoticed = flip_all(box, BOX_SEGMENT_1 ".zst", 4, false);
    assert_in_range(unnoticed, 200, 350); /* the summary's length */
}

/* ---- files that are not where they belong ---- */

static void swap_names(struct box *box, const char *a, const char *b)
{
    AUTO(free_ptr) char *path_a = box_file(box, a);
    AUTO(free_ptr) char *path_b = box_file(box, b);

    assert_int_equal(renameat2(AT_FDCWD, path_a, AT_FDCWD, path_b, RENAME_EXCHANGE), 0);
}

#define SECOND "00000000000000000003.jsonl"
#define THIRD "00000000000000000005.jsonl"

static void segments_missing_or_swapped_are_damage(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *first = box_file(box, BOX_SEGMENT_1);
    AUTO(free_ptr) char *second = box_file(box, SECOND);
    AUTO(free_ptr) char *away = path_join(box->folder, "away");
    struct err err = ERR_INIT;
    uint64_t seen;

    chain_grow(&box->chain, 6, 40);
    ((struct file_vault *)box->vault)->seal_after_ms = INT64_MAX; /* leave them plain */
    vault_file_set_segment_max(box->vault, 1);
    box_append(box, 1, 2);
    box_append(box, 3, 4);
    box_append(box, 5, 6);
    box_close(box);
    assert_int_equal(rename(first, away), 0);
    assert_refused(read_all(box, &seen, &err), &err, ERR_CORRUPT, BOX_SEGMENT_1);
    assert_int_equal(rename(away, first), 0);
    assert_int_equal(rename(second, away), 0);
    assert_refused(read_all(box, &seen, &err), &err, ERR_CORRUPT, SECOND);
    assert_int_equal(rename(away, second), 0);
    swap_names(box, SECOND, THIRD);
    assert_refused(read_all(box, &seen, &err), &err, ERR_CORRUPT, SECOND ": record 1");
    swap_names(box, SECOND, THIRD);
    assert_int_equal(truncate(second, (off_t)place_size(second) - 30), 0);
    assert_refused(read_all(box, &seen, &err), &err, ERR_CORRUPT, SECOND ": record 2");
    box_open(box);
}

static void another_origin_s_segment_is_damage(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *ours = box_file(box, BOX_SEGMENT_1);
    AUTO(free_ptr)
    char *theirs =
        xprintf("%s/origins/bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb/" BOX_SEGMENT_1, box->target);
    struct chain other;
    struct err err = ERR_INIT;
    uint64_t seen;

    chain_init(&other, 0xbb);
    chain_grow(&other, 2, 40);
    chain_grow(&box->chain, 2, 40);
    box_append(box, 1, 2);
    struct vault_batch batch = chain_batch(&other, 1, 2);
    assert_ok(vault_file_ops.append(box->vault, &batch, deadline_in(9999), &err), &err);
    struct buf content = place_read(theirs);
    box_close(box);
    place_write(ours, buf_str(&content));
    assert_refused(read_all(box, &seen, &err), &err, ERR_CORRUPT, "belongs elsewhere");
    buf_done(&content);
    chain_done(&other);
    box_open(box);
}

/* Damage in one origin is told for that one; the others go on. */
static void a_damaged_origin_holds_up_no_other(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *ours = box_file(box, BOX_SEGMENT_1);
    struct chain other;
    struct vault_head *heads = NULL;
    size_t count = 0;
    struct err err = ERR_INIT;

    chain_init(&other, 0xbb);
    chain_grow(&other, 2, 40);
    chain_grow(&box->chain, 3, 40);
    box_append(box, 1, 2);
    struct vault_batch batch = chain_batch(&other, 1, 1);
    assert_ok(vault_file_ops.append(box->vault, &batch, deadline_in(9999), &err), &err);
    box_close(box);
    place_write(ours, STR("junk\nmore junk\n"));
    box_open(box);
    assert_ok(vault_file_ops.head(box->vault, &heads, &count, deadline_in(9999), &err), &err);
    assert_int_equal(count, 2);
    assert_int_equal(heads[0].seq, 0);
    assert_int_equal(heads[1].seq, 1);
    free(heads);
    batch = chain_batch(&other, 2, 2);
    assert_ok(vault_file_ops.append(box->vault, &batch, deadline_in(9999), &err), &err);
    assert_refused(box_try_append(box, 3, 3, &err), &err, ERR_CORRUPT, BOX_SEGMENT_1 ": record 1");
    assert_true(detail_says(box, "1 damaged origin"));
    assert_ok(vault_file_ops.set_aside(box->vault, &box->chain.origin, deadline_in(9999), &err),
              &err);
    box_append(box, 1, 3);
    box_assert_holds(box, 3);
    chain_done(&other);
}

static void what_is_not_the_vault_s_is_left_alone(void **state)
{
    struct box *box = *state;
    static const char *const NAMES[] = {"note.txt",  "00000000000000000001.jsonl.zst.tmp",
                                        "1.jsonl",   "00000000000000000001.json",
                                        ".DS_Store", "99999999999999999999.jsonl"};
    AUTO(free_ptr) char *stray = path_join(box->target, "origins/README");

    chain_grow(&box->chain, 3, 40);
    box_append(box, 1, 2);
    place_write(stray, STR("x"));
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        AUTO(free_ptr) char *path = box_file(box, NAMES[i]);
        place_write(path, STR("not a segment"));
    }
    box_reopen(box);
    box_append(box, 3, 3);
    box_assert_holds(box, 3);
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        AUTO(free_ptr) char *path = box_file(box, NAMES[i]);
        assert_int_equal(place_size(path), 13);
    }
}

static void late_changes_that_fill_no_gap_are_damage(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *late = box_file(box, "late.jsonl");
    AUTO(free_ptr) char *path = box_file(box, BOX_SEGMENT_1);
    struct err err = ERR_INIT;
    uint64_t seen;

    chain_grow(&box->chain, 3, 40);
    box_append(box, 1, 1);
    struct buf line = place_read(path);
    box_close(box);
    place_write(late, buf_str(&line));
    assert_refused(read_all(box, &seen, &err), &err, ERR_CORRUPT, "late.jsonl");
    assert_int_equal(unlink(late), 0);
    box_open(box);
    box_append_gap(box, 2);
    box_close(box);
    place_write(late, buf_str(&line)); /* as many as gaps, but another one */
    assert_refused(read_all(box, &seen, &err), &err, ERR_CORRUPT, "late.jsonl");
    buf_done(&line);
    box_open(box);
}

int main(void)
{
    const struct CMUnitTest damage[] = {
        BOX_TEST(an_end_torn_at_any_byte_is_cut_and_kept_aside),
        BOX_TEST(a_torn_first_record_leaves_nothing),
        BOX_TEST(a_torn_gap_and_a_torn_late_change_are_cut),
        BOX_TEST(a_reader_goes_by_what_is_before_a_torn_end_and_cuts_nothing),
        BOX_TEST(what_another_is_just_writing_is_not_cut),
        BOX_TEST(an_empty_sector_in_the_last_batch_is_a_torn_end),
        BOX_TEST(a_power_failure_in_the_middle_of_an_append_loses_nothing_acknowledged),
        BOX_TEST(zeros_elsewhere_are_damage),
        BOX_TEST(an_empty_sector_far_from_the_end_is_damage),
        BOX_TEST(a_line_without_end_is_damage),
        BOX_TEST(a_flipped_byte_names_its_file_and_record),
        BOX_TEST(a_flipped_byte_of_a_last_gap_is_found),
        BOX_TEST(a_flipped_byte_of_a_late_change_is_found),
        BOX_TEST(a_flipped_byte_of_a_sealed_segment_loses_nothing_unnoticed),
        BOX_TEST(segments_missing_or_swapped_are_damage),
        BOX_TEST(another_origin_s_segment_is_damage),
        BOX_TEST(a_damaged_origin_holds_up_no_other),
        BOX_TEST(what_is_not_the_vault_s_is_left_alone),
        BOX_TEST(late_changes_that_fill_no_gap_are_damage),
    };

    return cmocka_run_group_tests(damage, NULL, NULL);
}
