#include "search/query.h"

#define PIECES_MAX                                                                                 \
    4096 /* words of one part of a query: as many as SEARCH_QUERY_MAX_BYTES can hold */

/* Words that questions are made of. Months, names and units are not among them. Sorted. */
static const char *const stop_words[] = {
    "a",        "about",      "above",   "after",      "again",   "against",   "ain",    "all",
    "also",     "am",         "an",      "and",        "any",     "are",       "aren",   "as",
    "at",       "be",         "because", "been",       "before",  "being",     "below",  "between",
    "both",     "but",        "by",      "can",        "cannot",  "could",     "couldn", "d",
    "did",      "didn",       "do",      "does",       "doesn",   "doing",     "during", "each",
    "etc",      "few",        "for",     "from",       "further", "had",       "hadn",   "has",
    "hasn",     "have",       "haven",   "having",     "he",      "her",       "here",   "hers",
    "herself",  "him",        "himself", "his",        "how",     "i",         "if",     "in",
    "into",     "is",         "isn",     "it",         "its",     "itself",    "just",   "ll",
    "m",        "me",         "more",    "most",       "mustn",   "my",        "myself", "needn",
    "no",       "nor",        "not",     "now",        "of",      "off",       "on",     "once",
    "only",     "or",         "other",   "our",        "ours",    "ourselves", "out",    "over",
    "own",      "re",         "s",       "same",       "shall",   "shan",      "she",    "should",
    "shouldn",  "so",         "some",    "such",       "t",       "than",      "that",   "the",
    "their",    "theirs",     "them",    "themselves", "then",    "there",     "these",  "they",
    "this",     "those",      "through", "to",         "too",     "under",     "until",  "up",
    "ve",       "very",       "was",     "wasn",       "we",      "were",      "weren",  "what",
    "when",     "where",      "whether", "which",      "while",   "who",       "whom",   "whose",
    "why",      "will",       "with",    "would",      "wouldn",  "you",       "your",   "yours",
    "yourself", "yourselves",
};

/* One word of the part that is being looked at; its text is kept in the parse's buffer. */
struct piece {
    size_t text; /* offset */
    size_t len;
    size_t start;
    size_t end;
    bool same_place;
    bool unspaced;
    bool stop;
};

struct parse {
    struct words *words;
    struct query_terms *query;
    struct buf texts;
    struct piece *pieces; /* PIECES_MAX of them */
    size_t count;
    size_t weight; /* how many words of free text it has, roughly */
    bool with_stop_words;
};

static int compare_word(const void *key, const void *item)
{
    return strcmp(key, *(const char *const *)item);
}

static bool is_stop_word(const char *text)
{
    return bsearch(text, stop_words, sizeof(stop_words) / sizeof(stop_words[0]),
                   sizeof(stop_words[0]), compare_word) != NULL;
}

void query_terms_init(struct query_terms *query)
{
    query->count = 0;
    query->lookup = false;
    query->typed_count = 0;
}

void query_terms_done(struct query_terms *query)
{
    for (size_t i = 0; i < query->count; i++) {
        free(query->terms[i].text);
        free(query->terms[i].stems);
    }
    for (size_t i = 0; i < query->typed_count; i++) {
        free(query->typed[i]);
    }
    query_terms_init(query);
}

/* ---- terms ---- */

static int add_stem(void *arg, const struct word *word)
{
    struct buf *stems = arg;
    struct err err;

    if (word->same_place) {
        return 0;
    }
    int result = stems->len == 0 ? 0 : buf_add_c(stems, " ", &err);
    return result < 0 ? result : buf_add_str(stems, word->text, &err);
}

/* Add a term unless it is there or there are enough. text is taken over. */
static void add_term_take(struct parse *parse, char *text)
{
    struct query_terms *query = parse->query;
    struct buf stems = BUF_INIT(4 * strlen(text) + 64); /* Porter shortens */

    (void)words_each_stemmed(parse->words, str_of(text), add_stem,
                             &stems); /* the buffer is large enough */
    for (size_t i = 0; i < query->count; i++) {
        if (str_eq_c(buf_str(&stems), query->terms[i].stems)) {
            free(text);
            buf_done(&stems);
            return;
        }
    }
    if (query->count == QUERY_TERMS_MAX || stems.len == 0) {
        free(text);
        buf_done(&stems);
        return;
    }
    query->terms[query->count++] = (struct term){.text = text, .stems = buf_take(&stems)};
}

/* Add what was typed, once: the pieces first..last - 1 and what is between them. */
static void add_typed(struct parse *parse, struct str part, size_t first, size_t last)
{
    struct query_terms *query = parse->query;
    size_t start = parse->pieces[first].start;
    size_t end = parse->pieces[last - 1].end;
    AUTO(free_ptr) char *text = xstrndup(part.ptr + start, end - start);

    for (size_t i = 0; i < query->typed_count; i++) {
        if (strcasecmp(query->typed[i], text) == 0) {
            return;
        }
    }
    if (query->typed_count < QUERY_TERMS_MAX) {
        query->typed[query->typed_count++] = text;
        text = NULL;
    }
}

static struct str piece_text(const struct parse *parse, size_t i)
{
    return (struct str){parse->texts.data + parse->pieces[i].text, parse->pieces[i].len};
}

/* The words first..last - 1 as one text, without the parts of identifiers. */
static char *join(const struct parse *parse, size_t first, size_t last)
{
    struct buf text = BUF_INIT(parse->texts.len + parse->count + 1);
    struct err err;

    for (size_t i = first; i < last; i++) {
        if (!parse->pieces[i].same_place) {
            (void)!(text.len > 0 ? buf_add_c(&text, " ", &err)
                                 : 0); /* the buffer is large enough */
            (void)!buf_add_str(&text, piece_text(parse, i), &err);
        }
    }
    return buf_take(&text);
}

/* ---- words of one part of the query ---- */

static int take_piece(void *arg, const struct word *word)
{
    struct parse *parse = arg;
    struct err err;

    if (parse->count == PIECES_MAX) {
        return 1;
    }
    parse->pieces[parse->count++] = (struct piece){
        .text = parse->texts.len,
        .len = word->text.len,
        .start = word->start,
        .end = word->end,
        .same_place = word->same_place,
        .unspaced = word->unspaced,
    };
    return buf_add_str(&parse->texts, word->text, &err);
}

static void cut(struct parse *parse, struct str part)
{
    parse->count = 0;
    buf_reset(&parse->texts);
    (void)words_each(parse->words, part, take_piece, parse); /* what is too much is left out */
}

/* "n't": what stands before it says nothing either. */
static bool negates(const struct parse *parse, struct str part, size_t i)
{
    struct str before = i == 0 ? STR("") : piece_text(parse, i - 1);
    const struct piece *piece = &parse->pieces[i];

    if (!str_eq_c(piece_text(parse, i), "t") || before.len < 2 ||
        before.ptr[before.len - 1] != 'n' || piece->start == 0) {
        return false;
    }
    char sign = part.ptr[piece->start - 1];
    return sign == '\'' || sign == '\x99'; /* the last byte of ’ */
}

static void mark_stop_words(struct parse *parse, struct str part)
{
    for (size_t i = 0; i < parse->count; i++) {
        AUTO(free_ptr) char *text = xstrndup(piece_text(parse, i).ptr, parse->pieces[i].len);
        parse->pieces[i].stop = is_stop_word(text);
        if (negates(parse, part, i)) {
            parse->pieces[i - 1].stop = true;
        }
    }
}

/* Where the run of characters that begins at `first` ends. */
static size_t unspaced_end(const struct parse *parse, size_t first)
{
    size_t i = first + 1;

    while (i < parse->count && parse->pieces[i].unspaced &&
           parse->pieces[i].start == parse->pieces[i - 1].end) {
        i++;
    }
    return i;
}

static void add_unspaced(struct parse *parse, struct str part, size_t first, size_t end)
{
    for (size_t i = first; i + 1 < end; i++) {
        add_term_take(parse, join(parse, i, i + 2));
        add_typed(parse, part, i, i + 2);
    }
    if (end - first == 1) {
        add_term_take(parse, join(parse, first, end));
        add_typed(parse, part, first, end);
    }
    parse->weight += 1 + (end - first) / 4; /* a word has two characters, more or less */
}

/* One run without white space. */
static void add_chunk(struct parse *parse, struct str chunk)
{
    size_t telling = 0; /* words that are no stop words */
    bool plain = true;
    bool tells = false;

    cut(parse, chunk);
    mark_stop_words(parse, chunk);
    for (size_t i = 0; i < parse->count;) {
        const struct piece *piece = &parse->pieces[i];
        if (piece->unspaced) {
            size_t end = unspaced_end(parse, i);
            add_unspaced(parse, chunk, i, end);
            plain = false;
            tells = true;
            i = end;
            continue;
        }
        struct str text = piece_text(parse, i);
        telling += !piece->stop && !piece->same_place;
        if (!piece->stop || parse->with_stop_words) {
            add_term_take(parse, xstrndup(text.ptr, text.len));
            add_typed(parse, chunk, i, i + 1);
            tells = true;
        }
        i++;
    }
    if (tells) {
        add_typed(parse, chunk, 0, parse->count);
    }
    if (plain && telling > 1) {
        add_term_take(parse, join(parse, 0, parse->count));
    }
    parse->weight += telling;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void add_free(struct parse *parse, struct str part)
{
    size_t at = 0;

    while (at < part.len) {
        size_t start = at;
        while (at < part.len && !is_space(part.ptr[at])) {
            at++;
        }
        if (at > start) {
            add_chunk(parse, (struct str){part.ptr + start, at - start});
        }
        at++;
    }
}

static void add_phrase(struct parse *parse, struct str part)
{
    cut(parse, part);
    if (parse->count > 0) {
        add_term_take(parse, join(parse, 0, parse->count));
        add_typed(parse, part, 0, parse->count);
    }
}

/* ---- the whole ---- */

/* The length of the quotation mark at the start of s, or 0. */
static size_t quote_len(struct str s)
{
    if (str_starts(s, STR("\""))) {
        return 1;
    }
    return str_starts(s, STR("\xe2\x80\x9c")) || str_starts(s, STR("\xe2\x80\x9d")) ? 3
                                                                                    : 0; /* “ ” */
}

static struct str from(struct str s, size_t offset)
{
    return (struct str){s.ptr + offset, s.len - offset};
}

/* The offset of the next quotation mark, or the length. */
static size_t next_quote(struct str s)
{
    size_t at = 0;

    while (at < s.len && quote_len(from(s, at)) == 0) {
        at++;
    }
    return at;
}

static void parse_text(struct parse *parse, struct str text)
{
    parse->weight = 0;
    while (text.len > 0) {
        size_t open = next_quote(text);
        add_free(parse, (struct str){text.ptr, open});
        text = from(text, open);
        struct str inside = from(text, quote_len(text));
        size_t close = next_quote(inside);
        if (close == inside.len) { /* an odd one, or the end */
            add_free(parse, inside);
            return;
        }
        add_phrase(parse, (struct str){inside.ptr, close});
        text = from(inside, close + quote_len(from(inside, close)));
    }
}

void query_terms_parse(struct words *words, struct str text, struct query_terms *query)
{
    struct parse parse = {.words = words, .query = query, .texts = BUF_INIT(8 * text.len + 64)};

    query_terms_init(query);
    parse.pieces = xcalloc(PIECES_MAX, sizeof(*parse.pieces));
    parse_text(&parse, text);
    if (query->count == 0) { /* nothing but stop words: then they are meant */
        parse.with_stop_words = true;
        parse_text(&parse, text);
    }
    query->lookup = parse.weight < 2;
    free(parse.pieces);
    buf_done(&parse.texts);
}

char *query_terms_expression(const struct query_terms *query)
{
    struct buf sql = BUF_INIT(SIZE_MAX / 2);
    struct err err;

    for (size_t i = 0; i < query->count; i++) {
        /* a term has no quotation marks; the buffer has no bound */
        (void)!buf_printf(&sql, &err, "%s\"%s\"", i == 0 ? "" : " OR ", query->terms[i].text);
    }
    return sql.len == 0 ? (buf_done(&sql), NULL) : buf_take(&sql);
}
