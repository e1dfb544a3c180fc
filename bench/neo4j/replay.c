/*
 * replay - a client that does nothing but send: a recorded stream of requests, as fast as the
 * server takes them, to the last reply. What the graph vault's drain is compared with.
 *
 *   replay FILE URI    FILE: messages as they went over the line (chunks), BEGIN to COMMIT;
 *                      NEO4J_PASSWORD is in the environment
 *
 * Printed is one JSON document: how many COMMITs were answered, and the seconds from the first
 * answer to the last one. A request that fails ends it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <holdfast/bolt.h>

#include "bolt/net.h"
#include "bolt/rx.h"

#define WAIT_MS 60000
#define TAG_COMMIT 0x12
#define TAG_SUCCESS 0x70
#define TAG_RECORD 0x71

struct replay {
    unsigned char *bytes; /* of the whole file */
    size_t size;
    size_t sent;
    unsigned char *requests; /* tag of each */
    size_t request_count;
    size_t answered;
    struct rx rx;
    size_t commits;
    double first_s;
    double last_s;
};

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "replay: %s: %s\n", what, why);
    exit(1);
}

static double now_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* always there */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void load(const char *path, struct replay *replay)
{
    FILE *file = fopen(path, "rb");

    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        fail(path, strerror(errno));
    }
    replay->size = (size_t)ftell(file);
    rewind(file);
    replay->bytes = malloc(replay->size + 1);
    replay->requests = malloc(replay->size + 1); /* each takes more than a byte */
    if (replay->bytes == NULL || replay->requests == NULL ||
        fread(replay->bytes, 1, replay->size, file) != replay->size) {
        fail(path, "can't be read");
    }
    (void)fclose(file);
}

/* The tag is the second byte of a message. */
static void find_requests(struct replay *replay)
{
    size_t at = 0;
    bool begins = true;

    while (at + 2 <= replay->size) {
        size_t chunk = (size_t)replay->bytes[at] << 8 | replay->bytes[at + 1];
        if (begins && chunk >= 2 && at + 4 <= replay->size) {
            replay->requests[replay->request_count++] = replay->bytes[at + 3];
        }
        begins = chunk == 0;
        at += 2 + chunk;
    }
}

/* A connection that is logged on, and its socket, on which we speak ourselves. */
static int log_on(const char *uri, struct bolt_connection **ret)
{
    struct bolt_error error;
    struct bolt_uri parsed;
    struct net net = {.fd = -1};
    struct bolt_options options = {
        .uri = uri,
        .auth = {.scheme = "basic", .principal = "neo4j", .credentials = getenv("NEO4J_PASSWORD")}};
    int64_t deadline = bolt_deadline_in(WAIT_MS);

    if (bolt_uri_parse(uri, &parsed, &error) < 0 ||
        net_connect(&net, parsed.host, parsed.port, deadline, &error) < 0) {
        fail(uri, error.message);
    }
    int fd = dup(net.fd);
    if (fd < 0 || bolt_open_socket_take(net.fd, &options, deadline, ret, &error) < 0) {
        fail(uri, fd < 0 ? strerror(errno) : error.message);
    }
    return fd;
}

static void send_some(struct replay *replay, int fd)
{
    ssize_t put = send(fd, replay->bytes + replay->sent, replay->size - replay->sent,
                       MSG_NOSIGNAL | MSG_DONTWAIT);

    if (put < 0 && errno != EAGAIN) {
        fail("send", strerror(errno));
    }
    replay->sent += put > 0 ? (size_t)put : 0;
}

static void take_reply(struct replay *replay, const unsigned char *message, size_t size)
{
    unsigned tag = size < 2 ? 0 : message[1];

    if (tag == TAG_RECORD) {
        return;
    }
    if (tag != TAG_SUCCESS || replay->answered == replay->request_count) {
        fail("the server", "a request failed");
    }
    if (replay->requests[replay->answered++] == TAG_COMMIT) {
        replay->last_s = now_s();
        replay->first_s = replay->commits++ == 0 ? replay->last_s : replay->first_s;
    }
}

static void receive_some(struct replay *replay, int fd)
{
    struct bolt_error error;
    const unsigned char *message = NULL;
    unsigned char *to = NULL;
    size_t room = 0;
    size_t size = 0;

    if (rx_room(&replay->rx, &to, &room, &error) < 0) {
        fail("receive", error.message);
    }
    ssize_t got = recv(fd, to, room, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN)) {
        fail("receive", got == 0 ? "the server closed the connection" : strerror(errno));
    }
    rx_received(&replay->rx, got > 0 ? (size_t)got : 0);
    while (rx_next(&replay->rx, &message, &size, &error) == 1) {
        take_reply(replay, message, size);
    }
}

static void run(struct replay *replay, int fd)
{
    while (replay->answered < replay->request_count) {
        short out = replay->sent < replay->size ? POLLOUT : 0;
        struct pollfd wait = {.fd = fd, .events = (short)(POLLIN | out)};
        if (poll(&wait, 1, WAIT_MS) <= 0) {
            fail("the server", "no answer");
        }
        if (wait.revents & POLLOUT) {
            send_some(replay, fd);
        }
        if (wait.revents & (POLLIN | POLLHUP | POLLERR)) {
            receive_some(replay, fd);
        }
    }
}

int main(int argc, char **argv)
{
    struct replay replay = {.size = 0};
    struct bolt_connection *connection = NULL;

    if (argc != 3) {
        fprintf(stderr, "usage: replay FILE URI\n");
        return 2;
    }
    load(argv[1], &replay);
    find_requests(&replay);
    rx_init(&replay.rx, BOLT_REPLY_MAX);
    int fd = log_on(argv[2], &connection);
    run(&replay, fd);
    printf("{\"commits\":%zu,\"elapsed_s\":%.6f}\n", replay.commits,
           replay.last_s - replay.first_s);
    bolt_close(connection);
    (void)close(fd);
    rx_done(&replay.rx);
    free(replay.bytes);
    free(replay.requests);
    return 0;
}
