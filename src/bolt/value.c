#include "bolt/value.h"

#include "base/num.h"
#include "base/utf8.h"

enum {
    MARK_NULL = 0xC0,
    MARK_FLOAT = 0xC1,
    MARK_FALSE = 0xC2,
    MARK_TRUE = 0xC3,
    MARK_INT8 = 0xC8,
    MARK_INT16 = 0xC9,
    MARK_INT32 = 0xCA,
    MARK_INT64 = 0xCB,
    MARK_BYTES8 = 0xCC,
    MARK_STRING8 = 0xD0,
    MARK_LIST8 = 0xD4,
    MARK_MAP8 = 0xD8,
};

#define FLOAT_SIZE 9 /* marker and 8 bytes */

/* What a marker announces, and how many bytes of length or number stand behind it. */
struct head {
    enum bolt_type type; /* BOLT_NODE for any structure */
    unsigned char width; /* bytes behind the marker */
    bool known;
    uint32_t tiny; /* the count that the marker itself has */
};

static struct head head_of(unsigned char marker)
{
    if (marker < 0x80 || marker >= 0xF0) {
        return (struct head){BOLT_INTEGER, 0, true, 0};
    }
    if (marker < 0xC0) {
        static const enum bolt_type TINY[] = {BOLT_STRING, BOLT_LIST, BOLT_MAP, BOLT_NODE};
        return (struct head){TINY[(marker >> 4) - 8], 0, true, marker & 0x0Fu};
    }
    switch (marker) {
    case MARK_NULL:
        return (struct head){BOLT_NULL, 0, true, 0};
    case MARK_FLOAT:
        return (struct head){BOLT_FLOAT, 8, true, 0};
    case MARK_FALSE:
    case MARK_TRUE:
        return (struct head){BOLT_BOOLEAN, 0, true, 0};
    case MARK_INT8:
    case MARK_INT16:
    case MARK_INT32:
    case MARK_INT64:
        return (struct head){BOLT_INTEGER, (unsigned char)(1u << (marker - MARK_INT8)), true, 0};
    case MARK_BYTES8:
    case MARK_BYTES8 + 1:
    case MARK_BYTES8 + 2:
        return (struct head){BOLT_BYTES, (unsigned char)(1u << (marker - MARK_BYTES8)), true, 0};
    case MARK_STRING8:
    case MARK_STRING8 + 1:
    case MARK_STRING8 + 2:
        return (struct head){BOLT_STRING, (unsigned char)(1u << (marker - MARK_STRING8)), true, 0};
    case MARK_LIST8:
    case MARK_LIST8 + 1:
    case MARK_LIST8 + 2:
        return (struct head){BOLT_LIST, (unsigned char)(1u << (marker - MARK_LIST8)), true, 0};
    case MARK_MAP8:
    case MARK_MAP8 + 1:
    case MARK_MAP8 + 2:
        return (struct head){BOLT_MAP, (unsigned char)(1u << (marker - MARK_MAP8)), true, 0};
    default:
        return (struct head){BOLT_NULL, 0, false, 0};
    }
}

static uint32_t read_count(const unsigned char *p, const struct head *head)
{
    switch (head->width) {
    case 0:
        return head->tiny;
    case 1:
        return p[0];
    case 2:
        return be16_get(p);
    default:
        return be32_get(p);
    }
}

static int64_t read_integer(const unsigned char *p, unsigned char marker, unsigned char width)
{
    switch (width) {
    case 0:
        return (int8_t)marker;
    case 1:
        return (int8_t)p[0];
    case 2:
        return (int16_t)be16_get(p);
    case 4:
        return (int32_t)be32_get(p);
    default:
        return (int64_t)be64_get(p);
    }
}

static inline double read_double(const unsigned char *p)
{
    uint64_t bits = be64_get(p);
    double value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* ---- checking ---- */

/* Most texts are, keys above all; NUL is one of it. */
static bool is_ascii(const char *data, size_t size)
{
    uint64_t all = 0;
    uint64_t word;

    for (; size >= sizeof(word); size -= sizeof(word), data += sizeof(word)) {
        memcpy(&word, data, sizeof(word));
        all |= word;
    }
    for (; size > 0; size--, data++) {
        all |= (unsigned char)*data;
    }
    return (all & 0x8080808080808080u) == 0;
}

bool value_text_ok(const char *data, size_t size)
{
    struct err err;
    size_t points;

    if (is_ascii(data, size) || utf8_check((struct str){data, size}, &points, &err) == 0) {
        return true;
    }
    const char *nul = size > 0 ? memchr(data, 0, size) : NULL;
    while (nul != NULL) {
        if (utf8_check((struct str){data, (size_t)(nul - data)}, &points, &err) < 0) {
            return false;
        }
        size -= (size_t)(nul - data) + 1;
        data = nul + 1;
        nul = size > 0 ? memchr(data, 0, size) : NULL;
        if (nul == NULL) {
            return utf8_check((struct str){data, size}, &points, &err) == 0;
        }
    }
    return false;
}

const unsigned char *value_refuse(const struct value_checker *checker, const unsigned char *p,
                                  const char *text)
{
    (void)bolt_fail(checker->error, BOLT_ERR_PROTOCOL, "PackStream byte %zu: %s",
                    (size_t)(p - checker->base), text);
    return NULL;
}

/* Lists of floats are what embeddings are: looked at in one go. */
static const unsigned char *check_items(const struct value_checker *checker, const unsigned char *p,
                                        uint32_t count, unsigned depth)
{
    while (count > 0) {
        while (count > 0 && checker->end - p >= FLOAT_SIZE && *p == MARK_FLOAT) {
            p += FLOAT_SIZE;
            count--;
        }
        if (count == 0) {
            break;
        }
        p = value_check_at(checker, p, depth);
        if (p == NULL) {
            return NULL;
        }
        count--;
    }
    return p;
}

static const unsigned char *check_text(const struct value_checker *checker, const unsigned char *p,
                                       uint32_t size)
{
    if (!value_text_ok((const char *)p, size)) {
        return value_refuse(checker, p, "a text is not UTF-8");
    }
    return p + size;
}

static const unsigned char *check_entries(const struct value_checker *checker,
                                          const unsigned char *p, uint32_t count, unsigned depth)
{
    for (; count > 0; count--) {
        if (p == checker->end || head_of(*p).type != BOLT_STRING || !head_of(*p).known) {
            return value_refuse(checker, p, "the key of a map is no text");
        }
        p = value_check_at(checker, p, depth);
        if (p != NULL) {
            p = value_check_at(checker, p, depth);
        }
        if (p == NULL) {
            return NULL;
        }
    }
    return p;
}

/* An item takes a byte at least, an entry two: more can't be there, whatever is declared. */
static const unsigned char *check_counted(const struct value_checker *checker,
                                          const unsigned char *p, enum bolt_type type,
                                          uint32_t count, unsigned depth)
{
    size_t left = (size_t)(checker->end - p);
    uint64_t least = type == BOLT_MAP ? 2 * (uint64_t)count : count;

    if (least > left) {
        return value_refuse(checker, p, "a length is beyond the bytes that are there");
    }
    switch (type) {
    case BOLT_STRING:
        return check_text(checker, p, count);
    case BOLT_BYTES:
        return p + count;
    case BOLT_LIST:
    case BOLT_MAP:
        if (depth == BOLT_DEPTH_MAX) {
            return value_refuse(checker, p, "values are nested too deep");
        }
        return type == BOLT_LIST ? check_items(checker, p, count, depth + 1)
                                 : check_entries(checker, p, count, depth + 1);
    default:
        if (left < (uint64_t)count + 1) {
            return value_refuse(checker, p, "a structure is cut off");
        }
        if (depth == BOLT_DEPTH_MAX) {
            return value_refuse(checker, p, "values are nested too deep");
        }
        return value_check_struct(checker, p, count, depth + 1);
    }
}

const unsigned char *value_check_at(const struct value_checker *checker, const unsigned char *p,
                                    unsigned depth)
{
    if (p == checker->end) {
        return value_refuse(checker, p, "a value is missing");
    }
    struct head head = head_of(*p);
    if (!head.known) {
        return value_refuse(checker, p, "there is no such marker");
    }
    if ((size_t)(checker->end - p) - 1 < head.width) {
        return value_refuse(checker, p, "a value is cut off");
    }
    p++;
    switch (head.type) {
    case BOLT_NULL:
    case BOLT_BOOLEAN:
    case BOLT_INTEGER:
    case BOLT_FLOAT:
        return p + head.width;
    default:
        return check_counted(checker, p + head.width, head.type, read_count(p, &head), depth);
    }
}

const unsigned char *value_check(const unsigned char *base, const unsigned char *p,
                                 const unsigned char *end, struct bolt_error *error)
{
    struct value_checker checker = {base, end, error};

    return value_check_at(&checker, p, 0);
}

int bolt_value_read(const void *bytes, size_t size, struct bolt_value *ret, size_t *ret_used,
                    struct bolt_error *error)
{
    static const unsigned char NOTHING[1];
    const unsigned char *start = size == 0 ? NOTHING : bytes;
    const unsigned char *behind = value_check(start, start, start + size, error);

    if (behind == NULL) {
        return -(int)BOLT_ERR_PROTOCOL;
    }
    size_t used = (size_t)(behind - start);
    if (ret_used == NULL && used != size) {
        return bolt_fail(error, BOLT_ERR_PROTOCOL,
                         "PackStream byte %zu: something follows the value", used);
    }
    (void)value_view(start, ret);
    if (ret_used != NULL) {
        *ret_used = used;
    }
    return 0;
}

/* ---- viewing what was checked ---- */

const unsigned char *value_view(const unsigned char *p, struct bolt_value *ret)
{
    unsigned char marker = *p++;
    struct head head = head_of(marker);

    ret->type = head.type;
    ret->count = 0;
    switch (head.type) {
    case BOLT_NULL:
        ret->as.integer = 0;
        return p;
    case BOLT_BOOLEAN:
        ret->as.integer = 0;
        ret->as.boolean = marker == MARK_TRUE;
        return p;
    case BOLT_INTEGER:
        ret->as.integer = read_integer(p, marker, head.width);
        return p + head.width;
    case BOLT_FLOAT:
        ret->as.real = read_double(p);
        return p + head.width;
    default:
        ret->count = read_count(p, &head);
        p += head.width;
        break;
    }
    switch (head.type) {
    case BOLT_STRING:
        ret->as.string = (const char *)p;
        return p + ret->count;
    case BOLT_BYTES:
        ret->as.bytes = p;
        return p + ret->count;
    case BOLT_NODE:
        ret->type = value_struct_type(*p++);
        break;
    default:
        break;
    }
    ret->as.packed = p;
    return p;
}

const unsigned char *value_skip(const unsigned char *p, uint64_t items)
{
    while (items > 0) {
        while (items > 0 && *p == MARK_FLOAT) {
            p += FLOAT_SIZE;
            items--;
        }
        if (items == 0) {
            break;
        }
        struct bolt_value value;
        p = value_view(p, &value);
        items--;
        if (value.type >= BOLT_LIST) {
            items += value.type == BOLT_MAP ? 2 * (uint64_t)value.count : value.count;
        }
    }
    return p;
}

static size_t packed_size(const struct bolt_value *value)
{
    if (value->type == BOLT_STRING || value->type == BOLT_BYTES) {
        return value->count;
    }
    uint64_t items = value->type == BOLT_MAP ? 2 * (uint64_t)value->count : value->count;
    return (size_t)(value_skip(value->as.packed, items) - value->as.packed);
}

struct bolt_value *bolt_value_copy(const struct bolt_value *value)
{
    bool scalar = value->type < BOLT_BYTES;
    bool structure = value->type > BOLT_MAP; /* its tag stands before its fields */
    size_t size = scalar ? 0 : packed_size(value) + structure;
    struct bolt_value *copy = malloc(sizeof(*copy) + size);

    if (copy == NULL) {
        return NULL;
    }
    *copy = *value;
    if (!scalar) {
        unsigned char *bytes = (unsigned char *)(copy + 1);
        if (size > 0) {
            memcpy(bytes, value->as.packed - structure, size);
        }
        copy->as.packed = bytes + structure;
    }
    return copy;
}

struct bolt_string bolt_value_string(const struct bolt_value *value)
{
    if (value->type != BOLT_STRING) {
        return (struct bolt_string){NULL, 0};
    }
    return (struct bolt_string){value->as.string, value->count};
}

/* ---- containers ---- */

struct bolt_iter bolt_iter_of(const struct bolt_value *container)
{
    bool walks = container->type == BOLT_LIST || container->type == BOLT_MAP;

    return (struct bolt_iter){walks ? container->as.packed : NULL, walks ? container->count : 0,
                              container->type == BOLT_MAP};
}

static void take_value(struct bolt_iter *iter, struct bolt_value *ret)
{
    const unsigned char *behind = value_view(iter->at, ret);

    iter->at = ret->type < BOLT_LIST ? behind : value_skip(iter->at, 1);
    iter->left--;
}

bool bolt_iter_next(struct bolt_iter *iter, struct bolt_value *ret)
{
    if (iter->left == 0) {
        return false;
    }
    if (iter->map) {
        iter->at = value_skip(iter->at, 1);
    }
    take_value(iter, ret);
    return true;
}

bool bolt_iter_entry(struct bolt_iter *iter, struct bolt_string *ret_key, struct bolt_value *ret)
{
    if (iter->left == 0 || !iter->map) {
        return false;
    }
    struct bolt_value key;
    iter->at = value_view(iter->at, &key);
    *ret_key = bolt_value_string(&key);
    take_value(iter, ret);
    return true;
}

bool bolt_map_get(const struct bolt_value *map, const char *key, struct bolt_value *ret)
{
    struct bolt_iter iter = bolt_iter_of(map);
    struct bolt_string name;
    struct bolt_value value;
    bool found = false;

    while (bolt_iter_entry(&iter, &name, &value)) {
        if (bolt_string_is(name, key)) {
            *ret = value;
            found = true;
        }
    }
    return found;
}

/* ---- numbers in bulk ---- */

#define EXACT_MAX (INT64_C(1) << 53) /* every integer up to here is a double */

static bool exact_double(const struct bolt_value *value, double *ret)
{
    if (value->type == BOLT_FLOAT) {
        *ret = value->as.real;
        return true;
    }
    if (value->type != BOLT_INTEGER || value->as.integer > EXACT_MAX ||
        value->as.integer < -EXACT_MAX) {
        return false;
    }
    *ret = (double)value->as.integer;
    return true;
}

static void vector_item(const struct bolt_vector *vector, uint32_t at, struct bolt_value *ret)
{
    unsigned char width = head_of((unsigned char)vector->type).width;

    if (vector->type == BOLT_VECTOR_FLOAT32) {
        uint32_t bits = be32_get(vector->data + 4 * (size_t)at);
        float value;
        memcpy(&value, &bits, sizeof(value));
        *ret = (struct bolt_value){.type = BOLT_FLOAT, .as.real = (double)value};
    } else if (vector->type == BOLT_VECTOR_FLOAT64) {
        *ret = (struct bolt_value){.type = BOLT_FLOAT,
                                   .as.real = read_double(vector->data + 8 * (size_t)at)};
    } else {
        *ret = (struct bolt_value){.type = BOLT_INTEGER,
                                   .as.integer =
                                       read_integer(vector->data + width * (size_t)at, 0, width)};
    }
}

/* The numbers of a LIST or VECTOR one after the other. */
struct numbers {
    bool ok;
    bool is_vector;
    struct bolt_iter iter;
    struct bolt_vector vector;
    uint32_t at;
};

static struct numbers numbers_of(const struct bolt_value *list, size_t count)
{
    struct numbers numbers = {.iter = bolt_iter_of(list)};

    numbers.is_vector = bolt_value_vector(list, &numbers.vector);
    numbers.ok = numbers.is_vector ? numbers.vector.count == count
                                   : list->type == BOLT_LIST && list->count == count;
    return numbers;
}

static void numbers_next(struct numbers *numbers, struct bolt_value *ret)
{
    if (numbers->is_vector) {
        vector_item(&numbers->vector, numbers->at++, ret);
    } else {
        (void)bolt_iter_next(&numbers->iter, ret); /* the count was compared before */
    }
}

bool bolt_list_doubles(const struct bolt_value *list, double *ret, size_t count)
{
    struct numbers numbers = numbers_of(list, count);
    struct bolt_value value;
    size_t i = 0;

    if (!numbers.ok) {
        return false;
    }
    while (i < count) {
        while (!numbers.is_vector && i < count && *numbers.iter.at == MARK_FLOAT) {
            ret[i++] = read_double(numbers.iter.at + 1);
            numbers.iter.at += FLOAT_SIZE;
            numbers.iter.left--;
        }
        if (i < count) {
            numbers_next(&numbers, &value);
            if (!exact_double(&value, &ret[i++])) {
                return false;
            }
        }
    }
    return true;
}

bool bolt_list_floats(const struct bolt_value *list, float *ret, size_t count)
{
    struct numbers numbers = numbers_of(list, count);
    struct bolt_value value;
    size_t i = 0;

    if (!numbers.ok) {
        return false;
    }
    while (i < count) {
        while (!numbers.is_vector && i < count && *numbers.iter.at == MARK_FLOAT) {
            ret[i++] = (float)read_double(numbers.iter.at + 1);
            numbers.iter.at += FLOAT_SIZE;
            numbers.iter.left--;
        }
        if (i < count) {
            double wide;
            numbers_next(&numbers, &value);
            if (!exact_double(&value, &wide)) {
                return false;
            }
            ret[i++] = (float)wide;
        }
    }
    return true;
}

bool bolt_list_integers(const struct bolt_value *list, int64_t *ret, size_t count)
{
    struct numbers numbers = numbers_of(list, count);
    struct bolt_value value;

    if (!numbers.ok) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        numbers_next(&numbers, &value);
        if (value.type != BOLT_INTEGER) {
            return false;
        }
        ret[i] = value.as.integer;
    }
    return true;
}
