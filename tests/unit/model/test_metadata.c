/* metadata - carried as canonical text, byte for byte, and never as anything else. */
#include "model/metadata.h"

#include "base/utf8.h"
#include "model/samples.h"
#include "model/scan.h"

static int read_stored(struct str text, struct metadata **ret, struct err *err)
{
    struct scan scan;
    struct metadata *read = NULL;
    size_t characters;
    int result = utf8_check(text, &characters, err);

    result = result == 0 ? scan_begin(text, &scan, err) : result;
    result = result == 0 ? metadata_scan(&scan, &read, err) : result;
    result = result == 0 ? scan_end(&scan, err) : result;
    if (result < 0) {
        metadata_free(read);
        read = NULL;
    }
    *ret = read;
    return result;
}

/* What a parser and the writer of canonical JSON make of it. */
static bool is_canonical(struct str text)
{
    AUTO(buf_done) struct buf again = BUF_INIT(1 << 20);
    AUTO(json_unref) json_t *tree = NULL;
    struct err why = ERR_INIT;

    return json_parse(text, &tree, &why) == 0 && json_is_object(tree) &&
           json_canonical(tree, &again, &why) == 0 && str_eq(buf_str(&again), text);
}

static void canonical_text_is_kept_and_is_its_tree(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"a\":1}",
        "{\"\":\"\"}",
        "{\"a\":{},\"b\":[],\"c\":[[],{}]}",
        "{\"a\":null,\"b\":true,\"c\":false,\"d\":-7,\"e\":1.5,\"f\":1e+21,\"g\":-1e-7}",
        "{\"\\n\":1,\"\\u001f\":2,\"!\":3,\"\\\"\":4,\"a\":5,\"a\\\\\":6,\"aa\":7}",
        "{\"\xf0\x9f\x8c\x8a\":1,\"\xee\x80\x80\":2}", /* by UTF-16 */
        "{\"a\":\"\\b\\t\\n\\f\\r\\\"\\\\/\x7f\"}",
        "{\"a\":9007199254740991}",
    };

    for (size_t i = 0; i < COUNT(texts); i++) {
        struct metadata *metadata = NULL;
        OK(read_stored(str_of(texts[i]), &metadata, &err));
        assert_true(str_eq_c(metadata_text(metadata), texts[i]));
        AUTO(buf_done) struct buf again = BUF_INIT(256);
        OK(json_canonical(metadata_tree(metadata), &again, &err));
        assert_string_equal(again.data, texts[i]);
        assert_ptr_equal(metadata_tree(metadata), metadata_tree(metadata));
        metadata_free(metadata);
    }
}

static void what_is_not_canonical_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *message;
    } cases[] = {
        {"", "byte 0: expected {"},
        {"[]", "byte 0: expected {"},
        {"null", "byte 0: expected {"},
        {"{", "byte 1: expected a string"},
        {"{}}", "byte 2: something follows the end"},
        {"{\"b\":1,\"a\":2}", "byte 7: a key that is out of order, or twice"},
        {"{\"a\":1,\"a\":2}", "byte 7: a key that is out of order, or twice"},
        {"{\"a\\\\\":1,\"a\\n\":2}", "byte 9: a key that is out of order, or twice"},
        {"{\"\xee\x80\x80\":2,\"\xf0\x9f\x8c\x8a\":1}", "out of order"},
        {"{ \"a\":1}", "byte 1: expected a string"},
        {"{\"a\" :1}", "byte 4: expected :"},
        {"{\"a\": 1}", "byte 5: expected a value"},
        {"{\"a\":1 }", "byte 6: expected }"},
        {"{\"a\":1,}", "byte 7: expected a string"},
        {"{\"a\":[1,]}", "byte 8: expected a value"},
        {"{\"a\":[1,2}", "expected ]"},
        {"{\"a\":1.0}", "byte 5: a value that is not canonical JSON"},
        {"{\"a\":01}", "byte 5: a value"},
        {"{\"a\":-0}", "byte 5: a value"},
        {"{\"a\":1e2}", "byte 5: a value"},
        {"{\"a\":1E+21}", "byte 5: a value"},
        {"{\"a\":9007199254740992}", "byte 5: a value"},
        {"{\"a\":nul}", "byte 5: a value"},
        {"{\"a\":True}", "byte 5: a value"},
        {"{\"a\":\"\\/\"}", "byte 6: an escape that canonical JSON does not use"},
        {"{\"a\":\"x\\u0041\"}", "byte 7: an escape"},
        {"{\"\\u000a\":1}", "byte 2: an escape"},
        {"{\"a\":\"\\u0000\"}", "byte 6: an escape"},
        {"{\"a\":\"\\\"}", "a string without an end"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct metadata *metadata = NULL;
        REFUSED(read_stored(str_of(cases[i].text), &metadata, &err), ERR_CORRUPT, cases[i].message);
        assert_null(metadata);
    }
}

static void an_empty_object_is_none(void **state)
{
    (void)state;
    AUTO(json_unref) json_t *object = json_object();
    struct metadata *metadata = NULL;

    OK(read_stored(STR("{}"), &metadata, &err));
    assert_null(metadata);
    OK(metadata_from_json(object, &metadata, &err));
    assert_null(metadata);
    assert_null(metadata_tree(NULL));
    assert_null(metadata_copy(NULL));
    assert_int_equal(metadata_text(NULL).len, 0);
}

static void nesting_ends_at_its_limit(void **state)
{
    (void)state;
    for (size_t levels = 1; levels <= MEMORY_METADATA_DEPTH_MAX + 1; levels++) {
        AUTO(free_ptr) char *open = sample_repeat("{\"a\":", levels - 1);
        AUTO(free_ptr) char *close = sample_repeat("}", levels - 1);
        AUTO(free_ptr) char *text = xprintf("%s{\"a\":[]}%s", open, close);
        struct metadata *metadata = NULL;
        if (levels < MEMORY_METADATA_DEPTH_MAX) { /* the array is a level, too */
            OK(read_stored(str_of(text), &metadata, &err));
            assert_non_null(metadata_tree(metadata));
            metadata_free(metadata);
        } else {
            REFUSED(read_stored(str_of(text), &metadata, &err), ERR_CORRUPT, "nested too deeply");
        }
    }
}

struct dice {
    uint64_t state;
};

static unsigned roll(struct dice *dice, unsigned sides)
{
    dice->state = dice->state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(dice->state >> 33) % sides;
}

static json_t *some_text(struct dice *dice)
{
    static const char *const pieces[] = {
        "a", "b", "\"", "\\", "\n", "\x1f", "\xc3\xa9", "\xf0\x9f\x8c\x8a", "\xee\x80\x80", "/"};
    AUTO(buf_done) struct buf text = BUF_INIT(64);
    struct err err = ERR_INIT;

    assert_ok(buf_add_c(&text, "", &err), &err);
    for (unsigned left = roll(dice, 5); left > 0; left--) {
        assert_ok(buf_add_c(&text, pieces[roll(dice, COUNT(pieces))], &err), &err);
    }
    return json_stringn(text.data, text.len);
}

static json_t *some_value(struct dice *dice, unsigned depth)
{
    static const double reals[] = {0.5, -1.25e-9, 1e300, 3, 123456.75, 5e-324};
    unsigned kind = roll(dice, depth == 0 ? 5 : 7);
    json_t *value;

    switch (kind) {
    case 0:
        return json_null();
    case 1:
        return json_boolean(roll(dice, 2));
    case 2:
        return json_integer((json_int_t)roll(dice, 2000) - 1000);
    case 3:
        return json_real(reals[roll(dice, COUNT(reals))]);
    case 4:
        return some_text(dice);
    case 5:
        value = json_array();
        for (unsigned left = roll(dice, 4); left > 0; left--) {
            (void)json_array_append_new(value, some_value(dice, depth - 1));
        }
        return value;
    default:
        value = json_object();
        for (unsigned left = roll(dice, 6); left > 0; left--) {
            AUTO(json_unref) json_t *key = some_text(dice);
            (void)json_object_set_new(value, json_string_value(key), some_value(dice, depth - 1));
        }
        return value;
    }
}

/* One byte is another: then it is either refused, or canonical still. */
static void assert_strict(struct dice *dice, struct str text)
{
    static const char bytes[] = "{}[]:,\"\\ 0123456789.eE+-abntrfu/";
    AUTO(free_ptr) char *changed = xstrndup(text.ptr, text.len);
    struct str all = {changed, text.len};
    struct metadata *metadata = NULL;
    struct err err = ERR_INIT;

    changed[roll(dice, (unsigned)text.len)] = bytes[roll(dice, sizeof(bytes) - 1)];
    bool accepted = read_stored(all, &metadata, &err) == 0;
    if (accepted != is_canonical(all)) {
        print_error("%s: " STR_FMT "\n", accepted ? "accepted" : err.message, STR_ARG(all));
    }
    assert_int_equal(accepted, is_canonical(all));
    metadata_free(metadata);
}

static void all_that_is_written_is_read_and_nothing_else(void **state)
{
    (void)state;
    struct dice dice = {20261129};

    for (int round = 0; round < 3000; round++) {
        AUTO(json_unref) json_t *object = json_object();
        AUTO(buf_done) struct buf text = BUF_INIT(1 << 20);
        (void)json_object_set_new(object, "a", some_value(&dice, 4));
        (void)json_object_set_new(object, "\\", some_value(&dice, 3));
        struct metadata *given = NULL;
        struct metadata *stored = NULL;
        OK(metadata_from_json(object, &given, &err));
        OK(json_canonical(object, &text, &err));
        OK(read_stored(buf_str(&text), &stored, &err));
        assert_true(metadata_same(given, stored));
        for (int change = 0; change < 20; change++) {
            assert_strict(&dice, buf_str(&text));
        }
        metadata_free(given);
        metadata_free(stored);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(canonical_text_is_kept_and_is_its_tree),
        cmocka_unit_test(what_is_not_canonical_is_refused),
        cmocka_unit_test(an_empty_object_is_none),
        cmocka_unit_test(nesting_ends_at_its_limit),
        cmocka_unit_test(all_that_is_written_is_read_and_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
