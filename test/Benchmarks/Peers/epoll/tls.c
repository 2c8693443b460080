/* The reference of the TLS workloads: an echo server of frames over TLS 1.3, in C with OpenSSL, one epoll loop per thread. It receives and
 * sends itself; OpenSSL encrypts between memory BIOs. All connections of a loop share the two BIOs, because one connection at a time
 * is processed and each leaves them empty. An idle connection therefore has no buffer in addition to OpenSSL's own state.
 *
 *   server --tls PORT --certificate PEM --key PEM [--threads N]
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* The size of a receive, and the initial size of a buffer of plaintext. */
enum { RECEIVE = 64 * 1024, BLOCK = 64 * 1024, EVENTS = 512, HEADER = 4, MOST = 64 * 1024 * 1024 };

struct connection {
  int fd;
  uint8_t listening, readable, closing, more; /* more: OpenSSL has bytes that were not decrypted yet */
  SSL *tls;           /* NULL if listening */
  char *plain;        /* decrypted bytes; NULL if there are none */
  size_t size;        /* of plain */
  size_t complete;    /* bytes of complete frames */
  size_t end;         /* bytes in plain */
  char *unread;       /* received bytes that OpenSSL has not taken; NULL if there are none */
  size_t unread_count;
  char *unsent;       /* encrypted bytes that the socket has not accepted; NULL if there are none */
  size_t unsent_at, unsent_end;
};

struct loop {
  int epoll;
  BIO *in, *out;
  char *spare;        /* a stack of blocks, linked through their first bytes */
  char received[RECEIVE];
};

static SSL_CTX *context;
static int port;

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void die_tls(const char *what) {
  fprintf(stderr, "%s: %s\n", what, ERR_error_string(ERR_get_error(), NULL));
  exit(1);
}

static char *allocate(size_t size) {
  char *memory = malloc(size);
  if (memory == NULL) die("malloc");
  return memory;
}

static void take_block(struct loop *loop, struct connection *c) {
  c->plain = loop->spare;
  if (c->plain != NULL) memcpy(&loop->spare, c->plain, sizeof loop->spare);
  else c->plain = allocate(BLOCK);
  c->size = BLOCK;
}

static void give_block(struct loop *loop, struct connection *c) {
  if (c->size == BLOCK) {
    memcpy(c->plain, &loop->spare, sizeof loop->spare);
    loop->spare = c->plain;
  } else {
    free(c->plain);
  }
  c->plain = NULL;
  c->size = 0;
}

static void watch(struct loop *loop, struct connection *c, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = c};
  if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, c->fd, &event)) die("epoll_ctl");
}

static struct connection *new_connection(int fd, int listening) {
  struct connection *c = calloc(1, sizeof *c);
  if (c == NULL) die("calloc");
  c->fd = fd;
  c->listening = (uint8_t)listening;
  return c;
}

static void close_connection(struct loop *loop, struct connection *c) {
  if (c->plain != NULL) give_block(loop, c);
  free(c->unread);
  free(c->unsent);
  SSL_free(c->tls);
  (void)BIO_reset(loop->in);
  (void)BIO_reset(loop->out);
  ERR_clear_error();
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
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct connection *c = new_connection(fd, 0);
    if ((c->tls = SSL_new(context)) == NULL) die_tls("SSL_new");
    BIO_up_ref(loop->in);
    BIO_up_ref(loop->out);
    SSL_set_bio(c->tls, loop->in, loop->out);
    SSL_set_accept_state(c->tls);
    watch(loop, c, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
  }
}

/* The bytes that the socket accepts; -1 if the connection has failed. */
static ssize_t send_some(int fd, const char *bytes, size_t count) {
  size_t sent = 0;
  while (sent < count) {
    ssize_t n = send(fd, bytes + sent, count - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    sent += (size_t)n;
  }
  return (ssize_t)sent;
}

/* Sends what OpenSSL has encrypted. 1: all of it is sent. 0: the socket is full, wait for EPOLLOUT. -1: the connection has failed. */
static int flush(struct loop *loop, struct connection *c) {
  if (c->unsent != NULL) {
    ssize_t n = send_some(c->fd, c->unsent + c->unsent_at, c->unsent_end - c->unsent_at);
    if (n < 0) return -1;
    c->unsent_at += (size_t)n;
    if (c->unsent_at < c->unsent_end) return 0;
    free(c->unsent);
    c->unsent = NULL;
  }
  char *encrypted;
  long count = BIO_get_mem_data(loop->out, &encrypted);
  if (count <= 0) return 1;
  ssize_t n = send_some(c->fd, encrypted, (size_t)count);
  if (n >= 0 && n < count) {
    c->unsent_at = 0;
    c->unsent_end = (size_t)(count - n);
    c->unsent = allocate(c->unsent_end);
    memcpy(c->unsent, encrypted + n, c->unsent_end);
  }
  (void)BIO_reset(loop->out);
  return n < 0 ? -1 : c->unsent == NULL;
}

/* Moves c->complete over every complete frame. Returns the size of the next one, 0 if it is unknown, -1 if it is too large. */
static ssize_t parse(struct connection *c) {
  while (c->end - c->complete >= HEADER) {
    uint32_t length;
    memcpy(&length, c->plain + c->complete, HEADER);
    length = ntohl(length);
    if (length > MOST) return -1;
    if (c->end - c->complete < HEADER + (size_t)length) return HEADER + (ssize_t)length;
    c->complete += HEADER + (size_t)length;
  }
  return 0;
}

/* Encrypts the complete frames and moves the rest to the front of a buffer of at least `needed` bytes. */
static int answer(struct connection *c, size_t needed) {
  if (c->complete > 0) {
    if (SSL_write(c->tls, c->plain, (int)c->complete) != (int)c->complete) return -1;
    memmove(c->plain, c->plain + c->complete, c->end - c->complete);
    c->end -= c->complete;
    c->complete = 0;
  }
  if (needed > c->size) {
    char *larger = realloc(c->plain, needed);
    if (larger == NULL) die("realloc");
    c->plain = larger;
    c->size = needed;
  }
  return 0;
}

/* Decrypts and answers what the input BIO has. 0: it is empty. 1: the peer has closed. -1: the connection has failed.
 * At most one buffer of answers is encrypted before the next flush; the return is then 2. */
static int decrypt(struct loop *loop, struct connection *c) {
  for (;;) {
    if (c->plain == NULL) take_block(loop, c);
    int n = SSL_read(c->tls, c->plain + c->end, (int)(c->size - c->end));
    if (n <= 0) {
      int error = SSL_get_error(c->tls, n);
      if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_ZERO_RETURN) return -1;
      if (answer(c, 0)) return -1;
      if (c->end == 0) give_block(loop, c);
      return error == SSL_ERROR_ZERO_RETURN;
    }
    c->end += (size_t)n;
    ssize_t needed = parse(c);
    if (needed < 0) return -1;
    if (c->end == c->size || (size_t)needed > c->size - c->complete) {
      int answered = c->complete > 0;
      if (answer(c, needed > 0 ? (size_t)needed : 0)) return -1;
      if (answered) return 2;
    }
  }
}

static void keep_unread(struct loop *loop, struct connection *c) {
  char *bytes;
  long count = BIO_get_mem_data(loop->in, &bytes);
  if (count <= 0) return;
  c->unread = allocate((size_t)count);
  c->unread_count = (size_t)count;
  memcpy(c->unread, bytes, (size_t)count);
  (void)BIO_reset(loop->in);
}

static void serve(struct loop *loop, struct connection *c, uint32_t events) {
  int ending = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
  if (events & EPOLLIN || ending) c->readable = 1;
  if (c->unread != NULL) {
    BIO_write(loop->in, c->unread, (int)c->unread_count);
    free(c->unread);
    c->unread = NULL;
  }
  for (;;) {
    int flushed = flush(loop, c);
    if (flushed < 0 || (flushed && c->closing)) break;
    if (flushed == 0) {
      keep_unread(loop, c);
      return;
    }
    if (!c->more) {
      if (!c->readable) return;
      ssize_t n = recv(c->fd, loop->received, sizeof loop->received, 0);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) {
        c->readable = 0;
        continue;
      }
      if (n <= 0) break;
      c->readable = (size_t)n == sizeof loop->received || ending;
      BIO_write(loop->in, loop->received, (int)n);
    }
    int state = decrypt(loop, c);
    if (state < 0) break;
    if (state == 1) {
      SSL_shutdown(c->tls);
      c->closing = 1;
    }
    c->more = state == 2;
  }
  close_connection(loop, c);
}

static int listen_tcp(void) {
  int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) ||
      bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, SOMAXCONN))
    die("listen");
  return fd;
}

static struct loop *new_loop(void) {
  struct loop *loop = calloc(1, sizeof *loop);
  if (loop == NULL || (loop->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0) die("epoll_create1");
  loop->in = BIO_new(BIO_s_mem());
  loop->out = BIO_new(BIO_s_mem());
  if (loop->in == NULL || loop->out == NULL) die_tls("BIO_new");
  /* An empty BIO is not EOF. */
  BIO_set_mem_eof_return(loop->in, -1);
  watch(loop, new_connection(listen_tcp(), 1), EPOLLIN);
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
  enum { TLS = 1, CERTIFICATE, KEY, THREADS };
  static const struct option names[] = {{"tls", 1, 0, TLS}, {"certificate", 1, 0, CERTIFICATE}, {"key", 1, 0, KEY}, {"threads", 1, 0, THREADS}, {0}};
  static const unsigned char name[] = "benchmark";
  const char *certificate = NULL, *key = NULL;
  int threads = 1;
  for (int option; (option = getopt_long(count, values, "", names, NULL)) != -1;) {
    if (option == TLS) port = atoi(optarg);
    else if (option == CERTIFICATE) certificate = optarg;
    else if (option == KEY) key = optarg;
    else if (option == THREADS) threads = atoi(optarg);
    else return 2;
  }
  if (port == 0 || certificate == NULL || key == NULL) return 2;
  context = SSL_CTX_new(TLS_server_method());
  if (context == NULL || !SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) || SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
      SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1 || !SSL_CTX_set_session_id_context(context, name, sizeof name - 1))
    die_tls("the certificate");
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  /* Tickets are stateless. */
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
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
