/* The file driver where others use the vault at the same time, and where the disk fails. */
#include "vault/box.h"

#include <pthread.h>
#include <sys/file.h>
#include <sys/mount.h>

#include "base/fault.h"

/* ---- two installations ---- */

static struct vault *open_second(struct box *box)
{
    struct vault *second = NULL;
    struct err err = ERR_INIT;

    assert_ok(vault_file_ops.open(&box->options, &second, &err), &err);
    return second;
}

static void two_that_append_to_one_origin_take_turns(void **state)
{
    struct box *box = *state;
    struct vault *first = box->vault;
    struct vault *second = open_second(box);

    chain_grow(&box->chain, 40, 100);
    vault_file_set_segment_max(first, 1000);
    vault_file_set_segment_max(second, 1000);
    for (uint64_t seq = 1; seq <= 40; seq++) {
        box->vault = seq % 3 == 0 ? second : first;
        box_append(box, seq > 5 ? seq - 5 : 1, seq); /* what the other has sent, too */
        assert_int_equal(box_head(box), seq);
    }
    box->vault = second;
    box_assert_holds(box, 40);
    vault_file_ops.close(second);
    box->vault = first;
    box_assert_holds(box, 40);
}

static void an_append_waits_for_the_lock_no_longer_than_its_deadline(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *lock = box_file(box, "lock");
    struct err err = ERR_INIT;

    chain_grow(&box->chain, 3, 10);
    box_append(box, 1, 1);
    AUTO(close_fd) int fd = open(lock, O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    struct vault_batch batch = chain_batch(&box->chain, 2, 2);
    int64_t begin = env_system()->mono_ms(NULL);
    assert_refused(vault_file_ops.append(box->vault, &batch, deadline_in(50), &err), &err,
                   ERR_TIMEOUT, "lock");
    assert_in_range(env_system()->mono_ms(NULL) - begin, 50, 5000);
    assert_int_equal(box_head(box), 1); /* reading needs no lock */
    assert_int_equal(flock(fd, LOCK_UN), 0);
    box_append(box, 2, 2);
}

struct reading {
    struct box *box;
    _Atomic bool stop;
    int rounds;
};

/* cmocka's assertions end a thread of their own badly: count what is wrong instead. */
struct tally {
    const struct chain *chain;
    uint64_t last;
    int wrong;
};

static int count_wrong(void *arg, const struct change *change, struct err *err)
{
    struct tally *tally = arg;
    const struct vault_item *item = &tally->chain->items[change->seq - 1];

    (void)err;
    tally->wrong += change->seq != tally->last + 1 || !sha256_eq(&change->hash, &item->hash) ||
                            !str_eq(change->record, item->record)
                        ? 1
                        : 0;
    tally->last = change->seq;
    return 0;
}

static void *read_again_and_again(void *arg)
{
    struct reading *reading = arg;
    struct vault_options options = reading->box->options;
    struct vault_filter all = {0};
    static char wrong[ERR_MESSAGE_MAX];
    uint64_t before = 0;

    options.read_only = true;
    while (!atomic_load(&reading->stop)) {
        struct tally tally = {.chain = &reading->box->chain};
        struct vault *vault = NULL;
        struct err err = ERR_INIT;
        int rc = vault_file_ops.open(&options, &vault, &err);
        if (rc == 0) {
            rc = vault_file_ops.scan(vault, &all, count_wrong, &tally, deadline_in(20000), &err);
        }
        if (rc < 0 || tally.wrong > 0 || tally.last < before) {
            (void)snprintf(wrong, sizeof(wrong), "%d wrong, %llu after %llu: %.900s", tally.wrong,
                           (unsigned long long)tally.last, (unsigned long long)before, err.message);
            vault_file_ops.close(vault);
            return wrong;
        }
        before = tally.last;
        reading->rounds++;
        vault_file_ops.close(vault);
    }
    return NULL;
}

/* While one appends, rolls and seals, whoever reads sees a true part of the chain, and no less than
 * before. */
static void a_reader_meanwhile_sees_a_true_part(void **state)
{
    struct box *box = *state;
    struct reading reading = {.box = box};
    pthread_t thread;
    void *wrong = NULL;

    vault_file_set_segment_max(box->vault, 2000);
    chain_grow(&box->chain, 600, 300);
    assert_int_equal(pthread_create(&thread, NULL, read_again_and_again, &reading), 0);
    for (uint64_t seq = 1; seq <= 600; seq += 2) {
        box_append(box, seq, seq + 1);
    }
    atomic_store(&reading.stop, true);
    assert_int_equal(pthread_join(thread, &wrong), 0);
    if (wrong != NULL) {
        fail_msg("%s", (const char *)wrong);
    }
    assert_true(reading.rounds > 0);
    box_assert_holds(box, 600);
}

/* ---- the disk ---- */

static void a_failed_sync_is_never_acknowledged_and_leaves_nothing(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *segment = box_file(box, BOX_SEGMENT_1);
    struct err err = ERR_INIT;

    chain_grow(&box->chain, 5, 100);
    box_append(box, 1, 2);
    uint64_t size = place_size(segment);
    for (int nth = 1; nth <= 2; nth++) {
        fault_set("file.fsync:1");
        assert_refused(box_try_append(box, 3, 4, &err), &err, ERR_UNAVAILABLE, BOX_SEGMENT_1);
        fault_set(NULL);
        assert_int_equal(place_size(segment), size);
        assert_int_equal(box_head(box), 2);
    }
    box_append(box, 3, 5);
    box_assert_holds(box, 5);
}

static void every_call_that_fails_leaves_a_good_vault(void **state)
{
    static const char *const FAULTS[] = {"file.fsync",  "file.write",     "file.open", "vault.open",
                                         "vault.mkdir", "vault.truncate", "vault.read"};
    struct box *box = *state;
    struct err err = ERR_INIT;
    uint64_t held = 0;
    int failures = 0;

    chain_grow(&box->chain, 200, 60);
    for (size_t i = 0; i < sizeof(FAULTS) / sizeof(FAULTS[0]); i++) {
        for (int nth = 1; nth <= 12; nth++) {
            AUTO(free_ptr) char *fault = xprintf("%s:%d", FAULTS[i], nth);
            box_close(box);
            fault_set(fault);
            int rc = box_try_open(box, &err);
            if (rc == 0) {
                vault_file_set_segment_max(box->vault, 1000);
                rc = box_try_append(box, held + 1, held + 3, &err);
            }
            fault_set(NULL);
            failures += rc < 0 ? 1 : 0;
            if (box->vault == NULL) {
                box_open(box);
            }
            uint64_t head = box_head(box);
            assert_true(head == held || head == held + 3);
            assert_true(rc < 0 || head == held + 3);
            held = head;
            box_assert_holds(box, held);
        }
    }
    assert_true(failures >= 15);
    box_append(box, held + 1, held + 3);
}

/* The end that a failed sync left could not be cut off either: it is cut before anybody is told
 * that it is there. */
static void what_is_in_doubt_is_never_told(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *segment = box_file(box, BOX_SEGMENT_1);
    struct err err = ERR_INIT;

    chain_grow(&box->chain, 5, 100);
    box_append(box, 1, 2);
    uint64_t size = place_size(segment);
    box_append(box, 3, 3);
    assert_int_equal(truncate(segment, (off_t)size), 0); /* so that the next append reads it */
    fault_set("file.fsync:3");                           /* two are for what was found there */
    int rc = box_try_append(box, 3, 4, &err);
    fault_set(NULL);
    assert_int_equal(rc, -ERR_UNAVAILABLE);
    assert_int_equal(place_size(segment), size);

    /* Two faults at once need a file that the file system will not cut. */
    AUTO(free_ptr) char *command = xprintf("chattr +a %s 2>/dev/null", segment);
    AUTO(free_ptr) char *undo = xprintf("chattr -a %s", segment);
    if (system(command) != 0) {
        skip();
    }
    fault_set("file.fsync:3");
    rc = box_try_append(box, 3, 4, &err);
    fault_set(NULL);
    assert_int_equal(rc, -ERR_UNAVAILABLE);
    assert_true(place_size(segment) > size);
    struct vault_head *heads;
    size_t count;
    assert_true(vault_file_ops.head(box->vault, &heads, &count, deadline_in(9999), &err) < 0);
    assert_int_equal(system(undo), 0);
    assert_int_equal(box_head(box), 2);
    assert_int_equal(place_size(segment), size);
    box_append(box, 3, 5);
    box_assert_holds(box, 5);
}

/* A tmpfs of one MiB that is filled up. */
static void a_full_disk_refuses_and_resumes(void **state)
{
    struct box *box = *state;
    AUTO(free_ptr) char *disk = path_join(box->folder, "disk");
    AUTO(free_ptr) char *ballast = path_join(disk, "ballast");
    AUTO(free_ptr) char *target = path_join(disk, "vault");
    AUTO(free_ptr) char *segment = path_join(target, "origins/" BOX_ORIGIN "/" BOX_SEGMENT_1);
    struct err err = ERR_INIT;
    uint64_t held = 0;

    assert_ok(file_mkdirs(disk, 0700, &err), &err);
    if (mount("none", disk, "tmpfs", 0, "size=1m") != 0) {
        skip(); /* needs root */
    }
    box_close(box);
    box->options.target = target;
    place_write(ballast, (struct str){(char[256 * 1024]){0}, (size_t)256 * 1024});
    box_open(box);
    chain_grow(&box->chain, 100, 20000);
    while (box_try_append(box, held + 1, held + 1, &err) == 0) {
        held++;
    }
    assert_int_equal(err.code, ERR_FULL);
    assert_true(strstr(err.message, BOX_SEGMENT_1) != NULL);
    assert_in_range(held, 20, 60);
    uint64_t size = place_size(segment);
    for (int i = 0; i < 3; i++) {
        assert_refused(box_try_append(box, held + 1, held + 5, &err), &err, ERR_FULL, "");
        assert_int_equal(place_size(segment), size); /* the part that had room was cut off */
    }
    box_assert_holds(box, held);
    assert_int_equal(unlink(ballast), 0);
    box_append(box, held + 1, held + 5);
    box_assert_holds(box, held + 5);
    box_close(box);
    assert_int_equal(umount(disk), 0);
}

static void a_disk_for_reading_only_can_not_be_written(void **state)
{
    struct box *box = *state;
    struct vault_health health;
    struct err err = ERR_INIT;

    chain_grow(&box->chain, 2, 10);
    box_append(box, 1, 1);
    assert_ok(vault_file_ops.check(box->vault, &health, deadline_in(9999), &err), &err);
    assert_true(health.can_write);
    assert_true(strstr(health.detail, "1 changes of 1 origins") != NULL);
    if (mount(box->target, box->target, NULL, MS_BIND, NULL) != 0 ||
        mount(NULL, box->target, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) != 0) {
        skip(); /* needs root */
    }
    assert_refused(box_try_append(box, 2, 2, &err), &err, ERR_UNAVAILABLE, "ead-only");
    assert_ok(vault_file_ops.check(box->vault, &health, deadline_in(9999), &err), &err);
    assert_false(health.can_write);
    box_assert_holds(box, 1);
    assert_int_equal(umount(box->target), 0);
    box_append(box, 2, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOX_TEST(two_that_append_to_one_origin_take_turns),
        BOX_TEST(an_append_waits_for_the_lock_no_longer_than_its_deadline),
        BOX_TEST(a_reader_meanwhile_sees_a_true_part),
        BOX_TEST(a_failed_sync_is_never_acknowledged_and_leaves_nothing),
        BOX_TEST(every_call_that_fails_leaves_a_good_vault),
        BOX_TEST(what_is_in_doubt_is_never_told),
        BOX_TEST(a_full_disk_refuses_and_resumes),
        BOX_TEST(a_disk_for_reading_only_can_not_be_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
