
/*
 * load PORT METHOD TARGET CONNECTIONS SECONDS: asks for the target again and
 * again over so many connections that are kept, each with one request at a
 * time.  Prints the answers, the bytes of bodies received, and the seconds.
 * With a TARGET @FILE, which has one in each line, it asks for these, the n-th
 * of them 1/n times as often as the first (Zipf's law).
 *
 * With 0 SECONDS each connection is made, asks once and ends.  Prints a line
 * for each: the seconds until the first byte of the body and until the last
 * one, or "failed" and why.  After ten minutes it gives up.
 *
 * LOAD_AUTHORIZATION and LOAD_RANGE, if they are set, are sent as headers; with
 * LOAD_TLS it speaks TLS, and looks at no certificate.
 *
 * It knows HEAD, and it lets the kernel discard what it receives, so that it
 * takes little of the CPU that it shares with the server.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <openssl/ssl.h>


#define CONNECTIONS  1024
#define HEAD         8192
#define DISCARD      (4 * 1024 * 1024)

/* docker-registry gives this type only to who asks for it */
#define ACCEPT       "application/vnd.oci.image.manifest.v1+json, */*"


typedef struct {
    int        fd;
    SSL       *ssl;                     /* or NULL */
    double     began;
    double     first;                   /* when a byte of the body came */
    long long  got;                     /* of the body */
    size_t     len;                     /* of the head so far */
    long long  left;                    /* of the body; -1: in the head */
    char       head[HEAD + 1];
} connection_t;


static void die(const char *what);
static double now(void);
static void begin(connection_t *c, int port, int ep);
static void read_targets(const char *name);
static const char *target(void);
static void ask(connection_t *c);
static int receive(connection_t *c);
static int receive_some(connection_t *c);
static ssize_t take(connection_t *c, void *buf, size_t size, int flags);
static int parse(connection_t *c, char *body);
static void told(connection_t *c, const char *why);


static char            head[HEAD], discarded[DISCARD];
static const char     *method;
static int             head_only, once, running;
static SSL_CTX        *tls;
static char          **targets;
static double         *sums;           /* of 1/n up to each target */
static size_t          ntargets;
static long long       requests, bytes;
static connection_t    connections[CONNECTIONS];


int
main(int argc, char **argv)
{
    int                 ep, n, i, count;
    double              start, seconds, passed;
    const char         *login, *range;
    struct epoll_event  events[CONNECTIONS];

    if (argc != 6) {
        fprintf(stderr, "usage: %s port method target connections seconds\n",
                argv[0]);
        return 2;
    }

    count = atoi(argv[4]);
    seconds = atof(argv[5]);
    once = (seconds == 0);
    head_only = strcmp(argv[2], "HEAD") == 0;

    method = argv[2];
    login = getenv("LOAD_AUTHORIZATION");
    range = getenv("LOAD_RANGE");

    n = snprintf(head, sizeof(head), " HTTP/1.1\r\nHost: localhost\r\n"
                 "%s%s%s%s%s%sAccept: %s\r\n\r\n",
                 login ? "Authorization: " : "", login ? login : "",
                 login ? "\r\n" : "", range ? "Range: " : "",
                 range ? range : "", range ? "\r\n" : "", ACCEPT);

    if (count < 1 || count > CONNECTIONS || n >= HEAD / 2
        || strlen(argv[3]) >= HEAD / 4)
    {
        fprintf(stderr, "%s: too much\n", argv[0]);
        return 2;
    }

    if (argv[3][0] == '@') {
        read_targets(argv[3] + 1);

    } else {
        targets = &argv[3];
        ntargets = 1;
    }

    if (getenv("LOAD_TLS")) {
        tls = SSL_CTX_new(TLS_client_method());
    }

    ep = epoll_create1(0);

    if (ep == -1) {
        die("epoll_create1");
    }

    running = count;

    if (once) {
        alarm(600);
    }

    for (i = 0; i < count; i++) {
        connections[i].began = now();
        begin(&connections[i], atoi(argv[1]), ep);

        if (once) {
            ask(&connections[i]);
        }
    }

    start = now();

    for (i = 0; i < count && !once; i++) {
        ask(&connections[i]);
    }

    do {
        n = epoll_wait(ep, events, CONNECTIONS, 1000);

        if (n == -1 && errno != EINTR) {
            die("epoll_wait");
        }

        for (i = 0; i < n; i++) {
            if (!receive(events[i].data.ptr)) {
                continue;
            }

            if (once) {
                told(events[i].data.ptr, NULL);

            } else {
                ask(events[i].data.ptr);
            }
        }

        passed = now() - start;

    } while (once ? running > 0 : passed < seconds);

    if (once) {
        return 0;
    }

    printf("%lld %lld %.6f\n", requests, bytes, passed);

    return 0;
}


static void
die(const char *what)
{
    perror(what);
    exit(1);
}


static double
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return ts.tv_sec + ts.tv_nsec / 1e9;
}


static void
begin(connection_t *c, int port, int ep)
{
    int                 one;
    struct epoll_event  ev;
    struct sockaddr_in  sin;

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_port = htons(port);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);

    if (c->fd == -1
        || connect(c->fd, (struct sockaddr *) &sin, sizeof(sin)) == -1
        || setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))
           == -1)
    {
        die("connect");
    }

    ev.events = EPOLLIN;
    ev.data.ptr = c;

    if (tls) {
        c->ssl = SSL_new(tls);

        if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1
            || SSL_connect(c->ssl) != 1)
        {
            fprintf(stderr, "load: no TLS\n");
            exit(1);
        }
    }

    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) == -1
        || epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev) == -1)
    {
        die("epoll_ctl");
    }
}


static void
read_targets(const char *name)
{
    FILE    *f;
    char    *line;
    size_t   room;
    ssize_t  n;

    f = fopen(name, "r");

    if (f == NULL) {
        die(name);
    }

    line = NULL;
    room = 0;

    while ((n = getline(&line, &room, f)) > 1) {

        if (ntargets % 1024 == 0) {
            targets = realloc(targets, (ntargets + 1024) * sizeof(char *));
            sums = realloc(sums, (ntargets + 1024) * sizeof(double));
        }

        if (n >= HEAD / 4 || targets == NULL || sums == NULL) {
            die("a target");
        }

        line[n - 1] = '\0';
        targets[ntargets] = strdup(line);
        sums[ntargets] = (ntargets ? sums[ntargets - 1] : 0)
                         + 1.0 / (ntargets + 1);
        ntargets++;
    }

    fclose(f);

    if (ntargets == 0) {
        die("no targets");
    }

    srand48(getpid());
}


static const char *
target(void)
{
    size_t  low, high, middle;
    double  x;

    if (ntargets == 1) {
        return targets[0];
    }

    x = drand48() * sums[ntargets - 1];
    low = 0;
    high = ntargets - 1;

    while (low < high) {
        middle = (low + high) / 2;

        if (sums[middle] < x) {
            low = middle + 1;

        } else {
            high = middle;
        }
    }

    return targets[low];
}


static void
ask(connection_t *c)
{
    int   n;
    char  request[HEAD];

    c->len = 0;
    c->left = -1;

    n = snprintf(request, sizeof(request), "%s %s%s", method, target(), head);

    /* it is short, and nothing else is on its way */

    if (c->ssl ? SSL_write(c->ssl, request, n) != n
               : send(c->fd, request, n, MSG_NOSIGNAL) != n)
    {
        die("send");
    }
}


/* whether the answer is complete */

static int
receive(connection_t *c)
{
    int  done;

    /* TLS may have more than what the socket tells of */

    do {
        done = receive_some(c);
    } while (!done && c->ssl && SSL_pending(c->ssl));

    return done;
}


static int
receive_some(connection_t *c)
{
    char     *body;
    size_t    size;
    ssize_t   n;

    if (c->left < 0) {
        n = take(c, c->head + c->len, HEAD - c->len, 0);

    } else {
        size = c->left < DISCARD ? c->left : DISCARD;
        n = take(c, discarded, size, MSG_TRUNC);
    }

    if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }

    if (n <= 0) {

        if (!once) {
            die("recv");
        }

        told(c, "it was closed");
        return 0;
    }

    if (c->left >= 0) {
        c->left -= n;
        c->got += n;
        bytes += n;

    } else {
        c->len += n;
        c->head[c->len] = '\0';

        body = strstr(c->head, "\r\n\r\n");

        if (body == NULL) {

            if (c->len == HEAD) {
                fprintf(stderr, "load: the head is too long\n");
                exit(1);
            }

            return 0;
        }

        if (!parse(c, body + 4)) {
            return 0;
        }
    }

    if (c->first == 0 && (c->got || c->left == 0)) {
        c->first = now();
    }

    if (c->left == 0) {
        requests++;
        return 1;
    }

    return 0;
}


static ssize_t
take(connection_t *c, void *buf, size_t size, int flags)
{
    int  n;

    if (c->ssl == NULL) {
        return recv(c->fd, buf, size, flags);
    }

    n = SSL_read(c->ssl, buf, (int) size);

    if (n <= 0 && SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ) {
        errno = EAGAIN;
        return -1;
    }

    return n;
}


/* 0: it was told of */

static int
parse(connection_t *c, char *body)
{
    char       *p;
    long long   length;

    length = -1;

    for (p = c->head; p < body - 2; p = strstr(p, "\r\n") + 2) {
        if (strncasecmp(p, "Content-Length:", 15) == 0) {
            length = atoll(p + 15);
        }
    }

    if ((strncmp(c->head, "HTTP/1.1 200 ", 13) != 0
         && strncmp(c->head, "HTTP/1.1 206 ", 13) != 0)
        || length < 0)
    {
        if (once) {
            *strstr(c->head, "\r\n") = '\0';
            told(c, c->head);
            return 0;
        }

        fprintf(stderr, "load: not a good answer:\n%.*s", (int) (body
                - c->head), c->head);
        exit(1);
    }

    if (head_only) {
        c->left = 0;
        return 1;
    }

    c->got = c->head + c->len - body;
    c->left = length - c->got;
    bytes += c->got;

    return 1;
}


/* what has become of the only request of a connection, which ends */

static void
told(connection_t *c, const char *why)
{
    if (why) {
        printf("failed: %s\n", why);

    } else {
        printf("%.6f %.6f\n", c->first - c->began, now() - c->began);
    }

    close(c->fd);
    running--;
}
