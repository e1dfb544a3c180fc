#include "bolt/uri.h"

#include "base/num.h"

static const struct {
    const char *name;
    enum bolt_tls tls;
    bool routing;
} SCHEMES[] = {
    {"bolt", BOLT_TLS_NONE, false},           {"bolt+s", BOLT_TLS_VERIFY, false},
    {"bolt+ssc", BOLT_TLS_ANY_SERVER, false}, {"neo4j", BOLT_TLS_NONE, true},
    {"neo4j+s", BOLT_TLS_VERIFY, true},       {"neo4j+ssc", BOLT_TLS_ANY_SERVER, true},
};

static bool is_host_byte(char c, bool bracketed)
{
    unsigned char byte = (unsigned char)c;
    bool word = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
                (byte >= 'A' && byte <= 'Z') || byte == '.' || byte == '-' || byte == '_';

    return word || (bracketed && (byte == ':' || byte == '%'));
}

static int set_host(const char *from, size_t size, bool bracketed, char ret_host[BOLT_HOST_MAX],
                    struct bolt_error *error)
{
    if (size == 0 || size >= BOLT_HOST_MAX) {
        return bolt_fail(error, BOLT_ERR_USAGE, "the host name is %zu bytes; allowed is 1 to %d",
                         size, BOLT_HOST_MAX - 1);
    }
    for (size_t i = 0; i < size; i++) {
        if (!is_host_byte(from[i], bracketed)) {
            return bolt_fail(error, BOLT_ERR_USAGE,
                             "a host name has letters, digits, '.', '-' and '_'; write an IPv6 "
                             "address in brackets");
        }
    }
    memcpy(ret_host, from, size);
    ret_host[size] = '\0';
    return 0;
}

static int set_port(const char *from, size_t size, uint16_t *ret, struct bolt_error *error)
{
    struct err err;
    int64_t port = 0;

    if (num_parse_i64((struct str){from, size}, 1, UINT16_MAX, "the port", &port, &err) < 0) {
        return bolt_fail(error, BOLT_ERR_USAGE, "%s", err.message);
    }
    *ret = (uint16_t)port;
    return 0;
}

int bolt_address_parse(struct bolt_string text, char ret_host[BOLT_HOST_MAX], uint16_t *ret_port,
                       struct bolt_error *error)
{
    const char *p = text.data;
    const char *end = text.size == 0 ? p : p + text.size;
    bool bracketed = text.size > 0 && *p == '[';
    char host[BOLT_HOST_MAX];
    uint16_t port = BOLT_PORT;

    if (bracketed) {
        p++;
    }
    const char *stop = p;
    while (stop < end && *stop != (bracketed ? ']' : ':')) {
        stop++;
    }
    if (bracketed && stop == end) {
        return bolt_fail(error, BOLT_ERR_USAGE, "the address lacks its ']'");
    }
    int rc = set_host(p, (size_t)(stop - p), bracketed, host, error);
    if (rc < 0) {
        return rc;
    }
    stop += bracketed;
    if (stop < end) {
        if (*stop != ':') {
            return bolt_fail(error, BOLT_ERR_USAGE, "a port follows ']' after a ':'");
        }
        rc = set_port(stop + 1, (size_t)(end - stop - 1), &port, error);
        if (rc < 0) {
            return rc;
        }
    }
    memcpy(ret_host, host, sizeof(host));
    *ret_port = port;
    return 0;
}

static int set_scheme(const char *text, size_t size, struct bolt_uri *uri, struct bolt_error *error)
{
    for (size_t i = 0; i < sizeof(SCHEMES) / sizeof(SCHEMES[0]); i++) {
        if (strlen(SCHEMES[i].name) == size && strncasecmp(SCHEMES[i].name, text, size) == 0) {
            uri->tls = SCHEMES[i].tls;
            uri->routing = SCHEMES[i].routing;
            return 0;
        }
    }
    return bolt_fail(error, BOLT_ERR_USAGE,
                     "the URI begins with \"%.*s\"; there are bolt, bolt+s, bolt+ssc, neo4j, "
                     "neo4j+s and neo4j+ssc",
                     size > 16 ? 16 : (int)size, text);
}

int bolt_uri_parse(const char *text, struct bolt_uri *ret, struct bolt_error *error)
{
    struct bolt_uri uri = {.port = BOLT_PORT};
    const char *separator = strstr(text, "://");

    if (separator == NULL) {
        return bolt_fail(error, BOLT_ERR_USAGE,
                         "the URI has no \"://\"; it is written as bolt://HOST:PORT");
    }
    int rc = set_scheme(text, (size_t)(separator - text), &uri, error);
    if (rc < 0) {
        return rc;
    }
    const char *address = separator + 3;
    if (strchr(address, '@') != NULL) {
        return bolt_fail(error, BOLT_ERR_USAGE,
                         "a user or password doesn't belong in the URI: give them apart");
    }
    size_t size = strcspn(address, "/?#");
    rc = bolt_address_parse((struct bolt_string){address, size}, uri.host, &uri.port, error);
    if (rc < 0) {
        return bolt_fail_context(error, "the URI");
    }
    const char *rest = address + size;
    rest += *rest == '/';
    if (*rest == '?' && uri.routing) {
        rest++;
        if (strlen(rest) >= sizeof(uri.query)) {
            return bolt_fail(error, BOLT_ERR_USAGE, "the URI is longer than %zu bytes",
                             sizeof(uri.query));
        }
        memcpy(uri.query, rest, strlen(rest) + 1);
    } else if (*rest != '\0') {
        return bolt_fail(error, BOLT_ERR_USAGE,
                         "nothing may follow the address but, with neo4j://, the routing context "
                         "as ?KEY=VALUE");
    }
    *ret = uri;
    return 0;
}

void uri_address(const char *host, uint16_t port, char ret[URI_ADDRESS_MAX])
{
    bool bracketed = strchr(host, ':') != NULL;

    (void)snprintf(ret, URI_ADDRESS_MAX, bracketed ? "[%s]:%u" : "%s:%u", host, (unsigned)port);
}

/* Undo percent-encoding. ret is as large as the text. False: a broken one. */
static bool decode(const char *text, size_t size, char *ret, size_t *ret_size)
{
    size_t used = 0;

    for (size_t i = 0; i < size; i++) {
        if (text[i] != '%') {
            ret[used++] = text[i];
            continue;
        }
        int high = size - i > 2 ? num_hex_digit(text[i + 1]) : -1;
        int low = size - i > 2 ? num_hex_digit(text[i + 2]) : -1;
        if (high < 0 || low < 0) {
            return false;
        }
        ret[used++] = (char)(high << 4 | low);
        i += 2;
    }
    *ret_size = used;
    return true;
}

static int pack_entry(const char *text, size_t size, struct bolt_packer *packer,
                      struct bolt_error *error)
{
    const char *equals = size > 0 ? memchr(text, '=', size) : NULL;
    char key[BOLT_URI_MAX];
    char value[BOLT_URI_MAX];
    size_t key_size = 0;
    size_t value_size = 0;

    if (equals == NULL || equals == text || equals + 1 == text + size ||
        !decode(text, (size_t)(equals - text), key, &key_size) ||
        !decode(equals + 1, (size_t)(text + size - equals - 1), value, &value_size)) {
        return bolt_fail(error, BOLT_ERR_USAGE,
                         "the URI's routing context is written as ?KEY=VALUE&KEY=VALUE");
    }
    bolt_pack_string(packer, key, key_size);
    bolt_pack_string(packer, value, value_size);
    return 0;
}

int uri_pack_context(const struct bolt_uri *uri, struct bolt_packer *packer,
                     struct bolt_error *error)
{
    char address[URI_ADDRESS_MAX];
    const char *p = uri->query;

    uri_address(uri->host, uri->port, address);
    bolt_pack_map_open(packer);
    bolt_pack_key(packer, "address");
    bolt_pack_text(packer, address);
    while (*p != '\0') {
        size_t size = strcspn(p, "&");
        int rc = pack_entry(p, size, packer, error);
        if (rc < 0) {
            return rc;
        }
        p += size;
        p += *p == '&';
    }
    bolt_pack_end(packer);
    return 0;
}
