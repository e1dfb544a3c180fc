/* The file driver: its table, and the calls that are not worth a file of their own. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "vault/file_vault.h"

#define ASIDE_TRIES 1000 /* names of one moment: the clock may stand still */
#define CUT_LOCK_MS                                                                                \
    0 /* a torn end is cut at once or, when somebody appends, at our next append                   \
       */

static struct file_vault *of(struct vault *vault)
{
    return (struct file_vault *)vault;
}

/* ---- the origins that are known ---- */

static int compare_origins(const void *a, const void *b)
{
    const struct file_origin *const *x = a;
    const struct file_origin *const *y = b;

    return uuid_cmp(&(*x)->uuid, &(*y)->uuid);
}

static struct file_origin *find_origin(const struct file_vault *vault, const struct uuid *uuid)
{
    struct file_origin key = {.uuid = *uuid};
    const struct file_origin *key_ptr = &key;
    struct file_origin **found = vault->origin_count == 0
                                     ? NULL
                                     : bsearch(&key_ptr, vault->origins, vault->origin_count,
                                               sizeof(struct file_origin *), compare_origins);

    return found == NULL ? NULL : *found;
}

static struct file_origin *know_origin(struct file_vault *vault, const struct uuid *uuid)
{
    struct file_origin *origin = find_origin(vault, uuid);

    if (origin != NULL) {
        return origin;
    }
    origin = xcalloc(1, sizeof(*origin));
    origin->uuid = *uuid;
    uuid_format(uuid, origin->name);
    vault->origins =
        xrealloc(vault->origins, (vault->origin_count + 1) * sizeof(struct file_origin *));
    vault->origins[vault->origin_count++] = origin;
    qsort(vault->origins, vault->origin_count, sizeof(struct file_origin *), compare_origins);
    return origin;
}

static bool parse_origin_name(const char *name, struct uuid *ret)
{
    struct err why = ERR_INIT;
    char text[UUID_TEXT_MAX];

    if (strlen(name) != UUID_TEXT_LEN || uuid_parse(str_of(name), ret, &why) < 0) {
        return false;
    }
    uuid_format(ret, text);
    return strcmp(name, text) == 0 && !uuid_is_nil(ret);
}

/* Know every origin that has a folder. */
static int list_origins(struct file_vault *vault, const struct file_place *place, struct err *err)
{
    if (place->origins < 0) {
        return 0;
    }
    int fd = file_openat(place->origins, ".", O_RDONLY | O_DIRECTORY);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    struct uuid uuid;

    if (folder == NULL) {
        int saved = errno;
        close_fd(&fd);
        return file_errno(err, saved, "listing the origins of", vault->path);
    }
    while ((entry = readdir(folder)) != NULL) {
        if (parse_origin_name(entry->d_name, &uuid)) {
            (void)know_origin(vault, &uuid);
        }
    }
    (void)closedir(folder); /* nothing was written */
    return 0;
}

/* Cut a torn end, unless somebody else is just writing it. */
static int cut_torn(struct file_vault *vault, const struct file_place *place,
                    struct file_origin *origin, struct err *err)
{
    AUTO(file_origin_release) struct file_hold hold = {.folder = -1, .lock = -1};
    struct err why = ERR_INIT;

    int rc = file_origin_lock(vault, place, origin, deadline_in(CUT_LOCK_MS), &hold, &why);
    if (rc == -ERR_TIMEOUT) {
        return 0;
    }
    return rc < 0 ? err_copy(err, &why)
                  : file_origin_refresh(vault, origin, &hold, deadline_never(), err);
}

/* Open an origin's folder and learn what is in it: for calls that read. */
static int read_origin(struct file_vault *vault, const struct file_place *place,
                       struct file_origin *origin, struct deadline deadline, struct file_hold *ret,
                       struct err *err)
{
    bool there;

    int rc = file_origin_open(vault, place, origin, ret, &there, err);
    if (rc < 0 || !there) {
        file_origin_forget(origin);
        return rc;
    }
    rc = file_origin_refresh(vault, origin, ret, deadline, err);
    if (rc == 0 && (origin->torn || origin->doubt_name[0] != '\0') && !vault->read_only) {
        rc = cut_torn(vault, place, origin, err);
    }
    return rc;
}

/* ---- a damaged copy ---- */

/* As read_origin, of what is intact. *ret is the caller's (vault_damages_free of its damages). */
static int salvage_origin(struct file_vault *vault, const struct file_place *place,
                          struct file_origin *origin, const struct vault_filter *filter,
                          vault_scan_fn *each, void *arg, struct deadline deadline,
                          struct file_salvage *ret, struct err *err)
{
    AUTO(file_origin_release) struct file_hold hold = {.folder = -1, .lock = -1};
    struct file_load load = {vault, origin, &hold, deadline};
    bool there;

    int rc = file_origin_open(vault, place, origin, &hold, &there, err);
    if (rc == -ERR_CORRUPT) {
        ret->damages = xrealloc(ret->damages, (ret->damage_count + 1) * sizeof(*ret->damages));
        ret->damages[ret->damage_count++] =
            (struct vault_damage){origin->uuid, 1, 0, xstrdup(err->message)};
        return 0; /* it is not even a folder: nothing is intact */
    }
    return rc < 0 || !there ? rc : file_salvage_origin(&load, filter, each, arg, ret, err);
}

/* ---- open, close ---- */

static void file_close(struct vault *base)
{
    struct file_vault *vault = of(base);

    if (vault == NULL) {
        return;
    }
    file_seal_stop(vault);
    for (size_t i = 0; i < vault->origin_count; i++) {
        file_origin_forget(vault->origins[i]);
        free(vault->origins[i]);
    }
    free(vault->origins);
    free(vault->mount);
    free(vault->path);
    free(vault);
}

/* Torn ends are cut now; damage is told by the calls that meet it, origin by origin. */
static int look_through(struct file_vault *vault, struct err *err)
{
    AUTO(file_place_close) struct file_place place = {.root = -1, .origins = -1};

    int rc = file_place_open(vault, &place, err);
    if (rc == 0) {
        rc = list_origins(vault, &place, err);
    }
    for (size_t i = 0; rc == 0 && i < vault->origin_count; i++) {
        AUTO(file_origin_release) struct file_hold hold = {.folder = -1, .lock = -1};
        rc = read_origin(vault, &place, vault->origins[i], deadline_never(), &hold, err);
        rc = rc == -ERR_CORRUPT ? 0 : rc;
    }
    return rc;
}

static int file_open(const struct vault_options *options, struct vault **ret, struct err *err)
{
    if (options->target == NULL || options->target[0] != '/') {
        return err_set(err, ERR_CONFIG,
                       "\"%s\" is no place for a file vault; an absolute path is needed",
                       options->target == NULL ? "" : options->target);
    }
    struct file_vault *vault = xcalloc(1, sizeof(*vault));
    vault->base.ops = &vault_file_ops;
    vault->path = xstrdup(options->target);
    vault->identity = options->expect_vault;
    vault->mount = options->expect_place == NULL ? NULL : xstrdup(options->expect_place);
    vault->env = options->env;
    vault->cancel = options->cancel;
    vault->read_only = options->read_only;
    vault->segment_max = FAULT_LIMIT("HOLDFAST_SEGMENT_MAX", FILE_SEGMENT_MAX);
    int rc = look_through(vault, err);
    if (rc < 0) {
        file_close(&vault->base);
        return rc;
    }
    *ret = &vault->base;
    return 0;
}

static struct uuid file_identity(const struct vault *base)
{
    return ((const struct file_vault *)base)->identity;
}

static const char *file_where(const struct vault *base)
{
    return ((const struct file_vault *)base)->mount;
}

/* ---- calls ---- */

static int file_append_batch(struct vault *base, const struct vault_batch *batch,
                             struct deadline deadline, struct err *err)
{
    struct file_vault *vault = of(base);
    AUTO(file_place_close) struct file_place place = {.root = -1, .origins = -1};

    if (vault->read_only) {
        return err_set(err, ERR_FORBIDDEN, "%s was opened for reading only", vault->path);
    }
    int rc = file_go_on(vault, deadline, err);
    if (rc == 0) {
        rc = file_place_open(vault, &place, err);
    }
    if (rc < 0) {
        return rc;
    }
    struct file_origin *origin = know_origin(vault, &batch->origin);
    rc = file_append(vault, origin, &place, batch, deadline, err);
    if (rc == 0 && origin->unsealed) {
        file_seal_start(vault, origin);
    }
    return rc;
}

static int salvaged_head(struct file_vault *vault, const struct file_place *place,
                         struct file_origin *origin, struct deadline deadline,
                         struct vault_head *ret, bool *ret_listed, struct err *err)
{
    struct vault_filter none = {.after_seq = 0};
    struct file_salvage found = {0};

    int rc = salvage_origin(vault, place, origin, &none, NULL, NULL, deadline, &found, err);
    *ret = (struct vault_head){origin->uuid, found.seq, found.hash, found.gaps};
    *ret_listed = found.seq > 0;
    vault_damages_free(found.damages, found.damage_count);
    return rc;
}

static int head_of(struct file_vault *vault, const struct file_place *place,
                   struct file_origin *origin, struct deadline deadline, struct vault_head *ret,
                   bool *ret_listed, struct err *err)
{
    AUTO(file_origin_release) struct file_hold hold = {.folder = -1, .lock = -1};

    if (vault->salvaging) {
        return salvaged_head(vault, place, origin, deadline, ret, ret_listed, err);
    }
    int rc = read_origin(vault, place, origin, deadline, &hold, err);
    bool damaged = rc == -ERR_CORRUPT;
    *ret = (struct vault_head){origin->uuid, origin->seq, origin->hash, origin->gaps};
    *ret_listed = damaged || origin->seq > 0;
    return damaged ? 0 : rc;
}

static int file_head(struct vault *base, struct vault_head **ret_heads, size_t *ret_count,
                     struct deadline deadline, struct err *err)
{
    struct file_vault *vault = of(base);
    AUTO(file_place_close) struct file_place place = {.root = -1, .origins = -1};

    int rc = file_place_open(vault, &place, err);
    if (rc == 0) {
        rc = list_origins(vault, &place, err);
    }
    if (rc < 0) {
        return rc;
    }
    struct vault_head *heads = xcalloc(vault->origin_count, sizeof(*heads));
    size_t count = 0;
    for (size_t i = 0; rc == 0 && i < vault->origin_count; i++) {
        bool listed = false;
        rc = head_of(vault, &place, vault->origins[i], deadline, &heads[count], &listed, err);
        count += rc == 0 && listed ? 1 : 0;
    }
    if (rc < 0) {
        free(heads);
        return rc;
    }
    *ret_heads = heads;
    *ret_count = count;
    return 0;
}

static int salvaged_hash(struct file_vault *vault, const struct file_place *place,
                         struct file_origin *origin, uint64_t seq, struct sha256 *ret,
                         struct deadline deadline, struct err *err)
{
    struct vault_filter none = {.after_seq = 0};
    struct file_salvage found = {.asked_seq = seq};

    int rc = salvage_origin(vault, place, origin, &none, NULL, NULL, deadline, &found, err);
    vault_damages_free(found.damages, found.damage_count);
    if (rc == 0 && !found.asked_known) {
        rc = err_set(err, ERR_NOT_FOUND, "%s: seq %llu of the origin %s is lost", vault->path,
                     (unsigned long long)seq, origin->name);
    }
    if (rc == 0) {
        *ret = found.asked;
    }
    return rc;
}

static int file_hash(struct vault *base, const struct uuid *uuid, uint64_t seq, struct sha256 *ret,
                     struct deadline deadline, struct err *err)
{
    struct file_vault *vault = of(base);
    AUTO(file_place_close) struct file_place place = {.root = -1, .origins = -1};
    AUTO(file_origin_release) struct file_hold hold = {.folder = -1, .lock = -1};

    int rc = file_place_open(vault, &place, err);
    if (rc < 0) {
        return rc;
    }
    struct file_origin *origin = know_origin(vault, uuid);
    if (vault->salvaging) {
        return salvaged_hash(vault, &place, origin, seq, ret, deadline, err);
    }
    rc = read_origin(vault, &place, origin, deadline, &hold, err);
    return rc < 0 ? rc : file_hash_at(vault, origin, &hold, seq, ret, err);
}

static int file_scan(struct vault *base, const struct vault_filter *filter, vault_scan_fn *each,
                     void *arg, struct deadline deadline, struct err *err)
{
    struct file_vault *vault = of(base);
    AUTO(file_place_close) struct file_place place = {.root = -1, .origins = -1};
    bool all = uuid_is_nil(&filter->origin);

    int rc = file_place_open(vault, &place, err);
    if (rc == 0) {
        rc = list_origins(vault, &place, err);
    }
    for (size_t i = 0; rc == 0 && i < vault->origin_count; i++) {
        AUTO(file_origin_release) struct file_hold hold = {.folder = -1, .lock = -1};
        struct file_origin *origin = vault->origins[i];
        if (!all && !uuid_eq(&origin->uuid, &filter->origin)) {
            continue;
        }
        if (vault->salvaging) {
            struct file_salvage found = {0};
            rc = salvage_origin(vault, &place, origin, filter, each, arg, deadline, &found, err);
            vault_damages_free(found.damages, found.damage_count);
            continue;
        }
        rc = read_origin(vault, &place, origin, deadline, &hold, err);
        if (rc == 0) {
            rc = file_scan_origin(vault, origin, &hold, filter, each, arg, deadline, err);
        }
    }
    return rc;
}

static int file_salvage(struct vault *base, struct vault_damage **ret_items, size_t *ret_count,
                        struct deadline deadline, struct err *err)
{
    struct file_vault *vault = of(base);
    AUTO(file_place_close) struct file_place place = {.root = -1, .origins = -1};
    struct vault_filter none = {.after_seq = 0};
    struct file_salvage found = {0};

    int rc = file_place_open(vault, &place, err);
    if (rc == 0) {
        rc = list_origins(vault, &place, err);
    }
    for (size_t i = 0; rc == 0 && i < vault->origin_count; i++) {
        found = (struct file_salvage){.damages = found.damages, .damage_count = found.damage_count};
        rc = salvage_origin(vault, &place, vault->origins[i], &none, NULL, NULL, deadline, &found,
                            err);
    }
    if (rc < 0) {
        vault_damages_free(found.damages, found.damage_count);
        return rc;
    }
    vault->salvaging = true;
    *ret_items = found.damages;
    *ret_count = found.damage_count;
    return 0;
}

/* Rename to a name that is not there yet; EEXIST. Some file systems know no such flag, but none
 * puts a folder over a full one. */
static int rename_new(int folder, const char *from, const char *to)
{
    if (FAULT("vault.rename", EIO)) {
        return -1;
    }
    int rc = renameat2(folder, from, folder, to, RENAME_NOREPLACE);
    if (rc != 0 && (errno == EINVAL || errno == ENOSYS)) {
        rc = renameat(folder, from, folder, to);
    }
    return rc;
}

static int rename_aside(struct file_vault *vault, const struct file_place *place,
                        const struct file_origin *origin, struct err *err)
{
    char when[FILE_TIME_MAX];

    file_time_name(vault->env, when);
    for (int i = 1; i <= ASIDE_TRIES; i++) {
        AUTO(free_ptr)
        char *name = i == 1 ? xprintf("%s.aside-%s", origin->name, when)
                            : xprintf("%s.aside-%s-%d", origin->name, when, i);
        if (rename_new(place->origins, origin->name, name) == 0) {
            CRASH_POINT("vault.aside.renamed");
            return file_sync_fd(place->origins, vault->path, err);
        }
        if (errno == ENOENT) {
            return 0; /* nothing there: nothing to put aside */
        }
        if (errno != EEXIST && errno != ENOTEMPTY) {
            break;
        }
    }
    return file_errno(err, errno, "putting aside the origin", origin->name);
}

static int file_set_aside(struct vault *base, const struct uuid *uuid, struct deadline deadline,
                          struct err *err)
{
    struct file_vault *vault = of(base);
    AUTO(file_place_close) struct file_place place = {.root = -1, .origins = -1};
    AUTO(file_origin_release) struct file_hold hold = {.folder = -1, .lock = -1};

    if (vault->read_only) {
        return err_set(err, ERR_FORBIDDEN, "%s was opened for reading only", vault->path);
    }
    int rc = file_place_open(vault, &place, err);
    if (rc < 0) {
        return rc;
    }
    struct file_origin *origin = know_origin(vault, uuid);
    file_seal_stop(vault);
    rc = file_origin_lock(vault, &place, origin, deadline, &hold, err);
    if (rc == -ERR_CORRUPT) {
        rc = 0; /* it is not even a folder: put aside whatever it is */
    }
    if (rc == 0) {
        rc = rename_aside(vault, &place, origin, err);
    }
    file_origin_forget(origin);
    return rc;
}

/* ---- health ---- */

struct counts {
    uint64_t origins;
    uint64_t changes;
    uint64_t segments;
    uint64_t gaps;
    uint64_t damaged;
};

static void count_origin(struct counts *counts, const struct file_origin *origin)
{
    if (origin->seq > 0) {
        counts->origins++;
        counts->changes += origin->seq;
        counts->segments += origin->segment_count;
        counts->gaps += origin->gaps;
    }
}

static void tell_health(const struct file_vault *vault, const struct counts *counts,
                        uint64_t free_bytes, struct vault_health *ret)
{
    int len =
        snprintf(ret->detail, sizeof(ret->detail),
                 "%llu changes of %llu origins in %llu segments; %.1f GiB free",
                 (unsigned long long)counts->changes, (unsigned long long)counts->origins,
                 (unsigned long long)counts->segments, (double)free_bytes / (1024.0 * 1024 * 1024));
    struct {
        uint64_t count;
        const char *what;
    } troubles[] = {
        {counts->gaps, "gaps"},
        {vault->torn_cut, "torn ends cut and kept aside"},
        {counts->damaged, "damaged origins"},
    };

    for (size_t i = 0; i < sizeof(troubles) / sizeof(troubles[0]); i++) {
        if (troubles[i].count > 0 && len > 0 && (size_t)len < sizeof(ret->detail)) {
            len += snprintf(ret->detail + len, sizeof(ret->detail) - (size_t)len, "; %llu %s",
                            (unsigned long long)troubles[i].count, troubles[i].what);
        }
    }
}

static int file_check(struct vault *base, struct vault_health *ret, struct deadline deadline,
                      struct err *err)
{
    struct file_vault *vault = of(base);
    AUTO(file_place_close) struct file_place place = {.root = -1, .origins = -1};
    int64_t begin_us = env_system()->now_us(NULL);
    struct counts counts = {0};
    struct statvfs fs;

    *ret = (struct vault_health){0};
    int rc = file_place_open(vault, &place, err);
    if (rc == 0) {
        rc = list_origins(vault, &place, err);
    }
    for (size_t i = 0; rc == 0 && i < vault->origin_count; i++) {
        AUTO(file_origin_release) struct file_hold hold = {.folder = -1, .lock = -1};
        rc = read_origin(vault, &place, vault->origins[i], deadline, &hold, err);
        if (rc == -ERR_CORRUPT) {
            counts.damaged++;
            rc = 0;
        } else if (rc == 0) {
            count_origin(&counts, vault->origins[i]);
        }
    }
    if (rc == 0 && fstatvfs(place.root, &fs) != 0) {
        rc = file_errno(err, errno, "looking at the disk of", vault->path);
    }
    if (rc < 0) {
        return rc;
    }
    uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    ret->can_write = !vault->read_only && (fs.f_flag & ST_RDONLY) == 0 && place.origins >= 0 &&
                     faccessat(place.origins, ".", W_OK | X_OK, AT_EACCESS) == 0 && free_bytes > 0;
    ret->latency_us = env_system()->now_us(NULL) - begin_us;
    tell_health(vault, &counts, free_bytes, ret);
    return 0;
}

/* ---- for tests ---- */

void vault_file_set_segment_max(struct vault *vault, uint64_t bytes)
{
    of(vault)->segment_max = bytes;
}

const struct vault_ops vault_file_ops = {
    .kind = "file",
    .caps = VAULT_CAP_SCAN,
    .open = file_open,
    .identity = file_identity,
    .place = file_where,
    .append = file_append_batch,
    .head = file_head,
    .hash_at = file_hash,
    .scan = file_scan,
    .salvage = file_salvage,
    .set_aside = file_set_aside,
    .check = file_check,
    .close = file_close,
};
