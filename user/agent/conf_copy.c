/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a configuration owns: freed and copied by one table of its texts and of its lists. */
#include "agent/conf_raw.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(struct fg_conf, member)

static const size_t texts[] = {
	AT(pins),
	AT(socket_path),
	AT(state_dir),
	AT(asn_file),
	AT(feed_socket),
	AT(feed_group),
	AT(listen_address),
	AT(listen_keys),
	AT(targets.haproxy_socket),
	AT(targets.haproxy_map),
	AT(targets.nginx_file),
	AT(targets.hook_url),
	AT(targets.hook_key_file),
	AT(crowdsec_url),
	AT(crowdsec_machine),
	AT(crowdsec_password_file),
	AT(crowdsec_ca_file),
};
static const struct {
	size_t texts, n;
} lists[] = {
	{ AT(interfaces), AT(n_interfaces) },
	{ AT(allow), AT(n_allow) },
	{ AT(allow_files), AT(n_allow_files) },
	{ AT(targets.nginx_test.argv), AT(targets.nginx_test.n) },
	{ AT(targets.nginx_reload.argv), AT(targets.nginx_reload.n) },
	{ AT(targets.hook_command.argv), AT(targets.hook_command.n) },
};

/* The place in this configuration: of a text, of a list's first text, of a list's length. */
static char **text_of(const struct fg_conf *conf, size_t at)
{
	return (char **)((uintptr_t)conf + at);
}

static size_t *length_of(const struct fg_conf *conf, size_t at)
{
	return (size_t *)((uintptr_t)conf + at);
}

static void free_list(char **list, size_t *n)
{
	while (*n)
		free(list[--*n]);
}

void fg_conf_done(struct fg_conf *conf)
{
	for (size_t i = 0; i < COUNT(texts); i++)
		free(*text_of(conf, texts[i]));
	for (size_t i = 0; i < COUNT(lists); i++)
		free_list(text_of(conf, lists[i].texts), length_of(conf, lists[i].n));
	*conf = (struct fg_conf){ 0 };
}

int fg_conf_copy_text(char **to, const char *from)
{
	char *copy = from ? strdup(from) : NULL;

	if (from && !copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

int fg_conf_copy_texts(char **to, size_t *n_to, char *const *from, size_t n)
{
	size_t i;

	free_list(to, n_to);
	for (i = 0; i < n; i++) {
		to[i] = NULL;
		if (fg_conf_copy_text(&to[i], from[i]) < 0)
			return -ENOMEM;
		*n_to = i + 1;
	}
	return 0;
}

int fg_conf_copy(struct fg_conf *next, const struct fg_conf *conf)
{
	int r = 0;

	*next = *conf;
	/* First nothing of the other's, so that a failure leaves only what is next's own. */
	for (size_t i = 0; i < COUNT(texts); i++)
		*text_of(next, texts[i]) = NULL;
	for (size_t i = 0; i < COUNT(lists); i++)
		*length_of(next, lists[i].n) = 0;
	for (size_t i = 0; !r && i < COUNT(texts); i++)
		r = fg_conf_copy_text(text_of(next, texts[i]), *text_of(conf, texts[i]));
	for (size_t i = 0; !r && i < COUNT(lists); i++)
		r = fg_conf_copy_texts(text_of(next, lists[i].texts), length_of(next, lists[i].n),
				       text_of(conf, lists[i].texts), *length_of(conf, lists[i].n));
	return r;
}
