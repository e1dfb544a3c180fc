#include "vault/driver_contract.h"

#include "vault/chain.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CALL_MS 20000

static const struct contract_subject *subject;

struct fixture {
    char *target;
    struct vault *vault;
    struct vault_options options;
    struct wake cancel;
    struct chain a;
    struct chain b;
};

static struct deadline soon(void)
{
    return deadline_in(CALL_MS);
}

static void open_vault(struct fixture *f)
{
    struct err err = ERR_INIT;

    assert_ok(subject->ops->open(&f->options, &f->vault, &err), &err);
}

static void close_vault(struct fixture *f)
{
    if (f->vault != NULL) {
        subject->ops->close(f->vault);
        f->vault = NULL;
    }
}

static void reopen(struct fixture *f)
{
    close_vault(f);
    open_vault(f);
}

static int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    struct err err = ERR_INIT;

    f->target = subject->new_target(subject->arg);
    chain_init(&f->a, 0xaa);
    chain_init(&f->b, 0xbb);
    assert_ok(wake_init(&f->cancel, &err), &err);
    f->options = (struct vault_options){.name = "contract",
                                        .target = f->target,
                                        .installation = f->a.origin,
                                        .env = env_system(),
                                        .cancel = &f->cancel};
    open_vault(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    close_vault(f);
    subject->drop_target(subject->arg, f->target);
    chain_done(&f->a);
    chain_done(&f->b);
    wake_done(&f->cancel);
    free(f->target);
    free(f);
    return 0;
}

static void append(struct fixture *f, const struct chain *chain, uint64_t from, uint64_t to)
{
    struct vault_batch batch = chain_batch(chain, from, to);
    struct err err = ERR_INIT;

    assert_ok(subject->ops->append(f->vault, &batch, soon(), &err), &err);
}

static void append_refused(struct fixture *f, const struct vault_batch *batch,
                           enum err_code expected, const char *part)
{
    struct err err = ERR_INIT;

    assert_refused(subject->ops->append(f->vault, batch, soon(), &err), &err, expected, part);
}

/* Send seq as a gap. */
static void append_gap(struct fixture *f, const struct chain *chain, uint64_t seq)
{
    struct vault_item gap = chain->items[seq - 1];
    struct vault_batch batch = {chain->origin, &gap, 1};
    struct err err = ERR_INIT;

    gap.record = (struct str){NULL, 0};
    assert_ok(subject->ops->append(f->vault, &batch, soon(), &err), &err);
}

/* The head of an origin; seq 0 when the vault does not list it. */
static struct vault_head head_of(struct fixture *f, const struct uuid *origin)
{
    struct vault_head *heads = NULL;
    struct vault_head found = {0};
    size_t count = 0;
    struct err err = ERR_INIT;

    assert_ok(subject->ops->head(f->vault, &heads, &count, soon(), &err), &err);
    for (size_t i = 0; i < count; i++) {
        assert_true(i == 0 || uuid_cmp(&heads[i - 1].origin, &heads[i].origin) < 0);
        if (uuid_eq(&heads[i].origin, origin)) {
            found = heads[i];
        }
    }
    free(heads);
    return found;
}

static void assert_head(struct fixture *f, const struct chain *chain, uint64_t seq, uint64_t gaps)
{
    struct vault_head head = head_of(f, &chain->origin);

    assert_int_equal(head.seq, seq);
    assert_int_equal(head.gaps, gaps);
    if (seq > 0) {
        assert_true(sha256_eq(&head.hash, &chain->items[seq - 1].hash));
    }
}

/* What a scan gave: "a1 a2 b1 ", and whether each was what was sent. */
struct seen {
    struct fixture *f;
    char text[4096];
    size_t len;
    uint64_t count;
    uint64_t stop_after; /* then each returns 7 */
};

static int see(void *arg, const struct change *change, struct err *err)
{
    struct seen *seen = arg;
    bool is_a = uuid_eq(&change->origin, &seen->f->a.origin);
    const struct chain *chain = is_a ? &seen->f->a : &seen->f->b;
    const struct vault_item *item = &chain->items[change->seq - 1];
    struct change expected;

    assert_true(str_eq(change->record, item->record));
    assert_true(sha256_eq(&change->hash, &item->hash) && sha256_eq(&change->prev, &item->prev));
    assert_ok(change_read_record(item->record, &expected, err), err);
    assert_true(str_eq(change->body, expected.body));
    assert_string_equal(change->id, expected.id);
    seen->count++;
    if (seen->len + 16 < sizeof(seen->text)) {
        seen->len += (size_t)snprintf(seen->text + seen->len, sizeof(seen->text) - seen->len,
                                      "%c%llu ", is_a ? 'a' : 'b', (unsigned long long)change->seq);
    }
    return seen->count == seen->stop_after ? 7 : 0;
}

static int scan(struct fixture *f, const struct vault_filter *filter, struct seen *seen)
{
    struct err err = ERR_INIT;
    int rc;

    seen->f = f;
    rc = subject->ops->scan(f->vault, filter, see, seen, soon(), &err);
    if (rc < 0) {
        assert_ok(rc, &err);
    }
    return rc;
}

static void assert_scan(struct fixture *f, const struct vault_filter *filter, const char *expected)
{
    struct seen seen = {0};

    assert_int_equal(scan(f, filter, &seen), 0);
    assert_string_equal(seen.text, expected);
}

static const struct vault_filter ALL = {0};

/* ---- identity ---- */

static void a_new_vault_is_empty_and_has_an_identity(void **state)
{
    struct fixture *f = *state;
    struct uuid identity = subject->ops->identity(f->vault);
    struct vault_head *heads = NULL;
    size_t count = 1;
    struct err err = ERR_INIT;

    assert_false(uuid_is_nil(&identity));
    assert_ok(subject->ops->head(f->vault, &heads, &count, soon(), &err), &err);
    assert_int_equal(count, 0);
    free(heads);
    assert_scan(f, &ALL, "");
}

static void its_identity_stays(void **state)
{
    struct fixture *f = *state;
    struct uuid first = subject->ops->identity(f->vault);

    reopen(f);
    struct uuid second = subject->ops->identity(f->vault);
    assert_true(uuid_eq(&first, &second));
    f->options.expect_vault = first;
    reopen(f);
}

static void another_vault_in_its_place_is_refused(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;

    close_vault(f);
    memset(f->options.expect_vault.bytes, 0x77, sizeof(f->options.expect_vault.bytes));
    assert_refused(subject->ops->open(&f->options, &f->vault, &err), &err, ERR_CORRUPT,
                   "not the vault");
}

static void a_reader_makes_nothing(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;

    close_vault(f);
    char *elsewhere = subject->new_target(subject->arg);
    f->options.target = elsewhere;
    f->options.read_only = true;
    assert_refused(subject->ops->open(&f->options, &f->vault, &err), &err, ERR_UNAVAILABLE, "");
    assert_refused(subject->ops->open(&f->options, &f->vault, &err), &err, ERR_UNAVAILABLE, "");
    subject->drop_target(subject->arg, elsewhere);
    free(elsewhere);
}

static void a_reader_reads_and_writes_not(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;

    chain_grow(&f->a, 3, 10);
    append(f, &f->a, 1, 2);
    f->options.read_only = true;
    reopen(f);
    assert_scan(f, &ALL, "a1 a2 ");
    struct vault_batch batch = chain_batch(&f->a, 3, 3);
    append_refused(f, &batch, ERR_FORBIDDEN, "");
    assert_refused(subject->ops->set_aside(f->vault, &f->a.origin, soon(), &err), &err,
                   ERR_FORBIDDEN, "");
    assert_head(f, &f->a, 2, 0);
}

/* ---- append ---- */

static void what_was_appended_is_read_back(void **state)
{
    struct fixture *f = *state;

    chain_grow(&f->a, 20, 200);
    append(f, &f->a, 1, 1);
    append(f, &f->a, 2, 10);
    assert_head(f, &f->a, 10, 0);
    append(f, &f->a, 11, 20);
    assert_head(f, &f->a, 20, 0);
    reopen(f);
    assert_head(f, &f->a, 20, 0);
    struct seen seen = {0};
    assert_int_equal(scan(f, &ALL, &seen), 0);
    assert_int_equal(seen.count, 20);
}

static void the_same_batch_again_changes_nothing(void **state)
{
    struct fixture *f = *state;

    chain_grow(&f->a, 6, 10);
    append(f, &f->a, 1, 4);
    append(f, &f->a, 1, 4);
    append(f, &f->a, 2, 3);
    append(f, &f->a, 4, 4);
    assert_head(f, &f->a, 4, 0);
    append(f, &f->a, 3, 6);
    reopen(f);
    append(f, &f->a, 1, 6);
    assert_head(f, &f->a, 6, 0);
    assert_scan(f, &ALL, "a1 a2 a3 a4 a5 a6 ");
}

static void another_history_is_refused(void **state)
{
    struct fixture *f = *state;
    struct chain other;

    chain_grow(&f->a, 6, 10);
    chain_init(&other, 0xaa);
    chain_grow(&other, 2, 10);
    chain_grow_salted(&other, 6, 10, 'x');
    append(f, &f->a, 1, 4);

    struct vault_batch within = chain_batch(&other, 3, 3);
    append_refused(f, &within, ERR_CORRUPT, "two histories");
    struct vault_batch across = chain_batch(&other, 2, 6);
    append_refused(f, &across, ERR_CORRUPT, "two histories");
    struct vault_batch behind = chain_batch(&other, 5, 6);
    append_refused(f, &behind, ERR_CORRUPT, "two histories");
    assert_head(f, &f->a, 4, 0);
    append(f, &f->a, 5, 6);
    assert_scan(f, &ALL, "a1 a2 a3 a4 a5 a6 ");
    chain_done(&other);
}

static void a_hole_is_refused(void **state)
{
    struct fixture *f = *state;

    chain_grow(&f->a, 6, 10);
    struct vault_batch first = chain_batch(&f->a, 2, 3);
    append_refused(f, &first, ERR_CORRUPT, "seq 2");
    append(f, &f->a, 1, 3);
    struct vault_batch later = chain_batch(&f->a, 5, 6);
    append_refused(f, &later, ERR_CORRUPT, "seq 5");
    assert_head(f, &f->a, 3, 0);
}

static void what_does_not_prove_itself_is_refused(void **state)
{
    struct fixture *f = *state;
    struct vault_item items[3];
    struct vault_batch batch = {.items = items, .count = 3};

    chain_grow(&f->a, 3, 10);
    chain_grow(&f->b, 3, 20);
    batch.origin = f->a.origin;

    memcpy(items, f->a.items, sizeof(items));
    items[1].hash.bytes[5] ^= 1;
    append_refused(f, &batch, ERR_INVALID, "seq 2");

    memcpy(items, f->a.items, sizeof(items));
    items[2].record.len--;
    append_refused(f, &batch, ERR_INVALID, "seq 3");

    memcpy(items, f->b.items, sizeof(items));
    append_refused(f, &batch, ERR_INVALID, "seq 1");

    memcpy(items, f->a.items, sizeof(items));
    items[1].seq = 3;
    append_refused(f, &batch, ERR_INVALID, "seq 3");
    assert_head(f, &f->a, 0, 0);
}

static void a_batch_of_the_limit_is_taken_and_one_more_is_not(void **state)
{
    struct fixture *f = *state;

    chain_grow(&f->a, VAULT_BATCH_MAX + 1, 1);
    struct vault_batch batch = chain_batch(&f->a, 1, VAULT_BATCH_MAX + 1);
    append_refused(f, &batch, ERR_LIMIT, "5000");
    append(f, &f->a, 1, VAULT_BATCH_MAX);
    assert_head(f, &f->a, VAULT_BATCH_MAX, 0);
}

/* Sixteen of the largest records are the largest batch. */
static void the_largest_records_fit(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    struct buf body = BUF_INIT(CHANGE_RECORD_MAX);

    chain_grow(&f->a, 10, 1); /* those that follow have seqs of two digits, as this one */
    size_t around = f->a.items[9].record.len - (sizeof("{\"content\":\"- 10 a\"}") - 1);
    assert_ok(buf_reserve(&body, CHANGE_RECORD_MAX - around, &err), &err);
    body.len = CHANGE_RECORD_MAX - around;
    memset(body.data, 'z', body.len);
    memcpy(body.data, "{\"content\":\"", 12);
    memcpy(body.data + body.len - 2, "\"}", 2);
    for (int i = 0; i < 16; i++) {
        body.data[12] = (char)('a' + i);
        chain_add_body(&f->a, KIND_MEMORY, "p", buf_str(&body));
        assert_int_equal(f->a.items[f->a.count - 1].record.len, CHANGE_RECORD_MAX);
    }
    append(f, &f->a, 1, 9);
    struct vault_batch batch = chain_batch(&f->a, 10, 26); /* 16 MiB and a small one */
    append_refused(f, &batch, ERR_LIMIT, "16777216");
    append(f, &f->a, 10, 10);
    append(f, &f->a, 11, 26);
    reopen(f);
    assert_head(f, &f->a, 26, 0);
    struct seen seen = {0};
    assert_int_equal(scan(f, &ALL, &seen), 0);
    assert_int_equal(seen.count, 26);
    buf_done(&body);
}

/* ---- gaps ---- */

static void a_gap_keeps_its_place_and_can_be_filled(void **state)
{
    struct fixture *f = *state;

    chain_grow(&f->a, 6, 10);
    append(f, &f->a, 1, 2);
    append_gap(f, &f->a, 3);
    assert_head(f, &f->a, 3, 1);
    append(f, &f->a, 4, 4);
    append_gap(f, &f->a, 5);
    append(f, &f->a, 6, 6);
    assert_head(f, &f->a, 6, 2);
    assert_scan(f, &ALL, "a1 a2 a4 a6 ");
    reopen(f);
    assert_head(f, &f->a, 6, 2);

    append(f, &f->a, 5, 5);
    assert_head(f, &f->a, 6, 1);
    append(f, &f->a, 5, 5);
    append_gap(f, &f->a, 5); /* a gap again where it is filled: nothing */
    append(f, &f->a, 3, 3);
    assert_head(f, &f->a, 6, 0);
    assert_scan(f, &ALL, "a1 a2 a3 a4 a5 a6 ");
    reopen(f);
    assert_head(f, &f->a, 6, 0);
    assert_scan(f, &ALL, "a1 a2 a3 a4 a5 a6 ");
}

/* More of them than a driver asks for at once. */
static void thousands_of_gaps_are_passed_and_proved(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;

    chain_grow(&f->a, 2503, 10);
    append(f, &f->a, 1, 1);
    struct vault_batch batch = chain_batch(&f->a, 2, 2502);
    struct vault_item *gaps = xcalloc(batch.count, sizeof(*gaps));
    for (size_t i = 0; i < batch.count; i++) {
        gaps[i] = batch.items[i];
        gaps[i].record = (struct str){NULL, 0};
    }
    batch.items = gaps;
    assert_ok(subject->ops->append(f->vault, &batch, soon(), &err), &err);
    free(gaps);
    append(f, &f->a, 2503, 2503);
    assert_head(f, &f->a, 2503, 2501);
    assert_scan(f, &ALL, "a1 a2503 ");
    append(f, &f->a, 1500, 1500);
    assert_scan(f, &ALL, "a1 a1500 a2503 ");
    enum vault_proof proof = subject->ops->prove == NULL ? VAULT_PROOF_DONE : VAULT_PROOF_MORE;
    assert_head(f, &f->a, 2503, 2500);
    while (proof == VAULT_PROOF_MORE) {
        assert_ok(subject->ops->prove(f->vault, &proof, soon(), &err), &err);
    }
    assert_int_equal(proof, VAULT_PROOF_DONE);
}

static void a_gap_takes_only_its_own_change(void **state)
{
    struct fixture *f = *state;
    struct chain other;

    chain_grow(&f->a, 3, 10);
    chain_init(&other, 0xaa);
    chain_grow(&other, 1, 10);
    chain_grow_salted(&other, 3, 10, 'x');
    append(f, &f->a, 1, 1);
    append_gap(f, &f->a, 2);
    append(f, &f->a, 3, 3);
    struct vault_batch wrong = chain_batch(&other, 2, 2);
    append_refused(f, &wrong, ERR_CORRUPT, "two histories");
    assert_head(f, &f->a, 3, 1);
    chain_done(&other);
}

static void the_hash_of_a_gap_is_held(void **state)
{
    struct fixture *f = *state;
    struct sha256 hash;
    struct err err = ERR_INIT;

    chain_grow(&f->a, 3, 10);
    append(f, &f->a, 1, 1);
    append_gap(f, &f->a, 2);
    append(f, &f->a, 3, 3);
    assert_ok(subject->ops->hash_at(f->vault, &f->a.origin, 2, &hash, soon(), &err), &err);
    assert_true(sha256_eq(&hash, &f->a.items[1].hash));
}

/* ---- reading ---- */

static void origins_are_kept_apart(void **state)
{
    struct fixture *f = *state;

    chain_grow(&f->a, 3, 10);
    chain_grow(&f->b, 2, 10);
    append(f, &f->b, 1, 1);
    append(f, &f->a, 1, 2);
    append(f, &f->b, 2, 2);
    append(f, &f->a, 3, 3);
    assert_head(f, &f->a, 3, 0);
    assert_head(f, &f->b, 2, 0);
    assert_scan(f, &ALL, "a1 a2 a3 b1 b2 ");
}

static void every_hash_is_told(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    struct sha256 hash;

    chain_grow(&f->a, 40, 50);
    append(f, &f->a, 1, 25);
    append(f, &f->a, 26, 40);
    for (int round = 0; round < 2; round++) {
        for (uint64_t seq = 40; seq >= 1; seq--) {
            assert_ok(subject->ops->hash_at(f->vault, &f->a.origin, seq, &hash, soon(), &err),
                      &err);
            assert_true(sha256_eq(&hash, &f->a.items[seq - 1].hash));
        }
        reopen(f);
    }
    assert_refused(subject->ops->hash_at(f->vault, &f->a.origin, 41, &hash, soon(), &err), &err,
                   ERR_NOT_FOUND, "41");
    assert_refused(subject->ops->hash_at(f->vault, &f->b.origin, 1, &hash, soon(), &err), &err,
                   ERR_NOT_FOUND, "");
}

static void a_scan_keeps_to_its_filter(void **state)
{
    struct fixture *f = *state;

    chain_grow(&f->a, 4, 10);
    chain_grow(&f->b, 1, 10);
    append(f, &f->a, 1, 4);
    append(f, &f->b, 1, 1);
    assert_scan(f, &(struct vault_filter){.origin = f->b.origin}, "b1 ");
    assert_scan(f, &(struct vault_filter){.origin = f->a.origin, .after_seq = 2}, "a3 a4 ");
    assert_scan(f, &(struct vault_filter){.origin = f->a.origin, .after_seq = 4}, "");
    assert_scan(f, &(struct vault_filter){.origin = f->a.origin, .after_seq = 99}, "");
    assert_scan(f, &(struct vault_filter){.after_seq = 2}, "a1 a2 a3 a4 b1 ");
}

static void a_scan_ends_when_it_is_told_to(void **state)
{
    struct fixture *f = *state;
    struct seen seen = {.stop_after = 3};

    chain_grow(&f->a, 5, 10);
    append(f, &f->a, 1, 5);
    assert_int_equal(scan(f, &ALL, &seen), 7);
    assert_int_equal(seen.count, 3);
}

/* ---- aside, health, limits of time ---- */

static void a_copy_put_aside_is_filled_anew(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;

    chain_grow(&f->a, 4, 10);
    chain_grow(&f->b, 1, 10);
    append(f, &f->a, 1, 3);
    append(f, &f->b, 1, 1);
    for (int i = 0; i < 3; i++) {
        assert_ok(subject->ops->set_aside(f->vault, &f->a.origin, soon(), &err), &err);
        assert_head(f, &f->a, 0, 0);
        assert_head(f, &f->b, 1, 0);
        append(f, &f->a, 1, 4);
        assert_scan(f, &ALL, "a1 a2 a3 a4 b1 ");
    }
    reopen(f);
    assert_scan(f, &ALL, "a1 a2 a3 a4 b1 ");
}

static void it_says_that_it_is_well(void **state)
{
    struct fixture *f = *state;
    struct vault_health health = {0};
    struct err err = ERR_INIT;

    assert_ok(subject->ops->check(f->vault, &health, soon(), &err), &err);
    assert_true(health.can_write);
    assert_true(health.latency_us >= 0);
    assert_true(strlen(health.detail) > 0);
}

static void calls_end_when_cancelled(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    struct seen seen = {.f = f};

    chain_grow(&f->a, 2000, 10);
    append(f, &f->a, 1, 1999);
    wake_cancel(&f->cancel);
    struct vault_batch batch = chain_batch(&f->a, 2000, 2000);
    append_refused(f, &batch, ERR_CANCELLED, "");
    assert_refused(subject->ops->scan(f->vault, &ALL, see, &seen, soon(), &err), &err,
                   ERR_CANCELLED, "");
    assert_true(seen.count < 1999);
}

static void calls_end_by_their_deadline(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    struct seen seen = {.f = f};

    chain_grow(&f->a, 2000, 10);
    append(f, &f->a, 1, 1999);
    struct vault_batch batch = chain_batch(&f->a, 2000, 2000);
    assert_refused(subject->ops->append(f->vault, &batch, deadline_in(0), &err), &err, ERR_TIMEOUT,
                   "");
    assert_refused(subject->ops->scan(f->vault, &ALL, see, &seen, deadline_in(0), &err), &err,
                   ERR_TIMEOUT, "");
    append(f, &f->a, 2000, 2000);
    assert_head(f, &f->a, 2000, 0);
}

#define CONTRACT(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int driver_contract_run(const struct contract_subject *tested)
{
    const struct CMUnitTest driver_contract[] = {
        CONTRACT(a_new_vault_is_empty_and_has_an_identity),
        CONTRACT(its_identity_stays),
        CONTRACT(another_vault_in_its_place_is_refused),
        CONTRACT(a_reader_makes_nothing),
        CONTRACT(a_reader_reads_and_writes_not),
        CONTRACT(what_was_appended_is_read_back),
        CONTRACT(the_same_batch_again_changes_nothing),
        CONTRACT(another_history_is_refused),
        CONTRACT(a_hole_is_refused),
        CONTRACT(what_does_not_prove_itself_is_refused),
        CONTRACT(a_batch_of_the_limit_is_taken_and_one_more_is_not),
        CONTRACT(the_largest_records_fit),
        CONTRACT(a_gap_keeps_its_place_and_can_be_filled),
        CONTRACT(thousands_of_gaps_are_passed_and_proved),
        CONTRACT(a_gap_takes_only_its_own_change),
        CONTRACT(the_hash_of_a_gap_is_held),
        CONTRACT(origins_are_kept_apart),
        CONTRACT(every_hash_is_told),
        CONTRACT(a_scan_keeps_to_its_filter),
        CONTRACT(a_scan_ends_when_it_is_told_to),
        CONTRACT(a_copy_put_aside_is_filled_anew),
        CONTRACT(it_says_that_it_is_well),
        CONTRACT(calls_end_when_cancelled),
        CONTRACT(calls_end_by_their_deadline),
    };

    subject = tested;
    return cmocka_run_group_tests(driver_contract, NULL, NULL);
}
