/* pack - PackStream, writing. */
#include "bolt/bytes.h"

static int setup(void **state)
{
    struct bolt_packer *packer = xmalloc(sizeof(*packer));

    bolt_packer_init(packer, 0);
    *state = packer;
    return 0;
}

static int teardown(void **state)
{
    bolt_packer_done(*state);
    free(*state);
    return 0;
}

static void integers_take_their_smallest_form(void **state)
{
    struct bolt_packer *p = *state;
    static const struct {
        int64_t value;
        const char *hex;
    } CASES[] = {
        {0, "00"},
        {127, "7F"},
        {-1, "FF"},
        {-16, "F0"},
        {-17, "C8 EF"},
        {-128, "C8 80"},
        {128, "C9 00 80"},
        {-129, "C9 FF 7F"},
        {INT16_MAX, "C9 7F FF"},
        {INT16_MIN, "C9 80 00"},
        {32768, "CA 00 00 80 00"},
        {-32769, "CA FF FF 7F FF"},
        {INT32_MAX, "CA 7F FF FF FF"},
        {INT32_MIN, "CA 80 00 00 00"},
        {2147483648, "CB 00 00 00 00 80 00 00 00"},
        {-2147483649, "CB FF FF FF FF 7F FF FF FF"},
        {INT64_MAX, "CB 7F FF FF FF FF FF FF FF"},
        {INT64_MIN, "CB 80 00 00 00 00 00 00 00"},
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        bolt_packer_reset(p);
        bolt_pack_integer(p, CASES[i].value);
        assert_packed(p, CASES[i].hex);
    }
}

static void scalars_are_packed(void **state)
{
    struct bolt_packer *p = *state;

    bolt_pack_list(p, 7);
    bolt_pack_null(p);
    bolt_pack_boolean(p, false);
    bolt_pack_boolean(p, true);
    bolt_pack_float(p, -0.0);
    bolt_pack_bytes(p, "\x01\x02", 2);
    bolt_pack_text(p, "Käse");
    bolt_pack_text(p, NULL);
    assert_packed(p, "97 C0 C2 C3 C1 80 00 00 00 00 00 00 00 CC 02 01 02 85 4B C3 A4 73 65 C0");
}

/* Pack a text, bytes, a list and a map of this size; look at their heads; read them back. */
static void check_size(struct bolt_packer *p, size_t size, const char *text_head,
                       const char *bytes_head, const char *list_head, const char *map_head)
{
    AUTO(free_ptr) char *text = xmalloc(size + 1);
    const char *const HEADS[] = {text_head, bytes_head, list_head, map_head};
    static const enum bolt_type TYPES[] = {BOLT_STRING, BOLT_BYTES, BOLT_LIST, BOLT_MAP};

    memset(text, 'x', size + 1);
    for (int kind = 0; kind < 4; kind++) {
        AUTO(bytes_done) struct bytes head = bytes_of(HEADS[kind]);
        bolt_packer_reset(p);
        if (kind == 0) {
            bolt_pack_string(p, text, size);
        } else if (kind == 1) {
            bolt_pack_bytes(p, text, size);
        } else {
            (kind == 2 ? bolt_pack_list : bolt_pack_map)(p, size);
            for (size_t i = 0; i < (kind == 2 ? size : 2 * size); i++) {
                bolt_pack_text(p, "k");
            }
        }
        struct bolt_error error;
        assert_bolt_ok(bolt_packer_check(p, &error), &error);
        assert_memory_equal(p->data, head.data, head.size);
        struct bolt_value value;
        assert_bolt_ok(bolt_value_read(p->data, p->size, &value, NULL, &error), &error);
        assert_int_equal(value.type, TYPES[kind]);
        assert_int_equal(value.count, size);
    }
}

static void sizes_take_their_smallest_form(void **state)
{
    struct bolt_packer *p = *state;

    check_size(p, 0, "80", "CC 00", "90", "A0");
    check_size(p, 15, "8F", "CC 0F", "9F", "AF");
    check_size(p, 16, "D0 10", "CC 10", "D4 10", "D8 10");
    check_size(p, 255, "D0 FF", "CC FF", "D4 FF", "D8 FF");
    check_size(p, 256, "D1 01 00", "CD 01 00", "D5 01 00", "D9 01 00");
    check_size(p, 65535, "D1 FF FF", "CD FF FF", "D5 FF FF", "D9 FF FF");
    check_size(p, 65536, "D2 00 01 00 00", "CE 00 01 00 00", "D6 00 01 00 00", "DA 00 01 00 00");
}

static void containers_nest(void **state)
{
    struct bolt_packer *p = *state;

    bolt_pack_map(p, 2);
    bolt_pack_key(p, "a");
    bolt_pack_list(p, 2);
    bolt_pack_list(p, 0);
    bolt_pack_map(p, 1);
    bolt_pack_string(p, "b", 1); /* a key with a given size */
    bolt_pack_integer(p, 1);
    bolt_pack_key(p, "c");
    bolt_pack_map(p, 0);
    assert_packed(p, "A2 81 61 92 90 A1 81 62 01 81 63 A0");
}

static void counts_need_not_be_known_before(void **state)
{
    struct bolt_packer *p = *state;

    bolt_pack_map_open(p);
    bolt_pack_key(p, "a");
    bolt_pack_list_open(p);
    bolt_pack_end(p);
    bolt_pack_key(p, "b");
    bolt_pack_list_open(p);
    bolt_pack_integer(p, 1);
    bolt_pack_list(p, 1);
    bolt_pack_integer(p, 2);
    bolt_pack_end(p);
    bolt_pack_end(p);
    assert_packed(p, "DA 00 00 00 02 81 61 D6 00 00 00 00 81 62 D6 00 00 00 02 01 91 02");
}

static void lists_of_numbers_are_packed_in_bulk(void **state)
{
    struct bolt_packer *p = *state;
    static const float FLOATS[] = {1.5f, -2.0f};
    static const double DOUBLES[] = {0.1};
    static const int64_t INTEGERS[] = {1, 300};

    bolt_pack_list(p, 4);
    bolt_pack_floats(p, FLOATS, 2);
    bolt_pack_doubles(p, DOUBLES, 1);
    bolt_pack_integers(p, INTEGERS, 2);
    bolt_pack_floats(p, NULL, 0);
    assert_packed(p, "94 92 C1 3F F8 00 00 00 00 00 00 C1 C0 00 00 00 00 00 00 00"
                     "91 C1 3F B9 99 99 99 99 99 9A 92 01 C9 01 2C 90");
}

static void structures_are_packed(void **state)
{
    struct bolt_packer *p = *state;
    static const int16_t SHORTS[] = {1, -2};

    bolt_pack_list(p, 10);
    bolt_pack_date(p, -1);
    bolt_pack_time(p, 1, -3600);
    bolt_pack_local_time(p, 2);
    bolt_pack_local_datetime(p, 3, 4);
    bolt_pack_datetime(p, 3600, 5, 7200);
    bolt_pack_zoned_datetime(p, 1, 2, "A/B");
    bolt_pack_duration(p, &(struct bolt_duration){1, -2, 3, 4});
    bolt_pack_point_2d(p, 7203, 1.0, 2.0);
    bolt_pack_point_3d(p, 9157, 1.0, 2.0, 3.0);
    bolt_pack_vector(p, BOLT_VECTOR_INT16, SHORTS, 2);
    assert_packed(p, "9A B1 44 FF B2 54 01 C9 F1 F0 B1 74 02 B2 64 03 04"
                     "B3 49 C9 0E 10 05 C9 1C 20 B3 69 01 02 83 41 2F 42 B4 45 01 FE 03 04"
                     "B3 58 C9 1C 23 C1 3F F0 00 00 00 00 00 00 C1 40 00 00 00 00 00 00 00"
                     "B4 59 C9 23 C5 C1 3F F0 00 00 00 00 00 00 C1 40 00 00 00 00 00 00 00"
                     "C1 40 08 00 00 00 00 00 00 B2 56 CC 01 C9 CC 04 00 01 FF FE");
}

static void vectors_of_every_type_come_back(void **state)
{
    struct bolt_packer *p = *state;
    static const int8_t I8[] = {INT8_MIN, 7};
    static const int32_t I32[] = {INT32_MIN, 7};
    static const int64_t I64[] = {INT64_MIN, 7};
    static const float F32[] = {-1.5f, 7};
    static const double F64[] = {-0.1, 7};
    struct bolt_value value;
    struct bolt_error error;
    int64_t integers[2];
    double doubles[2];

    static const struct {
        enum bolt_vector_type type;
        const void *elements;
        int64_t first;
    } CASES[] = {{BOLT_VECTOR_INT8, I8, INT8_MIN},
                 {BOLT_VECTOR_INT32, I32, INT32_MIN},
                 {BOLT_VECTOR_INT64, I64, INT64_MIN}};

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        bolt_packer_reset(p);
        bolt_pack_vector(p, CASES[i].type, CASES[i].elements, 2);
        assert_bolt_ok(bolt_value_read(p->data, p->size, &value, NULL, &error), &error);
        assert_true(bolt_list_integers(&value, integers, 2));
        assert_true(integers[0] == CASES[i].first && integers[1] == 7);
    }
    bolt_packer_reset(p);
    bolt_pack_vector(p, BOLT_VECTOR_FLOAT32, F32, 2);
    assert_bolt_ok(bolt_value_read(p->data, p->size, &value, NULL, &error), &error);
    assert_true(bolt_list_doubles(&value, doubles, 2) && doubles[0] == -1.5);
    bolt_packer_reset(p);
    bolt_pack_vector(p, BOLT_VECTOR_FLOAT64, F64, 2);
    assert_bolt_ok(bolt_value_read(p->data, p->size, &value, NULL, &error), &error);
    assert_true(bolt_list_doubles(&value, doubles, 2) && doubles[0] == -0.1);
}

static void older_servers_get_the_wall_clock(void **state)
{
    struct bolt_packer *p = *state;
    struct bolt_error error;

    bolt_packer_legacy_times(p, true);
    bolt_pack_datetime(p, 3600, 5, 7200);
    assert_packed(p, "B3 46 C9 2A 30 05 C9 1C 20");
    bolt_packer_reset(p);
    bolt_pack_datetime(p, INT64_MAX, 0, 1);
    assert_bolt_refused(bolt_packer_check(p, &error), &error, BOLT_ERR_USAGE, "beyond 64 bits");
    bolt_packer_reset(p);
    bolt_pack_zoned_datetime(p, 0, 0, "Z");
    assert_bolt_refused(bolt_packer_check(p, &error), &error, BOLT_ERR_UNSUPPORTED, "ambiguous");
}

static void what_was_received_can_be_sent_again(void **state)
{
    struct bolt_packer *p = *state;
    static const char *const CASES[] = {
        "C0",
        "C3",
        "C9 03 E8",
        "C1 7F F8 00 00 00 00 00 01",
        "CC 01 FF",
        "83 00 C3 A4",
        "92 A1 81 61 90 01",
        "B1 44 01",
        "B2 54 01 02",
        "B1 74 01",
        "B2 64 01 02",
        "B3 49 01 02 03",
        "B3 69 01 02 81 5A",
        "B3 66 01 02 81 5A",
        "B4 45 01 02 03 04",
        "B3 58 01 C1 3F F0 00 00 00 00 00 00 C1 3F F0 00 00 00 00 00 00",
        "B4 59 01 C1 3F F0 00 00 00 00 00 00 C1 3F F0 00 00 00 00 00 00 C1 3F F0 00 00 00 00 00 00",
        "B2 56 CC 01 C6 CC 04 3F 80 00 00",
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        AUTO(bytes_done) struct bytes bytes = bytes_of(CASES[i]);
        struct bolt_value value = value_of(&bytes);
        bolt_packer_reset(p);
        bolt_pack_value(p, &value);
        assert_packed(p, CASES[i]);
    }
}

static void what_belongs_to_the_graph_cant_be_sent(void **state)
{
    struct bolt_packer *p = *state;
    AUTO(bytes_done) struct bytes node = bytes_of("91 B3 4E 01 90 A0");
    struct bolt_value value = value_of(&node);
    struct bolt_error error;

    bolt_pack_value(p, &value);
    assert_bolt_refused(bolt_packer_check(p, &error), &error, BOLT_ERR_USAGE, "can't be sent");
}

/* ---- misuse: the first mistake is kept ---- */

static void check_refused(struct bolt_packer *p, enum bolt_err kind, const char *part)
{
    struct bolt_error error;

    bolt_pack_integer(p, 1); /* later calls change nothing */
    assert_bolt_refused(bolt_packer_check(p, &error), &error, kind, part);
    bolt_packer_reset(p);
}

static void mistakes_are_told(void **state)
{
    struct bolt_packer *p = *state;
    struct bolt_error error;

    assert_bolt_refused(bolt_packer_check(p, &error), &error, BOLT_ERR_USAGE, "not complete");
    bolt_pack_list(p, 2);
    bolt_pack_null(p);
    assert_bolt_refused(bolt_packer_check(p, &error), &error, BOLT_ERR_USAGE, "not complete");
    bolt_packer_reset(p);
    bolt_pack_null(p);
    check_refused(p, BOLT_ERR_USAGE, "more than one value");
    bolt_pack_map(p, 1);
    check_refused(p, BOLT_ERR_USAGE, "must be a text");
    bolt_pack_map(p, 1);
    bolt_pack_key(p, "a");
    bolt_pack_key(p, "b");
    check_refused(p, BOLT_ERR_USAGE, "a key where a value belongs");
    bolt_pack_key(p, "a");
    check_refused(p, BOLT_ERR_USAGE, "a key where a value belongs");
    bolt_pack_end(p);
    check_refused(p, BOLT_ERR_USAGE, "nothing is open");
    bolt_pack_map_open(p);
    bolt_pack_key(p, "a");
    bolt_pack_end(p);
    check_refused(p, BOLT_ERR_USAGE, "a key has no value");
    bolt_pack_text(p, "\xFF");
    check_refused(p, BOLT_ERR_USAGE, "not UTF-8");
    bolt_pack_datetime(p, 0, 1000000000, 0);
    check_refused(p, BOLT_ERR_USAGE, "nanoseconds");
    bolt_pack_local_datetime(p, 0, -1);
    check_refused(p, BOLT_ERR_USAGE, "nanoseconds");
    bolt_pack_vector(p, (enum bolt_vector_type)0xC7, "", 0);
    check_refused(p, BOLT_ERR_USAGE, "no vectors of this type");
}

static void limits_hold(void **state)
{
    struct bolt_packer *p = *state;
    struct bolt_packer small;
    struct bolt_error error;

    for (int i = 0; i < BOLT_DEPTH_MAX; i++) {
        bolt_pack_list(p, 1);
    }
    bolt_pack_null(p);
    assert_bolt_ok(bolt_packer_check(p, &error), &error);
    bolt_packer_reset(p);
    for (int i = 0; i < BOLT_DEPTH_MAX + 1; i++) {
        bolt_pack_list(p, 1);
    }
    check_refused(p, BOLT_ERR_LIMIT, "nested too deep");
    bolt_pack_list(p, (size_t)INT32_MAX + 1);
    check_refused(p, BOLT_ERR_LIMIT, "2^31 - 1");
    bolt_pack_floats(p, NULL, (size_t)INT32_MAX + 1);
    check_refused(p, BOLT_ERR_LIMIT, "2^31 - 1");
    bolt_pack_vector(p, BOLT_VECTOR_FLOAT64, NULL, INT32_MAX / 8 + 1);
    check_refused(p, BOLT_ERR_LIMIT, "2^31 - 1");

    bolt_packer_init(&small, 5);
    bolt_pack_text(&small, "four");
    assert_packed(&small, "84 66 6F 75 72");
    bolt_packer_reset(&small);
    bolt_pack_text(&small, "fives");
    check_refused(&small, BOLT_ERR_LIMIT, "the packer's limit");
    bolt_packer_done(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(integers_take_their_smallest_form, setup, teardown),
        cmocka_unit_test_setup_teardown(scalars_are_packed, setup, teardown),
        cmocka_unit_test_setup_teardown(sizes_take_their_smallest_form, setup, teardown),
        cmocka_unit_test_setup_teardown(containers_nest, setup, teardown),
        cmocka_unit_test_setup_teardown(counts_need_not_be_known_before, setup, teardown),
        cmocka_unit_test_setup_teardown(lists_of_numbers_are_packed_in_bulk, setup, teardown),
        cmocka_unit_test_setup_teardown(structures_are_packed, setup, teardown),
        cmocka_unit_test_setup_teardown(vectors_of_every_type_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(older_servers_get_the_wall_clock, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_received_can_be_sent_again, setup, teardown),
        cmocka_unit_test_setup_teardown(what_belongs_to_the_graph_cant_be_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(mistakes_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_hold, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
