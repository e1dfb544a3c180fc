/* buf - views, and buffers that grow up to their cap. */
#include "support/unit.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"

static void views_compare_by_bytes(void **state)
{
    (void)state;

    assert_true(str_eq(STR("abc"), str_of("abc")));
    assert_false(str_eq(STR("abc"), STR("abd")));
    assert_false(str_eq(STR("ab"), STR("abc")));
    assert_true(str_eq_c(STR("abc"), "abc"));
    assert_false(str_eq(STR("a\0b"), STR("a\0c")));
}

static void nothing_is_the_empty_view(void **state)
{
    (void)state;

    assert_int_equal(str_of(NULL).len, 0);
    assert_true(str_eq(str_of(NULL), STR("")));
    assert_true(str_eq((struct str){NULL, 0}, STR("")));
    assert_true(str_eq_c(STR(""), NULL));
}

static void a_view_starts_with_its_prefixes(void **state)
{
    (void)state;

    assert_true(str_starts(STR("holdfast"), STR("hold")));
    assert_true(str_starts(STR("hold"), STR("hold")));
    assert_true(str_starts(STR("hold"), STR("")));
    assert_false(str_starts(STR("hol"), STR("hold")));
    assert_false(str_starts(STR("holdfast"), STR("fast")));
}

static void what_is_added_is_there_and_ends_in_a_nul(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf buf = BUF_INIT(100);
    struct err err;

    assert_ok(buf_add(&buf, "ab", 2, &err), &err);
    assert_ok(buf_add_c(&buf, "cd", &err), &err);
    assert_ok(buf_add_str(&buf, STR("ef"), &err), &err);
    assert_ok(buf_printf(&buf, &err, "%d-%s", 12, "x"), &err);
    assert_true(str_eq(buf_str(&buf), STR("abcdef12-x")));
    assert_string_equal(buf.data, "abcdef12-x");
}

static void a_buffer_can_be_filled_up_to_its_cap(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf buf = BUF_INIT(4);
    struct err err;

    assert_ok(buf_add(&buf, "abcd", 4, &err), &err);
    assert_string_equal(buf.data, "abcd");
}

static void one_byte_past_the_cap_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf buf = BUF_INIT(4);
    struct err err;

    assert_ok(buf_add(&buf, "abc", 3, &err), &err);
    assert_refused(buf_add(&buf, "de", 2, &err), &err, ERR_LIMIT, "limit of 4 bytes");
    assert_refused(buf_printf(&buf, &err, "%s", "de"), &err, ERR_LIMIT, "limit of 4 bytes");
    assert_refused(buf_reserve(&buf, SIZE_MAX, &err), &err, ERR_LIMIT, "limit of 4 bytes");
    assert_string_equal(buf.data, "abc");
    assert_ok(buf_add(&buf, "d", 1, &err), &err);
}

static void a_buffer_without_a_cap_takes_nothing(void **state)
{
    (void)state;
    struct buf buf = {0};
    struct err err;

    assert_refused(buf_add(&buf, "x", 1, &err), &err, ERR_LIMIT, "limit of 0 bytes");
    assert_true(str_eq(buf_str(&buf), STR("")));
    buf_done(&buf);
}

static void growing_keeps_the_bytes(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf buf = BUF_INIT(100000);
    struct err err;

    for (int i = 0; i < 100000; i++) {
        assert_ok(buf_add(&buf, (char[]){(char)('a' + i % 26)}, 1, &err), &err);
    }
    assert_int_equal(buf.len, 100000);
    for (int i = 0; i < 100000; i++) {
        assert_int_equal(buf.data[i], 'a' + i % 26);
    }
    assert_true(buf.capacity <= 100001);
}

static void the_greatest_cap_is_no_overflow(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf buf = BUF_INIT(SIZE_MAX);
    struct err err;

    assert_ok(buf_add_c(&buf, "x", &err), &err);
    assert_string_equal(buf.data, "x");
}

static void resetting_keeps_the_memory(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf buf = BUF_INIT(100);
    struct err err;

    buf_reset(&buf);
    assert_ok(buf_add_c(&buf, "abc", &err), &err);
    char *data = buf.data;
    buf_reset(&buf);
    assert_int_equal(buf.len, 0);
    assert_string_equal(buf.data, "");
    assert_ptr_equal(buf.data, data);
}

static void reserved_room_can_be_written(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf buf = BUF_INIT(1000);
    struct err err;

    assert_ok(buf_add_c(&buf, "x", &err), &err);
    assert_ok(buf_reserve(&buf, 500, &err), &err);
    memset(buf.data + buf.len, 'y', 500);
    buf.len += 500;
    buf.data[buf.len] = '\0';
    assert_ok(buf_add_c(&buf, "z", &err), &err);
    assert_int_equal(buf.len, 502);
    assert_string_equal(buf.data + 500, "yz");
}

static void taking_leaves_an_empty_buffer_with_its_cap(void **state)
{
    (void)state;
    struct buf buf;
    struct err err;

    buf_init(&buf, 3);
    assert_ok(buf_add_c(&buf, "abc", &err), &err);
    AUTO(free_ptr) char *text = buf_take(&buf);
    assert_string_equal(text, "abc");
    assert_ptr_equal(buf.data, NULL);
    assert_ok(buf_add_c(&buf, "def", &err), &err);
    buf_done(&buf);
}

static void taking_from_an_empty_buffer_gives_an_empty_text(void **state)
{
    (void)state;
    struct buf buf = BUF_INIT(3);
    AUTO(free_ptr) char *text = buf_take(&buf);

    assert_string_equal(text, "");
}

static void done_takes_null_and_what_is_done_already(void **state)
{
    (void)state;
    struct buf buf = BUF_INIT(3);
    struct err err;

    buf_done(NULL);
    assert_ok(buf_add_c(&buf, "abc", &err), &err);
    buf_done(&buf);
    buf_done(&buf);
    assert_ptr_equal(buf.data, NULL);
}

static void copies_are_texts_of_their_own(void **state)
{
    (void)state;
    AUTO(free_ptr) char *all = xstrdup("abc");
    AUTO(free_ptr) char *part = xstrndup("abcdef", 2);
    AUTO(free_ptr) char *nothing = xstrndup(NULL, 0);
    AUTO(free_ptr) char *formatted = xprintf("%s/%d", "a", 5);

    assert_string_equal(all, "abc");
    assert_string_equal(part, "ab");
    assert_string_equal(nothing, "");
    assert_string_equal(formatted, "a/5");
}

static void allocating_nothing_gives_a_pointer(void **state)
{
    (void)state;
    AUTO(free_ptr) void *a = xmalloc(0);
    AUTO(free_ptr) void *b = xcalloc(0, 8);
    AUTO(free_ptr) void *c = xrealloc(NULL, 0);

    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(c);
}

/* The exit status of a child that asks for more memory than there is; -1 when a signal ended it. */
static int status_of_asking_for(size_t size)
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        int null =
            open("/dev/null", O_WRONLY); /* what it says at its end is not for the test's log */
        (void)dup2(null, STDERR_FILENO);
        free(xcalloc(size, 2));
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void running_out_of_memory_ends_the_process(void **state)
{
    (void)state;

    assert_int_equal(status_of_asking_for(1), 0);
    assert_int_not_equal(status_of_asking_for(SIZE_MAX / 4), 0);
}

static void a_closed_descriptor_is_not_closed_twice(void **state)
{
    (void)state;
    int fd = dup(STDERR_FILENO);

    assert_true(fd >= 0);
    int number = fd;
    close_fd(&fd);
    assert_int_equal(fd, -1);
    assert_int_equal(fcntl(number, F_GETFD), -1);
    close_fd(&fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_compare_by_bytes),
        cmocka_unit_test(nothing_is_the_empty_view),
        cmocka_unit_test(a_view_starts_with_its_prefixes),
        cmocka_unit_test(what_is_added_is_there_and_ends_in_a_nul),
        cmocka_unit_test(a_buffer_can_be_filled_up_to_its_cap),
        cmocka_unit_test(one_byte_past_the_cap_is_refused_and_changes_nothing),
        cmocka_unit_test(a_buffer_without_a_cap_takes_nothing),
        cmocka_unit_test(growing_keeps_the_bytes),
        cmocka_unit_test(the_greatest_cap_is_no_overflow),
        cmocka_unit_test(resetting_keeps_the_memory),
        cmocka_unit_test(reserved_room_can_be_written),
        cmocka_unit_test(taking_leaves_an_empty_buffer_with_its_cap),
        cmocka_unit_test(taking_from_an_empty_buffer_gives_an_empty_text),
        cmocka_unit_test(done_takes_null_and_what_is_done_already),
        cmocka_unit_test(copies_are_texts_of_their_own),
        cmocka_unit_test(allocating_nothing_gives_a_pointer),
        cmocka_unit_test(running_out_of_memory_ends_the_process),
        cmocka_unit_test(a_closed_descriptor_is_not_closed_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
