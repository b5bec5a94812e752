# SPDX-License-Identifier: MIT
#
# tiketi. `make help` lists the targets. One variant per compiler and sanitizer, each in
# its own folder, so that they never mix:
#
#   make                          gcc            -> build/tiketi
#   make CC=clang                 clang          -> build/clang/tiketi
#   make SAN=address,undefined    ASan + UBSan   -> build/gcc-address-undefined/tiketi
#   make SAN=thread               TSan           -> build/gcc-thread/tiketi
#
# Beside build/tiketi, the service, stand build/tiketi-crowd and build/tiketi-provider. The tests find
# the variant's service in the environment variable TIKETI_BIN.

ifeq ($(origin CC),default)
CC := gcc
endif
SAN ?=
FUZZ_SECONDS ?= 30

comma := ,
variant := $(notdir $(CC))$(if $(SAN),-$(subst $(comma),-,$(SAN)))
out := build/$(variant)
bin := $(if $(filter gcc,$(variant)),build,$(out))
PROGRAMS := $(bin)/tiketi $(bin)/tiketi-crowd $(bin)/tiketi-provider

export TIKETI_BIN := $(CURDIR)/$(bin)/tiketi
export TIKETI_OUT := $(out)
export TIKETI_SAN := $(SAN)

# --- flags -------------------------------------------------------------------------------

PACKAGES := libmicrohttpd hiredis libpq libwebsockets jansson libuv openssl

# Asked once and at first use, not while this file is read: `make install-deps` and
# `make run` must work where pkg-config is not there yet.
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(subst -I,-isystem ,$$(shell pkg-config --cflags $(PACKAGES))))$(PKG_CFLAGS)
PKG_LIBS = $(eval PKG_LIBS := $$(shell pkg-config --libs $(PACKAGES)))$(PKG_LIBS)

SAN_FLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wvla -Werror
# -iquote, not -I: our headers must never stand in for another library's of the same name. include/ has
# each noun's contract, src/ what only the files of one noun share.
ALL_CFLAGS = -std=gnu17 -D_GNU_SOURCE -O2 -g $(WARNINGS) -iquote include -iquote src -pthread \
	$(SAN_FLAGS) $(PKG_CFLAGS) $(CFLAGS)
# The libraries below us allocate a dozen small pieces for each request: jemalloc hands them out at
# half of what glibc needs. Sanitizers bring an allocator of their own.
ALLOCATOR := $(if $(SAN),,-Wl,--push-state,--no-as-needed -ljemalloc -Wl,--pop-state)
ALL_LDFLAGS = -pthread $(SAN_FLAGS) -Wl,--as-needed $(LDFLAGS)
# The crowd's HTTP and WebSocket client side: neither package has a .pc file that can be relied on.
ALL_LIBS = $(PKG_LIBS) -lhttp_parser -lwslay -lm $(ALLOCATOR)

# --- files -------------------------------------------------------------------------------

sources := $(wildcard src/*.c src/*/*.c)
mains := src/main.c src/crowd/crowd.c src/provider/provider.c
objects := $(patsubst src/%.c,$(out)/src/%.o,$(filter-out $(mains),$(sources))) $(out)/gen/embed.o
archive := $(out)/libtiketi.a
unit_tests := $(patsubst test/unit/%.c,$(out)/unit/%,$(wildcard test/unit/*/test_*.c))
fuzz_names := $(patsubst test/fuzz/fuzz_%.c,%,$(wildcard test/fuzz/fuzz_*.c))
replays := $(fuzz_names:%=$(out)/replay/%)
headers := $(wildcard include/*/*.h src/*.h src/*/*.h)
c_files := $(sources) $(headers) $(wildcard test/unit/*/*.[ch] test/fuzz/*.[ch] test/bench/*.[ch])

.PHONY: all run test test-unit test-corpus test-lua test-integration test-property test-browser screenshots test-nightly fuzz bench lint format \
	clean help install-deps FORCE
.DELETE_ON_ERROR:
.SECONDARY:
MAKEFLAGS += --no-builtin-rules

all: $(PROGRAMS) ## build the programs (CC=clang, SAN=address,undefined, SAN=thread)

help: ## this list
	@grep -hE '^[a-z-]+:.* ## ' Makefile | sed 's/:.* ## /\t/' | expand -t 18

# make V=1 shows the commands.
quiet = $(if $(V),,@echo '  $(1)' '$@';)

# --- build -------------------------------------------------------------------------------

$(bin)/tiketi: $(out)/src/main.o
$(bin)/tiketi-crowd: $(out)/src/crowd/crowd.o
$(bin)/tiketi-provider: $(out)/src/provider/provider.o

$(PROGRAMS): $(archive)
	$(call quiet,LINK)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(archive) $(ALL_LIBS)

$(archive): $(objects)
	@rm -f $@
	$(call quiet,AR  )ar rcs $@ $^

$(out)/src/%.o: src/%.c Makefile
	@mkdir -p $(@D)
	$(call quiet,CC  )$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(out)/gen/%.o: build/gen/%.c Makefile
	@mkdir -p $(@D)
	$(call quiet,CC  )$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# Generated each time, replaced only when it changed: so a script that was added, edited or
# taken away is always noticed, and nothing is compiled for nothing.
build/gen/embed.c: FORCE
	@mkdir -p $(@D)
	@src/embed.sh > $@.$$PPID && { cmp -s $@.$$PPID $@ && rm $@.$$PPID || mv $@.$$PPID $@; }

-include $(wildcard $(out)/src/*.d $(out)/src/*/*.d $(out)/gen/*.d $(out)/unit/*/*.d $(out)/fuzz/*.d)

# --- run ---------------------------------------------------------------------------------

run: ## run everything privately and open a demo event (CROWD=5000, HTTP_PORT, WS_PORT)
	@src/deps.sh build run
	@$(MAKE) --no-print-directory --silent all
	@src/run.sh

install-deps: ## install every Debian package for building, running, testing, linting
	src/deps.sh build run test browser lint fuzz

# --- tests -------------------------------------------------------------------------------

# Each target installs what it needs before it builds, so that it works alone on a fresh machine.
alone = --no-print-directory --silent $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))

test: ## install what the tests need, build, run every suite
	@src/deps.sh build run test browser
	@$(MAKE) $(alone) all $(unit_tests) $(replays)
	@test/run.sh unit corpus lua integration property browser

test-unit: ## the C modules, one program each (cmocka)
	@src/deps.sh build test
	@$(MAKE) $(alone) $(unit_tests)
	@test/run.sh unit

test-corpus: ## the fuzz corpora, replayed once
	@src/deps.sh build test
	@$(MAKE) $(alone) $(replays)
	@test/run.sh corpus

test-lua: ## the Lua scripts on a real Redis
	@src/deps.sh test
	@test/run.sh lua

test-integration: ## the running program (TESTS="test/integration/x.test.mjs …" for some)
	@src/deps.sh build test
	@$(MAKE) $(alone) all
	@test/run.sh integration

test-property: ## random sequences of holds, payments and refunds against a plain model (TIKETI_SEED, PROPERTY_SEQUENCES=300)
	@src/deps.sh build test
	@$(MAKE) $(alone) all
	@test/run.sh property

test-browser: ## the pages in a real browser (TESTS="test/browser/x.test.mjs …" for some)
	@src/deps.sh build test browser
	@$(MAKE) $(alone) all
	@test/run.sh browser

screenshots: ## every state of the pages into docs/screenshots (SCENES="waiting admitted" for some)
	@src/deps.sh build test browser screenshots
	@$(MAKE) $(alone) all
	@test/packages.sh
	@node test/browser/screenshots.mjs

test-nightly: ## test-property with 10,000 sequences; and 10,000 buyers through an unreliable provider, with kills
	@src/deps.sh build test
	@$(MAKE) $(alone) all
	@PROPERTY_SEQUENCES=$${PROPERTY_SEQUENCES:-10000} test/run.sh property night

$(out)/unit/%: test/unit/%.c $(archive) Makefile
	@mkdir -p $(@D)
	$(call quiet,CC  )$(CC) $(ALL_CFLAGS) -MMD -MP -MF $@.d $(ALL_LDFLAGS) -o $@ $< $(archive) -lcmocka $(ALL_LIBS)

$(out)/replay/%: test/fuzz/fuzz_%.c test/fuzz/replay.c $(archive) Makefile
	@mkdir -p $(@D)
	$(call quiet,CC  )$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ test/fuzz/fuzz_$*.c test/fuzz/replay.c $(archive) $(ALL_LIBS)

# The fuzzers need every object instrumented, so they are a variant of their own.
fuzz: ## fuzz each target for FUZZ_SECONDS (default 30) with clang's libFuzzer
	@src/deps.sh build fuzz
	@$(MAKE) --no-print-directory --silent CC=clang SAN=fuzzer-no-link,address fuzzers
	@test/fuzz/run.sh build/clang-fuzzer-no-link-address/fuzz $(FUZZ_SECONDS)

.PHONY: fuzzers
fuzzers: $(fuzz_names:%=$(out)/fuzz/%)

$(out)/fuzz/%: test/fuzz/fuzz_%.c $(archive) Makefile
	@mkdir -p $(@D)
	$(call quiet,CC  )$(CC) $(ALL_CFLAGS) -fsanitize=fuzzer $(ALL_LDFLAGS) -o $@ $< $(archive) $(ALL_LIBS)

bench: ## measure, beside the raw libraries on the same machine (QUICK=1, BENCH="joins polls" for some)
	@test/bench/run.sh check
	@src/deps.sh build test bench
	@$(MAKE) --no-print-directory --silent all
	@test/packages.sh
	@test/bench/run.sh

# --- care --------------------------------------------------------------------------------

lint: ## format, folders, banned functions, sleeps in tests, names in documents, OpenAPI, shellcheck, clang-tidy, sizes
	@src/deps.sh build lint
	@C_FILES='$(c_files)' test/lint/run.sh

.PHONY: tidy
tidy: $(sources:src/%.c=build/tidy/%.ok)

build/tidy/%.ok: src/%.c $(headers) .clang-tidy
	@mkdir -p $(@D)
	@clang-tidy --quiet $< -- $(ALL_CFLAGS) && touch $@

format: ## let clang-format rewrite the C files
	clang-format -i $(c_files)

clean: ## remove build/ (never .run/: that may be running)
	rm -rf build
