#include "source/globs.h"

void globs_done(struct globs *globs)
{
    for (size_t i = 0; i < globs->count; i++) {
        free(globs->items[i]);
    }
    globs->count = 0;
}

static bool has_dots(const char *pattern)
{
    for (const char *at = pattern; (at = strstr(at, "..")) != NULL; at += 2) {
        bool begins = at == pattern || at[-1] == '/';
        if (begins && (at[2] == '/' || at[2] == '\0')) {
            return true;
        }
    }
    return false;
}

int globs_add(struct globs *globs, const char *pattern, struct err *err)
{
    size_t len = strlen(pattern);

    if (globs->count == GLOBS_MAX) {
        return err_set(err, ERR_CONFIG, "at most %d patterns", GLOBS_MAX);
    }
    if (len == 0 || len > GLOB_MAX_BYTES || pattern[0] == '/' || has_dots(pattern)) {
        return err_set(err, ERR_CONFIG,
                       "a pattern has 1 to %d bytes, is relative to the source's path, and has no "
                       "\"..\" in it",
                       GLOB_MAX_BYTES);
    }
    globs->items[globs->count++] = xstrdup(pattern);
    return 0;
}

/* ---- one part ---- */

/* How many bytes the character there has. */
static size_t character(const char *text)
{
    size_t len = 1;

    while (((unsigned char)text[len] & 0xc0) == 0x80) {
        len++;
    }
    return len;
}

/* A class in brackets that begins at `at`; *ret_end is behind it. Without its end it is no class.
 * Ranges are of bytes. */
static bool match_class(const char *at, char c, const char **ret_end)
{
    bool is_not = at[1] == '!' || at[1] == '^';
    const char *item = at + 1 + is_not;
    const char *first = item;
    bool found = false;

    while (*item != '\0' && *item != '/' && (*item != ']' || item == first)) {
        if (item[1] == '-' && item[2] != '\0' && item[2] != ']') {
            found = found || (item[0] <= c && c <= item[2]);
            item += 3;
        } else {
            found = found || *item == c;
            item++;
        }
    }
    *ret_end = *item == ']' ? item + 1 : NULL;
    return found != is_not;
}

/* ---- whole paths ---- */

static bool match(const char *pattern, const char *path, unsigned *steps);

/* "**" and a slash: here, or behind any later slash. */
static bool match_folders(const char *rest, const char *path, unsigned *steps)
{
    for (const char *at = path;; at++) {
        if (match(rest, at, steps)) {
            return true;
        }
        at = strchr(at, '/');
        if (at == NULL || *steps == 0) {
            return false;
        }
    }
}

static bool match_star(const char *rest, const char *path, unsigned *steps)
{
    for (const char *at = path;; at++) {
        if (match(rest, at, steps)) {
            return true;
        }
        if (*at == '\0' || *at == '/' || *steps == 0) {
            return false;
        }
    }
}

/* The character at both; how far each goes on, or false. */
static bool match_one(const char **pattern, const char **path)
{
    const char *end = NULL;

    if (**path == '\0') {
        return false;
    }
    if (**pattern == '[' && **path != '/') {
        bool is_of_class = match_class(*pattern, **path, &end);
        if (end != NULL) {
            *pattern = end;
            *path += 1;
            return is_of_class;
        }
    }
    if (**pattern == '?' && **path != '/') {
        *pattern += 1;
        *path += character(*path);
        return true;
    }
    *pattern += **pattern == '\\' && (*pattern)[1] != '\0';
    return *(*pattern)++ == *(*path)++;
}

static bool match(const char *pattern, const char *path, unsigned *steps)
{
    bool is_start = true; /* of a part */

    while (*pattern != '\0') {
        if (*steps == 0) {
            return false;
        }
        --*steps;
        if (is_start && strncmp(pattern, "**/", 3) == 0) {
            return match_folders(pattern + 3, path, steps);
        }
        if (is_start && strcmp(pattern, "**") == 0) {
            return *path != '\0';
        }
        if (*pattern == '*') {
            return match_star(pattern + 1, path, steps);
        }
        is_start = *pattern == '/';
        if (!match_one(&pattern, &path)) {
            return false;
        }
    }
    return *path == '\0';
}

static bool match_pattern(const char *pattern, const char *path)
{
    unsigned steps = GLOB_STEPS_MAX;
    const char *name = strrchr(path, '/');

    if (strchr(pattern, '/') == NULL && strcmp(pattern, "**") != 0) {
        return match(pattern, name == NULL ? path : name + 1, &steps);
    }
    return match(pattern, path, &steps);
}

bool globs_match(const struct globs *globs, const char *path)
{
    for (size_t i = 0; i < globs->count; i++) {
        if (match_pattern(globs->items[i], path)) {
            return true;
        }
    }
    return false;
}

bool globs_match_folder(const struct globs *globs, const char *folder)
{
    for (size_t i = 0; i < globs->count; i++) {
        const char *pattern = globs->items[i];
        size_t len = strlen(pattern);
        unsigned steps = GLOB_STEPS_MAX;
        bool all_below = len > 3 && strcmp(pattern + len - 3, "/**") == 0;
        len -= all_below ? 3 : pattern[len - 1] == '/' ? 1 : 0;
        AUTO(free_ptr) char *plain = xstrndup(pattern, len);
        if (all_below ? match(plain, folder, &steps) : match_pattern(plain, folder)) {
            return true;
        }
    }
    return false;
}

bool globs_match_below(const struct globs *globs, const char *path)
{
    AUTO(free_ptr) char *folder = xstrdup(path);

    if (globs_match(globs, path)) {
        return true;
    }
    for (char *end; (end = strrchr(folder, '/')) != NULL;) {
        *end = '\0';
        if (globs_match_folder(globs, folder)) {
            return true;
        }
    }
    return false;
}
