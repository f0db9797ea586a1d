/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Memory of decisions: standing verdicts with evidence, tier and TTL, operator decisions, the
 * allowlist. One SQLite file (WAL) in the state folder, one writer; an in-memory copy answers
 * reads. A verdict is on disk before anybody hears of it. Without a folder (replay without
 * --state) everything stays in memory. Time is a parameter (unix ns).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "detect/detect.h"

#define FG_MAX_TTL_S	 (24 * 3600)
#define FG_DEFAULT_TTL_S 3600
/* How long the past is kept: a quarter, within which a blocked customer asks. */
#define FG_DEFAULT_HISTORY_S (90ULL * 24 * 3600)
/* Standing verdicts kept; a flood of flags must not eat the host (about 2.5 kB each).
 * Operators' and detectors' are counted apart, so that no flood keeps an operator from blocking. What
 * cools counts, too, and gives way to what is new: the oldest first. */
#define FG_MAX_VERDICTS 100000
/* "operator:" and a user of this host, or the name of a key. */
#define FG_WHO_TEXT 64

enum fg_origin {
	FG_ORIGIN_DETECTOR,
	FG_ORIGIN_OPERATOR,
	_FG_ORIGIN_MAX
};

/* Where in its life a verdict is (verdict/life.h). */
enum fg_state {
	FG_STATE_STANDING,
	FG_STATE_ENDED, /* taken back by an operator: kept so that it is not flagged again for the same */
	FG_STATE_COOLING, /* its time passed; tier observe */
	FG_STATE_GONE, /* only within a transaction */
};

struct fg_verdict {
	int64_t id;
	uint8_t addr[16]; /* v4-mapped or v6 prefix, host bits zero */
	uint8_t bits; /* of 128; 128 = one IPv4 address, 64 = an IPv6 /64 */
	uint64_t stem; /* client block; 0 = the whole source */
	uint64_t stack;
	enum fg_origin origin;
	enum fg_tier tier;
	enum fg_tier earned; /* what it would be but for the allowlist */
	bool enforced; /* it was in tier enforce once */
	uint32_t strikes; /* times that it came back while it cooled */
	uint64_t objected_ns; /* a guard's last no; 0 = never */
	uint64_t sure_until_ns; /* how long the last finding that was sure would enforce */
	uint64_t kept_ns; /* ended, or cooling: until then */
	int64_t decision; /* of an operator, that it stands or was ended by; 0 = none */
	bool proven, shared;
	uint32_t cohort; /* a member of it (fg_cohorts_find()); 0 = flagged by itself */
	double score;
	uint32_t window_s; /* these four as in fg_finding, 0 where an operator decided */
	double n_obs, alpha, est_fdr;
	char version[24]; /* of the program that judged last; "" = before it was kept */
	uint64_t first_ns, updated_ns, until_ns;
	char ja4[40], stem_text[44], stack_text[96];
	char reason[160]; /* operator's reason, or why the tier is capped */
	size_t n_evidence;
	struct fg_evidence evidence[FG_MAX_EVIDENCE]; /* last: what is not used need not be copied */
};

struct fg_allow {
	int64_t id;
	uint8_t addr[16];
	uint8_t bits;
	uint64_t until_ns; /* 0 = no end */
	uint64_t made_ns;
	int64_t decision; /* that made it */
	char reason[160];
};

/* An operator's block may not be wider: an IPv4 /8, an IPv6 /16. Of 128 bits. */
#define FG_MAX_BLOCK_BITS4 104
#define FG_MAX_BLOCK_BITS6 16

struct fg_store;

/** Opens or makes DIR/farmgate.db and loads what still stands at now_ns; dir NULL = memory only.
 * now_ns 0 = not known yet (replay, before its first frame): the first fg_store_expire() judges.
 * why (at least 256 bytes) gets one sentence on failure. @return 0, -errno. */
int fg_store_open(const char *dir, uint64_t now_ns, struct fg_store **ret_store, char *why,
		  size_t n_why);
void fg_store_close(struct fg_store **store);

/** A finding becomes or renews a verdict; -EINVAL where a piece of its evidence has no benign
 * explanation, or it has none at all. enforce: automatic verdicts may reach tier enforce
 * (mode enforce). What becomes of it is said in verdict/life.h; where the tier stops at alert, reason
 * says why. ttl_s is the configuration's: it is longer for who came back and for members that are judged
 * once an hour. Texts (ja4, stem_text, stack_text) come from names. @return 1 new, or new again; 0
 * renewed, or nothing new about what an operator ended; -errno. */
struct fg_names {
	char ja4[40], stem_text[44], stack_text[96];
};
int fg_store_note(struct fg_store *store, const struct fg_finding *finding,
		  const struct fg_names *names, bool enforce, uint32_t ttl_s, uint64_t now_ns);

/* Operators' decisions, each by itself; verdict/decisions.h has those of many subjects, who decided, and
 * how to take them back. Ids are those of the decisions. */

/** Block; tier enforce. ttl_s 1..FG_MAX_TTL_S. An allowed prefix is refused with -EPERM (allow wins),
 * one that is wider than FG_MAX_BLOCK_BITS4 or 6 with -ERANGE. @return 0, -errno. */
int fg_store_block(struct fg_store *store, const uint8_t addr[16], uint8_t bits, uint64_t stem,
		   const char *stem_text, uint32_t ttl_s, const char *reason, uint64_t now_ns,
		   int64_t *ret_id);
/** Ends every verdict on exactly this prefix (operator's and detectors'). A detector flags it again only
 * with new evidence, for a week. @return number ended, -errno. */
int fg_store_unblock(struct fg_store *store, const uint8_t addr[16], uint8_t bits,
		     const char *reason, uint64_t now_ns);
/** Allow wins over every verdict, standing or to come; standing ones that touch it fall to alert as long
 * as it stands. ttl_s 0 = no end. @return 0, -errno. */
int fg_store_allow(struct fg_store *store, const uint8_t addr[16], uint8_t bits, uint32_t ttl_s,
		   const char *reason, uint64_t now_ns, int64_t *ret_id);
/** Operators' blocks inside it are enforced again for the rest of their time; detectors' verdicts are
 * judged again. @return number removed, -errno. */
int fg_store_disallow(struct fg_store *store, const uint8_t addr[16], uint8_t bits,
		      uint64_t now_ns);
/** Mode observe at start: automatic verdicts that stand in tier enforce from a time in mode enforce
 * fall to alert. @return 0, -errno. */
int fg_store_observe(struct fg_store *store);

/** From the configuration: not persisted, no end, listed with the reason "configuration".
 * @return 0, -errno. */
int fg_store_allow_static(struct fg_store *store, const uint8_t addr[16], uint8_t bits);
bool fg_store_allowed(const struct fg_store *store, const uint8_t addr[16], uint8_t bits,
		      uint64_t now_ns);
/** The entry that touches a prefix, NULL = none. */
const struct fg_allow *fg_store_allow_on(const struct fg_store *store, const uint8_t addr[16],
					 uint8_t bits, uint64_t now_ns);

/** A further allowlist, that somebody else keeps (allow files): asked wherever the store asks its own.
 * fn answers whether a prefix meets it, and then why. @return 0, -ENOMEM. */
typedef bool (*fg_allow_fn)(void *arg, const uint8_t addr[16], uint8_t bits, char reason[160]);
int fg_store_allow_extra(struct fg_store *store, fg_allow_fn fn, void *arg);
/** Does it meet the further list? reason gets why. */
bool fg_store_extra_allows(const struct fg_store *store, const uint8_t addr[16], uint8_t bits,
			   char reason[160]);
/** That list is another than it was: standing verdicts inside it fall to alert, and operators' blocks that
 * are not inside it any more hold again. @return 0, -errno. */
int fg_store_allow_extra_changed(struct fg_store *store, uint64_t now_ns);

/** Decisions between begin and commit are one transaction. After a failed commit, or a rollback,
 * memory and disk are as they were at begin. @return 0, -errno. */
int fg_store_begin(struct fg_store *store);
int fg_store_commit(struct fg_store *store);
void fg_store_rollback(struct fg_store *store);

/** What time does: ends what has expired, cools, forgets. @return number that stood and stand no more,
 * -errno. */
int fg_store_expire(struct fg_store *store, uint64_t now_ns);
/** How long history and decisions are kept, FG_DEFAULT_HISTORY_S without it. */
void fg_store_keep_history(struct fg_store *store, uint64_t seconds);

/* Those that stand. */
size_t fg_store_n(const struct fg_store *store);
const struct fg_verdict *fg_store_at(const struct fg_store *store, size_t i);
/* Those that cool or were ended: for people, never for exports. */
size_t fg_store_n_in(const struct fg_store *store, enum fg_state state);
const struct fg_verdict *fg_store_in(const struct fg_store *store, enum fg_state state, size_t i);
size_t fg_store_n_allow(const struct fg_store *store);
const struct fg_allow *fg_store_allow_at(const struct fg_store *store, size_t i);
/** Verdicts that stand and cover an address, newest first. Writes at most n, returns how many. */
size_t fg_store_find(const struct fg_store *store, const uint8_t addr[16],
		     const struct fg_verdict **ret, size_t n);
size_t fg_store_find_in(const struct fg_store *store, enum fg_state state, const uint8_t addr[16],
			const struct fg_verdict **ret, size_t n);
/** Grows with every change that an export could have to act on. */
uint64_t fg_store_revision(const struct fg_store *store);

/** Findings that found no room below FG_MAX_VERDICTS. */
uint64_t fg_store_refused(const struct fg_store *store);
/** Where a state file was moved to when it was opened; "" = it was not. */
const char *fg_store_moved(const struct fg_store *store);
/* Why it was, and what the new one has of it: of a damaged one whatever could be read but history; of
 * another instance's nothing. */
struct fg_store_aside {
	bool foreign; /* another instance's; else it was damaged */
	size_t verdicts, allows, blobs; /* taken over */
};
struct fg_store_aside fg_store_aside(const struct fg_store *store);
/** Who wrote this state: 32 hex digits, drawn at the first start and kept in DIR/instance beside the
 * file and in the file. */
#define FG_INSTANCE_TEXT 33
const char *fg_store_instance(const struct fg_store *store);
/** What the last failure of the state file was, in a sentence with the cure; "" = none yet. */
const char *fg_store_error(const struct fg_store *store);

/** what: flagged, raised, lowered, cooling, blocked, unblocked, allowed, disallowed, undone, expired;
 * who: detector, configuration, clock, and of operators operator:NAME, or operator where the name is not
 * known; id: of an operator's decision (for undo), else of the verdict. A non-zero answer ends the
 * listing. */
typedef int (*fg_history_fn)(void *arg, uint64_t time_ns, int64_t id, const char *what,
			     const char *who, const char *reason);
/** Past decisions on an address and on prefixes that cover it, oldest first.
 * @return 0, -errno, or fn's answer. */
int fg_store_history(struct fg_store *store, const uint8_t addr[16], fg_history_fn fn, void *arg);

/** Key/value state that must survive a restart (hash seed, ...). @return bytes read or 0/-errno. */
int fg_store_get_blob(struct fg_store *store, const char *name, void *ret_buf, size_t n);
/** The same of any length; *ret_bytes is the caller's to free, NULL where there is none.
 * @return 0, -errno. */
int fg_store_load_blob(struct fg_store *store, const char *name, void **ret_bytes, size_t *ret_n);
int fg_store_put_blob(struct fg_store *store, const char *name, const void *buf, size_t n);

/*
 * Summaries: small values by key, each with the time of its last sight (unix seconds). What they say
 * is the model's; here they are kept, found, listed and forgotten. Keys are below 2^63.
 */

/* About 150 B of the file each, so 600 MB. Of a full table the oldest of some neighbours goes. */
#define FG_MAX_SUMMARIES 4000000

/** Writes between these are one transaction, apart from that of decisions, and without a sync of
 * their own. @return 0, -EBUSY inside one of decisions, -errno: none of it is written. */
int fg_store_begin_summaries(struct fg_store *store);
int fg_store_commit_summaries(struct fg_store *store);
void fg_store_rollback_summaries(struct fg_store *store);
/** @return 0, -errno. */
int fg_store_put_summary(struct fg_store *store, uint64_t key, uint32_t last_s, const void *bytes,
			 size_t n);
/** @return bytes copied, 0 where there is none, -EOVERFLOW, -errno. */
int fg_store_find_summary(struct fg_store *store, uint64_t key, void *ret_buf, size_t n);
/** From when on the n newest of a range of keys were last seen, rounded down to the hour, and how many
 * were from then on; 0 and all where there are fewer. @return 0, -errno. */
int fg_store_newest_summaries(struct fg_store *store, uint64_t from_key, uint64_t to_key,
			      uint64_t n, uint32_t *ret_from_s, uint64_t *ret_n);
/** A non-zero answer ends the listing. */
typedef int (*fg_summary_fn)(void *arg, uint64_t key, const void *bytes, size_t n);
/** Those of keys from_key to to_key, both included, that were last seen from from_s on, by key. fn
 * must not change any. @return 0, -errno, or fn's answer. */
int fg_store_each_summary(struct fg_store *store, uint64_t from_key, uint64_t to_key,
			  uint32_t from_s, fg_summary_fn fn, void *arg);
/** @return 0, also where there is none, -errno. */
int fg_store_drop_summary(struct fg_store *store, uint64_t key);
/** Drops those of a range that were last seen before. @return 0, -errno. */
int fg_store_forget_summaries(struct fg_store *store, uint64_t from_key, uint64_t to_key,
			      uint32_t before_s);
uint64_t fg_store_n_summaries(const struct fg_store *store);
/** Another limit than FG_MAX_SUMMARIES. */
void fg_store_limit_summaries(struct fg_store *store, uint64_t max);
