/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* lib/loop: order and number of callbacks, never how long they took. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "lib/loop.h"

struct fixture {
	struct fg_loop *loop;
	int a[2], b[2]; /* pipes */
	unsigned int calls;
	uint32_t what;
	int victim;
};

static int open_loop(void **state)
{
	static struct fixture f;

	f = (struct fixture){ 0 };
	*state = &f;
	return fg_loop_new(&f.loop) < 0 || pipe2(f.a, O_CLOEXEC) < 0 || pipe2(f.b, O_CLOEXEC) < 0;
}

static int close_loop(void **state)
{
	struct fixture *f = *state;

	fg_loop_free(&f->loop);
	assert_null(f->loop);
	close(f->a[0]);
	close(f->a[1]);
	close(f->b[0]);
	close(f->b[1]);
	return 0;
}

static int count_and_stop(void *arg, uint32_t what)
{
	struct fixture *f = arg;

	f->calls++;
	f->what = what;
	fg_loop_stop(f->loop);
	return 0;
}

static int fail_with_eproto(void *arg, uint32_t what)
{
	(void)arg;
	(void)what;
	return -EPROTO;
}

/* Removes the other pipe, whose event is already in the same batch. */
static int remove_other(void *arg, uint32_t what)
{
	struct fixture *f = arg;

	(void)what;
	f->calls++;
	assert_int_equal(fg_loop_remove(f->loop, f->a[0] == f->victim ? f->a[0] : f->b[0]), 0);
	fg_loop_stop(f->loop);
	return 0;
}

static int remove_a(void *arg, uint32_t what)
{
	((struct fixture *)arg)->victim = ((struct fixture *)arg)->a[0];
	return remove_other(arg, what);
}

static int remove_b(void *arg, uint32_t what)
{
	((struct fixture *)arg)->victim = ((struct fixture *)arg)->b[0];
	return remove_other(arg, what);
}

static void test_loop_hands_events_to_their_callback(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fg_loop_add(f->loop, f->a[0], EPOLLIN, count_and_stop, f), 0);
	assert_int_equal(fg_loop_add(f->loop, f->b[0], EPOLLIN, fail_with_eproto, f), 0);
	assert_int_equal(write(f->a[1], "x", 1), 1);
	assert_int_equal(fg_loop_run(f->loop), 0);
	assert_int_equal(f->calls, 1);
	assert_true(f->what & EPOLLIN);
}

static void test_loop_ends_with_the_callbacks_error(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fg_loop_add(f->loop, f->b[0], EPOLLIN, fail_with_eproto, f), 0);
	assert_int_equal(write(f->b[1], "x", 1), 1);
	assert_int_equal(fg_loop_run(f->loop), -EPROTO);
}

static void test_loop_modify_changes_what_is_waited_for(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fg_loop_add(f->loop, f->a[1], 0, count_and_stop, f), 0);
	assert_int_equal(fg_loop_modify(f->loop, f->a[1], EPOLLOUT), 0);
	assert_int_equal(fg_loop_run(f->loop), 0);
	assert_true(f->what & EPOLLOUT);
	assert_int_equal(fg_loop_modify(f->loop, f->b[0], EPOLLIN), -ENOENT);
}

static void test_loop_refuses_twice_and_unknown(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fg_loop_add(f->loop, f->a[0], EPOLLIN, count_and_stop, f), 0);
	assert_int_equal(fg_loop_add(f->loop, f->a[0], EPOLLIN, count_and_stop, f), -EEXIST);
	assert_int_equal(fg_loop_add(f->loop, -1, EPOLLIN, count_and_stop, f), -EBADF);
	assert_int_equal(fg_loop_remove(f->loop, f->b[0]), -ENOENT);
	assert_int_equal(fg_loop_every(f->loop, 0, count_and_stop, f), -EINVAL);
}

static void test_loop_removed_in_the_same_batch_is_not_called(void **state)
{
	struct fixture *f = *state;

	/* Whichever comes first removes the other, and both are readable before the wait. */
	assert_int_equal(fg_loop_add(f->loop, f->a[0], EPOLLIN, remove_b, f), 0);
	assert_int_equal(fg_loop_add(f->loop, f->b[0], EPOLLIN, remove_a, f), 0);
	assert_int_equal(write(f->a[1], "x", 1), 1);
	assert_int_equal(write(f->b[1], "x", 1), 1);
	assert_int_equal(fg_loop_run(f->loop), 0);
	assert_int_equal(f->calls, 1);
	/* Its number may be used again at once. */
	assert_int_equal(fg_loop_add(f->loop, f->victim, EPOLLIN, count_and_stop, f), 0);
}

static int third_tick_stops(void *arg, uint32_t what)
{
	struct fixture *f = arg;

	f->what += what;
	if (f->what >= 3)
		fg_loop_stop(f->loop);
	return 0;
}

static void test_loop_timer_repeats_until_removed(void **state)
{
	struct fixture *f = *state;
	int id = fg_loop_every(f->loop, 1000000, third_tick_stops, f);

	assert_true(id >= 0);
	assert_int_equal(fg_loop_run(f->loop), 0);
	assert_true(f->what >= 3);
	assert_int_equal(fg_loop_remove(f->loop, id), 0);
	assert_int_equal(fg_loop_remove(f->loop, id), -ENOENT);
}

static void test_loop_signals_arrive_and_the_mask_returns(void **state)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
	struct fixture *f = *state;
	sigset_t now;
	size_t i;

	assert_int_equal(fg_loop_signals(f->loop, count_and_stop, f), 0);
	for (i = 0; i < 3; i++) {
		raise(signals[i]);
		assert_int_equal(fg_loop_run(f->loop), 0);
		assert_int_equal(f->what, signals[i]);
	}
	fg_loop_free(&f->loop);
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	assert_false(sigismember(&now, SIGTERM));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, open_loop, close_loop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_loop_hands_events_to_their_callback),
		TEST(test_loop_ends_with_the_callbacks_error),
		TEST(test_loop_modify_changes_what_is_waited_for),
		TEST(test_loop_refuses_twice_and_unknown),
		TEST(test_loop_removed_in_the_same_batch_is_not_called),
		TEST(test_loop_timer_repeats_until_removed),
		TEST(test_loop_signals_arrive_and_the_mask_returns),
	};

	return cmocka_run_group_tests_name("lib_loop", tests, NULL, NULL);
}
