/*
 * rig - a ledger in a home of its own, its sync log, and a replicator to a vault, for tests.
 */
#ifndef HOLDFAST_TESTS_REPLICATE_RIG_H
#define HOLDFAST_TESTS_REPLICATE_RIG_H

#include "vault/place.h"

#include <pthread.h>
#include <stdatomic.h>

#include "ledger/read.h"
#include "replicate/replicator.h"

#define RIG_NOW_US 1795371523000000
#define RIG_WAIT_MS 20000 /* for what should happen at once */

struct rig {
    char *folder; /* holds home, and the vault of tests that have a real one */
    char *home;
    struct env_fake env;
    struct ledger *ledger;
    struct sync_log *log;
    struct replicator_options options;
    struct replicator *replicator;
    pthread_mutex_t mutex; /* guards what the callbacks say */
    char damage[2048];     /* the last one */
    int damages;
    int renewals; /* of the ledger's origin, as it went back in time */
    int aways;
    bool away_is_lost; /* nobody can put it on record */
    char trouble[2048];
    int troubles;
    int wells;
};

static inline void rig_on_damage(void *arg, const char *vault, const char *what)
{
    struct rig *rig = arg;

    (void)vault;
    (void)pthread_mutex_lock(&rig->mutex);
    (void)snprintf(rig->damage, sizeof(rig->damage), "%s", what);
    rig->damages++;
    (void)pthread_mutex_unlock(&rig->mutex);
}

/* As the engine does it. */
static inline int rig_on_behind(void *arg, const char *vault, const struct uuid *origin,
                                uint64_t after, struct err *err)
{
    struct rig *rig = arg;
    bool renewed = false;

    (void)vault;
    int rc = ledger_renew_origin(rig->ledger, origin, after, &renewed, err);
    (void)pthread_mutex_lock(&rig->mutex);
    rig->renewals += renewed ? 1 : 0;
    (void)pthread_mutex_unlock(&rig->mutex);
    return rc;
}

static inline void rig_on_state(void *arg, const char *vault, const char *trouble)
{
    struct rig *rig = arg;

    (void)vault;
    (void)pthread_mutex_lock(&rig->mutex);
    if (trouble == NULL) {
        rig->wells++;
    } else {
        (void)snprintf(rig->trouble, sizeof(rig->trouble), "%s", trouble);
        rig->troubles++;
    }
    (void)pthread_mutex_unlock(&rig->mutex);
}

static inline bool rig_on_away(void *arg, const char *vault, const char *what)
{
    struct rig *rig = arg;

    (void)vault;
    (void)what;
    (void)pthread_mutex_lock(&rig->mutex);
    rig->aways++;
    bool lost = rig->away_is_lost;
    (void)pthread_mutex_unlock(&rig->mutex);
    return !lost;
}

static inline int rig_aways(struct rig *rig)
{
    (void)pthread_mutex_lock(&rig->mutex);
    int aways = rig->aways;
    (void)pthread_mutex_unlock(&rig->mutex);
    return aways;
}

static inline int rig_damages(struct rig *rig)
{
    (void)pthread_mutex_lock(&rig->mutex);
    int damages = rig->damages;
    (void)pthread_mutex_unlock(&rig->mutex);
    return damages;
}

static inline void rig_open_ledger(struct rig *rig)
{
    struct ledger_options options = {
        .home = rig->home, .env = &rig->env.env, .who = "a test of the replicator"};
    struct err err = ERR_INIT;

    assert_ok(ledger_open(&options, &rig->ledger, &err), &err);
}

static inline struct rig *rig_new(const struct vault_ops *ops)
{
    struct rig *rig = xcalloc(1, sizeof(*rig));
    struct err err = ERR_INIT;

    rig->folder = place_new();
    rig->home = path_join(rig->folder, "home");
    (void)pthread_mutex_init(&rig->mutex, NULL);
    env_fake_init(&rig->env, RIG_NOW_US, 7);
    rig_open_ledger(rig);
    assert_ok(sync_log_open(rig->home, &rig->env.env, &rig->log, &err), &err);
    rig->options = (struct replicator_options){.name = "v",
                                               .spec = "fake:",
                                               .ops = ops,
                                               .batch_max = 100,
                                               .arg = rig,
                                               .on_damage = rig_on_damage,
                                               .on_behind = rig_on_behind,
                                               .on_away = rig_on_away,
                                               .on_state = rig_on_state};
    return rig;
}

static inline void rig_start(struct rig *rig)
{
    struct err err = ERR_INIT;

    rig->options.ledger = rig->ledger;
    rig->options.log = rig->log;
    assert_ok(replicator_start(&rig->options, &rig->replicator, &err), &err);
}

static inline void rig_stop(struct rig *rig)
{
    replicator_stop(rig->replicator);
    rig->replicator = NULL;
}

static inline void rig_free(struct rig *rig)
{
    rig_stop(rig);
    ledger_close(rig->ledger);
    sync_log_close(rig->log);
    (void)pthread_mutex_destroy(&rig->mutex);
    free(rig->home);
    place_drop(rig->folder);
    free(rig);
}

/* Remember content. A project comes with the first memory: its changes are seq 1 and 2. */
static inline uint64_t rig_remember(struct rig *rig, const char *content)
{
    struct memory memory;
    struct written written = {0};
    struct err err = ERR_INIT;

    memory_init(&memory);
    memory.content = xstrdup(content);
    memory.content_len = strlen(content);
    memory.project_id = xstrdup("p");
    struct draft draft = {.kind = KIND_MEMORY, .op = OP_PUT, .memory = &memory, .source = "test"};
    assert_ok(ledger_write(rig->ledger, &draft, 1, false, &written, &err), &err);
    assert_int_equal(written.code, ERR_NONE);
    memory_done(&memory);
    return written.seq;
}

/* Many at once, "n 1" to "n count"; the last one's seq. */
static inline uint64_t rig_remember_many(struct rig *rig, size_t count)
{
    struct memory *memories = xcalloc(count, sizeof(*memories));
    struct draft *drafts = xcalloc(count, sizeof(*drafts));
    struct written *written = xcalloc(count, sizeof(*written));
    struct err err = ERR_INIT;

    for (size_t i = 0; i < count; i++) {
        memory_init(&memories[i]);
        memories[i].content = xprintf("n %zu", i + 1);
        memories[i].content_len = strlen(memories[i].content);
        memories[i].project_id = xstrdup("p");
        drafts[i] = (struct draft){
            .kind = KIND_MEMORY, .op = OP_PUT, .memory = &memories[i], .source = "test"};
    }
    assert_ok(ledger_write(rig->ledger, drafts, count, false, written, &err), &err);
    uint64_t seq = written[count - 1].seq;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(written[i].code, ERR_NONE);
        memory_done(&memories[i]);
    }
    free(memories);
    free(drafts);
    free(written);
    return seq;
}

static inline struct replicator_status rig_status(struct rig *rig)
{
    struct replicator_status status;

    replicator_status(rig->replicator, &status);
    return status;
}

/* Wait for a change of this installation's. */
static inline int rig_wait_for(struct rig *rig, uint64_t seq, struct deadline deadline,
                               struct err *err)
{
    struct uuid origin = ledger_origin(rig->ledger);

    return replicator_wait_for(rig->replicator, &origin, seq, deadline, err);
}

static inline void rig_drain(struct rig *rig)
{
    struct err err = ERR_INIT;

    assert_ok(replicator_drain(rig->replicator, deadline_in(RIG_WAIT_MS), &err), &err);
}

/* For whoever looks for why a test failed. */
static inline void rig_tell(struct rig *rig)
{
    struct replicator_status status = rig_status(rig);

    print_error("acked %llu, head %llu, queue %llu, dead %llu, failures %llu, connected %d: %s\n",
                (unsigned long long)status.acked_seq, (unsigned long long)status.head_seq,
                (unsigned long long)status.queue, (unsigned long long)status.dead,
                (unsigned long long)status.failures, (int)status.connected, status.error);
    print_error("troubles %d (%s), damages %d (%s)\n", rig->troubles, rig->trouble, rig->damages,
                rig->damage);
}

/* Wait until a condition holds, which it should at once. */
#define rig_until(condition)                                                                       \
    do {                                                                                           \
        struct deadline rig_deadline = deadline_in(RIG_WAIT_MS);                                   \
        while (!(condition)) {                                                                     \
            if (deadline_left_ms(rig_deadline) == 0) {                                             \
                rig_tell(rig);                                                                     \
                fail_msg("waited in vain for %s", #condition);                                     \
            }                                                                                      \
            (void)usleep(500);                                                                     \
        }                                                                                          \
    } while (0)

/* Attempts with this result, all of them counted ("" for any). */
struct rig_events {
    const char *result;
    int count;
    uint64_t changes;
    char first_error[256];
};

static inline int rig_count_event(void *arg, const struct sync_event *event, struct err *err)
{
    struct rig_events *events = arg;

    (void)err;
    if (events->result[0] == '\0' || strcmp(events->result, event->result) == 0) {
        events->count++;
        events->changes += event->count;
        (void)snprintf(events->first_error, sizeof(events->first_error), "%s",
                       event->error == NULL ? "" : event->error);
    }
    return 0;
}

static inline struct rig_events rig_events(struct rig *rig, const char *result)
{
    struct rig_events events = {.result = result};
    struct err err = ERR_INIT;

    assert_ok(sync_events(rig->log, "v", 1000000, rig_count_event, &events, &err), &err);
    return events;
}

#endif
