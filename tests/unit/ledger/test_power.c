/*
 * What was acknowledged is there after the power failed, whatever of the unsynced writes the disk
 * kept (see lossy.h). The log wraps around a few times meanwhile, is filled with zeros in advance,
 * and is brought into the file.
 */
#include "ledger/chain.h"

#include <fcntl.h>

#include "ledger/lossy.h"

#define PUTS 600 /* of 4,000 bytes: some ten megabytes of log */
#define FAILURES                                                                                   \
    150 /* the issue asks for 300 in a run; tests/chaos has the others, at the level of system     \
           calls */

struct place {
    char home[64];
    char acked[80]; /* the number of the last put that was acknowledged */
    uint64_t operations;
};

static void must(int result, const struct err *err)
{
    if (result < 0) {
        fprintf(stderr, "child: %s\n", err->message);
        _exit(3);
    }
}

static struct ledger *open_at(const struct place *place)
{
    struct ledger_options options = {.home = place->home, .env = env_system(), .who = "a child"};
    struct ledger *ledger;
    struct err err = ERR_INIT;

    must(ledger_open(&options, &ledger, &err), &err);
    return ledger;
}

static void put_numbered(struct ledger *ledger, uint32_t number)
{
    AUTO(memory_done) struct memory memory = memory_of("");
    struct draft draft = {.kind = KIND_MEMORY, .memory = &memory, .source = "child"};
    struct written written;
    struct err err = ERR_INIT;

    free(memory.content);
    memory.id = id_of(number);
    memory.content_len = 4000;
    memory.content = xcalloc(1, memory.content_len + 1);
    memset(memory.content, 'a' + (int)(number % 26), memory.content_len);
    must(ledger_write(ledger, &draft, 1, false, &written, &err), &err);
}

static int write_until_the_power_fails(const struct place *place, uint64_t fail_at, uint64_t seed)
{
    int acked = open(place->acked, O_RDWR | O_CREAT, 0600);

    lossy_install(fail_at, seed);
    struct ledger *ledger = open_at(place);
    for (uint32_t number = 1; number <= PUTS; number++) {
        put_numbered(ledger, number);
        if (pwrite(acked, &number, sizeof(number), 0) != sizeof(number)) {
            return 4;
        }
    }
    ledger_close(ledger);
    uint64_t operations = lossy_operations();
    return pwrite(acked, &operations, sizeof(operations), 8) == sizeof(operations) ? 0 : 4;
}

static int look(const struct place *place)
{
    AUTO(free_ptr) char *index = path_join(place->home, "live/ledger.db-shm");
    struct verify_result result;
    struct ledger_counts counts;
    struct reader *reader;
    struct err err = ERR_INIT;
    uint32_t acked = 0;
    int fd = open(place->acked, O_RDONLY);

    (void)unlink(index); /* memory: gone with the power */
    if (fd < 0 || read(fd, &acked, sizeof(acked)) < 0) {
        return 6;
    }
    struct ledger *ledger = open_at(place);
    must(read_begin(ledger, &reader, &err), &err);
    must(read_verify(reader, &result, &err), &err);
    must(read_counts(reader, &counts, &err), &err);
    read_end(reader);
    if (!result.ok || counts.memories < acked || counts.memories > acked + 1) {
        fprintf(stderr, "verify: %s; %llu memories, %u acknowledged\n", result.reason,
                (unsigned long long)counts.memories, acked);
        return 5;
    }
    put_numbered(ledger, 100000); /* it goes on */
    must(read_begin(ledger, &reader, &err), &err);
    must(read_verify(reader, &result, &err), &err);
    read_end(reader);
    ledger_close(ledger);
    return result.ok ? 0 : 5;
}

static int status_of(pid_t child)
{
    int status;

    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int write_in_child(const struct place *place, uint64_t fail_at, uint64_t seed)
{
    pid_t child = fork();

    if (child == 0) {
        _exit(write_until_the_power_fails(place, fail_at, seed));
    }
    return status_of(child);
}

static int look_in_child(const struct place *place)
{
    pid_t child = fork();

    if (child == 0) {
        _exit(look(place));
    }
    return status_of(child);
}

static void empty(const struct place *place)
{
    struct err err = ERR_INIT;

    assert_ok(file_remove_tree(place->home, &err), &err);
    assert_ok(file_mkdirs(place->home, 0700, &err), &err);
}

static int setup(void **state)
{
    struct place *place = xcalloc(1, sizeof(*place));

    (void)snprintf(place->home, sizeof(place->home), "%s/hf-power-XXXXXX", home_tmp());
    assert_non_null(mkdtemp(place->home));
    (void)snprintf(place->acked, sizeof(place->acked), "%s/acked", place->home);
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    struct err err = ERR_INIT;

    assert_ok(file_remove_tree(place->home, &err), &err);
    free(place);
    return 0;
}

static void a_power_failure_loses_nothing_acknowledged(void **state)
{
    struct place *place = *state;
    uint64_t operations = 0;
    uint64_t chance = 4711;

    assert_int_equal(write_in_child(place, 0, 1), 0);
    int fd = open(place->acked, O_RDONLY);
    assert_int_equal(pread(fd, &operations, sizeof(operations), 8), sizeof(operations));
    (void)close(fd);
    assert_true(operations > PUTS);
    for (uint64_t i = 0; i < FAILURES; i++) {
        empty(place);
        chance = chance * 6364136223846793005U + 1442695040888963407U;
        uint64_t fail_at = 1 + (chance >> 33) % operations;
        int wrote = write_in_child(place, fail_at, i + 1);
        int found = wrote == LOSSY_EXIT || wrote == 0 ? look_in_child(place) : -1;
        if (found != 0) {
            print_error("power failed at %llu, seed %llu: wrote %d, found %d\n",
                        (unsigned long long)fail_at, (unsigned long long)i + 1, wrote, found);
        }
        assert_int_equal(found, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_power_failure_loses_nothing_acknowledged, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
