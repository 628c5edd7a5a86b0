/* The least that a request at a time of its own can cost on this machine: sleep until it is due, send it over a kept
 * connection, and read the answer to the one before. It does nothing else and judges nothing.
 * Usage: floor PORT RATE SECONDS; prints how many requests it made. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS = 50 };

int main(int count, char **words) {
    if (count != 4) {
        fprintf(stderr, "usage: floor PORT RATE SECONDS\n");
        return 2;
    }
    static const char request[] = "GET /item HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(words[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    double gap = 1e9 / atof(words[2]);
    long requests = atof(words[2]) * atof(words[3]);
    int sockets[CONNECTIONS], one = 1;
    for (int n = 0; n < CONNECTIONS; n++) {
        sockets[n] = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(sockets[n], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (connect(sockets[n], (struct sockaddr *)&address, sizeof address) != 0) {
            perror("connect");
            return 1;
        }
    }
    prctl(PR_SET_TIMERSLACK, 1UL);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double due = now.tv_sec * 1e9 + now.tv_nsec;
    char answer[65536];
    srand48(1);
    for (long n = 0; n < requests; n++) {
        due += gap * 2 * drand48();
        struct timespec at = {.tv_sec = due / 1e9, .tv_nsec = (long)due % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        int to = sockets[n % CONNECTIONS], before = sockets[(n + CONNECTIONS - 1) % CONNECTIONS];
        if (send(to, request, sizeof request - 1, MSG_NOSIGNAL) < 0 || (n > 0 && recv(before, answer, sizeof answer, 0) <= 0)) {
            perror("the connection");
            return 1;
        }
    }
    printf("%ld requests in %s s\n", requests, words[3]);
    return 0;
}
