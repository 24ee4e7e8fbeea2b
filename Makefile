# Alcove's build: sources by folder, objects in build/<variant>/, the program at build/alcove.

VARIANT ?= release
OUT := build/$(VARIANT)
PACKAGES := fuse3 openssl libsodium liblz4 libzstd zlib liblzma libdeflate libxxhash jansson libpcre2-8 libacl

CC ?= gcc
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes -Wmissing-prototypes \
	-Wold-style-definition -Wpointer-arith -Wcast-qual -Wwrite-strings -Wvla -Wformat=2 -Wundef \
	-Wswitch-enum -Wimplicit-fallthrough
WERROR ?=
OPTIMIZE ?= -O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2
SANITIZE ?=
CFLAGS_ALL := -std=c17 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DFUSE_USE_VERSION=314 -I. -fPIE -pthread $(WARNINGS) \
	$(WERROR) $(OPTIMIZE) $(SANITIZE) $(CFLAGS) $(shell pkg-config --cflags $(PACKAGES))
LDFLAGS_ALL := -pie -Wl,-z,relro,-z,now -pthread $(SANITIZE) $(LDFLAGS)
LIBS := $(shell pkg-config --libs $(PACKAGES))

LIB_SRC := $(wildcard core/*/*.c fs/*.c mount/*.c)
TOOL_SRC := $(wildcard tools/*.c)
TEST_SRC := $(wildcard tests/core/test_*.c tests/fs/test_*.c tests/mount/test_*.c tests/tools/test_*.c tests/conform/test_*.c)
SUPPORT_SRC := $(wildcard tests/support/*.c)
LIB_OBJ := $(LIB_SRC:%.c=$(OUT)/%.o)
TOOL_OBJ := $(TOOL_SRC:%.c=$(OUT)/%.o)
TEST_BIN := $(TEST_SRC:%.c=$(OUT)/%)
SUPPORT_OBJ := $(SUPPORT_SRC:%.c=$(OUT)/%.o)

all: $(OUT)/alcove

$(OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -MMD -MP -c $< -o $@

$(OUT)/libalcove.a: $(LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

$(OUT)/alcove: $(TOOL_OBJ) $(OUT)/libalcove.a
	$(CC) $(LDFLAGS_ALL) $^ $(LIBS) -o $@
	@[ "$(VARIANT)" != release ] || ln -sf release/alcove build/alcove

$(OUT)/tests/%: $(OUT)/tests/%.o $(SUPPORT_OBJ) $(OUT)/libalcove.a
	$(CC) $(LDFLAGS_ALL) $^ $(LIBS) -lcmocka -o $@

unit: $(TEST_BIN)
	@for t in $(TEST_BIN); do echo "# $$t"; $$t || exit 1; done

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

.SECONDARY:
.PHONY: all unit format
-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
