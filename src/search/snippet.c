#include "search/snippet.h"

#include "base/utf8.h"
#include "search/index.h"

#define SNIPPET_SPAN_BYTES                                                                         \
    240 /* of the content: marks, dots and words cut at the end need the rest */
#define SNIPPET_LEAD_BYTES 60  /* shown before the first word found */
#define SNIPPET_WORD_BYTES 96  /* a word found that is longer is cut */
#define SNIPPET_BREAK_BYTES 24 /* how far back an end is moved to a space */

#define PHRASE_WORDS_MAX                                                                           \
    64 /* of a phrase, one bit each: of a longer one only so many are looked for */

#define DOTS "\xe2\x80\xa6" /* … */

_Static_assert(QUERY_TERMS_MAX <= 64, "a bit for each term");

/* The stems of one term. */
struct pattern {
    struct str words[PHRASE_WORDS_MAX];
    size_t count;
    uint64_t reached; /* bit i: the words up to the last one match the first i + 1 */
    uint64_t before;  /* the same, up to the place before the last one */
    uint64_t here;    /* the words of the phrase that are at the last place */
};

struct found {
    size_t start;
    size_t end;
    uint64_t terms; /* bit i: term i */
};

struct finder {
    struct pattern patterns[QUERY_TERMS_MAX];
    uint64_t by_first_byte[256]; /* terms of one word */
    uint64_t phrases;
    size_t starts[PHRASE_WORDS_MAX]; /* of the last places, by place number modulo */
    size_t places;
    struct found *found;
    size_t found_count;
    size_t capacity;
};

/* ---- finding the words ---- */

static void pattern_cut(struct pattern *pattern, struct str stems)
{
    size_t start = 0;

    for (size_t i = 0; i <= stems.len && pattern->count < PHRASE_WORDS_MAX; i++) {
        if (i == stems.len || stems.ptr[i] == ' ') {
            pattern->words[pattern->count++] = (struct str){stems.ptr + start, i - start};
            start = i + 1;
        }
    }
}

static struct finder *finder_new(const struct query_terms *query)
{
    struct finder *finder = xcalloc(1, sizeof(*finder));

    for (size_t i = 0; i < query->count; i++) {
        struct pattern *pattern = &finder->patterns[i];
        uint64_t bit = (uint64_t)1 << i;
        pattern_cut(pattern, str_of(query->terms[i].stems));
        if (pattern->count == 1) {
            finder->by_first_byte[(unsigned char)query->terms[i].stems[0]] |= bit;
        } else {
            finder->phrases |= bit;
        }
    }
    return finder;
}

static void finder_free(struct finder *finder)
{
    free(finder->found);
    free(finder);
}

/* Words come in ascending order of their ends, phrases may reach back: what overlaps becomes one.
 */
static void add_found(struct finder *finder, size_t start, size_t end, uint64_t terms)
{
    while (finder->found_count > 0 && finder->found[finder->found_count - 1].end > start) {
        const struct found *last = &finder->found[--finder->found_count];
        start = last->start < start ? last->start : start;
        end = last->end > end ? last->end : end;
        terms |= last->terms;
    }
    if (finder->found_count == finder->capacity) {
        finder->capacity = finder->capacity == 0 ? 16 : 2 * finder->capacity;
        finder->found = xrealloc(finder->found, finder->capacity * sizeof(*finder->found));
    }
    finder->found[finder->found_count++] = (struct found){start, end, terms};
}

/* Follow a phrase by one word, as FTS5 does: the parts of an identifier all stand at its place. */
static void follow_phrase(struct finder *finder, size_t term, const struct word *word)
{
    struct pattern *pattern = &finder->patterns[term];

    if (!word->same_place) {
        pattern->before = pattern->reached;
        pattern->here = 0;
    }
    for (size_t i = 0; i < pattern->count; i++) {
        pattern->here |= str_eq(word->text, pattern->words[i]) ? (uint64_t)1 << i : 0;
    }
    pattern->reached = (pattern->before << 1 | 1) & pattern->here;
    if ((pattern->reached >> (pattern->count - 1) & 1) != 0) {
        size_t first = finder->starts[(finder->places - pattern->count) % PHRASE_WORDS_MAX];
        add_found(finder, first, word->end, (uint64_t)1 << term);
    }
}

static int take_word(void *arg, const struct word *word)
{
    struct finder *finder = arg;
    uint64_t single =
        word->text.len == 0 ? 0 : finder->by_first_byte[(unsigned char)word->text.ptr[0]];
    uint64_t phrases = finder->phrases;

    if (!word->same_place) {
        finder->starts[finder->places++ % PHRASE_WORDS_MAX] = word->start;
    }
    while (single != 0) {
        size_t term = (size_t)__builtin_ctzll(single);
        if (str_eq(word->text, finder->patterns[term].words[0])) {
            add_found(finder, word->start, word->end, (uint64_t)1 << term);
        }
        single &= single - 1;
    }
    while (phrases != 0) {
        follow_phrase(finder, (size_t)__builtin_ctzll(phrases), word);
        phrases &= phrases - 1;
    }
    return 0;
}

bool snippet_has_term(struct words *words, const struct query_terms *query, struct str text)
{
    struct finder *finder = finder_new(query);

    (void)words_each_stemmed(words, text, take_word, finder); /* nothing ends it early */
    bool has = finder->found_count > 0;
    finder_free(finder);
    return has;
}

/* ---- choosing the part ---- */

/* The first of the found words whose part has the most different terms, and of those the most
 * words. */
static size_t best_first(const struct finder *finder)
{
    size_t best = 0;
    size_t best_value = 0;

    for (size_t i = 0; i < finder->found_count; i++) {
        uint64_t terms = 0;
        size_t words = 0;
        for (size_t j = i; j < finder->found_count &&
                           finder->found[j].end <=
                               finder->found[i].start + SNIPPET_SPAN_BYTES - SNIPPET_LEAD_BYTES;
             j++) {
            terms |= finder->found[j].terms;
            words++;
        }
        size_t value = (size_t)__builtin_popcountll(terms) * SNIPPET_MAX_BYTES + words;
        if (value > best_value) {
            best = i;
            best_value = value;
        }
    }
    return best;
}

static bool is_blank(char c)
{
    return (unsigned char)c <= ' ' || c == 0x7f;
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* Where to begin so that the word at `first` has its lead: behind a space, if one is near. */
static size_t begin_before(struct str content, size_t first)
{
    size_t start = first > SNIPPET_LEAD_BYTES ? first - SNIPPET_LEAD_BYTES : 0;

    if (start == 0) {
        return 0;
    }
    for (size_t i = start; i < first; i++) {
        if (is_blank(content.ptr[i])) {
            return i + 1;
        }
    }
    while (is_continuation(content.ptr[start])) {
        start++;
    }
    return start;
}

/* ---- writing it ---- */

struct writer {
    struct buf *out;
    size_t limit; /* of out->len, before the last dots */
    bool full;
};

static void write_bytes(struct writer *writer, struct str bytes)
{
    struct err err;

    (void)!buf_add_str(writer->out, bytes, &err); /* its cap is beyond the limit */
}

/* Text between words found: blanks become one space; what does not fit is left out. */
static void write_plain(struct writer *writer, struct str text)
{
    for (size_t i = 0; i < text.len && !writer->full;) {
        size_t len = 1;
        if (is_blank(text.ptr[i])) {
            bool after_blank =
                writer->out->len == 0 || writer->out->data[writer->out->len - 1] == ' ';
            if (!after_blank && writer->out->len < writer->limit) {
                write_bytes(writer, STR(" "));
            }
            i++;
            continue;
        }
        while (i + len < text.len && is_continuation(text.ptr[i + len])) {
            len++;
        }
        writer->full = writer->out->len + len > writer->limit;
        if (!writer->full) {
            write_bytes(writer, (struct str){text.ptr + i, len});
        }
        i += len;
    }
}

static void write_found(struct writer *writer, struct str text)
{
    bool cut = text.len > SNIPPET_WORD_BYTES;
    size_t len = cut ? utf8_cut(text, SNIPPET_WORD_BYTES) : text.len;

    if (writer->full || writer->out->len + len + sizeof(DOTS) + 1 > writer->limit) {
        writer->full = true;
        return;
    }
    write_bytes(writer, STR("["));
    write_plain(writer, (struct str){text.ptr, len});
    write_bytes(writer, cut ? STR(DOTS "]") : STR("]"));
}

/* The text did not fit: end behind a whole word, if one is near. */
static void write_end(struct writer *writer)
{
    struct buf *out = writer->out;

    if (!writer->full) {
        return;
    }
    for (size_t i = out->len; i > 0 && i + SNIPPET_BREAK_BYTES > out->len; i--) {
        if (out->data[i - 1] == ']') {
            break; /* never into a mark */
        }
        if (out->data[i - 1] == ' ') {
            out->len = i - 1;
            break;
        }
    }
    write_bytes(writer, STR(DOTS));
}

static char *write_part(const struct finder *finder, struct str content, size_t start, size_t next)
{
    struct buf out = BUF_INIT(2 * SNIPPET_MAX_BYTES);
    struct writer writer = {.out = &out, .limit = SNIPPET_MAX_BYTES - sizeof(DOTS)};
    size_t at = start;

    if (start > 0) {
        write_bytes(&writer, STR(DOTS " "));
    }
    for (size_t i = next; i < finder->found_count && !writer.full; i++) {
        const struct found *found = &finder->found[i];
        write_plain(&writer, (struct str){content.ptr + at, found->start - at});
        write_found(&writer, (struct str){content.ptr + found->start, found->end - found->start});
        at = found->end;
    }
    write_plain(&writer, (struct str){content.ptr + at, content.len - at});
    while (out.len > 0 && out.data[out.len - 1] == ' ') {
        out.len--;
    }
    write_end(&writer);
    write_bytes(&writer, STR("")); /* there is a NUL behind the last byte again */
    return buf_take(&out);
}

char *snippet_make(struct words *words, const struct query_terms *query, struct str content,
                   bool *ret_found)
{
    struct finder *finder = finder_new(query);
    size_t start = 0;
    size_t next = 0;

    (void)words_each_stemmed(words, content, take_word, finder); /* nothing ends it early */
    if (finder->found_count > 0 && content.len > SNIPPET_SPAN_BYTES) {
        next = best_first(finder);
        start = begin_before(content, finder->found[next].start);
        while (next > 0 && finder->found[next - 1].start >= start) {
            next--;
        }
        if (next > 0 && finder->found[next - 1].end > start) {
            start = finder->found[next - 1].end; /* never into the middle of one */
        }
    }
    char *snippet = write_part(finder, content, start, next);
    *ret_found = finder->found_count > 0;
    finder_free(finder);
    return snippet;
}
