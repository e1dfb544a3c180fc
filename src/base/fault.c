#include "base/fault.h"

#ifdef HOLDFAST_FAULTS

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "base/num.h"

#define NAME_MAX_BYTES 64 /* longer than any name in the code */
#define LOGGED_MAX 256    /* distinct crash points; the code has fewer */

/* "name:N" or "name:N+", and how often the name was passed. */
struct spec {
    char name[NAME_MAX_BYTES]; /* empty: off */
    int64_t nth;
    bool later_too;
    int64_t passed;
};

/* All under the mutex. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct spec crashes;
static struct spec faults;
static const char *logged[LOGGED_MAX];
static size_t logged_count;
static const char *crash_log;

static pthread_once_t environment_once = PTHREAD_ONCE_INIT;

__attribute__((noreturn)) static void refuse_spec(const char *text)
{
    fprintf(stderr, "holdfast: bad fault \"%s\"; expected NAME, NAME:N or NAME:N+\n", text);
    abort();
}

static void parse_spec(const char *text, struct spec *ret)
{
    struct err err;

    *ret = (struct spec){.nth = 1};
    if (text == NULL || text[0] == '\0') {
        return;
    }
    size_t name_len = strcspn(text, ":");
    if (name_len == 0 || name_len >= sizeof(ret->name)) {
        refuse_spec(text);
    }
    if (text[name_len] == ':') {
        struct str number = str_of(text + name_len + 1);
        ret->later_too = number.len > 0 && number.ptr[number.len - 1] == '+';
        number.len -= ret->later_too ? 1 : 0;
        if (num_parse_i64(number, 1, INT64_MAX, "N", &ret->nth, &err) < 0) {
            refuse_spec(text);
        }
    }
    memcpy(ret->name, text, name_len);
}

static void read_environment(void)
{
    parse_spec(getenv("HOLDFAST_CRASH_AT"), &crashes);
    parse_spec(getenv("HOLDFAST_FAULT_AT"), &faults);
    crash_log = getenv("HOLDFAST_CRASH_LOG");
}

static bool passes(struct spec *spec, const char *name)
{
    if (strcmp(spec->name, name) != 0) {
        return false;
    }
    spec->passed++;
    return spec->passed == spec->nth || (spec->later_too && spec->passed > spec->nth);
}

static bool first_time(const char *name)
{
    for (size_t i = 0; i < logged_count; i++) {
        if (strcmp(logged[i], name) == 0) {
            return false;
        }
    }
    if (logged_count == LOGGED_MAX) {
        abort(); /* raise LOGGED_MAX */
    }
    logged[logged_count++] = name;
    return true;
}

static void log_name(const char *name)
{
    char line[NAME_MAX_BYTES + 2];
    int fd = open(crash_log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    int len = snprintf(line, sizeof(line), "%s\n", name);

    /* A list with holes would pass for complete: better none. */
    if (fd < 0 || len >= (int)sizeof(line) || write(fd, line, (size_t)len) != len) {
        fprintf(stderr, "holdfast: HOLDFAST_CRASH_LOG=%s can't be written\n", crash_log);
        abort();
    }
    (void)close(fd); /* written */
}

void fault_crash_point(const char *name)
{
    (void)pthread_once(&environment_once, read_environment);
    (void)pthread_mutex_lock(&mutex);
    if (crash_log != NULL && first_time(name)) {
        log_name(name);
    }
    if (passes(&crashes, name)) {
        (void)kill(getpid(), SIGKILL);
        for (;;) {
            (void)pause(); /* the signal may take a moment to reach this thread, which must do
                              nothing more */
        }
    }
    (void)pthread_mutex_unlock(&mutex);
}

bool fault_hit(const char *name, int errno_value)
{
    (void)pthread_once(&environment_once, read_environment);
    (void)pthread_mutex_lock(&mutex);
    bool hit = passes(&faults, name);
    (void)pthread_mutex_unlock(&mutex);
    if (hit) {
        errno = errno_value;
    }
    return hit;
}

uint64_t fault_limit(const char *variable, uint64_t limit)
{
    const char *text = getenv(variable);
    struct err err;
    int64_t number = 0;

    if (text == NULL) {
        return limit;
    }
    if (num_parse_i64(str_of(text), 1, INT64_MAX, variable, &number, &err) < 0) {
        refuse_spec(text);
    }
    return (uint64_t)number;
}

void fault_set(const char *fault_at)
{
    (void)pthread_once(&environment_once, read_environment);
    (void)pthread_mutex_lock(&mutex);
    parse_spec(fault_at, &faults);
    (void)pthread_mutex_unlock(&mutex);
}

#endif
