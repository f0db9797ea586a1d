/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "capture.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Longest link header written here, plus the largest frame. */
#define RECORD_MAX (20 + 65600)
#define ETH_HLEN   14

struct fg_dump {
	enum fg_link link;
	uint32_t resolution_ns, snaplen;
	long frames;
	pcap_t *pcap;
	pcap_dumper_t *out;
	uint8_t record[RECORD_MAX];
};

static const int dlt[] = {
	[FG_LINK_ETHERNET] = DLT_EN10MB, [FG_LINK_RAW] = DLT_RAW,   [FG_LINK_SLL] = DLT_LINUX_SLL,
	[FG_LINK_SLL2] = DLT_LINUX_SLL2, [FG_LINK_NULL] = DLT_NULL, [FG_LINK_LOOP] = DLT_LOOP,
};

static void release(struct fg_dump *c)
{
	if (c->out)
		pcap_dump_close(c->out);
	if (c->pcap)
		pcap_close(c->pcap);
	free(c);
}

int fg_dump_open(const char *path, enum fg_link link, uint32_t resolution_ns, uint32_t snaplen,
		 struct fg_dump **ret_dump)
{
	struct fg_dump *c = calloc(1, sizeof(*c));
	unsigned int precision = resolution_ns == 1 ? PCAP_TSTAMP_PRECISION_NANO :
						      PCAP_TSTAMP_PRECISION_MICRO;

	if (!c)
		return -ENOMEM;
	c->link = link;
	c->resolution_ns = resolution_ns;
	c->snaplen = snaplen ? snaplen : RECORD_MAX;
	c->pcap = pcap_open_dead_with_tstamp_precision(dlt[link], (int)c->snaplen, precision);
	if (c->pcap)
		c->out = pcap_dump_open(c->pcap, path);
	if (!c->out) {
		fprintf(stderr, "%s: %s: check folder and permissions\n", path,
			c->pcap ? pcap_geterr(c->pcap) : "out of memory");
		release(c);
		return -EIO;
	}
	*ret_dump = c;
	return 0;
}

/* SLL (LINKTYPE_LINUX_SLL): type, ARPHRD_ETHER, address; the EtherType follows. */
static size_t put_sll(uint8_t *to, const uint8_t *frame)
{
	static const uint8_t head[6] = { 0, 0, 0, 1, 0, 6 };

	memcpy(to, head, sizeof(head));
	memcpy(to + 6, frame + 6, 6);
	memcpy(to + 12, "\0\0", 2);
	memcpy(to + 14, frame + 12, 2);
	return 16;
}

/* SLL2 (LINKTYPE_LINUX_SLL2): the EtherType comes first; interface 1. */
static size_t put_sll2(uint8_t *to, const uint8_t *frame)
{
	static const uint8_t head[10] = { 0, 0, 0, 0, 0, 1, 0, 1, 0, 6 };

	memcpy(to, frame + 12, 2);
	memcpy(to + 2, head, sizeof(head));
	memcpy(to + 12, frame + 6, 6);
	memcpy(to + 18, "\0\0", 2);
	return 20;
}

/* NULL and LOOP: address family in the order of the writing machine, or of the network. The
 * value for IPv6 is that of BSD-like systems, where these link types come from. */
static size_t put_family(uint8_t *to, const uint8_t *frame, enum fg_link link)
{
	uint32_t family = frame[12] == 0x86 ? 30 : 2;
	uint8_t be[4] = { 0, 0, 0, (uint8_t)family };

	if (link == FG_LINK_NULL)
		memcpy(to, &family, 4);
	else
		memcpy(to, be, 4);
	return 4;
}

static size_t put_link(struct fg_dump *c, const uint8_t *frame)
{
	switch (c->link) {
	case FG_LINK_SLL:
		return put_sll(c->record, frame);
	case FG_LINK_SLL2:
		return put_sll2(c->record, frame);
	case FG_LINK_NULL:
	case FG_LINK_LOOP:
		return put_family(c->record, frame, c->link);
	case FG_LINK_RAW:
		return 0;
	default:
		memcpy(c->record, frame, ETH_HLEN);
		return ETH_HLEN;
	}
}

void fg_dump_write(struct fg_dump *c, uint64_t time_ns, const uint8_t *frame, size_t len)
{
	struct pcap_pkthdr h = { .ts = { .tv_sec = (time_t)(time_ns / 1000000000) } };
	size_t head;

	if (len < ETH_HLEN || len > RECORD_MAX - 20) {
		fprintf(stderr, "capture: frame of %zu bytes: build one of 14 to %d\n", len,
			RECORD_MAX - 20);
		abort();
	}
	head = put_link(c, frame);
	memcpy(c->record + head, frame + ETH_HLEN, len - ETH_HLEN);
	h.ts.tv_usec = (suseconds_t)(time_ns % 1000000000 / c->resolution_ns);
	h.len = (bpf_u_int32)(head + len - ETH_HLEN);
	h.caplen = h.len < c->snaplen ? h.len : c->snaplen;
	pcap_dump((u_char *)c->out, &h, c->record);
	c->frames++;
}

long fg_dump_close(struct fg_dump *c)
{
	int failed = pcap_dump_flush(c->out) || ferror(pcap_dump_file(c->out));
	long frames = c->frames;

	release(c);
	return failed ? -EIO : frames;
}
