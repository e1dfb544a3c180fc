/*
 * driver_contract - what every vault driver must do, whatever it is made of: vault/vault.h as
 * tests.
 *
 * A driver's test program is a struct contract_subject and `return driver_contract_run(&subject);`.
 */
#ifndef HOLDFAST_TESTS_VAULT_DRIVER_CONTRACT_H
#define HOLDFAST_TESTS_VAULT_DRIVER_CONTRACT_H

#include "vault/vault.h"

struct contract_subject {
    const struct vault_ops *ops;
    void *arg;
    /* A place that was never used; heap, freed by the suite. Called once for each test. */
    char *(*new_target)(void *arg);
    /* Done with that place: remove it. */
    void (*drop_target)(void *arg, const char *target);
};

/* As cmocka_run_group_tests: the number of tests that failed. */
int driver_contract_run(const struct contract_subject *tested);

#endif
