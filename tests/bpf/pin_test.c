/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Pins: what outlives a sensor and is taken up by the next, what is refused, and that no frame of a
 * blocked source passes while one replaces the other.
 *
 * Owns: a network namespace with a veth pair, and a bpf file system that only this process sees.
 */
#define _GNU_SOURCE
#include "live.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "sensor/pins.h"
#include "sensor/probe.h"
#include "source/take.h"

#define FOREVER UINT64_MAX
/* Replacements of a sensor under traffic; half of them with tables that go on. */
#define XDP_SWAPS 20
#define TC_SWAPS  4

static char root[] = "/tmp/farmgate-pins.XXXXXX";
static char pins[64];
static char clean[80];
static char why[256];

/* --- Set-up ----------------------------------------------------------------------------------- */

/* What a test asks for, the rest is usual. */
static struct ask {
	uint64_t seed; /* 0 = live_seed */
	uint64_t bytes; /* of the tables; 0 = 4 MB */
	const char *iface; /* NULL = none */
	bool no_tcx;
	const char *pins; /* NULL = the usual */
} ask;

static int open_sensor(struct fg_sensor **ret_sensor)
{
	struct fg_sensor_conf conf = { .no_tcx = ask.no_tcx };

	memcpy(conf.config.seed, live_seed, sizeof(live_seed));
	conf.config.seed[0] += ask.seed;
	conf.config.ports[443 >> 6] = 1ULL << (443 & 63);
	conf.config.role = FG_ROLE_TRANSIT;
	conf.config.volume = 1;
	conf.pins = ask.pins ? ask.pins : pins;
	if (ask.iface)
		conf.interfaces[conf.n_interfaces++] = ask.iface;
	fg_tables_size(ask.bytes ? ask.bytes : 4 << 20, &conf.sizes);
	return fg_sensor_open(&conf, ret_sensor, why, sizeof(why));
}

/* The sensor under test, in place of one that was left. */
static const struct fg_sensor_found *start(void)
{
	memset(&live, 0, sizeof(live));
	if (open_sensor(&live.sensor))
		fail_msg("the sensor does not open: %s", why);
	return fg_sensor_found(live.sensor);
}

static void attach(enum fg_sensor_mode mode)
{
	if (fg_sensor_attach(live.sensor, mode, why, sizeof(why)))
		fail_msg("not attached: %s", why);
}

/* As if killed: everything it pinned stays. */
static void leave(void)
{
	fg_sensor_keep(live.sensor);
	fg_sensor_close(&live.sensor);
}

static int run(const char *command)
{
	return system(command);
}

static int set_up(void **state)
{
	(void)state;
	memset(&ask, 0, sizeof(ask));
	if (unshare(CLONE_NEWNET))
		return -1;
	return run("ip link set lo up && ip link add fga type veth peer name fgb &&"
		   " ip link set fga up && ip link set fgb up &&"
		   " ip addr add 198.51.100.1/24 dev fga");
}

static int tear_down(void **state)
{
	(void)state;
	fg_sensor_close(&live.sensor);
	return run(clean) ? -1 : 0;
}

static bool exists(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", pins, name);
	return !access(path, F_OK);
}

static bool has_note(const char *text)
{
	for (size_t i = 0; fg_sensor_note(live.sensor, i); i++)
		if (strstr(fg_sensor_note(live.sensor, i), text))
			return true;
	return false;
}

static bool is_degraded(const char *text)
{
	for (size_t i = 0; fg_sensor_degraded(live.sensor, i); i++)
		if (strstr(fg_sensor_degraded(live.sensor, i), text))
			return true;
	return false;
}

/* --- What goes on ----------------------------------------------------------------------------- */

static uint8_t hello_bytes[FG_HELLO_BUILD_MAX];

static struct fg_conn conn(const char *client, uint16_t port)
{
	struct fg_conn c = live_conn(client, port, live_emit);
	struct fg_hello_desc d;

	fg_hello_tool(&d, "api.example.com");
	c.hello = hello_bytes;
	c.hello_len = fg_hello_stream(&d, hello_bytes, sizeof(hello_bytes));
	return c;
}

static void syn_of(const char *client, uint16_t port)
{
	struct fg_conn c = live_conn(client, port, live_emit);

	fg_conn_syn(&c);
	fg_conn_done(&c);
}

static void block(const char *source)
{
	struct fg_end end = fg_end_of(source, 0);

	assert_int_equal(fg_sensor_block(live.sensor, end.addr, FOREVER), 0);
}

static struct {
	size_t sources, clients;
	uint64_t hits;
} held;

static int count_block(void *arg, const struct fg_gate_key *key, const struct fg_block *block)
{
	(void)arg;
	*(key->stem ? &held.clients : &held.sources) += 1;
	held.hits += block->hits;
	assert_true(block->until_ticks == FOREVER);
	return 0;
}

static void list_blocks(void)
{
	memset(&held, 0, sizeof(held));
	assert_int_equal(fg_sensor_gate_each(live.sensor, count_block, NULL), 0);
}

static void took(void)
{
	struct fg_totals received, replies;

	assert_int_equal(fg_sensor_totals(live.sensor, &received, &replies, NULL), 0);
	fg_sensor_took(live.sensor, &received);
}

/* The epoch that ends now, by a taker that began with what stood. */
static struct fg_epoch take(struct fg_taker *taker)
{
	struct fg_epoch epoch = { .end_ns = 1 };
	uint64_t ticks;

	assert_int_equal(fg_sensor_ticks(live.sensor, &ticks), 0);
	assert_int_equal(fg_taker_take(taker, ticks, fg_sensor_tick_ns(live.sensor), false, &epoch),
			 0);
	return epoch;
}

static void test_pins_blocks_and_rows_go_on(void **state)
{
	const struct fg_sensor_found *found = start();
	struct fg_conn dropped, open;
	struct fg_taker *taker;
	struct fg_epoch epoch;
	struct fg_flow flow;

	(void)state;
	assert_false(found->any || found->tables || found->blocks);
	attach(FG_SENSOR_AUTO);
	open = conn("192.0.2.1", 40000);
	fg_conn_open(&open);
	fg_conn_hello(&open);
	flow = *live_flow();
	assert_int_equal(fg_sensor_block_client(live.sensor, open.client.addr, flow.stem,
						flow.stack, FOREVER),
			 0);
	block("192.0.2.66");
	syn_of("192.0.2.66", 1);
	assert_int_equal(live.action, XDP_DROP);
	dropped = conn("192.0.2.1", 40001);
	fg_conn_open(&dropped);
	fg_conn_hello(&dropped);
	assert_int_equal(live.action, XDP_DROP);
	took();
	syn_of("192.0.2.66", 2); /* nobody takes this one */
	leave();

	found = start();
	assert_true(found->any && found->tables && found->blocks);
	assert_int_equal(found->untaken.frames[FG_FRAME_blocked], 1);
	assert_int_equal(found->untaken.events[FG_EVENT_dropped_source], 1);
	assert_int_equal(found->untaken.events[FG_EVENT_connections], 0);
	live_check(); /* its totals begin with nothing */
	list_blocks();
	assert_int_equal(held.sources, 1);
	assert_int_equal(held.clients, 1);
	assert_int_equal(held.hits, 3);
	assert_int_equal(fg_taker_new(fg_sensor_tables(live.sensor), &taker), 0);
	assert_int_equal(fg_taker_adopt(taker), 0);
	epoch = take(taker);
	assert_int_equal(epoch.n_sources + epoch.n_clients + epoch.n_flows + epoch.n_prints, 0);

	/* the connection is the same one, and counts on */
	fg_conn_finish(&open);
	fg_conn_exchange(&open);
	assert_string_not_equal(live_outcome(), "midstream");
	assert_int_equal(LIVE_OUTCOME(midstream), 0);
	epoch = take(taker);
	assert_int_equal(epoch.n_flows, 1);
	assert_int_equal(epoch.flows[0].exchanges, 1);
	assert_int_equal(epoch.flows[0].news & FG_NEWS_OPENED, 0);
	assert_int_equal(epoch.n_sources, 0);

	/* and a dropped one stays dropped, also without its block */
	assert_int_equal(
		fg_sensor_unblock_client(live.sensor, open.client.addr, flow.stem, flow.stack), 0);
	fg_conn_send(&dropped, hello_bytes, 300);
	assert_int_equal(live.action, XDP_DROP);
	syn_of("192.0.2.66", 3);
	assert_int_equal(live.action, XDP_DROP);
	fg_taker_free(&taker);
	fg_conn_done(&open);
	fg_conn_done(&dropped);
}

/* Changes the pinned stamp, as another version would have written it. */
static void stamp_as(void (*change)(struct fg_pins_stamp *stamp))
{
	struct fg_pins_stamp stamp;
	__u32 zero = 0;
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/stamp", pins);
	fd = bpf_obj_get(path);
	assert_true(fd >= 0);
	assert_int_equal(bpf_map_lookup_elem(fd, &zero, &stamp), 0);
	change(&stamp);
	assert_int_equal(bpf_map_update_elem(fd, &zero, &stamp, BPF_ANY), 0);
	close(fd);
}

static void next_version(struct fg_pins_stamp *stamp)
{
	stamp->abi_version++;
}

static void other_role(struct fg_pins_stamp *stamp)
{
	stamp->role = FG_ROLE_TERMINATE;
}

static void leave_a_block(void)
{
	start();
	attach(FG_SENSOR_AUTO);
	block("192.0.2.66");
	syn_of("192.0.2.66", 1);
	leave();
}

/* Sensor number two found this; number three finds all that two left. */
static void expect_found(bool tables, bool blocks, const char *why_not)
{
	const struct fg_sensor_found *found = start();

	assert_true(found->any);
	assert_int_equal(found->tables, tables);
	assert_int_equal(found->blocks, blocks);
	assert_non_null(strstr(found->why_not, why_not));
	list_blocks();
	assert_int_equal(held.sources, blocks);
	assert_int_equal(held.hits, blocks);
	live_check();
	attach(FG_SENSOR_AUTO);
	if (!blocks)
		block("192.0.2.66");
	syn_of("192.0.2.66", 1);
	assert_int_equal(live.action, XDP_DROP);
	leave();
	found = start();
	assert_true(found->tables && found->blocks);
	assert_string_equal(found->why_not, "");
	list_blocks();
	assert_int_equal(held.sources, 1);
}

static void test_pins_of_another_abi_are_not_reused(void **state)
{
	(void)state;
	leave_a_block();
	stamp_as(next_version);
	expect_found(false, false, "no stamp of this version");
}

static void test_pins_of_another_seed_are_not_reused(void **state)
{
	(void)state;
	leave_a_block();
	ask.seed = 1;
	expect_found(false, false, "another hash seed");
}

static void test_pins_of_another_size_keep_their_blocks(void **state)
{
	(void)state;
	leave_a_block();
	ask.bytes = 16 << 20;
	expect_found(false, true, "another size");
}

static void test_pins_of_another_role_keep_their_blocks(void **state)
{
	(void)state;
	leave_a_block();
	stamp_as(other_role);
	expect_found(false, true, "another role");
}

/* Killed between two pins. */
static void test_pins_without_a_stamp_are_not_reused(void **state)
{
	char path[128];

	(void)state;
	leave_a_block();
	snprintf(path, sizeof(path), "%s/stamp", pins);
	assert_int_equal(unlink(path), 0);
	expect_found(false, false, "no stamp");
}

static void test_pins_with_a_missing_table_are_not_reused(void **state)
{
	char path[128];

	(void)state;
	leave_a_block();
	snprintf(path, sizeof(path), "%s/fg_clients", pins);
	assert_int_equal(unlink(path), 0);
	expect_found(false, true, "fg_clients is missing");
}

/* --- Who has the folder ----------------------------------------------------------------------- */

static void test_pins_are_one_agents(void **state)
{
	struct fg_sensor *second = NULL;

	(void)state;
	start();
	attach(FG_SENSOR_AUTO);
	assert_int_equal(open_sensor(&second), -EBUSY);
	assert_null(second);
	assert_non_null(strstr(why, "another agent has"));
	assert_true(exists("stamp") && exists("fg_flows") && exists("fg_samples"));
	fg_sensor_close(&live.sensor);
	assert_int_not_equal(access(pins, F_OK), 0);
	assert_false(start()->any);
}

static void test_pins_are_done_without_where_they_cannot_be(void **state)
{
	(void)state;
	ask.pins = "/tmp/farmgate-no-bpffs/pins";
	ask.iface = "fga";
	start();
	attach(FG_SENSOR_NATIVE);
	assert_true(is_degraded("nothing is pinned"));
	assert_int_not_equal(access("/tmp/farmgate-no-bpffs", F_OK), 0);
	assert_string_equal(fg_sensor_mode_name(live.sensor, 0), "native");
	fg_sensor_close(&live.sensor);
	/* a folder in which others may write could hold anybody's maps */
	ask.pins = NULL;
	assert_int_equal(mkdir(pins, 0777), 0);
	assert_int_equal(chmod(pins, 0777), 0);
	start();
	assert_true(is_degraded("others may write there"));
}

/* --- Links ------------------------------------------------------------------------------------ */

static uint32_t xdp_prog(const char *mode)
{
	struct fg_probe_iface iface;

	assert_int_equal(fg_probe_iface("fga", &iface), 0);
	assert_string_equal(iface.xdp_mode, mode);
	return iface.xdp_prog;
}

static bool is_free(void)
{
	struct fg_probe_iface iface;

	assert_int_equal(fg_probe_iface("fga", &iface), 0);
	return !iface.xdp_prog;
}

/* A process that is killed, not one that closes. */
static void die_attached(enum fg_sensor_mode mode)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		start();
		attach(mode);
		block("192.0.2.66");
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void test_pins_outlive_a_kill_and_go_at_a_clean_stop(void **state)
{
	struct fg_probe_pins look;
	struct fg_probe probe;
	uint32_t first;

	(void)state;
	assert_int_equal(fg_probe_kernel(&probe), 0);
	ask.iface = "fga";
	die_attached(FG_SENSOR_NATIVE);
	first = xdp_prog("native");
	assert_true(first != 0);
	assert_int_equal(fg_probe_pins(pins, &look), 0);
	assert_true(look.known);
	assert_false(look.agent);
	/* of one interface in transit: both directions, and clsact has no link */
	assert_int_equal(look.links, probe.tcx ? 2 : 1);
	assert_int_equal(look.blocks, 1);
	assert_true(start()->tables);
	attach(FG_SENSOR_AUTO);
	assert_true(xdp_prog("native") != first);
	assert_false(is_degraded("generic"));
	assert_int_equal(fg_probe_pins(pins, &look), 0);
	assert_true(look.agent);
	fg_sensor_close(&live.sensor);
	assert_true(is_free());
	assert_int_equal(run("bpftool -j net show dev fga | grep -q fg_"), 256);
	assert_int_equal(fg_probe_pins(pins, &look), -ENOENT);
}

static void test_pins_removed_by_hand_detach(void **state)
{
	char command[128];

	(void)state;
	ask.iface = "fga";
	die_attached(FG_SENSOR_NATIVE);
	assert_false(is_free());
	snprintf(command, sizeof(command), "rm -r %s", pins);
	assert_int_equal(run(command), 0);
	/* the kernel lets go of links some time later */
	while (!is_free() || !run("bpftool -j net show dev fga | grep -q fg_"))
		usleep(10000);
}

static void test_pins_of_another_mode_are_attached_anew(void **state)
{
	(void)state;
	ask.iface = "fga";
	die_attached(FG_SENSOR_GENERIC);
	xdp_prog("generic");
	start();
	attach(FG_SENSOR_NATIVE);
	assert_true(has_note("attached anew in native mode"));
	xdp_prog("native");
	leave();
	start();
	attach(FG_SENSOR_TC);
	assert_true(is_free());
	assert_true(has_note("is taken away"));
	assert_string_equal(fg_sensor_mode_name(live.sensor, 0), "tc");
	leave();
	start();
	attach(FG_SENSOR_GENERIC);
	xdp_prog("generic");
	assert_int_equal(run("bpftool -j net show dev fga | grep -q fg_tc"), 256);
}

static void test_pins_of_an_interface_that_is_gone_are_taken_away(void **state)
{
	(void)state;
	ask.iface = "fga";
	die_attached(FG_SENSOR_NATIVE);
	assert_int_equal(run("ip link del fga && ip link add fga type veth peer name fgb &&"
			     " ip link set fga up && ip link set fgb up"),
			 0);
	start();
	attach(FG_SENSOR_NATIVE);
	assert_true(has_note("is taken away"));
	xdp_prog("native");
	leave();
	/* the same index in another namespace is another interface, whose program is let go */
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	assert_int_equal(run("ip link add fga type veth peer name fgb && ip link set fga up"), 0);
	start();
	attach(FG_SENSOR_NATIVE);
	xdp_prog("native");
	fg_sensor_close(&live.sensor);
	assert_true(is_free());
}

/* Another's program is not ours, pins or not. */
static void test_pins_never_replace_a_foreign_program(void **state)
{
	uint32_t prog;

	(void)state;
	ask.iface = "fga";
	ask.pins = "none/at/all";
	die_attached(FG_SENSOR_NATIVE); /* unpinned: gone with its process */
	assert_true(is_free());
	start();
	attach(FG_SENSOR_NATIVE);
	prog = xdp_prog("native");
	ask.pins = NULL;
	{
		struct fg_sensor *second;

		assert_int_equal(open_sensor(&second), 0);
		assert_int_equal(fg_sensor_attach(second, FG_SENSOR_AUTO, why, sizeof(why)),
				 -EBUSY);
		fg_sensor_close(&second);
	}
	assert_int_equal(xdp_prog("native"), prog);
	assert_int_not_equal(access(pins, F_OK), 0);
}

static int filters(void)
{
	FILE *f = popen("(tc filter show dev fga ingress; tc filter show dev fga egress) |"
			" grep -c 'fg_'",
			"r");
	int n = -1;

	assert_int_equal(fscanf(f, "%d", &n), 1);
	pclose(f);
	return n;
}

static void test_clsact_filters_of_the_dead_are_replaced(void **state)
{
	struct fg_probe_pins look;

	(void)state;
	ask.iface = "fga";
	ask.no_tcx = true;
	for (int i = 0; i < 3; i++) {
		die_attached(FG_SENSOR_TC);
		assert_int_equal(filters(), 2);
	}
	assert_int_equal(fg_probe_pins(pins, &look), 0);
	assert_int_equal(look.links, 0);
	assert_non_null(strstr(look.filters, "tc filter del dev fga ingress"));
	assert_non_null(strstr(look.filters, "tc filter del dev fga egress"));
	start();
	attach(FG_SENSOR_NATIVE); /* the frames would count twice */
	assert_true(has_note("filter of an agent before this one"));
	assert_int_equal(filters(), 1);
	leave();
	start();
	attach(FG_SENSOR_TC);
	assert_int_equal(filters(), 2);
	assert_true(is_free());
	fg_sensor_close(&live.sensor);
	assert_int_equal(filters(), 0);
	assert_int_equal(run("tc qdisc show dev fga | grep -q clsact"), 256);
}

/* --- Under traffic ---------------------------------------------------------------------------- */

static struct {
	uint8_t frame[256];
	size_t len;
	uint64_t sent;
	bool stop;
} traffic;

static void keep_frame(void *ctx, uint64_t time_ns, const uint8_t *frame, size_t len)
{
	(void)ctx;
	(void)time_ns;
	memcpy(traffic.frame, frame, len);
	traffic.len = len;
}

static void *send_frames(void *arg)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_halen = 6 };
	int fd = socket(AF_PACKET, SOCK_RAW, 0);

	to.sll_ifindex = (int)if_nametoindex("fgb");
	while (!__atomic_load_n(&traffic.stop, __ATOMIC_RELAXED)) {
		if (sendto(fd, traffic.frame, traffic.len, 0, (struct sockaddr *)&to, sizeof(to)) ==
		    (ssize_t)traffic.len)
			__atomic_add_fetch(&traffic.sent, 1, __ATOMIC_RELAXED);
		usleep(100);
	}
	close(fd);
	return arg;
}

static uint64_t wait_for_frames(uint64_t n)
{
	uint64_t from = __atomic_load_n(&traffic.sent, __ATOMIC_RELAXED);

	while (__atomic_load_n(&traffic.sent, __ATOMIC_RELAXED) < from + n)
		usleep(1000);
	return from + n;
}

/* TCP that got past every hook. */
static int open_catcher(void)
{
	int fd = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_TCP), bytes = 4 << 20;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	return fd;
}

static uint64_t caught(int fd)
{
	uint8_t packet[256];
	uint64_t n = 0;

	while (recv(fd, packet, sizeof(packet), 0) >= 20) {
		struct fg_end blocked = fg_end_of("192.0.2.66", 0);

		n += !memcmp(packet + 12, blocked.addr + 12, 4);
	}
	return n;
}

static void make_frame(void)
{
	struct fg_conn c = live_conn("192.0.2.66", 40000, keep_frame);
	struct ifreq req = { .ifr_name = "fga" };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	fg_conn_syn(&c);
	fg_conn_done(&c);
	assert_int_equal(ioctl(fd, SIOCGIFHWADDR, &req), 0);
	memcpy(traffic.frame, req.ifr_hwaddr.sa_data, 6);
	close(fd);
}

/* Half of them find tables that go on, half make new ones, whose blocks are there before the swap. */
static void swap_under_traffic(enum fg_sensor_mode mode, int swaps)
{
	int fd = open_catcher();
	uint64_t passed = 0;
	pthread_t sender;

	memset(&traffic, 0, sizeof(traffic));
	ask.iface = "fga";
	make_frame();
	assert_int_equal(pthread_create(&sender, NULL, send_frames, NULL), 0);
	wait_for_frames(100);
	assert_true(caught(fd) > 0); /* this test can see them */
	start();
	block("192.0.2.66");
	attach(mode);
	wait_for_frames(10);
	caught(fd);
	for (int i = 0; i < swaps; i++) {
		const struct fg_sensor_found *found;

		leave();
		ask.seed += i % 2;
		found = start();
		assert_int_equal(found->tables, i % 2 == 0);
		if (!found->blocks)
			block("192.0.2.66");
		attach(mode);
		wait_for_frames(10);
		passed += caught(fd);
	}
	print_message("%d swaps, %llu frames, %llu passed\n", swaps,
		      (unsigned long long)traffic.sent, (unsigned long long)passed);
	assert_int_equal(passed, 0);
	fg_sensor_close(&live.sensor);
	wait_for_frames(10);
	assert_true(caught(fd) > 0);
	traffic.stop = true;
	pthread_join(sender, NULL);
	close(fd);
}

static void test_pins_no_frame_passes_while_xdp_is_replaced(void **state)
{
	(void)state;
	swap_under_traffic(FG_SENSOR_NATIVE, XDP_SWAPS);
}

static void test_pins_no_frame_passes_while_tcx_is_replaced(void **state)
{
	(void)state;
	swap_under_traffic(FG_SENSOR_TC, TC_SWAPS);
}

static void test_pins_no_frame_passes_while_clsact_is_replaced(void **state)
{
	(void)state;
	ask.no_tcx = true;
	swap_under_traffic(FG_SENSOR_TC, TC_SWAPS);
}

/* --- All of it -------------------------------------------------------------------------------- */

static int make_root(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    !mkdtemp(root) || mount("farmgate-test", root, "bpf", 0, NULL))
		return -1;
	snprintf(pins, sizeof(pins), "%s/pins", root);
	snprintf(clean, sizeof(clean), "rm -rf %s", pins);
	return 0;
}

static int remove_root(void **state)
{
	(void)state;
	umount(root);
	return rmdir(root);
}

#define PIN_TEST(f)                            \
	{                                      \
#f, f, set_up, tear_down, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PIN_TEST(test_pins_blocks_and_rows_go_on),
		PIN_TEST(test_pins_of_another_abi_are_not_reused),
		PIN_TEST(test_pins_of_another_seed_are_not_reused),
		PIN_TEST(test_pins_of_another_size_keep_their_blocks),
		PIN_TEST(test_pins_of_another_role_keep_their_blocks),
		PIN_TEST(test_pins_without_a_stamp_are_not_reused),
		PIN_TEST(test_pins_with_a_missing_table_are_not_reused),
		PIN_TEST(test_pins_are_one_agents),
		PIN_TEST(test_pins_are_done_without_where_they_cannot_be),
		PIN_TEST(test_pins_outlive_a_kill_and_go_at_a_clean_stop),
		PIN_TEST(test_pins_removed_by_hand_detach),
		PIN_TEST(test_pins_of_another_mode_are_attached_anew),
		PIN_TEST(test_pins_of_an_interface_that_is_gone_are_taken_away),
		PIN_TEST(test_pins_never_replace_a_foreign_program),
		PIN_TEST(test_clsact_filters_of_the_dead_are_replaced),
		PIN_TEST(test_pins_no_frame_passes_while_xdp_is_replaced),
		PIN_TEST(test_pins_no_frame_passes_while_tcx_is_replaced),
		PIN_TEST(test_pins_no_frame_passes_while_clsact_is_replaced),
	};

	LIVE_NEEDS_ROOT();
	cmocka_set_test_filter(getenv("PIN_TEST"));
	return cmocka_run_group_tests(tests, make_root, remove_root);
}
