# The four verbs of the project; each works from a bare clone. `npm run` puts the pinned Node in front.
.PHONY: demo test bench check install system-packages

demo: install
	@npm run --silent demo

test: install system-packages
	@npm run --silent test

bench: install system-packages
	@npm run --silent bench -- $(ONLY)

check: install
	@npm run --silent check

install: node_modules/.package-lock.json

node_modules/.package-lock.json: package.json package-lock.json $(wildcard packages/*/package.json)
	@echo 'Installing npm packages, Node 26 among them (about 10 s) …'
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@

system-packages:
	@sh scripts/system-packages.sh
