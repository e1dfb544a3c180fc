#include "ledger/lossy.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512

struct sector {
    int64_t number;
    uint8_t synced[SECTOR]; /* what it holds when the last writes are lost */
};

/* A file of the database or its log, as it is on disk for sure. */
struct disk {
    char *path;
    int64_t synced_size;
    struct sector *dirty; /* written since the last sync */
    size_t count;
    size_t capacity;
    struct disk *next;
};

struct lossy_file {
    sqlite3_file base;
    struct disk *disk; /* NULL: not one to lose */
    sqlite3_file *real;
};

static struct disk *disks;
static uint64_t operations;
static uint64_t power_until;
static uint64_t chance;
static sqlite3_vfs lossy_vfs;
static sqlite3_vfs *real_vfs;

static uint64_t roll(void)
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    return chance ^= chance << 17;
}

/* ---- the power fails ---- */

static void lose(const struct disk *disk)
{
    int fd = open(disk->path, O_RDWR);
    unsigned kept_in_64 = (unsigned)(roll() % 65); /* from all lost to all kept */

    if (fd < 0) {
        return; /* removed meanwhile */
    }
    for (size_t i = 0; i < disk->count; i++) {
        const struct sector *sector = &disk->dirty[i];
        if (roll() % 64 >= kept_in_64 &&
            pwrite(fd, sector->synced, SECTOR, sector->number * SECTOR) != SECTOR) {
            _exit(78);
        }
    }
    struct stat now;
    if (fstat(fd, &now) == 0 && now.st_size > disk->synced_size && roll() % 2 == 0 &&
        ftruncate(fd, disk->synced_size) != 0) {
        _exit(78);
    }
    (void)close(fd);
}

static void operate(void)
{
    if (++operations != power_until) {
        return;
    }
    for (const struct disk *disk = disks; disk != NULL; disk = disk->next) {
        lose(disk);
    }
    _exit(LOSSY_EXIT);
}

/* ---- files ---- */

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct lossy_file *)file)->real;
}

static void note_sector(struct disk *disk, sqlite3_file *real, int64_t number)
{
    for (size_t i = 0; i < disk->count; i++) {
        if (disk->dirty[i].number == number) {
            return;
        }
    }
    if (disk->count == disk->capacity) {
        disk->capacity = disk->capacity == 0 ? 64 : disk->capacity * 2;
        disk->dirty = realloc(disk->dirty, disk->capacity * sizeof(*disk->dirty));
        if (disk->dirty == NULL) {
            abort();
        }
    }
    struct sector *sector = &disk->dirty[disk->count++];
    sector->number = number;
    (void)real->pMethods->xRead(real, sector->synced, SECTOR,
                                number * SECTOR); /* a short read is filled with zeros */
}

static int lossy_write(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at)
{
    struct lossy_file *lossy = (struct lossy_file *)file;

    if (lossy->disk != NULL) {
        operate();
        for (int64_t n = at / SECTOR; n <= (at + len - 1) / SECTOR; n++) {
            note_sector(lossy->disk, lossy->real, n);
        }
    }
    return lossy->real->pMethods->xWrite(lossy->real, bytes, len, at);
}

static int lossy_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct lossy_file *lossy = (struct lossy_file *)file;

    if (lossy->disk != NULL) {
        operate();
        if (size < lossy->disk->synced_size) {
            lossy->disk->synced_size = size;
        }
    }
    return lossy->real->pMethods->xTruncate(lossy->real, size);
}

static int lossy_sync(sqlite3_file *file, int flags)
{
    struct lossy_file *lossy = (struct lossy_file *)file;

    if (lossy->disk != NULL) {
        operate();
    }
    int rc = lossy->real->pMethods->xSync(lossy->real, flags);
    if (rc == SQLITE_OK && lossy->disk != NULL) {
        sqlite3_int64 size = 0;
        lossy->disk->count = 0;
        rc = lossy->real->pMethods->xFileSize(lossy->real, &size);
        lossy->disk->synced_size = size;
    }
    return rc;
}

static int lossy_close(sqlite3_file *file)
{
    sqlite3_file *real = real_of(file);
    int rc = real->pMethods->xClose(real);

    free(real);
    return rc;
}

#define PASS(name, parameters, arguments)                                                          \
    static int lossy_##name parameters                                                             \
    {                                                                                              \
        sqlite3_file *real = real_of(file);                                                        \
        return real->pMethods->name arguments;                                                     \
    }

PASS(xRead, (sqlite3_file * file, void *to, int len, sqlite3_int64 at), (real, to, len, at))
PASS(xFileSize, (sqlite3_file * file, sqlite3_int64 *size), (real, size))
PASS(xLock, (sqlite3_file * file, int lock), (real, lock))
PASS(xUnlock, (sqlite3_file * file, int lock), (real, lock))
PASS(xCheckReservedLock, (sqlite3_file * file, int *ret), (real, ret))
PASS(xFileControl, (sqlite3_file * file, int op, void *arg), (real, op, arg))
PASS(xSectorSize, (sqlite3_file * file), (real))
PASS(xDeviceCharacteristics, (sqlite3_file * file), (real))
PASS(xShmMap, (sqlite3_file * file, int page, int size, int extend, void volatile **ret),
     (real, page, size, extend, ret))
PASS(xShmLock, (sqlite3_file * file, int offset, int n, int flags), (real, offset, n, flags))
PASS(xShmUnmap, (sqlite3_file * file, int remove), (real, remove))

static void lossy_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = lossy_close,
    .xRead = lossy_xRead,
    .xWrite = lossy_write,
    .xTruncate = lossy_truncate,
    .xSync = lossy_sync,
    .xFileSize = lossy_xFileSize,
    .xLock = lossy_xLock,
    .xUnlock = lossy_xUnlock,
    .xCheckReservedLock = lossy_xCheckReservedLock,
    .xFileControl = lossy_xFileControl,
    .xSectorSize = lossy_xSectorSize,
    .xDeviceCharacteristics = lossy_xDeviceCharacteristics,
    .xShmMap = lossy_xShmMap,
    .xShmLock = lossy_xShmLock,
    .xShmBarrier = lossy_barrier,
    .xShmUnmap = lossy_xShmUnmap,
};

/* Connections to one file share what is known of its disk. */
static struct disk *disk_of(const char *path)
{
    struct stat now;
    struct disk *disk = disks;

    while (disk != NULL && strcmp(disk->path, path) != 0) {
        disk = disk->next;
    }
    if (disk == NULL) {
        disk = calloc(1, sizeof(*disk));
        if (disk == NULL || (disk->path = strdup(path)) == NULL) {
            abort();
        }
        disk->synced_size = stat(path, &now) == 0 ? now.st_size : 0;
        disk->next = disks;
        disks = disk;
    }
    return disk;
}

static int lossy_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags,
                      int *ret_flags)
{
    struct lossy_file *lossy = (struct lossy_file *)file;

    (void)vfs;
    *lossy = (struct lossy_file){.real = calloc(1, (size_t)real_vfs->szOsFile)};
    int rc = real_vfs->xOpen(real_vfs, path, lossy->real, flags, ret_flags);
    if (rc != SQLITE_OK) {
        free(lossy->real);
        return rc;
    }
    if ((flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0) {
        lossy->disk = disk_of(path);
    }
    lossy->base.pMethods = &methods;
    return SQLITE_OK;
}

void lossy_install(uint64_t fail_at, uint64_t seed)
{
    power_until = fail_at;
    chance = seed * 0x9e3779b97f4a7c15U + 1;
    real_vfs = sqlite3_vfs_find(NULL);
    lossy_vfs = *real_vfs;
    lossy_vfs.zName = "lossy";
    lossy_vfs.pNext = NULL;
    lossy_vfs.szOsFile = sizeof(struct lossy_file);
    lossy_vfs.xOpen = lossy_open;
    if (sqlite3_vfs_register(&lossy_vfs, 1) != SQLITE_OK) {
        abort();
    }
}

uint64_t lossy_operations(void)
{
    return operations;
}
