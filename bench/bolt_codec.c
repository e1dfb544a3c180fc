/*
 * bolt_codec - how fast PackStream is read and written, in GB of packed bytes for each second of
 * CPU, beside memcpy.
 *
 *   bolt_codec [SECONDS]   each line is measured for that long (0.5)
 *
 * Two shapes: a list of 768 floats, as embeddings are, and a memory as it comes back from the graph
 * (twelve properties, 300 bytes of text, 384 floats). "check" is what every received byte goes
 * through; "read" is check and getting all of it out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <holdfast/bolt.h>

#define BATCH 64 /* values a buffer: beyond the first-level cache, as messages are */

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const struct bolt_error *error)
{
    fprintf(stderr, "bolt_codec: %s\n", error->message);
    exit(1);
}

static float vector[768];
static volatile double sink; /* so that nothing is optimised away */

static void pack_memory(struct bolt_packer *p)
{
    static const char *const TEXTS[] = {"id",         "memory_type",    "created_at", "updated_at",
                                        "session_id", "source_project", "origin",     "hash"};
    static char content[300];

    memset(content, 'm', sizeof(content));
    bolt_pack_map(p, 12);
    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++) {
        bolt_pack_key(p, TEXTS[i]);
        bolt_pack_text(p, "0192f3a4-7c1e-7abc-8def-0123456789ab");
    }
    bolt_pack_key(p, "sync_version");
    bolt_pack_integer(p, 3);
    bolt_pack_key(p, "importance");
    bolt_pack_float(p, 0.5);
    bolt_pack_key(p, "content");
    bolt_pack_string(p, content, sizeof(content));
    bolt_pack_key(p, "embedding");
    bolt_pack_floats(p, vector, 384);
}

static void pack_vector(struct bolt_packer *p)
{
    bolt_pack_floats(p, vector, 768);
}

static void pack_batch(struct bolt_packer *p, void (*pack)(struct bolt_packer *))
{
    bolt_packer_reset(p);
    bolt_pack_list(p, BATCH);
    for (int i = 0; i < BATCH; i++) {
        pack(p);
    }
}

static void check_batch(const struct bolt_packer *p, struct bolt_value *ret)
{
    struct bolt_error error;

    if (bolt_value_read(p->data, p->size, ret, NULL, &error) < 0) {
        fail(&error);
    }
}

static double take_value(const struct bolt_value *value)
{
    double numbers[768];
    struct bolt_iter iter = bolt_iter_of(value);
    struct bolt_string key;
    struct bolt_value item;
    double sum = 0;

    if (value->type == BOLT_LIST && bolt_list_doubles(value, numbers, value->count)) {
        return numbers[0] + numbers[value->count - 1];
    }
    while (bolt_iter_entry(&iter, &key, &item)) {
        sum += item.type == BOLT_LIST ? take_value(&item) : (double)(key.size + item.count);
    }
    return sum;
}

static void read_batch(const struct bolt_packer *p)
{
    struct bolt_value list;
    struct bolt_value item;

    check_batch(p, &list);
    struct bolt_iter iter = bolt_iter_of(&list);
    while (bolt_iter_next(&iter, &item)) {
        sink += take_value(&item);
    }
}

enum work { WORK_WRITE, WORK_CHECK, WORK_READ, WORK_COPY };

static double measure(enum work work, void (*pack)(struct bolt_packer *), double seconds)
{
    struct bolt_packer p;
    struct bolt_value value;
    double bytes = 0;

    bolt_packer_init(&p, 0);
    pack_batch(&p, pack);
    unsigned char *copy = malloc(p.size);
    if (copy == NULL) {
        exit(1);
    }
    double start = now_s();
    double end = start;
    while (end - start < seconds) {
        switch (work) {
        case WORK_WRITE:
            pack_batch(&p, pack);
            break;
        case WORK_CHECK:
            check_batch(&p, &value);
            break;
        case WORK_READ:
            read_batch(&p);
            break;
        case WORK_COPY:
            memcpy(copy, p.data, p.size);
            sink += copy[p.size - 1];
            break;
        }
        bytes += (double)p.size;
        end = now_s();
    }
    free(copy);
    bolt_packer_done(&p);
    return bytes / (end - start) / 1e9;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*pack)(struct bolt_packer *);
    } SHAPES[] = {{"768 floats", pack_vector}, {"memory, 384 floats", pack_memory}};
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 0.5;

    for (size_t i = 0; i < sizeof(vector) / sizeof(vector[0]); i++) {
        vector[i] = (float)i / 768.0f - 0.5f;
    }
    printf("%-20s %8s %8s %8s %8s   GB/s\n", "", "write", "check", "read", "memcpy");
    for (size_t i = 0; i < sizeof(SHAPES) / sizeof(SHAPES[0]); i++) {
        printf("%-20s %8.1f %8.1f %8.1f %8.1f\n", SHAPES[i].name,
               measure(WORK_WRITE, SHAPES[i].pack, seconds),
               measure(WORK_CHECK, SHAPES[i].pack, seconds),
               measure(WORK_READ, SHAPES[i].pack, seconds),
               measure(WORK_COPY, SHAPES[i].pack, seconds));
    }
    return 0;
}
