/*
 * pgoutput - what PostgreSQL's built-in output plugin sends, decoded: protocol version 1
 * (PostgreSQL 10 and later; "Logical Replication Message Formats" in its manual), with logical
 * messages.
 *
 * Only committed transactions come in this version, each whole between BEGIN and COMMIT, in the
 * order of their commits; however long one is, nothing of it waits in our memory.
 *
 * Every length is checked against the bytes that are there: ERR_CORRUPT says at which byte what is
 * wrong. Views of a decoded message point into the bytes that were given.
 */
#ifndef HOLDFAST_SOURCE_PGOUTPUT_H
#define HOLDFAST_SOURCE_PGOUTPUT_H

#include "base/buf.h"

#define PGOUTPUT_COLUMNS_MAX 1664   /* PostgreSQL's own bound of a row (MaxTupleAttributeNumber) */
#define PGOUTPUT_TRUNCATED_MAX 1024 /* tables of one TRUNCATE */

typedef uint64_t pg_lsn; /* an address in the server's log */

#define PG_LSN_TEXT_MAX 20 /* "FFFFFFFF/FFFFFFFF" and NUL fit */
void pg_lsn_format(pg_lsn lsn, char ret_text[PG_LSN_TEXT_MAX]);
int pg_lsn_parse(struct str text, pg_lsn *ret, struct err *err) MUST_CHECK;

enum pgoutput_kind {
    PGOUTPUT_BEGIN,
    PGOUTPUT_COMMIT,
    PGOUTPUT_ORIGIN,
    PGOUTPUT_RELATION,
    PGOUTPUT_TYPE,
    PGOUTPUT_INSERT,
    PGOUTPUT_UPDATE,
    PGOUTPUT_DELETE,
    PGOUTPUT_TRUNCATE,
    PGOUTPUT_MESSAGE,
};

struct pgoutput_column {
    bool is_key;      /* of the replica identity */
    const char *name; /* NUL-terminated, in the message */
    uint32_t type;
};

enum pgoutput_value_kind {
    PGOUTPUT_NULL,
    PGOUTPUT_UNCHANGED, /* a large value that the update did not touch: it was not sent */
    PGOUTPUT_TEXT,
};

struct pgoutput_value {
    enum pgoutput_value_kind kind;
    struct str text;
};

struct pgoutput_tuple {
    struct pgoutput_value *values; /* NULL: not sent */
    size_t count;
};

struct pgoutput_message {
    enum pgoutput_kind kind;
    pg_lsn lsn;         /* BEGIN: of its commit; COMMIT: behind it; MESSAGE: its own */
    int64_t time_us;    /* COMMIT: when; microseconds since 1970 */
    uint32_t xid;       /* BEGIN */
    uint32_t relation;  /* RELATION, INSERT, UPDATE, DELETE */
    const char *schema; /* RELATION */
    const char *table;  /* RELATION */
    char identity;      /* RELATION: 'd' key, 'n' none, 'f' all columns, 'i' an index */
    struct pgoutput_column *columns; /* RELATION; the decoder's, until the next message */
    size_t column_count;
    struct pgoutput_tuple old; /* UPDATE: when the key changed; DELETE; key columns or all */
    struct pgoutput_tuple new; /* INSERT, UPDATE */
    uint32_t *truncated;       /* TRUNCATE: relations; the decoder's */
    size_t truncated_count;
    const char *prefix; /* MESSAGE */
    struct str content; /* MESSAGE */
    bool transactional; /* MESSAGE */
};

struct pgoutput; /* the decoder: room for the columns of one message */
struct pgoutput *pgoutput_new(void);
void pgoutput_free(struct pgoutput *decoder);

int pgoutput_decode(struct pgoutput *decoder, struct str bytes, struct pgoutput_message *ret,
                    struct err *err) MUST_CHECK;

#endif
