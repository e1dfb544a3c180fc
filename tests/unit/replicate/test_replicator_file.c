/* The replicator and the file vault together, as a daemon runs them. */
#include "replicate/rig.h"

#include <sys/mount.h>

#include "base/fault.h"

#define LAG_SAMPLES 200

static char *vault_of(struct rig *rig)
{
    return path_join(rig->folder, "vault");
}

static int set_up(void **state)
{
    struct rig *rig = rig_new(NULL);
    AUTO(free_ptr) char *vault = vault_of(rig);

    rig->options.spec = xprintf("file:%s", vault);
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    char *spec = (char *)(uintptr_t)rig->options.spec;

    rig_free(rig);
    free(spec);
    return 0;
}

struct found {
    struct rig *rig;
    struct reader *reader; /* NULL: the ledger is gone */
    uint64_t count;
    struct sha256 last;
};

static int same(void *arg, const struct change *change, struct err *err)
{
    const struct change *found = arg;

    (void)err;
    assert_true(str_eq(change->record, found->record));
    return 0;
}

static int look(void *arg, const struct change *change, struct err *err)
{
    struct found *found = arg;
    struct change copy = *change;

    if (found->reader != NULL) {
        assert_ok(read_change(found->reader, &change->origin, change->seq, same, &copy, err), err);
    }
    found->count++;
    found->last = change->hash;
    return 0;
}

/* Read the vault as a recovery would; how many changes, each as in the ledger (if `compare`). */
static uint64_t read_vault(struct rig *rig, bool compare)
{
    AUTO(free_ptr) char *target = vault_of(rig);
    struct vault_options options = {
        .name = "v", .target = target, .env = &rig->env.env, .read_only = true};
    struct vault_filter all = {0};
    struct found found = {.rig = rig};
    struct vault *vault = NULL;
    struct err err = ERR_INIT;

    if (compare) {
        assert_ok(read_begin(rig->ledger, &found.reader, &err), &err);
    }
    assert_ok(vault_file_ops.open(&options, &vault, &err), &err);
    assert_ok(vault_file_ops.scan(vault, &all, look, &found, deadline_in(60000), &err), &err);
    vault_file_ops.close(vault);
    read_end(found.reader);
    return found.count;
}

static void what_is_remembered_is_in_the_vault(void **state)
{
    struct rig *rig = *state;
    unsigned count = unit_times(10000);

    rig->options.batch_max = 500;
    rig_start(rig);
    rig_remember_many(rig, count);
    rig_drain(rig);
    assert_int_equal(read_vault(rig, true), count + 1);
    assert_int_equal(rig_damages(rig), 0);
    assert_int_equal(rig->troubles, 0);
}

static int compare_us(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

/* From acknowledged by the ledger to acknowledged by the vault. The figure is ./dev bench's; here
 * only that it is short. */
static void a_memory_leaves_at_once(void **state)
{
    struct rig *rig = *state;
    int64_t lag_us[LAG_SAMPLES];
    struct err err = ERR_INIT;

    rig_start(rig);
    rig_drain(rig);
    for (int i = 0; i < LAG_SAMPLES; i++) {
        uint64_t seq = rig_remember(rig, "a memory");
        int64_t begin = env_system()->now_us(NULL);
        assert_ok(rig_wait_for(rig, seq, deadline_in(RIG_WAIT_MS), &err), &err);
        lag_us[i] = env_system()->now_us(NULL) - begin;
    }
    qsort(lag_us, LAG_SAMPLES, sizeof(lag_us[0]), compare_us);
    assert_in_range(lag_us[LAG_SAMPLES / 2], 0, 100000);
}

/* rm -rf of the whole home while things wait: what was acknowledged is sent all the same, out of
 * the open files. */
static void what_waits_is_sent_after_the_home_was_removed(void **state)
{
    struct rig *rig = *state;
    struct err err = ERR_INIT;

    rig_start(rig);
    rig_drain(rig);
    replicator_pause(rig->replicator, true);
    uint64_t last = rig_remember_many(rig, 2000);
    rig_until(rig_status(rig).head_seq == last);
    assert_ok(file_remove_tree(rig->home, &err), &err);
    replicator_pause(rig->replicator, false);
    assert_ok(replicator_drain(rig->replicator, deadline_in(RIG_WAIT_MS), &err), &err);
    assert_int_equal(read_vault(rig, false), last);
}

static void remove_vault(struct rig *rig)
{
    AUTO(free_ptr) char *target = vault_of(rig);
    struct err err = ERR_INIT;

    assert_ok(file_remove_tree(target, &err), &err);
}

static void a_vault_that_was_removed_is_told_and_filled_again(void **state)
{
    struct rig *rig = *state;

    rig_start(rig);
    rig_remember_many(rig, 700);
    rig_drain(rig);
    remove_vault(rig);
    rig_drain(rig);
    assert_int_equal(rig_damages(rig), 1);
    assert_true(strstr(rig->damage, "emptied") != NULL);
    assert_int_equal(read_vault(rig, true), 701);
}

/* Not even a check was due: the next memory meets the missing folder. */
static void a_memory_after_the_vault_was_removed_arrives(void **state)
{
    struct rig *rig = *state;
    struct err err = ERR_INIT;

    rig_start(rig);
    rig_remember_many(rig, 10);
    rig_drain(rig);
    remove_vault(rig);
    uint64_t seq = rig_remember(rig, "after");
    assert_ok(rig_wait_for(rig, seq, deadline_in(RIG_WAIT_MS), &err), &err);
    rig_drain(rig);
    assert_int_equal(rig_damages(rig), 1);
    assert_int_equal(read_vault(rig, true), seq);
}

static char *segment_of(struct rig *rig)
{
    char text[UUID_TEXT_MAX];
    struct uuid origin = ledger_origin(rig->ledger);

    uuid_format(&origin, text);
    return xprintf("%s/vault/origins/%s/00000000000000000001.jsonl", rig->folder, text);
}

static void a_vault_put_back_to_an_older_state_is_told_and_filled_again(void **state)
{
    struct rig *rig = *state;
    AUTO(free_ptr) char *path = segment_of(rig);

    rig_start(rig);
    rig_remember_many(rig, 50);
    rig_drain(rig);
    struct buf old = place_read(path);
    rig_remember_many(rig, 50);
    rig_drain(rig);
    place_write(path, buf_str(&old));
    rig_drain(rig);
    assert_int_equal(rig_damages(rig), 1);
    assert_true(strstr(rig->damage, "rolled back") != NULL);
    assert_int_equal(read_vault(rig, true), 101);
    buf_done(&old);
}

static void an_altered_vault_is_told_and_put_aside_and_filled_again(void **state)
{
    struct rig *rig = *state;
    AUTO(free_ptr) char *path = segment_of(rig);
    AUTO(free_ptr) char *origins = xprintf("%s/vault/origins", rig->folder);

    rig_start(rig);
    rig_remember_many(rig, 50);
    rig_drain(rig);
    (void)usleep(20000); /* the time of change of a file has the steps of a tick */
    struct buf content = place_read(path);
    content.data[content.len - 100] ^= 1;
    place_write(path, buf_str(&content));
    rig_drain(rig);
    assert_int_equal(rig_damages(rig), 1);
    assert_true(strstr(rig->damage, "record 51") != NULL);
    assert_int_equal(read_vault(rig, true), 51);
    assert_int_equal(place_count(origins, ""), 4); /* ., .., the copy, the one put aside */
    buf_done(&content);
}

static void another_vault_in_its_place_is_left_alone(void **state)
{
    struct rig *rig = *state;
    AUTO(free_ptr) char *target = vault_of(rig);
    struct vault_options options = {.name = "o", .target = target, .env = &rig->env.env};
    struct vault *other = NULL;
    struct err err = ERR_INIT;

    rig_start(rig);
    rig_remember_many(rig, 50);
    rig_drain(rig);
    remove_vault(rig);
    assert_ok(vault_file_ops.open(&options, &other, &err), &err);
    vault_file_ops.close(other);
    assert_refused(replicator_drain(rig->replicator, deadline_in(RIG_WAIT_MS), &err), &err,
                   ERR_UNAVAILABLE, "not the vault");
    rig_until(rig_damages(rig) == 1);
    assert_int_equal(read_vault(rig, true), 0);
}

/* Two homes, one vault: each has its own chain there. */
static void two_installations_share_a_vault(void **state)
{
    struct rig *rig = *state;
    struct rig *second = rig_new(NULL);

    env_fake_advance_ms(&second->env, 1000); /* or both would make the same UUIDs */
    ledger_close(second->ledger);
    struct err err = ERR_INIT;
    assert_ok(file_remove_tree(second->home, &err), &err);
    sync_log_close(second->log);
    rig_open_ledger(second);
    assert_ok(sync_log_open(second->home, &second->env.env, &second->log, &err), &err);
    second->options.spec = rig->options.spec;
    rig_start(rig);
    rig_start(second);
    for (int i = 0; i < 20; i++) {
        rig_remember_many(rig, 20);
        rig_remember_many(second, 10);
    }
    rig_drain(rig);
    rig_drain(second);
    assert_int_equal(read_vault(rig, false), 401 + 201);
    assert_int_equal(rig_damages(rig) + rig_damages(second), 0);
    rig_free(second);
}

static void a_full_disk_is_an_outage_that_ends_by_itself(void **state)
{
    struct rig *rig = *state;
    AUTO(free_ptr) char *target = vault_of(rig);
    AUTO(free_ptr) char *ballast = path_join(target, "../vault/ballast");
    struct err err = ERR_INIT;

    assert_ok(file_mkdirs(target, 0700, &err), &err);
    if (mount("none", target, "tmpfs", 0, "size=512k") != 0) {
        skip(); /* needs root */
    }
    rig_start(rig);
    rig_drain(rig);
    AUTO(free_ptr) char *zeros = xcalloc(1, (size_t)300 * 1024);
    place_write(ballast, (struct str){zeros, (size_t)300 * 1024});
    rig_remember_many(rig, 600);
    assert_refused(replicator_drain(rig->replicator, deadline_in(RIG_WAIT_MS), &err), &err,
                   ERR_UNAVAILABLE, "No space left");
    assert_int_equal(rig_status(rig).dead, 0);
    assert_int_equal(unlink(ballast), 0);
    env_fake_advance_ms(&rig->env, BACKOFF_MAX_MS * 2);
    uint64_t last = rig_remember(rig, "wakes it"); /* by a real clock, the backoff's end does */
    rig_until(rig_status(rig).acked_seq == last);
    assert_int_equal(read_vault(rig, true), 602);
    rig_stop(rig);
    assert_int_equal(umount(target), 0);
}

/* Each call to the disk and to sync.db fails in turn, once and for some time: all arrives, once,
 * and nobody is alarmed. */
static void whatever_fails_everything_arrives(void **state)
{
    static const char *const FAULTS[] = {"file.write",     "file.fsync", "vault.open", "vault.read",
                                         "vault.truncate", "sync.sql",   "vault.mkdir"};
    struct rig *rig = *state;
    uint64_t last = 0;
    struct err err = ERR_INIT;

    for (size_t i = 0; i < sizeof(FAULTS) / sizeof(FAULTS[0]); i++) {
        for (int nth = 1; nth <= 16; nth++) {
            AUTO(free_ptr)
            char *fault = xprintf("%s:%d%s", FAULTS[i], nth, nth % 4 == 0 ? "+" : "");
            replicator_stop(rig->replicator);
            rig->replicator = NULL;
            last = rig_remember_many(rig, 7);
            fault_set(fault);
            rig_start(rig);
            int rc = replicator_drain(rig->replicator, deadline_in(RIG_WAIT_MS), &err);
            fault_set(NULL);
            assert_true(rc == 0 || err.code == ERR_UNAVAILABLE);
            rig_drain(rig);
            assert_int_equal(rig_status(rig).dead, 0);
        }
    }
    assert_int_equal(read_vault(rig, true), last);
    assert_int_equal(rig_damages(rig), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest replicator_file[] = {
        TEST(what_is_remembered_is_in_the_vault),
        TEST(a_memory_leaves_at_once),
        TEST(what_waits_is_sent_after_the_home_was_removed),
        TEST(a_vault_that_was_removed_is_told_and_filled_again),
        TEST(a_memory_after_the_vault_was_removed_arrives),
        TEST(a_vault_put_back_to_an_older_state_is_told_and_filled_again),
        TEST(an_altered_vault_is_told_and_put_aside_and_filled_again),
        TEST(another_vault_in_its_place_is_left_alone),
        TEST(two_installations_share_a_vault),
        TEST(whatever_fails_everything_arrives),
        TEST(a_full_disk_is_an_outage_that_ends_by_itself),
    };

    return cmocka_run_group_tests(replicator_file, NULL, NULL);
}
