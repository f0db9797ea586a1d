/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cmd/ask.h"

#include <stdlib.h>
#include <string.h>

#include "agent/conf.h"
#include "lib/log.h"

/* {"error": "..."} of a refusal. */
static void complain(const char *target, const struct fg_client_answer *a)
{
	json_t *doc = json_loadb(a->body, a->n, 0, NULL);
	const char *error = json_string_value(json_object_get(doc, "error"));

	fg_complain(target, "%s", error ? error : "the agent refuses");
	json_decref(doc);
}

int fg_ask(struct fg_options *o, const char *method, const char *target, const char *body,
	   struct fg_client_answer *ret_answer)
{
	struct fg_client_answer a = { 0 };
	char why[256] = "", name[32];
	struct fg_conf conf;
	int r = fg_options_conf(o, &conf);

	if (!r && fg_client_request(conf.socket_path, method, target, body, &a, why, sizeof(why))) {
		fg_complain(conf.socket_path, "%s", why);
		r = FG_EXIT_ERROR;
	}
	fg_conf_done(&conf);
	if (r)
		return r;
	if (a.status != 200) {
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(target + 4, "?"), target + 4);
		complain(name, &a);
		free(a.body);
		return FG_EXIT_ERROR;
	}
	*ret_answer = a;
	return FG_EXIT_OK;
}

json_t *fg_ask_json(struct fg_options *o, const char *target, int *ret_exit)
{
	struct fg_client_answer a;
	json_error_t error;
	json_t *doc = NULL;

	*ret_exit = fg_ask(o, "GET", target, NULL, &a);
	if (*ret_exit)
		return NULL;
	if (o->format == FG_FORMAT_JSON) {
		fwrite(a.body, 1, a.n, stdout);
		free(a.body);
		return NULL;
	}
	doc = json_loadb(a.body, a.n, 0, &error);
	if (!doc) {
		fg_complain("agent", "its answer is no JSON: %s", error.text);
		*ret_exit = FG_EXIT_ERROR;
	}
	free(a.body);
	return doc;
}

const char *fg_ask_text(const json_t *value)
{
	static char copies[2][1024];
	static unsigned int turn;
	const unsigned char *p = (const unsigned char *)json_string_value(value);
	char *copy = copies[turn++ % 2];
	size_t n = 0;

	if (!p)
		return "-";
	for (; *p && n < sizeof(copies[0]) - 1; p++) {
		/* U+0080 to U+009F are c2 80 to c2 9f; the answer is valid UTF-8 */
		bool c1 = p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0;

		copy[n++] = *p < ' ' || *p == 0x7f || c1 ? '?' : (char)*p;
		p += c1;
	}
	copy[n] = '\0';
	return copy;
}
