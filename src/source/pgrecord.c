#include "source/pgrecord.h"

/* One field from *at on, up to the comma or the end; what it says goes to *to. */
static int take_field(struct str text, size_t *at, char **to, struct str *ret)
{
    bool is_quoted = false;
    bool was_quoted = false;
    char *begin = *to;
    size_t i = *at;

    for (; i < text.len; i++) {
        char c = text.ptr[i];
        bool has_next = i + 1 < text.len;
        if (!is_quoted && (c == ',' || c == ')')) {
            break;
        }
        if (c == '\\' && has_next) {
            *(*to)++ = text.ptr[++i];
        } else if (c == '"' && is_quoted && has_next && text.ptr[i + 1] == '"') {
            *(*to)++ = text.ptr[++i];
        } else if (c == '"') {
            is_quoted = !is_quoted;
            was_quoted = true;
        } else {
            *(*to)++ = c;
        }
    }
    *at = i;
    *ret = (struct str){*to == begin && !was_quoted ? NULL : begin, (size_t)(*to - begin)};
    return is_quoted || i == text.len ? -1 : 0;
}

int pgrecord_parse(struct str text, char *room, struct str *ret_fields, size_t max,
                   size_t *ret_count, struct err *err)
{
    size_t count = 0;
    size_t at = 1;

    if (text.len < 2 || text.ptr[0] != '(') {
        return err_set(err, ERR_CORRUPT, "a row's text of %zu bytes does not begin as one",
                       text.len);
    }
    for (;; at++) {
        if (count == max) {
            return err_set(err, ERR_CORRUPT, "a row's text has more than %zu fields", max);
        }
        if (take_field(text, &at, &room, &ret_fields[count]) < 0) {
            return err_set(err, ERR_CORRUPT, "a row's text of %zu bytes ends within a field",
                           text.len);
        }
        count++;
        if (text.ptr[at] == ')') {
            break;
        }
    }
    if (at + 1 != text.len) {
        return err_set(err, ERR_CORRUPT, "something follows behind the end of a row's text");
    }
    *ret_count = count;
    return 0;
}
