
/*
 * A library to be preloaded: names that only a test knows.  ACR_NAMES names a
 * file when the process starts, with lines of a name and what becomes of it: an
 * IP address, "fail", or "stall", which lasts until the line is another.  Other
 * names are looked up as ever.  What was looked up is noted in the file of
 * ACR_NAMES_LOG: "main" if it was by the first thread of a process, which must
 * not wait, or "thread", and the name.
 */

#define _GNU_SOURCE

#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>


typedef int (*names_getaddrinfo_pt)(const char *node, const char *service,
    const struct addrinfo *hints, struct addrinfo **res);


static char  names_file[4096];
static int   names_log = -1;


static void names_start(void) __attribute__((constructor));
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
            return next(value, service, hints, res);
        }

        nanosleep(&pause, NULL);
    }

    return next(node, service, hints, res);
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
