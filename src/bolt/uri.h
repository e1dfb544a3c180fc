/*
 * uri - the routing context behind a URI's '?'.
 */
#ifndef HOLDFAST_BOLT_URI_H
#define HOLDFAST_BOLT_URI_H

#include "bolt/error.h"

/* Pack the map {address: "HOST:PORT", KEY: VALUE, …}. BOLT_ERR_USAGE: a part that is not
 * KEY=VALUE, a broken percent sign. */
int uri_pack_context(const struct bolt_uri *uri, struct bolt_packer *packer,
                     struct bolt_error *error) MUST_CHECK;

/* "HOST:PORT", IPv6 in brackets. ret has room for BOLT_HOST_MAX + 9 bytes. */
#define URI_ADDRESS_MAX (BOLT_HOST_MAX + 9)
void uri_address(const char *host, uint16_t port, char ret[URI_ADDRESS_MAX]);

#endif
