/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The table of connections whose hello is awaited. One is found by its path; the connection ID of
 * its first packet gives the keys, which hold for all later Initials of it, whatever ID these go to.
 * Where they stop to fit the client has begun again: behind a Retry, or with a new connection.
 *
 *   datagram ─ packets ─ keys, open ─ CRYPTO frames ─ bytes in order ─ hello reader
 *
 * Rows lie in a fixed array, chained by hash, and in a list by age.
 */
#include "source/quic.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "farmgate/hash.h"
#include "farmgate/hello.h"
#include "source/quic_packet.h"

#define N_CHAINS 4096 /* a power of two */
#define NONE	 UINT32_MAX
/* Memory of one hello grows in steps: most end in the first. */
#define STEP_BYTES 2048
/* Packets opened of one datagram, in which a client has one or two Initials. Each costs some
 * microseconds, and a stranger chooses how many there are. */
#define MAX_PACKETS 4

enum frame {
	FRAME_PADDING = 0x00,
	FRAME_PING = 0x01,
	FRAME_ACK = 0x02,
	FRAME_ACK_ECN = 0x03,
	FRAME_CRYPTO = 0x06,
	FRAME_CLOSE = 0x1c,
	FRAME_CLOSE_APP = 0x1d,
};

struct row {
	struct fg_quic_path path;
	uint64_t began_ns;
	struct fg_quic_cid dcid; /* that the keys are of */
	enum fg_quic_version version;
	struct fg_quic_keys keys;
	int64_t largest; /* packet number; -1 = none */
	bool done; /* it had its hello, and is remembered so that it has no second one */
	uint32_t next; /* in its chain */
	uint32_t older, younger;
	/* CRYPTO data, and a bit for each byte that is there */
	uint8_t *data, *there;
	size_t room;
	size_t ahead; /* bytes there without a gap from the first on */
};

struct fg_quic {
	struct fg_quic_crypto *crypto;
	uint64_t seed[4];
	struct row *rows;
	uint32_t chains[N_CHAINS];
	uint32_t free, n; /* list of free rows; rows in use */
	uint32_t oldest, youngest;
	size_t bytes;
	fg_quic_lost_fn on_lost;
	void *arg;
	uint8_t plain[FG_QUIC_MAX_DATAGRAM];
	uint8_t message[5 + FG_QUIC_HELLO_BYTES + 8]; /* a record of TLS; the reader reads in words */
};

/* --- Rows ------------------------------------------------------------------------------------- */

int fg_quic_new(const uint64_t seed[4], struct fg_quic **ret_quic)
{
	struct fg_quic *q = calloc(1, sizeof(*q));
	int r = q ? fg_quic_crypto_new(&q->crypto) : -ENOMEM;

	if (!r) {
		q->rows = calloc(FG_QUIC_WAITING, sizeof(*q->rows));
		r = q->rows ? 0 : -ENOMEM;
	}
	if (r) {
		fg_quic_free(&q);
		return r;
	}
	memcpy(q->seed, seed, sizeof(q->seed));
	memset(q->chains, 0xff, sizeof(q->chains));
	for (uint32_t i = 0; i < FG_QUIC_WAITING; i++)
		q->rows[i].next = i + 1 < FG_QUIC_WAITING ? i + 1 : NONE;
	q->oldest = q->youngest = NONE;
	*ret_quic = q;
	return 0;
}

static void forget_data(struct fg_quic *q, struct row *row)
{
	q->bytes -= row->room + row->room / 8;
	free(row->data);
	row->data = row->there = NULL;
	row->room = row->ahead = 0;
}

void fg_quic_free(struct fg_quic **quic)
{
	struct fg_quic *q = *quic;

	*quic = NULL;
	if (!q)
		return;
	for (uint32_t i = 0; q->rows && i < FG_QUIC_WAITING; i++)
		free(q->rows[i].data);
	free(q->rows);
	fg_quic_crypto_free(&q->crypto);
	free(q);
}

static uint32_t chain_of(const struct fg_quic *q, const struct fg_quic_path *path)
{
	__u64 client[2], server[2];

	memcpy(client, path->client, sizeof(client));
	memcpy(server, path->server, sizeof(server));
	return (uint32_t)fg_hash_flow((const __u64 *)q->seed, client, server,
				      (__u32)path->client_port_be << 16 | path->server_port_be) &
	       (N_CHAINS - 1);
}

static struct row *find(struct fg_quic *q, const struct fg_quic_path *path)
{
	uint32_t i = q->chains[chain_of(q, path)];

	while (i != NONE && memcmp(&q->rows[i].path, path, sizeof(*path)))
		i = q->rows[i].next;
	return i == NONE ? NULL : &q->rows[i];
}

static void unlink_age(struct fg_quic *q, struct row *row)
{
	*(row->older == NONE ? &q->oldest : &q->rows[row->older].younger) = row->younger;
	*(row->younger == NONE ? &q->youngest : &q->rows[row->younger].older) = row->older;
}

static void drop(struct fg_quic *q, struct row *row)
{
	uint32_t at = (uint32_t)(row - q->rows), *link = &q->chains[chain_of(q, &row->path)];

	while (*link != at)
		link = &q->rows[*link].next;
	*link = row->next;
	unlink_age(q, row);
	forget_data(q, row);
	row->next = q->free;
	q->free = at;
	q->n--;
}

static void lose(struct fg_quic *q, struct row *row, enum fg_incomplete reason)
{
	if (!row->done && q->on_lost)
		q->on_lost(q->arg, &row->path, reason);
	drop(q, row);
}

/* A row for a path that has none; the oldest one gives way where there is none free. */
static struct row *claim(struct fg_quic *q, const struct fg_quic_path *path, uint64_t now_ns)
{
	uint32_t *chain = &q->chains[chain_of(q, path)], at;
	struct row *row;

	if (q->free == NONE)
		lose(q, &q->rows[q->oldest], FG_INCOMPLETE_table_full);
	at = q->free;
	row = &q->rows[at];
	q->free = row->next;
	*row = (struct row){
		.path = *path,
		.began_ns = now_ns,
		.largest = -1,
		.next = *chain,
		.older = q->youngest,
		.younger = NONE,
	};
	*chain = at;
	*(q->youngest == NONE ? &q->oldest : &q->rows[q->youngest].younger) = at;
	q->youngest = at;
	q->n++;
	return row;
}

/* --- CRYPTO data ------------------------------------------------------------------------------ */

static bool is_there(const struct row *row, size_t i)
{
	return row->there[i >> 3] >> (i & 7) & 1;
}

/* Room for the first n bytes; of all that wait the oldest give way. False without memory. */
static bool reserve(struct fg_quic *q, struct row *row, size_t n)
{
	size_t room = (n + STEP_BYTES - 1) / STEP_BYTES * STEP_BYTES;
	uint8_t *data;

	if (n <= row->room)
		return true;
	data = calloc(1, room + room / 8);
	if (!data)
		return false;
	if (row->room) {
		memcpy(data, row->data, row->room);
		memcpy(data + room, row->there, row->room / 8);
	}
	q->bytes += room + room / 8 - row->room - row->room / 8;
	free(row->data);
	row->data = data;
	row->there = data + room;
	row->room = room;
	while (q->bytes > FG_QUIC_WAITING_BYTES && &q->rows[q->oldest] != row)
		lose(q, &q->rows[q->oldest], FG_INCOMPLETE_table_full);
	return true;
}

/* First bytes win. Eight at a time where it can be: a stranger chooses how the bytes are cut. */
static void put(struct row *row, size_t off, const uint8_t *bytes, size_t n)
{
	size_t i = off, end = off + n;

	while (i < end) {
		uint8_t *eight = &row->there[i >> 3];

		if (!(i & 7) && end - i >= 8 && !*eight) {
			memcpy(row->data + i, bytes + (i - off), 8);
			*eight = 0xff;
			i += 8;
			continue;
		}
		if (!is_there(row, i)) {
			row->data[i] = bytes[i - off];
			*eight |= (uint8_t)(1U << (i & 7));
		}
		i++;
	}
	while (row->ahead < row->room && is_there(row, row->ahead))
		row->ahead += !(row->ahead & 7) && row->there[row->ahead >> 3] == 0xff ? 8 : 1;
}

/* --- Frames ----------------------------------------------------------------------------------- */

struct cursor {
	const uint8_t *at;
	size_t n;
};

static bool take_number(struct cursor *c, uint64_t *ret_value)
{
	size_t got = fg_quic_varint(c->at, c->n, ret_value);

	c->at += got;
	c->n -= got;
	return got != 0;
}

/* Half of a client's first datagram is this. */
static void skip_padding(struct cursor *c)
{
	uint64_t eight;

	while (c->n >= sizeof(eight) && (memcpy(&eight, c->at, sizeof(eight)), !eight)) {
		c->at += sizeof(eight);
		c->n -= sizeof(eight);
	}
	while (c->n && *c->at == FRAME_PADDING) {
		c->at++;
		c->n--;
	}
}

/* RFC 9000 section 19.3: four numbers, two for each further range, three counts of ECN. */
static bool skip_ack(struct cursor *c, bool ecn)
{
	uint64_t ignored, ranges;

	if (!take_number(c, &ignored) || !take_number(c, &ignored) || !take_number(c, &ranges) ||
	    !take_number(c, &ignored) || ranges > c->n / 2)
		return false;
	for (uint64_t i = 0; i < 2 * ranges + (ecn ? 3 : 0); i++)
		if (!take_number(c, &ignored))
			return false;
	return true;
}

/* @return 1 with something new, 0, -1 where the hello is lost for the reason. */
static int take_crypto(struct fg_quic *q, struct row *row, struct cursor *c,
		       enum fg_incomplete *ret_reason)
{
	uint64_t off, n;

	*ret_reason = FG_INCOMPLETE_malformed;
	if (!take_number(c, &off) || !take_number(c, &n) || n > c->n)
		return -1;
	*ret_reason = FG_INCOMPLETE_too_long;
	if (off > FG_QUIC_HELLO_BYTES || n > FG_QUIC_HELLO_BYTES - off)
		return -1;
	*ret_reason = FG_INCOMPLETE_table_full;
	if (n && !reserve(q, row, off + n))
		return -1;
	put(row, off, c->at, n);
	c->at += n;
	c->n -= n;
	return n != 0;
}

/* Frames that an Initial packet may hold (RFC 9000 section 17.2.2); behind a CONNECTION_CLOSE
 * nothing comes. @return as take_crypto(). */
static int take_frames(struct fg_quic *q, struct row *row, const uint8_t *plain, size_t n,
		       enum fg_incomplete *ret_reason)
{
	struct cursor c = { plain, n };
	int news = 0, r;

	while (c.n) {
		uint8_t type = *c.at++;

		c.n--;
		switch (type) {
		case FRAME_PADDING:
			skip_padding(&c);
			break;
		case FRAME_PING:
			break;
		case FRAME_ACK:
		case FRAME_ACK_ECN:
			*ret_reason = FG_INCOMPLETE_malformed;
			if (!skip_ack(&c, type == FRAME_ACK_ECN))
				return -1;
			break;
		case FRAME_CRYPTO:
			r = take_crypto(q, row, &c, ret_reason);
			if (r < 0)
				return r;
			news |= r;
			break;
		case FRAME_CLOSE:
		case FRAME_CLOSE_APP:
			*ret_reason = FG_INCOMPLETE_closed;
			return -1;
		default:
			*ret_reason = FG_INCOMPLETE_malformed;
			return -1;
		}
	}
	return news;
}

/* --- The hello -------------------------------------------------------------------------------- */

/* Reads a message that is there whole, as one record of TLS: the reader knows streams of TCP. */
static void read_message(struct fg_quic *q, const struct row *row, size_t n, struct fg_hello *h)
{
	size_t at = 0, total = n + 5;

	q->message[0] = FG_TLS_HANDSHAKE;
	q->message[1] = 3;
	q->message[2] = 1;
	q->message[3] = (uint8_t)(n >> 8);
	q->message[4] = (uint8_t)n;
	memcpy(q->message + 5, row->data, n);
	while (h->result == FG_HELLO_MORE && at < total) {
		size_t piece = total - at > FG_SEGMENT_MAX_BYTES ? FG_SEGMENT_MAX_BYTES :
								   total - at;

		fg_hello_segment(h, (__u32)piece);
		while (fg_hello_step(h, (const __u64 *)q->seed, q->message + at))
			;
		at += piece;
	}
}

static enum fg_quic_result read_hello(struct fg_quic *q, struct row *row, struct fg_hello *h)
{
	size_t n;

	if (row->ahead < 4)
		return FG_QUIC_MORE;
	n = 4 + ((size_t)row->data[1] << 16 | (size_t)row->data[2] << 8 | row->data[3]);
	if (row->data[0] == 1 && n > FG_QUIC_HELLO_BYTES)
		fg_hello_fail(h, FG_INCOMPLETE_too_long);
	else if (row->data[0] == 1 && row->ahead < n)
		return FG_QUIC_MORE;
	else
		read_message(q, row, n > row->ahead ? row->ahead : n, h);
	if (h->result == FG_HELLO_COMPLETE)
		return FG_QUIC_HELLO;
	if (h->result != FG_HELLO_FAILED)
		fg_hello_fail(h, FG_INCOMPLETE_malformed);
	return FG_QUIC_FAILED;
}

/* --- Packets ---------------------------------------------------------------------------------- */

static bool same_cid(const struct fg_quic_cid *a, const struct fg_quic_cid *b)
{
	return a->len == b->len && !memcmp(a->bytes, b->bytes, a->len);
}

/* Opens with the row's keys. @return bytes, -errno. */
static int open_with(struct fg_quic *q, struct row *row, const uint8_t *bytes,
		     const struct fg_quic_packet *p)
{
	int64_t number;
	int r;

	if (row->version != p->version)
		return -EBADMSG;
	r = fg_quic_open(q->crypto, &row->keys, bytes, p, row->largest, q->plain, &number);
	if (r >= 0 && number > row->largest)
		row->largest = number;
	return r;
}

/* The row whose keys open this packet, and its text in q->plain. Where those of the path's row do
 * not, the packet's own connection ID is tried: a client that begins again, which was told to (Retry)
 * or reuses its port. */
static struct row *open_packet(struct fg_quic *q, const struct fg_quic_path *path, uint64_t now_ns,
			       const uint8_t *bytes, const struct fg_quic_packet *p, int *ret_n)
{
	struct row *row = find(q, path), fresh = { .version = p->version, .largest = -1 };
	bool done;

	if (row) {
		*ret_n = open_with(q, row, bytes, p);
		if (*ret_n >= 0)
			return row;
		if (row->version == p->version && same_cid(&row->dcid, &p->dcid))
			return NULL;
	}
	fresh.dcid = p->dcid;
	if (fg_quic_derive(q->crypto, p->version, &p->dcid, &fresh.keys))
		return NULL;
	*ret_n = open_with(q, &fresh, bytes, p);
	if (*ret_n < 0)
		return NULL;
	/* behind a Retry the same hello comes again, and counts once */
	done = row && row->done && p->token;
	if (row && p->token)
		drop(q, row);
	else if (row)
		lose(q, row, FG_INCOMPLETE_closed);
	row = claim(q, path, now_ns);
	row->done = done;
	row->dcid = fresh.dcid;
	row->version = fresh.version;
	row->keys = fresh.keys;
	row->largest = fresh.largest;
	return row;
}

/* The hello is there, or never will be: the row stays only as long as the client may repeat it. */
static enum fg_quic_result end(struct fg_quic *q, struct row *row, enum fg_quic_result result)
{
	row->done = true;
	forget_data(q, row);
	return result;
}

static enum fg_quic_result take_packet(struct fg_quic *q, const struct fg_quic_path *path,
				       uint64_t now_ns, const uint8_t *bytes,
				       const struct fg_quic_packet *p, struct fg_hello *h)
{
	enum fg_incomplete reason;
	enum fg_quic_result result;
	struct row *row;
	int n, news;

	row = open_packet(q, path, now_ns, bytes, p, &n);
	if (!row)
		return FG_QUIC_UNREADABLE;
	if (row->done)
		return FG_QUIC_IGNORED;
	news = take_frames(q, row, q->plain, (size_t)n, &reason);
	if (news < 0) {
		fg_hello_fail(h, reason);
		return end(q, row, FG_QUIC_FAILED);
	}
	if (!news)
		return row->ahead ? FG_QUIC_MORE : FG_QUIC_IGNORED;
	result = read_hello(q, row, h);
	return result == FG_QUIC_MORE ? result : end(q, row, result);
}

enum fg_quic_result fg_quic_datagram(struct fg_quic *q, const struct fg_quic_path *path,
				     uint64_t now_ns, const uint8_t *bytes, size_t n,
				     struct fg_hello *ret_hello)
{
	enum fg_quic_result result = FG_QUIC_IGNORED, one;
	struct fg_quic_packet p;

	fg_quic_expire(q, now_ns);
	if (n > FG_QUIC_MAX_DATAGRAM)
		return result;
	fg_hello_begin(ret_hello);
	for (int i = 0; i < MAX_PACKETS && fg_quic_packet_parse(bytes, n, &p); i++) {
		if (p.initial) {
			one = take_packet(q, path, now_ns, bytes, &p, ret_hello);
			if (one >= FG_QUIC_HELLO)
				return one;
			if (one > result)
				result = one;
		}
		bytes += p.n;
		n -= p.n;
	}
	return result;
}

/* --- Time ------------------------------------------------------------------------------------- */

void fg_quic_on_lost(struct fg_quic *q, fg_quic_lost_fn fn, void *arg)
{
	q->on_lost = fn;
	q->arg = arg;
}

void fg_quic_expire(struct fg_quic *q, uint64_t now_ns)
{
	while (q->oldest != NONE && q->rows[q->oldest].began_ns + FG_QUIC_TIMEOUT_NS <= now_ns)
		lose(q, &q->rows[q->oldest], FG_INCOMPLETE_timeout);
}

void fg_quic_give_up(struct fg_quic *q, enum fg_incomplete reason)
{
	while (q->oldest != NONE)
		lose(q, &q->rows[q->oldest], reason);
}

uint32_t fg_quic_waiting(const struct fg_quic *q)
{
	return q->n;
}

size_t fg_quic_waiting_bytes(const struct fg_quic *q)
{
	return q->bytes;
}
