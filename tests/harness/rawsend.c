/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The forger: writes frames from source addresses it does not hold, straight to an interface. What
 * a stranger on the network can do without taking part in a handshake: SYNs, hellos out of
 * nowhere, stray ACK, data, FIN and RST segments, with up to two VLAN tags.
 *
 * Owns: building the frames. Must not: read replies. Prints what it sent as one JSON line.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "lib/ip.h"
#include "lib/mem.h"
#include "lib/num.h"

#define MAX_FRAME 4096
#define MAX_VLANS 2

struct forgery {
	char iface[IFNAMSIZ];
	uint8_t to_mac[6], from_mac[6];
	uint8_t sources[16], source_bits;
	uint8_t server[16];
	uint16_t port, sport;
	uint64_t count, repeat, seed;
	uint16_t vlans[MAX_VLANS];
	size_t n_vlans;
	uint8_t tcp_flags;
	uint8_t payload[MAX_FRAME];
	size_t n_payload;
	bool syn_options;
};

struct frame {
	uint8_t data[MAX_FRAME];
	size_t n;
};

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

/* --- Frame building -------------------------------------------------------------------------- */

static void put(struct frame *f, const void *data, size_t n)
{
	memcpy(f->data + f->n, data, n);
	f->n += n;
}

static void put16(struct frame *f, uint16_t value)
{
	uint16_t be = htons(value);

	put(f, &be, sizeof(be));
}

static uint32_t sum16(const void *data, size_t n, uint32_t sum)
{
	const uint8_t *p = data;

	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	if (n & 1)
		sum += (uint32_t)(p[n - 1] << 8);
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static void put_ethernet(struct frame *f, const struct forgery *forgery, bool v4)
{
	put(f, forgery->to_mac, 6);
	put(f, forgery->from_mac, 6);
	for (size_t i = 0; i < forgery->n_vlans; i++) {
		/* the outer of two tags is a service tag */
		put16(f, i + 1 < forgery->n_vlans ? ETH_P_8021AD : ETH_P_8021Q);
		put16(f, forgery->vlans[i]);
	}
	put16(f, v4 ? ETH_P_IP : ETH_P_IPV6);
}

static void put_ip(struct frame *f, const uint8_t from[16], const uint8_t to[16], size_t n_tcp)
{
	struct ip6_hdr six = { .ip6_nxt = IPPROTO_TCP, .ip6_hlim = 57 };
	struct iphdr four = { .version = 4, .ihl = 5, .ttl = 57, .protocol = IPPROTO_TCP };

	if (!fg_ip_is4(from)) {
		six.ip6_flow = htonl(6U << 28);
		six.ip6_plen = htons((uint16_t)n_tcp);
		memcpy(&six.ip6_src, from, 16);
		memcpy(&six.ip6_dst, to, 16);
		put(f, &six, sizeof(six));
		return;
	}
	four.tot_len = htons((uint16_t)(sizeof(four) + n_tcp));
	four.frag_off = htons(0x4000);
	memcpy(&four.saddr, from + 12, 4);
	memcpy(&four.daddr, to + 12, 4);
	four.check = fold(sum16(&four, sizeof(four), 0));
	put(f, &four, sizeof(four));
}

static void put_tcp(struct frame *f, const struct forgery *forgery, const uint8_t from[16],
		    uint64_t random)
{
	/* mss 1460, sackOK, timestamps, nop, window scale 7: what a current Linux client sends */
	static const uint8_t options[20] = { 2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0,
					     0, 1, 0, 0,    0, 0, 1, 3,	 3, 7 };
	bool v4 = fg_ip_is4(from);
	size_t n_options = forgery->syn_options ? sizeof(options) : 0;
	size_t n = sizeof(struct tcphdr) + n_options + forgery->n_payload, at = f->n;
	size_t from_at = v4 ? 12 : 0;
	struct tcphdr tcp = {
		.source = htons(forgery->sport ?: (uint16_t)(1024 + random % 60000)),
		.dest = htons(forgery->port),
		.seq = htonl((uint32_t)(random >> 16)),
		.ack_seq = forgery->tcp_flags & TH_ACK ? htonl((uint32_t)(random >> 32)) : 0,
		.doff = (uint16_t)((sizeof(tcp) + n_options) / 4) & 0xf,
		.window = htons(64240),
	};
	uint32_t sum;

	tcp.th_flags = forgery->tcp_flags;
	put(f, &tcp, sizeof(tcp));
	put(f, options, n_options);
	put(f, forgery->payload, forgery->n_payload);
	sum = sum16(from + from_at, 16 - from_at, IPPROTO_TCP + (uint32_t)n);
	sum = sum16(forgery->server + from_at, 16 - from_at, sum);
	tcp.check = fold(sum16(f->data + at, n, sum));
	memcpy(f->data + at, &tcp, sizeof(tcp));
}

static void build(const struct forgery *forgery, uint64_t i, struct frame *ret_frame)
{
	uint64_t host = i % forgery->count;
	uint8_t from[16];
	size_t n_tcp =
		sizeof(struct tcphdr) + (forgery->syn_options ? 20U : 0U) + forgery->n_payload;

	memcpy(from, forgery->sources, 16);
	if (forgery->source_bits < 128)
		for (int b = 0; b < 4; b++)
			from[15 - b] |= (uint8_t)((host + 1) >> (8 * b));
	ret_frame->n = 0;
	put_ethernet(ret_frame, forgery, fg_ip_is4(from));
	put_ip(ret_frame, from, forgery->server, n_tcp);
	put_tcp(ret_frame, forgery, from, mix(forgery->seed ^ mix(i)));
}

/* --- What to put in -------------------------------------------------------------------------- */

/* A real hello, as the library would send it. */
static int make_hello(struct forgery *forgery)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = ctx ? SSL_new(ctx) : NULL;
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	int n = -1;

	if (ssl && in && out && SSL_set_tlsext_host_name(ssl, "forged.example.com")) {
		SSL_set_bio(ssl, in, out);
		SSL_connect(ssl);
		n = BIO_read(out, forgery->payload, sizeof(forgery->payload) / 2);
	}
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	if (n <= 0)
		return -EIO;
	forgery->n_payload = (size_t)n;
	return 0;
}

static int set_kind(struct forgery *forgery, const char *kind)
{
	forgery->n_payload = 0;
	forgery->syn_options = !strcmp(kind, "syn");
	if (!strcmp(kind, "syn")) {
		forgery->tcp_flags = TH_SYN;
	} else if (!strcmp(kind, "hello")) {
		forgery->tcp_flags = TH_ACK | TH_PUSH;
		return make_hello(forgery);
	} else if (!strcmp(kind, "ack")) {
		forgery->tcp_flags = TH_ACK;
	} else if (!strcmp(kind, "data")) {
		forgery->tcp_flags = TH_ACK | TH_PUSH;
		forgery->n_payload = 400;
		memset(forgery->payload, 0x5a, forgery->n_payload);
	} else if (!strcmp(kind, "fin")) {
		forgery->tcp_flags = TH_FIN | TH_ACK;
	} else if (!strcmp(kind, "rst")) {
		forgery->tcp_flags = TH_RST;
	} else {
		return -EINVAL;
	}
	return 0;
}

static int send_all(const struct forgery *forgery)
{
	_cleanup_close_ int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_halen = 6 };
	uint64_t n = forgery->count * forgery->repeat, bytes = 0;
	struct frame frame;

	if (fd < 0)
		return -errno;
	to.sll_ifindex = (int)if_nametoindex(forgery->iface);
	if (!to.sll_ifindex)
		return -ENODEV;
	memcpy(to.sll_addr, forgery->to_mac, 6);
	for (uint64_t i = 0; i < n; i++) {
		build(forgery, i, &frame);
		while (sendto(fd, frame.data, frame.n, 0, (void *)&to, sizeof(to)) < 0)
			if (errno != ENOBUFS && errno != EINTR)
				return -errno;
		bytes += frame.n;
	}
	printf("{\"frames\":%" PRIu64 ",\"bytes\":%" PRIu64 "}\n", n, bytes);
	return 0;
}

/* --- Options --------------------------------------------------------------------------------- */

static const char usage[] =
	"usage: rawsend --iface IF --mac MAC --sources ADDR|CIDR --connect ADDR --kind KIND [options]\n"
	"  --kind KIND     syn hello ack data fin rst\n"
	"  --mac MAC       of the receiver\n"
	"  --port N        destination (443)    --sport N   source (random)\n"
	"  --count N       sources (1)          --repeat N  frames a source (1)\n"
	"  --vlan ID       tag; twice for two, outer first\n"
	"  --seed N        other sequence numbers and ports (1)\n";

static int parse_mac(const char *text, uint8_t ret_mac[6])
{
	int n = 0;

	if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx%n", &ret_mac[0], &ret_mac[1], &ret_mac[2],
		   &ret_mac[3], &ret_mac[4], &ret_mac[5], &n) != 6 ||
	    text[n])
		return -EINVAL;
	return 0;
}

static int take_u16(const char *text, uint64_t max, uint16_t *ret_value)
{
	uint64_t value;
	int r = fg_num_u64(text, 0, max, &value);

	if (r == 0)
		*ret_value = (uint16_t)value;
	return r;
}

enum choice {
	OPT_IFACE,
	OPT_MAC,
	OPT_SOURCES,
	OPT_CONNECT,
	OPT_KIND,
	OPT_PORT,
	OPT_SPORT,
	OPT_COUNT,
	OPT_REPEAT,
	OPT_VLAN,
	OPT_SEED
};

static const struct option options[] = {
	{ "iface", required_argument, NULL, OPT_IFACE },
	{ "mac", required_argument, NULL, OPT_MAC },
	{ "sources", required_argument, NULL, OPT_SOURCES },
	{ "connect", required_argument, NULL, OPT_CONNECT },
	{ "kind", required_argument, NULL, OPT_KIND },
	{ "port", required_argument, NULL, OPT_PORT },
	{ "sport", required_argument, NULL, OPT_SPORT },
	{ "count", required_argument, NULL, OPT_COUNT },
	{ "repeat", required_argument, NULL, OPT_REPEAT },
	{ "vlan", required_argument, NULL, OPT_VLAN },
	{ "seed", required_argument, NULL, OPT_SEED },
	{},
};

static int take_option(struct forgery *forgery, int choice, const char *value)
{
	uint8_t bits;

	switch (choice) {
	case OPT_IFACE:
		snprintf(forgery->iface, sizeof(forgery->iface), "%s", value);
		return 0;
	case OPT_MAC:
		return parse_mac(value, forgery->to_mac);
	case OPT_SOURCES:
		return fg_ip_parse(value, forgery->sources, &forgery->source_bits);
	case OPT_CONNECT:
		return fg_ip_parse(value, forgery->server, &bits);
	case OPT_KIND:
		return set_kind(forgery, value);
	case OPT_PORT:
		return take_u16(value, 65535, &forgery->port);
	case OPT_SPORT:
		return take_u16(value, 65535, &forgery->sport);
	case OPT_COUNT:
		return fg_num_u64(value, 1, 1ULL << 24, &forgery->count);
	case OPT_REPEAT:
		return fg_num_u64(value, 1, 1ULL << 24, &forgery->repeat);
	case OPT_VLAN:
		if (forgery->n_vlans == MAX_VLANS)
			return -EINVAL;
		return take_u16(value, 4094, &forgery->vlans[forgery->n_vlans++]);
	case OPT_SEED:
		return fg_num_u64(value, 0, UINT64_MAX, &forgery->seed);
	default:
		return -EINVAL;
	}
}

int main(int argc, char **argv)
{
	struct forgery forgery = {
		.from_mac = { 0x02, 0, 0, 0, 0, 0x66 },
		.port = 443,
		.count = 1,
		.repeat = 1,
		.seed = 1,
	};
	int choice, index = 0, r;

	while ((choice = getopt_long(argc, argv, "", options, &index)) != -1) {
		if (choice == '?' || take_option(&forgery, choice, optarg) < 0) {
			if (choice != '?')
				fprintf(stderr, "rawsend: --%s %s: not valid\n",
					options[index].name, optarg);
			return 2;
		}
	}
	if (optind < argc || !forgery.iface[0] || !forgery.tcp_flags || !forgery.source_bits ||
	    fg_ip_is4(forgery.sources) != fg_ip_is4(forgery.server)) {
		fputs(usage, stderr);
		return 2;
	}
	r = send_all(&forgery);
	if (r < 0)
		fprintf(stderr, "rawsend: %s: %s\n", forgery.iface, strerror(-r));
	return r < 0 ? 1 : 0;
}
