/*
 * lineage - what a memory's history says of the row that it is, or is to be: which of its versions
 * its source's table told, and which a door.
 *
 * A memory of a source's table may be changed by a door too, and one that a door made may be
 * written into the table (docs/postgres.md, section 11). The row's own sync_version counts on from
 * what the table told last: so for each version that a door made, the number that its row has is
 * known, here and after a restart, and the row can be told apart from any other.
 *
 * Thread: as its reader.
 */
#ifndef HOLDFAST_SOURCE_LINEAGE_H
#define HOLDFAST_SOURCE_LINEAGE_H

#include "ledger/read.h"
#include "source/row.h"

struct lineage_of {
    const char *source; /* its name */
    const char *table;  /* "schema.name" */
    const struct source_mapping *mapping;
};

/* Of which version that counts a row says the same, where a door said the last. */
enum lineage_said {
    LINEAGE_NEWS,      /* of none */
    LINEAGE_CURRENT,   /* of the last */
    LINEAGE_EARLIER,   /* of one before that a door said */
    LINEAGE_AS_BEFORE, /* of what the table itself told last */
};

struct lineage {
    bool is_known;         /* some version counts; else nothing below is set */
    struct memory current; /* the last that counts; may be deleted */
    struct uuid origin;
    uint64_t seq;
    int64_t at_us;
    bool is_ours;      /* the table told it */
    bool is_elsewhere; /* it is another source's, or no row (a definition) */
    bool is_first;     /* nothing was said of it before */
    bool is_minor;     /* it says what the one before said but for sync_version and updated_at */
    bool has_row;      /* the table told some version; then `row` is the last of these */
    struct memory row;
    uint64_t number; /* the row's sync_version, as current has it */
    enum lineage_said said;
};

/* What the history says, what is held left out. `candidate` (may be NULL) is a row as a memory,
 * which is looked for in it. lineage_done, on error too. */
int lineage_read(struct reader *reader, const struct lineage_of *of, const struct uuid *id,
                 const struct memory *candidate, struct lineage *ret, struct err *err) MUST_CHECK;
void lineage_done(struct lineage *lineage);
/* Is the candidate what the table told last, in every column? */
bool lineage_is_told(const struct lineage *lineage, const struct memory *candidate);

/* What no row has, a memory that becomes another by its row keeps: scope, task, references, and
 * metadata but the row's own (as far as there is room). */
void lineage_keep(const struct lineage *lineage, struct memory *memory);

#endif
