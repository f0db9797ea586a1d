/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/exports.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "export/export.h"
#include "export/haproxy.h"
#include "export/hook.h"
#include "export/ipset.h"
#include "export/lapi.h"
#include "export/nft.h"
#include "export/nginx.h"
#include "export/target.h"
#include "export/xdp.h"
#include "lib/ip.h"
#include "lib/log.h"
#include "lib/now.h"

/* Epochs between looks at what others may have done to a target. */
#define CHECK_EPOCHS 10
/* Read back in full up to here; above, where nft needs many seconds and hundreds of MB, hourly. */
#define FULL_CHECK_MAX	  100000
#define FULL_CHECK_EPOCHS 3600

#define XDP_LEFT	  "export xdp holds not all blocks"
/* The wall clock was set where it moves by more than this against the monotonic one: an end may be so much
 * off without harm, as targets count in seconds. */
#define CLOCK_MOVED_NS 1000000000LL

struct fg_exports {
	struct fg_core *core;
	struct fg_agent_api *api; /* tells bouncers */
	struct fg_xdp *xdp; /* NULL = not among them */
	struct fg_target_status xdp_status;
	struct fg_target *targets[FG_VIEW_MAX_EXPORTS];
	/* as it was last told of */
	struct fg_target_status told[FG_VIEW_MAX_EXPORTS];
	size_t n;
	uint64_t epochs;
	uint64_t revision; /* of the set that was handed out last */
	size_t n_blocks; /* in it */
	bool xdp_due; /* the drop map did not take all of it, or the clock was set */
	int64_t ahead_ns; /* the wall clock of the monotonic one; 0 = not known yet */
	bool out_of_memory;
};

/* --- Making them ------------------------------------------------------------------------------ */

static int make_nft(const struct fg_conf *conf, void **ret_impl)
{
	const struct fg_export_conf ec = {
		.ports = conf->ports,
		.n_ports = conf->n_ports,
		.udp = conf->targets.nft_udp,
	};
	struct fg_nft *nft = NULL;
	int r = fg_nft_new(&ec, &nft);

	*ret_impl = nft;
	return r;
}

static int make_ipset(const struct fg_conf *conf, void **ret_impl)
{
	struct fg_ipset *ipset = NULL;
	int r = fg_ipset_new(&ipset);

	(void)conf;
	*ret_impl = ipset;
	return r;
}

static int make_haproxy(const struct fg_conf *conf, void **ret_impl)
{
	const struct fg_haproxy_conf hc = {
		.socket = conf->targets.haproxy_socket,
		.map = conf->targets.haproxy_map,
	};
	struct fg_haproxy *haproxy = NULL;
	int r = fg_haproxy_new(&hc, &haproxy);

	*ret_impl = haproxy;
	return r;
}

static const char *const *argv_of(const struct fg_conf_command *command)
{
	return command->n ? (const char *const *)command->argv : NULL;
}

static int make_nginx(const struct fg_conf *conf, void **ret_impl)
{
	const struct fg_nginx_conf nc = {
		.file = conf->targets.nginx_file,
		.test = argv_of(&conf->targets.nginx_test),
		.reload = argv_of(&conf->targets.nginx_reload),
		.interval_s = conf->targets.nginx_interval_s,
	};
	struct fg_nginx *nginx = NULL;
	int r = fg_nginx_new(&nc, &nginx);

	*ret_impl = nginx;
	return r;
}

static int make_hook_of(const struct fg_conf *conf, struct fg_hook_conf hc, void **ret_impl)
{
	struct fg_hook_target *hook = NULL;
	int r;

	hc.timeout_s = conf->targets.hook_timeout_s;
	hc.batch = conf->targets.hook_batch;
	r = fg_hook_new(&hc, &hook);

	*ret_impl = hook;
	return r;
}

static int make_hook(const struct fg_conf *conf, void **ret_impl)
{
	const struct fg_hook_conf hc = { .command = argv_of(&conf->targets.hook_command) };

	return make_hook_of(conf, hc, ret_impl);
}

static int make_webhook(const struct fg_conf *conf, void **ret_impl)
{
	const struct fg_hook_conf hc = {
		.url = conf->targets.hook_url,
		.key_file = conf->targets.hook_key_file,
	};

	return make_hook_of(conf, hc, ret_impl);
}

static int make_lapi(const struct fg_conf *conf, void **ret_impl)
{
	const struct fg_lapi_conf lc = {
		.url = conf->crowdsec_url,
		.machine = conf->crowdsec_machine,
		.password_file = conf->crowdsec_password_file,
		.ca_file = conf->crowdsec_ca_file,
		.push = conf->crowdsec_push,
	};
	struct fg_lapi *lapi = NULL;
	char why[256] = "";
	int r = fg_lapi_new(&lc, &lapi, why, sizeof(why));

	if (r)
		fg_log_error("export crowdsec: %s", why);
	*ret_impl = lapi;
	return r;
}

static int add(struct fg_exports *e, const struct fg_conf *conf, const struct fg_target_ops *ops,
	       int (*make)(const struct fg_conf *conf, void **ret_impl))
{
	void *impl = NULL;
	int r = make(conf, &impl);

	if (!r)
		r = fg_target_start(ops, impl, &e->targets[e->n]);
	if (!r)
		e->told[e->n++].name = ops->name;
	return r;
}

static int make_targets(struct fg_exports *e, const struct fg_conf *conf, const char **ret_name)
{
	const struct {
		bool wanted;
		const struct fg_target_ops *ops;
		int (*make)(const struct fg_conf *conf, void **ret_impl);
	} rows[] = {
		{ conf->export_nft, &fg_nft_ops, make_nft },
		{ conf->export_ipset, &fg_ipset_ops, make_ipset },
		{ conf->export_haproxy, &fg_haproxy_ops, make_haproxy },
		{ conf->export_nginx, &fg_nginx_ops, make_nginx },
		{ conf->export_hook && conf->targets.hook_command.n, &fg_hook_ops, make_hook },
		{ conf->export_hook && conf->targets.hook_url, &fg_webhook_ops, make_webhook },
		{ conf->export_crowdsec, &fg_lapi_ops, make_lapi },
	};
	int r = 0;

	/* one place of the view is the drop map's */
	_Static_assert(sizeof(rows) / sizeof(rows[0]) < FG_VIEW_MAX_EXPORTS, "view.exports");
	for (size_t i = 0; !r && i < sizeof(rows) / sizeof(rows[0]); i++) {
		*ret_name = rows[i].ops->name;
		if (rows[i].wanted)
			r = add(e, conf, rows[i].ops, rows[i].make);
	}
	return r;
}

int fg_exports_open(struct fg_core *core, struct fg_sensor *sensor, const struct fg_conf *conf,
		    struct fg_agent_api *api, struct fg_exports **ret_exports, char *why,
		    size_t n_why)
{
	const struct fg_xdp_conf xc = { .established = conf->end_established };
	struct fg_exports *e = calloc(1, sizeof(*e));
	const char *name = "xdp";
	int r = e ? 0 : -ENOMEM;

	if (!r) {
		e->core = core;
		e->api = api;
		e->revision = UINT64_MAX;
		e->xdp_status.name = name;
	}
	if (!r && conf->export_xdp)
		r = fg_xdp_new(sensor, &xc, &e->xdp);
	if (!r)
		r = make_targets(e, conf, &name);
	if (r) {
		snprintf(why, n_why, "export %s: %s", name, strerror(-r));
		fg_exports_close(&e);
		return r;
	}
	fg_exports_refresh(e);
	*ret_exports = e;
	return 0;
}

void fg_exports_close(struct fg_exports **exports)
{
	struct fg_exports *e = *exports;
	char why[256] = "";

	if (!e)
		return;
	for (size_t i = 0; i < e->n; i++)
		fg_target_halt(e->targets[i]);
	for (size_t i = 0; i < e->n; i++)
		if (fg_target_stop(&e->targets[i], FG_TARGET_STOP_MS, why, sizeof(why)))
			fg_log_error("export %s: at the stop: %s", e->told[i].name, why);
	fg_xdp_free(&e->xdp);
	free(e);
	*exports = NULL;
}

/* --- Handing out ------------------------------------------------------------------------------ */

/* Each epoch anew where the kernel did not take all: its failures do not last. */
static void apply_xdp(struct fg_exports *e, const struct fg_export_set *set, uint64_t now_ns)
{
	struct fg_target_status *s = &e->xdp_status;
	uint64_t began_ns = fg_monotonic_ns();
	char why[sizeof(s->error)] = "";
	int r = fg_xdp_apply(e->xdp, set, now_ns, why, sizeof(why));

	s->unexportable = fg_xdp_unexportable(e->xdp);
	s->failing = r < 0;
	e->xdp_due = r < 0;
	if (r < 0) {
		s->errors++;
		snprintf(s->error, sizeof(s->error), "%s", why);
		return;
	}
	s->applied += (uint64_t)r;
	s->batches += r > 0;
	s->held = set->n + set->n_clients - s->unexportable;
	s->last_success_ns = now_ns;
	if (r)
		s->last_batch_ns = fg_monotonic_ns() - began_ns;
}

/* How far the wall clock is ahead of the monotonic one. @return false where the two could not be read at
 * one time. */
static bool read_clocks(int64_t *ret_ahead_ns)
{
	uint64_t before_ns = fg_monotonic_ns(), unix_ns = fg_unix_ns();

	*ret_ahead_ns = (int64_t)(unix_ns - before_ns);
	return fg_monotonic_ns() - before_ns < CLOCK_MOVED_NS / 10;
}

/* Who counts a block down goes on where the wall clock jumps, and then ends it at another time than its
 * verdict: they are told the end anew. */
static void watch_clock(struct fg_exports *e)
{
	int64_t ahead_ns, moved_ns;

	if (!read_clocks(&ahead_ns))
		return;
	moved_ns = e->ahead_ns ? ahead_ns - e->ahead_ns : 0;
	if (e->ahead_ns && moved_ns >= -CLOCK_MOVED_NS && moved_ns <= CLOCK_MOVED_NS)
		return;
	e->ahead_ns = ahead_ns;
	if (!moved_ns)
		return;
	fg_log_warning("the clock was set %s by %.1f s: blocks get their ends anew",
		       moved_ns < 0 ? "back" : "forwards", fabs((double)moved_ns) / 1e9);
	if (e->xdp)
		fg_xdp_forget_ends(e->xdp);
	e->xdp_due = true;
	for (size_t i = 0; i < e->n; i++)
		fg_target_forget_ends(e->targets[i]);
}

void fg_exports_run(struct fg_exports *e, uint64_t now_ns)
{
	struct fg_export_set *set;
	bool changed;
	int r = fg_guards_set(&e->core->guards, now_ns, &set);

	watch_clock(e);
	if (r) {
		/* the next epoch tries again, and what stands expires meanwhile */
		if (!e->out_of_memory)
			fg_log_error("export: %s", strerror(-r));
		e->out_of_memory = true;
		return;
	}
	e->out_of_memory = false;
	changed = set->revision != e->revision;
	if (changed)
		fg_agent_api_update(e->api, set, now_ns);
	if (e->xdp && (changed || e->xdp_due))
		apply_xdp(e, set, now_ns);
	for (size_t i = 0; changed && i < e->n; i++)
		fg_target_offer(e->targets[i], set);
	e->revision = set->revision;
	e->n_blocks = set->n;
	fg_export_set_unref(&set);
}

/* --- Telling ---------------------------------------------------------------------------------- */

static void show(struct fg_view *v, const struct fg_target_status *s)
{
	struct fg_view_export *to = &v->exports[v->n_exports++];

	*to = (struct fg_view_export){
		.held = s->held,
		.applied = s->applied,
		.batches = s->batches,
		.errors = s->errors,
		.rewrites = s->rewrites,
		.unexportable = s->unexportable,
		.last_success_ns = s->last_success_ns,
		.last_batch_ns = s->last_batch_ns,
		.failing = s->failing,
	};
	snprintf(to->name, sizeof(to->name), "%s", s->name);
	snprintf(to->error, sizeof(to->error), "%s", s->error);
}

static void degrade(struct fg_core *core, const struct fg_target_status *s)
{
	char beginning[64];

	snprintf(beginning, sizeof(beginning), "export %s fails", s->name);
	fg_core_restored(core, beginning);
	if (s->failing)
		fg_core_degraded(core, "%s: %s", beginning, s->error);
}

void fg_exports_refresh(struct fg_exports *e)
{
	struct fg_view *v = &e->core->view;
	struct fg_target_status s;
	char left[160];

	v->n_exports = 0;
	if (e->xdp) {
		show(v, &e->xdp_status);
		degrade(e->core, &e->xdp_status);
		fg_core_restored(e->core, XDP_LEFT);
		if (e->xdp_status.unexportable)
			fg_core_degraded(e->core, XDP_LEFT " (another export would): %s",
					 fg_xdp_left_text(e->xdp, left, sizeof(left)));
	}
	for (size_t i = 0; i < e->n; i++) {
		fg_target_status(e->targets[i], &s);
		show(v, &s);
		degrade(e->core, &s);
	}
}

int fg_exports_hits(struct fg_exports *e, const struct fg_verdict *v, uint64_t now_ns,
		    uint64_t *ret_hits, uint64_t *ret_last_ns)
{
	if (!e || !e->xdp)
		return -ENOENT;
	return fg_xdp_hits(e->xdp, v->addr, v->bits, v->stem, v->stack, now_ns, ret_hits,
			   ret_last_ns);
}

bool fg_exports_block(struct fg_exports *e, const uint8_t source[16], uint64_t stem, uint64_t stack,
		      uint64_t now_ns)
{
	uint8_t bits = fg_ip_is4(source) ? 128 : 64;
	uint64_t hits, last_ns;

	return e->xdp &&
	       (!fg_xdp_hits(e->xdp, source, bits, stem, stack, now_ns, &hits, &last_ns) ||
		!fg_xdp_hits(e->xdp, source, bits, stem, 0, now_ns, &hits, &last_ns));
}

/* Once for each change: a failure, its end, a rewrite, and what was done. */
static void tell(struct fg_target_status *told, const struct fg_target_status *s)
{
	const char *name = s->name;

	if (s->rewrites > told->rewrites)
		fg_log_warning("export %s: %s; writing it again", name, s->found);
	if (s->failing && (!told->failing || strcmp(s->error, told->error)))
		fg_log_error("export %s: %s (tried again, at least once in %d s)", name, s->error,
			     FG_TARGET_RETRY_LAST_S);
	if (!s->failing && told->failing)
		fg_log_info("export %s works again", name);
	if (s->applied > told->applied)
		fg_log_info("export %s: %llu changes", name,
			    (unsigned long long)(s->applied - told->applied));
	*told = *s;
}

void fg_exports_epoch(struct fg_exports *e)
{
	bool full = e->n_blocks <= FULL_CHECK_MAX || e->epochs % FULL_CHECK_EPOCHS == 0;
	struct fg_target_status s;

	e->epochs++;
	for (size_t i = 0; i < e->n; i++) {
		fg_target_status(e->targets[i], &s);
		tell(&e->told[i], &s);
		if (e->epochs % CHECK_EPOCHS == 0)
			fg_target_check(e->targets[i], full);
	}
	fg_exports_refresh(e);
}
