/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The token lives an hour of the LAPI's clock, which need not be ours. */
#include "export/lapi_session.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "export/lapi_json.h"
#include "lib/mem.h"

#define S 1000000000ULL
/* A token is left this much before its end. */
#define TOKEN_MARGIN_NS (60 * S)
/* Clocks that drift stay below; one that was set does not. */
#define CLOCK_JUMP_NS (30 * (int64_t)S)

int fg_lapi_session_init(struct fg_lapi_session *s, const struct fg_lapi_conf *conf,
			 const struct fg_lapi_transport *transport)
{
	*s = (struct fg_lapi_session){ .transport = *transport };
	s->machine = strdup(conf->machine);
	s->password_file = strdup(conf->password_file);
	return s->machine && s->password_file ? 0 : -ENOMEM;
}

static void drop_token(struct fg_lapi_session *s)
{
	if (s->token)
		explicit_bzero(s->token, strlen(s->token));
	free(s->token);
	s->token = NULL;
}

void fg_lapi_session_done(struct fg_lapi_session *s)
{
	drop_token(s);
	free(s->machine);
	free(s->password_file);
	if (s->transport.free)
		s->transport.free(s->transport.arg);
}

static uint64_t now_of(const struct fg_lapi_session *s)
{
	return s->transport.now_ns(s->transport.arg);
}

void fg_lapi_session_begin(struct fg_lapi_session *s)
{
	s->give_up_ns = now_of(s) + FG_LAPI_BUDGET_MS * (S / 1000);
}

/* Also against a clock that is set back meanwhile: never more than the whole budget. */
static uint32_t left_ms(const struct fg_lapi_session *s)
{
	uint64_t now_ns = now_of(s), left;

	left = s->give_up_ns > now_ns ? (s->give_up_ns - now_ns) / (S / 1000) : 0;
	return left < FG_LAPI_BUDGET_MS ? (uint32_t)left : FG_LAPI_BUDGET_MS;
}

bool fg_lapi_session_has_time(const struct fg_lapi_session *s)
{
	/* a request that is cut short is one whose end nobody knows */
	return left_ms(s) > FG_LAPI_BUDGET_MS / 4;
}

uint64_t fg_lapi_session_its_ns(const struct fg_lapi_session *s)
{
	int64_t skew = s->skew_ns;

	/* it is said in whole seconds: less than two is no difference */
	if (skew > -2 * (int64_t)S && skew < 2 * (int64_t)S)
		skew = 0;
	return now_of(s) + (uint64_t)skew;
}

void fg_lapi_free_answer(struct fg_lapi_answer *answer)
{
	free(answer->body);
	*answer = (struct fg_lapi_answer){ 0 };
}

static void learn_clock(struct fg_lapi_session *s, uint64_t date_ns)
{
	int64_t skew = (int64_t)(date_ns - now_of(s)), moved = skew - s->skew_ns;

	if (!date_ns)
		return;
	/* one of the clocks was set: ends that were told mean something else now */
	if (s->clock_known && (moved > CLOCK_JUMP_NS || moved < -CLOCK_JUMP_NS))
		s->doubt = true;
	s->skew_ns = skew;
	s->clock_known = true;
}

static int exchange(struct fg_lapi_session *s, struct fg_lapi_request *request,
		    struct fg_lapi_answer *ret_answer, char *why, size_t n_why)
{
	int r;

	*ret_answer = (struct fg_lapi_answer){ 0 };
	request->timeout_ms = left_ms(s);
	if (!request->timeout_ms) {
		snprintf(why, n_why, "the LAPI is slow: no time left for another request");
		return -ENOTCONN;
	}
	r = s->transport.exchange(s->transport.arg, request, ret_answer, why, n_why);
	if (r) {
		fg_lapi_free_answer(ret_answer);
		return r;
	}
	learn_clock(s, ret_answer->date_ns);
	return 0;
}

void fg_lapi_say(const struct fg_lapi_answer *answer, const char *what, char *why, size_t n_why)
{
	char message[160];

	fg_lapi_read_message(answer->body, answer->n_body, message, sizeof(message));
	snprintf(why, n_why, "%s: the LAPI says %u%s%s", what, answer->status,
		 message[0] ? ": " : "", message);
}

/* --- Login ------------------------------------------------------------------------------------ */

int fg_lapi_password(const char *path, char *ret_password, char *why, size_t n_why)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	const size_t n = FG_LAPI_MAX_PASSWORD + 2;
	struct stat st;
	ssize_t got;

	if (fd < 0 || fstat(fd, &st)) {
		int r = -errno;

		snprintf(why, n_why, "%s: %s", path, strerror(-r));
		return r;
	}
	if (!S_ISREG(st.st_mode)) {
		snprintf(why, n_why, "%s: no file", path);
		return -EINVAL;
	}
	if (st.st_mode & (S_IROTH | S_IWOTH)) {
		snprintf(why, n_why, "%s: anybody may read or write this password: chmod 600",
			 path);
		return -EPERM;
	}
	got = read(fd, ret_password, n - 1);
	if (got < 0) {
		int r = -errno;

		snprintf(why, n_why, "%s: %s", path, strerror(-r));
		return r;
	}
	ret_password[got] = '\0';
	ret_password[strcspn(ret_password, "\r\n")] = '\0';
	if (!ret_password[0] || (size_t)got == n - 1) {
		snprintf(why, n_why, "%s: not a password of 1 to %d characters on its first line",
			 path, FG_LAPI_MAX_PASSWORD);
		return -EINVAL;
	}
	return 0;
}

/* Its word on a refused login, and what to do about it. */
static void explain_refusal(const struct fg_lapi_session *s, const struct fg_lapi_answer *answer,
			    char *why, size_t n_why)
{
	char message[160];

	fg_lapi_read_message(answer->body, answer->n_body, message, sizeof(message));
	if (strstr(message, "not validated"))
		snprintf(why, n_why, "login: machine not validated: cscli machines validate %s",
			 s->machine);
	else if (strstr(message, "not found"))
		snprintf(why, n_why, "login: the LAPI knows no machine %s: cscli machines add %s",
			 s->machine, s->machine);
	else
		snprintf(why, n_why, "login: refused: wrong password for machine %s in %s (%s)",
			 s->machine, s->password_file, message[0] ? message : "no reason given");
}

static int take_token(struct fg_lapi_session *s, const struct fg_lapi_answer *answer, char *why,
		      size_t n_why)
{
	uint64_t now_ns = now_of(s), expire_ns, its_ns = now_ns;
	int r = fg_lapi_read_login(answer->body, answer->n_body, &s->token, &expire_ns);

	if (r) {
		snprintf(why, n_why, "login: the LAPI's answer holds no token");
		return r;
	}
	if (answer->date_ns)
		its_ns = answer->date_ns;
	s->token_until_ns = now_ns;
	if (expire_ns > its_ns + TOKEN_MARGIN_NS)
		s->token_until_ns += expire_ns - its_ns - TOKEN_MARGIN_NS;
	return 0;
}

static int post_login(struct fg_lapi_session *s, const char *password,
		      struct fg_lapi_answer *answer, char *why, size_t n_why)
{
	_cleanup_free_ char *body = NULL;
	size_t n_body = 0;
	FILE *out = open_memstream(&body, &n_body);
	struct fg_lapi_request request = { .method = "POST", .path = "/v1/watchers/login" };
	int r;

	if (!out)
		return -ENOMEM;
	r = fg_lapi_write_login(out, s->machine, password);
	if (fclose(out) || r) {
		snprintf(why, n_why, "login: no memory");
		return -ENOMEM;
	}
	request.body = body;
	request.n_body = n_body;
	r = exchange(s, &request, answer, why, n_why);
	explicit_bzero(body, n_body);
	return r;
}

int fg_lapi_login(struct fg_lapi_session *s, char *why, size_t n_why)
{
	_cleanup_(fg_lapi_free_answer) struct fg_lapi_answer answer = { 0 };
	char password[FG_LAPI_MAX_PASSWORD + 2];
	int r;

	if (s->token && now_of(s) < s->token_until_ns)
		return 0;
	drop_token(s);
	r = fg_lapi_password(s->password_file, password, why, n_why);
	if (r)
		return r;
	r = post_login(s, password, &answer, why, n_why);
	explicit_bzero(password, sizeof(password));
	if (r)
		return r;
	if (answer.status == 401 || answer.status == 403) {
		explain_refusal(s, &answer, why, n_why);
		return -EACCES;
	}
	if (answer.status != 200) {
		fg_lapi_say(&answer, "login", why, n_why);
		return -EBADMSG;
	}
	return take_token(s, &answer, why, n_why);
}

int fg_lapi_call(struct fg_lapi_session *s, struct fg_lapi_request request,
		 struct fg_lapi_answer *ret_answer, char *why, size_t n_why)
{
	int r;

	for (int attempt = 0; attempt < 2; attempt++) {
		r = fg_lapi_login(s, why, n_why);
		/* however the login failed, the request was never made */
		if (r)
			return -EACCES;
		request.token = s->token;
		r = exchange(s, &request, ret_answer, why, n_why);
		if (r || ret_answer->status != 401)
			return r;
		fg_lapi_free_answer(ret_answer);
		drop_token(s);
		/* it has another secret, and perhaps another memory */
		s->doubt = true;
	}
	snprintf(why, n_why, "the LAPI refuses the token that it has just given to machine %s",
		 s->machine);
	return -EACCES;
}
