/*
 * pgrecord - a whole row as PostgreSQL writes it in one text: (1,"a ""b""",,"") has four fields, of
 * which the third is NULL and the fourth is empty ("Composite Types", "Composite Type Input and
 * Output Syntax" in its manual). Each field is what its type's output function says, as it is in
 * pgoutput, too.
 */
#ifndef HOLDFAST_SOURCE_PGRECORD_H
#define HOLDFAST_SOURCE_PGRECORD_H

#include "base/buf.h"

/*
 * The fields of a row (ptr NULL: NULL), views into `room`, which takes text.len + 1 bytes.
 * ERR_CORRUPT: the text is none, or it has more than max fields. A row without columns, "()", reads
 * as one NULL.
 */
int pgrecord_parse(struct str text, char *room, struct str *ret_fields, size_t max,
                   size_t *ret_count, struct err *err) MUST_CHECK;

#endif
