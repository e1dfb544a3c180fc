/*
 * fuzz_segment - whatever bytes a segment of a file vault has, reading them ends: with changes that
 * prove themselves, or with an error that names the file and, for lines, the record.
 *
 * The first byte says which file the rest is: an even one the plain segment, an odd one the sealed
 * one, with bit 1 set late.jsonl beside a segment that is a good one with a gap.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "vault/vault.h"

#define ORIGIN "0190f7a2-5c1e-7abc-8def-00000000beef"
#define NOW_US 1795371523000001

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool true_always)
{
    if (!true_always) {
        abort();
    }
}

static char *folder; /* of this process, with a vault in it */
static char *segment;
static char *sealed;
static char *late;
static struct vault *vault;
static struct env_fake env;

static void remove_folder(void)
{
    struct err err = ERR_INIT;

    vault_file_ops.close(vault);
    require(file_remove_tree(folder, &err) == 0);
    free(folder);
    free(segment);
    free(sealed);
    free(late);
}

static void make_vault(void)
{
    struct err err = ERR_INIT;

    folder =
        xprintf("%s/holdfast-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    require(mkdtemp(folder) != NULL);
    env_fake_init(&env, NOW_US, 1);
    struct vault_options options = {.name = "fuzz", .target = folder, .env = &env.env};
    require(vault_file_ops.open(&options, &vault, &err) == 0);
    AUTO(free_ptr) char *origin = path_join(folder, "origins/" ORIGIN);
    require(mkdir(origin, 0700) == 0);
    segment = path_join(origin, "00000000000000000001.jsonl");
    sealed = path_join(origin, "00000000000000000001.jsonl.zst");
    late = path_join(origin, "late.jsonl");
    require(atexit(remove_folder) == 0);
}

static void write_file(const char *path, const void *bytes, size_t len)
{
    struct err err = ERR_INIT;
    AUTO(close_fd) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    require(fd >= 0 && file_write_all(fd, bytes, len, path, &err) == 0);
}

struct seen {
    uint64_t seq;
};

static int see(void *arg, const struct change *change, struct err *err)
{
    struct seen *seen = arg;

    (void)err;
    struct sha256 hash = change_hash(&change->prev, change->record);
    require(change->seq > seen->seq);
    require(sha256_eq(&hash, &change->hash));
    seen->seq = change->seq;
    return 0;
}

/* A vault of one origin whose only gap is seq 1. */
static void write_gap(const struct uuid *origin)
{
    struct vault_item gap = {.seq = 1};
    struct vault_batch batch = {*origin, &gap, 1};
    struct err err = ERR_INIT;

    gap.hash = sha256_of("", 0);
    require(vault_file_ops.append(vault, &batch, deadline_in(10000), &err) == 0);
}

static void read_all(const struct uuid *origin)
{
    struct vault_filter filter = {.origin = *origin};
    struct seen seen = {0};
    struct sha256 hash;
    struct vault_head *heads = NULL;
    size_t count = 0;
    struct err err = ERR_INIT;

    require(vault_file_ops.head(vault, &heads, &count, deadline_in(10000), &err) == 0);
    require(count <= 1);
    uint64_t head = count == 0 ? 0 : heads[0].seq;
    free(heads);
    int rc = vault_file_ops.scan(vault, &filter, see, &seen, deadline_in(10000), &err);
    require(rc == 0 || (rc == -ERR_CORRUPT && strstr(err.message, "/origins/" ORIGIN "/") != NULL));
    require(seen.seq <= head || head == 0);
    rc = vault_file_ops.hash_at(vault, origin, 1, &hash, deadline_in(10000), &err);
    require(rc == 0 || rc == -ERR_CORRUPT || rc == -ERR_NOT_FOUND);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct uuid origin;
    struct err err = ERR_INIT;

    require(uuid_parse(STR(ORIGIN), &origin, &err) == 0);
    if (vault == NULL) {
        make_vault();
    }
    if (size == 0) {
        return 0;
    }
    (void)unlink(segment);
    (void)unlink(sealed);
    (void)unlink(late);
    if ((data[0] & 2) != 0) {
        write_gap(&origin);
        write_file(late, data + 1, size - 1);
    } else {
        write_file((data[0] & 1) != 0 ? sealed : segment, data + 1, size - 1);
    }
    read_all(&origin);
    /* Torn ends were put aside by now; they would pile up. */
    AUTO(free_ptr)
    char *torn = xprintf("%s/origins/" ORIGIN "/torn-20261122T181843.000001Z", folder);
    (void)unlink(torn);
    return 0;
}
