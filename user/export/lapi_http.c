/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Requests to a LAPI over libcurl: one handle, so one connection that is kept. No redirects, no
 * proxy out of the environment, certificates always verified.
 */
#define _GNU_SOURCE /* sigtimedwait */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "export/lapi.h"
#include "lib/mem.h"

#ifndef FG_HAVE_LIBCURL

int fg_lapi_new(const struct fg_lapi_conf *conf, struct fg_lapi **ret_lapi, char *why, size_t n_why)
{
	(void)conf;
	*ret_lapi = NULL;
	snprintf(why, n_why, "this farmgate was built without libcurl");
	return -ENOTSUP;
}

#else

#include <curl/curl.h>
#include <signal.h>
#include <time.h>

#include "lib/now.h"

#define CONNECT_TIMEOUT_MS 2000L

struct http {
	CURL *curl;
	char *url, *ca_file;
	char agent[64];
	char error[CURL_ERROR_SIZE];
};

struct reception {
	struct fg_lapi_answer *answer;
	size_t room;
	bool too_long;
};

static uint64_t unix_ns(void *arg)
{
	(void)arg;
	return fg_unix_ns();
}

static size_t on_body(char *bytes, size_t one, size_t n, void *arg)
{
	struct reception *to = arg;
	struct fg_lapi_answer *a = to->answer;

	(void)one;
	if (n > FG_LAPI_MAX_ANSWER - a->n_body) {
		to->too_long = true;
		return 0;
	}
	if (a->n_body + n + 1 > to->room) {
		size_t room = 2 * (a->n_body + n) + 1;
		char *larger = realloc(a->body, room);

		if (!larger)
			return 0;
		a->body = larger;
		to->room = room;
	}
	memcpy(a->body + a->n_body, bytes, n);
	a->n_body += n;
	a->body[a->n_body] = '\0';
	return n;
}

static size_t on_header(char *bytes, size_t one, size_t n, void *arg)
{
	struct reception *to = arg;
	char text[64];
	time_t at;

	(void)one;
	if (n <= 6 || n - 6 >= sizeof(text) || strncasecmp(bytes, "Date: ", 6))
		return n;
	memcpy(text, bytes + 6, n - 6);
	text[n - 6] = '\0';
	at = curl_getdate(text, NULL);
	if (at > 0)
		to->answer->date_ns = (uint64_t)at * 1000000000ULL;
	return n;
}

static void set_protocols(CURL *curl)
{
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

/* All options anew for each request; the connection stays over a reset. */
static void set_options(struct http *h, const struct fg_lapi_request *q, const char *url,
			struct curl_slist *headers, struct reception *to)
{
	CURL *c = h->curl;

	curl_easy_reset(c);
	set_protocols(c);
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, q->method);
	if (q->body) {
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, q->body);
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->n_body);
	}
	/* On a connection that died, curl sends a request again by itself: not one that must
	 * arrive only once. */
	curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, (long)q->once);
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c, CURLOPT_USERAGENT, h->agent);
	curl_easy_setopt(c, CURLOPT_PROXY, "");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS,
			 q->timeout_ms < CONNECT_TIMEOUT_MS ? (long)q->timeout_ms :
							      CONNECT_TIMEOUT_MS);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)q->timeout_ms);
	if (h->ca_file)
		curl_easy_setopt(c, CURLOPT_CAINFO, h->ca_file);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, h->error);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, to);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, to);
}

static struct curl_slist *make_headers(const struct fg_lapi_request *q)
{
	/* no waiting for "100 Continue", which costs a second where nobody says it */
	struct curl_slist *headers = curl_slist_append(NULL, "Expect:"), *more = headers;
	_cleanup_free_ char *bearer = NULL;

	if (more && q->body)
		more = curl_slist_append(headers, "Content-Type: application/json");
	if (more && q->token) {
		more = NULL;
		if (asprintf(&bearer, "Authorization: Bearer %s", q->token) >= 0)
			more = curl_slist_append(headers, bearer);
		else
			bearer = NULL;
		if (bearer)
			explicit_bzero(bearer, strlen(bearer));
	}
	if (more)
		return headers;
	curl_slist_free_all(headers);
	return NULL;
}

/* A connection that breaks is an error of a write, not a signal that ends the agent. */
static CURLcode perform_quietly(CURL *curl)
{
	const struct timespec at_once = { 0 };
	sigset_t broken_pipe, before;
	CURLcode code;

	sigemptyset(&broken_pipe);
	sigaddset(&broken_pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &broken_pipe, &before);
	code = curl_easy_perform(curl);
	while (sigtimedwait(&broken_pipe, NULL, &at_once) > 0)
		;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return code;
}

/* Did anything of the request leave? */
static bool was_sent(CURL *curl)
{
	curl_off_t ready_us = 0;

	return curl_easy_getinfo(curl, CURLINFO_PRETRANSFER_TIME_T, &ready_us) != CURLE_OK ||
	       ready_us > 0;
}

static int exchange(void *arg, const struct fg_lapi_request *q, struct fg_lapi_answer *ret_answer,
		    char *why, size_t n_why)
{
	struct http *h = arg;
	_cleanup_free_ char *url = NULL;
	struct reception to = { .answer = ret_answer };
	struct curl_slist *headers = make_headers(q);
	long status = 0;
	CURLcode code;

	if (!headers || asprintf(&url, "%s%s", h->url, q->path) < 0) {
		curl_slist_free_all(headers);
		snprintf(why, n_why, "no memory for a request");
		return -ENOTCONN;
	}
	h->error[0] = '\0';
	set_options(h, q, url, headers, &to);
	code = perform_quietly(h->curl);
	curl_slist_free_all(headers);
	if (code == CURLE_OK) {
		curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
		ret_answer->status = (unsigned int)status;
		return 0;
	}
	if (to.too_long)
		snprintf(why, n_why, "%s: the answer is longer than %u MB", h->url,
			 FG_LAPI_MAX_ANSWER >> 20);
	else
		snprintf(why, n_why, "%s: %.150s", h->url,
			 h->error[0] ? h->error : curl_easy_strerror(code));
	return was_sent(h->curl) ? -EIO : -ENOTCONN;
}

static void free_http(void *arg)
{
	struct http *h = arg;

	if (!h)
		return;
	if (h->curl)
		curl_easy_cleanup(h->curl);
	free(h->url);
	free(h->ca_file);
	free(h);
}

/* A LAPI refuses logins of a User-Agent with none or more than one slash, as a wrong password. */
static void name_agent(char *agent, size_t n)
{
	size_t start = (size_t)snprintf(agent, n, "farmgate/");

	snprintf(agent + start, n - start, "%s", FG_VERSION);
	for (char *p = agent + start; *p; p++)
		if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-+~_",
			    *p))
			*p = '-';
}

static struct http *new_http(const struct fg_lapi_conf *conf)
{
	struct http *h = calloc(1, sizeof(*h));
	size_t n;

	if (!h)
		return NULL;
	name_agent(h->agent, sizeof(h->agent));
	h->url = strdup(conf->url);
	h->ca_file = conf->ca_file ? strdup(conf->ca_file) : NULL;
	h->curl = curl_global_init(CURL_GLOBAL_DEFAULT) ? NULL : curl_easy_init();
	if (!h->url || !h->curl || (conf->ca_file && !h->ca_file)) {
		free_http(h);
		return NULL;
	}
	/* paths begin with the slash */
	for (n = strlen(h->url); n && h->url[n - 1] == '/'; n--)
		h->url[n - 1] = '\0';
	return h;
}

int fg_lapi_new(const struct fg_lapi_conf *conf, struct fg_lapi **ret_lapi, char *why, size_t n_why)
{
	struct fg_lapi_transport transport = { NULL, exchange, unix_ns, free_http };
	char password[FG_LAPI_MAX_PASSWORD + 2];
	int r;

	*ret_lapi = NULL;
	r = fg_lapi_password(conf->password_file, password, why, n_why);
	explicit_bzero(password, sizeof(password));
	if (r)
		return r;
	if (conf->ca_file && access(conf->ca_file, R_OK)) {
		r = -errno;
		snprintf(why, n_why, "%s: %s", conf->ca_file, strerror(-r));
		return r;
	}
	transport.arg = new_http(conf);
	r = transport.arg ? fg_lapi_new_over(conf, &transport, ret_lapi) : -ENOMEM;
	if (r)
		snprintf(why, n_why, "no memory for the LAPI's client");
	return r;
}

#endif
