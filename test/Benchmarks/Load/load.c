/* The load generator: one thread, epoll.
 *
 * Every connection sends an endless, periodic stream of messages that differ from each other and from every other
 * connection's, and keeps `depth` of them unanswered. The answers must be the same stream: the comparison needs no parsing and
 * no buffer per connection, and detects data that is lost, repeated, reordered or sent to another connection.
 * A WebSocket's answers are a different stream, because only the client masks; it is compared in the same way.
 * An error of the server ends the program with a message and exit code 1. The result is one line of JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "load --line PORT | --frame PORT | --tls PORT | --unix PATH | --unix-frame PATH   where the measured connections go, and what\n"
    "                            they send: lines, or frames behind a 4-byte big-endian length; frames within TLS 1.3\n"
    "     --websocket PORT       ... or masked text messages, after an upgrade of GET /echo\n"
    "     --connections N        measured connections (64)\n"
    "     --size BYTES           of a line with its end, or of a frame without its length (64)\n"
    "     --depth N              messages in flight on each connection (1)\n"
    "     --churn                a connection carries one message and is closed; then the next one is opened\n"
    "     --resume               ... and resumes the TLS session of its predecessor\n"
    "     --refused              a connection sends nothing and must be closed without an answer; then the next one is opened\n"
    "     --idle N               as many further connections stay silent meanwhile ...\n"
    "     --idle-echo            ... after one message each\n"
    "     --blocking N           as many further connections have one message at a time in flight, at ...\n"
    "     --block PORT           ... this port\n"
    "     --memory N             measures no rate but resident memory for each of N idle connections ...\n"
    "     --stalled              ... of which each sends as much as the server takes, and reads no answers meanwhile\n"
    "     --slices S             also reports the messages and the server's CPU from the start of the measured window to the end of each slice\n"
    "     --warmup S --seconds S before the measured window, and of it (0, 1)\n"
    "     --pid N                the server, for its CPU time and memory\n";

/* A server that does not answer for this long has lost a message. */
#define STUCK_NS 10000000000ULL
/* Connections that are being opened at once: below every server's listen backlog. */
#define OPENING 128

/* Source addresses 127.0.0.1 to 127.0.0.64, each with ports of its own: TIME_WAIT holds 28,000 of one address for a minute. */
#define SOURCES 64
/* Connections that are opened and closed before a server's memory is first measured. */
#define REHEARSAL 300

enum { RECEIVE_BYTES = 512 * 1024, EVENTS = 512, SIDE_SIZE = 64, SUB_BITS = 7, BUCKETS = 48 << SUB_BITS };

/* The depth of a stalled connection: it sends in chunks of up to 16 messages. */
#define STALLED_DEPTH 15
/* The socket buffers of a stalled connection: the kernel must not hold more than the server does. */
#define STALLED_BUFFER (256 * 1024)
/* TCP may have backed off during the stall: its next attempt can be half a minute away. */
#define STALLED_STUCK_NS 60000000000ULL
/* A stalled connection that has sent less was not served. */
#define STALLED_LEAST 4096

/* LOAD, CHURN and REFUSED are measured. In addition: IDLE sends nothing, ONCE one message, LOOP one line after the other,
 * STALLED does not read. */
enum mode { LOAD, CHURN, REFUSED, IDLE, ONCE, LOOP, STALLED };

struct connection {
  enum mode mode;
  int fd;
  int port;
  SSL *tls;          /* NULL without TLS */
  SSL_SESSION *session; /* of the previous connection, to be resumed; NULL without */
  uint32_t depth;
  size_t message;    /* bytes of one message */
  size_t period;     /* bytes of depth + 1 messages */
  char *stream;      /* one period, and depth messages of the next: a send never has to wrap */
  size_t answer;     /* bytes of one message as it comes back */
  char *answers;     /* depth + 1 of them: the stream itself, but for a WebSocket */
  uint64_t due;      /* bytes that may be sent so far */
  uint64_t sent;
  uint64_t received;
  size_t pending;    /* bytes that a stalled connection has given to OpenSSL and that are not counted as sent */
  int finished;      /* a stalled connection has received all answers */
  uint64_t *issued;  /* when each unanswered message was due, ns: a ring of depth */
};

static struct {
  const char *path;
  int port, frame, tls, websocket, churn, resume, refused, stalled, idle_echo, block_port;
  unsigned connections, size, depth, idle, blocking, memory;
  double warmup, seconds, slices;
  pid_t pid;
} options = {.connections = 64, .size = 64, .depth = 1, .seconds = 1};

static int epoll_fd, draining;
static unsigned opened, outstanding;
static uint64_t last_answer, side_answers, answers, pushed, closed, resumed, histogram[BUCKETS];
static clockid_t server_clock;
static SSL_CTX *tls_context;
static char receive_buffer[RECEIVE_BYTES];

static void die(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("load: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  exit(1);
}

static uint64_t clock_ns(clockid_t clock) {
  struct timespec time;
  if (clock_gettime(clock, &time)) die("the clock of process %d: %s", (int)options.pid, strerror(errno));
  return (uint64_t)time.tv_sec * 1000000000ULL + (uint64_t)time.tv_nsec;
}

static uint64_t now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

static void *allocate(size_t count, size_t size) {
  void *memory = calloc(count, size);
  if (memory == NULL) die("out of memory");
  return memory;
}

/* Log-linear: 128 steps in each power of two, so a value is at most 0.8 % off. */
static unsigned bucket_of(uint64_t ns) {
  if (ns < 1U << SUB_BITS) return (unsigned)ns;
  unsigned shift = 63U - (unsigned)__builtin_clzll(ns) - SUB_BITS;
  unsigned bucket = ((shift + 1) << SUB_BITS) + (unsigned)((ns >> shift) & ((1U << SUB_BITS) - 1));
  return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static double percentile_us(double fraction) {
  uint64_t wanted = (uint64_t)((double)answers * fraction), seen = 0;
  for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
    seen += histogram[bucket];
    if (seen > wanted) {
      unsigned shift = bucket >> SUB_BITS;
      if (shift == 0) return bucket / 1e3;
      uint64_t low = (uint64_t)((bucket & ((1U << SUB_BITS) - 1)) | 1U << SUB_BITS) << (shift - 1);
      return (double)low / 1e3;
    }
  }
  return 0;
}

/* Letters only, so that a line has one \n. */
static void write_message(char *at, size_t size, int frame, uint64_t seed) {
  size_t body = size;
  if (frame) {
    uint32_t length = htonl((uint32_t)size);
    memcpy(at, &length, sizeof length);
    at += sizeof length;
  } else {
    at[--body] = '\n';
  }
  for (size_t i = 0; i < body; i++) {
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    at[i] = (char)('a' + (seed >> 33) % 26);
  }
}

/* The header of a final text frame (RFC 6455, 5.2); returns its bytes. */
static size_t write_header(char *at, size_t size, unsigned mask_bit) {
  enum { FINAL_TEXT = 0x81, LENGTH_16 = 126, LENGTH_64 = 127 };
  at[0] = (char)FINAL_TEXT;
  unsigned bytes = size < LENGTH_16 ? 0 : size <= UINT16_MAX ? 2 : 8;
  at[1] = (char)(mask_bit | (bytes == 0 ? size : bytes == 2 ? LENGTH_16 : LENGTH_64));
  for (unsigned i = 0; i < bytes; i++) at[2 + i] = (char)((uint64_t)size >> 8 * (bytes - 1 - i));
  return 2 + bytes;
}

/* Builds the streams from the messages without a header: as the client sends them, and as they are echoed. */
static void write_websocket(struct connection *c, size_t size) {
  enum { HEADER = 10, MASK_BIT = 0x80, MASK = 4 };
  char header[HEADER], *messages = c->stream;
  c->answer = write_header(header, size, 0) + size;
  c->message = c->answer + MASK;
  c->period = (c->depth + 1) * c->message;
  c->stream = allocate(2 * c->depth + 1, c->message);
  c->answers = allocate(c->depth + 1, c->answer);
  for (unsigned i = 0; i <= c->depth; i++) {
    char *message = messages + i * size, *answer = c->answers + i * c->answer, *sent = c->stream + i * c->message;
    memcpy(answer + write_header(answer, size, 0), message, size);
    sent += write_header(sent, size, MASK_BIT);
    /* Letters of the message itself, which differ from one to the next. */
    for (unsigned at = 0; at < MASK; at++) sent[at] = (char)(message[at % size] ^ (char)(0x80 + at));
    for (size_t at = 0; at < size; at++) sent[MASK + at] = (char)(message[at] ^ sent[at % MASK]);
  }
  free(messages);
}

static void prepare(struct connection *c, enum mode mode, int port, unsigned index) {
  int side = mode == LOOP, frame = !side && options.frame;
  size_t size = side ? SIDE_SIZE : options.size;
  c->mode = mode;
  c->fd = -1;
  c->port = port;
  c->depth = mode == LOAD ? options.depth : mode == STALLED ? STALLED_DEPTH : 1;
  c->message = size + (frame ? sizeof(uint32_t) : 0);
  c->period = (c->depth + 1) * c->message;
  c->stream = allocate(2 * c->depth + 1, c->message);
  c->issued = allocate(c->depth, sizeof *c->issued);
  for (unsigned i = 0; i <= c->depth; i++) write_message(c->stream + i * c->message, size, frame, (uint64_t)index << 32 | (uint64_t)mode << 28 | i);
  c->answer = c->message;
  c->answers = c->stream;
  if (options.websocket && !side) write_websocket(c, size);
  memcpy(c->stream + c->period, c->stream, c->depth * c->message);
}

/* Returns -1 if the server refused the connection while it was opened, which only --refused allows. */
static int connected_socket(int port) {
  int on = 1, small = STALLED_BUFFER, fd;
  if (port == 0) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (options.path == NULL || strlen(options.path) >= sizeof address.sun_path) die("no address, or one that is too long");
    strcpy(address.sun_path, options.path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) die("connect to %s: %s", options.path, strerror(errno));
    return fd;
  }
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + opened % SOURCES)};
  fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket: %s", strerror(errno));
  /* The port is chosen by connect, for this destination. */
  if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) ||
      (!options.churn && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on)) ||
      (options.stalled && (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small) || setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small))))
    die("setsockopt: %s", strerror(errno));
  if (bind(fd, (struct sockaddr *)&source, sizeof source)) die("bind: %s", strerror(errno));
  if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  if (!options.refused || errno != ECONNRESET) die("connect to port %d: %s", port, strerror(errno));
  close(fd);
  return -1;
}

/* OpenSSL's result in the form of a system call's. */
static ssize_t tls_result(struct connection *c, int n) {
  if (n > 0) return n;
  int error = SSL_get_error(c->tls, n);
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) errno = EAGAIN;
  else if (error == SSL_ERROR_ZERO_RETURN) return 0;
  else if (error != SSL_ERROR_SYSCALL || errno == 0) die("TLS: %s", ERR_error_string(ERR_get_error(), NULL));
  return -1;
}

static ssize_t transmit(struct connection *c, const char *bytes, size_t count) {
  return c->tls != NULL ? tls_result(c, SSL_write(c->tls, bytes, (int)count)) : send(c->fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static ssize_t take(struct connection *c, char *bytes, size_t count) {
  return c->tls != NULL ? tls_result(c, SSL_read(c->tls, bytes, (int)count)) : recv(c->fd, bytes, count, MSG_DONTWAIT);
}

static void send_due(struct connection *c) {
  while (c->sent < c->due) {
    ssize_t n = transmit(c, c->stream + c->sent % c->period, (size_t)(c->due - c->sent));
    if (n < 0) {
      if (errno == EAGAIN) return;
      if (errno == EINTR) continue;
      die("send: %s", strerror(errno));
    }
    c->sent += (uint64_t)n;
  }
}

/* Keeps the last ticket of a connection for the next one in its place. */
static int keep_session(SSL *tls, SSL_SESSION *session) {
  struct connection *c = SSL_get_app_data(tls);
  SSL_SESSION_free(c->session);
  c->session = session;
  return 1;
}

/* A full handshake for each connection, or with --resume a resumption from the second one on. */
static void begin_tls(struct connection *c) {
  int flags = fcntl(c->fd, F_GETFL);
  if (flags < 0 || fcntl(c->fd, F_SETFL, flags | O_NONBLOCK)) die("fcntl: %s", strerror(errno));
  if ((c->tls = SSL_new(tls_context)) == NULL || !SSL_set_fd(c->tls, c->fd)) die("SSL_new: %s", ERR_error_string(ERR_get_error(), NULL));
  SSL_set_app_data(c->tls, c);
  if (c->session != NULL && !SSL_set_session(c->tls, c->session)) die("SSL_set_session: %s", ERR_error_string(ERR_get_error(), NULL));
  SSL_set_connect_state(c->tls);
}

static void send_all(int fd, const char *bytes, size_t count) {
  if (send(fd, bytes, count, MSG_NOSIGNAL) != (ssize_t)count) die("send: %s", strerror(errno));
}

/* Blocks, as connecting does: the server sends nothing but the answer to this. */
static void upgrade(struct connection *c) {
  /* The key and its answer are those of RFC 6455, 1.3. */
  static const char request[] = "GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  char response[2048];
  size_t count = 0;
  send_all(c->fd, request, sizeof request - 1);
  do {
    ssize_t n = recv(c->fd, response + count, sizeof response - 1 - count, 0);
    if (n <= 0) die("no answer to the upgrade, after %zu bytes", count);
    count += (size_t)n;
    response[count] = 0;
  } while (count < sizeof response - 1 && strstr(response, "\r\n\r\n") == NULL);
  if (strncmp(response, "HTTP/1.1 101 ", 13) != 0 || strstr(response, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") == NULL)
    die("no upgrade to a WebSocket: %s", response);
}

/* The close handshake, so that the server's close is not an error. */
static void close_websocket(struct connection *c) {
  static const char farewell[] = "\x88\x82\x11\x22\x33\x44\x12\xca", expected[] = "\x88\x02\x03\xe8";
  char received[16];
  send_all(c->fd, farewell, sizeof farewell - 1);
  ssize_t n = recv(c->fd, received, sizeof received, 0);
  if (n != sizeof expected - 1 || memcmp(received, expected, sizeof expected - 1) != 0) die("no close frame, but %zd bytes", n);
}

static void issue(struct connection *c, uint64_t first, uint64_t count, uint64_t now) {
  for (uint64_t i = first; i < first + count; i++) c->issued[i % c->depth] = now;
  c->due += count * c->message;
  outstanding += (unsigned)count;
  send_due(c);
}

static void count_refusal(struct connection *c) {
  last_answer = now_ns();
  histogram[bucket_of(last_answer - c->issued[0])]++;
  answers++;
  outstanding--;
}

static void open_connection(struct connection *c) {
  uint64_t begun = now_ns();
  while ((c->fd = connected_socket(c->port)) < 0) {
    opened++;
    outstanding++;
    c->issued[0] = begun;
    count_refusal(c);
    begun = last_answer;
    if (draining) return;
  }
  c->due = c->sent = c->received = 0;
  if (tls_context != NULL && c->mode != IDLE && c->mode != LOOP && c->mode != REFUSED) begin_tls(c);
  if (options.websocket && c->mode != LOOP) upgrade(c);
  opened++;
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event)) die("epoll_ctl: %s", strerror(errno));
  if (c->mode == REFUSED) {
    c->issued[0] = begun;
    outstanding++;
  } else if (c->mode != IDLE && c->mode != STALLED) {
    issue(c, 0, c->depth, begun);
  }
}

static void close_connection(struct connection *c) {
  if (options.websocket && c->mode != LOOP && c->fd >= 0) close_websocket(c);
  if (c->tls != NULL) {
    closed++;
    resumed += (unsigned)SSL_session_reused(c->tls);
    SSL_shutdown(c->tls);
    SSL_free(c->tls);
    c->tls = NULL;
  }
  if (c->fd >= 0 && close(c->fd)) die("close: %s", strerror(errno));
  c->fd = -1;
}

static void compare(struct connection *c, const char *bytes, size_t count) {
  size_t period = (c->depth + 1) * c->answer;
  /* The possible answer to a partly sent message, if answer and message have the same length. */
  uint64_t answerable = c->sent / c->message * c->answer + (c->answer == c->message ? c->sent % c->message : 0) + c->pending;
  if (c->received + count > answerable) die("the server sent %llu bytes for %llu", (unsigned long long)(c->received + count), (unsigned long long)c->sent);
  while (count > 0) {
    size_t at = (size_t)(c->received % period), part = period - at < count ? period - at : count;
    if (memcmp(c->answers + at, bytes, part) != 0) die("other bytes came back, in the %zu from byte %llu", part, (unsigned long long)c->received);
    c->received += part;
    bytes += part;
    count -= part;
  }
}

static void count_answers(struct connection *c, uint64_t first, uint64_t count) {
  uint64_t now = now_ns();
  outstanding -= (unsigned)count;
  last_answer = now;
  if (c->mode == LOAD || c->mode == CHURN) {
    for (uint64_t i = first; i < first + count; i++) histogram[bucket_of(now - c->issued[i % c->depth])]++;
    answers += count;
  } else {
    side_answers += count;
  }
  if (c->mode == CHURN) {
    close_connection(c);
    if (!draining) open_connection(c);
  } else if (c->mode != ONCE && !draining) {
    issue(c, first + c->depth, count, now);
  }
}

/* Expects a close or a reset, and no byte. */
static void receive_refusal(struct connection *c) {
  ssize_t n = take(c, receive_buffer, sizeof receive_buffer);
  if (n > 0) die("a connection that should be refused received %zd bytes", n);
  if (n < 0 && errno == EAGAIN) return;
  if (n < 0 && errno != ECONNRESET) die("recv: %s", strerror(errno));
  count_refusal(c);
  close_connection(c);
  if (!draining) open_connection(c);
}

/* Sends until the server takes nothing more, or after the measurement to the end of a period. Nothing is read: only the handshake is. */
static void push(struct connection *c) {
  while (!draining || c->pending > 0 || c->sent % c->period != 0) {
    size_t at = (size_t)(c->sent % c->period);
    ssize_t n = transmit(c, c->stream + at, c->period - at);
    c->pending = n < 0 && c->tls != NULL ? c->period - at : 0;
    if (n < 0) {
      if (errno == EAGAIN) return;
      if (errno == EINTR) continue;
      die("send: %s", strerror(errno));
    }
    c->sent += (uint64_t)n;
    pushed += (uint64_t)n;
  }
}

static void receive(struct connection *c, uint32_t events) {
  int ending = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
  for (;;) {
    ssize_t n = take(c, receive_buffer, sizeof receive_buffer);
    if (n < 0) {
      if (errno == EAGAIN) {
        /* The received data may complete the handshake that due messages wait for. */
        if (c->tls != NULL && c->mode == STALLED) push(c);
        else if (c->tls != NULL) send_due(c);
        return;
      }
      if (errno == EINTR) continue;
      die("recv: %s", strerror(errno));
    }
    if (n == 0) die("the server closed a connection after %llu bytes", (unsigned long long)c->received);
    uint64_t before = c->received / c->answer;
    compare(c, receive_buffer, (size_t)n);
    uint64_t after = c->received / c->answer;
    if (c->mode == STALLED) {
      last_answer = now_ns();
    } else if (after > before) {
      count_answers(c, before, after - before);
      if (c->mode == CHURN) return;
    }
    if (c->tls == NULL && (size_t)n < sizeof receive_buffer && !ending) return;
  }
}

static void receive_stalled(struct connection *c, uint32_t events) {
  if (c->finished) return;
  push(c);
  receive(c, events);
  c->finished = c->pending == 0 && c->sent % c->period == 0 && c->received == c->sent;
  if (c->finished) outstanding--;
}

static void poll_events(int timeout_ms) {
  struct epoll_event events[EVENTS];
  int count = epoll_wait(epoll_fd, events, EVENTS, timeout_ms);
  if (count < 0 && errno != EINTR) die("epoll_wait: %s", strerror(errno));
  for (int i = 0; i < count; i++) {
    struct connection *c = events[i].data.ptr;
    if (c->mode == REFUSED) {
      if (events[i].events & ~(uint32_t)EPOLLOUT) receive_refusal(c);
      continue;
    }
    if (c->mode == STALLED) {
      if (!draining && events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) die("the server closed a stalled connection after %llu bytes", (unsigned long long)c->sent);
      if (draining) receive_stalled(c, events[i].events);
      else push(c);
      continue;
    }
    if (events[i].events & EPOLLOUT) send_due(c);
    if (events[i].events & ~(uint32_t)EPOLLOUT) receive(c, events[i].events);
  }
  if (outstanding > 0 && now_ns() - last_answer > (options.stalled && draining ? STALLED_STUCK_NS : STUCK_NS)) die("%u messages were not answered", outstanding);
}

static void wait_for_answers(unsigned left) {
  last_answer = now_ns();
  while (outstanding > left) poll_events(1000);
}

static void pause_ms(long ms) {
  struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
  nanosleep(&time, NULL);
}

/* Counts only sockets, because a runtime also keeps every assembly open that it has used. */
static long server_sockets(void) {
  char path[64], target[8];
  snprintf(path, sizeof path, "/proc/%d/fd", (int)options.pid);
  DIR *directory = opendir(path);
  if (directory == NULL) die("%s: %s", path, strerror(errno));
  long count = 0;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
    count += readlinkat(dirfd(directory), entry->d_name, target, sizeof target) > 7 && memcmp(target, "socket:", 7) == 0;
  closedir(directory);
  return count;
}

/* Waits until the server has opened (or closed) its sockets: nothing else shows that an idle connection was accepted. */
static void wait_for_sockets(long wanted, int rising) {
  /* A runtime opens and closes a few sockets itself. */
  enum { OWN = 8 };
  uint64_t begun = now_ns();
  while (rising ? server_sockets() < wanted - OWN : server_sockets() > wanted + OWN) {
    if (now_ns() - begun > STUCK_NS) die("the server has %ld sockets, not %ld", server_sockets(), wanted);
    pause_ms(1);
  }
}

static struct connection *open_side(unsigned count, enum mode mode, int port) {
  struct connection *side = allocate(count, sizeof *side);
  long before = mode == IDLE ? server_sockets() : 0;
  for (unsigned i = 0; i < count; i++) {
    prepare(&side[i], mode, port, i);
    open_connection(&side[i]);
    if (mode == ONCE) wait_for_answers(OPENING);
    if (mode == IDLE && (i % OPENING == OPENING - 1 || i == count - 1)) wait_for_sockets(before + i + 1, 1);
  }
  if (mode == ONCE) wait_for_answers(0);
  return side;
}

static long resident_kib(void) {
  char path[64], line[256];
  long kib = -1;
  snprintf(path, sizeof path, "/proc/%d/status", (int)options.pid);
  FILE *status = fopen(path, "r");
  if (status == NULL) die("%s: %s", path, strerror(errno));
  while (kib < 0 && fgets(line, sizeof line, status) != NULL) sscanf(line, "VmRSS: %ld kB", &kib);
  fclose(status);
  if (kib < 0) die("no VmRSS in %s", path);
  return kib;
}

/* The memory once it is unchanged for half a second, or its value after five seconds. */
static long settled_kib(void) {
  long last = resident_kib();
  for (int still = 0, polls = 0; still < 5 && polls < 50; polls++) {
    pause_ms(100);
    long next = resident_kib();
    still = next == last ? still + 1 : 0;
    last = next;
  }
  return last;
}

static void close_all(struct connection *all, unsigned count) {
  for (unsigned i = 0; i < count; i++) {
    close_connection(&all[i]);
    if (all[i].answers != all[i].stream) free(all[i].answers);
    free(all[i].stream);
    free(all[i].issued);
    SSL_SESSION_free(all[i].session);
  }
  free(all);
}

static void rehearse(void) {
  long before = server_sockets();
  /* With TLS one at a time: the memory of 300 at once would be reused by as many of the few hundred stalled ones. */
  unsigned at_once = options.tls ? 1 : REHEARSAL;
  for (unsigned done = 0; done < REHEARSAL; done += at_once) close_all(open_side(at_once, ONCE, options.port), at_once);
  wait_for_sockets(before, 0);
}

static void run_until(uint64_t end) {
  for (uint64_t now = now_ns(); now < end; now = now_ns()) poll_events((int)((end - now) / 1000000) + 1);
}

static void measure(void) {
  struct connection *load = allocate(options.connections, sizeof *load);
  for (unsigned i = 0; i < options.connections; i++) {
    prepare(&load[i], options.refused ? REFUSED : options.churn ? CHURN : LOAD, options.port, i);
    open_connection(&load[i]);
  }
  uint64_t all = 0, begun = last_answer = now_ns();
  run_until(begun + (uint64_t)(options.warmup * 1e9));
  all = answers;
  answers = side_answers = closed = resumed = 0;
  memset(histogram, 0, sizeof histogram);
  uint64_t start = now_ns(), own = clock_ns(CLOCK_PROCESS_CPUTIME_ID), server = options.pid ? clock_ns(server_clock) : 0;
  unsigned slices = options.slices > 0 ? (unsigned)(options.seconds / options.slices) : 0;
  struct {
    uint64_t messages, server;
  } *slice = allocate(slices + 1, sizeof *slice);
  for (unsigned i = 0; i < slices; i++) {
    run_until(start + (uint64_t)((i + 1) * options.slices * 1e9));
    slice[i].messages = answers;
    slice[i].server = options.pid ? clock_ns(server_clock) - server : 0;
  }
  run_until(start + (uint64_t)(options.seconds * 1e9));
  server = options.pid ? clock_ns(server_clock) - server : 0;
  own = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - own;
  double seconds = (double)(now_ns() - start) / 1e9;
  uint64_t messages = answers, side = side_answers, handshakes = closed, resumptions = resumed;
  /* Next to blocking handlers, that is a result. */
  if (messages == 0 && options.blocking == 0) die("no message was answered");
  double p50 = percentile_us(0.5), p99 = percentile_us(0.99), p999 = percentile_us(0.999);
  draining = 1;
  wait_for_answers(0);
  close_all(load, options.connections);
  printf("{\"messages\": %llu, \"all_messages\": %llu, \"seconds\": %.3f, \"rate\": %.1f, \"load_busy\": %.3f, \"blocking_messages\": %llu",
         (unsigned long long)messages, (unsigned long long)(all + answers), seconds, (double)messages / seconds, (double)own / 1e9 / seconds,
         (unsigned long long)side);
  if (messages > 0) printf(", \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f", p50, p99, p999);
  if (messages > 0 && options.pid)
    printf(", \"server_busy\": %.3f, \"server_cpu_us\": %.3f", (double)server / 1e9 / seconds, (double)server / 1e3 / (double)messages);
  if (options.resume) printf(", \"resumed\": %.3f", handshakes > 0 ? (double)resumptions / (double)handshakes : 0);
  for (unsigned i = 0; i < slices; i++) printf("%s%llu", i == 0 ? ", \"slices\": [" : ", ", (unsigned long long)slice[i].messages);
  for (unsigned i = 0; i < slices; i++) printf("%s%llu", i == 0 ? "], \"slices_cpu_us\": [" : ", ", (unsigned long long)slice[i].server / 1000);
  puts(slices > 0 ? "]}" : "}");
  free(slice);
}

/* Sends on all connections until the server has taken nothing for a second. */
static void stall(struct connection *all, unsigned first, unsigned end) {
  enum { QUIET_MS = 1000, MOST_MS = 15000, STEP_MS = 50 };
  for (unsigned i = first; i < end; i++) {
    prepare(&all[i], STALLED, options.port, i);
    open_connection(&all[i]);
    push(&all[i]);
    if (i % OPENING == OPENING - 1) run_until(now_ns() + STEP_MS * 1000000ULL);
  }
  uint64_t before = pushed;
  for (int quiet = 0, all_ms = 0; quiet < QUIET_MS; all_ms += STEP_MS) {
    if (all_ms >= MOST_MS) die("stalled connections were still served after %d s: the server buffers without a limit", MOST_MS / 1000);
    run_until(now_ns() + STEP_MS * 1000000ULL);
    quiet = pushed == before ? quiet + STEP_MS : 0;
    before = pushed;
  }
  for (unsigned i = first; i < end; i++)
    if (all[i].sent < STALLED_LEAST) die("a stalled connection has sent only %llu bytes", (unsigned long long)all[i].sent);
}

/* Reads and compares all answers, so that the measured bytes were those of an echo. */
static void resume_stalled(struct connection *all) {
  draining = 1;
  outstanding = options.memory;
  last_answer = now_ns();
  for (unsigned i = 0; i < options.memory; i++) {
    receive_stalled(&all[i], 0);
  }
  wait_for_answers(0);
}

static void measure_memory(void) {
  rehearse();
  /* The first fifth of the stalled connections is in the base: what a server allocates once for all of them is not counted. */
  unsigned base = options.stalled ? options.memory / 5 : 0;
  struct connection *stalled = options.stalled ? allocate(options.memory, sizeof *stalled) : NULL;
  if (stalled != NULL) stall(stalled, 0, base);
  long before = settled_kib();
  if (stalled != NULL) stall(stalled, base, options.memory);
  if (stalled == NULL) open_side(options.memory, options.idle_echo ? ONCE : IDLE, options.port);
  long after = settled_kib();
  if (stalled != NULL) resume_stalled(stalled);
  printf("{\"connections\": %u, \"before_kib\": %ld, \"after_kib\": %ld, \"kib_per_connection\": %.3f, \"sent_per_connection\": %.0f}\n", options.memory,
         before, after, (double)(after - before) / (options.memory - base), (double)pushed / options.memory);
}

static void timed_out(int signal) {
  (void)signal;
  static const char text[] = "load: the server does not accept\n";
  _exit(write(STDERR_FILENO, text, sizeof text - 1) < 0 ? 2 : 1);
}

static void parse(int count, char **values) {
  enum { LINE = 1, FRAME, TLS, UNIX, UNIX_FRAME, WEBSOCKET, CONNECTIONS, SIZE, DEPTH, CHURNS, RESUME, REFUSE, STALL, SLICES, IDLES, IDLE_ECHO, BLOCKING, BLOCK, MEMORY, WARMUP, SECONDS, PID };
  static const struct option names[] = {
      {"line", 1, 0, LINE}, {"frame", 1, 0, FRAME}, {"tls", 1, 0, TLS}, {"unix", 1, 0, UNIX}, {"unix-frame", 1, 0, UNIX_FRAME}, {"websocket", 1, 0, WEBSOCKET},
      {"connections", 1, 0, CONNECTIONS},
      {"size", 1, 0, SIZE}, {"depth", 1, 0, DEPTH}, {"churn", 0, 0, CHURNS}, {"resume", 0, 0, RESUME}, {"refused", 0, 0, REFUSE}, {"stalled", 0, 0, STALL},
      {"slices", 1, 0, SLICES}, {"idle", 1, 0, IDLES}, {"idle-echo", 0, 0, IDLE_ECHO},
      {"blocking", 1, 0, BLOCKING}, {"block", 1, 0, BLOCK}, {"memory", 1, 0, MEMORY}, {"warmup", 1, 0, WARMUP}, {"seconds", 1, 0, SECONDS},
      {"pid", 1, 0, PID}, {0}};
  int option;
  while ((option = getopt_long(count, values, "", names, NULL)) != -1) {
    if (option == FRAME || option == TLS || option == UNIX_FRAME) options.frame = 1;
    if (option == TLS) options.tls = 1;
    if (option == WEBSOCKET) options.websocket = 1;
    switch (option) {
      case LINE: case FRAME: case TLS: case WEBSOCKET: options.port = atoi(optarg); break;
      case UNIX: case UNIX_FRAME: options.path = optarg; break;
      case CONNECTIONS: options.connections = (unsigned)atoi(optarg); break;
      case SIZE: options.size = (unsigned)atoi(optarg); break;
      case DEPTH: options.depth = (unsigned)atoi(optarg); break;
      case CHURNS: options.churn = 1; break;
      case RESUME: options.resume = 1; break;
      case REFUSE: options.refused = 1; break;
      case STALL: options.stalled = 1; break;
      case SLICES: options.slices = atof(optarg); break;
      case IDLES: options.idle = (unsigned)atoi(optarg); break;
      case IDLE_ECHO: options.idle_echo = 1; break;
      case BLOCKING: options.blocking = (unsigned)atoi(optarg); break;
      case BLOCK: options.block_port = atoi(optarg); break;
      case MEMORY: options.memory = (unsigned)atoi(optarg); break;
      case WARMUP: options.warmup = atof(optarg); break;
      case SECONDS: options.seconds = atof(optarg); break;
      case PID: options.pid = atoi(optarg); break;
      default: fputs(usage, stderr); exit(2);
    }
  }
  int needs_pid = options.memory > 0 || (options.idle > 0 && !options.idle_echo);
  if (optind != count || (options.port == 0) == (options.path == NULL) || options.connections == 0 || options.size == 0 || options.depth == 0 ||
      (needs_pid && options.pid == 0) || (options.tls && options.memory > 0 && !options.idle_echo && !options.stalled) ||
      (options.resume && !(options.tls && options.churn)) || (options.refused && (options.churn || options.websocket)) || (options.blocking > 0 && options.block_port == 0)) {
    fputs(usage, stderr);
    exit(2);
  }
}

int main(int count, char **values) {
  parse(count, values);
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit)) die("getrlimit: %s", strerror(errno));
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit)) die("setrlimit: %s", strerror(errno));
  if (options.pid && (errno = clock_getcpuclockid(options.pid, &server_clock)) != 0) die("process %d: %s", (int)options.pid, strerror(errno));
  if ((epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0) die("epoll_create1: %s", strerror(errno));
  if (options.tls) {
    /* The server's certificate is self-signed and not part of the measurement. */
    tls_context = SSL_CTX_new(TLS_client_method());
    if (tls_context == NULL || !SSL_CTX_set_min_proto_version(tls_context, TLS1_3_VERSION)) die("no TLS 1.3");
    /* One cipher and one group, so that all servers do the same work. */
    if (!SSL_CTX_set_ciphersuites(tls_context, "TLS_AES_256_GCM_SHA384") || !SSL_CTX_set1_groups_list(tls_context, "X25519")) die("no AES-256-GCM or X25519");
    SSL_CTX_set_mode(tls_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | (options.memory > 0 ? SSL_MODE_RELEASE_BUFFERS : 0));
    SSL_CTX_set_session_cache_mode(tls_context, options.resume ? SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL : SSL_SESS_CACHE_OFF);
    if (options.resume) SSL_CTX_sess_set_new_cb(tls_context, keep_session);
  }
  /* Connecting blocks; the alarm ends it if no server accepts. */
  signal(SIGALRM, timed_out);
  alarm((unsigned)(options.warmup + options.seconds) + 120);
  if (options.memory > 0) {
    measure_memory();
    return 0;
  }
  long before = options.pid ? server_sockets() : 0;
  struct connection *idle = open_side(options.idle, options.idle_echo ? ONCE : IDLE, options.port);
  struct connection *blocking = open_side(options.blocking, LOOP, options.block_port);
  measure();
  close_all(idle, options.idle);
  close_all(blocking, options.blocking);
  /* The next measurement must not run while these connections are closing. */
  if (options.pid) wait_for_sockets(before, 0);
  return 0;
}
