/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Programs by their hellos, in the shape of those that are on the net, and systems by their SYNs. */
#include <string.h>

#include "campaign/population.h"

#define API	 "api.example.com"
#define CHAT	 "chat.example.com"

#define EXT_QUIC 0x0039 /* quic_transport_parameters */

static void drop_cipher(struct fg_hello_desc *d, size_t at)
{
	memmove(&d->ciphers[at], &d->ciphers[at + 1], (d->n_ciphers - at - 1) * sizeof(uint16_t));
	d->n_ciphers--;
}

static void drop_ext(struct fg_hello_desc *d, uint16_t type)
{
	size_t kept = 0;

	for (size_t i = 0; i < d->n_exts; i++)
		if (d->exts[i] != type)
			d->exts[kept++] = d->exts[i];
	d->n_exts = kept;
}

/* The same program over QUIC (RFC 9001 section 8): TLS 1.3 and nothing that only older versions need,
 * HTTP/3, its own extension; browsers send no GREASE there. */
static void over_quic(struct fg_hello_desc *d)
{
	static const uint16_t older[] = { 0x0005, 0x000b, 0x0012, 0x0017, 0x0022, 0x0023, 0xff01 };
	size_t kept = 0;

	for (size_t i = 0; i < d->n_ciphers; i++)
		if (d->ciphers[i] >> 8 == 0x13)
			d->ciphers[kept++] = d->ciphers[i];
	d->n_ciphers = kept;
	for (size_t i = 0; i < sizeof(older) / sizeof(older[0]); i++)
		drop_ext(d, older[i]);
	for (size_t i = d->n_exts; i-- > 0;)
		if (fg_hello_is_grease(d->exts[i]))
			drop_ext(d, d->exts[i]);
	fg_hello_add_ext(d, EXT_QUIC);
	d->versions[0] = 0x0304;
	d->n_versions = 1;
	d->alpn[0] = "h3";
	d->n_alpn = 1;
	d->session_id_len = 0;
}

/* The libraries of the harness, told apart by small differences as real ones are. */
static void describe(enum cg_program program, struct fg_hello_desc *d)
{
	switch (program) {
	case CG_CHROME:
		fg_hello_browser(d, CHAT);
		return;
	case CG_CHROME_NEXT:
		fg_hello_browser(d, CHAT);
		fg_hello_add_ext(d, 0x44cd);
		return;
	case CG_SAFARI:
		fg_hello_browser_plain(d, CHAT);
		drop_cipher(d, d->n_ciphers - 1);
		return;
	case CG_FIREFOX:
		fg_hello_browser_plain(d, CHAT);
		return;
	case CG_NODE:
		fg_hello_tool(d, API);
		return;
	case CG_NODE_NEXT:
		fg_hello_tool(d, API);
		drop_cipher(d, d->n_ciphers - 1);
		return;
	case CG_PYTHON:
		fg_hello_tool(d, API);
		drop_cipher(d, 5);
		drop_cipher(d, 7);
		return;
	case CG_GO:
		fg_hello_library(d, API);
		return;
	case CG_RUST:
		fg_hello_library(d, API);
		d->n_ciphers = 9;
		return;
	case CG_JAVA:
		fg_hello_library(d, API);
		d->n_sigalgs -= 3;
		return;
	case CG_OKHTTP:
		fg_hello_library(d, API);
		drop_cipher(d, 6);
		return;
	case CG_CURL:
		fg_hello_tool(d, API);
		d->n_groups--;
		d->n_sigalgs -= 2;
		return;
	case CG_CHROME_H3:
	case CG_CHROME_NEXT_H3:
	case CG_SAFARI_H3:
	case CG_FIREFOX_H3:
		describe(program - CG_CHROME_H3 + CG_CHROME, d);
		over_quic(d);
		return;
	default:
		fg_hello_library(d, API);
		d->n_ciphers -= 3;
		d->n_sigalgs -= 4;
	}
}

/* Of one library's lists a random part in a random order, as programs do that rotate fingerprints. */
static void randomize(struct fg_hello_desc *d, struct fg_prng *r)
{
	size_t drop = 1 + fg_prng_below(r, 9);

	fg_hello_tool(d, API);
	for (size_t i = 0; i < drop; i++)
		drop_cipher(d, 3 + fg_prng_below(r, (uint32_t)d->n_ciphers - 4));
	d->n_sigalgs -= fg_prng_below(r, 6);
}

void cg_programs_make(struct cg_hello hellos[CG_PROGRAMS], struct fg_prng *r)
{
	static const struct {
		const char *name;
		uint32_t crypto_us;
	} programs[CG_RANDOM] = {
		[CG_CHROME] = { "chrome", 4000 },
		[CG_CHROME_NEXT] = { "chrome-next", 4000 },
		[CG_SAFARI] = { "safari", 5000 },
		[CG_FIREFOX] = { "firefox", 4500 },
		[CG_NODE] = { "node", 7000 },
		[CG_NODE_NEXT] = { "node-next", 7000 },
		[CG_PYTHON] = { "python", 3000 },
		[CG_GO] = { "go", 1000 },
		[CG_RUST] = { "rust", 800 },
		[CG_JAVA] = { "java", 6000 },
		[CG_OKHTTP] = { "okhttp", 12000 },
		[CG_CURL] = { "curl", 1500 },
		[CG_GATEWAY] = { "gateway", 900 },
		[CG_CHROME_H3] = { "chrome-h3", 4000 },
		[CG_CHROME_NEXT_H3] = { "chrome-next-h3", 4000 },
		[CG_SAFARI_H3] = { "safari-h3", 5000 },
		[CG_FIREFOX_H3] = { "firefox-h3", 4500 },
	};

	for (size_t i = 0; i < CG_PROGRAMS; i++) {
		if (i < CG_RANDOM) {
			hellos[i].name = programs[i].name;
			hellos[i].crypto_us = programs[i].crypto_us;
			hellos[i].quic = i >= CG_CHROME_H3;
			describe((enum cg_program)i, &hellos[i].desc);
		} else {
			hellos[i].name = "random";
			hellos[i].crypto_us = 1200;
			randomize(&hellos[i].desc, r);
		}
	}
}

/* --- Systems ---------------------------------------------------------------------------------- */

/* Option layouts as user/model/family.c documents them. */
static const uint8_t linux_options[] = { 2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0,
					 0, 0, 0, 0,	0, 0, 1, 3,  3, 7 };
static const uint8_t apple_options[] = { 2, 4, 5, 0xb4, 1, 3, 3, 6, 1, 1, 8, 10,
					 0, 0, 0, 0,	0, 0, 0, 0, 4, 2, 0, 0 };
static const uint8_t windows_options[] = { 2, 4, 5, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2 };
static const uint8_t other_options[] = { 2, 4, 5, 0xb4 };

static void make(struct cg_stack *s, const char *name, uint8_t ttl, uint16_t window, uint16_t mss,
		 const uint8_t *options, size_t n, size_t ts_off)
{
	*s = (struct cg_stack){ .name = name,
				.initial_ttl = ttl,
				.window = window,
				.mss = mss,
				.n_options = n,
				.ts_off = ts_off };
	memcpy(s->options, options, n);
	s->options[2] = (uint8_t)(mss >> 8);
	s->options[3] = (uint8_t)mss;
}

#define MAKE(system, ttl, window, mss, options, ts) \
	make(&s[system], #system + 3, ttl, window, mss, options, sizeof(options), ts)

void cg_systems_make(struct cg_stack s[CG_SYSTEMS])
{
	MAKE(CG_LINUX, 64, 64240, 1460, linux_options, 8);
	MAKE(CG_LINUX_TUNNEL, 64, 64400, 1400, linux_options, 8);
	MAKE(CG_ANDROID, 64, 65535, 1460, linux_options, 8);
	MAKE(CG_ANDROID_TUNNEL, 64, 65535, 1400, linux_options, 8);
	MAKE(CG_APPLE, 64, 65535, 1460, apple_options, 12);
	MAKE(CG_APPLE_TUNNEL, 64, 65535, 1380, apple_options, 12);
	MAKE(CG_WINDOWS, 128, 64240, 1460, windows_options, 0);
	MAKE(CG_WINDOWS_PPPOE, 128, 64240, 1452, windows_options, 0);
	MAKE(CG_OTHER_SYSTEM, 255, 32768, 1460, other_options, 0);
}
