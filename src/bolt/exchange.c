#include "bolt/connection.h"
#include "bolt/slack.h"

static int64_t now_ms(void)
{
    return bolt_deadline_in(0);
}

/* ---- what a broken connection means ---- */

static const struct request *request_at(const struct bolt_connection *c, size_t at)
{
    return &c->requests[(c->first + at) % (c->requests_max + 1)];
}

/* What is queued goes out with whatever is waited for next, until nothing can be written. */
static bool queue_moves(const struct bolt_connection *c)
{
    return !c->dead && !c->mute;
}

/* The request of the commit that may have happened without our knowing, or may yet happen; NULL:
 * there is none. */
static const struct request *commit_in_doubt(const struct bolt_connection *c)
{
    for (size_t i = 0; !c->failed && i < c->count; i++) { /* behind a failure all is ignored */
        const struct request *request = request_at(c, i);
        if (request->commits && (request->end <= c->tx.written || queue_moves(c))) {
            return request;
        }
    }
    return NULL;
}

static int tell_doubt(const struct bolt_connection *c, struct bolt_error *error)
{
    const struct request *commit = commit_in_doubt(c);

    if (commit == NULL) {
        return -(int)error->kind;
    }
    if (commit->end <= c->tx.written) {
        (void)bolt_fail_context(error,
                                "%s was sent and its reply not read, so that it is not known "
                                "whether the transaction was committed",
                                request_name(commit->kind));
    } else {
        (void)bolt_fail_context(error,
                                "%s waits to be sent and goes out with the next request or wait, "
                                "so that it is not known whether the transaction will be "
                                "committed; bolt_close drops it",
                                request_name(commit->kind));
    }
    error->kind = BOLT_ERR_COMMIT_UNKNOWN;
    return -(int)error->kind;
}

int connection_broken(struct bolt_connection *c, struct bolt_error *error)
{
    c->dead = true;
    return tell_doubt(c, error);
}

int connection_over(const struct bolt_connection *c, int64_t deadline_ms, struct bolt_error *error)
{
    return net_over(&c->net, deadline_ms, error) < 0 ? tell_doubt(c, error) : 0;
}

int connection_check_alive(const struct bolt_connection *c, struct bolt_error *error)
{
    if (c->dead) {
        return bolt_fail(error, BOLT_ERR_LOST,
                         "%s: this connection broke before; close it and open another",
                         c->net.peer);
    }
    return 0;
}

/* ---- moving bytes ---- */

static int try_write(struct bolt_connection *c, struct bolt_error *error)
{
    while (tx_waiting(&c->tx) > 0) {
        size_t put = 0;
        int rc = net_write(&c->net, c->tx.data + c->tx.start, tx_waiting(&c->tx), &put, error);
        if (rc < 0) {
            return rc;
        }
        if (put == 0) {
            break;
        }
        tx_written(&c->tx, put);
        c->spoke_ms = now_ms();
    }
    return 0;
}

void connection_write_some(struct bolt_connection *c)
{
    struct bolt_error error;

    if (!c->mute && try_write(c, &error) < 0) {
        c->mute = true; /* what the server said before it left is still to be heard */
    }
}

/* What the last query's end said lies in the receive buffer, which is about to change. */
static void forget_views(struct bolt_connection *c)
{
    if (c->stream.state == STREAM_ENDED) {
        c->stream.state = STREAM_NONE;
    }
}

/* One read. *ret_some: something came. */
static int read_some(struct bolt_connection *c, bool *ret_some, struct bolt_error *error)
{
    unsigned char *to = NULL;
    size_t room = 0;
    size_t got = 0;

    forget_views(c);
    int rc = rx_room(&c->rx, &to, &room, error);
    if (rc == 0) {
        rc = net_read(&c->net, to, room, &got, error);
    }
    if (rc < 0) {
        return connection_broken(c, error);
    }
    if (got > 0) {
        rx_received(&c->rx, got);
        c->heard_ms = now_ms();
    }
    *ret_some = got > 0;
    return 0;
}

/* When the server's promise of a sign of life would be broken. */
static int64_t silence_ends_ms(const struct bolt_connection *c)
{
    int64_t since = c->heard_ms > c->spoke_ms ? c->heard_ms : c->spoke_ms;

    return c->info.silence_max_ms == 0 || c->count == 0 ? BOLT_NEVER
                                                        : since + c->info.silence_max_ms;
}

static int wait_for(struct bolt_connection *c, bool read, bool write, int64_t deadline_ms,
                    struct bolt_error *error)
{
    int64_t silence_ms = silence_ends_ms(c);
    bool silence_first = silence_ms < deadline_ms;
    int rc = net_wait(&c->net, read, write, silence_first ? silence_ms : deadline_ms, error);

    if (rc == 0) {
        return 0;
    }
    if (rc == -(int)BOLT_ERR_TIMEOUT && silence_first) {
        (void)bolt_fail(error, BOLT_ERR_LOST,
                        "%s: no sign of life for %lld s, though the server promised one more often",
                        c->net.peer, (long long)(c->info.silence_max_ms / 1000));
        return connection_broken(c, error);
    }
    if (rc == -(int)BOLT_ERR_TIMEOUT || rc == -(int)BOLT_ERR_CANCELLED) {
        return tell_doubt(c, error);
    }
    return connection_broken(c, error);
}

int connection_receive(struct bolt_connection *c, int64_t deadline_ms, const unsigned char **ret,
                       size_t *ret_size, struct bolt_error *error)
{
    bool some = false;

    forget_views(c);
    for (;;) {
        int rc = rx_next(&c->rx, ret, ret_size, error);
        if (rc > 0) {
            return 0;
        }
        if (rc < 0) {
            return connection_broken(c, error);
        }
        if (some) { /* signs of life, or a message drop by drop, must not carry it past its end */
            rc = connection_over(c, deadline_ms, error);
        }
        if (rc == 0) {
            connection_write_some(c);
            rc = read_some(c, &some, error);
        }
        if (rc == 0 && !some) {
            rc = wait_for(c, true, tx_waiting(&c->tx) > 0 && !c->mute, deadline_ms, error);
        }
        if (rc < 0) {
            return rc;
        }
    }
}

int connection_flush(struct bolt_connection *c, int64_t deadline_ms, struct bolt_error *error)
{
    for (;;) {
        bool some = false;
        int rc = try_write(c, error);
        if (rc < 0) {
            return connection_broken(c, error);
        }
        if (tx_waiting(&c->tx) == 0) {
            return 0;
        }
        bool full = rx_waiting(&c->rx) >= c->receive_max;
        if (full) {
            return bolt_fail(
                error, BOLT_ERR_BUSY,
                "%s: %zu bytes of replies wait to be read and the server takes no more "
                "requests: read replies first",
                c->net.peer, rx_waiting(&c->rx));
        }
        rc = read_some(c, &some, error);
        if (rc == 0 && !some) {
            rc = wait_for(c, true, true, deadline_ms, error);
        }
        if (rc < 0) {
            return rc;
        }
    }
}

void connection_rest(struct bolt_connection *c)
{
    forget_views(c);
    rx_rest(&c->rx);
    tx_rest(&c->tx);
    if (c->scratch.capacity > SLACK_IDLE_MAX) {
        bolt_packer_done(&c->scratch);
        bolt_packer_init(&c->scratch, 0);
    }
}

/* ---- what the caller may ask at any time ---- */

int bolt_flush(struct bolt_connection *connection, int64_t deadline_ms, struct bolt_error *error)
{
    int rc = connection_check_alive(connection, error);

    return rc < 0 ? rc : connection_flush(connection, deadline_ms, error);
}

/* With nothing in flight there may be signs of life in the buffer, but no message. */
bool bolt_is_alive(struct bolt_connection *connection)
{
    struct bolt_connection *c = connection;
    const unsigned char *message = NULL;
    size_t size = 0;
    struct bolt_error error;
    bool some = false;

    if (!c->dead && c->count == 0) {
        int rc = rx_next(&c->rx, &message, &size, &error);
        if (rc == 0) {
            rc = read_some(c, &some, &error); /* marks it dead: that is the answer */
        }
        c->dead = c->dead || rc != 0;
    }
    return !c->dead;
}

int64_t bolt_last_used_ms(const struct bolt_connection *connection)
{
    return connection->heard_ms;
}
