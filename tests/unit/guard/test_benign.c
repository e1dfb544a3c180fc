/*
 * Ordinary work raises nothing, 100,000 operations of it; and in the midst of it every kind of
 * destruction is held whole.
 *
 * The operations come from a generator with fixed seeds, so that a failure can be run again.
 */
#include "guard/world.h"

#define OPERATIONS_WANTED 100000

static uint64_t chance(uint64_t *seed, uint64_t below)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return (*seed >> 11) % below;
}

static uint64_t operations; /* over all mixes of the first test */

static const char *const agents[] = {"mcp:claude-code", "mcp:codex", "cli", "http:ci",
                                     "mcp:gemini"};

/* A size near what it is now: what an edit leaves. */
static uint32_t edited(struct world *world, size_t memory, uint64_t *seed)
{
    uint32_t now = shown(world, memory).bytes;

    return now * (uint32_t)(80 + chance(seed, 50)) / 100 + 1;
}

/* ---- mixes of ordinary work ---- */

/* An import of many, the same again, and once more with newer versions of what has not changed. */
static void import_and_import_again(struct world *world, uint64_t *seed)
{
    size_t first = world->memory_count;

    for (size_t i = 0; i < 3000; i++) {
        (void)add(world, "imported", 50 + (uint32_t)chance(seed, 2000));
    }
    operations += 6000; /* the second time, identical rows make no change at all */
    for (int round = 0; round < 2; round++) {
        begin(world);
        for (size_t i = 0; i < 3000; i++) {
            tag(world, first + i, "http:ci");
            operations++;
        }
        end(world);
        wait_ms(world, 1000);
    }
}

/* Tags of all normalised, one request each or many in one. */
static void normalise_tags(struct world *world, uint64_t *seed)
{
    size_t first = add_many(world, "tagged", 2000);

    for (size_t i = 0; i < 1000; i++) {
        tag(world, first + i, "mcp:codex");
        wait_ms(world, (int64_t)chance(seed, 20));
    }
    begin(world);
    for (size_t i = 1000; i < 2000; i++) {
        tag(world, first + i, "mcp:codex");
    }
    end(world);
    operations += 2000;
}

/* sync_version and updated_at of every row rise, by up to a thousand. */
static void touch_versions(struct world *world, uint64_t *seed)
{
    size_t first = add_many(world, "touched", 2000);

    for (size_t i = 0; i < 2000; i++) {
        uint64_t version = highest_version_of(world, first + i) + 1 + chance(seed, 1000);
        act(world, first + i, "http:ci",
            (struct action){.bytes = shown(world, first + i).bytes, .version = version});
    }
    operations += 2000;
}

/* A few files, each saved fifty times a minute; some editors empty the file first. */
static void edit_files(struct world *world, uint64_t *seed)
{
    size_t first = add_many(world, "notes", 12);

    for (int minute = 0; minute < 20; minute++) {
        for (int save = 0; save < 50; save++) {
            size_t memory = first + chance(seed, 4);
            uint32_t bytes = edited(world, memory, seed);
            if (chance(seed, 3) == 0) {
                blank(world, memory, "file:notes");
                operations++;
            }
            edit(world, memory, "file:notes", bytes > 400 ? 250 : bytes);
            operations++;
            wait_ms(world, 1200);
        }
    }
}

/* A person tidies: five of a hundred, hours apart. */
static void tidy_by_hand(struct world *world, uint64_t *seed)
{
    size_t first = add_many(world, "home", 100);

    for (size_t evening = 0; evening < 10; evening++) {
        for (size_t i = 0; i < 5; i++) {
            del(world, first + evening * 5 + i, "cli");
            (void)add(world, "home", 300);
            operations += 2;
            wait_ms(world, 2000 + (int64_t)chance(seed, 20000));
        }
        wait_ms(world, 4 * 3600 * 1000);
    }
}

/* Each night what has expired goes: few, by a program. */
static void clean_up_nightly(struct world *world, uint64_t *seed)
{
    for (int night = 0; night < 100; night++) {
        size_t first = add_many(world, "cleaned", 60);
        begin(world);
        for (size_t i = 0; i < 1 + chance(seed, 10); i++) {
            del(world, first + i, "http:cleanup");
            operations++;
        }
        end(world);
        operations += 60;
        wait_ms(world, 24 * 3600 * 1000);
    }
}

/* Files renamed: each is added anew and removed; a column renamed: everything is touched. */
static void rename_things(struct world *world, uint64_t *seed)
{
    size_t first = add_many(world, "renamed", 200);

    for (size_t i = 0; i < 8; i++) {
        (void)add(world, "renamed", 300);
        del(world, first + i, "file:notes");
        operations += 2;
    }
    for (size_t i = 8; i < 200; i++) {
        tag(world, first + i, "mcp:codex");
        operations++;
    }
    wait_ms(world, (int64_t)chance(seed, 5000));
}

/* One long memory is made short, and its neighbours are edited a little. */
static void compact_one(struct world *world, uint64_t *seed)
{
    size_t first = add_many(world, "compacted", 50);
    size_t log = add(world, "compacted", 40000);

    for (int day = 0; day < 50; day++) {
        put(world, log, "mcp:claude-code", 5000 + (uint32_t)chance(seed, 1000));
        for (size_t i = 0; i < 4; i++) {
            edit(world, first + i, "mcp:claude-code", edited(world, first + i, seed));
        }
        put(world, log, "mcp:claude-code", 40000);
        operations += 6;
        wait_ms(world, 61000);
    }
}

/* A day in a small project: all its notes are worked on again and again, some are rewritten, a few
 * are condensed. */
static void draft_notes(struct world *world, uint64_t *seed)
{
    size_t first = add_many(world, "drafts", 24);

    for (int minute = 0; minute < 8 * 60; minute++) {
        for (int i = 0; i < 6; i++) {
            size_t memory = first + chance(seed, 24);
            uint32_t bytes = edited(world, memory, seed);
            edit(world, memory, "mcp:claude-code", bytes > 500 ? 400 : bytes < 300 ? 320 : bytes);
            operations++;
            wait_ms(world, 9000);
        }
        if (minute % 20 == 0) { /* three an hour */
            size_t memory = first + chance(seed, 24);
            put(world, memory, "mcp:claude-code", 120 + (uint32_t)chance(seed, 300));
            operations++;
        }
        wait_ms(world, 6000);
    }
}

/* Projects are renamed and merged, and go on. */
static void move_projects(struct world *world, uint64_t *seed)
{
    size_t first = add_many(world, "old", 300);

    (void)add_many(world, "large", 1000);
    for (size_t i = 0; i < 300; i++) {
        move(world, first + i, "mcp:codex", i < 200 ? "renamed" : "large");
        operations++;
    }
    for (size_t i = 0; i < 300; i++) {
        size_t memory = first + chance(seed, 300);
        edit(world, memory, "mcp:codex", edited(world, memory, seed));
        if (i % 60 == 0) {
            del(world, memory, "cli");
        }
        operations++;
        wait_ms(world, 10000);
    }
}

/* Agents at work at once: most of it new, some edits, a rare deletion. */
static void work(struct world *world, uint64_t *seed)
{
    size_t first = add_many(world, "work", 2000);
    int64_t last_delete_ms = 0;
    int64_t now_ms = 0;

    for (size_t i = 0; i < 60000; i++) {
        const char *agent = agents[chance(seed, 5)];
        size_t memory = first + chance(seed, world->memory_count - first);
        uint64_t what = chance(seed, 100);
        operations++;
        if (what < 55) {
            (void)add(world, "work", 20 + (uint32_t)chance(seed, 3000));
        } else if (is_alive(world, memory) && what < 85) {
            edit(world, memory, agent, edited(world, memory, seed));
        } else if (is_alive(world, memory) && what < 99) {
            tag(world, memory, agent);
        } else if (now_ms - last_delete_ms > 20000) {
            del(world, memory, agent);
            last_delete_ms = now_ms;
        }
        int64_t pause_ms = (int64_t)chance(seed, 400);
        now_ms += pause_ms;
        wait_ms(world, pause_ms);
    }
}

static void ordinary_work_raises_no_alert(void **state)
{
    static void (*const mixes[])(struct world *, uint64_t *) = {import_and_import_again,
                                                                normalise_tags,
                                                                touch_versions,
                                                                edit_files,
                                                                tidy_by_hand,
                                                                clean_up_nightly,
                                                                rename_things,
                                                                compact_one,
                                                                draft_notes,
                                                                move_projects,
                                                                work};

    (void)state;
    operations = 0;
    for (size_t i = 0; i < sizeof(mixes) / sizeof(mixes[0]); i++) {
        struct world world;
        uint64_t seed = 88172645463325252ULL + i;
        world_init(&world, NULL);
        mixes[i](&world, &seed);
        assert_quiet(&world);
        world_done(&world);
    }
    print_message("%llu operations, no alert\n", (unsigned long long)operations);
}

static void all_of_it_at_once_raises_no_alert(void **state)
{
    static void (*const mixes[])(struct world *, uint64_t *) = {
        tidy_by_hand, import_and_import_again, clean_up_nightly,
        edit_files,   rename_things,           normalise_tags,
        compact_one,  touch_versions,          draft_notes,
        move_projects};
    struct world *world = *state;
    uint64_t seed = 362436069;

    for (int round = 0; round < 6; round++) {
        for (size_t i = 0; i < sizeof(mixes) / sizeof(mixes[0]); i++) {
            mixes[i](world, &seed);
            wait_ms(world, 61000); /* other actors, other projects; the next round is another day */
        }
        wait_ms(world, 24 * 3600 * 1000);
        assert_quiet(world);
    }
    assert_true(operations >= OPERATIONS_WANTED);
    print_message("%llu operations, no alert\n", (unsigned long long)operations);
}

/* ---- destruction in the midst of it ---- */

struct attack {
    const char *name;
    void (*step)(struct world *world, size_t memory, size_t number);
    int64_t pause_ms; /* between two steps */
    bool at_once;     /* one request */
};

static void delete_it(struct world *world, size_t memory, size_t number)
{
    (void)number;
    del(world, memory, "mcp:evil");
}

static void delete_it_in_turn(struct world *world, size_t memory, size_t number)
{
    del(world, memory, agents[number % 5]);
}

static void empty_it(struct world *world, size_t memory, size_t number)
{
    (void)number;
    blank(world, memory, "mcp:evil");
}

static void empty_and_touch_it(struct world *world, size_t memory, size_t number)
{
    (void)number;
    blank(world, memory, "mcp:evil");
    tag(world, memory, "mcp:innocent");
}

static void overwrite_it(struct world *world, size_t memory, size_t number)
{
    (void)number;
    put(world, memory, "mcp:evil", shown(world, memory).bytes);
}

static void cut_it(struct world *world, size_t memory, size_t number)
{
    (void)number;
    put(world, memory, "mcp:evil", shown(world, memory).bytes * 2 / 5);
}

static void forge_it(struct world *world, size_t memory, size_t number)
{
    (void)number;
    act(world, memory, "mcp:evil",
        (struct action){.bytes = 280, .other_text = true, .version = 2147483648});
}

static void delete_and_replace_it(struct world *world, size_t memory, size_t number)
{
    (void)number;
    del(world, memory, "mcp:evil");
    act(world, memory, "mcp:evil", (struct action){.bytes = 200, .other_text = true});
}

static void delete_or_empty_it(struct world *world, size_t memory, size_t number)
{
    if (number % 2) {
        del(world, memory, "mcp:evil");
    } else {
        blank(world, memory, "mcp:other");
    }
}

static const struct attack attacks[] = {
    {"delete_all at once", delete_it, 0, true},
    {"delete one by one", delete_it, 100, false},
    {"a drip, one each 7 s", delete_it, 7000, false},
    {"a slow drip", delete_it, 30000, false},
    {"deletes by actors in turn", delete_it_in_turn, 2000, false},
    {"empty all at once", empty_it, 0, true},
    {"empty one by one", empty_it, 400, false},
    {"a drip of emptying", empty_it, 20000, false},
    {"empty, then touch", empty_and_touch_it, 0, true},
    {"overwrite all at once", overwrite_it, 0, true},
    {"overwrite one by one", overwrite_it, 300, false},
    {"cut all at once", cut_it, 0, true},
    {"cut one by one", cut_it, 1000, false},
    {"cut four a minute", cut_it, 15000, false},
    {"overwrite slowly", overwrite_it, 20000, false},
    {"forge all at once", forge_it, 0, true},
    {"forge one by one", forge_it, 5000, false},
    {"delete and put others at once", delete_and_replace_it, 0, true},
    {"delete or empty in turn", delete_or_empty_it, 500, false},
};

/* A little ordinary work elsewhere. */
static void work_a_little(struct world *world, size_t elsewhere, uint64_t *seed)
{
    size_t memory = elsewhere + chance(seed, 500);

    (void)add(world, "elsewhere", 300);
    tag(world, memory, "cli");
    if (chance(seed, 4) == 0) {
        edit(world, memory, "cli", edited(world, memory, seed));
    }
}

static void attack_it(const struct attack *attack, size_t size, uint64_t seed)
{
    struct world world;

    world_init(&world, NULL);
    size_t elsewhere = add_many(&world, "elsewhere", 500);
    size_t demo = add_many(&world, "demo", size);
    for (int i = 0; i < 50; i++) {
        work_a_little(&world, elsewhere, &seed);
        wait_ms(&world, (int64_t)chance(&seed, 3000));
    }
    assert_quiet(&world);
    size_t before = world.change_count;
    if (attack->at_once) {
        begin(&world);
    }
    for (size_t i = 0; i < size; i++) {
        wait_ms(&world, attack->pause_ms);
        attack->step(&world, demo + i, i);
        if (!attack->at_once) {
            work_a_little(&world, elsewhere, &seed);
        }
    }
    if (attack->at_once) {
        end(&world);
    }
    for (size_t i = 0; i < size; i++) {
        if (shown(&world, demo + i).text != 0 || !is_alive(&world, demo + i)) {
            print_error("%s, of %zu: memory %zu is lost\n", attack->name, size, i);
            fail();
        }
    }
    for (size_t c = 1; c < world.change_count; c++) {
        bool of_attack =
            c >= before && world.changes[c].memory >= demo && world.changes[c].memory < demo + size;
        assert_int_equal(world.changes[c].held, of_attack);
    }
    world_done(&world);
}

static void every_attack_is_held_from_its_first_change_to_its_last(void **state)
{
    static const size_t sizes[] = {40, 41, 60, 97, 110};

    (void)state;
    for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
        for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
            attack_it(&attacks[i], sizes[k], 1234567 + 31 * i + k);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordinary_work_raises_no_alert),
        cmocka_unit_test_setup_teardown(all_of_it_at_once_raises_no_alert, world_setup,
                                        world_teardown),
        cmocka_unit_test(every_attack_is_held_from_its_first_change_to_its_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
