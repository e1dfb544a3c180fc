/* value_struct - nodes, relationships, paths, times, points, vectors. */
#include "bolt/bytes.h"

static void a_node_has_labels_and_properties(void **state)
{
    (void)state;
    AUTO(bytes_done) struct bytes old = bytes_of("B3 4E 2A 91 81 4C A1 81 70 01");
    AUTO(bytes_done) struct bytes new = bytes_of("B4 4E 2A 91 81 4C A1 81 70 01 83 34 3A 61");
    struct bolt_value value = value_of(&old);
    struct bolt_node node;
    struct bolt_value property;

    assert_int_equal(value.type, BOLT_NODE);
    assert_true(bolt_value_node(&value, &node));
    assert_int_equal(node.id, 42);
    assert_int_equal(node.labels.count, 1);
    assert_null(node.element_id.data);
    value = value_of(&new);
    assert_true(bolt_value_node(&value, &node));
    assert_text(node.element_id, "4:a");
    assert_true(bolt_map_get(&node.properties, "p", &property));
    assert_int_equal(property.as.integer, 1);
    struct bolt_relationship none;
    assert_false(bolt_value_relationship(&value, &none));
}

static void a_relationship_has_two_ends(void **state)
{
    (void)state;
    AUTO(bytes_done) struct bytes old = bytes_of("B5 52 01 02 03 81 54 A0");
    AUTO(bytes_done) struct bytes new = bytes_of("B8 52 01 02 03 81 54 A0 81 61 81 62 81 63");
    struct bolt_value value = value_of(&old);
    struct bolt_relationship r;

    assert_true(bolt_value_relationship(&value, &r));
    assert_true(r.id == 1 && r.start_id == 2 && r.end_id == 3);
    assert_text(r.type, "T");
    assert_null(r.element_id.data);
    value = value_of(&new);
    assert_int_equal(value.type, BOLT_RELATIONSHIP);
    assert_true(bolt_value_relationship(&value, &r));
    assert_text(r.element_id, "a");
    assert_text(r.start_element_id, "b");
    assert_text(r.end_element_id, "c");
}

/* (a)-[:T]->(b)<-[:T]-(a), which walks one relationship twice. */
#define NODE_A "B4 4E 01 90 A0 81 61"
#define NODE_B "B4 4E 02 90 A0 81 62"
#define EDGE "B4 72 09 81 54 A0 81 65"

static void a_path_is_walked_in_both_directions(void **state)
{
    (void)state;
    AUTO(bytes_done)
    struct bytes bytes = bytes_of("B3 50 92" NODE_A NODE_B "91" EDGE "94 01 01 FF 00");
    struct bolt_value value = value_of(&bytes);
    struct bolt_path path;
    struct bolt_node from;
    struct bolt_node to;
    struct bolt_relationship step;

    assert_true(bolt_value_path(&value, &path));
    assert_int_equal(path.length, 2);
    assert_true(bolt_path_step(&path, 0, &from, &step, &to));
    assert_true(from.id == 1 && to.id == 2);
    assert_true(step.id == 9 && step.start_id == 1 && step.end_id == 2);
    assert_true(bolt_path_step(&path, 1, &from, &step, &to));
    assert_true(from.id == 2 && to.id == 1);
    assert_true(step.start_id == 1 && step.end_id == 2);
    assert_text(step.start_element_id, "a");
    assert_text(step.end_element_id, "b");
    assert_false(bolt_path_step(&path, 2, &from, &step, &to));
}

static void a_path_may_be_one_node(void **state)
{
    (void)state;
    AUTO(bytes_done) struct bytes bytes = bytes_of("B3 50 91" NODE_A "90 90");
    struct bolt_value value = value_of(&bytes);
    struct bolt_path path;

    assert_true(bolt_value_path(&value, &path));
    assert_int_equal(path.length, 0);
    assert_int_equal(path.nodes.count, 1);
}

static void a_path_that_leads_nowhere_is_refused(void **state)
{
    (void)state;

    assert_not_read("B3 50 90 90 90", "out of range");
    assert_not_read("B3 50 91" NODE_A "91" EDGE "91 01", "out of range");
    assert_not_read("B3 50 91" NODE_A "91" EDGE "92 00 00", "out of range");
    assert_not_read("B3 50 91" NODE_A "91" EDGE "92 02 00", "out of range");
    assert_not_read("B3 50 91" NODE_A "91" EDGE "92 FE 00", "out of range");
    assert_not_read("B3 50 91" NODE_A "91" EDGE "92 01 01", "out of range");
    assert_not_read("B3 50 91" NODE_A "91" EDGE "92 01 FF", "out of range");
    assert_not_read("B3 50 91 01 90 90", "wrong type");
    assert_not_read("B3 50 91" NODE_A "91" NODE_A "90", "wrong type");
    assert_not_read("B3 50 91" NODE_A "90 92 81 61 01", "wrong type");
}

static struct bolt_time time_of(const char *hex, enum bolt_type type)
{
    AUTO(bytes_done) struct bytes bytes = bytes_of(hex);
    struct bolt_value value = value_of(&bytes);
    struct bolt_time time;

    assert_int_equal(value.type, type);
    assert_true(bolt_value_time(&value, &time));
    assert_true((time.zone.data != NULL) == (type == BOLT_ZONED_DATETIME));
    time.zone.data = NULL; /* of bytes that are gone now */
    return time;
}

static void days_and_times_of_day_are_read(void **state)
{
    (void)state;

    assert_true(time_of("B1 44 FF", BOLT_DATE).days == -1);
    assert_true(time_of("B1 74 CB 00 00 4E 94 91 4E FF FF", BOLT_LOCAL_TIME).nanoseconds ==
                86399999999999);
    struct bolt_time time = time_of("B2 54 01 C9 F1 F0", BOLT_TIME);
    assert_true(time.nanoseconds == 1 && time.offset_s == -3600);
}

static void both_forms_of_a_datetime_tell_the_same_instant(void **state)
{
    (void)state;
    struct bolt_time utc = time_of("B3 49 C9 0E 10 05 C9 1C 20", BOLT_DATETIME);
    struct bolt_time legacy = time_of("B3 46 C9 2A 30 05 C9 1C 20", BOLT_DATETIME);

    assert_true(utc.seconds == 3600 && utc.nanoseconds == 5 && utc.offset_s == 7200);
    assert_true(legacy.seconds == 3600 && legacy.nanoseconds == 5 && legacy.offset_s == 7200);
    assert_false(utc.wall_clock || legacy.wall_clock);
}

static void a_zone_is_kept_as_text(void **state)
{
    (void)state;
    AUTO(bytes_done) struct bytes bytes = bytes_of("B3 69 01 02 83 41 2F 42");
    struct bolt_value value = value_of(&bytes);
    struct bolt_time time;

    assert_true(bolt_value_time(&value, &time));
    assert_text(time.zone, "A/B");
    assert_false(time.wall_clock);
    assert_true(time_of("B3 66 01 02 83 41 2F 42", BOLT_ZONED_DATETIME).wall_clock);
    assert_true(time_of("B2 64 01 02", BOLT_LOCAL_DATETIME).wall_clock);
}

static void times_out_of_range_are_refused(void **state)
{
    (void)state;

    assert_not_read("B1 74 CB 00 00 4E 94 91 4F 00 00", "out of range"); /* a day of nanoseconds */
    assert_not_read("B1 74 FF", "out of range");
    assert_not_read("B2 54 00 CB 00 00 00 00 80 00 00 00", "out of range");
    assert_not_read("B3 49 00 CA 3B 9A CA 00 00", "out of range"); /* 1,000,000,000 ns */
    assert_not_read("B3 49 00 FF 00", "out of range");
    assert_not_read("B3 46 CB 80 00 00 00 00 00 00 00 00 01", "out of range");
    assert_not_read("B3 69 00 FF 81 5A", "out of range");
    assert_not_read("B2 64 00 FF", "out of range");
}

static void a_duration_has_four_parts(void **state)
{
    (void)state;
    AUTO(bytes_done) struct bytes bytes = bytes_of("B4 45 01 FE 03 04");
    struct bolt_value value = value_of(&bytes);
    struct bolt_duration d;

    assert_true(bolt_value_duration(&value, &d));
    assert_true(d.months == 1 && d.days == -2 && d.seconds == 3 && d.nanoseconds == 4);
}

static void points_have_two_or_three_coordinates(void **state)
{
    (void)state;
    AUTO(bytes_done)
    struct bytes flat =
        bytes_of("B3 58 C9 1C 23 C1 3F F0 00 00 00 00 00 00 C1 40 00 00 00 00 00 00 00");
    AUTO(bytes_done)
    struct bytes solid = bytes_of("B4 59 C9 23 C5 C1 3F F0 00 00 00 00 00 00 C1 40"
                                  "00 00 00 00 00 00 00 C1 40 08 00 00 00 00 00 00");
    struct bolt_value value = value_of(&flat);
    struct bolt_point point;

    assert_int_equal(value.type, BOLT_POINT_2D);
    assert_true(bolt_value_point(&value, &point));
    assert_true(point.srid == 7203 && point.x == 1.0 && point.y == 2.0 && point.z == 0.0);
    value = value_of(&solid);
    assert_int_equal(value.type, BOLT_POINT_3D);
    assert_true(bolt_value_point(&value, &point));
    assert_true(point.srid == 9157 && point.x == 1.0 && point.y == 2.0 && point.z == 3.0);
    assert_not_read("B3 58 01 02 03", "wrong type");
}

static void vectors_are_read_as_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        enum bolt_vector_type type;
    } CASES[] = {
        {"B2 56 CC 01 C8 CC 02 01 FE", BOLT_VECTOR_INT8},
        {"B2 56 CC 01 C9 CC 04 00 01 FF FE", BOLT_VECTOR_INT16},
        {"B2 56 CC 01 CA CC 08 00 00 00 01 FF FF FF FE", BOLT_VECTOR_INT32},
        {"B2 56 CC 01 CB CC 10 00 00 00 00 00 00 00 01 FF FF FF FF FF FF FF FE", BOLT_VECTOR_INT64},
        {"B2 56 CC 01 C6 CC 08 3F 80 00 00 C0 00 00 00", BOLT_VECTOR_FLOAT32},
        {"B2 56 CC 01 C1 CC 10 3F F0 00 00 00 00 00 00 C0 00 00 00 00 00 00 00",
         BOLT_VECTOR_FLOAT64},
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        AUTO(bytes_done) struct bytes bytes = bytes_of(CASES[i].hex);
        struct bolt_value value = value_of(&bytes);
        struct bolt_vector vector;
        double doubles[2];
        float floats[2];
        int64_t integers[2];
        bool is_float = i >= 4;
        assert_true(bolt_value_vector(&value, &vector));
        assert_int_equal(vector.type, CASES[i].type);
        assert_int_equal(vector.count, 2);
        assert_true(bolt_list_doubles(&value, doubles, 2));
        assert_true(doubles[0] == 1.0 && doubles[1] == -2.0);
        assert_true(bolt_list_floats(&value, floats, 2));
        assert_true(floats[0] == 1.0f && floats[1] == -2.0f);
        assert_int_equal(bolt_list_integers(&value, integers, 2), !is_float);
        assert_true(is_float || (integers[0] == 1 && integers[1] == -2));
    }
}

static void a_vector_of_broken_elements_is_refused(void **state)
{
    (void)state;

    assert_not_read("B2 56 CC 01 C6 CC 03 01 02 03", "out of range");
    assert_not_read("B2 56 CC 01 C7 CC 00", "out of range");
    assert_not_read("B2 56 CC 00 CC 00", "out of range");
    assert_not_read("B2 56 CC 02 C8 C8 CC 00", "out of range");
    assert_not_read("B2 56 01 CC 00", "wrong type");
}

static void what_the_server_cant_send_is_named(void **state)
{
    (void)state;
    AUTO(bytes_done)
    struct bytes bytes = bytes_of("B4 3F 84 55 55 49 44 06 01 A1 87 6D 65 73 73 61 67 65 82 6E 6F");
    AUTO(bytes_done) struct bytes silent = bytes_of("B4 3F 81 55 06 01 A0");
    struct bolt_value value = value_of(&bytes);
    struct bolt_unsupported u;

    assert_true(bolt_value_unsupported(&value, &u));
    assert_text(u.name, "UUID");
    assert_true(u.least_major == 6 && u.least_minor == 1);
    assert_text(u.message, "no");
    value = value_of(&silent);
    assert_true(bolt_value_unsupported(&value, &u));
    assert_null(u.message.data);
}

static void structures_of_another_shape_are_refused(void **state)
{
    (void)state;

    assert_not_read("B1 5A 01", "no structure with this tag");
    assert_not_read("B0", "cut off");
    assert_not_read("B0 44", "too few or too many");
    assert_not_read("B2 44 01 02", "too few or too many");
    assert_not_read("B2 4E 01 90", "too few or too many");
    assert_not_read("B5 4E 01 90 A0 81 61 81 62", "too few or too many");
    assert_not_read("B6 52 01 02 03 81 54 A0 81 61", "too few or too many");
    assert_not_read("BF 44 01", "beyond the bytes");
    assert_not_read("B1 44 81 61", "wrong type");
    assert_not_read("B3 4E 01 91 02 A0", "wrong type");
    assert_not_read("B3 4E 01 A0 A0", "wrong type");
    assert_not_read("B3 69 01 02 03", "wrong type");
}

static void a_value_is_not_read_as_another(void **state)
{
    (void)state;
    struct bolt_value value = {.type = BOLT_INTEGER, .as.integer = 1};
    struct bolt_node node;
    struct bolt_path path;
    struct bolt_time time;
    struct bolt_duration duration;
    struct bolt_point point;
    struct bolt_vector vector;
    struct bolt_unsupported unsupported;

    assert_false(bolt_value_node(&value, &node));
    assert_false(bolt_value_path(&value, &path));
    assert_false(bolt_value_time(&value, &time));
    assert_false(bolt_value_duration(&value, &duration));
    assert_false(bolt_value_point(&value, &point));
    assert_false(bolt_value_vector(&value, &vector));
    assert_false(bolt_value_unsupported(&value, &unsupported));
    assert_string_equal(bolt_type_name(value.type), "integer");
    assert_string_equal(bolt_type_name((enum bolt_type)99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_has_labels_and_properties),
        cmocka_unit_test(a_relationship_has_two_ends),
        cmocka_unit_test(a_path_is_walked_in_both_directions),
        cmocka_unit_test(a_path_may_be_one_node),
        cmocka_unit_test(a_path_that_leads_nowhere_is_refused),
        cmocka_unit_test(days_and_times_of_day_are_read),
        cmocka_unit_test(both_forms_of_a_datetime_tell_the_same_instant),
        cmocka_unit_test(a_zone_is_kept_as_text),
        cmocka_unit_test(times_out_of_range_are_refused),
        cmocka_unit_test(a_duration_has_four_parts),
        cmocka_unit_test(points_have_two_or_three_coordinates),
        cmocka_unit_test(vectors_are_read_as_numbers),
        cmocka_unit_test(a_vector_of_broken_elements_is_refused),
        cmocka_unit_test(what_the_server_cant_send_is_named),
        cmocka_unit_test(structures_of_another_shape_are_refused),
        cmocka_unit_test(a_value_is_not_read_as_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
