/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who may use the API over TCP: a file of lines `NAME KEY ROLE`, with comments after a '#'. Taken whole
 * or not at all. Of a key only its SHA-256 is kept, and compared in constant time.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define FG_KEYS_MAX	256
#define FG_KEY_NAME_MAX 32
/* Shorter ones could be tried out over the wire. */
#define FG_KEY_MIN 16
#define FG_KEY_MAX 128

enum fg_key_role {
	FG_KEY_OPERATOR, /* everything */
	FG_KEY_BOUNCER, /* decisions and blocklists */
	FG_KEY_READ, /* whatever changes nothing */
};

struct fg_key {
	char name[FG_KEY_NAME_MAX + 1];
	uint8_t digest[32];
	enum fg_key_role role;
};

struct fg_keys {
	size_t n; /* 0 = nobody is let in */
	struct fg_key keys[FG_KEYS_MAX];
};

/** @return 0, -EINVAL with "FILE:LINE: what is wrong" in why and keys as they were, -ENOMEM. */
int fg_keys_parse(struct fg_keys *keys, const char *text, size_t n, const char *file, char *why,
		  size_t n_why);
/** Whose key this is; NULL = nobody's. */
const struct fg_key *fg_keys_find(const struct fg_keys *keys, const char *key, size_t n);
const char *fg_key_role_name(enum fg_key_role role);

/* A keys file that is read again when it changes. */
struct fg_keyring;

/** @return 0, -errno with a sentence in why that names the file. */
int fg_keyring_open(const char *path, struct fg_keyring **ret_ring, char *why, size_t n_why);
void fg_keyring_free(struct fg_keyring **ring);
/** Looks at the file. @return 0 as it was, 1 read again, -errno with a sentence in why: the old keys
 * stay. One failure is told once, until the file changes again. */
int fg_keyring_check(struct fg_keyring *ring, char *why, size_t n_why);
const struct fg_keys *fg_keyring_keys(const struct fg_keyring *ring);
