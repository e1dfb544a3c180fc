/* hash - SHA-256 and HMAC-SHA-256. */
#include "support/unit.h"

#include <pthread.h>

#include "base/hash.h"

/* FIPS 180-4 examples */
#define EMPTY_HEX "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC_HEX "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void assert_hex(struct sha256 hash, const char *expected)
{
    char text[SHA256_HEX_MAX];

    sha256_hex(&hash, text);
    assert_string_equal(text, expected);
}

static void hashes_are_those_of_the_standard(void **state)
{
    (void)state;

    assert_hex(sha256_of("", 0), EMPTY_HEX);
    assert_hex(sha256_of(NULL, 0), EMPTY_HEX);
    assert_hex(sha256_of("abc", 3), ABC_HEX);
}

static void two_pieces_hash_as_one(void **state)
{
    (void)state;

    assert_hex(sha256_of2("a", 1, "bc", 2), ABC_HEX);
    assert_hex(sha256_of2("", 0, "abc", 3), ABC_HEX);
    assert_hex(sha256_of2("abc", 3, NULL, 0), ABC_HEX);
}

static void a_stream_hashes_as_its_whole(void **state)
{
    (void)state;
    struct sha256_stream *stream = sha256_start();

    for (size_t i = 0; i < 3; i++) {
        sha256_add(stream, &"abc"[i], 1);
        sha256_add(stream, NULL, 0);
    }
    assert_hex(sha256_end_take(stream), ABC_HEX);
}

/* RFC 4231, test cases 1, 2 and 6 */
static void hmacs_are_those_of_rfc_4231(void **state)
{
    (void)state;
    char long_key[131];

    memset(long_key, 0xAA, sizeof(long_key));
    assert_hex(hmac_sha256(STR("\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b"
                               "\x0b\x0b\x0b\x0b"),
                           STR("Hi There")),
               "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    assert_hex(hmac_sha256(STR("Jefe"), STR("what do ya want for nothing?")),
               "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    assert_hex(hmac_sha256((struct str){long_key, sizeof(long_key)},
                           STR("Test Using Larger Than Block-Size Key - Hash Key First")),
               "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void an_empty_key_and_message_have_an_hmac(void **state)
{
    (void)state;

    assert_hex(hmac_sha256((struct str){NULL, 0}, (struct str){NULL, 0}),
               "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void equal_hashes_are_equal_and_others_not(void **state)
{
    (void)state;
    struct sha256 a = sha256_of("a", 1);
    struct sha256 b = a;

    assert_true(sha256_eq(&a, &b));
    b.bytes[31] ^= 1;
    assert_false(sha256_eq(&a, &b));
}

static void only_32_zero_bytes_are_zero(void **state)
{
    (void)state;
    struct sha256 hash = {{0}};

    assert_true(sha256_is_zero(&hash));
    hash.bytes[31] = 1;
    assert_false(sha256_is_zero(&hash));
}

static void hex_is_read_back(void **state)
{
    (void)state;
    struct sha256 hash;
    struct err err;

    assert_ok(sha256_parse_hex(STR(ABC_HEX), &hash, &err), &err);
    assert_hex(hash, ABC_HEX);
}

static void other_texts_are_no_hash(void **state)
{
    (void)state;
    struct sha256 hash;
    struct err err;
    char upper[] = ABC_HEX;

    upper[1] = 'A';
    assert_refused(sha256_parse_hex(str_of(upper), &hash, &err), &err, ERR_INVALID, "at byte 1");
    upper[1] = 'g';
    assert_refused(sha256_parse_hex(str_of(upper), &hash, &err), &err, ERR_INVALID, "at byte 1");
    assert_refused(sha256_parse_hex(STR(""), &hash, &err), &err, ERR_INVALID, "64 hex digits");
    assert_refused(sha256_parse_hex(STR(ABC_HEX "0"), &hash, &err), &err, ERR_INVALID,
                   "has 65 characters");
}

static void *hash_often(void *arg)
{
    struct sha256 *last = arg;

    for (int i = 0; i < 1000; i++) {
        *last = sha256_of("abc", 3);
    }
    return NULL;
}

static void threads_hash_without_disturbing_each_other(void **state)
{
    (void)state;
    pthread_t threads[4];
    struct sha256 results[4];

    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, hash_often, &results[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_hex(results[i], ABC_HEX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_are_those_of_the_standard),
        cmocka_unit_test(two_pieces_hash_as_one),
        cmocka_unit_test(a_stream_hashes_as_its_whole),
        cmocka_unit_test(hmacs_are_those_of_rfc_4231),
        cmocka_unit_test(an_empty_key_and_message_have_an_hmac),
        cmocka_unit_test(equal_hashes_are_equal_and_others_not),
        cmocka_unit_test(only_32_zero_bytes_are_zero),
        cmocka_unit_test(hex_is_read_back),
        cmocka_unit_test(other_texts_are_no_hash),
        cmocka_unit_test(threads_hash_without_disturbing_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
