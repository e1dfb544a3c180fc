/*
 * utf8_check agrees with jansson's own check (and refuses NUL); utf8_cut cuts between characters,
 * and utf8_make_printable makes UTF-8 of everything.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"

static void must(bool right)
{
    if (!right) {
        abort();
    }
}

static void check_cuts(struct str text)
{
    size_t count;
    struct err err;

    for (size_t max = 0; max <= text.len && max < 100; max++) {
        size_t cut = utf8_cut(text, max);
        must(cut <= max && cut + 3 >= max);
        must(utf8_check((struct str){text.ptr, cut}, &count, &err) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {data == NULL ? "" : (const char *)data, size};
    AUTO(json_unref) json_t *theirs = json_stringn(text.ptr, text.len);
    bool right = theirs != NULL && memchr(text.ptr, 0, text.len) == NULL;
    size_t count = 0;
    struct err err;

    must((utf8_check(text, &count, &err) == 0) == right);
    if (right) {
        for (size_t i = 0; i < size; i++) {
            count -= ((unsigned char)text.ptr[i] & 0xC0) != 0x80;
        }
        must(count == 0);
        check_cuts(text);
    }
    AUTO(free_ptr) char *printable = xstrndup(text.ptr, text.len);
    utf8_make_printable(printable, text.len);
    must(utf8_check((struct str){printable, text.len}, &count, &err) == 0);
    return 0;
}
