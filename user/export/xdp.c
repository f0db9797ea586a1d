/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "export/xdp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ip.h"
#include "lib/mem.h"

struct entry {
	struct fg_gate_key key;
	uint64_t until_ns; /* 0 = not known: put by an earlier agent, or the clock was set since */
	bool fresh; /* put by this call: standing connections may have to go */
};

struct fg_xdp {
	struct fg_sensor *sensor;
	struct fg_xdp_conf conf;
	struct entry *in_kernel; /* sorted */
	size_t n, room;
	bool fresh_bits[129], fresh_clients; /* what kinds of fresh ones there are */
	uint64_t left[_FG_XDP_LEFT_MAX];
};

static int by_key(const void *a, const void *b)
{
	const struct fg_gate_key *x = &((const struct entry *)a)->key;
	const struct fg_gate_key *y = &((const struct entry *)b)->key;
	int order = memcmp(x->addr, y->addr, sizeof(x->addr));

	if (order)
		return order;
	if (x->bits != y->bits)
		return x->bits < y->bits ? -1 : 1;
	if (x->stem != y->stem)
		return x->stem < y->stem ? -1 : 1;
	return x->stack < y->stack ? -1 : x->stack > y->stack;
}

static int take_over(void *arg, const struct fg_gate_key *key, const struct fg_block *block)
{
	struct fg_xdp *x = arg;
	struct entry *more;

	(void)block;
	if (x->n == x->room) {
		x->room = x->room ? 2 * x->room : 64;
		more = reallocarray(x->in_kernel, x->room, sizeof(*more));
		if (!more)
			return -ENOMEM;
		x->in_kernel = more;
	}
	x->in_kernel[x->n++] = (struct entry){ .key = *key };
	return 0;
}

int fg_xdp_new(struct fg_sensor *sensor, const struct fg_xdp_conf *conf, struct fg_xdp **ret_xdp)
{
	struct fg_xdp *x = calloc(1, sizeof(*x));
	int r;

	if (!x)
		return -ENOMEM;
	x->sensor = sensor;
	if (conf)
		x->conf = *conf;
	r = fg_sensor_gate_each(sensor, take_over, x);
	if (!r && x->n)
		r = fg_sensor_gate_recount(sensor);
	if (r) {
		fg_xdp_free(&x);
		return r;
	}
	if (x->n)
		qsort(x->in_kernel, x->n, sizeof(*x->in_kernel), by_key);
	*ret_xdp = x;
	return 0;
}

void fg_xdp_free(struct fg_xdp **xdp)
{
	if (!*xdp)
		return;
	free((*xdp)->in_kernel);
	free(*xdp);
	*xdp = NULL;
}

uint64_t fg_xdp_unexportable(const struct fg_xdp *xdp)
{
	uint64_t n = 0;

	for (size_t i = 0; i < _FG_XDP_LEFT_MAX; i++)
		n += xdp->left[i];
	return n;
}

void fg_xdp_left_over(const struct fg_xdp *xdp, uint64_t left[_FG_XDP_LEFT_MAX])
{
	memcpy(left, xdp->left, sizeof(xdp->left));
}

const char *fg_xdp_left_text(const struct fg_xdp *xdp, char *buf, size_t n_buf)
{
	static const char *const why[] = {
		[FG_XDP_TOO_WIDE] = "wider than an IPv4 /8 or an IPv6 /16",
		[FG_XDP_TOO_NARROW] = "part of an IPv6 /64",
		[FG_XDP_LENGTHS] = "of more prefix lengths than it holds at once",
		[FG_XDP_FULL] = "beyond the room of a drop map",
	};
	size_t at = 0;

	if (n_buf)
		buf[0] = '\0';
	for (size_t i = 0; i < _FG_XDP_LEFT_MAX && at < n_buf; i++)
		if (xdp->left[i])
			at += (size_t)snprintf(buf + at, n_buf - at, "%s%llu %s", at ? "; " : "",
					       (unsigned long long)xdp->left[i], why[i]);
	return buf;
}

/* --- What the kernel should hold -------------------------------------------------------------- */

static bool is_prefix(const struct fg_gate_key *key)
{
	return !key->stem && key->bits != (fg_ip_is4(key->addr) ? 128 : 64);
}

/* Can a drop map hold it at all? Counts why not. */
static bool can_hold(struct fg_xdp *x, const struct fg_export_item *item)
{
	/* an IPv6 prefix is as wide as it is, whatever IPv4 lies inside our storage of it */
	bool is4 = item->bits >= 96 && fg_ip_is4(item->addr);

	if (item->bits < (is4 ? FG_PREFIX4_MIN : FG_PREFIX6_MIN))
		x->left[FG_XDP_TOO_WIDE]++;
	else if (!is4 && item->bits > 64)
		x->left[FG_XDP_TOO_NARROW]++;
	else
		return true;
	return false;
}

/* The prefix lengths that are worth a look-up: those of the most blocks, the longer of equals. */
static void choose_lengths(const struct entry *e, size_t n, bool ret_chosen[129])
{
	uint32_t blocks[129] = { 0 };

	memset(ret_chosen, 0, 129 * sizeof(*ret_chosen));
	for (size_t i = 0; i < n; i++)
		blocks[e[i].key.bits] += is_prefix(&e[i].key);
	for (int family = 0; family < 2; family++) {
		int from = family ? FG_PREFIX4_MIN : FG_PREFIX6_MIN;
		int to = family ? FG_PREFIX4_MAX : FG_PREFIX6_MAX;

		for (int n_chosen = 0; n_chosen < FG_PREFIX_LENGTHS; n_chosen++) {
			int best = 0;

			for (int bits = from; bits <= to; bits++)
				if (!ret_chosen[bits] && blocks[bits] &&
				    blocks[bits] >= blocks[best])
					best = bits;
			if (!best)
				break;
			ret_chosen[best] = true;
		}
	}
}

static size_t drop_lengths(struct fg_xdp *x, struct entry *e, size_t n)
{
	bool chosen[129];
	size_t kept = 0;

	choose_lengths(e, n, chosen);
	for (size_t i = 0; i < n; i++) {
		if (is_prefix(&e[i].key) && !chosen[e[i].key.bits])
			x->left[FG_XDP_LENGTHS]++;
		else
			e[kept++] = e[i];
	}
	return kept;
}

/* What the kernel should hold, sorted. */
static int wanted(struct fg_xdp *x, const struct fg_export_set *set, struct entry **ret_entries,
		  size_t *ret_n)
{
	struct entry *e = calloc(set->n + set->n_clients + 1, sizeof(*e));
	size_t n = 0;

	if (!e)
		return -ENOMEM;
	memset(x->left, 0, sizeof(x->left));
	for (size_t i = 0; i < set->n; i++) {
		const struct fg_export_item *item = &set->items[i];

		/* clients are told apart here: their own blocks are enough */
		if (!fg_export_whole_until(item) || !can_hold(x, item))
			continue;
		memcpy(e[n].key.addr, item->addr, 16);
		e[n].key.bits = item->bits;
		e[n++].until_ns = fg_export_whole_until(item);
	}
	for (size_t i = 0; i < set->n_clients; i++) {
		const struct fg_export_client *c = &set->clients[i];

		memcpy(e[n].key.addr, c->addr, 16);
		e[n].key.bits = fg_ip_is4(c->addr) ? 128 : 64;
		e[n].key.stem = c->stem;
		e[n].key.stack = c->stack;
		e[n++].until_ns = c->until_ns;
	}
	n = drop_lengths(x, e, n);
	qsort(e, n, sizeof(*e), by_key);
	*ret_entries = e;
	*ret_n = n;
	return 0;
}

/* --- Bringing it there ------------------------------------------------------------------------ */

/* Takes out what is no longer wanted, before anything is put: so there is room for it. Of what the
 * kernel would not give up we know no more than that it expires by itself. */
static int remove_gone(struct fg_xdp *x, const struct entry *e, size_t n, int *changes)
{
	size_t kept = 0, j = 0;
	int error = 0, r;

	for (size_t i = 0; i < x->n; i++) {
		while (j < n && by_key(&e[j], &x->in_kernel[i]) < 0)
			j++;
		if (j < n && !by_key(&e[j], &x->in_kernel[i])) {
			x->in_kernel[kept++] = x->in_kernel[i];
			continue;
		}
		r = fg_sensor_gate_remove(x->sensor, &x->in_kernel[i].key);
		*changes += !r;
		if (r && r != -ENOENT)
			error = r;
	}
	x->n = kept;
	return error;
}

/* Which of the three maps an entry is for. */
static int map_of(const struct entry *e)
{
	return e->key.stem ? 0 : is_prefix(&e->key) ? 1 : 2;
}

static int put(struct fg_xdp *x, const struct entry *e, uint64_t now_ns, uint64_t now_ticks)
{
	uint64_t left_ns = e->until_ns > now_ns ? e->until_ns - now_ns : 0;

	return fg_sensor_gate_put(x->sensor, &e->key,
				  now_ticks + left_ns / fg_sensor_tick_ns(x->sensor) + 1,
				  x->conf.established ? FG_BLOCK_ESTABLISHED : 0);
}

/* Puts what is new or ends at another time; e becomes what is there then. A map that is full is asked
 * once: the others of its kind would get the same answer, one system call each. */
static int put_new(struct fg_xdp *x, struct entry *e, size_t *n, uint64_t now_ns, uint64_t ticks,
		   int *changes)
{
	bool full[3] = { false };
	size_t kept = 0, i = 0;
	int error = 0;

	for (size_t j = 0; j < *n; j++) {
		int r = 0, order = 1;

		while (i < x->n && (order = by_key(&x->in_kernel[i], &e[j])) < 0)
			i++;
		e[j].fresh = i == x->n || order;
		if (e[j].fresh && full[map_of(&e[j])]) {
			x->left[FG_XDP_FULL]++;
			continue;
		}
		if (e[j].fresh || x->in_kernel[i].until_ns != e[j].until_ns) {
			r = put(x, &e[j], now_ns, ticks);
			*changes += !r;
		}
		if (r == -E2BIG) {
			full[map_of(&e[j])] = true;
			x->left[FG_XDP_FULL]++;
			continue;
		}
		if (r)
			error = r;
		if (r && e[j].fresh)
			continue;
		if (r)
			e[j].until_ns = 0; /* there, but not until when it should be */
		e[kept++] = e[j];
	}
	*n = kept;
	return error;
}

/* --- Connections that were there before ------------------------------------------------------- */

static const struct entry *entry_of(const struct fg_xdp *x, const uint8_t addr[16], uint8_t bits,
				    uint64_t stem, uint64_t stack)
{
	struct entry e = { .key = { .bits = bits, .stem = stem, .stack = stack } };

	memcpy(e.key.addr, addr, sizeof(e.key.addr));
	fg_ip_mask(e.key.addr, bits);
	return bsearch(&e, x->in_kernel, x->n, sizeof(e), by_key);
}

static bool is_fresh_entry(const struct fg_xdp *x, const struct fg_flow *flow, uint8_t bits,
			   uint64_t stem, uint64_t stack)
{
	const struct entry *e = entry_of(x, flow->client, bits, stem, stack);

	return e && e->fresh;
}

/* Is it of a block that this call has put? Lengths are asked for one by one, as the gate does. */
static bool is_of_fresh(void *arg, const struct fg_flow *flow)
{
	const struct fg_xdp *x = arg;
	bool is4 = fg_ip_is4(flow->client);
	uint8_t whole = is4 ? 128 : 64;

	for (uint8_t bits = is4 ? FG_PREFIX4_MIN : FG_PREFIX6_MIN; bits <= whole; bits++)
		if (x->fresh_bits[bits] && is_fresh_entry(x, flow, bits, 0, 0))
			return true;
	return x->fresh_clients && flow->stem &&
	       (is_fresh_entry(x, flow, whole, flow->stem, flow->stack) ||
		is_fresh_entry(x, flow, whole, flow->stem, 0));
}

/* Ends what is established under the blocks that this call has put, all in one pass. */
static void end_established(struct fg_xdp *x)
{
	bool any = false;

	memset(x->fresh_bits, 0, sizeof(x->fresh_bits));
	x->fresh_clients = false;
	for (size_t i = 0; i < x->n; i++) {
		const struct entry *e = &x->in_kernel[i];

		any |= e->fresh;
		if (e->key.stem)
			x->fresh_clients |= e->fresh;
		else
			x->fresh_bits[e->key.bits] |= e->fresh;
	}
	if (any)
		fg_sensor_drop_flows_if(x->sensor, is_of_fresh, x);
}

int fg_xdp_apply(struct fg_xdp *x, const struct fg_export_set *set, uint64_t now_ns, char *why,
		 size_t n_why)
{
	struct entry *e = NULL;
	int changes = 0, error, r;
	uint64_t ticks;
	size_t n = 0;

	error = fg_sensor_ticks(x->sensor, &ticks);
	if (!error)
		error = wanted(x, set, &e, &n);
	if (error) {
		snprintf(why, n_why, "drop map: %s", strerror(-error));
		return error;
	}
	error = remove_gone(x, e, n, &changes);
	r = put_new(x, e, &n, now_ns, ticks, &changes);
	error = error ? error : r;
	free(x->in_kernel);
	x->in_kernel = e;
	x->n = x->room = n;
	if (x->conf.established)
		end_established(x);
	if (error) {
		snprintf(why, n_why, "drop map: %s", strerror(-error));
		return error;
	}
	return changes;
}

void fg_xdp_forget_ends(struct fg_xdp *x)
{
	for (size_t i = 0; i < x->n; i++)
		x->in_kernel[i].until_ns = 0;
}

int fg_xdp_hits(const struct fg_xdp *x, const uint8_t addr[16], uint8_t bits, uint64_t stem,
		uint64_t stack, uint64_t now_ns, uint64_t *ret_hits, uint64_t *ret_last_ns)
{
	struct fg_gate_key key = { .bits = bits, .stem = stem, .stack = stack };
	struct fg_block block;
	uint64_t ticks, ago_ns;
	int r;

	memcpy(key.addr, addr, sizeof(key.addr));
	r = fg_sensor_gate_read(x->sensor, &key, &block);
	if (!r)
		r = fg_sensor_ticks(x->sensor, &ticks);
	if (r)
		return r == -EINVAL ? -ENOENT : r;
	if (block.until_ticks <= ticks)
		return -ENOENT;
	/* the last may be younger than our tick */
	ago_ns = ticks > block.last_ticks ?
			 (ticks - block.last_ticks) * fg_sensor_tick_ns(x->sensor) :
			 0;
	*ret_hits = block.hits;
	*ret_last_ns = !block.hits ? 0 : ago_ns < now_ns ? now_ns - ago_ns : 1;
	return 0;
}
