/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "verdict/disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "verdict/disk_tables.h"

#define SCHEMA_VERSION 5
/* Of a full table, the oldest of so many around a newcomer goes: they lie on its page. */
#define NEIGHBOURS 16
/* A decision on a whole cohort is one transaction of some 20 MB: what does not fit is written and read
 * again. */
#define CACHE_KB   16384
#define TEXT_OF(x) #x
#define TEXT(x)	   TEXT_OF(x)

#define SUMMARY_TABLE \
	"CREATE TABLE summary (key INTEGER PRIMARY KEY, last INTEGER NOT NULL, value BLOB NOT NULL);"

/* NOT NULL is also the check of what was bound: a bind that failed leaves NULL. Numbers that may
 * be no number (NaN is stored as NULL) go without. */
#define VERDICT_TABLE                                                                              \
	"CREATE TABLE verdict (id INTEGER PRIMARY KEY, addr BLOB NOT NULL, bits INTEGER NOT NULL," \
	" stem INTEGER NOT NULL, stack INTEGER NOT NULL, origin INTEGER NOT NULL,"                 \
	" tier INTEGER NOT NULL, proven INTEGER NOT NULL, shared INTEGER NOT NULL, score REAL,"    \
	" first_ns INTEGER NOT NULL, updated_ns INTEGER NOT NULL, until_ns INTEGER NOT NULL,"      \
	" ja4 TEXT NOT NULL, stem_text TEXT NOT NULL, stack_text TEXT NOT NULL,"                   \
	" reason TEXT NOT NULL, state INTEGER NOT NULL, cohort INTEGER NOT NULL,"                  \
	" window_s INTEGER NOT NULL, n_obs REAL, alpha REAL, est_fdr REAL, version TEXT NOT NULL," \
	" earned INTEGER NOT NULL, enforced INTEGER NOT NULL, strikes INTEGER NOT NULL,"           \
	" objected_ns INTEGER NOT NULL, sure_until_ns INTEGER NOT NULL, kept_ns INTEGER NOT NULL," \
	" decision INTEGER NOT NULL, UNIQUE (addr, bits, stem, stack, origin));"

/* An effect is how one subject of a decision was before it: was_id 0 where it was not. id and after are
 * what it is known again by. */
#define DECISION_TABLES                                                                        \
	"CREATE TABLE decision (id INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL,"             \
	" what TEXT NOT NULL, who TEXT NOT NULL, subject TEXT NOT NULL, reason TEXT NOT NULL," \
	" undoes INTEGER NOT NULL, undone_by INTEGER NOT NULL);"                               \
	"CREATE INDEX decision_subject ON decision (subject);"                                 \
	"CREATE TABLE effect (decision INTEGER NOT NULL, i INTEGER NOT NULL,"                  \
	" allow INTEGER NOT NULL, addr BLOB NOT NULL, bits INTEGER NOT NULL,"                  \
	" stem INTEGER NOT NULL, stack INTEGER NOT NULL, origin INTEGER NOT NULL,"             \
	" id INTEGER NOT NULL, after INTEGER NOT NULL, state INTEGER NOT NULL,"                \
	" was_id INTEGER NOT NULL, was_decision INTEGER NOT NULL, first_ns INTEGER NOT NULL,"  \
	" until_ns INTEGER NOT NULL, kept_ns INTEGER NOT NULL, reason TEXT NOT NULL,"          \
	" PRIMARY KEY (decision, i)) WITHOUT ROWID;"                                           \
	"CREATE INDEX history_time ON history (time_ns);"

static const char schema[] = VERDICT_TABLE
	"CREATE TABLE evidence (verdict INTEGER NOT NULL, i INTEGER NOT NULL,"
	" family INTEGER NOT NULL, name TEXT NOT NULL, observed REAL, expected REAL,"
	" base_rate REAL, nats REAL, text TEXT NOT NULL, baseline_n REAL,"
	" capped INTEGER NOT NULL DEFAULT 0, benign TEXT NOT NULL DEFAULT '', PRIMARY KEY (verdict, i)) WITHOUT ROWID;"
	"CREATE TABLE allow (id INTEGER PRIMARY KEY, addr BLOB NOT NULL, bits INTEGER NOT NULL,"
	" until_ns INTEGER NOT NULL, reason TEXT NOT NULL, made_ns INTEGER NOT NULL DEFAULT 0,"
	" decision INTEGER NOT NULL DEFAULT 0, UNIQUE (addr, bits));"
	"CREATE TABLE history (id INTEGER PRIMARY KEY AUTOINCREMENT, time_ns INTEGER NOT NULL,"
	" addr BLOB NOT NULL, bits INTEGER NOT NULL, decision INTEGER NOT NULL,"
	" what TEXT NOT NULL, who TEXT NOT NULL, reason TEXT NOT NULL);"
	"CREATE INDEX history_addr ON history (addr);"
	"CREATE TABLE state (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;" SUMMARY_TABLE
		DECISION_TABLES "PRAGMA user_version = " TEXT(SCHEMA_VERSION) ";";

/* From each version of the tables to the next. */
static const char *const migrations[SCHEMA_VERSION] = {
	[1] = "ALTER TABLE verdict ADD COLUMN cohort INTEGER NOT NULL DEFAULT 0;"
	      "PRAGMA user_version = 2;",
	[2] = "ALTER TABLE verdict ADD COLUMN window_s INTEGER NOT NULL DEFAULT 0;"
	      "ALTER TABLE verdict ADD COLUMN n_obs REAL;"
	      "ALTER TABLE verdict ADD COLUMN alpha REAL;"
	      "ALTER TABLE verdict ADD COLUMN est_fdr REAL;"
	      "ALTER TABLE verdict ADD COLUMN version TEXT NOT NULL DEFAULT '';"
	      "ALTER TABLE evidence ADD COLUMN baseline_n REAL;"
	      "ALTER TABLE evidence ADD COLUMN capped INTEGER NOT NULL DEFAULT 0;"
	      "ALTER TABLE evidence ADD COLUMN benign TEXT NOT NULL DEFAULT '';"
	      "PRAGMA user_version = 3;",
	[3] = SUMMARY_TABLE "PRAGMA user_version = 4;",
	/* stack joins what a verdict is known by, for which a table must be made anew. What an operator
	 * ended holds for a week from now: when it was ended nobody wrote down. */
	[4] = "ALTER TABLE verdict RENAME TO verdict_4;" VERDICT_TABLE
	      "INSERT INTO verdict SELECT id, addr, bits, stem, stack, origin, tier, proven, shared,"
	      " score, first_ns, updated_ns, until_ns, ja4, stem_text, stack_text, reason, ended,"
	      " cohort, window_s, n_obs, alpha, est_fdr, version, tier, tier = 2, 0, 0,"
	      " until_ns * (tier = 2), until_ns + 604800000000000, 0 FROM verdict_4;"
	      "DROP TABLE verdict_4;"
	      "ALTER TABLE allow ADD COLUMN made_ns INTEGER NOT NULL DEFAULT 0;"
	      "ALTER TABLE allow ADD COLUMN decision INTEGER NOT NULL DEFAULT 0;" DECISION_TABLES
	      "PRAGMA user_version = 5;",
};

#define PLACES_16 "?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,"

static const char *const sql[_STMT_MAX] = {
	[BEGIN] = "BEGIN",
	[COMMIT] = "COMMIT",
	[LIST_VERDICTS] =
		"SELECT id, addr, bits, stem, stack, origin, tier, proven, shared, score,"
		" first_ns, updated_ns, until_ns, ja4, stem_text, stack_text, reason,"
		" state, cohort, window_s, n_obs, alpha, est_fdr, version,"
		" earned, enforced, strikes, objected_ns, sure_until_ns, kept_ns, decision"
		" FROM verdict ORDER BY id",
	[LIST_EVIDENCE] = "SELECT family, name, observed, expected, base_rate, nats, text,"
			  " baseline_n, capped, benign"
			  " FROM evidence WHERE verdict = ? ORDER BY i",
	[LIST_ALLOW] = "SELECT id, addr, bits, until_ns, reason, made_ns, decision FROM allow"
		       " ORDER BY id",
	[NEXT_ID] = "SELECT max(ifnull((SELECT max(id) FROM verdict), 0),"
		    " ifnull((SELECT max(id) FROM allow), 0),"
		    " ifnull((SELECT max(id) FROM decision), 0),"
		    " ifnull((SELECT max(decision) FROM history), 0)) + 1",
	[PUT_VERDICT] = "INSERT OR REPLACE INTO verdict"
			" VALUES (" PLACES_16 "?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[SET_STATE] = "UPDATE verdict SET tier = ?2, score = ?3, first_ns = ?4,"
		      " updated_ns = ?5, until_ns = ?6, reason = ?7, state = ?8, earned = ?9,"
		      " enforced = ?10, objected_ns = ?11, sure_until_ns = ?12, kept_ns = ?13,"
		      " decision = ?14 WHERE id = ?1",
	[PUT_EVIDENCE] = "INSERT INTO evidence VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
	[DROP_VERDICT] = "DELETE FROM verdict WHERE id = ?",
	[DROP_EVIDENCE] = "DELETE FROM evidence WHERE verdict = ?",
	[PUT_ALLOW] = "INSERT OR REPLACE INTO allow VALUES (?,?,?,?,?,?,?)",
	[DROP_ALLOW] = "DELETE FROM allow WHERE id = ?",
	[PUT_PAST] = "INSERT INTO history (time_ns, addr, bits, decision, what, who, reason)"
		     " VALUES (?,?,?,?,?,?,?)",
	[TRIM_PAST] = "DELETE FROM history"
		      " WHERE id <= (SELECT max(id) FROM history) - " TEXT(MAX_HISTORY),
	/* one place for each prefix length that could cover an address: 16 * 8 + 1 */
	[LIST_PAST] = "SELECT time_ns, addr, bits, what, who, reason, decision FROM history"
		      " WHERE addr IN (" PLACES_16 PLACES_16 PLACES_16 PLACES_16 PLACES_16 PLACES_16
			      PLACES_16 PLACES_16 "?) ORDER BY id",
	[PRUNE_PAST] = "DELETE FROM history WHERE id IN (SELECT id FROM history"
		       " WHERE time_ns < ? ORDER BY time_ns LIMIT ?)",
	[PUT_DECISION] = "INSERT INTO decision VALUES (?,?,?,?,?,?,?,?)",
	[GET_DECISION] = "SELECT * FROM decision WHERE id = ?",
	[SET_UNDONE] = "UPDATE decision SET undone_by = ? WHERE id = ?",
	[LIST_DECISIONS] = "SELECT * FROM decision WHERE subject = ? ORDER BY id",
	[PUT_EFFECT] = "INSERT INTO effect VALUES (" PLACES_16 "?)",
	[LIST_EFFECTS] = "SELECT * FROM effect WHERE decision = ? ORDER BY i",
	/* on verdicts none can be taken back any more; those on the allowlist go with their decision */
	[PRUNE_EFFECTS] =
		"DELETE FROM effect WHERE (decision, i) IN (SELECT decision, i FROM effect"
		" WHERE decision <= ifnull((SELECT max(id) FROM decision"
		" WHERE time_ns < ?), 0) AND (NOT allow OR"
		" decision NOT IN (SELECT id FROM decision)) LIMIT ?)",
	[PRUNE_DECISIONS] = "DELETE FROM decision WHERE id IN (SELECT id FROM decision"
			    " WHERE time_ns < ?1 OR id <= (SELECT id FROM decision ORDER BY id DESC"
			    " LIMIT 1 OFFSET " TEXT(MAX_DECISIONS) ") ORDER BY id LIMIT ?2)",
	[LIST_STATE] = "SELECT name, value FROM state",
	[GET_BLOB] = "SELECT value FROM state WHERE name = ?",
	[PUT_BLOB] = "INSERT OR REPLACE INTO state VALUES (?,?)",
	[SET_SUMMARY] = "UPDATE summary SET last = ?2, value = ?3 WHERE key = ?1",
	[ADD_SUMMARY] = "INSERT INTO summary VALUES (?,?,?)",
	[GET_SUMMARY] = "SELECT value FROM summary WHERE key = ?",
	[LIST_SUMMARIES] = "SELECT key, value FROM summary"
			   " WHERE key BETWEEN ? AND ? AND last >= ? ORDER BY key",
	[AGES_OF_SUMMARIES] = "SELECT last / 3600 AS hour, count(*) FROM summary"
			      " WHERE key BETWEEN ? AND ? GROUP BY hour ORDER BY hour DESC",
	[OLDEST_SUMMARY] =
		"SELECT key FROM (SELECT * FROM (SELECT key, last FROM summary"
		" WHERE key >= ?1 ORDER BY key LIMIT " TEXT(
			NEIGHBOURS) ")"
				    " UNION ALL SELECT * FROM (SELECT key, last FROM summary"
				    " WHERE key < ?1 ORDER BY key DESC LIMIT " TEXT(
					    NEIGHBOURS) "))"
							" ORDER BY last LIMIT 1",
	[DROP_SUMMARY] = "DELETE FROM summary WHERE key = ?",
	[FORGET_SUMMARIES] = "DELETE FROM summary WHERE key BETWEEN ? AND ? AND last < ?",
};

/* What the codes of SQLite mean to a caller, and what an operator does about it. */
static const struct {
	int code, error;
	const char *cure;
} codes[] = {
	{ SQLITE_FULL, -ENOSPC, "make room on the disk" },
	{ SQLITE_READONLY, -EROFS, "make it writable" },
	{ SQLITE_CORRUPT, -EUCLEAN, "move it away: a new one is made at the next start" },
	{ SQLITE_NOTADB, -EUCLEAN, "move it away: a new one is made at the next start" },
	{ SQLITE_BUSY, -EBUSY, "another farmgate uses it: stop it, or take another --state" },
	{ SQLITE_LOCKED, -EBUSY, "another farmgate uses it: stop it, or take another --state" },
	{ SQLITE_CANTOPEN, -EACCES, "look at the rights of the folder" },
	{ SQLITE_PERM, -EACCES, "look at the rights of the file" },
	{ SQLITE_AUTH, -EACCES, "look at the rights of the file" },
	{ SQLITE_NOMEM, -ENOMEM, "free some memory" },
	{ SQLITE_IOERR, -EIO, "look at the disk (dmesg) and its free space" },
};

/* Remembers the sentence of a failure. @return 0, -errno. */
int fg_disk_checked(struct fg_disk *d, int code)
{
	const char *cure = "report it as a bug";
	int error = -EIO;

	if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE)
		return 0;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		if (codes[i].code == (code & 0xff)) {
			error = codes[i].error;
			cure = codes[i].cure;
		}
	}
	snprintf(d->error, sizeof(d->error), "%.120s: %.60s; %s", d->path,
		 d->db ? sqlite3_errmsg(d->db) : sqlite3_errstr(code), cure);
	return error;
}

const char *fg_disk_error(const struct fg_disk *disk)
{
	return disk->error;
}

/* Runs a statement that returns no rows, and makes it ready for the next time. */
int fg_disk_run(struct fg_disk *d, enum stmt which)
{
	int r = fg_disk_checked(d, sqlite3_step(d->stmt[which]));

	sqlite3_reset(d->stmt[which]);
	sqlite3_clear_bindings(d->stmt[which]);
	return r;
}

void fg_disk_bind_text(sqlite3_stmt *s, int i, const char *text)
{
	sqlite3_bind_text(s, i, text, -1, SQLITE_STATIC);
}

void fg_disk_bind_addr(sqlite3_stmt *s, int i, const uint8_t addr[16])
{
	sqlite3_bind_blob(s, i, addr, 16, SQLITE_STATIC);
}

int fg_disk_exec(struct fg_disk *d, const char *text)
{
	return fg_disk_checked(d, sqlite3_exec(d->db, text, NULL, NULL, NULL));
}

static int number_of(struct fg_disk *d, const char *query, int64_t *ret_number)
{
	sqlite3_stmt *s = NULL;
	int r = fg_disk_checked(d, sqlite3_prepare_v2(d->db, query, -1, &s, NULL));

	if (!r)
		r = fg_disk_checked(d, sqlite3_step(s));
	if (!r)
		*ret_number = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return r;
}

static int make_schema(struct fg_disk *d)
{
	int64_t version, tables;
	int r = number_of(d, "PRAGMA user_version", &version);

	if (!r)
		r = number_of(d, "SELECT count(*) FROM sqlite_master", &tables);
	if (r || version == SCHEMA_VERSION)
		return r;
	if (version > SCHEMA_VERSION) {
		snprintf(
			d->error, sizeof(d->error),
			"%.120s: written by a newer farmgate (version %lld of its tables, this one "
			"knows %d); update farmgate",
			d->path, (long long)version, SCHEMA_VERSION);
		return -ENOTSUP;
	}
	if (version > 0) {
		for (int64_t v = version; !r && v < SCHEMA_VERSION; v++)
			r = fg_disk_exec(d, migrations[v]);
		return r;
	}
	if (tables) {
		snprintf(d->error, sizeof(d->error),
			 "%.120s: holds another program's tables; take another --state", d->path);
		return -ENOTSUP;
	}
	return fg_disk_exec(d, schema);
}

/* Damage in a page that nothing reads at the start would come up at night, in a write. Reads the file
 * once: 60 MB take a tenth of a second. */
static int check_pages(struct fg_disk *d)
{
	sqlite3_stmt *s = NULL;
	int r = fg_disk_checked(d,
				sqlite3_prepare_v2(d->db, "PRAGMA quick_check(1)", -1, &s, NULL));

	if (!r)
		r = fg_disk_checked(d, sqlite3_step(s));
	if (!r && strcmp((const char *)sqlite3_column_text(s, 0), "ok")) {
		snprintf(d->error, sizeof(d->error), "%.120s: %.120s", d->path,
			 (const char *)sqlite3_column_text(s, 0));
		r = -EUCLEAN;
	}
	sqlite3_finalize(s);
	return r;
}

/* EXCLUSIVE: two agents with a copy in memory each would overwrite one another. FULL: a verdict is
 * on disk before anybody acts on it. */
static int set_up(struct fg_disk *d)
{
	int64_t summaries = 0;
	int r = fg_disk_exec(d, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
				"PRAGMA synchronous = FULL; PRAGMA cache_size = -" TEXT(
					CACHE_KB) ";"
						  "BEGIN IMMEDIATE");

	if (!r && sqlite3_db_readonly(d->db, "main") == 1)
		r = fg_disk_checked(d, SQLITE_READONLY);
	if (!r)
		r = check_pages(d);
	if (!r)
		r = make_schema(d);
	if (!r)
		r = fg_disk_exec(d, "COMMIT");
	for (size_t i = 0; !r && i < _STMT_MAX; i++)
		r = fg_disk_checked(d,
				    sqlite3_prepare_v3(d->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT,
						       &d->stmt[i], NULL));
	if (!r)
		r = number_of(d, "SELECT count(*) FROM summary", &summaries);
	d->n_summaries = r ? 0 : (uint64_t)summaries;
	d->max_summaries = FG_MAX_SUMMARIES;
	return r;
}

int fg_disk_move_aside(const char *dir, const char *suffix, char *ret_to, size_t n)
{
	static const char *const suffixes[] = { "", "-wal", "-shm" };

	snprintf(ret_to, n, "%s/farmgate.db.%s", dir, suffix);
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		char from[PATH_MAX], to[PATH_MAX];

		if ((size_t)snprintf(from, sizeof(from), "%s/farmgate.db%s", dir, suffixes[i]) >=
			    sizeof(from) ||
		    (size_t)snprintf(to, sizeof(to), "%s/farmgate.db.%s%s", dir, suffix,
				     suffixes[i]) >= sizeof(to))
			return -ENAMETOOLONG;
		/* an older one's log must not join this one */
		unlink(to);
		if (rename(from, to) && (errno != ENOENT || i == 0))
			return -errno;
	}
	return 0;
}

static int set_path(struct fg_disk *d, const char *dir)
{
	int error = 0;

	if (!dir) {
		snprintf(d->path, sizeof(d->path), ":memory:");
		return 0;
	}
	if (mkdir(dir, 0700) && errno != EEXIST)
		error = -errno;
	else if ((size_t)snprintf(d->path, sizeof(d->path), "%s/farmgate.db", dir) >=
		 sizeof(d->path))
		error = -ENAMETOOLONG;
	if (error)
		snprintf(d->error, sizeof(d->error),
			 "folder %.150s: %s; make it, or take another "
			 "--state",
			 dir, strerror(-error));
	return error;
}

int fg_disk_open(const char *dir, struct fg_disk **ret_disk, char *why, size_t n_why)
{
	struct fg_disk *d = calloc(1, sizeof(*d));
	int r;

	if (!d) {
		snprintf(why, n_why, "no memory for the state file");
		return -ENOMEM;
	}
	r = set_path(d, dir);
	if (!r)
		r = fg_disk_checked(d, sqlite3_open_v2(d->path, &d->db,
						       SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
							       SQLITE_OPEN_NOMUTEX,
						       NULL));
	if (!r)
		r = set_up(d);
	if (r) {
		snprintf(why, n_why, "%s", d->error);
		fg_disk_close(&d);
		return r;
	}
	*ret_disk = d;
	return 0;
}

void fg_disk_close(struct fg_disk **disk)
{
	struct fg_disk *d = *disk;

	if (!d)
		return;
	for (size_t i = 0; i < _STMT_MAX; i++)
		sqlite3_finalize(d->stmt[i]);
	sqlite3_close(d->db);
	free(d);
	*disk = NULL;
}

/* --- Rows to structs ------------------------------------------------------------------------- */

int fg_disk_unclean(struct fg_disk *d, const char *table, int64_t id)
{
	snprintf(
		d->error, sizeof(d->error),
		"%.120s: row %lld of table %s is damaged; move the file away: a new one is made at "
		"the next start",
		d->path, (long long)id, table);
	return -EUCLEAN;
}

void fg_disk_take_text(sqlite3_stmt *s, int i, char *to, size_t n)
{
	const char *text = (const char *)sqlite3_column_text(s, i);

	snprintf(to, n, "%s", text ? text : "");
}

/* An address and its length in the next column. @return false where they are none. */
bool fg_disk_take_prefix(sqlite3_stmt *s, int i, uint8_t addr[16], uint8_t *bits)
{
	int64_t n = sqlite3_column_int64(s, i + 1);

	if (sqlite3_column_bytes(s, i) != 16 || n < 0 || n > 128)
		return false;
	memcpy(addr, sqlite3_column_blob(s, i), 16);
	*bits = (uint8_t)n;
	return true;
}

static int load_evidence(struct fg_disk *d, struct fg_verdict *v)
{
	sqlite3_stmt *s = d->stmt[LIST_EVIDENCE];
	int code;

	sqlite3_bind_int64(s, 1, v->id);
	while ((code = sqlite3_step(s)) == SQLITE_ROW && v->n_evidence < FG_MAX_EVIDENCE) {
		struct fg_evidence *e = &v->evidence[v->n_evidence++];
		int family = sqlite3_column_int(s, 0);
		const char *benign;

		if (family < 0 || family >= _FG_FAMILY_MAX) {
			sqlite3_reset(s);
			return fg_disk_unclean(d, "evidence", v->id);
		}
		e->family = (enum fg_family)family;
		fg_disk_take_text(s, 1, e->name, sizeof(e->name));
		e->observed = sqlite3_column_double(s, 2);
		e->expected = sqlite3_column_double(s, 3);
		e->base_rate = sqlite3_column_double(s, 4);
		e->nats = sqlite3_column_double(s, 5);
		fg_disk_take_text(s, 6, e->text, sizeof(e->text));
		e->baseline_n = sqlite3_column_double(s, 7);
		e->capped = sqlite3_column_int(s, 8);
		benign = (const char *)sqlite3_column_text(s, 9);
		e->n_benign = (uint8_t)(benign ? fg_benign_unpack(benign, e->benign) : 0);
	}
	code = fg_disk_checked(d, code);
	sqlite3_reset(s);
	return code;
}

static int load_verdict(struct fg_disk *d, const struct fg_disk_sink *sink)
{
	sqlite3_stmt *s = d->stmt[LIST_VERDICTS];
	struct fg_verdict v = { .id = sqlite3_column_int64(s, 0) };
	int origin = sqlite3_column_int(s, 5), tier = sqlite3_column_int(s, 6);
	int earned = sqlite3_column_int(s, 24), state = sqlite3_column_int(s, 17), r;

	if (!fg_disk_take_prefix(s, 1, v.addr, &v.bits) || origin < 0 || origin >= _FG_ORIGIN_MAX ||
	    tier < 0 || tier >= _FG_TIER_MAX || earned < 0 || earned >= _FG_TIER_MAX || state < 0 ||
	    state >= FG_STATE_GONE)
		return fg_disk_unclean(d, "verdict", v.id);
	v.stem = (uint64_t)sqlite3_column_int64(s, 3);
	v.stack = (uint64_t)sqlite3_column_int64(s, 4);
	v.origin = (enum fg_origin)origin;
	v.tier = (enum fg_tier)tier;
	v.proven = sqlite3_column_int(s, 7);
	v.shared = sqlite3_column_int(s, 8);
	v.score = sqlite3_column_double(s, 9);
	v.first_ns = (uint64_t)sqlite3_column_int64(s, 10);
	v.updated_ns = (uint64_t)sqlite3_column_int64(s, 11);
	v.until_ns = (uint64_t)sqlite3_column_int64(s, 12);
	fg_disk_take_text(s, 13, v.ja4, sizeof(v.ja4));
	fg_disk_take_text(s, 14, v.stem_text, sizeof(v.stem_text));
	fg_disk_take_text(s, 15, v.stack_text, sizeof(v.stack_text));
	fg_disk_take_text(s, 16, v.reason, sizeof(v.reason));
	v.cohort = (uint32_t)sqlite3_column_int64(s, 18);
	v.window_s = (uint32_t)sqlite3_column_int64(s, 19);
	v.n_obs = sqlite3_column_double(s, 20);
	v.alpha = sqlite3_column_double(s, 21);
	v.est_fdr = sqlite3_column_double(s, 22);
	fg_disk_take_text(s, 23, v.version, sizeof(v.version));
	v.earned = (enum fg_tier)earned;
	v.enforced = sqlite3_column_int(s, 25);
	v.strikes = (uint32_t)sqlite3_column_int64(s, 26);
	v.objected_ns = (uint64_t)sqlite3_column_int64(s, 27);
	v.sure_until_ns = (uint64_t)sqlite3_column_int64(s, 28);
	v.kept_ns = (uint64_t)sqlite3_column_int64(s, 29);
	v.decision = sqlite3_column_int64(s, 30);
	r = load_evidence(d, &v);
	return r ? r : sink->verdict(sink->arg, &v, (enum fg_state)state);
}

static int load_allow(struct fg_disk *d, const struct fg_disk_sink *sink)
{
	sqlite3_stmt *s = d->stmt[LIST_ALLOW];
	struct fg_allow a = { .id = sqlite3_column_int64(s, 0) };

	if (!fg_disk_take_prefix(s, 1, a.addr, &a.bits))
		return fg_disk_unclean(d, "allow", a.id);
	a.until_ns = (uint64_t)sqlite3_column_int64(s, 3);
	fg_disk_take_text(s, 4, a.reason, sizeof(a.reason));
	a.made_ns = (uint64_t)sqlite3_column_int64(s, 5);
	a.decision = sqlite3_column_int64(s, 6);
	return sink->allow(sink->arg, &a);
}

static int each(struct fg_disk *d, enum stmt which, const struct fg_disk_sink *sink,
		int (*fn)(struct fg_disk *d, const struct fg_disk_sink *sink))
{
	int code, r = 0;

	while (!r && (code = sqlite3_step(d->stmt[which])) == SQLITE_ROW)
		r = fn(d, sink);
	if (!r)
		r = fg_disk_checked(d, code);
	sqlite3_reset(d->stmt[which]);
	return r;
}

int fg_disk_load(struct fg_disk *disk, const struct fg_disk_sink *sink)
{
	int r = each(disk, LIST_ALLOW, sink, load_allow);

	return r ? r : each(disk, LIST_VERDICTS, sink, load_verdict);
}

/* Goes on behind rows that are damaged, and ends where the file cannot be read any further. */
static int each_readable(struct fg_disk *d, enum stmt which, const struct fg_disk_sink *sink,
			 int (*fn)(struct fg_disk *d, const struct fg_disk_sink *sink))
{
	int r = 0;

	if (sqlite3_prepare_v2(d->db, sql[which], -1, &d->stmt[which], NULL) != SQLITE_OK)
		return 0;
	while (!r && sqlite3_step(d->stmt[which]) == SQLITE_ROW) {
		r = fn(d, sink);
		if (r == -EUCLEAN)
			r = 0;
	}
	return r;
}

static int load_state(struct fg_disk *d, const struct fg_disk_sink *sink)
{
	sqlite3_stmt *s = d->stmt[LIST_STATE];
	const char *name = (const char *)sqlite3_column_text(s, 0);
	const void *bytes = sqlite3_column_blob(s, 1);

	return name && bytes ?
		       sink->blob(sink->arg, name, bytes, (size_t)sqlite3_column_bytes(s, 1)) :
		       0;
}

int fg_disk_salvage(const char *path, const struct fg_disk_sink *sink)
{
	struct fg_disk *d = calloc(1, sizeof(*d));
	int r = d ? 0 : -ENOMEM;

	if (r)
		return r;
	snprintf(d->path, sizeof(d->path), "%s", path);
	/* writable_schema is how SQLite is told to read on in a file that was cut off */
	if (sqlite3_open_v2(path, &d->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) ==
		    SQLITE_OK &&
	    !fg_disk_exec(d, "PRAGMA writable_schema = ON") &&
	    sqlite3_prepare_v2(d->db, sql[LIST_EVIDENCE], -1, &d->stmt[LIST_EVIDENCE], NULL) ==
		    SQLITE_OK) {
		r = each_readable(d, LIST_ALLOW, sink, load_allow);
		if (!r)
			r = each_readable(d, LIST_VERDICTS, sink, load_verdict);
		if (!r)
			r = each_readable(d, LIST_STATE, sink, load_state);
	}
	fg_disk_close(&d);
	return r;
}

int64_t fg_disk_next_id(struct fg_disk *disk)
{
	sqlite3_stmt *s = disk->stmt[NEXT_ID];
	int64_t id = fg_disk_checked(disk, sqlite3_step(s));

	if (!id)
		id = sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	return id;
}

/* --- Writing --------------------------------------------------------------------------------- */

int fg_disk_begin(struct fg_disk *disk)
{
	return fg_disk_run(disk, BEGIN);
}

/* Of a full history as many of the oldest go as came. */
int fg_disk_commit(struct fg_disk *disk)
{
	int r = disk->past_grew ? fg_disk_run(disk, TRIM_PAST) : 0;

	disk->past_grew = false;
	return r ? r : fg_disk_run(disk, COMMIT);
}

/* SQLite may have rolled back on its own (disk full): then there is nothing left to do. */
void fg_disk_rollback(struct fg_disk *disk)
{
	if (!sqlite3_get_autocommit(disk->db))
		sqlite3_exec(disk->db, "ROLLBACK", NULL, NULL, NULL);
}

static int put_evidence(struct fg_disk *d, int64_t id, size_t i, const struct fg_evidence *e)
{
	sqlite3_stmt *s = d->stmt[PUT_EVIDENCE];
	char benign[FG_MAX_BENIGN * 48];

	sqlite3_bind_int64(s, 1, id);
	sqlite3_bind_int64(s, 2, (int64_t)i);
	sqlite3_bind_int(s, 3, (int)e->family);
	fg_disk_bind_text(s, 4, e->name);
	sqlite3_bind_double(s, 5, e->observed);
	sqlite3_bind_double(s, 6, e->expected);
	sqlite3_bind_double(s, 7, e->base_rate);
	sqlite3_bind_double(s, 8, e->nats);
	fg_disk_bind_text(s, 9, e->text);
	sqlite3_bind_double(s, 10, e->baseline_n);
	sqlite3_bind_int(s, 11, e->capped);
	fg_benign_pack(e->benign, e->n_benign, benign, sizeof(benign));
	fg_disk_bind_text(s, 12, benign);
	return fg_disk_run(d, PUT_EVIDENCE);
}

static int drop_evidence(struct fg_disk *d, int64_t id)
{
	sqlite3_bind_int64(d->stmt[DROP_EVIDENCE], 1, id);
	return fg_disk_run(d, DROP_EVIDENCE);
}

int fg_disk_put_verdict(struct fg_disk *disk, const struct fg_verdict *v, enum fg_state state)
{
	sqlite3_stmt *s = disk->stmt[PUT_VERDICT];
	int r;

	sqlite3_bind_int64(s, 1, v->id);
	fg_disk_bind_addr(s, 2, v->addr);
	sqlite3_bind_int(s, 3, v->bits);
	sqlite3_bind_int64(s, 4, (int64_t)v->stem);
	sqlite3_bind_int64(s, 5, (int64_t)v->stack);
	sqlite3_bind_int(s, 6, (int)v->origin);
	sqlite3_bind_int(s, 7, (int)v->tier);
	sqlite3_bind_int(s, 8, v->proven);
	sqlite3_bind_int(s, 9, v->shared);
	sqlite3_bind_double(s, 10, v->score);
	sqlite3_bind_int64(s, 11, (int64_t)v->first_ns);
	sqlite3_bind_int64(s, 12, (int64_t)v->updated_ns);
	sqlite3_bind_int64(s, 13, (int64_t)v->until_ns);
	fg_disk_bind_text(s, 14, v->ja4);
	fg_disk_bind_text(s, 15, v->stem_text);
	fg_disk_bind_text(s, 16, v->stack_text);
	fg_disk_bind_text(s, 17, v->reason);
	sqlite3_bind_int(s, 18, (int)state);
	sqlite3_bind_int64(s, 19, v->cohort);
	sqlite3_bind_int64(s, 20, v->window_s);
	sqlite3_bind_double(s, 21, v->n_obs);
	sqlite3_bind_double(s, 22, v->alpha);
	sqlite3_bind_double(s, 23, v->est_fdr);
	fg_disk_bind_text(s, 24, v->version);
	sqlite3_bind_int(s, 25, (int)v->earned);
	sqlite3_bind_int(s, 26, v->enforced);
	sqlite3_bind_int64(s, 27, v->strikes);
	sqlite3_bind_int64(s, 28, (int64_t)v->objected_ns);
	sqlite3_bind_int64(s, 29, (int64_t)v->sure_until_ns);
	sqlite3_bind_int64(s, 30, (int64_t)v->kept_ns);
	sqlite3_bind_int64(s, 31, v->decision);
	r = fg_disk_run(disk, PUT_VERDICT);
	if (!r)
		r = drop_evidence(disk, v->id);
	for (size_t i = 0; !r && i < v->n_evidence; i++)
		r = put_evidence(disk, v->id, i, &v->evidence[i]);
	return r;
}

int fg_disk_set_state(struct fg_disk *disk, const struct fg_verdict *v, enum fg_state state)
{
	sqlite3_stmt *s = disk->stmt[SET_STATE];

	sqlite3_bind_int64(s, 1, v->id);
	sqlite3_bind_int(s, 2, (int)v->tier);
	sqlite3_bind_double(s, 3, v->score);
	sqlite3_bind_int64(s, 4, (int64_t)v->first_ns);
	sqlite3_bind_int64(s, 5, (int64_t)v->updated_ns);
	sqlite3_bind_int64(s, 6, (int64_t)v->until_ns);
	fg_disk_bind_text(s, 7, v->reason);
	sqlite3_bind_int(s, 8, (int)state);
	sqlite3_bind_int(s, 9, (int)v->earned);
	sqlite3_bind_int(s, 10, v->enforced);
	sqlite3_bind_int64(s, 11, (int64_t)v->objected_ns);
	sqlite3_bind_int64(s, 12, (int64_t)v->sure_until_ns);
	sqlite3_bind_int64(s, 13, (int64_t)v->kept_ns);
	sqlite3_bind_int64(s, 14, v->decision);
	return fg_disk_run(disk, SET_STATE);
}

int fg_disk_drop_verdict(struct fg_disk *disk, int64_t id)
{
	int r = drop_evidence(disk, id);

	if (r)
		return r;
	sqlite3_bind_int64(disk->stmt[DROP_VERDICT], 1, id);
	return fg_disk_run(disk, DROP_VERDICT);
}

int fg_disk_put_allow(struct fg_disk *disk, const struct fg_allow *a)
{
	sqlite3_stmt *s = disk->stmt[PUT_ALLOW];

	sqlite3_bind_int64(s, 1, a->id);
	fg_disk_bind_addr(s, 2, a->addr);
	sqlite3_bind_int(s, 3, a->bits);
	sqlite3_bind_int64(s, 4, (int64_t)a->until_ns);
	fg_disk_bind_text(s, 5, a->reason);
	sqlite3_bind_int64(s, 6, (int64_t)a->made_ns);
	sqlite3_bind_int64(s, 7, a->decision);
	return fg_disk_run(disk, PUT_ALLOW);
}

int fg_disk_drop_allow(struct fg_disk *disk, int64_t id)
{
	sqlite3_bind_int64(disk->stmt[DROP_ALLOW], 1, id);
	return fg_disk_run(disk, DROP_ALLOW);
}

int fg_disk_step_blob(struct fg_disk *disk, sqlite3_stmt *s, void *ret_buf, size_t n)
{
	int code = sqlite3_step(s);
	int r = fg_disk_checked(disk, code);

	if (code == SQLITE_ROW) {
		r = sqlite3_column_bytes(s, 0);
		if ((size_t)r > n)
			r = -EOVERFLOW;
		else if (r)
			memcpy(ret_buf, sqlite3_column_blob(s, 0), (size_t)r);
	}
	sqlite3_reset(s);
	return r;
}

int fg_disk_get_blob(struct fg_disk *disk, const char *name, void *ret_buf, size_t n)
{
	sqlite3_stmt *s = disk->stmt[GET_BLOB];
	int r;

	fg_disk_bind_text(s, 1, name);
	r = fg_disk_step_blob(disk, s, ret_buf, n);
	sqlite3_clear_bindings(s);
	return r;
}

int fg_disk_load_blob(struct fg_disk *disk, const char *name, void **ret_bytes, size_t *ret_n)
{
	sqlite3_stmt *s = disk->stmt[GET_BLOB];
	int code, r;

	*ret_bytes = NULL;
	*ret_n = 0;
	fg_disk_bind_text(s, 1, name);
	code = sqlite3_step(s);
	r = fg_disk_checked(disk, code);
	if (code == SQLITE_ROW && sqlite3_column_bytes(s, 0) > 0) {
		*ret_n = (size_t)sqlite3_column_bytes(s, 0);
		*ret_bytes = malloc(*ret_n);
		if (*ret_bytes)
			memcpy(*ret_bytes, sqlite3_column_blob(s, 0), *ret_n);
		else
			r = -ENOMEM;
	}
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	return r;
}

int fg_disk_put_blob(struct fg_disk *disk, const char *name, const void *buf, size_t n)
{
	sqlite3_stmt *s = disk->stmt[PUT_BLOB];

	if (n > INT_MAX)
		return -EMSGSIZE;
	fg_disk_bind_text(s, 1, name);
	sqlite3_bind_blob(s, 2, n ? buf : "", (int)n, SQLITE_STATIC);
	return fg_disk_run(disk, PUT_BLOB);
}
