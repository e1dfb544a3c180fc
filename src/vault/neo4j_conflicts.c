/* What two installations made of one memory: found when the second of them comes. */
#include <stdlib.h>

#include "base/timestamp.h"
#include "base/utf8.h"
#include "model/memory.h"
#include "vault/neo4j_vault.h"

#define EXCERPT_MAX 100 /* bytes of each content in what is told */

/* A look for twins under way. */
struct search {
    const struct neo4j_row *rows;
    size_t count;
    struct neo4j_conflicts *found;
};

void neo4j_conflicts_done(struct neo4j_conflicts *conflicts)
{
    for (size_t i = 0; i < conflicts->count; i++) {
        free(conflicts->items[i].what);
    }
    free(conflicts->items);
    *conflicts = (struct neo4j_conflicts){.count = 0};
}

static bool may_have_twins(const struct neo4j_row *row)
{
    return row->item->record.len > 0 && row->change.kind == KIND_MEMORY && row->change.version > 1;
}

/* "seq 7 of ORIGIN, 2026-11-28T12:00:00.000000Z: \"the beginning of it\"": heap. */
static char *describe(const struct change *change)
{
    struct memory memory;
    struct err ignored = ERR_INIT;
    struct str content = STR("?");
    char origin[UUID_TEXT_MAX];
    char at[TIMESTAMP_TEXT_MAX];

    memory_init(&memory);
    if (memory_read_body(change->body, &memory, &ignored) == 0) {
        content = (struct str){memory.content, memory.content_len};
    }
    uuid_format(&change->origin, origin);
    timestamp_format(change->at_us, at);
    char *text = xprintf("seq %llu of %s, %s%s: \"%.*s\"", (unsigned long long)change->seq, origin,
                         at, change->op == OP_DELETE ? ", a deletion" : "",
                         (int)utf8_cut(content, EXCERPT_MAX), content.ptr);
    memory_done(&memory);
    return text;
}

static void add_conflict(struct search *search, const struct change *ours,
                         const struct change *theirs)
{
    struct neo4j_conflicts *found = search->found;
    bool won = change_compare(ours, theirs) > 0;
    AUTO(free_ptr) char *winner = describe(won ? ours : theirs);
    AUTO(free_ptr) char *loser = describe(won ? theirs : ours);

    found->items = xrealloc(found->items, (found->count + 1) * sizeof(*found->items));
    found->items[found->count++] = (struct neo4j_conflict){
        ours->seq,
        xprintf(
            "two installations made version %llu of the memory %s: %s wins over %s, which stays "
            "in the history",
            (unsigned long long)ours->version, ours->id, winner, loser)};
}

/* A change of theirs that can't be read is told by the proof of their chain; it is no reason to
 * refuse ours. */
static int take_twin(void *arg, const struct bolt_record *record, struct err *err)
{
    struct search *search = arg;
    struct err damaged = ERR_INIT;
    struct change theirs;
    struct str text;
    uint64_t seq;

    int rc = neo4j_get_uint(record, 0, &seq, err);
    if (rc < 0 || neo4j_get_str(record, 1, &text, &damaged) < 0 ||
        change_read_record(text, &theirs, &damaged) < 0) {
        return rc;
    }
    for (size_t i = 0; i < search->count; i++) {
        const struct neo4j_row *row = &search->rows[i];
        bool twin = row->item->seq == seq && may_have_twins(row);
        if (twin && (row->change.op != theirs.op || !str_eq(row->change.body, theirs.body))) {
            add_conflict(search, &row->change, &theirs);
        }
    }
    return 0;
}

static size_t pack_twins(struct bolt_packer *packer, const struct neo4j_chain *chain,
                         const struct neo4j_row *rows, size_t count)
{
    size_t packed = 0;

    bolt_pack_map(packer, 3);
    neo4j_pack_chain(packer, chain);
    bolt_pack_key(packer, "rows");
    bolt_pack_list_open(packer);
    for (size_t i = 0; i < count; i++) {
        if (may_have_twins(&rows[i])) {
            bolt_pack_map(packer, 3);
            bolt_pack_key(packer, "id");
            bolt_pack_text(packer, rows[i].change.id);
            bolt_pack_key(packer, "seq");
            bolt_pack_integer(packer, (int64_t)rows[i].item->seq);
            bolt_pack_key(packer, "version");
            bolt_pack_integer(packer, (int64_t)rows[i].change.version);
            packed++;
        }
    }
    bolt_pack_end(packer);
    return packed;
}

int neo4j_find_conflicts(struct neo4j_tx *tx, const struct neo4j_chain *chain,
                         const struct neo4j_row *rows, size_t count,
                         struct neo4j_conflicts *conflicts)
{
    struct search search = {rows, count, conflicts};
    AUTO(bolt_packer_done) struct bolt_packer packer;

    neo4j_conflicts_done(conflicts);
    bolt_packer_init(&packer, 0);
    if (pack_twins(&packer, chain, rows, count) == 0) {
        return 0;
    }
    int rc = neo4j_send(tx, NEO4J_TWINS, &packer, true);
    return rc == 0 ? neo4j_records(tx, take_twin, &search) : rc;
}
