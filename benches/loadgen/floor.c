/* The least that a request at a time of its own can cost on this machine: sleep until it is due, send it over a kept
 * connection, and read answers to those before. It does nothing else and judges nothing. Gaps are exponential, as the
 * generator's are. Requests that are due within WINDOW µs of one another share a wake-up, that of the last of them, and
 * answers are read when there are at least BATCH that earlier wake-ups have asked for; without these words each request has
 * its own wake-up, and the answer to the one before is read at it.
 * Usage: floor PORT RATE SECONDS [WINDOW BATCH]; prints how many requests it made. */
#include <arpa/inet.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS = 50 };

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void sleep_until(double nanos) {
    struct timespec at = {.tv_sec = nanos / 1e9, .tv_nsec = (long)nanos % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static void connect_all(int sockets[CONNECTIONS], int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int n = 0, one = 1; n < CONNECTIONS; n++) {
        sockets[n] = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(sockets[n], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (connect(sockets[n], (struct sockaddr *)&address, sizeof address) != 0) fail("connect");
    }
}

int main(int count, char **words) {
    if (count != 4 && count != 6) {
        fprintf(stderr, "usage: floor PORT RATE SECONDS [WINDOW BATCH]\n");
        return 2;
    }
    static const char request[] = "GET /item HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    double gap = 1e9 / atof(words[2]), window = count == 6 ? atof(words[4]) * 1e3 : 0;
    long requests = atof(words[2]) * atof(words[3]), batch = count == 6 ? atol(words[5]) : 1;
    int sockets[CONNECTIONS];
    connect_all(sockets, atoi(words[1]));
    prctl(PR_SET_TIMERSLACK, 1UL);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double due = now.tv_sec * 1e9 + now.tv_nsec;
    char answer[65536];
    srand48(1);
    long sent = 0, read = 0, planned = 0;
    while (sent < requests) {
        /* `due` is when the first is that was not sent yet, `last` when the last is that goes with it. */
        double last = due, next = due;
        for (; planned < requests && next <= due + window; planned++) {
            last = next;
            next += -gap * log(1 - drand48());
        }
        due = next;
        sleep_until(last);
        long asked = sent;
        for (; sent < planned; sent++)
            if (send(sockets[sent % CONNECTIONS], request, sizeof request - 1, MSG_NOSIGNAL) < 0) fail("send");
        for (long until = asked - read >= batch ? asked : read; read < until; read++)
            if (recv(sockets[read % CONNECTIONS], answer, sizeof answer, 0) <= 0) fail("recv");
    }
    printf("%ld requests in %s s\n", requests, words[3]);
    return 0;
}
