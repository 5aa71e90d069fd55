
/*
 * load PORT METHOD TARGET CONNECTIONS SECONDS: asks for the target again and
 * again over so many connections that are kept, each with one request at a
 * time.  Prints the answers, the bytes of bodies received, and the seconds.
 *
 * LOAD_AUTHORIZATION, if it is set, is sent as that header.
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


#define CONNECTIONS  1024
#define HEAD         8192
#define DISCARD      (4 * 1024 * 1024)

/* docker-registry gives this type only to who asks for it */
#define ACCEPT       "application/vnd.oci.image.manifest.v1+json, */*"


typedef struct {
    int        fd;
    size_t     len;                     /* of the head so far */
    long long  left;                    /* of the body; -1: in the head */
    char       head[HEAD + 1];
} connection_t;


static void die(const char *what);
static double now(void);
static void begin(connection_t *c, int port, int ep);
static void ask(connection_t *c);
static int receive(connection_t *c);
static void parse(connection_t *c, char *body);


static char            request[HEAD], discarded[DISCARD];
static int             request_len, head_only;
static long long       requests, bytes;
static connection_t    connections[CONNECTIONS];


int
main(int argc, char **argv)
{
    int                 ep, n, i, count;
    double              start, seconds, passed;
    const char         *login;
    struct epoll_event  events[CONNECTIONS];

    if (argc != 6) {
        fprintf(stderr, "usage: %s port method target connections seconds\n",
                argv[0]);
        return 2;
    }

    count = atoi(argv[4]);
    seconds = atof(argv[5]);
    head_only = strcmp(argv[2], "HEAD") == 0;

    login = getenv("LOAD_AUTHORIZATION");

    request_len = snprintf(request, sizeof(request),
                           "%s %s HTTP/1.1\r\nHost: localhost\r\n"
                           "%s%s%sAccept: %s\r\n\r\n", argv[2], argv[3],
                           login ? "Authorization: " : "", login ? login : "",
                           login ? "\r\n" : "", ACCEPT);

    if (count < 1 || count > CONNECTIONS
        || request_len >= (int) sizeof(request))
    {
        fprintf(stderr, "%s: too much\n", argv[0]);
        return 2;
    }

    ep = epoll_create1(0);

    if (ep == -1) {
        die("epoll_create1");
    }

    for (i = 0; i < count; i++) {
        begin(&connections[i], atoi(argv[1]), ep);
    }

    start = now();

    for (i = 0; i < count; i++) {
        ask(&connections[i]);
    }

    do {
        n = epoll_wait(ep, events, CONNECTIONS, 1000);

        if (n == -1 && errno != EINTR) {
            die("epoll_wait");
        }

        for (i = 0; i < n; i++) {
            if (receive(events[i].data.ptr)) {
                ask(events[i].data.ptr);
            }
        }

        passed = now() - start;

    } while (passed < seconds);

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

    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) == -1
        || epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev) == -1)
    {
        die("epoll_ctl");
    }
}


static void
ask(connection_t *c)
{
    c->len = 0;
    c->left = -1;

    /* it is short, and nothing else is on its way */

    if (send(c->fd, request, request_len, MSG_NOSIGNAL) != request_len) {
        die("send");
    }
}


/* whether the answer is complete */

static int
receive(connection_t *c)
{
    char     *body;
    size_t    size;
    ssize_t   n;

    if (c->left < 0) {
        n = recv(c->fd, c->head + c->len, HEAD - c->len, 0);

    } else {
        size = c->left < DISCARD ? c->left : DISCARD;
        n = recv(c->fd, discarded, size, MSG_TRUNC);
    }

    if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }

    if (n <= 0) {
        die("recv");
    }

    if (c->left >= 0) {
        c->left -= n;
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

        parse(c, body + 4);
    }

    if (c->left == 0) {
        requests++;
        return 1;
    }

    return 0;
}


static void
parse(connection_t *c, char *body)
{
    char       *p;
    size_t      got;
    long long   length;

    length = -1;

    for (p = c->head; p < body - 2; p = strstr(p, "\r\n") + 2) {
        if (strncasecmp(p, "Content-Length:", 15) == 0) {
            length = atoll(p + 15);
        }
    }

    if (strncmp(c->head, "HTTP/1.1 200 ", 13) != 0 || length < 0) {
        fprintf(stderr, "load: not a good answer:\n%.*s", (int) (body
                - c->head), c->head);
        exit(1);
    }

    if (head_only) {
        c->left = 0;
        return;
    }

    got = c->head + c->len - body;
    c->left = length - (long long) got;
    bytes += got;
}
