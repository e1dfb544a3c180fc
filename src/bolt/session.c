#include <stdlib.h>
#include <string.h>

#include "bolt/connection.h"
#include "bolt/driver_internal.h"

struct bolt_session {
    struct bolt_driver *driver;
    char *database;
    char *user;       /* impersonated */
    char **bookmarks; /* NULL-terminated; NULL: none */
};

/* ---- life ---- */

static int check_bookmarks(const char *const *bookmarks, struct bolt_error *error)
{
    size_t count = 0;

    while (bookmarks != NULL && bookmarks[count] != NULL) {
        if (++count > BOLT_SESSION_BOOKMARKS_MAX) {
            return bolt_fail(error, BOLT_ERR_LIMIT, "a session begins with at most %d bookmarks",
                             BOLT_SESSION_BOOKMARKS_MAX);
        }
    }
    return 0;
}

int bolt_session_open(struct bolt_driver *driver, const struct bolt_session_options *options,
                      struct bolt_session **ret, struct bolt_error *error)
{
    static const struct bolt_session_options NOTHING = {.database = NULL};
    const struct bolt_session_options *given = options != NULL ? options : &NOTHING;
    struct bolt_session *session = calloc(1, sizeof(*session));
    int rc = session != NULL ? check_bookmarks(given->bookmarks, error) : bolt_fail_memory(error);

    if (rc == 0) {
        session->driver = driver;
        rc = bolt_text_copy(given->database, &session->database, error);
    }
    if (rc == 0) {
        rc = bolt_text_copy(given->impersonated_user, &session->user, error);
    }
    if (rc == 0) {
        rc = bolt_text_list_copy(given->bookmarks, &session->bookmarks, error);
    }
    if (rc < 0) {
        bolt_session_close(session);
        return rc;
    }
    *ret = session;
    return 0;
}

void bolt_session_close(struct bolt_session *session)
{
    if (session != NULL) {
        free(session->database);
        free(session->user);
        bolt_text_list_free(session->bookmarks);
        free(session);
    }
}

const char *const *bolt_session_bookmarks(const struct bolt_session *session)
{
    static const char *const NONE[] = {NULL};

    return session->bookmarks != NULL ? (const char *const *)session->bookmarks : NONE;
}

/* What was committed supersedes all that it had to wait for. Without memory the old ones stay: what
 * follows sees those, but perhaps not this. */
static void keep_bookmark(struct bolt_session *session, const char *bookmark)
{
    const char *const list[] = {bookmark, NULL};
    char **copy;
    struct bolt_error no_memory;

    if (bookmark[0] != '\0' && bolt_text_list_copy(list, &copy, &no_memory) == 0) {
        bolt_text_list_free(session->bookmarks);
        session->bookmarks = copy;
    }
}

/* ---- one try ---- */

/* Call work, and make sure that a failure has an error. */
static int do_work(struct bolt_connection *connection, bolt_work *work, void *arg,
                   int64_t deadline_ms, struct bolt_error *error)
{
    error->kind = BOLT_OK;
    int rc = work(connection, deadline_ms, arg, error);
    if (rc < 0 && error->kind == BOLT_OK) {
        return bolt_fail(error, BOLT_ERR_USAGE,
                         "the transaction's work gave %d and did not fill the error", rc);
    }
    return rc < 0 ? -(int)error->kind : rc;
}

/* Whatever hides the reply to COMMIT makes it unknown. */
static int commit(struct bolt_connection *connection, int64_t deadline_ms, struct bolt_error *error)
{
    int rc = bolt_commit(connection, deadline_ms, error);

    if (rc == -BOLT_ERR_TIMEOUT || rc == -BOLT_ERR_CANCELLED) {
        (void)bolt_fail_context(error, "waiting for the reply to COMMIT");
        error->kind = BOLT_ERR_COMMIT_UNKNOWN;
    }
    return rc < 0 ? -(int)error->kind : 0;
}

static int try_once(struct bolt_session *session, const struct bolt_tx_options *options,
                    bolt_work *work, void *arg, int64_t deadline_ms, struct bolt_error *error)
{
    const struct bolt_purpose purpose = {.mode = options->mode,
                                         .database = options->database,
                                         .impersonated_user = options->impersonated_user,
                                         .bookmarks = options->bookmarks};
    struct bolt_connection *connection;
    int rc = bolt_driver_acquire(session->driver, &purpose, deadline_ms, &connection, error);

    if (rc < 0) {
        return rc;
    }
    struct pooled *pooled = bolt_pool_find(session->driver, connection);
    rc = connection_begin(connection, options, error);
    if (rc == 0) {
        rc = do_work(connection, work, arg, deadline_ms, error);
    }
    bool committed = false;
    if (rc == 0) {
        rc = commit(connection, deadline_ms, error);
        committed = rc == 0;
    }
    if (committed) {
        keep_bookmark(session, bolt_bookmark(connection));
    }
    bolt_pool_return(session->driver, pooled, committed, rc < 0 ? error : NULL);
    return rc;
}

/* ---- tries ---- */

static int run(struct bolt_session *session, enum bolt_mode mode,
               const struct bolt_tx_options *given, bolt_work *work, void *arg, int64_t deadline_ms,
               struct bolt_error *error)
{
    struct bolt_tx_options options = {.timeout_ms = 0};
    struct retry retry;
    int rc;

    if (given != NULL) {
        options = *given;
    }
    options.mode = mode;
    options.database = session->database;
    options.impersonated_user = session->user;
    options.bookmarks = bolt_session_bookmarks(session);
    bolt_retry_init(&retry, session->driver);
    do {
        rc = try_once(session, &options, work, arg, deadline_ms, error);
    } while (rc < 0 && bolt_retry_again(&retry, deadline_ms, error));
    return rc;
}

int bolt_session_read(struct bolt_session *session, const struct bolt_tx_options *options,
                      bolt_work *work, void *arg, int64_t deadline_ms, struct bolt_error *error)
{
    return run(session, BOLT_READ, options, work, arg, deadline_ms, error);
}

int bolt_session_write(struct bolt_session *session, const struct bolt_tx_options *options,
                       bolt_work *work, void *arg, int64_t deadline_ms, struct bolt_error *error)
{
    return run(session, BOLT_WRITE, options, work, arg, deadline_ms, error);
}
