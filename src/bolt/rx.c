#include "bolt/rx.h"

#include "base/num.h"
#include "bolt/slack.h"

#define ROOM_LEAST (16u << 10) /* bytes; a smaller read isn't worth its system call */
#define HEAD_SIZE 2

void rx_init(struct rx *rx, size_t message_max)
{
    *rx = (struct rx){.message_max = message_max};
}

void rx_done(struct rx *rx)
{
    free(rx->data);
    *rx = (struct rx){.message_max = rx->message_max};
}

size_t rx_waiting(const struct rx *rx)
{
    return rx->length + (rx->end - rx->scan);
}

int rx_next(struct rx *rx, const unsigned char **ret, size_t *ret_size, struct bolt_error *error)
{
    while (rx->end - rx->scan >= HEAD_SIZE) {
        size_t chunk = be16_get(rx->data + rx->scan);
        size_t payload = rx->scan + HEAD_SIZE;
        if (chunk == 0) {
            rx->scan = payload;
            if (rx->length > 0) {
                *ret = rx->data + rx->begin;
                *ret_size = rx->length;
                rx->length = 0;
                return 1;
            }
            continue; /* a sign of life */
        }
        if (chunk > rx->message_max - rx->length) {
            return bolt_fail(error, BOLT_ERR_LIMIT,
                             "the server sends a message of more than %zu bytes (reply_max)",
                             rx->message_max);
        }
        if (rx->end - payload < chunk) {
            return 0;
        }
        if (rx->length == 0) {
            rx->begin = payload;
        } else {
            memmove(rx->data + rx->begin + rx->length, rx->data + payload, chunk);
        }
        rx->length += chunk;
        rx->scan = payload + chunk;
    }
    return 0;
}

/* To the front with what is not handed out yet: the message so far, then the raw bytes. */
static void compact(struct rx *rx)
{
    size_t raw = rx->end - rx->scan;

    if (rx->length > 0) {
        memmove(rx->data, rx->data + rx->begin, rx->length);
    }
    if (raw > 0) {
        memmove(rx->data + rx->length, rx->data + rx->scan, raw);
    }
    rx->begin = 0;
    rx->scan = rx->length;
    rx->end = rx->length + raw;
}

/* All of it was handed out. */
static void start_anew(struct rx *rx)
{
    bool free_it = slack_is_due(&rx->lean, rx->used, rx->capacity, RX_CAPACITY);

    rx->begin = rx->scan = rx->end = rx->used = 0;
    if (free_it) {
        rx_done(rx);
    }
}

void rx_rest(struct rx *rx)
{
    if (rx_waiting(rx) == 0 && rx->capacity > SLACK_IDLE_MAX) {
        rx_done(rx);
    }
}

int rx_room(struct rx *rx, unsigned char **ret, size_t *ret_size, struct bolt_error *error)
{
    if (rx_waiting(rx) == 0 && rx->used > 0) {
        start_anew(rx);
    }
    if (rx->capacity - rx->end < ROOM_LEAST && rx->data != NULL) {
        compact(rx);
    }
    if (rx->capacity - rx->end < ROOM_LEAST) {
        size_t capacity = rx->capacity == 0 ? RX_CAPACITY : 2 * rx->capacity;
        unsigned char *data = realloc(rx->data, capacity);
        if (data == NULL) {
            return bolt_fail_memory(error);
        }
        rx->data = data;
        rx->capacity = capacity;
    }
    *ret = rx->data + rx->end;
    *ret_size = rx->capacity - rx->end;
    return 0;
}

void rx_received(struct rx *rx, size_t size)
{
    rx->end += size;
    rx->used = rx->end > rx->used ? rx->end : rx->used;
}
