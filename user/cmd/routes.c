/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cmd/routes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* More than one process announces, several times over; a list from a stranger must not eat the host. */
#define MAX_ROUTES 65536

struct route {
	char *announce, *withdraw; /* lines without their ends */
	uint64_t until_ns;
	uint64_t number; /* of the command that announced it last */
	uint64_t retry_ns; /* exabgp refused it: again at this time; 0 = it stands */
};

struct fg_routes {
	struct route *at; /* sorted by announce, no duplicates */
	size_t n;
	uint64_t commands, answers;
	struct fg_routes_counts counts;
};

static void clear(struct route *routes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(routes[i].announce);
		free(routes[i].withdraw);
	}
	free(routes);
}

int fg_routes_new(struct fg_routes **ret_routes)
{
	*ret_routes = calloc(1, sizeof(**ret_routes));
	return *ret_routes ? 0 : -ENOMEM;
}

void fg_routes_free(struct fg_routes **routes)
{
	if (!*routes)
		return;
	clear((*routes)->at, (*routes)->n);
	free(*routes);
	*routes = NULL;
}

size_t fg_routes_n(const struct fg_routes *r)
{
	return r->n;
}

const struct fg_routes_counts *fg_routes_counts(const struct fg_routes *r)
{
	return &r->counts;
}

/* --- Lines ------------------------------------------------------------------------------------- */

static void announce(struct fg_routes *r, struct route *route, FILE *out)
{
	fprintf(out, "%s\n", route->announce);
	route->number = ++r->commands;
	route->retry_ns = 0;
	r->counts.announced++;
}

static void withdraw(struct fg_routes *r, const struct route *route, FILE *out)
{
	/* what was never announced, or refused, does not stand */
	if (!route->number || route->retry_ns)
		return;
	fprintf(out, "%s\n", route->withdraw);
	r->commands++;
	r->counts.withdrawn++;
}

/* --- The agent's rows --------------------------------------------------------------------------- */

static int by_announce(const void *a, const void *b)
{
	return strcmp(((const struct route *)a)->announce, ((const struct route *)b)->announce);
}

/* A command of this kind on one line: whatever the socket says goes into a router. */
static bool is_command(const char *text, const char *verb)
{
	if (!text || strncmp(text, verb, strlen(verb)))
		return false;
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return true;
}

static int read_row(const json_t *row, uint64_t now_ns, struct route *ret_route)
{
	const char *up = json_string_value(json_object_get(row, "announce"));
	const char *down = json_string_value(json_object_get(row, "withdraw"));
	double left = json_number_value(json_object_get(row, "left"));

	/* a day is the longest that a block holds */
	if (!is_command(up, "announce ") || !is_command(down, "withdraw ") ||
	    !(left >= 0 && left <= 86400))
		return -EBADMSG;
	*ret_route = (struct route){
		.announce = strdup(up),
		.withdraw = strdup(down),
		.until_ns = now_ns + (uint64_t)(left * 1e9),
	};
	return 0;
}

static int read_rows(const json_t *rows, uint64_t now_ns, struct route **ret_routes, size_t *ret_n)
{
	struct route *routes = calloc(json_array_size(rows) + 1, sizeof(*routes));
	size_t n = 0, kept = 0, i;
	json_t *row;
	int r = routes ? 0 : -ENOMEM;

	if (!r && !json_is_array(rows))
		r = -EBADMSG;
	json_array_foreach(rows, i, row)
	{
		if (!r)
			r = read_row(row, now_ns, &routes[n]);
		if (!r && (!routes[n].announce || !routes[n].withdraw))
			r = -ENOMEM;
		n += routes && routes[n].until_ns;
	}
	if (r) {
		clear(routes, n);
		return r;
	}
	if (n)
		qsort(routes, n, sizeof(*routes), by_announce);
	for (i = 0; i < n; i++) {
		if (kept && !by_announce(&routes[kept - 1], &routes[i])) {
			free(routes[i].announce);
			free(routes[i].withdraw);
		} else {
			routes[kept++] = routes[i];
		}
	}
	*ret_routes = routes;
	*ret_n = kept;
	return 0;
}

/* What stood before stands; what is gone is withdrawn. */
static void carry_over(struct fg_routes *r, struct route *routes, size_t n, FILE *out)
{
	for (size_t i = 0, j = 0; i < r->n; i++) {
		while (j < n && by_announce(&routes[j], &r->at[i]) < 0)
			j++;
		if (j == n || by_announce(&routes[j], &r->at[i])) {
			withdraw(r, &r->at[i], out);
		} else {
			routes[j].number = r->at[i].number;
			routes[j].retry_ns = r->at[i].retry_ns;
		}
	}
}

int fg_routes_take(struct fg_routes *r, const json_t *answer, uint64_t now_ns, FILE *out)
{
	struct route *routes;
	size_t n;
	int error = read_rows(json_object_get(answer, "rows"), now_ns, &routes, &n);

	if (error)
		return error;
	carry_over(r, routes, n, out);
	for (size_t i = 0; i < n; i++)
		if (!routes[i].number && routes[i].until_ns > now_ns)
			announce(r, &routes[i], out);
	clear(r->at, r->n);
	r->at = routes;
	r->n = n;
	r->counts.left_out = (uint64_t)json_integer_value(json_object_get(answer, "left_out"));
	r->counts.too_wide = (uint64_t)json_integer_value(json_object_get(answer, "too_wide"));
	r->counts.no_next_hop =
		(uint64_t)json_integer_value(json_object_get(answer, "no_next_hop"));
	return 0;
}

void fg_routes_tick(struct fg_routes *r, uint64_t now_ns, FILE *out)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->n; i++) {
		struct route *route = &r->at[i];

		if (route->until_ns > now_ns) {
			if (route->retry_ns && route->retry_ns <= now_ns)
				announce(r, route, out);
			r->at[kept++] = *route;
			continue;
		}
		withdraw(r, route, out);
		free(route->announce);
		free(route->withdraw);
	}
	r->n = kept;
}

void fg_routes_ask(struct fg_routes *r, FILE *out)
{
	fputs("show adj-rib out extensive\n", out);
	r->commands++;
}

int fg_routes_found(struct fg_routes *r, const char *up, const char *down, uint64_t now_ns)
{
	struct route *larger, route = { .announce = (char *)up };
	size_t at = 0;

	while (at < r->n && by_announce(&r->at[at], &route) < 0)
		at++;
	if (at < r->n && !by_announce(&r->at[at], &route))
		return 0;
	if (r->n == MAX_ROUTES)
		return -ENOSPC;
	larger = realloc(r->at, (r->n + 1) * sizeof(*larger));
	if (!larger)
		return -ENOMEM;
	r->at = larger;
	route = (struct route){ .announce = strdup(up),
				.withdraw = strdup(down),
				.until_ns = now_ns + FG_ROUTES_FOUND_NS,
				.number = UINT64_MAX }; /* no answer is about it */
	if (!route.announce || !route.withdraw) {
		free(route.announce);
		free(route.withdraw);
		return -ENOMEM;
	}
	memmove(&larger[at + 1], &larger[at], (r->n - at) * sizeof(*larger));
	larger[at] = route;
	r->n++;
	r->counts.found++;
	return 1;
}

void fg_routes_end(struct fg_routes *r, FILE *out)
{
	for (size_t i = 0; i < r->n; i++)
		withdraw(r, &r->at[i], out);
	clear(r->at, r->n);
	r->at = NULL;
	r->n = 0;
}

/* --- exabgp's answers --------------------------------------------------------------------------- */

/* One answer a command, in their order. A command that exabgp trips over has none; those behind it
 * are then taken for their neighbours, and the wrong one is announced again, which changes nothing. */
const char *fg_routes_answer(struct fg_routes *r, const char *line, uint64_t now_ns)
{
	bool refused = !strcmp(line, "error");

	if (!refused && strcmp(line, "done"))
		return NULL;
	if (r->answers < r->commands)
		r->answers++;
	if (!refused) {
		r->counts.done++;
		return NULL;
	}
	r->counts.refused++;
	for (size_t i = 0; i < r->n; i++) {
		if (r->at[i].number == r->answers) {
			r->at[i].retry_ns = now_ns + FG_ROUTES_RETRY_NS;
			return r->at[i].announce;
		}
	}
	return "a withdrawal";
}
