#include "bolt/tx.h"

#include "base/num.h"
#include "bolt/slack.h"

#define FIRST_CAPACITY (16u << 10) /* bytes; most messages */
#define CHUNK_MAX 65535
#define CHUNK_FRAME 2 /* bytes of a chunk's head, and of the end of a message */

void tx_done(struct tx *tx)
{
    if (tx->data != NULL && tx->secret) {
        explicit_bzero(tx->data, tx->end);
    }
    free(tx->data);
    *tx = (struct tx){0};
}

static void drop(struct tx *tx)
{
    free(tx->data);
    tx->data = NULL;
    tx->capacity = 0;
}

void tx_rest(struct tx *tx)
{
    if (tx_waiting(tx) == 0 && tx->capacity > SLACK_IDLE_MAX) {
        drop(tx);
    }
}

size_t tx_waiting(const struct tx *tx)
{
    return tx->end - tx->start;
}

uint64_t tx_end_offset(const struct tx *tx)
{
    return tx->written + tx_waiting(tx);
}

/* No realloc: it would leave a copy of a password behind. */
static int reserve(struct tx *tx, size_t size, struct bolt_error *error)
{
    size_t waiting = tx_waiting(tx);
    size_t capacity = tx->capacity < FIRST_CAPACITY ? FIRST_CAPACITY : tx->capacity;

    if (size <= tx->capacity - tx->end) {
        return 0;
    }
    while (capacity - waiting < size) {
        capacity *= 2;
    }
    unsigned char *data = malloc(capacity);
    if (data == NULL) {
        return bolt_fail_memory(error);
    }
    if (waiting > 0) {
        memcpy(data, tx->data + tx->start, waiting);
    }
    if (tx->secret) {
        explicit_bzero(tx->data, tx->end);
    }
    free(tx->data);
    tx->data = data;
    tx->capacity = capacity;
    tx->start = 0;
    tx->end = waiting;
    return 0;
}

static void put(struct tx *tx, const void *bytes, size_t size)
{
    if (size > 0) {
        memcpy(tx->data + tx->end, bytes, size);
        tx->end += size;
    }
}

int tx_raw(struct tx *tx, const void *bytes, size_t size, struct bolt_error *error)
{
    int rc = reserve(tx, size, error);

    if (rc == 0) {
        put(tx, bytes, size);
    }
    return rc;
}

int tx_message(struct tx *tx, const struct tx_piece *pieces, size_t count, bool secret,
               struct bolt_error *error)
{
    size_t left = 0;
    unsigned char head[CHUNK_FRAME];

    for (size_t i = 0; i < count; i++) {
        left +=
            pieces[i].size; /* each is in memory: the sum can't overflow in practice or theory */
    }
    size_t frames = (left / CHUNK_MAX + 2) * CHUNK_FRAME;
    int rc = reserve(tx, left + frames, error);
    if (rc < 0) {
        return rc;
    }
    tx->secret = tx->secret || secret;
    size_t in_chunk = 0; /* bytes that the chunk at hand still takes */
    for (size_t i = 0; i < count; i++) {
        const unsigned char *from = pieces[i].data;
        size_t size = pieces[i].size;
        while (size > 0) {
            if (in_chunk == 0) {
                in_chunk = left < CHUNK_MAX ? left : CHUNK_MAX;
                be16_put(head, (uint16_t)in_chunk);
                put(tx, head, sizeof(head));
            }
            size_t part = size < in_chunk ? size : in_chunk;
            put(tx, from, part);
            from += part;
            size -= part;
            in_chunk -= part;
            left -= part;
        }
    }
    be16_put(head, 0);
    put(tx, head, sizeof(head));
    return 0;
}

void tx_written(struct tx *tx, size_t size)
{
    tx->start += size;
    tx->written += size;
    if (tx->start == tx->end) {
        if (tx->secret) {
            explicit_bzero(tx->data, tx->end);
            tx->secret = false;
        }
        bool free_it = slack_is_due(&tx->lean, tx->end, tx->capacity, FIRST_CAPACITY);
        tx->start = 0;
        tx->end = 0;
        if (free_it) {
            drop(tx);
        }
    }
}
