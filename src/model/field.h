/*
 * field - reading the fields of a JSON object, with the messages that users read.
 *
 * Every refusal begins with the field's name and says what is allowed: ERR_INVALID when a rule is
 * broken, ERR_LIMIT when a length or a count is beyond its limit. Values shown in a message are cut
 * to FIELD_SHOWN_MAX_BYTES.
 */
#ifndef HOLDFAST_MODEL_FIELD_H
#define HOLDFAST_MODEL_FIELD_H

#include "base/json.h"
#include "base/uuid.h"

#define FIELD_SHOWN_MAX_BYTES 64
#define FIELD_NAME_MAX 40    /* with NUL; "references[255].context" fits */
#define FIELD_GROUPED_MAX 32 /* with NUL; "18,446,744,073,709,551,615" fits */

/* One known field. read takes a value that is not null; NULL for a field that is accepted and
 * ignored. */
struct field {
    const char *name;
    int (*read)(const json_t *value, void *target, struct err *err);
};

/*
 * Read every member of object into target by the table, which is sorted by name. null is as if
 * absent. `what` is for the message ("a memory"): object may be any JSON value, and an unknown
 * field is refused by its name.
 */
int field_read_object(const json_t *object, const struct field *fields, size_t count,
                      const char *what, void *target, struct err *err) MUST_CHECK;

/* What a text may be. Control characters (C0, DEL, C1) are refused but for \t \n \r where lines is
 * true. */
struct field_rule {
    size_t min_bytes;
    size_t max_bytes;
    bool lines;
};
int field_check_text(struct str s, const char *name, struct field_rule rule, struct err *err)
    MUST_CHECK;
int field_check_characters(struct str s, const char *name, size_t min, size_t max, struct err *err)
    MUST_CHECK;

/* One value each; *ret is set on success only. Views point into value, heap strings are the
 * caller's. */
int field_string(const json_t *value, const char *name, struct str *ret, struct err *err)
    MUST_CHECK;
int field_text(const json_t *value, const char *name, struct field_rule rule, struct str *ret,
               struct err *err) MUST_CHECK;
int field_text_copy(const json_t *value, const char *name, struct field_rule rule, char **ret,
                    struct err *err) MUST_CHECK;
int field_uuid(const json_t *value, const char *name, struct uuid *ret, struct err *err)
    MUST_CHECK; /* not the nil one */
int field_time(const json_t *value, const char *name, int64_t *ret_us, struct err *err) MUST_CHECK;
int field_uint(const json_t *value, const char *name, uint64_t min, uint64_t max, uint64_t *ret,
               struct err *err) MUST_CHECK;

/* "<name> is "<shown>"; allowed are a, b, c". */
int field_unknown_name(struct str shown, const char *name, const char *const *names, size_t count,
                       struct err *err);

const char *field_kind(const json_t *value);                           /* "a number", "null", ... */
struct str field_shown(struct str s);                                  /* cut for a message */
void field_grouped(uint64_t number, char ret_text[FIELD_GROUPED_MAX]); /* 50000 as "50,000" */

/* Writing trees: a member that takes value over; null for a nil UUID, TIME_NONE, NULL text. Memory
 * out ends the process. */
void field_put_take(json_t *object, const char *name, json_t *value);
void field_put_text(json_t *object, const char *name, const char *text);
void field_put_uuid(json_t *object, const char *name, const struct uuid *uuid);
void field_put_time(json_t *object, const char *name, int64_t us);
void field_put_uint(json_t *object, const char *name, uint64_t number);

/* What read a stored body failed: whatever the code was, the store is damaged. */
int field_corrupt(struct err *err);

#endif
