# SPDX-License-Identifier: Apache-2.0
# A thin door to meson and the scripts in tools/; `make help` lists what is behind it.

BUILD ?= build
PREFIX ?= /usr/local
IMAGE ?=
CMD ?=
FUZZ ?=
SECONDS ?= 60

export IMAGE CMD BUILD

.PHONY: all help setup run check check-vm bench fuzz install clean format tidy tsan valgrind

all: $(BUILD)/build.ninja ## build build/imbrex and the library
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@tools/setup --check build || { echo "install them with: make setup"; exit 1; }
	meson setup $(BUILD) --buildtype=release -Dtests=disabled --prefix=$(PREFIX)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | \
		while IFS='|' read -r name what; do printf '  make %-10s %s\n' "$$name" "$$what"; done

setup: ## install from Debian what building and testing need (as root)
	@tools/setup build test

run: ## import an image and run a command in it: IMAGE=docker://… CMD='…' to choose
	@tools/run-demo

check: ## build with gcc and with clang, run every test, end with the count
	@tools/check

check-vm: ## run what needs OpenZFS, quotas, fs-verity in a virtual machine (as root)
	@tools/check-vm

bench: ## measure against podman, skopeo and umoci; writes docs/BENCHMARKS.md
	@tools/setup build bench
	@$(MAKE) --no-print-directory all
	@bench/run

fuzz: ## fuzz each parser for a minute: FUZZ=name SECONDS=600 to choose
	@tools/fuzz $(SECONDS) $(FUZZ)

install: all ## install below PREFIX (/usr/local); DESTDIR is honoured
	@meson configure $(BUILD) -Dprefix=$(PREFIX)
	meson install -C $(BUILD)

clean: ## remove what these targets made
	@tools/clean

format: ## put C files into the style of the house
	git ls-files '*.[ch]' | xargs clang-format -i

tidy: ## clang-tidy: advice, not a gate
	@tools/lint

tsan: ## unit tests under ThreadSanitizer
	@tools/sanitize thread

valgrind: ## unit tests under valgrind
	@tools/sanitize valgrind
