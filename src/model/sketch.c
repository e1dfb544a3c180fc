#include "model/sketch.h"

#define BIN_BITS 5
_Static_assert(SKETCH_BINS == 1 << BIN_BITS, "the highest bits of a hash are its bin");

/* The higher a bit of a product, the more bits of the word it hangs on: the highest choose the bin,
 * the others the least in it. */
#define MULTIPLIER 0x9E3779B97F4A7C15ULL

static void add(uint64_t least[SKETCH_BINS], const char *bytes, size_t len)
{
    uint64_t word = 0;

    memcpy(&word, bytes, len);
    uint64_t hash = word * MULTIPLIER;
    uint64_t *bin = &least[hash >> (64 - BIN_BITS)];
    if (hash < *bin) {
        *bin = hash;
    }
}

struct sketch sketch_of(struct str text)
{
    struct sketch sketch = {.shingles = 1};
    uint64_t least[SKETCH_BINS];

    memset(least, 0xff, sizeof(least));
    if (text.len < SKETCH_SHINGLE) { /* one, padded */
        add(least, text.len == 0 ? "" : text.ptr, text.len);
    } else {
        const char *end = text.ptr + text.len - SKETCH_SHINGLE;
        for (const char *at = text.ptr; at <= end; at++) {
            add(least, at, SKETCH_SHINGLE);
        }
        size_t count = text.len - SKETCH_SHINGLE + 1;
        sketch.shingles = count > UINT32_MAX ? UINT32_MAX : (uint32_t)count;
    }
    for (size_t i = 0; i < SKETCH_BINS; i++) {
        /* From the middle: the highest bits of the least are all alike. */
        sketch.bins[i] = least[i] == UINT64_MAX ? 0 : (uint8_t)((least[i] >> 28) % UINT8_MAX + 1);
    }
    return sketch;
}

/* How much both begin with. */
static size_t common_start(const char *a, const char *b, size_t len)
{
    size_t at = 0;

    while (at + 64 <= len && memcmp(a + at, b + at, 64) == 0) {
        at += 64;
    }
    while (at < len && a[at] == b[at]) {
        at++;
    }
    return at;
}

/* How much both end with; a and b are the ends. */
static size_t common_end(const char *a, const char *b, size_t len)
{
    size_t at = 0;

    while (at + 64 <= len && memcmp(a - at - 64, b - at - 64, 64) == 0) {
        at += 64;
    }
    while (at < len && a[-(ptrdiff_t)at - 1] == b[-(ptrdiff_t)at - 1]) {
        at++;
    }
    return at;
}

void sketch_change(struct str before, struct str after, struct sketch *ret_before,
                   struct sketch *ret_after)
{
    size_t most = before.len < after.len ? before.len : after.len;
    size_t kept = 0;

    *ret_before = *ret_after = (struct sketch){.shingles = 0};
    if (most > 0) {
        kept = common_start(before.ptr, after.ptr, most);
        kept += common_end(before.ptr + before.len, after.ptr + after.len, most - kept);
    }
    if (kept < before.len - before.len / 4 * (4 - SKETCH_EDIT_QUARTERS)) {
        *ret_before = sketch_of(before);
        *ret_after = sketch_of(after);
    }
}

bool sketch_keeps_less(const struct sketch *before, const struct sketch *after, unsigned quarters)
{
    uint64_t a = before->shingles;
    uint64_t b = after->shingles;
    uint64_t used = 0;
    uint64_t equal = 0;

    if (a == 0 || b == 0) {
        return false;
    }
    for (size_t i = 0; i < SKETCH_BINS; i++) {
        used += (before->bins[i] | after->bins[i]) != 0 ? 1 : 0;
        equal += before->bins[i] != 0 && before->bins[i] == after->bins[i] ? 1 : 0;
    }
    /*
     * equal / used estimates J, what both have of what either has. Both have J / (1 + J) of a + b;
     * of that, the share of a is kept.
     */
    return 4 * equal * (a + b) < quarters * (used + equal) * a;
}
