/*
 * peer - a server that follows a script, in a thread, over a socket pair.
 *
 * A script is lines, in the order in which things happen:
 *   H: 5.4            read the proposals, choose this version
 *   H: manifest 5.8   the same by a manifest (offering 6.1 to 6.0 where 6.0 is chosen), with our
 * choice H: <hex>          answer these bytes to the proposals C: RUN "RETURN 1" {} {}   the client
 * must send this; an end in '*' fits anything S: SUCCESS {"fields": ["x"]}   SUCCESS, RECORD,
 * FAILURE, IGNORED with JSON as fields S: <NOOP>   S: <RAW hex>   S: <EXIT> C: <EOF>          the
 * client closes
 *
 * With drip each byte is sent alone, and the next one when the client has read it: so the stream is
 * split at every byte. What goes wrong is told by peer_end, in the test's thread.
 */
#ifndef HOLDFAST_TESTS_BOLT_PEER_H
#define HOLDFAST_TESTS_BOLT_PEER_H

#include <pthread.h>

#include "bolt/bytes.h"

#include "base/buf.h"

#define PEER_FAILURE_MAX 4096

struct peer {
    int fd;        /* the server's end */
    int client_fd; /* for bolt_open_socket_take */
    const char *script;
    bool drip;
    pthread_t thread;
    unsigned char *in; /* read from the client, not yet used */
    size_t in_size;
    char failure[PEER_FAILURE_MAX]; /* "" when all went as written */
};

void peer_start(struct peer *peer, const char *script, bool drip);

/* Wait for the end of the script; it must have gone as written. */
void peer_end(struct peer *peer);

/* The common beginning of a script: 5.4 without a manifest, HELLO and LOGON. */
#define PEER_HELLO                                                                                 \
    "H: 5.4\n"                                                                                     \
    "C: HELLO *\n"                                                                                 \
    "C: LOGON {\"scheme\": \"none\"}\n"                                                            \
    "S: SUCCESS {\"server\": \"Neo4j/5.13.0\", \"connection_id\": \"bolt-1\"}\n"                   \
    "S: SUCCESS {}\n"

/* Open a connection to it with these options (NULL: uri bolt://peer alone). */
struct bolt_connection *peer_open(struct peer *peer, const struct bolt_options *options);

/* As peer_open; the error is the test's. */
int peer_try(struct peer *peer, const struct bolt_options *options, struct bolt_connection **ret,
             struct bolt_error *error);

#define PEER_MS 20000 /* what no test ever waits for */
static inline int64_t soon(void)
{
    return bolt_deadline_in(PEER_MS);
}

#endif
