# For HAProxy trees that take EXTRA_MAKE=PATH/contrib/haproxy.
include $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))/mworker.mk
