#include <limits.h>

#include "bolt/value.h"

#define NANOSECONDS 1000000000
#define DAY_NANOSECONDS (INT64_C(86400) * NANOSECONDS)
#define FIELDS_MAX 8

/*
 * The structures there are. `fields` has a letter a field: i integer, f float, s text, b bytes, m
 * map, l list, L list of texts, N list of nodes, R list of unbound relationships, I list of
 * integers. Those behind `least` came with Bolt 5.0; none or all of them are there.
 */
static const struct layout {
    unsigned char tag;
    unsigned char least;
    enum bolt_type type;
    const char *fields;
} LAYOUTS[] = {
    {'N', 3, BOLT_NODE, "iLms"},
    {'R', 5, BOLT_RELATIONSHIP, "iiismsss"},
    {'r', 3, BOLT_UNBOUND_RELATIONSHIP, "isms"},
    {'P', 3, BOLT_PATH, "NRI"},
    {'D', 1, BOLT_DATE, "i"},
    {'T', 2, BOLT_TIME, "ii"},
    {'t', 1, BOLT_LOCAL_TIME, "i"},
    {'I', 3, BOLT_DATETIME, "iii"},
    {'F', 3, BOLT_DATETIME, "iii"}, /* before Bolt 5.0: seconds of the wall clock */
    {'i', 3, BOLT_ZONED_DATETIME, "iis"},
    {'f', 3, BOLT_ZONED_DATETIME, "iis"}, /* likewise */
    {'d', 2, BOLT_LOCAL_DATETIME, "ii"},
    {'E', 4, BOLT_DURATION, "iiii"},
    {'X', 3, BOLT_POINT_2D, "iff"},
    {'Y', 4, BOLT_POINT_3D, "ifff"},
    {'V', 2, BOLT_VECTOR, "bb"},
    {'?', 4, BOLT_UNSUPPORTED, "siim"},
};

static const char *const TYPE_NAMES[] = {
    [BOLT_NULL] = "null",
    [BOLT_BOOLEAN] = "boolean",
    [BOLT_INTEGER] = "integer",
    [BOLT_FLOAT] = "float",
    [BOLT_BYTES] = "bytes",
    [BOLT_STRING] = "string",
    [BOLT_LIST] = "list",
    [BOLT_MAP] = "map",
    [BOLT_NODE] = "node",
    [BOLT_RELATIONSHIP] = "relationship",
    [BOLT_UNBOUND_RELATIONSHIP] = "unbound relationship",
    [BOLT_PATH] = "path",
    [BOLT_DATE] = "date",
    [BOLT_TIME] = "time",
    [BOLT_LOCAL_TIME] = "local time",
    [BOLT_DATETIME] = "datetime",
    [BOLT_ZONED_DATETIME] = "zoned datetime",
    [BOLT_LOCAL_DATETIME] = "local datetime",
    [BOLT_DURATION] = "duration",
    [BOLT_POINT_2D] = "point 2d",
    [BOLT_POINT_3D] = "point 3d",
    [BOLT_VECTOR] = "vector",
    [BOLT_UNSUPPORTED] = "unsupported",
};

const char *bolt_type_name(enum bolt_type type)
{
    unsigned index = (unsigned)type;

    return index < sizeof(TYPE_NAMES) / sizeof(TYPE_NAMES[0]) ? TYPE_NAMES[index] : "unknown";
}

static const struct layout *layout_of(unsigned char tag)
{
    for (size_t i = 0; i < sizeof(LAYOUTS) / sizeof(LAYOUTS[0]); i++) {
        if (LAYOUTS[i].tag == tag) {
            return &LAYOUTS[i];
        }
    }
    return NULL;
}

enum bolt_type value_struct_type(unsigned char tag)
{
    const struct layout *layout = layout_of(tag);

    return layout == NULL ? BOLT_NULL : layout->type;
}

/* ---- checking ---- */

static bool all_are(const struct bolt_value *list, enum bolt_type type)
{
    struct bolt_iter iter = bolt_iter_of(list);
    struct bolt_value item;

    if (list->type != BOLT_LIST) {
        return false;
    }
    while (bolt_iter_next(&iter, &item)) {
        if (item.type != type) {
            return false;
        }
    }
    return true;
}

static bool field_fits(char kind, const struct bolt_value *value)
{
    switch (kind) {
    case 'i':
        return value->type == BOLT_INTEGER;
    case 'f':
        return value->type == BOLT_FLOAT;
    case 's':
        return value->type == BOLT_STRING;
    case 'b':
        return value->type == BOLT_BYTES;
    case 'm':
        return value->type == BOLT_MAP;
    case 'L':
        return all_are(value, BOLT_STRING);
    case 'N':
        return all_are(value, BOLT_NODE);
    case 'R':
        return all_are(value, BOLT_UNBOUND_RELATIONSHIP);
    default:
        return all_are(value, BOLT_INTEGER);
    }
}

static bool in_range(const struct bolt_value *value, int64_t min, int64_t max)
{
    return value->as.integer >= min && value->as.integer <= max;
}

/* Relationships 1 to n or their negatives, nodes 0 to n - 1; they alternate. */
static bool path_fits(const struct bolt_value *fields)
{
    struct bolt_iter iter = bolt_iter_of(&fields[2]);
    int64_t nodes = fields[0].count;
    int64_t relationships = fields[1].count;
    struct bolt_value relationship;
    struct bolt_value node;

    if (nodes == 0 || fields[2].count % 2 != 0) {
        return false;
    }
    while (bolt_iter_next(&iter, &relationship) && bolt_iter_next(&iter, &node)) {
        if (relationship.as.integer == 0 ||
            !in_range(&relationship, -relationships, relationships) ||
            !in_range(&node, 0, nodes - 1)) {
            return false;
        }
    }
    return true;
}

size_t value_vector_width(unsigned type)
{
    switch (type) {
    case BOLT_VECTOR_INT8:
        return 1;
    case BOLT_VECTOR_INT16:
        return 2;
    case BOLT_VECTOR_INT32:
    case BOLT_VECTOR_FLOAT32:
        return 4;
    case BOLT_VECTOR_INT64:
    case BOLT_VECTOR_FLOAT64:
        return 8;
    default:
        return 0;
    }
}

static bool vector_fits(const struct bolt_value *fields)
{
    size_t width = fields[0].count == 1 ? value_vector_width(fields[0].as.bytes[0]) : 0;

    return width > 0 && fields[1].count % width == 0;
}

/* The wall clock's seconds must have a place on the UTC clock. */
static bool legacy_fits(const struct bolt_value *fields)
{
    int64_t utc;

    return !__builtin_sub_overflow(fields[0].as.integer, fields[2].as.integer, &utc);
}

static bool offset_fits(const struct bolt_value *offset)
{
    return in_range(offset, INT32_MIN, INT32_MAX);
}

static bool values_fit(unsigned char tag, const struct bolt_value *fields)
{
    switch (tag) {
    case 'P':
        return path_fits(fields);
    case 'V':
        return vector_fits(fields);
    case 'T':
        return in_range(&fields[0], 0, DAY_NANOSECONDS - 1) && offset_fits(&fields[1]);
    case 't':
        return in_range(&fields[0], 0, DAY_NANOSECONDS - 1);
    case 'F':
        return in_range(&fields[1], 0, NANOSECONDS - 1) && offset_fits(&fields[2]) &&
               legacy_fits(fields);
    case 'I':
        return in_range(&fields[1], 0, NANOSECONDS - 1) && offset_fits(&fields[2]);
    case 'd':
    case 'i':
    case 'f':
        return in_range(&fields[1], 0, NANOSECONDS - 1);
    default:
        return true;
    }
}

const unsigned char *value_check_struct(const struct value_checker *checker, const unsigned char *p,
                                        uint32_t fields, unsigned depth)
{
    const unsigned char *tag = p++;
    const struct layout *layout = layout_of(*tag);
    struct bolt_value values[FIELDS_MAX];

    if (layout == NULL) {
        return value_refuse(checker, tag, "there is no structure with this tag");
    }
    if (fields != layout->least && fields != strlen(layout->fields)) {
        return value_refuse(checker, tag, "a structure has too few or too many fields");
    }
    for (uint32_t i = 0; i < fields; i++) {
        const unsigned char *behind = value_check_at(checker, p, depth);
        if (behind == NULL) {
            return NULL;
        }
        (void)value_view(p, &values[i]);
        if (!field_fits(layout->fields[i], &values[i])) {
            return value_refuse(checker, p, "a structure's field is of the wrong type");
        }
        p = behind;
    }
    if (!values_fit(*tag, values)) {
        return value_refuse(checker, tag, "a structure's field is out of range");
    }
    return p;
}

/* ---- views ---- */

/* All fields of a structure; those it hasn't are null. Walked, as fields may be of any size. */
static void read_fields(const struct bolt_value *structure, struct bolt_value ret[FIELDS_MAX])
{
    struct bolt_iter iter = {structure->as.packed, structure->count, false};

    for (size_t i = 0; i < FIELDS_MAX; i++) {
        if (!bolt_iter_next(&iter, &ret[i])) {
            ret[i] = (struct bolt_value){.type = BOLT_NULL};
        }
    }
}

static unsigned char tag_of(const struct bolt_value *structure)
{
    return structure->as.packed[-1];
}

bool bolt_value_node(const struct bolt_value *value, struct bolt_node *ret)
{
    struct bolt_value fields[FIELDS_MAX];

    if (value->type != BOLT_NODE) {
        return false;
    }
    read_fields(value, fields);
    *ret = (struct bolt_node){fields[0].as.integer, bolt_value_string(&fields[3]), fields[1],
                              fields[2]};
    return true;
}

bool bolt_value_relationship(const struct bolt_value *value, struct bolt_relationship *ret)
{
    struct bolt_value fields[FIELDS_MAX];

    if (value->type == BOLT_RELATIONSHIP) {
        read_fields(value, fields);
        *ret = (struct bolt_relationship){
            .id = fields[0].as.integer,
            .start_id = fields[1].as.integer,
            .end_id = fields[2].as.integer,
            .type = bolt_value_string(&fields[3]),
            .properties = fields[4],
            .element_id = bolt_value_string(&fields[5]),
            .start_element_id = bolt_value_string(&fields[6]),
            .end_element_id = bolt_value_string(&fields[7]),
        };
        return true;
    }
    if (value->type != BOLT_UNBOUND_RELATIONSHIP) {
        return false;
    }
    read_fields(value, fields);
    *ret = (struct bolt_relationship){
        .id = fields[0].as.integer,
        .type = bolt_value_string(&fields[1]),
        .properties = fields[2],
        .element_id = bolt_value_string(&fields[3]),
    };
    return true;
}

bool bolt_value_path(const struct bolt_value *value, struct bolt_path *ret)
{
    struct bolt_value fields[FIELDS_MAX];

    if (value->type != BOLT_PATH) {
        return false;
    }
    read_fields(value, fields);
    *ret = (struct bolt_path){fields[2].count / 2, fields[0], fields[1], fields[2]};
    return true;
}

/* Item number `at` of a list, which has it. */
static struct bolt_value item_at(const struct bolt_value *list, uint64_t at)
{
    struct bolt_value item;

    (void)value_view(value_skip(list->as.packed, at), &item);
    return item;
}

bool bolt_path_step(const struct bolt_path *path, uint32_t at, struct bolt_node *ret_from,
                    struct bolt_relationship *ret_step, struct bolt_node *ret_to)
{
    if (at >= path->length) {
        return false;
    }
    int64_t from = at == 0 ? 0 : item_at(&path->indices, 2 * (uint64_t)at - 1).as.integer;
    int64_t step = item_at(&path->indices, 2 * (uint64_t)at).as.integer;
    int64_t to = item_at(&path->indices, 2 * (uint64_t)at + 1).as.integer;
    struct bolt_value node = item_at(&path->nodes, (uint64_t)from);
    (void)bolt_value_node(&node, ret_from); /* types were checked when it arrived */
    node = item_at(&path->nodes, (uint64_t)to);
    (void)bolt_value_node(&node, ret_to);
    node = item_at(&path->relationships, (uint64_t)(step < 0 ? -step : step) - 1);
    (void)bolt_value_relationship(&node, ret_step);
    const struct bolt_node *start = step > 0 ? ret_from : ret_to;
    const struct bolt_node *end = step > 0 ? ret_to : ret_from;
    ret_step->start_id = start->id;
    ret_step->start_element_id = start->element_id;
    ret_step->end_id = end->id;
    ret_step->end_element_id = end->element_id;
    return true;
}

bool bolt_value_time(const struct bolt_value *value, struct bolt_time *ret)
{
    struct bolt_value fields[FIELDS_MAX];

    if (value->type < BOLT_DATE || value->type > BOLT_LOCAL_DATETIME) {
        return false;
    }
    read_fields(value, fields);
    *ret = (struct bolt_time){0};
    switch (value->type) {
    case BOLT_DATE:
        ret->days = fields[0].as.integer;
        return true;
    case BOLT_TIME:
        ret->nanoseconds = fields[0].as.integer;
        ret->offset_s = (int32_t)fields[1].as.integer;
        return true;
    case BOLT_LOCAL_TIME:
        ret->nanoseconds = fields[0].as.integer;
        return true;
    default:
        ret->seconds = fields[0].as.integer;
        ret->nanoseconds = fields[1].as.integer;
        break;
    }
    switch (tag_of(value)) {
    case 'F':
        ret->seconds -= fields[2].as.integer; /* fits: legacy_fits */
        ret->offset_s = (int32_t)fields[2].as.integer;
        break;
    case 'I':
        ret->offset_s = (int32_t)fields[2].as.integer;
        break;
    case 'd':
        ret->wall_clock = true;
        break;
    default: /* 'i', 'f' */
        ret->zone = bolt_value_string(&fields[2]);
        ret->wall_clock = tag_of(value) == 'f';
        break;
    }
    return true;
}

bool bolt_value_duration(const struct bolt_value *value, struct bolt_duration *ret)
{
    struct bolt_value fields[FIELDS_MAX];

    if (value->type != BOLT_DURATION) {
        return false;
    }
    read_fields(value, fields);
    *ret = (struct bolt_duration){fields[0].as.integer, fields[1].as.integer, fields[2].as.integer,
                                  fields[3].as.integer};
    return true;
}

bool bolt_value_point(const struct bolt_value *value, struct bolt_point *ret)
{
    struct bolt_value fields[FIELDS_MAX];

    if (value->type != BOLT_POINT_2D && value->type != BOLT_POINT_3D) {
        return false;
    }
    read_fields(value, fields);
    *ret = (struct bolt_point){
        fields[0].as.integer,
        fields[1].as.real,
        fields[2].as.real,
        value->type == BOLT_POINT_3D ? fields[3].as.real : 0,
    };
    return true;
}

bool bolt_value_vector(const struct bolt_value *value, struct bolt_vector *ret)
{
    struct bolt_value fields[FIELDS_MAX];

    if (value->type != BOLT_VECTOR) {
        return false;
    }
    read_fields(value, fields);
    unsigned char type = fields[0].as.bytes[0];
    size_t width = value_vector_width(type);
    if (width == 0) {
        return false; /* never: vector_fits */
    }
    *ret = (struct bolt_vector){(enum bolt_vector_type)type, (uint32_t)(fields[1].count / width),
                                fields[1].as.bytes};
    return true;
}

bool bolt_value_unsupported(const struct bolt_value *value, struct bolt_unsupported *ret)
{
    struct bolt_value fields[FIELDS_MAX];
    struct bolt_value message = {.type = BOLT_NULL};

    if (value->type != BOLT_UNSUPPORTED) {
        return false;
    }
    read_fields(value, fields);
    (void)bolt_map_get(&fields[3], "message", &message); /* it may be absent */
    *ret = (struct bolt_unsupported){bolt_value_string(&fields[0]), fields[1].as.integer,
                                     fields[2].as.integer, bolt_value_string(&message)};
    return true;
}
