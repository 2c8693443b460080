/* The load generator of broadcasts: one thread, epoll.
 *
 * It opens connections that only receive, and sends a line on a control connection. The server sends the line to every connection, and then the
 * nanoseconds of its call as a line to the control connection. The next line follows when every connection has received the previous one.
 * Every received byte is verified, and the lines differ. With SignalR, a line is the argument of a JSON message in a WebSocket frame.
 * After an error of the server, the program exits with a message and code 1. The result is one line of JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "broadcast --messages PORT | --signalr PORT   port of the receiving connections\n"
    "     --control PORT         control connection: lines to broadcast\n"
    "     --connections N        receiving connections (10000)\n"
    "     --size BYTES           length of a line with its line feed (100)\n"
    "     --warmup S --seconds S warm-up and measured window, in seconds (0, 1)\n"
    "     --memory               measures the server's memory per connection instead of the rate\n"
    "     --pid N                the server's process, for its CPU time and memory\n";

/* Timeout without a delivery, after which a message counts as lost. */
#define STUCK_NS 10000000000ULL
/* Connections opened concurrently: below every server's listen backlog. */
#define OPENING 128
/* Source addresses 127.0.0.1 to 127.0.0.64, each with its own ephemeral ports. */
#define SOURCES 64
/* Connections opened and closed before the first memory measurement. */
#define REHEARSAL 300

enum { EVENTS = 512, MOST = 4096, FRAME = 256, ROUNDS = 1 << 20 };

/* The greeting of a server after a connection has joined. */
static const char greeting[] = "joined\n";

struct connection {
  int fd;
  uint32_t received; /* bytes received of the current message */
  char *opening;     /* SignalR: bytes received before the first message */
};

static struct {
  int port, control, signalr, memory;
  unsigned connections, size;
  double warmup, seconds;
  pid_t pid;
} options = {.connections = 10000, .size = 100, .seconds = 1};

static int epoll_fd, control_fd;
static unsigned opened, outstanding;
static char expected[MOST + FRAME];
static size_t expected_bytes;
static clockid_t server_clock;

static void die(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("broadcast: ", stderr);
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

static void pause_ms(long ms) {
  struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
  nanosleep(&time, NULL);
}

static void send_all(int fd, const char *bytes, size_t count) {
  if (send(fd, bytes, count, MSG_NOSIGNAL) != (ssize_t)count) die("send: %s", strerror(errno));
}

static int connected_socket(int port) {
  int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + opened++ % SOURCES)};
  if (fd < 0) die("socket: %s", strerror(errno));
  if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on))
    die("setsockopt: %s", strerror(errno));
  if (bind(fd, (struct sockaddr *)&source, sizeof source)) die("bind: %s", strerror(errno));
  if (connect(fd, (struct sockaddr *)&address, sizeof address)) die("connect to port %d: %s", port, strerror(errno));
  return fd;
}

/* Blocks until the received bytes end with the given suffix. */
static void receive_until(int fd, const char *end, char *bytes, size_t size) {
  size_t count = 0, length = strlen(end);
  do {
    ssize_t n = recv(fd, bytes + count, size - 1 - count, 0);
    if (n <= 0) die("the server closed a connection, after %zu bytes of an answer", count);
    count += (size_t)n;
    bytes[count] = 0;
  } while (count < length || memcmp(bytes + count - length, end, length) != 0);
}

/* Writes a WebSocket text frame; a client's frame has a mask of zeros. Returns its length. */
static size_t write_frame(char *at, const char *text, size_t size, int masked) {
  enum { FINAL_TEXT = 0x81, LENGTH_16 = 126, MASK_BIT = 0x80, MASK = 4 };
  size_t header = size < LENGTH_16 ? 2 : 4;
  at[0] = (char)FINAL_TEXT;
  at[1] = (char)((masked ? MASK_BIT : 0) | (size < LENGTH_16 ? (int)size : LENGTH_16));
  if (header == 4) {
    at[2] = (char)(size >> 8);
    at[3] = (char)size;
  }
  if (masked) memset(at + header, 0, MASK), header += MASK;
  memcpy(at + header, text, size);
  return header + size;
}

/* Sets the bytes that every connection must receive for a line. */
static void expect(const char *line, size_t size) {
  if (!options.signalr) {
    memcpy(expected, line, size);
    expected_bytes = size;
    return;
  }
  char text[MOST + FRAME];
  int count = snprintf(text, sizeof text, "{\"type\":1,\"target\":\"m\",\"arguments\":[\"%.*s\"]}\x1e", (int)size - 1, line);
  expected_bytes = write_frame(expected, text, (size_t)count, 0);
}

/* Sends the WebSocket upgrade and SignalR's handshake without waiting for a response. */
static void begin_signalr(struct connection *c) {
  /* The key and its answer are those of RFC 6455, 1.3. */
  static const char request[] = "GET /hub HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  static const char handshake[] = "{\"protocol\":\"json\",\"version\":1}\x1e";
  char bytes[sizeof request + sizeof handshake + FRAME];
  memcpy(bytes, request, sizeof request - 1);
  send_all(c->fd, bytes, sizeof request - 1 + write_frame(bytes + sizeof request - 1, handshake, sizeof handshake - 1, 1));
  if ((c->opening = calloc(1, MOST)) == NULL) die("out of memory");
}

/* Returns whether the upgrade, SignalR's handshake response and the greeting have arrived; the last two may share a frame. */
static int is_open(const struct connection *c) {
  static const char joined[] = "{}\x1e{\"type\":1,\"target\":\"m\",\"arguments\":[\"joined\"]}\x1e";
  char text[sizeof joined];
  size_t count = 0;
  const char *at = strstr(c->opening, "\r\n\r\n"), *end = c->opening + c->received;
  if (at == NULL) return 0;
  if (strncmp(c->opening, "HTTP/1.1 101 ", 13) != 0 || strstr(c->opening, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") == NULL) die("WebSocket upgrade failed: %s", c->opening);
  for (at += 4; count < sizeof joined - 1; at += 2 + at[1]) {
    if (end - at < 2 || end - at < 2 + at[1]) return 0;
    if (at[0] != '\x81' || at[1] < 0 || count + (size_t)at[1] > sizeof joined - 1) die("unexpected response to SignalR's handshake");
    memcpy(text + count, at + 2, (size_t)at[1]);
    count += (size_t)at[1];
  }
  if (at != end || memcmp(text, joined, count) != 0) die("unexpected response to SignalR's handshake");
  return 1;
}

static void receive_opening(struct connection *c) {
  for (;;) {
    ssize_t n = recv(c->fd, c->opening + c->received, MOST - 1 - c->received, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) die("the server closed a connection during its handshake");
    c->received += (uint32_t)n;
    if (is_open(c)) {
      free(c->opening);
      c->opening = NULL;
      outstanding--;
      return;
    }
  }
}

static void receive(struct connection *c, uint32_t events) {
  char bytes[MOST];
  if (c->opening != NULL) {
    receive_opening(c);
    return;
  }
  int ending = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
  for (;;) {
    ssize_t n = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) die("recv: %s", strerror(errno));
    if (n == 0) die("the server closed a connection");
    if (c->received + (size_t)n > expected_bytes) die("received %zu bytes, expected %zu", c->received + (size_t)n, expected_bytes);
    if (memcmp(expected + c->received, bytes, (size_t)n) != 0) die("unexpected content in %zd bytes from offset %u", n, c->received);
    c->received += (uint32_t)n;
    if (c->received == expected_bytes) outstanding--;
    if ((size_t)n < sizeof bytes && !ending) return;
  }
}

static void wait_for_messages(unsigned left) {
  struct epoll_event events[EVENTS];
  uint64_t begun = now_ns();
  while (outstanding > left) {
    int count = epoll_wait(epoll_fd, events, EVENTS, 1000);
    if (count < 0 && errno != EINTR) die("epoll_wait: %s", strerror(errno));
    for (int i = 0; i < count; i++) receive(events[i].data.ptr, events[i].events);
    if (count <= 0 && now_ns() - begun > STUCK_NS) die("%u connections did not receive the message", outstanding);
  }
}

/* Opens the connections, and waits for the greeting of each. */
static struct connection *open_all(unsigned count) {
  struct connection *all = calloc(count, sizeof *all);
  if (all == NULL) die("out of memory");
  expect(greeting, sizeof greeting - 1);
  for (unsigned i = 0; i < count; i++) {
    all[i].fd = connected_socket(options.port);
    if (options.signalr) begin_signalr(&all[i]);
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = &all[i]};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, all[i].fd, &event)) die("epoll_ctl: %s", strerror(errno));
    outstanding++;
    wait_for_messages(OPENING);
  }
  wait_for_messages(0);
  return all;
}

static void close_all(struct connection *all, unsigned count) {
  for (unsigned i = 0; i < count; i++) close(all[i].fd);
  free(all);
}

/* Sends a line to the server and returns the number in its answer. */
static uint64_t ask(const char *line, size_t size, int receives) {
  char answer[64];
  send_all(control_fd, line, size);
  if (receives) wait_for_messages(0);
  receive_until(control_fd, "\n", answer, sizeof answer);
  return strtoull(answer, NULL, 10);
}

static int by_size(const void *one, const void *other) {
  uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
  return (a > b) - (a < b);
}

static void measure(void) {
  struct connection *all = open_all(options.connections);
  static uint64_t times[ROUNDS], calls[ROUNDS];
  char line[MOST];
  uint64_t seed = (uint64_t)options.pid, begun = now_ns(), window = begun + (uint64_t)(options.warmup * 1e9), start = 0, server = 0, own = 0, end = 0;
  unsigned rounds = 0, warming = 1, before = 0;
  line[options.size - 1] = '\n';
  while (rounds < ROUNDS) {
    uint64_t now = now_ns();
    if (warming && now >= window) {
      warming = 0;
      start = now;
      server = options.pid ? clock_ns(server_clock) : 0;
      own = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
      end = start + (uint64_t)(options.seconds * 1e9);
    }
    if (!warming && now >= end && rounds > 0) break;
    for (unsigned i = 0; i < options.size - 1; i++) {
      seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
      line[i] = (char)('a' + (seed >> 33) % 26);
    }
    expect(line, options.size);
    for (unsigned i = 0; i < options.connections; i++) all[i].received = 0;
    outstanding = options.connections;
    now = now_ns();
    uint64_t call = ask(line, options.size, 1);
    if (warming) before++;
    else times[rounds] = now_ns() - now, calls[rounds++] = call;
  }
  uint64_t elapsed = now_ns() - start;
  own = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - own;
  server = options.pid ? clock_ns(server_clock) - server : 0;
  qsort(times, rounds, sizeof *times, by_size);
  qsort(calls, rounds, sizeof *calls, by_size);
  double messages = (double)rounds * options.connections, seconds = (double)elapsed / 1e9;
  printf("{\"messages\": %.0f, \"all_messages\": %.0f, \"broadcasts\": %u, \"seconds\": %.3f, \"rate\": %.1f, \"wall_us\": %.4f, \"call_us\": %.4f, \"load_busy\": %.3f",
         messages, messages + (double)before * options.connections, rounds, seconds, messages / seconds, (double)times[rounds / 2] / 1e3 / options.connections,
         (double)calls[rounds / 2] / 1e3 / options.connections, (double)own / 1e9 / seconds);
  if (options.pid) printf(", \"server_busy\": %.3f, \"server_cpu_us\": %.4f", (double)server / 1e9 / seconds, (double)server / 1e3 / messages);
  puts("}");
  close_all(all, options.connections);
}

static long resident_bytes(void) {
  char path[64];
  long pages = -1;
  snprintf(path, sizeof path, "/proc/%d/statm", (int)options.pid);
  FILE *status = fopen(path, "r");
  if (status == NULL || fscanf(status, "%*d %ld", &pages) != 1) die("%s: %s", path, strerror(errno));
  fclose(status);
  return pages * sysconf(_SC_PAGESIZE);
}

/* Measures managed and resident bytes, both after a full collection. */
static void measure_memory(void) {
  static const char question[] = "memory\n";
  struct connection *few = open_all(REHEARSAL);
  close_all(few, REHEARSAL);
  pause_ms(500);
  double managed = (double)ask(question, sizeof question - 1, 0), resident = (double)resident_bytes();
  struct connection *all = open_all(options.connections);
  pause_ms(500);
  managed = ((double)ask(question, sizeof question - 1, 0) - managed) / options.connections;
  resident = ((double)resident_bytes() - resident) / options.connections;
  printf("{\"connections\": %u, \"managed_per_connection\": %.1f, \"resident_per_connection\": %.1f}\n", options.connections, managed, resident);
  close_all(all, options.connections);
}

static void timed_out(int signal) {
  (void)signal;
  static const char text[] = "broadcast: the server does not answer\n";
  _exit(write(STDERR_FILENO, text, sizeof text - 1) < 0 ? 2 : 1);
}

static void parse(int count, char **values) {
  enum { MESSAGES = 1, SIGNALR, CONTROL, CONNECTIONS, SIZE, WARMUP, SECONDS, MEMORY, PID };
  static const struct option names[] = {{"messages", 1, 0, MESSAGES}, {"signalr", 1, 0, SIGNALR}, {"control", 1, 0, CONTROL}, {"connections", 1, 0, CONNECTIONS},
                                        {"size", 1, 0, SIZE}, {"warmup", 1, 0, WARMUP}, {"seconds", 1, 0, SECONDS}, {"memory", 0, 0, MEMORY}, {"pid", 1, 0, PID}, {0}};
  for (int option; (option = getopt_long(count, values, "", names, NULL)) != -1;) {
    switch (option) {
      case SIGNALR: options.signalr = 1; options.port = atoi(optarg); break;
      case MESSAGES: options.port = atoi(optarg); break;
      case CONTROL: options.control = atoi(optarg); break;
      case CONNECTIONS: options.connections = (unsigned)atoi(optarg); break;
      case SIZE: options.size = (unsigned)atoi(optarg); break;
      case WARMUP: options.warmup = atof(optarg); break;
      case SECONDS: options.seconds = atof(optarg); break;
      case MEMORY: options.memory = 1; break;
      case PID: options.pid = atoi(optarg); break;
      default: fputs(usage, stderr); exit(2);
    }
  }
  if (optind != count || options.port == 0 || options.control == 0 || options.connections == 0 || options.size < 2 || options.size > MOST ||
      (options.memory && options.pid == 0)) {
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
  /* connect blocks; the alarm terminates the process if no server accepts. */
  signal(SIGALRM, timed_out);
  alarm((unsigned)(options.warmup + options.seconds) + 120);
  control_fd = connected_socket(options.control);
  if (options.memory) measure_memory();
  else measure();
  return 0;
}
