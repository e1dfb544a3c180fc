/*
 * server - the daemon's door: HTTP over home/daemon.sock (libmicrohttpd), one thread a connection.
 *
 * Only the same user's processes (and root) are served: the socket is 0600 and SO_PEERCRED is
 * checked. A caller says who it is with the headers X-Holdfast-Agent (label), X-Holdfast-Pid (of
 * the process that lives as long as the agent), X-Holdfast-Folder, X-Holdfast-Remote and
 * X-Holdfast-Project (client.h sets them). Errors are op_error_json with the status of err.def.
 * Thread: start and stop by one.
 */
#ifndef HOLDFAST_API_SERVER_H
#define HOLDFAST_API_SERVER_H

#include "api/op.h"

struct server;

#define SERVER_CONNECTIONS_MAX 512
#define SERVER_BODY_MAX (2 * 1024 * 1024) /* bytes of a JSON request */

/* Listen on home/daemon.sock, replacing the socket of a daemon that died (the home's lock is ours,
 * so none lives). */
int server_start(struct engine *engine, struct wake *shutdown, struct server **ret, struct err *err)
    MUST_CHECK;
void server_stop(
    struct server *server); /* finishes what runs, closes the rest, removes the socket */

#endif
