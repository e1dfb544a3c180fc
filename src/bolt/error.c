#include "bolt/error.h"

#include "base/utf8.h"

static const char *const NAMES[] = {
    [BOLT_OK] = "ok",
    [BOLT_ERR_USAGE] = "usage",
    [BOLT_ERR_UNSUPPORTED] = "unsupported",
    [BOLT_ERR_LIMIT] = "limit",
    [BOLT_ERR_MEMORY] = "memory",
    [BOLT_ERR_CONNECT] = "connect",
    [BOLT_ERR_TLS] = "tls",
    [BOLT_ERR_PROTOCOL] = "protocol",
    [BOLT_ERR_AUTH] = "auth",
    [BOLT_ERR_SERVER] = "server",
    [BOLT_ERR_IGNORED] = "ignored",
    [BOLT_ERR_LOST] = "lost",
    [BOLT_ERR_COMMIT_UNKNOWN] = "commit_unknown",
    [BOLT_ERR_TIMEOUT] = "timeout",
    [BOLT_ERR_CANCELLED] = "cancelled",
    [BOLT_ERR_BUSY] = "busy",
};

/*
 * What may be done about a code. The first row that fits counts: by the whole code, by its
 * beginning (ends in '*'), or by its end (begins with '*'). The rules are those that the official
 * drivers share; Memgraph's codes say no more than their class.
 */
static const struct {
    const char *pattern;
    unsigned traits;
} RULES[] = {
    {"Neo.TransientError.Transaction.Terminated", 0},
    {"Neo.TransientError.Transaction.LockClientStopped", 0},
    {"Neo.TransientError.General.MemoryPoolOutOfMemoryError",
     BOLT_TRAIT_RETRY | BOLT_TRAIT_SMALLER},
    {"Neo.TransientError.General.TransactionMemoryLimit", BOLT_TRAIT_RETRY | BOLT_TRAIT_SMALLER},
    {"Neo.TransientError.General.TransactionOutOfMemoryError",
     BOLT_TRAIT_RETRY | BOLT_TRAIT_SMALLER},
    {"Neo.TransientError.General.OutOfMemoryError", BOLT_TRAIT_RETRY | BOLT_TRAIT_SMALLER},
    {"Neo.TransientError.General.StackOverFlowError", BOLT_TRAIT_RETRY | BOLT_TRAIT_SMALLER},
    {"Neo.ClientError.Transaction.TransactionTimedOut*", BOLT_TRAIT_SMALLER},
    {"*.General.DatabaseUnavailable", BOLT_TRAIT_RETRY | BOLT_TRAIT_FORGET_ADDRESS},
    {"Neo.TransientError.*", BOLT_TRAIT_RETRY},
    {"Neo.ClientError.Security.AuthorizationExpired", BOLT_TRAIT_RETRY | BOLT_TRAIT_STALE_AUTH},
    {"Neo.ClientError.Cluster.NotALeader", BOLT_TRAIT_RETRY | BOLT_TRAIT_NOT_LEADER},
    {"Neo.ClientError.General.ForbiddenOnReadOnlyDatabase",
     BOLT_TRAIT_RETRY | BOLT_TRAIT_NOT_LEADER},
    {"Memgraph.TransientError.*", BOLT_TRAIT_RETRY},
};

static const char *const AUTH_CODES[] = {
    "Neo.ClientError.Security.Unauthorized",
    "Neo.ClientError.Security.TokenExpired",
    "Neo.ClientError.Security.CredentialsExpired",
    "Neo.ClientError.Security.AuthenticationRateLimit",
};

PRINTF(2, 0)
static void format_message(struct bolt_error *error, const char *format, va_list args)
{
    char text[2 * BOLT_MESSAGE_TEXT_MAX];
    int len = vsnprintf(text, sizeof(text), format, args);

    if (len < 0) {
        len = 0;
    }
    size_t size = (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1;
    bolt_error_text(error->message, sizeof(error->message), (struct bolt_string){text, size});
}

PRINTF(3, 0)
static int fail_v(struct bolt_error *error, enum bolt_err kind, const char *format, va_list args)
{
    error->kind = kind;
    error->code[0] = '\0';
    error->gql_status[0] = '\0';
    error->description[0] = '\0';
    error->diagnostics.size = 0;
    error->request = 0;
    error->idempotent_hint = false;
    error->cause_count = 0;
    format_message(error, format, args);
    return -(int)kind;
}

int bolt_fail(struct bolt_error *error, enum bolt_err kind, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int rc = fail_v(error, kind, format, args);
    va_end(args);
    return rc;
}

int bolt_fail_context(struct bolt_error *error, const char *format, ...)
{
    struct bolt_error whole = {.kind = error->kind};
    va_list args;

    va_start(args, format);
    format_message(&whole, format, args);
    va_end(args);
    size_t used = strlen(whole.message);
    (void)snprintf(whole.message + used, sizeof(whole.message) - used, ": ");
    used = strlen(whole.message);
    bolt_error_text(whole.message + used, sizeof(whole.message) - used,
                    (struct bolt_string){error->message, strlen(error->message)});
    memcpy(error->message, whole.message, sizeof(whole.message));
    return -(int)error->kind;
}

int bolt_fail_errno(struct bolt_error *error, enum bolt_err kind, int errno_value,
                    const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)fail_v(error, kind, format, args);
    va_end(args);
    char text[128];
    const char *reason = strerror_r(errno_value, text, sizeof(text)); /* GNU's: returns the text */
    size_t used = strlen(error->message);
    (void)snprintf(error->message + used, sizeof(error->message) - used, ": %s", reason);
    return -(int)kind;
}

int bolt_fail_memory(struct bolt_error *error)
{
    return bolt_fail(error, BOLT_ERR_MEMORY, "out of memory");
}

void bolt_error_text(char *field, size_t size, struct bolt_string text)
{
    static const char MORE[] = "…";
    size_t room = size - 1;
    struct str whole = {text.data, text.size};
    size_t used = text.size;

    if (used > room) {
        used = room >= sizeof(MORE) ? utf8_cut(whole, room - (sizeof(MORE) - 1)) : 0;
    }
    if (used > 0) {
        memcpy(field, text.data, used);
    }
    utf8_make_printable(field, used);
    if (used < text.size && room >= sizeof(MORE)) {
        memcpy(field + used, MORE, sizeof(MORE) - 1);
        used += sizeof(MORE) - 1;
    }
    field[used] = '\0';
}

static bool fits(const char *code, const char *pattern)
{
    size_t len = strlen(pattern);
    size_t code_len = strlen(code);

    if (pattern[0] == '*') {
        return code_len >= len - 1 && strcmp(code + code_len - (len - 1), pattern + 1) == 0;
    }
    if (pattern[len - 1] == '*') {
        return strncmp(code, pattern, len - 1) == 0;
    }
    return strcmp(code, pattern) == 0;
}

unsigned bolt_error_traits(const struct bolt_error *error)
{
    switch (error->kind) {
    case BOLT_ERR_CONNECT:
    case BOLT_ERR_LOST:
        return BOLT_TRAIT_RETRY | BOLT_TRAIT_FORGET_ADDRESS;
    case BOLT_ERR_SERVER:
        for (size_t i = 0; i < sizeof(RULES) / sizeof(RULES[0]); i++) {
            if (fits(error->code, RULES[i].pattern)) {
                return RULES[i].traits;
            }
        }
        return error->idempotent_hint ? (unsigned)BOLT_TRAIT_RETRY : 0;
    default:
        return 0;
    }
}

bool bolt_error_is_retryable(const struct bolt_error *error)
{
    return (bolt_error_traits(error) & BOLT_TRAIT_RETRY) != 0;
}

bool bolt_diagnostics_map(const struct bolt_diagnostics *diagnostics, struct bolt_value *ret)
{
    struct bolt_error wrong = BOLT_ERROR_INIT;

    return diagnostics->size > 0 &&
           bolt_value_read(diagnostics->packed, diagnostics->size, ret, NULL, &wrong) == 0;
}

const char *bolt_error_name(int kind)
{
    unsigned index = kind < 0 ? 0u - (unsigned)kind : (unsigned)kind;

    return index < sizeof(NAMES) / sizeof(NAMES[0]) ? NAMES[index] : "unknown";
}

bool bolt_code_is_auth(const char *code)
{
    for (size_t i = 0; i < sizeof(AUTH_CODES) / sizeof(AUTH_CODES[0]); i++) {
        if (strcmp(code, AUTH_CODES[i]) == 0) {
            return true;
        }
    }
    return false;
}

bool bolt_code_is_doubtful(const char *code)
{
    return fits(code, "*ReplicationFailure");
}

bool bolt_string_is(struct bolt_string string, const char *c_string)
{
    size_t len = strlen(c_string);

    return string.data != NULL && string.size == len && memcmp(string.data, c_string, len) == 0;
}
