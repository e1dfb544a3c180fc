/* Somebody who knows the format writes lines that prove themselves: the chain gives them away.
 * Also: sealing that fails. */
#include "vault/box.h"

#include "base/fault.h"

/* The line of an item, as the driver writes it; or of a gap in its place. Appended to text. */
static void add_line(struct buf *text, const struct chain *chain, uint64_t seq, bool gap)
{
    const struct vault_item *item = &chain->items[seq - 1];
    struct file_line line = {item->seq, item->prev, item->hash, true};
    struct err err = ERR_INIT;

    if (gap) {
        assert_ok(file_line_write_gap(&chain->origin, &line, text, &err), &err);
    } else {
        assert_ok(change_write_line(item->record, &item->prev, &item->hash, text, &err), &err);
    }
}

/* As box's chain up to `same`, then others; all hashes right. */
static struct chain forged_chain(struct box *box, size_t same, size_t count)
{
    struct chain forged;

    chain_init(&forged, 0xaa);
    chain_grow(&box->chain, count, 40);
    chain_grow(&forged, same, 40);
    chain_grow_salted(&forged, count, 40, 'F');
    return forged;
}

/* What a scan gives before it meets the break is for its caller to throw away. */
static int pass_over(void *arg, const struct change *change, struct err *err)
{
    (void)arg;
    (void)change;
    (void)err;
    return 0;
}

static void refuse_scan(struct box *box, const char *part)
{
    struct vault_filter all = {0};
    struct err err = ERR_INIT;

    box_reopen(box);
    assert_refused(vault_file_ops.scan(box->vault, &all, pass_over, NULL, deadline_in(9999), &err),
                   &err, ERR_CORRUPT, part);
}

static void write_text(struct box *box, const char *name, struct buf *text)
{
    AUTO(free_ptr) char *path = box_file(box, name);

    place_write(path, buf_str(text));
    buf_done(text);
}

static void one_forged_record_breaks_the_chain_behind_it(void **state)
{
    struct box *box = *state;
    struct chain forged = forged_chain(box, 2, 5);
    struct buf text = BUF_INIT(1 << 20);

    box_append(box, 1, 5);
    add_line(&text, &box->chain, 1, false);
    add_line(&text, &box->chain, 2, false);
    add_line(&text, &forged, 3,
             false); /* prev is right, hash is right, content is not what it was */
    add_line(&text, &box->chain, 4, false);
    add_line(&text, &box->chain, 5, false);
    write_text(box, BOX_SEGMENT_1, &text);
    refuse_scan(box, BOX_SEGMENT_1 ": record 4: its prev");
    chain_done(&forged);
}

static void a_forged_gap_hides_no_record(void **state)
{
    struct box *box = *state;
    struct chain forged = forged_chain(box, 2, 5);
    struct buf text = BUF_INIT(1 << 20);

    box_append(box, 1, 5);
    add_line(&text, &box->chain, 1, false);
    add_line(&text, &box->chain, 2, false);
    add_line(&text, &forged, 3, true);
    add_line(&text, &box->chain, 4, false);
    write_text(box, BOX_SEGMENT_1, &text);
    refuse_scan(box, BOX_SEGMENT_1 ": record 4: its prev");
    chain_done(&forged);
}

/* All from the third on is forged, which nothing within proves wrong: that is why heads are
 * compared from outside. */
static void a_chain_that_is_forged_to_its_end_has_another_head(void **state)
{
    struct box *box = *state;
    struct chain forged = forged_chain(box, 2, 5);
    struct buf text = BUF_INIT(1 << 20);
    struct sha256 hash;
    struct err err = ERR_INIT;

    box_append(box, 1, 5);
    for (uint64_t seq = 1; seq <= 5; seq++) {
        add_line(&text, &forged, seq, false);
    }
    write_text(box, BOX_SEGMENT_1, &text);
    box_reopen(box);
    assert_int_equal(box_head(box), 5);
    assert_ok(
        vault_file_ops.hash_at(box->vault, &box->chain.origin, 5, &hash, deadline_in(9999), &err),
        &err);
    assert_false(sha256_eq(&hash, &box->chain.items[4].hash));
    chain_done(&forged);
}

static void a_hash_of_a_damaged_record_is_not_told(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *path = box_file(box, BOX_SEGMENT_1);
    struct sha256 hash;
    struct err err = ERR_INIT;

    chain_grow(&box->chain, 5, 40);
    box_append(box, 1, 5);
    struct buf content = place_read(path);
    char *third = strstr(content.data, "- 3 ");
    assert_non_null(third);
    third[2] = '9';
    write_text(box, BOX_SEGMENT_1, &content);
    box_reopen(box);
    assert_refused(
        vault_file_ops.hash_at(box->vault, &box->chain.origin, 3, &hash, deadline_in(9999), &err),
        &err, ERR_CORRUPT, BOX_SEGMENT_1 ": record 3");
    assert_ok(
        vault_file_ops.hash_at(box->vault, &box->chain.origin, 4, &hash, deadline_in(9999), &err),
        &err);
}

/* ---- late.jsonl ---- */

static void a_late_change_must_be_the_gap_s_own(void **state)
{
    struct box *box = *state;
    struct chain forged = forged_chain(box, 1, 3);
    struct buf text = BUF_INIT(1 << 20);

    box_append(box, 1, 1);
    box_append_gap(box, 2);
    add_line(&text, &forged, 2, false);
    write_text(box, "late.jsonl", &text);
    refuse_scan(box, "late.jsonl: the record of seq 2");

    text = (struct buf)BUF_INIT(1 << 20);
    add_line(&text, &box->chain, 2, true);
    write_text(box, "late.jsonl", &text);
    refuse_scan(box, "late.jsonl: record 1: a gap");

    text = (struct buf)BUF_INIT(1 << 20);
    add_line(&text, &box->chain, 2, false);
    add_line(&text, &box->chain, 2, false);
    write_text(box, "late.jsonl", &text);
    refuse_scan(box, "late.jsonl: seq 2 is there twice");
    chain_done(&forged);
}

/* ---- segments and summaries ---- */

static void a_segment_that_goes_on_where_the_next_begins_is_damage(void **state)
{
    struct box *box = *state;
    struct buf text = BUF_INIT(1 << 20);
    AUTO(free_ptr) char *plain = box_file(box, BOX_SEGMENT_1);

    chain_grow(&box->chain, 5, 40);
    vault_file_set_segment_max(box->vault, 1);
    box_append(box, 1, 3);
    box_append(box, 4, 5);
    file_seal_stop((struct file_vault *)box->vault);
    box_seal(box);
    assert_false(file_exists(plain));
    /* The plain one counts where both are there. */
    for (uint64_t seq = 1; seq <= 4; seq++) {
        add_line(&text, &box->chain, seq, false);
    }
    write_text(box, BOX_SEGMENT_1, &text);
    refuse_scan(box, "00000000000000000005.jsonl");
}

/* A summary that is right in itself and wrong about its segment. */
static void a_summary_that_lies_is_found_out_by_a_scan(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *sealed = box_file(box, BOX_SEGMENT_1 ".zst");
    AUTO(free_ptr) char *honest = path_join(box->folder, "honest.zst");

    chain_grow(&box->chain, 4, 40);
    vault_file_set_segment_max(box->vault, 1);
    box_append(box, 1, 2);
    box_append(box, 3, 4);
    file_seal_stop((struct file_vault *)box->vault);
    box_seal(box);
    assert_int_equal(rename(sealed, honest), 0);

    /* The summary of two changes, before the data of one. */
    struct box *other = box_new_in_take(place_new());
    box_open(other);
    vault_file_set_segment_max(other->vault, 1);
    chain_grow(&other->chain, 4, 40);
    box_append(other, 1, 1);
    box_append(other, 2, 4);
    file_seal_stop((struct file_vault *)other->vault);
    box_seal(other);
    AUTO(free_ptr) char *short_path = box_file(other, BOX_SEGMENT_1 ".zst");
    struct buf one = place_read(short_path);
    struct buf two = place_read(honest);
    size_t frame_one = 8 + (size_t)(uint8_t)one.data[4] + 256 * (size_t)(uint8_t)one.data[5];
    size_t frame_two = 8 + (size_t)(uint8_t)two.data[4] + 256 * (size_t)(uint8_t)two.data[5];
    struct buf mixed = BUF_INIT(1 << 20);
    struct err err = ERR_INIT;
    assert_ok(buf_add(&mixed, two.data, frame_two, &err), &err); /* says 1 and 2 */
    assert_ok(buf_add(&mixed, one.data + frame_one, one.len - frame_one, &err), &err); /* holds 1 */
    write_text(box, BOX_SEGMENT_1 ".zst", &mixed);
    refuse_scan(box, BOX_SEGMENT_1 ".zst: record 2: the file ends");
    buf_done(&one);
    buf_done(&two);
    box_free(other);
}

/* ---- sealing ---- */

static void a_sealing_that_fails_leaves_the_plain_segment(void **state)
{
    static const char *const FAULTS[] = {"vault.open", "vault.read", "file.write", "file.fsync",
                                         "vault.rename"};
    static const _Atomic bool never = false;
    struct box *box = *state;
    AUTO(free_ptr) char *plain = box_file(box, BOX_SEGMENT_1);
    struct err err = ERR_INIT;
    int failures = 0;

    ((struct file_vault *)box->vault)->seal_after_ms = INT64_MAX; /* here, not on a thread */
    vault_file_set_segment_max(box->vault, 1);
    chain_grow(&box->chain, 4, 300);
    box_append(box, 1, 3);
    box_append(box, 4, 4);
    for (size_t i = 0; i < sizeof(FAULTS) / sizeof(FAULTS[0]); i++) {
        for (int nth = 1; file_exists(plain) && nth <= 20; nth++) {
            AUTO(free_ptr) char *fault = xprintf("%s:%d", FAULTS[i], nth);
            struct buf content = place_read(plain);
            fault_set(fault);
            int rc = file_seal_origin(box->origin, &box->chain.origin, &never, &err);
            fault_set(NULL);
            failures += rc < 0 ? 1 : 0;
            box_assert_holds(box, 4);
            if (rc == 0 || !file_exists(plain)) { /* it came to the end: again from the start */
                place_write(plain, buf_str(&content));
                nth = 20;
            }
            buf_done(&content);
        }
    }
    assert_true(failures >= 10);
    assert_int_equal(place_count(box->origin, BOX_SEGMENT_1 ".zst.tmp"), 0);
    box_seal(box);
    assert_false(file_exists(plain));
    box_reopen(box);
    box_assert_holds(box, 4);
}

static void a_sealing_can_be_stopped(void **state)
{
    static const _Atomic bool at_once = true;
    struct box *box = *state;
    AUTO(free_ptr) char *plain = box_file(box, BOX_SEGMENT_1);
    struct err err = ERR_INIT;

    ((struct file_vault *)box->vault)->seal_after_ms = INT64_MAX;
    vault_file_set_segment_max(box->vault, 1);
    chain_grow(&box->chain, 2, 300);
    box_append(box, 1, 1);
    box_append(box, 2, 2);
    assert_refused(file_seal_origin(box->origin, &box->chain.origin, &at_once, &err), &err,
                   ERR_CANCELLED, "");
    assert_true(file_exists(plain));
    box_assert_holds(box, 2);
}

int main(void)
{
    const struct CMUnitTest forged[] = {
        BOX_TEST(one_forged_record_breaks_the_chain_behind_it),
        BOX_TEST(a_forged_gap_hides_no_record),
        BOX_TEST(a_chain_that_is_forged_to_its_end_has_another_head),
        BOX_TEST(a_hash_of_a_damaged_record_is_not_told),
        BOX_TEST(a_late_change_must_be_the_gap_s_own),
        BOX_TEST(a_segment_that_goes_on_where_the_next_begins_is_damage),
        BOX_TEST(a_summary_that_lies_is_found_out_by_a_scan),
        BOX_TEST(a_sealing_that_fails_leaves_the_plain_segment),
        BOX_TEST(a_sealing_can_be_stopped),
    };

    return cmocka_run_group_tests(forged, NULL, NULL);
}
