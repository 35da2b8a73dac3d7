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

MWORKER_VERSION    := $(shell cat VERSION 2>/dev/null)
# The folder of the shims for this version. The script says why there is none.
MWORKER_GENERATION := $(shell $(MWORKER_DIR)/generation '$(MWORKER_VERSION)')
ifeq ($(MWORKER_GENERATION),)
  $(error No shims for HAProxy '$(MWORKER_VERSION)' ($(CURDIR)/VERSION): see above)
endif
MWORKER_COMMON     := $(MWORKER_DIR)/common
MWORKER_SHIMS      := $(MWORKER_DIR)/$(MWORKER_GENERATION)
MWORKER_NUMBER     := $(subst ., * 256 + ,$(shell sed -n 's/^\([0-9]*\.[0-9]*\).*/\1/p' VERSION))

# -Ws is always there from 3.1 on.
ifeq ($(MWORKER_GENERATION),3.1)
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

# Up to 2.9 libsystemd did what the library does. libgcc_s is not needed by stock either,
# and loading it costs system calls at each exec.
SYSTEMD_LDFLAGS :=
OPTIONS_LDFLAGS := $(filter-out -lsystemd,$(OPTIONS_LDFLAGS)) $(RUST_MWORKER_LIB) -static-libgcc -lpthread -ldl -lm

# 1.8's makefile doesn't know these.
cmd_CC   ?= $(CC)
cmd_MAKE ?= $(MAKE)

# What differs between releases of one branch.
MWORKER_FOUND := -DSHIM_OLD_ARGV=$(if $(shell grep -s '^static char \*\*old_argv' src/haproxy.c),old_argv,next_argv)
MWORKER_FOUND += $(if $(shell grep -s sock_drop_unused_old_sockets include/haproxy/sock.h),-DSHIM_DROPS_OLD_SOCKETS)

# An unused function is one whose call an edit should have made; one that is not
# declared is one that HAProxy's code still calls and that was removed.
MWORKER_COPTS = -I$(MWORKER_COMMON) -I$(RUST_MWORKER_INC) -DMWORKER_HAPROXY='($(MWORKER_NUMBER))' \
	$(MWORKER_FOUND) -Werror=unused-function -Werror=implicit-function-declaration

# All that HAProxy's own objects depend on (DEP is not known yet with EXTRA_MAKE),
# and ours.
MWORKER_DEP = $(DEP) $(wildcard include/*.h include/*/*.h ebtree/*.h) VERSION .build_opts \
	$(RUST_MWORKER_INC)/mworker.h $(MWORKER_DIR)/mworker.mk \
	$(wildcard $(MWORKER_COMMON)/*.h $(MWORKER_COMMON)/*/*.h $(MWORKER_SHIMS)/*.h)

$(RUST_MWORKER_LIB):
	$(cmd_MAKE) -C $(MWORKER_TOP) USE_SYSTEMD=$(MWORKER_SYSTEMD)

# HAProxy declares a function of this name, which its own code must not call.
%.o: COPTS += -Dmworker_reload=haproxy_mworker_reload

# ---- objects of the shims ----

mworker_compile = $(cmd_CC) $(COPTS) $(MWORKER_COPTS) -c -o $@ $<

# HAProxy's objects of these names, made of the shims.
ifneq ($(wildcard $(MWORKER_SHIMS)/mworker.c),)
src/mworker.o: $(MWORKER_SHIMS)/mworker.c $(MWORKER_DEP)
	$(mworker_compile)
endif

src/mworker-prog.o: $(MWORKER_COMMON)/programs.c $(MWORKER_DEP)
	$(mworker_compile)

src/systemd.o: $(MWORKER_COMMON)/systemd.c $(MWORKER_DEP)
	$(mworker_compile)

# Objects that HAProxy does not have.
src/mworker-shim-%.o: $(MWORKER_COMMON)/%.c $(MWORKER_DEP)
	$(mworker_compile)

MWORKER_OBJS :=
ifneq ($(MWORKER_GENERATION),1.8)
  MWORKER_OBJS += $(patsubst %,src/mworker-shim-%.o,library cli listeners timer)
endif
# HAProxy has had an object of this name since 3.0.
ifneq ($(MWORKER_SYSTEMD),)
  MWORKER_OBJS += $(filter-out $(OBJS) $(OPTIONS_OBJS),src/systemd.o)
endif

haproxy: $(MWORKER_OBJS) $(RUST_MWORKER_LIB)

# ---- HAProxy's sources with edits ----

# src/NAME.c has edits if the generation has NAME.edits.
mworker_says_cc = $(if $(filter 1,$(V)),,$(info $   CC      $@) @)

define mworker_edit
src/$(1).o: $(MWORKER_DEP) $$(wildcard $(MWORKER_SHIMS)/$(1).c) $(MWORKER_SHIMS)/$(1).edits \
	$(MWORKER_DIR)/compile-edited $(MWORKER_DIR)/edit-source
src/$(1).o: COPTS += $$(MWORKER_COPTS)
ifeq ($(MWORKER_GENERATION),1.8)
src/$(1).o: override CC := $(MWORKER_DIR)/compile-edited $(MWORKER_SHIMS)/$(1).edits $(MWORKER_VERSION) $$(CC)
else
src/$(1).o: cmd_CC = $$(mworker_says_cc)$(MWORKER_DIR)/compile-edited $(MWORKER_SHIMS)/$(1).edits $(MWORKER_VERSION) $$(CC)
endif
endef
$(foreach name,$(patsubst %.edits,%,$(notdir $(wildcard $(MWORKER_SHIMS)/*.edits))),$(eval $(call mworker_edit,$(name))))

# haproxy.c and cli.c call kill() on workers. Redirect them to shim_kill(), which
# checks that the PID is still that of a child.
src/haproxy.o src/cli.o: COPTS += -Dkill=shim_kill

endif # USE_RUST_MWORKER
