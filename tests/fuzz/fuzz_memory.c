/*
 * fuzz_memory - a memory that is accepted comes back from its object and from its body the same.
 *
 * Each input is read as a user's object and as a stored body.
 */
#include "model/memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool true_always)
{
    if (!true_always) {
        abort();
    }
}

/* Writing can't fail, reading gives the same memory, and writing that the same bytes. */
static void check_body(const struct memory *memory)
{
    AUTO(memory_done) struct memory back;
    AUTO(buf_done) struct buf body = BUF_INIT(CHANGE_RECORD_MAX);
    AUTO(buf_done) struct buf again = BUF_INIT(CHANGE_RECORD_MAX);
    struct err err = ERR_INIT;

    memory_init(&back);
    require(memory_write_body(memory, &body, &err) == 0);
    require(memory_read_body(buf_str(&body), &back, &err) == 0);
    require(memory_write_body(&back, &again, &err) == 0);
    require(str_eq(buf_str(&body), buf_str(&again)));
}

static void check_object(const struct memory *memory)
{
    AUTO(memory_done) struct memory back;
    AUTO(json_unref) json_t *object = memory_to_json(memory);
    struct err err = ERR_INIT;

    memory_init(&back);
    require(memory_from_json(object, &back, &err) == 0);
    require(memory_same(memory, &back));
    require(memory->created_us == back.created_us && memory->version == back.version);
}

/* Metadata is what its tree is written as. */
static void check_metadata(const struct memory *memory)
{
    AUTO(buf_done) struct buf text = BUF_INIT(MEMORY_METADATA_MAX_BYTES);
    struct err err = ERR_INIT;

    if (memory->metadata != NULL) {
        require(json_canonical(metadata_tree(memory->metadata), &text, &err) == 0);
        require(str_eq(buf_str(&text), metadata_text(memory->metadata)));
    }
}

static void check_copy(const struct memory *memory)
{
    AUTO(memory_done) struct memory copy;
    struct err err = ERR_INIT;

    memory_init(&copy);
    require(memory_copy(memory, &copy, &err) == 0);
    require(memory_same(memory, &copy));
}

static void read_as_object(struct str input)
{
    AUTO(json_unref) json_t *object = NULL;
    AUTO(memory_done) struct memory memory;
    struct err err = ERR_INIT;

    memory_init(&memory);
    if (json_parse(input, &object, &err) < 0 || memory_from_json(object, &memory, &err) < 0) {
        return;
    }
    check_object(&memory);
    check_copy(&memory);
    memory.created_us = memory.created_us == TIME_NONE ? 0 : memory.created_us;
    memory.updated_us = memory.updated_us == TIME_NONE ? 0 : memory.updated_us;
    check_body(&memory);
}

static void read_as_body(struct str input)
{
    AUTO(memory_done) struct memory memory;
    struct err err = ERR_INIT;

    memory_init(&memory);
    if (memory_read_body(input, &memory, &err) == 0) {
        check_body(&memory);
        check_object(&memory);
        check_metadata(&memory);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = {(const char *)data, size};

    read_as_object(input);
    read_as_body(input);
    return 0;
}
