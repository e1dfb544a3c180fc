/* file - durable files. */
#include "support/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"

/* Each test works in a folder of its own. */
struct fixture {
    char folder[64];
    char path[128]; /* of a file in it, which is not there yet */
};

static int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));

    (void)snprintf(f->folder, sizeof(f->folder), "/tmp/holdfast-file-XXXXXX");
    if (mkdtemp(f->folder) == NULL) {
        return -1;
    }
    (void)snprintf(f->path, sizeof(f->path), "%s/file", f->folder);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    struct err err;
    int rc = file_remove_tree(f->folder, &err);

    free(f);
    return rc;
}

static void put(const char *path, struct str content)
{
    struct err err;

    assert_ok(file_replace(path, content, 0600, &err), &err);
}

static void assert_content(const char *path, struct str expected)
{
    AUTO(buf_done) struct buf buf = BUF_INIT(1 << 20);
    struct err err;

    assert_ok(file_read(path, 1 << 20, &buf, &err), &err);
    assert_true(str_eq(buf_str(&buf), expected));
}

static int entries_in(const char *folder)
{
    int count = 0;
    DIR *dir = opendir(folder);

    assert_non_null(dir);
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    }
    assert_int_equal(closedir(dir), 0);
    return count;
}

static mode_t mode_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static void what_was_put_is_read(void **state)
{
    struct fixture *f = *state;

    put(f->path, STR("one\0two"));
    assert_content(f->path, STR("one\0two"));
    assert_int_equal(mode_of(f->path), 0600);
}

static void new_content_takes_the_place_of_the_old(void **state)
{
    struct fixture *f = *state;
    struct err err;

    put(f->path, STR("the old and longer"));
    assert_ok(file_replace(f->path, STR("new"), 0644, &err), &err);
    assert_content(f->path, STR("new"));
    assert_int_equal(mode_of(f->path), 0644);
    assert_int_equal(entries_in(f->folder), 1);
}

static void an_empty_file_can_be_put_and_read(void **state)
{
    struct fixture *f = *state;
    AUTO(buf_done) struct buf buf = BUF_INIT(0);
    struct err err;

    put(f->path, STR(""));
    assert_ok(file_read(f->path, 0, &buf, &err), &err);
    assert_int_equal(buf.len, 0);
    assert_string_equal(buf.data, "");
}

static void a_large_file_is_read_whole(void **state)
{
    struct fixture *f = *state;
    AUTO(free_ptr) char *bytes = xmalloc(300000);

    for (size_t i = 0; i < 300000; i++) {
        bytes[i] = (char)(i * 7);
    }
    put(f->path, (struct str){bytes, 300000});
    assert_content(f->path, (struct str){bytes, 300000});
}

static void a_file_is_read_up_to_the_limit_and_no_further(void **state)
{
    struct fixture *f = *state;
    AUTO(buf_done) struct buf buf = BUF_INIT(100);
    struct err err;

    put(f->path, STR("12345"));
    assert_refused(file_read(f->path, 4, &buf, &err), &err, ERR_LIMIT, "limit of 4 bytes");
    assert_int_equal(buf.len, 0);
    assert_ok(file_read(f->path, 5, &buf, &err), &err);
    assert_int_equal(buf.len, 5);
}

static void reading_appends_or_leaves_the_buffer_alone(void **state)
{
    struct fixture *f = *state;
    AUTO(buf_done) struct buf buf = BUF_INIT(8);
    struct err err;

    assert_ok(buf_add_c(&buf, "abc", &err), &err);
    put(f->path, STR("12345"));
    assert_ok(file_read(f->path, 100, &buf, &err), &err);
    assert_string_equal(buf.data, "abc12345");
    assert_refused(file_read(f->path, 100, &buf, &err), &err, ERR_LIMIT, f->path);
    assert_string_equal(buf.data, "abc12345");
}

/* stat says 0 bytes of these. */
static void files_of_unknown_size_are_read(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf buf = BUF_INIT(100000);
    struct err err;

    assert_ok(file_read("/proc/self/status", 100000, &buf, &err), &err);
    assert_true(buf.len > 0);
    assert_refused(file_read("/proc/self/status", 10, &buf, &err), &err, ERR_LIMIT, "limit of 10");
}

static void a_missing_file_is_not_found(void **state)
{
    struct fixture *f = *state;
    AUTO(buf_done) struct buf buf = BUF_INIT(100);
    struct err err;

    assert_refused(file_read(f->path, 100, &buf, &err), &err, ERR_NOT_FOUND, f->path);
    assert_false(file_exists(f->path));
    put(f->path, STR(""));
    assert_true(file_exists(f->path));
    assert_true(file_exists(f->folder));
}

static void a_folder_is_no_file(void **state)
{
    struct fixture *f = *state;
    AUTO(buf_done) struct buf buf = BUF_INIT(100);
    struct err err;

    assert_refused(file_read(f->folder, 100000, &buf, &err), &err, ERR_CONFIG, "Is a directory");
    assert_refused(file_replace(f->folder, STR("x"), 0600, &err), &err, ERR_CONFIG, f->folder);
}

static void replacing_in_a_missing_folder_is_refused(void **state)
{
    struct fixture *f = *state;
    AUTO(free_ptr) char *path = path_join(f->path, "deeper");
    struct err err;

    assert_refused(file_replace(path, STR("x"), 0600, &err), &err, ERR_NOT_FOUND, path);
}

static void folders_are_made_with_all_above_them(void **state)
{
    struct fixture *f = *state;
    AUTO(free_ptr) char *path = xprintf("%s/a//b/c/", f->folder);
    struct err err;

    assert_ok(file_mkdirs(path, 0700, &err), &err);
    assert_true(file_exists(path));
    assert_int_equal(mode_of(path), 0700);
    assert_ok(file_mkdirs(path, 0700, &err), &err);
    assert_ok(file_mkdirs("/", 0700, &err), &err);
}

static void relative_folders_are_made(void **state)
{
    struct fixture *f = *state;
    AUTO(free_ptr) char *before = getcwd(NULL, 0);
    struct err err;

    assert_int_equal(chdir(f->folder), 0);
    int rc = file_mkdirs("x/y", 0700, &err);
    int rc_file = file_replace("z", STR("z"), 0600, &err);
    assert_int_equal(chdir(before), 0);
    assert_ok(rc, &err);
    assert_ok(rc_file, &err);
    AUTO(free_ptr) char *made = path_join(f->folder, "x/y");
    assert_true(file_exists(made));
}

static void a_file_where_a_folder_must_be_is_refused(void **state)
{
    struct fixture *f = *state;
    AUTO(free_ptr) char *below = path_join(f->path, "a/b");
    struct err err;

    put(f->path, STR("x"));
    assert_refused(file_mkdirs(f->path, 0700, &err), &err, ERR_CONFIG, "is not a folder");
    assert_refused(file_mkdirs(below, 0700, &err), &err, ERR_CONFIG, f->path);
    assert_true(file_mkdirs("/sys/holdfast", 0700, &err) < 0);
    assert_null(strstr(err.message, "No such file")); /* why it can't be made, not that it is not */
}

static void a_tree_is_removed_with_all_in_it(void **state)
{
    struct fixture *f = *state;
    AUTO(free_ptr) char *root = path_join(f->folder, "root");
    AUTO(free_ptr) char *deep = path_join(root, "a/b");
    AUTO(free_ptr) char *inside = path_join(deep, "file");
    struct err err;

    assert_ok(file_mkdirs(deep, 0700, &err), &err);
    put(inside, STR("x"));
    assert_ok(file_remove_tree(root, &err), &err);
    assert_false(file_exists(root));
    assert_ok(file_remove_tree(root, &err), &err);
}

static void removing_a_tree_does_not_follow_links_out_of_it(void **state)
{
    struct fixture *f = *state;
    AUTO(free_ptr) char *root = path_join(f->folder, "root");
    AUTO(free_ptr) char *outside = path_join(f->folder, "outside");
    AUTO(free_ptr) char *kept = path_join(outside, "kept");
    AUTO(free_ptr) char *link = path_join(root, "link");
    struct err err;

    assert_ok(file_mkdirs(root, 0700, &err), &err);
    assert_ok(file_mkdirs(outside, 0700, &err), &err);
    put(kept, STR("x"));
    assert_int_equal(symlink(outside, link), 0);
    assert_ok(file_remove_tree(root, &err), &err);
    assert_content(kept, STR("x"));
}

static void paths_are_joined_by_one_slash(void **state)
{
    (void)state;
    AUTO(free_ptr) char *plain = path_join("a", "b");
    AUTO(free_ptr) char *slash = path_join("a/", "b");
    AUTO(free_ptr) char *root = path_join("/", "b");
    AUTO(free_ptr) char *nothing = path_join("", "b");

    assert_string_equal(plain, "a/b");
    assert_string_equal(slash, "a/b");
    assert_string_equal(root, "/b");
    assert_string_equal(nothing, "b");
}

static void a_descriptor_that_can_not_be_written_fails(void **state)
{
    (void)state;
    AUTO(close_fd) int fd = open("/dev/null", O_RDONLY);
    AUTO(close_fd) int full = open("/dev/full", O_WRONLY);
    struct err err;

    assert_refused(file_write_all(fd, "x", 1, "null", &err), &err, ERR_IO, "writing null");
    assert_refused(file_write_all(full, "x", 1, "full", &err), &err, ERR_FULL, "writing full");
    assert_refused(file_sync(-1, "nothing", &err), &err, ERR_IO, "nothing");
    assert_refused(file_sync_dir("/nowhere/at/all", &err), &err, ERR_NOT_FOUND, "/nowhere");
}

static void ignore_signal(int number)
{
    (void)number;
}

struct slow_reader {
    pthread_t writer;
    int fd;
    char *bytes;
    size_t len;
};

/* Interrupts the writer before there is any room for it, and after each piece. */
static void *read_slowly(void *arg)
{
    struct slow_reader *reader = arg;

    for (int i = 0; i < 1000; i++) {
        (void)pthread_kill(reader->writer, SIGUSR1);
        (void)sched_yield();
    }
    for (;;) {
        ssize_t got = read(reader->fd, reader->bytes + reader->len, 4096);
        if (got <= 0) {
            return NULL;
        }
        reader->len += (size_t)got;
        (void)pthread_kill(reader->writer, SIGUSR1);
    }
}

/* Fills a pipe, so that the next write has to wait. Returns how many zeros it took. */
static size_t fill(int fd)
{
    static const char ZEROS[4096];
    size_t total = 0;

    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    for (ssize_t put_in; (put_in = write(fd, ZEROS, sizeof(ZEROS))) > 0;) {
        total += (size_t)put_in;
    }
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
    return total;
}

/* A signal ends write(2) after a part of the bytes, or before the first (EINTR). */
static void interrupted_writes_go_on_where_they_stopped(void **state)
{
    (void)state;
    enum { LEN = 1 << 20, ROOM = 1 << 21 };
    struct sigaction action = {.sa_handler = ignore_signal}; /* without SA_RESTART */
    struct sigaction before;
    AUTO(free_ptr) char *bytes = xmalloc(LEN);
    AUTO(free_ptr) char *received = xcalloc(1, ROOM);
    struct slow_reader reader = {.writer = pthread_self(), .bytes = received};
    pthread_t thread;
    int ends[2];
    struct err err;

    for (size_t i = 0; i < LEN; i++) {
        bytes[i] = (char)(i * 31 >> 3);
    }
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    reader.fd = ends[0];
    size_t zeros = fill(ends[1]);
    assert_int_equal(pthread_create(&thread, NULL, read_slowly, &reader), 0);
    assert_ok(file_write_all(ends[1], bytes, LEN, "pipe", &err), &err);
    (void)close(ends[1]);
    assert_int_equal(pthread_join(thread, NULL), 0);
    (void)close(ends[0]);
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
    assert_int_equal(reader.len, zeros + LEN);
    assert_memory_equal(received + zeros, bytes, LEN);
}

#ifdef HOLDFAST_FAULTS

static int replace_with_fault(const char *path, const char *fault_at, struct err *err)
{
    fault_set(fault_at);
    int rc = file_replace(path, STR("new"), 0600, err);
    fault_set(NULL);
    return rc;
}

/* Whatever fails before the name is changed, the old content stays and nothing lies around. */
static void a_failed_replacement_leaves_the_old_content(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *fault_at;
        enum err_code code;
    } CASES[] = {
        {"file.open:1", ERR_FULL},
        {"file.write:1", ERR_FULL},
        {"file.fsync:1", ERR_IO},
        {"file.rename:1", ERR_IO},
    };
    struct err err;

    put(f->path, STR("old"));
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        assert_refused(replace_with_fault(f->path, CASES[i].fault_at, &err), &err, CASES[i].code,
                       f->path);
        assert_content(f->path, STR("old"));
        assert_int_equal(entries_in(f->folder), 1);
    }
}

/* The rename is done but may not last: the caller must hear of it. */
static void a_folder_that_can_not_be_synced_fails_the_replacement(void **state)
{
    struct fixture *f = *state;
    struct err err;

    assert_refused(replace_with_fault(f->path, "file.fsync:2", &err), &err, ERR_IO, f->folder);
    assert_content(f->path, STR("new"));
}

static void faults_reach_every_call(void **state)
{
    struct fixture *f = *state;
    AUTO(buf_done) struct buf buf = BUF_INIT(100);
    AUTO(free_ptr) char *made = path_join(f->folder, "made");
    struct err err;

    put(f->path, STR("x"));
    fault_set("file.open:1+");
    assert_refused(file_read(f->path, 100, &buf, &err), &err, ERR_FULL, "Too many open files");
    assert_refused(file_sync_dir(f->folder, &err), &err, ERR_FULL, "Too many open files");
    fault_set("file.fsync:1+");
    assert_refused(file_mkdirs(made, 0700, &err), &err, ERR_IO, "durable");
    fault_set(NULL);
}

#endif

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(what_was_put_is_read),
        WITH_FOLDER(new_content_takes_the_place_of_the_old),
        WITH_FOLDER(an_empty_file_can_be_put_and_read),
        WITH_FOLDER(a_large_file_is_read_whole),
        WITH_FOLDER(a_file_is_read_up_to_the_limit_and_no_further),
        WITH_FOLDER(reading_appends_or_leaves_the_buffer_alone),
        WITH_FOLDER(files_of_unknown_size_are_read),
        WITH_FOLDER(a_missing_file_is_not_found),
        WITH_FOLDER(a_folder_is_no_file),
        WITH_FOLDER(replacing_in_a_missing_folder_is_refused),
        WITH_FOLDER(folders_are_made_with_all_above_them),
        WITH_FOLDER(relative_folders_are_made),
        WITH_FOLDER(a_file_where_a_folder_must_be_is_refused),
        WITH_FOLDER(a_tree_is_removed_with_all_in_it),
        WITH_FOLDER(removing_a_tree_does_not_follow_links_out_of_it),
        WITH_FOLDER(paths_are_joined_by_one_slash),
        WITH_FOLDER(a_descriptor_that_can_not_be_written_fails),
        WITH_FOLDER(interrupted_writes_go_on_where_they_stopped),
#ifdef HOLDFAST_FAULTS
        WITH_FOLDER(a_failed_replacement_leaves_the_old_content),
        WITH_FOLDER(a_folder_that_can_not_be_synced_fails_the_replacement),
        WITH_FOLDER(faults_reach_every_call),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
