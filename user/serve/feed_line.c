/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "serve/feed_line.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "farmgate/hash.h"
#include "lib/ip.h"
#include "lib/mem.h"
#include "lib/num.h"

#define TAKEN (-1)

/* Where a sentence about what is wrong goes. */
struct why {
	char *text;
	size_t n;
};

static const char *const refused_names[] = {
#define FG_NAME_TEXT(name) #name,
	FG_FEED_REFUSED(FG_NAME_TEXT)
#undef FG_NAME_TEXT
};

const char *fg_feed_refused_name(enum fg_feed_refused refused)
{
	return (unsigned int)refused < _FG_FEED_REFUSED_MAX ? refused_names[refused] : "?";
}

__attribute__((format(printf, 3, 4))) static int
refuse(const struct why *why, enum fg_feed_refused reason, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why->text, why->n, fmt, ap);
	va_end(ap);
	return (int)reason;
}

static void drop_json(json_t **json)
{
	json_decref(*json);
}

/* A key without meaning is refused: what is misspelt would be lost without a word. keys ends with NULL. */
static int check_keys(json_t *object, const char *const *keys, const struct why *why)
{
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value)
	{
		size_t i = 0;

		while (keys[i] && strcmp(keys[i], key))
			i++;
		if (!keys[i])
			return refuse(why, FG_FEED_unknown, "%.32s: no such field here", key);
	}
	return TAKEN;
}

/* The text of a field that must be there. @return TAKEN or the refusal. */
static int text_of(json_t *object, const char *key, enum fg_feed_refused reason,
		   const char **ret_text, const struct why *why)
{
	json_t *value = json_object_get(object, key);

	if (!value)
		return refuse(why, FG_FEED_missing, "%s: missing", key);
	if (!json_is_string(value))
		return refuse(why, reason, "%s: no text", key);
	*ret_text = json_string_value(value);
	return TAKEN;
}

/* "203.0.113.7:443", "[2001:db8::7]:443"; a v4-mapped address, as dual-stack sockets have it, is the
 * IPv4 one. */
static bool read_end(const char *text, uint8_t ret_addr[16], uint16_t *ret_port)
{
	const char *colon = strrchr(text, ':');
	char host[FG_IP_TEXT];
	bool v6 = text[0] == '[';
	uint8_t bits;
	uint64_t port;
	size_t n;

	if (!colon || fg_num_u64(colon + 1, 1, UINT16_MAX, &port))
		return false;
	n = (size_t)(colon - text);
	if (v6 && (n < 3 || text[n - 1] != ']'))
		return false;
	text += v6;
	n -= v6 ? 2 : 0;
	if (n >= sizeof(host))
		return false;
	memcpy(host, text, n);
	host[n] = '\0';
	/* without brackets the last group of an IPv6 address would be taken for a port */
	if (strchr(host, '/') || v6 != (strchr(host, ':') != NULL) ||
	    fg_ip_parse(host, ret_addr, &bits))
		return false;
	*ret_port = (uint16_t)port;
	return true;
}

static int take_end(json_t *object, const char *key, enum fg_feed_refused reason,
		    uint8_t ret_addr[16], uint16_t *ret_port, const struct why *why)
{
	const char *text;
	int r = text_of(object, key, reason, &text, why);

	if (r == TAKEN && !read_end(text, ret_addr, ret_port))
		return refuse(why, reason, "%s: '%.60s' is no ADDRESS:PORT (IPv6: [ADDRESS]:PORT)",
			      key, text);
	return r;
}

static int take_pair(json_t *object, struct fg_feed_pair *pair, const struct why *why)
{
	int r = take_end(object, "client", FG_FEED_client, pair->client, &pair->client_port, why);

	return r != TAKEN ? r :
			    take_end(object, "server", FG_FEED_server, pair->server,
				     &pair->server_port, why);
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int take_account(json_t *object, const uint64_t seed[2], uint64_t *ret_key,
			const struct why *why)
{
	uint64_t h = seed[0], word = 0;
	const char *text;
	size_t n = 0;
	int r = text_of(object, "account", FG_FEED_account, &text, why);

	if (r != TAKEN)
		return r;
	for (; n <= FG_FEED_MAX_ACCOUNT && text[n] && digit_of(text[n]) >= 0; n++) {
		word = word << 4 | (uint64_t)digit_of(text[n]);
		if (n % 16 == 15)
			h = fg_mix(h, word, seed[1]);
	}
	if (n < FG_FEED_MIN_ACCOUNT || n > FG_FEED_MAX_ACCOUNT || text[n])
		return refuse(why, FG_FEED_account, "account: no %d to %d hexadecimal digits",
			      FG_FEED_MIN_ACCOUNT, FG_FEED_MAX_ACCOUNT);
	/* the rest, and how many there are: leading zeros count */
	*ret_key = fg_mix_end(fg_mix(fg_mix(h, word, seed[1]), n, seed[0]), seed[1]);
	return TAKEN;
}

static int take_outcome(json_t *object, enum fg_account_outcome *ret_outcome, const struct why *why)
{
	const char *text;
	int r = text_of(object, "outcome", FG_FEED_outcome, &text, why);

	if (r != TAKEN)
		return r;
	for (int i = 0; i < _FG_ACCOUNT_OUTCOME_MAX; i++) {
		if (!strcmp(text, fg_account_outcome_name((enum fg_account_outcome)i))) {
			*ret_outcome = (enum fg_account_outcome)i;
			return TAKEN;
		}
	}
	return refuse(why, FG_FEED_outcome,
		      "outcome: '%.32s' is none of ok, refused, limited, banned", text);
}

/* May be left out: not every application knows. */
static int take_age(json_t *object, enum fg_account_age *ret_age, const struct why *why)
{
	const char *text;
	int r;

	*ret_age = FG_AGE_UNKNOWN;
	if (!json_object_get(object, "age"))
		return TAKEN;
	r = text_of(object, "age", FG_FEED_age, &text, why);
	if (r != TAKEN)
		return r;
	for (int i = FG_AGE_UNKNOWN + 1; i < _FG_AGE_MAX; i++) {
		if (!strcmp(text, fg_account_age_name((enum fg_account_age)i))) {
			*ret_age = (enum fg_account_age)i;
			return TAKEN;
		}
	}
	return refuse(why, FG_FEED_age, "age: '%.32s' is none of new, day, week, month, old", text);
}

static int take_lookup(json_t *object, json_t *lookup, struct fg_feed_line *line,
		       const struct why *why)
{
	static const char *const outer[] = { "lookup", NULL };
	static const char *const inner[] = { "client", "server", NULL };
	int r = check_keys(object, outer, why);

	if (r != TAKEN)
		return r;
	if (!json_is_object(lookup))
		return refuse(why, FG_FEED_lookup, "lookup: no object with client and server");
	line->lookup = true;
	r = check_keys(lookup, inner, why);
	return r != TAKEN ? r : take_pair(lookup, &line->pair, why);
}

static int take_push(json_t *object, const uint64_t seed[2], struct fg_feed_line *line,
		     const struct why *why)
{
	static const char *const keys[] = { "client", "server", "account", "outcome", "age", NULL };
	int r = check_keys(object, keys, why);

	if (r == TAKEN)
		r = take_pair(object, &line->pair, why);
	if (r == TAKEN)
		r = take_account(object, seed, &line->account, why);
	if (r == TAKEN)
		r = take_outcome(object, &line->outcome, why);
	if (r == TAKEN)
		r = take_age(object, &line->age, why);
	return r;
}

int fg_feed_parse(const char *text, size_t n, const uint64_t seed[2], struct fg_feed_line *ret_line,
		  char *why_text, size_t n_why)
{
	const struct why why = { why_text, n_why };
	_cleanup_(drop_json) json_t *object = NULL;
	struct fg_feed_line line = { .lookup = false };
	json_t *lookup;
	json_error_t error;
	int r;

	if (n > FG_FEED_MAX_LINE)
		return refuse(&why, FG_FEED_too_long, "the line is longer than %d bytes",
			      FG_FEED_MAX_LINE);
	object = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
	if (!object)
		return refuse(&why, FG_FEED_json, "no JSON object: %s", error.text);
	if (!json_is_object(object))
		return refuse(&why, FG_FEED_json, "no JSON object");
	lookup = json_object_get(object, "lookup");
	r = lookup ? take_lookup(object, lookup, &line, &why) :
		     take_push(object, seed, &line, &why);
	if (r == TAKEN)
		*ret_line = line;
	return r;
}
