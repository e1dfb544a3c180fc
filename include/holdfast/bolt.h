/*
 * bolt - a client for graph databases that speak Bolt: Neo4j 4.2 and later, Memgraph.
 *
 * This header is the whole contract of one connection and stands alone; link libholdfast-bolt
 * (`pkg-config --cflags --libs holdfast-bolt`). docs/bolt.md is the guide, examples/bolt_query.c a
 * program to copy. Versions spoken: 6.0, 5.8 to 5.6, 5.4 to 5.0, 4.4 to 4.2, whichever is the
 * newest that the server has too.
 *
 * The shortest use: fill a struct bolt_options, bolt_open, bolt_run, bolt_next until it gives 0,
 * bolt_consume, bolt_close. For speed: bolt_send_* put many requests in flight without waiting, and
 * bolt_receive or bolt_settle read the replies.
 *
 * Results: a fallible function gives 0 (bolt_next: 1 for a record) or -BOLT_ERR_X and then fills
 * *error, which may not be NULL. `ret_` parameters are written on success only.
 *
 * Lifetime: what a connection gives out (values, strings, records, summaries) are views into its
 * receive buffer. They hold until the next call on that connection which takes an error; copy what
 * must live longer (bolt_value_copy). Nothing here is NUL-terminated unless it says so: texts are
 * struct bolt_string and may hold any byte that UTF-8 allows, U+0000 too.
 *
 * Deadlines are points on CLOCK_MONOTONIC in milliseconds: bolt_deadline_in(5000), BOLT_NEVER.
 *
 * Threads: there is no global state. A connection, a packer and the views got from them belong to
 * one thread at a time; different ones are independent. Functions that take neither may be called
 * from any thread. bolt_cancel_now may be called from anywhere at any time.
 */
#ifndef HOLDFAST_BOLT_H
#define HOLDFAST_BOLT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BOLT_API __attribute__((visibility("default")))
#define BOLT_CHECK BOLT_API __attribute__((warn_unused_result))

/* ---- texts and time ---- */

/* A borrowed text, UTF-8, not NUL-terminated. An absent one has data NULL and size 0. */
struct bolt_string {
    const char *data;
    size_t size; /* bytes */
};

BOLT_API bool bolt_string_is(struct bolt_string string, const char *c_string);

#define BOLT_NEVER INT64_MAX

/* The deadline that lies ms milliseconds ahead (0 or less: now, so that nothing is waited for). */
BOLT_API int64_t bolt_deadline_in(int64_t ms);

struct bolt_value; /* below */

/* ---- errors ---- */

enum bolt_err {
    BOLT_OK = 0,
    BOLT_ERR_USAGE,       /* a call out of order, a bad option or URI; nothing was sent */
    BOLT_ERR_UNSUPPORTED, /* the version spoken with this server has no such thing */
    BOLT_ERR_LIMIT,       /* beyond a limit of this side: a value, message or reply too large */
    BOLT_ERR_MEMORY,      /* no memory */
    BOLT_ERR_CONNECT,     /* no connection could be made: name, route, refused, closed at once */
    BOLT_ERR_TLS,         /* TLS could not be agreed on, or the certificate is not to be trusted */
    BOLT_ERR_PROTOCOL,    /* what answered is no Bolt server of our versions, or broke the rules */
    BOLT_ERR_AUTH,        /* the server refused who we are; trying again soon locks the user out */
    BOLT_ERR_SERVER,      /* the request failed: code and gql_status say why */
    BOLT_ERR_IGNORED,     /* not done because a request before it failed */
    BOLT_ERR_LOST,        /* the connection broke; what was under way is not committed */
    BOLT_ERR_COMMIT_UNKNOWN, /* no reply to a commit: it may have happened or not */
    BOLT_ERR_TIMEOUT,        /* the deadline passed */
    BOLT_ERR_CANCELLED,      /* bolt_cancel_now was called */
    BOLT_ERR_BUSY            /* too much in flight: read replies first; nothing was sent */
};

#define BOLT_MESSAGE_TEXT_MAX 1024 /* bytes with the NUL; longer texts end in "…" */
#define BOLT_CODE_MAX 128
#define BOLT_GQL_STATUS_MAX 8
#define BOLT_DESCRIPTION_MAX 256
#define BOLT_DIAGNOSTICS_MAX 512 /* bytes as packed; more is left out as a whole */
#define BOLT_CAUSES_MAX 4        /* causes deeper than this are left out */
#define BOLT_CAUSE_TEXT_MAX 256

/* A GQL status' diagnostic record: bolt_diagnostics_map reads it. */
struct bolt_diagnostics {
    size_t size; /* 0: there is none */
    unsigned char packed[BOLT_DIAGNOSTICS_MAX];
};

/* What lies behind a failure (Bolt 5.7 and later). */
struct bolt_cause {
    char gql_status[BOLT_GQL_STATUS_MAX];
    char message[BOLT_CAUSE_TEXT_MAX];
    char description[BOLT_DESCRIPTION_MAX]; /* as in struct bolt_error */
    struct bolt_diagnostics diagnostics;
};

/*
 * One error. All texts are NUL-terminated UTF-8 without control characters but newlines, and never
 * hold a password. Fill with BOLT_ERROR_INIT or leave uninitialized; it is written on failure only.
 */
struct bolt_error {
    enum bolt_err kind;
    char message[BOLT_MESSAGE_TEXT_MAX]; /* what happened, where, what to do */
    char code[BOLT_CODE_MAX];            /* "Neo.ClientError.…"; "" when it is not the server's */
    char gql_status[BOLT_GQL_STATUS_MAX];   /* "42N51"; "" before Bolt 5.7 */
    char description[BOLT_DESCRIPTION_MAX]; /* GQL's of that status: "error: syntax error or access
                                               rule violation - …"; "" before Bolt 5.7 */
    struct bolt_diagnostics diagnostics;    /* none before Bolt 5.7 */
    uint64_t request;     /* BOLT_ERR_SERVER, _AUTH, _IGNORED: which one; else 0 */
    bool idempotent_hint; /* the server says that the request did nothing and may be sent again */
    size_t cause_count;
    struct bolt_cause causes[BOLT_CAUSES_MAX]; /* the outermost first */
};

#ifdef __cplusplus
#define BOLT_ERROR_INIT                                                                            \
    {                                                                                              \
    }
#else
#define BOLT_ERROR_INIT                                                                            \
    {                                                                                              \
        .kind = BOLT_OK                                                                            \
    }
#endif

/* What may be done about an error: one table, from the kind and the server's code. */
enum bolt_trait {
    BOLT_TRAIT_RETRY = 1 << 0, /* the whole transaction may succeed if tried again */
    BOLT_TRAIT_SMALLER =
        1 << 1, /* only if it is made smaller: the server's limits of memory and time */
    BOLT_TRAIT_NOT_LEADER = 1 << 2,     /* this server takes no writes: ask for the routing again */
    BOLT_TRAIT_FORGET_ADDRESS = 1 << 3, /* this server serves nothing now: try another one */
    BOLT_TRAIT_STALE_AUTH = 1 << 4      /* all idle connections must log on again */
};
BOLT_API unsigned bolt_error_traits(const struct bolt_error *error);

/* BOLT_TRAIT_RETRY: transient codes (unknown ones too), a connection lost before COMMIT was sent,
 * no connection. Never BOLT_ERR_COMMIT_UNKNOWN. */
BOLT_API bool bolt_error_is_retryable(const struct bolt_error *error);

/*
 * View a diagnostic record, as the server gave it: a MAP of "_classification" ("CLIENT_ERROR", …),
 * "_position" ({offset, line, column} in the query), and what else there is; "OPERATION",
 * "OPERATION_CODE" and "CURRENT_SCHEMA" are left out where they are "", "0" and "/". The view holds
 * as long as *diagnostics. False: there is none.
 */
BOLT_API bool bolt_diagnostics_map(const struct bolt_diagnostics *diagnostics,
                                   struct bolt_value *ret);

/* "timeout" for BOLT_ERR_TIMEOUT, negative or not; static. */
BOLT_API const char *bolt_error_name(int kind);

/* ---- values: reading ---- */

enum bolt_type {
    BOLT_NULL,
    BOLT_BOOLEAN,
    BOLT_INTEGER,
    BOLT_FLOAT,
    BOLT_BYTES,
    BOLT_STRING,
    BOLT_LIST,
    BOLT_MAP,
    BOLT_NODE,
    BOLT_RELATIONSHIP,
    BOLT_UNBOUND_RELATIONSHIP, /* within a path */
    BOLT_PATH,
    BOLT_DATE,
    BOLT_TIME,
    BOLT_LOCAL_TIME,
    BOLT_DATETIME,       /* with an offset */
    BOLT_ZONED_DATETIME, /* with the name of a time zone */
    BOLT_LOCAL_DATETIME,
    BOLT_DURATION,
    BOLT_POINT_2D,
    BOLT_POINT_3D,
    BOLT_VECTOR,     /* Bolt 6.0 */
    BOLT_UNSUPPORTED /* Bolt 6.0: the server has a value that this version can't carry */
};

/*
 * One value: a scalar, or a view of checked bytes. Copying the struct copies the view. Everything
 * was checked when the message arrived (lengths, nesting, UTF-8, fields of structures), so that
 * reading can't fail but for asking a value for what it is not.
 */
struct bolt_value {
    enum bolt_type type;
    uint32_t count; /* STRING, BYTES: bytes; LIST: elements; MAP: entries; structures: fields */
    union {
        bool boolean;
        int64_t integer;
        double real;
        const char *string;
        const unsigned char *bytes;
        const unsigned char *packed; /* containers and structures: what bolt_iter walks */
    } as;
};

#define BOLT_DEPTH_MAX 64 /* values nested deeper are refused, coming and going */

/*
 * Check and view the one value at the beginning of bytes, without a connection. The view holds as
 * long as bytes. *ret_used (NULL: all bytes must be used) is how many it takes. BOLT_ERR_PROTOCOL
 * says what is wrong at which byte. PackStream: https://neo4j.com/docs/bolt/current/packstream/
 */
BOLT_CHECK int bolt_value_read(const void *bytes, size_t size, struct bolt_value *ret,
                               size_t *ret_used, struct bolt_error *error);

/* A copy on the heap of all that it views, in one block: the caller's, free() it. NULL: no memory.
 */
BOLT_API struct bolt_value *bolt_value_copy(const struct bolt_value *value);

/* "node", "integer": static. */
BOLT_API const char *bolt_type_name(enum bolt_type type);

/* The text of a STRING; absent for any other type. */
BOLT_API struct bolt_string bolt_value_string(const struct bolt_value *value);

/* Walks a LIST or a MAP; any other value is empty. */
struct bolt_iter {
    const unsigned char *at;
    uint32_t left;
    bool map;
};
BOLT_API struct bolt_iter bolt_iter_of(const struct bolt_value *container);
/* The next element (of a map: its value). False at the end. */
BOLT_API bool bolt_iter_next(struct bolt_iter *iter, struct bolt_value *ret);
/* The next entry of a map. False at the end, and for a list. */
BOLT_API bool bolt_iter_entry(struct bolt_iter *iter, struct bolt_string *ret_key,
                              struct bolt_value *ret);

/* The value of a key, the last one if it is there twice. False: no map, or no such key. Linear. */
BOLT_API bool bolt_map_get(const struct bolt_value *map, const char *key, struct bolt_value *ret);

/*
 * A whole LIST or VECTOR of numbers at once. Exactly `count` numbers are written; false, with *ret
 * undefined, when it has another count or holds anything that is not exactly such a number:
 * doubles take integers up to 2^53 too, floats are doubles rounded, integers take no floats.
 */
BOLT_API bool bolt_list_doubles(const struct bolt_value *list, double *ret, size_t count);
BOLT_API bool bolt_list_floats(const struct bolt_value *list, float *ret, size_t count);
BOLT_API bool bolt_list_integers(const struct bolt_value *list, int64_t *ret, size_t count);

/* ---- values: structures. Each gives false, and writes nothing, when the value is of another type.
 * An id of a node or relationship is no durable identity: use a property of your own. ---- */

struct bolt_node {
    int64_t id;
    struct bolt_string element_id; /* absent before Bolt 5.0 */
    struct bolt_value labels;      /* LIST of STRING */
    struct bolt_value properties;  /* MAP */
};
BOLT_API bool bolt_value_node(const struct bolt_value *value, struct bolt_node *ret);

struct bolt_relationship {
    int64_t id, start_id, end_id;
    struct bolt_string element_id, start_element_id, end_element_id; /* absent before Bolt 5.0 */
    struct bolt_string type;
    struct bolt_value properties; /* MAP */
};
/* Of an UNBOUND_RELATIONSHIP too: its ends are 0 and absent, as the path knows them. */
BOLT_API bool bolt_value_relationship(const struct bolt_value *value,
                                      struct bolt_relationship *ret);

struct bolt_path {
    uint32_t length;                 /* relationships walked; nodes walked are one more */
    struct bolt_value nodes;         /* LIST of the distinct NODE */
    struct bolt_value relationships; /* LIST of the distinct UNBOUND_RELATIONSHIP */
    struct bolt_value
        indices; /* LIST of 2 * length INTEGER: a relationship (1-based, negative:
                    walked against its direction), then the node it leads to (0-based) */
};
BOLT_API bool bolt_value_path(const struct bolt_value *value, struct bolt_path *ret);

/* Step `at` (0 to length - 1) of a path with its ends set as they are in the graph. False past the
 * end. Linear. */
BOLT_API bool bolt_path_step(const struct bolt_path *path, uint32_t at, struct bolt_node *ret_from,
                             struct bolt_relationship *ret_step, struct bolt_node *ret_to);

struct bolt_time {
    int64_t days;            /* DATE: since 1970-01-01 */
    int64_t nanoseconds;     /* TIME, LOCAL_TIME: of the day; date-times: 0 to 999,999,999 */
    int64_t seconds;         /* date-times: see wall_clock */
    int32_t offset_s;        /* TIME, DATETIME: east of UTC */
    struct bolt_string zone; /* ZONED_DATETIME: as the server wrote it; it may be unknown here */
    bool wall_clock; /* seconds since 1970-01-01T00:00:00 by the clock on the wall (LOCAL_DATETIME,
                        and ZONED_DATETIME from servers before 5.0); otherwise of UTC */
};
/* DATE, TIME, LOCAL_TIME, DATETIME, ZONED_DATETIME, LOCAL_DATETIME; fields of others are 0. */
BOLT_API bool bolt_value_time(const struct bolt_value *value, struct bolt_time *ret);

struct bolt_duration {
    int64_t months, days, seconds;
    int64_t nanoseconds; /* 0 to 999,999,999, added to seconds */
};
BOLT_API bool bolt_value_duration(const struct bolt_value *value, struct bolt_duration *ret);

struct bolt_point {
    int64_t srid; /* 7203, 9157 cartesian; 4326, 4979 WGS 84 (x is the longitude) */
    double x, y;
    double z; /* POINT_3D; else 0 */
};
BOLT_API bool bolt_value_point(const struct bolt_value *value, struct bolt_point *ret);

enum bolt_vector_type {
    BOLT_VECTOR_INT8 = 0xC8,
    BOLT_VECTOR_INT16 = 0xC9,
    BOLT_VECTOR_INT32 = 0xCA,
    BOLT_VECTOR_INT64 = 0xCB,
    BOLT_VECTOR_FLOAT32 = 0xC6,
    BOLT_VECTOR_FLOAT64 = 0xC1
};
struct bolt_vector {
    enum bolt_vector_type type;
    uint32_t count;            /* elements */
    const unsigned char *data; /* big-endian; bolt_list_* reads it as numbers */
};
BOLT_API bool bolt_value_vector(const struct bolt_value *value, struct bolt_vector *ret);

struct bolt_unsupported {
    struct bolt_string name;          /* of the type */
    int64_t least_major, least_minor; /* the Bolt version that can carry it */
    struct bolt_string message;       /* for people; may be absent */
};
BOLT_API bool bolt_value_unsupported(const struct bolt_value *value, struct bolt_unsupported *ret);

/* ---- values: writing ---- */

#define BOLT_PACKED_MAX (64u << 20) /* bytes, unless bolt_packer_init is given another limit */

/*
 * Writes PackStream straight into one buffer; there is no tree. Calls just follow each other; the
 * first that is wrong (too few or too many elements, a key that is no text, invalid UTF-8, a limit,
 * no memory) is kept, makes the rest do nothing, and is told by bolt_packer_check or when it is
 * sent. A packer may be sent many times and on many connections.
 *
 *   bolt_pack_map(&p, 2);
 *   bolt_pack_key(&p, "id");   bolt_pack_integer(&p, 42);
 *   bolt_pack_key(&p, "vec");  bolt_pack_floats(&p, vector, 384);
 */
struct bolt_packer {
    unsigned char *data; /* what is packed; the packer's */
    size_t size;
    /* the rest is the packer's own */
    size_t capacity;
    size_t max;
    int failed;         /* enum bolt_err */
    const char *reason; /* static */
    bool legacy_times;
    unsigned needs;
    uint32_t depth;
    struct bolt_packer_level {
        uint64_t left; /* items to come; an open list or map counts down from the largest */
        size_t head;   /* where its count stands, when it was opened without one */
        unsigned char kind;
    } levels[BOLT_DEPTH_MAX + 1];
};

/* max_bytes 0: BOLT_PACKED_MAX. Allocates nothing yet. */
BOLT_API void bolt_packer_init(struct bolt_packer *packer, size_t max_bytes);
BOLT_API void bolt_packer_reset(struct bolt_packer *packer); /* empty, memory kept */
BOLT_API void bolt_packer_done(struct bolt_packer *packer);  /* frees; a zeroed one is fine */

/* 0 when one whole value was packed; else what went wrong first. */
BOLT_CHECK int bolt_packer_check(const struct bolt_packer *packer, struct bolt_error *error);

/* Pack date-times in the form of servers before 5.0 that don't know the newer one (see
 * bolt_connection_info.legacy_times). Call before packing. Sending refuses the wrong form
 * (BOLT_ERR_UNSUPPORTED) rather than storing a wrong time. */
BOLT_API void bolt_packer_legacy_times(struct bolt_packer *packer, bool legacy);

BOLT_API void bolt_pack_null(struct bolt_packer *packer);
BOLT_API void bolt_pack_boolean(struct bolt_packer *packer, bool value);
BOLT_API void bolt_pack_integer(struct bolt_packer *packer, int64_t value);
BOLT_API void bolt_pack_float(struct bolt_packer *packer, double value);
BOLT_API void bolt_pack_bytes(struct bolt_packer *packer, const void *bytes, size_t size);
BOLT_API void bolt_pack_string(struct bolt_packer *packer, const char *text, size_t size);
BOLT_API void bolt_pack_text(struct bolt_packer *packer, const char *c_string); /* NULL: null */
BOLT_API void bolt_pack_key(struct bolt_packer *packer, const char *c_string);

/* count elements follow; count keys, each with its value. */
BOLT_API void bolt_pack_list(struct bolt_packer *packer, size_t count);
BOLT_API void bolt_pack_map(struct bolt_packer *packer, size_t count);
/* The same where the count is not known before: bolt_pack_end closes the innermost of them. */
BOLT_API void bolt_pack_list_open(struct bolt_packer *packer);
BOLT_API void bolt_pack_map_open(struct bolt_packer *packer);
BOLT_API void bolt_pack_end(struct bolt_packer *packer);

/* A whole list of numbers. Floats become Bolt's 64-bit ones. */
BOLT_API void bolt_pack_doubles(struct bolt_packer *packer, const double *values, size_t count);
BOLT_API void bolt_pack_floats(struct bolt_packer *packer, const float *values, size_t count);
BOLT_API void bolt_pack_integers(struct bolt_packer *packer, const int64_t *values, size_t count);

/* As in struct bolt_time; nanoseconds of a date-time must be 0 to 999,999,999. */
BOLT_API void bolt_pack_date(struct bolt_packer *packer, int64_t days);
BOLT_API void bolt_pack_time(struct bolt_packer *packer, int64_t nanoseconds, int32_t offset_s);
BOLT_API void bolt_pack_local_time(struct bolt_packer *packer, int64_t nanoseconds);
BOLT_API void bolt_pack_local_datetime(struct bolt_packer *packer, int64_t seconds,
                                       int64_t nanoseconds);
BOLT_API void bolt_pack_datetime(struct bolt_packer *packer, int64_t utc_seconds,
                                 int64_t nanoseconds, int32_t offset_s);
/* Not with legacy times: that form can't say which of two equal hours is meant; send an offset. */
BOLT_API void bolt_pack_zoned_datetime(struct bolt_packer *packer, int64_t utc_seconds,
                                       int64_t nanoseconds, const char *zone);
BOLT_API void bolt_pack_duration(struct bolt_packer *packer, const struct bolt_duration *duration);
BOLT_API void bolt_pack_point_2d(struct bolt_packer *packer, int64_t srid, double x, double y);
BOLT_API void bolt_pack_point_3d(struct bolt_packer *packer, int64_t srid, double x, double y,
                                 double z);
/* elements: an array of count C numbers of that type (int8_t … double). Bolt 6.0. */
BOLT_API void bolt_pack_vector(struct bolt_packer *packer, enum bolt_vector_type type,
                               const void *elements, size_t count);

/* Again what was received. Nodes, relationships, paths and UNSUPPORTED can't be sent. */
BOLT_API void bolt_pack_value(struct bolt_packer *packer, const struct bolt_value *value);

/* ---- addresses ---- */

#define BOLT_PORT 7687
#define BOLT_HOST_MAX 256 /* bytes with the NUL: a name of RFC 1035, or an address */
#define BOLT_URI_MAX 2048 /* bytes with the NUL */

enum bolt_tls {
    BOLT_TLS_NONE,      /* bolt://, neo4j:// */
    BOLT_TLS_VERIFY,    /* +s: chain and host name, or the pinned certificate */
    BOLT_TLS_ANY_SERVER /* +ssc: any certificate; it hides, but whoever answers is believed */
};

/* bolt://HOST[:PORT], neo4j://HOST[:PORT][?KEY=VALUE&…], both with +s or +ssc; IPv6 in brackets. */
struct bolt_uri {
    enum bolt_tls tls;
    bool routing;             /* neo4j://: HOST is one of a cluster, or a single server */
    char host[BOLT_HOST_MAX]; /* without brackets */
    uint16_t port;
    char query[BOLT_URI_MAX]; /* behind '?', for the routing context; percent-encoded */
};

/* BOLT_ERR_USAGE for anything else, also for a password in it (which is then not repeated). */
BOLT_CHECK int bolt_uri_parse(const char *text, struct bolt_uri *ret, struct bolt_error *error);

/* "HOST:PORT" or "[HOST]:PORT", as servers name each other. */
BOLT_CHECK int bolt_address_parse(struct bolt_string text, char ret_host[BOLT_HOST_MAX],
                                  uint16_t *ret_port, struct bolt_error *error);

/* ---- cancellation ---- */

/*
 * Ends waits on connections that were opened with it, from another thread: every call that waits,
 * now or later, gives BOLT_ERR_CANCELLED. For good; make another one to go on. Outlives its
 * connections.
 */
struct bolt_cancel;
BOLT_CHECK struct bolt_cancel *bolt_cancel_new(struct bolt_error *error); /* NULL: failed */
BOLT_API void bolt_cancel_free(struct bolt_cancel *cancel);
/* Any thread, also in a signal handler. */
BOLT_API void bolt_cancel_now(struct bolt_cancel *cancel);

/* ---- connection ---- */

/* Who we are. NULL scheme: "none". All borrowed for the call; nothing of it is kept. */
struct bolt_auth {
    const char *scheme;      /* "none", "basic", "bearer", "kerberos", or the server's own */
    const char *principal;   /* basic: the user; NULL: left out */
    const char *credentials; /* basic: the password; bearer: the token; NULL: left out */
    const char *realm;       /* NULL: left out */
    const struct bolt_packer *parameters; /* a map, for the server's own schemes; NULL: left out */
};

/* Which notices the server is to make (Bolt 5.2; BOLT_ERR_UNSUPPORTED before, when set). */
struct bolt_notifications {
    const char *least_severity;  /* "WARNING", "INFORMATION", "OFF"; NULL: the server's default */
    const char *const *disabled; /* classifications ("HINT", "DEPRECATION", …), NULL-terminated;
                                    NULL: the server's default */
};

#define BOLT_REQUESTS_MAX 128        /* in flight; Neo4j stops reading at 300 */
#define BOLT_SEND_MAX (16u << 20)    /* bytes waiting to be written */
#define BOLT_RECEIVE_MAX (16u << 20) /* bytes of replies kept while writing */
#define BOLT_REPLY_MAX (64u << 20)   /* bytes of one message from the server */
#define BOLT_FETCH_SIZE 1000         /* records */
#define BOLT_ALL (-1)

/* Zeroed is the default for all but uri. Texts are borrowed for the call; cancel for the
 * connection's life. */
struct bolt_options {
    const char *uri;
    const char *host; /* connect here instead of to the URI's host (a member that a routing table
                         named); TLS then verifies this name. NULL: the URI's */
    uint16_t port;    /* with host; 0: BOLT_PORT */
    struct bolt_auth auth;
    const char *ca_file;       /* +s: PEM of the only CAs that are trusted; NULL: the system's */
    const char *pinned_sha256; /* +s, +ssc: the one certificate to accept, whoever signed it: the 64
                                  hex digits (colons allowed) that `openssl x509 -fingerprint
                                  -sha256` shows */
    const char *user_agent;    /* "name/version"; NULL: this library's */
    struct bolt_notifications notifications;
    struct bolt_cancel *cancel;
    bool telemetry;      /* let bolt_send_telemetry tell the server which API is used */
    int64_t fetch_size;  /* of bolt_run: records asked for at a time; 0: BOLT_FETCH_SIZE; BOLT_ALL:
                            the server sends as fast as it is read, without a round trip between */
    size_t requests_max; /* 0: BOLT_REQUESTS_MAX */
    size_t send_max;     /* 0: BOLT_SEND_MAX; with this much waiting no more queries are taken */
    size_t receive_max;  /* 0: BOLT_RECEIVE_MAX */
    size_t
        reply_max; /* 0: BOLT_REPLY_MAX; a larger one is BOLT_ERR_LIMIT and ends the connection */
};

struct bolt_connection;

/*
 * Connect, agree on a version and log on. Names are resolved by the system in a thread of its own,
 * which may outlive the call when that ends before the answer, and then ends by itself.
 * BOLT_ERR_USAGE, _CONNECT, _TLS, _PROTOCOL, _AUTH, _UNSUPPORTED, _TIMEOUT, _CANCELLED,
 * _LOST, _SERVER. With +s and +ssc nothing but the TLS handshake is sent before the certificate was
 * accepted, and nothing ever goes in the clear. On 0 the connection is the caller's: bolt_close.
 */
BOLT_CHECK int bolt_open(const struct bolt_options *options, int64_t deadline_ms,
                         struct bolt_connection **ret, struct bolt_error *error);

/* The same over a connected stream socket (a tunnel, a Unix socket), which it takes over, also when
 * it fails. */
BOLT_CHECK int bolt_open_socket_take(int fd, const struct bolt_options *options,
                                     int64_t deadline_ms, struct bolt_connection **ret,
                                     struct bolt_error *error);

/* Say goodbye and free. Doesn't wait: requests that were not answered yet may be dropped by the
 * server, and what was not written yet never is. NULL is fine. */
BOLT_API void bolt_close(struct bolt_connection *connection);

/* All NUL-terminated, until bolt_close. */
struct bolt_connection_info {
    const char *address; /* "HOST:PORT" as connected to */
    const char *host;    /* as connected to */
    uint16_t port;
    const char *server;             /* "Neo4j/5.26.30" */
    const char *connection_id;      /* the server's: "bolt-17" */
    const char *advertised_address; /* Bolt 5.8; else "" */
    uint8_t major, minor;           /* the version spoken */
    bool tls;
    const char *certificate_sha256; /* of the server, 64 hex digits; "" without TLS */
    bool clear_credentials; /* credentials went over the net unencrypted, to another machine */
    bool legacy_times;      /* date-times must be packed by bolt_packer_legacy_times */
    int64_t silence_max_ms; /* the server promised a sign of life this often; 0: it did not */
    int64_t opened_ms;      /* monotonic */
};
BOLT_API const struct bolt_connection_info *bolt_info(const struct bolt_connection *connection);

/* When something was last received, monotonic ms. */
BOLT_API int64_t bolt_last_used_ms(const struct bolt_connection *connection);

/* False once it is of no more use, or when the server is seen to have closed it. Looks at the
 * socket without waiting, and ends the life of views; for certainty bolt_reset. */
BOLT_API bool bolt_is_alive(struct bolt_connection *connection);

/* A request failed and bolt_reset is due: nothing else may be sent. */
BOLT_API bool bolt_needs_reset(const struct bolt_connection *connection);

/* The newest bookmark that a commit on this connection gave; "" before. NUL-terminated, until the
 * next call. */
BOLT_API const char *bolt_bookmark(const struct bolt_connection *connection);

/* ---- queries and transactions, one at a time: each waits for its reply. Errors of all of them:
 * BOLT_ERR_USAGE, _UNSUPPORTED, _LIMIT, _MEMORY, _SERVER, _LOST, _COMMIT_UNKNOWN, _TIMEOUT,
 * _CANCELLED, _PROTOCOL.
 *
 * After BOLT_ERR_SERVER: bolt_reset, which also ends the transaction. After BOLT_ERR_TIMEOUT the
 * request is still in flight: bolt_reset stops it, bolt_settle goes on waiting. After BOLT_ERR_LOST
 * and _PROTOCOL: bolt_close. BOLT_ERR_COMMIT_UNKNOWN comes from bolt_commit, and from a writing
 * query outside of a transaction, whenever the server may have got it, or may yet get it from what
 * waits to be written, but its answer was not read: find out by reading back (after bolt_settle,
 * bolt_reset or bolt_close), or repeat what is safe to repeat. ---- */

enum bolt_mode { BOLT_WRITE, BOLT_READ };

#define BOLT_NO_LIMIT (-1)

/* Of a transaction, or of a query outside of one. Zeroed or NULL is the default. Borrowed. */
struct bolt_tx_options {
    enum bolt_mode mode;
    const char *database;          /* NULL: the user's home; naming it saves a round trip */
    const char *impersonated_user; /* NULL: nobody */
    const char *const *bookmarks;  /* wait until the server has these; NULL-terminated or NULL */
    int64_t timeout_ms;            /* by the server; 0: its default; BOLT_NO_LIMIT */
    const struct bolt_packer *metadata; /* a map, shown by SHOW TRANSACTIONS; NULL: none */
    struct bolt_notifications notifications;
};

/* Start a query. parameters: a map, NULL for none. Its reply is read: bolt_fields is known. */
BOLT_CHECK int bolt_run(struct bolt_connection *connection, const char *query,
                        const struct bolt_packer *parameters, const struct bolt_tx_options *options,
                        int64_t deadline_ms, struct bolt_error *error);

/* The names of the columns of the query that was last started; until the next query. */
BOLT_API const struct bolt_string *bolt_fields(const struct bolt_connection *connection,
                                               size_t *ret_count);

struct bolt_record {
    const struct bolt_value *values;
    size_t count; /* as many as fields */
};

/* 1: *ret is the next record; 0: there is none left. */
BOLT_CHECK int bolt_next(struct bolt_connection *connection, struct bolt_record *ret,
                         int64_t deadline_ms, struct bolt_error *error);

/* What a query did. */
struct bolt_counters {
    int64_t nodes_created, nodes_deleted;
    int64_t relationships_created, relationships_deleted;
    int64_t properties_set, labels_added, labels_removed;
    int64_t indexes_added, indexes_removed, constraints_added, constraints_removed;
    int64_t system_updates;
};
struct bolt_summary {
    struct bolt_value metadata;  /* MAP: all that the server said; plan and profile are in it */
    struct bolt_string bookmark; /* absent within a transaction */
    struct bolt_string database;
    struct bolt_string type;   /* "r", "rw", "w", "s" */
    int64_t first_ms, last_ms; /* until the first record was there, and all were consumed */
    struct bolt_counters counters;
};

/* Drop the records that are left, and end the query. ret may be NULL. */
BOLT_CHECK int bolt_consume(struct bolt_connection *connection, struct bolt_summary *ret,
                            int64_t deadline_ms, struct bolt_error *error);

/* Run a query whose records don't matter: one round trip. ret may be NULL. */
BOLT_CHECK int bolt_execute(struct bolt_connection *connection, const char *query,
                            const struct bolt_packer *parameters,
                            const struct bolt_tx_options *options, struct bolt_summary *ret,
                            int64_t deadline_ms, struct bolt_error *error);

/* What the server remarks on a query: GQL statuses (Bolt 5.6) or notifications. */
struct bolt_notice {
    struct bolt_string gql_status;  /* absent before Bolt 5.6 */
    struct bolt_string code;        /* "Neo.ClientNotification.…"; absent for plain statuses */
    struct bolt_string title;       /* may be absent */
    struct bolt_string description; /* of the notification; of a plain status GQL's */
    struct bolt_string gql_description; /* "warn: feature deprecated. …"; absent before Bolt 5.6 */
    struct bolt_value diagnostics;      /* MAP: the status' diagnostic record, as of
                                           bolt_diagnostics_map; NULL: there is none */
    struct bolt_string severity;        /* "WARNING", "INFORMATION"; absent for plain statuses */
    struct bolt_string classification;  /* "PERFORMANCE", …; absent for plain statuses */
    int64_t offset, line, column;       /* in the query; 0: not known */
};
/* Notice number `at`, from 0. False past the last. */
BOLT_API bool bolt_summary_notice(const struct bolt_summary *summary, size_t at,
                                  struct bolt_notice *ret);

BOLT_CHECK int bolt_begin(struct bolt_connection *connection, const struct bolt_tx_options *options,
                          int64_t deadline_ms, struct bolt_error *error);
/* The end of a transaction. What is left of a query that bolt_run started is dropped; what
 * bolt_send_* put in flight goes with it, and a failure of that is the call's. */
BOLT_CHECK int bolt_commit(struct bolt_connection *connection, int64_t deadline_ms,
                           struct bolt_error *error);
BOLT_CHECK int bolt_rollback(struct bolt_connection *connection, int64_t deadline_ms,
                             struct bolt_error *error);

/* Back to the state after logging on: stops what runs, rolls back, drops all replies in flight.
 * What waits to be written goes first, a COMMIT too. On any failure but BOLT_ERR_TIMEOUT and
 * _CANCELLED the connection is of no more use. */
BOLT_CHECK int bolt_reset(struct bolt_connection *connection, int64_t deadline_ms,
                          struct bolt_error *error);

/* Become somebody else (Bolt 5.1; BOLT_ERR_UNSUPPORTED before). A refusal ends the connection. */
BOLT_CHECK int bolt_logon(struct bolt_connection *connection, const struct bolt_auth *auth,
                          int64_t deadline_ms, struct bolt_error *error);

/*
 * Which servers there are for a database (NULL: the home one), by the URI's routing context (Bolt
 * 4.3). *ret is the map {ttl: seconds, db, servers: [{role: "ROUTE" | "READ" | "WRITE", addresses:
 * [text]}]} as the server gave it; ROUTE names any host, so trust is the caller's matter.
 */
BOLT_CHECK int bolt_route(struct bolt_connection *connection, const char *database,
                          const char *impersonated_user, const char *const *bookmarks,
                          int64_t deadline_ms, struct bolt_value *ret, struct bolt_error *error);

/* ---- many requests in flight. bolt_send_* put a request at the end of the queue and never wait.
 * BOLT_ERR_BUSY: the queue is full (requests_max, send_max): read replies first. A request behind
 * one that failed is ignored by the server, so BEGIN, RUN, DISCARD, COMMIT may go together: a
 * COMMIT behind a failed RUN can't commit. ret_request (may be NULL) is its number, counting
 * from 1. ---- */

enum bolt_request {
    BOLT_REQUEST_HELLO,
    BOLT_REQUEST_LOGON,
    BOLT_REQUEST_LOGOFF,
    BOLT_REQUEST_RESET,
    BOLT_REQUEST_RUN,
    BOLT_REQUEST_PULL,
    BOLT_REQUEST_DISCARD,
    BOLT_REQUEST_BEGIN,
    BOLT_REQUEST_COMMIT,
    BOLT_REQUEST_ROLLBACK,
    BOLT_REQUEST_ROUTE,
    BOLT_REQUEST_TELEMETRY
};

/* Within a transaction options must be NULL: BEGIN had them. */
BOLT_CHECK int bolt_send_run(struct bolt_connection *connection, const char *query,
                             const struct bolt_packer *parameters,
                             const struct bolt_tx_options *options, uint64_t *ret_request,
                             struct bolt_error *error);

#define BOLT_LAST_QUERY (-1)

/* count records (BOLT_ALL, or 1 and more) of the query with this qid (what RUN's reply says within
 * a transaction), or BOLT_LAST_QUERY. */
BOLT_CHECK int bolt_send_pull(struct bolt_connection *connection, int64_t count, int64_t qid,
                              uint64_t *ret_request, struct bolt_error *error);
BOLT_CHECK int bolt_send_discard(struct bolt_connection *connection, int64_t count, int64_t qid,
                                 uint64_t *ret_request, struct bolt_error *error);
BOLT_CHECK int bolt_send_begin(struct bolt_connection *connection,
                               const struct bolt_tx_options *options, uint64_t *ret_request,
                               struct bolt_error *error);
BOLT_CHECK int bolt_send_commit(struct bolt_connection *connection, uint64_t *ret_request,
                                struct bolt_error *error);
BOLT_CHECK int bolt_send_rollback(struct bolt_connection *connection, uint64_t *ret_request,
                                  struct bolt_error *error);

/* Which API runs (Bolt 5.4): 0 managed transaction, 1 explicit, 2 auto-commit, 3 execute. Sends
 * nothing, and gives 0, unless options.telemetry is set and the server asks for it. */
BOLT_CHECK int bolt_send_telemetry(struct bolt_connection *connection, int api,
                                   struct bolt_error *error);

/* How many requests have no final reply yet. */
BOLT_API size_t bolt_in_flight(const struct bolt_connection *connection);

/* Write all that is queued; what arrives meanwhile is kept. BOLT_ERR_BUSY: receive_max is reached
 * and the server reads no more: read replies. Not needed before the functions that wait. */
BOLT_CHECK int bolt_flush(struct bolt_connection *connection, int64_t deadline_ms,
                          struct bolt_error *error);

struct bolt_reply {
    uint64_t number;           /* of the request that is answered */
    enum bolt_request request; /* what it was */
    bool is_record;            /* a RECORD; more follow. Otherwise SUCCESS: the last reply to it */
    bool has_more;             /* SUCCESS of PULL and DISCARD: there are records left */
    struct bolt_record record;
    struct bolt_value metadata; /* SUCCESS: MAP */
};

/*
 * The next reply, in the order of the requests; writes what is queued while it waits. A request
 * that failed or was ignored gives BOLT_ERR_SERVER or _IGNORED with error->request.
 * BOLT_ERR_TIMEOUT and _CANCELLED lose nothing: call again. With nothing in flight: BOLT_ERR_USAGE.
 */
BOLT_CHECK int bolt_receive(struct bolt_connection *connection, struct bolt_reply *ret,
                            int64_t deadline_ms, struct bolt_error *error);

/* Read all replies and drop them; the first failure is the error, told when all were read. */
BOLT_CHECK int bolt_settle(struct bolt_connection *connection, int64_t deadline_ms,
                           struct bolt_error *error);

#ifdef __cplusplus
}
#endif

#endif
