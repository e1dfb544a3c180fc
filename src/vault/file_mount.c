/* Is the vault's disk the one that it was made on? */
#include <errno.h>

#include "base/fault.h"
#include "base/mount.h"
#include "vault/file_vault.h"

int file_mount_check(const struct file_vault *vault, struct err *err)
{
    AUTO(free_ptr)
    char *now =
        vault->mount == NULL || FAULT("vault.mounts", EACCES) ? NULL : mount_of(vault->path);

    if (vault->mount == NULL || (now != NULL && strcmp(now, vault->mount) == 0)) {
        return 0;
    }
    if (now == NULL) { /* it may be away: making it anew can wait, what is lost by it can't */
        return err_set(err, ERR_UNAVAILABLE,
                       "whether its disk is mounted at %s can't be told, as the "
                       "kernel's list of mounts can't be read; until then changes wait in the "
                       "ledger, and %s is not made "
                       "anew",
                       vault->mount, vault->path);
    }
    return err_set(err, ERR_AWAY,
                   "its disk is not mounted at %s: connect it; until then changes wait in the "
                   "ledger, and %s is left alone on the disk below",
                   vault->mount, vault->path);
}
