/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#define _GNU_SOURCE /* open_memstream */
#include "export/hook.h"

#include <errno.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#ifdef FG_HAVE_LIBCURL
#include <curl/curl.h>
#endif

#include "export/child.h"
#include "export/diff.h"
#include "export/file.h"
#include "lib/ip.h"
#include "lib/jsonw.h"
#include "lib/mem.h"
#include "lib/now.h"

/* No new batch is begun after so long, so that a stop need not wait for all of them. */
#define BEGIN_MS 4000
/* What a program or server says beside its success is of no use to us. */
#define MAX_ANSWER (64U << 10)
#define MAX_KEY	   4096

/* Changes that were told and not taken. Kept as they were told, with their own copies. */
struct batch {
	unsigned long long number;
	char *lines; /* a JSON object each */
	size_t n_lines;
	struct fg_change *changes;
	struct fg_held *held;
	size_t n, n_removed;
};

struct fg_hook_target {
	char **command, *url, *key_file;
	uint32_t timeout_s, batch;
	struct fg_shadow shadow;
	struct batch failed; /* n 0 = none */
	uint64_t run; /* of this process, for ids that no other one gave */
	unsigned long long number;
	bool more;
	void *curl;
};

/* --- Life cycle ------------------------------------------------------------------------------- */

static void free_batch(struct batch *b)
{
	free(b->lines);
	free(b->changes);
	free(b->held);
	*b = (struct batch){ 0 };
}

static int copy_text(const char *from, char **to)
{
	*to = from ? strdup(from) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

static int open_curl(struct fg_hook_target *t)
{
	if (!t->url)
		return 0;
#ifdef FG_HAVE_LIBCURL
	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		return -ENOMEM;
	t->curl = curl_easy_init();
	return t->curl ? 0 : -ENOMEM;
#else
	return -ENOTSUP;
#endif
}

int fg_hook_new(const struct fg_hook_conf *conf, struct fg_hook_target **ret_hook)
{
	struct fg_hook_target *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	t->timeout_s = conf->timeout_s;
	t->batch = conf->batch;
	r = getrandom(&t->run, sizeof(t->run), 0) == (ssize_t)sizeof(t->run) ? 0 : -errno;
	if (!r)
		r = fg_argv_copy(conf->command, &t->command);
	if (!r)
		r = copy_text(conf->url, &t->url);
	if (!r)
		r = copy_text(conf->key_file, &t->key_file);
	if (!r)
		r = open_curl(t);
	if (r) {
		fg_hook_free(&t);
		return r;
	}
	*ret_hook = t;
	return 0;
}

void fg_hook_free(struct fg_hook_target **hook)
{
	struct fg_hook_target *t = *hook;

	if (!t)
		return;
#ifdef FG_HAVE_LIBCURL
	if (t->curl)
		curl_easy_cleanup(t->curl);
#endif
	fg_argv_free(&t->command);
	free(t->url);
	free(t->key_file);
	fg_shadow_clear(&t->shadow);
	free_batch(&t->failed);
	free(t);
	*hook = NULL;
}

/* --- What is told ----------------------------------------------------------------------------- */

static void put_cohort(struct fg_jsonw *w, uint32_t id)
{
	fg_jsonw_key(w, "cohort");
	/* as everywhere: c and a number, of communities of accounts a and one */
	if (!id)
		fg_jsonw_null(w);
	else
		fg_jsonw_stringf(w, "%c%u", id & FG_COMMUNITY ? 'a' : 'c', id & ~FG_COMMUNITY);
}

static void put_text(struct fg_jsonw *w, const char *key, const char *text)
{
	fg_jsonw_key_string(w, key, text && text[0] ? text : NULL);
}

static void put_change(FILE *out, const struct fg_change *change, uint64_t now_ns)
{
	static const char *const actions[] = {
		[FG_CHANGE_REMOVE] = "remove",
		[FG_CHANGE_ADD] = "add",
		[FG_CHANGE_RENEW] = "renew",
	};
	const struct fg_held *held = change->held;
	const struct fg_export_item *item = change->item;
	char buf[FG_IP_TEXT];
	struct fg_jsonw w;

	fg_jsonw_init(&w, out);
	fg_jsonw_object(&w);
	fg_jsonw_key_string(&w, "action", actions[change->kind]);
	fg_jsonw_key_string(&w, "value", fg_ip_prefix(held->addr, held->bits, buf));
	fg_jsonw_key_time(&w, "until", held->until_ns);
	fg_jsonw_key_u64(&w, "duration", item ? fg_left_s(held->until_ns, now_ns) : 0);
	put_text(&w, "reason", item ? item->reason : NULL);
	fg_jsonw_key(&w, "verdict");
	fg_jsonw_i64(&w, held->verdict);
	put_cohort(&w, held->cohort);
	put_text(&w, "ja4", item ? item->ja4 : NULL);
	fg_jsonw_object_end(&w);
	fg_jsonw_finish(&w);
}

/* A body for the web server holds them with commas between, a program's stdin as lines. */
static int write_lines(const struct fg_hook_target *t, const struct fg_change *changes, size_t n,
		       uint64_t now_ns, unsigned long long number, char **ret_lines, size_t *ret_n)
{
	FILE *out = open_memstream(ret_lines, ret_n);

	if (!out)
		return -ENOMEM;
	if (t->url)
		fprintf(out, "{\"id\":\"%016llx-%llu\",\"changes\":[", (unsigned long long)t->run,
			number);
	for (size_t i = 0; i < n; i++) {
		if (t->url && i)
			fputc(',', out);
		put_change(out, &changes[i], now_ns);
		if (!t->url)
			fputc('\n', out);
	}
	if (t->url)
		fputs("]}\n", out);
	return ferror(out) | fclose(out) ? -ENOMEM : 0;
}

/* --- Telling it ------------------------------------------------------------------------------- */

static int run_command(const struct fg_hook_target *t, const char *lines, size_t n, char *why,
		       size_t n_why)
{
	const struct fg_child child = {
		.argv = (const char *const *)t->command,
		.input = lines,
		.n_input = n,
		.timeout_ms = t->timeout_s * 1000,
		.max_output = MAX_ANSWER,
	};
	int r = fg_child_run(&child, NULL, NULL, why, n_why);

	return r > 0 ? -EIO : r;
}

#ifdef FG_HAVE_LIBCURL
static size_t swallow(char *bytes, size_t size, size_t n, void *arg)
{
	size_t *seen = arg;

	(void)bytes;
	*seen += size * n;
	return *seen > MAX_ANSWER ? 0 : size * n;
}

/* The key is read each time, so that it can be changed without a restart. */
static int sign(const struct fg_hook_target *t, const char *body, size_t n, char *ret_header,
		size_t n_header, char *why, size_t n_why)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	_cleanup_free_ char *key = NULL;
	unsigned int n_mac = 0;
	size_t n_key = 0, at;
	int r = fg_file_read(t->key_file, MAX_KEY, &key, &n_key);

	while (n_key && strchr("\r\n", key[n_key - 1]))
		n_key--;
	if (!r && !n_key)
		r = -ENODATA;
	if (!r && !HMAC(EVP_sha256(), key, (int)n_key, (const unsigned char *)body, n, mac, &n_mac))
		r = -EIO;
	if (key)
		explicit_bzero(key, n_key);
	if (r) {
		snprintf(why, n_why, "hook.key_file: %s: %s", t->key_file,
			 r == -ENODATA ? "empty" : strerror(-r));
		return r;
	}
	at = (size_t)snprintf(ret_header, n_header, "X-Farmgate-Signature: sha256=");
	for (unsigned int i = 0; i < n_mac && at < n_header; i++)
		at += (size_t)snprintf(ret_header + at, n_header - at, "%02x", mac[i]);
	return 0;
}

static struct curl_slist *make_headers(const char *signature)
{
	const char *const lines[] = { "Content-Type: application/json", "Expect:", signature };
	struct curl_slist *list = NULL, *longer;

	for (size_t i = 0; i < 3; i++) {
		if (!lines[i][0])
			continue;
		longer = curl_slist_append(list, lines[i]);
		if (!longer) {
			curl_slist_free_all(list);
			return NULL;
		}
		list = longer;
	}
	return list;
}

static int post(const struct fg_hook_target *t, const char *body, size_t n, char *why, size_t n_why)
{
	char signature[128] = "", said[CURL_ERROR_SIZE] = "";
	struct curl_slist *headers;
	size_t answered = 0;
	long status = 0;
	CURLcode code;
	int r = t->key_file ? sign(t, body, n, signature, sizeof(signature), why, n_why) : 0;

	if (r)
		return r;
	headers = make_headers(signature);
	if (!headers)
		return -ENOMEM;
	/* connections stay open over this */
	curl_easy_reset(t->curl);
	curl_easy_setopt(t->curl, CURLOPT_URL, t->url);
	curl_easy_setopt(t->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(t->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(t->curl, CURLOPT_TIMEOUT_MS, (long)t->timeout_s * 1000);
	curl_easy_setopt(t->curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(t->curl, CURLOPT_USERAGENT, "farmgate");
	curl_easy_setopt(t->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)n);
	curl_easy_setopt(t->curl, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(t->curl, CURLOPT_WRITEFUNCTION, swallow);
	curl_easy_setopt(t->curl, CURLOPT_WRITEDATA, &answered);
	curl_easy_setopt(t->curl, CURLOPT_ERRORBUFFER, said);
	code = curl_easy_perform(t->curl);
	if (!code)
		curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_slist_free_all(headers);
	if (code)
		snprintf(why, n_why, "%s: %s", t->url,
			 answered > MAX_ANSWER ? "its answer is too long" :
			 said[0]	       ? said :
						 curl_easy_strerror(code));
	else if (status < 200 || status > 299)
		snprintf(why, n_why, "%s: answers %ld", t->url, status);
	else
		return 0;
	return -EIO;
}
#else
static int post(const struct fg_hook_target *t, const char *body, size_t n, char *why, size_t n_why)
{
	(void)body;
	(void)n;
	snprintf(why, n_why, "%s: libcurl was left out of this build", t->url);
	return -ENOTSUP;
}
#endif

static int deliver(const struct fg_hook_target *t, const char *lines, size_t n, char *why,
		   size_t n_why)
{
	return t->url ? post(t, lines, n, why, n_why) : run_command(t, lines, n, why, n_why);
}

/* --- Applying --------------------------------------------------------------------------------- */

/* Keeps what was not taken, with lines that it takes over: the set that it points into may be gone by
 * the next time. Without memory for it, it is told anew, under another number. */
static void keep_failed(struct fg_hook_target *t, const struct fg_change *changes, size_t n,
			char **lines, size_t n_lines)
{
	struct batch b = { .number = t->number, .n = n, .n_lines = n_lines };

	b.changes = calloc(n, sizeof(*b.changes));
	b.held = calloc(n, sizeof(*b.held));
	if (!b.changes || !b.held) {
		free_batch(&b);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		b.held[i] = *changes[i].held;
		b.changes[i] = (struct fg_change){ changes[i].kind, &b.held[i], NULL };
		b.n_removed += changes[i].kind == FG_CHANGE_REMOVE;
	}
	b.lines = FG_TAKE_PTR(*lines);
	t->failed = b;
}

/* The batch that failed, as it was. @return number of changes, -errno. */
static int tell_failed(struct fg_hook_target *t, char *why, size_t n_why)
{
	struct batch *b = &t->failed;
	struct fg_diff diff = { b->changes, b->n, b->n_removed, { 0 } };
	int n = (int)b->n, r;

	if (!b->n)
		return 0;
	r = deliver(t, b->lines, b->n_lines, why, n_why);
	if (r)
		return r;
	/* what it removed points at its own copies: found by its key */
	for (size_t i = 0; i < b->n_removed; i++)
		b->changes[i].held = fg_shadow_find(&t->shadow, b->held[i].addr, b->held[i].bits);
	r = fg_diff_done_part(&diff, b->n, &t->shadow);
	if (!r)
		b->changes = NULL;
	free_batch(b);
	return r ? r : n;
}

/* Batch after batch while there is time. *ret_n changes were taken, also where one failed. */
static int tell_all(struct fg_hook_target *t, const struct fg_diff *diff, uint64_t now_ns,
		    size_t *ret_n, char *why, size_t n_why)
{
	int64_t until = fg_monotonic_ms() + BEGIN_MS;
	int r = 0;

	for (*ret_n = 0; !r && *ret_n < diff->n && fg_monotonic_ms() < until;) {
		size_t left = diff->n - *ret_n, n = left < t->batch ? left : t->batch, n_lines = 0;
		const struct fg_change *changes = diff->changes + *ret_n;
		_cleanup_free_ char *lines = NULL;

		r = write_lines(t, changes, n, now_ns, ++t->number, &lines, &n_lines);
		if (r)
			return r;
		r = deliver(t, lines, n_lines, why, n_why);
		if (r)
			keep_failed(t, changes, n, &lines, n_lines);
		else
			*ret_n += n;
	}
	return r;
}

static int apply(void *impl, const struct fg_export_set *set, uint64_t now_ns, char *why,
		 size_t n_why)
{
	_cleanup_(fg_diff_free) struct fg_diff diff = { 0 };
	struct fg_hook_target *t = impl;
	int before = tell_failed(t, why, n_why), r, kept;
	size_t n = 0;

	t->more = false;
	if (before < 0)
		return before;
	/* it is told of ends, too: whether it has a clock is not known */
	r = fg_diff_make(&t->shadow, set, now_ns, false, &diff);
	if (r)
		return r;
	r = tell_all(t, &diff, now_ns, &n, why, n_why);
	t->more = !r && n < diff.n;
	if (n == diff.n)
		fg_diff_done(&diff, &t->shadow);
	else if ((kept = fg_diff_done_part(&diff, n, &t->shadow)))
		return kept;
	return r ? r : before + (int)n;
}

static bool more(const void *impl)
{
	return ((const struct fg_hook_target *)impl)->more;
}

/* It was told how long a block lasts, and may count that down. */
static void forget_ends(void *impl)
{
	struct fg_hook_target *t = impl;

	fg_shadow_forget_ends(&t->shadow);
}

static void free_impl(void *impl)
{
	struct fg_hook_target *t = impl;

	fg_hook_free(&t);
}

const struct fg_target_ops fg_hook_ops = {
	.name = "hook",
	.apply = apply,
	.forget_ends = forget_ends,
	.more = more,
	.free = free_impl,
};

const struct fg_target_ops fg_webhook_ops = {
	.name = "webhook",
	.apply = apply,
	.forget_ends = forget_ends,
	.more = more,
	.free = free_impl,
};
