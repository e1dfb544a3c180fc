#include "search/words.h"

/*
 * The tokenizer of FTS5 as SQLite wants it. ASCII, which is most of all text, is cut here; the rest
 * is left to unicode61, word by word, but for the scripts without spaces.
 */
struct Fts5Tokenizer {
    fts5_tokenizer unicode;
    Fts5Tokenizer *unicode_self;
    struct words_tally *tally;
};

typedef int token_fn(void *arg, int flags, const char *token, int len, int start, int end);

/* One text on its way through the tokenizer. */
struct cut {
    const struct Fts5Tokenizer *self;
    const char *text;
    token_fn *each;
    void *arg;
    int shift; /* where the part that unicode61 is looking at begins */
};

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_ascii(char c)
{
    return (c & 0x80) == 0;
}

static bool is_ascii_word(char c)
{
    return is_lower(c) || is_upper(c) || is_digit(c);
}

/* ---- scripts without spaces ---- */

struct script {
    uint32_t first;
    uint32_t last;
};

static const struct script unspaced_scripts[] = {
    {0x0e01, 0x0e3a},   /* Thai, without its currency sign */
    {0x0e40, 0x0e4e},   /* Thai */
    {0x0e81, 0x0ece},   /* Lao */
    {0x1000, 0x103f},   /* Burmese */
    {0x1050, 0x108f},   /* Burmese */
    {0x1780, 0x17d3},   /* Khmer */
    {0x3005, 0x3007},   /* iteration mark, closing mark, zero */
    {0x3021, 0x3029},   /* Hangzhou numerals */
    {0x3041, 0x3096},   /* Hiragana */
    {0x309d, 0x309f},   /* Hiragana iteration marks */
    {0x30a1, 0x30fa},   /* Katakana */
    {0x30fc, 0x30ff},   /* Katakana length and iteration marks */
    {0x3105, 0x312f},   /* Bopomofo */
    {0x31f0, 0x31ff},   /* Katakana extensions */
    {0x3400, 0x4dbf},   /* Han, extension A */
    {0x4e00, 0x9fff},   /* Han */
    {0xac00, 0xd7a3},   /* Hangul */
    {0xf900, 0xfaff},   /* Han, compatibility */
    {0xff66, 0xff9d},   /* Katakana of half width */
    {0x20000, 0x3ffff}, /* Han, further planes */
};

static bool is_unspaced(uint32_t code_point)
{
    if (code_point < unspaced_scripts[0].first) {
        return false;
    }
    for (size_t i = 0; i < sizeof(unspaced_scripts) / sizeof(unspaced_scripts[0]); i++) {
        if (code_point <= unspaced_scripts[i].last) {
            return code_point >= unspaced_scripts[i].first;
        }
    }
    return false;
}

/* The code point at *at, which moves behind it. Anything that is not UTF-8 counts as one byte each,
 * as U+FFFD. */
static uint32_t next_code_point(const char *text, int len, int *at)
{
    const unsigned char *p = (const unsigned char *)text + *at;
    int more = *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : *p >= 0xc0 ? 1 : 0;
    uint32_t code_point = *p & (0x3fu >> more);

    if (*p < 0x80) {
        *at += 1;
        return *p;
    }
    if (more == 0 || more >= len - *at) {
        *at += 1;
        return 0xfffd;
    }
    for (int i = 1; i <= more; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            *at += 1;
            return 0xfffd;
        }
        code_point = code_point << 6 | (p[i] & 0x3fu);
    }
    *at += more + 1;
    return code_point;
}

/* ---- words of ASCII ---- */

static int emit(struct cut *cut, int flags, const char *token, int len, int start, int end)
{
    cut->self->tally->count += (flags & FTS5_TOKEN_COLOCATED) == 0;
    return cut->each(cut->arg, flags, token, len, start, end);
}

/* A part begins where an upper-case letter follows something else, or stands before a lower-case
 * one: HTTPServer2Go. */
static bool part_begins(const char *word, int at, int len)
{
    if (!is_upper(word[at])) {
        return false;
    }
    return !is_upper(word[at - 1]) || (at + 1 < len && is_lower(word[at + 1]));
}

static int emit_parts(struct cut *cut, const char *word, const char *folded, int len, int start)
{
    int first = 0;

    for (int i = 1; i <= len; i++) {
        if (i < len && !part_begins(word, i, len)) {
            continue;
        }
        if (i == len && first == 0) {
            return 0; /* no identifier */
        }
        int rc =
            emit(cut, FTS5_TOKEN_COLOCATED, folded + first, i - first, start + first, start + i);
        if (rc != 0) {
            return rc;
        }
        first = i;
    }
    return 0;
}

static int cut_ascii(struct cut *cut, int start, int end)
{
    const char *word = cut->text + start;
    int len = end - start < WORD_MAX_BYTES ? end - start : WORD_MAX_BYTES;
    char folded[WORD_MAX_BYTES] = {0};
    bool inner_upper = false;

    for (int i = 0; i < len; i++) {
        bool upper = is_upper(word[i]);
        folded[i] = upper ? (char)(word[i] | 0x20) : word[i];
        inner_upper |= upper && i > 0;
    }
    int rc = emit(cut, 0, folded, len, start, end);
    return rc == 0 && inner_upper ? emit_parts(cut, word, folded, len, start) : rc;
}

/* ---- the rest ---- */

/* What unicode61 found. A word that is ASCII after all is cut as such, for the sake of identifiers
 * in “quotes”. */
static int emit_unicode(void *arg, int flags, const char *token, int len, int start, int end)
{
    struct cut *cut = arg;

    for (int i = start; i < end; i++) {
        if (!is_ascii(cut->text[cut->shift + i])) {
            return emit(cut, flags, token, len, cut->shift + start, cut->shift + end);
        }
    }
    return cut_ascii(cut, cut->shift + start, cut->shift + end);
}

/* From start on, text that no space or ASCII sign interrupts, up to a character that stands for
 * itself. */
static int cut_unicode(struct cut *cut, int start, int len, int *ret_end)
{
    int end = start;
    int at = start;

    while (at < len && (!is_ascii(cut->text[at]) || is_ascii_word(cut->text[at]))) {
        if (is_unspaced(next_code_point(cut->text, len, &at))) {
            break;
        }
        end = at;
    }
    *ret_end = end;
    cut->shift = start;
    const struct Fts5Tokenizer *self = cut->self;
    return self->unicode.xTokenize(self->unicode_self, cut, FTS5_TOKENIZE_DOCUMENT,
                                   cut->text + start, end - start, emit_unicode);
}

static int cut_word(struct cut *cut, int start, int len, int *ret_end)
{
    int end = start;

    while (end < len && is_ascii_word(cut->text[end])) {
        end++;
    }
    if (end == len || is_ascii(cut->text[end])) {
        *ret_end = end;
        return cut_ascii(cut, start, end);
    }
    int after = end;
    if (is_unspaced(next_code_point(cut->text, len, &after))) {
        if (end == start) {
            *ret_end = after;
            return emit(cut, 0, cut->text + start, after - start, start, after);
        }
        *ret_end = end;
        return cut_ascii(cut, start, end);
    }
    return cut_unicode(cut, start, len, ret_end);
}

static int tokenize(Fts5Tokenizer *self, void *arg, int flags, const char *text, int len,
                    token_fn *each)
{
    struct cut cut = {.self = self, .text = text, .each = each, .arg = arg};
    int rc = 0;

    (void)flags;
    for (int at = 0; at < len && rc == 0;) {
        if (is_ascii(text[at]) && !is_ascii_word(text[at])) {
            at++;
            continue;
        }
        rc = cut_word(&cut, at, len, &at);
    }
    return rc;
}

/* ---- the tokenizer's life, as FTS5 wants it ---- */

struct context {
    fts5_tokenizer unicode;
    void *unicode_context;
    struct words_tally *tally;
};

static int create(void *context_pointer, const char **args, int count, Fts5Tokenizer **ret)
{
    const struct context *context = context_pointer;
    const char *unicode_args[] = {"remove_diacritics", "2"};

    (void)args;
    if (count != 0) {
        return SQLITE_ERROR;
    }
    Fts5Tokenizer *self = xcalloc(1, sizeof(*self));
    self->unicode = context->unicode;
    self->tally = context->tally;
    int rc = self->unicode.xCreate(context->unicode_context, unicode_args, 2, &self->unicode_self);
    if (rc != SQLITE_OK) {
        free(self);
        return rc;
    }
    *ret = self;
    return SQLITE_OK;
}

static void destroy(Fts5Tokenizer *self)
{
    if (self != NULL) {
        self->unicode.xDelete(self->unicode_self);
        free(self);
    }
}

int words_fts5_api(struct conn *conn, struct fts5_api **ret, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    fts5_api *api = NULL;

    int rc = sqlite3_prepare_v2(conn->db, "SELECT fts5(?1)", -1, &statement, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_bind_pointer(statement, 1, (void *)&api, "fts5_api_ptr", NULL);
    }
    if (rc == SQLITE_OK) {
        (void)sqlite3_step(statement); /* finalize repeats its error */
    }
    rc = sqlite3_finalize(statement);
    if (rc != SQLITE_OK) {
        return conn_error(conn, rc, err);
    }
    if (api == NULL || api->iVersion < 2) {
        return err_set(err, ERR_INTERNAL, "this SQLite has no FTS5 that can be extended");
    }
    *ret = api;
    return 0;
}

int words_register(struct conn *conn, struct words_tally *tally, struct err *err)
{
    fts5_tokenizer self = {.xCreate = create, .xDelete = destroy, .xTokenize = tokenize};
    fts5_api *api = NULL;

    int result = words_fts5_api(conn, &api, err);
    if (result < 0 || api == NULL) {
        return result;
    }
    struct context *context = xcalloc(1, sizeof(*context));
    context->tally = tally;
    int rc = api->xFindTokenizer(api, "unicode61", &context->unicode_context, &context->unicode);
    if (rc == SQLITE_OK) {
        rc = api->xCreateTokenizer(api, "holdfast", context, &self, free);
    }
    if (rc != SQLITE_OK) {
        free(context);
        return conn_error(conn, rc, err);
    }
    return 0;
}

/* ---- words outside of tables ---- */

struct tokenizer {
    fts5_tokenizer functions;
    Fts5Tokenizer *self;
};

struct words {
    struct tokenizer plain;
    struct tokenizer stemming;
};

static int tokenizer_make(fts5_api *api, const char *name, const char *base, struct tokenizer *ret)
{
    void *context;
    const char *args[] = {base};

    int rc = api->xFindTokenizer(api, name, &context, &ret->functions);
    if (rc == SQLITE_OK) {
        rc = ret->functions.xCreate(context, args, base == NULL ? 0 : 1, &ret->self);
    }
    return rc;
}

int words_new(struct conn *conn, struct words **ret, struct err *err)
{
    fts5_api *api = NULL;

    int result = words_fts5_api(conn, &api, err);
    if (result < 0 || api == NULL) {
        return result;
    }
    struct words *words = xcalloc(1, sizeof(*words));
    int rc = tokenizer_make(api, "holdfast", NULL, &words->plain);
    if (rc == SQLITE_OK) {
        rc = tokenizer_make(api, "porter", "holdfast", &words->stemming);
    }
    if (rc != SQLITE_OK) {
        words_free(words);
        return conn_error(conn, rc, err);
    }
    *ret = words;
    return 0;
}

void words_free(struct words *words)
{
    if (words == NULL) {
        return;
    }
    if (words->plain.self != NULL) {
        words->plain.functions.xDelete(words->plain.self);
    }
    if (words->stemming.self != NULL) {
        words->stemming.functions.xDelete(words->stemming.self);
    }
    free(words);
}

struct walk {
    struct str text;
    word_fn *each;
    void *arg;
};

static int walk_token(void *arg, int flags, const char *token, int len, int start, int end)
{
    const struct walk *walk = arg;
    int at = start;
    struct word word = {
        .text = {token, (size_t)len},
        .start = (size_t)start,
        .end = (size_t)end,
        .same_place = (flags & FTS5_TOKEN_COLOCATED) != 0,
        .unspaced = is_unspaced(next_code_point(walk->text.ptr, end, &at)),
    };

    return walk->each(walk->arg, &word);
}

static int walk_text(const struct tokenizer *tokenizer, struct str text, word_fn *each, void *arg)
{
    struct walk walk = {.text = text, .each = each, .arg = arg};

    return tokenizer->functions.xTokenize(tokenizer->self, &walk, FTS5_TOKENIZE_DOCUMENT, text.ptr,
                                          (int)text.len, walk_token);
}

int words_each(struct words *words, struct str text, word_fn *each, void *arg)
{
    return walk_text(&words->plain, text, each, arg);
}

int words_each_stemmed(struct words *words, struct str text, word_fn *each, void *arg)
{
    return walk_text(&words->stemming, text, each, arg);
}
