/*
 * tx - what is to be sent: messages cut into chunks, in the order they were put in.
 *
 * Offsets count bytes since the connection was opened, so that "was this request written?" is one
 * comparison. A buffer that grew for a large message shrinks again (slack.h). Secrets are wiped
 * once written, and wherever they were copied from.
 */
#ifndef HOLDFAST_BOLT_TX_H
#define HOLDFAST_BOLT_TX_H

#include "bolt/error.h"

struct tx {
    unsigned char *data;
    size_t capacity;
    size_t start; /* written up to here */
    size_t end;
    uint64_t written; /* offset of start */
    bool secret;      /* holds credentials */
    unsigned lean;    /* see slack.h */
};

/* A part of a message; they follow each other without a gap. */
struct tx_piece {
    const void *data;
    size_t size;
};

void tx_done(struct tx *tx);

/* Nobody uses it now: keep no large buffer. */
void tx_rest(struct tx *tx);

/* Put one message at the end. BOLT_ERR_MEMORY; nothing was added then. */
int tx_message(struct tx *tx, const struct tx_piece *pieces, size_t count, bool secret,
               struct bolt_error *error) MUST_CHECK;

/* The same for bytes that are no message: the handshake. */
int tx_raw(struct tx *tx, const void *bytes, size_t size, struct bolt_error *error) MUST_CHECK;

size_t tx_waiting(const struct tx *tx);
uint64_t tx_end_offset(const struct tx *tx);

/* size bytes from data + start were written. */
void tx_written(struct tx *tx, size_t size);

#endif
