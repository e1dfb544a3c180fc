/*
 * resolve - a host's name to its addresses, by the system's resolver (getaddrinfo), by a deadline
 * and with an ear for cancellation.
 *
 * That resolver can't be interrupted: without an answer from a name server it may take half a
 * minute. So a thread of its own asks it. Nobody joins that thread, as nobody knows when it ends;
 * it owns what it needs, and who comes last, it or the one who waits, frees everything. A late
 * answer is dropped. Addresses written as numbers need no resolver, and no thread.
 */
#ifndef HOLDFAST_BOLT_RESOLVE_H
#define HOLDFAST_BOLT_RESOLVE_H

#include <netdb.h>

#include "bolt/net.h"

/* *ret: freeaddrinfo. net gives the peer, for messages, and what cancels. BOLT_ERR_CONNECT: there
 * is no such name, or nobody answers for it; _TIMEOUT, _CANCELLED, _MEMORY. */
int resolve_host(const struct net *net, const char *host, uint16_t port, int64_t deadline_ms,
                 struct addrinfo **ret, struct bolt_error *error) MUST_CHECK;

#endif
