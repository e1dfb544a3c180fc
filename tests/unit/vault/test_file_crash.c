/*
 * A writer that dies at each crash point, and at random: what it acknowledged is there, nothing
 * else is, and the next goes on.
 *
 * The writer is this program once more (the environment of faults is read once per process). It
 * appends a chain that both know, seals, fills a gap, puts aside; and says on its standard output
 * up to which seq it was acknowledged.
 */
#include "vault/box.h"

#include <signal.h>
#include <sys/wait.h>

#define WRITER "HOLDFAST_TEST_WRITER" /* set to the folder: be the writer */
#define CHANGES 120
#define GAP 7        /* this seq is sent as a gap first */
#define SEGMENT 4000 /* bytes */

static void grow(struct box *box)
{
    chain_grow(&box->chain, CHANGES, 150);
}

/* ---- the writer ---- */

static void acknowledged(uint64_t seq)
{
    (void)printf("%llu\n", (unsigned long long)seq);
    (void)fflush(stdout);
}

static void write_some(struct box *box, uint64_t from)
{
    uint64_t seq = from;

    while (seq < CHANGES) {
        uint64_t to = seq + 1 + seq % 4;
        to = to > CHANGES ? CHANGES : to;
        if (seq + 1 <= GAP && GAP <= to) {
            to = GAP;
            if (seq + 1 < GAP) {
                box_append(box, seq + 1, GAP - 1);
                acknowledged(GAP - 1);
            }
            box_append_gap(box, GAP);
        } else {
            box_append(box, seq + 1, to);
        }
        acknowledged(to);
        seq = to;
        box_seal(box);
    }
}

static int be_writer(const char *folder)
{
    struct box *box = box_new_in_take(xstrdup(folder));
    struct err err = ERR_INIT;

    bool cut_only = file_exists(box->target);
    grow(box);
    box_open(box);
    if (cut_only) {
        box_done(box);
        return 0;
    }
    vault_file_set_segment_max(box->vault, SEGMENT);
    ((struct file_vault *)box->vault)->seal_after_ms = INT64_MAX; /* here, not on a thread */
    box_append(box, 1, 1);
    assert_ok(vault_file_ops.set_aside(box->vault, &box->chain.origin, deadline_in(9999), &err),
              &err);
    write_some(box, 0);
    box_append(box, GAP, GAP);
    box_done(box);
    return 0;
}

/* ---- the one who looks ---- */

struct outcome {
    int status;
    uint64_t acked; /* the last that it said */
};

/* Run the writer; kill it after kill_us, if that is not negative. */
static struct outcome run_writer(const char *folder, const char *crash_at, const char *crash_log,
                                 int kill_us)
{
    struct outcome outcome = {.acked = 0};
    int ends[2];
    char line[64];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)setenv(WRITER, folder, 1);
        crash_at == NULL ? (void)unsetenv("HOLDFAST_CRASH_AT")
                         : (void)setenv("HOLDFAST_CRASH_AT", crash_at, 1);
        crash_log == NULL ? (void)unsetenv("HOLDFAST_CRASH_LOG")
                          : (void)setenv("HOLDFAST_CRASH_LOG", crash_log, 1);
        (void)execl("/proc/self/exe", "writer", (char *)NULL);
        _exit(127);
    }
    (void)close(ends[1]);
    if (kill_us >= 0) {
        (void)usleep((useconds_t)kill_us);
        (void)kill(pid, SIGKILL);
    }
    FILE *said = fdopen(ends[0], "r");
    assert_non_null(said);
    while (fgets(line, sizeof(line), said) != NULL) {
        outcome.acked = strtoull(line, NULL, 10);
    }
    (void)fclose(said);
    assert_int_equal(waitpid(pid, &outcome.status, 0), pid);
    return outcome;
}

static struct box *new_box(void)
{
    struct box *box = box_new_in_take(place_new());

    grow(box);
    return box;
}

/* All that was acknowledged is there, all that is there was sent, and it can go on to the end. */
static void check_after(struct box *box, uint64_t acked)
{
    uint64_t seen = 0;
    struct err err = ERR_INIT;

    box_open(box);
    vault_file_set_segment_max(box->vault, SEGMENT);
    uint64_t head = box_head(box);
    assert_true(head >= acked && head <= CHANGES);
    assert_ok(box_try_scan(box, &seen, &err),
              &err);                               /* every change is compared with what was sent */
    assert_true(seen == head || seen + 1 == head); /* the gap */
    for (uint64_t seq = head + 1; seq <= CHANGES; seq += 10) {
        box_append(box, seq, seq + 9 > CHANGES ? CHANGES : seq + 9);
    }
    box_append(box, 1, CHANGES); /* sent again: fills the gap, if it is one */
    box_seal(box);
    box_reopen(box);
    box_assert_holds(box, CHANGES);
    AUTO(free_ptr) char *origins = path_join(box->target, "origins");
    assert_true(place_count(origins, BOX_ORIGIN ".aside-") <= 1);
    assert_true(place_count(box->origin, "torn-") <= 1); /* a kill may cut a write short */
}

static void a_writer_that_lives_is_whole(void **state)
{
    struct box *box = new_box();

    (void)state;
    struct outcome outcome = run_writer(box->folder, NULL, NULL, -1);
    assert_int_equal(outcome.status, 0);
    assert_int_equal(outcome.acked, CHANGES);
    check_after(box, CHANGES);
    box_free(box);
}

/* The names of all crash points that the writer passes; heap, one a line. */
static char *crash_points(void)
{
    struct box *box = new_box();
    AUTO(free_ptr) char *log = path_join(box->folder, "crash.log");

    struct outcome outcome = run_writer(box->folder, NULL, log, -1);
    assert_int_equal(outcome.status, 0);
    struct buf names = place_read(log);
    box_free(box);
    return buf_take(&names);
}

static void a_crash_at_any_point_loses_nothing_acknowledged(void **state)
{
    static const int TIMES[] = {1, 2, 5};
    AUTO(free_ptr) char *names = crash_points();
    int points = 0;
    int crashes = 0;

    (void)state;
    for (char *name = names, *end; (end = strchr(name, '\n')) != NULL; name = end + 1) {
        *end = '\0';
        points++;
        for (size_t i = 0; i < sizeof(TIMES) / sizeof(TIMES[0]); i++) {
            AUTO(free_ptr) char *at = xprintf("%s:%d", name, TIMES[i]);
            struct box *box = new_box();
            struct outcome outcome = run_writer(box->folder, at, NULL, -1);
            crashes += WIFSIGNALED(outcome.status) ? 1 : 0;
            check_after(box, outcome.acked);
            box_free(box);
        }
    }
    assert_true(points >= 16 && crashes >= 30);
}

static void a_crash_while_a_torn_end_is_cut_loses_nothing(void **state)
{
    static const char *const POINTS[] = {"vault.torn.saved", "vault.torn.cut"};

    (void)state;
    for (size_t i = 0; i < sizeof(POINTS) / sizeof(POINTS[0]); i++) {
        struct box *box = new_box();
        AUTO(free_ptr) char *path = box_file(box, BOX_SEGMENT_1);
        box_open(box);
        box_append(box, 1, 3);
        uint64_t size = place_size(path);
        box_close(box);
        assert_int_equal(truncate(path, (off_t)size - 40), 0);
        struct outcome outcome = run_writer(box->folder, POINTS[i], NULL, -1);
        assert_true(WIFSIGNALED(outcome.status));
        assert_true(place_count(box->origin, "torn-") == 1);
        box_open(box);
        box_assert_holds(box, 2);
        box_append(box, 3, CHANGES);
        box_assert_holds(box, CHANGES);
        box_free(box);
    }
}

static void a_kill_at_a_random_moment_loses_nothing_acknowledged(void **state)
{
    struct env_fake chance;

    (void)state;
    env_fake_init(&chance, 0, 11);
    for (int round = 0; round < 25; round++) {
        struct box *box = new_box();
        uint32_t us;
        chance.env.random(&chance.env, &us, sizeof(us));
        struct outcome outcome = run_writer(box->folder, NULL, NULL, (int)(us % 40000));
        check_after(box, outcome.acked);
        box_free(box);
    }
}

int main(void)
{
    const struct CMUnitTest crash[] = {
        cmocka_unit_test(a_writer_that_lives_is_whole),
        cmocka_unit_test(a_crash_at_any_point_loses_nothing_acknowledged),
        cmocka_unit_test(a_crash_while_a_torn_end_is_cut_loses_nothing),
        cmocka_unit_test(a_kill_at_a_random_moment_loses_nothing_acknowledged),
    };
    const char *folder = getenv(WRITER);

    return folder != NULL ? be_writer(folder) : cmocka_run_group_tests(crash, NULL, NULL);
}
