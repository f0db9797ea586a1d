/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Programs by their hellos, in the shape of those that are on the net, and systems by their SYNs. */
#include <string.h>

#include "campaign/population.h"

#define API  "api.example.com"
#define CHAT "chat.example.com"

static void drop_cipher(struct fg_hello_desc *d, size_t at)
{
	memmove(&d->ciphers[at], &d->ciphers[at + 1], (d->n_ciphers - at - 1) * sizeof(uint16_t));
	d->n_ciphers--;
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
		[CG_CHROME] = { "chrome", 4000 },  [CG_CHROME_NEXT] = { "chrome-next", 4000 },
		[CG_SAFARI] = { "safari", 5000 },  [CG_FIREFOX] = { "firefox", 4500 },
		[CG_NODE] = { "node", 7000 },	   [CG_NODE_NEXT] = { "node-next", 7000 },
		[CG_PYTHON] = { "python", 3000 },  [CG_GO] = { "go", 1000 },
		[CG_RUST] = { "rust", 800 },	   [CG_JAVA] = { "java", 6000 },
		[CG_OKHTTP] = { "okhttp", 12000 }, [CG_CURL] = { "curl", 1500 },
		[CG_GATEWAY] = { "gateway", 900 },
	};

	for (size_t i = 0; i < CG_PROGRAMS; i++) {
		if (i < CG_RANDOM) {
			hellos[i].name = programs[i].name;
			hellos[i].crypto_us = programs[i].crypto_us;
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
