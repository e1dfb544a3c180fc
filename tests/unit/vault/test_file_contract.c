/* The file driver keeps the contract of vault/vault.h. */
#include "vault/driver_contract.h"
#include "vault/place.h"

static char *new_target(void *arg)
{
    (void)arg;
    char *folder = place_new();
    char *target = path_join(folder, "vault");

    free(folder);
    return target;
}

static void drop_target(void *arg, const char *target)
{
    (void)arg;
    char *folder = xstrndup(target, strlen(target) - strlen("/vault"));

    place_drop(folder);
}

int main(void)
{
    struct contract_subject subject = {
        .ops = &vault_file_ops, .new_target = new_target, .drop_target = drop_target};

    return driver_contract_run(&subject);
}
