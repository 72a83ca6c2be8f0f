# Causeway: build, try, test, measure. `make help` lists the targets.

SHELL := /bin/bash
export PATH := $(PATH):/usr/sbin:/sbin
TARGET := $(or $(CARGO_TARGET_DIR),target)
# Tests and labs need network and mount namespaces: root, or a user namespace where that is allowed.
NS := $(if $(filter 0,$(shell id -u)),,unshare --user --map-root-user)

.PHONY: help deps build kubernetes release image demo demo-kubernetes test faults bench instructions soak deny lint crds docs pictures fmt clean

# How much `make soak` does.
JOINS ?= 1000
OBJECTS ?= 1000000

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

deps: ## install the Debian packages that tests and labs use
	@deploy/install-test-packages.sh

build: ## build all programs (development profile)
	cargo build --locked --workspace --bins

kubernetes: ## build Kubernetes for tests and labs, once; needs Go 1.26
	@[ -n "$$KUBEBUILDER_ASSETS" ] || tests/kubernetes/build.sh newest >/dev/null
	@tests/kubernetes/build.sh oldest >/dev/null

release: ## build all programs (release profile)
	cargo build --locked --release --workspace --bins

image: ## build the image as an OCI layout in target/image, without a container engine
	rm -rf $(TARGET)/image
	deploy/image/build.sh --tar $(TARGET)/image.tar $(TARGET)/image

demo: deps release ## three clusters in network namespaces that reach each other
	$(TARGET)/release/causeway-lab demo

demo-kubernetes: deps kubernetes release ## a hub and two members with real control planes: join, switch a mode, leave
	$(TARGET)/release/causeway-lab demo --kubernetes

test: deps build kubernetes ## all tests
	$(NS) cargo test --locked --workspace

faults: deps release ## every fault of the matrix with packets under way, one table, docs/faults.md and docs/faults.json; ONLY=NAME for one
	$(TARGET)/release/causeway-lab faults $(addprefix --only ,$(ONLY)) $(if $(ONLY),,--report docs)

bench: deps kubernetes release ## figures against their bounds; SUITE=plan, sizes, apply, path, converge, fail, scale or memory for one of them
	$(NS) $(TARGET)/release/causeway-bench --report bench/report $(addprefix --suite ,$(SUITE))

instructions: deps ## count the instructions of hot paths anew and record them in bench/instructions.json
	CAUSEWAY_WRITE_INSTRUCTIONS=1 cargo test --locked --workspace --test guard

soak: deps release ## nodes that join and leave (JOINS=1000), and hostile input (OBJECTS=1000000)
	$(TARGET)/release/causeway-lab soak --joins $(JOINS)
	$(TARGET)/release/causeway-hostile --objects $(OBJECTS)
	PROPTEST_CASES=$$(( $(OBJECTS) / 10 )) cargo test --locked --workspace --lib -- \
		no_bytes_make no_expressions_make no_damage_to_a_message

deny: ## licences, sources, lock file; with cargo-deny installed its advisories too
	cargo test --locked -p causeway-workspace --test supply_chain
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --locked check; \
	else echo "for advisories: cargo install --locked cargo-deny"; fi

lint: deps ## formatting, clippy, documentation, allowed dependencies
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet
	cargo test --locked -p causeway-workspace

crds: ## write deploy/crds from the Rust types
	cargo run --locked -p causeway-api --example crds

docs: ## write the generated pages: docs/metrics.md, docs/resources.md, docs/troubleshooting.md
	cargo run --locked -p causeway-metrics --example docs
	cargo run --locked -p causeway-api --example docs
	cargo run --locked -p causeway-diagnosis --example causes

pictures: deps build ## the pictures in docs/pictures, of a lab with a broken link, by Chromium
	$(NS) cargo run --locked -p causeway-lab --example pictures -- $(TARGET)/debug docs/pictures

fmt: ## format all code
	cargo fmt --all

clean: ## remove what was built here
	cargo clean
