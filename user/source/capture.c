/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "source/capture.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "farmgate/frame.h"
#include "lib/mem.h"

/* libpcap itself refuses larger records. */
#define MAX_RECORD_BYTES (256 * 1024)
#define ETHERNET_BYTES	 14

struct fg_capture {
	pcap_t *pcap;
	int link;
	uint64_t last_ns;
	char error[PCAP_ERRBUF_SIZE];
	uint8_t frame[ETHERNET_BYTES + MAX_RECORD_BYTES];
};

static const struct {
	int link;
	uint32_t header; /* bytes in front of the network layer, where it is fixed */
} links[] = {
	{ DLT_EN10MB, 0 },     { DLT_RAW, 0 },	       { DLT_IPV4, 0 }, { DLT_IPV6, 0 },
	{ DLT_LINUX_SLL, 16 }, { DLT_LINUX_SLL2, 20 }, { DLT_NULL, 4 }, { DLT_LOOP, 4 },
	{ DLT_PPP, 0 }, /* its length varies: ppp_header() */
};

static int link_header(int link, uint32_t *ret_bytes)
{
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		if (links[i].link == link) {
			*ret_bytes = links[i].header;
			return 0;
		}
	}
	return -ENOTSUP;
}

int fg_capture_open(const char *path, struct fg_capture **ret_capture, char *why, size_t n_why)
{
	struct fg_capture *c = calloc(1, sizeof(*c));
	uint32_t header;
	FILE *in;

	if (!c)
		return -ENOMEM;
	in = strcmp(path, "-") ? fopen(path, "rbe") : stdin;
	if (!in) {
		int r = -errno;

		snprintf(why, n_why, "%s", strerror(errno));
		free(c);
		return r;
	}
	c->pcap =
		pcap_fopen_offline_with_tstamp_precision(in, PCAP_TSTAMP_PRECISION_NANO, c->error);
	if (!c->pcap) {
		snprintf(why, n_why, "not a readable pcap or pcapng file: %s", c->error);
		if (in != stdin)
			fclose(in);
		free(c);
		return -EINVAL;
	}
	c->link = pcap_datalink(c->pcap);
	if (link_header(c->link, &header)) {
		snprintf(
			why, n_why,
			"link type %d is not read (Ethernet, raw IP, Linux cooked, null/loop and PPP are)",
			c->link);
		fg_capture_close(&c);
		return -EINVAL;
	}
	*ret_capture = c;
	return 0;
}

void fg_capture_close(struct fg_capture **capture)
{
	struct fg_capture *c = *capture;

	if (!c)
		return;
	if (c->pcap)
		pcap_close(c->pcap);
	free(c);
	*capture = NULL;
}

const char *fg_capture_error(const struct fg_capture *c)
{
	return c->error;
}

/* PPP (RFC 1661 section 2, RFC 1662 section 3.1): address and control may be left out, and the first
 * byte of the protocol where it is zero, which is told by the lowest bits. @return bytes in front of
 * the network layer. */
static uint32_t ppp_header(const uint8_t *data, uint32_t len, uint16_t *ret_kind)
{
	uint32_t at = len >= 2 && data[0] == 0xff && data[1] == 0x03 ? 2 : 0;
	uint16_t protocol;

	*ret_kind = 0;
	if (len < at + 2)
		return len;
	protocol = data[at] & 1 ? data[at] : fg_load_be16(data + at);
	at += data[at] & 1 ? 1 : 2;
	*ret_kind = protocol == 0x0021 ? FG_ETH_IPV4 : protocol == 0x0057 ? FG_ETH_IPV6 : 0;
	return at;
}

/* Bytes of a link header that is not Ethernet's, and the EtherType behind it; 0 = nothing we know. */
static uint32_t read_link(int link, const uint8_t *data, uint32_t len, uint16_t *ret_kind)
{
	uint32_t header = 0;

	*ret_kind = 0;
	if (link == DLT_PPP)
		return ppp_header(data, len, ret_kind);
	link_header(link, &header);
	if (len < header + 1)
		return len < header ? len : header;
	if (link == DLT_LINUX_SLL)
		*ret_kind = fg_load_be16(data + 14);
	else if (link == DLT_LINUX_SLL2)
		*ret_kind = fg_load_be16(data);
	/* raw and loop: the IP version is surer than the host-specific family number */
	else if (data[header] >> 4 == 4)
		*ret_kind = FG_ETH_IPV4;
	else if (data[header] >> 4 == 6)
		*ret_kind = FG_ETH_IPV6;
	return header;
}

/* Puts an Ethernet header in the link header's place. */
static void to_ethernet(struct fg_capture *c, const uint8_t *data, struct fg_capture_frame *f)
{
	uint16_t kind;
	uint32_t header = read_link(c->link, data, f->len, &kind), body;

	body = f->len - header;
	if (body > MAX_RECORD_BYTES)
		body = MAX_RECORD_BYTES;
	memset(c->frame, 0, ETHERNET_BYTES);
	c->frame[12] = (uint8_t)(kind >> 8);
	c->frame[13] = (uint8_t)kind;
	memcpy(c->frame + ETHERNET_BYTES, data + header, body);
	f->data = c->frame;
	f->len = ETHERNET_BYTES + body;
	f->frame_len = f->wire_len - header + ETHERNET_BYTES;
	if (f->frame_len < f->len)
		f->frame_len = f->len;
}

int fg_capture_next(struct fg_capture *c, struct fg_capture_frame *ret_frame)
{
	struct fg_capture_frame f = { 0 };
	struct pcap_pkthdr *header;
	const uint8_t *data;
	int r = pcap_next_ex(c->pcap, &header, &data);

	if (r == PCAP_ERROR_BREAK)
		return 0;
	if (r != 1) {
		snprintf(c->error, sizeof(c->error), "%s", pcap_geterr(c->pcap));
		return -EBADMSG;
	}
	/* with nanosecond precision libpcap keeps nanoseconds in tv_usec */
	f.time_ns = (uint64_t)header->ts.tv_sec * 1000000000ULL + (uint64_t)header->ts.tv_usec;
	f.clamped = f.time_ns < c->last_ns;
	if (f.clamped)
		f.time_ns = c->last_ns;
	c->last_ns = f.time_ns;
	f.data = data;
	f.len = header->caplen;
	f.wire_len = header->len < header->caplen ? header->caplen : header->len;
	f.frame_len = f.wire_len;
	if (c->link != DLT_EN10MB)
		to_ethernet(c, data, &f);
	*ret_frame = f;
	return 1;
}
