/*
 * key - numbers that name rows: a journal key is origin number << 40 | seq, a place is block << 20
 * | position.
 */
#ifndef HOLDFAST_LEDGER_KEY_H
#define HOLDFAST_LEDGER_KEY_H

#include "ledger/read.h"

#define KEY_SEQ_BITS 40
#define KEY_SEQ_MAX                                                                                \
    (((uint64_t)1 << KEY_SEQ_BITS) -                                                               \
     1) /* a million changes a second for twelve days; 4 KiB each: 4 PiB */
#define PLACE_POSITION_MAX (((int64_t)1 << PLACE_BLOCK_SHIFT) - 1)

static inline int64_t key_of(int64_t origin_no, uint64_t seq)
{
    return (int64_t)((uint64_t)origin_no << KEY_SEQ_BITS | seq);
}

static inline int64_t key_origin_no(int64_t key)
{
    return (int64_t)((uint64_t)key >> KEY_SEQ_BITS);
}

static inline uint64_t key_seq(int64_t key)
{
    return (uint64_t)key & KEY_SEQ_MAX;
}

static inline int64_t place_first(int64_t block)
{
    return block << PLACE_BLOCK_SHIFT;
}

static inline int64_t place_last(int64_t block)
{
    return block << PLACE_BLOCK_SHIFT | PLACE_POSITION_MAX;
}

static inline int64_t place_block(int64_t place)
{
    return place >> PLACE_BLOCK_SHIFT;
}

#endif
