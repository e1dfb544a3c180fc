/*
 * fake_server - a server on loopback that speaks Bolt 5.4 well enough for a driver: it answers
 * every request with success, but for what a test tells it to do otherwise. Several make a cluster.
 * It has no TLS: who asks for it is answered something else.
 *
 * Thread: it has threads of its own; the functions may be called from any.
 */
#ifndef HOLDFAST_TEST_FAKE_SERVER_H
#define HOLDFAST_TEST_FAKE_SERVER_H

#include <holdfast/bolt.h>

struct fake_server;

/* What is done in place of a success. */
enum fake_fault {
    FAKE_FAIL,  /* FAILURE with a code; what follows is IGNORED until RESET */
    FAKE_DROP,  /* the connection is closed */
    FAKE_STALL, /* no reply, until the server is stopped */
};

struct fake_server *fake_start(void);
void fake_stop(struct fake_server *server);

uint16_t fake_port(const struct fake_server *server);
const char *fake_address(const struct fake_server *server); /* "127.0.0.1:PORT" */

/* Do this to the next `times` requests of that kind. code: of FAKE_FAIL. */
void fake_fault(struct fake_server *server, enum bolt_request request, enum fake_fault fault,
                unsigned times, const char *code);

/* Stop listening and cut all connections; on the same port again. */
void fake_down(struct fake_server *server);
void fake_up(struct fake_server *server);

/* What ROUTE answers: addresses, separated by spaces, of each role. Before: a failure with
 * Memgraph's code. */
void fake_route(struct fake_server *server, int64_t ttl_s, const char *routers, const char *readers,
                const char *writers);

/* From now on the replies to DISCARD are larger by so many bytes. */
void fake_padding(struct fake_server *server, size_t size);

/* How many requests of that kind came; connections accepted, and living now. */
unsigned fake_count(struct fake_server *server, enum bolt_request request);
unsigned fake_accepted(struct fake_server *server);
unsigned fake_living(struct fake_server *server);

/* The extra map of the last BEGIN, as "mode=r db=neo4j bookmarks=a,b" with what is not there left
 * out. The caller's: free. */
char *fake_last_begin(struct fake_server *server);

#endif
