# The two commands: `make demo` shows the gateway at work, `make test` runs all tests. Each installs what it lacks.
SWIFT ?= swift
PREFIX ?= /usr/local
BUILD_PACKAGES = libssl-dev libhiredis-dev libnghttp2-dev zlib1g-dev libbrotli-dev libzstd-dev pkg-config
TEST_PACKAGES = brotli zstd tzdata dnsmasq-base vim git mercurial nginx caddy lighttpd prometheus redis-server curl openssl nghttp2-client python3-venv chromium
FUZZ_SECONDS ?= 300

.PHONY: help demo build release test test-redis lint format fuzz bench install packages test-packages clean

help:
	@echo 'make demo      build, and show the gateway at work'
	@echo 'make test      build, and run all tests'
	@echo 'make lint      check the formatting and the rules of the house'
	@echo 'make release   build for use'
	@echo 'make install   put the program and its service file in place (PREFIX=$(PREFIX))'
	@echo 'make fuzz      fuzz every parser for FUZZ_SECONDS=$(FUZZ_SECONDS) seconds each'
	@echo 'make bench     compare with nginx, HAProxy and Envoy (see Benchmarks/compare)'

demo: packages
	$(SWIFT) build --product portcullis
	.build/debug/portcullis demo $(DEMO_FLAGS)

build: packages
	$(SWIFT) build

# With Swift's own libraries inside: the program then runs where no Swift is, and starts without looking for them.
release: packages
	$(SWIFT) build -c release --product portcullis --static-swift-stdlib

# The system tests start the program as it is built for use.
test: packages test-packages release
	$(SWIFT) build --product generate-manual
	$(SWIFT) build --build-tests
	$(SWIFT) test --skip-build

# What speaks to Redis, with another server than Debian's: make test-redis SERVER=/opt/valkey/bin/valkey-server
test-redis: packages test-packages release
	$(SWIFT) build --build-tests
	PORTCULLIS_REDIS_SERVER=$(SERVER) $(SWIFT) test --skip-build --filter \
	  'ScriptPropertyTests|RedisLinkTests|RedisTopologyTests|RedisLoginTests|LimitStoreTests|LimitKindTests|LimitCostTests|ConcurrencyTests|LockoutTests|LimitCommandTests|LimitBoundsTests|LiveCheckTests'

lint:
	$(SWIFT) format lint --strict --recursive --parallel Sources Tests Package.swift
	@$(MAKE) --no-print-directory packages
	$(SWIFT) build --build-tests
	$(SWIFT) test --skip-build --filter TidyTests
	PORTCULLIS_BENCHMARKS=1 $(SWIFT) build --product Micro --scratch-path .build-benchmarks -c release

format:
	$(SWIFT) format --in-place --recursive --parallel Sources Tests Package.swift

fuzz: packages
	Tests/Fuzz/run $(FUZZ_SECONDS)

bench: release
	Benchmarks/compare/bench --gateway '$(CURDIR)/.build/release/portcullis run --config {config}' $(BENCH_FLAGS)

install: release
	install -D -m 755 .build/release/portcullis $(DESTDIR)$(PREFIX)/bin/portcullis
	install -D -m 644 deploy/portcullis.service $(DESTDIR)/etc/systemd/system/portcullis.service
	for shell in bash zsh fish; do .build/release/portcullis --generate-completion-script $$shell > .build/portcullis.$$shell || exit 1; done
	install -D -m 644 .build/portcullis.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/portcullis
	install -D -m 644 .build/portcullis.zsh $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_portcullis
	install -D -m 644 .build/portcullis.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/portcullis.fish
	.ci/manual .build/release/portcullis .build/man
	install -d $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 644 .build/man/*.8 $(DESTDIR)$(PREFIX)/share/man/man8
	for kind in syntax ftdetect; do install -D -m 644 deploy/editors/vim/$$kind/gateway-conf.vim $(DESTDIR)/usr/share/vim/vimfiles/$$kind/gateway-conf.vim || exit 1; done
	test -e $(DESTDIR)/etc/portcullis/gateway.conf || install -D -m 640 deploy/gateway.conf $(DESTDIR)/etc/portcullis/gateway.conf
	install -D -m 644 gateway.conf.example $(DESTDIR)$(PREFIX)/share/doc/portcullis/gateway.conf.example

packages:
	@.ci/packages $(BUILD_PACKAGES)

test-packages:
	@.ci/packages $(TEST_PACKAGES)
	@.ci/python

clean:
	rm -rf .build
