/*
 * words_rig - the tokenizer on a database in memory, for the tests of words and queries.
 */
#ifndef HOLDFAST_TESTS_SEARCH_WORDS_RIG_H
#define HOLDFAST_TESTS_SEARCH_WORDS_RIG_H

#include "support/unit.h"

#include "search/words.h"

struct rig {
    struct conn conn;
    struct words_tally tally;
    struct words *words;
};

static inline int rig_setup(void **state)
{
    struct rig *rig = xcalloc(1, sizeof(*rig));
    struct err err = ERR_INIT;

    assert_ok(conn_open(&rig->conn, ":memory:", SQLITE_OPEN_READWRITE, &err), &err);
    assert_ok(words_register(&rig->conn, &rig->tally, &err), &err);
    assert_ok(words_new(&rig->conn, &rig->words, &err), &err);
    *state = rig;
    return 0;
}

static inline int rig_teardown(void **state)
{
    struct rig *rig = *state;

    words_free(rig->words);
    conn_close(&rig->conn);
    free(rig);
    return 0;
}

#endif
