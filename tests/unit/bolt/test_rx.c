/* rx - chunks to messages, however the bytes come. */
#include "bolt/bytes.h"

#include "bolt/rx.h"
#include "bolt/slack.h"

/* Feed bytes in pieces that end at the given places; what comes out must be those messages. */
static void check_split(const struct bytes *stream, size_t first, size_t second,
                        const char *const *messages, size_t count)
{
    struct rx rx;
    struct bolt_error error;
    const size_t ends[] = {first, second, stream->size};
    size_t at = 0;
    size_t seen = 0;

    rx_init(&rx, 1u << 20);
    for (size_t i = 0; i < 3; i++) {
        while (at < ends[i]) {
            unsigned char *to = NULL;
            size_t room = 0;
            assert_bolt_ok(rx_room(&rx, &to, &room, &error), &error);
            size_t part = ends[i] - at < room ? ends[i] - at : room;
            memcpy(to, stream->data + at, part);
            rx_received(&rx, part);
            at += part;
        }
        const unsigned char *message = NULL;
        size_t size = 0;
        int rc;
        while ((rc = rx_next(&rx, &message, &size, &error)) > 0) {
            AUTO(bytes_done) struct bytes expected = bytes_of(messages[seen++]);
            assert_int_equal(size, expected.size);
            assert_memory_equal(message, expected.data, size);
        }
        assert_bolt_ok(rc, &error);
    }
    assert_int_equal(seen, count);
    rx_done(&rx);
}

static void messages_come_out_however_they_are_split(void **state)
{
    (void)state;
    /* a message, a sign of life, one in three chunks, two signs of life, one */
    AUTO(bytes_done)
    struct bytes stream =
        bytes_of("0003 B1 70 A0 0000 0000 0001 B1 0003 71 91 01 0002 02 03 0000 0000 0000"
                 "0001 FF 0000");
    static const char *const MESSAGES[] = {"B1 70 A0", "B1 71 91 01 02 03", "FF"};

    for (size_t first = 0; first <= stream.size; first++) {
        for (size_t second = first; second <= stream.size; second++) {
            check_split(&stream, first, second, MESSAGES, 3);
        }
    }
}

/* Receive a message of this many bytes in chunks of at most `chunk`, with one of 3 bytes behind it.
 */
static void check_large(size_t message, size_t chunk)
{
    struct rx rx;
    struct bolt_error error;
    size_t chunks = (message + chunk - 1) / chunk;
    AUTO(free_ptr) unsigned char *stream = xmalloc(message + 2 * chunks + 9);
    size_t size = 0;
    size_t at = 0;
    size_t seen = 0;

    for (size_t done = 0; done < message;) {
        size_t part = message - done < chunk ? message - done : chunk;
        be16_put(stream + size, (uint16_t)part);
        for (size_t i = 0; i < part; i++) {
            stream[size + 2 + i] = (unsigned char)((done + i) * 7 >> 3);
        }
        size += 2 + part;
        done += part;
    }
    memcpy(stream + size, "\0\0\0\3abc\0\0", 9);
    size += 9;
    rx_init(&rx, message);
    while (seen < 2) {
        const unsigned char *got = NULL;
        size_t got_size = 0;
        int rc = rx_next(&rx, &got, &got_size, &error);
        assert_bolt_ok(rc, &error);
        if (rc > 0 && seen++ == 0) {
            assert_int_equal(got_size, message);
            for (size_t i = 0; i < message; i++) {
                assert_true(got[i] == (unsigned char)(i * 7 >> 3));
            }
        } else if (rc > 0) {
            assert_int_equal(got_size, 3);
            assert_memory_equal(got, "abc", 3);
        } else {
            unsigned char *to = NULL;
            size_t room = 0;
            assert_bolt_ok(rx_room(&rx, &to, &room, &error), &error);
            size_t part = size - at < room ? size - at : room;
            assert_true(part > 0);
            memcpy(to, stream + at, part);
            rx_received(&rx, part);
            at += part;
        }
    }
    assert_int_equal(rx_waiting(&rx), 0);
    rx_done(&rx);
}

static void large_messages_are_put_together(void **state)
{
    (void)state;

    check_large(65534, 65535);
    check_large(65535, 65535);
    check_large(65536, 65535);
    check_large(RX_CAPACITY, 65535);
    check_large(1000000, 65535);
    check_large(1000000, 16384);
    check_large(100000, 1);
}

/* Receive one message of this many bytes, and hand it out. */
static void pass(struct rx *rx, size_t size)
{
    static const unsigned char zeros[65535];
    unsigned char head[2];
    unsigned char *to = NULL;
    const unsigned char *message = NULL;
    struct bolt_error error;
    size_t got = 0;
    size_t room = 0;

    for (size_t left = size; left > 0;) {
        size_t chunk = left < 16000 ? left : 16000; /* fits into the least room */
        be16_put(head, (uint16_t)chunk);
        assert_bolt_ok(rx_room(rx, &to, &room, &error), &error);
        memcpy(to, head, sizeof(head));
        memcpy(to + sizeof(head), zeros, chunk);
        rx_received(rx, sizeof(head) + chunk);
        left -= chunk;
        assert_int_equal(rx_next(rx, &message, &got, &error), 0);
    }
    assert_bolt_ok(rx_room(rx, &to, &room, &error), &error);
    memcpy(to, zeros, 2);
    rx_received(rx, 2);
    assert_int_equal(rx_next(rx, &message, &got, &error), 1);
    assert_int_equal(got, size);
}

static void passes(struct rx *rx, size_t size, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        pass(rx, size);
    }
}

static void a_buffer_that_grew_for_one_message_shrinks_when_small_ones_follow(void **state)
{
    struct rx rx;

    (void)state;
    rx_init(&rx, 64u << 20);
    pass(&rx, 10);
    assert_int_equal(rx.capacity, RX_CAPACITY);
    pass(&rx, 3u << 20);
    assert_true(rx.capacity >= 3u << 20);
    passes(&rx, 10, SLACK_TIMES);
    assert_true(rx.capacity >= 3u << 20);
    pass(&rx, 10);
    assert_int_equal(rx.capacity, RX_CAPACITY);
    rx_done(&rx);
}

/* What is needed now and then is not taken away and asked for again each time. */
static void a_buffer_is_kept_while_large_messages_keep_coming(void **state)
{
    struct rx rx;

    (void)state;
    rx_init(&rx, 64u << 20);
    pass(&rx, 3u << 20);
    const unsigned char *there = rx.data;
    for (int i = 0; i < 3; i++) {
        passes(&rx, 10, SLACK_TIMES - 1);
        pass(&rx, 3u << 20);
        assert_ptr_equal(rx.data, there);
    }
    rx_done(&rx);
}

static int feed(struct rx *rx, const char *hex, struct bolt_error *error)
{
    AUTO(bytes_done) struct bytes bytes = bytes_of(hex);
    unsigned char *to = NULL;
    const unsigned char *message = NULL;
    size_t room = 0;
    size_t size = 0;

    assert_bolt_ok(rx_room(rx, &to, &room, error), error);
    memcpy(to, bytes.data, bytes.size);
    rx_received(rx, bytes.size);
    return rx_next(rx, &message, &size, error);
}

/* It is refused when it is announced: nothing needs to be kept of it. */
static void a_message_beyond_the_limit_is_refused(void **state)
{
    (void)state;
    struct bolt_error error;
    struct rx rx;

    rx_init(&rx, 4);
    assert_int_equal(feed(&rx, "0002 01 02 0002 03 04 0000", &error), 1);
    rx_done(&rx);
    rx_init(&rx, 4);
    assert_bolt_refused(feed(&rx, "0002 01 02 0003", &error), &error, BOLT_ERR_LIMIT,
                        "more than 4 bytes");
    rx_done(&rx);
    rx_init(&rx, 4);
    assert_bolt_refused(feed(&rx, "FFFF", &error), &error, BOLT_ERR_LIMIT, "reply_max");
    rx_done(&rx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_out_however_they_are_split),
        cmocka_unit_test(large_messages_are_put_together),
        cmocka_unit_test(a_buffer_that_grew_for_one_message_shrinks_when_small_ones_follow),
        cmocka_unit_test(a_buffer_is_kept_while_large_messages_keep_coming),
        cmocka_unit_test(a_message_beyond_the_limit_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
