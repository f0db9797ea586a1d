/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* farmgate ja4: one TSV line for the first hello of each connection, on any port. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/hello_line.h"
#include "agent/replay.h"
#include "cmd/cmd.h"
#include "cmd/engine.h"
#include "lib/jsonw.h"
#include "lib/log.h"

#define TABLE_BYTES (32ULL << 20)

struct printer {
	bool raw;
	struct fg_jsonw *json; /* NULL = TSV */
};

static void print_json(struct fg_jsonw *w, const struct fg_hello_line *l, bool raw)
{
	fg_jsonw_object(w);
	fg_jsonw_key_string(w, "proto", l->proto);
	fg_jsonw_key_string(w, "src", l->source);
	fg_jsonw_key_u64(w, "sport", l->sport);
	fg_jsonw_key_string(w, "dst", l->server);
	fg_jsonw_key_u64(w, "dport", l->dport);
	fg_jsonw_key_string(w, "sni", l->sni);
	fg_jsonw_key_string(w, "ja4", l->ja4);
	fg_jsonw_key_string(w, "stem", l->stem);
	fg_jsonw_key_string(w, "status", l->status);
	if (raw)
		fg_jsonw_key_string(w, "ja4_r", l->raw);
	fg_jsonw_object_end(w);
}

static void on_hello(void *arg, const struct fg_sample *s)
{
	struct printer *p = arg;
	struct fg_hello_line l;

	if (fg_hello_line_of(s, p->raw, &l))
		return;
	if (p->json) {
		print_json(p->json, &l, p->raw);
		return;
	}
	printf("%s\t%s\t%u\t%s\t%u\t%s\t%s\t%s\t%s", l.proto, l.source, l.sport, l.server, l.dport,
	       l.sni, l.ja4, l.stem, l.status);
	if (p->raw)
		printf("\t%s", l.raw);
	putchar('\n');
}

static int run(const struct fg_options *o, const struct fg_conf *conf, const char *path)
{
	struct printer printer = { .raw = o->raw };
	struct fg_replay_conf rc = {
		.path = path,
		.table_bytes = TABLE_BYTES,
		.any_port = true,
		.on_hello = on_hello,
		.arg = &printer,
	};
	struct fg_jsonw json;
	struct fg_core core;
	char why[512] = "";
	int r = fg_cmd_engine(o->engine, &rc.engine);

	if (r)
		return r;
	if (fg_core_open(&core, conf, NULL, 0, why, sizeof(why))) {
		fg_complain("ja4", "%s", why);
		return FG_EXIT_ERROR;
	}
	if (o->format == FG_FORMAT_JSON) {
		printer.json = &json;
		fg_jsonw_init(&json, stdout);
		fg_jsonw_object(&json);
		fg_jsonw_key(&json, "hellos");
		fg_jsonw_array(&json);
	} else {
		printf("#proto\tsrc\tsport\tdst\tdport\tsni\tja4\tstem\tstatus%s\n",
		       o->raw ? "\tja4_r" : "");
	}
	r = fg_replay(&core, &rc, why, sizeof(why));
	if (r)
		fg_complain(path, "%s", why[0] ? why : strerror(-r));
	if (printer.json) {
		fg_jsonw_array_end(&json);
		fg_jsonw_object_end(&json);
		fg_jsonw_finish(&json);
	}
	fg_core_close(&core);
	if (fflush(stdout) || ferror(stdout)) {
		fg_complain("stdout", "cannot be written: %s", strerror(errno));
		r = -EIO;
	}
	return r ? FG_EXIT_ERROR : FG_EXIT_OK;
}

int fg_cmd_ja4(struct fg_options *o, int argc, char **argv)
{
	struct fg_conf conf;
	int r = fg_options_conf(o, &conf);

	(void)argc;
	if (!r)
		r = run(o, &conf, argv[0]);
	fg_conf_done(&conf);
	return r;
}
