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
	'make test                  every test; as root it installs what it needs' \
	'make regtest               HAProxy'"'"'s own regression tests, on stock and on ours' \
	'make bench                 how long reloads take, stock HAProxy and ours; what figures cost' \
	'make install               PREFIX=$(PREFIX) DESTDIR= USE_SYSTEMD=$(USE_SYSTEMD)' \
	'make uninstall             what make install installed, with the same variables' \
	'make header                include/mworker.h, out of src/capi' \
	'make clean                 what was made' \
	'' \
	'V=1 shows what compilers say, CC is the C compiler.'

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
	$(RUN_CARGO) build --locked --quiet --release --bin mworkerctl --features ctl \
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
DEMO_BINARY = $(HAPROXY_OURS)
else
$(error PROXY is '$(PROXY)', not example or haproxy)
endif

.PHONY: demo
demo: $(PROXY)
	@MWORKER_DEMO_PROXY=$(PROXY) MWORKER_DEMO_BINARY=$(DEMO_BINARY) \
		$(RUN_CARGO) run --locked --quiet --release --example demo

# ---- HAProxy ----

HAPROXY       := $(BUILD)/haproxy$(addprefix -,$(filter-out trixie,$(HAPROXY_SUITE)))
HAPROXY_STOCK := $(abspath $(HAPROXY)/stock/haproxy)
HAPROXY_OURS  := $(abspath $(or $(HAPROXY_SRC),$(HAPROXY)/ours)/haproxy)
# With what an operator uses of it, where this machine has the libraries: `make test-setup`
# installs them, so it is looked when HAProxy is built.
having         = $(if $(shell pkg-config --exists $(1) && echo yes),$(2)=1)
HAPROXY_BUILD  = TARGET=linux-glibc USE_SYSTEMD=1 $(call having,lua5.4,USE_LUA) \
	$(call having,openssl,USE_OPENSSL) $(call having,libpcre2-8,USE_PCRE2)
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
HAPROXY_CC    = $(if $(HAPROXY_SRC),,$(if $(shell command -v ccache),CC='ccache $(CC)'))
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
# What builds HAProxy with the library; of these programs, the rest is text.
FOR_PACKAGERS := $(filter-out %/debian-source,$(wildcard contrib/haproxy/*))
PROGRAMS      := $(filter %/compile-filtered,$(FOR_PACKAGERS))

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
	$(INSTALL) -m 644 $(filter-out $(PROGRAMS),$(FOR_PACKAGERS)) $(DESTDIR)$(SHARED)/
	$(if $(PROGRAMS),$(INSTALL) -m 755 $(PROGRAMS) $(DESTDIR)$(SHARED)/)
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

# Those that come in an order of their own, or need something to be built.
TESTS    := $(basename $(notdir $(wildcard tests/*.rs)))
OF_C     := header c_consumers archive install
HAPROXYS := $(filter haproxy%,$(TESTS))
EXAMPLES := $(filter example_proxy%,$(TESTS))
COMMAND  := mworkerctl
OTHERS   := $(filter-out $(OF_C) $(HAPROXYS) $(EXAMPLES) $(COMMAND) migration systemd,$(TESTS))

WITH_HAPROXYS = MWORKER_HAPROXY_STOCK=$(HAPROXY_STOCK) \
	MWORKER_HAPROXY_OURS=$(abspath $(HAPROXY)/ours/haproxy)
# Debian's two.
SUITES      := trixie bookworm
WITH_SUITES = MWORKER_HAPROXY_OLD_STOCK=$(abspath $(BUILD))/haproxy-bookworm/stock/haproxy \
	MWORKER_HAPROXY_OLD_OURS=$(abspath $(BUILD))/haproxy-bookworm/ours/haproxy \
	MWORKER_HAPROXY_NEW_STOCK=$(abspath $(BUILD))/haproxy/stock/haproxy \
	MWORKER_HAPROXY_NEW_OURS=$(abspath $(BUILD))/haproxy/ours/haproxy
CARGO_TEST = $(RUN_CARGO) test --locked --features USE_SYSTEMD
heading    = @printf '\n==== %s  %s\n' "$$(date +%T)" '$(1)'

.PHONY: test
test: test-setup test-format test-lint test-rust test-header test-c test-archive test-install \
	test-haproxy test-migration test-example test-ctl test-systemd test-regtest
	$(call heading,all tests passed)

# Debian's packages for what is missing, by trying it.
.PHONY: test-setup
test-setup:
	$(call heading,what the tests need)
	@packages=(); \
	need() { local package=$$1; shift; "$$@" >/dev/null 2>&1 </dev/null || packages+=("$$package"); }; \
	links() { echo 'int main(void) { return 0; }' | "$$@" -o $(BUILD)/links - && $(BUILD)/links; }; \
	mkdir -p $(BUILD); \
	need gcc links gcc -x c; \
	need g++ links g++ -x c++; \
	need clang links clang -x c; \
	clang=$$( (clang -dumpversion || echo 14) 2>/dev/null); \
	need libclang-rt-$${clang%%.*}-dev links clang -fsanitize=address,undefined -x c; \
	need valgrind command -v valgrind; \
	need libc6-dbg valgrind -q --error-exitcode=1 /bin/true; \
	need binutils nm --version; \
	need pkg-config pkg-config --version; \
	need dpkg-dev dpkg-source --version; \
	need debian-archive-keyring test -r /usr/share/keyrings/debian-archive-keyring.gpg; \
	need systemd systemd-analyze --version; \
	need mandoc command -v mandoc; \
	need systemd-container command -v systemd-nspawn; \
	need openssl command -v openssl; \
	need liblua5.4-dev pkg-config --exists lua5.4; \
	need libssl-dev pkg-config --exists openssl; \
	need libpcre2-dev pkg-config --exists libpcre2-8; \
	need libsystemd-dev pkg-config --exists libsystemd; \
	need ccache command -v ccache; \
	need varnish command -v varnishtest; \
	need socat command -v socat; \
	need openssl command -v openssl; \
	need curl command -v curl; \
	rm -f $(BUILD)/links; \
	if [ $${#packages[@]} -gt 0 ]; then \
		echo "missing: $${packages[*]}"; \
		[ "$$(id -u)" = 0 ] || { echo 'Install those, or run as root.' >&2; exit 1; }; \
		export DEBIAN_FRONTEND=noninteractive; \
		apt-get -qq update; \
		apt-get -qq install -y --no-install-recommends "$${packages[@]}" >/dev/null; \
	fi; \
	$(CARGO) fmt --version && $(CARGO) clippy --version || rustup component add rustfmt clippy

.PHONY: test-format
test-format:
	$(call heading,format)
	@$(CARGO) fmt --all --check

.PHONY: test-lint
test-lint:
	$(call heading,lint)
	@$(RUN_CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@$(RUN_CARGO) clippy --locked --workspace --all-targets --features USE_SYSTEMD,ctl -- -D warnings

.PHONY: test-rust
test-rust:
	$(call heading,the core and the system: units - without USE_SYSTEMD)
	@$(RUN_CARGO) test --locked --lib
	$(call heading,the core and the system: units - properties - every state)
	@$(CARGO_TEST) --workspace --lib --examples $(OTHERS:%=--test %)
	@$(CARGO_TEST) --workspace --doc

.PHONY: test-header
test-header:
	$(call heading,the header)
	@$(CARGO_TEST) --test header

.PHONY: test-c
test-c: $(BUILD)/plain/libmworker.a $(BUILD)/systemd/libmworker.a
	$(call heading,C and C++ programs: gcc and clang - plain - sanitizers - valgrind)
	@$(CARGO_TEST) --test c_consumers

.PHONY: test-archive
test-archive:
	$(call heading,what is in the archive)
	@$(CARGO_TEST) --test archive

.PHONY: test-install
test-install:
	$(call heading,make install - the unit)
	@$(CARGO_TEST) --test install

.PHONY: test-haproxy
test-haproxy:
	@for suite in $(SUITES); do \
		$(MAKE) --no-print-directory test-haproxy-suite HAPROXY_SUITE=$$suite; done

.PHONY: test-haproxy-suite
test-haproxy-suite:
	$(call heading,HAProxy of $(HAPROXY_SUITE): its own master-worker code and ours)
	@$(MAKE) --no-print-directory haproxy HAPROXY_SRC=
	@$(WITH_HAPROXYS) $(CARGO_TEST) $(HAPROXYS:%=--test %) -- --test-threads=4

.PHONY: test-migration
test-migration:
	$(call heading,HAProxy of $(SUITES): there and back - broken binaries)
	@for suite in $(SUITES); do \
		$(MAKE) --no-print-directory haproxy HAPROXY_SRC= HAPROXY_SUITE=$$suite; done
	@$(WITH_SUITES) $(CARGO_TEST) --test migration -- --test-threads=4

.PHONY: test-example
test-example: $(EXAMPLE)
ifneq ($(EXAMPLES),)
	$(call heading,the example proxy)
	@MWORKER_EXAMPLE_PROXY=$(abspath $(EXAMPLE)) $(CARGO_TEST) $(EXAMPLES:%=--test %)
endif

.PHONY: test-ctl
test-ctl: $(EXAMPLE)
	$(call heading,mworkerctl: with stock HAProxy - ours - the example proxy)
	@$(MAKE) --no-print-directory haproxy HAPROXY_SRC=
	@$(WITH_HAPROXYS) MWORKER_EXAMPLE_PROXY=$(abspath $(EXAMPLE)) \
		$(CARGO_TEST),ctl --bin mworkerctl --test mworkerctl

# A tree to boot from, this machine's own if empty.
SYSTEMD_ROOT ?=

.PHONY: test-systemd
test-systemd: $(EXAMPLE)
	$(call heading,a systemd in a container: HAProxy and the example proxy under it)
	@$(MAKE) --no-print-directory haproxy HAPROXY_SRC=
	@$(WITH_HAPROXYS) MWORKER_EXAMPLE_PROXY=$(abspath $(EXAMPLE)) \
		$(if $(SYSTEMD_ROOT),MWORKER_SYSTEMD_ROOT=$(abspath $(SYSTEMD_ROOT))) \
		$(CARGO_TEST) --test systemd

# The same under the systemd of a newer Debian, which debootstrap fetches.
.PHONY: test-systemd-257
test-systemd-257:
	@tests/systemd/debian-tree trixie $(BUILD)/systemd-trixie
	@$(MAKE) --no-print-directory test-systemd SYSTEMD_ROOT=$(BUILD)/systemd-trixie

# Debian's varnishtest, whatever else is installed: it is the same everywhere.
.PHONY: test-regtest
test-regtest:
	$(call heading,the regression tests of HAProxy: stock and ours - as they are and with -W)
	@$(RUN_CARGO) test --locked --quiet --package mworker-regtest
	@$(MAKE) --no-print-directory regtest HAPROXY_SRC= REGTESTS= VTEST_PROGRAM=varnishtest

# ---- HAProxy's own regression tests ----

# Of HAPROXY_SRC two copies are built, and it is left as it is.
REGTEST      := $(BUILD)/regtest
REGTEST_TREE := $(if $(HAPROXY_SRC),$(REGTEST),$(HAPROXY))
# Most of the time tests wait.
REGTEST_JOBS ?= $(shell echo $$((2 * $(JOBS))))

regtest_copy = mkdir -p $(REGTEST)/$(1); \
	tar -C $(HAPROXY_SRC) --exclude-vcs --exclude='*.o' --exclude='*.a' --exclude=./haproxy \
		--exclude=.build_opts -cf - . | tar -C $(REGTEST)/$(1) -xf -

.PHONY: regtest-builds
ifeq ($(HAPROXY_SRC),)
regtest-builds: haproxy
else
regtest-builds: $(BUILD)/systemd/libmworker.a
	@$(call regtest_copy,stock)
	@$(call regtest_copy,ours)
	+@$(call haproxy_make,regtest-stock,$(REGTEST)/stock,$(HAPROXY_BUILD))
	+@$(call haproxy_make,regtest-ours,$(REGTEST)/ours,$(MWORKER_BUILD))
endif

.PHONY: regtest
regtest: regtest-builds
	@runner="$(VTEST_PROGRAM)"; \
	for known in vtest varnishtest; do runner=$${runner:-$$(command -v $$known || :)}; done; \
	if [ -z "$$runner" ]; then \
		echo 'No vtest and no varnishtest here: set VTEST_PROGRAM, or install the package varnish.' >&2; \
		exit 1; \
	fi; \
	echo "with $$(command -v "$$runner" || echo "$$runner")"; \
	$(RUN_CARGO) run --locked --quiet --package mworker-regtest -- $(REGTEST_TREE)/stock \
		$(REGTEST_TREE)/stock/haproxy $(REGTEST_TREE)/ours/haproxy "$$runner" $(REGTEST_JOBS) $(REGTESTS)

# ---- measuring ----

# Early returns, reported failures and times of `systemctl reload`, under a real systemd.
.PHONY: bench-systemd
bench-systemd: $(EXAMPLE)
	@$(MAKE) --no-print-directory haproxy HAPROXY_SRC=
	@$(WITH_HAPROXYS) MWORKER_EXAMPLE_PROXY=$(abspath $(EXAMPLE)) \
		$(CARGO_TEST) --test systemd -- measured

.PHONY: bench
bench: $(EXAMPLE)
	@$(MAKE) --no-print-directory haproxy HAPROXY_SRC=
	@$(WITH_HAPROXYS) MWORKER_EXAMPLE_PROXY=$(abspath $(EXAMPLE)) \
		$(RUN_CARGO) bench --locked --quiet --bench reload --bench crowd --bench figures
