/* sync.db: what it keeps, what it forgets, and that it is made anew when it is damaged. */
#include "vault/place.h"

#include "base/fault.h"
#include "replicate/sync_log.h"

#define NOW_US 1795371523000001

struct fixture {
    char *home;
    struct env_fake env;
    struct sync_log *log;
    struct uuid origin;
};

static void open_log(struct fixture *f)
{
    struct err err = ERR_INIT;

    assert_ok(sync_log_open(f->home, &f->env.env, &f->log, &err), &err);
}

static void reopen(struct fixture *f)
{
    sync_log_close(f->log);
    open_log(f);
}

static int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));

    f->home = place_new();
    env_fake_init(&f->env, NOW_US, 1);
    memset(f->origin.bytes, 0x42, sizeof(f->origin.bytes));
    open_log(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    fault_set(NULL);
    sync_log_close(f->log);
    place_drop(f->home);
    free(f);
    return 0;
}

static void cursors_are_kept_for_each_vault_and_origin(void **state)
{
    struct fixture *f = *state;
    struct sha256 hash = sha256_of("x", 1);
    struct sha256 found;
    struct uuid other = {{7}};
    uint64_t seq = 99;
    struct err err = ERR_INIT;

    assert_ok(sync_cursor_get(f->log, "a", &f->origin, &seq, &found, &err), &err);
    assert_int_equal(seq, 0);
    assert_true(sha256_is_zero(&found));
    assert_ok(sync_cursor_set(f->log, "a", &f->origin, 5, &hash, &err), &err);
    assert_ok(sync_cursor_set(f->log, "b", &f->origin, 6, &hash, &err), &err);
    assert_ok(sync_cursor_set(f->log, "a", &other, 7, &hash, &err), &err);
    assert_ok(sync_cursor_set(f->log, "a", &f->origin, 8, &hash, &err), &err);
    reopen(f);
    assert_ok(sync_cursor_get(f->log, "a", &f->origin, &seq, &found, &err), &err);
    assert_int_equal(seq, 8);
    assert_true(sha256_eq(&found, &hash));
    assert_ok(sync_cursor_get(f->log, "b", &f->origin, &seq, &found, &err), &err);
    assert_int_equal(seq, 6);
    assert_ok(sync_cursor_get(f->log, "a", &other, &seq, &found, &err), &err);
    assert_int_equal(seq, 7);
}

static void identities_and_flags_outlive_a_restart(void **state)
{
    struct fixture *f = *state;
    struct uuid identity;
    char *value = NULL;
    struct err err = ERR_INIT;

    assert_ok(sync_vault_identity_get(f->log, "a", &identity, &err), &err);
    assert_true(uuid_is_nil(&identity));
    assert_ok(sync_vault_identity_set(f->log, "a", &f->origin, &err), &err);
    assert_refused(sync_flag_get(f->log, "paused", &value, &err), &err, ERR_NOT_FOUND, "paused");
    assert_ok(sync_flag_set(f->log, "paused", "yes", &err), &err);
    assert_ok(sync_flag_set(f->log, "paused", "1", &err), &err);
    reopen(f);
    assert_ok(sync_vault_identity_get(f->log, "a", &identity, &err), &err);
    assert_true(uuid_eq(&identity, &f->origin));
    assert_ok(sync_flag_get(f->log, "paused", &value, &err), &err);
    assert_string_equal(value, "1");
    free(value);
    assert_ok(sync_flag_set(f->log, "paused", NULL, &err), &err);
    assert_ok(sync_flag_set(f->log, "paused", NULL, &err), &err);
    assert_refused(sync_flag_get(f->log, "paused", &value, &err), &err, ERR_NOT_FOUND, "paused");
}

static void a_text_that_memory_has_no_room_for_is_an_error(void **state)
{
    struct fixture *f = *state;
    char *value = NULL;
    struct err err = ERR_INIT;

    assert_ok(sync_flag_set(f->log, "paused", "1", &err), &err);
    fault_set("sync.sql.text:1");
    assert_refused(sync_flag_get(f->log, "paused", &value, &err), &err, ERR_UNAVAILABLE,
                   "out of memory");
    fault_set(NULL);
    assert_null(value);
    assert_ok(sync_flag_get(f->log, "paused", &value, &err), &err);
    free(value);
}

/* ---- attempts ---- */

static struct sync_event event_of(struct fixture *f, const char *vault, const char *result,
                                  uint64_t number)
{
    return (struct sync_event){.at_us = NOW_US + (int64_t)number,
                               .vault = vault,
                               .direction = number % 2 == 0 ? SYNC_PUSH : SYNC_PULL,
                               .result = result,
                               .count = number,
                               .origin = f->origin,
                               .from_seq = number,
                               .to_seq = 2 * number,
                               .duration_us = 17,
                               .retries = 3,
                               .error = strcmp(result, "ok") == 0 ? NULL : "because"};
}

struct listed {
    char text[512];
    uint64_t stop_at;
};

static int list(void *arg, const struct sync_event *event, struct err *err)
{
    struct listed *listed = arg;
    size_t len = strlen(listed->text);

    (void)err;
    assert_int_equal(event->at_us, NOW_US + (int64_t)event->count);
    assert_int_equal(event->to_seq, 2 * event->from_seq);
    assert_int_equal(event->duration_us, 17);
    assert_int_equal(event->retries, 3);
    assert_int_equal(event->direction, event->count % 2 == 0 ? SYNC_PUSH : SYNC_PULL);
    assert_true((event->error == NULL) == (strcmp(event->result, "ok") == 0));
    (void)snprintf(listed->text + len, sizeof(listed->text) - len, "%s%llu ", event->vault,
                   (unsigned long long)event->count);
    return event->count == listed->stop_at ? 5 : 0;
}

static void attempts_are_listed_newest_first(void **state)
{
    struct fixture *f = *state;
    struct listed listed = {.stop_at = UINT64_MAX};
    struct err err = ERR_INIT;

    for (uint64_t i = 1; i <= 6; i++) {
        struct sync_event event = event_of(f, i % 3 == 0 ? "b" : "a", i == 4 ? "retry" : "ok", i);
        assert_ok(sync_event_add(f->log, &event, &err), &err);
    }
    reopen(f);
    assert_ok(sync_events(f->log, NULL, 100, list, &listed, &err), &err);
    assert_string_equal(listed.text, "b6 a5 a4 b3 a2 a1 ");
    listed = (struct listed){.stop_at = UINT64_MAX};
    assert_ok(sync_events(f->log, "a", 2, list, &listed, &err), &err);
    assert_string_equal(listed.text, "a5 a4 ");
    listed = (struct listed){.stop_at = 3};
    assert_int_equal(sync_events(f->log, NULL, 100, list, &listed, &err), 5);
    assert_string_equal(listed.text, "b6 a5 a4 b3 ");
    listed = (struct listed){.stop_at = UINT64_MAX};
    assert_ok(sync_events(f->log, "c", SIZE_MAX, list, &listed, &err), &err);
    assert_string_equal(listed.text, "");
}

struct kept {
    uint64_t ok;
    uint64_t failed;
};

static int count_kept(void *arg, const struct sync_event *event, struct err *err)
{
    struct kept *kept = arg;

    (void)err;
    if (event->error == NULL) {
        kept->ok++;
    } else {
        kept->failed++;
    }
    return 0;
}

static void old_attempts_are_forgotten_and_failures_later(void **state)
{
    struct fixture *f = *state;
    struct kept kept = {0};
    struct err err = ERR_INIT;

    for (uint64_t i = 1; i <= SYNC_EVENTS_KEPT + 2000; i++) {
        struct sync_event event = event_of(f, "a", i <= 10 ? "retry" : "ok", i);
        assert_ok(sync_event_add(f->log, &event, &err), &err);
    }
    assert_ok(sync_events(f->log, "a", SIZE_MAX, count_kept, &kept, &err), &err);
    assert_int_equal(kept.failed, 10);
    assert_in_range(kept.ok, SYNC_EVENTS_KEPT - 1000, SYNC_EVENTS_KEPT + 1000);
}

/* ---- dead letters ---- */

static int list_letter(void *arg, const struct dead_letter *letter, struct err *err)
{
    struct listed *listed = arg;
    size_t len = strlen(listed->text);

    (void)err;
    (void)snprintf(listed->text + len, sizeof(listed->text) - len, "%s%llu:%s ", letter->vault,
                   (unsigned long long)letter->seq, letter->error);
    if (letter->seq == listed->stop_at) {
        listed->stop_at = (uint64_t)letter->id;
        return 1;
    }
    return 0;
}

static void dead_letters_are_kept_until_they_are_removed(void **state)
{
    struct fixture *f = *state;
    struct dead_letter letter = {.at_us = NOW_US, .vault = "a", .origin = f->origin, .seq = 4};
    struct listed listed = {.stop_at = 4};
    uint64_t count = 9;
    struct err err = ERR_INIT;

    letter.error = "first";
    assert_ok(dead_letter_add(f->log, &letter, &err), &err);
    letter.error = "second"; /* the same change: one letter */
    assert_ok(dead_letter_add(f->log, &letter, &err), &err);
    letter.seq = 5;
    assert_ok(dead_letter_add(f->log, &letter, &err), &err);
    letter.vault = "b";
    assert_ok(dead_letter_add(f->log, &letter, &err), &err);
    reopen(f);
    assert_ok(dead_letter_count(f->log, "a", &count, &err), &err);
    assert_int_equal(count, 2);
    assert_ok(dead_letter_count(f->log, NULL, &count, &err), &err);
    assert_int_equal(count, 3);
    assert_int_equal(dead_letters(f->log, "a", list_letter, &listed, &err), 1);
    assert_string_equal(listed.text, "a4:second ");
    assert_ok(dead_letter_remove(f->log, (int64_t)listed.stop_at, &err), &err);
    assert_ok(dead_letter_remove(f->log, 999, &err), &err);
    listed = (struct listed){.stop_at = 0};
    assert_ok(dead_letters(f->log, NULL, list_letter, &listed, &err), &err);
    assert_string_equal(listed.text, "a5:second b5:second ");
}

/* ---- damage ---- */

static void a_damaged_log_is_put_aside_and_made_anew(void **state)
{
    struct fixture *f = *state;
    AUTO(free_ptr) char *path = path_join(f->home, "sync.db");
    AUTO(free_ptr) char *wal = path_join(f->home, "sync.db-wal");
    static const char *const CONTENTS[] = {"this is no database at all, but long enough for one"};
    struct err err = ERR_INIT;
    uint64_t seq = 9;
    struct sha256 hash = {{1}};

    assert_ok(sync_cursor_set(f->log, "a", &f->origin, 5, &hash, &err), &err);
    for (int round = 0; round < 3; round++) { /* the clock stands still */
        sync_log_close(f->log);
        f->log = NULL;
        (void)unlink(wal);
        if (round < 2) {
            place_write(path, str_of(CONTENTS[0]));
        } else { /* a page in the middle */
            struct buf content = place_read(path);
            memset(content.data + 100, 0x5a, content.len - 100);
            place_write(path, buf_str(&content));
            buf_done(&content);
        }
        open_log(f);
        assert_ok(sync_cursor_get(f->log, "a", &f->origin, &seq, &hash, &err), &err);
        assert_int_equal(seq, 0);
        assert_int_equal(place_count(f->home, "sync.db.damaged-"), round + 1);
    }
}

static void one_of_a_newer_schema_is_put_aside(void **state)
{
    struct fixture *f = *state;
    AUTO(free_ptr)
    char *command = xprintf("sqlite3 %s/sync.db 'PRAGMA user_version=7' >/dev/null", f->home);

    if (system("command -v sqlite3 >/dev/null") != 0) {
        skip();
    }
    sync_log_close(f->log);
    f->log = NULL;
    assert_int_equal(system(command), 0);
    open_log(f);
    assert_int_equal(place_count(f->home, "sync.db.damaged-"), 1);
}

static void it_works_on_when_its_folder_is_gone(void **state)
{
    struct fixture *f = *state;
    struct sha256 hash = {{1}};
    uint64_t seq = 0;
    struct err err = ERR_INIT;

    assert_ok(sync_cursor_set(f->log, "a", &f->origin, 5, &hash, &err), &err);
    assert_ok(file_remove_tree(f->home, &err), &err);
    if (sync_cursor_set(f->log, "a", &f->origin, 6, &hash, &err) == 0) { /* either is well */
        assert_ok(sync_cursor_get(f->log, "a", &f->origin, &seq, &hash, &err), &err);
        assert_int_equal(seq, 6);
    } else {
        assert_int_equal(err_class((int)err.code), ERR_CLASS_RETRY);
    }
}

static void a_home_that_is_not_there_is_an_error(void **state)
{
    struct fixture *f = *state;
    AUTO(free_ptr) char *nowhere = path_join(f->home, "nowhere");
    struct sync_log *log = NULL;
    struct err err = ERR_INIT;

    assert_refused(sync_log_open(nowhere, &f->env.env, &log, &err), &err, ERR_UNAVAILABLE,
                   "nowhere/sync.db");
    assert_null(log);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest sync_log[] = {
        TEST(cursors_are_kept_for_each_vault_and_origin),
        TEST(identities_and_flags_outlive_a_restart),
        TEST(a_text_that_memory_has_no_room_for_is_an_error),
        TEST(attempts_are_listed_newest_first),
        TEST(old_attempts_are_forgotten_and_failures_later),
        TEST(dead_letters_are_kept_until_they_are_removed),
        TEST(a_damaged_log_is_put_aside_and_made_anew),
        TEST(one_of_a_newer_schema_is_put_aside),
        TEST(it_works_on_when_its_folder_is_gone),
        TEST(a_home_that_is_not_there_is_an_error),
    };

    return cmocka_run_group_tests(sync_log, NULL, NULL);
}
