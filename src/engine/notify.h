/*
 * notify - tells people about alerts: the log at once, then the configured command and webhook,
 * each until it worked once.
 *
 * Its thread follows the ledger's commits; which alerts were told is kept in the sync log, so that
 * a restart repeats none and forgets none. The command gets the alert as one JSON document on
 * standard input and has 30 s; the webhook gets the same as a POST, 10 s, no redirects. What fails
 * is tried again with backoff, up to a day, and logged.
 */
#ifndef HOLDFAST_ENGINE_NOTIFY_H
#define HOLDFAST_ENGINE_NOTIFY_H

#include "engine/config.h"

struct notifier;

/* on_alert is called (on the notifier's thread) for each alert that is new to this process and
 * open. */
typedef void notifier_alert_fn(void *arg, const struct alert *alert);

int notifier_start(struct ledger *ledger, struct sync_log *log, const struct config *config,
                   notifier_alert_fn *on_alert, void *arg, struct notifier **ret, struct err *err)
    MUST_CHECK;
void notifier_stop(struct notifier *notifier);

/* An alert that can't be journaled any more, because the ledger itself is what is gone: tell
 * command and webhook now, once, before returning. */
void notifier_outside(struct notifier *notifier, const char *rule, const char *summary);

/* The alert as programs get it: what `alerts --json` prints a line of. New reference. */
json_t *alert_to_json(const struct alert *alert);

#endif
