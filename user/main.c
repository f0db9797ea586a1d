/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Options, then the command: user/cmd/commands.c lists them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "lib/log.h"

/* Output that did not arrive (full disk, closed pipe) is an error, whatever the command thinks. */
static int finish(int exit_code)
{
	if (fflush(stdout) || ferror(stdout)) {
		fg_complain("stdout", "%s", errno ? strerror(errno) : "cannot be written");
		return exit_code ? exit_code : FG_EXIT_ERROR;
	}
	return exit_code;
}

static int print_version(void)
{
	puts("farmgate " FG_VERSION);
	puts("built in: libbpf libelf zlib libcrypto libpcap jansson libmicrohttpd libcyaml sqlite3"
#ifdef FG_HAVE_LIBMAXMINDDB
	     " libmaxminddb"
#endif
#ifdef FG_HAVE_LIBCURL
	     " libcurl"
#endif
	);
	puts("left out:"
#ifndef FG_HAVE_LIBMAXMINDDB
	     " libmaxminddb"
#endif
#ifndef FG_HAVE_LIBCURL
	     " libcurl"
#endif
	     " ncursesw hiredis libpq");
	return finish(FG_EXIT_OK);
}

int main(int argc, char **argv)
{
	const struct fg_command *command = NULL;
	struct fg_options options;
	int n, r;

	r = fg_options_parse(&options, &command, argc, argv, &n);
	if (r)
		return r;
	if (options.version)
		return print_version();
	if (options.help) {
		fg_options_help(stdout, command);
		return finish(FG_EXIT_OK);
	}
	if (!command) {
		fg_complain("farmgate", "no command ('farmgate --help' lists them)");
		return FG_EXIT_USAGE;
	}
	return finish(command->run(&options, n, argv));
}
