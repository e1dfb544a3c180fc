/*
 * fit - how much at once something takes that says, now and then, that it was too much.
 *
 * What was too much is halved; when FIT_GROW_AFTER as large as may be went through one after the
 * other, twice as many may go again. So a server that is short of memory or time gets what it can
 * take, at the price of one failure in so many, and one that was so for a moment only gets all.
 *
 * Thread: the owner's.
 */
#ifndef HOLDFAST_BASE_FIT_H
#define HOLDFAST_BASE_FIT_H

#include <stddef.h>

#define FIT_GROW_AFTER 16

struct fit {
    size_t now; /* so many may go: 1 to max */
    size_t max;
    size_t passed; /* as many as may, since `now` was set */
};
#define FIT_INIT(most)                                                                             \
    (struct fit)                                                                                   \
    {                                                                                              \
        .now = (most), .max = (most)                                                               \
    }

void fit_passed(struct fit *fit, size_t count);
void fit_too_much(struct fit *fit, size_t count);

#endif
