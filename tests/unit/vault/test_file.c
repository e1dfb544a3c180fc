/* The file driver: what it writes where, and what it makes of what others did to its folder. */
#include "base/fault.h"
#include "base/mount.h"
#include "vault/box.h"

static void assert_mode(const char *path, mode_t mode)
{
    struct stat st;

    assert_int_equal(lstat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, mode);
}

static void assert_content(const char *path, const char *expected)
{
    struct buf found = place_read(path);

    assert_string_equal(found.data, expected);
    buf_done(&found);
}

/* ---- the format, byte by byte ---- */

static void a_vault_looks_as_the_format_says(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *json = path_join(box->target, "vault.json");
    AUTO(free_ptr) char *origins = path_join(box->target, "origins");
    AUTO(free_ptr) char *lock = box_file(box, "lock");
    AUTO(free_ptr) char *segment = box_file(box, BOX_SEGMENT_1);
    char identity[UUID_TEXT_MAX];
    struct uuid uuid = vault_file_ops.identity(box->vault);
    mode_t before = umask(0);

    chain_grow(&box->chain, 2, 10);
    box_append(box, 1, 2);
    (void)umask(before);
    uuid_format(&uuid, identity);
    AUTO(free_ptr)
    char *expected =
        xprintf("{\"created_at\":\"2026-11-22T18:18:43.000001Z\",\"format\":\"holdfast-vault\","
                "\"vault\":\"%s\",\"version\":1}\n",
                identity);
    assert_content(json, expected);
    assert_mode(box->target, 0700);
    assert_mode(json, 0600);
    assert_mode(origins, 0700);
    assert_mode(box->origin, 0700);
    assert_mode(lock, 0600);
    assert_mode(segment, 0600);
    assert_int_equal(place_size(lock), 0);
    assert_int_equal(place_count(box->origin, ""), 4); /* ., .., lock, the segment */
}

static void lines_and_gaps_are_as_the_format_says(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *path = box_file(box, BOX_SEGMENT_1);
    AUTO(free_ptr) char *late = box_file(box, "late.jsonl");
    char hash[3][SHA256_HEX_MAX];
    char sum[SHA256_HEX_MAX];

    chain_grow(&box->chain, 3, 10);
    box_append(box, 1, 1);
    box_append_gap(box, 2);
    box_append(box, 3, 3);
    for (int i = 0; i < 3; i++) {
        sha256_hex(&box->chain.items[i].hash, hash[i]);
    }
    AUTO(free_ptr)
    char *gap =
        xprintf("{\"gap\":true,\"hash\":\"%s\",\"origin\":\"" BOX_ORIGIN "\",\"prev\":\"%s\","
                "\"seq\":2}",
                hash[1], hash[0]);
    struct sha256 gap_sum = sha256_of(gap, strlen(gap));
    sha256_hex(&gap_sum, sum);
    AUTO(free_ptr)
    char *expected =
        xprintf("%.*s,\"prev\":\"%064d\",\"hash\":\"%s\"}\n"
                "%.*s,\"sum\":\"%s\"}\n"
                "%.*s,\"prev\":\"%s\",\"hash\":\"%s\"}\n",
                (int)box->chain.items[0].record.len - 1, box->chain.items[0].record.ptr, 0, hash[0],
                (int)strlen(gap) - 1, gap, sum, (int)box->chain.items[2].record.len - 1,
                box->chain.items[2].record.ptr, hash[1], hash[2]);
    assert_content(path, expected);

    box_append(box, 2, 2);
    AUTO(free_ptr)
    char *filled =
        xprintf("%.*s,\"prev\":\"%s\",\"hash\":\"%s\"}\n", (int)box->chain.items[1].record.len - 1,
                box->chain.items[1].record.ptr, hash[0], hash[1]);
    assert_content(path, expected); /* never changed */
    assert_content(late, filled);
    box_reopen(box);
    box_assert_holds(box, 3);
}

static void a_full_segment_is_followed_by_another(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *second = box_file(box, "00000000000000000004.jsonl");

    vault_file_set_segment_max(box->vault, 1000);
    chain_grow(&box->chain, 9, 100);
    box_append(box, 1, 1);
    box_append(box, 2, 3); /* over 1,000 bytes now, whatever is said of a batch's own size */
    assert_int_equal(place_size(second), UINT64_MAX);
    box_append(box, 4, 4);
    assert_true(place_size(second) < 1000);
    box_assert_holds(box, 4);
    box_append(box, 5, 9);
    box_reopen(box);
    box_assert_holds(box, 9);
}

/* ---- sealing ---- */

/* Two sealed segments of 3 and one open one of 3. */
static void fill_three_segments(struct box *box)
{
    vault_file_set_segment_max(box->vault, 1);
    chain_grow(&box->chain, 9, 300);
    for (uint64_t from = 1; from <= 9; from += 3) {
        box_append(box, from, from + 2);
    }
    file_seal_stop((struct file_vault *)box->vault);
    box_seal(box);
}

static void a_segment_that_is_not_the_last_is_sealed(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *plain = box_file(box, BOX_SEGMENT_1);
    AUTO(free_ptr) char *sealed = box_file(box, BOX_SEGMENT_1 ".zst");

    fill_three_segments(box);
    assert_int_equal(place_count(box->origin, "0"), 3);
    assert_false(file_exists(plain));
    assert_true(file_exists(sealed));
    assert_mode(sealed, 0600);
    box_assert_holds(box, 9);
    box_reopen(box);
    box_assert_holds(box, 9);
    AUTO(free_ptr)
    char *command = xprintf("zstdcat %s | jq -e -s '[.[].seq] == [1,2,3]' >/dev/null", sealed);
    if (system("command -v zstdcat jq >/dev/null") == 0) {
        assert_int_equal(system(command), 0);
    }
}

static void sealing_happens_by_itself(void **state)
{
    struct box *box = *state;
    struct deadline deadline = deadline_in(20000);

    vault_file_set_segment_max(box->vault, 1);
    chain_grow(&box->chain, 6, 300);
    for (uint64_t seq = 1; seq <= 6; seq++) {
        box_append(box, seq, seq);
    }
    while (place_count(box->origin, BOX_SEGMENT_1 ".zst") == 0 ||
           place_count(box->origin, BOX_SEGMENT_1) != 1) {
        assert_true(deadline_left_ms(deadline) > 0);
        (void)usleep(1000);
    }
    box_assert_holds(box, 6);
}

static void gaps_in_sealed_segments_are_counted(void **state)
{
    struct box *box = *state;
    struct vault_head *heads = NULL;
    size_t count = 0;
    struct err err = ERR_INIT;

    vault_file_set_segment_max(box->vault, 1);
    chain_grow(&box->chain, 4, 10);
    box_append_gap(box, 1);
    box_append_gap(box, 2);
    box_append(box, 3, 3);
    box_append(box, 4, 4);
    file_seal_stop((struct file_vault *)box->vault);
    box_seal(box);
    box_append(box, 2, 2);
    for (int round = 0; round < 2; round++) {
        assert_ok(vault_file_ops.head(box->vault, &heads, &count, deadline_in(9999), &err), &err);
        assert_int_equal(count, 1);
        assert_int_equal(heads[0].gaps, 1);
        free(heads);
        box_reopen(box);
    }
    uint64_t seen;
    assert_ok(box_try_scan(box, &seen, &err), &err);
    assert_int_equal(seen, 3);
}

/* Compressed again by somebody, without what Holdfast puts before it. */
static void a_sealed_segment_without_a_summary_is_as_good(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *sealed = box_file(box, BOX_SEGMENT_1 ".zst");
    AUTO(free_ptr)
    char *command = xprintf("zstdcat %s >%s/x && zstd -q -19 -f %s/x -o %s && rm %s/x", sealed,
                            box->folder, box->folder, sealed, box->folder);

    if (system("command -v zstd >/dev/null") != 0) {
        skip();
    }
    fill_three_segments(box);
    assert_int_equal(system(command), 0);
    box_reopen(box);
    box_assert_holds(box, 9);
}

/* A crash between the renaming of the sealed segment and the removal of the plain one. */
static void where_both_are_there_the_plain_one_counts(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *plain = box_file(box, BOX_SEGMENT_1);
    AUTO(free_ptr) char *sealed = box_file(box, BOX_SEGMENT_1 ".zst");

    vault_file_set_segment_max(box->vault, 1);
    chain_grow(&box->chain, 3, 300);
    box_append(box, 1, 1);
    struct buf content = place_read(plain);
    box_append(box, 2, 2);
    file_seal_stop((struct file_vault *)box->vault);
    box_seal(box);
    place_write(plain, buf_str(&content));
    place_write(sealed, STR("junk that nobody reads"));
    box_reopen(box);
    box_assert_holds(box, 2);
    box_append(box, 3, 3);
    file_seal_stop((struct file_vault *)box->vault);
    box_seal(box);
    assert_false(file_exists(plain));
    box_reopen(box);
    box_assert_holds(box, 3);
    buf_done(&content);
}

/* What is damaged stays plain; what is behind it has no part in that. */
static void a_segment_that_cannot_be_sealed_keeps_no_other_from_it(void **state)
{
    struct box *box = *state;
    static const _Atomic bool never = false;
    AUTO(free_ptr) char *plain = box_file(box, BOX_SEGMENT_1);
    AUTO(free_ptr) char *second = box_file(box, "00000000000000000002.jsonl.zst");
    AUTO(free_ptr) char *third = box_file(box, "00000000000000000003.jsonl.zst");
    struct err err = ERR_INIT;

    ((struct file_vault *)box->vault)->seal_after_ms = INT64_MAX; /* here, not on a thread */
    chain_grow(&box->chain, 4, 300);
    vault_file_set_segment_max(box->vault, 1);
    for (uint64_t seq = 1; seq <= 4; seq++) {
        box_append(box, seq, seq);
    }
    box_close(box);
    struct buf content = place_read(plain);
    content.data[content.len - 10] ^= 1;
    place_write(plain, buf_str(&content));
    assert_refused(file_seal_origin(box->origin, &box->chain.origin, &never, &err), &err,
                   ERR_CORRUPT, BOX_SEGMENT_1);
    assert_true(file_exists(plain) && file_exists(second) && file_exists(third));
    buf_done(&content);
}

static void a_disk_that_cannot_be_told_is_not_taken_for_mounted(void **state)
{
    AUTO(free_ptr) char *mount = mount_of("/");
    struct file_vault vault = {.path = (char *)(uintptr_t) "/nothing/there", .mount = mount};
    struct err err = ERR_INIT;

    (void)state;
    assert_string_equal(mount, "/");
    assert_ok(file_mount_check(&vault, &err), &err);
    fault_set("vault.mounts:1+");
    int rc = file_mount_check(&vault, &err);
    fault_set(NULL);
    assert_refused(rc, &err, ERR_UNAVAILABLE, "can't be told");
    vault.mount = NULL; /* it never could */
    assert_ok(file_mount_check(&vault, &err), &err);
}

static void a_damaged_segment_is_not_sealed(void **state)
{
    struct box *box = *state;
    static const _Atomic bool never = false;
    AUTO(free_ptr) char *plain = box_file(box, BOX_SEGMENT_1);
    struct err err = ERR_INIT;

    ((struct file_vault *)box->vault)->seal_after_ms = INT64_MAX; /* here, not on a thread */
    chain_grow(&box->chain, 3, 300);
    box_append(box, 1, 2);
    vault_file_set_segment_max(box->vault, 1);
    box_append(box, 3, 3);
    box_close(box);
    struct buf content = place_read(plain);
    content.data[content.len - 10] ^= 1;
    place_write(plain, buf_str(&content));
    assert_refused(file_seal_origin(box->origin, &box->chain.origin, &never, &err), &err,
                   ERR_CORRUPT, "record 2");
    assert_true(file_exists(plain));
    assert_int_equal(place_count(box->origin, BOX_SEGMENT_1), 1);
    buf_done(&content);
}

/* ---- where a vault may be ---- */

static void refuse_target(struct box *box, const char *target, enum err_code code, const char *part)
{
    struct vault_options options = box->options;
    struct vault *vault = NULL;
    struct err err = ERR_INIT;

    options.target = target;
    assert_refused(vault_file_ops.open(&options, &vault, &err), &err, code, part);
}

static void a_place_that_can_not_be_a_vault_is_refused_in_words(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *file = path_join(box->folder, "file");
    AUTO(free_ptr) char *below = path_join(box->folder, "file/vault");
    AUTO(free_ptr) char *full = path_join(box->folder, "full");
    AUTO(free_ptr) char *note = path_join(box->folder, "full/note.txt");
    struct err err = ERR_INIT;

    place_write(file, STR("x"));
    refuse_target(box, file, ERR_CONFIG, "is a file");
    refuse_target(box, below, ERR_CONFIG, "file");
    assert_ok(file_mkdirs(full, 0700, &err), &err);
    place_write(note, STR("mine"));
    refuse_target(box, full, ERR_CONFIG, "\"note.txt\"");
    assert_content(note, "mine");
    assert_int_equal(place_count(full, ""), 3);
    refuse_target(box, "relative/path", ERR_CONFIG, "absolute");
    refuse_target(box, "", ERR_CONFIG, "absolute");
}

static void an_empty_folder_or_one_with_a_crash_s_remains_will_do(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *place = path_join(box->folder, "place");
    AUTO(free_ptr) char *lost = path_join(box->folder, "place/lost+found");
    AUTO(free_ptr) char *left = path_join(box->folder, "place/vault.json.new-x7Gh1Z");
    struct vault_options options = box->options;
    struct vault *vault = NULL;
    struct err err = ERR_INIT;

    assert_ok(file_mkdirs(lost, 0700, &err), &err);
    place_write(left, STR("{\"crea"));
    options.target = place;
    assert_ok(vault_file_ops.open(&options, &vault, &err), &err);
    vault_file_ops.close(vault);
}

static void a_vault_json_that_is_none_is_refused(void **state)
{
    static const struct {
        const char *content;
        enum err_code code;
        const char *part;
    } CASES[] = {
        {"", ERR_CORRUPT, "vault.json"},
        {"{}", ERR_CORRUPT, "vault.json"},
        {"not json", ERR_CORRUPT, "vault.json"},
        {"{\"format\":\"other\",\"vault\":\"" BOX_ORIGIN "\",\"version\":1}", ERR_CORRUPT, ""},
        {"{\"format\":\"holdfast-vault\",\"vault\":\"x\",\"version\":1}", ERR_CORRUPT, "no vault"},
        {"{\"format\":\"holdfast-vault\",\"vault\":\"" BOX_ORIGIN "\",\"version\":0}", ERR_CORRUPT,
         ""},
        {"{\"format\":\"holdfast-vault\",\"vault\":\"" BOX_ORIGIN "\",\"version\":2}", ERR_NEWER,
         "version 2"},
    };
    struct box *box = *state;
    AUTO(free_ptr) char *json = path_join(box->target, "vault.json");
    struct err err = ERR_INIT;

    box_close(box);
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        place_write(json, str_of(CASES[i].content));
        assert_refused(box_try_open(box, &err), &err, CASES[i].code, CASES[i].part);
        assert_content(json, CASES[i].content);
    }
    AUTO(free_ptr) char *huge = xmalloc(100001);
    memset(huge, ' ', 100000);
    huge[100000] = '\0';
    place_write(json, str_of(huge));
    assert_refused(box_try_open(box, &err), &err, ERR_CORRUPT, "vault.json");
}

static void a_lost_vault_json_is_damage(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *json = path_join(box->target, "vault.json");
    char identity[UUID_TEXT_MAX];
    struct uuid uuid = vault_file_ops.identity(box->vault);
    struct err err = ERR_INIT;

    chain_grow(&box->chain, 2, 10);
    box_append(box, 1, 1);
    struct buf content = place_read(json);
    assert_int_equal(unlink(json), 0);
    uuid_format(&uuid, identity);
    assert_refused(box_try_append(box, 2, 2, &err), &err, ERR_CORRUPT, identity);
    place_write(json, buf_str(&content));
    box_append(box, 2, 2);
    buf_done(&content);
}

/* ---- what others do to it while it is open ---- */

static void remove_tree(const char *path)
{
    struct err err = ERR_INIT;

    assert_ok(file_remove_tree(path, &err), &err);
}

static void a_vault_removed_under_us_is_made_again_as_the_same(void **state)
{
    struct box *box = *state;
    struct uuid before = vault_file_ops.identity(box->vault);
    struct err err = ERR_INIT;

    chain_grow(&box->chain, 4, 10);
    box_append(box, 1, 3);
    remove_tree(box->target);
    assert_int_equal(box_head(box), 0);
    assert_refused(box_try_append(box, 4, 4, &err), &err, ERR_CORRUPT, "emptied");
    box_append(box, 1, 4);
    box_assert_holds(box, 4);
    struct uuid after = vault_file_ops.identity(box->vault);
    assert_true(uuid_eq(&before, &after));
    box->options.expect_vault = before;
    box_reopen(box);
    box_close(box);
    remove_tree(box->target);
    box_open(box); /* gone while nobody looked */
    after = vault_file_ops.identity(box->vault);
    assert_true(uuid_eq(&before, &after));
}

static void an_origin_removed_or_emptied_under_us_is_noticed(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *segment = box_file(box, BOX_SEGMENT_1);
    AUTO(free_ptr) char *origins = path_join(box->target, "origins");

    chain_grow(&box->chain, 3, 10);
    box_append(box, 1, 3);
    remove_tree(box->origin);
    assert_int_equal(box_head(box), 0);
    box_append(box, 1, 3);
    assert_int_equal(unlink(segment), 0);
    assert_int_equal(box_head(box), 0);
    box_append(box, 1, 3);
    assert_int_equal(truncate(segment, 0), 0);
    assert_int_equal(box_head(box), 0);
    box_append(box, 1, 3);
    remove_tree(origins);
    assert_int_equal(box_head(box), 0);
    box_append(box, 1, 3);
    box_assert_holds(box, 3);
}

static void an_older_copy_put_back_is_noticed(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *segment = box_file(box, BOX_SEGMENT_1);

    chain_grow(&box->chain, 3, 10);
    box_append(box, 1, 1);
    struct buf old = place_read(segment);
    box_append(box, 2, 3);
    place_write(segment, buf_str(&old));
    assert_int_equal(box_head(box), 1);
    box_append(box, 2, 3);
    box_assert_holds(box, 3);
    buf_done(&old);
}

/* Same name, same size, another inode or the same one: the last record is read again. */
static void the_last_record_altered_in_place_is_noticed(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *segment = box_file(box, BOX_SEGMENT_1);
    struct sha256 hash;
    struct err err = ERR_INIT;

    chain_grow(&box->chain, 3, 10);
    box_append(box, 1, 3);
    struct buf content = place_read(segment);
    content.data[content.len - 20] ^= 1;
    (void)usleep(20000); /* the time of change of a file has the steps of a tick */
    place_write(segment, buf_str(&content));
    assert_int_equal(box_head(box), UINT64_MAX);
    assert_refused(
        vault_file_ops.hash_at(box->vault, &box->chain.origin, 3, &hash, deadline_in(9999), &err),
        &err, ERR_CORRUPT, BOX_SEGMENT_1 ": record 3");
    assert_refused(box_try_append(box, 3, 3, &err), &err, ERR_CORRUPT, "record 3");
    buf_done(&content);
}

static void the_folder_around_it_gone_is_an_outage(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *mounted = path_join(box->folder, "mnt");
    AUTO(free_ptr) char *away = path_join(box->folder, "away");
    AUTO(free_ptr) char *target = path_join(mounted, "vault");
    struct vault_options options = box->options;
    struct vault *vault = NULL;
    struct vault_head *heads;
    size_t count;
    struct err err = ERR_INIT;

    options.target = target;
    assert_ok(vault_file_ops.open(&options, &vault, &err), &err);
    assert_int_equal(rename(mounted, away), 0);
    assert_refused(vault_file_ops.head(vault, &heads, &count, deadline_in(9999), &err), &err,
                   ERR_UNAVAILABLE, "mounted");
    assert_false(file_exists(mounted));
    assert_int_equal(rename(away, mounted), 0);
    assert_ok(vault_file_ops.head(vault, &heads, &count, deadline_in(9999), &err), &err);
    free(heads);
    vault_file_ops.close(vault);
}

static void links_are_refused(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *segment = box_file(box, BOX_SEGMENT_1);
    AUTO(free_ptr) char *elsewhere = path_join(box->folder, "elsewhere");
    struct err err = ERR_INIT;

    chain_grow(&box->chain, 2, 10);
    box_append(box, 1, 1);
    assert_int_equal(rename(segment, elsewhere), 0);
    assert_int_equal(symlink(elsewhere, segment), 0);
    assert_int_equal(box_head(box), UINT64_MAX);
    assert_refused(box_try_append(box, 2, 2, &err), &err, ERR_CORRUPT, "link");
    remove_tree(box->origin);
    assert_int_equal(symlink(box->folder, box->origin), 0);
    assert_int_equal(box_head(box), UINT64_MAX);
    assert_refused(box_try_append(box, 1, 1, &err), &err, ERR_CORRUPT, "not a folder");
    assert_ok(vault_file_ops.set_aside(box->vault, &box->chain.origin, deadline_in(9999), &err),
              &err);
    box_append(box, 1, 1); /* the link was put aside */
    assert_true(file_exists(elsewhere));
}

static void a_copy_put_aside_is_still_there(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *origins = path_join(box->target, "origins");
    AUTO(free_ptr)
    char *aside = path_join(origins, BOX_ORIGIN ".aside-20261122T181843.000001Z/" BOX_SEGMENT_1);
    struct err err = ERR_INIT;

    chain_grow(&box->chain, 2, 10);
    for (int i = 0; i < 3; i++) { /* the clock stands still */
        box_append(box, 1, 2);
        assert_ok(vault_file_ops.set_aside(box->vault, &box->chain.origin, deadline_in(9999), &err),
                  &err);
    }
    assert_true(file_exists(aside));
    assert_int_equal(place_count(origins, BOX_ORIGIN ".aside-"), 3);
    assert_int_equal(box_head(box), 0);
    assert_ok(vault_file_ops.set_aside(box->vault, &box->chain.origin, deadline_in(9999), &err),
              &err); /* there is nothing: nothing happens but an empty folder */
}

static void a_driver_is_found_by_its_kind(void **state)
{
    const struct vault_ops *ops = NULL;
    const char *target = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(vault_driver("file:/a:b", &ops, &target, &err), &err);
    assert_ptr_equal(ops, &vault_file_ops);
    assert_string_equal(target, "/a:b");
    assert_refused(vault_driver("nothing", &ops, &target, &err), &err, ERR_CONFIG, "file:");
    assert_refused(vault_driver(":x", &ops, &target, &err), &err, ERR_CONFIG, "file:");
    assert_refused(vault_driver("FILE:/x", &ops, &target, &err), &err, ERR_CONFIG, "file:");
}

int main(void)
{
    const struct CMUnitTest file[] = {
        BOX_TEST(a_vault_looks_as_the_format_says),
        BOX_TEST(lines_and_gaps_are_as_the_format_says),
        BOX_TEST(a_full_segment_is_followed_by_another),
        BOX_TEST(a_segment_that_is_not_the_last_is_sealed),
        BOX_TEST(sealing_happens_by_itself),
        BOX_TEST(a_segment_that_cannot_be_sealed_keeps_no_other_from_it),
        BOX_TEST(a_disk_that_cannot_be_told_is_not_taken_for_mounted),
        BOX_TEST(gaps_in_sealed_segments_are_counted),
        BOX_TEST(a_sealed_segment_without_a_summary_is_as_good),
        BOX_TEST(where_both_are_there_the_plain_one_counts),
        BOX_TEST(a_damaged_segment_is_not_sealed),
        BOX_TEST(a_place_that_can_not_be_a_vault_is_refused_in_words),
        BOX_TEST(an_empty_folder_or_one_with_a_crash_s_remains_will_do),
        BOX_TEST(a_vault_json_that_is_none_is_refused),
        BOX_TEST(a_lost_vault_json_is_damage),
        BOX_TEST(a_vault_removed_under_us_is_made_again_as_the_same),
        BOX_TEST(an_origin_removed_or_emptied_under_us_is_noticed),
        BOX_TEST(an_older_copy_put_back_is_noticed),
        BOX_TEST(the_last_record_altered_in_place_is_noticed),
        BOX_TEST(the_folder_around_it_gone_is_an_outage),
        BOX_TEST(links_are_refused),
        BOX_TEST(a_copy_put_aside_is_still_there),
        cmocka_unit_test(a_driver_is_found_by_its_kind),
    };

    return cmocka_run_group_tests(file, NULL, NULL);
}
