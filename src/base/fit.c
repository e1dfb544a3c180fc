#include "base/fit.h"

void fit_passed(struct fit *fit, size_t count)
{
    if (count < fit->now || ++fit->passed < FIT_GROW_AFTER) {
        return;
    }
    fit->now = fit->now < fit->max / 2 ? 2 * fit->now : fit->max;
    fit->passed = 0;
}

void fit_too_much(struct fit *fit, size_t count)
{
    fit->now = count > 1 ? count / 2 : 1;
    fit->passed = 0;
}
