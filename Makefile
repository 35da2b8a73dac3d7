# mworker's front door; `make help` tells what is behind it.
#
# GNU make, bash, cargo and a C compiler. Everything that is made goes into
# build/ and cargo's target folder (CARGO_TARGET_DIR if that is set).

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS   += --no-builtin-rules
.DELETE_ON_ERROR:
# Cargo and HAProxy's makefile use all cores by themselves.
.NOTPARALLEL:
.DEFAULT_GOAL := all

# 1: with sd_notify(3), as HAProxy's option of that name. 0 or empty: without.
USE_SYSTEMD ?=
# 1: all of the compilers' output.
V ?=
# The proxy of `make demo`: example or haproxy.
PROXY ?= example
# What runs HAProxy's own regression tests (that is HAProxy's name for it), and
# of those which: folders or files of reg-tests. Empty: what is installed; all.
VTEST_PROGRAM ?=
REGTESTS      ?=
# A HAProxy tree for `make haproxy`. Empty: Debian's, of HAPROXY_SUITE.
HAPROXY_SRC   ?=
HAPROXY_SUITE ?= trixie
# Two HAProxy binaries for tests, absolute paths. Empty: those that make builds.
HAPROXY_STOCK ?=
HAPROXY_OURS  ?=

DESTDIR    ?=
PREFIX     ?= /usr/local
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DATADIR    ?= $(PREFIX)/share
BINDIR     ?= $(PREFIX)/bin
MANDIR     ?= $(DATADIR)/man
# Where the haproxy is that the unit starts.
SBINDIR    ?= $(PREFIX)/sbin
# systemd reads units of /usr/local/lib/systemd/system and, with PREFIX=/usr,
# of /usr/lib/systemd/system, which on Debian is the /lib/systemd/system that
# `pkg-config --variable=systemdsystemunitdir systemd` says.
UNITDIR    ?= $(PREFIX)/lib/systemd/system

CFLAGS  ?= -O2 -g
INSTALL ?= install
JOBS    ?= $(shell nproc)
# A jobserver that it can't reach would make cargo warn.
CARGO   ?= cargo
RUN_CARGO = env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL $(CARGO)

BUILD      := build
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
VERSION    := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
FLAVOUR    := $(if $(filter-out 0,$(USE_SYSTEMD)),systemd,plain)
HEADER     := include/mworker.h

.PHONY: all
all: $(BUILD)/libmworker.a check-header $(BUILD)/mworkerctl

.PHONY: help
help:
	@printf '%s\n' \
	'make [USE_SYSTEMD=1]       the library, build/libmworker.a, and the command build/mworkerctl' \
	'make demo [PROXY=haproxy]  a proxy under load, through all that its master gets it through' \
	'make haproxy               HAProxy, stock and with mworker, in build/haproxy' \
	'make haproxy HAPROXY_SRC=D the HAProxy tree D with mworker, in place' \
	'make check                 format, lints, units, properties, every state, C programs' \
	'make test                  every test; tests/README.md describes the suites' \
	'make test T=SUITE[::NAME]  one suite, or the tests of it that have NAME in their name;' \
	'                           with HAPROXY_SUITE=, HAPROXY_SRC= or HAPROXY_STOCK= HAPROXY_OURS=' \
	'make test-setup            installs what the tests need; without root, checks it' \
	'make regtest               HAProxy'"'"'s own regression tests, on stock and on ours' \
	'make bench                 how long reloads take, stock HAProxy and ours; what figures cost' \
	'make bench-systemd         the same of systemctl reload, under a real systemd' \
	'make install               PREFIX=$(PREFIX) DESTDIR= USE_SYSTEMD=$(USE_SYSTEMD)' \
	'make uninstall             what make install installed, with the same variables' \
	'make header                include/mworker.h, out of src/capi' \
	'make clean                 what was made' \
	'' \
	'HAPROXY_SUITE=bookworm takes the HAProxy of another Debian than trixie, HAPROXY_SRC=DIR' \
	'another tree. V=1 shows what compilers say, CC is the C compiler, JOBS how many run at once.'

# ---- the library ----

# $(1) becomes $(2), in one step and only if it is another.
replace = cmp -s $(1) $(2) || { cp $(1) $(2).new && mv $(2).new $(2); }

# Of each flavour: the archive, the header that belongs to it, and what else
# has to be linked. Cargo's file is the same for both, so its folder is only
# used from here, and by one at a time.
.PHONY: FORCE
FORCE:

$(BUILD)/plain/libmworker.a:   FEATURES :=
$(BUILD)/systemd/libmworker.a: FEATURES := --features USE_SYSTEMD
$(BUILD)/%/libmworker.a: FORCE
	@mkdir -p $(@D) $(TARGET_DIR)/library
	@exec 9>$(TARGET_DIR)/library/.lock; flock 9; \
	$(RUN_CARGO) rustc --locked --release --lib --crate-type staticlib $(FEATURES) \
		--target-dir $(TARGET_DIR)/library --message-format json-render-diagnostics \
		-- --print native-static-libs 2>&1 >$(@D)/cargo.json | \
		sed -u -e '/^$$/d' -e '/link against the following native artifacts/d' \
			-e '/native-static-libs: /{s/^.*native-static-libs: //w $(@D)/libs.new' -e 'd}' >&2; \
	header=$$(sed -n 's/.*"MWORKER_GENERATED_HEADER","\([^"]*\)".*/\1/p' $(@D)/cargo.json); \
	$(call replace,"$$header",$(@D)/mworker.h); \
	$(call replace,$(@D)/libs.new,$(@D)/native-static-libs); \
	$(call replace,$(TARGET_DIR)/library/release/libmworker.a,$@)

$(BUILD)/libmworker.a: $(BUILD)/$(FLAVOUR)/libmworker.a FORCE
	@$(call replace,$<,$@)

.PHONY: check-header
check-header: $(BUILD)/$(FLAVOUR)/libmworker.a
	@diff -u $(HEADER) $(BUILD)/$(FLAVOUR)/mworker.h || \
		{ echo '$(HEADER) is not what src/capi makes: run "make header"' >&2; exit 1; }

.PHONY: header
header: $(BUILD)/$(FLAVOUR)/libmworker.a
	@$(call replace,$(BUILD)/$(FLAVOUR)/mworker.h,$(HEADER))

# ---- the command ----

# In the library's folder, where most of what it needs has been built.
$(BUILD)/mworkerctl: FORCE
	@mkdir -p $(@D) $(TARGET_DIR)/library
	@exec 9>$(TARGET_DIR)/library/.lock; flock 9; \
	$(RUN_CARGO) build --locked --quiet --release --package mworkerctl \
		--target-dir $(TARGET_DIR)/library; \
	$(call replace,$(TARGET_DIR)/library/release/mworkerctl,$@)

# ---- the example and the demo ----

EXAMPLE := $(BUILD)/example/proxy

$(EXAMPLE): $(BUILD)/systemd/libmworker.a $(HEADER) $(wildcard examples/proxy/*.[ch])
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -Wall -Wextra -Iinclude -o $@ $(filter %.c,$^) \
		$< $(LDFLAGS) $$(cat $(<D)/native-static-libs)

.PHONY: example
example: $(EXAMPLE)

ifeq ($(PROXY),example)
DEMO_BINARY = $(abspath $(EXAMPLE))
else ifeq ($(PROXY),haproxy)
DEMO_BINARY = $(abspath $(or $(HAPROXY_SRC),$(HAPROXY)/ours)/haproxy)
else
$(error PROXY is '$(PROXY)', not example or haproxy)
endif

.PHONY: demo
demo: $(PROXY)
	@MWORKER_DEMO_PROXY=$(PROXY) MWORKER_DEMO_BINARY=$(DEMO_BINARY) \
		$(RUN_CARGO) run --locked --quiet --release --example demo

# ---- HAProxy ----

HAPROXY       := $(BUILD)/haproxy$(addprefix -,$(filter-out trixie,$(HAPROXY_SUITE)))
# With what an operator uses of it, where this machine has the libraries: `make test-setup`
# installs them, so it is looked when HAProxy is built.
having         = $(if $(shell pkg-config --exists $(1) && echo yes),$(2)=1)
HAPROXY_BUILD  = TARGET=linux-glibc USE_SYSTEMD=1 $(call having,libpcre2-8,USE_PCRE2) \
	$(if $(filter bullseye,$(HAPROXY_SUITE)),,$(HAPROXY_NEWER))
# HAProxy 2.2 is older than Lua 5.4 and OpenSSL 3.
HAPROXY_NEWER  = $(call having,lua5.4,USE_LUA) $(call having,openssl,USE_OPENSSL)
MWORKER_BUILD  = $(HAPROXY_BUILD) USE_RUST_MWORKER=1 \
	-f Makefile -f $(abspath contrib/haproxy/mworker.mk) \
	RUST_MWORKER_LIB=$(abspath $(BUILD)/systemd/libmworker.a) \
	RUST_MWORKER_INC=$(abspath include)

.PHONY: haproxy haproxy-source haproxy-ours
ifeq ($(HAPROXY_SRC),)
haproxy: haproxy-stock
endif
haproxy: haproxy-ours

haproxy-source:
	@mkdir -p $(HAPROXY)
	@contrib/haproxy/debian-source $(HAPROXY_SUITE) $(HAPROXY)/source

.PHONY: haproxy-source-folder
haproxy-source-folder:
	@echo $(HAPROXY)/source

# A copy of the source, anew when that is another one.
haproxy_copy = cmp -s $(HAPROXY)/source/.debian-source $(HAPROXY)/$(1)/.debian-source || \
	{ rm -rf $(HAPROXY)/$(1) $(HAPROXY)/$(1).new; \
	  cp -a $(HAPROXY)/source $(HAPROXY)/$(1).new; mv $(HAPROXY)/$(1).new $(HAPROXY)/$(1); }

# How many files have been compiled, instead of which.
haproxy_progress = { \
	[ -t 2 ] && show='\r%s: %d files compiled' || show='%s: %d files compiled\n'; \
	files=0; \
	while read -r what file; do \
		[ "$$what" = CC ] || continue; \
		files=$$((files + 1)); \
		if [ -t 2 ] || [ $$((files % 25)) = 0 ]; then printf "$$show" '$(1)' $$files >&2; fi; \
	done; \
	! [ -t 2 ] || [ $$files = 0 ] || echo >&2; }

# Most of what stock and ours are made of is the same, and so is found by the second of them.
CCACHED       = $(if $(shell command -v ccache),CC='ccache $(CC)')
HAPROXY_CC    = $(if $(HAPROXY_SRC),,$(CCACHED))
HAPROXY_CACHE = CCACHE_DIR=$(abspath $(BUILD)/ccache) CCACHE_NOHASHDIR=1

# Makes HAProxy in $(2), with the arguments $(3); $(1) is what to call it.
haproxy_make = log=$(HAPROXY)/$(1).log; mkdir -p $(HAPROXY); \
	if ! $(HAPROXY_CACHE) $(MAKE) --no-print-directory -C $(2) \
		$(if $(filter -j%,$(MAKEFLAGS)),,-j$(JOBS)) $(HAPROXY_CC) $(3) \
		2>&1 | tee $$log | $(if $(filter 1,$(V)),cat,$(call haproxy_progress,haproxy ($(1)))); then \
		$(if $(filter 1,$(V)),,tail -n 40 $$log >&2;) \
		echo "haproxy ($(1)) can't be built, see $$log" >&2; exit 1; \
	fi; \
	echo "haproxy ($(1)): $(abspath $(2)/haproxy), $$($(2)/haproxy -v | sed -n 's/^HAProxy version //p')"

.PHONY: haproxy-stock
haproxy-stock: haproxy-source
	@$(call haproxy_copy,stock)
	+@$(call haproxy_make,stock,$(HAPROXY)/stock,$(HAPROXY_BUILD))

ifeq ($(HAPROXY_SRC),)
haproxy-ours: haproxy-source $(BUILD)/systemd/libmworker.a
	@$(call haproxy_copy,ours)
	+@$(call haproxy_make,ours,$(HAPROXY)/ours,$(MWORKER_BUILD))
else
haproxy-ours: $(BUILD)/systemd/libmworker.a
	+@$(call haproxy_make,mworker,$(HAPROXY_SRC),$(MWORKER_BUILD))
endif

# ---- installing ----

SHARED := $(DATADIR)/mworker/haproxy
# What builds HAProxy with the library. debian-source fetches a HAProxy for our own tests.
FOR_PACKAGERS = find contrib/haproxy -type f ! -name debian-source ! -name '.*' -printf '%P\n'

$(BUILD)/$(FLAVOUR)/mworker.pc: contrib/pkgconfig/mworker.pc.in $(BUILD)/$(FLAVOUR)/libmworker.a FORCE
	@sed -e 's:@PREFIX@:$(PREFIX):' -e 's:@LIBDIR@:$(LIBDIR):' -e 's:@INCLUDEDIR@:$(INCLUDEDIR):' \
		-e 's:@HAPROXYDIR@:$(SHARED):' -e 's:@VERSION@:$(VERSION):' \
		-e "s:@LIBS_PRIVATE@:$$(cat $(BUILD)/$(FLAVOUR)/native-static-libs):" $< >$@

.PHONY: install
install: $(BUILD)/mworkerctl $(BUILD)/libmworker.a check-header $(BUILD)/$(FLAVOUR)/mworker.pc
	$(INSTALL) -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR) $(DESTDIR)$(SHARED)
	$(INSTALL) -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(MANDIR)/man8
	$(INSTALL) -m 755 $(BUILD)/mworkerctl $(DESTDIR)$(BINDIR)/
	$(INSTALL) -m 644 contrib/mworkerctl/mworkerctl.8 $(DESTDIR)$(MANDIR)/man8/
	$(INSTALL) -m 644 $(BUILD)/$(FLAVOUR)/libmworker.a $(DESTDIR)$(LIBDIR)/
	$(INSTALL) -m 644 $(BUILD)/$(FLAVOUR)/mworker.pc $(DESTDIR)$(LIBDIR)/pkgconfig/
	$(INSTALL) -m 644 $(HEADER) $(DESTDIR)$(INCLUDEDIR)/
	@echo 'contrib/haproxy -> $(DESTDIR)$(SHARED)'
	@$(FOR_PACKAGERS) | while read -r file; do \
		mode=644; [ ! -x "contrib/haproxy/$$file" ] || mode=755; \
		$(INSTALL) -D -m $$mode "contrib/haproxy/$$file" "$(DESTDIR)$(SHARED)/$$file"; \
	done
ifeq ($(FLAVOUR),systemd)
	$(MAKE) --no-print-directory -C contrib/systemd SBINDIR='$(SBINDIR)' BINDIR='$(BINDIR)' \
		SERVICE=$(abspath $(BUILD)/haproxy.service)
	$(INSTALL) -d $(DESTDIR)$(UNITDIR) $(DESTDIR)$(DATADIR)/mworker/systemd
	$(INSTALL) -m 644 $(BUILD)/haproxy.service $(DESTDIR)$(UNITDIR)/
	$(INSTALL) -m 644 contrib/systemd/notify-reload.conf $(DESTDIR)$(DATADIR)/mworker/systemd/
else
	@echo 'No haproxy.service: its -Ws needs a library with USE_SYSTEMD=1.'
endif

.PHONY: uninstall
uninstall:
	rm -f $(DESTDIR)$(LIBDIR)/libmworker.a $(DESTDIR)$(LIBDIR)/pkgconfig/mworker.pc
	rm -f $(DESTDIR)$(INCLUDEDIR)/mworker.h $(DESTDIR)$(UNITDIR)/haproxy.service
	rm -f $(DESTDIR)$(BINDIR)/mworkerctl $(DESTDIR)$(MANDIR)/man8/mworkerctl.8
	rm -rf $(DESTDIR)$(DATADIR)/mworker

.PHONY: clean
clean:
	rm -rf $(BUILD)
	$(RUN_CARGO) clean --quiet

# ---- tests ----

# The Debians whose HAProxy `make test` takes; bullseye is 2.2.9.
SUITES ?= trixie bookworm bullseye
# A tree to boot from for T=systemd. Empty: this machine's own.
SYSTEMD_ROOT ?=

# Variables that tests/run reads.
export CARGO SUITES SYSTEMD_ROOT
TESTS_RUN = MAKE='$(MAKE)' tests/run

.PHONY: test
test:
ifeq ($(T),)
	@tests/setup
	+@$(TESTS_RUN) all
else
	+@$(TESTS_RUN) one '$(T)'
endif

.PHONY: check
check:
	+@$(TESTS_RUN) check

# The only target that installs packages; `make test` does it, too.
.PHONY: test-setup
test-setup:
	@tests/setup

# ---- a stock HAProxy and one of ours, to be compared ----

# HAPROXY_STOCK= and HAPROXY_OURS= name the pair; without them it is built from two copies of
# HAPROXY_SRC, or from Debian's source.
PAIR       = $(if $(HAPROXY_SRC),$(BUILD)/haproxy-of-$(notdir $(abspath $(HAPROXY_SRC))),$(HAPROXY))
GIVEN_PAIR = $(and $(HAPROXY_STOCK),$(HAPROXY_OURS))
PAIR_STOCK = $(or $(HAPROXY_STOCK),$(abspath $(PAIR)/stock/haproxy))
PAIR_OURS  = $(or $(HAPROXY_OURS),$(abspath $(PAIR)/ours/haproxy))

# A copy of the tree without what was built in it, over the last copy of the same tree.
pair_copy = mkdir -p $(PAIR)/$(1); \
	[ "$$(cat $(PAIR)/$(1).from 2>/dev/null)" = '$(abspath $(HAPROXY_SRC))' ] || { \
		rm -rf $(PAIR)/$(1); mkdir -p $(PAIR)/$(1); }; \
	tar -C $(HAPROXY_SRC) --exclude-vcs --exclude='*.o' --exclude='*.a' --exclude=./haproxy \
		--exclude=.build_opts -cf - . | tar -C $(PAIR)/$(1) -xf -; \
	echo '$(abspath $(HAPROXY_SRC))' >$(PAIR)/$(1).from

.PHONY: haproxy-pair
ifneq ($(GIVEN_PAIR),)
haproxy-pair:
else ifeq ($(HAPROXY_SRC),)
haproxy-pair: haproxy
else
haproxy-pair: $(BUILD)/systemd/libmworker.a
	@$(call pair_copy,stock)
	@$(call pair_copy,ours)
	+@$(call haproxy_make,stock,$(PAIR)/stock,$(HAPROXY_BUILD) $(CCACHED))
	+@$(call haproxy_make,ours,$(PAIR)/ours,$(MWORKER_BUILD) $(CCACHED))
endif

.PHONY: haproxy-pair-variables
haproxy-pair-variables:
	@echo 'export MWORKER_HAPROXY_STOCK=$(PAIR_STOCK) MWORKER_HAPROXY_OURS=$(PAIR_OURS)'

# ---- HAProxy's own regression tests ----

# Most of the time tests wait.
REGTEST_JOBS ?= $(shell echo $$((2 * $(JOBS))))

.PHONY: regtest
regtest: haproxy-pair
	@runner="$(VTEST_PROGRAM)"; \
	for known in vtest varnishtest; do runner=$${runner:-$$(command -v $$known || :)}; done; \
	if [ -z "$$runner" ]; then \
		echo 'No vtest and no varnishtest here: set VTEST_PROGRAM, or install the package varnish.' >&2; \
		exit 1; \
	fi; \
	echo "with $$(command -v "$$runner" || echo "$$runner")"; \
	$(RUN_CARGO) run --locked --quiet --package mworker-regtest -- $(PAIR)/stock \
		$(PAIR)/stock/haproxy $(PAIR)/ours/haproxy "$$runner" $(REGTEST_JOBS) $(REGTESTS)

# ---- measuring ----

# Early returns, reported failures and times of `systemctl reload`, under a real systemd.
.PHONY: bench-systemd
bench-systemd:
	+@$(TESTS_RUN) one systemd::measured

.PHONY: bench
bench: $(EXAMPLE) haproxy-pair
	@MWORKER_HAPROXY_STOCK=$(PAIR_STOCK) MWORKER_HAPROXY_OURS=$(PAIR_OURS) \
		MWORKER_EXAMPLE_PROXY=$(abspath $(EXAMPLE)) \
		$(RUN_CARGO) bench --locked --quiet --bench reload --bench crowd --bench figures
