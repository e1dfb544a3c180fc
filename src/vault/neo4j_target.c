/* Where the graph vault is, and who we are there. */
#include <stdlib.h>
#include <strings.h>

#include "base/file.h"
#include "base/num.h"
#include "model/vector.h"
#include "vault/neo4j_vault.h"

/* ---- the target ---- */

static int set_option(struct neo4j_vault *vault, struct str key, struct str value, struct err *err)
{
    int64_t number = 0;

    if (str_eq_c(key, "dimensions")) {
        if (num_parse_i64(value, 1, VECTOR_DIMENSIONS_MAX, "dimensions", &number, err) < 0) {
            err->code = ERR_CONFIG;
            return -ERR_CONFIG;
        }
        vault->wanted = (size_t)number;
        return 0;
    }
    const struct {
        const char *key;
        char **text;
    } texts[] = {{"database", &vault->database},
                 {"ca_file", &vault->ca_file},
                 {"user", &vault->user},
                 {"password_file", &vault->password_file}};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (str_eq_c(key, texts[i].key) && value.len > 0) {
            free(*texts[i].text);
            *texts[i].text = xstrndup(value.ptr, value.len);
            return 0;
        }
    }
    return err_set(err, ERR_CONFIG,
                   "\"" STR_FMT "\" is no option of a Neo4j vault; there are dimensions=NUMBER, "
                   "database=NAME, ca_file=PATH, user=NAME and password_file=PATH",
                   STR_ARG(key));
}

static int set_options(struct neo4j_vault *vault, const char *options, struct err *err)
{
    int rc = 0;

    while (rc == 0 && *options != '\0') {
        size_t len = strcspn(options, ",");
        const char *equals = memchr(options, '=', len);
        size_t key = equals == NULL ? len : (size_t)(equals - options);
        struct str value = {options + key, 0};
        if (equals != NULL) {
            value = (struct str){equals + 1, len - key - 1};
        }
        rc = set_option(vault, (struct str){options, key}, value, err);
        options += len + (options[len] == ',' ? 1 : 0);
    }
    return rc;
}

int neo4j_target_parse(const char *target, struct neo4j_vault *vault, struct err *err)
{
    struct bolt_error why = BOLT_ERROR_INIT;
    struct bolt_uri uri;
    size_t len = strcspn(target, "#");

    vault->uri = xstrndup(target, len);
    if (bolt_uri_parse(vault->uri, &uri, &why) < 0) {
        return err_set(err, ERR_CONFIG, "%s", why.message);
    }
    int rc = target[len] == '#' ? set_options(vault, target + len + 1, err) : 0;
    if (rc == 0 && vault->password_file != NULL && vault->password_file[0] != '/') {
        return err_set(err, ERR_CONFIG,
                       "password_file=%s is not absolute; the daemon stands in another folder",
                       vault->password_file);
    }
    return rc;
}

/* ---- the same server ---- */

static bool parse_uri(const char *target, struct bolt_uri *ret)
{
    AUTO(free_ptr) char *uri = xstrndup(target, strcspn(target, "#"));
    struct bolt_error none = BOLT_ERROR_INIT;

    return bolt_uri_parse(uri, ret, &none) == 0;
}

static int safety(enum bolt_tls tls)
{
    static const int levels[] = {
        [BOLT_TLS_NONE] = 0, [BOLT_TLS_ANY_SERVER] = 1, [BOLT_TLS_VERIFY] = 2};

    return levels[tls];
}

bool neo4j_same_server(const char *target, const char *known)
{
    struct bolt_uri there;
    struct bolt_uri here;

    return parse_uri(target, &there) && parse_uri(known, &here) &&
           strcasecmp(there.host, here.host) == 0 && there.port == here.port &&
           safety(there.tls) >= safety(here.tls);
}

/* ---- credentials ---- */

/* The first line of a file. */
static int read_secret(const char *path, char **ret, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT(NEO4J_SECRET_MAX);

    int rc = file_read(path, NEO4J_SECRET_MAX, &text, err);
    if (rc < 0) {
        (void)err_context(err, "the password for Neo4j");
        err->code = ERR_AUTH;
        return -ERR_AUTH;
    }
    struct str all = buf_str(&text);
    size_t len = 0;
    while (len < all.len && all.ptr[len] != '\n' && all.ptr[len] != '\r') {
        len++;
    }
    *ret = xstrndup(len == 0 ? "" : all.ptr, len);
    return 0;
}

static const char *environment(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && value[0] != '\0' ? value : NULL;
}

static int environment_password(struct neo4j_vault *vault, struct err *err)
{
    const char *password = environment("NEO4J_PASSWORD");
    const char *file = environment("NEO4J_PASSWORD_FILE");
    const char *folder = environment("CREDENTIALS_DIRECTORY");

    if (password != NULL) {
        vault->password = xstrdup(password);
        return 0;
    }
    if (file != NULL) {
        return read_secret(file, &vault->password, err);
    }
    if (folder != NULL) {
        AUTO(free_ptr) char *path = xprintf("%s/neo4j-password", folder);
        return read_secret(path, &vault->password, err);
    }
    return err_set(err, ERR_AUTH,
                   "no password for Neo4j: set NEO4J_PASSWORD, or NEO4J_PASSWORD_FILE to a file "
                   "that holds it (a running daemon has the environment that it was started with)");
}

int neo4j_credentials(struct neo4j_vault *vault, bool stranger, struct err *err)
{
    const char *user = stranger ? NULL : environment("NEO4J_USER");

    if (vault->user == NULL) {
        vault->user = xstrdup(user == NULL ? "neo4j" : user);
    }
    if (vault->password_file != NULL) {
        return read_secret(vault->password_file, &vault->password, err);
    }
    if (stranger) {
        return err_set(err, ERR_AUTH,
                       "the environment's password for Neo4j is for the servers that NEO4J_URI and "
                       "the configuration name, and is not sent to another; give this one its own: "
                       "%s#password_file=/PATH",
                       vault->uri);
    }
    return environment_password(vault, err);
}
