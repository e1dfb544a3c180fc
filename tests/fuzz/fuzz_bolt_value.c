/* What PackStream accepts can be walked to its end, copied, and packed to something that packs to
 * itself. */
#include <stdlib.h>
#include <string.h>

#include <holdfast/bolt.h>

static void walk(const struct bolt_value *value);

static void walk_structure(const struct bolt_value *value)
{
    struct bolt_node node;
    struct bolt_relationship relationship;
    struct bolt_path path;
    struct bolt_node to;
    struct bolt_unsupported unsupported;

    if (bolt_value_node(value, &node)) {
        walk(&node.labels);
        walk(&node.properties);
    } else if (bolt_value_relationship(value, &relationship)) {
        walk(&relationship.properties);
    } else if (bolt_value_path(value, &path)) {
        for (uint32_t i = 0; i < path.length && i < 16; i++) {
            if (!bolt_path_step(&path, i, &node, &relationship, &to)) {
                abort();
            }
            walk(&relationship.properties);
        }
    } else {
        (void)bolt_value_unsupported(value, &unsupported);
    }
}

static void walk(const struct bolt_value *value)
{
    struct bolt_iter iter = bolt_iter_of(value);
    struct bolt_value item;
    double numbers[8];

    if (value->count <= 8) {
        (void)bolt_list_doubles(value, numbers, value->count); /* most are no lists of numbers */
    }
    while (bolt_iter_next(&iter, &item)) {
        walk(&item);
    }
    if (value->type >= BOLT_NODE) {
        walk_structure(value);
    }
}

/* False when it holds what can't be sent. */
static bool pack(const struct bolt_value *value, struct bolt_packer *ret)
{
    struct bolt_error error;

    bolt_packer_init(ret, 0);
    bolt_pack_value(ret, value);
    return bolt_packer_check(ret, &error) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bolt_value value;
    struct bolt_error error;
    struct bolt_packer once;
    struct bolt_packer twice;
    size_t used = 0;

    if (bolt_value_read(data, size, &value, &used, &error) < 0) {
        if (error.kind != BOLT_ERR_PROTOCOL) {
            abort();
        }
        return 0;
    }
    if (used == 0 || used > size) {
        abort();
    }
    walk(&value);
    struct bolt_value *copy = bolt_value_copy(&value);
    if (copy == NULL) {
        abort();
    }
    if (pack(copy, &once)) {
        if (bolt_value_read(once.data, once.size, &value, NULL, &error) < 0 ||
            !pack(&value, &twice) || once.size != twice.size ||
            memcmp(once.data, twice.data, once.size) != 0) {
            abort();
        }
        bolt_packer_done(&twice);
    }
    bolt_packer_done(&once);
    free(copy);
    return 0;
}
