/*
 * socket - home/daemon.sock: its name may be longer than a socket's address allows, so both sides
 * go through the folder's descriptor in /proc/self/fd.
 */
#ifndef HOLDFAST_API_SOCKET_H
#define HOLDFAST_API_SOCKET_H

#include "base/err.h"

#define SOCKET_NAME "daemon.sock"
#define SOCKET_BACKLOG 512

/* Bind and listen, mode 0600; a socket that is left from before is replaced. */
int socket_listen(const char *home, int *ret_fd, struct err *err) MUST_CHECK;
void socket_remove(const char *home);

#define SOCKET_CONNECT_MS                                                                          \
    5000 /* to be let in: the kernel does that, unless the backlog is full                         \
          */

/* Connected, or ERR_UNAVAILABLE when nobody listens; ERR_TIMEOUT when too many wait to be let in.
 */
int socket_connect(const char *home, int *ret_fd, struct err *err) MUST_CHECK;

#define SOCKET_ANSWER_MS                                                                           \
    30000 /* for a word from a daemon that runs, however busy the machine is                       \
           */

/*
 * A call is silent: is anybody there who could end it? Asks on a connection of its own. 0 when the
 * daemon says anything, and when nobody listens any more (the call's own connection tells that).
 * ERR_TIMEOUT for a daemon that is stopped (at once) or says nothing for SOCKET_ANSWER_MS: the
 * message has its pid and what to do.
 */
int socket_check_alive(const char *home, struct err *err) MUST_CHECK;

#endif
