/*
 * pack - what the connection needs of a packer besides bolt.h: messages are more than one value.
 */
#ifndef HOLDFAST_BOLT_PACK_H
#define HOLDFAST_BOLT_PACK_H

#include "bolt/error.h"

/* What a packer holds that not every server understands: bits of bolt_packer.needs. */
enum pack_need {
    PACK_NEEDS_UTC = 1 << 0,    /* date-times in the form of Bolt 5.0 */
    PACK_NEEDS_LEGACY = 1 << 1, /* date-times in the form before it */
    PACK_NEEDS_6 = 1 << 2,      /* vectors */
};

/* Make the packer (initialised) take any number of values, one after the other. */
void pack_sequence(struct bolt_packer *packer);

/* Write a message's head: its fields follow as values of the sequence. */
void pack_message(struct bolt_packer *packer, unsigned char tag, unsigned fields);

/* 0 when every list and map of the sequence is complete. */
int pack_sequence_check(const struct bolt_packer *packer, struct bolt_error *error) MUST_CHECK;

/* Is it one whole map? */
bool pack_is_map(const struct bolt_packer *packer);

/* Room for size bytes more, so that what follows is not moved: secrets leave no copies behind. */
void pack_reserve(struct bolt_packer *packer, size_t size);

#endif
