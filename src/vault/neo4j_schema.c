/* What the vault is: its identity, its constraints and indexes, its health. */
#include <inttypes.h>
#include <stdio.h>

#include "vault/neo4j_vault.h"

#define PARAMETERS_MAX 4096 /* bytes */
#define CLOCK_SKEW_MS 5000  /* more than this is told */

/* Every index that the schema makes, constraints' included. */
static const char *const index_names[] = {"memory_id",
                                          "session_id",
                                          "project_id",
                                          "journey_id",
                                          "task_id",
                                          "alert_id",
                                          "vault_key",
                                          "origin_id",
                                          "change_place",
                                          "gap_place",
                                          "memory_content",
                                          "memory_project_type",
                                          "memory_created_at",
                                          "memory_sync_version",
                                          "session_started_at",
                                          "session_ended_at",
                                          "session_count_due",
                                          "memory_embedding",
                                          "hold_alert",
                                          "hold_range"};

#define INDEXES (sizeof(index_names) / sizeof(index_names[0]))

/* ---- indexes ---- */

struct indexes {
    bool there[INDEXES];
    size_t missing;
    size_t not_online;
    uint64_t dimensions; /* of memory_embedding; 0: not there */
};

static void read_dimensions(const struct bolt_value *options, struct indexes *indexes)
{
    struct bolt_value config;
    struct bolt_value dimensions;

    if (bolt_map_get(options, "indexConfig", &config) &&
        bolt_map_get(&config, "vector.dimensions", &dimensions) &&
        dimensions.type == BOLT_INTEGER && dimensions.as.integer > 0) {
        indexes->dimensions = (uint64_t)dimensions.as.integer;
    }
}

static int take_index(void *arg, const struct bolt_record *record, struct err *err)
{
    struct indexes *indexes = arg;
    struct str name;
    struct str state;

    int rc = neo4j_get_str(record, 0, &name, err);
    rc = rc == 0 ? neo4j_get_str(record, 2, &state, err) : rc;
    for (size_t i = 0; rc == 0 && i < INDEXES; i++) {
        if (str_eq_c(name, index_names[i])) {
            indexes->there[i] = true;
            indexes->missing--;
            indexes->not_online += str_eq_c(state, "ONLINE") ? 0 : 1;
        }
    }
    if (rc == 0 && str_eq_c(name, "memory_embedding") && record->count > 5) {
        read_dimensions(&record->values[5], indexes);
    }
    return rc;
}

static int read_indexes(struct neo4j_vault *vault, struct indexes *ret, struct deadline deadline,
                        struct err *err)
{
    *ret = (struct indexes){.missing = INDEXES};
    return neo4j_query(vault, BOLT_READ, NEO4J_INDEXES, NULL, take_index, ret, deadline, err);
}

static void pack_options(struct bolt_packer *packer, size_t dimensions)
{
    bolt_packer_init(packer, PARAMETERS_MAX);
    bolt_pack_map(packer, 1);
    bolt_pack_key(packer, "options");
    bolt_pack_map(packer, 1);
    bolt_pack_key(packer, "indexConfig");
    bolt_pack_map(packer, 2);
    bolt_pack_key(packer, "vector.dimensions");
    bolt_pack_integer(packer, (int64_t)dimensions);
    bolt_pack_key(packer, "vector.similarity_function");
    bolt_pack_text(packer, "cosine");
}

static int make_schema(struct neo4j_vault *vault, struct deadline deadline, struct err *err)
{
    AUTO(bolt_packer_done) struct bolt_packer options;
    int rc = 0;

    pack_options(&options, vault->wanted == 0 ? NEO4J_DIMENSIONS_DEFAULT : vault->wanted);
    for (int i = NEO4J_SCHEMA_VECTOR; rc == 0 && i <= NEO4J_SCHEMA_AWAIT; i++) {
        rc = neo4j_query(vault, BOLT_WRITE, (enum neo4j_statement)i,
                         i == NEO4J_SCHEMA_VECTOR ? &options : NULL, NULL, NULL, deadline, err);
    }
    switch (-rc) {
    case ERR_NONE:
        return 0;
    case ERR_CORRUPT:
        return err_context(err, "somebody dropped a constraint of the graph and made a second node "
                                "of one id; nothing is sent there until a person has deleted the "
                                "copy");
    case ERR_CONFIG:
        return err_context(err, "making the schema (the graph needs Neo4j 5.15 or later)");
    default:
        return err_context(err, "making the schema");
    }
}

/* Make what is missing; what an index has that others made stays as it is. */
static int have_indexes(struct neo4j_vault *vault, struct deadline deadline, struct err *err)
{
    struct indexes indexes;

    int rc = read_indexes(vault, &indexes, deadline, err);
    if (rc == 0 && indexes.missing > 0 && !vault->read_only) {
        rc = make_schema(vault, deadline, err);
        rc = rc == 0 ? read_indexes(vault, &indexes, deadline, err) : rc;
    }
    if (rc == 0) {
        vault->dimensions = indexes.dimensions;
    }
    return rc;
}

/* ---- identity ---- */

struct known {
    bool there;
    bool altered;    /* its id or its format can't be what was written there */
    struct uuid id;  /* nil: not to be read */
    uint64_t format; /* 0: so, too */
};

static int take_vault(void *arg, const struct bolt_record *record, struct err *err)
{
    struct known *known = arg;
    struct err altered = ERR_INIT;

    (void)err;
    *known = (struct known){.there = true};
    int rc = neo4j_get_uuid(record, 0, &known->id, &altered);
    rc = neo4j_get_uint(record, 1, &known->format, &altered) < 0 ? -1 : rc;
    known->altered = rc < 0 || known->format == 0;
    return 0;
}

/* Make it, or write to it, as this statement says. */
static int write_vault(struct neo4j_vault *vault, enum neo4j_statement statement,
                       const struct uuid *id, struct known *ret, struct deadline deadline,
                       struct err *err)
{
    AUTO(bolt_packer_done) struct bolt_packer packer;

    bolt_packer_init(&packer, PARAMETERS_MAX);
    bolt_pack_map(&packer, 2);
    bolt_pack_key(&packer, "id");
    neo4j_pack_uuid(&packer, id);
    bolt_pack_key(&packer, "format");
    bolt_pack_integer(&packer, NEO4J_FORMAT);
    return neo4j_query(vault, BOLT_WRITE, statement, &packer, take_vault, ret, deadline, err);
}

static int make_vault(struct neo4j_vault *vault, struct known *ret, struct deadline deadline,
                      struct err *err)
{
    struct uuid id = uuid_is_nil(&vault->identity) ? uuid_new(vault->env) : vault->identity;

    return write_vault(vault, NEO4J_VAULT_MAKE, &id, ret, deadline, err);
}

/*
 * Somebody wrote over its node. What was used here before is known, and put there again by who
 * tells a person, too; what still says that it is another vault stays as it is. Nobody may take it
 * for one that is used for the first time; a reader needs no identity.
 */
static int mend_vault(struct neo4j_vault *vault, struct known *known, struct deadline deadline,
                      struct err *err)
{
    struct uuid id = uuid_is_nil(&known->id) ? vault->identity : known->id;
    bool other = !uuid_is_nil(&vault->identity) && !uuid_eq(&vault->identity, &id);

    if (known->format > NEO4J_FORMAT || vault->read_only || other) {
        return 0;
    }
    if (uuid_is_nil(&id)) {
        return err_set(err, ERR_CORRUPT,
                       "%s: the node Vault was altered, so that it can't be told which vault this "
                       "is; a Holdfast that used it before puts it right",
                       vault->uri);
    }
    known->id = id;
    if (vault->on_mended == NULL) {
        return 0;
    }
    int rc = write_vault(vault, NEO4J_VAULT_MEND, &id, known, deadline, err);
    if (rc == 0) {
        AUTO(free_ptr)
        char *what = xprintf("%s: the node Vault was altered; it was put right as it was when "
                             "this vault was used here before",
                             vault->uri);
        vault->on_mended(vault->arg, what);
    }
    return rc;
}

static int compare_vault(struct neo4j_vault *vault, const struct known *known, struct err *err)
{
    char there[UUID_TEXT_MAX];
    char wanted[UUID_TEXT_MAX];

    uuid_format(&known->id, there);
    uuid_format(&vault->identity, wanted);
    if (known->format > NEO4J_FORMAT) {
        return err_set(err, ERR_NEWER, "%s: the vault there has format %llu; this one knows %d",
                       vault->uri, (unsigned long long)known->format, NEO4J_FORMAT);
    }
    if (!uuid_is_nil(&vault->identity) && !uuid_eq(&vault->identity, &known->id)) {
        return err_set(err, ERR_CORRUPT,
                       "%s: not the vault that was used here before: it is %s, that was %s",
                       vault->uri, there, wanted);
    }
    vault->identity = known->id;
    return 0;
}

/* Nothing is written before it is known that the vault is ours, and none that is newer. */
int neo4j_prepare(struct neo4j_vault *vault, struct deadline deadline, struct err *err)
{
    struct known known = {.there = false};

    int rc =
        neo4j_query(vault, BOLT_READ, NEO4J_VAULT_GET, NULL, take_vault, &known, deadline, err);
    if (rc == 0 && !known.there && vault->read_only) {
        return err_set(err, ERR_UNAVAILABLE, "%s: there is no vault of Holdfast in this database",
                       vault->uri);
    }
    rc = rc == 0 && known.altered ? mend_vault(vault, &known, deadline, err) : rc;
    rc = rc == 0 && known.there ? compare_vault(vault, &known, err) : rc;
    rc = rc == 0 ? have_indexes(vault, deadline, err) : rc;
    if (rc == 0 && !known.there) {
        rc = make_vault(vault, &known, deadline, err);
        rc = rc == 0 ? compare_vault(vault, &known, err) : rc;
    }
    return rc;
}

/* ---- health ---- */

struct health {
    char version[32];
    char edition[32];
    uint64_t clock_ms;
    int64_t skew_ms; /* its clock against ours */
    int64_t latency_us;
    unsigned bolt_major, bolt_minor;
    uint64_t changes;
    uint64_t memories;
};

static void copy_text(const struct bolt_record *record, size_t at, char ret[32])
{
    struct err ignored = ERR_INIT;
    struct str text = STR("?");

    if (neo4j_get_str(record, at, &text, &ignored) < 0) {
        text = STR("?");
    }
    (void)snprintf(ret, 32, STR_FMT, STR_ARG(text));
}

static int take_component(void *arg, const struct bolt_record *record, struct err *err)
{
    struct health *health = arg;
    struct str name;

    int rc = neo4j_get_str(record, 0, &name, err);
    if (rc == 0 && str_eq_c(name, "Neo4j Kernel")) {
        copy_text(record, 1, health->version);
        copy_text(record, 2, health->edition);
    }
    return rc == 0 ? neo4j_get_uint(record, 3, &health->clock_ms, err) : rc;
}

/* A round trip, timed; and a write that is taken back at once: refused by a database that is
 * read-only, or a user who may not (*write_trouble). Once: what a moment cures is as good as a
 * refusal here. */
static int probe(struct neo4j_vault *vault, struct health *health, struct err *write_trouble,
                 struct deadline deadline, struct err *err)
{
    const struct bolt_purpose purpose = {.mode = BOLT_WRITE, .database = vault->database};
    const struct bolt_tx_options options = {.database = vault->database};
    struct bolt_error error = BOLT_ERROR_INIT;
    struct bolt_connection *connection;

    if (bolt_driver_acquire(vault->driver, &purpose, deadline.at_ms, &connection, &error) < 0) {
        return neo4j_failed(vault, &error, err);
    }
    health->bolt_major = bolt_info(connection)->major;
    health->bolt_minor = bolt_info(connection)->minor;
    int64_t begin_us = vault->env->now_us(vault->env);
    int rc = bolt_reset(connection, deadline.at_ms, &error);
    health->latency_us = vault->env->now_us(vault->env) - begin_us;
    rc = rc == 0 ? bolt_begin(connection, &options, deadline.at_ms, &error) : rc;
    rc = rc == 0 ? bolt_execute(connection, neo4j_statement_text(NEO4J_WRITE_PROBE), NULL, NULL,
                                NULL, deadline.at_ms, &error)
                 : rc;
    bolt_driver_release(vault->driver, connection, rc < 0 ? &error : NULL); /* rolls back */
    if (rc < 0 && neo4j_failed(vault, &error, write_trouble) != -ERR_FORBIDDEN) {
        return err_copy(err, write_trouble);
    }
    return 0;
}

static void add(char *text, size_t size, const char *format, ...) PRINTF(3, 4);
static void add(char *text, size_t size, const char *format, ...)
{
    size_t len = strlen(text);
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text + len, size - len, format, args);
    va_end(args);
}

/* What is wrong comes first: the line may be cut. */
static void tell(const struct health *health, const struct indexes *indexes,
                 const struct err *write_trouble, struct vault_health *ret)
{
    size_t size = sizeof(ret->detail);

    if (write_trouble->code != ERR_NONE) {
        add(ret->detail, size, "can't be written: %.100s; ", write_trouble->message);
    }
    add(ret->detail, size,
        "Neo4j %s %s, Bolt %u.%u, %zu of %zu indexes ONLINE, vectors of %" PRIu64
        ", its clock %" PRId64 " ms %s, %s, %" PRIu64 " changes, %" PRIu64 " memories",
        health->version, health->edition, health->bolt_major, health->bolt_minor,
        INDEXES - indexes->missing - indexes->not_online, INDEXES, indexes->dimensions,
        health->skew_ms < 0 ? -health->skew_ms : health->skew_ms,
        health->skew_ms < 0 ? "behind" : "ahead",
        write_trouble->code == ERR_NONE ? "may be written" : "only read", health->changes,
        health->memories);
}

static void advise(const struct neo4j_vault *vault, const struct health *health,
                   const struct indexes *indexes, const struct err *write_trouble,
                   struct vault_health *ret)
{
    size_t size = sizeof(ret->advice);

    if (write_trouble->code != ERR_NONE) {
        add(ret->advice, size,
            "give this user the right to write there, or make the database writable; ");
    }
    if (indexes->missing > 0) {
        add(ret->advice, size, "%zu indexes are missing: holdfast sync makes them; ",
            indexes->missing);
    }
    if (indexes->not_online > 0) {
        add(ret->advice, size,
            "%zu indexes are not ONLINE: wait until they are, or see SHOW INDEXES; ",
            indexes->not_online);
    }
    if (vault->wanted != 0 && indexes->dimensions != 0 && vault->wanted != indexes->dimensions) {
        add(ret->advice, size,
            "the index memory_embedding has %" PRIu64
            " dimensions, the configuration says %zu: drop it, or change that; ",
            indexes->dimensions, vault->wanted);
    }
    if (health->skew_ms > CLOCK_SKEW_MS || health->skew_ms < -CLOCK_SKEW_MS) {
        add(ret->advice, size, "set the clocks right: which version wins goes by them; ");
    }
    size_t len = strlen(ret->advice);
    if (len >= 2 && ret->advice[len - 2] == ';') {
        ret->advice[len - 2] = '\0';
    }
}

int neo4j_check(struct neo4j_vault *vault, struct vault_health *ret, struct deadline deadline,
                struct err *err)
{
    struct health health = {.version = "?", .edition = "?"};
    struct err trouble = ERR_INIT;
    struct indexes indexes;

    *ret = (struct vault_health){.can_write = false};
    int rc = neo4j_query(vault, BOLT_READ, NEO4J_COMPONENTS, NULL, take_component, &health,
                         deadline, err);
    health.skew_ms = (int64_t)health.clock_ms - vault->env->now_us(vault->env) / 1000;
    rc = rc == 0 ? neo4j_query(vault, BOLT_READ, NEO4J_COUNT_CHANGES, NULL, neo4j_take_uint,
                               &health.changes, deadline, err)
                 : rc;
    rc = rc == 0 ? neo4j_query(vault, BOLT_READ, NEO4J_COUNT_MEMORIES, NULL, neo4j_take_uint,
                               &health.memories, deadline, err)
                 : rc;
    rc = rc == 0 ? read_indexes(vault, &indexes, deadline, err) : rc;
    rc = rc == 0 ? probe(vault, &health, &trouble, deadline, err) : rc;
    if (rc < 0) {
        return rc;
    }
    ret->can_write = trouble.code == ERR_NONE && !vault->read_only;
    ret->latency_us = health.latency_us < 0 ? 0 : health.latency_us;
    tell(&health, &indexes, &trouble, ret);
    advise(vault, &health, &indexes, &trouble, ret);
    return 0;
}
