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
# Beside build/tiketi, the service, stand build/tiketi-crowd, -provider, -simulate, -ctl and -proxy. The tests find
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
PROGRAMS := $(bin)/tiketi $(addprefix $(bin)/tiketi-,crowd provider simulate ctl proxy)

export TIKETI_BIN := $(CURDIR)/$(bin)/tiketi
export TIKETI_OUT := $(out)
export TIKETI_SAN := $(SAN)

# --- flags -------------------------------------------------------------------------------

PACKAGES := libmicrohttpd hiredis libpq libwebsockets jansson libuv openssl zlib libqrencode icu-i18n icu-uc libcurl

# Asked once and at first use, not while this file is read: `make install-deps` and
# `make run` must work where pkg-config is not there yet.
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(subst -I,-isystem ,$$(shell pkg-config --cflags $(PACKAGES))))$(PKG_CFLAGS)
PKG_LIBS = $(eval PKG_LIBS := $$(shell pkg-config --libs $(PACKAGES)))$(PKG_LIBS)

SAN_FLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wvla -Werror
# -iquote, not -I: our headers must never stand in for another library's of the same name. include/ has
# each noun's contract, src/ what only the files of one noun share.
ALL_CFLAGS = -std=gnu17 -D_GNU_SOURCE -O2 -g $(WARNINGS) -iquote include -iquote src -pthread \
	$(SAN_FLAGS) $(PKG_CFLAGS) $(CPPFLAGS) $(CFLAGS)
# The libraries below us allocate a dozen small pieces for each request: jemalloc hands them out at
# half of what glibc needs. Sanitizers bring an allocator of their own.
ALLOCATOR := $(if $(SAN),,-Wl,--push-state,--no-as-needed -ljemalloc -Wl,--pop-state)
ALL_LDFLAGS = -pthread $(SAN_FLAGS) -Wl,--as-needed $(LDFLAGS)
# Unicode, and the HTTP and WebSocket client side of the crowd: packages without a .pc file that can be relied on.
ALL_LIBS = $(PKG_LIBS) -lunistring -lhttp_parser -lwslay -lm $(ALLOCATOR)

# --- files -------------------------------------------------------------------------------

sources := $(wildcard src/*.c src/*/*.c)
mains := src/main.c src/crowd/crowd.c src/provider/provider.c src/simulate/simulate.c src/ctl/ctl.c src/proxy/proxy.c
objects := $(patsubst src/%.c,$(out)/src/%.o,$(filter-out $(mains),$(sources))) $(out)/gen/embed.o $(out)/gen/build.o
archive := $(out)/libtiketi.a
unit_tests := $(patsubst test/unit/%.c,$(out)/unit/%,$(wildcard test/unit/*/test_*.c))
fuzz_names := $(patsubst test/fuzz/fuzz_%.c,%,$(wildcard test/fuzz/fuzz_*.c))
replays := $(fuzz_names:%=$(out)/replay/%)
# The service that the wire fuzzer attacks is always one with sanitizers.
wire_san := address,undefined
wire_bin := build/$(notdir $(CC))-$(subst $(comma),-,$(wire_san))/tiketi
headers := $(wildcard include/*/*.h src/*.h src/*/*.h)
c_files := $(sources) $(headers) $(wildcard test/unit/*/*.[ch] test/fuzz/*.[ch] test/bench/*.[ch])

.PHONY: all run test test-unit test-corpus test-wire test-lua test-integration test-property test-chaos chaos test-browser test-recipes screenshots test-nightly fuzz bench lint format incidents monitoring monitoring-drawings dist \
	image sbom image-check test-trixie test-bookworm \
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
$(bin)/tiketi-simulate: $(out)/src/simulate/simulate.o
$(bin)/tiketi-ctl: $(out)/src/ctl/ctl.o
$(bin)/tiketi-proxy: $(out)/src/proxy/proxy.o

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
	@src/web.sh
	@src/embed.sh > $@.$$PPID && { cmp -s $@.$$PPID $@ && rm $@.$$PPID || mv $@.$$PPID $@; }

build/gen/build.c: FORCE
	@mkdir -p $(@D)
	@src/version.sh c > $@.$$PPID && { cmp -s $@.$$PPID $@ && rm $@.$$PPID || mv $@.$$PPID $@; }

-include $(wildcard $(out)/src/*.d $(out)/src/*/*.d $(out)/gen/*.d $(out)/unit/*/*.d $(out)/fuzz/*.d)

# --- run ---------------------------------------------------------------------------------

run: ## run everything privately and open a demo event (CROWD=5000, SHOP=1, HTTP_PORT, WS_PORT)
	@src/deps.sh build run $(if $(SHOP),shop)
	@$(MAKE) --no-print-directory --silent all
	@src/run.sh

install-deps: ## install every Debian package for building, running, testing, linting
	src/deps.sh build run test recipes browser lint fuzz

# --- tests -------------------------------------------------------------------------------

# The kind of Redis that the fixtures start (test/fixtures/redis.mjs); without it a single one.
on_redis = $(if $(REDIS),TIKETI_REDIS=$(REDIS))
# Each target installs what it needs before it builds, so that it works alone on a fresh machine.
alone = --no-print-directory --silent $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))

test: ## install what the tests need, build, run every suite
	@src/deps.sh build run test recipes browser
	@$(MAKE) $(alone) all $(unit_tests) $(replays)
	@$(MAKE) $(alone) SAN=$(wire_san) $(wire_bin)
	@TIKETI_WIRE_BIN=$(CURDIR)/$(wire_bin) test/run.sh unit corpus wire lua integration property chaos browser k8s recipes

test-unit: ## the C modules, one program each (cmocka)
	@src/deps.sh build test
	@$(MAKE) $(alone) $(unit_tests)
	@test/run.sh unit

test-corpus: ## the fuzz corpora, replayed once
	@src/deps.sh build test
	@$(MAKE) $(alone) $(replays)
	@test/run.sh corpus

test-wire: ## mutated requests and frames against a sanitizer build (WIRE_SECONDS=30, TIKETI_SEED, WIRE_REPLAY=file)
	@src/deps.sh build test
	@$(MAKE) $(alone) SAN=$(wire_san) $(wire_bin)
	@TIKETI_WIRE_BIN=$(CURDIR)/$(wire_bin) test/run.sh wire

test-lua: ## the Lua scripts on a real Redis (REDIS=tls, sentinel or cluster)
	@src/deps.sh build test
	@$(MAKE) $(alone) all
	@$(on_redis) test/run.sh lua

test-integration: ## the running program (TESTS="test/integration/x.test.mjs …" for some; REDIS=tls, sentinel or cluster for such a Redis)
	@src/deps.sh build test
	@$(MAKE) $(alone) all
	@$(on_redis) test/run.sh integration

test-property: ## random sequences of holds, payments and refunds against a plain model (TIKETI_SEED, PROPERTY_SEQUENCES=300)
	@src/deps.sh build test
	@$(MAKE) $(alone) all
	@test/run.sh property

test-chaos: ## three schedules of faults under a crowd, those that broke something once, and the checker itself (TIKETI_SEED, CHAOS_SEEDS=3)
	@src/deps.sh build test
	@$(MAKE) $(alone) all
	@test/run.sh chaos

chaos: ## a schedule of faults under a crowd, judged by histories (SEED, SEEDS=1, MINUTES=0.5, USERS=2000, ONLY=network,redis.flushall, BACKEND=single,sentinel,cluster, SCHEDULE=file, SHRINK=1, JOBS=1)
	@src/deps.sh build test
	@$(MAKE) $(alone) all
	@src/packages.sh
	@node test/chaos/chaos.mjs

test-browser: ## the pages in a real browser (TESTS="test/browser/x.test.mjs …" for some)
	@src/deps.sh build test browser
	@$(MAKE) $(alone) all
	@test/run.sh browser

test-recipes: ## docs/integrate: the configurations in front of a shop, with the real programs, and the verifiers of passes
	@src/deps.sh build test recipes
	@$(MAKE) $(alone) all
	@test/run.sh recipes

screenshots: ## every state of the pages into docs/screenshots (SCENES="waiting admitted" for some)
	@src/deps.sh build test browser screenshots
	@$(MAKE) $(alone) all
	@src/packages.sh
	@node test/browser/screenshots.mjs

test-nightly: ## test-property with 10,000 sequences; 300 schedules of faults; an hour of test-wire; 10,000 buyers through an unreliable provider, with kills; 10,000 with a console open, and 10,000 behind HAProxy while four pods restart; 2,000 clients of Socket.IO; test-lua and test-integration on Redis over TLS, with Sentinels and as a Cluster; as root also image-check and test-trixie
	@src/deps.sh build test browser
	@$(MAKE) $(alone) all
	@$(MAKE) $(alone) SAN=$(wire_san) $(wire_bin)
	@PROPERTY_SEQUENCES=$${PROPERTY_SEQUENCES:-10000} WIRE_SECONDS=$${WIRE_SECONDS:-3600} TIKETI_WIRE_BIN=$(CURDIR)/$(wire_bin) \
		test/run.sh property wire night
	@SEEDS=$${SEEDS:-300} JOBS=$${JOBS:-2} BACKEND=$${BACKEND:-single,single,sentinel,cluster} USERS=$${USERS:-400} MINUTES=$${MINUTES:-0.334} node test/chaos/chaos.mjs
	@TESTS=test/browser/console_crowd.test.mjs BUYERS=10000 test/run.sh browser
	@failed=; for kind in tls sentinel cluster; do TIKETI_REDIS=$$kind test/run.sh lua integration || failed=1; done; [ -z "$$failed" ]
	@[ "$$(id -u)" -ne 0 ] || $(MAKE) $(alone) image-check test-trixie

$(out)/unit/%: test/unit/%.c $(archive) Makefile
	@mkdir -p $(@D)
	$(call quiet,CC  )$(CC) $(ALL_CFLAGS) -MMD -MP -MF $@.d $(ALL_LDFLAGS) -o $@ $< $(archive) -lcmocka $(ALL_LIBS)

$(out)/replay/%: test/fuzz/fuzz_%.c test/fuzz/replay.c $(archive) Makefile
	@mkdir -p $(@D)
	$(call quiet,CC  )$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ test/fuzz/fuzz_$*.c test/fuzz/replay.c $(archive) $(ALL_LIBS)

# The fuzzers need every object instrumented, so they are a variant of their own.
fuzz: ## fuzz each target for FUZZ_SECONDS (default 30) with clang's libFuzzer
	@src/deps.sh build fuzz
	@$(MAKE) --no-print-directory --silent CC=clang SAN=fuzzer-no-link,address,undefined fuzzers
	@test/fuzz/run.sh build/clang-fuzzer-no-link-address-undefined/fuzz $(FUZZ_SECONDS)

.PHONY: fuzzers
fuzzers: $(fuzz_names:%=$(out)/fuzz/%)

$(out)/fuzz/%: test/fuzz/fuzz_%.c $(archive) Makefile
	@mkdir -p $(@D)
	$(call quiet,CC  )$(CC) $(ALL_CFLAGS) -fsanitize=fuzzer $(ALL_LDFLAGS) -o $@ $< $(archive) $(ALL_LIBS)

bench: ## measure, beside the raw libraries on the same machine (QUICK=1, BENCH="joins polls" for some)
	@test/bench/run.sh check
	@src/deps.sh build test bench
	@$(MAKE) --no-print-directory --silent all
	@src/packages.sh
	@LIBS='$(ALL_LIBS)' test/bench/run.sh

# --- care --------------------------------------------------------------------------------

# Kubernetes and compose.
.PHONY: test-k8s
test-k8s: ## what k8s/ and compose.yaml would start: rendered, checked by types and policies, and run as processes
	@src/deps.sh build test
	@$(MAKE) $(alone) all
	@test/run.sh k8s

lint: ## format, folders, banned functions, sleeps in tests, names in documents, OpenAPI, ESLint, Stylelint, shellcheck, clang-tidy, sizes
	@src/deps.sh build lint
	@C_FILES='$(c_files)' test/lint/run.sh

.PHONY: tidy
tidy: $(sources:src/%.c=build/tidy/%.ok)

build/tidy/%.ok: src/%.c $(headers) .clang-tidy
	@mkdir -p $(@D)
	@clang-tidy --quiet $< -- $(ALL_CFLAGS) && touch $@

format: ## let clang-format rewrite the C files
	clang-format -i $(c_files)

incidents: ## play incidents on real processes: what fires, within how many seconds, where it leads (INCIDENTS="processors postgres" for some)
	@src/deps.sh build test
	@$(MAKE) $(alone) all
	@src/packages.sh
	@node test/monitoring/incidents.mjs

monitoring-drawings: ## play a sale of three minutes and draw the dashboards' main panels into docs
	@src/deps.sh build test
	@$(MAKE) $(alone) all
	@src/packages.sh
	@node test/monitoring/drawings.mjs

monitoring: ## the dashboards and the alarms of CloudWatch, from the programs that write them
	@src/deps.sh test
	node monitoring/grafana/generate.mjs
	node monitoring/cloudwatch/generate.mjs
	node k8s/components/monitoring/generate.mjs

dist: ## the source archive of a release, of what is committed: build/tiketi-<version>.tar.gz, which builds without esbuild
	@src/deps.sh build
	@src/dist.sh

# --- installing --------------------------------------------------------------------------

.PHONY: install uninstall deb deb-check

install: all ## programs, man pages, completion, systemd unit, documents below PREFIX (/usr/local) of DESTDIR
	@PROGRAMS='$(PROGRAMS)' src/install.sh install

uninstall: all ## remove what install writes
	@PROGRAMS='$(PROGRAMS)' src/install.sh uninstall

deb: ## the Debian package, of what is committed: build/deb/*.deb, checked by lintian
	@src/deps.sh build deb
	@src/deb.sh

deb-check: ## deb; install it in a Debian of its own, serve from it, upgrade and purge it
	@src/deps.sh build test deb
	@$(MAKE) $(alone) deb
	@test/run.sh package

# --- the image, and Debian 13 ---------------------------------------------------------------

image: ## build the image tiketi:<version> of what is committed, by docker, podman or buildah (IMAGE=name, BASE=image, IMAGE_TOOL="buildah --storage-driver vfs")
	@src/deps.sh build
	@src/image.sh build

sbom: ## the image's bill of materials (SPDX): build/tiketi-<version>.spdx.json
	@src/image.sh sbom

image-check: ## build the image without a registry, on a Debian made here, and rehearse a crowd of 1,000 in it (root; TMPDIR: 3 GB)
	@src/deps.sh build test image
	@$(MAKE) $(alone) all
	@test/run.sh image

test-trixie: ## the suites unit, corpus, lua and integration on Debian 13 (root; SUITES="unit", TESTS=…, REDIS_SERVER=valkey-server, REDIS=cluster)
test-bookworm: ## the same on a bare Debian 12, with its own Node.js 18
test-trixie test-bookworm: test-%:
	@src/deps.sh build trixie
	@src/packages.sh
	@test/debian.sh $* $(or $(SUITES),unit corpus lua integration)

clean: ## remove build/ (never .run/: that may be running)
	rm -rf build
