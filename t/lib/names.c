
/*
 * A library to be preloaded: names that only a test knows.  ACR_NAMES names a
 * file when the process starts, with lines of a name and what becomes of it: IP
 * addresses, "fail", or "stall", which lasts until the line is another.  Other
 * names are looked up as ever.  With a line of two IPv4 addresses who connects
 * to the first is connected to the second, and does not notice.  What was
 * looked up is noted in the file of ACR_NAMES_LOG: "main" if it was by the
 * first thread of a process, which must not wait, or "thread", and the name.
 */

#define _GNU_SOURCE

#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>


typedef int (*names_getaddrinfo_pt)(const char *node, const char *service,
    const struct addrinfo *hints, struct addrinfo **res);


typedef int (*names_connect_pt)(int fd, const struct sockaddr *sa,
    socklen_t len);
typedef int (*names_getpeername_pt)(int fd, struct sockaddr *sa,
    socklen_t *len);


#define NAMES_FDS  1024


static struct sockaddr_in  names_peers[NAMES_FDS];
static char  names_file[4096];
static int   names_log = -1;


static void names_start(void) __attribute__((constructor));
static int names_list(names_getaddrinfo_pt next, char *value,
    const char *service, const struct addrinfo *hints, struct addrinfo **res);
static int names_find(const char *name, char *value, size_t size);
static void names_note(const char *name);


/* nginx takes the environment from its workers */

static void
names_start(void)
{
    char  *name;

    name = getenv("ACR_NAMES");

    if (name) {
        snprintf(names_file, sizeof(names_file), "%s", name);
    }

    name = getenv("ACR_NAMES_LOG");

    if (name) {
        names_log = open(name, O_WRONLY|O_APPEND|O_CLOEXEC);
    }
}


int
getaddrinfo(const char *node, const char *service,
    const struct addrinfo *hints, struct addrinfo **res)
{
    char                  value[64];
    struct timespec       pause;
    names_getaddrinfo_pt  next;

    next = (names_getaddrinfo_pt) dlsym(RTLD_NEXT, "getaddrinfo");

    if (node == NULL) {
        return next(node, service, hints, res);
    }

    names_note(node);

    pause.tv_sec = 0;
    pause.tv_nsec = 10 * 1000 * 1000;

    while (names_find(node, value, sizeof(value))) {

        if (strcmp(value, "fail") == 0) {
            return EAI_NONAME;
        }

        if (strcmp(value, "stall") != 0) {
            return names_list(next, value, service, hints, res);
        }

        nanosleep(&pause, NULL);
    }

    return next(node, service, hints, res);
}


/* addresses with commas in between; glibc frees each of a list by itself */

static int
names_list(names_getaddrinfo_pt next, char *value, const char *service,
    const struct addrinfo *hints, struct addrinfo **res)
{
    int    rc;
    char  *address;

    *res = NULL;

    for (address = strtok(value, ","); address; address = strtok(NULL, ",")) {

        rc = next(address, service, hints, res);

        if (rc != 0) {
            return rc;
        }

        while (*res) {
            res = &(*res)->ai_next;
        }
    }

    return 0;
}


static int
names_find(const char *name, char *value, size_t size)
{
    int    found;
    char   line[512], key[256], text[64];
    FILE  *f;

    f = fopen(names_file, "re");

    if (f == NULL) {
        return 0;
    }

    found = 0;

    while (!found && fgets(line, sizeof(line), f)) {
        found = (sscanf(line, "%255s %63s", key, text) == 2
                 && strcmp(key, name) == 0);
    }

    fclose(f);

    if (found) {
        snprintf(value, size, "%s", text);
    }

    return found;
}


static void
names_note(const char *name)
{
    int   n;
    char  line[512];

    n = snprintf(line, sizeof(line), "%s %s\n",
                 syscall(SYS_gettid) == getpid() ? "main" : "thread", name);

    if (n > 0 && (size_t) n < sizeof(line)
        && write(names_log, line, (size_t) n) == -1)
    {
        return;
    }
}


int
connect(int fd, const struct sockaddr *sa, socklen_t len)
{
    char                value[64], text[INET_ADDRSTRLEN];
    names_connect_pt    next;
    struct sockaddr_in  sin;

    next = (names_connect_pt) dlsym(RTLD_NEXT, "connect");

    if (fd < 0 || fd >= NAMES_FDS) {
        return next(fd, sa, len);
    }

    names_peers[fd].sin_family = 0;

    if (sa->sa_family != AF_INET) {
        return next(fd, sa, len);
    }

    memcpy(&sin, sa, sizeof(struct sockaddr_in));

    if (inet_ntop(AF_INET, &sin.sin_addr, text, sizeof(text)) == NULL
        || !names_find(text, value, sizeof(value)))
    {
        return next(fd, sa, len);
    }

    names_peers[fd] = sin;
    inet_pton(AF_INET, value, &sin.sin_addr);

    return next(fd, (struct sockaddr *) &sin, sizeof(struct sockaddr_in));
}


int
getpeername(int fd, struct sockaddr *sa, socklen_t *len)
{
    names_getpeername_pt  next;

    next = (names_getpeername_pt) dlsym(RTLD_NEXT, "getpeername");

    if (fd < 0 || fd >= NAMES_FDS || names_peers[fd].sin_family == 0
        || *len < sizeof(struct sockaddr_in))
    {
        return next(fd, sa, len);
    }

    memcpy(sa, &names_peers[fd], sizeof(struct sockaddr_in));
    *len = sizeof(struct sockaddr_in);

    return 0;
}
