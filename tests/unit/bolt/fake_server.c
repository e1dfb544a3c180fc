#include "fake_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE_MAX (16 << 20)
#define CHUNK_MAX 65535
#define LINKS_MAX 512
#define REQUEST_KINDS 16

struct link {
    struct fake_server *server;
    pthread_t thread;
    int fd;
    bool failed; /* until RESET everything is ignored */
};

struct fake_server {
    char address[32];
    uint16_t port;
    int listener;
    int stop[2]; /* a pipe; its writing end is closed to end all waits */
    pthread_t thread;
    pthread_mutex_t mutex; /* guards all below */
    struct link *links[LINKS_MAX];
    size_t link_count;
    unsigned accepted, living, commits;
    unsigned counts[REQUEST_KINDS];
    struct {
        enum fake_fault fault;
        unsigned times;
        char code[BOLT_CODE_MAX];
    } faults[REQUEST_KINDS];
    int64_t ttl_s; /* negative: no routing */
    char *roles[3];
    char begin[1024];
    size_t padding; /* of the replies to DISCARD */
};

static const unsigned char TAGS[REQUEST_KINDS] = {
    [BOLT_REQUEST_HELLO] = 0x01,    [BOLT_REQUEST_LOGON] = 0x6A, [BOLT_REQUEST_LOGOFF] = 0x6B,
    [BOLT_REQUEST_RESET] = 0x0F,    [BOLT_REQUEST_RUN] = 0x10,   [BOLT_REQUEST_PULL] = 0x3F,
    [BOLT_REQUEST_DISCARD] = 0x2F,  [BOLT_REQUEST_BEGIN] = 0x11, [BOLT_REQUEST_COMMIT] = 0x12,
    [BOLT_REQUEST_ROLLBACK] = 0x13, [BOLT_REQUEST_ROUTE] = 0x66, [BOLT_REQUEST_TELEMETRY] = 0x54,
};

static void must(bool ok, const char *what)
{
    if (!ok) {
        (void)fprintf(stderr, "fake_server: %s: %s\n", what, strerror(errno));
        abort();
    }
}

/* ---- bytes ---- */

static bool read_all(const struct link *link, void *to, size_t size)
{
    unsigned char *at = to;

    while (size > 0) {
        struct pollfd fds[2] = {{.fd = link->fd, .events = POLLIN},
                                {.fd = link->server->stop[0], .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 || fds[1].revents != 0) {
            return false;
        }
        ssize_t got = recv(link->fd, at, size, 0);
        if (got <= 0) {
            return false;
        }
        at += got;
        size -= (size_t)got;
    }
    return true;
}

static void read_to_the_end(const struct link *link)
{
    unsigned char more;

    while (read_all(link, &more, 1)) {
    }
}

static bool write_all(const struct link *link, const void *from, size_t size)
{
    return send(link->fd, from, size, MSG_NOSIGNAL) == (ssize_t)size;
}

/* One message without its chunk headers; 0 at the end of the stream. */
static size_t read_message(const struct link *link, unsigned char *message)
{
    size_t size = 0;
    unsigned char head[2];

    while (read_all(link, head, sizeof(head))) {
        size_t chunk = (size_t)head[0] << 8 | head[1];
        if (chunk == 0 && size > 0) {
            return size;
        }
        if (size + chunk > MESSAGE_MAX || !read_all(link, message + size, chunk)) {
            return 0;
        }
        size += chunk;
    }
    return 0;
}

/* A message of one field, which is packed. */
static bool reply(const struct link *link, unsigned char tag, struct bolt_packer *packer)
{
    struct bolt_error error;
    size_t size = packer->size + 2;
    unsigned char *message = malloc(size);
    unsigned char *bytes = malloc(size + 2 * (size / CHUNK_MAX + 2));
    size_t used = 0;

    must(bolt_packer_check(packer, &error) == 0 && message != NULL && bytes != NULL, "a reply");
    message[0] = 0xB1;
    message[1] = tag;
    memcpy(message + 2, packer->data, packer->size);
    for (size_t at = 0; at <= size;) {
        size_t chunk = size - at < CHUNK_MAX ? size - at : CHUNK_MAX; /* the last one is empty */
        bytes[used++] = (unsigned char)(chunk >> 8);
        bytes[used++] = (unsigned char)chunk;
        memcpy(bytes + used, message + at, chunk);
        used += chunk;
        at += chunk > 0 ? chunk : 1;
    }
    bool ok = write_all(link, bytes, used);
    free(bytes);
    free(message);
    bolt_packer_done(packer);
    return ok;
}

static void pack_pair(struct bolt_packer *packer, const char *key, const char *text)
{
    bolt_pack_key(packer, key);
    bolt_pack_text(packer, text);
}

/* ---- replies ---- */

static bool reply_failure(const struct link *link, const char *code)
{
    struct bolt_packer packer;

    bolt_packer_init(&packer, 0);
    bolt_pack_map(&packer, 2);
    pack_pair(&packer, "code", code);
    pack_pair(&packer, "message", "as the test wanted");
    return reply(link, 0x7F, &packer);
}

static bool reply_ignored(const struct link *link)
{
    static const unsigned char IGNORED[] = {0, 2, 0xB0, 0x7E, 0, 0};

    return write_all(link, IGNORED, sizeof(IGNORED));
}

static void pack_role(struct bolt_packer *packer, const char *role, const char *addresses)
{
    bolt_pack_map(packer, 2);
    pack_pair(packer, "role", role);
    bolt_pack_key(packer, "addresses");
    bolt_pack_list_open(packer);
    while (*addresses != '\0') {
        size_t size = strcspn(addresses, " ");
        if (size > 0) {
            bolt_pack_string(packer, addresses, size);
        }
        addresses += size + (addresses[size] == ' ');
    }
    bolt_pack_end(packer);
}

static void pack_table(struct fake_server *server, struct bolt_packer *packer)
{
    static const char *const ROLES[3] = {"ROUTE", "READ", "WRITE"};

    bolt_pack_map(packer, 1);
    bolt_pack_key(packer, "rt");
    bolt_pack_map(packer, 3);
    bolt_pack_key(packer, "ttl");
    bolt_pack_integer(packer, server->ttl_s);
    pack_pair(packer, "db", "neo4j");
    bolt_pack_key(packer, "servers");
    bolt_pack_list(packer, 3);
    for (size_t i = 0; i < 3; i++) {
        pack_role(packer, ROLES[i], server->roles[i]);
    }
}

static void pack_padding(struct bolt_packer *packer, size_t size)
{
    unsigned char *zeros = calloc(1, size + 1);

    must(zeros != NULL, "memory");
    bolt_pack_key(packer, "padding");
    bolt_pack_bytes(packer, zeros, size);
    free(zeros);
}

/* With the mutex held: what a success says. */
static void pack_success(struct fake_server *server, enum bolt_request request,
                         struct bolt_packer *packer)
{
    char bookmark[32];

    switch (request) {
    case BOLT_REQUEST_HELLO:
        bolt_pack_map(packer, 2);
        pack_pair(packer, "server", "Neo4j/5.13.0");
        pack_pair(packer, "connection_id", "bolt-1");
        break;
    case BOLT_REQUEST_RUN:
        bolt_pack_map(packer, 1);
        bolt_pack_key(packer, "fields");
        bolt_pack_list(packer, 0);
        break;
    case BOLT_REQUEST_COMMIT:
        (void)snprintf(bookmark, sizeof(bookmark), "bm:%u", ++server->commits);
        bolt_pack_map(packer, 1);
        pack_pair(packer, "bookmark", bookmark);
        break;
    case BOLT_REQUEST_ROUTE:
        pack_table(server, packer);
        break;
    case BOLT_REQUEST_DISCARD:
        bolt_pack_map(packer, 1);
        pack_padding(packer, server->padding);
        break;
    default:
        bolt_pack_map(packer, 0);
    }
}

/* ---- requests ---- */

static void note_pair(struct fake_server *server, const char *name, struct bolt_string text)
{
    size_t used = strlen(server->begin);

    (void)snprintf(server->begin + used, sizeof(server->begin) - used, "%s%s%.*s",
                   used > 0 && name[0] != ',' ? " " : "", name, (int)text.size, text.data);
}

/* With the mutex held: keep what BEGIN's map says. */
static void note_begin(struct fake_server *server, const unsigned char *field, size_t size)
{
    struct bolt_value extra, value, text;
    struct bolt_error error;
    const char *separator = "bookmarks=";

    must(bolt_value_read(field, size, &extra, NULL, &error) == 0, error.message);
    server->begin[0] = '\0';
    if (bolt_map_get(&extra, "mode", &value)) {
        note_pair(server, "mode=", bolt_value_string(&value));
    }
    if (bolt_map_get(&extra, "db", &value)) {
        note_pair(server, "db=", bolt_value_string(&value));
    }
    if (bolt_map_get(&extra, "bookmarks", &value)) {
        struct bolt_iter iter = bolt_iter_of(&value);
        while (bolt_iter_next(&iter, &text)) {
            note_pair(server, separator, bolt_value_string(&text));
            separator = ",";
        }
    }
}

enum answer { ANSWER_SUCCESS, ANSWER_FAIL, ANSWER_DROP, ANSWER_STALL };

/* With the mutex held. */
static enum answer judge(struct fake_server *server, enum bolt_request request,
                         const char **ret_code)
{
    if (server->faults[request].times > 0) {
        server->faults[request].times--;
        *ret_code = server->faults[request].code;
        return server->faults[request].fault == FAKE_FAIL   ? ANSWER_FAIL
               : server->faults[request].fault == FAKE_DROP ? ANSWER_DROP
                                                            : ANSWER_STALL;
    }
    if (request == BOLT_REQUEST_ROUTE && server->ttl_s < 0) {
        *ret_code = "66";
        return ANSWER_FAIL;
    }
    return ANSWER_SUCCESS;
}

static bool answer(struct link *link, enum bolt_request request, const unsigned char *field,
                   size_t size)
{
    struct fake_server *server = link->server;
    struct bolt_packer packer;
    const char *code = "";

    bolt_packer_init(&packer, 0);
    pthread_mutex_lock(&server->mutex);
    server->counts[request]++;
    link->failed = link->failed && request != BOLT_REQUEST_RESET;
    bool ignored = link->failed;
    enum answer how = ignored ? ANSWER_SUCCESS : judge(server, request, &code);
    if (request == BOLT_REQUEST_BEGIN) {
        note_begin(server, field, size);
    }
    if (how == ANSWER_SUCCESS && !ignored) {
        pack_success(server, request, &packer);
    }
    link->failed = link->failed || how == ANSWER_FAIL;
    pthread_mutex_unlock(&server->mutex);

    if (ignored) {
        return reply_ignored(link);
    }
    if (how == ANSWER_STALL) {
        read_to_the_end(link);
    }
    return how == ANSWER_SUCCESS ? reply(link, 0x70, &packer)
           : how == ANSWER_FAIL  ? reply_failure(link, code)
                                 : false;
}

static bool handle(struct link *link, const unsigned char *message, size_t size)
{
    size_t request = 0;

    while (request < REQUEST_KINDS && (TAGS[request] == 0 || TAGS[request] != message[1])) {
        request++;
    }
    return request < REQUEST_KINDS &&
           answer(link, (enum bolt_request)request, message + 2, size - 2);
}

/* ---- threads ---- */

/* False for who wants TLS, which is answered as by a server that has none. */
static bool shake_hands(const struct link *link)
{
    static const unsigned char VERSION[4] = {0, 0, 4, 5};
    static const char NO_TLS[] = "HTTP/1.1 400 Bad Request\r\n";
    unsigned char proposals[20];

    if (!read_all(link, proposals, sizeof(proposals))) {
        return false;
    }
    if (proposals[0] != 0x60) {
        if (write_all(link, NO_TLS, sizeof(NO_TLS) - 1)) {
            read_to_the_end(link); /* closing before would take the answer back */
        }
        return false;
    }
    return write_all(link, VERSION, sizeof(VERSION));
}

static void *serve(void *arg)
{
    struct link *link = arg;
    unsigned char *message = malloc(MESSAGE_MAX);
    size_t size;

    must(message != NULL, "memory");
    if (shake_hands(link)) {
        while ((size = read_message(link, message)) >= 2 && handle(link, message, size)) {
        }
    }
    free(message);
    pthread_mutex_lock(&link->server->mutex);
    (void)close(link->fd);
    link->fd = -1;
    link->server->living--;
    pthread_mutex_unlock(&link->server->mutex);
    return NULL;
}

static void *listen_on(void *arg)
{
    struct fake_server *server = arg;
    struct pollfd fds[2] = {{.fd = server->listener, .events = POLLIN},
                            {.fd = server->stop[0], .events = POLLIN}};
    const int on = 1;

    while (poll(fds, 2, -1) > 0 && fds[1].revents == 0) {
        int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
        struct link *link = calloc(1, sizeof(*link));
        must(fd >= 0 && link != NULL &&
                 setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0,
             "accept");
        pthread_mutex_lock(&server->mutex);
        must(server->link_count < LINKS_MAX, "too many connections");
        *link = (struct link){.server = server, .fd = fd};
        server->links[server->link_count++] = link;
        server->accepted++;
        server->living++;
        must(pthread_create(&link->thread, NULL, serve, link) == 0, "thread");
        pthread_mutex_unlock(&server->mutex);
    }
    (void)close(server->listener);
    return NULL;
}

void fake_up(struct fake_server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons(server->port)};
    socklen_t size = sizeof(address);
    const int on = 1;

    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(server->listener >= 0 &&
             setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
             bind(server->listener, (struct sockaddr *)&address, size) == 0 &&
             listen(server->listener, 128) == 0 &&
             getsockname(server->listener, (struct sockaddr *)&address, &size) == 0 &&
             pipe(server->stop) == 0,
         "listening");
    server->port = ntohs(address.sin_port);
    (void)snprintf(server->address, sizeof(server->address), "127.0.0.1:%u", server->port);
    must(pthread_create(&server->thread, NULL, listen_on, server) == 0, "thread");
}

void fake_down(struct fake_server *server)
{
    (void)close(server->stop[1]);
    (void)pthread_join(server->thread, NULL);
    for (size_t i = 0; i < server->link_count; i++) {
        (void)pthread_join(server->links[i]->thread, NULL);
        free(server->links[i]);
    }
    server->link_count = 0;
    (void)close(server->stop[0]);
}

struct fake_server *fake_start(void)
{
    struct fake_server *server = calloc(1, sizeof(*server));

    must(server != NULL, "memory");
    server->ttl_s = -1;
    (void)pthread_mutex_init(&server->mutex, NULL);
    fake_up(server);
    return server;
}

void fake_stop(struct fake_server *server)
{
    fake_down(server);
    for (size_t i = 0; i < 3; i++) {
        free(server->roles[i]);
    }
    (void)pthread_mutex_destroy(&server->mutex);
    free(server);
}

/* ---- for tests ---- */

uint16_t fake_port(const struct fake_server *server)
{
    return server->port;
}

const char *fake_address(const struct fake_server *server)
{
    return server->address;
}

void fake_padding(struct fake_server *server, size_t size)
{
    pthread_mutex_lock(&server->mutex);
    server->padding = size;
    pthread_mutex_unlock(&server->mutex);
}

void fake_fault(struct fake_server *server, enum bolt_request request, enum fake_fault fault,
                unsigned times, const char *code)
{
    pthread_mutex_lock(&server->mutex);
    server->faults[request].fault = fault;
    server->faults[request].times = times;
    (void)snprintf(server->faults[request].code, BOLT_CODE_MAX, "%s", code != NULL ? code : "");
    pthread_mutex_unlock(&server->mutex);
}

void fake_route(struct fake_server *server, int64_t ttl_s, const char *routers, const char *readers,
                const char *writers)
{
    const char *const given[3] = {routers, readers, writers};

    pthread_mutex_lock(&server->mutex);
    server->ttl_s = ttl_s;
    for (size_t i = 0; i < 3; i++) {
        free(server->roles[i]);
        server->roles[i] = strdup(given[i]);
    }
    pthread_mutex_unlock(&server->mutex);
}

static unsigned look(struct fake_server *server, const unsigned *number)
{
    pthread_mutex_lock(&server->mutex);
    unsigned seen = *number;
    pthread_mutex_unlock(&server->mutex);
    return seen;
}

unsigned fake_count(struct fake_server *server, enum bolt_request request)
{
    return look(server, &server->counts[request]);
}

unsigned fake_accepted(struct fake_server *server)
{
    return look(server, &server->accepted);
}

unsigned fake_living(struct fake_server *server)
{
    return look(server, &server->living);
}

char *fake_last_begin(struct fake_server *server)
{
    pthread_mutex_lock(&server->mutex);
    char *copy = strdup(server->begin);
    pthread_mutex_unlock(&server->mutex);
    must(copy != NULL, "memory");
    return copy;
}
