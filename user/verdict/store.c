/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SQLite is the truth, the arrays are its copy: every change is written first and shown after. A
 * failed batch is rolled back and the copy read again. synchronous=FULL: a verdict that reaches a
 * firewall must survive a power cut, and decisions are few.
 */
#include "verdict/store.h"

#include <errno.h>
#include <jansson.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/ip.h"

#define SCHEMA_VERSION 1
#define NS 1000000000ULL
#define STATIC_REASON "configuration"
/* Entries of one allowlist; a longer one belongs into a firewall. */
#define MAX_ALLOW 100000
#define NONE UINT32_MAX
#define INDEX_SIZE (1U << 17)

struct suppressed {
	uint8_t addr[16];
	uint8_t bits;
	uint64_t until_ns;
};

struct fg_store {
	sqlite3 *db;
	struct fg_verdict *verdicts;
	uint32_t *next; /* chains of verdicts on one address */
	size_t n, cap;
	uint32_t *heads; /* by hash of the address */
	struct fg_allow *allows;
	size_t n_allows, cap_allows;
	struct suppressed *suppressed;
	size_t n_suppressed, cap_suppressed;
	uint64_t revision;
	uint64_t now_ns; /* of the last call, for a reload */
	bool batch;
};

static const char schema[] =
	"PRAGMA user_version=1;"
	"CREATE TABLE verdicts(id INTEGER PRIMARY KEY AUTOINCREMENT, addr BLOB, bits INT, stem INT,"
	" stack INT, origin INT, tier INT, proven INT, shared INT, score REAL, first_ns INT,"
	" updated_ns INT, until_ns INT, ja4 TEXT, stem_text TEXT, stack_text TEXT, reason TEXT,"
	" evidence TEXT);"
	"CREATE TABLE allows(id INTEGER PRIMARY KEY AUTOINCREMENT, addr BLOB, bits INT,"
	" until_ns INT, reason TEXT);"
	"CREATE TABLE suppressed(addr BLOB, bits INT, until_ns INT, PRIMARY KEY(addr, bits));"
	"CREATE TABLE history(time_ns INT, addr BLOB, bits INT, what TEXT, who TEXT, reason TEXT);"
	"CREATE INDEX history_addr ON history(addr);"
	"CREATE TABLE blobs(name TEXT PRIMARY KEY, value BLOB);";

static int errno_of(int code)
{
	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_DONE:
	case SQLITE_ROW:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
		return -EACCES;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EUCLEAN;
	default:
		return -EIO;
	}
}

/* --- Statements ------------------------------------------------------------------------------- */

static int prepare(struct fg_store *s, const char *sql, sqlite3_stmt **ret_stmt)
{
	return errno_of(sqlite3_prepare_v2(s->db, sql, -1, ret_stmt, NULL));
}

static void bind_addr(sqlite3_stmt *st, int at, const uint8_t addr[16])
{
	sqlite3_bind_blob(st, at, addr, 16, SQLITE_STATIC);
}

static void bind_text(sqlite3_stmt *st, int at, const char *text)
{
	sqlite3_bind_text(st, at, text ? text : "", -1, SQLITE_STATIC);
}

static void bind_u64(sqlite3_stmt *st, int at, uint64_t value)
{
	sqlite3_bind_int64(st, at, (sqlite3_int64)value);
}

/* Runs a statement without rows and ends it. */
static int finish(sqlite3_stmt *st)
{
	sqlite3_step(st);
	return errno_of(sqlite3_finalize(st));
}

static int run(struct fg_store *s, const char *sql)
{
	return errno_of(sqlite3_exec(s->db, sql, NULL, NULL, NULL));
}

static uint64_t column_u64(sqlite3_stmt *st, int at)
{
	return (uint64_t)sqlite3_column_int64(st, at);
}

static void column_text(sqlite3_stmt *st, int at, char *to, size_t n)
{
	const unsigned char *text = sqlite3_column_text(st, at);

	snprintf(to, n, "%s", text ? (const char *)text : "");
}

static bool column_addr(sqlite3_stmt *st, int at, uint8_t addr[16])
{
	if (sqlite3_column_bytes(st, at) != 16)
		return false;
	memcpy(addr, sqlite3_column_blob(st, at), 16);
	return true;
}

/* --- Evidence as text ------------------------------------------------------------------------- */

static char *evidence_text(const struct fg_verdict *v)
{
	json_t *all = json_array();
	char *text;

	for (size_t i = 0; i < v->n_evidence; i++) {
		const struct fg_evidence *e = &v->evidence[i];

		json_array_append_new(all, json_pack("{s:i s:s s:f s:f s:f s:f s:s}", "family",
						     (int)e->family, "name", e->name, "observed",
						     e->observed, "expected", e->expected,
						     "base_rate", e->base_rate, "nats", e->nats,
						     "text", e->text));
	}
	text = json_dumps(all, JSON_COMPACT);
	json_decref(all);
	return text;
}

static void read_evidence(const char *text, struct fg_verdict *v)
{
	json_t *all = json_loads(text ? text : "[]", 0, NULL), *one;
	size_t i;

	json_array_foreach(all, i, one) {
		struct fg_evidence *e = &v->evidence[v->n_evidence];
		const char *name, *words;
		int family;

		if (i >= FG_MAX_EVIDENCE)
			break;
		if (json_unpack(one, "{s:i s:s s:F s:F s:F s:F s:s}", "family", &family, "name",
				&name, "observed", &e->observed, "expected", &e->expected,
				"base_rate", &e->base_rate, "nats", &e->nats, "text", &words) ||
		    family < 0 || family >= _FG_FAMILY_MAX)
			continue;
		e->family = (enum fg_family)family;
		snprintf(e->name, sizeof(e->name), "%s", name);
		snprintf(e->text, sizeof(e->text), "%s", words);
		v->n_evidence++;
	}
	json_decref(all);
}

/* --- The copy in memory ----------------------------------------------------------------------- */

static uint32_t bucket(const uint8_t addr[16])
{
	uint64_t a, b;

	memcpy(&a, addr, 8);
	memcpy(&b, addr + 8, 8);
	a = (a ^ (b * 0x9e3779b97f4a7c15ULL)) * 0xd6e8feb86659fd93ULL;
	return (uint32_t)(a >> 40) & (INDEX_SIZE - 1);
}

static void index_all(struct fg_store *s)
{
	memset(s->heads, 0xff, INDEX_SIZE * sizeof(*s->heads));
	for (size_t i = 0; i < s->n; i++) {
		uint32_t b = bucket(s->verdicts[i].addr);

		s->next[i] = s->heads[b];
		s->heads[b] = (uint32_t)i;
	}
}

static int room(void **array, size_t *cap, size_t n, size_t size)
{
	size_t next = *cap ? *cap * 2 : 64;
	void *larger;

	if (n < *cap)
		return 0;
	larger = reallocarray(*array, next, size);
	if (!larger)
		return -ENOMEM;
	*array = larger;
	*cap = next;
	return 0;
}

static int copy_verdict(struct fg_store *s, const struct fg_verdict *v)
{
	size_t cap = s->cap;
	uint32_t b = bucket(v->addr), *next;

	if (room((void **)&s->verdicts, &s->cap, s->n, sizeof(*s->verdicts)))
		return -ENOMEM;
	if (s->cap != cap) {
		next = reallocarray(s->next, s->cap, sizeof(*next));
		if (!next)
			return -ENOMEM;
		s->next = next;
	}
	s->verdicts[s->n] = *v;
	s->next[s->n] = s->heads[b];
	s->heads[b] = (uint32_t)s->n++;
	return 0;
}

static int copy_allow(struct fg_store *s, const struct fg_allow *a)
{
	if (room((void **)&s->allows, &s->cap_allows, s->n_allows, sizeof(*s->allows)))
		return -ENOMEM;
	s->allows[s->n_allows++] = *a;
	return 0;
}

static int copy_suppressed(struct fg_store *s, const struct suppressed *p)
{
	if (room((void **)&s->suppressed, &s->cap_suppressed, s->n_suppressed,
		 sizeof(*s->suppressed)))
		return -ENOMEM;
	s->suppressed[s->n_suppressed++] = *p;
	return 0;
}

#define VERDICT_COLUMNS                                                                            \
	"id, addr, bits, stem, stack, origin, tier, proven, shared, score, first_ns, updated_ns,"  \
	" until_ns, ja4, stem_text, stack_text, reason, evidence"

static bool read_verdict(sqlite3_stmt *st, uint64_t now_ns, struct fg_verdict *v)
{
	memset(v, 0, sizeof(*v));
	v->id = sqlite3_column_int64(st, 0);
	if (!column_addr(st, 1, v->addr))
		return false;
	v->bits = (uint8_t)sqlite3_column_int(st, 2);
	v->stem = column_u64(st, 3);
	v->stack = column_u64(st, 4);
	v->origin = sqlite3_column_int(st, 5) ? FG_ORIGIN_OPERATOR : FG_ORIGIN_DETECTOR;
	v->tier = (enum fg_tier)(sqlite3_column_int(st, 6) % _FG_TIER_MAX);
	v->proven = sqlite3_column_int(st, 7) != 0;
	v->shared = sqlite3_column_int(st, 8) != 0;
	v->score = sqlite3_column_double(st, 9);
	v->first_ns = column_u64(st, 10);
	v->updated_ns = column_u64(st, 11);
	v->until_ns = column_u64(st, 12);
	/* a clock that went back must not make a block outlive its longest TTL */
	if (v->until_ns > now_ns + FG_MAX_TTL_S * NS)
		v->until_ns = now_ns + FG_MAX_TTL_S * NS;
	column_text(st, 13, v->ja4, sizeof(v->ja4));
	column_text(st, 14, v->stem_text, sizeof(v->stem_text));
	column_text(st, 15, v->stack_text, sizeof(v->stack_text));
	column_text(st, 16, v->reason, sizeof(v->reason));
	read_evidence((const char *)sqlite3_column_text(st, 17), v);
	return v->until_ns > now_ns;
}

static int load_verdicts(struct fg_store *s, uint64_t now_ns)
{
	struct fg_verdict v;
	sqlite3_stmt *st;
	int r = prepare(s, "SELECT " VERDICT_COLUMNS " FROM verdicts ORDER BY id", &st);

	if (r)
		return r;
	while (!r && sqlite3_step(st) == SQLITE_ROW && s->n < FG_MAX_VERDICTS)
		if (read_verdict(st, now_ns, &v))
			r = copy_verdict(s, &v);
	return r ? (sqlite3_finalize(st), r) : errno_of(sqlite3_finalize(st));
}

static int load_allows(struct fg_store *s, uint64_t now_ns)
{
	sqlite3_stmt *st;
	int r = prepare(s, "SELECT id, addr, bits, until_ns, reason FROM allows ORDER BY id", &st);

	if (r)
		return r;
	while (!r && sqlite3_step(st) == SQLITE_ROW) {
		struct fg_allow a = {.id = sqlite3_column_int64(st, 0)};

		if (!column_addr(st, 1, a.addr))
			continue;
		a.bits = (uint8_t)sqlite3_column_int(st, 2);
		a.until_ns = column_u64(st, 3);
		column_text(st, 4, a.reason, sizeof(a.reason));
		if (!a.until_ns || a.until_ns > now_ns)
			r = copy_allow(s, &a);
	}
	return r ? (sqlite3_finalize(st), r) : errno_of(sqlite3_finalize(st));
}

static int load_suppressed(struct fg_store *s, uint64_t now_ns)
{
	sqlite3_stmt *st;
	int r = prepare(s, "SELECT addr, bits, until_ns FROM suppressed", &st);

	if (r)
		return r;
	while (!r && sqlite3_step(st) == SQLITE_ROW) {
		struct suppressed p;

		if (!column_addr(st, 0, p.addr))
			continue;
		p.bits = (uint8_t)sqlite3_column_int(st, 1);
		p.until_ns = column_u64(st, 2);
		if (p.until_ns > now_ns)
			r = copy_suppressed(s, &p);
	}
	return r ? (sqlite3_finalize(st), r) : errno_of(sqlite3_finalize(st));
}

/* Reads the copy again; entries of the configuration stay. */
static int load(struct fg_store *s, uint64_t now_ns)
{
	size_t kept = 0;
	int r;

	for (size_t i = 0; i < s->n_allows; i++)
		if (s->allows[i].id == 0)
			s->allows[kept++] = s->allows[i];
	s->n_allows = kept;
	s->n = s->n_suppressed = 0;
	index_all(s);
	s->revision++;
	r = load_verdicts(s, now_ns);
	if (!r)
		r = load_allows(s, now_ns);
	if (!r)
		r = load_suppressed(s, now_ns);
	return r;
}

/* --- Life cycle ------------------------------------------------------------------------------- */

static int set_up(struct fg_store *s, char *why, size_t n_why)
{
	sqlite3_stmt *st;
	int version = 0;
	int r = run(s, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=2000;");

	if (!r)
		r = prepare(s, "PRAGMA user_version", &st);
	if (!r) {
		if (sqlite3_step(st) == SQLITE_ROW)
			version = sqlite3_column_int(st, 0);
		r = errno_of(sqlite3_finalize(st));
	}
	if (!r && version > SCHEMA_VERSION) {
		snprintf(why, n_why,
			 "farmgate.db was written by a newer version (schema %d, this one knows %d)",
			 version, SCHEMA_VERSION);
		return -EPROTONOSUPPORT;
	}
	if (!r && version == 0)
		r = run(s, schema);
	return r;
}

int fg_store_open(const char *dir, uint64_t now_ns, struct fg_store **ret_store, char *why,
		  size_t n_why)
{
	struct fg_store *s = calloc(1, sizeof(*s));
	char path[4096] = ":memory:";
	int r;

	why[0] = '\0';
	if (!s)
		return -ENOMEM;
	s->heads = malloc(INDEX_SIZE * sizeof(*s->heads));
	if (!s->heads) {
		free(s);
		return -ENOMEM;
	}
	if (dir) {
		if (mkdir(dir, 0700) && errno != EEXIST) {
			r = -errno;
			snprintf(why, n_why, "the state folder cannot be made: %s (--state DIR)",
				 strerror(-r));
			goto fail;
		}
		snprintf(path, sizeof(path), "%s/farmgate.db", dir);
	}
	r = errno_of(sqlite3_open(path, &s->db));
	if (!r)
		r = set_up(s, why, n_why);
	if (!r)
		r = load(s, now_ns);
	if (r)
		goto fail;
	s->now_ns = now_ns;
	*ret_store = s;
	return 0;

fail:
	if (!why[0])
		snprintf(why, n_why, "farmgate.db cannot be used: %s", strerror(-r));
	fg_store_close(&s);
	return r;
}

void fg_store_close(struct fg_store **store)
{
	struct fg_store *s = *store;

	if (!s)
		return;
	if (s->db)
		sqlite3_close(s->db);
	free(s->verdicts);
	free(s->next);
	free(s->heads);
	free(s->allows);
	free(s->suppressed);
	free(s);
	*store = NULL;
}

int fg_store_begin(struct fg_store *s)
{
	int r = run(s, "BEGIN IMMEDIATE");

	s->batch = !r;
	return r;
}

void fg_store_rollback(struct fg_store *s)
{
	if (!s->batch)
		return;
	run(s, "ROLLBACK");
	s->batch = false;
	load(s, s->now_ns);
}

int fg_store_commit(struct fg_store *s)
{
	int r = run(s, "COMMIT");

	if (r)
		fg_store_rollback(s);
	s->batch = false;
	return r;
}

/* A change of several statements: its own transaction unless a batch runs. */
static int begin_one(struct fg_store *s)
{
	return s->batch ? 0 : run(s, "BEGIN IMMEDIATE");
}

static int end_one(struct fg_store *s, int r)
{
	if (s->batch)
		return r;
	if (!r)
		r = run(s, "COMMIT");
	if (r) {
		run(s, "ROLLBACK");
		load(s, s->now_ns);
	}
	return r;
}

/* --- Writing ---------------------------------------------------------------------------------- */

static int remember(struct fg_store *s, uint64_t now_ns, const uint8_t addr[16], uint8_t bits,
		    const char *what, const char *who, const char *reason)
{
	sqlite3_stmt *st;
	int r = prepare(s, "INSERT INTO history VALUES(?,?,?,?,?,?)", &st);

	if (r)
		return r;
	bind_u64(st, 1, now_ns);
	bind_addr(st, 2, addr);
	sqlite3_bind_int(st, 3, bits);
	bind_text(st, 4, what);
	bind_text(st, 5, who);
	bind_text(st, 6, reason);
	return finish(st);
}

static int write_verdict(struct fg_store *s, struct fg_verdict *v)
{
	char *evidence = evidence_text(v);
	sqlite3_stmt *st;
	int r = prepare(s,
			"INSERT OR REPLACE INTO verdicts(" VERDICT_COLUMNS
			") VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
			&st);

	if (r) {
		free(evidence);
		return r;
	}
	if (v->id)
		sqlite3_bind_int64(st, 1, v->id);
	bind_addr(st, 2, v->addr);
	sqlite3_bind_int(st, 3, v->bits);
	bind_u64(st, 4, v->stem);
	bind_u64(st, 5, v->stack);
	sqlite3_bind_int(st, 6, (int)v->origin);
	sqlite3_bind_int(st, 7, (int)v->tier);
	sqlite3_bind_int(st, 8, v->proven);
	sqlite3_bind_int(st, 9, v->shared);
	sqlite3_bind_double(st, 10, v->score);
	bind_u64(st, 11, v->first_ns);
	bind_u64(st, 12, v->updated_ns);
	bind_u64(st, 13, v->until_ns);
	bind_text(st, 14, v->ja4);
	bind_text(st, 15, v->stem_text);
	bind_text(st, 16, v->stack_text);
	bind_text(st, 17, v->reason);
	bind_text(st, 18, evidence);
	r = finish(st);
	free(evidence);
	if (!r && !v->id)
		v->id = sqlite3_last_insert_rowid(s->db);
	return r;
}

static int erase(struct fg_store *s, const char *sql, int64_t id)
{
	sqlite3_stmt *st;
	int r = prepare(s, sql, &st);

	if (r)
		return r;
	sqlite3_bind_int64(st, 1, id);
	return finish(st);
}

static struct fg_verdict *find_exact(struct fg_store *s, const uint8_t addr[16], uint8_t bits,
				     uint64_t stem, enum fg_origin origin)
{
	for (uint32_t i = s->heads[bucket(addr)]; i != NONE; i = s->next[i]) {
		struct fg_verdict *v = &s->verdicts[i];

		if (v->bits == bits && v->stem == stem && v->origin == origin &&
		    !memcmp(v->addr, addr, 16))
			return v;
	}
	return NULL;
}

static bool is_suppressed(const struct fg_store *s, const uint8_t addr[16], uint8_t bits,
			  uint64_t now_ns)
{
	for (size_t i = 0; i < s->n_suppressed; i++)
		if (s->suppressed[i].bits == bits && s->suppressed[i].until_ns > now_ns &&
		    !memcmp(s->suppressed[i].addr, addr, 16))
			return true;
	return false;
}

/* How far an automatic verdict may go, and why not further. */
static enum fg_tier tier_of(const struct fg_store *s, const struct fg_finding *f, uint8_t bits,
			    bool enforce, uint64_t now_ns, char reason[160])
{
	reason[0] = '\0';
	if (fg_store_allowed(s, f->source, bits, now_ns))
		snprintf(reason, 160, "not enforced: allowlisted");
	else if (!f->proven)
		snprintf(reason, 160, "not enforced: not proven");
	else if (f->shared)
		snprintf(reason, 160, "not enforced: shared (%s)", f->shared_why);
	else if (!enforce)
		snprintf(reason, 160, "not enforced: mode is observe");
	return reason[0] ? FG_TIER_ALERT : FG_TIER_ENFORCE;
}

static void fill(struct fg_verdict *v, const struct fg_finding *f, const struct fg_names *names,
		 uint64_t until_ns, uint64_t now_ns)
{
	v->proven = f->proven;
	v->shared = f->shared;
	v->score = f->score;
	v->stack = f->stack;
	v->updated_ns = now_ns;
	v->until_ns = until_ns;
	memcpy(v->ja4, names->ja4, sizeof(v->ja4));
	memcpy(v->stem_text, names->stem_text, sizeof(v->stem_text));
	memcpy(v->stack_text, names->stack_text, sizeof(v->stack_text));
	memcpy(v->evidence, f->evidence, sizeof(v->evidence));
	v->n_evidence = f->n_evidence;
}

static int note_new(struct fg_store *s, const struct fg_finding *f, const struct fg_names *names,
		    uint8_t bits, enum fg_tier tier, const char *reason, uint64_t until_ns,
		    uint64_t now_ns)
{
	struct fg_verdict v = {.bits = bits, .tier = tier, .first_ns = now_ns};
	int r;

	if (s->n >= FG_MAX_VERDICTS)
		return -ENOSPC;
	memcpy(v.addr, f->source, 16);
	snprintf(v.reason, sizeof(v.reason), "%s", reason);
	fill(&v, f, names, until_ns, now_ns);
	r = begin_one(s);
	if (!r)
		r = write_verdict(s, &v);
	if (!r)
		r = remember(s, now_ns, v.addr, bits, fg_tier_name(tier), "detector",
			     v.n_evidence ? v.evidence[0].text : "");
	if (!r)
		r = copy_verdict(s, &v);
	r = end_one(s, r);
	if (r)
		return r;
	s->revision++;
	return 1;
}

int fg_store_note(struct fg_store *s, const struct fg_finding *f, const struct fg_names *names,
		  bool enforce, uint32_t ttl_s, uint64_t now_ns)
{
	uint8_t bits = fg_ip_is4(f->source) ? 128 : 64;
	uint64_t until_ns = now_ns + (uint64_t)ttl_s * NS;
	struct fg_verdict *v, changed;
	enum fg_tier tier;
	char reason[160];
	int r;

	s->now_ns = now_ns;
	if (is_suppressed(s, f->source, bits, now_ns))
		return 0;
	tier = tier_of(s, f, bits, enforce, now_ns, reason);
	v = find_exact(s, f->source, bits, 0, FG_ORIGIN_DETECTOR);
	if (!v)
		return note_new(s, f, names, bits, tier, reason, until_ns, now_ns);
	/* found again each second: on disk only what matters, a quarter of the TTL at a time */
	if (v->tier == tier && v->until_ns > now_ns &&
	    until_ns - v->until_ns < (uint64_t)ttl_s * NS / 4 && !strcmp(v->reason, reason))
		return 0;
	changed = *v;
	fill(&changed, f, names, until_ns, now_ns);
	memcpy(changed.reason, reason, sizeof(changed.reason));
	changed.tier = tier;
	r = begin_one(s);
	if (!r)
		r = write_verdict(s, &changed);
	if (!r && tier != v->tier)
		r = remember(s, now_ns, v->addr, bits, fg_tier_name(tier), "detector", reason);
	if (!r)
		*v = changed;
	r = end_one(s, r);
	if (!r)
		s->revision++;
	return r;
}

int fg_store_block(struct fg_store *s, const uint8_t addr[16], uint8_t bits, uint64_t stem,
		   const char *stem_text, uint32_t ttl_s, const char *reason, uint64_t now_ns,
		   int64_t *ret_id)
{
	struct fg_verdict v = {.bits = bits, .stem = stem, .origin = FG_ORIGIN_OPERATOR,
			       .tier = FG_TIER_ENFORCE, .first_ns = now_ns}, *old;
	int r;

	s->now_ns = now_ns;
	if (!ttl_s || ttl_s > FG_MAX_TTL_S)
		return -ERANGE;
	if (fg_store_allowed(s, addr, bits, now_ns))
		return -EPERM;
	if (s->n >= FG_MAX_VERDICTS)
		return -ENOSPC;
	old = find_exact(s, addr, bits, stem, FG_ORIGIN_OPERATOR);
	if (old)
		v = *old;
	memcpy(v.addr, addr, 16);
	v.updated_ns = now_ns;
	v.until_ns = now_ns + (uint64_t)ttl_s * NS;
	snprintf(v.stem_text, sizeof(v.stem_text), "%s", stem_text ? stem_text : "");
	snprintf(v.reason, sizeof(v.reason), "%s", reason ? reason : "");
	r = begin_one(s);
	if (!r)
		r = write_verdict(s, &v);
	if (!r)
		r = remember(s, now_ns, addr, bits, "block", "operator", v.reason);
	if (!r && old)
		*old = v;
	else if (!r)
		r = copy_verdict(s, &v);
	r = end_one(s, r);
	if (r)
		return r;
	s->revision++;
	*ret_id = v.id;
	return 0;
}

/* Takes verdict i out of disk and copy. The index is stale until index_all(). */
static int drop_verdict(struct fg_store *s, size_t i)
{
	int r = erase(s, "DELETE FROM verdicts WHERE id=?", s->verdicts[i].id);

	if (!r)
		s->verdicts[i] = s->verdicts[--s->n];
	return r;
}

static int suppress(struct fg_store *s, const struct fg_verdict *v)
{
	struct suppressed p = {.bits = v->bits, .until_ns = v->until_ns};
	sqlite3_stmt *st;
	int r = prepare(s, "INSERT OR REPLACE INTO suppressed VALUES(?,?,?)", &st);

	if (r)
		return r;
	memcpy(p.addr, v->addr, 16);
	bind_addr(st, 1, p.addr);
	sqlite3_bind_int(st, 2, p.bits);
	bind_u64(st, 3, p.until_ns);
	r = finish(st);
	return r ? r : copy_suppressed(s, &p);
}

int fg_store_unblock(struct fg_store *s, const uint8_t addr[16], uint8_t bits, const char *reason,
		     uint64_t now_ns)
{
	int ended = 0, r = begin_one(s);

	s->now_ns = now_ns;
	for (size_t i = 0; !r && i < s->n;) {
		const struct fg_verdict *v = &s->verdicts[i];

		if (v->bits != bits || memcmp(v->addr, addr, 16)) {
			i++;
			continue;
		}
		if (v->origin == FG_ORIGIN_DETECTOR)
			r = suppress(s, v);
		if (!r)
			r = drop_verdict(s, i);
		ended += !r;
	}
	if (!r && ended)
		r = remember(s, now_ns, addr, bits, "unblock", "operator", reason);
	index_all(s);
	r = end_one(s, r);
	if (r)
		return r;
	s->revision += ended > 0;
	return ended;
}

/* Standing verdicts inside an allowed prefix fall to alert; operator's blocks end. */
static int bow_to_allow(struct fg_store *s, const uint8_t addr[16], uint8_t bits)
{
	int r = 0;

	for (size_t i = 0; !r && i < s->n;) {
		struct fg_verdict *v = &s->verdicts[i];

		if (!fg_ip_contains(addr, bits, v->addr, v->bits)) {
			i++;
			continue;
		}
		if (v->origin == FG_ORIGIN_OPERATOR) {
			r = drop_verdict(s, i);
			continue;
		}
		v->tier = v->tier > FG_TIER_ALERT ? FG_TIER_ALERT : v->tier;
		snprintf(v->reason, sizeof(v->reason), "not enforced: allowlisted");
		r = write_verdict(s, v);
		i++;
	}
	index_all(s);
	return r;
}

int fg_store_allow(struct fg_store *s, const uint8_t addr[16], uint8_t bits, uint32_t ttl_s,
		   const char *reason, uint64_t now_ns, int64_t *ret_id)
{
	struct fg_allow a = {.bits = bits};
	sqlite3_stmt *st;
	int r;

	s->now_ns = now_ns;
	if (s->n_allows >= MAX_ALLOW)
		return -ENOSPC;
	memcpy(a.addr, addr, 16);
	a.until_ns = ttl_s ? now_ns + (uint64_t)ttl_s * NS : 0;
	snprintf(a.reason, sizeof(a.reason), "%s", reason ? reason : "");
	r = begin_one(s);
	if (!r)
		r = prepare(s, "INSERT INTO allows(addr, bits, until_ns, reason) VALUES(?,?,?,?)",
			    &st);
	if (!r) {
		bind_addr(st, 1, addr);
		sqlite3_bind_int(st, 2, bits);
		bind_u64(st, 3, a.until_ns);
		bind_text(st, 4, a.reason);
		r = finish(st);
	}
	if (!r) {
		a.id = sqlite3_last_insert_rowid(s->db);
		r = remember(s, now_ns, addr, bits, "allow", "operator", a.reason);
	}
	if (!r)
		r = bow_to_allow(s, addr, bits);
	if (!r)
		r = copy_allow(s, &a);
	r = end_one(s, r);
	if (r)
		return r;
	s->revision++;
	*ret_id = a.id;
	return 0;
}

int fg_store_disallow(struct fg_store *s, const uint8_t addr[16], uint8_t bits, uint64_t now_ns)
{
	int removed = 0, r = begin_one(s);

	s->now_ns = now_ns;
	for (size_t i = 0; !r && i < s->n_allows;) {
		const struct fg_allow *a = &s->allows[i];

		if (a->id == 0 || a->bits != bits || memcmp(a->addr, addr, 16)) {
			i++;
			continue;
		}
		r = erase(s, "DELETE FROM allows WHERE id=?", a->id);
		if (!r) {
			s->allows[i] = s->allows[--s->n_allows];
			removed++;
		}
	}
	if (!r && removed)
		r = remember(s, now_ns, addr, bits, "disallow", "operator", "");
	r = end_one(s, r);
	if (r)
		return r;
	s->revision += removed > 0;
	return removed;
}

int fg_store_allow_static(struct fg_store *s, const uint8_t addr[16], uint8_t bits)
{
	struct fg_allow a = {.bits = bits, .reason = STATIC_REASON};

	memcpy(a.addr, addr, 16);
	return copy_allow(s, &a);
}

/* An allow entry covers a prefix that lies inside it, and one that holds it: a block of a /16 would
 * hit the allowed address in it. */
bool fg_store_allowed(const struct fg_store *s, const uint8_t addr[16], uint8_t bits,
		      uint64_t now_ns)
{
	for (size_t i = 0; i < s->n_allows; i++) {
		const struct fg_allow *a = &s->allows[i];

		if (a->until_ns && a->until_ns <= now_ns)
			continue;
		if (fg_ip_contains(a->addr, a->bits, addr, bits) ||
		    fg_ip_contains(addr, bits, a->addr, a->bits))
			return true;
	}
	return false;
}

int fg_store_expire(struct fg_store *s, uint64_t now_ns)
{
	int dropped = 0, r = 0;
	bool due = false;

	s->now_ns = now_ns;
	for (size_t i = 0; i < s->n && !due; i++)
		due = s->verdicts[i].until_ns <= now_ns;
	if (!due)
		return 0;
	r = begin_one(s);
	for (size_t i = 0; !r && i < s->n;) {
		const struct fg_verdict *v = &s->verdicts[i];

		if (v->until_ns > now_ns) {
			i++;
			continue;
		}
		r = remember(s, now_ns, v->addr, v->bits, "expired", "ttl", "");
		if (!r)
			r = drop_verdict(s, i);
		dropped += !r;
	}
	index_all(s);
	r = end_one(s, r);
	if (r)
		return r;
	s->revision++;
	return dropped;
}

/* --- Reading ---------------------------------------------------------------------------------- */

size_t fg_store_n(const struct fg_store *s)
{
	return s->n;
}

const struct fg_verdict *fg_store_at(const struct fg_store *s, size_t i)
{
	return &s->verdicts[i];
}

size_t fg_store_n_allow(const struct fg_store *s)
{
	return s->n_allows;
}

const struct fg_allow *fg_store_allow_at(const struct fg_store *s, size_t i)
{
	return &s->allows[i];
}

size_t fg_store_find(const struct fg_store *s, const uint8_t addr[16],
		     const struct fg_verdict **ret, size_t n)
{
	uint8_t bits = fg_ip_is4(addr) ? 128 : 64;
	size_t found = 0;

	for (size_t i = s->n; i-- > 0 && found < n;)
		if (fg_ip_contains(s->verdicts[i].addr, s->verdicts[i].bits, addr, bits))
			ret[found++] = &s->verdicts[i];
	return found;
}

uint64_t fg_store_revision(const struct fg_store *s)
{
	return s->revision;
}

int fg_store_history(struct fg_store *s, const uint8_t addr[16], fg_history_fn fn, void *arg)
{
	sqlite3_stmt *st;
	int answer = 0;
	int r = prepare(s,
			"SELECT time_ns, what, who, reason FROM history WHERE addr=? ORDER BY rowid",
			&st);

	if (r)
		return r;
	bind_addr(st, 1, addr);
	while (!answer && sqlite3_step(st) == SQLITE_ROW)
		answer = fn(arg, column_u64(st, 0), (const char *)sqlite3_column_text(st, 1),
			    (const char *)sqlite3_column_text(st, 2),
			    (const char *)sqlite3_column_text(st, 3));
	r = errno_of(sqlite3_finalize(st));
	return answer ? answer : r;
}

int fg_store_get_blob(struct fg_store *s, const char *name, void *ret_buf, size_t n)
{
	sqlite3_stmt *st;
	int r = prepare(s, "SELECT value FROM blobs WHERE name=?", &st), got = 0;

	if (r)
		return r;
	bind_text(st, 1, name);
	if (sqlite3_step(st) == SQLITE_ROW) {
		got = sqlite3_column_bytes(st, 0);
		if ((size_t)got > n)
			got = (int)n;
		memcpy(ret_buf, sqlite3_column_blob(st, 0), (size_t)got);
	}
	r = errno_of(sqlite3_finalize(st));
	return r ? r : got;
}

int fg_store_put_blob(struct fg_store *s, const char *name, const void *buf, size_t n)
{
	sqlite3_stmt *st;
	int r = prepare(s, "INSERT OR REPLACE INTO blobs VALUES(?,?)", &st);

	if (r)
		return r;
	bind_text(st, 1, name);
	sqlite3_bind_blob(st, 2, buf, (int)n, SQLITE_STATIC);
	return finish(st);
}
