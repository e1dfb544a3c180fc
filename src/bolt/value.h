/*
 * value - PackStream, reading: one check of everything when bytes arrive, views that can't fail
 * afterwards.
 *
 * What is checked: each declared length and count against the bytes that are left, for every width
 * of marker, before anything is done with it; nesting; UTF-8; tag, number, types and ranges of a
 * structure's fields. Nothing is allocated. Format: https://neo4j.com/docs/bolt/current/packstream/
 * and .../bolt/structure-semantics/.
 */
#ifndef HOLDFAST_BOLT_VALUE_H
#define HOLDFAST_BOLT_VALUE_H

#include "bolt/error.h"

/* Check one value that begins at p. NULL: error says what and where (offsets count from base). The
 * result is the byte behind it. */
const unsigned char *value_check(const unsigned char *base, const unsigned char *p,
                                 const unsigned char *end, struct bolt_error *error);

/* View checked bytes. The result is the byte behind a scalar, the first item's of a container. */
const unsigned char *value_view(const unsigned char *p, struct bolt_value *ret);

/* The byte behind `items` checked values. */
const unsigned char *value_skip(const unsigned char *p, uint64_t items);

/* True for UTF-8; unlike base's, a NUL is a character like any other. */
bool value_text_ok(const char *data, size_t size);

/* ---- structures (value_struct.c) ---- */

/* How deep a check is, and where. */
struct value_checker {
    const unsigned char *base;
    const unsigned char *end;
    struct bolt_error *error;
};

/* Check the fields of a structure whose tag stands at p; depth is the structure's own. */
const unsigned char *value_check_struct(const struct value_checker *checker, const unsigned char *p,
                                        uint32_t fields, unsigned depth);

/* Check one value nested at depth. */
const unsigned char *value_check_at(const struct value_checker *checker, const unsigned char *p,
                                    unsigned depth);

/* Fill checker->error with text for the byte at p, and return NULL. */
const unsigned char *value_refuse(const struct value_checker *checker, const unsigned char *p,
                                  const char *text);

/* Bytes of one element of a vector of this type (enum bolt_vector_type); 0: there is no such type.
 */
size_t value_vector_width(unsigned type);

/* The type of a checked structure with this tag. */
enum bolt_type value_struct_type(unsigned char tag);

#endif
