/*
 * rx - what was received: bytes as they come, taken apart into messages.
 *
 * A message is chunks [length, 16 bits big-endian][bytes], ended by 00 00; 00 00 before any chunk
 * is a sign of life (NOOP). A message in one chunk is handed out where it lies; the chunks of a
 * longer one are moved together there. Memory grows with what has arrived, never with what was
 * announced, and shrinks again (slack.h). Format:
 * https://neo4j.com/docs/bolt/current/bolt/message/#chunking
 */
#ifndef HOLDFAST_BOLT_RX_H
#define HOLDFAST_BOLT_RX_H

#include "bolt/error.h"

#define RX_CAPACITY (128u << 10) /* bytes at first; two of the server's largest chunks */

struct rx {
    unsigned char *data;
    size_t capacity;
    size_t begin;  /* of the message that is being put together, */
    size_t length; /* and how much of it there is */
    size_t scan;   /* the next chunk head */
    size_t end;    /* of what was received */
    size_t used;   /* the most that end was since it was 0 */
    unsigned lean; /* see slack.h */
    size_t message_max;
};

void rx_init(struct rx *rx, size_t message_max);
void rx_done(struct rx *rx);

/*
 * 1: the next message (1 byte and more), a view until rx_next or rx_room is called. 0: more bytes
 * must be received first. BOLT_ERR_LIMIT: it is larger than message_max.
 */
int rx_next(struct rx *rx, const unsigned char **ret, size_t *ret_size, struct bolt_error *error)
    MUST_CHECK;

/* Where to receive to, and how much at most (never 0); tell rx_received how much it was. */
int rx_room(struct rx *rx, unsigned char **ret, size_t *ret_size, struct bolt_error *error)
    MUST_CHECK;
void rx_received(struct rx *rx, size_t size);

/* Nobody uses it now: keep no large buffer. Ends the life of views. */
void rx_rest(struct rx *rx);

/* Bytes received and not yet handed out. */
size_t rx_waiting(const struct rx *rx);

#endif
