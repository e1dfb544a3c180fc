/* Files that others write: read safely, and as memories there and back. */
#include "support/unit.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/file.h"
#include "source/files_internal.h"

struct place {
    char path[64];
    int root;
    struct files_at at;
    struct file_state state;
};

static int begin(void **state)
{
    struct place *place = xcalloc(1, sizeof(*place));

    (void)snprintf(place->path, sizeof(place->path), "/tmp/hf-files-XXXXXX");
    assert_non_null(mkdtemp(place->path));
    place->root = open(place->path, O_RDONLY | O_DIRECTORY);
    files_at_init(&place->at, place->root);
    buf_init(&place->state.text, FILES_BYTES_MAX + 1);
    *state = place;
    return 0;
}

static int end(void **state)
{
    struct place *place = *state;
    struct err err = ERR_INIT;

    files_at_done(&place->at);
    buf_done(&place->state.text);
    (void)close(place->root);
    assert_ok(file_remove_tree(place->path, &err), &err);
    free(place);
    return 0;
}

static void write_file(struct place *place, const char *name, const void *bytes, size_t len)
{
    int fd = openat(place->root, name, O_WRONLY | O_CREAT | O_TRUNC, 0640);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    (void)close(fd);
}

static const struct source_options options = {.name = "notes", .project = "sea"};

/* Read it, make a memory of it, and that a file again: *ret_origin borrows of *ret_memory. */
static void there_and_back(struct place *place, const char *name, struct memory *ret_memory,
                           struct file_origin *ret_origin)
{
    struct err err = ERR_INIT;

    assert_ok(files_read(&place->at, name, &place->state, &err), &err);
    assert_ok(files_to_memory(&options, name, &place->state, ret_memory, &err), &err);
    assert_true(files_of_memory(ret_memory, "notes", ret_origin));
    assert_false(files_of_memory(ret_memory, "other", &(struct file_origin){.path = NULL}));
}

static void a_file_comes_back_to_the_byte_with_mode_and_time(void **state)
{
    static const char *const texts[] = {"x", "", " ", "\n",
                                        "\r\n\ttabs\x01\x1b[0m\xef\xbb\xbf\xc3\xa9"};
    struct place *place = *state;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                    {.tv_sec = 1700000000, .tv_nsec = 123456789}};
        AUTO(memory_done) struct memory memory;
        struct file_origin origin;
        write_file(place, "a.md", texts[i], strlen(texts[i]));
        assert_int_equal(utimensat(place->root, "a.md", times, 0), 0);
        there_and_back(place, "a.md", &memory, &origin);
        assert_string_equal(origin.path, "a.md");
        assert_true(str_eq_c(origin.text, texts[i]));
        assert_int_equal(origin.mode, 0640);
        assert_true(origin.mtime_ns == 1700000000123456789);
        assert_int_equal(origin.left, FILES_KEPT);
        assert_int_equal(memory.content_len, texts[i][0] == '\0' ? 1 : strlen(texts[i]));
    }
}

static void times_before_1970_come_back_too(void **state)
{
    struct place *place = *state;
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = -2, .tv_nsec = 999999999}};
    AUTO(memory_done) struct memory memory;
    struct file_origin origin;

    write_file(place, "a.md", "x", 1);
    assert_int_equal(utimensat(place->root, "a.md", times, 0), 0);
    there_and_back(place, "a.md", &memory, &origin);
    assert_true(origin.mtime_ns == -1000000001);
}

static void what_is_no_text_or_too_long_is_left(void **state)
{
    struct place *place = *state;
    AUTO(free_ptr) char *text = xmalloc(FILES_BYTES_MAX + 1);
    struct err err = ERR_INIT;
    const struct {
        const void *bytes;
        size_t len;
        enum files_left left;
    } samples[] = {{"a\0b", 3, FILES_BINARY},
                   {"\xff\xfe", 2, FILES_BINARY},
                   {text, MEMORY_CONTENT_MAX, FILES_KEPT},
                   {text, MEMORY_CONTENT_MAX + 1, FILES_LARGE},
                   {text, FILES_BYTES_MAX + 1, FILES_LARGE}};

    memset(text, 'x', FILES_BYTES_MAX + 1);
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        write_file(place, "a.md", samples[i].bytes, samples[i].len);
        assert_ok(files_read(&place->at, "a.md", &place->state, &err), &err);
        assert_int_equal(place->state.left, samples[i].left);
    }
}

static void a_file_that_is_left_is_remembered_as_emptied_and_known_again(void **state)
{
    struct place *place = *state;
    AUTO(memory_done) struct memory memory;
    struct file_origin origin;

    write_file(place, "a.md", "a\0b", 3);
    there_and_back(place, "a.md", &memory, &origin);
    assert_string_equal(memory.content, ROW_BLANK);
    assert_int_equal(origin.left, FILES_BINARY);
    assert_int_equal(origin.size, 3);
    assert_int_equal(origin.text.len, 0);
}

static void links_folders_and_pipes_are_no_files(void **state)
{
    struct place *place = *state;

    write_file(place, "real.md", "x", 1);
    assert_int_equal(mkdirat(place->root, "folder.md", 0755), 0);
    assert_int_equal(mkdirat(place->root, "in", 0755), 0);
    write_file(place, "in/x.md", "x", 1);
    assert_int_equal(symlinkat("real.md", place->root, "link.md"), 0);
    assert_int_equal(symlinkat("in", place->root, "linked"), 0);
    assert_int_equal(mkfifoat(place->root, "pipe.md", 0644), 0);

    static const char *const names[] = {"link.md", "folder.md",    "pipe.md",     "linked/x.md",
                                        "none.md", "none/none.md", "real.md/x.md"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct err err = ERR_INIT;
        assert_int_equal(files_read(&place->at, names[i], &place->state, &err), -ERR_NOT_FOUND);
        assert_false(files_is_there(&place->at, names[i]));
    }
    assert_true(files_is_there(&place->at, "in/x.md"));
    assert_true(files_is_there(&place->at, "real.md"));
}

static void a_path_that_leads_elsewhere_is_none(void **state)
{
    static const char *const wrong[] = {"",    "/a",   "a/",     "a//b", ".",    "..",
                                        "./a", "../a", "a/../b", "a/..", "a/./b"};
    static const char *const right[] = {"a", "a/b", "..a", "a../b", ".hidden", "a/...", "a b\nc"};
    AUTO(free_ptr) char *longest = xmalloc(FILES_PATH_MAX + 2);

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(files_path_ok(wrong[i]));
    }
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
        assert_true(files_path_ok(right[i]));
    }
    memset(longest, 'a', FILES_PATH_MAX + 2);
    longest[FILES_PATH_MAX + 1] = '\0';
    assert_false(files_path_ok(longest));
    longest[FILES_PATH_MAX] = '\0';
    assert_true(files_path_ok(longest));
}

static void the_longest_path_of_any_characters_is_a_memory(void **state)
{
    struct place *place = *state;
    AUTO(free_ptr) char *path = xmalloc(FILES_PATH_MAX + 1);
    AUTO(memory_done) struct memory memory;
    struct err err = ERR_INIT;

    memset(path, '\x01', FILES_PATH_MAX); /* six bytes each, as JSON */
    path[FILES_PATH_MAX] = '\0';
    write_file(place, "a.md", "x", 1);
    assert_ok(files_read(&place->at, "a.md", &place->state, &err), &err);
    assert_ok(files_to_memory(&options, path, &place->state, &memory, &err), &err);
}

static void a_name_that_is_not_utf_8_is_refused_in_words(void **state)
{
    struct place *place = *state;
    struct memory memory;
    struct err err = ERR_INIT;

    write_file(place, "\xff.md", "x", 1);
    assert_ok(files_read(&place->at, "\xff.md", &place->state, &err), &err);
    assert_refused(files_to_memory(&options, "\xff.md", &place->state, &memory, &err), &err,
                   ERR_INVALID, "not UTF-8");
    memory_done(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_comes_back_to_the_byte_with_mode_and_time, begin,
                                        end),
        cmocka_unit_test_setup_teardown(times_before_1970_come_back_too, begin, end),
        cmocka_unit_test_setup_teardown(what_is_no_text_or_too_long_is_left, begin, end),
        cmocka_unit_test_setup_teardown(
            a_file_that_is_left_is_remembered_as_emptied_and_known_again, begin, end),
        cmocka_unit_test_setup_teardown(links_folders_and_pipes_are_no_files, begin, end),
        cmocka_unit_test(a_path_that_leads_elsewhere_is_none),
        cmocka_unit_test_setup_teardown(the_longest_path_of_any_characters_is_a_memory, begin, end),
        cmocka_unit_test_setup_teardown(a_name_that_is_not_utf_8_is_refused_in_words, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
