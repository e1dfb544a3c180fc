/*
 * connection - the parts of one connection and how they work together; bolt.h is the manual.
 *
 *   request.c   packs requests and queues them in tx and in the ring of those that await a reply
 *   exchange.c  moves bytes both ways until there is a message, or all is written
 *   reply.c     takes messages apart, and matches them to the ring
 *   query.c     queries and transactions that wait for their replies
 *   summary.c   what a query's last reply says
 *   connection.c  opening, logging on, closing
 *
 * Whatever makes the connection useless goes through connection_broken, which decides whether a
 * commit is in doubt: one whose request was written to its last byte, and not answered, and not
 * behind a failure that was read. While the connection lives, one that waits to be written is in
 * doubt as well: whatever is waited for next writes it. Only bolt_close writes nothing that waits.
 */
#ifndef HOLDFAST_BOLT_CONNECTION_H
#define HOLDFAST_BOLT_CONNECTION_H

#include "bolt/handshake.h"
#include "bolt/net.h"
#include "bolt/rx.h"
#include "bolt/tls.h"
#include "bolt/tx.h"
#include "bolt/uri.h"

#define CONNECTION_FIELDS_MAX                                                                      \
    65535 /* columns of a query; bounds what a record makes us allocate                            \
           */

/* One that has no last reply yet. */
struct request {
    uint64_t number;
    enum bolt_request kind;
    uint64_t end;  /* offset in tx behind it */
    bool commits;  /* its success makes something durable */
    bool last_qid; /* PULL of the query whose fields are known: records are compared with them */
};

enum stream_state {
    STREAM_NONE,
    STREAM_OPEN,  /* bolt_run was answered; records or their end are to come */
    STREAM_ENDED, /* final metadata is there */
};

/* What bolt_run started. */
struct stream {
    enum stream_state state;
    bool has_more;   /* the last PULL left some */
    bool discarding; /* a DISCARD is on its way */
    bool in_tx;
    int64_t first_ms;
    struct bolt_value metadata; /* of the end; a view */
};

struct bolt_connection {
    struct net net;
    struct rx rx;
    struct tx tx;
    struct bolt_packer scratch; /* what is packed around the caller's parameters */

    struct version version;
    struct bolt_connection_info info;
    struct bolt_uri uri;
    char host[BOLT_HOST_MAX];
    char address[URI_ADDRESS_MAX];
    char *server;
    char *connection_id;
    char *advertised_address;
    char *bookmark;

    struct request *requests; /* a ring of requests_max + 1: RESET always fits */
    size_t first;
    size_t count;
    size_t requests_max;
    size_t send_max;
    size_t receive_max;
    int64_t fetch_size;
    uint64_t last_number;
    uint64_t quiet; /* the last BEGIN whose success is told to nobody; 0: none */

    bool dead;
    bool mute;        /* nothing can be written any more, but there may be something to read */
    bool failed;      /* a FAILURE was read: RESET is due */
    bool resetting;   /* a RESET awaits its reply */
    bool in_tx;       /* BEGIN was sent, its end not */
    bool run_commits; /* the last RUN sent was a writing one outside of a transaction */
    bool telemetry;   /* wanted, and asked for by the server */
    bool exposed;     /* what is sent goes to another machine, unencrypted */

    int64_t heard_ms; /* when something was last received */
    int64_t spoke_ms; /* when something was last written */

    struct bolt_string *fields; /* of the last RUN that was answered; one block with their texts */
    size_t field_count;
    bool fields_known;
    struct bolt_value *values; /* of the last record */
    size_t value_capacity;

    struct stream stream;
    bool settle_failed;
    struct bolt_error settle_error; /* what bolt_settle will tell when it is through */
};

/* ---- exchange.c ---- */

/* 0: a message, a view until the next call here. */
int connection_receive(struct bolt_connection *c, int64_t deadline_ms, const unsigned char **ret,
                       size_t *ret_size, struct bolt_error *error) MUST_CHECK;

/* Write all that waits. */
int connection_flush(struct bolt_connection *c, int64_t deadline_ms, struct bolt_error *error)
    MUST_CHECK;

/* Write what can be written now. That it can't any more is told when what was received is read. */
void connection_write_some(struct bolt_connection *c);

/* Mark it dead; error (of whatever made it so) becomes BOLT_ERR_COMMIT_UNKNOWN if that is the case.
 * Returns -error->kind. */
int connection_broken(struct bolt_connection *c, struct bolt_error *error);

/* Did the deadline pass, or was it cancelled? 0: neither. BOLT_ERR_COMMIT_UNKNOWN as above. */
int connection_over(const struct bolt_connection *c, int64_t deadline_ms, struct bolt_error *error)
    MUST_CHECK;

/* It goes back to its pool, with nothing in flight: give back what large messages needed. */
void connection_rest(struct bolt_connection *c);

/* Dead ones answer nothing. */
int connection_check_alive(const struct bolt_connection *c, struct bolt_error *error) MUST_CHECK;

/* ---- request.c ---- */

/* What is in scratch, or that around params: message bytes up to `split`, params, the rest. */
struct request_draft {
    enum bolt_request kind;
    const struct bolt_packer *params; /* NULL: scratch is the whole message */
    size_t split;
    bool commits;
    bool last_qid;
    bool secret;
};

/* Empty scratch for a message with this many fields. */
void request_start(struct bolt_connection *c, unsigned char tag, unsigned fields);

/* Queue what was packed since. */
int request_add(struct bolt_connection *c, const struct request_draft *draft, uint64_t *ret_request,
                struct bolt_error *error) MUST_CHECK;

int request_hello(struct bolt_connection *c, const struct bolt_options *options,
                  struct bolt_error *error) MUST_CHECK;
int request_logon(struct bolt_connection *c, const struct bolt_auth *auth, struct bolt_error *error)
    MUST_CHECK;
int request_plain(struct bolt_connection *c, enum bolt_request kind, unsigned char tag,
                  struct bolt_error *error) MUST_CHECK;
int request_route(struct bolt_connection *c, const char *database, const char *impersonated_user,
                  const char *const *bookmarks, struct bolt_error *error) MUST_CHECK;

/* The message without a reply; the last one. */
void request_goodbye(struct bolt_connection *c);

/* ---- reply.c ---- */

/* As bolt_receive. */
int reply_receive(struct bolt_connection *c, int64_t deadline_ms, struct bolt_reply *ret,
                  struct bolt_error *error) MUST_CHECK;

/* Replies up to the one to request `number`, whose metadata is *ret (may be NULL). */
int reply_await(struct bolt_connection *c, uint64_t number, int64_t deadline_ms,
                struct bolt_value *ret, struct bolt_error *error) MUST_CHECK;

/* ---- query.c ---- */

/* BEGIN without a round trip of its own: it goes with what follows, its success is passed over, and
 * its failure is that of the request that is awaited next. */
int connection_begin(struct bolt_connection *c, const struct bolt_tx_options *options,
                     struct bolt_error *error) MUST_CHECK;

/* "COMMIT": static. */
const char *request_name(enum bolt_request kind);

#endif
