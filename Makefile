# ExpressMail: build, try, test, measure, install.
#
#   make demo        a running mail system in ./demo (DEMO=dir chooses another folder)
#   make demo-stop   ends it
#   make test        every test
#   make help        all targets

CARGO  ?= cargo
DEMO   ?= demo
PREFIX ?= /usr/local
DESTDIR ?=
SYSCONFDIR ?= /etc

SBINDIR = $(DESTDIR)$(PREFIX)/sbin
MANDIR  = $(DESTDIR)$(PREFIX)/share/man
DOCDIR  = $(DESTDIR)$(PREFIX)/share/doc/expressmail

COMMANDS = $(patsubst src/bin/%.rs,%,$(wildcard src/bin/em*.rs))

.PHONY: help build release demo demo-stop test clients lint fmt bench fuzz man install clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | sed '/^$$/q'
	@echo "other targets: build lint bench fuzz man install (DESTDIR=, PREFIX=) clean"

build:
	$(CARGO) build --bins

release:
	$(CARGO) build --release --bins

# Built by a profile of its own (Cargo.toml): a release takes several times as long.
demo:
	$(CARGO) build --profile demo --bins
	@examples/demo.sh start "$(DEMO)" target/demo

demo-stop:
	@examples/demo.sh stop "$(DEMO)" target/demo

# Client programs that the tests drive; installs what is missing where it may, names what will be skipped.
clients:
	@tests/clients.sh

# Where property tests begin: the same run twice gives the same answer, and SEED=$$RANDOM looks elsewhere.
SEED ?= 20261130
test: clients
	PROPTEST_RNG_SEED=$(SEED) $(CARGO) test --all-targets

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	@$(MAKE) --no-print-directory man

man:
	@if command -v mandoc >/dev/null; then if mandoc -Tlint man/*.[158] 2>/dev/null | grep -v 'referenced manual not found'; then exit 1; else echo "man: clean"; fi; \
	else echo "man: mandoc is not installed, pages not checked"; fi

bench:
	benches/run

# FUZZ_SECONDS for each target.
FUZZ_SECONDS ?= 60
fuzz:
	fuzz/run $(FUZZ_SECONDS)

install: release
	install -d $(SBINDIR) $(MANDIR)/man5 $(MANDIR)/man8 $(DOCDIR)/examples $(DESTDIR)$(SYSCONFDIR)/em
	for command in $(COMMANDS); do install -m 0755 target/release/$$command $(SBINDIR)/$$command || exit 1; done
	for section in 1 5 8; do for page in man/*.$$section; do \
	  [ ! -e $$page ] || install -D -m 0644 $$page $(MANDIR)/man$$section/$${page#man/} || exit 1; done; done
	for file in etc/*; do \
	  [ -e $(DESTDIR)$(SYSCONFDIR)/em/$${file#etc/} ] || install -m 0644 $$file $(DESTDIR)$(SYSCONFDIR)/em/ || exit 1; done
	cp -R examples/. $(DOCDIR)/examples/
	find $(DOCDIR)/examples -type f -exec sed -i 's|/usr/local/sbin/|$(PREFIX)/sbin/|g' {} +
	install -m 0644 README.md CHANGELOG.md LICENSE-* docs/*.md $(DOCDIR)/
	@echo "Installed. Next: $(PREFIX)/share/doc/expressmail/install.md (user em, group emdrop, rights of emsend and emlocal, emconf init)"

clean:
	$(CARGO) clean
