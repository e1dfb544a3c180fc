#include "base/hash.h"

#include <assert.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>

#include "base/num.h"

/* Looked up once: the lookup takes longer than hashing 256 bytes. Never freed. */
static EVP_MD *algorithm;
static pthread_once_t algorithm_once = PTHREAD_ONCE_INIT;

static void fetch_algorithm(void)
{
    algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (algorithm == NULL) {
        abort(); /* an OpenSSL without it */
    }
}

struct sha256 sha256_of(const void *bytes, size_t len)
{
    return sha256_of2(bytes, len, NULL, 0);
}

struct sha256 sha256_of2(const void *first, size_t first_len, const void *second, size_t second_len)
{
    struct sha256_stream *stream = sha256_start();

    sha256_add(stream, first, first_len);
    sha256_add(stream, second, second_len);
    return sha256_end_take(stream);
}

struct sha256 hmac_sha256(struct str key, struct str message)
{
    struct sha256 hash;
    unsigned len = 0;

    assert(key.len <= INT_MAX);
    if (HMAC(EVP_sha256(), key.len == 0 ? "" : key.ptr, (int)key.len,
             (const unsigned char *)message.ptr, message.len, hash.bytes, &len) == NULL ||
        len != sizeof(hash.bytes)) {
        abort(); /* only memory can be missing */
    }
    return hash;
}

bool sha256_eq(const struct sha256 *a, const struct sha256 *b)
{
    return CRYPTO_memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool sha256_is_zero(const struct sha256 *hash)
{
    static const struct sha256 ZERO;

    return memcmp(hash->bytes, ZERO.bytes, sizeof(ZERO.bytes)) == 0;
}

void sha256_hex(const struct sha256 *hash, char ret_text[SHA256_HEX_MAX])
{
    static const char DIGITS[] = "0123456789abcdef";

    for (size_t i = 0; i < SHA256_LEN; i++) {
        ret_text[2 * i] = DIGITS[hash->bytes[i] >> 4];
        ret_text[2 * i + 1] = DIGITS[hash->bytes[i] & 0x0F];
    }
    ret_text[SHA256_HEX_MAX - 1] = '\0';
}

/* One hash has one text, so that texts can be compared: -1 for upper case too. */
static int lower_hex_digit(char c)
{
    return c >= 'A' && c <= 'F' ? -1 : num_hex_digit(c);
}

int sha256_parse_hex(struct str s, struct sha256 *ret, struct err *err)
{
    struct sha256 hash;

    if (s.len != SHA256_HEX_MAX - 1) {
        return err_set(err, ERR_INVALID, "a hash has %zu characters; expected 64 hex digits",
                       s.len);
    }
    for (size_t i = 0; i < SHA256_LEN; i++) {
        int high = lower_hex_digit(s.ptr[2 * i]);
        int low = lower_hex_digit(s.ptr[2 * i + 1]);
        if (high < 0 || low < 0) {
            return err_set(err, ERR_INVALID,
                           "a hash has something else than a lower-case hex digit at byte %zu",
                           2 * i + (high < 0 ? 0 : 1));
        }
        hash.bytes[i] = (uint8_t)(high << 4 | low);
    }
    *ret = hash;
    return 0;
}

/* The stream is OpenSSL's context under our name. Its calls fail only when memory is out. */
struct sha256_stream *sha256_start(void)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();

    (void)pthread_once(&algorithm_once, fetch_algorithm); /* can't fail with a valid once */
    if (context == NULL || EVP_DigestInit_ex(context, algorithm, NULL) != 1) {
        abort();
    }
    return (struct sha256_stream *)context;
}

void sha256_add(struct sha256_stream *stream, const void *bytes, size_t len)
{
    if (len > 0 && EVP_DigestUpdate((EVP_MD_CTX *)stream, bytes, len) != 1) {
        abort();
    }
}

struct sha256 sha256_end_take(struct sha256_stream *stream)
{
    struct sha256 hash;

    if (EVP_DigestFinal_ex((EVP_MD_CTX *)stream, hash.bytes, NULL) != 1) {
        abort();
    }
    EVP_MD_CTX_free((EVP_MD_CTX *)stream);
    return hash;
}
