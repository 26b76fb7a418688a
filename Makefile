# flake-launcher. `make help` lists the targets.
PREFIX ?= /usr/local
DESTDIR ?=
GO ?= go
MUSL_CC ?= $(shell command -v musl-gcc || command -v gcc)

GO_MIN := $(shell awk '/^go /{print $$2}' go.mod)
LIBEXEC = $(PREFIX)/libexec/flake-launcher
# Where distributions look for the completions of bash, zsh and fish, and for man pages.
SHARE = $(DESTDIR)$(PREFIX)/share
BASH_DIR = $(SHARE)/bash-completion/completions
ZSH_DIR = $(SHARE)/zsh/site-functions
FISH_DIR = $(SHARE)/fish/vendor_completions.d
MAN_DIR = $(SHARE)/man/man1
SCRIPTS = launcher/completion/scripts
# Plans are bound to the build that compiled them, so an unclean tree is named after its changes.
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo devel)$(shell git diff HEAD 2>/dev/null | grep -q . && git diff HEAD | sha1sum | cut -c1-8)
# make 4.3 does not hand the PATH exported below to $(shell …).
GOARCH := $(shell PATH="$$PATH:/usr/local/go/bin" $(GO) env GOARCH 2>/dev/null)
# Where the programs go, and the C programs that are embedded in them.
BIN = bin
BUILT =
INIT = $(or $(BUILT),nsexec/init/built)/init-$(GOARCH)
PROBE = $(or $(BUILT),launcher/selftest/built)/probe-$(GOARCH)
STATIC = $(MUSL_CC) -std=gnu11 -static -Os -s -Wall -Wextra -Werror -ffunction-sections -fdata-sections -Wl,--gc-sections

# openpgp: signatures without libgpgme. netgo, osusergo: static programs resolve names by themselves.
TAGS = containers_image_openpgp,netgo,osusergo
MODULE = github.com/flake-launcher/flake-launcher
LDFLAGS = -s -w -X $(MODULE)/launcher/plan.Build=$(VERSION) -X $(MODULE)/launcher.Libexec=$(LIBEXEC) -X $(MODULE)/launcher/ctl.Version=$(VERSION) -X $(MODULE)/launcher/run.Version=$(VERSION)
BUILD = $(GO) build -trimpath -buildvcs=false -tags $(TAGS)
TEST = GOFLAGS="$(GOFLAGS) -tags=$(TAGS)" integration/hack/gotest.sh

# Where a new machine's Go lies when nobody has put it on PATH.
export PATH := $(PATH):/usr/local/go/bin:/usr/sbin:/sbin

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: go-version
go-version:
	@v=$$($(GO) env GOVERSION 2>/dev/null | sed 's/^go//'); \
	if [ -z "$$v" ]; then echo "flake-launcher needs Go $(GO_MIN) or newer, and no Go is on PATH: see https://go.dev/dl" >&2; exit 1; fi; \
	if [ "$$(printf '%s\n' $(GO_MIN) $$v | sort -V | head -1)" != $(GO_MIN) ]; then \
	echo "flake-launcher needs Go $(GO_MIN) or newer, this is Go $$v: see https://go.dev/dl" >&2; exit 1; fi

.PHONY: build
build: go-version deps-build programs ## build the programs into bin/

.PHONY: deps-build deps-test
deps-build:
	@integration/hack/deps.sh build
deps-test:
	@integration/hack/deps.sh build test
	@integration/hack/deps.sh --optional real

$(INIT): $(wildcard nsexec/init/*.c nsexec/init/*.h)
	@test -n "$(GOARCH)" || { echo "no Go found: see https://go.dev/dl" >&2; exit 1; }
	$(STATIC) -o $@ $(filter %.c,$^)

$(PROBE): $(wildcard launcher/selftest/probe/*.c launcher/selftest/probe/*.h)
	@test -n "$(GOARCH)" || { echo "no Go found: see https://go.dev/dl" >&2; exit 1; }
	$(STATIC) -o $@ $(filter %.c,$^)

# cgo does not see that a file of another directory, which one of the package's own includes, has changed.
STAMP = launcher/early/front/stamp.h
.PHONY: stamp
stamp:
	@new="/* $$(cat nsexec/init/*.c nsexec/init/*.h | sha1sum) */"; \
	[ "$$(cat $(STAMP) 2>/dev/null)" = "$$new" ] || echo "$$new" > $(STAMP)

# The early part finds out by symbols which build it is of, and which of the two programs it is in.
BUILD_ID = 0x$(shell printf %s '$(VERSION)' | sha1sum | cut -c1-12)
EARLY = CGO_ENABLED=1 CC='$(MUSL_CC)' $(BUILD) -ldflags '$(LDFLAGS) -linkmode external -extldflags "-static -Wl,--gc-sections -Wl,--defsym=flake_build=$(BUILD_ID)

.PHONY: programs
programs: $(INIT) $(PROBE) stamp
	$(EARLY)"' -o $(BIN)/ ./cmd/flake-launcher
	$(EARLY) -Wl,--defsym=flake_ad_hoc=1"' -o $(BIN)/ ./cmd/flake-run
	CGO_ENABLED=1 $(BUILD) -ldflags '$(LDFLAGS) -linkmode external -extldflags -static' -o $(BIN)/ ./cmd/flake-ctl ./cmd/flake-engine

# For another architecture. Go embeds all that lies in the directories of the C programs: what we have there for ourselves
# is hidden from that build, and its own come to lie elsewhere. What pkg-config said once Go keeps in its cache, whatever it
# would say now: CGO_LDFLAGS tells one sysroot from another.
CROSS = bin/arm64
SYSROOT = $(shell integration/vm/fetch.sh bookworm arm64)/sysroot
.PHONY: programs-arm64
programs-arm64: go-version ## cross-compile the programs for arm64 into bin/arm64 (fetches musl and libseccomp for it)
	@integration/hack/deps.sh lint
	@mkdir -p $(CROSS)/built
	@for c in nsexec/init/built/init launcher/selftest/built/probe; do for arch in $(GOARCH) arm64; do \
		to=; [ $$arch != arm64 ] || to=$(CURDIR)/$(CROSS)/built/$${c##*/}-arm64; \
		printf '"%s/%s-%s": "%s"\n' "$(CURDIR)" $$c $$arch "$$to"; done; done | \
		paste -sd, | sed 's/.*/{"Replace": {&}}/' >$(CROSS)/overlay.json
	@root=$(SYSROOT); [ -x "$$root/musl-gcc" ] || exit 1; \
	CGO_LDFLAGS="-O2 -g -L$$root/usr/lib/aarch64-linux-gnu" \
	PKG_CONFIG_SYSROOT_DIR=$$root PKG_CONFIG_LIBDIR=$$root/usr/lib/aarch64-linux-gnu/pkgconfig \
	$(MAKE) --no-print-directory programs GOARCH=arm64 BIN=$(CROSS) BUILT=$(CROSS)/built CC=aarch64-linux-gnu-gcc \
		MUSL_CC=$$root/musl-gcc GOFLAGS="$(GOFLAGS) -overlay=$(CURDIR)/$(CROSS)/overlay.json"

.PHONY: demo
demo: go-version ## show a flake at work, in seconds, without a registry (installs what is missing)
	@integration/hack/deps.sh build test
	@$(MAKE) --no-print-directory build
	@integration/demo/demo.sh

.PHONY: test
test: go-version deps-test programs ## run all tests: unit, end to end with real mounts, real images
	FLAKE_TEST_ROOT=$$([ $$(id -u) = 0 ] && echo 1) $(TEST) -count=1 -timeout 25m -p 2 ./...

.PHONY: test-unit
test-unit: go-version ## run the quick tests of the packages, without the end-to-end suites
	$(TEST) $$($(GO) list ./... | grep -v /integration)

.PHONY: test-long
test-long: go-version deps-test programs ## run all tests with the race detector, and those that take long or need virtual machines
	@integration/hack/deps.sh --optional vm
	FLAKE_TEST_VM=1 FLAKE_TEST_LONG=1 CGO_ENABLED=1 $(TEST) -race -count=1 -timeout 60m -p 1 ./...

.PHONY: bench
bench: go-version build ## compare with podman, runc, crun and bubblewrap (installs what is missing)
	@integration/hack/deps.sh bench
	$(GO) run -tags $(TAGS) ./integration/bench -results integration/bench/results

.PHONY: lint
lint: go-version lint-arm64 ## run gofmt, go vet and staticcheck, and see that it compiles for arm64
	@test -z "$$(gofmt -l cmd launcher overlay rootfs hostlink nsexec integration)" || { gofmt -l . ; echo "gofmt: run make fmt" >&2; exit 1; }
	GOFLAGS="-tags=$(TAGS)" $(GO) vet ./...
	GOFLAGS="-tags=$(TAGS)" $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

# What of the programs no cgo is needed for, and the C program.
.PHONY: lint-arm64
lint-arm64: go-version
	@integration/hack/deps.sh --optional lint
	GOFLAGS="-tags=$(TAGS)" GOARCH=arm64 CGO_ENABLED=0 $(GO) vet ./cmd/flake-launcher ./cmd/flake-run
	@if [ -e /usr/aarch64-linux-gnu/include/stdlib.h ]; then \
	out=$$(mktemp) && trap 'rm -f "$$out"' EXIT && set -x && \
	aarch64-linux-gnu-gcc -std=gnu11 -static -Os -Wall -Wextra -Werror -o "$$out" nsexec/init/*.c && \
	aarch64-linux-gnu-gcc -std=gnu11 -static -Os -Wall -Wextra -Werror -DFRONT_TEST -o "$$out" launcher/early/front/*.c; \
	else echo "lint: SKIPPED: nsexec/init for arm64: no cross compiler with a C library" >&2; fi

.PHONY: fmt
fmt: ## format the Go files
	gofmt -w cmd launcher overlay rootfs hostlink nsexec integration

.PHONY: install
install: build ## install into PREFIX (default /usr/local), below DESTDIR
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(LIBEXEC)
	install -m 0755 bin/flake-launcher bin/flake-run bin/flake-ctl $(DESTDIR)$(PREFIX)/bin
	install -m 0755 bin/flake-engine $(DESTDIR)$(LIBEXEC)
	install -d $(BASH_DIR) $(ZSH_DIR) $(FISH_DIR)
	for name in flake-ctl flake-run; do \
		install -m 0644 $(SCRIPTS)/flake-ctl.bash $(BASH_DIR)/$$name && \
		install -m 0644 $(SCRIPTS)/flake-ctl.fish $(FISH_DIR)/$$name.fish || exit 1; done
	install -m 0644 $(SCRIPTS)/_flake-ctl $(ZSH_DIR)
	install -d $(MAN_DIR)
	for name in flake-ctl flake-run; do bin/flake-ctl man $$name >$(MAN_DIR)/$$name.1 && chmod 0644 $(MAN_DIR)/$$name.1 || exit 1; done

.PHONY: uninstall
uninstall: ## remove what install put there; images and registrations stay
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/bin/,flake-launcher flake-run flake-ctl)
	rm -rf $(DESTDIR)$(LIBEXEC)
	rm -f $(addprefix $(BASH_DIR)/,flake-ctl flake-run) $(addprefix $(FISH_DIR)/,flake-ctl.fish flake-run.fish) $(ZSH_DIR)/_flake-ctl $(addprefix $(MAN_DIR)/,flake-ctl.1 flake-run.1)

.PHONY: clean
clean: ## remove what the build made
	rm -rf bin nsexec/init/built/init-* launcher/selftest/built/probe-*
