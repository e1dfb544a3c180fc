/* The vault's folder: making it, knowing it again, and never mixing it up with another's. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mount.h"
#include "model/emit.h"
#include "vault/file_vault.h"

#define VAULT_JSON "vault.json"
#define VAULT_JSON_MAX 4096 /* bytes; it has about 130 */
#define LOCK_STEP_US 2000   /* between two tries for a lock; it is rarely held */
#define PLACE_LOCK_MS 10000 /* for the moment in which a vault is made */

/* ---- small things ---- */

struct file_sign file_sign_of(const struct stat *st)
{
    return (struct file_sign){st->st_dev, st->st_ino, st->st_size, st->st_ctim};
}

bool file_sign_eq(const struct file_sign *a, const struct file_sign *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

int file_trouble(struct err *err)
{
    if (err->code != ERR_FULL && err->code != ERR_CORRUPT) {
        err->code = ERR_UNAVAILABLE; /* a disk may come back */
    }
    return -(int)err->code;
}

int file_errno(struct err *err, int errno_value, const char *doing, const char *path)
{
    return err_errno(err, ERR_UNAVAILABLE, errno_value, "%s %s", doing, path);
}

int file_sign_at(int folder, const char *name, const char *path, struct file_sign *ret,
                 struct err *err)
{
    struct stat st;

    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno != ENOENT) {
            return file_errno(err, errno, "looking at", path);
        }
        *ret = (struct file_sign){0};
        return 0;
    }
    if (S_ISLNK(st.st_mode)) {
        return err_set(err, ERR_CORRUPT, "%s is a symbolic link; a vault has none", path);
    }
    *ret = file_sign_of(&st);
    return 0;
}

int file_go_on(const struct file_vault *vault, struct deadline deadline, struct err *err)
{
    if (vault->cancel != NULL && wake_cancelled(vault->cancel)) {
        return err_set(err, ERR_CANCELLED, "%s: cancelled", vault->path);
    }
    if (deadline_left_ms(deadline) == 0) {
        return err_set(err, ERR_TIMEOUT, "%s: it was not done in its time", vault->path);
    }
    return 0;
}

int file_lock(const struct file_vault *vault, int fd, const char *path, struct deadline deadline,
              struct err *err)
{
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return file_errno(err, errno, "locking", path);
        }
        int rc = file_go_on(vault, deadline, err);
        if (rc < 0) {
            return err_context(err, "waiting for the lock on %s", path);
        }
        (void)usleep(LOCK_STEP_US); /* the lock is looked at again either way */
    }
    return 0;
}

int file_sync_fd(int fd, const char *path, struct err *err)
{
    /* EINVAL: a file system that knows no such thing */
    if (FAULT("file.fsync", EIO) || (fsync(fd) != 0 && errno != EINVAL)) {
        return file_errno(err, errno, "making durable", path);
    }
    return 0;
}

/* 20261122T181843.000001Z, of 2026-11-22T18:18:43.000001Z */
void file_time_name(struct env *env, char ret_text[FILE_TIME_MAX])
{
    char text[TIMESTAMP_TEXT_MAX];
    size_t len = 0;

    timestamp_format(env->now_us(env), text);
    for (const char *p = text; *p != '\0'; p++) {
        if (*p != '-' && *p != ':') {
            ret_text[len++] = *p;
        }
    }
    ret_text[len] = '\0';
}

void file_place_close(struct file_place *place)
{
    close_fd(&place->root);
    close_fd(&place->origins);
}

/* ---- vault.json ---- */

static int parse_json(const char *path, struct str text, struct uuid *ret, struct err *err)
{
    AUTO(json_unref) json_t *root = NULL;
    const char *format = NULL;
    const char *uuid = NULL;
    json_int_t version = 0;
    struct err why = ERR_INIT;

    if (json_parse(text, &root, &why) < 0 ||
        json_unpack(root, "{s:s,s:I,s:s}", "format", &format, "version", &version, "vault",
                    &uuid) != 0 ||
        strcmp(format, "holdfast-vault") != 0) {
        return err_set(err, ERR_CORRUPT, "%s is not what a vault of Holdfast has there", path);
    }
    if (version > FILE_VAULT_VERSION) {
        return err_set(err, ERR_NEWER, "%s has version %lld; this Holdfast knows up to %d", path,
                       (long long)version, FILE_VAULT_VERSION);
    }
    if (version < 1 || uuid_parse(str_of(uuid), ret, &why) < 0 || uuid_is_nil(ret)) {
        return err_set(err, ERR_CORRUPT, "%s names no vault", path);
    }
    return 0;
}

static int check_identity(struct file_vault *vault, const struct uuid *found, struct err *err)
{
    char is[UUID_TEXT_MAX];
    char expected[UUID_TEXT_MAX];

    if (uuid_is_nil(&vault->identity) || uuid_eq(&vault->identity, found)) {
        vault->identity = *found;
        return 0;
    }
    uuid_format(found, is);
    uuid_format(&vault->identity, expected);
    return err_set(err, ERR_CORRUPT,
                   "%s is the vault %s, not the vault %s that was used here before (another disk "
                   "in its place?); nothing is written to it",
                   vault->path, is, expected);
}

static int read_json(struct file_vault *vault, const char *path, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT(VAULT_JSON_MAX);
    struct uuid found;

    int rc = file_read(path, VAULT_JSON_MAX, &text, err);
    if (rc == -ERR_LIMIT) {
        return err_set(err, ERR_CORRUPT, "%s is not what a vault of Holdfast has there", path);
    }
    if (rc < 0) {
        return file_trouble(err);
    }
    rc = parse_json(path, buf_str(&text), &found, err);
    return rc < 0 ? rc : check_identity(vault, &found, err);
}

static int write_json(struct file_vault *vault, const char *path, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT(VAULT_JSON_MAX);
    struct emit emit = emit_begin(&text, err);
    struct uuid identity = uuid_is_nil(&vault->identity) ? uuid_new(vault->env) : vault->identity;

    EMIT(&emit, "{\"created_at\":");
    emit_time(&emit, vault->env->now_us(vault->env));
    EMIT(&emit, ",\"format\":\"holdfast-vault\",\"vault\":");
    emit_uuid(&emit, &identity);
    EMIT(&emit, ",\"version\":");
    emit_uint(&emit, FILE_VAULT_VERSION);
    EMIT(&emit, "}\n");
    int rc = emit_end(&emit);
    if (rc == 0 && file_replace(path, buf_str(&text), 0600, err) < 0) {
        rc = file_trouble(err);
    }
    if (rc == 0) {
        vault->identity = identity;
    }
    return rc;
}

/* ---- the folder ---- */

/* Left by a crash while vault.json was made, or by mkfs. */
static bool is_nothing(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "lost+found") == 0 ||
           strncmp(name, VAULT_JSON ".new-", sizeof(VAULT_JSON ".new-") - 1) == 0;
}

/* Refuse a folder that has things in it but no vault.json. */
static int check_empty(const struct file_vault *vault, int root, struct err *err)
{
    int fd = file_openat(root, ".", O_RDONLY | O_DIRECTORY);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry = NULL;
    bool origins = false;
    char found[sizeof(entry->d_name)] = "";

    if (folder == NULL) {
        int saved = errno;
        close_fd(&fd);
        return file_errno(err, saved, "listing", vault->path);
    }
    while ((entry = readdir(folder)) != NULL) {
        if (!is_nothing(entry->d_name)) {
            origins = origins || strcmp(entry->d_name, "origins") == 0;
            (void)snprintf(found, sizeof(found), "%s", entry->d_name); /* as large */
        }
    }
    (void)closedir(folder); /* nothing was written */
    if (origins) {
        char text[UUID_TEXT_MAX];
        uuid_format(&vault->identity, text);
        return err_set(err, ERR_CORRUPT,
                       "%s has lost its vault.json%s%s; put it back as docs/formats.md says to use "
                       "what is in it",
                       vault->path, uuid_is_nil(&vault->identity) ? "" : ", which named the vault ",
                       uuid_is_nil(&vault->identity) ? "" : text);
    }
    if (found[0] != '\0') {
        return err_set(err, ERR_CONFIG,
                       "%s has things in it that are not a vault's (such as \"%.100s\"); a vault "
                       "needs a folder of its own: name one that is new or empty",
                       vault->path, found);
    }
    return 0;
}

/* For the known vault only its own folder is made: without the one around it, its disk may be away.
 */
static int make_root(const struct file_vault *vault, struct err *err)
{
    AUTO(free_ptr) char *copy = xstrdup(vault->path);
    const char *around = dirname(copy);

    int rc = file_mount_check(vault, err);
    if (rc < 0) {
        return rc;
    }
    if (!uuid_is_nil(&vault->identity) && !file_exists(around)) {
        return err_set(err, ERR_UNAVAILABLE,
                       "the vault %s is gone, and so is the folder around it: is its disk mounted?",
                       vault->path);
    }
    rc = file_mkdirs(vault->path, 0700, err);
    CRASH_POINT("vault.make.folder");
    bool first_use = uuid_is_nil(&vault->identity);
    return rc == 0 || (rc == -ERR_CONFIG && first_use) ? rc : file_trouble(err);
}

static int open_root(const struct file_vault *vault, int *ret, struct err *err)
{
    *ret = open(vault->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*ret >= 0) {
        return 0;
    }
    if (errno == ENOTDIR) {
        return err_set(err, ERR_CONFIG, "%s is a file, or below one; a vault needs a folder",
                       vault->path);
    }
    if (errno != ENOENT) {
        return file_errno(err, errno, "opening the vault", vault->path);
    }
    return err_set(err, ERR_NOT_FOUND, "there is no vault at %s", vault->path);
}

/* Two installations may come to an empty folder at once: the lock lets one name the vault. */
static int make_vault(struct file_vault *vault, int root, const char *json_path, struct err *err)
{
    struct stat st;

    int rc = file_lock(vault, root, vault->path, deadline_in(PLACE_LOCK_MS), err);
    if (rc == 0 && fstatat(root, VAULT_JSON, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        rc = check_empty(vault, root, err);
        if (rc == 0) {
            rc = write_json(vault, json_path, err);
        }
    }
    CRASH_POINT("vault.make.json");
    (void)flock(root, LOCK_UN); /* closing it would do */
    return rc;
}

static int open_origins(const struct file_vault *vault, struct file_place *place, struct err *err)
{
    static const int FLAGS = O_RDONLY | O_DIRECTORY;
    AUTO(free_ptr) char *path = path_join(vault->path, "origins");

    place->origins = file_openat(place->root, "origins", FLAGS);
    if (place->origins < 0 && errno == ENOENT && !vault->read_only) {
        if (FAULT("vault.mkdir", EIO) ||
            (mkdirat(place->root, "origins", 0700) != 0 && errno != EEXIST)) {
            return file_errno(err, errno, "making the folder", path);
        }
        int rc = file_sync_fd(place->root, vault->path, err);
        if (rc < 0) {
            return rc;
        }
        CRASH_POINT("vault.make.origins");
        place->origins = file_openat(place->root, "origins", FLAGS);
    }
    if (place->origins < 0 && (errno == ELOOP || errno == ENOTDIR)) {
        return err_set(err, ERR_CORRUPT, "%s is not a folder", path);
    }
    if (place->origins < 0 && !(errno == ENOENT && vault->read_only)) {
        return file_errno(err, errno, "opening", path);
    }
    return 0;
}

/* vault.json is there and looks as when it was checked; else check it, or make the vault. */
static int know_vault(struct file_vault *vault, int root, struct err *err)
{
    AUTO(free_ptr) char *path = path_join(vault->path, VAULT_JSON);
    struct file_sign sign;

    int rc = file_sign_at(root, VAULT_JSON, path, &sign, err);
    if (rc == 0 && sign.ino == 0) {
        if (vault->read_only) {
            rc = check_empty(vault, root, err);
            return rc < 0 ? rc
                          : err_set(err, ERR_UNAVAILABLE, "there is no vault at %s: it is empty",
                                    vault->path);
        }
        rc = file_mount_check(vault, err);
        if (rc == 0) {
            rc = make_vault(vault, root, path, err);
        }
        if (rc == 0) {
            rc = file_sign_at(root, VAULT_JSON, path, &sign, err);
        }
    }
    if (rc == 0 && !file_sign_eq(&sign, &vault->json)) {
        rc = read_json(vault, path, err);
        vault->json = rc == 0 ? sign : (struct file_sign){0};
        char *mount = rc == 0 ? mount_of(vault->path) : NULL;
        if (mount != NULL) { /* else what was known of it is the best there is */
            free(vault->mount);
            vault->mount = mount;
        }
    }
    return rc;
}

int file_place_open(struct file_vault *vault, struct file_place *ret, struct err *err)
{
    struct file_place place = {.root = -1, .origins = -1};

    int rc = open_root(vault, &place.root, err);
    if (rc == -ERR_NOT_FOUND && vault->read_only) {
        err->code = ERR_UNAVAILABLE;
        return -ERR_UNAVAILABLE;
    }
    if (rc == -ERR_NOT_FOUND) {
        rc = make_root(vault, err);
        if (rc == 0 && open_root(vault, &place.root, err) < 0) {
            rc = file_trouble(err); /* it was there just now */
        }
    }
    if (rc == 0) {
        rc = know_vault(vault, place.root, err);
    }
    if (rc == 0) {
        rc = open_origins(vault, &place, err);
    }
    if (rc < 0) {
        file_place_close(&place);
        return rc;
    }
    *ret = place;
    return 0;
}
