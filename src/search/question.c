#include "search/question.h"

#include "search/snippet.h"

struct question {
    struct conn conn; /* a database in memory: the tokenizer lives on one */
    struct words_tally tally;
    struct words *words;
    struct query_terms terms;
};

int question_new(const char *text, struct question **ret, struct err *err)
{
    struct question *question = xcalloc(1, sizeof(*question));

    query_terms_init(&question->terms);
    if (conn_open(&question->conn, ":memory:", SQLITE_OPEN_READWRITE, err) < 0 ||
        words_register(&question->conn, &question->tally, err) < 0 ||
        words_new(&question->conn, &question->words, err) < 0) {
        question_free(question);
        return -(int)err->code;
    }
    query_terms_parse(question->words, str_of(text), &question->terms);
    *ret = question;
    return 0;
}

void question_free(struct question *question)
{
    if (question != NULL) {
        query_terms_done(&question->terms);
        words_free(question->words);
        conn_close(&question->conn);
        free(question);
    }
}

const struct query_terms *question_terms(const struct question *question)
{
    return &question->terms;
}

char *question_snippet(struct question *question, struct str content)
{
    bool found;

    return snippet_make(question->words, &question->terms, content, &found);
}
