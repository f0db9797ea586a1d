/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Replays a corpus through a fuzz target without libFuzzer: each argument is a file or a folder of
 * files. A target that finds a contradiction aborts, so that to come to the end is to pass. Each
 * input lies in memory that ends where it ends. Prints 'N files'; none at all is a failure.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"
#include "lib/mem.h"

/* A corpus is of small files; more is a mistake. */
#define MAX_INPUT_BYTES (1 << 20)

static int replay_file(const char *path)
{
	_cleanup_fclose_ FILE *in = fopen(path, "rb");
	_cleanup_free_ uint8_t *all = malloc(MAX_INPUT_BYTES);
	_cleanup_free_ uint8_t *exact = NULL;
	size_t n;

	if (!in || !all) {
		fprintf(stderr, "%s: %s: check the path\n", path, strerror(errno));
		return -EIO;
	}
	n = fread(all, 1, MAX_INPUT_BYTES, in);
	exact = malloc(n ? n : 1);
	if (!exact)
		return -ENOMEM;
	memcpy(exact, all, n);
	/* the name comes first: a crash leaves it as the last line */
	printf("%s\n", path);
	fflush(stdout);
	return LLVMFuzzerTestOneInput(exact, n) ? -EIO : 0;
}

/* @return files replayed, -EIO. */
static int replay_path(const char *path)
{
	struct dirent **names;
	struct stat st;
	char file[4096];
	int n, done = 0;

	if (stat(path, &st) || !S_ISDIR(st.st_mode))
		return replay_file(path) ? -EIO : 1;
	n = scandir(path, &names, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
		if (done >= 0 && names[i]->d_name[0] != '.')
			done = replay_file(file) ? -EIO : done + 1;
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return done;
}

int main(int argc, char **argv)
{
	int files = 0, n;

	for (int i = 1; i < argc; i++) {
		n = replay_path(argv[i]);
		if (n < 0)
			return 1;
		files += n;
	}
	printf("%d files\n", files);
	if (files == 0)
		fprintf(stderr, "fuzz: no input: give the folder of the corpus\n");
	return files == 0;
}
