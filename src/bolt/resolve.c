#include "bolt/resolve.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

/* What the two threads share. */
struct lookup {
    atomic_int users;  /* who is done with it last frees it */
    struct wake ready; /* signalled when the answer is there */
    atomic_bool answered;
    int failed; /* EAI_…; 0: addresses */
    struct addrinfo *addresses;
    char service[8];
    char host[];
};

static int ask(const char *host, const char *service, int flags, struct addrinfo **ret)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags};

    *ret = NULL;
    return getaddrinfo(host, service, &hints, ret);
}

static struct lookup *lookup_new(const char *host, const char *service, struct bolt_error *error)
{
    size_t size = strlen(host) + 1;
    struct lookup *lookup = calloc(1, sizeof(*lookup) + size);
    struct err err;

    if (lookup == NULL) {
        (void)bolt_fail_memory(error);
        return NULL;
    }
    if (wake_init(&lookup->ready, &err) < 0) {
        free(lookup);
        (void)bolt_fail(error, BOLT_ERR_MEMORY, "%s", err.message);
        return NULL;
    }
    atomic_init(&lookup->users, 2);
    memcpy(lookup->host, host, size);
    memcpy(lookup->service, service, sizeof(lookup->service));
    return lookup;
}

static void leave(struct lookup *lookup)
{
    if (atomic_fetch_sub(&lookup->users, 1) == 1) {
        if (lookup->addresses != NULL) {
            freeaddrinfo(lookup->addresses);
        }
        wake_done(&lookup->ready);
        free(lookup);
    }
}

static void *look_up(void *arg)
{
    struct lookup *lookup = arg;

    lookup->failed = ask(lookup->host, lookup->service, 0, &lookup->addresses);
    atomic_store(&lookup->answered, true);
    wake_signal(&lookup->ready);
    leave(lookup);
    return NULL;
}

/* Signals are for the threads that know of them. */
static int start(struct lookup *lookup)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all;
    sigset_t before;

    int failed = pthread_attr_init(&attributes);
    if (failed != 0) {
        return failed;
    }
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&thread, &attributes, look_up, lookup);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    return failed;
}

static int no_answer(const struct net *net, int failed, struct bolt_error *error)
{
    if (failed == EAI_MEMORY) {
        return bolt_fail_memory(error);
    }
    return bolt_fail(error, BOLT_ERR_CONNECT, "connecting to %s: the name can't be resolved: %s",
                     net->peer, gai_strerror(failed));
}

static int wait_for(const struct net *net, struct lookup *lookup, int64_t deadline_ms,
                    struct bolt_error *error)
{
    struct net waiting = {.fd = lookup->ready.fd, .cancel = net->cancel};

    (void)snprintf(waiting.peer, sizeof(waiting.peer), "%s", net->peer);
    int rc = 0;
    while (rc == 0 && !atomic_load(&lookup->answered)) {
        rc = net_wait(&waiting, true, false, deadline_ms, error);
    }
    return rc < 0 ? bolt_fail_context(error, "resolving the name") : 0;
}

int resolve_host(const struct net *net, const char *host, uint16_t port, int64_t deadline_ms,
                 struct addrinfo **ret, struct bolt_error *error)
{
    struct addrinfo *addresses;
    char service[sizeof(((struct lookup *)NULL)->service)];

    (void)snprintf(service, sizeof(service), "%u", (unsigned)port);
    if (ask(host, service, AI_NUMERICHOST, &addresses) == 0) {
        *ret = addresses;
        return 0;
    }
    struct lookup *lookup = lookup_new(host, service, error);
    if (lookup == NULL) {
        return -(int)error->kind;
    }
    int errno_value = start(lookup);
    if (errno_value != 0) {
        atomic_store(&lookup->users, 1); /* there is no thread */
        leave(lookup);
        return bolt_fail_errno(error, BOLT_ERR_MEMORY, errno_value,
                               "connecting to %s: a thread for resolving the name", net->peer);
    }
    int rc = wait_for(net, lookup, deadline_ms, error);
    if (rc == 0 && lookup->failed == 0) {
        *ret = lookup->addresses;
        lookup->addresses = NULL;
    } else if (rc == 0) {
        rc = no_answer(net, lookup->failed, error);
    }
    leave(lookup);
    return rc;
}
