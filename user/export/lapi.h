/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The CrowdSec target: keeps what a local API (LAPI, 1.4.6 and later) holds of ours equal to the
 * set. It logs in as a machine and sends alerts, with decisions or leaving these to the operator's
 * profiles; what it took is remembered at once, so that nothing is sent twice.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "export/target.h"

/* Decisions of one alert: 2,000 take the real one 0.2 s, and one that fails is to be small. */
#define FG_LAPI_CHUNK 1000
/* Alerts of one request where the profiles decide: each runs through all of them. */
#define FG_LAPI_ALERTS 100
/* A body longer than this is no answer to anything that we ask: 100,000 decisions are 18 MB. */
#define FG_LAPI_MAX_ANSWER (64U << 20)
/* Debian's firewall bouncer ignores a ban of an address that it holds, and hears of no end where
 * a longer ban stands: a new one is sent when the old one is over for it, by its own timeout ... */
#define FG_LAPI_REST_ENDED_S 2
/* ... or because it has asked: it does every 10 s. */
#define FG_LAPI_REST_DELETED_S 30

struct fg_lapi_conf {
	const char *url; /* http:// or https://, with or without the slash at the end */
	const char *machine;
	const char *password_file; /* read at each login; nobody but owner and group may read it */
	const char *ca_file; /* NULL = the system's */
	bool push; /* decisions are ours; else the operator's profiles make them */
};

struct fg_lapi_request {
	const char *method, *path; /* path from "/v1/" on */
	const char *token; /* NULL = none */
	const char *body; /* NULL = none */
	size_t n_body;
	bool once; /* must not be sent again by itself, whatever happens to the connection */
	uint32_t timeout_ms;
};

struct fg_lapi_answer {
	unsigned int status;
	char *body; /* the caller's to free; ends in a NUL that n_body does not count */
	size_t n_body;
	uint64_t date_ns; /* its clock, in whole seconds; 0 = not said */
};

/* How requests get there; tests bring their own. */
struct fg_lapi_transport {
	void *arg;
	/** @return 0 with an answer; -ENOTCONN with a sentence where nothing of it can have
	 * arrived; another -errno with a sentence where nobody knows. */
	int (*exchange)(void *arg, const struct fg_lapi_request *request,
			struct fg_lapi_answer *ret_answer, char *why, size_t n_why);
	uint64_t (*now_ns)(void *arg); /* unix */
	void (*free)(void *arg);
};

struct fg_lapi;

/** Over HTTP. Looks at the files of conf, does not connect. why gets a sentence on failure.
 * @return 0, -ENOTSUP where libcurl was left out of the build, -errno. */
int fg_lapi_new(const struct fg_lapi_conf *conf, struct fg_lapi **ret_lapi, char *why,
		size_t n_why);
/** Over another transport, which it takes over. @return 0, -ENOMEM. */
int fg_lapi_new_over(const struct fg_lapi_conf *conf, const struct fg_lapi_transport *transport,
		     struct fg_lapi **ret_lapi);
void fg_lapi_free(struct fg_lapi **lapi);

/** As in target.h. apply gives -EAGAIN where there was more to do than its time allows: the next one
 * goes on from there. check says 1 also where a block stands on past the end that was told, or where
 * it is not known what the LAPI holds; it sends the heartbeat. */
int fg_lapi_apply(struct fg_lapi *lapi, const struct fg_export_set *set, uint64_t now_ns, char *why,
		  size_t n_why);
int fg_lapi_check(struct fg_lapi *lapi, char *why, size_t n_why);
/** Blocks of single clients, which no decision can say. */
uint64_t fg_lapi_unexportable(const struct fg_lapi *lapi);
/** The same for the framework. */
extern const struct fg_target_ops fg_lapi_ops;

#define FG_LAPI_MAX_PASSWORD 256
/** Reads a password, the first line, into FG_LAPI_MAX_PASSWORD + 2 bytes. Refuses a file that others may read or write. why gets a
 * sentence. @return 0, -EPERM, -EINVAL, -errno. */
int fg_lapi_password(const char *path, char *ret_password, char *why, size_t n_why);
