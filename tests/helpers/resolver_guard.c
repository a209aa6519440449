/* Preloaded into a process and its children: notes the names that they look up, and finds none but this host's. */
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    struct addrinfo numeric = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    const char *log = getenv("RESOLVER_LOG");
    static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    extern void *dlsym(void *, const char *);
    if (!real) real = dlsym((void *)-1L /* RTLD_NEXT */, "getaddrinfo");
    if (!name || !strcmp(name, "localhost")) return real(name, service, hints, found);
    if (hints) {
        numeric.ai_family = hints->ai_family;
        numeric.ai_socktype = hints->ai_socktype;
        numeric.ai_protocol = hints->ai_protocol;
        numeric.ai_flags |= hints->ai_flags;
    }
    int status = real(name, service, &numeric, found);
    if (status == 0 || !log) return status;
    int file = open(log, O_WRONLY | O_APPEND | O_CREAT, 0600);
    if (file >= 0) {
        if (write(file, name, strlen(name)) < 0 || write(file, "\n", 1) < 0) abort();
        close(file);
    }
    return EAI_NONAME;
}
