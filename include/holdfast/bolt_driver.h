/*
 * bolt_driver - many connections to one server or one cluster: a pool, routing, and transactions
 * that are tried again.
 *
 * bolt.h is the manual of a connection; this is what stands on it. A driver keeps connections and
 * lends them; with neo4j:// it asks the cluster which of its servers read and which write. A
 * session runs transactions, one after the other, each seeing what those before it wrote
 * (bookmarks). docs/bolt-driver.md is the guide.
 *
 *   struct bolt_driver_options options = {.connection = {.uri = "neo4j://localhost", .auth = …}};
 *   bolt_driver_open(&options, &driver, &error);
 *   bolt_session_open(driver, &(struct bolt_session_options){.database = "neo4j"}, &session, …);
 *   bolt_session_write(session, NULL, work, argument, bolt_deadline_in(60000), &error);
 *
 * Threads: a driver may be used from any number of threads at once. A session, and a connection
 * that was lent, belong to one thread at a time. No thread is started, there is no global state.
 */
#ifndef HOLDFAST_BOLT_DRIVER_H
#define HOLDFAST_BOLT_DRIVER_H

#include <holdfast/bolt.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BOLT_POOL_MAX 100             /* connections to one server */
#define BOLT_CONNECT_MS 30000         /* for one connection to be opened */
#define BOLT_ACQUIRE_MS 60000         /* to wait for a connection, opening it included */
#define BOLT_LIFETIME_MS 3600000      /* after which a connection is not lent again */
#define BOLT_IDLE_CHECK_MS 30000      /* idle longer, it must answer a RESET before it is lent */
#define BOLT_RESET_MS 5000            /* within which a RESET of the pool's must be answered */
#define BOLT_RETRY_MS 30000           /* from its first failure a transaction is tried again */
#define BOLT_RETRY_FIRST_MS 1000      /* the first pause; each is twice the one before */
#define BOLT_RETRY_FIRST_MAX_MS 60000 /* a first pause that may be asked for */
#define BOLT_RETRY_JITTER_PERCENT 20  /* more or less, at random */
#define BOLT_ROUTE_TTL_MAX_S 86400    /* a routing table is not believed for longer */
#define BOLT_ROUTE_ADDRESSES_MAX 64   /* of one role; a table with more is refused */
#define BOLT_ROUTE_TABLES_MAX 64      /* databases whose tables are kept; beyond, the oldest goes */
#define BOLT_SESSION_BOOKMARKS_MAX 64 /* handed to one session */

/*
 * Time and chance, for tests. Zeroed members are the real ones: CLOCK_MONOTONIC, a wait that
 * bolt_cancel_now ends, the system's random numbers. Deadlines of I/O are always real ones. May be
 * called from any thread that uses the driver.
 */
struct bolt_clock {
    int64_t (*now_ms)(void *arg);
    void (*sleep_ms)(void *arg, int64_t ms);
    uint32_t (*random)(void *arg); /* all 32 bits */
    void *arg;
};

/* A host and port, as in struct bolt_uri. */
struct bolt_address {
    char host[BOLT_HOST_MAX];
    uint16_t port;
};

/* Zeroed is the default for all but connection.uri. All texts are copied. */
struct bolt_driver_options {
    /* How each connection is made. Its cancel (which outlives the driver) ends every wait of the
     * driver too. Its auth.parameters is borrowed for the driver's life. Its host and port must not
     * be set. */
    struct bolt_options connection;

    size_t pool_max;        /* 0: BOLT_POOL_MAX */
    int64_t connect_ms;     /* these: 0 for the default above */
    int64_t acquire_ms;     /* or BOLT_NO_LIMIT: the call's deadline alone */
    int64_t lifetime_ms;    /* or BOLT_NO_LIMIT */
    int64_t idle_check_ms;  /* or BOLT_NO_LIMIT: never */
    int64_t retry_ms;       /* or BOLT_NO_LIMIT: the call's deadline alone */
    int64_t retry_first_ms; /* at most BOLT_RETRY_FIRST_MAX_MS */

    /* neo4j:// only: whom to ask for the first table, and when no router of the last one answers.
     * Writes at most max addresses and returns how many. NULL: the URI's host. Called without a
     * lock, from the thread that needs a table. */
    size_t (*resolve)(void *arg, struct bolt_address *ret, size_t max);
    void *resolve_arg;

    /* neo4j:// only: a table may name any host, and credentials are sent there. False: this one is
     * left out. NULL: all are taken. Called without a lock. */
    bool (*allow)(void *arg, const char *host, uint16_t port);
    void *allow_arg;

    struct bolt_clock clock;
};

struct bolt_driver;

/* Check and keep the options. Nothing is sent yet: bolt_driver_verify does. BOLT_ERR_USAGE,
 * _MEMORY. On 0 the driver is the caller's: bolt_driver_close. */
BOLT_CHECK int bolt_driver_open(const struct bolt_driver_options *options, struct bolt_driver **ret,
                                struct bolt_error *error);

/* Close all connections and free. No session is open and no connection lent any more, and no other
 * thread uses it. NULL is fine. */
BOLT_API void bolt_driver_close(struct bolt_driver *driver);

/* Is there a server, and does it let us in? Lends a connection for reading (database NULL: the
 * user's home) and has it answer. Errors as bolt_driver_acquire. */
BOLT_CHECK int bolt_driver_verify(struct bolt_driver *driver, const char *database,
                                  int64_t deadline_ms, struct bolt_error *error);

/* What there is now, and what was done since it was opened. */
struct bolt_driver_stats {
    size_t servers;    /* that connections were made to and that are not forgotten */
    size_t lent, idle; /* connections */
    size_t waiting;    /* threads, for a connection */
    uint64_t opened;   /* connections */
    uint64_t failed;   /* attempts to open one */
    uint64_t closed;   /* connections */
    uint64_t checked;  /* RESETs sent to see whether one still lives */
    uint64_t routed;   /* routing tables received */
    uint64_t retried;  /* managed transactions tried again, each time */
};
BOLT_API void bolt_driver_stats(struct bolt_driver *driver, struct bolt_driver_stats *ret);

/* ---- lending ---- */

/* What a connection is for. Zeroed or NULL: to write to the user's home database. Borrowed. */
struct bolt_purpose {
    enum bolt_mode mode;           /* neo4j://: which servers come into question */
    const char *database;          /* NULL: the user's home */
    const char *impersonated_user; /* NULL: nobody */
    const char *const *bookmarks;  /* the table must be as new as these; NULL-terminated or NULL */
};

/*
 * Lend a connection: the one that was used last, of the server with the fewest lent. It is open,
 * logged on, and idle. Waits while pool_max are lent, first come first served, until the deadline
 * or for acquire_ms. Give it back by bolt_driver_release, from any thread.
 *
 * BOLT_ERR_TIMEOUT (the message says what was waited for), _CANCELLED, _CONNECT (also: the cluster
 * has no server for this now), _TLS, _PROTOCOL, _AUTH, _UNSUPPORTED, _SERVER (the cluster refused a
 * routing table for this database), _MEMORY, _LOST.
 */
BOLT_CHECK int bolt_driver_acquire(struct bolt_driver *driver, const struct bolt_purpose *purpose,
                                   int64_t deadline_ms, struct bolt_connection **ret,
                                   struct bolt_error *error);

/*
 * Take it back. A RESET ends what was begun on it and rolls it back, within BOLT_RESET_MS, or it is
 * closed. outcome: how its last use failed, NULL if it did not; the driver learns from it: which
 * server does not write, is gone, or wants us to log on again. After BOLT_ERR_TIMEOUT, _CANCELLED
 * and _COMMIT_UNKNOWN it is closed at once, so that no deadline is passed.
 */
BOLT_API void bolt_driver_release(struct bolt_driver *driver, struct bolt_connection *connection,
                                  const struct bolt_error *outcome);

/* ---- sessions and managed transactions ---- */

struct bolt_session_options {
    const char *database;          /* NULL: the user's home; naming it saves a round trip */
    const char *impersonated_user; /* NULL: nobody */
    const char *const *bookmarks;  /* the first transaction sees what these stand for;
                                      NULL-terminated or NULL */
};

struct bolt_session;

/* options: zeroed or NULL is the default; copied. BOLT_ERR_LIMIT (bookmarks), _MEMORY. */
BOLT_CHECK int bolt_session_open(struct bolt_driver *driver,
                                 const struct bolt_session_options *options,
                                 struct bolt_session **ret, struct bolt_error *error);
BOLT_API void bolt_session_close(struct bolt_session *session);

/* The bookmarks of the last transaction that was committed, or those given before there was one:
 * hand them to another session to see what this one wrote. NULL-terminated; until the next call on
 * the session. */
BOLT_API const char *const *bolt_session_bookmarks(const struct bolt_session *session);

/*
 * One transaction's work: queries on a connection within a transaction that was begun. 0: commit.
 * Negative, with *error filled (a failed function of bolt.h does both): roll back, and try again if
 * bolt_error_is_retryable says so. Positive: roll back, and hand that number to the caller. It may
 * be called many times, so it must keep nothing of a try that was not the last, and must not begin,
 * commit, roll back or release. deadline_ms: of the whole call, for the functions that wait.
 *
 * Round trips: BEGIN goes with the first request, and its failure is that request's. What work
 * leaves in flight (bolt_send_*) goes with COMMIT, and its failure is the call's; so work that only
 * sends, and reads nothing, is one round trip in all.
 */
typedef int bolt_work(struct bolt_connection *connection, int64_t deadline_ms, void *arg,
                      struct bolt_error *error);

/*
 * Run work in a transaction on a server that reads, or writes; try again by the official drivers'
 * rules: what failed for a while (bolt_error_is_retryable, but not BOLT_TRAIT_SMALLER: that needs
 * other work) is tried for retry_ms from the first failure, after pauses of 1 s (retry_first_ms), 2
 * s, 4 s, … with 20 % jitter. options (NULL: default) lends timeout, metadata and notifications;
 * its mode, database, impersonated user and bookmarks are the session's.
 *
 * 0: committed, for certain. Positive: what work gave. Negative: nothing of it is committed, but
 * for BOLT_ERR_COMMIT_UNKNOWN: the reply to COMMIT was lost, which is never tried again; only
 * reading back can tell. Otherwise errors of work, and of bolt_driver_acquire.
 */
BOLT_CHECK int bolt_session_read(struct bolt_session *session,
                                 const struct bolt_tx_options *options, bolt_work *work, void *arg,
                                 int64_t deadline_ms, struct bolt_error *error);
BOLT_CHECK int bolt_session_write(struct bolt_session *session,
                                  const struct bolt_tx_options *options, bolt_work *work, void *arg,
                                  int64_t deadline_ms, struct bolt_error *error);

#ifdef __cplusplus
}
#endif

#endif
