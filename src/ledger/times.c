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

static int read_members(struct scan *scan, struct times *times, struct err *err)
{
    int result = scan_expect(scan, STR("{"), err);

    if (result == 0 && scan_is(scan, STR("}"))) {
        return 0;
    }
    do {
        if (result == 0) {
            result = read_member(scan, times, err);
        }
    } while (result == 0 && scan_is(scan, STR(",")));
    return result < 0 ? result : scan_expect(scan, STR("}"), err);
}

int times_of_body(const struct change *change, struct times *ret, struct err *err)
{
    struct str body = change->body;
    struct scan scan = {.start = body.ptr, .at = body.ptr, .end = body.ptr + body.len};
    struct times times = {
        .created_us = change->at_us, .updated_us = change->at_us, .deleted_us = TIME_NONE};

    int result = read_members(&scan, &times, err);
    if (result < 0) {
        return result;
    }
    if (change->op == OP_DELETE && times.deleted_us == TIME_NONE) {
        times.deleted_us = change->at_us;
    }
    *ret = times;
    return 0;
}
