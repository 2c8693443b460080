/* Compares io_uring with epoll for the engine: the reference server's work in the structure that the engine's interface needs.
 * One ring; accepts and receives are armed once (multishot), receives take buffers from a ring shared with the kernel, and all
 * answers are submitted with the next wait in one system call. Received data is sent without a copy if it ends with a message,
 * and collected otherwise.
 *
 *   server [--line PORT] [--frame PORT] [--unix PATH] [--unix-frame PATH]
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { ENTRIES = 4096, BUFFERS = 512, BUFFER = 64 * 1024, GROUP = 0, HEADER = 4, MOST = 64 * 1024 * 1024 };
/* The low bits of an entry's user data; the others are the connection. */
enum operation { ACCEPT, RECEIVE, SEND, OPERATIONS = 3 };
enum endpoint { LINE, FRAME, UNIX, UNIX_FRAME, ENDPOINTS };

struct bytes {
  char *start;
  size_t size, length;
};

struct connection {
  int fd;
  uint8_t frame, tcp, receiving, sending, ending;
  int lent;          /* the shared buffer that is being sent, or -1 */
  struct bytes in;   /* what could not be sent from where it lay ... */
  size_t complete;   /* ... and how much of it is whole messages */
  struct bytes out;  /* the kernel reads from it */
};

static struct io_uring ring;
static struct io_uring_buf_ring *shared;
static char *memory;

static void die(const char *what, int error) {
  fprintf(stderr, "%s: %s\n", what, strerror(error));
  exit(1);
}

static struct io_uring_sqe *next_entry(void) {
  struct io_uring_sqe *entry = io_uring_get_sqe(&ring);
  if (entry == NULL) {
    io_uring_submit(&ring);
    if ((entry = io_uring_get_sqe(&ring)) == NULL) die("io_uring_get_sqe", EBUSY);
  }
  return entry;
}

static void mark(struct io_uring_sqe *entry, struct connection *c, enum operation operation) {
  io_uring_sqe_set_data64(entry, (uint64_t)(uintptr_t)c | operation);
}

static void give_back(int id) {
  io_uring_buf_ring_add(shared, memory + (size_t)id * BUFFER, BUFFER, (unsigned short)id, io_uring_buf_ring_mask(BUFFERS), 0);
  io_uring_buf_ring_advance(shared, 1);
}

static void accept_all(struct connection *listener) {
  struct io_uring_sqe *entry = next_entry();
  io_uring_prep_multishot_accept(entry, listener->fd, NULL, NULL, SOCK_CLOEXEC);
  mark(entry, listener, ACCEPT);
}

static void receive(struct connection *c) {
  struct io_uring_sqe *entry = next_entry();
  io_uring_prep_recv_multishot(entry, c->fd, NULL, 0, 0);
  entry->flags |= IOSQE_BUFFER_SELECT;
  entry->buf_group = GROUP;
  mark(entry, c, RECEIVE);
  c->receiving = 1;
}

static void send_all(struct connection *c, const char *start, size_t length) {
  struct io_uring_sqe *entry = next_entry();
  io_uring_prep_send(entry, c->fd, start, length, MSG_NOSIGNAL | MSG_WAITALL);
  mark(entry, c, SEND);
  c->sending = 1;
}

static struct connection *new_connection(int fd, int frame, int tcp) {
  struct connection *c = calloc(1, sizeof *c);
  if (c == NULL) die("calloc", ENOMEM);
  c->fd = fd;
  c->frame = (uint8_t)frame;
  c->tcp = (uint8_t)tcp;
  c->lent = -1;
  return c;
}

/* Called when the kernel has returned every buffer. */
static void end(struct connection *c) {
  c->ending = 1;
  if (c->sending) return;
  if (c->receiving) {
    shutdown(c->fd, SHUT_RDWR);
    return;
  }
  close(c->fd);
  free(c->in.start);
  free(c->out.start);
  free(c);
}

/* The number of these bytes in complete messages; -1 if a message is too large. */
static ssize_t whole(const struct connection *c, const char *start, size_t length) {
  if (!c->frame) {
    const char *last = memrchr(start, '\n', length);
    return last != NULL ? last + 1 - start : length < MOST ? 0 : -1;
  }
  size_t at = 0;
  while (length - at >= HEADER) {
    uint32_t body;
    memcpy(&body, start + at, HEADER);
    body = ntohl(body);
    if (body > MOST) return -1;
    if (length - at - HEADER < body) break;
    at += HEADER + body;
  }
  return (ssize_t)at;
}

static void append(struct bytes *to, const char *start, size_t length) {
  if (to->length + length > to->size) {
    to->size = 2 * (to->length + length) > BUFFER ? 2 * (to->length + length) : BUFFER;
    if ((to->start = realloc(to->start, to->size)) == NULL) die("realloc", ENOMEM);
  }
  memcpy(to->start + to->length, start, length);
  to->length += length;
}

static void send_collected(struct connection *c) {
  if (c->sending || c->complete == 0) return;
  struct bytes out = c->in;
  c->in = c->out;
  c->in.length = 0;
  append(&c->in, out.start + c->complete, out.length - c->complete);
  out.length = c->complete;
  c->out = out;
  c->complete = 0;
  send_all(c, c->out.start, c->out.length);
}

static void on_received(struct connection *c, int id, size_t length) {
  char *start = memory + (size_t)id * BUFFER;
  if (!c->sending && c->in.length == 0 && whole(c, start, length) == (ssize_t)length) {
    c->lent = id;
    send_all(c, start, length);
    return;
  }
  append(&c->in, start, length);
  give_back(id);
  ssize_t more = whole(c, c->in.start + c->complete, c->in.length - c->complete);
  if (more < 0) {
    end(c);
    return;
  }
  c->complete += (size_t)more;
  send_collected(c);
}

static void on_completed(struct io_uring_cqe *done) {
  uint64_t data = io_uring_cqe_get_data64(done);
  struct connection *c = (struct connection *)(uintptr_t)(data & ~(uint64_t)OPERATIONS);
  int result = done->res, more = (done->flags & IORING_CQE_F_MORE) != 0;
  switch ((enum operation)(data & OPERATIONS)) {
  case ACCEPT:
    if (result >= 0) {
      int on = 1;
      if (c->tcp) setsockopt(result, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      receive(new_connection(result, c->frame, c->tcp));
    } else if (result != -ECONNABORTED && result != -EINTR) {
      die("accept", -result);
    }
    if (!more) accept_all(c);
    return;
  case RECEIVE:
    if (!more) c->receiving = 0;
    if (result > 0 && !c->ending) {
      on_received(c, (int)(done->flags >> IORING_CQE_BUFFER_SHIFT), (size_t)result);
      if (!c->receiving && !c->ending) receive(c);
    } else if (result > 0) {
      give_back((int)(done->flags >> IORING_CQE_BUFFER_SHIFT));
      end(c);
    } else if (result == -ENOBUFS && !c->ending) {
      receive(c);
    } else {
      end(c);
    }
    return;
  case SEND:
    c->sending = 0;
    if (c->lent >= 0) give_back(c->lent);
    c->lent = -1;
    if (result < 0) c->ending = 1;
    if (c->ending) end(c);
    else send_collected(c);
    return;
  default:
    die("completion", EINVAL);
  }
}

static int listen_tcp(int port) {
  int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) || bind(fd, (struct sockaddr *)&address, sizeof address) ||
      listen(fd, SOMAXCONN))
    die("listen", errno);
  return fd;
}

static int listen_unix(const char *path) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) die(path, ENAMETOOLONG);
  strcpy(address.sun_path, path);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, SOMAXCONN)) die(path, errno);
  return fd;
}

static void set_up(void) {
  struct io_uring_params parameters = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE, .cq_entries = 4 * ENTRIES};
  int error = io_uring_queue_init_params(ENTRIES, &ring, &parameters);
  if (error < 0) die("io_uring_queue_init", -error);
  void *entries;
  if (posix_memalign(&entries, 4096, BUFFERS * sizeof(struct io_uring_buf)) || (memory = malloc((size_t)BUFFERS * BUFFER)) == NULL) die("malloc", ENOMEM);
  shared = entries;
  struct io_uring_buf_reg registration = {.ring_addr = (uint64_t)(uintptr_t)shared, .ring_entries = BUFFERS, .bgid = GROUP};
  io_uring_buf_ring_init(shared);
  if ((error = io_uring_register_buf_ring(&ring, &registration, 0)) < 0) die("io_uring_register_buf_ring", -error);
  for (int id = 0; id < BUFFERS; id++) give_back(id);
}

int main(int count, char **values) {
  static const struct option names[] = {{"line", 1, 0, LINE}, {"frame", 1, 0, FRAME}, {"unix", 1, 0, UNIX}, {"unix-frame", 1, 0, UNIX_FRAME}, {"threads", 1, 0, ENDPOINTS}, {0}};
  set_up();
  for (int option; (option = getopt_long(count, values, "", names, NULL)) != -1;) {
    if (option == LINE || option == FRAME) accept_all(new_connection(listen_tcp(atoi(optarg)), option == FRAME, 1));
    else if (option == UNIX || option == UNIX_FRAME) accept_all(new_connection(listen_unix(optarg), option == UNIX_FRAME, 0));
    else if (option != ENDPOINTS || atoi(optarg) != 1) return 2;
  }
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit)) die("getrlimit", errno);
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit)) die("setrlimit", errno);
  puts("ready");
  fflush(stdout);
  for (;;) {
    int error = io_uring_submit_and_wait(&ring, 1);
    if (error < 0 && error != -EINTR) die("io_uring_submit_and_wait", -error);
    unsigned head, seen = 0;
    struct io_uring_cqe *done;
    io_uring_for_each_cqe(&ring, head, done) {
      on_completed(done);
      seen++;
    }
    io_uring_cq_advance(&ring, seen);
  }
}
