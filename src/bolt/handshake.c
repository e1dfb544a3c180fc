#include "bolt/handshake.h"

#define VARINT_MAX 10 /* bytes */

static const unsigned char MANIFEST[4] = {0, 0, 1, 0xFF};

/* The manifest, 5.8 to 5.6, 5.4 to 5.0, 4.4 to 4.2. 6.0 is found by the manifest, which all servers
 * that have it know. No slot is empty: some servers stop at an empty one. */
static const unsigned char PROPOSALS[20] = {
    0x60, 0x60, 0xB0, 0x17, 0, 0, 1, 0xFF, 0, 2, 8, 5, 0, 4, 4, 5, 0, 2, 4, 4,
};

/* The best first. */
static const struct version VERSIONS[] = {
    {6, 0}, {5, 8}, {5, 7}, {5, 6}, {5, 4}, {5, 3}, {5, 2}, {5, 1}, {5, 0}, {4, 4}, {4, 3}, {4, 2},
};

bool handshake_choose(const unsigned char (*offers)[4], size_t count, struct version *ret)
{
    for (size_t v = 0; v < sizeof(VERSIONS) / sizeof(VERSIONS[0]); v++) {
        for (size_t i = 0; i < count; i++) {
            const unsigned char *offer = offers[i];
            int least = offer[2] - offer[1];
            if (offer[3] == VERSIONS[v].major && VERSIONS[v].minor <= offer[2] &&
                VERSIONS[v].minor >= least) {
                *ret = VERSIONS[v];
                return true;
            }
        }
    }
    return false;
}

static int write_all(struct net *net, const unsigned char *bytes, size_t size, int64_t deadline_ms,
                     struct bolt_error *error)
{
    while (size > 0) {
        size_t put = 0;
        int rc = net_write(net, bytes, size, &put, error);
        if (rc == 0 && put == 0) {
            rc = net_wait(net, false, true, deadline_ms, error);
        }
        if (rc < 0) {
            return rc;
        }
        bytes += put;
        size -= put;
    }
    return 0;
}

static int read_exactly(struct net *net, unsigned char *bytes, size_t size, int64_t deadline_ms,
                        struct bolt_error *error)
{
    while (size > 0) {
        size_t got = 0;
        int rc = net_read(net, bytes, size, &got, error);
        if (rc == 0 && got == 0) {
            rc = net_wait(net, true, false, deadline_ms, error);
        }
        if (rc < 0) {
            return rc;
        }
        bytes += got;
        size -= got;
    }
    return 0;
}

/* 7 bits a byte, the least significant first; the high bit says that more follow. */
static int read_varint(struct net *net, int64_t deadline_ms, uint64_t *ret,
                       struct bolt_error *error)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < VARINT_MAX; i++) {
        unsigned char byte = 0;
        int rc = read_exactly(net, &byte, 1, deadline_ms, error);
        if (rc < 0) {
            return rc;
        }
        value |= i < 9 ? (uint64_t)(byte & 0x7F) << (7 * i) : (uint64_t)(byte & 1) << 63;
        if ((byte & 0x80) == 0) {
            *ret = value;
            return 0;
        }
    }
    return bolt_fail(error, BOLT_ERR_PROTOCOL, "%s: the manifest has a number without an end",
                     net->peer);
}

static int no_version(const struct net *net, struct bolt_error *error)
{
    return bolt_fail(error, BOLT_ERR_PROTOCOL,
                     "%s: the server speaks none of our versions of Bolt (6.0, 5.8 to 5.6, 5.4 to "
                     "5.0, 4.4 to 4.2)",
                     net->peer);
}

/* The server's offers; our choice goes with the first message. Capabilities: we have none. */
static int take_manifest(struct net *net, struct tx *tx, int64_t deadline_ms, struct version *ret,
                         struct bolt_error *error)
{
    unsigned char offers[HANDSHAKE_OFFERS_MAX][4];
    uint64_t count = 0;
    uint64_t capabilities = 0;
    int rc = read_varint(net, deadline_ms, &count, error);

    if (rc < 0) {
        return rc;
    }
    if (count > HANDSHAKE_OFFERS_MAX) {
        return bolt_fail(error, BOLT_ERR_PROTOCOL, "%s: the manifest has %llu ranges", net->peer,
                         (unsigned long long)count);
    }
    rc = read_exactly(net, offers[0], 4 * (size_t)count, deadline_ms, error);
    if (rc == 0) {
        rc = read_varint(net, deadline_ms, &capabilities, error);
    }
    if (rc < 0) {
        return rc;
    }
    if (!handshake_choose((const unsigned char(*)[4])offers, (size_t)count, ret)) {
        return no_version(net, error);
    }
    const unsigned char choice[5] = {0, 0, ret->minor, ret->major, 0};
    return tx_raw(tx, choice, sizeof(choice), error);
}

static int explain_answer(const struct net *net, const unsigned char answer[4],
                          struct bolt_error *error)
{
    if (memcmp(answer, "\0\0\0\0", 4) == 0) {
        return no_version(net, error);
    }
    if (memcmp(answer, "HTTP", 4) == 0) {
        return bolt_fail(error, BOLT_ERR_PROTOCOL,
                         "%s answers HTTP: Bolt has a port of its own, mostly %d", net->peer,
                         BOLT_PORT);
    }
    if (answer[0] == 0x15 && answer[1] == 0x03) { /* a TLS alert */
        return bolt_fail(error, BOLT_ERR_PROTOCOL, "%s wants TLS: use bolt+s:// or neo4j+s://",
                         net->peer);
    }
    return bolt_fail(error, BOLT_ERR_PROTOCOL,
                     "%s answered %02X %02X %02X %02X, which is no version of Bolt that we offered",
                     net->peer, answer[0], answer[1], answer[2], answer[3]);
}

/* A server that doesn't like what it reads just closes; so does one that stops or starts, which is
 * worth another try. */
static int explain_end(const struct net *net, struct bolt_error *error)
{
    return bolt_fail(error, BOLT_ERR_CONNECT,
                     "%s closed the connection instead of agreeing on a version: it is stopping or "
                     "starting, speaks none of ours, %s, or is no Bolt server",
                     net->peer,
                     net->tls == NULL ? "wants TLS (bolt+s://, neo4j+s://)" : "wants no TLS");
}

static bool was_offered(const unsigned char answer[4])
{
    struct version version;
    const unsigned char offer[1][4] = {{0, 0, answer[2], answer[3]}};

    return answer[0] == 0 && answer[1] == 0 && handshake_choose(offer, 1, &version) &&
           version.major < 6;
}

int handshake(struct net *net, struct tx *tx, int64_t deadline_ms, struct version *ret,
              bool *ret_manifest, struct bolt_error *error)
{
    unsigned char answer[4];
    int rc = write_all(net, PROPOSALS, sizeof(PROPOSALS), deadline_ms, error);

    if (rc == 0) {
        rc = read_exactly(net, answer, sizeof(answer), deadline_ms, error);
    }
    if (rc == -(int)BOLT_ERR_LOST) {
        return explain_end(net, error);
    }
    if (rc < 0) {
        return rc;
    }
    *ret_manifest = memcmp(answer, MANIFEST, sizeof(answer)) == 0;
    if (*ret_manifest) {
        rc = take_manifest(net, tx, deadline_ms, ret, error);
        return rc == -(int)BOLT_ERR_LOST ? explain_end(net, error) : rc;
    }
    if (!was_offered(answer)) {
        return explain_answer(net, answer, error);
    }
    *ret = (struct version){answer[3], answer[2]};
    return 0;
}
