/* flight - many requests in flight, and what happens when the line breaks. */
#include "bolt/peer.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bolt/connection.h"

#define BYE "C: GOODBYE\nC: <EOF>\n"

#define LARGE_BYTES (1u << 20)

/* ---- pipelines ---- */

/* BEGIN, RUN, DISCARD, COMMIT, without waiting in between. */
static void send_transaction(struct bolt_connection *c, uint64_t *ret_run)
{
    struct bolt_error error;

    assert_bolt_ok(bolt_send_begin(c, NULL, NULL, &error), &error);
    assert_bolt_ok(bolt_send_run(c, "Q", NULL, NULL, ret_run, &error), &error);
    assert_bolt_ok(bolt_send_discard(c, BOLT_ALL, BOLT_LAST_QUERY, NULL, &error), &error);
    assert_bolt_ok(bolt_send_commit(c, NULL, &error), &error);
}

#define TRANSACTION "C: BEGIN {}\nC: RUN \"Q\" {} {}\nC: DISCARD {\"n\": -1}\nC: COMMIT\n"

static void a_transaction_goes_in_one_flight(void **state)
{
    (void)state;
    struct peer peer;
    struct bolt_error error;
    struct bolt_reply reply;
    uint64_t run = 0;
    static const enum bolt_request KINDS[] = {BOLT_REQUEST_BEGIN, BOLT_REQUEST_RUN,
                                              BOLT_REQUEST_DISCARD, BOLT_REQUEST_COMMIT};

    peer_start(&peer,
               PEER_HELLO TRANSACTION "S: SUCCESS {}\nS: SUCCESS {\"fields\": []}\nS: SUCCESS {}\n"
                                      "S: SUCCESS {\"bookmark\": \"bm\"}\n" BYE,
               true);
    struct bolt_connection *c = peer_open(&peer, NULL);
    send_transaction(c, &run);
    assert_int_equal(bolt_in_flight(c), 4);
    assert_bolt_refused(bolt_begin(c, NULL, soon(), &error), &error, BOLT_ERR_USAGE,
                        "4 requests await");
    for (size_t i = 0; i < 4; i++) {
        assert_bolt_ok(bolt_receive(c, &reply, soon(), &error), &error);
        assert_int_equal(reply.request, KINDS[i]);
        assert_int_equal(reply.number, run - 1 + i);
        assert_false(reply.is_record || reply.has_more);
    }
    assert_bolt_refused(bolt_receive(c, &reply, soon(), &error), &error, BOLT_ERR_USAGE,
                        "no request is in flight");
    assert_string_equal(bolt_bookmark(c), "bm");
    bolt_close(c);
    peer_end(&peer);
}

static void send_query(struct bolt_connection *c)
{
    struct bolt_error error;

    assert_bolt_ok(bolt_send_run(c, "Q", NULL, NULL, NULL, &error), &error);
    assert_bolt_ok(bolt_send_discard(c, BOLT_ALL, BOLT_LAST_QUERY, NULL, &error), &error);
}

static void a_commit_takes_what_is_in_flight_along(void **state)
{
    (void)state;
    struct peer peer;
    struct bolt_error error;

    peer_start(&peer,
               PEER_HELLO TRANSACTION "S: SUCCESS {}\nS: SUCCESS {\"fields\": []}\nS: SUCCESS {}\n"
                                      "S: SUCCESS {\"bookmark\": \"bm\"}\n" TRANSACTION
                                      "S: SUCCESS {}\n"
                                      "S: FAILURE {\"code\": \"Neo.ClientError.X.Y\", "
                                      "\"message\": \"bad\"}\n"
                                      "S: IGNORED\nS: IGNORED\n" BYE,
               false);
    struct bolt_connection *c = peer_open(&peer, NULL);
    for (int i = 0; i < 2; i++) {
        assert_bolt_ok(bolt_send_begin(c, NULL, NULL, &error), &error);
        send_query(c);
        if (i == 0) {
            assert_bolt_ok(bolt_commit(c, soon(), &error), &error);
            assert_string_equal(bolt_bookmark(c), "bm");
        } else {
            assert_bolt_refused(bolt_commit(c, soon(), &error), &error, BOLT_ERR_SERVER, "bad");
        }
        assert_int_equal(bolt_in_flight(c), 0);
    }
    bolt_close(c);
    peer_end(&peer);
}

/* A BEGIN that nobody waits for: the requests behind it see nothing of it. */
static void a_quiet_begin_goes_with_what_follows(void **state)
{
    (void)state;
    struct peer peer;
    struct bolt_error error;
    struct bolt_reply reply;

    peer_start(&peer,
               PEER_HELLO "C: BEGIN {}\nC: RUN *\nC: DISCARD *\n"
                          "S: SUCCESS {}\nS: SUCCESS {\"fields\": []}\nS: SUCCESS {}\n"
                          "C: COMMIT\nS: SUCCESS {}\n"
                          "C: BEGIN {}\nC: RUN *\nC: DISCARD *\n"
                          "S: SUCCESS {}\nS: SUCCESS {\"fields\": []}\nS: SUCCESS {}\n"
                          "C: ROLLBACK\nS: SUCCESS {}\n"
                          "C: BEGIN {}\nC: COMMIT\nS: SUCCESS {}\nS: SUCCESS {}\n" BYE,
               true);
    struct bolt_connection *c = peer_open(&peer, NULL);
    assert_bolt_ok(connection_begin(c, NULL, &error), &error);
    assert_bolt_ok(bolt_execute(c, "Q", NULL, NULL, NULL, soon(), &error), &error);
    assert_bolt_ok(bolt_commit(c, soon(), &error), &error);
    assert_bolt_ok(connection_begin(c, NULL, &error), &error);
    send_query(c);
    assert_bolt_ok(bolt_receive(c, &reply, soon(), &error), &error);
    assert_int_equal(reply.request, BOLT_REQUEST_RUN);
    assert_bolt_ok(bolt_settle(c, soon(), &error), &error);
    assert_bolt_ok(bolt_rollback(c, soon(), &error), &error);
    assert_bolt_ok(connection_begin(c, NULL, &error), &error);
    assert_bolt_ok(bolt_commit(c, soon(), &error), &error); /* of nothing */
    bolt_close(c);
    peer_end(&peer);
}

static void a_quiet_begin_that_fails_fails_the_next_request(void **state)
{
    (void)state;
    struct peer peer;
    struct bolt_error error;

    peer_start(&peer,
               PEER_HELLO "C: BEGIN {}\nC: RUN *\nC: DISCARD *\n"
                          "S: FAILURE {\"code\": \"Neo.ClientError.Database.DatabaseNotFound\", "
                          "\"message\": \"nowhere\"}\n"
                          "S: IGNORED\nS: IGNORED\nC: RESET\nS: SUCCESS {}\n" BYE,
               true);
    struct bolt_connection *c = peer_open(&peer, NULL);
    assert_bolt_ok(connection_begin(c, NULL, &error), &error);
    assert_bolt_refused(bolt_execute(c, "Q", NULL, NULL, NULL, soon(), &error), &error,
                        BOLT_ERR_SERVER, "nowhere");
    assert_bolt_ok(bolt_reset(c, soon(), &error), &error);
    bolt_close(c);
    peer_end(&peer);
}

static void what_is_behind_a_failure_is_ignored(void **state)
{
    (void)state;
    struct peer peer;
    struct bolt_error error;
    struct bolt_reply reply;
    uint64_t run = 0;

    peer_start(&peer,
               PEER_HELLO TRANSACTION
               "S: SUCCESS {}\nS: FAILURE {\"code\": \"Neo.ClientError.Schema."
               "ConstraintValidationFailed\", \"message\": \"twice\"}\nS: IGNORED\nS: IGNORED\n"
               "C: RESET\nS: SUCCESS {}\n" TRANSACTION
               "S: SUCCESS {}\nS: FAILURE {\"code\": \"Neo.X\", \"message\": \"again\"}\n"
               "S: IGNORED {}\nS: IGNORED\nC: RESET\nS: SUCCESS {}\n" BYE,
               true);
    struct bolt_connection *c = peer_open(&peer, NULL);
    send_transaction(c, &run);
    assert_bolt_ok(bolt_receive(c, &reply, soon(), &error), &error);
    assert_bolt_refused(bolt_receive(c, &reply, soon(), &error), &error, BOLT_ERR_SERVER, "twice");
    assert_int_equal(error.request, run);
    assert_bolt_refused(bolt_receive(c, &reply, soon(), &error), &error, BOLT_ERR_IGNORED,
                        "DISCARD was not done");
    assert_int_equal(error.request, run + 1);
    assert_bolt_refused(bolt_receive(c, &reply, soon(), &error), &error, BOLT_ERR_IGNORED,
                        "COMMIT was not done");
    assert_bolt_ok(bolt_reset(c, soon(), &error), &error);
    send_transaction(c, &run);
    assert_bolt_refused(bolt_settle(c, soon(), &error), &error, BOLT_ERR_SERVER, "again");
    assert_int_equal(error.request, run);
    assert_int_equal(bolt_in_flight(c), 0);
    assert_bolt_ok(bolt_reset(c, soon(), &error), &error);
    bolt_close(c);
    peer_end(&peer);
}

static void the_queue_has_an_end(void **state)
{
    (void)state;
    const struct bolt_options options = {.uri = "bolt://peer", .requests_max = 8, .send_max = 1};
    struct peer peer;
    struct bolt_error error;
    char query[2048];

    memset(query, 'q', sizeof(query) - 1);
    query[sizeof(query) - 1] = '\0';
    peer_start(&peer, PEER_HELLO "C: <EOF>\n", false);
    struct bolt_connection *c = peer_open(&peer, &options);
    for (int i = 0; i < 4; i++) {
        assert_bolt_ok(bolt_send_run(c, "Q", NULL, NULL, NULL, &error), &error);
        if (i == 0) {
            assert_bolt_refused(bolt_send_run(c, query, NULL, NULL, NULL, &error), &error,
                                BOLT_ERR_BUSY, "bytes wait to be written");
        }
        assert_bolt_ok(bolt_send_pull(c, 1, BOLT_LAST_QUERY, NULL, &error), &error);
    }
    assert_bolt_refused(bolt_send_run(c, "Q", NULL, NULL, NULL, &error), &error, BOLT_ERR_BUSY,
                        "8 requests await");
    assert_int_equal(bolt_in_flight(c), 8);
    assert_bolt_refused(bolt_send_pull(c, 0, BOLT_LAST_QUERY, NULL, &error), &error, BOLT_ERR_USAGE,
                        "1 and more");
    bolt_close(c); /* nothing was written: there is nothing to say goodbye to */
    peer_end(&peer);
}

static void several_queries_may_be_open_in_a_transaction(void **state)
{
    (void)state;
    struct peer peer;
    struct bolt_error error;
    struct bolt_reply reply;
    size_t records = 0;

    peer_start(&peer,
               PEER_HELLO "C: BEGIN {}\nC: RUN *\nC: RUN *\n"
                          "C: PULL {\"n\": -1, \"qid\": 0}\nC: PULL {\"n\": -1, \"qid\": 1}\n"
                          "S: SUCCESS {}\nS: SUCCESS {\"fields\": [\"a\"], \"qid\": 0}\n"
                          "S: SUCCESS {\"fields\": [\"a\", \"b\"], \"qid\": 1}\n"
                          "S: RECORD [1]\nS: SUCCESS {}\nS: RECORD [1, 2]\nS: SUCCESS {}\n" BYE,
               true);
    struct bolt_connection *c = peer_open(&peer, NULL);
    assert_bolt_ok(bolt_send_begin(c, NULL, NULL, &error), &error);
    assert_bolt_ok(bolt_send_run(c, "Q", NULL, NULL, NULL, &error), &error);
    assert_bolt_ok(bolt_send_run(c, "Q", NULL, NULL, NULL, &error), &error);
    assert_bolt_ok(bolt_send_pull(c, BOLT_ALL, 0, NULL, &error), &error);
    assert_bolt_ok(bolt_send_pull(c, BOLT_ALL, 1, NULL, &error), &error);
    while (bolt_in_flight(c) > 0) {
        assert_bolt_ok(bolt_receive(c, &reply, soon(), &error), &error);
        records += reply.is_record ? reply.record.count : 0;
    }
    assert_int_equal(records, 3);
    bolt_close(c);
    peer_end(&peer);
}

/* A server that answers each query at length and reads nothing while nobody reads its answers: who
 * only writes waits for ever. */
struct talker {
    int fd;
    size_t requests;
    size_t answer;
};

static void read_all(int fd, unsigned char *to, size_t size)
{
    while (size > 0) {
        ssize_t got = read(fd, to, size);
        if (got <= 0) {
            return;
        }
        to += got;
        size -= (size_t)got;
    }
}

static void write_all(int fd, const unsigned char *from, size_t size)
{
    while (size > 0) {
        ssize_t put = send(fd, from, size, MSG_NOSIGNAL);
        if (put <= 0) {
            return;
        }
        from += put;
        size -= (size_t)put;
    }
}

static void skip_message(int fd)
{
    AUTO(free_ptr) unsigned char *chunk = xmalloc(UINT16_MAX);
    unsigned char head[2];

    do {
        memset(head, 0, sizeof(head)); /* the end of the stream ends it too */
        read_all(fd, head, sizeof(head));
        read_all(fd, chunk, be16_get(head));
    } while (be16_get(head) != 0);
}

static void *talk(void *arg)
{
    const struct talker *t = arg;
    /* fields [], then a RECORD-less SUCCESS with a text of `answer` bytes in it */
    AUTO(free_ptr) unsigned char *answer = xcalloc(1, t->answer + 16);
    static const unsigned char RUN_OK[] = {0,   11,  0xB1, 0x70, 0xA1, 0x86, 'f', 'i',
                                           'e', 'l', 'd',  's',  0x90, 0,    0};

    be16_put(answer, (uint16_t)(t->answer + 8));
    memcpy(answer + 2, "\xB1\x70\xA1\x81x\xD1", 6);
    be16_put(answer + 8, (uint16_t)t->answer);
    memset(answer + 10, 'y', t->answer);
    for (size_t i = 0; i < t->requests; i++) {
        skip_message(t->fd);
        write_all(t->fd, RUN_OK, sizeof(RUN_OK));
        skip_message(t->fd);
        write_all(t->fd, answer, t->answer + 12);
    }
    return NULL;
}

#define TALK_REQUESTS 60 /* times two messages */
#define TALK_BYTES 60000 /* up and down each: far beyond what the sockets hold */

/* A connection that was opened by a script and from here on talks to *ret_fd. */
static struct bolt_connection *open_to_another(int *ret_fd)
{
    struct peer peer;
    int fds[2];

    peer_start(&peer, PEER_HELLO "C: <EOF>\n", false);
    struct bolt_connection *c = peer_open(&peer, NULL);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    int scripted = c->net.fd;
    c->net.fd = fds[0];
    (void)close(scripted);
    peer_end(&peer);
    *ret_fd = fds[1];
    return c;
}

static void it_reads_while_it_writes(void **state)
{
    (void)state;
    struct bolt_error error;
    pthread_t thread;
    int fd = -1;
    AUTO(free_ptr) char *query = xmalloc(TALK_BYTES + 1);

    memset(query, 'q', TALK_BYTES);
    query[TALK_BYTES] = '\0';
    struct bolt_connection *c = open_to_another(&fd);
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
    struct talker talker = {fd, TALK_REQUESTS, TALK_BYTES};
    assert_int_equal(pthread_create(&thread, NULL, talk, &talker), 0);

    for (int i = 0; i < TALK_REQUESTS; i++) {
        assert_bolt_ok(bolt_send_run(c, query, NULL, NULL, NULL, &error), &error);
        assert_bolt_ok(bolt_send_discard(c, BOLT_ALL, BOLT_LAST_QUERY, NULL, &error), &error);
    }
    assert_bolt_ok(bolt_flush(c, soon(), &error), &error);
    assert_bolt_ok(bolt_settle(c, soon(), &error), &error);
    bolt_close(c);
    assert_int_equal(pthread_join(thread, NULL), 0);
    (void)close(fd);
}

/* ---- the line breaks ---- */

/* One flight of a transaction, of which the server answers the first `answered` and goes. */
static int break_after(const char *answers, struct bolt_error *error)
{
    AUTO(free_ptr) char *script = xprintf(PEER_HELLO TRANSACTION "%sS: <EXIT>\n", answers);
    struct peer peer;
    uint64_t run = 0;

    peer_start(&peer, script, false);
    struct bolt_connection *c = peer_open(&peer, NULL);
    send_transaction(c, &run);
    int rc = bolt_settle(c, soon(), error);
    assert_true(rc < 0);
    bolt_close(c);
    peer_end(&peer);
    return rc;
}

static const char NOT_REPLICATED[] =
    "S: SUCCESS {}\nS: SUCCESS {\"fields\": []}\nS: SUCCESS {}\n"
    "S: FAILURE {\"code\": \"Neo.TransientError.Cluster.ReplicationFailure\", \"message\": "
    "\"x\"}\n";

static void a_commit_without_an_answer_is_unknown(void **state)
{
    (void)state;
    static const char *const ANSWERS[] = {
        "",
        "S: SUCCESS {}\n",
        "S: SUCCESS {}\nS: SUCCESS {\"fields\": []}\nS: SUCCESS {}\n",
        "S: SUCCESS {}\nS: SUCCESS {\"fields\": []}\nS: SUCCESS {}\nS: <RAW 0004B170>\n",
        "S: SUCCESS {}\nS: SUCCESS {\"fields\": []}\nS: SUCCESS {}\nS: <RAW 0003B17090 0000>\n",
        NOT_REPLICATED,
    };

    for (size_t i = 0; i < sizeof(ANSWERS) / sizeof(ANSWERS[0]); i++) {
        struct bolt_error error;
        assert_int_equal(break_after(ANSWERS[i], &error), -BOLT_ERR_COMMIT_UNKNOWN);
        assert_int_equal(error.kind, BOLT_ERR_COMMIT_UNKNOWN);
        assert_false(bolt_error_is_retryable(&error));
        if (i < 3) {
            assert_non_null(strstr(error.message, "COMMIT was sent and its reply not read"));
        }
    }
}

static void a_commit_behind_a_failure_is_not_unknown(void **state)
{
    (void)state;
    struct bolt_error error;

    assert_bolt_refused(break_after("S: SUCCESS {}\nS: FAILURE {\"code\": \"Neo.X\", \"message\": "
                                    "\"why\"}\n",
                                    &error),
                        &error, BOLT_ERR_SERVER, "why");
}

/* Break a query outside of a transaction, before its records' end was told. */
static int break_query(enum bolt_mode mode, const char *answers, struct bolt_error *error)
{
    AUTO(free_ptr)
    char *script = xprintf(PEER_HELLO "C: RUN *\nC: DISCARD *\n%sS: <EXIT>\n", answers);
    const struct bolt_tx_options options = {.mode = mode};
    struct peer peer;

    peer_start(&peer, script, false);
    struct bolt_connection *c = peer_open(&peer, NULL);
    int rc = bolt_execute(c, "Q", NULL, &options, NULL, soon(), error);
    bolt_close(c);
    peer_end(&peer);
    return rc;
}

static void a_writing_query_without_an_answer_is_unknown(void **state)
{
    (void)state;
    struct bolt_error error;

    assert_bolt_refused(break_query(BOLT_WRITE, "", &error), &error, BOLT_ERR_COMMIT_UNKNOWN,
                        "DISCARD was sent");
    assert_bolt_refused(break_query(BOLT_WRITE, "S: SUCCESS {\"fields\": []}\n", &error), &error,
                        BOLT_ERR_COMMIT_UNKNOWN, "DISCARD was sent");
    assert_bolt_refused(break_query(BOLT_READ, "S: SUCCESS {\"fields\": []}\n", &error), &error,
                        BOLT_ERR_LOST, "closed the connection");
    assert_true(bolt_error_is_retryable(&error));
}

/* What was not written to its last byte can't have been done. */
static void a_commit_that_was_not_written_is_not_unknown(void **state)
{
    (void)state;
    struct peer peer;
    struct bolt_error error;
    uint64_t run = 0;

    peer_start(&peer, PEER_HELLO "S: <EXIT>\n", false);
    struct bolt_connection *c = peer_open(&peer, NULL);
    peer_end(&peer); /* it is gone before anything is written */
    send_transaction(c, &run);
    assert_bolt_refused(bolt_settle(c, soon(), &error), &error, BOLT_ERR_LOST, "peer:7687");
    assert_true(bolt_error_is_retryable(&error));
    bolt_close(c);
}

/* A server that says why and leaves, without reading what we are still writing. */
static void what_was_said_before_the_end_is_heard(void **state)
{
    (void)state;
    struct peer peer;
    struct bolt_error error;
    AUTO(free_ptr) char *query = xmalloc(LARGE_BYTES + 1);

    memset(query, 'q', LARGE_BYTES);
    query[LARGE_BYTES] = '\0';
    peer_start(&peer,
               PEER_HELLO "C: BEGIN {}\n"
                          "S: FAILURE {\"code\": \"Neo.TransientError.Request."
                          "NoThreadsAvailable\", \"message\": \"busy\"}\nS: <EXIT>\n",
               false);
    struct bolt_connection *c = peer_open(&peer, NULL);
    assert_bolt_ok(bolt_send_begin(c, NULL, NULL, &error), &error);
    assert_bolt_ok(bolt_flush(c, soon(), &error), &error);
    peer_end(&peer);
    assert_bolt_ok(bolt_send_run(c, query, NULL, NULL, NULL, &error), &error);
    assert_bolt_refused(bolt_settle(c, soon(), &error), &error, BOLT_ERR_SERVER, "busy");
    assert_true(bolt_error_is_retryable(&error));
    bolt_close(c);
}

static void a_connection_that_the_server_closed_is_seen(void **state)
{
    (void)state;
    struct peer peer;
    struct bolt_error error;

    peer_start(&peer, PEER_HELLO "S: <NOOP>\nS: <EXIT>\n", false);
    struct bolt_connection *c = peer_open(&peer, NULL);
    peer_end(&peer);
    while (bolt_is_alive(c)) { /* the sign of life first, then the end */
    }
    assert_bolt_refused(bolt_run(c, "Q", NULL, NULL, soon(), &error), &error, BOLT_ERR_LOST,
                        "broke before");
    bolt_close(c);
}

static void what_breaks_the_protocol_ends_the_connection(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        enum bolt_err kind;
        const char *says;
    } CASES[] = {
        {"S: <RAW 0001 A0 0000>\n", BOLT_ERR_PROTOCOL, "no structure"},
        {"S: <RAW 0001 B1 0000>\n", BOLT_ERR_PROTOCOL, "no structure"},
        {"S: <RAW 0002 B170 0000>\n", BOLT_ERR_PROTOCOL, "a value is missing"},
        {"S: <RAW 0002 B070 0000>\n", BOLT_ERR_PROTOCOL, "too few or too many fields"},
        {"S: <RAW 0004 B270A0A0 0000>\n", BOLT_ERR_PROTOCOL, "too few or too many fields"},
        {"S: <RAW 0004 B170A0A0 0000>\n", BOLT_ERR_PROTOCOL, "something follows"},
        {"S: <RAW 0003 B17090 0000>\n", BOLT_ERR_PROTOCOL, "no kind that a server sends"},
        {"S: <RAW 0003 B172A0 0000>\n", BOLT_ERR_PROTOCOL, "no kind that a server sends"},
        {"S: <RAW 0007 B170CE7FFFFFFF 0000>\n", BOLT_ERR_PROTOCOL, "beyond the bytes"},
        {"S: <RAW 0006 B170A181C001 0000>\n", BOLT_ERR_PROTOCOL, "not UTF-8"},
        {"S: RECORD [1]\n", BOLT_ERR_PROTOCOL, "asked for none"},
        {"S: SUCCESS {}\n", BOLT_ERR_PROTOCOL, "without naming its columns"},
        {"S: SUCCESS {\"fields\": [1]}\n", BOLT_ERR_PROTOCOL, "name of a column is no text"},
        {"S: SUCCESS {\"fields\": [\"a\"]}\nS: RECORD [1, 2]\n", BOLT_ERR_PROTOCOL,
         "another width"},
        {"S: <RAW FFFF>\n", BOLT_ERR_LIMIT, "reply_max"},
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        AUTO(free_ptr)
        char *script = xprintf(PEER_HELLO "C: RUN *\nC: PULL *\n%sC: <EOF>\n", CASES[i].answer);
        const struct bolt_options options = {.uri = "bolt://peer", .reply_max = 1000};
        const struct bolt_tx_options reading = {.mode = BOLT_READ};
        struct bolt_record record;
        struct bolt_error error;
        struct peer peer;
        peer_start(&peer, script, false);
        struct bolt_connection *c = peer_open(&peer, &options);
        int rc = bolt_run(c, "Q", NULL, &reading, soon(), &error);
        if (rc == 0) {
            rc = bolt_next(c, &record, soon(), &error);
        }
        assert_bolt_refused(rc, &error, CASES[i].kind, CASES[i].says);
        assert_false(bolt_is_alive(c));
        bolt_close(c);
        peer_end(&peer);
    }
}

/* ---- waiting ---- */

#define IMPATIENT_MS 30 /* for what never comes */

/* How many bytes there are to be read now. */
static size_t drain(int fd)
{
    unsigned char bytes[4096];
    size_t size = 0;
    ssize_t got;

    while ((got = read(fd, bytes, sizeof(bytes))) > 0) {
        size += (size_t)got;
    }
    return size;
}

/* A query that is larger than what the server, which reads nothing, lets us write. */
static struct bolt_connection *get_stuck(bool in_tx, int *ret_fd, struct bolt_error *error)
{
    AUTO(free_ptr) char *query = xmalloc(LARGE_BYTES + 1);
    struct bolt_connection *c = open_to_another(ret_fd);

    memset(query, 'q', LARGE_BYTES);
    query[LARGE_BYTES] = '\0';
    if (in_tx) {
        assert_bolt_ok(bolt_send_begin(c, NULL, NULL, error), error);
        assert_bolt_ok(bolt_send_run(c, query, NULL, NULL, NULL, error), error);
        assert_bolt_ok(bolt_send_discard(c, BOLT_ALL, BOLT_LAST_QUERY, NULL, error), error);
        assert_bolt_refused(bolt_commit(c, bolt_deadline_in(IMPATIENT_MS), error), error,
                            BOLT_ERR_COMMIT_UNKNOWN, "COMMIT waits to be sent");
    } else {
        assert_bolt_refused(
            bolt_execute(c, query, NULL, NULL, NULL, bolt_deadline_in(IMPATIENT_MS), error), error,
            BOLT_ERR_COMMIT_UNKNOWN, "DISCARD waits to be sent");
    }
    assert_true(bolt_is_alive(c));
    assert_true(tx_waiting(&c->tx) > 0);
    return c;
}

static void a_commit_that_waits_to_be_written_is_unknown_and_dropped_by_close(void **state)
{
    (void)state;

    for (int in_tx = 0; in_tx < 2; in_tx++) {
        struct bolt_error error;
        int fd = -1;
        struct bolt_connection *c = get_stuck(in_tx != 0, &fd, &error);
        assert_true(drain(fd) > 0); /* now there is room */
        bolt_close(c);
        assert_int_equal(drain(fd), 0);
        (void)close(fd);
    }
}

static void a_commit_that_was_not_written_when_the_line_broke_is_not_unknown(void **state)
{
    (void)state;

    for (int in_tx = 0; in_tx < 2; in_tx++) {
        struct bolt_error error;
        int fd = -1;
        struct bolt_connection *c = get_stuck(in_tx != 0, &fd, &error);
        (void)close(fd);
        assert_bolt_refused(bolt_settle(c, soon(), &error), &error, BOLT_ERR_LOST, "peer:7687");
        bolt_close(c);
    }
}

static void after_a_deadline_one_can_go_on_waiting(void **state)
{
    (void)state;
    struct peer peer;
    struct bolt_error error;
    struct bolt_reply reply;
    uint64_t run = 0;

    peer_start(&peer,
               PEER_HELLO TRANSACTION "C: RESET\nS: SUCCESS {}\nS: SUCCESS {\"fields\": []}\n"
                                      "S: IGNORED\nS: IGNORED\nS: SUCCESS {}\n" BYE,
               false);
    struct bolt_connection *c = peer_open(&peer, NULL);
    send_transaction(c, &run);
    assert_bolt_refused(bolt_receive(c, &reply, bolt_deadline_in(0), &error), &error,
                        BOLT_ERR_COMMIT_UNKNOWN, "no answer by the deadline");
    assert_true(bolt_is_alive(c));
    assert_bolt_ok(bolt_reset(c, soon(), &error), &error);
    bolt_close(c);
    peer_end(&peer);
}

static void signs_of_life_dont_carry_it_past_its_deadline(void **state)
{
    (void)state;
    struct bolt_error error;
    struct bolt_connection *c = NULL;
    int fds[2];
    unsigned char noops[4096] = {0};

    /* Nobody answers the handshake but with zeros, of which there is no end within the deadline. */
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    static const unsigned char HANDSHAKE[] = {0, 0, 4, 5};
    write_all(fds[1], HANDSHAKE, sizeof(HANDSHAKE));
    write_all(fds[1], noops, sizeof(noops));
    const struct bolt_options options = {.uri = "bolt://peer"};
    assert_bolt_refused(bolt_open_socket_take(fds[0], &options, bolt_deadline_in(30), &c, &error),
                        &error, BOLT_ERR_TIMEOUT, "no answer by the deadline");
    (void)close(fds[1]);
}

static void silence_beyond_the_promise_is_a_loss(void **state)
{
    (void)state;
    struct peer peer;
    struct bolt_error error;

    peer_start(&peer, PEER_HELLO "C: RESET\nC: <EOF>\n", false);
    struct bolt_connection *c = peer_open(&peer, NULL);
    c->info.silence_max_ms = 20; /* servers count in seconds */
    assert_bolt_refused(bolt_reset(c, soon(), &error), &error, BOLT_ERR_LOST, "no sign of life");
    assert_false(bolt_is_alive(c));
    bolt_close(c);
    peer_end(&peer);
}

static void *cancel_it(void *arg)
{
    bolt_cancel_now(arg);
    return NULL;
}

static void a_wait_is_cancelled_from_another_thread(void **state)
{
    (void)state;
    struct peer peer;
    struct bolt_error error;
    pthread_t thread;
    struct bolt_cancel *cancel = bolt_cancel_new(&error);
    const struct bolt_options options = {.uri = "bolt://peer", .cancel = cancel};

    assert_non_null(cancel);
    peer_start(&peer, PEER_HELLO "C: RUN *\nC: PULL *\nC: RESET\nC: GOODBYE\nC: <EOF>\n", false);
    struct bolt_connection *c = peer_open(&peer, &options);
    assert_int_equal(pthread_create(&thread, NULL, cancel_it, cancel), 0);
    const struct bolt_tx_options reading = {.mode = BOLT_READ};
    assert_bolt_refused(bolt_run(c, "Q", NULL, &reading, BOLT_NEVER, &error), &error,
                        BOLT_ERR_CANCELLED, "cancelled");
    assert_bolt_refused(bolt_reset(c, BOLT_NEVER, &error), &error, BOLT_ERR_CANCELLED, "cancelled");
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(bolt_is_alive(c));
    bolt_close(c);
    bolt_cancel_free(cancel);
    peer_end(&peer);
}

static void a_thread_of_ours_keeps_its_other_signals(void **state)
{
    (void)state;
    struct peer peer;
    struct bolt_error error;
    struct wake wake;
    struct err err;
    struct bolt_cancel cancel;

    assert_ok(wake_init(&wake, &err), &err);
    bolt_cancel_wrap(&cancel, &wake);
    const struct bolt_options options = {.uri = "bolt://peer", .cancel = &cancel};
    peer_start(&peer, PEER_HELLO "C: RESET\nS: SUCCESS {}\n" BYE, true);
    wake_signal(&wake); /* something to do, but no end */
    struct bolt_connection *c = peer_open(&peer, &options);
    assert_bolt_ok(bolt_reset(c, soon(), &error), &error);
    bolt_close(c);
    peer_end(&peer);
    assert_true(wake_wait(&wake, (struct deadline){0}));
    wake_done(&wake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_transaction_goes_in_one_flight),
        cmocka_unit_test(a_commit_takes_what_is_in_flight_along),
        cmocka_unit_test(a_quiet_begin_goes_with_what_follows),
        cmocka_unit_test(a_quiet_begin_that_fails_fails_the_next_request),
        cmocka_unit_test(what_is_behind_a_failure_is_ignored),
        cmocka_unit_test(the_queue_has_an_end),
        cmocka_unit_test(several_queries_may_be_open_in_a_transaction),
        cmocka_unit_test(it_reads_while_it_writes),
        cmocka_unit_test(a_commit_without_an_answer_is_unknown),
        cmocka_unit_test(a_commit_behind_a_failure_is_not_unknown),
        cmocka_unit_test(a_writing_query_without_an_answer_is_unknown),
        cmocka_unit_test(a_commit_that_was_not_written_is_not_unknown),
        cmocka_unit_test(what_was_said_before_the_end_is_heard),
        cmocka_unit_test(a_connection_that_the_server_closed_is_seen),
        cmocka_unit_test(what_breaks_the_protocol_ends_the_connection),
        cmocka_unit_test(a_commit_that_waits_to_be_written_is_unknown_and_dropped_by_close),
        cmocka_unit_test(a_commit_that_was_not_written_when_the_line_broke_is_not_unknown),
        cmocka_unit_test(after_a_deadline_one_can_go_on_waiting),
        cmocka_unit_test(signs_of_life_dont_carry_it_past_its_deadline),
        cmocka_unit_test(silence_beyond_the_promise_is_a_loss),
        cmocka_unit_test(a_wait_is_cancelled_from_another_thread),
        cmocka_unit_test(a_thread_of_ours_keeps_its_other_signals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
