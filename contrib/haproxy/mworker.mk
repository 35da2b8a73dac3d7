# HAProxy with mworker in place of its own master-worker module.
#
#   make -C HAPROXY_TREE -f Makefile -f PATH/contrib/haproxy/mworker.mk \
#        TARGET=linux-glibc USE_RUST_MWORKER=1 [USE_SYSTEMD=1] ...
#
# or, with trees that have EXTRA_MAKE (3.4 and later):
#
#   make -C HAPROXY_TREE EXTRA_MAKE=PATH/contrib/haproxy \
#        TARGET=linux-glibc USE_RUST_MWORKER=1 [USE_SYSTEMD=1] ...
#
# Without USE_RUST_MWORKER the build is HAProxy's own. No file of the tree is
# changed; what is made stands beside its own objects. HAProxy's makefile says
# that it ignores the option, which it doesn't know: it is handled here.
#
#   RUST_MWORKER_LIB   the library; default: the one of this tree, which is
#                      built when it is missing, or the installed one
#   RUST_MWORKER_INC   where mworker.h is; default: this tree's include, or where
#                      it was installed

ifneq ($(USE_RUST_MWORKER:0=),)

# Included before HAProxy's first rule (EXTRA_MAKE), ours must not be the default.
.DEFAULT_GOAL := all

MWORKER_DIR := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
MWORKER_TOP := $(abspath $(MWORKER_DIR)/../..)
ifneq ($(wildcard $(MWORKER_TOP)/Cargo.toml),)
  RUST_MWORKER_INC ?= $(MWORKER_TOP)/include
else
  # Installed, as PREFIX/share/mworker/haproxy.
  RUST_MWORKER_INC ?= $(abspath $(MWORKER_DIR)/../../../include)
  RUST_MWORKER_LIB ?= $(abspath $(MWORKER_DIR)/../../../lib)/libmworker.a
endif

# HAProxy's branch: 3.0-dev5 and 3.0.11 are 3.0.
MWORKER_VERSION := $(shell cat VERSION 2>/dev/null)
MWORKER_BRANCH  := $(shell sed -n 's/^\([0-9]*\)\.\([0-9]*\).*/\1.\2/p' VERSION 2>/dev/null)
MWORKER_MAJOR   := $(word 1,$(subst ., ,$(MWORKER_BRANCH)))
MWORKER_MINOR   := $(word 2,$(subst ., ,$(MWORKER_BRANCH)))

# One shim for each generation of HAProxy's internals.
MWORKER_PIPE  := 1.8
MWORKER_STAY  := 2.0 2.4
MWORKER_WAIT  := 2.6 2.8 3.0
MWORKER_READY := 3.1 3.2 3.3 3.4 3.5
ifneq ($(filter $(MWORKER_BRANCH),$(MWORKER_PIPE)),)
  MWORKER_SHIM := pipe
else ifneq ($(filter $(MWORKER_BRANCH),$(MWORKER_STAY)),)
  MWORKER_SHIM := stay
else ifneq ($(filter $(MWORKER_BRANCH),$(MWORKER_WAIT)),)
  MWORKER_SHIM := wait
else ifneq ($(filter $(MWORKER_BRANCH),$(MWORKER_READY)),)
  MWORKER_SHIM := ready
else
  $(error mworker has no shim for HAProxy '$(MWORKER_VERSION)' ($(CURDIR)/VERSION); it has them for $(MWORKER_PIPE) $(MWORKER_STAY) $(MWORKER_WAIT) $(MWORKER_READY). Build without USE_RUST_MWORKER)
endif

# -Ws is always there from 3.1 on.
ifeq ($(MWORKER_SHIM),ready)
  MWORKER_SYSTEMD := 1
else
  MWORKER_SYSTEMD := $(USE_SYSTEMD:0=)
endif

ifeq ($(MWORKER_SYSTEMD),)
  RUST_MWORKER_LIB ?= $(MWORKER_TOP)/build/plain/libmworker.a
else
  RUST_MWORKER_LIB ?= $(MWORKER_TOP)/build/systemd/libmworker.a
endif

# So that "haproxy -vv" shows it.
use_opts      += USE_RUST_MWORKER
BUILD_OPTIONS += USE_RUST_MWORKER=$(USE_RUST_MWORKER)

# Up to 2.9 libsystemd did what the library does.
SYSTEMD_LDFLAGS :=
OPTIONS_LDFLAGS := $(filter-out -lsystemd,$(OPTIONS_LDFLAGS)) $(RUST_MWORKER_LIB) -lpthread -ldl -lm

# 1.8's makefile doesn't know these.
cmd_CC   ?= $(CC)
cmd_MAKE ?= $(MAKE)

MWORKER_COPTS = -I$(MWORKER_DIR) -I$(RUST_MWORKER_INC) \
	-DMWORKER_HAPROXY='($(MWORKER_MAJOR) * 256 + $(MWORKER_MINOR))'
MWORKER_DEP   = $(RUST_MWORKER_INC)/mworker.h $(wildcard $(MWORKER_DIR)/*.h) .build_opts

$(RUST_MWORKER_LIB):
	$(cmd_MAKE) -C $(MWORKER_TOP) USE_SYSTEMD=$(MWORKER_SYSTEMD)

# HAProxy's objects of the same name, made of the shims.
src/mworker.o: $(MWORKER_DIR)/$(MWORKER_SHIM:stay=wait).c $(MWORKER_DEP)
	$(cmd_CC) $(COPTS) $(MWORKER_COPTS) -c -o $@ $<

src/mworker-shim.o: $(MWORKER_DIR)/shim.c $(MWORKER_DEP)
	$(cmd_CC) $(COPTS) $(MWORKER_COPTS) -c -o $@ $<

src/mworker-cli.o: $(MWORKER_DIR)/cli.c $(MWORKER_DEP)
	$(cmd_CC) $(COPTS) $(MWORKER_COPTS) -c -o $@ $<

src/mworker-listeners.o: $(MWORKER_DIR)/listeners.c $(MWORKER_DEP)
	$(cmd_CC) $(COPTS) $(MWORKER_COPTS) -c -o $@ $<

src/mworker-clock.o: $(MWORKER_DIR)/clock.c $(MWORKER_DEP)
	$(cmd_CC) $(COPTS) $(MWORKER_COPTS) -c -o $@ $<

src/systemd.o: $(MWORKER_DIR)/systemd.c $(MWORKER_DEP)
	$(cmd_CC) $(COPTS) $(MWORKER_COPTS) -c -o $@ $<

# Those that are not among HAProxy's objects; it has no src/systemd.o of its own
# before 3.0.
MWORKER_OBJS :=
ifneq ($(MWORKER_SHIM),pipe)
  MWORKER_OBJS += src/mworker-shim.o src/mworker-cli.o src/mworker-listeners.o src/mworker-clock.o
endif
ifneq ($(MWORKER_SYSTEMD),)
  MWORKER_OBJS += $(filter-out $(OBJS) $(OPTIONS_OBJS),src/systemd.o)
endif

haproxy: $(MWORKER_OBJS) $(RUST_MWORKER_LIB)

# Part of the module is in other files of HAProxy: on their way into the compiler
# definitions get another name, or a call more, and ours are appended.
MWORKER_FILTERED = $(if $(filter 1,$(V)),,$(info $   CC      $@) @)$(MWORKER_DIR)/compile-filtered

MWORKER_MAIN := $(MWORKER_DIR)/$(MWORKER_SHIM)-haproxy
ifeq ($(MWORKER_SHIM),pipe)
src/haproxy.o: override CC := $(MWORKER_DIR)/compile-filtered $(MWORKER_MAIN).sed $(MWORKER_MAIN).c $(CC)
else ifneq ($(MWORKER_SHIM),ready)
src/haproxy.o: cmd_CC = $(MWORKER_FILTERED) $(MWORKER_MAIN).sed $(MWORKER_MAIN).c $(CC)
endif
ifneq ($(MWORKER_SHIM),ready)
src/haproxy.o: COPTS += $(MWORKER_COPTS)
src/haproxy.o: $(MWORKER_DEP) $(MWORKER_DIR)/compile-filtered $(MWORKER_MAIN).sed $(MWORKER_MAIN).c
endif

MWORKER_CLI :=
ifeq ($(MWORKER_SHIM),stay)
  MWORKER_CLI := $(MWORKER_DIR)/stay-cli.sed
else ifneq ($(filter $(MWORKER_BRANCH),3.1 3.2),)
  MWORKER_CLI := $(MWORKER_DIR)/ready-cli.sed
endif
ifneq ($(MWORKER_CLI),)
src/cli.o: cmd_CC = $(MWORKER_FILTERED) $(MWORKER_CLI) /dev/null $(CC)
src/cli.o: $(MWORKER_DEP) $(MWORKER_DIR)/compile-filtered $(MWORKER_CLI)
endif

ifeq ($(MWORKER_SHIM),stay)
MWORKER_SIGNAL := $(MWORKER_DIR)/stay-signal
src/signal.o: cmd_CC = $(MWORKER_FILTERED) $(MWORKER_SIGNAL).sed $(MWORKER_SIGNAL).c $(CC)
src/signal.o: COPTS += $(MWORKER_COPTS)
src/signal.o: $(MWORKER_DEP) $(MWORKER_DIR)/compile-filtered $(MWORKER_SIGNAL).sed $(MWORKER_SIGNAL).c
endif

# Those two send signals to workers by themselves.
src/haproxy.o src/cli.o: COPTS += -Dkill=shim_kill

src/mworker-prog.o: $(MWORKER_DIR)/programs.c $(MWORKER_DEP)
	$(cmd_CC) $(COPTS) $(MWORKER_COPTS) -c -o $@ $<

endif # USE_RUST_MWORKER
