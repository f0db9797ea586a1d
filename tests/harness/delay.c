/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A long wire: two Ethernet interfaces, each in a network namespace of its own, and between them a
 * hold of so many milliseconds in either direction, with jitter and loss where wanted. Stands in
 * for netem, which not every kernel has.
 *
 * The ends are TAP devices and no packet sockets on veth: the kernel hands a TAP without offloads
 * whole frames of at most the MTU, segmented and with their checksums; a frame written to one never
 * comes back as outgoing; native XDP runs on them. Each device lives as long as this process.
 *
 *     TAP a ──read──► lane[0]: ring of frames, each with the time it is due ──write──► TAP b
 *     TAP a ◄─write── lane[1]: the same                                     ◄──read─── TAP b
 *
 * A lane keeps its order: with jitter a frame waits for the one before it. A full ring drops what
 * comes, counted. Time in the kernel and waking up come on top of the hold: `late` says how much of
 * that this process saw.
 *
 * With --clock the first end's host seems to have started at another time: its TCP timestamps are
 * moved, and what comes back to it is moved back. Namespaces of one kernel have one clock; hosts that
 * the test takes them for do not.
 *
 * Owns: the devices, rings, counts. Must not: look into frames, but for --clock (IPv4 only).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/mem.h"
#include "lib/num.h"

/* An Ethernet frame with two VLAN tags and the MTU that TAP devices are born with, rounded up. */
#define MAX_FRAME   1536
#define MAX_HOLD_MS 10000
#define MS	    1000000LL

struct slot {
	int64_t due;
	uint32_t n;
	uint8_t data[MAX_FRAME];
};

struct lane {
	int from, to;
	int64_t hold, jitter; /* ns */
	uint32_t clock; /* added to TSval; taken from TSecr in the other lane */
	bool back;
	uint64_t loss; /* of 2^32 frames */
	uint64_t random;
	struct slot *ring;
	uint64_t size, head, tail; /* head - tail frames wait */
	int64_t last_due;
	uint64_t received, sent, lost, full, refused;
	int64_t late_max, late_sum; /* ns */
};

struct end {
	char netns[256], iface[IFNAMSIZ];
	int fd;
};

struct wire {
	struct end ends[2];
	size_t n_ends;
	struct lane lanes[2];
	int control;
	char line[64]; /* what of a control line has come so far */
	size_t n_line;
};

static volatile sig_atomic_t stop;

static void on_signal(int signal)
{
	(void)signal;
	stop = 1;
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static uint64_t mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ULL;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

/* The same numbers for the same seed, whatever the time. */
static uint64_t draw(struct lane *lane)
{
	lane->random += 0x9e3779b97f4a7c15ULL;
	return mix(lane->random);
}

/* --- Another host's clock -------------------------------------------------------------------- */

static uint32_t get_u16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t get_u32(const uint8_t *p)
{
	return get_u16(p) << 16 | get_u16(p + 2);
}

static void put_u16(uint8_t *p, uint32_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

/* Where the timestamp option's values begin, or NULL. */
static uint8_t *find_timestamps(uint8_t *tcp, size_t n)
{
	for (size_t at = sizeof(struct tcphdr); at < n && tcp[at] != TCPOPT_EOL;) {
		if (tcp[at] == TCPOPT_NOP) {
			at++;
			continue;
		}
		if (at + 2 > n || tcp[at + 1] < 2)
			return NULL;
		if (tcp[at] == TCPOPT_TIMESTAMP && at + TCPOLEN_TIMESTAMP <= n)
			return &tcp[at + 2];
		at += tcp[at + 1];
	}
	return NULL;
}

static uint32_t checksum(const uint8_t *addresses, const uint8_t *tcp, size_t n)
{
	uint64_t sum = IPPROTO_TCP + n;

	for (size_t i = 0; i < 8; i += 2)
		sum += get_u16(addresses + i);
	for (size_t i = 0; i + 1 < n; i += 2)
		sum += get_u16(tcp + i);
	if (n & 1)
		sum += (uint32_t)tcp[n - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint32_t)~sum & 0xffff;
}

static void move_clock(const struct lane *lane, uint8_t *frame, size_t n)
{
	uint8_t *ip = frame + ETH_HLEN, *tcp, *values;
	size_t n_ip, n_tcp, header;
	uint32_t value;

	if (n < ETH_HLEN + 20 || get_u16(frame + 12) != ETHERTYPE_IP || ip[9] != IPPROTO_TCP ||
	    get_u16(ip + 6) & 0x3fff)
		return;
	n_ip = (ip[0] & 15U) * 4;
	if (get_u16(ip + 2) > n - ETH_HLEN || get_u16(ip + 2) < n_ip + sizeof(struct tcphdr))
		return;
	tcp = ip + n_ip;
	n_tcp = get_u16(ip + 2) - n_ip;
	header = (tcp[12] >> 4) * 4U;
	values = find_timestamps(tcp, header < n_tcp ? header : n_tcp);
	if (!values || (lane->back && !(tcp[13] & TH_ACK)))
		return;
	if (lane->back)
		values += 4;
	value = get_u32(values) + (lane->back ? -lane->clock : lane->clock);
	put_u16(values, value >> 16);
	put_u16(values + 2, value & 0xffff);
	put_u16(tcp + 16, 0);
	put_u16(tcp + 16, checksum(ip + 12, tcp, n_tcp));
}

/* --- Lanes ----------------------------------------------------------------------------------- */

static void enqueue(struct lane *lane, const uint8_t *data, size_t n, int64_t now)
{
	struct slot *slot = &lane->ring[lane->head % lane->size];
	uint64_t span = 2 * (uint64_t)lane->jitter + 1;

	lane->received++;
	/* both numbers are drawn for every frame, so that loss does not move the jitter */
	uint64_t chance = draw(lane) >> 32, shake = draw(lane) % span;

	if (chance < lane->loss) {
		lane->lost++;
		return;
	}
	if (lane->head - lane->tail == lane->size) {
		lane->full++;
		return;
	}
	slot->due = now + lane->hold + (int64_t)shake - lane->jitter;
	if (slot->due < now)
		slot->due = now;
	if (slot->due < lane->last_due)
		slot->due = lane->last_due;
	lane->last_due = slot->due;
	slot->n = (uint32_t)n;
	memcpy(slot->data, data, n);
	if (lane->clock)
		move_clock(lane, slot->data, n);
	lane->head++;
}

/* Everything that has come, with the time of its being read. @return 0, -errno. */
static int take_frames(struct lane *lane)
{
	uint8_t data[MAX_FRAME];
	ssize_t n;

	while ((n = read(lane->from, data, sizeof(data))) >= 0)
		enqueue(lane, data, (size_t)n, now_ns());
	return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

static void send_due(struct lane *lane)
{
	while (lane->tail < lane->head) {
		const struct slot *slot = &lane->ring[lane->tail % lane->size];
		int64_t late = now_ns() - slot->due;

		if (late < 0)
			return;
		if (write(lane->to, slot->data, slot->n) == (ssize_t)slot->n)
			lane->sent++;
		else
			lane->refused++;
		lane->late_sum += late;
		if (late > lane->late_max)
			lane->late_max = late;
		lane->tail++;
	}
}

static void print_lane(const char *name, const struct lane *lane)
{
	uint64_t gone = lane->sent + lane->refused;

	printf("\"%s\":{\"received\":%" PRIu64 ",\"sent\":%" PRIu64 ",\"lost\":%" PRIu64
	       ",\"full\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"waiting\":%" PRIu64
	       ",\"late_us\":{\"mean\":%.1f,\"max\":%.1f}}",
	       name, lane->received, lane->sent, lane->lost, lane->full, lane->refused,
	       lane->head - lane->tail, gone ? (double)lane->late_sum / (double)gone / 1e3 : 0.0,
	       (double)lane->late_max / 1e3);
}

/* --- Ends ------------------------------------------------------------------------------------ */

static int enter(const char *netns)
{
	_cleanup_close_ int fd = open(netns, O_RDONLY | O_CLOEXEC);

	return fd < 0 || setns(fd, CLONE_NEWNET) < 0 ? -errno : 0;
}

/* A TAP device is born in the namespace of who opens the clone device. Non-blocking writes are also
 * what lets XDP run natively on its frames. */
static int make_end(struct end *end)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	_cleanup_close_ int fd = -1;
	int r = enter(end->netns);

	if (r < 0)
		return r;
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	memcpy(ifr.ifr_name, end->iface, sizeof(ifr.ifr_name));
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0)
		return -errno;
	end->fd = FG_TAKE_FD(fd);
	return 0;
}

static int make_wire(struct wire *wire)
{
	for (int i = 0; i < 2; i++) {
		int r = make_end(&wire->ends[i]);

		if (r < 0) {
			fprintf(stderr, "delay: %s:%s: %s\n", wire->ends[i].netns,
				wire->ends[i].iface, strerror(-r));
			return r;
		}
	}
	for (int i = 0; i < 2; i++) {
		struct lane *lane = &wire->lanes[i];

		lane->from = wire->ends[i].fd;
		lane->to = wire->ends[!i].fd;
		lane->ring = calloc(lane->size, sizeof(*lane->ring));
		if (!lane->ring)
			return -ENOMEM;
	}
	return 0;
}

/* --- Holds, also while it runs --------------------------------------------------------------- */

static int take_hold(struct wire *wire, const char *text)
{
	double there, back;
	char copy[64], *comma;

	if (snprintf(copy, sizeof(copy), "%s", text) >= (int)sizeof(copy))
		return -EINVAL;
	comma = strchr(copy, ',');
	if (comma)
		*comma = '\0';
	if (fg_num_double(copy, 0, MAX_HOLD_MS, &there) < 0 ||
	    fg_num_double(comma ? comma + 1 : copy, 0, MAX_HOLD_MS, &back) < 0)
		return -EINVAL;
	wire->lanes[0].hold = (int64_t)(there * MS);
	wire->lanes[1].hold = (int64_t)(back * MS);
	return 0;
}

/* Each line of the control file is a hold; what was taken is said on stdout. */
static void take_control(struct wire *wire)
{
	char c;

	while (read(wire->control, &c, 1) == 1) {
		if (c != '\n') {
			if (wire->n_line + 1 < sizeof(wire->line))
				wire->line[wire->n_line++] = c;
			continue;
		}
		wire->line[wire->n_line] = '\0';
		wire->n_line = 0;
		printf("%s %s\n", take_hold(wire, wire->line) < 0 ? "refused" : "hold", wire->line);
		fflush(stdout);
	}
}

/* --- The loop -------------------------------------------------------------------------------- */

/* Until the first frame is due; with none waiting, until something comes. */
static struct timespec *time_left(const struct wire *wire, struct timespec *t)
{
	int64_t first = INT64_MAX, left;

	for (int i = 0; i < 2; i++) {
		const struct lane *lane = &wire->lanes[i];

		if (lane->tail < lane->head && lane->ring[lane->tail % lane->size].due < first)
			first = lane->ring[lane->tail % lane->size].due;
	}
	if (first == INT64_MAX)
		return NULL;
	left = first - now_ns();
	if (left < 0)
		left = 0;
	*t = (struct timespec){ .tv_sec = left / 1000000000, .tv_nsec = left % 1000000000 };
	return t;
}

/* Signals are let in only while it waits: none is missed between the look and the wait. */
static int run(struct wire *wire, const sigset_t *waiting)
{
	struct pollfd polls[3] = {
		{ .fd = wire->lanes[0].from, .events = POLLIN },
		{ .fd = wire->lanes[1].from, .events = POLLIN },
		{ .fd = wire->control, .events = POLLIN },
	};
	struct timespec left;
	int n, r;

	while (!stop) {
		n = ppoll(polls, 3, time_left(wire, &left), waiting);
		if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < 2; i++) {
			r = n > 0 && polls[i].revents ? take_frames(&wire->lanes[i]) : 0;
			if (r < 0)
				return r;
			send_due(&wire->lanes[i]);
		}
		if (n > 0 && polls[2].revents)
			take_control(wire);
	}
	return 0;
}

/* Frames first: of a machine with work for all its CPUs, the wire still is as long as it says. */
static void be_prompt(void)
{
	struct sched_param first = { .sched_priority = 10 };

	prctl(PR_SET_TIMERSLACK, 1UL);
	if (sched_setscheduler(0, SCHED_FIFO, &first) < 0)
		fprintf(stderr, "delay: no real-time priority: %s\n", strerror(errno));
}

static void block_signals(sigset_t *ret_waiting)
{
	struct sigaction action = { .sa_handler = on_signal };
	sigset_t ours;

	sigemptyset(&ours);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGINT);
	sigprocmask(SIG_BLOCK, &ours, ret_waiting);
	sigdelset(ret_waiting, SIGTERM);
	sigdelset(ret_waiting, SIGINT);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
}

/* --- Options --------------------------------------------------------------------------------- */

static const char usage[] =
	"usage: delay --end NETNS:IF --end NETNS:IF [options]      NETNS a file in /run/netns\n"
	"  --hold MS[,MS]    one-way delay from the first to the second end, and back (0)\n"
	"  --jitter MS       each frame's delay is this much more or less, at random (0)\n"
	"  --loss PERCENT    of frames, in each direction (0)\n"
	"  --seed N          other jitter and loss (1)\n"
	"  --queue N         frames that can wait in each direction (4096)\n"
	"  --control FIFO    each line of it is a new --hold\n"
	"  --clock MS        TCP timestamps of the first end's host are ahead by this much (0)\n"
	"Says `ready` when both ends are there, and what passed, as JSON, at SIGTERM.\n";

enum choice {
	OPT_END,
	OPT_HOLD,
	OPT_JITTER,
	OPT_LOSS,
	OPT_SEED,
	OPT_QUEUE,
	OPT_CONTROL,
	OPT_CLOCK
};

static const struct option options[] = {
	{ "end", required_argument, NULL, OPT_END },
	{ "hold", required_argument, NULL, OPT_HOLD },
	{ "jitter", required_argument, NULL, OPT_JITTER },
	{ "loss", required_argument, NULL, OPT_LOSS },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "queue", required_argument, NULL, OPT_QUEUE },
	{ "control", required_argument, NULL, OPT_CONTROL },
	{ "clock", required_argument, NULL, OPT_CLOCK },
	{},
};

static int take_end(struct wire *wire, const char *text)
{
	const char *colon = strrchr(text, ':');
	struct end *end;

	if (!colon || wire->n_ends == 2)
		return -EINVAL;
	end = &wire->ends[wire->n_ends++];
	if ((size_t)(colon - text) >= sizeof(end->netns) || !colon[1] ||
	    strlen(colon + 1) >= sizeof(end->iface))
		return -EINVAL;
	memcpy(end->netns, text, (size_t)(colon - text));
	strcpy(end->iface, colon + 1);
	return 0;
}

/* Opened for both, so that it never ends when a writer closes it. */
static int open_control(struct wire *wire, const char *path)
{
	struct stat st;

	wire->control = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (wire->control < 0 || fstat(wire->control, &st) < 0)
		return -errno;
	return S_ISFIFO(st.st_mode) ? 0 : -EINVAL;
}

static int take_option(struct wire *wire, int choice, const char *value)
{
	struct lane *there = &wire->lanes[0], *back = &wire->lanes[1];
	uint64_t number;
	double real;
	int r;

	switch (choice) {
	case OPT_END:
		return take_end(wire, value);
	case OPT_HOLD:
		return take_hold(wire, value);
	case OPT_JITTER:
		r = fg_num_double(value, 0, MAX_HOLD_MS, &real);
		if (r == 0)
			there->jitter = back->jitter = (int64_t)(real * MS);
		return r;
	case OPT_LOSS:
		r = fg_num_double(value, 0, 100, &real);
		if (r == 0)
			there->loss = back->loss = (uint64_t)(real / 100 * 4294967296.0);
		return r;
	case OPT_SEED:
		r = fg_num_u64(value, 0, UINT64_MAX, &number);
		if (r == 0) {
			there->random = mix(number);
			back->random = mix(~number);
		}
		return r;
	case OPT_QUEUE:
		r = fg_num_u64(value, 1, 1 << 20, &number);
		if (r == 0)
			there->size = back->size = number;
		return r;
	case OPT_CONTROL:
		return open_control(wire, value);
	case OPT_CLOCK:
		r = fg_num_u64(value, 0, UINT32_MAX, &number);
		if (r == 0)
			there->clock = back->clock = (uint32_t)number;
		return r;
	default:
		return -EINVAL;
	}
}

int main(int argc, char **argv)
{
	static struct wire wire = {
		.control = -1,
		.lanes = { { .size = 4096, .random = 1 },
			   { .size = 4096, .random = 2, .back = true } },
	};
	int choice, index = 0, r;
	sigset_t waiting;

	while ((choice = getopt_long(argc, argv, "", options, &index)) != -1) {
		if (choice == '?' || take_option(&wire, choice, optarg) < 0) {
			if (choice != '?')
				fprintf(stderr, "delay: --%s %s: not valid\n", options[index].name,
					optarg);
			return 2;
		}
	}
	if (optind < argc || wire.n_ends != 2) {
		fputs(usage, stderr);
		return 2;
	}
	block_signals(&waiting);
	if (make_wire(&wire) < 0)
		return 1;
	be_prompt();
	puts("ready");
	fflush(stdout);
	r = run(&wire, &waiting);
	putchar('{');
	print_lane("there", &wire.lanes[0]);
	putchar(',');
	print_lane("back", &wire.lanes[1]);
	puts("}");
	if (r < 0)
		fprintf(stderr, "delay: %s\n", strerror(-r));
	return r < 0 ? 1 : 0;
}
