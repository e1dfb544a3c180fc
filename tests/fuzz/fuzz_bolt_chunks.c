/* However a stream is split, the same messages come out of it. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "bolt/rx.h"

#define MESSAGE_MAX 4096

/* Feed the stream in pieces of `step` bytes; a digest of all messages and how it ended. */
static struct sha256 digest_of(const uint8_t *data, size_t size, size_t step, int *ret_end)
{
    struct sha256_stream *digest = sha256_start();
    struct bolt_error error;
    struct rx rx;
    int rc = 0;

    rx_init(&rx, MESSAGE_MAX);
    for (size_t at = 0; at < size && rc == 0;) {
        unsigned char *to = NULL;
        const unsigned char *message = NULL;
        size_t room = 0;
        size_t message_size = 0;
        if (rx_room(&rx, &to, &room, &error) < 0) {
            abort();
        }
        size_t part = size - at < step ? size - at : step;
        part = part < room ? part : room;
        memcpy(to, data + at, part);
        rx_received(&rx, part);
        at += part;
        while ((rc = rx_next(&rx, &message, &message_size, &error)) > 0) {
            if (message_size == 0 || message_size > MESSAGE_MAX) {
                abort();
            }
            sha256_add(digest, &message_size, sizeof(message_size));
            sha256_add(digest, message, message_size);
        }
    }
    if (rc < 0 && rc != -(int)BOLT_ERR_LIMIT) {
        abort();
    }
    rx_done(&rx);
    *ret_end = rc;
    return sha256_end_take(digest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t STEPS[] = {1, 2, 3, 7, 64};
    int end = 0;

    if (size == 0) {
        return 0;
    }
    struct sha256 whole = digest_of(data, size, size, &end);
    for (size_t i = 0; i < sizeof(STEPS) / sizeof(STEPS[0]); i++) {
        int other_end = 0;
        struct sha256 other = digest_of(data, size, STEPS[i], &other_end);
        if (!sha256_eq(&whole, &other) || end != other_end) {
            abort();
        }
    }
    return 0;
}
