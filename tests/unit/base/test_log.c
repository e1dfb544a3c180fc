/* log - lines for the operator, which no stored text can forge. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"

#define LINE_MAX_BYTES 4096 /* PIPE_BUF: longer lines of two processes could mix */

/* stderr goes into a pipe during a test. */
struct fixture {
    int saved_stderr;
    int read_end;
    char text[8 * LINE_MAX_BYTES];
};

static int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    int ends[2];

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        return -1;
    }
    f->saved_stderr = dup(STDERR_FILENO);
    f->read_end = ends[0];
    (void)dup2(ends[1], STDERR_FILENO);
    (void)close(ends[1]);
    log_configure(LOG_INFO, false);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    (void)dup2(f->saved_stderr, STDERR_FILENO);
    (void)close(f->saved_stderr);
    (void)close(f->read_end);
    free(f);
    return 0;
}

/* What was logged since the last call. */
static const char *logged(struct fixture *f)
{
    ssize_t got = read(f->read_end, f->text, sizeof(f->text) - 1);

    f->text[got < 0 ? 0 : got] = '\0';
    return f->text;
}

static void assert_msg(struct fixture *f, const char *expected)
{
    const char *line = logged(f);
    const char *msg = strstr(line, " msg=");

    assert_non_null(msg);
    assert_string_equal(msg + 5, expected);
}

static void a_line_has_time_level_event_and_message(void **state)
{
    struct fixture *f = *state;

    log_warn("vault.append", "%s is slow; trying again in %d s", "archive", 5);
    const char *line = logged(f);
    assert_memory_equal(line, "ts=2", 4);
    assert_int_equal(line[3 + 26], 'Z');
    assert_string_equal(line + 3 + 27, " level=warn event=vault.append "
                                       "msg=\"archive is slow; trying again in 5 s\"\n");
}

static void lines_below_the_least_level_are_not_written(void **state)
{
    struct fixture *f = *state;

    log_debug("test.event", "no");
    assert_string_equal(logged(f), "");
    log_configure(LOG_ERROR, false);
    log_warn("test.event", "no");
    assert_string_equal(logged(f), "");
    log_error("test.event", "yes");
    assert_msg(f, "\"yes\"\n");
    log_configure(LOG_DEBUG, false);
    log_debug("test.event", "yes");
    assert_msg(f, "\"yes\"\n");
}

static void stored_text_can_not_forge_a_line(void **state)
{
    struct fixture *f = *state;

    log_info("test.event", "%s", "a\"\nts=1 level=error\r\tb\\ \x1B[2J\x7F");
    assert_msg(f, "\"a\\\"\\nts=1 level=error\\r\\tb\\\\ \\u001b[2J\\u007f\"\n");
}

/* U+009B starts an escape sequence on terminals, as ESC [ does. */
static void controls_beyond_ascii_are_escaped(void **state)
{
    struct fixture *f = *state;

    log_info("test.event", "%s", "a\xC2\x9Bz\xC2\xA0");
    assert_msg(f, "\"a\\u009bz\xC2\xA0\"\n");
}

static void text_in_any_script_is_kept_and_broken_bytes_are_replaced(void **state)
{
    struct fixture *f = *state;

    log_info("test.event", "%s", "käse 中文 😀 \xFF\xC3");
    assert_msg(f, "\"käse 中文 😀 \\ufffd\\ufffd\"\n");
}

static void json_lines_are_json(void **state)
{
    struct fixture *f = *state;
    AUTO(json_unref) json_t *line = NULL;
    struct err err;

    log_configure(LOG_INFO, true);
    log_error("disk.full", "%s", "a\"b\n\x01\xFFö");
    assert_ok(json_parse(str_of(logged(f)), &line, &err), &err);
    assert_string_equal(json_string_value(json_object_get(line, "level")), "error");
    assert_string_equal(json_string_value(json_object_get(line, "event")), "disk.full");
    assert_string_equal(json_string_value(json_object_get(line, "msg")), "a\"b\n\x01\xEF\xBF\xBDö");
    assert_int_equal(json_string_length(json_object_get(line, "ts")), 27);
    assert_int_equal(json_object_size(line), 4);
}

static void a_long_message_ends_in_an_ellipsis_and_still_is_a_line(void **state)
{
    struct fixture *f = *state;
    char text[10000];

    for (int kind = 0; kind < 3; kind++) {
        AUTO(json_unref) json_t *line = NULL;
        struct err err;
        memset(text, kind == 0 ? 'x' : 1, sizeof(text)); /* six bytes each when escaped */
        for (size_t i = 0; kind == 2 && i + 2 <= sizeof(text); i += 2) {
            memcpy(text + i, "ö", 2);
        }
        log_configure(LOG_INFO, true);
        log_info("test.event", "%.*s", (int)sizeof(text), text);
        const char *out = logged(f);
        assert_true(strlen(out) <= LINE_MAX_BYTES);
        assert_ok(json_parse(str_of(out), &line, &err), &err);
        assert_non_null(strstr(out, "…\"}\n"));
        assert_ptr_equal(strstr(out, "ufffd"), NULL);
    }
}

static void errno_survives(void **state)
{
    (void)state;

    errno = EEXIST;
    log_info("test.event", "x");
    assert_int_equal(errno, EEXIST);
}

static void levels_are_read_by_name(void **state)
{
    (void)state;
    enum log_level level = LOG_DEBUG;
    struct err err;

    assert_ok(log_level_parse("warn", &level, &err), &err);
    assert_int_equal(level, LOG_WARN);
    assert_ok(log_level_parse("debug", &level, &err), &err);
    assert_int_equal(level, LOG_DEBUG);
    assert_refused(log_level_parse("loud", &level, &err), &err, ERR_INVALID,
                   "\"loud\" is not one of debug, info, warn, error");
}

#define CAPTURED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CAPTURED(a_line_has_time_level_event_and_message),
        CAPTURED(lines_below_the_least_level_are_not_written),
        CAPTURED(stored_text_can_not_forge_a_line),
        CAPTURED(controls_beyond_ascii_are_escaped),
        CAPTURED(text_in_any_script_is_kept_and_broken_bytes_are_replaced),
        CAPTURED(json_lines_are_json),
        CAPTURED(a_long_message_ends_in_an_ellipsis_and_still_is_a_line),
        CAPTURED(errno_survives),
        cmocka_unit_test(levels_are_read_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
