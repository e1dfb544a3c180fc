#include "bolt/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bolt/resolve.h"
#include "bolt/tls.h"

#define KEEPALIVE_IDLE_S 60 /* balancers cut silent connections after four minutes and more */

/* ---- time and cancellation ---- */

int64_t bolt_deadline_in(int64_t ms)
{
    return deadline_in(ms).at_ms;
}

struct bolt_cancel *bolt_cancel_new(struct bolt_error *error)
{
    struct bolt_cancel *cancel = calloc(1, sizeof(*cancel));
    struct err err;

    if (cancel == NULL) {
        (void)bolt_fail_memory(error);
        return NULL;
    }
    if (wake_init(&cancel->own, &err) < 0) {
        (void)bolt_fail(error, BOLT_ERR_MEMORY, "%s", err.message);
        free(cancel);
        return NULL;
    }
    cancel->wake = &cancel->own;
    return cancel;
}

void bolt_cancel_free(struct bolt_cancel *cancel)
{
    if (cancel != NULL) {
        wake_done(&cancel->own);
        free(cancel);
    }
}

void bolt_cancel_now(struct bolt_cancel *cancel)
{
    wake_cancel(cancel->wake);
}

void bolt_cancel_wrap(struct bolt_cancel *cancel, struct wake *wake)
{
    *cancel = (struct bolt_cancel){.own = {.fd = -1}, .wake = wake};
}

static int poll_ms(int64_t deadline_ms)
{
    int64_t left = deadline_left_ms((struct deadline){deadline_ms});

    return left > INT_MAX ? INT_MAX : (int)left;
}

static short wanted(const struct net *net, bool read, bool write)
{
    bool in = read || (write && net->write_wants_read);
    bool out = write || (read && net->read_wants_write);

    return (short)((in ? POLLIN : 0) | (out ? POLLOUT : 0));
}

static int cancelled(const struct net *net, struct bolt_error *error)
{
    return bolt_fail(error, BOLT_ERR_CANCELLED, "%s: cancelled", net->peer);
}

static int timed_out(const struct net *net, struct bolt_error *error)
{
    return bolt_fail(error, BOLT_ERR_TIMEOUT, "%s: no answer by the deadline", net->peer);
}

int net_over(const struct net *net, int64_t deadline_ms, struct bolt_error *error)
{
    if (net->cancel != NULL && wake_cancelled(net->cancel->wake)) {
        return cancelled(net, error);
    }
    return poll_ms(deadline_ms) == 0 ? timed_out(net, error) : 0;
}

/* A wake that was signalled but not cancelled means something else to its owner, who is told again
 * when the wait is over. */
int net_wait(struct net *net, bool read, bool write, int64_t deadline_ms, struct bolt_error *error)
{
    struct wake *wake = net->cancel == NULL ? NULL : net->cancel->wake;
    struct pollfd fds[2] = {{.fd = net->fd, .events = wanted(net, read, write)},
                            {.fd = wake == NULL ? -1 : wake->fd, .events = POLLIN}};
    bool owed = false;
    int rc = 0;

    for (;;) {
        if (wake != NULL && wake_cancelled(wake)) {
            rc = cancelled(net, error);
            break;
        }
        int ready = poll(fds, 2, poll_ms(deadline_ms));
        if (ready < 0 && errno != EINTR) {
            rc = bolt_fail_errno(error, BOLT_ERR_LOST, errno, "%s: waiting", net->peer);
            break;
        }
        if (ready > 0 && fds[0].revents != 0) {
            break;
        }
        if (ready > 0 && wake != NULL && !wake_cancelled(wake)) {
            owed = wake_wait(wake, (struct deadline){0}) || owed;
        } else if (ready == 0 && poll_ms(deadline_ms) == 0) {
            rc = timed_out(net, error);
            break;
        }
    }
    if (owed) {
        wake_signal(wake);
    }
    return rc;
}

/* ---- connecting ---- */

static int set_options(int fd)
{
    const int on = 1;
    const int idle = KEEPALIVE_IDLE_S;
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        return -1;
    }
    /* Of no meaning for sockets that are not TCP: they refuse. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    return 0;
}

int net_adopt(struct net *net, int fd, struct bolt_error *error)
{
    net->fd = fd;
    if (set_options(fd) < 0) {
        return bolt_fail_errno(error, BOLT_ERR_CONNECT, errno, "%s: setting up the socket",
                               net->peer);
    }
    return 0;
}

/* What to do about it. */
static const char *connect_advice(int errno_value)
{
    switch (errno_value) {
    case ECONNREFUSED:
        return " (nothing listens there: is the server running, and is the port right?)";
    case EHOSTUNREACH:
    case ENETUNREACH:
        return " (there is no way to it from here)";
    default:
        return "";
    }
}

static int connect_failed(const struct net *net, int errno_value, struct bolt_error *error)
{
    char text[128];

    return bolt_fail(error, BOLT_ERR_CONNECT, "connecting to %s: %s%s", net->peer,
                     strerror_r(errno_value, text, sizeof(text)), connect_advice(errno_value));
}

/* One address. On failure net->fd is closed again. */
static int connect_one(struct net *net, const struct addrinfo *address, int64_t deadline_ms,
                       struct bolt_error *error)
{
    int fd = socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC, address->ai_protocol);
    int failed = 0;
    socklen_t size = sizeof(failed);

    if (fd < 0) {
        return connect_failed(net, errno, error);
    }
    int rc = net_adopt(net, fd, error);
    if (rc == 0 && connect(fd, address->ai_addr, address->ai_addrlen) != 0) {
        if (errno != EINPROGRESS && errno != EINTR) {
            rc = connect_failed(net, errno, error);
        } else {
            rc = net_wait(net, false, true, deadline_ms, error);
            if (rc == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &size) != 0) {
                failed = errno;
            }
            if (rc == 0 && failed != 0) {
                rc = connect_failed(net, failed, error);
            }
        }
    }
    if (rc < 0) {
        net_close(net);
    }
    return rc;
}

/* When an address' share of the time is over; the last one has all that is left. */
static int64_t share_of(int64_t deadline_ms, size_t addresses)
{
    int64_t left = deadline_left_ms((struct deadline){deadline_ms});

    if (addresses == 1 || left == INT64_MAX) {
        return deadline_ms;
    }
    return bolt_deadline_in(left / (int64_t)addresses);
}

int net_connect(struct net *net, const char *host, uint16_t port, int64_t deadline_ms,
                struct bolt_error *error)
{
    struct addrinfo *addresses = NULL;
    size_t left = 0;
    int rc = resolve_host(net, host, port, deadline_ms, &addresses, error);

    if (rc < 0) {
        return rc;
    }
    for (const struct addrinfo *a = addresses; a != NULL; a = a->ai_next) {
        left++;
    }
    for (const struct addrinfo *a = addresses; a != NULL; a = a->ai_next) {
        rc = connect_one(net, a, share_of(deadline_ms, left--), error);
        if (rc == 0 || rc == -(int)BOLT_ERR_CANCELLED) {
            break;
        }
    }
    freeaddrinfo(addresses);
    return rc;
}

bool net_is_local(const struct net *net)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_storage room;
    } peer = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t size = sizeof(peer);

    if (getpeername(net->fd, &peer.any, &size) != 0) {
        return false;
    }
    switch (peer.any.sa_family) {
    case AF_UNIX:
        return true;
    case AF_INET:
        return ntohl(peer.in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    case AF_INET6:
        return IN6_IS_ADDR_LOOPBACK(&peer.in6.sin6_addr);
    default:
        return false;
    }
}

void net_close(struct net *net)
{
    tls_free(net->tls);
    net->tls = NULL;
    if (net->fd >= 0) {
        (void)close(net->fd); /* what was not sent is lost either way */
        net->fd = -1;
    }
}

/* ---- reading and writing ---- */

static int lost(const struct net *net, int errno_value, const char *doing, struct bolt_error *error)
{
    return bolt_fail_errno(error, BOLT_ERR_LOST, errno_value, "%s: connection lost while %s",
                           net->peer, doing);
}

int net_read(struct net *net, void *to, size_t size, size_t *ret, struct bolt_error *error)
{
    if (net->tls != NULL) {
        return tls_read(net, to, size, ret, error);
    }
    for (;;) {
        ssize_t got = recv(net->fd, to, size, 0);
        if (got > 0) {
            *ret = (size_t)got;
            return 0;
        }
        if (got == 0) {
            return bolt_fail(error, BOLT_ERR_LOST, "%s: the server closed the connection",
                             net->peer);
        }
        if (errno == EAGAIN) {
            *ret = 0;
            return 0;
        }
        if (errno != EINTR) {
            return lost(net, errno, "reading", error);
        }
    }
}

int net_write(struct net *net, const void *from, size_t size, size_t *ret, struct bolt_error *error)
{
    if (net->tls != NULL) {
        return tls_write(net, from, size, ret, error);
    }
    for (;;) {
        ssize_t put = send(net->fd, from, size, MSG_NOSIGNAL);
        if (put >= 0) {
            *ret = (size_t)put;
            return 0;
        }
        if (errno == EAGAIN) {
            *ret = 0;
            return 0;
        }
        if (errno != EINTR) {
            return lost(net, errno, "writing", error);
        }
    }
}
