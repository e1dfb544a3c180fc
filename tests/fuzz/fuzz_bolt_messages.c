/* Whatever a server says, from the handshake on: every call returns, with a result or an error that
 * can be read, and a connection that is dead stays dead. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <holdfast/bolt.h>

#define INPUT_MAX 60000 /* bytes; all of it fits into a socket's buffer */

static void check(int rc, const struct bolt_error *error)
{
    if (rc < 0 && (rc != -(int)error->kind || error->message[0] == '\0' ||
                   strlen(error->message) >= sizeof(error->message) ||
                   error->cause_count > BOLT_CAUSES_MAX)) {
        abort();
    }
    (void)(rc < 0 ? bolt_error_traits(error) : 0);
}

static void use(struct bolt_connection *c)
{
    int64_t deadline_ms = bolt_deadline_in(1000);
    struct bolt_error error;
    struct bolt_record record;
    struct bolt_summary summary;
    struct bolt_notice notice;
    struct bolt_value table;
    struct bolt_value value;

    int rc = bolt_run(c, "Q", NULL, NULL, deadline_ms, &error);
    check(rc, &error);
    while (rc >= 0 && (rc = bolt_next(c, &record, deadline_ms, &error)) > 0) {
        for (size_t i = 0; i < record.count; i++) {
            struct bolt_iter iter = bolt_iter_of(&record.values[i]);
            while (bolt_iter_next(&iter, &value)) {
            }
        }
    }
    check(rc, &error);
    if (rc == 0 && bolt_consume(c, &summary, deadline_ms, &error) == 0) {
        for (size_t i = 0; bolt_summary_notice(&summary, i, &notice); i++) {
        }
    }
    if (bolt_needs_reset(c)) {
        check(bolt_reset(c, deadline_ms, &error), &error);
    }
    rc = bolt_route(c, NULL, NULL, NULL, deadline_ms, &table, &error);
    check(rc, &error);
    if (bolt_send_begin(c, NULL, NULL, &error) == 0 &&
        bolt_send_run(c, "Q", NULL, NULL, NULL, &error) == 0 &&
        bolt_send_pull(c, 2, BOLT_LAST_QUERY, NULL, &error) == 0 &&
        bolt_send_commit(c, NULL, &error) == 0) {
        check(bolt_settle(c, deadline_ms, &error), &error);
    }
    if (!bolt_is_alive(c) && bolt_run(c, "Q", NULL, NULL, deadline_ms, &error) == 0) {
        abort();
    }
}

/* The server's whole side is said in advance, and then the line is closed. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct bolt_options options = {.uri = "neo4j://fuzz", .telemetry = true, .fetch_size = 2};
    struct bolt_connection *c = NULL;
    struct bolt_error error;
    int fds[2];

    if (size > INPUT_MAX || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) {
        return 0;
    }
    if (size > 0 && send(fds[1], data, size, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)size) {
        abort();
    }
    (void)shutdown(fds[1], SHUT_WR); /* can't fail: it is connected */
    int rc = bolt_open_socket_take(fds[0], &options, bolt_deadline_in(1000), &c, &error);
    check(rc, &error);
    if (rc == 0) {
        use(c);
    }
    bolt_close(c);
    (void)close(fds[1]);
    return 0;
}
