/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "serve/explain.h"

#include <string.h>

#include "lib/ip.h"
#include "lib/jsonw.h"
#include "lib/num.h"
#include "model/stack.h"
#include "serve/lists.h"
#include "serve/report.h"

#define MAX_CLIENTS  32
#define MAX_VERDICTS 16

static int source_of(const struct fg_query *q, uint8_t ret_addr[16], char *why, size_t n_why)
{
	const char *text = q->argument(q->arg, "source");
	uint8_t addr[16], bits;

	if (!text) {
		snprintf(why, n_why, "source is missing");
		return 400;
	}
	if (fg_ip_parse(text, addr, &bits)) {
		snprintf(why, n_why, "source: '%s' is no address or prefix", text);
		return 400;
	}
	fg_ip_to_source(addr, ret_addr, &bits);
	return 0;
}

static void say_counts(struct fg_jsonw *w, const struct fg_model_source *s)
{
	char from[32], to[32];

	fg_jsonw_stringf(w,
			 "Seen from %s to %s: %llu connections, %llu of them proven; %llu complete "
			 "hellos, %llu incomplete; %llu exchanges, %llu bytes in, %llu bytes out.",
			 fg_num_time(s->first_ns, from), fg_num_time(s->last_ns, to),
			 (unsigned long long)s->connections, (unsigned long long)s->proven,
			 (unsigned long long)s->hellos, (unsigned long long)s->incomplete,
			 (unsigned long long)s->exchanges, (unsigned long long)s->bytes_in,
			 (unsigned long long)s->bytes_out);
	fg_jsonw_stringf(w, "%u kinds of clients with %u fingerprints stand behind it.", s->clients,
			 s->fingerprints);
}

static void say_verdict(struct fg_jsonw *w, const struct fg_verdict *v)
{
	char from[32], until[32];

	fg_jsonw_stringf(w, "%s, tier %s, from %s until %s%s%s.",
			 v->origin == FG_ORIGIN_OPERATOR ? "Blocked by the operator" : "Flagged",
			 fg_tier_name(v->tier), fg_num_time(v->first_ns, from),
			 fg_num_time(v->until_ns, until), v->reason[0] ? "; " : "", v->reason);
	for (size_t i = 0; i < v->n_evidence; i++)
		fg_jsonw_stringf(w, "%s (%s): %s (%.1f nats; %.4g of the population show as much.)",
				 v->evidence[i].name, fg_family_name(v->evidence[i].family),
				 v->evidence[i].text, v->evidence[i].nats,
				 v->evidence[i].base_rate);
	if (v->n_evidence)
		fg_jsonw_string(w,
				"It would be refuted by knowing the source: a probe, a crawler, a "
				"customer's server. Then: farmgate allow.");
}

static void write_sentences(struct fg_jsonw *w, const struct fg_view *v,
			    const struct fg_model_source *s,
			    const struct fg_verdict *const *verdicts, size_t n, bool allowed)
{
	fg_jsonw_key(w, "sentences");
	fg_jsonw_array(w);
	if (s)
		say_counts(w, s);
	else
		fg_jsonw_string(w, "No proven connection of this source was seen.");
	for (size_t i = 0; i < n; i++)
		say_verdict(w, verdicts[i]);
	if (!n)
		fg_jsonw_string(w, "No verdict stands on it.");
	if (allowed)
		fg_jsonw_string(w, "It is on the allowlist: nothing is ever enforced against it.");
	fg_jsonw_stringf(w, "Mode is %s.", v->mode);
	fg_jsonw_array_end(w);
}

int fg_explain(FILE *out, struct fg_view *v, const struct fg_query *q, char *why, size_t n_why)
{
	const struct fg_model_client *clients[MAX_CLIENTS];
	const struct fg_verdict *verdicts[MAX_VERDICTS];
	const struct fg_model_source *s;
	char buf[FG_IP_TEXT];
	struct fg_jsonw w;
	uint8_t addr[16], bits;
	size_t n, n_clients;
	bool allowed;
	int r = source_of(q, addr, why, n_why);

	if (r)
		return r;
	bits = fg_ip_is4(addr) ? 128 : 64;
	s = fg_model_source_find(v->model, addr);
	n = fg_store_find(v->store, addr, verdicts, MAX_VERDICTS);
	allowed = fg_store_allowed(v->store, addr, bits, v->now_ns(v->agent));
	n_clients = fg_model_clients_of(v->model, addr, clients, MAX_CLIENTS);
	fg_jsonw_init(&w, out);
	fg_jsonw_object(&w);
	fg_jsonw_key_string(&w, "source", fg_ip_source(addr, buf));
	fg_jsonw_key_bool(&w, "seen", s != NULL);
	fg_jsonw_key_bool(&w, "allowed", allowed);
	write_sentences(&w, v, s, verdicts, n, allowed);
	fg_jsonw_key(&w, "clients");
	fg_jsonw_array(&w);
	for (size_t i = 0; i < n_clients; i++) {
		fg_jsonw_object(&w);
		fg_list_client_fields(&w, v->model, clients[i]);
		fg_jsonw_object_end(&w);
	}
	fg_jsonw_array_end(&w);
	fg_jsonw_key(&w, "verdicts");
	fg_jsonw_array(&w);
	for (size_t i = 0; i < n; i++)
		fg_report_verdict(&w, verdicts[i]);
	fg_jsonw_array_end(&w);
	fg_jsonw_object_end(&w);
	fputc('\n', out);
	return fg_jsonw_finish(&w) ? 500 : 0;
}

static int write_past(void *arg, uint64_t time_ns, const char *what, const char *who,
		      const char *reason)
{
	struct fg_jsonw *w = arg;

	fg_jsonw_object(w);
	fg_jsonw_key_time(w, "time", time_ns);
	fg_jsonw_key_string(w, "what", what);
	fg_jsonw_key_string(w, "who", who);
	fg_jsonw_key_string(w, "reason", reason);
	fg_jsonw_object_end(w);
	return 0;
}

int fg_explain_history(FILE *out, struct fg_view *v, const struct fg_query *q, char *why,
		       size_t n_why)
{
	char buf[FG_IP_TEXT];
	struct fg_jsonw w;
	uint8_t addr[16];
	int r = source_of(q, addr, why, n_why);

	if (r)
		return r;
	fg_jsonw_init(&w, out);
	fg_jsonw_object(&w);
	fg_jsonw_key_string(&w, "source", fg_ip_source(addr, buf));
	fg_jsonw_key(&w, "history");
	fg_jsonw_array(&w);
	r = fg_store_history(v->store, addr, write_past, &w);
	fg_jsonw_array_end(&w);
	fg_jsonw_object_end(&w);
	fputc('\n', out);
	if (r < 0) {
		snprintf(why, n_why, "history: %s", strerror(-r));
		return 500;
	}
	return fg_jsonw_finish(&w) ? 500 : 0;
}
