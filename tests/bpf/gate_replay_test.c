/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The gate by packet time: a block ends at its tick with nobody's help, and only stops SYNs to
 * protected ports. Needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/bpf.h>
#include <string.h>
#include <unistd.h>

#include "packet.h"
#include "sensor/sensor.h"

#define UNTIL 5000U

static struct fg_sensor *sensor;

static int open_sensor(bool force_loop)
{
	struct fg_sensor_conf conf = { .replay = true, .force_loop = force_loop };
	char why[256] = "";

	conf.config.ports[443 >> 6] = 1ULL << (443 & 63);
	conf.config.role = FG_ROLE_TRANSIT;
	fg_tables_size(1 << 20, &conf.sizes);
	if (!fg_sensor_open(&conf, &sensor, why, sizeof(why)))
		return 0;
	print_message("the sensor does not open: %s\n", why);
	return -1;
}

static int set_up(void **state)
{
	(void)state;
	return open_sensor(false);
}

static int set_up_loop(void **state)
{
	(void)state;
	return open_sensor(true);
}

static int tear_down(void **state)
{
	(void)state;
	fg_sensor_close(&sensor);
	return 0;
}

static uint32_t knock(const char *client, uint16_t port, bool udp, uint32_t ticks)
{
	struct fg_end from = fg_end_of(client, 40000);
	struct fg_end to = fg_end_of(fg_end_is4(&from) ? "198.51.100.1" : "2001:db8:ffff::1", port);
	struct fg_pkt *p = fg_pkt_new();
	struct fg_replay_meta meta = { .time_ns = ticks * 1000000ULL, .ticks_lo = ticks };
	uint32_t action = XDP_ABORTED;

	assert_non_null(p);
	fg_pkt_eth(p);
	fg_pkt_ip(p, &from, &to, NULL);
	if (udp)
		fg_pkt_udp(p, 40000, port);
	else
		fg_pkt_tcp(p, &(struct fg_pkt_tcp){ .seq = ticks, .flags = FG_PKT_SYN });
	fg_pkt_end(p);
	meta.frame_len = meta.wire_len = (uint32_t)p->len;
	assert_int_equal(fg_sensor_run(sensor, &meta, p->buf, p->len, 1, &action, NULL), 0);
	fg_pkt_free(p);
	return action;
}

static void test_gate_block_ends_at_its_tick(void **state)
{
	static const char *const clients[] = { "192.0.2.1", "2001:db8:1:2:3::4" };
	static const char *const sources[] = { "192.0.2.1", "2001:db8:1:2::" };
	struct fg_totals totals, replies;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(fg_sensor_block(sensor, fg_end_of(sources[i], 0).addr, UNTIL), 0);
		assert_int_equal(knock(clients[i], 443, false, 1), XDP_DROP);
		assert_int_equal(knock(clients[i], 443, false, UNTIL - 1), XDP_DROP);
		assert_int_equal(knock(clients[i], 443, false, UNTIL), XDP_PASS);
		assert_int_equal(knock(clients[i], 443, false, UNTIL + 1), XDP_PASS);
	}
	assert_int_equal(fg_sensor_totals(sensor, &totals, &replies, NULL), 0);
	assert_int_equal(totals.frames[FG_FRAME_blocked], 4);
	assert_int_equal(totals.events[FG_EVENT_dropped_source], 4);
	assert_int_equal(totals.frames[FG_FRAME_syn], 4);
}

static void test_gate_leaves_other_ports_and_udp_alone(void **state)
{
	(void)state;
	assert_int_equal(fg_sensor_block(sensor, fg_end_of("192.0.2.1", 0).addr, UNTIL), 0);
	assert_int_equal(knock("192.0.2.1", 443, false, 1), XDP_DROP);
	assert_int_equal(knock("192.0.2.1", 443, true, 1), XDP_PASS);
	assert_int_equal(knock("192.0.2.1", 22, false, 1), XDP_PASS);
	assert_int_equal(fg_sensor_unblock(sensor, fg_end_of("192.0.2.1", 0).addr), 0);
	assert_int_equal(knock("192.0.2.1", 443, false, 1), XDP_PASS);
}

#define T(f)                                                         \
	{ #f, f, set_up, tear_down, NULL },                          \
	{                                                            \
#f "_with_bpf_loop", f, set_up_loop, tear_down, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_gate_block_ends_at_its_tick),
		T(test_gate_leaves_other_ports_and_udp_alone),
	};

	if (geteuid()) {
		print_message("needs root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
