/*
 * handshake - agreeing on a version: the manifest (Bolt 5.7's servers and later) or four proposals.
 *
 * Source: https://neo4j.com/docs/bolt/current/bolt/handshake/. 5.5 is never spoken: it was
 * withdrawn.
 */
#ifndef HOLDFAST_BOLT_HANDSHAKE_H
#define HOLDFAST_BOLT_HANDSHAKE_H

#include "bolt/net.h"
#include "bolt/tx.h"

#define HANDSHAKE_OFFERS_MAX 64 /* ranges in a manifest; servers have three to five */

struct version {
    uint8_t major, minor;
};

static inline bool version_least(struct version version, uint8_t major, uint8_t minor)
{
    return version.major > major || (version.major == major && version.minor >= minor);
}

/* The newest of our versions among the server's ranges, [0][range][minor][major] each. False: none.
 */
bool handshake_choose(const unsigned char (*offers)[4], size_t count, struct version *ret);

/*
 * Propose and read the answer, not a byte more. What the manifest wants to hear is put into tx, to
 * go with the first message. BOLT_ERR_PROTOCOL says what answered instead of a server of our
 * versions.
 */
int handshake(struct net *net, struct tx *tx, int64_t deadline_ms, struct version *ret,
              bool *ret_manifest, struct bolt_error *error) MUST_CHECK;

#endif
