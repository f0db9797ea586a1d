/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "serve/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#include "lib/num.h"
#include "serve/api.h"
#include "serve/listen.h"

/* A decision is some hundred bytes of JSON. */
#define MAX_BODY_BYTES (64 * 1024)
/* Operators, a metrics scraper, some scripts; more is a mistake. */
#define MAX_CONNECTIONS 64
/* Both sides are on this host: who says nothing for so long only holds one of the places. */
#define TIMEOUT_S 10
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
};

struct request {
	char *body;
	size_t n;
	size_t answer_bytes;
	bool too_large;
};

static enum MHD_Result answer(struct MHD_Connection *c, struct fg_answer *a)
{
	struct MHD_Response *response;
	enum MHD_Result r;

	response = MHD_create_response_from_buffer(a->n, a->body, MHD_RESPMEM_MUST_FREE);
	if (!response) {
		free(a->body);
		return MHD_NO;
	}
	MHD_add_response_header(response, "Content-Type", a->type);
	MHD_add_response_header(response, "Cache-Control", "no-store");
	if (a->allow[0])
		MHD_add_response_header(response, "Allow", a->allow);
	if (a->etag[0])
		MHD_add_response_header(response, "ETag", a->etag);
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

/* The first call of a request: its head is there, its body is not. A body that says it is too large
 * is refused unread. */
static enum MHD_Result begin(struct MHD_Connection *c, void **state)
{
	const char *length = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Content-Length");
	uint64_t n;

	if (length && fg_num_u64(length, 0, MAX_BODY_BYTES, &n))
		return refuse_body(c);
	*state = calloc(1, sizeof(struct request));
	return *state ? MHD_YES : MHD_NO;
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
	struct fg_query query = { .path = url, .method = method, .argument = argument, .arg = c };
	struct fg_answer a = { 0 };

	(void)version;
	if (!q)
		return begin(c, state);
	if (*n_data) {
		take_piece(q, data, *n_data);
		*n_data = 0;
		return MHD_YES;
	}
	if (q->too_large)
		return refuse_body(c);
	query.body = q->body;
	query.n_body = q->n;
	if (http->waiting_bytes >= MAX_WAITING_BYTES)
		fg_api_refuse(&a, 503, "large answers are still being read; ask again later");
	else
		fg_api_answer(http->view, &query, &a);
	if (!a.body)
		return MHD_NO;
	q->answer_bytes = a.n;
	http->waiting_bytes += a.n;
	return answer(c, &a);
}

static void on_completed(void *cls, struct MHD_Connection *c, void **state,
			 enum MHD_RequestTerminationCode code)
{
	struct fg_http *http = cls;
	struct request *q = *state;

	(void)c;
	(void)code;
	if (!q)
		return;
	http->waiting_bytes -= q->answer_bytes;
	free(q->body);
	free(q);
	*state = NULL;
}

int fg_http_open(const char *path, struct fg_view *view, struct fg_http **ret_http, char *why,
		 size_t n_why)
{
	struct fg_http *h = calloc(1, sizeof(*h));
	int r;

	if (!h) {
		snprintf(why, n_why, "no memory");
		return -ENOMEM;
	}
	r = fg_listen(&h->listener, path, MAX_CONNECTIONS, "give another --socket", why, n_why);
	if (r) {
		free(h);
		return r;
	}
	h->view = view;
	h->daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, h,
				     MHD_OPTION_LISTEN_SOCKET, h->listener.fd,
				     MHD_OPTION_CONNECTION_LIMIT, (unsigned int)MAX_CONNECTIONS,
				     MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)TIMEOUT_S,
				     MHD_OPTION_NOTIFY_COMPLETED, on_completed, h, MHD_OPTION_END);
	if (!h->daemon) {
		snprintf(why, n_why, "the HTTP server does not start");
		fg_listen_close(&h->listener);
		free(h);
		return -EIO;
	}
	*ret_http = h;
	return 0;
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
