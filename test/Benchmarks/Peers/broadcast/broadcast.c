/* The reference server of groups-broadcast: one epoll loop, and one send for each connection.
 *
 *   server --messages PORT --control PORT [--threads N]
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 512, MOST = 65536, LINE = 4096 };
enum { MESSAGES = 1, CONTROL, THREADS };

static int epoll_fd, messages_fd, control_listener, control_fd = -1;
static int receivers[MOST], index_of[MOST]; /* index_of: the index of each descriptor in receivers */
static int count;

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void watch(int fd, uint32_t events) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
}

static int listen_tcp(int port) {
  int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, SOMAXCONN))
    die("listen");
  watch(fd, EPOLLIN);
  return fd;
}

static void accept_all(int listener) {
  static const char greeting[] = "joined\n";
  for (;;) {
    int on = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EAGAIN) return;
      if (errno == EINTR || errno == ECONNABORTED) continue;
      die("accept4");
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    watch(fd, EPOLLIN | EPOLLRDHUP | EPOLLET);
    if (listener == control_listener) {
      control_fd = fd;
      continue;
    }
    if (count == MOST || fd >= MOST) die("too many connections");
    index_of[fd] = count;
    receivers[count++] = fd;
    if (send(fd, greeting, sizeof greeting - 1, MSG_NOSIGNAL) < 0) die("send");
  }
}

static void close_receiver(int fd) {
  receivers[index_of[fd]] = receivers[--count];
  index_of[receivers[index_of[fd]]] = index_of[fd];
  close(fd);
}

/* Expects the line in one segment. */
static void broadcast(void) {
  char line[LINE], answer[32];
  ssize_t size = recv(control_fd, line, sizeof line, 0);
  if (size < 0 && errno == EAGAIN) return;
  if (size <= 0) {
    close(control_fd);
    control_fd = -1;
    return;
  }
  struct timespec begun, ended;
  clock_gettime(CLOCK_MONOTONIC, &begun);
  for (int i = 0; i < count; i++)
    if (send(receivers[i], line, (size_t)size, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET) die("send");
  clock_gettime(CLOCK_MONOTONIC, &ended);
  int length = snprintf(answer, sizeof answer, "%lld\n", (ended.tv_sec - begun.tv_sec) * 1000000000LL + ended.tv_nsec - begun.tv_nsec);
  if (send(control_fd, answer, (size_t)length, MSG_NOSIGNAL) != length) die("send");
}

int main(int arguments, char **values) {
  static const struct option names[] = {{"messages", 1, 0, MESSAGES}, {"control", 1, 0, CONTROL}, {"threads", 1, 0, THREADS}, {0}};
  int port = 0, control = 0;
  for (int option; (option = getopt_long(arguments, values, "", names, NULL)) != -1;) {
    if (option == MESSAGES) port = atoi(optarg);
    else if (option == CONTROL) control = atoi(optarg);
    else if (option != THREADS) return 2;
  }
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit)) die("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit)) die("setrlimit");
  if ((epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0) die("epoll_create1");
  messages_fd = listen_tcp(port);
  control_listener = listen_tcp(control);
  puts("ready");
  fflush(stdout);
  struct epoll_event events[EVENTS];
  for (;;) {
    int ready = epoll_wait(epoll_fd, events, EVENTS, -1);
    if (ready < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < ready; i++) {
      int fd = events[i].data.fd;
      if (fd == messages_fd || fd == control_listener) accept_all(fd);
      else if (fd == control_fd) broadcast();
      else close_receiver(fd);
    }
  }
}
