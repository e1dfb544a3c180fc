#include "ledger/times.h"

#include "model/scan.h"

static int read_member(struct scan *scan, struct times *times, struct err *err)
{
    struct str key;
    struct str value;
    int64_t *time = NULL;

    int result = scan_string(scan, &key, err);
    if (result == 0) {
        result = scan_expect(scan, STR(":"), err);
    }
    if (result < 0) {
        return result;
    }
    if (str_eq_c(key, "updated_at")) {
        time = &times->updated_us;
    } else if (str_eq_c(key, "created_at")) {
        time = &times->created_us;
    } else if (str_eq_c(key, "deleted_at")) {
        time = &times->deleted_us;
    }
    return time != NULL ? scan_time(scan, time, err) : scan_value(scan, &value, err);
}

int times_of_body(const struct change *change, struct times *ret, struct err *err)
{
    struct scan scan = {.start = change->body.ptr,
                        .at = change->body.ptr,
                        .end = change->body.ptr + change->body.len};
    struct times times = {
        .created_us = change->at_us, .updated_us = change->at_us, .deleted_us = TIME_NONE};

    int result = scan_expect(&scan, STR("{"), err);
    if (result == 0 && scan_is(&scan, STR("}"))) {
        *ret = times;
        return 0;
    }
    do {
        if (result == 0) {
            result = read_member(&scan, &times, err);
        }
    } while (result == 0 && scan_is(&scan, STR(",")));
    if (result == 0) {
        result = scan_expect(&scan, STR("}"), err);
    }
    if (result == 0 && change->op == OP_DELETE && times.deleted_us == TIME_NONE) {
        times.deleted_us = change->at_us; /* a tombstone that says nothing else */
    }
    if (result == 0) {
        *ret = times;
    }
    return result;
}
