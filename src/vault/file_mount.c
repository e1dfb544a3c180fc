/* Is the vault's disk the one that it was made on? */
#include "base/mount.h"
#include "vault/file_vault.h"

int file_mount_check(const struct file_vault *vault, struct err *err)
{
    AUTO(free_ptr) char *now = vault->mount == NULL ? NULL : mount_of(vault->path);

    if (now == NULL || strcmp(now, vault->mount) == 0) {
        return 0;
    }
    return err_set(err, ERR_AWAY,
                   "its disk is not mounted at %s: connect it; until then changes wait in the "
                   "ledger, and %s is left alone on the disk below",
                   vault->mount, vault->path);
}
