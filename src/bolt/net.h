/*
 * net - a stream socket that never blocks by itself: connecting, reading, writing, and one place to
 * wait, until a deadline or a cancellation.
 */
#ifndef HOLDFAST_BOLT_NET_H
#define HOLDFAST_BOLT_NET_H

#include "base/wake.h"
#include "bolt/error.h"

/* What cancels: its own eventfd, or that of a thread of Holdfast (bolt_cancel_wrap). */
struct bolt_cancel {
    struct wake own;
    struct wake *wake;
};

/* Let wake (borrowed) cancel connections; wake_signal alone doesn't, and is not lost. */
void bolt_cancel_wrap(struct bolt_cancel *cancel, struct wake *wake);

struct tls;

struct net {
    int fd;
    struct tls *tls;              /* NULL: plain */
    struct bolt_cancel *cancel;   /* NULL: can't be cancelled */
    bool read_wants_write;        /* TLS must write before it can read on, */
    bool write_wants_read;        /* and the other way round */
    char peer[BOLT_HOST_MAX + 9]; /* "HOST:PORT", for messages */
};

/* Find the host's addresses, and connect to one, each given its share of the time.
 * BOLT_ERR_CONNECT, _TIMEOUT, _CANCELLED. net->cancel and net->peer are set before. */
int net_connect(struct net *net, const char *host, uint16_t port, int64_t deadline_ms,
                struct bolt_error *error) MUST_CHECK;

/* Make a connected socket what the rest here expects. */
int net_adopt(struct net *net, int fd, struct bolt_error *error) MUST_CHECK;

/* Is the other end this machine? */
bool net_is_local(const struct net *net);

/* *ret is how many bytes were read or written; 0: not now, wait first. BOLT_ERR_LOST, also when the
 * other end has closed. */
int net_read(struct net *net, void *to, size_t size, size_t *ret, struct bolt_error *error)
    MUST_CHECK;
int net_write(struct net *net, const void *from, size_t size, size_t *ret, struct bolt_error *error)
    MUST_CHECK;

/* Wait until it may be read (written). BOLT_ERR_TIMEOUT, _CANCELLED. */
int net_wait(struct net *net, bool read, bool write, int64_t deadline_ms, struct bolt_error *error)
    MUST_CHECK;

/* Without waiting: BOLT_ERR_CANCELLED, BOLT_ERR_TIMEOUT when the deadline passed, or 0. */
int net_over(const struct net *net, int64_t deadline_ms, struct bolt_error *error) MUST_CHECK;

void net_close(struct net *net);

#endif
