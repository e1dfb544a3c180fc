/*
 * fuzz_change - what change reads as a record it writes again to the byte; as a line too.
 *
 * Nothing random has a right hash, so each input is read as it is, and once more in a line that was
 * made for it.
 */
#include "model/change.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool true_always)
{
    if (!true_always) {
        abort();
    }
}

/* A change that was read is within the rules of writing, and nothing of it is lost. */
static void check_record(const struct change *change)
{
    AUTO(buf_done) struct buf again = BUF_INIT(CHANGE_RECORD_MAX);
    struct err err = ERR_INIT;

    require(change_write_record(change, &again, &err) == 0);
    require(str_eq(buf_str(&again), change->record));
}

static void check_line(struct str record, bool good)
{
    AUTO(buf_done) struct buf line = BUF_INIT(CHANGE_LINE_MAX);
    AUTO(buf_done) struct buf back = BUF_INIT(CHANGE_RECORD_MAX);
    struct sha256 prev = sha256_of(record.ptr, record.len);
    struct sha256 hash = change_hash(&prev, record);
    struct change change;
    struct err err = ERR_INIT;

    require(change_write_line(record, &prev, &hash, &line, &err) == 0);
    int result = change_read_line((struct str){line.data, line.len - 1}, &back, &change, &err);
    require((result == 0) == good);
    if (good) {
        require(str_eq(change.record, record));
        require(sha256_eq(&change.prev, &prev) && sha256_eq(&change.hash, &hash));
    }
}

static void check_input_as_line(struct str input)
{
    AUTO(buf_done) struct buf line = BUF_INIT(CHANGE_LINE_MAX);
    AUTO(buf_done) struct buf record = BUF_INIT(CHANGE_RECORD_MAX);
    struct change change;
    struct err err = ERR_INIT;

    if (change_read_line(input, &record, &change, &err) == 0) {
        require(change_write_line(change.record, &change.prev, &change.hash, &line, &err) == 0);
        require(str_eq((struct str){line.data, line.len - 1}, input));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = {(const char *)data, size};
    struct change change;
    struct err err = ERR_INIT;

    bool good = change_read_record(input, &change, &err) == 0;
    if (good) {
        check_record(&change);
    }
    /* The record of a line ends in a brace; only then is it the input again. */
    if (size > 0 && size <= CHANGE_RECORD_MAX && data[size - 1] == '}') {
        check_line(input, good);
    }
    check_input_as_line(input);
    return 0;
}
