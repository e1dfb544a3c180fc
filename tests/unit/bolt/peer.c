#include "bolt/peer.h"

#include <jansson.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_MAX (8u << 20)

static const struct {
    const char *name;
    unsigned char tag;
} TAGS[] = {
    {"HELLO", 0x01},   {"GOODBYE", 0x02},   {"RESET", 0x0F},    {"RUN", 0x10},
    {"BEGIN", 0x11},   {"COMMIT", 0x12},    {"ROLLBACK", 0x13}, {"DISCARD", 0x2F},
    {"PULL", 0x3F},    {"TELEMETRY", 0x54}, {"ROUTE", 0x66},    {"LOGON", 0x6A},
    {"LOGOFF", 0x6B},  {"SUCCESS", 0x70},   {"RECORD", 0x71},   {"IGNORED", 0x7E},
    {"FAILURE", 0x7F},
};

/* Kept for peer_end: cmocka's assertions belong to the test's thread. */
static bool wrong(struct peer *peer, const char *format, ...) PRINTF(2, 3);
static bool wrong(struct peer *peer, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(peer->failure, sizeof(peer->failure), format, args); /* cut is fine */
    va_end(args);
    return false;
}

/* ---- bytes in and out ---- */

/* At least size bytes in peer->in; false at the end of the stream. */
static bool need(struct peer *peer, size_t size)
{
    while (peer->in_size < size) {
        struct pollfd fd = {.fd = peer->fd, .events = POLLIN};
        if (poll(&fd, 1, PEER_MS) <= 0) {
            return wrong(peer, "the client sent nothing");
        }
        ssize_t got = read(peer->fd, peer->in + peer->in_size, IN_MAX - peer->in_size);
        if (got <= 0) {
            return false;
        }
        peer->in_size += (size_t)got;
    }
    return true;
}

static void used(struct peer *peer, size_t size)
{
    memmove(peer->in, peer->in + size, peer->in_size - size);
    peer->in_size -= size;
}

static void wait_until_read(struct peer *peer)
{
    int unread = 1;

    while (ioctl(peer->fd, SIOCOUTQ, &unread) == 0 && unread > 0) {
        (void)sched_yield(); /* can't fail on Linux */
    }
}

static void send_bytes(struct peer *peer, const unsigned char *bytes, size_t size)
{
    size_t step = peer->drip ? 1 : size;

    while (size > 0) {
        ssize_t put = send(peer->fd, bytes, step < size ? step : size, MSG_NOSIGNAL);
        if (put <= 0) {
            return; /* the client closed early: what it must send next is missed */
        }
        bytes += put;
        size -= (size_t)put;
        if (peer->drip) {
            wait_until_read(peer);
        }
    }
}

/* ---- messages of the client, as text ---- */

static void print(struct buf *buf, const struct bolt_value *value)
{
    struct err err;
    struct bolt_iter iter = bolt_iter_of(value);
    struct bolt_string key;
    struct bolt_value item;
    const char *separator = "";

    switch (value->type) {
    case BOLT_NULL:
        assert_ok(buf_add_c(buf, "null", &err), &err);
        break;
    case BOLT_BOOLEAN:
        assert_ok(buf_add_c(buf, value->as.boolean ? "true" : "false", &err), &err);
        break;
    case BOLT_INTEGER:
        assert_ok(buf_printf(buf, &err, "%lld", (long long)value->as.integer), &err);
        break;
    case BOLT_FLOAT:
        assert_ok(buf_printf(buf, &err, "%g", value->as.real), &err);
        break;
    case BOLT_STRING:
        assert_ok(buf_printf(buf, &err, "\"%.*s\"", (int)value->count, value->as.string), &err);
        break;
    case BOLT_LIST:
        assert_ok(buf_add_c(buf, "[", &err), &err);
        while (bolt_iter_next(&iter, &item)) {
            assert_ok(buf_add_c(buf, separator, &err), &err);
            print(buf, &item);
            separator = ", ";
        }
        assert_ok(buf_add_c(buf, "]", &err), &err);
        break;
    case BOLT_MAP:
        assert_ok(buf_add_c(buf, "{", &err), &err);
        while (bolt_iter_entry(&iter, &key, &item)) {
            assert_ok(buf_printf(buf, &err, "%s\"%.*s\": ", separator, (int)key.size, key.data),
                      &err);
            print(buf, &item);
            separator = ", ";
        }
        assert_ok(buf_add_c(buf, "}", &err), &err);
        break;
    default:
        assert_ok(buf_printf(buf, &err, "<%s>", bolt_type_name(value->type)), &err);
        break;
    }
}

/* One message without its chunks, on the heap. False: the client closed. */
static bool take_message(struct peer *peer, unsigned char **ret, size_t *ret_size)
{
    unsigned char *message = xmalloc(IN_MAX);
    size_t size = 0;

    for (;;) {
        if (!need(peer, 2)) {
            free(message);
            return false;
        }
        size_t chunk = be16_get(peer->in);
        if (!need(peer, 2 + chunk)) {
            free(message);
            return false;
        }
        memcpy(message + size, peer->in + 2, chunk);
        size += chunk;
        used(peer, 2 + chunk);
        if (chunk == 0 && size > 0) {
            break;
        }
    }
    *ret = message;
    *ret_size = size;
    return true;
}

static bool message_text(struct peer *peer, const unsigned char *message, size_t size,
                         struct buf *ret)
{
    const char *name = "?";
    size_t at = 2;
    struct bolt_error error;
    struct err err;

    for (size_t i = 0; i < sizeof(TAGS) / sizeof(TAGS[0]); i++) {
        name = TAGS[i].tag == message[1] ? TAGS[i].name : name;
    }
    assert_ok(buf_add_c(ret, name, &err), &err);
    while (at < size) {
        struct bolt_value value;
        size_t taken = 0;
        if (bolt_value_read(message + at, size - at, &value, &taken, &error) < 0) {
            return wrong(peer, "the client sent %s...: %s", ret->data, error.message);
        }
        assert_ok(buf_add_c(ret, " ", &err), &err);
        print(ret, &value);
        at += taken;
    }
    return true;
}

static bool fits(const char *text, const char *expected)
{
    size_t len = strlen(expected);

    if (len > 0 && expected[len - 1] == '*') {
        return strncmp(text, expected, len - 1) == 0;
    }
    return strcmp(text, expected) == 0;
}

static bool expect(struct peer *peer, const char *expected)
{
    AUTO(buf_done) struct buf text = BUF_INIT(IN_MAX);
    AUTO(free_ptr) unsigned char *message = NULL;
    size_t size = 0;

    if (!take_message(peer, &message, &size)) {
        return strcmp(expected, "<EOF>") == 0 ||
               wrong(peer, "the client closed; expected %s", expected);
    }
    return message_text(peer, message, size, &text) &&
           (fits(text.data, expected) ||
            wrong(peer, "the client sent %s; expected %s", text.data, expected));
}

/* ---- messages of the server ---- */

static void pack_json(struct bolt_packer *p, const json_t *json)
{
    const char *key;
    json_t *value;
    size_t i;

    switch (json_typeof(json)) {
    case JSON_OBJECT:
        bolt_pack_map(p, json_object_size(json));
        /* cppcheck-suppress constVariablePointer */
        json_object_foreach ((json_t *)(uintptr_t)json, key, value) {
            bolt_pack_key(p, key);
            pack_json(p, value);
        }
        break;
    case JSON_ARRAY:
        bolt_pack_list(p, json_array_size(json));
        json_array_foreach (json, i, value) {
            pack_json(p, value);
        }
        break;
    case JSON_STRING:
        bolt_pack_text(p, json_string_value(json));
        break;
    case JSON_INTEGER:
        bolt_pack_integer(p, json_integer_value(json));
        break;
    case JSON_REAL:
        bolt_pack_float(p, json_real_value(json));
        break;
    case JSON_NULL:
        bolt_pack_null(p);
        break;
    default:
        bolt_pack_boolean(p, json_is_true(json));
        break;
    }
}

static bool send_message(struct peer *peer, const char *text)
{
    size_t name_len = strcspn(text, " ");
    const char *fields = text + name_len;
    struct bolt_packer packer;
    unsigned char tag = 0;

    for (size_t i = 0; i < sizeof(TAGS) / sizeof(TAGS[0]); i++) {
        if (strncmp(TAGS[i].name, text, name_len) == 0 && TAGS[i].name[name_len] == '\0') {
            tag = TAGS[i].tag;
        }
    }
    bolt_packer_init(&packer, 0);
    if (*fields != '\0') {
        json_t *json = json_loads(fields, JSON_DECODE_ANY, NULL);
        if (json == NULL) {
            return wrong(peer, "not JSON: %s", fields);
        }
        pack_json(&packer, json);
        json_decref(json);
    }
    size_t size = packer.size + 2;
    unsigned char *frame = xmalloc(size + 4);
    be16_put(frame, (uint16_t)size);
    frame[2] = *fields != '\0' ? 0xB1 : 0xB0;
    frame[3] = tag;
    if (packer.size > 0) {
        memcpy(frame + 4, packer.data, packer.size);
    }
    be16_put(frame + 2 + size, 0);
    send_bytes(peer, frame, size + 4);
    free(frame);
    bolt_packer_done(&packer);
    return true;
}

static void send_hex(struct peer *peer, const char *hex, size_t len)
{
    AUTO(free_ptr) char *text = xstrndup(hex, len);
    AUTO(bytes_done) struct bytes bytes = bytes_of(text);

    send_bytes(peer, bytes.data, bytes.size);
}

/* ---- the handshake ---- */

static bool shake_hands(struct peer *peer, const char *how)
{
    static const unsigned char PROPOSALS[20] = {0x60, 0x60, 0xB0, 0x17, 0, 0, 1, 0xFF, 0, 2,
                                                8,    5,    0,    4,    4, 5, 0, 2,    4, 4};
    bool manifest = strncmp(how, "manifest ", 9) == 0;
    const char *version = manifest ? how + 9 : how;

    if (!need(peer, sizeof(PROPOSALS)) || memcmp(peer->in, PROPOSALS, sizeof(PROPOSALS)) != 0) {
        return wrong(peer, "the client proposed something else");
    }
    used(peer, sizeof(PROPOSALS));
    if (version[1] != '.') {
        send_hex(peer, how, strlen(how));
        return true;
    }
    unsigned char major = (unsigned char)(version[0] - '0');
    unsigned char minor = (unsigned char)(version[2] - '0');
    const unsigned char answer[4] = {0, 0, minor, major};
    if (!manifest) {
        send_bytes(peer, answer, sizeof(answer));
        return true;
    }
    const unsigned char offers[] = {0,
                                    0,
                                    1,
                                    0xFF,
                                    2,
                                    0,
                                    4,
                                    4,
                                    4,
                                    0,
                                    (unsigned char)(major == 6),
                                    (unsigned char)(major == 6 ? 1 : minor),
                                    major,
                                    0x81,
                                    0};
    send_bytes(peer, offers, sizeof(offers));
    const unsigned char choice[5] = {0, 0, minor, major, 0};
    if (!need(peer, sizeof(choice)) || memcmp(peer->in, choice, sizeof(choice)) != 0) {
        return wrong(peer, "the client chose something else");
    }
    used(peer, sizeof(choice));
    return true;
}

/* ---- the thread ---- */

/* False: the script is over. */
static bool follow(struct peer *peer, const char *line)
{
    const char *what = line + 3;

    if (line[0] == 'H') {
        return shake_hands(peer, what);
    }
    if (line[0] == 'C') {
        return expect(peer, what);
    }
    if (strcmp(what, "<NOOP>") == 0) {
        send_hex(peer, "0000", 4);
        return true;
    }
    if (strncmp(what, "<RAW ", 5) == 0) {
        send_hex(peer, what + 5, strlen(what) - 6);
        return true;
    }
    if (strcmp(what, "<EXIT>") == 0) {
        return false;
    }
    return send_message(peer, what);
}

static void *run(void *arg)
{
    struct peer *peer = arg;
    const char *p = peer->script;
    bool going = true;

    while (going && *p != '\0') {
        size_t len = strcspn(p, "\n");
        AUTO(free_ptr) char *line = xstrndup(p, len);
        going = follow(peer, line);
        p += len + (p[len] == '\n');
    }
    if (!going || strstr(peer->script, "C: <EOF>") == NULL) {
        (void)shutdown(peer->fd, SHUT_RDWR); /* the client may be gone already */
    }
    return NULL;
}

void peer_start(struct peer *peer, const char *script, bool drip)
{
    int fds[2];

    *peer = (struct peer){.script = script, .drip = drip, .in = xmalloc(IN_MAX)};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    peer->fd = fds[0];
    peer->client_fd = fds[1];
    assert_int_equal(pthread_create(&peer->thread, NULL, run, peer), 0);
}

void peer_end(struct peer *peer)
{
    assert_int_equal(pthread_join(peer->thread, NULL), 0);
    (void)close(peer->fd); /* all was said */
    free(peer->in);
    if (peer->failure[0] != '\0') {
        fail_msg("%s", peer->failure);
    }
}

int peer_try(struct peer *peer, const struct bolt_options *options, struct bolt_connection **ret,
             struct bolt_error *error)
{
    struct bolt_options plain = {.uri = "bolt://peer"};

    return bolt_open_socket_take(peer->client_fd, options == NULL ? &plain : options, soon(), ret,
                                 error);
}

struct bolt_connection *peer_open(struct peer *peer, const struct bolt_options *options)
{
    struct bolt_connection *connection = NULL;
    struct bolt_error error;

    assert_bolt_ok(peer_try(peer, options, &connection, &error), &error);
    return connection;
}
