/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/hello_line.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "model/ja4.h"

#define FG_NAME_TEXT(name) #name,
static const char *const reasons[] = { FG_INCOMPLETE(FG_NAME_TEXT) };
#undef FG_NAME_TEXT

/* Whatever stands in a hello, a line stays a line and a field a field. */
static void copy_sni(const struct fg_hello *h, char *to)
{
	size_t n = h->sni_len;

	for (size_t i = 0; i < n; i++)
		to[i] = h->sni[i] > ' ' && h->sni[i] < 127 ? h->sni[i] : '?';
	to[n] = '\0';
	if (!n)
		strcpy(to, "-");
}

int fg_hello_line_of(const struct fg_sample *s, bool raw, struct fg_hello_line *l)
{
	struct fg_ja4 text;

	if (s->status > _FG_INCOMPLETE_MAX)
		return -EINVAL;
	l->proto = s->proto == 'q' ? "quic" : "tcp";
	fg_ip_prefix(s->client, 128, l->source);
	fg_ip_prefix(s->server, 128, l->server);
	l->sport = ntohs(s->client_port_be);
	l->dport = ntohs(s->server_port_be);
	copy_sni(&s->hello, l->sni);
	strcpy(l->ja4, "-");
	strcpy(l->stem, "-");
	strcpy(l->raw, "-");
	if (s->status) {
		snprintf(l->status, sizeof(l->status), "incomplete:%s", reasons[s->status - 1]);
		return 0;
	}
	strcpy(l->status, "complete");
	if (fg_ja4_text(&s->hello, (char)s->proto, &text))
		return -EINVAL;
	strcpy(l->ja4, text.ja4);
	strcpy(l->stem, text.stem);
	if (raw)
		fg_ja4_raw(&s->hello, (char)s->proto, l->raw, sizeof(l->raw));
	return 0;
}
