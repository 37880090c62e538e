# ratelimit.fcgi
#
#   make run      everything, from packages to a server on http://127.0.0.1:8080/  (PORT= WORKERS= REDIS_ADDR=)
#   make run SERVER=nginx        the same in front of a site, a proxied and a FastCGI backend; or lighttpd, apache, caddy
#   make test     everything, from packages to a summary of all tests
#   make          build/ratelimit.fcgi         make asan     the tests under sanitizers
#   make lint     formatters and linters       make bench    numbers on this machine  (SERVER=nginx)
#   make fuzz     the parsers with inputs that libFuzzer makes up, for FUZZ_S=60 seconds in all
#   make install  DESTDIR= PREFIX=/usr/local SYSCONFDIR=/etc   make clean
#   make help     this

PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
BUILD ?= build
VERSION := 0.1.0

# CPPFLAGS, CFLAGS and LDFLAGS are the user's to set; what the program needs stands in ALL_*.
CFLAGS ?= -O2 -g -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
ALL_CPPFLAGS = -D_GNU_SOURCE -DVERSION='"$(VERSION)"' -iquote fcgi -iquote $(BUILD) \
  $(LIB_CFLAGS) $(CPPFLAGS)
ALL_CFLAGS = -std=c11 -Wall -Wextra -Wno-missing-field-initializers -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
  -Wformat=2 -Wvla -fPIE -fstack-protector-strong -fstack-clash-protection $(CF_PROTECTION) -fno-strict-aliasing \
  $(CFLAGS) $(SANITIZE)
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed $(LDFLAGS) $(SANITIZE)
# Control-flow integrity in hardware, where the machine has such.
CF_PROTECTION := $(if $(filter x86_64,$(shell uname -m)),-fcf-protection)
COMPILE = $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP

# Commands are shown with V=1, their targets without.
ifndef V
.SILENT:
endif
SAY = @echo "  $@"

# Expanded when something is first compiled, so that `make run` can install the packages before; and once.
PACKAGES = hiredis yaml-0.1 nettle
LIB_CFLAGS = $(eval LIB_CFLAGS := $(shell pkg-config --cflags $(PACKAGES)))$(LIB_CFLAGS)
LIBS = $(eval LIBS := $(shell pkg-config --libs $(PACKAGES)) -lfcgi -lev -pthread)$(LIBS)

PROGRAM = $(BUILD)/ratelimit.fcgi
# All but main.c, for the program, the unit tests, the fuzz harnesses and the benchmarks.
LIBRARY = $(BUILD)/libratelimit.a
OBJECTS = $(patsubst fcgi/%.c,$(BUILD)/%.o,$(wildcard fcgi/*/*.c))
EMBEDDED = $(BUILD)/take.lua.inc $(BUILD)/limits.yaml.inc
UNIT_TESTS = $(patsubst tests/unit/%.c,$(BUILD)/%,$(wildcard tests/unit/test_*.c))
HARNESSES = $(patsubst tests/fuzz/%.c,$(BUILD)/%,$(wildcard tests/fuzz/fuzz_*.c))

.DELETE_ON_ERROR:
.PHONY: all help run test test-build asan fuzz fuzz-build lint bench bench-build install clean

all: $(PROGRAM)

# The comment at the top of this file.
help:
	sed -n '3,/^$$/ { s/^# \{0,1\}//; p; }' Makefile

run:
	conf/packages.sh run $(SERVER)
	$(MAKE) --no-print-directory all $(if $(SERVER),$(BUILD)/echo)
# No shell between make and run.sh: a SIGTERM that make passes on would end at the shell.
	exec env SERVER=$(SERVER) PROGRAM=$(PROGRAM) conf/run.sh

test:
	conf/packages.sh test
	$(MAKE) --no-print-directory test-build
	BUILD=$(BUILD) tests/run.sh

test-build: $(PROGRAM) $(UNIT_TESTS) $(BUILD)/echo

asan:
	$(MAKE) --no-print-directory test BUILD=$(BUILD)/asan CFLAGS='-O1 -g -fno-omit-frame-pointer' \
	  SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=all'

fuzz:
	conf/packages.sh fuzz
	$(MAKE) --no-print-directory fuzz-build BUILD=$(BUILD)/fuzz CC=clang CFLAGS='-O1 -g -fno-omit-frame-pointer' \
	  SANITIZE='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all'
	BUILD=$(BUILD)/fuzz tests/fuzz/run.sh

fuzz-build: $(HARNESSES)

lint:
	conf/packages.sh lint
	$(MAKE) --no-print-directory $(EMBEDDED)
	tests/lint.sh

bench:
	conf/packages.sh bench
	$(MAKE) --no-print-directory bench-build
	BUILD=$(BUILD) tests/bench/run.sh

bench-build: $(PROGRAM) $(BUILD)/ceiling.fcgi $(BUILD)/globs

# The same program with a Redis that answers at once: what the loop can do without one.
$(BUILD)/ceiling.fcgi: $(BUILD)/main.o $(BUILD)/ceiling.o $(LIBRARY)
	$(SAY)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/globs: tests/bench/globs.c $(LIBRARY)
	$(SAY)
	$(COMPILE) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/ceiling.o: tests/bench/ceiling.c | $(BUILD)
	$(SAY)
	$(COMPILE) -c -o $@ $<

$(PROGRAM): $(BUILD)/main.o $(LIBRARY)
	$(SAY)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(LIBRARY): $(OBJECTS)
	$(SAY)
	rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/%.o: fcgi/%.c | $(BUILD) $(EMBEDDED)
	$(SAY)
	mkdir -p $(@D)
	$(COMPILE) -c -o $@ $<

$(BUILD)/test_%: tests/unit/test_%.c $(LIBRARY) | $(BUILD)
	$(SAY)
	$(COMPILE) $(ALL_LDFLAGS) -o $@ $(filter %.c %.a,$^) $(LIBS) -lcmocka

# With libFuzzer's main.
$(BUILD)/fuzz_%: tests/fuzz/fuzz_%.c $(LIBRARY) | $(BUILD)
	$(SAY)
	$(COMPILE) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $(filter %.c %.a,$^) $(LIBS)

# What a demonstration and the tests guard.
$(BUILD)/echo: conf/demo/echo.c | $(BUILD)
	$(SAY)
	$(COMPILE) $(ALL_LDFLAGS) -o $@ $< -lfcgi

$(BUILD)/take.lua.inc: lua/take.lua | $(BUILD)
	xxd -i <$< >$@
$(BUILD)/limits.yaml.inc: conf/limits.yaml | $(BUILD)
	xxd -i <$< >$@

$(BUILD):
	mkdir -p $@

install: all
	install -D -m 755 $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/ratelimit.fcgi
	$(call install_share,conf/limits.yaml conf/limits.example.yaml conf/lighttpd.conf conf/lighttpd-connect.conf)
	$(call install_share,conf/lighttpd/authorizer.conf conf/lighttpd/ratelimit.lua)
	$(call install_share,$(wildcard conf/nginx/*.conf conf/apache/*.conf) conf/caddy/Caddyfile conf/traefik/ratelimit.yaml conf/envoy/envoy.yaml)
	$(call install_etc,conf/limits.yaml,ratelimit/limits.yaml)
	$(call install_etc,conf/lighttpd/06-ratelimit.conf,lighttpd/conf-available/06-ratelimit.conf)
	$(call install_etc,conf/lighttpd/07-ratelimit-headers.conf,lighttpd/conf-available/07-ratelimit-headers.conf)
	install -D -m 644 README.md $(DESTDIR)$(PREFIX)/share/doc/ratelimit/README.md
	install -D -m 644 conf/man/ratelimit.fcgi.8 $(DESTDIR)$(PREFIX)/share/man/man8/ratelimit.fcgi.8
	install -D -m 644 conf/man/ratelimit-limits.5 $(DESTDIR)$(PREFIX)/share/man/man5/ratelimit-limits.5
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	for unit in ratelimit.socket ratelimit@.service; do \
	  $(WITH_PATHS) conf/systemd/$$unit >$(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit || exit; \
	done
	$(call install_etc,conf/systemd/ratelimit.default,default/ratelimit)

# FILE...: below PREFIX/share/ratelimit, where they stand in conf.
define install_share
	for file in $(1:conf/%=%); do \
	  install -D -m 644 conf/$$file $(DESTDIR)$(PREFIX)/share/ratelimit/$$file || exit; \
	done
endef

WITH_PATHS = sed 's|/usr/local/|$(PREFIX)/|g; s|/etc/|$(SYSCONFDIR)/|g'

# FILE, TO below SYSCONFDIR: with the paths as they are installed.  A file that is there is the operator's, and stays.
define install_etc
	test -e $(DESTDIR)$(SYSCONFDIR)/$2 || { mkdir -p $(dir $(DESTDIR)$(SYSCONFDIR)/$2) && \
	  $(WITH_PATHS) $1 >$(DESTDIR)$(SYSCONFDIR)/$2; }
endef

clean:
	rm -rf build

-include $(wildcard $(BUILD)/*.d $(BUILD)/*/*.d)
