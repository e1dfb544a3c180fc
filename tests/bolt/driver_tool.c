/*
 * driver_tool - a bolt_driver driven by lines, for tests/integration/test_bolt_driver.py.
 *
 * usage: driver_tool URI [NAME=VALUE]...    the password is in BOLT_PASSWORD
 *
 * Options: user, ca_file, pinned, pool_max, connect_ms, acquire_ms, idle_check_ms, retry_ms, and
 * deadline_ms of each command. Each line of the input is a command, and gets one line of answer:
 * "ok ..." or "KIND CODE MESSAGE".
 *
 *   verify            is there a server, and does it let us in?
 *   write QUERY       a managed transaction; "ok TRIES"
 *   read QUERY        the same for reading; "ok NUMBER", the first value of the first record
 *   hammer N M QUERY  N threads write M times each; $thread and $turn are its parameters;
 *                     "ok DONE UNKNOWN FAILED"
 *   stats             "ok opened failed closed checked retried idle"
 */
#include <holdfast/bolt_driver.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 65536
#define THREADS_MAX 64

struct tool {
    struct bolt_driver *driver;
    struct bolt_session *session;
    int64_t deadline_ms;
};

struct job {
    const char *query;
    unsigned thread, turn;
    unsigned tries;
    int64_t result;
};

static int work(struct bolt_connection *connection, int64_t deadline_ms, void *arg,
                struct bolt_error *error)
{
    struct job *job = arg;
    struct bolt_packer parameters;
    struct bolt_record record;

    job->tries++;
    bolt_packer_init(&parameters, 0);
    bolt_pack_map(&parameters, 2);
    bolt_pack_key(&parameters, "thread");
    bolt_pack_integer(&parameters, job->thread);
    bolt_pack_key(&parameters, "turn");
    bolt_pack_integer(&parameters, job->turn);
    int rc = bolt_run(connection, job->query, &parameters, NULL, deadline_ms, error);
    if (rc == 0) {
        rc = bolt_next(connection, &record, deadline_ms, error);
        job->result = rc == 1 && record.count > 0 && record.values[0].type == BOLT_INTEGER
                          ? record.values[0].as.integer
                          : 0;
        rc = rc < 0 ? rc : bolt_consume(connection, NULL, deadline_ms, error);
    }
    bolt_packer_done(&parameters);
    return rc;
}

static void tell(struct bolt_error *error)
{
    for (char *at = error->message; (at = strchr(at, '\n')) != NULL;) {
        *at = ' ';
    }
    printf("%s %s %s\n", bolt_error_name((int)error->kind),
           error->code[0] != '\0' ? error->code : "-", error->message);
}

/* ---- commands ---- */

static void transact(struct tool *tool, const char *query, bool write)
{
    struct job job = {.query = query};
    struct bolt_error error;
    int64_t deadline_ms = bolt_deadline_in(tool->deadline_ms);
    int rc = write ? bolt_session_write(tool->session, NULL, work, &job, deadline_ms, &error)
                   : bolt_session_read(tool->session, NULL, work, &job, deadline_ms, &error);

    if (rc < 0) {
        tell(&error);
    } else {
        printf("ok %" PRId64 "\n", write ? (int64_t)job.tries : job.result);
    }
}

struct hammer {
    const struct tool *tool;
    const char *query;
    pthread_t thread;
    unsigned number, turns, done, unknown, failed;
};

static void *hammer(void *arg)
{
    struct hammer *mine = arg;
    struct bolt_session *session;
    struct bolt_error error;

    if (bolt_session_open(mine->tool->driver, NULL, &session, &error) < 0) {
        mine->failed = mine->turns;
        return NULL;
    }
    for (unsigned turn = 0; turn < mine->turns; turn++) {
        struct job job = {.query = mine->query, .thread = mine->number, .turn = turn};
        int rc = bolt_session_write(session, NULL, work, &job,
                                    bolt_deadline_in(mine->tool->deadline_ms), &error);
        if (rc < 0 && rc != -BOLT_ERR_COMMIT_UNKNOWN) {
            fprintf(stderr, "thread %u: %s %s\n", mine->number, error.code, error.message);
        }
        mine->done += rc == 0;
        mine->unknown += rc == -BOLT_ERR_COMMIT_UNKNOWN;
        mine->failed += rc < 0 && rc != -BOLT_ERR_COMMIT_UNKNOWN;
    }
    bolt_session_close(session);
    return NULL;
}

static void hammer_all(const struct tool *tool, const char *line)
{
    struct hammer hammers[THREADS_MAX];
    struct hammer sum = {.done = 0};
    char *query;
    unsigned long threads = strtoul(line, &query, 10);
    unsigned long turns = strtoul(query, &query, 10);

    if (threads > THREADS_MAX || *query != ' ') {
        printf("usage - hammer N M QUERY\n");
        return;
    }
    for (unsigned i = 0; i < threads; i++) {
        hammers[i] =
            (struct hammer){.tool = tool, .query = query, .number = i, .turns = (unsigned)turns};
        if (pthread_create(&hammers[i].thread, NULL, hammer, &hammers[i]) != 0) {
            abort();
        }
    }
    for (unsigned i = 0; i < threads; i++) {
        (void)pthread_join(hammers[i].thread, NULL);
        sum.done += hammers[i].done;
        sum.unknown += hammers[i].unknown;
        sum.failed += hammers[i].failed;
    }
    printf("ok %u %u %u\n", sum.done, sum.unknown, sum.failed);
}

static void tell_stats(const struct tool *tool)
{
    struct bolt_driver_stats now;

    bolt_driver_stats(tool->driver, &now);
    printf("ok %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %zu\n", now.opened,
           now.failed, now.closed, now.checked, now.retried, now.idle);
}

static void verify(const struct tool *tool)
{
    struct bolt_error error;

    if (bolt_driver_verify(tool->driver, "neo4j", bolt_deadline_in(tool->deadline_ms), &error) <
        0) {
        tell(&error);
    } else {
        printf("ok\n");
    }
}

/* What stands behind the command's name; NULL: it is another command. */
static const char *argument(const char *line, const char *command)
{
    size_t size = strlen(command);

    return strncmp(line, command, size) == 0 ? line + size : NULL;
}

static void obey(struct tool *tool, const char *line)
{
    const char *rest;

    if ((rest = argument(line, "write ")) != NULL) {
        transact(tool, rest, true);
    } else if ((rest = argument(line, "read ")) != NULL) {
        transact(tool, rest, false);
    } else if ((rest = argument(line, "hammer ")) != NULL) {
        hammer_all(tool, rest);
    } else if (strcmp(line, "verify") == 0) {
        verify(tool);
    } else if (strcmp(line, "stats") == 0) {
        tell_stats(tool);
    } else {
        printf("usage - no such command\n");
    }
}

/* ---- options ---- */

static bool set_option(struct bolt_driver_options *options, struct tool *tool, const char *given)
{
    const struct {
        const char *name;
        const char **text;
        int64_t *number;
    } known[] = {{"user=", &options->connection.auth.principal, NULL},
                 {"ca_file=", &options->connection.ca_file, NULL},
                 {"pinned=", &options->connection.pinned_sha256, NULL},
                 {"connect_ms=", NULL, &options->connect_ms},
                 {"acquire_ms=", NULL, &options->acquire_ms},
                 {"idle_check_ms=", NULL, &options->idle_check_ms},
                 {"retry_ms=", NULL, &options->retry_ms},
                 {"deadline_ms=", NULL, &tool->deadline_ms}};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        const char *value = argument(given, known[i].name);
        if (value != NULL && known[i].text != NULL) {
            *known[i].text = value;
            return true;
        }
        if (value != NULL) {
            *known[i].number = strtoll(value, NULL, 10);
            return true;
        }
    }
    const char *pool_max = argument(given, "pool_max=");
    options->pool_max = pool_max != NULL ? strtoul(pool_max, NULL, 10) : options->pool_max;
    return pool_max != NULL;
}

int main(int argc, char **argv)
{
    static char line[LINE_MAX_BYTES];
    struct tool tool = {.deadline_ms = 60000};
    struct bolt_driver_options options = {
        .connection.auth = {.scheme = "basic",
                            .principal = "neo4j",
                            .credentials = getenv("BOLT_PASSWORD")},
    };
    struct bolt_error error;

    if (argc < 2) {
        fprintf(stderr, "usage: driver_tool URI [NAME=VALUE]...\n");
        return 2;
    }
    options.connection.uri = argv[1];
    for (int i = 2; i < argc; i++) {
        if (!set_option(&options, &tool, argv[i])) {
            fprintf(stderr, "driver_tool: no option %s\n", argv[i]);
            return 2;
        }
    }
    const struct bolt_session_options session = {.database = "neo4j"};
    if (bolt_driver_open(&options, &tool.driver, &error) < 0 ||
        bolt_session_open(tool.driver, &session, &tool.session, &error) < 0) {
        fprintf(stderr, "driver_tool: %s\n", error.message);
        return 1;
    }
    while (fgets(line, sizeof(line), stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        obey(&tool, line);
        (void)fflush(stdout); /* a reader that is gone will not miss it */
    }
    bolt_session_close(tool.session);
    bolt_driver_close(tool.driver);
    return 0;
}
