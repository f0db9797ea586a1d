/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Do the programs fit into the stack as Linux 6.1 counts it? It rounds each function up to 32 bytes, an
 * empty one, too, where later kernels round to 16: what loads here may be refused there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <bpf/libbpf.h>
#include <cmocka.h>
#include <linux/bpf.h>

#include "farmgate/abi.h"

#include "farmgate.skel.h"

#define STACK_BYTES   512 /* MAX_BPF_STACK */
#define ROUNDED_BYTES 32
#define MOST_CALLS    8 /* MAX_CALL_FRAMES */

struct code {
	const struct bpf_insn *insns;
	size_t n;
	unsigned int calls; /* on the deepest way */
};

static size_t lowest(size_t bytes, int below)
{
	return below < 0 && (size_t)-below > bytes ? (size_t)-below : bytes;
}

/* Where a call or the address of a callback leads; 0 = neither. No program begins with a call to itself. */
static size_t target_of(const struct bpf_insn *insn, size_t at)
{
	bool call = insn->code == (BPF_JMP | BPF_CALL) && insn->src_reg == BPF_PSEUDO_CALL;
	bool callback = insn->code == (BPF_LD | BPF_IMM | BPF_DW) &&
			insn->src_reg == BPF_PSEUDO_FUNC;

	return call || callback ? at + 1 + (size_t)(int64_t)insn->imm : 0;
}

static bool is_target(const struct code *code, size_t at)
{
	for (size_t i = 0; i < code->n; i++)
		if (target_of(&code->insns[i], i) == at)
			return true;
	return false;
}

/* Bytes of the stack that the function at `from` uses, and all that it calls. */
static size_t depth(struct code *code, size_t from, unsigned int calls)
{
	bool frame_pointer[16] = { [BPF_REG_10] = true };
	size_t own = 1, deepest = 0, i = from;

	assert_true(calls <= MOST_CALLS);
	code->calls = calls > code->calls ? calls : code->calls;
	do {
		const struct bpf_insn *insn = &code->insns[i];
		int class = BPF_CLASS(insn->code);
		size_t to = target_of(insn, i);

		if ((class == BPF_ST || class == BPF_STX) && frame_pointer[insn->dst_reg])
			own = lowest(own, insn->off);
		if (class == BPF_LDX && frame_pointer[insn->src_reg])
			own = lowest(own, insn->off);
		if (insn->code == (BPF_ALU64 | BPF_ADD | BPF_K) && frame_pointer[insn->dst_reg])
			own = lowest(own, insn->imm);
		if (class == BPF_ALU64 || class == BPF_ALU || class == BPF_LDX || class == BPF_LD)
			frame_pointer[insn->dst_reg] = insn->code ==
							       (BPF_ALU64 | BPF_MOV | BPF_X) &&
						       insn->src_reg == BPF_REG_10;
		if (to) {
			size_t below = depth(code, to, calls + 1);

			deepest = below > deepest ? below : deepest;
		}
		i += insn->code == (BPF_LD | BPF_IMM | BPF_DW) ? 2 : 1;
	} while (i < code->n && !is_target(code, i));
	return (own + ROUNDED_BYTES - 1) / ROUNDED_BYTES * ROUNDED_BYTES + deepest;
}

static void test_stack_of_linux_6_1(void **state)
{
	struct farmgate_bpf *skeleton = farmgate_bpf__open();
	struct bpf_program *program;
	unsigned int deepest = 0;

	(void)state;
	assert_non_null(skeleton);
	assert_int_equal(farmgate_bpf__load(skeleton), 0);
	bpf_object__for_each_program(program, skeleton->obj) {
		struct code code = { .insns = bpf_program__insns(program),
				     .n = bpf_program__insn_cnt(program) };
		size_t bytes = depth(&code, 0, 1);

		print_message("%s: %zu bytes, %u calls deep\n", bpf_program__name(program), bytes,
			      code.calls);
		assert_true(bytes <= STACK_BYTES);
		deepest = code.calls > deepest ? code.calls : deepest;
	}
	/* the PROXY stage and its loop were seen at all */
	assert_true(deepest >= 3);
	farmgate_bpf__destroy(skeleton);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stack_of_linux_6_1),
	};

	return cmocka_run_group_tests_name("stack", tests, NULL, NULL);
}
