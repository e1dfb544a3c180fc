/* Whatever a server sends: decoded, or refused in words; never a byte read that is not there. */
#include "source/pgoutput.h"

static void touch(const struct pgoutput_tuple *tuple, size_t *sum)
{
    for (size_t i = 0; i < tuple->count; i++) {
        for (size_t b = 0; b < tuple->values[i].text.len; b++) {
            *sum += (unsigned char)tuple->values[i].text.ptr[b];
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pgoutput *decoder = pgoutput_new();
    struct pgoutput_message message;
    struct err err = ERR_INIT;
    size_t sum = 0;

    if (pgoutput_decode(decoder, (struct str){(const char *)data, size}, &message, &err) == 0) {
        touch(&message.old, &sum);
        touch(&message.new, &sum);
        for (size_t i = 0; i < message.column_count; i++) {
            sum += strlen(message.columns[i].name);
        }
        for (size_t i = 0; i < message.truncated_count; i++) {
            sum += message.truncated[i];
        }
        sum += message.prefix == NULL ? 0 : strlen(message.prefix) + message.content.len;
    } else if (err.code != ERR_CORRUPT || err.message[0] == '\0') {
        abort();
    }
    volatile size_t kept = sum; /* so that nothing of it is optimised away */
    (void)kept;
    pgoutput_free(decoder);
    return 0;
}
