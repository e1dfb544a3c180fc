#include "model/metadata.h"

#include "model/field.h"
#include "model/limits.h"
#include "model/scan.h"

struct metadata {
    char *text;
    size_t len;
    json_t *tree; /* NULL until somebody asks */
};

static bool is_deeper_than(const json_t *value, int levels)
{
    /* jansson's iterators take no const; they change nothing. */
    json_t *shared = (json_t *)(uintptr_t)value;

    if (!json_is_object(value) && !json_is_array(value)) {
        return false;
    }
    if (levels == 0) {
        return true;
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        if (is_deeper_than(json_array_get(value, i), levels - 1)) {
            return true;
        }
    }
    for (void *at = json_object_iter(shared); at != NULL; at = json_object_iter_next(shared, at)) {
        if (is_deeper_than(json_object_iter_value(at), levels - 1)) {
            return true;
        }
    }
    return false;
}

int metadata_too_large(struct err *err)
{
    char max[FIELD_GROUPED_MAX];

    field_grouped(MEMORY_METADATA_MAX_BYTES, max);
    return err_set(err, ERR_LIMIT, "metadata is too large; %s bytes of canonical JSON are allowed",
                   max);
}

static int check_shape(const json_t *value, struct err *err)
{
    if (!json_is_object(value)) {
        return err_set(err, ERR_INVALID, "metadata is %s; an object is allowed", field_kind(value));
    }
    if (is_deeper_than(value, MEMORY_METADATA_DEPTH_MAX)) {
        return err_set(err, ERR_LIMIT,
                       "metadata is nested deeper than the %d levels that are allowed",
                       MEMORY_METADATA_DEPTH_MAX);
    }
    return 0;
}

/* Takes the text over. */
static struct metadata *hold(char *text, size_t len)
{
    struct metadata *metadata = xmalloc(sizeof(*metadata));

    *metadata = (struct metadata){.text = text, .len = len};
    return metadata;
}

struct metadata *metadata_take(struct buf *canonical)
{
    size_t len = canonical->len;

    return hold(buf_take(canonical), len);
}

int metadata_from_json(const json_t *value, struct metadata **ret, struct err *err)
{
    AUTO(buf_done) struct buf canonical = BUF_INIT(MEMORY_METADATA_MAX_BYTES);

    if (check_shape(value, err) < 0) {
        return -(int)err->code;
    }
    if (json_canonical(value, &canonical, err) < 0) {
        return err->code == ERR_LIMIT ? metadata_too_large(err) : err_context(err, "metadata");
    }
    *ret = json_object_size(value) == 0 ? NULL : metadata_take(&canonical);
    return 0;
}

int metadata_scan(struct scan *scan, struct metadata **ret, struct err *err)
{
    struct str text = {scan->at, 0};

    if (scan_object(scan, MEMORY_METADATA_DEPTH_MAX, err) < 0) {
        return -(int)err->code;
    }
    text.len = (size_t)(scan->at - text.ptr);
    if (text.len > MEMORY_METADATA_MAX_BYTES) {
        return metadata_too_large(err);
    }
    *ret = text.len == sizeof("{}") - 1 ? NULL : hold(xstrndup(text.ptr, text.len), text.len);
    return 0;
}

struct metadata *metadata_copy(const struct metadata *metadata)
{
    return metadata == NULL ? NULL : hold(xstrndup(metadata->text, metadata->len), metadata->len);
}

void metadata_free(struct metadata *metadata)
{
    if (metadata != NULL) {
        json_decref(metadata->tree);
        free(metadata->text);
        free(metadata);
    }
}

struct str metadata_text(const struct metadata *metadata)
{
    return metadata == NULL ? (struct str){NULL, 0} : (struct str){metadata->text, metadata->len};
}

json_t *metadata_tree(struct metadata *metadata)
{
    struct err err = ERR_INIT;

    if (metadata == NULL) {
        return NULL;
    }
    if (metadata->tree == NULL && json_parse(metadata_text(metadata), &metadata->tree, &err) < 0) {
        abort(); /* canonical text is JSON */
    }
    return metadata->tree;
}

bool metadata_same(const struct metadata *a, const struct metadata *b)
{
    return str_eq(metadata_text(a), metadata_text(b));
}
