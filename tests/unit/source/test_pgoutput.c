/* What PostgreSQL sends, byte by byte; and every message cut at every byte. */
#include "support/unit.h"

#include "base/num.h"
#include "source/pgoutput.h"

#define MESSAGE_MAX 512

struct bytes {
    char data[MESSAGE_MAX];
    size_t len;
};

static void add(struct bytes *b, const void *bytes, size_t len)
{
    assert_true(b->len + len <= sizeof(b->data));
    memcpy(b->data + b->len, bytes, len);
    b->len += len;
}

static void add_u8(struct bytes *b, char value)
{
    add(b, &value, 1);
}

static void add_u16(struct bytes *b, uint16_t value)
{
    char be[2];

    be16_put(be, value);
    add(b, be, sizeof(be));
}

static void add_u32(struct bytes *b, uint32_t value)
{
    char be[4];

    be32_put(be, value);
    add(b, be, sizeof(be));
}

static void add_u64(struct bytes *b, uint64_t value)
{
    char be[8];

    be64_put(be, value);
    add(b, be, sizeof(be));
}

static void add_text(struct bytes *b, const char *text)
{
    add(b, text, strlen(text) + 1);
}

/* 't' and a text, 'n' for NULL, 'u' for "unchanged". */
static void add_value(struct bytes *b, char kind, const char *text)
{
    add_u8(b, kind);
    if (kind == 't') {
        add_u32(b, (uint32_t)strlen(text));
        add(b, text, strlen(text));
    }
}

static struct bytes relation_message(void)
{
    struct bytes b = {.len = 0};

    add_u8(&b, 'R');
    add_u32(&b, 16400);
    add_text(&b, "public");
    add_text(&b, "memories");
    add_u8(&b, 'd');
    add_u16(&b, 2);
    add_u8(&b, 1);
    add_text(&b, "id");
    add_u32(&b, 2950);
    add_u32(&b, 0xffffffff);
    add_u8(&b, 0);
    add_text(&b, "content");
    add_u32(&b, 25);
    add_u32(&b, 0xffffffff);
    return b;
}

static struct bytes insert_message(void)
{
    struct bytes b = {.len = 0};

    add_u8(&b, 'I');
    add_u32(&b, 16400);
    add_u8(&b, 'N');
    add_u16(&b, 2);
    add_value(&b, 't', "7");
    add_value(&b, 'n', NULL);
    return b;
}

static struct bytes update_message(char old)
{
    struct bytes b = {.len = 0};

    add_u8(&b, 'U');
    add_u32(&b, 16400);
    if (old != 0) {
        add_u8(&b, old);
        add_u16(&b, 2);
        add_value(&b, 't', "6");
        add_value(&b, 'n', NULL);
    }
    add_u8(&b, 'N');
    add_u16(&b, 2);
    add_value(&b, 't', "7");
    add_value(&b, 'u', NULL);
    return b;
}

static struct bytes delete_message(void)
{
    struct bytes b = {.len = 0};

    add_u8(&b, 'D');
    add_u32(&b, 16400);
    add_u8(&b, 'K');
    add_u16(&b, 2);
    add_value(&b, 't', "7");
    add_value(&b, 'n', NULL);
    return b;
}

static struct bytes truncate_message(void)
{
    struct bytes b = {.len = 0};

    add_u8(&b, 'T');
    add_u32(&b, 2);
    add_u8(&b, 1);
    add_u32(&b, 16400);
    add_u32(&b, 16500);
    return b;
}

static struct bytes logical_message(void)
{
    struct bytes b = {.len = 0};

    add_u8(&b, 'M');
    add_u8(&b, 1);
    add_u64(&b, 0x116b3748);
    add_text(&b, "holdfast");
    add_u32(&b, 2);
    add(&b, "{}", 2);
    return b;
}

static struct bytes begin_message(void)
{
    struct bytes b = {.len = 0};

    add_u8(&b, 'B');
    add_u64(&b, 100);
    add_u64(&b, 0);
    add_u32(&b, 4711);
    return b;
}

static struct bytes commit_message(void)
{
    struct bytes b = {.len = 0};

    add_u8(&b, 'C');
    add_u8(&b, 0);
    add_u64(&b, 100);
    add_u64(&b, 148);
    add_u64(&b, 1000000); /* a second after 2000-01-01 */
    return b;
}

static int decode(const struct bytes *b, struct pgoutput_message *ret,
                  struct pgoutput **ret_decoder, struct err *err)
{
    *ret_decoder = pgoutput_new();
    return pgoutput_decode(*ret_decoder, (struct str){b->data, b->len}, ret, err);
}

#define DECODE(given)                                                                              \
    struct pgoutput_message message;                                                               \
    struct pgoutput *decoder;                                                                      \
    struct err err = ERR_INIT;                                                                     \
    struct bytes b = (given);                                                                      \
    assert_ok(decode(&b, &message, &decoder, &err), &err)

static void a_relation_tells_names_and_keys(void **state)
{
    (void)state;
    DECODE(relation_message());
    assert_int_equal(message.kind, PGOUTPUT_RELATION);
    assert_int_equal(message.relation, 16400);
    assert_string_equal(message.schema, "public");
    assert_string_equal(message.table, "memories");
    assert_int_equal(message.identity, 'd');
    assert_int_equal(message.column_count, 2);
    assert_string_equal(message.columns[1].name, "content");
    assert_true(message.columns[0].is_key && !message.columns[1].is_key);
    assert_int_equal(message.columns[0].type, 2950);
    pgoutput_free(decoder);
}

static void an_insert_has_texts_and_nulls(void **state)
{
    (void)state;
    DECODE(insert_message());
    assert_int_equal(message.kind, PGOUTPUT_INSERT);
    assert_int_equal(message.new.count, 2);
    assert_true(str_eq(message.new.values[0].text, STR("7")));
    assert_int_equal(message.new.values[1].kind, PGOUTPUT_NULL);
    assert_null(message.old.values);
    pgoutput_free(decoder);
}

static void an_update_may_bring_the_old_row_and_leave_large_values_out(void **state)
{
    (void)state;
    {
        DECODE(update_message(0));
        assert_null(message.old.values);
        assert_int_equal(message.new.values[1].kind, PGOUTPUT_UNCHANGED);
        pgoutput_free(decoder);
    }
    for (const char *old = "KO"; *old != '\0'; old++) {
        DECODE(update_message(*old));
        assert_true(str_eq(message.old.values[0].text, STR("6")));
        assert_true(str_eq(message.new.values[0].text, STR("7")));
        pgoutput_free(decoder);
    }
}

static void a_deletion_has_the_key(void **state)
{
    (void)state;
    DECODE(delete_message());
    assert_int_equal(message.kind, PGOUTPUT_DELETE);
    assert_true(str_eq(message.old.values[0].text, STR("7")));
    assert_null(message.new.values);
    pgoutput_free(decoder);
}

static void a_truncate_names_all_its_tables(void **state)
{
    (void)state;
    DECODE(truncate_message());
    assert_int_equal(message.truncated_count, 2);
    assert_int_equal(message.truncated[1], 16500);
    pgoutput_free(decoder);
}

static void a_logical_message_has_prefix_and_content(void **state)
{
    (void)state;
    DECODE(logical_message());
    assert_string_equal(message.prefix, "holdfast");
    assert_true(str_eq(message.content, STR("{}")));
    assert_true(message.transactional);
    assert_int_equal(message.lsn, 0x116b3748);
    pgoutput_free(decoder);
}

static void a_commit_tells_the_address_behind_it_and_when(void **state)
{
    (void)state;
    DECODE(commit_message());
    assert_int_equal(message.lsn, 148);
    assert_int_equal(message.time_us, 946684801LL * 1000000);
    pgoutput_free(decoder);
}

static void every_message_cut_anywhere_or_longer_is_refused(void **state)
{
    const struct bytes all[] = {relation_message(), insert_message(),   update_message('O'),
                                delete_message(),   truncate_message(), logical_message(),
                                begin_message(),    commit_message()};

    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct bytes b = all[i];
        for (size_t len = 0; len <= all[i].len + 1; len++) {
            struct pgoutput_message message;
            struct pgoutput *decoder;
            struct err err = ERR_INIT;
            b.len = len;
            int rc = decode(&b, &message, &decoder, &err);
            assert_int_equal(rc, len == all[i].len ? 0 : -ERR_CORRUPT);
            pgoutput_free(decoder);
        }
    }
}

static void assert_wrong(const struct bytes *b, const char *part)
{
    struct pgoutput_message message;
    struct pgoutput *decoder;
    struct err err = ERR_INIT;

    assert_refused(decode(b, &message, &decoder, &err), &err, ERR_CORRUPT, part);
    pgoutput_free(decoder);
}

static void what_the_protocol_does_not_have_is_refused(void **state)
{
    struct bytes b = insert_message();

    (void)state;
    b.data[0] = 'Z';
    assert_wrong(&b, "unknown kind");
    b = insert_message();
    b.data[5] = 'Q';
    assert_wrong(&b, "new row");
    b = delete_message();
    b.data[5] = 'N';
    assert_wrong(&b, "without the old row");
    b = insert_message();
    b.data[8] = 'x';
    assert_wrong(&b, "neither null");
    b = insert_message();
    be16_put(b.data + 6, PGOUTPUT_COLUMNS_MAX + 1);
    assert_wrong(&b, "more columns");
    b = truncate_message();
    be32_put(b.data + 1, PGOUTPUT_TRUNCATED_MAX + 1);
    assert_wrong(&b, "more tables");
    b = insert_message();
    be32_put(b.data + 9, 0xffffffff); /* a value of 4 GiB */
    assert_wrong(&b, "ends too early");
}

static void as_many_columns_as_a_table_can_have_are_taken(void **state)
{
    AUTO(free_ptr) char *bytes = xcalloc(1, 8 + PGOUTPUT_COLUMNS_MAX);
    struct pgoutput *decoder = pgoutput_new();
    struct pgoutput_message message;
    struct err err = ERR_INIT;

    (void)state;
    bytes[0] = 'I';
    bytes[5] = 'N';
    be16_put(bytes + 6, PGOUTPUT_COLUMNS_MAX);
    memset(bytes + 8, 'n', PGOUTPUT_COLUMNS_MAX);
    assert_ok(
        pgoutput_decode(decoder, (struct str){bytes, 8 + PGOUTPUT_COLUMNS_MAX}, &message, &err),
        &err);
    assert_int_equal(message.new.count, PGOUTPUT_COLUMNS_MAX);
    pgoutput_free(decoder);
}

static void addresses_are_read_as_they_are_written(void **state)
{
    const pg_lsn all[] = {0, 0x16b3748, 0x100000000, UINT64_MAX};
    const char *const wrong[] = {"", "/", "1", "1/", "/1", "g/1", "1/123456789", "1/2/3", "-1/2"};
    char text[PG_LSN_TEXT_MAX];
    struct err err = ERR_INIT;
    pg_lsn lsn;

    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        pg_lsn_format(all[i], text);
        assert_ok(pg_lsn_parse(str_of(text), &lsn, &err), &err);
        assert_true(lsn == all[i]);
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_refused(pg_lsn_parse(str_of(wrong[i]), &lsn, &err), &err, ERR_INVALID, "no address");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_relation_tells_names_and_keys),
        cmocka_unit_test(an_insert_has_texts_and_nulls),
        cmocka_unit_test(an_update_may_bring_the_old_row_and_leave_large_values_out),
        cmocka_unit_test(a_deletion_has_the_key),
        cmocka_unit_test(a_truncate_names_all_its_tables),
        cmocka_unit_test(a_logical_message_has_prefix_and_content),
        cmocka_unit_test(a_commit_tells_the_address_behind_it_and_when),
        cmocka_unit_test(every_message_cut_anywhere_or_longer_is_refused),
        cmocka_unit_test(what_the_protocol_does_not_have_is_refused),
        cmocka_unit_test(as_many_columns_as_a_table_can_have_are_taken),
        cmocka_unit_test(addresses_are_read_as_they_are_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
