/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "serve/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/mem.h"

/* As many keys as there may be, each with a line of comment. */
#define MAX_FILE_BYTES (128 * 1024)

static const char *const role_names[] = {
	[FG_KEY_OPERATOR] = "operator",
	[FG_KEY_BOUNCER] = "bouncer",
	[FG_KEY_READ] = "read",
};

const char *fg_key_role_name(enum fg_key_role role)
{
	return role_names[role];
}

/* --- Text -------------------------------------------------------------------------------------- */

struct word {
	const char *at;
	size_t n;
};

struct reader {
	const char *file;
	unsigned int line;
	char *why;
	size_t n_why;
};

__attribute__((format(printf, 2, 3))) static int refuse(const struct reader *r, const char *fmt,
							...)
{
	va_list args;
	int n = snprintf(r->why, r->n_why, "%s:%u: ", r->file, r->line);

	va_start(args, fmt);
	if (n > 0 && (size_t)n < r->n_why)
		vsnprintf(r->why + n, r->n_why - (size_t)n, fmt, args);
	va_end(args);
	return -EINVAL;
}

/* Cuts the next word off a line. Words are printable ASCII: *ret_bad is the first byte that is not. */
static struct word next_word(const char **at, const char *end, int *ret_bad)
{
	struct word w;

	while (*at < end && (**at == ' ' || **at == '\t'))
		(*at)++;
	w.at = *at;
	while (*at < end && **at != ' ' && **at != '\t') {
		if ((**at < '!' || **at > '~') && *ret_bad < 0)
			*ret_bad = (unsigned char)**at;
		(*at)++;
	}
	w.n = (size_t)(*at - w.at);
	return w;
}

static bool is_name(const struct word *w)
{
	for (size_t i = 0; i < w->n; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-",
			    w->at[i]))
			return false;
	return w->n && w->n <= FG_KEY_NAME_MAX;
}

static int role_of(const struct word *w)
{
	for (size_t i = 0; i < sizeof(role_names) / sizeof(role_names[0]); i++)
		if (strlen(role_names[i]) == w->n && !memcmp(role_names[i], w->at, w->n))
			return (int)i;
	return -1;
}

static bool digest_of(const char *key, size_t n, uint8_t digest[32])
{
	return EVP_Digest(key, n, digest, NULL, EVP_sha256(), NULL) == 1;
}

/* Two names with one key could not be told apart, nor two keys with one name. */
static int refuse_double(const struct reader *r, const struct fg_keys *keys,
			 const struct fg_key *key)
{
	for (size_t i = 0; i < keys->n; i++) {
		if (!strcmp(keys->keys[i].name, key->name))
			return refuse(r, "the name '%s' is there twice", key->name);
		if (!memcmp(keys->keys[i].digest, key->digest, sizeof(key->digest)))
			return refuse(r, "'%s' has the key of '%s'", key->name, keys->keys[i].name);
	}
	return 0;
}

/* A message never repeats a key, nor what stands in its place. */
static int take_line(const struct reader *r, struct fg_keys *keys, const char *at, const char *end)
{
	struct word name, key, role, more;
	struct fg_key *to = &keys->keys[keys->n];
	int bad = -1, found;

	name = next_word(&at, end, &bad);
	key = next_word(&at, end, &bad);
	role = next_word(&at, end, &bad);
	more = next_word(&at, end, &bad);
	if (!name.n)
		return 0;
	if (bad >= 0)
		return refuse(r, "byte 0x%02x: only printable ASCII is read here", bad);
	if (!role.n || more.n)
		return refuse(r, "%s words on the line: it is NAME KEY ROLE",
			      more.n ? "too many" : "too few");
	if (!is_name(&name))
		return refuse(r, "the name is not 1 to %d letters, digits, dots, dashes",
			      FG_KEY_NAME_MAX);
	if (key.n < FG_KEY_MIN || key.n > FG_KEY_MAX)
		return refuse(r,
			      "the key has %zu characters: %d to %d are taken ('openssl rand "
			      "-hex 32' makes one)",
			      key.n, FG_KEY_MIN, FG_KEY_MAX);
	found = role_of(&role);
	if (found < 0)
		return refuse(r, "the role is none of read, bouncer, operator");
	if (keys->n == FG_KEYS_MAX)
		return refuse(r, "more than %d keys", FG_KEYS_MAX);
	memcpy(to->name, name.at, name.n);
	to->role = (enum fg_key_role)found;
	if (!digest_of(key.at, key.n, to->digest))
		return refuse(r, "SHA-256 is missing in libcrypto");
	found = refuse_double(r, keys, to);
	keys->n += !found;
	return found;
}

int fg_keys_parse(struct fg_keys *keys, const char *text, size_t n, const char *file, char *why,
		  size_t n_why)
{
	_cleanup_free_ struct fg_keys *next = calloc(1, sizeof(*next));
	struct reader reader = { .file = file, .why = why, .n_why = n_why };
	const char *at = text, *end = text + n;
	int r = 0;

	if (!next) {
		snprintf(why, n_why, "%s: no memory", file);
		return -ENOMEM;
	}
	while (!r && at < end) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));
		const char *comment;

		if (!line_end)
			line_end = end;
		reader.line++;
		comment = memchr(at, '#', (size_t)(line_end - at));
		/* a key may hold a '#': a comment begins a line, or follows a blank */
		while (comment && comment > at && comment[-1] != ' ' && comment[-1] != '\t')
			comment = memchr(comment + 1, '#', (size_t)(line_end - comment - 1));
		r = take_line(&reader, next, at, comment ? comment : line_end);
		at = line_end < end ? line_end + 1 : end;
	}
	if (!r)
		*keys = *next;
	return r;
}

const struct fg_key *fg_keys_find(const struct fg_keys *keys, const char *key, size_t n)
{
	const struct fg_key *found = NULL;
	uint8_t digest[32];

	if (!digest_of(key, n, digest))
		return NULL;
	/* all of them, so that the time says nothing of which one */
	for (size_t i = 0; i < keys->n; i++)
		if (!CRYPTO_memcmp(keys->keys[i].digest, digest, sizeof(digest)))
			found = &keys->keys[i];
	return found;
}

/* --- File -------------------------------------------------------------------------------------- */

struct fg_keyring {
	char path[4096];
	struct stat seen; /* what was read last, or could not be */
	struct fg_keys keys;
};

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mode == b->st_mode && a->st_uid == b->st_uid &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Who can read a key has it, and who can write the file makes himself one. */
static int check_file(const char *path, const struct stat *st, char *why, size_t n_why)
{
	if (!S_ISREG(st->st_mode)) {
		snprintf(why, n_why, "%s: is no file", path);
		return -EINVAL;
	}
	if (st->st_mode & (S_IROTH | S_IWOTH | S_IWGRP)) {
		snprintf(why, n_why,
			 "%s: mode %04o lets others %s the keys: chmod 0600 it (0640 for a group)",
			 path, st->st_mode & 07777, st->st_mode & S_IROTH ? "read" : "write");
		return -EPERM;
	}
	if (st->st_uid && st->st_uid != geteuid()) {
		snprintf(why, n_why,
			 "%s: belongs to user %u, who could change it: chown it to root", path,
			 st->st_uid);
		return -EPERM;
	}
	if (st->st_size > MAX_FILE_BYTES) {
		snprintf(why, n_why, "%s: larger than %d kB, this is no keys file", path,
			 MAX_FILE_BYTES / 1024);
		return -EFBIG;
	}
	return 0;
}

static int load(struct fg_keyring *k, char *why, size_t n_why)
{
	_cleanup_close_ int fd = open(k->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	_cleanup_free_ char *text = malloc(MAX_FILE_BYTES + 1);
	struct stat st;
	size_t n = 0;
	int r;

	if (fd < 0 || !text || fstat(fd, &st)) {
		r = !text ? -ENOMEM : -errno;
		snprintf(why, n_why, "%s: %s", k->path, strerror(-r));
		return r;
	}
	k->seen = st;
	r = check_file(k->path, &st, why, n_why);
	if (r)
		return r;
	while (n <= MAX_FILE_BYTES) {
		ssize_t got = read(fd, text + n, MAX_FILE_BYTES + 1 - n);

		if (got < 0 && errno != EINTR) {
			r = -errno;
			snprintf(why, n_why, "%s: %s", k->path, strerror(-r));
			return r;
		}
		if (!got)
			break;
		n += got > 0 ? (size_t)got : 0;
	}
	r = fg_keys_parse(&k->keys, text, n, k->path, why, n_why);
	OPENSSL_cleanse(text, n);
	return r;
}

int fg_keyring_open(const char *path, struct fg_keyring **ret_ring, char *why, size_t n_why)
{
	struct fg_keyring *k = calloc(1, sizeof(*k));
	int r;

	if (!k || strlen(path) >= sizeof(k->path)) {
		snprintf(why, n_why, "%s", k ? "the path of the keys is too long" : "no memory");
		r = k ? -ENAMETOOLONG : -ENOMEM;
		free(k);
		return r;
	}
	strcpy(k->path, path);
	r = load(k, why, n_why);
	if (r)
		fg_keyring_free(&k);
	else
		*ret_ring = k;
	return r;
}

void fg_keyring_free(struct fg_keyring **ring)
{
	free(*ring);
	*ring = NULL;
}

int fg_keyring_check(struct fg_keyring *k, char *why, size_t n_why)
{
	struct stat st = { 0 };
	int r = stat(k->path, &st) ? -errno : 0;

	if (is_same(&st, &k->seen))
		return 0;
	k->seen = st;
	if (r)
		snprintf(why, n_why, "%s: %s", k->path, strerror(-r));
	else
		r = load(k, why, n_why);
	return r ? r : 1;
}

const struct fg_keys *fg_keyring_keys(const struct fg_keyring *k)
{
	return &k->keys;
}
