/*
 * load - the measuring half of bench/run.py that must be fast itself: raw sockets, kept open, one
 * request under way on each.
 *
 *   load remember HOME COUNT            POST /api/memory over the daemon's socket, one client
 *   load crowd HOME COUNT CLIENTS       the same of many at once, each on a connection of its own;
 *                                       one thread plays them all, to leave the cores to the daemon
 *   load paced HOME COUNT PER_SECOND    at a steady rate; prints each acknowledgement's wall time
 *                                       and seq
 *   load get HOME COUNT PATH...         GET the paths in turn, one client
 *   load sqlite FILE COUNT              a bare SQLite commit of the same row, WAL, synchronous=FULL
 *   load fts FILE COUNT QUERY...        the queries in turn, of the FTS5 table "words", best ten
 *
 * Prints one JSON document: microseconds at p50, p95, p99, and the rate (paced: a line each).
 */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CONTENT_BYTES 300
#define ANSWER_BYTES ((size_t)16 << 20)

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void fail(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void report(double *us, size_t count, double elapsed_us)
{
    qsort(us, count, sizeof(*us), by_value);
    printf("{\"count\":%zu,\"p50_us\":%.1f,\"p95_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,\"per_"
           "second\":%.1f}\n",
           count, us[count / 2], us[count * 95 / 100], us[count * 99 / 100], us[count - 1],
           (double)count / elapsed_us * 1e6);
}

static int connect_home(const char *home)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int folder = open(home, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (folder < 0 || fd < 0)
        fail(home);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/daemon.sock",
                   folder);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
        fail("daemon.sock");
    close(folder);
    return fd;
}

/* The body of an answer, once all of it is there; NUL-terminated by the caller. */
static const char *whole_body(const char *answer, size_t have)
{
    const char *head_end = strstr(answer, "\r\n\r\n");
    const char *length = head_end ? strcasestr(answer, "content-length:") : NULL;

    if (!length || have < (size_t)(head_end + 4 - answer) + strtoul(length + 15, NULL, 10))
        return NULL;
    if (strncmp(answer, "HTTP/1.1 200", 12) != 0) {
        fprintf(stderr, "load: %s\n", answer);
        exit(1);
    }
    return head_end + 4;
}

static void send_request(int fd, const char *request, size_t len)
{
    if (write(fd, request, len) != (ssize_t)len)
        fail("write");
}

/* One read: the body, or NULL when more is to come. */
static const char *read_some(int fd, char *answer, size_t size, size_t *have)
{
    ssize_t got = read(fd, answer + *have, size - 1 - *have);

    if (got <= 0)
        fail("read");
    *have += (size_t)got;
    answer[*have] = 0;
    return whole_body(answer, *have);
}

/* Send one request and read its whole answer; the body is NUL-terminated within answer. */
static const char *exchange(int fd, const char *request, size_t len, char *answer, size_t size)
{
    const char *body = NULL;
    size_t have = 0;

    send_request(fd, request, len);
    while (!body)
        body = read_some(fd, answer, size, &have);
    return body;
}

static size_t make_request(char *request, size_t size, unsigned client, unsigned i)
{
    char content[CONTENT_BYTES + 1];
    char body[CONTENT_BYTES + 200];
    int len = snprintf(content, sizeof(content), "client %u memory %u ", client, i);

    for (int at = len; at < CONTENT_BYTES; at++)
        content[at] = at % 7 ? (char)('a' + (at * 31 + (int)i) % 26) : ' ';
    content[CONTENT_BYTES] = 0;
    int body_len =
        snprintf(body, sizeof(body), "{\"content\":\"%s\",\"project_id\":\"bench\"}", content);
    return (size_t)snprintf(request, size,
                            "POST /api/memory HTTP/1.1\r\nHost: h\r\nX-Holdfast-Agent: "
                            "bench\r\nContent-Length: %d\r\n\r\n%s",
                            body_len, body);
}

static void run_remember(const char *home, size_t count)
{
    double *us = calloc(count, sizeof(*us));
    char request[2048];
    char answer[8192];
    int fd = connect_home(home);
    double begun = now_us();

    for (size_t i = 0; i < count; i++) {
        size_t len = make_request(request, sizeof(request), 0, (unsigned)i);
        double started = now_us();
        (void)exchange(fd, request, len, answer, sizeof(answer));
        us[i] = now_us() - started;
    }
    report(us, count, now_us() - begun);
}

/* ---- many clients ---- */

struct client {
    int fd;
    unsigned number;
    size_t left; /* requests still to be made */
    double started;
    size_t have;
    char answer[8192];
};

static void begin_one(struct client *client)
{
    char request[2048];
    size_t len = make_request(request, sizeof(request), client->number, (unsigned)client->left--);

    client->have = 0;
    client->started = now_us();
    send_request(client->fd, request, len);
}

static int watch_all(struct client *all, size_t clients, const char *home)
{
    int watch = epoll_create1(EPOLL_CLOEXEC);

    for (size_t i = 0; i < clients; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        all[i].fd = connect_home(home);
        if (epoll_ctl(watch, EPOLL_CTL_ADD, all[i].fd, &event) != 0)
            fail("epoll_ctl");
    }
    return watch;
}

static void run_crowd(const char *home, size_t count, size_t clients)
{
    struct client *all = calloc(clients, sizeof(*all));
    double *us = calloc(count, sizeof(*us));
    size_t done = 0;
    int watch = watch_all(all, clients, home);
    double begun = now_us();

    for (size_t i = 0; i < clients; i++) {
        all[i].number = (unsigned)i;
        all[i].left = count / clients;
        begin_one(&all[i]);
    }
    while (done < count / clients * clients) {
        struct epoll_event events[64];
        int ready = epoll_wait(watch, events, 64, -1);
        for (int i = 0; i < ready; i++) {
            struct client *client = events[i].data.ptr;
            if (!read_some(client->fd, client->answer, sizeof(client->answer), &client->have))
                continue;
            us[done++] = now_us() - client->started;
            if (client->left)
                begin_one(client);
        }
    }
    report(us, done, now_us() - begun);
}

static void run_get(const char *home, size_t count, char **paths, size_t path_count)
{
    double *us = calloc(count, sizeof(*us));
    char *answer = malloc(ANSWER_BYTES);
    char request[4096];
    int fd = connect_home(home);
    double begun = now_us();

    for (size_t i = 0; i < count; i++) {
        size_t len = (size_t)snprintf(request, sizeof(request),
                                      "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", paths[i % path_count]);
        double started = now_us();
        (void)exchange(fd, request, len, answer, ANSWER_BYTES);
        us[i] = now_us() - started;
    }
    report(us, count, now_us() - begun);
}

static void run_paced(const char *home, size_t count, unsigned per_second)
{
    char request[2048];
    char answer[8192];
    int fd = connect_home(home);
    double begun = now_us();

    for (size_t i = 0; i < count; i++) {
        double due = begun + (double)i * 1e6 / per_second;
        struct timespec wall;
        while (now_us() < due)
            usleep((useconds_t)(due - now_us() > 1 ? due - now_us() : 1));
        size_t len = make_request(request, sizeof(request), 0, (unsigned)i);
        const char *body = exchange(fd, request, len, answer, sizeof(answer));
        clock_gettime(CLOCK_REALTIME, &wall);
        const char *seq = strstr(body, "\"seq\":");
        printf("%.6f %lu\n", (double)wall.tv_sec + (double)wall.tv_nsec / 1e9,
               seq ? strtoul(seq + 6, NULL, 10) : 0);
    }
}

static void run_sqlite(const char *file, size_t count)
{
    double *us = calloc(count, sizeof(*us));
    sqlite3 *db = NULL;
    sqlite3_stmt *insert = NULL;
    char content[CONTENT_BYTES + 1];

    memset(content, 'x', CONTENT_BYTES);
    content[CONTENT_BYTES] = 0;
    if (sqlite3_open(file, &db) != SQLITE_OK ||
        sqlite3_exec(db,
                     "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE memory(id "
                     "BLOB PRIMARY KEY, project TEXT, content TEXT, at INTEGER)",
                     NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(db, "INSERT INTO memory VALUES(randomblob(16),'bench',?,?)", -1, &insert,
                           NULL) != SQLITE_OK)
        fail(sqlite3_errmsg(db));
    double begun = now_us();
    for (size_t i = 0; i < count; i++) {
        double started = now_us();
        sqlite3_bind_text(insert, 1, content, CONTENT_BYTES, SQLITE_STATIC);
        sqlite3_bind_int64(insert, 2, (sqlite3_int64)i);
        if (sqlite3_step(insert) != SQLITE_DONE)
            fail(sqlite3_errmsg(db));
        sqlite3_reset(insert);
        us[i] = now_us() - started;
    }
    report(us, count, now_us() - begun);
    sqlite3_finalize(insert);
    sqlite3_close(db);
}

static void run_fts(const char *file, size_t count, char **queries, size_t query_count)
{
    double *us = calloc(count, sizeof(*us));
    sqlite3 *db = NULL;
    sqlite3_stmt *select = NULL;

    if (sqlite3_open(file, &db) != SQLITE_OK ||
        sqlite3_prepare_v2(
            db, "SELECT rowid, bm25(words) FROM words WHERE words MATCH ? ORDER BY rank LIMIT 10",
            -1, &select, NULL) != SQLITE_OK)
        fail(sqlite3_errmsg(db));
    double begun = now_us();
    for (size_t i = 0; i < count; i++) {
        double started = now_us();
        sqlite3_bind_text(select, 1, queries[i % query_count], -1, SQLITE_STATIC);
        while (sqlite3_step(select) == SQLITE_ROW)
            ;
        sqlite3_reset(select);
        us[i] = now_us() - started;
    }
    report(us, count, now_us() - begun);
    sqlite3_finalize(select);
    sqlite3_close(db);
}

int main(int argc, char **argv)
{
    size_t count = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
    const char *what = argc > 1 ? argv[1] : "";

    if (count && strcmp(what, "sqlite") == 0)
        run_sqlite(argv[2], count);
    else if (count && strcmp(what, "remember") == 0)
        run_remember(argv[2], count);
    else if (count && argc > 4 && strcmp(what, "crowd") == 0)
        run_crowd(argv[2], count, strtoul(argv[4], NULL, 10));
    else if (count && argc > 4 && strcmp(what, "get") == 0)
        run_get(argv[2], count, argv + 4, (size_t)argc - 4);
    else if (count && argc > 4 && strcmp(what, "fts") == 0)
        run_fts(argv[2], count, argv + 4, (size_t)argc - 4);
    else if (count && argc > 4 && strcmp(what, "paced") == 0)
        run_paced(argv[2], count, (unsigned)strtoul(argv[4], NULL, 10));
    else
        return fprintf(stderr, "usage: load remember|crowd|paced|get HOME COUNT [ARG...] | load "
                               "sqlite|fts FILE COUNT [QUERY...]\n"),
               2;
    return 0;
}
