# Alcove's build: sources by folder, objects in build/<variant>/, the program at build/alcove.
#
#   make            the program                    make test     every kind of test, small counts
#   make demo       a repository, mounted, shown   make soak     the same tests, large counts
#   make bench      beside stock borg              make install  PREFIX, DESTDIR

VARIANT ?= release
OUT := build/$(VARIANT)
PACKAGES := fuse3 openssl libsodium liblz4 libzstd zlib liblzma libdeflate libxxhash jansson libpcre2-8 libacl lmdb libqrencode libarchive

CC ?= gcc
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes -Wmissing-prototypes \
	-Wold-style-definition -Wpointer-arith -Wcast-qual -Wwrite-strings -Wvla -Wformat=2 -Wundef \
	-Wswitch-enum -Wimplicit-fallthrough
WERROR ?=
OPTIMIZE ?= -O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2
SANITIZE ?=
CFLAGS_ALL := -std=c17 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DFUSE_USE_VERSION=314 -I. -fPIE -pthread $(WARNINGS) \
	$(WERROR) $(OPTIMIZE) $(SANITIZE) $(CFLAGS) $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
# Our names are ours alone: a library that has a function of the same name calls its own.
LDFLAGS_ALL := -Wl,--exclude-libs,ALL -pie -Wl,-z,relro,-z,now -pthread $(SANITIZE) $(LDFLAGS)
LIBS := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null)

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man
COMPLETIONS ?= $(PREFIX)/share
# mount(8) looks for its helpers nowhere else.
HELPERDIR ?= /sbin

LIB_SRC := $(wildcard core/*/*.c fs/*.c mount/*.c)
TOOL_SRC := $(wildcard tools/*.c)
TEST_SRC := $(wildcard tests/core/test_*.c tests/fs/test_*.c tests/mount/test_*.c tests/tools/test_*.c tests/conform/test_*.c)
BENCH_SRC := $(wildcard tests/bench/*.c)
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
SUPPORT_SRC := $(filter-out tests/support/faults.c tests/support/repo_script.c tests/support/file_storm.c,$(wildcard tests/support/*.c))
LIB_OBJ := $(LIB_SRC:%.c=$(OUT)/%.o)
TOOL_OBJ := $(TOOL_SRC:%.c=$(OUT)/%.o)
TEST_BIN := $(TEST_SRC:%.c=$(OUT)/%)
FUZZ_BIN := $(FUZZ_SRC:%.c=$(OUT)/%)
BENCH_BIN := $(BENCH_SRC:%.c=$(OUT)/%)
FAULTS_BIN := $(OUT)/tests/support/faults.so $(OUT)/tests/support/repo_script $(OUT)/tests/support/file_storm
SUPPORT_OBJ := $(SUPPORT_SRC:%.c=$(OUT)/%.o)

ASAN := VARIANT=asan SANITIZE="-fsanitize=address,undefined -fno-sanitize-recover=all" \
	OPTIMIZE="-O1 -g -fno-omit-frame-pointer"
TSAN := VARIANT=tsan SANITIZE=-fsanitize=thread OPTIMIZE="-O1 -g"
FUZZ := VARIANT=fuzz CC=clang OPTIMIZE="-O1 -g" \
	SANITIZE="-fsanitize=address,undefined -fno-sanitize-recover=all -fsanitize=fuzzer-no-link"

all: $(OUT)/alcove

# A missing library is named, with its package, before the compiler fails on a header.
$(OUT)/.deps: Makefile scripts/check-deps
	@scripts/check-deps $(PACKAGES)
	@mkdir -p $(@D) && touch $@

$(OUT)/%.o: %.c $(OUT)/.deps
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -MMD -MP -c $< -o $@

$(OUT)/libalcove.a: $(LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

$(OUT)/libtools.a: $(filter-out $(OUT)/tools/main.o,$(TOOL_OBJ))
	@rm -f $@
	$(AR) rcs $@ $^

$(OUT)/alcove: $(TOOL_OBJ) $(OUT)/libalcove.a
	$(CC) $(LDFLAGS_ALL) $^ $(LIBS) -o $@
	@[ "$(VARIANT)" != release ] || ln -sf release/alcove build/alcove

$(OUT)/tests/bench/bench_object: LIBS += -lmsgpackc
$(OUT)/tests/%: $(OUT)/tests/%.o $(SUPPORT_OBJ) $(OUT)/libtools.a $(OUT)/libalcove.a
	$(CC) $(LDFLAGS_ALL) $^ $(LIBS) -lcmocka -o $@

# Preloaded by programs of every variant, so built without a sanitizer, and with the system calls' own names.
$(OUT)/tests/support/faults.so: tests/support/faults.c $(OUT)/.deps
	@mkdir -p $(@D)
	$(CC) -std=gnu17 -D_GNU_SOURCE $(WARNINGS) $(WERROR) -O1 -g -fPIC -shared -pthread $< -o $@

# A fuzz target is a plain program that replays its corpus, and with clang's engine a fuzzer.
$(OUT)/tests/fuzz/%: $(OUT)/tests/fuzz/%.o $(OUT)/tests/fuzz/replay.o $(OUT)/libalcove.a
	$(CC) $(LDFLAGS_ALL) $^ $(LIBS) -o $@
$(OUT)/tests/fuzz/live_%: $(OUT)/tests/fuzz/fuzz_%.o $(OUT)/libalcove.a
	$(CC) $(LDFLAGS_ALL) -fsanitize=fuzzer $^ $(LIBS) -o $@

test-programs: $(OUT)/alcove $(TEST_BIN) $(FUZZ_BIN) $(BENCH_BIN) $(FAULTS_BIN)

unit: $(TEST_BIN) $(FUZZ_BIN)
	@scripts/run-tests $(OUT) unit fuzz

# Unit tests, corpora and end-to-end tests of this variant; ends with the line of counts.
check: test-programs
	@scripts/run-tests $(OUT) unit fuzz e2e

test:
	@scripts/install-deps build test
	@$(MAKE) --no-print-directory -j$$(nproc) check
soak:
	@ALCOVE_SOAK=1 $(MAKE) --no-print-directory test
asan:
	@$(MAKE) --no-print-directory $(ASAN) check
tsan:
	@$(MAKE) --no-print-directory $(TSAN) unit
fuzz:
	@$(MAKE) --no-print-directory $(FUZZ) fuzz-live
fuzz-live: $(FUZZ_SRC:tests/fuzz/fuzz_%.c=$(OUT)/tests/fuzz/live_%)
	@for f in $^; do scripts/fuzz-one "$$f" || exit 1; done

demo:
	@scripts/install-deps build demo
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@scripts/demo
bench:
	@scripts/install-deps build bench
	@$(MAKE) --no-print-directory -j$$(nproc) all $(OUT)/tests/bench/bench_chunker $(OUT)/tests/bench/discard
	@scripts/bench

format:
	clang-format -i $$(git ls-files '*.c' '*.h')
format-check:
	clang-format --dry-run -Werror $$(git ls-files '*.c' '*.h')
arrows:
	@scripts/arrows

install: all
	install -D -m 755 $(OUT)/alcove $(DESTDIR)$(BINDIR)/alcove
	install -d $(DESTDIR)$(HELPERDIR) $(DESTDIR)$(MANDIR)/man1
	for link in mount.alcove mount.fuse.alcove umount.fuse.alcove; do \
		ln -sf $(BINDIR)/alcove $(DESTDIR)$(HELPERDIR)/$$link; done
	install -m 644 docs/man/*.1 $(DESTDIR)$(MANDIR)/man1
	install -D -m 644 completions/alcove.bash $(DESTDIR)$(COMPLETIONS)/bash-completion/completions/alcove
	install -D -m 644 completions/_alcove $(DESTDIR)$(COMPLETIONS)/zsh/site-functions/_alcove
	install -D -m 644 completions/alcove.fish $(DESTDIR)$(COMPLETIONS)/fish/vendor_completions.d/alcove.fish

clean:
	rm -rf build

.SECONDARY:
.DELETE_ON_ERROR:
.PHONY: all test-programs unit check test soak asan tsan fuzz fuzz-live demo bench format format-check arrows install clean
-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
