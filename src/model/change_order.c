/* change_compare of change.h. */
#include "model/change.h"
#include "model/scan.h"

/* One member of a body: its value goes to *us if it is updated_at. */
static int scan_member(struct scan *scan, int64_t *us, struct err *err)
{
    struct str key;
    struct str value;
    int result = scan_string(scan, &key, err);

    if (result == 0) {
        result = scan_expect(scan, STR(":"), err);
    }
    if (result < 0) {
        return result;
    }
    return str_eq_c(key, "updated_at") ? scan_time(scan, us, err) : scan_value(scan, &value, err);
}

/* at_us for a body without updated_at, or one that can't be read: every replica sees the same. */
static int64_t updated_us(const struct change *change)
{
    struct err ignored = ERR_INIT;
    struct scan scan;
    int64_t us = change->at_us;

    if (scan_begin(change->body, &scan, &ignored) == 0 && scan_is(&scan, STR("{"))) {
        while (scan_member(&scan, &us, &ignored) == 0 && scan_is(&scan, STR(","))) {
        }
    }
    return us;
}

int change_compare(const struct change *a, const struct change *b)
{
    if (a->version != b->version) {
        return a->version < b->version ? -1 : 1;
    }
    int64_t a_us = updated_us(a);
    int64_t b_us = updated_us(b);
    if (a_us != b_us) {
        return a_us < b_us ? -1 : 1;
    }
    return uuid_cmp(&a->origin, &b->origin);
}
