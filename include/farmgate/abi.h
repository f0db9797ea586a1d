/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The one description of everything that the kernel programs and the agent share: table rows,
 * counters, configuration, the sample record. Both compilers read this file; nothing mirrors it.
 * Types and limits only, no functions.
 *
 * Addresses are always 16 bytes in network order; IPv4 is stored v4-mapped (::ffff:a.b.c.d).
 * Ports carry _be where they are in network order. Counters only ever grow; a reader keeps a
 * shadow copy and subtracts.
 */
#pragma once

#include <linux/types.h>

/* Bumped whenever a row, counter or the configuration changes shape or meaning. Pinned maps that
 * carry another number are refused, never reinterpreted. */
#define FG_ABI_VERSION 2

/* Ways in one set of a table: eight 8-byte tags are exactly one cache line, so a look-up that
 * misses touches one line. */
#define FG_WAYS 8

/* Interfaces one agent can attach to: a host with more uplinks than this bonds them. */
#define FG_MAX_IFACES 8
/* Protected prefixes: walked one by one on each frame, so the list stays short. */
#define FG_MAX_PREFIXES 16
/* VLAN tags accepted in front of the IP header (802.1Q inside 802.1ad, one to spare). */
#define FG_MAX_VLANS 3
/* MPLS labels in front of it: real paths push one to three. */
#define FG_MAX_LABELS 4
/* Prefixes of peers that may tunnel, and of balancers: walked one by one on what may be a tunnel, on a
 * connection's first segment. */
#define FG_MAX_PEERS 16
/* IPv6 extension headers walked: real traffic carries at most two or three. */
#define FG_MAX_IP6_EXTS 6

/* Bytes of a hello that are read; what is only jumped over (session id, key shares, padding, ECH)
 * costs next to nothing and does not count. Clients of today send 0.5 to 1.9 kB in all, a
 * post-quantum hello with a large ticket stays below 5 kB. */
#define FG_HELLO_MAX_BYTES 8192
/* Longest hello followed: room for two extensions of the largest size. One of 77 kB is in public
 * captures, made to be long. */
#define FG_HELLO_MAX_MESSAGE (128 << 10)
/* A hello that is not complete after this long is given up: clients send it in one flight. */
#define FG_HELLO_TIMEOUT_NS 15000000000ULL
/* Bytes of one segment handed to the hello parser: one whole hello. */
#define FG_SEGMENT_MAX_BYTES 8192
/* Largest segment kept in the stash: what an Ethernet frame of today's paths carries. Where frames
 * are larger (9 kB), a hello is one segment. */
#define FG_STASH_BYTES 2048
/* How far ahead of the next expected byte a segment may lie to be kept: what a client may send
 * before the first acknowledgement (RFC 6928: ten segments), and some. */
#define FG_STASH_AHEAD_BYTES 16384
/* List caps of one hello. JA4 hashes every cipher even where its count stops at 99; the longest
 * list seen in public captures is 350 (a scanner), extensions stay below 30. */
#define FG_MAX_CIPHERS 384
#define FG_MAX_EXTS    96
#define FG_MAX_SIGALGS 64
/* RFC 1035: a host name has at most 253 characters; one more 8-byte store may run past it. */
#define FG_MAX_SNI 256

/* A sequence advance beyond this in one segment is not progress but a forgery or a new
 * connection: four times the largest default TCP buffer (tcp_rmem, tcp_wmem: 6 and 4 MiB). */
#define FG_WINDOW_MAX_BYTES (16U << 20)
/* Client payload that makes a turn an exchange (DESIGN: exchange). */
#define FG_EXCHANGE_MIN_BYTES 200
/* Server payload that answers it. A TLS 1.3 record with the HTTP/2 window updates of a connection and
 * of a stream is 5 + 2 * 13 + 17 = 48; "HTTP/1.1 200 OK" with an empty body is 60 and more. */
#define FG_ANSWER_MIN_BYTES 49

/* Tags of a table row. Any other value is the keyed hash of the row's key. */
#define FG_TAG_FREE 0ULL
#define FG_TAG_BUSY 1ULL

/* --- What became of a frame: exactly one of these for each, so that
 *     received = sum(accounted) + sum(losses). ------------------------------------------------ */

/* X(name): the frame was understood and counted. */
#define FG_ACCOUNTED(X)                                                               \
	X(not_ip) /* ARP, LLDP and others */                                          \
	X(other_protocol) /* IP, neither TCP nor UDP */                               \
	X(other_port) /* no protected port or prefix, or not this hook's direction */ \
	X(udp) /* UDP on a protected port that is no QUIC of a known connection */    \
	X(quic) /* client datagram of QUIC: Initial, or of a known connection */      \
	X(quic_server) /* server datagram of a known connection */                    \
	X(syn) /* client SYN */                                                       \
	X(syn_ack) /* server SYN-ACK */                                               \
	X(ack) /* client segment without payload on a known connection */             \
	X(hello) /* client segment that carried hello bytes */                        \
	X(data) /* client segment with other payload on a known connection */         \
	X(close) /* FIN or RST of either side */                                      \
	X(server) /* server segment */                                                \
	X(midstream) /* client segment of a connection whose start was not seen */    \
	X(blocked) /* dropped by the gate */

/* X(name): the frame was received, but could not be counted where it belongs. */
#define FG_LOSSES(X)                                                   \
	X(frame_truncated) /* ends inside a header */                  \
	X(ip_malformed) /* header lengths contradict each other */     \
	X(tcp_malformed)                                               \
	X(vlan_too_deep)                                               \
	X(ext_too_deep) /* more IPv6 extension headers than we walk */ \
	X(fragment) /* later IP fragment: no ports */                  \
	X(flow_table_full)                                             \
	X(internal) /* a look-up that cannot fail, failed */

#define FG_NAME_ENUM(name) FG_FRAME_##name,
enum fg_outcome {
	FG_ACCOUNTED(FG_NAME_ENUM) _FG_ACCOUNTED_END,
	_FG_LOSSES_BEGIN = _FG_ACCOUNTED_END - 1,
	FG_LOSSES(FG_NAME_ENUM) _FG_OUTCOME_MAX,
};
#undef FG_NAME_ENUM

/* X(name): why a hello could not be completed. Printed as incomplete:NAME. */
#define FG_INCOMPLETE(X)                                     \
	X(gap) /* a segment never came, or too many ahead */ \
	X(timeout) /* no end within FG_HELLO_TIMEOUT_NS */   \
	X(closed) /* connection ended first */               \
	X(table_full) /* no row free in the streams table */ \
	X(busy) /* another CPU held the row */               \
	X(too_long) /* beyond FG_HELLO_MAX_BYTES */          \
	X(too_many) /* beyond a list cap */                  \
	X(malformed) /* lengths do not add up */             \
	X(no_proof) /* gave way to a proven connection's */  \
	X(snaplen) /* the capture cut the segment */         \
	X(end) /* the capture ended first */

#define FG_NAME_ENUM(name) FG_INCOMPLETE_##name,
enum fg_incomplete {
	FG_INCOMPLETE(FG_NAME_ENUM) _FG_INCOMPLETE_MAX
};
#undef FG_NAME_ENUM

/* X(name): things that happened beside the outcome of a frame. */
#define FG_EVENTS(X)                                                                        \
	X(syns) /* client SYNs, all */                                                      \
	X(syns_proven) /* of these, SYNs credited to a proven source */                     \
	X(connections) /* connections begun, proven or not */                               \
	X(proven) /* connections with a proof */                                            \
	X(proven_socket) /* ... by the socket table */                                      \
	X(proven_handshake) /* ... by the acknowledged ISN of the reply direction */        \
	X(hellos) /* complete hellos, first of their connection */                          \
	X(hellos_unproven) /* of these, on connections without proof */                     \
	X(not_tls) /* first payload is no TLS hello */                                      \
	X(socket_listener) /* proof: only a listener (SYN cookie) */                        \
	X(socket_none) /* proof: no socket here (container, router) */                      \
	X(socket_mismatch) /* proof: a socket, but other sequence numbers */                \
	X(dropped_source) /* SYNs and hellos dropped for a blocked source */                \
	X(dropped_prefix) /* ... for a blocked prefix */                                    \
	X(dropped_client) /* hellos dropped for a blocked client */                         \
	X(dropped_behind) /* segments dropped behind a hello that was, or a late block */   \
	X(late_block) /* segments that had passed on connections which a block ended */     \
	X(reset_sent) /* of the frames dropped, those answered with a RST */                \
	X(reset_failed) /* ... that no RST can be made of, or that could not be changed */  \
	X(reset_limited) /* ... beyond FG_RESETS a second: silence */                       \
	X(knock_replaced) /* a waiting SYN gave way to a newer one */                       \
	X(flow_replaced) /* an idle or unproven connection gave way */                      \
	X(source_table_full)                                                                \
	X(overflow) /* proven connections counted in the sketch, their source has no row */ \
	X(spilled) /* proven connections counted in the sketch, they have no row */         \
	X(client_table_full)                                                                \
	X(print_table_full)                                                                 \
	X(untaken_lost) /* rows replaced before the agent took their counts */              \
	X(samples) /* hello samples handed to the agent */                                  \
	X(sample_lost) /* sample ring full */                                               \
	X(stashed) /* segments of a hello kept until those in front come */                 \
	X(hellos_second) /* hellos after a HelloRetryRequest: not fingerprinted */          \
	X(record_lost) /* record boundary lost behind the hello: exchanges not counted */   \
	X(quic_initials) /* datagrams with an Initial of a client */                        \
	X(quic_lost) /* ... that the agent did not get: ring full, or too large */          \
	X(quic_unreadable) /* ... that no key opens: forged, or its beginning was missed */ \
	X(quic_unknown_version) /* long headers of versions that are not read */            \
	X(proxy_headers) /* connections of balancers, with their client's address */        \
	X(proxy_local) /* ... without: the balancer's own */                                \
	X(proxy_missing) /* ... with no header that can be read: counted for nobody */      \
	X(tunnelled) /* packets inside others, each level of them */                        \
	X(dtls_hellos) /* hellos of DTLS: counted, not read */                              \
	X(clock_back) /* capture time went back and was clamped */

#define FG_NAME_ENUM(name) FG_EVENT_##name,
enum fg_event {
	FG_EVENTS(FG_NAME_ENUM) _FG_EVENT_MAX
};
#undef FG_NAME_ENUM

/* One row a CPU and a slot; slots 0..FG_MAX_IFACES-1 are ingress interfaces, the next
 * FG_MAX_IFACES the same interfaces' egress. */
#define FG_TOTAL_SLOTS (2 * FG_MAX_IFACES)
struct fg_totals {
	__u64 frames[_FG_OUTCOME_MAX];
	__u64 bytes; /* wire length of all frames */
	__u64 incomplete[_FG_INCOMPLETE_MAX];
	__u64 events[_FG_EVENT_MAX];
};

/* --- Configuration (const volatile in the object, a struct on the host) ---------------------- */

enum fg_role {
	FG_ROLE_TERMINATE,
	FG_ROLE_TRANSIT,
	FG_ROLE_MIRROR,
	_FG_ROLE_MAX
};
enum fg_hook {
	FG_HOOK_INGRESS,
	FG_HOOK_EGRESS
};

struct fg_prefix {
	__u8 addr[16];
	__u8 bits; /* of 128; an IPv4 /24 is 120 */
	__u8 pad[7];
};

struct fg_config {
	__u64 seed[4]; /* secret; fingerprint keys, tags and sets are only comparable under one */
	__u64 ports[1024]; /* bitmap of protected ports, host order */
	struct fg_prefix prefixes[FG_MAX_PREFIXES];
	__u32 n_prefixes; /* 0 = any */
	struct fg_prefix peers[FG_MAX_PEERS]; /* whose tunnels are opened */
	__u32 n_peers; /* 0 = nobody's */
	struct fg_prefix balancers[FG_MAX_PEERS]; /* whose connections begin with a PROXY header */
	__u32 n_balancers;
	__u32 ifindex[FG_MAX_IFACES];
	__u32 n_ifaces;
	__u32 tick_ns; /* length of a jiffy */
	__u32 second_ticks; /* jiffies of a second */
	/* set counts minus one; sizes are powers of two */
	__u32 flow_mask, knock_mask, source_mask, client_mask, print_mask, stream_mask, stash_mask;
	__u8 role; /* enum fg_role */
	__u8 replay; /* time and tick come with the frame, nothing from the host */
	__u8 sample_all; /* a sample for each hello and each incomplete one, not only new keys */
	__u8 socket_proof; /* look connections up in the host's socket table */
	__u8 volume; /* count bytes and exchanges */
	__u8 reset; /* a blocked SYN or hello is answered with a RST, else with silence */
	__u8 proxy_skip; /* a PROXY header of anybody is jumped over, and changes nothing */
	__u8 pad[1];
};

/* --- Tables. A set is one array row: eight tags, then eight rows. ----------------------------- */

enum fg_proof {
	FG_PROOF_NONE,
	FG_PROOF_HANDSHAKE,
	FG_PROOF_SOCKET,
	_FG_PROOF_MAX
};

/* fg_flow.flags */
#define FG_FLOW_HELLO_SEEN  (1U << 0) /* the first hello is complete or given up */
#define FG_FLOW_NOT_TLS	    (1U << 1) /* first payload was no hello */
#define FG_FLOW_APP_SEEN    (1U << 2) /* an application-data record of the client was seen */
#define FG_FLOW_TURNING	    (1U << 3) /* the hello is complete, its answer awaits the client's */
#define FG_FLOW_CLOSED	    (1U << 4) /* client's FIN or RST in sequence */
#define FG_FLOW_KNOCKED	    (1U << 5) /* a SYN with another ISN, or an Initial, came on this 4-tuple */
#define FG_FLOW_DROPPED	    (1U << 6) /* a block: payload is dropped from now on */
#define FG_FLOW_NO_SYN	    (1U << 8) /* begun by a payload, the SYN was not kept */
#define FG_FLOW_RECORD_LOST (1U << 9) /* record boundaries unknown: no exchanges */
#define FG_FLOW_STASHED	    (1U << 10) /* segments of its hello wait in the stash */
#define FG_FLOW_QUIC	    (1U << 11) /* see quic.h for what the fields mean */
/* a balancer's, which has not said yet whose it is: nobody's */
#define FG_FLOW_PROXY_AWAITED (1U << 12)
/* client and port are those of a PROXY header; the row's tag has the balancer's */
#define FG_FLOW_PROXIED (1U << 13)

/*
 * A connection, client side first. Written by the programs, one CPU at a time in the usual case
 * (the NIC keeps a connection on one queue); the counters are atomic because the egress hook may
 * run elsewhere.
 */
struct fg_flow {
	__u8 client[16];
	__u8 server[16];
	union {
		struct {
			__u32 generation; /* grows whenever the row is claimed */
			__u16 flags;
			__u8 proof; /* enum fg_proof */
			/* bytes of a TLS record header carried over from the last segment; QUIC: bytes
			 * of the server's connection ID */
			__u8 record_have;
		};
		/* All of these in one store or exchange: what the agent sets in flags is set on the
		 * connection that it read, or not at all. */
		__u64 head;
	};
	__be16 client_port_be;
	__be16 server_port_be;
	__u32 touched; /* epoch of the last change */
	union {
		struct {
			__u32 client_isn;
			__u32 server_isn;
		};
		__u64 cid; /* QUIC: keyed hash of that ID */
	};
	__u32 client_next; /* next new client byte */
	__u32 server_next; /* next new server byte */
	__u32 record_seq; /* client sequence number of the next TLS record header */
	__u32 turn_bytes; /* client payload since the last server payload */
	__u32 exchanges;
	__u32 stream; /* row of the hello being read, plus one; 0 = none. QUIC: FG_QUIC_* */
	__u64 bytes_in;
	__u64 bytes_out;
	__u64 stack; /* struct-free packing, see stack.h; 0 = no SYN seen */
	__u64 stem; /* stem key; 0 until a hello is complete */
	__u32 chunks; /* steps of the server's progress since the last request */
	__u32 used; /* tick at which an unproven row was last found, low half */
	union {
		/* length bytes of a carried record header; with FG_FLOW_PROXY_AWAITED what is still
		 * to come of a PROXY header */
		__u16 record_len;
		/* behind FG_FLOW_APP_SEEN: server payload since the client's latest */
		__u16 answer_bytes;
	};
	__u8 syns; /* SYNs that led here, credited to the source with the proof */
	__u8 reply; /* FG_REPLY_*; the hook of the reply direction writes it */
	__u32 ticks; /* of the last activity of either side, low half; see turn.h */
};
_Static_assert(sizeof(struct fg_flow) == 128, "fg_flow: two cache lines, sets stay aligned");

/* fg_flow.reply */
#define FG_REPLY_SEEN	(1U << 0) /* server_next comes from the reply direction */
#define FG_REPLY_CLOCK	(1U << 1) /* fg_timing.reply_us is kept: round trips are measured */
#define FG_REPLY_ANSWER (1U << 2) /* ... and began after the hello */
#define FG_REPLY_RESENT (1U << 3) /* server payload came twice before the hello was answered */

/* Who ended a connection. */
enum fg_close {
	FG_CLOSE_NOT,
	FG_CLOSE_CLIENT_FIN,
	FG_CLOSE_CLIENT_RST,
	FG_CLOSE_SERVER_FIN,
	FG_CLOSE_SERVER_RST,
	_FG_CLOSE_MAX
};

/* fg_timing.flags */
#define FG_TIMING_EGRESS       (1U << 0) /* the turn-around's clock began at the reply */
#define FG_TIMING_SECOND_HELLO (1U << 1)
#define FG_TIMING_RESENT       (1U << 2) /* a segment of the handshake came twice */
#define FG_TIMING_TSVAL	       (1U << 3) /* tsval is valid */

/* Exchanges of one connection remembered for the agent. */
#define FG_TIMING_TURNS 2

/* One exchange that ended. */
struct fg_turn {
	__u32 start; /* tick of the request, low half */
	__u32 lasted_ms;
	__u16 shape; /* turn.h */
	__u16 chunks;
};

/*
 * When things happened on one connection: lies at the same place in its table as the fg_flow, which
 * it belongs to by the generation. Apart from it because most segments need none of it. Times in
 * _us are the low half of the fine clock in microseconds, times without a unit ticks; a difference
 * is right up to 71 minutes.
 */
struct fg_timing {
	__u32 generation;
	__u8 flags; /* FG_TIMING_* */
	__u8 n_rtts;
	__u8 closed_by; /* enum fg_close */
	__u8 ttl; /* of the SYN */
	__u64 print; /* fingerprint key of the hello */
	__u32 order; /* low half of its extension order's fold */
	__u16 hello_flags;
	__u16 pad;
	__u32 opened; /* tick of the first segment behind the handshake */
	__u32 syn; /* tick of the SYN */
	__u32 tsval; /* its timestamp */
	__u32 clock_us; /* start of what is being measured at ingress */
	__u32 rtt_us, rtt_max_us; /* smallest and largest sample */
	__u32 hello_delay_us;
	__u32 turn_us;
	__u32 reply_us; /* the reply direction's: when the reply in hand went out */
	__u32 reply_end; /* its last byte's sequence number, plus one */
	__u32 reply_taken; /* reply_end of the last sample, written at ingress */
	__u32 closed, idle; /* tick of the end; ticks of silence before it */
	/* the exchange in hand: ticks of request and first answer, bytes_in and bytes_out before it */
	__u32 turn_start, turn_first, turn_in, turn_out;
	__u32 active; /* tick of the last activity before the client's first payload since */
	__u32 pad2[2];
	struct fg_turn
		turns[FG_TIMING_TURNS]; /* exchange n of the connection at n % FG_TIMING_TURNS */
};
_Static_assert(sizeof(struct fg_timing) == 128, "fg_timing: two cache lines");

/* A SYN that waits for its handshake. Its tag is its identity: a collision (2^-64 for a pair)
 * only delays one connection's counts, since the ISN must match too. */
struct fg_knock {
	__u64 stack;
	__u32 client_isn;
	__u32 server_isn;
	__u32 ticks; /* low half of the tick counter at the last SYN */
	__u8 syns; /* stops at 255 */
	__u8 replied; /* SYN-ACKs; server_isn is valid where it is not 0; stops at 255 */
	__u16 syn_bytes; /* payload of the SYN that waits in the stash (TCP Fast Open) */
	__u32 clock_us; /* when the SYN-ACK went out, or the SYN came in; 0 = not known */
	__u32 tsval;
	__u8 has_tsval;
	__u8 ttl;
	__u8 egress; /* clock_us is the SYN-ACK's */
	__u8 spilled; /* its connection found no row and is in the sketch */
	__u8 pad[4];
};
_Static_assert(sizeof(struct fg_knock) == 40, "fg_knock");

/* The same row, of a QUIC connection whose client has only sent Initials. */
struct fg_quic_knock {
	__u64 stem; /* valid with FG_QUIC_HELLO_KNOWN, as print, hello_flags and order */
	__u64 cid; /* keyed hash of the connection ID that the server chose */
	__u32 ticks; /* as in fg_knock */
	__u8 handed; /* datagrams that the agent got */
	__u8 cid_len; /* 0 = the server's packet was not seen */
	__u16 hello_flags;
	__u64 print;
	__u8 state; /* FG_QUIC_* */
	__u8 pad[3];
	__u32 order;
};
_Static_assert(sizeof(struct fg_quic_knock) == sizeof(struct fg_knock) &&
		       __builtin_offsetof(struct fg_quic_knock, ticks) ==
			       __builtin_offsetof(struct fg_knock, ticks),
	       "fg_quic_knock: rows of one table, which go by their ticks");

/* Counters of one proven source. bytes and exchanges are not here: the agent adds them from the
 * connections, so that data segments touch one row only. */
struct fg_source {
	__u8 addr[16];
	__u32 generation;
	__u32 touched;
	__u64 syns;
	__u64 connections;
	__u64 proven;
	__u64 hellos;
	__u64 incomplete;
	__u64 fins;
	__u64 rsts;
};
_Static_assert(sizeof(struct fg_source) == 80, "fg_source");

/*
 * Proven connections of sources without a row, while their set has no room: a count-min sketch
 * (Cormode and Muthukrishnan, J. Algorithms 55, 2005, theorem 1). Counter i of a source lies in the
 * column that 16 bits of its keyed hash pick; the smallest of the four is never too low, and too
 * high by more than e/65536 of all that was counted once in e^4 = 55 sources.
 */
#define FG_OVERFLOW_COLUMNS 65536
#define FG_OVERFLOW_ROWS    4
struct fg_overflow {
	__u32 n[FG_OVERFLOW_ROWS];
};

/* Counters of one client: (source, stem, stack). Made by its first proven hello. */
struct fg_client {
	__u8 addr[16];
	__u64 stem;
	__u64 stack;
	__u32 generation;
	__u32 touched;
	__u64 print; /* fingerprint key of the latest hello */
	__u64 connections;
	__u64 proof_socket; /* of these, proven by the socket table; the rest by the handshake */
	__u64 resumed;
};
_Static_assert(sizeof(struct fg_client) == 72, "fg_client");

/* Counters of one fingerprint. */
struct fg_print {
	__u64 print;
	__u64 stem;
	__u32 generation;
	__u32 touched;
	__u64 hellos; /* proven connections' first hellos */
	__u32 known; /* written by the agent: it has the text, no sample needed */
	__u32 asked; /* tick of the last sample, low half */
};
_Static_assert(sizeof(struct fg_print) == 40, "fg_print");

#define FG_SET(row_type)                      \
	{                                     \
		__u64 tag[FG_WAYS];           \
		struct row_type row[FG_WAYS]; \
	}
struct fg_flow_set FG_SET(fg_flow);
struct fg_knock_set FG_SET(fg_knock);
struct fg_source_set FG_SET(fg_source);
struct fg_client_set FG_SET(fg_client);
struct fg_print_set FG_SET(fg_print);

/* fg_hello.flags */
#define FG_HELLO_SNI	  (1U << 0) /* extension 0x0000 is there */
#define FG_HELLO_RESUMED  (1U << 1) /* pre_shared_key */
#define FG_HELLO_EARLY	  (1U << 2) /* early_data */
#define FG_HELLO_ECH	  (1U << 3) /* encrypted_client_hello */
#define FG_HELLO_PQ	  (1U << 4) /* a key share of a post-quantum hybrid group */
#define FG_HELLO_GREASE	  (1U << 5) /* any GREASE value */
#define FG_HELLO_VERSIONS (1U << 6) /* supported_versions is there */
#define FG_HELLO_ALPN	  (1U << 7) /* ALPN with a first name */
#define FG_HELLO_TICKET	  (1U << 8) /* session_ticket with content */

/*
 * A hello being read: parser state first, then what was gathered. The first part is what a resume
 * needs hot; lists hold host-order values in wire order, GREASE left out.
 */
struct fg_hello {
	/* parser (hello.h) */
	__u64 carry; /* bytes of a token cut by a segment or record end */
	__u64 rec_carry;
	__u32 left; /* bytes of the handshake message still to come */
	__u32 scope; /* value of left where the current extension ends */
	__u32 list; /* value of left where the list inside it ends */
	__u32 skip; /* bytes to jump over */
	__u32 rec_left; /* bytes of the TLS record still to come */
	__u32 total; /* bytes fed so far, without those jumped over */
	__u32 pos, end; /* of the segment being read */
	__u8 state, need, have, rec_have;
	__u8 result; /* enum fg_hello_result */
	__u8 reason; /* enum fg_incomplete, where the result is FG_HELLO_FAILED */
	__u8 pad0[2];
	/* folds (fingerprint.h) */
	__u64 ciphers_fold; /* sum over the multiset */
	__u64 exts_fold; /* same, without SNI and ALPN */
	__u64 stem_fold; /* same, without the extensions that come and go */
	__u64 sigalgs_fold; /* in order */
	__u64 order_fold; /* extension types in wire order */
	__u64 print; /* results */
	__u64 stem;
	/* gathered */
	__u16 legacy_version;
	__u16 version; /* highest of supported_versions, 0 = none known */
	__u16 flags;
	__u16 n_ciphers, n_exts, n_sigalgs; /* GREASE left out, never capped at 99 */
	__u16 n_stem_exts;
	__u8 alpn_first, alpn_last; /* first and last byte of the first ALPN name */
	__u8 alpn_len;
	__u8 sni_len;
	__u8 pad1[2];
	char sni[FG_MAX_SNI + 8]; /* not terminated */
	__u16 exts[FG_MAX_EXTS];
	__u16 sigalgs[FG_MAX_SIGALGS];
	__u16 ciphers[FG_MAX_CIPHERS];
};

/* A hello whose end has not come yet, kept apart from the flow rows because it is large and
 * short-lived. */
struct fg_stream {
	__u64 tag; /* FREE, BUSY while a CPU works on it, else the flow's tag */
	__u8 client[16];
	__u8 server[16];
	__be16 client_port_be;
	__be16 server_port_be;
	__u32 ticks; /* of the first segment, low half */
	__u8 proof;
	__u8 gap; /* waits for a missing segment */
	__u8 pad[6];
	struct fg_hello hello;
};

/* A segment of a hello that came before the one in front of it. Rows of one connection lie in the
 * FG_WAYS neighbours that its hash picks. */
struct fg_stash {
	__u64 tag; /* FREE, BUSY while a CPU works on it, else the flow's tag */
	__u32 ticks; /* when it came, low half */
	__u32 seq; /* of its first byte */
	__u16 len;
	__u8 proof;
	__u8 pad[5];
	__u8 bytes[FG_STASH_BYTES + 64]; /* stash_copy() reads whole pieces */
};

/* What the agent is told once for a new fingerprint key, or for each hello with sample_all. */
struct fg_sample {
	__u64 time_ns;
	__u8 client[16];
	__u8 server[16];
	__be16 client_port_be;
	__be16 server_port_be;
	__u8 proto; /* 't' */
	__u8 status; /* 0 = complete, else 1 + enum fg_incomplete */
	__u8 proof;
	__u8 pad;
	__u64 stack;
	struct fg_hello hello;
};

/* Largest datagram handed to the agent: a path of 1,500 bytes, and of jumbo frames those that are not
 * used for it (RFC 9000 section 14: Initials are sent before any larger size was probed). */
#define FG_DATAGRAM_BYTES 2048

/* A client's datagram that begins with an Initial. */
struct fg_datagram {
	__u64 time_ns;
	__u8 client[16];
	__u8 server[16];
	__be16 client_port_be;
	__be16 server_port_be;
	__u32 len;
	__u8 bytes[FG_DATAGRAM_BYTES];
};

/* --- Blocks (the gate) ------------------------------------------------------------------------ */

/* RSTs sent a second and CPU. Enough for a farm that comes back all at once; beyond it, silence: what
 * asks for more is a flood, and its addresses may be somebody else's. */
#define FG_RESETS 1000
/* Entries of each drop map: the reference campaign's 25,000 accounts five times over, in 15 MB. */
#define FG_DROP_ENTRIES 131072
/* Prefix lengths in use at once, of each family. Each costs a SYN one look-up, so eight are 0.4 us
 * in the worst case, and a flood is still turned away at 2 M a second and core; lists of networks
 * use three or four. */
#define FG_PREFIX_LENGTHS 8
/* Lengths that a prefix block may have, of 128: IPv4 /8 to /31, IPv6 /16 to /63. A registry gives
 * out nothing wider, and what is narrower is a source. */
#define FG_PREFIX4_MIN 104
#define FG_PREFIX4_MAX 127
#define FG_PREFIX6_MIN 16
#define FG_PREFIX6_MAX 63

struct fg_block_source {
	__u8 addr[16]; /* IPv4 /32 v4-mapped, or the /64 with the host half zero */
};
struct fg_block_prefix {
	__u8 addr[16]; /* host bits zero */
	__u32 bits; /* of 128 */
	__u32 pad;
};
struct fg_block_client {
	__u8 addr[16];
	__u64 stem;
	__u64 stack; /* 0 = any stack */
};

/* fg_block.flags */
#define FG_BLOCK_ESTABLISHED (1U << 0) /* connections established before it were ended, too */

struct fg_block {
	__u64 until_ticks; /* in ticks of the kernel's own counter: it expires without the agent */
	__u64 hits; /* SYNs and hellos stopped; a forged SYN is one, so no verdict rests on it */
	__u64 last_ticks;
	__u32 flags; /* FG_BLOCK_* */
	__u32 pad;
};

/* fg_meta, one row: the handshake between programs and agent. mmapable. */
struct fg_meta {
	__u32 abi_version;
	__u32 epoch; /* agent: current epoch, from 2 on */
	__u64 heartbeat_ticks; /* agent: last sign of life; 0 = never */
	__u32 source_blocks; /* agent: rows in fg_drop_sources; 0 lets the gate skip the look-up */
	__u32 client_blocks;
	/* agent: prefix lengths (of 128) in fg_drop_prefix of each family, one a byte from the
	 * lowest on, 0 behind the last: one load gives a whole list, and cost goes by its length */
	__u64 lengths4, lengths6;
	__u64 tick_ns;
	__u64 seed[4];
};
_Static_assert(FG_PREFIX_LENGTHS == sizeof(__u64), "fg_meta.lengths4: a byte for each");

/* Ticks without a heartbeat after which untaken rows may be replaced (DESIGN 3.1(6)). */
#define FG_HEARTBEAT_LOST_NS 60000000000ULL

/* In front of each frame of --engine kernel, as XDP metadata. */
struct fg_replay_meta {
	__u64 time_ns;
	__u32 ticks_lo, ticks_hi;
	__u32 frame_len; /* of the frame as if not cut by the capture */
	__u32 wire_len; /* what counts as received */
};
