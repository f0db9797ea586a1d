/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "serve/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/mem.h"
#include "serve/api.h"

/* A decision is some hundred bytes of JSON. */
#define MAX_BODY_BYTES (64 * 1024)
/* Operators, a metrics scraper, some scripts; more is a mistake. */
#define MAX_CONNECTIONS 64
#define TIMEOUT_S	10

struct fg_http {
	struct MHD_Daemon *daemon;
	struct fg_view *view;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

struct request {
	char *body;
	size_t n;
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
	if (a->allow)
		MHD_add_response_header(response, "Allow", a->allow);
	r = MHD_queue_response(c, (unsigned int)a->status, response);
	MHD_destroy_response(response);
	return r;
}

static const char *argument(void *connection, const char *name)
{
	return MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, name);
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
	/* the first call has no body yet */
	if (!q) {
		*state = calloc(1, sizeof(*q));
		return *state ? MHD_YES : MHD_NO;
	}
	if (*n_data) {
		char *larger = q->n + *n_data <= MAX_BODY_BYTES ? realloc(q->body, q->n + *n_data) :
								  NULL;

		if (larger) {
			memcpy(larger + q->n, data, *n_data);
			q->body = larger;
			q->n += *n_data;
		} else {
			q->too_large = true;
		}
		*n_data = 0;
		return MHD_YES;
	}
	query.body = q->body;
	query.n_body = q->n;
	if (q->too_large)
		fg_api_refuse(&a, 413, "the body is larger than 64 kB");
	else
		fg_api_answer(http->view, &query, &a);
	return a.body ? answer(c, &a) : MHD_NO;
}

static void on_completed(void *cls, struct MHD_Connection *c, void **state,
			 enum MHD_RequestTerminationCode code)
{
	struct request *q = *state;

	(void)cls;
	(void)c;
	(void)code;
	if (q)
		free(q->body);
	free(q);
	*state = NULL;
}

/* Makes the socket's folder, one level, as a service manager would. */
static void make_folder(const char *path)
{
	char folder[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char *slash;

	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (!slash || slash == folder)
		return;
	*slash = '\0';
	mkdir(folder, 0755);
}

/* Does somebody answer there? */
static bool is_served(const struct sockaddr_un *at)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && !connect(fd, (const struct sockaddr *)at, sizeof(*at));
}

static int listen_at(const char *path, int *ret_fd, char *why, size_t n_why)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r;

	if (strlen(path) >= sizeof(at.sun_path)) {
		snprintf(why, n_why, "the path is too long for a socket");
		return -ENAMETOOLONG;
	}
	strcpy(at.sun_path, path);
	make_folder(path);
	if (is_served(&at)) {
		snprintf(why, n_why,
			 "already served by a live agent (stop it, or give another --socket)");
		return -EADDRINUSE;
	}
	if (!lstat(path, &st)) {
		if (!S_ISSOCK(st.st_mode)) {
			snprintf(why, n_why, "is there and is no socket");
			return -EEXIST;
		}
		unlink(path);
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* made with the mode it shall have: nobody may connect in between */
	umask(0117);
	r = fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 64) ? -errno : 0;
	umask(0022);
	if (r) {
		snprintf(why, n_why, "cannot be served: %s", strerror(-r));
		return r;
	}
	*ret_fd = FG_TAKE_FD(fd);
	return 0;
}

int fg_http_open(const char *path, struct fg_view *view, struct fg_http **ret_http, char *why,
		 size_t n_why)
{
	struct fg_http *h = calloc(1, sizeof(*h));
	int fd = -1, r;

	if (!h)
		return -ENOMEM;
	r = listen_at(path, &fd, why, n_why);
	if (r) {
		free(h);
		return r;
	}
	h->view = view;
	strcpy(h->path, path);
	h->daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, h,
				     MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
				     (unsigned int)MAX_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
				     (unsigned int)TIMEOUT_S, MHD_OPTION_NOTIFY_COMPLETED,
				     on_completed, NULL, MHD_OPTION_END);
	if (!h->daemon) {
		snprintf(why, n_why, "the HTTP server does not start");
		close(fd);
		unlink(path);
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
	unlink(h->path);
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
	MHD_run(h->daemon);
}
