/*
 * slack - when a buffer that grew for one large message is made small again.
 *
 * It is asked each time that the buffer has run empty, so that nothing is ever moved for it: a
 * buffer of which less than a quarter was used 16 times in a row is freed, and grows anew to what
 * is needed. Large messages that keep coming keep their buffer. While nobody uses the connection
 * (it is back in its pool), it keeps no buffer of more than SLACK_IDLE_MAX.
 */
#ifndef HOLDFAST_BOLT_SLACK_H
#define HOLDFAST_BOLT_SLACK_H

#include <stdbool.h>
#include <stddef.h>

#define SLACK_SHARE 4
#define SLACK_TIMES 16
#define SLACK_IDLE_MAX ((size_t)4 << 20) /* bytes; the vault's transactions fit */

/* `used` of its `capacity` bytes were in use since it was empty last; below `least` it isn't made
 * smaller. *times is the buffer's, and begins as 0. */
static inline bool slack_is_due(unsigned *times, size_t used, size_t capacity, size_t least)
{
    *times = capacity > least && used < capacity / SLACK_SHARE ? *times + 1 : 0;
    return *times >= SLACK_TIMES;
}

#endif
