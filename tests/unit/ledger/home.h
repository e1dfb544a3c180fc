/*
 * home - a ledger on a folder of its own, and drafts in one line, for the tests of the ledger.
 */
#ifndef HOLDFAST_TESTS_UNIT_LEDGER_HOME_H
#define HOLDFAST_TESTS_UNIT_LEDGER_HOME_H

#include "support/unit.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "ledger/ledger_internal.h"
#include "ledger/read.h"
#include "ledger/store_internal.h"

#define HOME_NOW_US 1700000000000000 /* 2023-11-14T22:13:20Z: where the fake clock stands first */

/* Where tests work: in memory, if the machine lets them; an fsync there costs nothing. */
static inline const char *home_tmp(void)
{
    const char *tmp = getenv("TMPDIR");

    return tmp != NULL ? tmp : access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
}

struct home {
    char path[64];
    struct env_fake env;
    struct ledger *ledger;
    const struct ledger_judge *judge;
};

static inline void home_open(struct home *home)
{
    struct err err = ERR_INIT;
    struct ledger_options options = {
        .home = home->path, .env = &home->env.env, .judge = home->judge, .who = "a test"};

    assert_ok(ledger_open(&options, &home->ledger, &err), &err);
}

static inline void home_close(struct home *home)
{
    ledger_close(home->ledger);
    home->ledger = NULL;
}

/* An empty folder under $TMPDIR with a ledger, clock standing at HOME_NOW_US. */
static inline int home_setup(void **state)
{
    struct home *home = xcalloc(1, sizeof(*home));

    (void)snprintf(home->path, sizeof(home->path), "%s/hf-ledger-XXXXXX", home_tmp());
    assert_non_null(mkdtemp(home->path));
    env_fake_init(&home->env, HOME_NOW_US, 42);
    home_open(home);
    *state = home;
    return 0;
}

static inline int home_teardown(void **state)
{
    struct home *home = *state;
    struct err err = ERR_INIT;

    home_close(home);
    assert_ok(file_remove_tree(home->path, &err), &err);
    free(home);
    return 0;
}

/* The same bytes always: id_of(7). */
static inline struct uuid id_of(unsigned number)
{
    struct uuid id = {{0x01, 0x90, 0, 0, 0, 0, 0x70, 0, 0x80}};

    id.bytes[12] = (uint8_t)(number >> 24);
    id.bytes[13] = (uint8_t)(number >> 16);
    id.bytes[14] = (uint8_t)(number >> 8);
    id.bytes[15] = (uint8_t)number;
    return id;
}

/* A memory with this content in project "p"; memory_done frees it. */
static inline struct memory memory_of(const char *content)
{
    struct memory memory;

    memory_init(&memory);
    memory.content = xstrdup(content);
    memory.content_len = strlen(content);
    memory.project_id = xstrdup("p");
    return memory;
}

static inline int write_draft(struct home *home, const struct draft *draft, struct written *ret,
                              struct err *err)
{
    return ledger_write(home->ledger, draft, 1, false, ret, err);
}

/* The one draft's answer, good or bad; written_done frees its message. */
static inline struct written try_put(struct home *home, const struct memory *memory)
{
    struct draft draft = {.kind = KIND_MEMORY, .op = OP_PUT, .memory = memory, .source = "test"};
    struct written written;
    struct err err = ERR_INIT;

    assert_ok(write_draft(home, &draft, &written, &err), &err);
    return written;
}

static inline void assert_written(const struct written *written)
{
    if (written->code != ERR_NONE) {
        print_error("refused: %s\n", written->message);
    }
    assert_int_equal(written->code, ERR_NONE);
}

/* The draft was refused with this code and a message that mentions part; frees it. */
static inline void assert_refused_draft(struct written *written, enum err_code code,
                                        const char *part)
{
    const char *message = written->message == NULL ? "" : written->message;

    if (written->code != code || strstr(message, part) == NULL) {
        print_error("answered %s \"%s\"\n", err_name((int)written->code), message);
    }
    assert_int_equal(written->code, code);
    assert_non_null(strstr(message, part));
    written_done(written, 1);
}

static inline struct written put_memory(struct home *home, const struct memory *memory)
{
    struct written written = try_put(home, memory);

    assert_written(&written);
    return written;
}

static inline struct written put_session(struct home *home, const struct session *session)
{
    struct draft draft = {.kind = KIND_SESSION, .op = OP_PUT, .session = session, .source = "test"};
    struct written written;
    struct err err = ERR_INIT;

    assert_ok(write_draft(home, &draft, &written, &err), &err);
    assert_written(&written);
    return written;
}

static inline void change_content(struct memory *memory, const char *content)
{
    free(memory->content);
    memory->content = xstrdup(content);
    memory->content_len = strlen(content);
}

/* Put content as memory `id` (nil: a new one); must succeed. */
static inline struct written put(struct home *home, struct uuid id, const char *content)
{
    AUTO(memory_done) struct memory memory = memory_of(content);

    memory.id = id;
    return put_memory(home, &memory);
}

static inline struct written delete_of(struct home *home, struct uuid id)
{
    struct draft draft = {.kind = KIND_MEMORY, .op = OP_DELETE, .id = id, .source = "test"};
    struct written written;
    struct err err = ERR_INIT;

    assert_ok(write_draft(home, &draft, &written, &err), &err);
    return written;
}

/* Read memory `id`, deleted or not; it must be there. */
static inline void get(struct home *home, struct uuid id, struct memory *ret)
{
    struct memory_state state;
    struct reader *reader;
    struct err err = ERR_INIT;

    assert_ok(read_begin(home->ledger, &reader, &err), &err);
    assert_ok(read_memory(reader, &id, ret, &state, &err), &err);
    read_end(reader);
}

/* The content that memory `id` has now, as a heap string; NULL: there is none, or it is deleted. */
static inline char *content_of(struct home *home, struct uuid id)
{
    AUTO(memory_done) struct memory memory;
    struct memory_state state;
    struct reader *reader;
    struct err err = ERR_INIT;

    memory_init(&memory);
    assert_ok(read_begin(home->ledger, &reader, &err), &err);
    int result = read_memory(reader, &id, &memory, &state, &err);
    read_end(reader);
    if (result < 0) {
        assert_int_equal(result, -ERR_NOT_FOUND);
        return NULL;
    }
    return memory.deleted_us == TIME_NONE ? xstrdup(memory.content) : NULL;
}

static inline void assert_content(struct home *home, struct uuid id, const char *expected)
{
    AUTO(free_ptr) char *content = content_of(home, id);

    if (expected == NULL) {
        assert_null(content);
    } else {
        assert_non_null(content);
        assert_string_equal(content, expected);
    }
}

/* The whole ledger proves itself. */
static inline uint64_t assert_verifies(struct home *home)
{
    struct verify_result result;
    struct reader *reader;
    struct err err = ERR_INIT;

    assert_ok(read_begin(home->ledger, &reader, &err), &err);
    assert_ok(read_verify(reader, &result, &err), &err);
    read_end(reader);
    if (!result.ok) {
        print_error("verify: change %llu: %s\n", (unsigned long long)result.bad_seq, result.reason);
    }
    assert_true(result.ok);
    return result.changes;
}

static inline struct ledger_counts counts_of(struct home *home)
{
    struct ledger_counts counts;
    struct reader *reader;
    struct err err = ERR_INIT;

    assert_ok(read_begin(home->ledger, &reader, &err), &err);
    assert_ok(read_counts(reader, &counts, &err), &err);
    read_end(reader);
    return counts;
}

#endif
