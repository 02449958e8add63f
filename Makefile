# `make help` says what there is. What the phases of `make test` do is in scripts/test.sh.
TARGET := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
GUEST := $(TARGET)/guest
HOSTLER := $(TARGET)/release/hostler
# What `make dev` starts: a cluster with one worker, and in it a virtual machine named demo.
DEV := dev --demo --guest-image-dir $(GUEST)

.PHONY: help dev build guest test bench
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

dev: ## a cluster on this machine, with a virtual machine to look at
	@scripts/packages.sh
	@$(MAKE) --no-print-directory build guest
	@exec $(HOSTLER) $(DEV)

build: ## the release binary
	cargo build --release --locked -p hostler

guest: ## the tiny guest image
	@guest/build.sh $(GUEST)

test: ## everything that must hold: format, lints, licences, tests
	@scripts/test.sh

bench: build guest ## the figures of the README
	@bench/run.sh
