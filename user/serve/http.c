/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#define _GNU_SOURCE
#include "serve/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "lib/num.h"
#include "serve/api.h"
#include "serve/bouncer.h"
#include "serve/failures.h"
#include "serve/listen.h"
#include "serve/negotiate.h"

/* A decision is some hundred bytes of JSON. */
#define MAX_BODY_BYTES (64 * 1024)
/* Operators, a metrics scraper, some scripts; more is a mistake. */
#define MAX_CONNECTIONS 64
/* Both sides are on this host: who says nothing for so long only holds one of the places. */
#define TIMEOUT_S 10
/* Over TCP bouncers, too, which keep their connection from one question to the next, every 10 s as they
 * come. Whoever reaches the port can take places, so one address has some of them only; a proxy's
 * address is one. */
#define MAX_CONNECTIONS_TCP	256
#define MAX_CONNECTIONS_ADDRESS 64
#define TIMEOUT_TCP_S		30
/* Answers wait in memory for their readers, and a list of a million rows has 400 MB: while so much
 * waits, the next request is refused. */
#define MAX_WAITING_BYTES (256ULL << 20)
/* Turns of libmicrohttpd in one call: a body of MAX_BODY_BYTES needs four, and the agent's loop has
 * other work. */
#define MAX_TURNS 16

struct fg_http {
	struct MHD_Daemon *daemon;
	struct fg_view *view;
	size_t waiting_bytes;
	struct fg_listener listener;
	const struct fg_keyring *keys; /* NULL = a unix socket, whose mode says who may */
	struct fg_http_counts counts;
	struct fg_failures failures;
};

struct request {
	char *body;
	size_t n;
	size_t answer_bytes;
	bool too_large;
	struct fg_pull pull; /* of the answer */
	enum fg_key_role role;
	char who[48], from[FG_IP_TEXT];
};

static const char *header(void *connection, const char *name)
{
	return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

/* --- Answers ----------------------------------------------------------------------------------- */

static void compress(struct fg_http *h, struct MHD_Connection *c, struct fg_answer *a)
{
	char strong[sizeof(a->etag)];

	if (a->n < FG_GZIP_MIN_BYTES || !fg_accepts_gzip(header(c, "Accept-Encoding")) ||
	    !fg_gzip(&a->body, &a->n))
		return;
	h->counts.compressed++;
	a->gzip = true;
	/* other bytes, the same meaning: what a weak tag says */
	if (a->etag[0]) {
		memcpy(strong, a->etag, sizeof(strong));
		snprintf(a->etag, sizeof(a->etag), "W/%.44s", strong);
	}
}

static void add_headers(struct MHD_Response *response, const struct fg_answer *a)
{
	char date[FG_HTTP_DATE];

	if (a->status != 304)
		MHD_add_response_header(response, "Content-Type", a->type);
	/* a document with a tag may be kept, and is asked about each time */
	MHD_add_response_header(response, "Cache-Control",
				a->etag[0] ? "private, no-cache" : "no-store");
	MHD_add_response_header(response, "Vary", "Accept-Encoding");
	if (a->gzip)
		MHD_add_response_header(response, "Content-Encoding", "gzip");
	if (a->allow[0])
		MHD_add_response_header(response, "Allow", a->allow);
	if (a->etag[0])
		MHD_add_response_header(response, "ETag", a->etag);
	if (a->changed_s)
		MHD_add_response_header(response, "Last-Modified",
					fg_http_date(a->changed_s, date));
	if (a->status == 401)
		MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
	if (a->status == 429)
		MHD_add_response_header(response, "Retry-After", "60");
}

static enum MHD_Result answer(struct MHD_Connection *c, struct fg_answer *a)
{
	struct MHD_Response *response;
	enum MHD_Result r;

	response = MHD_create_response_from_buffer(a->n, a->body, MHD_RESPMEM_MUST_FREE);
	if (!response) {
		free(a->body);
		return MHD_NO;
	}
	add_headers(response, a);
	r = MHD_queue_response(c, (unsigned int)a->status, response);
	MHD_destroy_response(response);
	return r;
}

static const char *argument(void *connection, const char *name)
{
	return MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, name);
}

static enum MHD_Result refuse_body(struct MHD_Connection *c)
{
	struct fg_answer a;

	fg_api_refuse(&a, 413, "the body is larger than 64 kB");
	return a.body ? answer(c, &a) : MHD_NO;
}

/* --- Who asks ---------------------------------------------------------------------------------- */

/* The user at the other end of a unix socket. Names may come from a directory server: only decisions,
 * which are kept with it, wait for one. */
static void tell_user(struct MHD_Connection *c, struct request *q)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct ucred peer;
	socklen_t n = sizeof(peer);
	struct passwd user, *found = NULL;
	char buf[2048];

	if (!info || getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &peer, &n))
		return;
	if (!getpwuid_r(peer.uid, &user, buf, sizeof(buf), &found) && found)
		snprintf(q->who, sizeof(q->who), "%s", user.pw_name);
	else
		snprintf(q->who, sizeof(q->who), "%u", peer.uid);
}

static void address_of(struct MHD_Connection *c, uint8_t addr[16])
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct sockaddr *at = info ? info->client_addr : NULL;

	memset(addr, 0, 16);
	if (at && at->sa_family == AF_INET6) {
		memcpy(addr, &((const struct sockaddr_in6 *)at)->sin6_addr, 16);
	} else if (at && at->sa_family == AF_INET) {
		addr[10] = addr[11] = 0xff;
		memcpy(addr + 12, &((const struct sockaddr_in *)at)->sin_addr, 4);
	}
}

static const char *key_of(struct MHD_Connection *c)
{
	const char *key = header(c, "X-Api-Key"), *authorization = header(c, "Authorization");

	if (!key && authorization && !strncasecmp(authorization, "Bearer ", 7))
		key = authorization + 7 + strspn(authorization + 7, " ");
	return key && *key ? key : NULL;
}

static enum MHD_Result forbid(struct fg_http *h, struct MHD_Connection *c, const char *url,
			      const uint8_t addr[16])
{
	bool any_key = key_of(c) != NULL;
	uint8_t source[16], bits;
	struct fg_answer a;

	h->counts.no_key += !any_key;
	h->counts.wrong_key += any_key;
	fg_ip_prefix(addr, 128, h->counts.last_refused);
	fg_ip_to_source(addr, source, &bits);
	if (fg_failures_note(&h->failures, source, h->view->now_ns(h->view->agent))) {
		h->counts.limited++;
		fg_api_refuse(&a, 429, "too many requests without a right key from this address");
	} else {
		fg_api_forbid(url, any_key, &a);
	}
	return a.body ? answer(c, &a) : MHD_NO;
}

/* The first call of a request: its head is there, its body is not. Who has no key, or says that the body
 * is too large, is refused unread. */
static enum MHD_Result begin(struct fg_http *h, struct MHD_Connection *c, const char *url,
			     const char *method, void **state)
{
	const char *length = header(c, "Content-Length"), *key = NULL;
	const struct fg_key *found = NULL;
	struct request *q;
	uint8_t addr[16];
	uint64_t n;

	h->counts.requests++;
	if (h->keys) {
		key = key_of(c);
		address_of(c, addr);
		if (key)
			found = fg_keys_find(fg_keyring_keys(h->keys), key, strlen(key));
		if (!found)
			return forbid(h, c, url, addr);
	}
	if (length && fg_num_u64(length, 0, MAX_BODY_BYTES, &n))
		return refuse_body(c);
	*state = q = calloc(1, sizeof(*q));
	if (!q)
		return MHD_NO;
	if (found) {
		snprintf(q->who, sizeof(q->who), "key %s", found->name);
		fg_ip_prefix(addr, 128, q->from);
		q->role = found->role;
	} else if (!strcmp(method, "POST")) {
		tell_user(c, q);
	}
	return MHD_YES;
}

static void take_piece(struct request *q, const char *bytes, size_t n)
{
	char *larger = NULL;

	if (!q->too_large && q->n + n <= MAX_BODY_BYTES)
		larger = realloc(q->body, q->n + n);
	if (!larger) {
		q->too_large = true;
		return;
	}
	memcpy(larger + q->n, bytes, n);
	q->body = larger;
	q->n += n;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *n_data, void **state)
{
	struct fg_http *http = cls;
	struct request *q = *state;
	struct fg_query query = {
		.path = url, .method = method, .argument = argument, .header = header, .arg = c
	};
	struct fg_answer a = { 0 };

	(void)version;
	if (!q)
		return begin(http, c, url, method, state);
	if (*n_data) {
		take_piece(q, data, *n_data);
		*n_data = 0;
		return MHD_YES;
	}
	if (q->too_large)
		return refuse_body(c);
	query.body = q->body;
	query.n_body = q->n;
	query.who = q->who[0] ? q->who : NULL;
	query.from = q->from[0] ? q->from : NULL;
	query.role = q->role;
	if (http->waiting_bytes >= MAX_WAITING_BYTES)
		fg_api_refuse(&a, 503, "large answers are still being read; ask again later");
	else
		fg_api_answer(http->view, &query, &a);
	if (!a.body)
		return MHD_NO;
	http->counts.not_modified += a.status == 304;
	compress(http, c, &a);
	q->answer_bytes = a.n;
	q->pull = a.pull;
	http->waiting_bytes += a.n;
	return answer(c, &a);
}

static void on_completed(void *cls, struct MHD_Connection *c, void **state,
			 enum MHD_RequestTerminationCode code)
{
	struct fg_http *http = cls;
	struct request *q = *state;

	(void)c;
	if (!q)
		return;
	http->waiting_bytes -= q->answer_bytes;
	/* an answer that broke off is asked for again */
	if (q->pull.bouncer && code == MHD_REQUEST_TERMINATED_COMPLETED_OK)
		fg_bouncers_moved(http->view->bouncers, &q->pull,
				  http->view->now_ns(http->view->agent));
	free(q->body);
	free(q);
	*state = NULL;
}

/* --- Life -------------------------------------------------------------------------------------- */

static int start(struct fg_http *h, char *why, size_t n_why)
{
	unsigned int connections = h->keys ? MAX_CONNECTIONS_TCP : MAX_CONNECTIONS,
		     timeout_s = h->keys ? TIMEOUT_TCP_S : TIMEOUT_S,
		     of_one = h->keys ? MAX_CONNECTIONS_ADDRESS : 0;

	h->daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, h,
				     MHD_OPTION_LISTEN_SOCKET, h->listener.fd,
				     MHD_OPTION_CONNECTION_LIMIT, connections,
				     MHD_OPTION_PER_IP_CONNECTION_LIMIT, of_one,
				     MHD_OPTION_CONNECTION_TIMEOUT, timeout_s,
				     MHD_OPTION_NOTIFY_COMPLETED, on_completed, h, MHD_OPTION_END);
	if (h->daemon)
		return 0;
	snprintf(why, n_why, "the HTTP server does not start");
	return -EIO;
}

/* path or address: the other is NULL. */
static int open_at(const char *path, const char *address, const struct fg_keyring *keys,
		   struct fg_view *view, struct fg_http **ret_http, char *why, size_t n_why)
{
	struct fg_http *h = calloc(1, sizeof(*h));
	int r;

	if (!h) {
		snprintf(why, n_why, "no memory");
		return -ENOMEM;
	}
	h->view = view;
	h->keys = keys;
	r = path ? fg_listen(&h->listener, path, MAX_CONNECTIONS, "give another --socket", why,
			     n_why) :
		   fg_listen_tcp(&h->listener, address, MAX_CONNECTIONS_TCP, why, n_why);
	if (!r)
		r = start(h, why, n_why);
	if (r) {
		fg_listen_close(&h->listener);
		free(h);
		return r;
	}
	*ret_http = h;
	return 0;
}

int fg_http_open(const char *path, struct fg_view *view, struct fg_http **ret_http, char *why,
		 size_t n_why)
{
	return open_at(path, NULL, NULL, view, ret_http, why, n_why);
}

int fg_http_open_tcp(const char *address, const struct fg_keyring *keys, struct fg_view *view,
		     struct fg_http **ret_http, char *why, size_t n_why)
{
	return open_at(NULL, address, keys, view, ret_http, why, n_why);
}

const struct fg_http_counts *fg_http_counts(const struct fg_http *h)
{
	return &h->counts;
}

void fg_http_write(struct fg_jsonw *w, const struct fg_http_counts *c)
{
	fg_jsonw_key(w, "http");
	fg_jsonw_object(w);
	fg_jsonw_key_u64(w, "requests", c->requests);
	fg_jsonw_key_u64(w, "compressed", c->compressed);
	fg_jsonw_key_u64(w, "not_modified", c->not_modified);
	fg_jsonw_key_u64(w, "no_key", c->no_key);
	fg_jsonw_key_u64(w, "wrong_key", c->wrong_key);
	fg_jsonw_key_u64(w, "limited", c->limited);
	fg_jsonw_object_end(w);
}

void fg_http_close(struct fg_http **http)
{
	struct fg_http *h = *http;

	if (!h)
		return;
	MHD_stop_daemon(h->daemon); /* closes the socket */
	h->listener.fd = -1;
	fg_listen_close(&h->listener);
	free(h);
	*http = NULL;
}

int fg_http_fd(const struct fg_http *h)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);

	return info ? info->epoll_fd : -1;
}

void fg_http_run(struct fg_http *h)
{
	MHD_UNSIGNED_LONG_LONG wait_ms;

	/* Connections that are ready are kept in a list of its own, which the epoll fd says nothing
	 * about: a time-out of 0 does. */
	for (int i = 0; i < MAX_TURNS; i++) {
		MHD_run(h->daemon);
		if (MHD_get_timeout(h->daemon, &wait_ms) != MHD_YES || wait_ms)
			return;
	}
}
