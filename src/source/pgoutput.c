#include "source/pgoutput.h"

#include <inttypes.h>

#include "base/num.h"

struct pgoutput {
    struct pgoutput_column columns[PGOUTPUT_COLUMNS_MAX];
    struct pgoutput_value old[PGOUTPUT_COLUMNS_MAX];
    struct pgoutput_value new[PGOUTPUT_COLUMNS_MAX];
    uint32_t truncated[PGOUTPUT_TRUNCATED_MAX];
};

struct pgoutput *pgoutput_new(void)
{
    return xcalloc(1, sizeof(struct pgoutput));
}

void pgoutput_free(struct pgoutput *decoder)
{
    free(decoder);
}

/* ---- addresses ---- */

void pg_lsn_format(pg_lsn lsn, char ret_text[PG_LSN_TEXT_MAX])
{
    (void)snprintf(ret_text, PG_LSN_TEXT_MAX, "%" PRIX32 "/%" PRIX32, (uint32_t)(lsn >> 32),
                   (uint32_t)lsn);
}

/* 1 to 8 hex digits; -1 when there is something else. */
static int64_t hex_half(struct str text)
{
    int64_t value = 0;

    if (text.len == 0 || text.len > 8) {
        return -1;
    }
    for (size_t i = 0; i < text.len; i++) {
        int digit = num_hex_digit(text.ptr[i]);
        if (digit < 0) {
            return -1;
        }
        value = value << 4 | digit;
    }
    return value;
}

int pg_lsn_parse(struct str text, pg_lsn *ret, struct err *err)
{
    const char *slash = text.len > 0 ? memchr(text.ptr, '/', text.len) : NULL;
    size_t left = slash == NULL ? 0 : (size_t)(slash - text.ptr);
    int64_t high = slash == NULL ? -1 : hex_half((struct str){text.ptr, left});
    int64_t low = slash == NULL ? -1 : hex_half((struct str){slash + 1, text.len - left - 1});

    if (high < 0 || low < 0) {
        return err_set(err, ERR_INVALID,
                       "\"%.*s\" is no address in PostgreSQL's log, such as 0/16B3748",
                       (int)(text.len < 40 ? text.len : 40), text.ptr == NULL ? "" : text.ptr);
    }
    *ret = (uint64_t)high << 32 | (uint64_t)low;
    return 0;
}

/* ---- bytes ---- */

struct cursor {
    const char *ptr;
    size_t len;
    size_t at;
    struct err *err;
};

static int wrong(struct cursor *c, const char *what)
{
    return err_set(c->err, ERR_CORRUPT, "pgoutput message of %zu bytes: byte %zu: %s", c->len,
                   c->at, what);
}

static int need(struct cursor *c, size_t count)
{
    return c->len - c->at >= count ? 0 : wrong(c, "it ends too early");
}

static int get_u8(struct cursor *c, uint8_t *ret)
{
    if (need(c, 1) < 0) {
        return -ERR_CORRUPT;
    }
    *ret = (uint8_t)c->ptr[c->at++];
    return 0;
}

static int get_u16(struct cursor *c, uint16_t *ret)
{
    if (need(c, 2) < 0) {
        return -ERR_CORRUPT;
    }
    *ret = be16_get(c->ptr + c->at);
    c->at += 2;
    return 0;
}

static int get_u32(struct cursor *c, uint32_t *ret)
{
    if (need(c, 4) < 0) {
        return -ERR_CORRUPT;
    }
    *ret = be32_get(c->ptr + c->at);
    c->at += 4;
    return 0;
}

static int get_u64(struct cursor *c, uint64_t *ret)
{
    if (need(c, 8) < 0) {
        return -ERR_CORRUPT;
    }
    *ret = be64_get(c->ptr + c->at);
    c->at += 8;
    return 0;
}

static int get_text(struct cursor *c, const char **ret)
{
    const char *end = c->len > c->at ? memchr(c->ptr + c->at, 0, c->len - c->at) : NULL;

    if (end == NULL) {
        return wrong(c, "a text without its end");
    }
    *ret = c->ptr + c->at;
    c->at = (size_t)(end - c->ptr) + 1;
    return 0;
}

static int get_bytes(struct cursor *c, struct str *ret)
{
    uint32_t len;

    if (get_u32(c, &len) < 0 || need(c, len) < 0) {
        return -ERR_CORRUPT;
    }
    *ret = (struct str){c->ptr + c->at, len};
    c->at += len;
    return 0;
}

/* ---- rows ---- */

static int get_value(struct cursor *c, struct pgoutput_value *ret)
{
    uint8_t kind;

    if (get_u8(c, &kind) < 0) {
        return -ERR_CORRUPT;
    }
    *ret = (struct pgoutput_value){.kind = PGOUTPUT_NULL};
    switch (kind) {
    case 'n':
        return 0;
    case 'u':
        ret->kind = PGOUTPUT_UNCHANGED;
        return 0;
    case 't':
        ret->kind = PGOUTPUT_TEXT;
        return get_bytes(c, &ret->text);
    default:
        c->at--;
        return wrong(c, "a value is neither null, unchanged nor text");
    }
}

static int get_tuple(struct cursor *c, struct pgoutput_value *room, struct pgoutput_tuple *ret)
{
    uint16_t count;

    if (get_u16(c, &count) < 0) {
        return -ERR_CORRUPT;
    }
    if (count > PGOUTPUT_COLUMNS_MAX) {
        return wrong(c, "more columns than a table can have");
    }
    for (size_t i = 0; i < count; i++) {
        if (get_value(c, &room[i]) < 0) {
            return -ERR_CORRUPT;
        }
    }
    *ret = (struct pgoutput_tuple){.values = room, .count = count};
    return 0;
}

/* A tuple behind its letter: 'N' is the new row; 'K' (key) and 'O' (all of it) are the old one. */
static int get_tuples(struct pgoutput *d, struct cursor *c, bool has_new, bool needs_old,
                      struct pgoutput_message *ret)
{
    uint8_t letter;

    if (get_u8(c, &letter) < 0) {
        return -ERR_CORRUPT;
    }
    if (letter == 'K' || letter == 'O') {
        if (get_tuple(c, d->old, &ret->old) < 0) {
            return -ERR_CORRUPT;
        }
        if (!has_new) {
            return 0;
        }
        if (get_u8(c, &letter) < 0) {
            return -ERR_CORRUPT;
        }
    } else if (needs_old) {
        c->at--;
        return wrong(c, "a deletion without the old row");
    }
    if (letter != 'N') {
        c->at--;
        return wrong(c, "where the new row should be is none");
    }
    return get_tuple(c, d->new, &ret->new);
}

/* ---- messages ---- */

#define POSTGRES_EPOCH_US ((uint64_t)946684800 * 1000000) /* 2000-01-01 */

static int read_transaction(struct cursor *c, bool is_commit, struct pgoutput_message *ret)
{
    uint8_t flags;
    uint64_t time;
    uint64_t commit;

    if (is_commit) { /* flags, the commit's address, the address behind it, when */
        if (get_u8(c, &flags) < 0 || get_u64(c, &commit) < 0 || get_u64(c, &ret->lsn) < 0 ||
            get_u64(c, &time) < 0) {
            return -ERR_CORRUPT;
        }
        ret->time_us = (int64_t)(time + POSTGRES_EPOCH_US);
        return 0;
    }
    return get_u64(c, &ret->lsn) < 0 || get_u64(c, &time) < 0 || get_u32(c, &ret->xid) < 0
               ? -ERR_CORRUPT
               : 0;
}

static int read_relation(struct pgoutput *d, struct cursor *c, struct pgoutput_message *ret)
{
    uint8_t identity;
    uint16_t count;

    if (get_u32(c, &ret->relation) < 0 || get_text(c, &ret->schema) < 0 ||
        get_text(c, &ret->table) < 0 || get_u8(c, &identity) < 0 || get_u16(c, &count) < 0) {
        return -ERR_CORRUPT;
    }
    if (count > PGOUTPUT_COLUMNS_MAX) {
        return wrong(c, "more columns than a table can have");
    }
    for (size_t i = 0; i < count; i++) {
        uint8_t flags;
        uint32_t modifier;
        struct pgoutput_column *column = &d->columns[i];
        if (get_u8(c, &flags) < 0 || get_text(c, &column->name) < 0 ||
            get_u32(c, &column->type) < 0 || get_u32(c, &modifier) < 0) {
            return -ERR_CORRUPT;
        }
        column->is_key = (flags & 1) != 0;
    }
    if (ret->schema[0] == '\0') {
        ret->schema = "pg_catalog"; /* as the protocol says it */
    }
    ret->identity = (char)identity;
    ret->columns = d->columns;
    ret->column_count = count;
    return 0;
}

static int read_truncate(struct pgoutput *d, struct cursor *c, struct pgoutput_message *ret)
{
    uint32_t count;
    uint8_t options;

    if (get_u32(c, &count) < 0 || get_u8(c, &options) < 0) {
        return -ERR_CORRUPT;
    }
    if (count > PGOUTPUT_TRUNCATED_MAX) {
        return wrong(c, "more tables truncated at once than we follow");
    }
    for (size_t i = 0; i < count; i++) {
        if (get_u32(c, &d->truncated[i]) < 0) {
            return -ERR_CORRUPT;
        }
    }
    ret->truncated = d->truncated;
    ret->truncated_count = count;
    return 0;
}

static int read_message(struct cursor *c, struct pgoutput_message *ret)
{
    uint8_t flags;

    if (get_u8(c, &flags) < 0 || get_u64(c, &ret->lsn) < 0 || get_text(c, &ret->prefix) < 0 ||
        get_bytes(c, &ret->content) < 0) {
        return -ERR_CORRUPT;
    }
    ret->transactional = (flags & 1) != 0;
    return 0;
}

static int read_names(struct cursor *c, bool is_type)
{
    const char *text;
    uint64_t lsn;
    uint32_t oid;

    if (is_type) {
        return get_u32(c, &oid) < 0 || get_text(c, &text) < 0 || get_text(c, &text) < 0
                   ? -ERR_CORRUPT
                   : 0;
    }
    return get_u64(c, &lsn) < 0 || get_text(c, &text) < 0 ? -ERR_CORRUPT : 0;
}

static int read_body(struct pgoutput *d, struct cursor *c, struct pgoutput_message *ret)
{
    switch (ret->kind) {
    case PGOUTPUT_BEGIN:
    case PGOUTPUT_COMMIT:
        return read_transaction(c, ret->kind == PGOUTPUT_COMMIT, ret);
    case PGOUTPUT_ORIGIN:
    case PGOUTPUT_TYPE:
        return read_names(c, ret->kind == PGOUTPUT_TYPE);
    case PGOUTPUT_RELATION:
        return read_relation(d, c, ret);
    case PGOUTPUT_INSERT:
    case PGOUTPUT_UPDATE:
    case PGOUTPUT_DELETE:
        return get_u32(c, &ret->relation) < 0 ? -ERR_CORRUPT
                                              : get_tuples(d, c, ret->kind != PGOUTPUT_DELETE,
                                                           ret->kind == PGOUTPUT_DELETE, ret);
    case PGOUTPUT_TRUNCATE:
        return read_truncate(d, c, ret);
    case PGOUTPUT_MESSAGE:
        return read_message(c, ret);
    }
    return wrong(c, "an unknown kind of message");
}

int pgoutput_decode(struct pgoutput *decoder, struct str bytes, struct pgoutput_message *ret,
                    struct err *err)
{
    static const char letters[] = "BCORYIUDTM"; /* in the order of enum pgoutput_kind */
    struct cursor c = {.ptr = bytes.ptr, .len = bytes.len, .err = err};
    uint8_t letter;

    if (get_u8(&c, &letter) < 0) {
        return -ERR_CORRUPT;
    }
    const char *found = letter == 0 ? NULL : strchr(letters, letter);
    if (found == NULL) {
        c.at = 0;
        return wrong(&c, "an unknown kind of message");
    }
    *ret = (struct pgoutput_message){.kind = (enum pgoutput_kind)(found - letters)};
    if (read_body(decoder, &c, ret) < 0) {
        return -ERR_CORRUPT;
    }
    return c.at == c.len ? 0 : wrong(&c, "something follows behind its end");
}
