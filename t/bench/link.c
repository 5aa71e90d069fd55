
/*
 * link PORT ORIGIN-PORT BITS DELAY COUNTERS: a line between this machine and an
 * origin far away.  It listens on the port and passes every connection on; all
 * of them together have so many bits a second in each direction, and what is
 * sent arrives so many seconds later.
 *
 * It is a queue and a clock: a piece leaves when the ones before it have left
 * and its own bytes have gone at that rate, and is delivered the delay later.
 * The queue before the line is as long as the line (QUEUE seconds), connections
 * take turns at it, and one has WINDOW bytes on its way at most.  A new
 * connection costs a round trip before its first bytes, as with TCP; there is
 * no slow start, no loss and no header of a packet.
 *
 * The file gets two numbers of 8 bytes, kept up to date: the bytes that have
 * come from the origin, and the connections that were made.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>


#define PIECE   16384
#define WINDOW  (2 * 1024 * 1024)
#define QUEUE   0.05
#define EVENTS  256

#define UP      0                       /* from the client to the origin */
#define DOWN    1


typedef struct piece_s  piece_t;
typedef struct pair_s   pair_t;

struct piece_s {
    piece_t   *next;
    double     due;                     /* when it is delivered */
    size_t     len;                     /* 0: the end */
    size_t     sent;
    char       data[];
};


typedef struct {
    piece_t   *first;
    piece_t  **last;
    size_t     held;                    /* bytes that are on their way */
    int        ended;                   /* nothing more comes in... */
    int        over;                    /* ...and goes out */
} way_t;


typedef struct {
    pair_t    *pair;                    /* NULL: the one that listens */
    int        fd;
    int        readable;
    int        writable;
} end_t;


struct pair_s {
    pair_t    *next;
    end_t      ends[2];                 /* where UP comes from, and DOWN */
    way_t      ways[2];
    double     open;                    /* when the first bytes may leave */
    int        broken;
};


static void die(const char *what);
static double now(void);
static uint64_t *counters(const char *name);
static int listen_on(int port);
static void take(int fd, int port);
static void watch(end_t *end, pair_t *pair, int fd);
static void receive(double at);
static int receive_piece(pair_t *pair, int direction, double at);
static void append(pair_t *pair, int direction, char *data, size_t len,
    double due);
static void deliver(pair_t *pair, int direction, double at);
static void sweep(void);
static double wait_until(void);


static int        ep;
static double     rate, delay;
static double     idle_at[2];           /* when the line has sent all it has */
static pair_t    *pairs;
static uint64_t  *counted;


int
main(int argc, char **argv)
{
    int                 n, i, fd;
    pair_t             *pair;
    double              at, left;
    end_t               listening, *end;
    struct timespec     ts;
    struct epoll_event  events[EVENTS];

    if (argc != 6) {
        fprintf(stderr, "usage: %s port origin bits delay counters\n",
                argv[0]);
        return 2;
    }

    signal(SIGPIPE, SIG_IGN);

    rate = atof(argv[3]) / 8;
    delay = atof(argv[4]);
    counted = counters(argv[5]);

    ep = epoll_create1(0);

    if (ep == -1) {
        die("epoll_create1");
    }

    fd = listen_on(atoi(argv[1]));
    watch(&listening, NULL, fd);

    for ( ;; ) {
        left = wait_until() - now();

        if (left < 0) {
            left = 0;
        }

        ts.tv_sec = (time_t) left;
        ts.tv_nsec = (long) ((left - ts.tv_sec) * 1e9);

        n = epoll_pwait2(ep, events, EVENTS, &ts, NULL);

        if (n == -1 && errno != EINTR) {
            die("epoll_pwait2");
        }

        for (i = 0; i < n; i++) {
            end = events[i].data.ptr;

            if (end->pair == NULL) {
                take(fd, atoi(argv[2]));
                continue;
            }

            if (events[i].events & (EPOLLIN|EPOLLRDHUP|EPOLLHUP|EPOLLERR)) {
                end->readable = 1;
            }

            if (events[i].events & (EPOLLOUT|EPOLLHUP|EPOLLERR)) {
                end->writable = 1;
            }
        }

        at = now();
        receive(at);

        for (pair = pairs; pair; pair = pair->next) {
            deliver(pair, UP, at);
            deliver(pair, DOWN, at);
        }

        sweep();
    }
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


static uint64_t *
counters(const char *name)
{
    int    fd;
    void  *p;

    fd = open(name, O_RDWR|O_CREAT|O_TRUNC, 0644);

    if (fd == -1 || ftruncate(fd, 2 * sizeof(uint64_t)) == -1) {
        die(name);
    }

    p = mmap(NULL, 2 * sizeof(uint64_t), PROT_READ|PROT_WRITE, MAP_SHARED, fd,
             0);

    if (p == MAP_FAILED) {
        die("mmap");
    }

    close(fd);

    return p;
}


static int
listen_on(int port)
{
    int                 fd, one;
    struct sockaddr_in  sin;

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_port = htons(port);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    one = 1;
    fd = socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK, 0);

    if (fd == -1
        || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == -1
        || bind(fd, (struct sockaddr *) &sin, sizeof(sin)) == -1
        || listen(fd, 1024) == -1)
    {
        die("listen");
    }

    return fd;
}


/* all who wait; the origin is near to where the line ends */

static void
take(int fd, int port)
{
    int                 client, origin, i;
    pair_t             *pair;
    struct sockaddr_in  sin;

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_port = htons(port);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    for ( ;; ) {
        client = accept4(fd, NULL, NULL, SOCK_NONBLOCK);

        if (client == -1) {
            return;
        }

        origin = socket(AF_INET, SOCK_STREAM, 0);

        if (origin == -1) {
            die("socket");
        }

        if (connect(origin, (struct sockaddr *) &sin, sizeof(sin)) == -1
            || fcntl(origin, F_SETFL, O_NONBLOCK) == -1)
        {
            close(origin);
            close(client);
            continue;
        }

        pair = calloc(1, sizeof(pair_t));

        if (pair == NULL) {
            die("calloc");
        }

        for (i = 0; i < 2; i++) {
            pair->ways[i].last = &pair->ways[i].first;
        }

        pair->open = now() + 2 * delay;
        pair->next = pairs;
        pairs = pair;

        watch(&pair->ends[UP], pair, client);
        watch(&pair->ends[DOWN], pair, origin);

        counted[1]++;
    }
}


static void
watch(end_t *end, pair_t *pair, int fd)
{
    int                 one;
    struct epoll_event  ev;

    end->pair = pair;
    end->fd = fd;

    ev.events = EPOLLIN;
    ev.data.ptr = end;

    if (pair) {
        one = 1;
        ev.events |= EPOLLOUT|EPOLLRDHUP|EPOLLET;

        if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == -1)
        {
            die("setsockopt");
        }
    }

    if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) == -1) {
        die("epoll_ctl");
    }
}


/* a piece of each in turn, while the queue before the line is not full */

static void
receive(double at)
{
    int      direction, some;
    pair_t  *pair, *first, **p;

    for (direction = UP; direction <= DOWN; direction++) {

        do {
            some = 0;

            for (pair = pairs; pair; pair = pair->next) {

                if (idle_at[direction] - at >= QUEUE) {
                    break;
                }

                some |= receive_piece(pair, direction, at);
            }

            /* who had no turn is the first of the next time */

            if (pair && pair != pairs) {
                first = pair;

                for (p = &pairs; *p != first; p = &(*p)->next) {
                    /* void */
                }

                *p = NULL;

                for (p = &first; *p; p = &(*p)->next) {
                    /* void */
                }

                *p = pairs;
                pairs = first;
            }

        } while (some && pair == NULL);
    }
}


/* whether there was one */

static int
receive_piece(pair_t *pair, int direction, double at)
{
    end_t    *end;
    way_t    *way;
    double    leaves;
    ssize_t   n;
    char      data[PIECE];

    end = &pair->ends[direction];
    way = &pair->ways[direction];

    if (!end->readable || way->ended || pair->broken || way->held >= WINDOW) {
        return 0;
    }

    n = read(end->fd, data, PIECE);

    if (n == -1) {

        if (errno == EAGAIN || errno == EINTR) {
            end->readable = (errno == EINTR);

        } else {
            pair->broken = 1;
        }

        return 0;
    }

    leaves = at;

    if (leaves < pair->open) {
        leaves = pair->open;

    } else {

        if (leaves < idle_at[direction]) {
            leaves = idle_at[direction];
        }

        leaves += n / rate;
        idle_at[direction] = leaves;
    }

    if (n == 0) {
        way->ended = 1;
    }

    if (direction == DOWN) {
        counted[0] += n;
    }

    append(pair, direction, data, n, leaves + delay);

    return 1;
}


static void
append(pair_t *pair, int direction, char *data, size_t len, double due)
{
    way_t    *way;
    piece_t  *piece;

    piece = malloc(sizeof(piece_t) + len);

    if (piece == NULL) {
        die("malloc");
    }

    piece->next = NULL;
    piece->due = due;
    piece->len = len;
    piece->sent = 0;
    memcpy(piece->data, data, len);

    way = &pair->ways[direction];
    way->held += len;
    *way->last = piece;
    way->last = &piece->next;
}


static void
deliver(pair_t *pair, int direction, double at)
{
    end_t    *to;
    way_t    *way;
    ssize_t   n;
    piece_t  *piece;

    way = &pair->ways[direction];
    to = &pair->ends[!direction];

    while (way->first && way->first->due <= at && !pair->broken) {
        piece = way->first;

        if (piece->len == 0) {
            (void) shutdown(to->fd, SHUT_WR);
            way->over = 1;
        }

        if (piece->sent < piece->len) {

            if (!to->writable) {
                return;
            }

            n = send(to->fd, piece->data + piece->sent,
                     piece->len - piece->sent, MSG_NOSIGNAL);

            if (n == -1) {

                if (errno == EAGAIN) {
                    to->writable = 0;

                } else if (errno != EINTR) {
                    pair->broken = 1;
                }

                return;
            }

            piece->sent += n;
            way->held -= n;

            if (piece->sent < piece->len) {
                continue;
            }
        }

        way->first = piece->next;

        if (way->first == NULL) {
            way->last = &way->first;
        }

        free(piece);
    }
}


static void
sweep(void)
{
    int      i;
    pair_t  *pair, **p;
    piece_t *piece;

    p = &pairs;

    while (*p) {
        pair = *p;

        if (!pair->broken && !(pair->ways[UP].over && pair->ways[DOWN].over)) {
            p = &pair->next;
            continue;
        }

        *p = pair->next;

        for (i = 0; i < 2; i++) {
            close(pair->ends[i].fd);

            while (pair->ways[i].first) {
                piece = pair->ways[i].first;
                pair->ways[i].first = piece->next;
                free(piece);
            }
        }

        free(pair);
    }
}


/* when a piece is due, or the queue has room for somebody */

static double
wait_until(void)
{
    int      i;
    way_t   *way;
    double   until;
    pair_t  *pair;

    until = now() + 1;

    for (pair = pairs; pair; pair = pair->next) {

        for (i = 0; i < 2; i++) {
            way = &pair->ways[i];

            if (way->first && way->first->due < until
                && (pair->ends[!i].writable || way->first->len == 0))
            {
                until = way->first->due;
            }

            if (pair->ends[i].readable && !way->ended && way->held < WINDOW
                && idle_at[i] - QUEUE < until)
            {
                until = idle_at[i] - QUEUE;
            }
        }
    }

    return until;
}
