/*
 * decode - how fast a recorded stream of replies is taken apart, beside memcpy: GB for each second
 * of CPU.
 *
 *   decode FILE    FILE: messages as they came over the line (chunks)
 *
 * "check" is what every received byte goes through before a record is handed out (chunks put
 * together; lengths, nesting, UTF-8, fields of structures checked; the columns found); "read" takes
 * each column out besides, numbers into an array. Bytes come as from a socket, by copying READ_SIZE
 * at a time; memcpy copies them once, just so.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <holdfast/bolt.h>

#include "bolt/rx.h"
#include "bolt/value.h"

#define READ_SIZE ((size_t)64 << 10)
#define SECONDS 1.0
#define NUMBERS_MAX 4096
#define TAG_RECORD 0x71

enum work { WORK_COPY, WORK_CHECK, WORK_READ };

static volatile double sink; /* so that nothing is optimised away */

static void fail(const char *what)
{
    fprintf(stderr, "decode: %s\n", what);
    exit(1);
}

static double cpu_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* always there */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void read_value(const struct bolt_value *value)
{
    static double numbers[NUMBERS_MAX];
    struct bolt_time time;

    if (value->type == BOLT_LIST && value->count <= NUMBERS_MAX &&
        bolt_list_doubles(value, numbers, value->count)) {
        sink += value->count > 0 ? numbers[value->count - 1] : 0;
    } else if (bolt_value_time(value, &time)) {
        sink += (double)time.seconds;
    } else {
        sink += value->count;
    }
}

static void take_message(const unsigned char *message, size_t size, enum work work)
{
    struct bolt_error error;
    struct bolt_value list;
    struct bolt_value column;

    if (size < 2 || message[1] != TAG_RECORD) {
        return;
    }
    if (value_check(message, message + 2, message + size, &error) == NULL) {
        fail(error.message);
    }
    (void)value_view(message + 2, &list);
    struct bolt_iter iter = bolt_iter_of(&list);
    while (bolt_iter_next(&iter, &column)) {
        if (work == WORK_READ) {
            read_value(&column);
        } else {
            sink += column.count;
        }
    }
}

static void decode(const unsigned char *bytes, size_t size, enum work work)
{
    struct rx rx;
    struct bolt_error error;
    const unsigned char *message = NULL;
    size_t message_size = 0;
    size_t room = 0;
    unsigned char *to = NULL;

    rx_init(&rx, BOLT_REPLY_MAX);
    while (size > 0) {
        if (rx_room(&rx, &to, &room, &error) < 0) {
            fail(error.message);
        }
        room = room < READ_SIZE ? room : READ_SIZE;
        room = room < size ? room : size;
        memcpy(to, bytes, room);
        rx_received(&rx, room);
        bytes += room;
        size -= room;
        while (rx_next(&rx, &message, &message_size, &error) == 1) {
            take_message(message, message_size, work);
        }
    }
    rx_done(&rx);
}

static void copy(const unsigned char *bytes, size_t size)
{
    static unsigned char to[READ_SIZE];

    while (size > 0) {
        size_t part = size < READ_SIZE ? size : READ_SIZE;
        memcpy(to, bytes, part);
        sink += to[part - 1];
        bytes += part;
        size -= part;
    }
}

static double measure(const unsigned char *bytes, size_t size, enum work work)
{
    double began = cpu_s();
    double ended = began;
    double done = 0;

    while (ended - began < SECONDS) {
        if (work == WORK_COPY) {
            copy(bytes, size);
        } else {
            decode(bytes, size, work);
        }
        done += (double)size;
        ended = cpu_s();
    }
    return done / (ended - began) / 1e9;
}

int main(int argc, char **argv)
{
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;

    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        fail("usage: decode FILE");
    }
    size_t size = (size_t)ftell(file);
    unsigned char *bytes = malloc(size + 1);
    rewind(file);
    if (bytes == NULL || fread(bytes, 1, size, file) != size || size == 0) {
        fail("the file can't be read");
    }
    (void)fclose(file);
    printf("{\"bytes\":%zu,\"memcpy\":%.3f,\"check\":%.3f,\"read\":%.3f}\n", size,
           measure(bytes, size, WORK_COPY), measure(bytes, size, WORK_CHECK),
           measure(bytes, size, WORK_READ));
    free(bytes);
    return 0;
}
