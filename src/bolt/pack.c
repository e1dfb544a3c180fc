#include "bolt/pack.h"

#include "base/num.h"
#include "bolt/value.h"

#define FIRST_CAPACITY 256 /* bytes; parameters of most queries */
#define NANOSECONDS_MAX 999999999
#define FLOAT_SIZE 9
#define TINY_MAX 15 /* bytes or elements whose count stands in the marker */

enum level_kind { LEVEL_ROOT, LEVEL_LIST, LEVEL_MAP, LEVEL_OPEN_LIST, LEVEL_OPEN_MAP };

#define OPEN_LEFT UINT64_MAX           /* of an open list */
#define OPEN_MAP_LEFT (UINT64_MAX - 1) /* even: a key is next */

static void refuse(struct bolt_packer *packer, enum bolt_err kind, const char *reason)
{
    if (packer->failed == 0) {
        packer->failed = (int)kind;
        packer->reason = reason;
    }
}

void bolt_packer_init(struct bolt_packer *packer, size_t max_bytes)
{
    *packer = (struct bolt_packer){.max = max_bytes == 0 ? BOLT_PACKED_MAX : max_bytes};
    packer->levels[0].left = 1;
}

void bolt_packer_reset(struct bolt_packer *packer)
{
    packer->size = 0;
    packer->failed = 0;
    packer->reason = NULL;
    packer->needs = 0;
    packer->depth = 0;
    packer->levels[0] = (struct bolt_packer_level){.left = 1};
}

void bolt_packer_done(struct bolt_packer *packer)
{
    if (packer != NULL) {
        free(packer->data);
        *packer = (struct bolt_packer){.max = packer->max};
    }
}

void bolt_packer_legacy_times(struct bolt_packer *packer, bool legacy)
{
    packer->legacy_times = legacy;
}

static int check_complete(const struct bolt_packer *packer, bool whole, struct bolt_error *error)
{
    if (packer->failed != 0) {
        return bolt_fail(error, (enum bolt_err)packer->failed, "packing byte %zu: %s", packer->size,
                         packer->reason);
    }
    if (!whole) {
        return bolt_fail(error, BOLT_ERR_USAGE,
                         "packing byte %zu: the value is not complete: elements are missing, or a "
                         "bolt_pack_end",
                         packer->size);
    }
    return 0;
}

int bolt_packer_check(const struct bolt_packer *packer, struct bolt_error *error)
{
    return check_complete(packer, packer->depth == 0 && packer->levels[0].left == 0, error);
}

int pack_sequence_check(const struct bolt_packer *packer, struct bolt_error *error)
{
    return check_complete(packer, packer->depth == 0, error);
}

void pack_sequence(struct bolt_packer *packer)
{
    packer->levels[0].left = OPEN_LEFT;
}

bool pack_is_map(const struct bolt_packer *packer)
{
    return packer->size > 0 && (packer->data[0] >> 4 == 0xA || (packer->data[0] & 0xFC) == 0xD8);
}

/* ---- bytes ---- */

static bool grow(struct bolt_packer *packer, size_t size)
{
    if (size > packer->max - packer->size) {
        refuse(packer, BOLT_ERR_LIMIT, "more than the packer's limit");
        return false;
    }
    size_t capacity = packer->capacity < FIRST_CAPACITY ? FIRST_CAPACITY : packer->capacity;
    while (capacity < packer->size + size) {
        capacity *= 2;
    }
    unsigned char *data = realloc(packer->data, capacity);
    if (data == NULL) {
        refuse(packer, BOLT_ERR_MEMORY, "out of memory");
        return false;
    }
    packer->data = data;
    packer->capacity = capacity;
    return true;
}

/* Room for size bytes, counted as written; NULL when the packer failed. */
static inline unsigned char *take(struct bolt_packer *packer, size_t size)
{
    if (packer->failed != 0) {
        return NULL;
    }
    if (size > packer->capacity - packer->size || size > packer->max - packer->size) {
        if (!grow(packer, size)) {
            return NULL;
        }
    }
    unsigned char *p = packer->data + packer->size;
    packer->size += size;
    return p;
}

void pack_reserve(struct bolt_packer *packer, size_t size)
{
    if (take(packer, size) != NULL) {
        packer->size -= size;
    }
}

static void put(struct bolt_packer *packer, const void *bytes, size_t size)
{
    unsigned char *p = take(packer, size);

    if (p != NULL && size > 0) {
        memcpy(p, bytes, size);
    }
}

static void put_byte(struct bolt_packer *packer, unsigned char byte)
{
    put(packer, &byte, 1);
}

static void put_number(struct bolt_packer *packer, unsigned char marker, uint64_t number,
                       unsigned width)
{
    unsigned char bytes[9];

    bytes[0] = marker;
    for (unsigned i = 0; i < width; i++) {
        bytes[width - i] = (unsigned char)(number >> (8 * i));
    }
    put(packer, bytes, 1 + (size_t)width);
}

/* A length in its smallest form; tiny 0 where there is none; marker is the 8-bit form's. */
static void put_count(struct bolt_packer *packer, unsigned char tiny, unsigned char marker,
                      size_t count)
{
    if (tiny != 0 && count <= TINY_MAX) {
        put_byte(packer, (unsigned char)(tiny | count));
    } else if (count <= UINT8_MAX) {
        put_number(packer, marker, count, 1);
    } else if (count <= UINT16_MAX) {
        put_number(packer, marker + 1, count, 2);
    } else if (count <= INT32_MAX) { /* the format's limit */
        put_number(packer, marker + 2, count, 4);
    } else {
        refuse(packer, BOLT_ERR_LIMIT, "more than 2^31 - 1 bytes or elements");
    }
}

static void put_integer(struct bolt_packer *packer, int64_t value)
{
    if (value >= -16 && value <= INT8_MAX) {
        put_byte(packer, (unsigned char)value);
    } else if (value >= INT8_MIN && value <= INT8_MAX) {
        put_number(packer, 0xC8, (uint64_t)value, 1);
    } else if (value >= INT16_MIN && value <= INT16_MAX) {
        put_number(packer, 0xC9, (uint64_t)value, 2);
    } else if (value >= INT32_MIN && value <= INT32_MAX) {
        put_number(packer, 0xCA, (uint64_t)value, 4);
    } else {
        put_number(packer, 0xCB, (uint64_t)value, 8);
    }
}

static void put_float(struct bolt_packer *packer, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    put_number(packer, 0xC1, bits, 8);
}

static void put_string(struct bolt_packer *packer, const char *text, size_t size)
{
    if (!value_text_ok(text, size)) {
        refuse(packer, BOLT_ERR_USAGE, "a text is not UTF-8");
    } else if (size <= TINY_MAX) { /* keys: head and text at once */
        unsigned char *p = take(packer, 1 + size);
        if (p != NULL) {
            *p = (unsigned char)(0x80 | size);
            memcpy(p + 1, size > 0 ? text : "", size);
        }
    } else {
        put_count(packer, 0x80, 0xD0, size);
        put(packer, text, size);
    }
}

/* ---- places: what may stand where ---- */

/* A value (a key) comes next. False when it may not stand here. */
static bool place(struct bolt_packer *packer, bool text)
{
    struct bolt_packer_level *level = &packer->levels[packer->depth];

    if (packer->failed != 0) {
        return false;
    }
    if (level->left == 0) {
        refuse(packer, BOLT_ERR_USAGE, "more than one value");
        return false;
    }
    bool is_key =
        (level->kind == LEVEL_MAP || level->kind == LEVEL_OPEN_MAP) && level->left % 2 == 0;
    if (is_key && !text) {
        refuse(packer, BOLT_ERR_USAGE, "the key of a map must be a text");
        return false;
    }
    level->left--;
    return true;
}

/* A value is complete: so may be what it stands in. */
static void placed(struct bolt_packer *packer)
{
    while (packer->depth > 0 && packer->levels[packer->depth].left == 0) {
        packer->depth--;
    }
}

static void descend(struct bolt_packer *packer, enum level_kind kind, uint64_t left, size_t head)
{
    if (packer->depth == BOLT_DEPTH_MAX) {
        refuse(packer, BOLT_ERR_LIMIT, "nested too deep");
        return;
    }
    packer->levels[++packer->depth] = (struct bolt_packer_level){left, head, (unsigned char)kind};
    placed(packer);
}

/* ---- scalars ---- */

void bolt_pack_null(struct bolt_packer *packer)
{
    if (place(packer, false)) {
        put_byte(packer, 0xC0);
        placed(packer);
    }
}

void bolt_pack_boolean(struct bolt_packer *packer, bool value)
{
    if (place(packer, false)) {
        put_byte(packer, value ? 0xC3 : 0xC2);
        placed(packer);
    }
}

void bolt_pack_integer(struct bolt_packer *packer, int64_t value)
{
    if (place(packer, false)) {
        put_integer(packer, value);
        placed(packer);
    }
}

void bolt_pack_float(struct bolt_packer *packer, double value)
{
    if (place(packer, false)) {
        put_float(packer, value);
        placed(packer);
    }
}

void bolt_pack_bytes(struct bolt_packer *packer, const void *bytes, size_t size)
{
    if (place(packer, false)) {
        put_count(packer, 0, 0xCC, size);
        put(packer, bytes, size);
        placed(packer);
    }
}

void bolt_pack_string(struct bolt_packer *packer, const char *text, size_t size)
{
    if (place(packer, true)) {
        put_string(packer, text, size);
        placed(packer);
    }
}

void bolt_pack_text(struct bolt_packer *packer, const char *c_string)
{
    if (c_string == NULL) {
        bolt_pack_null(packer);
    } else {
        bolt_pack_string(packer, c_string, strlen(c_string));
    }
}

void bolt_pack_key(struct bolt_packer *packer, const char *c_string)
{
    const struct bolt_packer_level *level = &packer->levels[packer->depth];

    if ((level->kind != LEVEL_MAP && level->kind != LEVEL_OPEN_MAP) || level->left % 2 != 0) {
        refuse(packer, BOLT_ERR_USAGE, "a key where a value belongs");
    }
    bolt_pack_string(packer, c_string, strlen(c_string));
}

/* ---- containers ---- */

void bolt_pack_list(struct bolt_packer *packer, size_t count)
{
    if (place(packer, false)) {
        put_count(packer, 0x90, 0xD4, count);
        descend(packer, LEVEL_LIST, count, 0);
    }
}

void bolt_pack_map(struct bolt_packer *packer, size_t count)
{
    if (place(packer, false)) {
        put_count(packer, 0xA0, 0xD8, count);
        descend(packer, LEVEL_MAP, 2 * (uint64_t)count, 0);
    }
}

/* The count has room for the largest; bolt_pack_end fills it in. */
static void open_container(struct bolt_packer *packer, enum level_kind kind)
{
    if (place(packer, false)) {
        put_number(packer, kind == LEVEL_OPEN_LIST ? 0xD6 : 0xDA, 0, 4);
        descend(packer, kind, kind == LEVEL_OPEN_LIST ? OPEN_LEFT : OPEN_MAP_LEFT,
                packer->size - 4);
    }
}

void bolt_pack_list_open(struct bolt_packer *packer)
{
    open_container(packer, LEVEL_OPEN_LIST);
}

void bolt_pack_map_open(struct bolt_packer *packer)
{
    open_container(packer, LEVEL_OPEN_MAP);
}

void bolt_pack_end(struct bolt_packer *packer)
{
    const struct bolt_packer_level *level = &packer->levels[packer->depth];
    uint64_t count;

    if (packer->failed != 0) {
        return;
    }
    if (level->kind == LEVEL_OPEN_LIST) {
        count = OPEN_LEFT - level->left;
    } else if (level->kind == LEVEL_OPEN_MAP && level->left % 2 == 0) {
        count = (OPEN_MAP_LEFT - level->left) / 2;
    } else {
        refuse(packer, BOLT_ERR_USAGE,
               "a bolt_pack_end where nothing is open, or a key has no value");
        return;
    }
    be32_put(packer->data + level->head, (uint32_t)count); /* bounded by the bytes packed */
    packer->depth--;
    placed(packer);
}

/* ---- numbers in bulk ---- */

static void write_float(unsigned char *p, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    p[0] = 0xC1;
    be64_put(p + 1, bits);
}

/* Head and room of a list of floats; NULL when that can't be. */
static unsigned char *float_list(struct bolt_packer *packer, size_t count)
{
    if (!place(packer, false)) {
        return NULL;
    }
    put_count(packer, 0x90, 0xD4, count);
    if (packer->failed != 0) {
        return NULL;
    }
    unsigned char *p = take(packer, count * FLOAT_SIZE); /* count is below 2^31 here */
    placed(packer);
    return p;
}

void bolt_pack_doubles(struct bolt_packer *packer, const double *values, size_t count)
{
    unsigned char *p = float_list(packer, count);

    for (size_t i = 0; p != NULL && i < count; i++) {
        write_float(p + i * FLOAT_SIZE, values[i]);
    }
}

void bolt_pack_floats(struct bolt_packer *packer, const float *values, size_t count)
{
    unsigned char *p = float_list(packer, count);

    for (size_t i = 0; p != NULL && i < count; i++) {
        write_float(p + i * FLOAT_SIZE, (double)values[i]);
    }
}

void bolt_pack_integers(struct bolt_packer *packer, const int64_t *values, size_t count)
{
    if (place(packer, false)) {
        put_count(packer, 0x90, 0xD4, count);
        for (size_t i = 0; i < count && packer->failed == 0; i++) {
            put_integer(packer, values[i]);
        }
        placed(packer);
    }
}

/* ---- structures ---- */

static bool structure(struct bolt_packer *packer, unsigned char tag, unsigned fields)
{
    if (!place(packer, false)) {
        return false;
    }
    put_byte(packer, (unsigned char)(0xB0 | fields));
    put_byte(packer, tag);
    return true;
}

void pack_message(struct bolt_packer *packer, unsigned char tag, unsigned fields)
{
    put_byte(packer, (unsigned char)(0xB0 | fields));
    put_byte(packer, tag);
}

/* A structure of integers alone. */
static void integers(struct bolt_packer *packer, unsigned char tag, unsigned fields, int64_t first,
                     int64_t second, int64_t third)
{
    const int64_t values[] = {first, second, third};

    if (structure(packer, tag, fields)) {
        for (unsigned i = 0; i < fields; i++) {
            put_integer(packer, values[i]);
        }
        placed(packer);
    }
}

static bool nanoseconds_ok(struct bolt_packer *packer, int64_t nanoseconds)
{
    if (nanoseconds < 0 || nanoseconds > NANOSECONDS_MAX) {
        refuse(packer, BOLT_ERR_USAGE, "nanoseconds must be 0 to 999,999,999");
        return false;
    }
    return true;
}

void bolt_pack_date(struct bolt_packer *packer, int64_t days)
{
    integers(packer, 'D', 1, days, 0, 0);
}

void bolt_pack_time(struct bolt_packer *packer, int64_t nanoseconds, int32_t offset_s)
{
    integers(packer, 'T', 2, nanoseconds, offset_s, 0);
}

void bolt_pack_local_time(struct bolt_packer *packer, int64_t nanoseconds)
{
    integers(packer, 't', 1, nanoseconds, 0, 0);
}

void bolt_pack_local_datetime(struct bolt_packer *packer, int64_t seconds, int64_t nanoseconds)
{
    if (nanoseconds_ok(packer, nanoseconds)) {
        integers(packer, 'd', 2, seconds, nanoseconds, 0);
    }
}

void bolt_pack_datetime(struct bolt_packer *packer, int64_t utc_seconds, int64_t nanoseconds,
                        int32_t offset_s)
{
    int64_t wall_clock;

    if (!nanoseconds_ok(packer, nanoseconds)) {
        return;
    }
    if (!packer->legacy_times) {
        packer->needs |= PACK_NEEDS_UTC;
        integers(packer, 'I', 3, utc_seconds, nanoseconds, offset_s);
    } else if (__builtin_add_overflow(utc_seconds, offset_s, &wall_clock)) {
        refuse(packer, BOLT_ERR_USAGE, "a time beyond 64 bits");
    } else {
        packer->needs |= PACK_NEEDS_LEGACY;
        integers(packer, 'F', 3, wall_clock, nanoseconds, offset_s);
    }
}

void bolt_pack_zoned_datetime(struct bolt_packer *packer, int64_t utc_seconds, int64_t nanoseconds,
                              const char *zone)
{
    if (!nanoseconds_ok(packer, nanoseconds)) {
        return;
    }
    if (packer->legacy_times) {
        refuse(packer, BOLT_ERR_UNSUPPORTED,
               "this server's date-times with a zone are ambiguous: send one with an offset");
    } else if (structure(packer, 'i', 3)) {
        packer->needs |= PACK_NEEDS_UTC;
        put_integer(packer, utc_seconds);
        put_integer(packer, nanoseconds);
        put_string(packer, zone, strlen(zone));
        placed(packer);
    }
}

void bolt_pack_duration(struct bolt_packer *packer, const struct bolt_duration *duration)
{
    if (structure(packer, 'E', 4)) {
        put_integer(packer, duration->months);
        put_integer(packer, duration->days);
        put_integer(packer, duration->seconds);
        put_integer(packer, duration->nanoseconds);
        placed(packer);
    }
}

void bolt_pack_point_2d(struct bolt_packer *packer, int64_t srid, double x, double y)
{
    if (structure(packer, 'X', 3)) {
        put_integer(packer, srid);
        put_float(packer, x);
        put_float(packer, y);
        placed(packer);
    }
}

void bolt_pack_point_3d(struct bolt_packer *packer, int64_t srid, double x, double y, double z)
{
    if (structure(packer, 'Y', 4)) {
        put_integer(packer, srid);
        put_float(packer, x);
        put_float(packer, y);
        put_float(packer, z);
        placed(packer);
    }
}

/* ---- vectors ---- */

/* Elements in this machine's byte order to big-endian ones. */
static void write_elements(unsigned char *to, const unsigned char *from, size_t width, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t two;
        uint32_t four;
        uint64_t eight;
        switch (width) {
        case 1:
            to[i] = from[i];
            break;
        case 2:
            memcpy(&two, from + 2 * i, sizeof(two));
            be16_put(to + 2 * i, two);
            break;
        case 4:
            memcpy(&four, from + 4 * i, sizeof(four));
            be32_put(to + 4 * i, four);
            break;
        default:
            memcpy(&eight, from + 8 * i, sizeof(eight));
            be64_put(to + 8 * i, eight);
            break;
        }
    }
}

static unsigned char *vector_head(struct bolt_packer *packer, enum bolt_vector_type type,
                                  size_t width, size_t count)
{
    if (width == 0) {
        refuse(packer, BOLT_ERR_USAGE, "there are no vectors of this type");
    } else if (count > INT32_MAX / width) {
        refuse(packer, BOLT_ERR_LIMIT, "more than 2^31 - 1 bytes in a vector");
    }
    if (!structure(packer, 'V', 2)) {
        return NULL;
    }
    packer->needs |= PACK_NEEDS_6;
    put_number(packer, 0xCC, 1, 1);
    put_byte(packer, (unsigned char)type);
    put_count(packer, 0, 0xCC, count * width);
    unsigned char *p = take(packer, count * width);
    placed(packer);
    return p;
}

void bolt_pack_vector(struct bolt_packer *packer, enum bolt_vector_type type, const void *elements,
                      size_t count)
{
    size_t width = value_vector_width(type);
    unsigned char *p = vector_head(packer, type, width, count);

    if (p != NULL) {
        write_elements(p, elements, width, count);
    }
}

/* ---- values that were received ---- */

static void pack_time_value(struct bolt_packer *packer, const struct bolt_value *value)
{
    struct bolt_time time = {0};

    (void)bolt_value_time(value, &time); /* the caller looked at its type */
    switch (value->type) {
    case BOLT_DATE:
        bolt_pack_date(packer, time.days);
        break;
    case BOLT_TIME:
        bolt_pack_time(packer, time.nanoseconds, time.offset_s);
        break;
    case BOLT_LOCAL_TIME:
        bolt_pack_local_time(packer, time.nanoseconds);
        break;
    case BOLT_LOCAL_DATETIME:
        bolt_pack_local_datetime(packer, time.seconds, time.nanoseconds);
        break;
    case BOLT_DATETIME:
        bolt_pack_datetime(packer, time.seconds, time.nanoseconds, time.offset_s);
        break;
    default: /* BOLT_ZONED_DATETIME: as it came, in either form */
        if (structure(packer, time.wall_clock ? 'f' : 'i', 3)) {
            packer->needs |= time.wall_clock ? PACK_NEEDS_LEGACY : PACK_NEEDS_UTC;
            put_integer(packer, time.seconds);
            put_integer(packer, time.nanoseconds);
            put_string(packer, time.zone.data, time.zone.size);
            placed(packer);
        }
        break;
    }
}

static void pack_structure_value(struct bolt_packer *packer, const struct bolt_value *value)
{
    struct bolt_duration duration;
    struct bolt_point point;
    struct bolt_vector vector;

    if (bolt_value_duration(value, &duration)) {
        bolt_pack_duration(packer, &duration);
    } else if (bolt_value_point(value, &point)) {
        if (value->type == BOLT_POINT_2D) {
            bolt_pack_point_2d(packer, point.srid, point.x, point.y);
        } else {
            bolt_pack_point_3d(packer, point.srid, point.x, point.y, point.z);
        }
    } else if (bolt_value_vector(value, &vector)) {
        size_t width = value_vector_width(vector.type);
        unsigned char *p = vector_head(packer, vector.type, width, vector.count);
        if (p != NULL) {
            memcpy(p, vector.data, vector.count * width);
        }
    } else {
        refuse(packer, BOLT_ERR_USAGE, "nodes, relationships and paths can't be sent");
    }
}

/* Depth is that of what was received: BOLT_DEPTH_MAX at most. */
static void pack_items(struct bolt_packer *packer, const struct bolt_value *container)
{
    struct bolt_iter iter = bolt_iter_of(container);
    struct bolt_string key;
    struct bolt_value item;

    if (container->type == BOLT_LIST) {
        bolt_pack_list(packer, container->count);
        while (bolt_iter_next(&iter, &item)) {
            bolt_pack_value(packer, &item);
        }
        return;
    }
    bolt_pack_map(packer, container->count);
    while (bolt_iter_entry(&iter, &key, &item)) {
        bolt_pack_string(packer, key.data, key.size);
        bolt_pack_value(packer, &item);
    }
}

void bolt_pack_value(struct bolt_packer *packer, const struct bolt_value *value)
{
    switch (value->type) {
    case BOLT_NULL:
        bolt_pack_null(packer);
        break;
    case BOLT_BOOLEAN:
        bolt_pack_boolean(packer, value->as.boolean);
        break;
    case BOLT_INTEGER:
        bolt_pack_integer(packer, value->as.integer);
        break;
    case BOLT_FLOAT:
        bolt_pack_float(packer, value->as.real);
        break;
    case BOLT_BYTES:
        bolt_pack_bytes(packer, value->as.bytes, value->count);
        break;
    case BOLT_STRING:
        bolt_pack_string(packer, value->as.string, value->count);
        break;
    case BOLT_LIST:
    case BOLT_MAP:
        pack_items(packer, value);
        break;
    default:
        if (value->type >= BOLT_DATE && value->type <= BOLT_LOCAL_DATETIME) {
            pack_time_value(packer, value);
        } else {
            pack_structure_value(packer, value);
        }
        break;
    }
}
