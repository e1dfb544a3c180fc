/* A damaged vault: all that is intact comes back, the rest is named. */
#include "recover/world.h"

#include <glob.h>

#include "vault/file_vault.h"

/* The plain text of the only segment. free() is the caller's. */
static char *segment_path(const struct world *world)
{
    AUTO(free_ptr)
    char *pattern = xprintf("%s/origins/*/*.jsonl", world->vault_path);
    glob_t found;

    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    char *path = xstrdup(found.gl_pathv[0]);
    globfree(&found);
    return path;
}

/* Exchange the first `from` of the segment for `to`, of the same length. */
static void alter(const struct world *world, const char *from, const char *to)
{
    AUTO(free_ptr) char *path = segment_path(world);
    AUTO(buf_done) struct buf text = BUF_INIT(64 * 1024 * 1024);
    struct err err = ERR_INIT;

    assert_int_equal(strlen(from), strlen(to));
    assert_ok(file_read(path, 64 * 1024 * 1024, &text, &err), &err);
    char *at = memmem(text.data, text.len, from, strlen(from));
    assert_non_null(at);
    memcpy(at, to, strlen(to));
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fwrite(text.data, 1, text.len, file), text.len);
    assert_int_equal(fclose(file), 0);
}

static void assert_lost(const struct recover_report *report, uint64_t from, uint64_t to)
{
    assert_int_equal(report->damage_count, 1);
    assert_int_equal(report->damages[0].from, from);
    assert_int_equal(report->damages[0].to, to);
    assert_non_null(strstr(report->damages[0].where, ".jsonl: record "));
    assert_int_equal(report->gaps.count, 1);
    assert_int_equal(report->gaps.items[0].from, from);
    assert_int_equal(report->gaps.items[0].to, to);
}

/* Compress all segments but the last. */
static void seal(struct world *world)
{
    struct uuid own = ledger_origin(world->home.ledger);
    const _Atomic bool stop = false;
    char name[UUID_TEXT_MAX];
    struct err err = ERR_INIT;

    uuid_format(&own, name);
    AUTO(free_ptr) char *path = xprintf("%s/origins/%s", world->vault_path, name);
    assert_ok(file_seal_origin(path, &own, &stop, &err), &err);
}

static uint64_t seq_now(struct world *world)
{
    struct uuid own = ledger_origin(world->home.ledger);

    return head_of(world, &own).seq;
}

static void one_altered_byte_costs_one_change(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();

    put_many(world, 40);
    put_text(world, (struct text){100, "odd", 5, "the unlucky one"});
    uint64_t lost = seq_now(world);
    put_text(world, (struct text){101, "odd", 5, "the one behind it"});
    sync_all(world);
    alter(world, "the unlucky one", "the unlucky onf");
    wreck(world);
    request.dry_run = true;
    AUTO(recover_report_done) struct recover_report plan = recovered(world, &request);
    assert_int_equal(plan.recovered_count, 41);
    assert_lost(&plan, lost, lost);
    request.dry_run = false;
    AUTO(recover_report_done) struct recover_report report = recovered(world, &request);
    assert_int_equal(report.recovered_count, 41);
    assert_lost(&report, lost, lost);
    assert_content(&world->home, id_of(1), "memory number 1");
    assert_content(&world->home, id_of(101), "the one behind it");
    AUTO(recover_report_done) struct recover_report again = recovered(world, &request);
    assert_int_equal(again.recovered_count, 0);
    assert_lost(&again, lost, lost);
    restart(world);
    (void)assert_verifies(&world->home);
}

static void a_lost_end_of_line_costs_two_changes(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();

    put_many(world, 9);
    sync_all(world);
    uint64_t head = seq_now(world);
    alter(world, "}\n{", "}x{");
    wreck(world);
    AUTO(recover_report_done) struct recover_report report = recovered(world, &request);
    assert_lost(&report, 1, 2);
    assert_true(report.recovered_count + 2 >= 9);
    assert_int_equal(report.changes_imported, head - 2);
}

static void damage_of_the_last_changes_is_named(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();

    put_many(world, 9);
    put_text(world, (struct text){100, "odd", 5, "the unlucky one"});
    uint64_t lost = seq_now(world);
    sync_all(world);
    alter(world, "the unlucky one", "the unlucky onf");
    wreck(world);
    AUTO(recover_report_done) struct recover_report report = recovered(world, &request);
    assert_int_equal(report.recovered_count, 9);
    assert_lost(&report, lost, lost);
}

/* The change where both sides would be compared is the damaged one. */
static void a_ledger_that_lags_gets_the_rest(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();
    AUTO(free_ptr)
    char *copy = xprintf("cp -a '%s' '%s.old'", world->home.path, world->home.path);
    AUTO(free_ptr)
    char *back = xprintf("rm -rf '%s' && mv '%s.old' '%s'", world->home.path, world->home.path,
                         world->home.path);

    put_many(world, 9);
    put_text(world, (struct text){100, "odd", 5, "the unlucky one"});
    home_close(&world->home);
    assert_int_equal(system(copy), 0);
    home_open(&world->home);
    put_text(world, (struct text){101, "odd", 5, "later"});
    put_text(world, (struct text){102, "odd", 5, "and later"});
    sync_all(world);
    alter(world, "the unlucky one", "the unlucky onf");
    world_close(world);
    assert_int_equal(system(back), 0);
    home_open(&world->home);
    AUTO(recover_report_done) struct recover_report report = recovered(world, &request);
    assert_int_equal(report.recovered_count, 2);
    assert_content(&world->home, id_of(100), "the unlucky one");
    assert_content(&world->home, id_of(102), "and later");
    (void)assert_verifies(&world->home);
}

static void a_lost_folder_is_never_a_success_in_silence(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();
    AUTO(free_ptr)
    char *empty =
        xprintf("for f in '%s'/origins/*/*.jsonl; do echo x >\"$f\"; done", world->vault_path);

    put_many(world, 9);
    sync_all(world);
    assert_int_equal(system(empty), 0);
    wreck(world);
    AUTO(recover_report_done) struct recover_report report = recovered(world, &request);
    assert_int_equal(report.recovered_count, 0);
    assert_int_equal(report.damage_count, 1);
}

static void the_compressed_part_before_damage_comes_back(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();
    unsigned count = unit_times(3000) + 300; /* two segments at least */

    (void)setenv("HOLDFAST_SEGMENT_MAX", "100000", 1);
    put_many(world, count);
    sync_all(world);
    (void)unsetenv("HOLDFAST_SEGMENT_MAX");
    seal(world);
    wreck(world);
    AUTO(free_ptr)
    char *alter_one =
        xprintf("f=$(ls '%s'/origins/*/*.zst | head -1) && s=$(stat -c %%s \"$f\") && "
                "printf '\\377\\377\\377' | dd of=\"$f\" bs=1 seek=$((s * 3 / 4)) "
                "conv=notrunc 2>/dev/null",
                world->vault_path);
    assert_int_equal(system(alter_one), 0);
    AUTO(recover_report_done) struct recover_report report = recovered(world, &request);
    assert_true(report.recovered_count > 0);
    assert_true(report.recovered_count < count);
    assert_true(report.damage_count > 0);
    (void)assert_verifies(&world->home);
}

static void a_damaged_late_change_stays_a_gap(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();
    AUTO(free_ptr)
    char *spoil =
        xprintf("for f in '%s'/origins/*/late.jsonl; do echo x >\"$f\"; done", world->vault_path);

    put_many(world, 9);
    put_text(world, (struct text){100, "odd", 5, "it came late"});
    world->gaps[0] = seq_now(world);
    uint64_t lost = world->gaps[0];
    put_text(world, (struct text){101, "odd", 5, "behind it"});
    sync_all(world);
    world->gaps[0] = 0;
    sync_all(world);
    assert_int_equal(system(spoil), 0);
    wreck(world);
    AUTO(recover_report_done) struct recover_report report = recovered(world, &request);
    assert_int_equal(report.recovered_count, 10);
    assert_int_equal(report.damage_count, 1);
    assert_non_null(strstr(report.damages[0].where, "late.jsonl: record 1"));
    assert_int_equal(report.gaps.count, 1);
    assert_int_equal(report.gaps.items[0].from, lost);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
        WORLD_TEST(one_altered_byte_costs_one_change),
        WORLD_TEST(a_lost_end_of_line_costs_two_changes),
        WORLD_TEST(damage_of_the_last_changes_is_named),
        WORLD_TEST(a_ledger_that_lags_gets_the_rest),
        WORLD_TEST(a_lost_folder_is_never_a_success_in_silence),
        WORLD_TEST(a_damaged_late_change_stays_a_gap),
        WORLD_TEST(the_compressed_part_before_damage_comes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
