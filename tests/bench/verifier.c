/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the kernel's verifier spends on each program of an object. usage: verifier OBJECT */
#include <bpf/libbpf.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "farmgate/abi.h"

static char words[1 << 16];

/* As in a real load: what the agent sets decides which branches are there at all. all: whatever can be
 * configured is. */
static void configure(struct bpf_object *object, bool all)
{
	struct fg_config *c;
	struct bpf_map *map;
	size_t size;

	bpf_object__for_each_map(map, object) {
		if (!strstr(bpf_map__name(map), "rodata"))
			continue;
		c = (struct fg_config *)bpf_map__initial_value(map, &size);
		if (!c || size < sizeof(*c))
			continue;
		c->socket_proof = 1;
		c->volume = 1;
		c->reset = 1;
		c->n_ifaces = 1;
		c->tick_ns = 4000000;
		c->ports[443 >> 6] = 1ULL << (443 & 63);
		c->n_peers = c->n_balancers = c->n_prefixes = all ? FG_MAX_PEERS : 0;
	}
}

static int one(const char *path, const char *name, bool all)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_program *program;
	const char *at, *stack;
	int r;

	if (!object)
		return 1;
	bpf_object__for_each_program(program, object) {
		bool this = !strcmp(bpf_program__name(program), name);

		bpf_program__set_autoload(program, this);
		if (this) {
			bpf_program__set_log_buf(program, words, sizeof(words));
			bpf_program__set_log_level(program, 4); /* statistics only */
		}
	}
	configure(object, all);
	r = bpf_object__load(object);
	at = strstr(words, "processed");
	stack = strstr(words, "stack depth");
	printf("%-12s %-9s %s %.*s%.*s\n", name, all ? "all on" : "default", r ? "REFUSED" : "ok",
	       at ? (int)strcspn(at, "(") : 0, at ? at : "", stack ? (int)strcspn(stack, "\n") : 0,
	       stack ? stack : "");
	bpf_object__close(object);
	return r != 0;
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "fg_xdp", "fg_xdp_loop", "fg_tc", "fg_tc_loop",
					     "fg_egress" };
	int failed = 0;

	for (int i = 1; i < argc; i++)
		for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++)
			failed |= one(argv[i], names[k], false) | one(argv[i], names[k], true);
	return failed;
}
