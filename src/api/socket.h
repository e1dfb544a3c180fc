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

/* Connected, or ERR_UNAVAILABLE when nobody listens. */
int socket_connect(const char *home, int *ret_fd, struct err *err) MUST_CHECK;

#endif
