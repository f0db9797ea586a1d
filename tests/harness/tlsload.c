/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Real TLS clients by the thousand: full handshakes and HTTP/1.1 requests from many source
 * addresses, so that what the sensor counted can be compared with what was done. Prints the exact
 * account of it as one JSON line.
 *
 * Owns: sockets, handshakes and their account. Must not: know anything of the sensor.
 *
 * Source addresses need no configuration but a local route for their range in the client's
 * namespace ("ip route add local CIDR dev lo"): sockets are bound with IP_FREEBIND, and
 * IP_BIND_ADDRESS_NO_PORT leaves the port to connect(), where the whole 4-tuple is free to choose.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "lib/ip.h"
#include "lib/mem.h"
#include "lib/num.h"

#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif

#define MAX_PROFILES 8
#define MAX_WORKERS  16
#define MAX_PARALLEL 1024
#define MAX_SOURCES  1000000
#define MAX_REQUEST  65536
#define DEADLINE_NS  20000000000ULL

/* --- Profiles: settings that give distinct fingerprints -------------------------------------- */

struct profile {
	const char *name;
	const char *ciphers; /* TLS 1.2 list, NULL = the library's */
	const char *suites; /* TLS 1.3 suites */
	const char *groups;
	const char *sigalgs;
	const char *alpn; /* wire format */
	bool no_ticket; /* leave out session_ticket */
	uint16_t fill_bytes; /* an unknown extension of this length: a hello of two segments */
};

#define GO_CIPHERS                                                                                 \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:" \
	"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"   \
	"ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA"
#define NODE_CIPHERS                                                                             \
	"ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:" \
	"ECDHE-ECDSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-SHA256:"       \
	"DHE-RSA-AES128-SHA256:ECDHE-RSA-AES256-SHA384:DHE-RSA-AES256-SHA384:HIGH:!aNULL:!eNULL"
#define SUITES_AES_FIRST \
	"TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"

/* The settings of node-like and farm are the same: a farm copies the client that everybody uses,
 * and its fingerprint alone must convict nobody. */
#define NODE_LIKE .ciphers = NODE_CIPHERS, .suites = SUITES_AES_FIRST, .alpn = "\x08http/1.1"

static const struct profile profiles[] = {
	{ .name = "openssl" },
	{ .name = "curl-like", .alpn = "\x02h2\x08http/1.1" },
	{ .name = "node-like", NODE_LIKE },
	{ .name = "go-like",
	  .ciphers = GO_CIPHERS,
	  .groups = "X25519:P-256:P-384:P-521",
	  .sigalgs = "RSA-PSS+SHA256:ECDSA+SHA256:RSA+SHA256:RSA+SHA384:RSA+SHA512:ECDSA+SHA384",
	  .alpn = "\x02h2\x08http/1.1",
	  .no_ticket = true },
	{ .name = "python-like",
	  .ciphers = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM",
	  .no_ticket = true },
	{ .name = "large", .alpn = "\x02h2\x08http/1.1", .fill_bytes = 1300 },
	{ .name = "farm", NODE_LIKE },
};

static const struct profile *profile_find(const char *name, size_t n)
{
	for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++)
		if (strlen(profiles[i].name) == n && !memcmp(profiles[i].name, name, n))
			return &profiles[i];
	return NULL;
}

/* --- What to do, and the account of what was done -------------------------------------------- */

struct account {
	uint64_t connections, failed, requests, to_server, to_client, fins, rsts;
};

struct load {
	struct sockaddr_storage server;
	socklen_t server_len;
	uint8_t base[16]; /* of the sources, v4-mapped */
	uint8_t bits;
	uint64_t first, count, per_min, per_max, rate, seed, workers, parallel;
	uint64_t requests, request_bytes;
	const struct profile *profiles[MAX_PROFILES];
	size_t n_profiles;
	const char *sni, *list;
	bool reset, scatter;
	char *request;
	uint32_t *plan; /* source of each connection, in order */
	uint64_t n_plan;
	struct account *accounts; /* one a source, shared by the workers */
};

/* splitmix64: the same seed gives the same run on every machine. */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static uint64_t per_source(const struct load *load, uint64_t i)
{
	return load->per_min + mix(load->seed ^ mix(i)) % (load->per_max - load->per_min + 1);
}

/* Host part of source i. With scatter an odd multiplier, which permutes the range. */
static uint64_t host_number(const struct load *load, uint64_t i, unsigned int bits)
{
	uint64_t mask = bits >= 64 ? ~0ULL : (1ULL << bits) - 1;

	i += load->first;
	return load->scatter ? (i * 0x9e3779b97f4a7c15ULL + 1) & mask : (i + 1) & mask;
}

/* IPv4: one address a source. IPv6: one /64 a source, since that is what a source is. */
static void source_address(const struct load *load, uint64_t i, uint8_t ret_addr[16])
{
	bool v4 = fg_ip_is4(load->base);
	unsigned int last = v4 ? 15 : 7;
	uint64_t n = host_number(load, i, (v4 ? 128U : 64U) - load->bits);

	memcpy(ret_addr, load->base, 16);
	for (unsigned int b = 0; b < 8 && b <= last; b++)
		ret_addr[last - b] |= (uint8_t)(n >> (8 * b));
	if (!v4)
		ret_addr[15] = 1;
}

/* --- One connection -------------------------------------------------------------------------- */

enum state {
	STATE_FREE,
	STATE_CONNECT,
	STATE_HANDSHAKE,
	STATE_WRITE,
	STATE_READ,
	STATE_BYE,
	STATE_DRAIN
};

struct connection {
	enum state state;
	int fd;
	SSL *ssl;
	uint32_t source;
	uint64_t begun_ns, requests;
	char head[4096]; /* of the response */
	size_t n_head;
	uint64_t body_left;
	bool in_body;
};

struct worker {
	const struct load *load;
	SSL_CTX *ctx[MAX_PROFILES];
	struct connection *connections;
	int epoll_fd;
	uint64_t n_busy;
};

static void count(uint64_t *counter, uint64_t n)
{
	__atomic_add_fetch(counter, n, __ATOMIC_RELAXED);
}

static int bind_source(const struct load *load, int fd, uint64_t i)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };
	uint8_t addr[16];
	int on = 1;

	source_address(load, i, addr);
	if (setsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) < 0)
		return -errno;
	if (!fg_ip_is4(load->base)) {
		memcpy(&six.sin6_addr, addr, 16);
		if (setsockopt(fd, SOL_IPV6, IPV6_FREEBIND, &on, sizeof(on)) < 0)
			return -errno;
		return bind(fd, (void *)&six, sizeof(six)) < 0 ? -errno : 0;
	}
	memcpy(&four.sin_addr, addr + 12, 4);
	if (setsockopt(fd, SOL_IP, IP_FREEBIND, &on, sizeof(on)) < 0)
		return -errno;
	return bind(fd, (void *)&four, sizeof(four)) < 0 ? -errno : 0;
}

static int open_socket(const struct load *load, uint64_t source)
{
	_cleanup_close_ int fd =
		socket(load->server.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct linger linger = { .l_onoff = 1 };
	int on = 1;
	int r;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		return -errno;
	if (load->reset && setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) < 0)
		return -errno;
	r = bind_source(load, fd, source);
	if (r < 0)
		return r;
	if (connect(fd, (const void *)&load->server, load->server_len) < 0 && errno != EINPROGRESS)
		return -errno;
	return FG_TAKE_FD(fd);
}

static int begin(struct worker *w, struct connection *c, uint32_t source)
{
	const struct load *load = w->load;
	size_t profile = mix(mix(source) + load->seed) % load->n_profiles;
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c };

	*c = (struct connection){ .source = source, .begun_ns = now_ns(), .fd = -1 };
	c->fd = open_socket(load, source);
	if (c->fd < 0)
		return c->fd;
	c->ssl = SSL_new(w->ctx[profile]);
	if (!c->ssl || !SSL_set_fd(c->ssl, c->fd) || !SSL_set_tlsext_host_name(c->ssl, load->sni))
		return -ENOMEM;
	SSL_set_connect_state(c->ssl);
	if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0)
		return -errno;
	c->state = STATE_CONNECT;
	w->n_busy++;
	return 0;
}

static void finish(struct worker *w, struct connection *c, bool ok)
{
	struct account *account = &w->load->accounts[c->source];

	if (c->state != STATE_FREE)
		w->n_busy--;
	if (c->ssl) {
		count(&account->to_server, BIO_number_written(SSL_get_wbio(c->ssl)));
		count(&account->to_client, BIO_number_read(SSL_get_rbio(c->ssl)));
	}
	SSL_free(c->ssl);
	if (c->fd >= 0)
		close(c->fd);
	count(ok ? &account->connections : &account->failed, 1);
	if (ok)
		count(w->load->reset ? &account->rsts : &account->fins, 1);
	ERR_clear_error();
	c->state = STATE_FREE;
}

/* Content length of a complete head, ~0 where it names none. */
static uint64_t content_length(char *head)
{
	uint64_t value;

	for (char *line = head, *next; line; line = next) {
		next = strstr(line, "\r\n");
		if (next) {
			*next = '\0';
			next += 2;
		}
		if (strncasecmp(line, "content-length: ", 16) == 0 &&
		    fg_num_u64(line + 16, 0, 1ULL << 40, &value) == 0)
			return value;
	}
	return ~0ULL;
}

/** Takes n bytes of a response. @return 1 complete, 0 more to come, -EBADMSG. */
static int take_response(struct connection *c, const char *data, size_t n)
{
	char *end;
	size_t have;

	if (!c->in_body) {
		if (c->n_head + n >= sizeof(c->head))
			return -EBADMSG;
		memcpy(c->head + c->n_head, data, n);
		c->n_head += n;
		c->head[c->n_head] = '\0';
		end = strstr(c->head, "\r\n\r\n");
		if (!end)
			return 0;
		have = c->n_head - (size_t)(end + 4 - c->head);
		*end = '\0';
		c->body_left = content_length(c->head);
		if (c->body_left == ~0ULL)
			return -EBADMSG;
		c->in_body = true;
		n = have;
	}
	if (n > c->body_left)
		return -EBADMSG;
	c->body_left -= n;
	return c->body_left == 0;
}

/* Library answer to "wait" (0) or an error. */
static int blocked(struct connection *c, int got)
{
	int e = SSL_get_error(c->ssl, got);

	return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? 0 : -EPROTO;
}

static int read_response(struct connection *c)
{
	char buf[4096];
	int got, r;

	for (;;) {
		got = SSL_read(c->ssl, buf, sizeof(buf));
		if (got <= 0)
			return blocked(c, got);
		r = take_response(c, buf, (size_t)got);
		if (r)
			return r;
	}
}

static int connected(struct connection *c)
{
	struct pollfd p = { .fd = c->fd, .events = POLLOUT };
	socklen_t n = sizeof(int);
	int error = 0;

	if (poll(&p, 1, 0) < 1)
		return 0;
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
		return -errno;
	return error ? -error : 1;
}

/* Says goodbye and half-closes: the server's own end is read before the socket goes, so that the
 * client never sends a reset. */
static int say_bye(struct worker *w, struct connection *c)
{
	int got = SSL_shutdown(c->ssl);

	if (got < 0)
		return blocked(c, got);
	if (!w->load->reset && shutdown(c->fd, SHUT_WR) < 0)
		return -errno;
	return 1;
}

static int drain(struct worker *w, struct connection *c)
{
	char buf[4096];
	int got;

	if (w->load->reset)
		return 1;
	for (;;) {
		got = BIO_read(SSL_get_rbio(c->ssl), buf, sizeof(buf));
		if (got <= 0)
			return got < 0 && BIO_should_retry(SSL_get_rbio(c->ssl)) ? 0 : 1;
	}
}

/** One step. @return 1 done with this state, 0 wait, negative failed. */
static int step(struct worker *w, struct connection *c)
{
	const struct load *load = w->load;
	int r;

	switch (c->state) {
	case STATE_CONNECT:
		return connected(c);
	case STATE_HANDSHAKE:
		r = SSL_do_handshake(c->ssl);
		return r == 1 ? 1 : blocked(c, r);
	case STATE_WRITE:
		r = SSL_write(c->ssl, load->request, (int)load->request_bytes);
		return r > 0 ? 1 : blocked(c, r);
	case STATE_READ:
		return read_response(c);
	case STATE_BYE:
		return say_bye(w, c);
	case STATE_DRAIN:
		return drain(w, c);
	default:
		return 0;
	}
}

static void advance(struct worker *w, struct connection *c)
{
	for (;;) {
		int r = step(w, c);

		if (r < 0)
			return finish(w, c, false);
		if (r == 0)
			return;
		if (c->state == STATE_DRAIN)
			return finish(w, c, true);
		c->state++;
		if (c->state == STATE_WRITE && c->requests == w->load->requests)
			c->state = STATE_BYE;
		if (c->state == STATE_READ) {
			c->n_head = 0;
			c->in_body = false;
		}
		if (c->state == STATE_BYE && c->requests < w->load->requests) {
			count(&w->load->accounts[c->source].requests, 1);
			if (++c->requests < w->load->requests)
				c->state = STATE_WRITE;
		}
	}
}

/* --- Workers --------------------------------------------------------------------------------- */

static int add_fill(SSL *ssl, unsigned int type, unsigned int context, const unsigned char **out,
		    size_t *n, X509 *x, size_t chain, int *alert, void *arg)
{
	static const unsigned char zeros[2048];
	const struct profile *profile = arg;

	(void)ssl, (void)type, (void)context, (void)x, (void)chain, (void)alert;
	*out = zeros;
	*n = profile->fill_bytes;
	return 1;
}

static SSL_CTX *context_new(const struct profile *p)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	bool ok = ctx;

	if (!ok)
		return NULL;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	if (p->no_ticket)
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	ok = ok && (!p->ciphers || SSL_CTX_set_cipher_list(ctx, p->ciphers));
	ok = ok && (!p->suites || SSL_CTX_set_ciphersuites(ctx, p->suites));
	ok = ok && (!p->groups || SSL_CTX_set1_groups_list(ctx, p->groups));
	ok = ok && (!p->sigalgs || SSL_CTX_set1_sigalgs_list(ctx, p->sigalgs));
	ok = ok && (!p->alpn || !SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)p->alpn,
							 (unsigned int)strlen(p->alpn)));
	/* 65280 is in the range of private use: no server knows it. */
	ok = ok &&
	     (!p->fill_bytes || SSL_CTX_add_custom_ext(ctx, 65280, SSL_EXT_CLIENT_HELLO, add_fill,
						       NULL, (void *)(uintptr_t)p, NULL, NULL));
	if (!ok) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

static void expire(struct worker *w)
{
	uint64_t now = now_ns();

	for (uint64_t i = 0; i < w->load->parallel; i++) {
		struct connection *c = &w->connections[i];

		if (c->state != STATE_FREE && now - c->begun_ns > DEADLINE_NS)
			finish(w, c, false);
	}
}

static struct connection *find_free(struct worker *w)
{
	for (uint64_t i = 0; i < w->load->parallel; i++)
		if (w->connections[i].state == STATE_FREE)
			return &w->connections[i];
	return NULL;
}

/* Connections of the plan at positions n, n + workers, ...; never faster than the rate. */
static int work(const struct load *load, uint64_t n)
{
	struct worker w = { .load = load, .epoll_fd = epoll_create1(EPOLL_CLOEXEC) };
	uint64_t begun = now_ns(), checked = begun;
	struct epoll_event events[64];

	w.connections = calloc(load->parallel, sizeof(*w.connections));
	if (w.epoll_fd < 0 || !w.connections)
		return -ENOMEM;
	for (size_t i = 0; i < load->n_profiles; i++) {
		w.ctx[i] = context_new(load->profiles[i]);
		if (!w.ctx[i])
			return -EINVAL;
	}
	while (n < load->n_plan || w.n_busy) {
		uint64_t now = now_ns();
		uint64_t due = load->rate ? (now - begun) / 1000 * load->rate / 1000000 : ~0ULL;
		int got;

		while (n < load->n_plan && n <= due && w.n_busy < load->parallel) {
			struct connection *c = find_free(&w);

			if (begin(&w, c, load->plan[n]) < 0)
				finish(&w, c, false);
			n += load->workers;
		}
		got = epoll_wait(w.epoll_fd, events, 64, 2);
		for (int i = 0; i < got; i++) {
			struct connection *c = events[i].data.ptr;

			/* finish() of an earlier event never frees another connection */
			if (c->state == STATE_CONNECT || c->state > STATE_CONNECT)
				advance(&w, c);
		}
		if (now - checked > 1000000000ULL) {
			expire(&w);
			checked = now;
		}
	}
	for (size_t i = 0; i < load->n_profiles; i++)
		SSL_CTX_free(w.ctx[i]);
	free(w.connections);
	close(w.epoll_fd);
	return 0;
}

static int run_workers(const struct load *load)
{
	pid_t pids[MAX_WORKERS];
	int bad = 0;

	for (uint64_t i = 0; i < load->workers; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			return -errno;
		if (pids[i] == 0)
			_exit(work(load, i) < 0 ? 1 : 0);
	}
	for (uint64_t i = 0; i < load->workers; i++) {
		int status;

		if (waitpid(pids[i], &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status))
			bad = -EIO;
	}
	return bad;
}

/* --- Plan and report ------------------------------------------------------------------------- */

static int make_plan(struct load *load)
{
	uint64_t at = 0;

	for (uint64_t i = 0; i < load->count; i++)
		load->n_plan += per_source(load, i);
	load->plan = calloc(load->n_plan, sizeof(*load->plan));
	load->accounts = mmap(NULL, load->count * sizeof(*load->accounts), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	load->request = calloc(1, load->request_bytes + 256);
	if (!load->plan || load->accounts == MAP_FAILED || !load->request)
		return -ENOMEM;
	for (uint64_t i = 0; i < load->count; i++)
		for (uint64_t k = per_source(load, i); k; k--)
			load->plan[at++] = (uint32_t)i;
	for (uint64_t i = load->n_plan; i > 1; i--) {
		uint64_t j = mix(load->seed + i) % i;
		uint32_t other = load->plan[j];

		load->plan[j] = load->plan[i - 1];
		load->plan[i - 1] = other;
	}
	return 0;
}

static int make_request(struct load *load)
{
	static const char end[] = "\r\n\r\n";
	int n = snprintf(load->request, load->request_bytes + 256,
			 "GET / HTTP/1.1\r\nHost: %s\r\nX-Fill: ", load->sni);

	if (n < 0 || (uint64_t)n + strlen(end) > load->request_bytes)
		return -EINVAL;
	memset(load->request + n, 'x', load->request_bytes - (size_t)n);
	memcpy(load->request + load->request_bytes - strlen(end), end, sizeof(end));
	return 0;
}

static int write_list(const struct load *load)
{
	_cleanup_fclose_ FILE *f = fopen(load->list, "we");

	if (!f)
		return -errno;
	fprintf(f, "#source\tconnections\trequests\tto_server\tto_client\tprofile\n");
	for (uint64_t i = 0; i < load->count; i++) {
		const struct account *a = &load->accounts[i];
		size_t profile = mix(mix(i) + load->seed) % load->n_profiles;
		char text[FG_IP_TEXT];
		uint8_t addr[16], bits;

		source_address(load, i, addr);
		fg_ip_to_source(addr, addr, &bits);
		fprintf(f, "%s\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%s\n",
			fg_ip_source(addr, text), a->connections, a->requests, a->to_server,
			a->to_client, load->profiles[profile]->name);
	}
	return ferror(f) ? -EIO : 0;
}

static uint64_t report(const struct load *load, uint64_t took_ns)
{
	struct account sum = {};
	uint64_t sources = 0;

	for (uint64_t i = 0; i < load->count; i++) {
		const struct account *a = &load->accounts[i];

		sources += a->connections > 0;
		sum.connections += a->connections;
		sum.failed += a->failed;
		sum.requests += a->requests;
		sum.to_server += a->to_server;
		sum.to_client += a->to_client;
		sum.fins += a->fins;
		sum.rsts += a->rsts;
	}
	printf("{\"sources\":%" PRIu64 ",\"connections\":%" PRIu64 ",\"failed\":%" PRIu64
	       ",\"requests\":%" PRIu64 ",\"to_server\":%" PRIu64 ",\"to_client\":%" PRIu64
	       ",\"fins\":%" PRIu64 ",\"rsts\":%" PRIu64 ",\"seconds\":%.3f}\n",
	       sources, sum.connections, sum.failed, sum.requests, sum.to_server, sum.to_client,
	       sum.fins, sum.rsts, (double)took_ns / 1e9);
	return sum.failed;
}

/* --- Options --------------------------------------------------------------------------------- */

static const char usage[] =
	"usage: tlsload --connect ADDR:PORT --sources CIDR [options]\n"
	"  --count N           sources (1)\n"
	"  --first N           number of the first source inside CIDR (0)\n"
	"  --scatter           spread the sources over the whole of CIDR\n"
	"  --per-source K[-L]  connections a source, drawn from the range (1)\n"
	"  --rate N            connections a second over all, 0 = as fast as it goes (0)\n"
	"  --profile NAME[,..] openssl curl-like node-like go-like python-like large farm (openssl)\n"
	"  --requests N        HTTP requests a connection (1)\n"
	"  --request-bytes N   bytes of each request (300)\n"
	"  --sni NAME          server name (api.example.com)\n"
	"  --reset             end connections by RST instead of FIN\n"
	"  --workers N         processes (2)\n"
	"  --parallel N        open connections a process (64)\n"
	"  --seed N            other draws (1)\n"
	"  --list FILE         account of each source as TSV\n";

static int parse_server(struct load *load, const char *text)
{
	struct sockaddr_in6 *six = (void *)&load->server;
	struct sockaddr_in *four = (void *)&load->server;
	const char *colon = strrchr(text, ':');
	char host[FG_IP_TEXT];
	uint8_t addr[16], bits;
	uint64_t port;
	size_t n = colon ? (size_t)(colon - text) : 0;

	if (!n || n >= sizeof(host) || fg_num_u64(colon + 1, 1, 65535, &port) < 0)
		return -EINVAL;
	if (text[0] == '[' && text[n - 1] == ']')
		text++, n -= 2;
	memcpy(host, text, n);
	host[n] = '\0';
	if (fg_ip_parse(host, addr, &bits) < 0 || bits != 128)
		return -EINVAL;
	if (fg_ip_is4(addr)) {
		four->sin_family = AF_INET;
		four->sin_port = htons((uint16_t)port);
		memcpy(&four->sin_addr, addr + 12, 4);
		load->server_len = sizeof(*four);
		return 0;
	}
	six->sin6_family = AF_INET6;
	six->sin6_port = htons((uint16_t)port);
	memcpy(&six->sin6_addr, addr, 16);
	load->server_len = sizeof(*six);
	return 0;
}

static int parse_range(struct load *load, char *text)
{
	char *dash = strchr(text, '-');
	int r;

	if (dash)
		*dash++ = '\0';
	r = fg_num_u64(text, 1, 100000, &load->per_min);
	if (r < 0)
		return r;
	load->per_max = load->per_min;
	return dash ? fg_num_u64(dash, load->per_min, 100000, &load->per_max) : 0;
}

static int parse_profiles(struct load *load, const char *text)
{
	load->n_profiles = 0;
	for (;;) {
		size_t n = strcspn(text, ",");
		const struct profile *p = profile_find(text, n);

		if (!p || load->n_profiles == MAX_PROFILES)
			return -EINVAL;
		load->profiles[load->n_profiles++] = p;
		if (!text[n])
			return 0;
		text += n + 1;
	}
}

enum choice {
	OPT_CONNECT,
	OPT_SOURCES,
	OPT_COUNT,
	OPT_FIRST,
	OPT_SCATTER,
	OPT_PER_SOURCE,
	OPT_RATE,
	OPT_PROFILE,
	OPT_REQUESTS,
	OPT_REQUEST_BYTES,
	OPT_SNI,
	OPT_RESET,
	OPT_WORKERS,
	OPT_PARALLEL,
	OPT_SEED,
	OPT_LIST
};

static const struct option options[] = {
	{ "connect", required_argument, NULL, OPT_CONNECT },
	{ "sources", required_argument, NULL, OPT_SOURCES },
	{ "count", required_argument, NULL, OPT_COUNT },
	{ "first", required_argument, NULL, OPT_FIRST },
	{ "scatter", no_argument, NULL, OPT_SCATTER },
	{ "per-source", required_argument, NULL, OPT_PER_SOURCE },
	{ "rate", required_argument, NULL, OPT_RATE },
	{ "profile", required_argument, NULL, OPT_PROFILE },
	{ "requests", required_argument, NULL, OPT_REQUESTS },
	{ "request-bytes", required_argument, NULL, OPT_REQUEST_BYTES },
	{ "sni", required_argument, NULL, OPT_SNI },
	{ "reset", no_argument, NULL, OPT_RESET },
	{ "workers", required_argument, NULL, OPT_WORKERS },
	{ "parallel", required_argument, NULL, OPT_PARALLEL },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "list", required_argument, NULL, OPT_LIST },
	{},
};

static int take_option(struct load *load, int choice, char *value)
{
	switch (choice) {
	case OPT_CONNECT:
		return parse_server(load, value);
	case OPT_SOURCES:
		return fg_ip_parse(value, load->base, &load->bits);
	case OPT_COUNT:
		return fg_num_u64(value, 1, MAX_SOURCES, &load->count);
	case OPT_FIRST:
		return fg_num_u64(value, 0, 1ULL << 32, &load->first);
	case OPT_PER_SOURCE:
		return parse_range(load, value);
	case OPT_RATE:
		return fg_num_u64(value, 0, 1000000, &load->rate);
	case OPT_PROFILE:
		return parse_profiles(load, value);
	case OPT_REQUESTS:
		return fg_num_u64(value, 0, 1000000, &load->requests);
	case OPT_REQUEST_BYTES:
		return fg_num_u64(value, 1, MAX_REQUEST, &load->request_bytes);
	case OPT_WORKERS:
		return fg_num_u64(value, 1, MAX_WORKERS, &load->workers);
	case OPT_PARALLEL:
		return fg_num_u64(value, 1, MAX_PARALLEL, &load->parallel);
	case OPT_SEED:
		return fg_num_u64(value, 0, UINT64_MAX, &load->seed);
	default:
		return -EINVAL;
	}
}

static int parse(struct load *load, int argc, char **argv)
{
	int choice, index = 0;

	while ((choice = getopt_long(argc, argv, "", options, &index)) != -1) {
		if (choice == '?')
			return -EINVAL;
		if (choice == OPT_SCATTER)
			load->scatter = true;
		else if (choice == OPT_RESET)
			load->reset = true;
		else if (choice == OPT_SNI)
			load->sni = optarg;
		else if (choice == OPT_LIST)
			load->list = optarg;
		else if (take_option(load, choice, optarg) < 0) {
			fprintf(stderr, "tlsload: --%s %s: not valid\n", options[index].name,
				optarg);
			return -EINVAL;
		}
	}
	if (optind < argc || !load->server_len || !load->bits) {
		fputs(usage, stderr);
		return -EINVAL;
	}
	if (fg_ip_is4(load->base) != (load->server.ss_family == AF_INET)) {
		fputs("tlsload: --sources and --connect are of different families\n", stderr);
		return -EINVAL;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct load load = {
		.count = 1,
		.per_min = 1,
		.per_max = 1,
		.seed = 1,
		.workers = 2,
		.parallel = 64,
		.requests = 1,
		.request_bytes = 300,
		.sni = "api.example.com",
		.profiles = { &profiles[0] },
		.n_profiles = 1,
	};
	uint64_t begun, failed;
	int r;

	if (parse(&load, argc, argv) < 0)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	if (make_plan(&load) < 0 || make_request(&load) < 0) {
		fputs("tlsload: too many sources, or request too short for its header\n", stderr);
		return 2;
	}
	begun = now_ns();
	r = run_workers(&load);
	if (r < 0) {
		fputs("tlsload: a worker failed: does this libssl know the profile?\n", stderr);
		return 1;
	}
	failed = report(&load, now_ns() - begun);
	if (load.list && write_list(&load) < 0) {
		fprintf(stderr, "tlsload: %s: cannot write\n", load.list);
		return 1;
	}
	free(load.plan);
	free(load.request);
	return failed ? 1 : 0;
}
