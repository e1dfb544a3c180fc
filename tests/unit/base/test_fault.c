/* fault - crash points and counted faults. The environment is read once, so each case is a process
 * of its own. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"

#ifdef HOLDFAST_FAULTS

/* Runs a scene in a child with that environment variable; returns its wait status. */
static int status_of(const char *variable, const char *value, void (*scene)(void))
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        int null =
            open("/dev/null", O_WRONLY); /* what it says at its end is not for the test's log */
        (void)dup2(null, STDERR_FILENO);
        (void)setenv(variable, value, 1);
        scene();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static bool killed(int status)
{
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static bool survived(int status)
{
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void assert_content(const char *path, const char *expected)
{
    char text[100] = "";
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    assert_int_equal(fclose(file), 0);
    assert_string_equal(text, expected);
}

static void pass_one_point_once_and_another_twice(void)
{
    CRASH_POINT("test.once");
    CRASH_POINT("test.twice");
    CRASH_POINT("test.twice");
}

static void the_named_crash_point_kills(void **state)
{
    (void)state;

    assert_true(
        killed(status_of("HOLDFAST_CRASH_AT", "test.once", pass_one_point_once_and_another_twice)));
    assert_true(killed(
        status_of("HOLDFAST_CRASH_AT", "test.twice:2", pass_one_point_once_and_another_twice)));
}

static void other_crash_points_do_nothing(void **state)
{
    (void)state;

    assert_true(
        survived(status_of("HOLDFAST_CRASH_AT", "", pass_one_point_once_and_another_twice)));
    assert_true(
        survived(status_of("HOLDFAST_CRASH_AT", "test.on", pass_one_point_once_and_another_twice)));
    assert_true(survived(
        status_of("HOLDFAST_CRASH_AT", "test.once:2", pass_one_point_once_and_another_twice)));
    assert_true(survived(
        status_of("HOLDFAST_CRASH_AT", "test.twice:3", pass_one_point_once_and_another_twice)));
}

static void a_spec_that_can_not_be_read_is_not_ignored(void **state)
{
    (void)state;
    static const char *const CASES[] = {":1", "test.once:", "test.once:x", "test.once:0",
                                        "test.once:+"};

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        assert_false(survived(
            status_of("HOLDFAST_CRASH_AT", CASES[i], pass_one_point_once_and_another_twice)));
    }
}

static void every_name_is_logged_once(void **state)
{
    (void)state;
    char path[] = "/tmp/holdfast-crash-log-XXXXXX";
    AUTO(close_fd) int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_true(
        survived(status_of("HOLDFAST_CRASH_LOG", path, pass_one_point_once_and_another_twice)));
    assert_content(path, "test.once\ntest.twice\n");
    assert_int_equal(unlink(path), 0);
}

/* The exit status says which of five passings failed, as bits. */
static void pass_a_fault_five_times(void)
{
    int bits = 0;

    for (int i = 0; i < 5; i++) {
        errno = 0;
        bool hit = FAULT("test.fault", ENOSPC);
        bits |= (hit && errno == ENOSPC) << i;
    }
    _exit(bits);
}

static void a_fault_strikes_at_its_number(void **state)
{
    (void)state;

    assert_int_equal(
        WEXITSTATUS(status_of("HOLDFAST_FAULT_AT", "test.fault:3", pass_a_fault_five_times)), 0x04);
    assert_int_equal(
        WEXITSTATUS(status_of("HOLDFAST_FAULT_AT", "test.fault:3+", pass_a_fault_five_times)),
        0x1C);
    assert_int_equal(
        WEXITSTATUS(status_of("HOLDFAST_FAULT_AT", "test.other:1+", pass_a_fault_five_times)), 0);
}

static void a_test_sets_and_clears_faults(void **state)
{
    (void)state;

    fault_set("test.fault:2");
    assert_false(FAULT("test.fault", EIO));
    assert_true(FAULT("test.fault", EIO));
    assert_int_equal(errno, EIO);
    assert_false(FAULT("test.fault", EIO));
    fault_set("test.fault:1");
    assert_true(FAULT("test.fault", EIO));
    fault_set(NULL);
    assert_false(FAULT("test.fault", EIO));
}

static char replaced_path[64];

static void replace_by_old(void)
{
    struct err err;

    _exit(file_replace(replaced_path, STR("old"), 0600, &err) == 0 ? 0 : 1);
}

static void replace_by_new(void)
{
    struct err err;

    _exit(file_replace(replaced_path, STR("new"), 0600, &err) == 0 ? 0 : 1);
}

static void a_crash_while_replacing_leaves_old_or_new(void **state)
{
    (void)state;
    static const struct {
        const char *crash_at;
        const char *content;
    } CASES[] = {
        {"file.replace.before_rename", "old"},
        {"file.replace.after_rename", "new"},
    };
    char folder[] = "/tmp/holdfast-fault-XXXXXX";
    struct err err;

    assert_non_null(mkdtemp(folder));
    (void)snprintf(replaced_path, sizeof(replaced_path), "%s/file", folder);
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        assert_true(survived(status_of("HOLDFAST_CRASH_AT", "", replace_by_old)));
        assert_true(killed(status_of("HOLDFAST_CRASH_AT", CASES[i].crash_at, replace_by_new)));
        assert_content(replaced_path, CASES[i].content);
    }
    assert_ok(file_remove_tree(folder, &err), &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_named_crash_point_kills),
        cmocka_unit_test(other_crash_points_do_nothing),
        cmocka_unit_test(a_spec_that_can_not_be_read_is_not_ignored),
        cmocka_unit_test(every_name_is_logged_once),
        cmocka_unit_test(a_fault_strikes_at_its_number),
        cmocka_unit_test(
            a_crash_while_replacing_leaves_old_or_new), /* removes a folder: has faults */
        cmocka_unit_test(a_test_sets_and_clears_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void without_faults_nothing_is_ever_hit(void **state)
{
    (void)state;

    CRASH_POINT("test.once");
    assert_false(FAULT("test.fault", EIO));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(without_faults_nothing_is_ever_hit)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
