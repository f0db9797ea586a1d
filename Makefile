# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# One Makefile for everything. `make help` lists targets and variables. Output goes to .out/ only.
# Objects are listed in the order packets flow through them: this file is also the map.

VERSION := $(or $(VERSION),$(patsubst v%,%,$(shell git describe --tags --match 'v[0-9]*' \
	2>/dev/null)),0.1.0)
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
CLANG ?= clang
BPFTOOL ?= $(or $(shell PATH="$$PATH:/usr/sbin" command -v bpftool),bpftool)
PKG_CONFIG ?= pkg-config
CLANG_FORMAT ?= clang-format-14
CLANG_TIDY ?= clang-tidy
ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin AR),default)
AR := gcc-ar
endif

OUT ?= .out
# The kernel side knows no sanitizer: all builds share one.
BPF_OUT := .out
SKEL := $(BPF_OUT)/farmgate.skel.h
SAN ?=
CFLAGS ?= -O2 -g
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes $(if $(WERROR),-Werror)
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer)

.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := all
MAKEFLAGS += --no-builtin-rules
ifeq ($(V),1)
Q :=
say :=
else
Q := @
say = @printf '  %-8s %s\n' $1 $2;
endif

# --- What there is, in flow order. A file not named here comes last in its folder. -----------
files = $(wildcard $(patsubst %,user/$1/%.c,$2))
group = $(call files,$1,$2) $(filter-out $(call files,$1,$2),$(sort $(wildcard user/$1/*.c)))

SENSOR := $(call group,sensor,probe sensor pins attach tables clock)
SOURCE := $(call group,source,capture engine_host engine_kernel quic_packet quic quic_take take)
MODEL := $(call group,model,model summary remember signals stems hosts networks networks_mmdb traits cells reach usual accounts ja4 stack family)
DETECT := $(call group,detect,detect benign volume families cell_tests cohort clock cohort_alarm handover lockstep cohort_daily members cohort_members cohort_text cohort_save accounts communities replacement)
VERDICT := $(call group,verdict,store life notes decisions undo allows guard open disk disk_past disk_summaries instance)
EXPORT := $(call group,export,plan export target diff xdp nft ipset haproxy nginx hook lapi lapi_session lapi_json lapi_http crowdsec child file formats text documents exabgp stix)
SERVE := $(call group,serve,listen keys failures negotiate http api bouncer lists signals evidence guarded explain decide decide_block report cohorts fairness feed feed_line)
AGENT := $(call group,agent,conf conf_schema conf_lists conf_values conf_paths conf_exports conf_copy core core_kept memory allowfiles guards agent exports api feed replay)
CMD := $(call group,cmd,commands options run replay ja4 client ask lists decide export follow routes checkconf doctor)
LIB := $(call group,lib,ip prefixes num near betabin hll minhash log jsonw yaml loop notify)
HOST := $(SENSOR) $(SOURCE) $(MODEL) $(DETECT) $(VERDICT) $(EXPORT) $(SERVE) $(AGENT) $(CMD) $(LIB)

UNIT := $(sort $(wildcard tests/unit/*_test.c))
ROOT := $(sort $(wildcard tests/bpf/*_test.c tests/parity/*_test.c))
FUZZ := $(sort $(wildcard tests/fuzz/fuzz_*.c))
BENCH := $(sort $(wildcard tests/bench/*.c))
# Programs that the root tests and the lab run: a load of real TLS clients, a forger of frames, a
# wire with a delay.
TOOLS := tests/harness/tlsload.c tests/harness/rawsend.c tests/harness/delay.c
HARNESS := $(filter-out $(TOOLS),$(sort $(wildcard tests/harness/*.c)))
# The simulated campaign: what is proven about detection. In flow order as above.
CAMPAIGN_MAIN := tests/campaign/campaign.c
CAMPAIGN_FIRST := $(wildcard $(patsubst %,tests/campaign/%.c,world plan keys epochs packets \
	compare map score run branches summary agree truth capture judge))
CAMPAIGN := $(CAMPAIGN_FIRST) \
	$(filter-out $(CAMPAIGN_FIRST) $(CAMPAIGN_MAIN),$(sort $(wildcard tests/campaign/*.c)))

HOST_OBJ := $(HOST:%.c=$(OUT)/obj/%.o)
MAIN_OBJ := $(OUT)/obj/user/main.o
HARNESS_OBJ := $(HARNESS:%.c=$(OUT)/obj/%.o)
UNIT_BIN := $(UNIT:%.c=$(OUT)/%)
ROOT_BIN := $(ROOT:%.c=$(OUT)/%)
FUZZ_BIN := $(FUZZ:%.c=$(OUT)/%)
CAMPAIGN_OBJ := $(CAMPAIGN:%.c=$(OUT)/obj/%.o)
BENCH_BIN := $(BENCH:tests/bench/%.c=$(OUT)/bench/%)
TOOL_BIN := $(TOOLS:tests/harness/%.c=$(OUT)/tests/%)

# --- Libraries: pkg-config name and Debian package. Looked for only where something is built. -
LIBS := libbpf:libbpf-dev libelf:libelf-dev zlib:zlib1g-dev libcrypto:libssl-dev \
	libpcap:libpcap-dev jansson:libjansson-dev libmicrohttpd:libmicrohttpd-dev \
	libcyaml:libcyaml-dev yaml-0.1:libyaml-dev sqlite3:libsqlite3-dev
# Left out where they are not there; sources ask for FG_HAVE_NAME.
OPTIONAL := libmaxminddb:libmaxminddb-dev libcurl:libcurl4-openssl-dev
name_of = $(firstword $(subst :, ,$1))
package_of = $(lastword $(subst :, ,$1))
found = $(shell $(PKG_CONFIG) --exists $(call name_of,$1) 2>/dev/null && echo yes)

NOTHING_BUILT := help clean format format-check uninstall check-tree
ifneq ($(filter-out $(NOTHING_BUILT),$(or $(MAKECMDGOALS),all)),)
ifeq ($(shell command -v $(PKG_CONFIG)),)
$(error $(PKG_CONFIG) is missing: apt-get install pkg-config (or sudo scripts/deps build))
endif
MISSING := $(foreach l,$(LIBS),$(if $(call found,$l),,$(call package_of,$l)))
MISSING += $(if $(shell command -v $(CLANG)),,clang) $(if $(shell command -v $(BPFTOOL)),,bpftool)
ifneq ($(strip $(MISSING)),)
$(error missing: apt-get install $(strip $(MISSING)) (or sudo scripts/deps build))
endif
HAVE := $(foreach l,$(OPTIONAL),$(if $(call found,$l),$(call name_of,$l)))
PKG_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(foreach l,$(LIBS),$(call name_of,$l)) $(HAVE)) \
	$(foreach l,$(HAVE),-DFG_HAVE_$(shell echo $l | tr 'a-z-' 'A-Z_'))
PKG_LIBS := $(shell $(PKG_CONFIG) --libs $(foreach l,$(LIBS),$(call name_of,$l)) $(HAVE))
MULTIARCH := $(shell $(CC) -print-multiarch 2>/dev/null || gcc -print-multiarch)
endif

ALL_CFLAGS = -std=gnu17 $(WARN) $(SANFLAGS) $(CFLAGS) $(PKG_CFLAGS) -DFG_VERSION='"$(VERSION)"' \
	-Iinclude -Iuser $(CPPFLAGS) -MMD -MP
ALL_LIBS = $(PKG_LIBS) -lm -pthread
# Kernel 6.1 refuses a loop whose back edge falls through, which is how block placement lays loops
# out; without it the cost is a few nanoseconds on warm frames.
BPF_CFLAGS := -target bpf -mcpu=v3 -O2 -g -std=gnu17 -Wall -Wextra -Iinclude -Ibpf \
	-mllvm -disable-block-placement

# --- Product ---------------------------------------------------------------------------------
.PHONY: all
all: $(OUT)/farmgate ## build the program (default)

$(OUT)/farmgate: $(MAIN_OBJ) $(OUT)/libfarmgate.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(SANFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(ALL_LIBS)

# An archive, so that a test program links only what it uses.
$(OUT)/libfarmgate.a: $(HOST_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(OUT)/obj/%.o: %.c Makefile
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<

# Only these see the skeleton of the kernel side.
SKELETON_USERS := $(filter user/sensor/% user/source/engine_kernel.c,$(HOST))
$(SKELETON_USERS:%.c=$(OUT)/obj/%.o): ALL_CFLAGS += -isystem $(BPF_OUT)
$(SKELETON_USERS:%.c=$(OUT)/obj/%.o): $(SKEL)

# A new version rebuilds just the files that print it.
$(OUT)/version: FORCE
	@mkdir -p $(@D)
	@echo '$(VERSION)' | cmp -s - $@ || echo '$(VERSION)' >$@
$(patsubst %.c,$(OUT)/obj/%.o,$(shell grep -ls FG_VERSION $(HOST) user/main.c)): $(OUT)/version

# As does a library that came or went.
$(OUT)/have: FORCE
	@mkdir -p $(@D)
	@echo '$(HAVE)' | cmp -s - $@ || echo '$(HAVE)' >$@
$(patsubst %.c,$(OUT)/obj/%.o,$(shell grep -ls FG_HAVE_ $(HOST) user/main.c)): $(OUT)/have

$(BPF_OUT)/farmgate.bpf.o: bpf/farmgate.bpf.c Makefile
	$(call say,BPF,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -idirafter /usr/include/$(MULTIARCH) -MMD -MP -c -o $@ $<

$(SKEL): $(BPF_OUT)/farmgate.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name farmgate_bpf >$@

# --- Tests -----------------------------------------------------------------------------------
TEST_CFLAGS = -Itests -Itests/harness -isystem $(BPF_OUT)

$(OUT)/obj/tests/%.o: ALL_CFLAGS += $(TEST_CFLAGS)
# By name: a pattern without a recipe adds no prerequisite.
$(patsubst %.c,$(OUT)/obj/%.o,$(wildcard tests/bpf/*.c tests/parity/*.c tests/bench/*.c)): $(SKEL)

# An archive again: a test of one level needs no world.
$(OUT)/libcampaign.a: $(CAMPAIGN_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(OUT)/tests/campaign: $(CAMPAIGN_MAIN:%.c=$(OUT)/obj/%.o) $(OUT)/libcampaign.a $(HARNESS_OBJ) \
		$(OUT)/libfarmgate.a
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(SANFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(ALL_LIBS)

$(UNIT_BIN) $(ROOT_BIN): $(OUT)/tests/%: $(OUT)/obj/tests/%.o $(OUT)/libcampaign.a \
		$(HARNESS_OBJ) $(OUT)/libfarmgate.a
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(SANFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka $(ALL_LIBS)

# With FUZZER set (make fuzz) libFuzzer brings main(); else tests/fuzz/main.c replays the corpus.
$(FUZZ_BIN): $(OUT)/tests/%: $(OUT)/obj/tests/%.o $(if $(FUZZER),,$(OUT)/obj/tests/fuzz/main.o) \
		$(HARNESS_OBJ) $(OUT)/libfarmgate.a
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(SANFLAGS) $(if $(FUZZER),-fsanitize=fuzzer) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(ALL_LIBS)

$(BENCH_BIN): $(OUT)/bench/%: $(OUT)/obj/tests/bench/%.o $(OUT)/libcampaign.a \
		$(HARNESS_OBJ) $(OUT)/libfarmgate.a
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(SANFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(ALL_LIBS)

$(TOOL_BIN): $(OUT)/tests/%: $(OUT)/obj/tests/harness/%.o $(OUT)/libfarmgate.a
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(SANFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lssl $(ALL_LIBS)

.PHONY: unit-programs root-programs tests
unit-programs: $(UNIT_BIN) $(FUZZ_BIN)
root-programs: $(ROOT_BIN) $(TOOL_BIN)
tests: all unit-programs root-programs campaign-program ## build every test program

.PHONY: check check-root check-all check-tree asan asan-programs fuzz bench conformance
check: all unit-programs ## tests that need no root: unit, fuzz corpora, replay, tree checks
	$(Q)OUT=$(OUT) tests/run unit fuzz replay check

check-root: all root-programs ## tests that need root: bpf, parity, netns
	$(Q)OUT=$(OUT) tests/run bpf parity netns

check-all: tests asan-programs ## every test
	$(Q)OUT=$(OUT) tests/run

check-tree: ## only the checks of the source tree
	$(Q)tests/run check

asan-programs: $(SKEL)
	$(Q)$(MAKE) --no-print-directory OUT=$(OUT)/asan SAN=address,undefined unit-programs

asan: asan-programs ## unit tests and fuzz corpora under ASan and UBSan
	$(Q)OUT=$(OUT) tests/run asan

FUZZ_SECONDS ?= 20
fuzz: $(SKEL) ## each fuzz target under libFuzzer for FUZZ_SECONDS
	$(Q)$(MAKE) --no-print-directory OUT=.out/fuzz CC=$(CLANG) AR=ar FUZZER=1 \
		SAN=fuzzer-no-link,address,undefined fuzz-programs
	$(Q)OUT=.out/fuzz scripts/fuzz $(FUZZ_SECONDS)

.PHONY: fuzz-programs
fuzz-programs: $(FUZZ_BIN)

.PHONY: kill
kill: all root-programs ## kill the agent 200 times amid decisions (root, a quarter of an hour)
	$(Q)OUT=$(OUT) FG_KILL_ROUNDS=200 TEST_TIMEOUT=3600 tests/run tests/netns/kill.sh

.PHONY: campaign-program campaign-smoke campaign campaign-ablations campaign-full
campaign-program: all $(OUT)/tests/campaign ## build the simulator of the detection proof
campaign-smoke: campaign-program ## three farms, four surprises, small: minutes
	$(Q)OUT=$(OUT) scripts/campaign smoke

campaign: campaign-program ## every farm and surprise with five seeds, as a table: an hour or so
	$(Q)OUT=$(OUT) scripts/campaign table

campaign-ablations: campaign-program ## one farm with less to see
	$(Q)OUT=$(OUT) scripts/campaign ablations

campaign-full: campaign-program ## the reference campaign as frames through replay: an hour
	$(Q)OUT=$(OUT) scripts/campaign full

bench: all $(BENCH_BIN) $(TOOL_BIN) ## benchmarks (root for the kernel side)
	$(Q)for program in $(BENCH_BIN); do echo "$$program"; $$program || exit 1; done

conformance: all ## fingerprints of a set of captures against its expected.tsv: DIR=…
	$(Q)OUT=$(OUT) scripts/conformance "$(DIR)"

# --- Source tree -----------------------------------------------------------------------------
.PHONY: format format-check tidy
format: ## format every C file
	$(Q)CLANG_FORMAT=$(CLANG_FORMAT) scripts/format

format-check: ## list C files that are not formatted
	$(Q)CLANG_FORMAT=$(CLANG_FORMAT) scripts/format --check

tidy: $(SKEL) ## clang-tidy over the host side
	$(Q)$(CLANG_TIDY) --quiet $(HOST) -- -std=gnu17 -Iinclude -Iuser -isystem $(BPF_OUT) \
		-DFG_VERSION='""' $(PKG_CFLAGS)

# --- Installation ----------------------------------------------------------------------------
MAN := $(sort $(wildcard user/man/*.[1-9]))
MAN_DIR := $(DESTDIR)$(PREFIX)/share/man
CONF_DIR := $(DESTDIR)$(SYSCONFDIR)/farmgate
UNIT_DIR := $(DESTDIR)$(PREFIX)/lib/systemd/system

.PHONY: install uninstall
install: all ## install below DESTDIR and PREFIX; an existing configuration stays
	$(Q)install -D -m 755 $(OUT)/farmgate $(DESTDIR)$(PREFIX)/sbin/farmgate
	$(Q)for page in $(notdir $(MAN)); do install -D -m 644 user/man/$$page \
		$(MAN_DIR)/man$${page##*.}/$$page || exit 1; done
	$(Q)test -e $(CONF_DIR)/farmgate.yaml || \
		install -D -m 644 scripts/farmgate.yaml $(CONF_DIR)/farmgate.yaml
	$(Q)install -D -m 644 scripts/farmgate.service $(UNIT_DIR)/farmgate.service
	$(Q)sed -i 's|@sbindir@|$(PREFIX)/sbin|g' $(UNIT_DIR)/farmgate.service

uninstall: ## remove what install put there, but the configuration
	$(Q)rm -f $(DESTDIR)$(PREFIX)/sbin/farmgate $(UNIT_DIR)/farmgate.service
	$(Q)rm -f $(foreach page,$(MAN:user/man/%=%),$(MAN_DIR)/man$(lastword $(subst ., ,$(page)))/$(page))

.PHONY: clean help FORCE
clean: ## remove .out
	$(Q)rm -rf .out

help: ## this list
	@awk -f scripts/help.awk Makefile
FORCE:

-include $(HOST_OBJ:.o=.d) $(MAIN_OBJ:.o=.d) $(HARNESS_OBJ:.o=.d) $(BPF_OUT)/farmgate.bpf.d
-include $(patsubst %.c,$(OUT)/obj/%.d,$(UNIT) $(ROOT) $(FUZZ) $(BENCH) $(TOOLS) tests/fuzz/main.c \
	$(CAMPAIGN) $(CAMPAIGN_MAIN))
