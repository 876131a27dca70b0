# SPDX-License-Identifier: Apache-2.0
#
# `make help` lists the targets. One set of rules builds every variant: VARIANT=plain (gcc, into build/), clang (the
# same with clang, into build/clang/), asan (gcc with sanitizers, into build/asan/), fuzz (clang with libFuzzer, into
# build/fuzz/), arm64 (cross-built, into build/arm64/, for the image). The BPF programs and their skeletons do not depend
# on the variant and are always in build/; but for newclang, whose are of the newest clang, and twin and next, whose are
# of another contract.

VARIANT ?= plain
PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 30
SEEDS ?= 20
ROUNDS ?= 3
SECONDS ?= 120
SEED ?=
REPORT ?=
IMAGE_ARCHS ?= amd64 arm64

BPF_CLANG ?= clang
BPFTOOL ?= bpftool
ifeq ($(origin CC),default)
CC := gcc
endif

# bpftool, ip and nft live in sbin, which a user's PATH (and su's) may lack.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

V ?= 0
ifeq ($(V),0)
Q := @
say = @echo '  $(1)'
else
say = @:
endif

jobs := $(shell nproc)

# --- Variants -------------------------------------------------------------------------------------------------------

OUT_plain := build
OUT_clang := build/clang
OUT_asan := build/asan
OUT_fuzz := build/fuzz
OUT_twin := build/twin
OUT_next := build/next
OUT_coverage := build/coverage
OUT_newclang := build/newclang
OUT_arm64 := build/arm64
OUT := $(OUT_$(VARIANT))
ifeq ($(OUT),)
$(error VARIANT=$(VARIANT) is none of plain, clang, asan, fuzz, twin, next, newclang, coverage, arm64)
endif

# Of this machine, whatever the variant is built for: the BPF programs include its headers.
MULTIARCH := $(shell $(CC) -print-multiarch 2>/dev/null)

override CC := $(if $(filter clang fuzz,$(VARIANT)),clang,$(CC))
ifeq ($(VARIANT),arm64)
# SYSROOT: what deploy/image/sysroot prints; deploy/image/build gives it.
SYSROOT ?= $(shell deploy/image/sysroot arm64)
override CC := aarch64-linux-gnu-gcc --sysroot=$(SYSROOT)
endif
HARDENING_plain := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE
HARDENING_LINK_plain := -pie -Wl,-z,relro,-z,now
HARDENING_arm64 := $(HARDENING_plain)
HARDENING_LINK_arm64 := $(HARDENING_LINK_plain)
SANITIZE_asan := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SANITIZE_fuzz := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
# What is counted is written at a program's end, beside its objects.
SANITIZE_coverage := --coverage -fprofile-update=atomic -O0
SANITIZE := $(SANITIZE_$(VARIANT))

# Two agents of another contract, for tests of upgrades and downgrades: one with the same layout under another number,
# one with a changed layout. Their BPF programs are their own.
CONTRACT_twin := -DEGRESS_CONTRACT_VERSION=1001
CONTRACT_next := -DEGRESS_CONTRACT_VERSION=1002 -DEGRESS_TEST_LAYOUT
CONTRACT := $(CONTRACT_$(VARIANT))
BPF_OUT := $(if $(CONTRACT)$(filter newclang,$(VARIANT)),$(OUT),build)
ifeq ($(VARIANT),newclang)
BPF_CLANG := $(shell tests/deps --newest-clang)
endif

# --- Flags ----------------------------------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wundef -Wvla -Werror
INCLUDES := -Iinclude -Iuser -I$(BPF_OUT)
# What clang builds is built for its warnings, which come before it optimizes; twin, next and newclang are tried for what
# they do, not for how fast.
CFLAGS ?= $(if $(filter clang twin next newclang,$(VARIANT)),-O0,-O2) -g
# The directory of the tree is left out of debugging data, so that the same source gives the same programs anywhere.
REPRODUCIBLE := -ffile-prefix-map=$(CURDIR)=.
ALL_CFLAGS := -std=gnu11 $(CONTRACT) $(REPRODUCIBLE) $(CFLAGS) $(WARNINGS) $(HARDENING_$(VARIANT)) $(SANITIZE) $(INCLUDES)
ALL_LDFLAGS := $(LDFLAGS) $(HARDENING_LINK_$(VARIANT)) $(SANITIZE)
LIBRARIES := -lbpf -lelf -lz -lyaml -levent -lcurl -ljansson -lmnl -lcap-ng -lseccomp -lpthread

COMMIT := $(shell git describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null)

BPF_CFLAGS := $(CONTRACT) -O2 -g $(REPRODUCIBLE) -target bpf -mcpu=v3 -Wall -Wextra -Werror -Iinclude -Ibpf -I/usr/include/$(MULTIARCH)

# --- Files ----------------------------------------------------------------------------------------------------------

BPF_SOURCES := $(wildcard bpf/*.bpf.c)
SKELETONS := $(BPF_SOURCES:bpf/%.bpf.c=$(BPF_OUT)/%.skel.h)
TEST_BPF_OBJECTS := $(patsubst %.bpf.c,build/%.bpf.o,$(wildcard tests/bpf/*.bpf.c tests/netns/*.bpf.c))

library_directories := base model source policy datapath report node
library_objects := $(patsubst %.c,$(OUT)/obj/%.o,$(wildcard $(library_directories:%=user/%/*.c)))
agent_objects := $(patsubst %.c,$(OUT)/obj/%.o,$(wildcard user/agent/*.c))
cli_objects := $(patsubst %.c,$(OUT)/obj/%.o,$(wildcard user/cli/*.c))
cni_objects := $(patsubst %.c,$(OUT)/obj/%.o,$(wildcard user/cni/*.c))
cli_library_objects := $(filter-out %/main.o,$(cli_objects))
library := $(OUT)/libegressd.a
programs := $(OUT)/egressd $(OUT)/egressctl $(OUT)/egress-cni

# Programs of the benchmark, and the skeletons of the BPF programs that it measures.
bench_tools := $(patsubst %.c,$(OUT)/%,$(filter-out %.bpf.c,$(wildcard tests/bench/*.c)))
BENCH_SKELETONS := $(patsubst %.bpf.c,build/%.skel.h,$(wildcard tests/bench/*.bpf.c))

# Every .c of tests/unit and tests/bpf is a test program of its own; those of the others are tools that tests call.
unit_tests := $(patsubst %.c,$(OUT)/%,$(wildcard tests/unit/*.c))
bpf_tests := $(patsubst %.c,$(OUT)/%,$(filter-out %.bpf.c,$(wildcard tests/bpf/*.c)))
test_tools := $(patsubst %.c,$(OUT)/%,$(wildcard tests/lib/*.c tests/chaos/*.c tests/oracle/*.c))
# Libraries that take the place of a function, by LD_PRELOAD.
preloads := $(patsubst %.c,$(OUT)/%.so,$(wildcard tests/lib/preload/*.c))
fuzzers := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/*.c))

# --- Targets --------------------------------------------------------------------------------------------------------

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SECONDARY:
MAKEFLAGS += --no-builtin-rules --no-print-directory

.PHONY: help
help: ## list the targets
	@echo 'usage: make TARGET [V=1] [CC=...] [PREFIX=/usr/local] [DESTDIR=]'
	@echo
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' Makefile | expand -t 14 | sed 's/^/  /'

.PHONY: deps deps-demo
deps: ## install the Debian packages that are missing (as root)
	$(Q)tests/deps check
deps-demo:
	$(Q)tests/deps demo

# What follows after `deps` is a make of its own: the compilers may not have been there when this one started.
.PHONY: build
build: ## build egressd, egressctl and egress-cni into build/
	$(Q)mkdir -p build
	$(Q)flock build/.lock $(MAKE) --jobs=$(jobs) programs

.PHONY: demo
demo: deps-demo ## install what is missing, build, and show the program at work
	$(Q)$(MAKE) build
	$(Q)tests/demo/demo.sh

.PHONY: check
check: deps ## install what is missing, build, and run every test
	$(Q)tests/run

.PHONY: check-kube check-unit check-bpf check-netns check-asan check-oracle check-chaos check-killed check-valgrind check-fuzz check-deploy check-cni check-lint
check-unit: deps ## run the unit tests only
	$(Q)tests/run build unit
check-bpf: deps ## run the tests of the BPF programs only
	$(Q)tests/run build bpf
check-netns: deps ## run the tests with real traffic in namespaces only
	$(Q)tests/run build netns cli
check-lint: deps ## look for mistakes without running anything: clang-tidy, cppcheck, shellcheck, pyflakes
	$(Q)tests/run build lint
check-kube: deps ## run the agent against a real API server, and a server with faults (see tests/kube/build-binaries)
	$(Q)tests/run build kube
check-asan: deps ## run everything that is built with sanitizers
	$(Q)tests/run asan-build asan-unit asan-bpf asan-netns asan-cli asan-cni asan-kube
check-cni: deps ## run egress-cni with real containers, ROUNDS (3) times as many as `check` does
	$(Q)tests/run build
	$(Q)ROUNDS=$(ROUNDS) bash tests/cni/containers.sh
check-oracle: deps ## compare the compiler with the oracle over SEEDS (20) random clusters
	$(Q)$(MAKE) --jobs=$(jobs) tests
	$(Q)tests/oracle/run --seeds $(SEEDS)
.PHONY: check-kernels
check-kernels: deps ## boot Debian's kernels from 5.10 to the newest and run the BPF and netns tests inside
	$(Q)$(MAKE) --jobs=$(jobs) tests
	$(Q)$(MAKE) --jobs=$(jobs) VARIANT=newclang packet-tests
	$(Q)tests/kernels/run
check-chaos: deps ## everything at once, for SECONDS (120) while traffic runs; SEED repeats a run, REPORT=DIR keeps its logs
	$(Q)CHAOS_SECONDS=$(SECONDS) CHAOS_SEED=$(SEED) CHAOS_REPORT=$(REPORT) tests/run build chaos
check-killed: deps ## kill a starting agent at each of its steps, and let the next one take up what it left
	$(Q)KILL_STEPS=all tests/run build netns/killed.sh
check-valgrind: deps ## run the tests of the agent's life under valgrind
	$(Q)VALGRIND=all tests/run build valgrind
check-fuzz: deps ## fuzz for FUZZ_SECONDS (30) a target; FUZZ_PACKETS=N: random packets and flows as well
	$(Q)FUZZ_SECONDS=$(FUZZ_SECONDS) tests/run fuzz-build fuzz
	$(if $(FUZZ_PACKETS),$(Q)$(MAKE) tests)
	$(if $(FUZZ_PACKETS),$(Q)FUZZ_PACKETS=$(FUZZ_PACKETS) tests/lib/sandbox build/tests/bpf/parser_fuzz)
	$(if $(FUZZ_PACKETS),$(Q)FLOW_MODEL_SECONDS=$(FUZZ_SECONDS) tests/lib/sandbox build/tests/bpf/flow_model)
check-deploy: deps ## run the tests of image, manifests and chart only
	$(Q)tests/run build deploy

.PHONY: e2e
e2e: deps ## a cluster of one node with a real kubelet: deploy/ applied, flows between its pods (see tests/e2e/e2e.sh)
	$(Q)tests/run build e2e

.PHONY: coverage
coverage: deps ## run the tests with gcov and print what of user space they reach (SUITES="unit cli ...": fewer of them)
	$(Q)tests/coverage $(SUITES)

.PHONY: deps-bench bench bench-readme
deps-bench:
	$(Q)tests/deps bench
bench: deps-bench ## measure it beside what others use (ten minutes; BENCH=quick two), into build/bench.*
	$(Q)$(MAKE) --jobs=$(jobs) benches
	$(Q)tests/bench/run
bench-readme: ## put the figures of the last benchmark into README.md
	$(Q)tests/bench/readme

.PHONY: bench-compile
bench-compile: build ## measure the compiler through egressctl: time, memory, flows a second
	$(Q)tests/bench/offline $(OUT)/egressctl

.PHONY: install
install: build ## copy the programs to $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/share/doc/egressd/examples
	install -m 0755 build/egressd build/egressctl $(DESTDIR)$(PREFIX)/sbin
	install -d $(DESTDIR)$(PREFIX)/libexec/egressd
	install -m 0755 build/egress-cni $(DESTDIR)$(PREFIX)/libexec/egressd
	install -d $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 0644 $(wildcard deploy/man/*.8) $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 0644 README.md LICENSE $(DESTDIR)$(PREFIX)/share/doc/egressd
	install -m 0644 deploy/examples/* $(DESTDIR)$(PREFIX)/share/doc/egressd/examples

.PHONY: image
image: ## build container images from nothing into build/image/ (IMAGE_ARCHS="amd64 arm64")
	$(Q)tests/deps image
	$(Q)deploy/image/build $(IMAGE_ARCHS)

.PHONY: kind-demo kind-bench
kind-demo: ## show it at work on a cluster of two nodes (needs kind, docker, kubectl)
	$(Q)deploy/kind/demo
kind-bench: ## measure pods' traffic between two nodes, with and without it (needs kind, docker, kubectl)
	$(Q)deploy/kind/bench

.PHONY: manifests
manifests: ## render deploy/kustomize from the Helm chart
	$(Q)HELM=$$(tests/lib/go-tool helm) deploy/helm/render deploy/kustomize

# For tests/lint.
.PHONY: print-flags print-bpf-flags
print-flags:
	@echo '-std=gnu11 $(WARNINGS) $(INCLUDES) -DEGRESSD_COMMIT=""'
print-bpf-flags:
	@echo '$(BPF_CFLAGS)'

.PHONY: clean
clean: ## remove build/
	rm -rf build

# For `build` and tests/run: what belongs to one variant.
.PHONY: programs tests packet-tests fuzzers benches
programs: $(programs)
benches: $(programs) $(bench_tools)
tests: $(programs) $(unit_tests) $(bpf_tests) $(test_tools) $(TEST_BPF_OBJECTS) $(if $(filter plain,$(VARIANT)),$(bench_tools) $(preloads))
# Of tests/bpf, what runs the programs packet by packet.
packet-tests: $(patsubst %.c,$(OUT)/%,$(shell grep -l '"harness.h"' tests/bpf/*.c)) $(OUT)/tests/bpf/verifier
fuzzers: $(fuzzers)

# --- BPF ------------------------------------------------------------------------------------------------------------

$(BPF_OUT)/%.bpf.o: bpf/%.bpf.c Makefile
	$(call say,BPF      $@)
	$(Q)mkdir -p $(@D)
	$(Q)$(BPF_CLANG) $(BPF_CFLAGS) -MMD -MP -MF $@.d -c $< -o $@

$(bench_tools:$(OUT)/%=$(OUT)/obj/%.o): | $(BENCH_SKELETONS)
build/tests/bench/%.skel.h: build/tests/bench/%.bpf.o
	$(call say,SKELETON $@)
	$(Q)$(BPFTOOL) gen skeleton $< name $* > $@

build/tests/%.bpf.o: tests/%.bpf.c Makefile
	$(call say,BPF      $@)
	$(Q)mkdir -p $(@D)
	$(Q)$(BPF_CLANG) $(BPF_CFLAGS) -MMD -MP -MF $@.d -c $< -o $@

$(BPF_OUT)/%.skel.h: $(BPF_OUT)/%.bpf.o
	$(call say,SKELETON $@)
	$(Q)$(BPFTOOL) gen skeleton $< name $* > $@

# --- User space -----------------------------------------------------------------------------------------------------

# What the programs say of themselves; they are built anew when it changes.
build/commit: FORCE
	$(Q)mkdir -p $(@D)
	$(Q)echo '$(COMMIT)' | cmp -s - $@ || echo '$(COMMIT)' > $@
.PHONY: FORCE

$(agent_objects) $(cli_objects) $(cni_objects): CPPFLAGS += -DEGRESSD_COMMIT='"$(COMMIT)"'
$(agent_objects) $(cli_objects) $(cni_objects): build/commit

# The skeletons are listed because the first build has no dependency files yet that would name them.
$(OUT)/obj/%.o: %.c Makefile | $(SKELETONS)
	$(call say,CC       $@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(CPPFLAGS) -MMD -MP -c $< -o $@

$(library): $(library_objects)
	$(call say,AR       $@)
	$(Q)rm -f $@ && ar rcs $@ $^

$(OUT)/egressd: $(agent_objects) $(library)
	$(call say,LINK     $@)
	$(Q)$(CC) $(ALL_LDFLAGS) $^ $(LIBRARIES) -o $@

$(OUT)/egressctl: $(cli_objects) $(library)
	$(call say,LINK     $@)
	$(Q)$(CC) $(ALL_LDFLAGS) $^ $(LIBRARIES) -o $@

$(OUT)/egress-cni: $(cni_objects) $(library)
	$(call say,LINK     $@)
	$(Q)$(CC) $(ALL_LDFLAGS) $^ $(LIBRARIES) -o $@

# Tests of the command line's own parts are linked with them.
$(OUT)/tests/unit/cli_%: $(OUT)/obj/tests/unit/cli_%.o $(cli_library_objects) $(library)
	$(call say,LINK     $@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) $^ $(LIBRARIES) $(TEST_LIBRARIES) -o $@

# Their allocations fail when they say so (tests/lib/short_memory.h).
$(OUT)/tests/unit/no_memory $(OUT)/tests/bpf/attach_interface: ALL_LDFLAGS += -Wl,--wrap=malloc -Wl,--wrap=calloc \
	-Wl,--wrap=realloc -Wl,--wrap=reallocarray -Wl,--wrap=strdup

# Those of the benchmark are no tests, and whoever measures has not installed what tests need.
$(bench_tools): TEST_LIBRARIES :=
$(OUT)/tests/%: TEST_LIBRARIES := -lcmocka
$(OUT)/tests/%: $(OUT)/obj/tests/%.o $(library)
	$(call say,LINK     $@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) $^ $(LIBRARIES) $(TEST_LIBRARIES) -o $@

$(OUT)/tests/lib/preload/%.so: tests/lib/preload/%.c Makefile
	$(call say,LINK     $@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -fPIC -shared $< -o $@

build/fuzz/%: $(OUT)/obj/tests/fuzz/%.o $(library)
	$(call say,LINK     $@)
	$(Q)clang $(ALL_LDFLAGS) -fsanitize=fuzzer $^ $(LIBRARIES) -o $@

# Header dependencies, as the compilers found them.
-include $(shell find build -type f -name '*.d' 2>/dev/null)
