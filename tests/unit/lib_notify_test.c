/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* lib/notify: what arrives at the service manager's socket, byte for byte. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/notify.h"

/* A datagram socket bound to name ('@' = abstract), which becomes NOTIFY_SOCKET. */
static int listen_as(const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t n = strlen(name);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0 && n < sizeof(addr.sun_path));
	memcpy(addr.sun_path, name, n);
	if (name[0] == '@')
		addr.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&addr,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n +
					  (name[0] == '@' ? 0 : 1))),
			 0);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static void expect(int fd, const char *text)
{
	char buf[1024] = "";
	ssize_t n = recv(fd, buf, sizeof(buf) - 1, 0);

	assert_int_equal(n, (ssize_t)strlen(text));
	assert_string_equal(buf, text);
}

static int forget(void **state)
{
	(void)state;
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	return 0;
}

static void test_notify_reaches_an_abstract_socket(void **state)
{
	char name[64];
	int fd;

	(void)state;
	snprintf(name, sizeof(name), "@farmgate-test-%d", getpid());
	fd = listen_as(name);
	assert_int_equal(fg_notify_ready(), 0);
	expect(fd, "READY=1");
	assert_int_equal(fg_notify_status("%d sources\nREADY=0", 7), 0);
	expect(fd, "STATUS=7 sources");
	assert_int_equal(fg_notify_watchdog(), 0);
	expect(fd, "WATCHDOG=1");
	assert_int_equal(fg_notify_stopping(), 0);
	expect(fd, "STOPPING=1");
	close(fd);
	assert_int_equal(fg_notify_ready(), -ECONNREFUSED);
}

static void test_notify_reaches_a_path(void **state)
{
	char dir[] = "/tmp/fg-notify-XXXXXX", path[64];
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	fd = listen_as(path);
	assert_int_equal(fg_notify_ready(), 0);
	expect(fd, "READY=1");
	close(fd);
	unlink(path);
	assert_int_equal(fg_notify_ready(), -ENOENT);
	rmdir(dir);
}

static void test_notify_without_a_manager_does_nothing(void **state)
{
	(void)state;
	assert_int_equal(fg_notify_ready(), 0);
	setenv("NOTIFY_SOCKET", "", 1);
	assert_int_equal(fg_notify_ready(), 0);
	setenv("NOTIFY_SOCKET", "relative", 1);
	assert_int_equal(fg_notify_ready(), -EINVAL);
}

static void test_notify_refuses_an_address_too_long(void **state)
{
	char path[200];

	(void)state;
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	setenv("NOTIFY_SOCKET", path, 1);
	assert_int_equal(fg_notify_ready(), -EINVAL);
}

static void test_notify_watchdog_is_half_the_time_of_this_process(void **state)
{
	char pid[16];

	(void)state;
	assert_true(fg_notify_watchdog_ns() == 0);
	setenv("WATCHDOG_USEC", "30000000", 1);
	assert_true(fg_notify_watchdog_ns() == 15000000000ULL);
	snprintf(pid, sizeof(pid), "%d", getpid());
	setenv("WATCHDOG_PID", pid, 1);
	assert_true(fg_notify_watchdog_ns() == 15000000000ULL);
	setenv("WATCHDOG_PID", "1", 1);
	assert_true(fg_notify_watchdog_ns() == 0);
	setenv("WATCHDOG_PID", pid, 1);
	setenv("WATCHDOG_USEC", "soon", 1);
	assert_true(fg_notify_watchdog_ns() == 0);
	setenv("WATCHDOG_USEC", "0", 1);
	assert_true(fg_notify_watchdog_ns() == 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, forget, forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_notify_reaches_an_abstract_socket),
		TEST(test_notify_reaches_a_path),
		TEST(test_notify_without_a_manager_does_nothing),
		TEST(test_notify_refuses_an_address_too_long),
		TEST(test_notify_watchdog_is_half_the_time_of_this_process),
	};

	return cmocka_run_group_tests_name("lib_notify", tests, NULL, NULL);
}
