/* vector - the numbers of an embedding, and which can't be compared. */
#include "support/unit.h"

#include <math.h>

#include "base/base64.h"
#include "base/num.h"
#include "model/vector.h"

static char *text_of(const float *values, size_t count)
{
    AUTO(buf_done) struct buf bytes = BUF_INIT(sizeof(float) * (count + 1));
    struct buf text = BUF_INIT(2 * sizeof(float) * (count + 4));
    struct err err = ERR_INIT;

    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof(bits));
        bits = htole32(bits);
        assert_ok(buf_add(&bytes, &bits, sizeof(bits), &err), &err);
    }
    assert_ok(base64_add(&text, bytes.data, bytes.len, &err), &err);
    assert_ok(buf_add_c(&text, "", &err), &err);
    return buf_take(&text);
}

static void assert_vector_refused(const char *text, const char *part)
{
    struct err err = ERR_INIT;
    float *values = NULL;
    size_t count = 0;

    assert_refused(vector_parse(str_of(text), &values, &count, &err), &err, ERR_INVALID, part);
    assert_null(values);
}

static void numbers_come_back_as_they_were(void **state)
{
    const float given[] = {1.0F, -0.25F, 3.4e38F, 0.0F};
    AUTO(free_ptr) char *text = text_of(given, 4);
    AUTO(free_ptr) float *values = NULL;
    struct err err = ERR_INIT;
    size_t count = 0;

    (void)state;
    assert_string_equal("AACAPwAAgL6eyX9/AAAAAA==", text);
    assert_ok(vector_parse(str_of(text), &values, &count, &err), &err);
    assert_int_equal(count, 4);
    assert_memory_equal(values, given, sizeof(given));
}

static void what_has_no_direction_is_refused(void **state)
{
    const float zeros[] = {0.0F, -0.0F};
    const float nan[] = {1.0F, NAN};
    const float infinite[] = {-INFINITY, 1.0F};
    AUTO(free_ptr) char *a = text_of(zeros, 2);
    AUTO(free_ptr) char *b = text_of(nan, 2);
    AUTO(free_ptr) char *c = text_of(infinite, 2);

    (void)state;
    assert_vector_refused(a, "all zeros");
    assert_vector_refused(b, "not finite");
    assert_vector_refused(c, "not finite");
    assert_vector_refused("", "no numbers");
}

static void what_is_no_vector_is_refused(void **state)
{
    (void)state;
    assert_vector_refused("[1, 2]", "base64 of 32-bit floats");
    assert_vector_refused("AACAPw", "base64 of 32-bit floats");
    assert_vector_refused("AACAPwA=", "base64 of 32-bit floats");
}

static void a_vector_has_so_many_numbers_and_no_more(void **state)
{
    AUTO(free_ptr) float *many = xcalloc(VECTOR_DIMENSIONS_MAX + 1, sizeof(float));
    AUTO(free_ptr) float *values = NULL;
    struct err err = ERR_INIT;
    size_t count = 0;

    (void)state;
    many[0] = 1.0F;
    AUTO(free_ptr) char *most = text_of(many, VECTOR_DIMENSIONS_MAX);
    AUTO(free_ptr) char *more = text_of(many, VECTOR_DIMENSIONS_MAX + 1);
    assert_ok(vector_parse(str_of(most), &values, &count, &err), &err);
    assert_int_equal(count, VECTOR_DIMENSIONS_MAX);
    assert_vector_refused(more, "more than 4096");
}

int main(void)
{
    const struct CMUnitTest vector[] = {
        cmocka_unit_test(numbers_come_back_as_they_were),
        cmocka_unit_test(what_has_no_direction_is_refused),
        cmocka_unit_test(what_is_no_vector_is_refused),
        cmocka_unit_test(a_vector_has_so_many_numbers_and_no_more),
    };

    return cmocka_run_group_tests(vector, NULL, NULL);
}
