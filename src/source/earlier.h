/*
 * earlier - what a row's value was before it was too large to be kept.
 *
 * Of a value that is too large for a memory the ledger has the digest (source/row.h); a restore
 * puts back the last one before it that was kept whole.
 */
#ifndef HOLDFAST_SOURCE_EARLIER_H
#define HOLDFAST_SOURCE_EARLIER_H

#include "ledger/read.h"
#include "source/row.h"

struct earlier {
    bool is_known; /* false: it was too large from its first moment on */
    struct row_value value;
    char *text; /* heap: what value.text is a view of */
};

/* Of a column of the row that this memory says. earlier_done frees, also after an error. */
int earlier_read(struct reader *reader, const struct memory *memory, const char *source,
                 const struct source_mapping *mapping, const char *column, struct earlier *ret,
                 struct err *err) MUST_CHECK;
void earlier_done(struct earlier *earlier);

#endif
