/* The reference: an echo server in C as an expert writes it. One epoll loop per thread, edge-triggered and registered once;
 * no receive after a short one; one send for all the messages of a receive; a buffer only while it holds bytes, taken from
 * a stack, so that it is still in the cache. Loops share a TCP port by SO_REUSEPORT, a Unix socket by EPOLLEXCLUSIVE.
 *
 *   server [--line PORT] [--frame PORT] [--unix PATH] [--unix-frame PATH] [--threads N]
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The size of a receive: a socket rarely holds more, and unused pages of a buffer cost nothing. */
enum { BLOCK = 256 * 1024, EVENTS = 512, HEADER = 4, MOST = 64 * 1024 * 1024 };
enum endpoint { LINE, FRAME, UNIX, UNIX_FRAME, ENDPOINTS };

struct connection {
  int fd;
  uint8_t listening, frame, tcp, readable;
  char *buffer;      /* NULL while it holds nothing */
  size_t size;       /* of the buffer */
  size_t sent;       /* messages from here ... */
  size_t complete;   /* ... to here are to be sent, */
  size_t end;        /* and then the beginning of the next one */
};

struct loop {
  int epoll;
  char *spare;       /* a stack of blocks, linked through their first bytes */
};

static struct {
  int port[ENDPOINTS];
  const char *path[ENDPOINTS];
  int unix_fd[ENDPOINTS];
} endpoints;

static void die(const char *what) {
  perror(what);
  exit(1);
}

static char *take_block(struct loop *loop) {
  char *block = loop->spare;
  if (block != NULL) {
    memcpy(&loop->spare, block, sizeof loop->spare);
    return block;
  }
  if ((block = malloc(BLOCK)) == NULL) die("malloc");
  return block;
}

static void give_buffer(struct loop *loop, struct connection *c) {
  if (c->size == BLOCK) {
    memcpy(c->buffer, &loop->spare, sizeof loop->spare);
    loop->spare = c->buffer;
  } else {
    free(c->buffer);
  }
  c->buffer = NULL;
  c->size = 0;
}

static void watch(struct loop *loop, struct connection *c, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = c};
  if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, c->fd, &event)) die("epoll_ctl");
}

static struct connection *new_connection(int fd, int frame, int tcp, int listening) {
  struct connection *c = calloc(1, sizeof *c);
  if (c == NULL) die("calloc");
  c->fd = fd;
  c->frame = (uint8_t)frame;
  c->tcp = (uint8_t)tcp;
  c->listening = (uint8_t)listening;
  return c;
}

static void close_connection(struct loop *loop, struct connection *c) {
  if (c->buffer != NULL) give_buffer(loop, c);
  close(c->fd);
  free(c);
}

static void accept_all(struct loop *loop, struct connection *listener) {
  for (;;) {
    int on = 1, fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EAGAIN) return;
      if (errno == EINTR || errno == ECONNABORTED) continue;
      die("accept4");
    }
    if (listener->tcp) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    watch(loop, new_connection(fd, listener->frame, listener->tcp, 0), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
  }
}

/* Moves c->complete over every complete message. Returns the size of the next one, 0 if it is unknown, -1 if it is too large. */
static ssize_t parse(struct connection *c, size_t searched) {
  if (!c->frame) {
    for (char *at = c->buffer + searched, *end = c->buffer + c->end, *line; (line = memchr(at, '\n', (size_t)(end - at))) != NULL; at = line + 1)
      c->complete = (size_t)(line + 1 - c->buffer);
    return c->end - c->complete < MOST ? 0 : -1;
  }
  while (c->end - c->complete >= HEADER) {
    uint32_t length;
    memcpy(&length, c->buffer + c->complete, HEADER);
    length = ntohl(length);
    if (length > MOST) return -1;
    if (c->end - c->complete < HEADER + (size_t)length) return HEADER + (ssize_t)length;
    c->complete += HEADER + (size_t)length;
  }
  return 0;
}

/* Called if nothing waits to be sent: moves the rest to the front, and enlarges the buffer for a message that does not fit. */
static void make_room(struct connection *c, size_t needed) {
  size_t left = c->end - c->sent;
  if (c->sent > 0) memmove(c->buffer, c->buffer + c->sent, left);
  c->sent = c->complete = 0;
  c->end = left;
  size_t size = needed > c->size ? needed : left == c->size ? 2 * c->size : c->size;
  if (size == c->size) return;
  char *larger = realloc(c->buffer, size);
  if (larger == NULL) die("realloc");
  c->buffer = larger;
  c->size = size;
}

/* 1: everything is sent. 0: the socket is full, wait for EPOLLOUT. -1: the connection has failed. */
static int send_complete(struct connection *c) {
  while (c->sent < c->complete) {
    size_t wanted = c->complete - c->sent;
    ssize_t n = send(c->fd, c->buffer + c->sent, wanted, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EAGAIN) return 0;
      if (errno == EINTR) continue;
      return -1;
    }
    c->sent += (size_t)n;
  }
  return 1;
}

static void serve(struct loop *loop, struct connection *c, uint32_t events) {
  int ending = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
  if (events & EPOLLIN || ending) c->readable = 1;
  for (;;) {
    int sent = send_complete(c);
    if (sent == 0) return;
    if (sent < 0) break;
    if (c->sent == c->end) c->sent = c->complete = c->end = 0;
    if (!c->readable) {
      if (c->end == 0 && c->buffer != NULL) give_buffer(loop, c);
      return;
    }
    if (c->buffer == NULL) {
      c->buffer = take_block(loop);
      c->size = BLOCK;
    }
    if (c->end == c->size) make_room(c, 0);
    size_t room = c->size - c->end, searched = c->end;
    ssize_t n = recv(c->fd, c->buffer + c->end, room, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      c->readable = 0;
      continue;
    }
    if (n <= 0) break;
    c->end += (size_t)n;
    c->readable = (size_t)n == room || ending;
    ssize_t needed = parse(c, searched);
    if (needed < 0) break;
    if ((size_t)needed > c->size - c->complete && send_complete(c) == 1) make_room(c, (size_t)needed);
  }
  close_connection(loop, c);
}

static int listen_tcp(int port) {
  int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) ||
      bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, SOMAXCONN))
    die("listen");
  return fd;
}

static int listen_unix(const char *path) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) errno = ENAMETOOLONG, die(path);
  strcpy(address.sun_path, path);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, SOMAXCONN)) die(path);
  return fd;
}

static struct loop *new_loop(void) {
  struct loop *loop = calloc(1, sizeof *loop);
  if (loop == NULL || (loop->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0) die("epoll_create1");
  for (int i = 0; i < ENDPOINTS; i++) {
    int frame = i == FRAME || i == UNIX_FRAME;
    if (endpoints.port[i]) watch(loop, new_connection(listen_tcp(endpoints.port[i]), frame, 1, 1), EPOLLIN);
    if (endpoints.path[i]) watch(loop, new_connection(endpoints.unix_fd[i], frame, 0, 1), EPOLLIN | EPOLLEXCLUSIVE);
  }
  return loop;
}

__attribute__((noreturn)) static void *run(void *argument) {
  struct loop *loop = argument;
  struct epoll_event events[EVENTS];
  for (;;) {
    int count = epoll_wait(loop->epoll, events, EVENTS, -1);
    if (count < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < count; i++) {
      struct connection *c = events[i].data.ptr;
      if (c->listening) accept_all(loop, c);
      else serve(loop, c, events[i].events);
    }
  }
}

int main(int count, char **values) {
  static const struct option names[] = {{"line", 1, 0, LINE}, {"frame", 1, 0, FRAME}, {"unix", 1, 0, UNIX}, {"unix-frame", 1, 0, UNIX_FRAME}, {"threads", 1, 0, ENDPOINTS}, {0}};
  int threads = 1;
  for (int option; (option = getopt_long(count, values, "", names, NULL)) != -1;) {
    if (option == LINE || option == FRAME) endpoints.port[option] = atoi(optarg);
    else if (option == UNIX || option == UNIX_FRAME) endpoints.unix_fd[option] = listen_unix(endpoints.path[option] = optarg);
    else if (option == ENDPOINTS) threads = atoi(optarg);
    else return 2;
  }
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit)) die("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit)) die("setrlimit");
  struct loop *first = new_loop();
  for (int i = 1; i < threads; i++) {
    pthread_t thread;
    struct loop *loop = new_loop();
    if ((errno = pthread_create(&thread, NULL, run, loop)) != 0) die("pthread_create");
  }
  puts("ready");
  fflush(stdout);
  run(first);
}
