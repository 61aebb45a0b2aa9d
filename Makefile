# Everything here sets up what it needs: a machine with Python >= 3.11 is enough. Environments live below build/.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
UV := build/uv/bin/uv
DEV := build/env-dev/bin
JOBS := build/env-jobs-cpu/bin
SITE := build/env-docs/bin
# One thread computes the same bits on every machine of a kind, and leaves the other core to the rest.
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM := false
# Tests run in so many processes at once, each file in one of them.
WORKERS ?= 2
PYTEST := python -m pytest -n $(WORKERS) --dist loadfile
# What the tests start, built from the Go modules in tests/tools.
TOOLS := minio toxiproxy etcd kubernetes/kube-apiserver kubernetes/kubectl helm prometheus/prometheus prometheus/promtool kubeconform
NODE_TOOLS := kubernetes/kube-controller-manager kubernetes/kube-scheduler kwok kubernetes/kubelet containerd/containerd containerd/containerd-shim-runc-v2 containerd/ctr
NODE_PACKAGES := runc containernetworking-plugins iptables conntrack iproute2 mmdebstrap buildah
TRACES ?= $(firstword $(wildcard ../shared/data/traces/en_math_r1.jsonl))

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

init: $(DEV)/.ready $(JOBS)/.ready ## Make both environments (dev without torch, jobs with it)

demo: $(JOBS)/.ready ## Run the whole pipeline on the embedded model: base against tuned, with a report
	@echo "== demo: sampling, exits, endings, pruning, pairs, SimPO and evaluation of a tiny model; 5 to 15 minutes"
	$(JOBS)/dto run manifests/samples/demo.yaml --store build/demo

demo-traces: $(JOBS)/.ready ## Analyse real R1 traces with a 135M continuation model (TRACES=file.jsonl to name others)
	@test -n "$(TRACES)" || { echo "name a JSONL of traces: make demo-traces TRACES=file.jsonl (fields: problem, gold, response)"; exit 3; }
	@echo "== demo-traces: $(TRACES), continued by SmolLM2-135M-Instruct; about 10 minutes"
	$(JOBS)/dto run manifests/samples/demo-traces.yaml --store build/demo-traces --set stages.rollout.import.source=$(abspath $(TRACES)) --set problems.source=$(abspath $(TRACES))

demo-model: $(JOBS)/.ready ## Build the embedded model from scratch (one core, deterministic)
	$(JOBS)/python -m dto_jobs.demo.build

test: unit services engines ## Run every test tier but the one on a real node: make cluster
	@cat build/not-run 2>/dev/null || true
	@echo "NOT RUN: tier cluster, which starts a real node and builds an image of 6 GB: make cluster"

browser: ## Install Chromium, which the report's tests open pages with, where that can be done
	@command -v chromium >/dev/null && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "== installing chromium for the report's tests"; apt-get update -q && apt-get install -yq --no-install-recommends chromium; \
	else echo "== chromium is missing and cannot be installed here: the report's browser tests will NOT RUN"; fi

unit: $(DEV)/.ready $(SITE)/.ready browser ## Lint, types, walls, contracts and the fast tests (no torch)
	@echo "== tier unit"
	$(DEV)/ruff check . && $(DEV)/ruff format --check .
	$(DEV)/mypy
	$(DEV)/lint-imports
	$(DEV)/$(PYTEST) -m "not engines and not services and not cluster"

services: $(DEV)/.ready ## Tests against real services (MinIO, Kubernetes API server …), built once from Go modules: half an hour the first time
	@echo "== tier services"
	@rm -f build/not-run
	@if command -v go >/dev/null; then tests/tools/build.sh $(TOOLS) && $(DEV)/$(PYTEST) -m "services and not engines"; \
	else echo "NOT RUN: tier services: Go is not installed, and what it starts is built from Go modules" | tee build/not-run; test "$${CI:-}" != true; fi

node-packages: ## Install what a node and its images are made with, where that can be done
	@dpkg -s $(NODE_PACKAGES) >/dev/null 2>&1 && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "== installing $(NODE_PACKAGES)"; apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends $(NODE_PACKAGES); \
	else echo "== packages for a node are missing and cannot be installed here"; fi

cluster: $(DEV)/.ready $(JOBS)/.ready node-packages ## A real cluster of one node: our images, and runs from end to end in their pods (root; the first time builds for half an hour)
	@echo "== tier cluster"
	@why=$$(command -v go >/dev/null || echo "Go is not installed, and what it starts is built from Go modules"; \
	  [ "$$(id -u)" = 0 ] || echo "only root may start a node"; dpkg -s $(NODE_PACKAGES) >/dev/null 2>&1 || echo "not installed: one of $(NODE_PACKAGES)"); \
	if [ -z "$$why" ]; then tests/tools/build.sh $(TOOLS) $(NODE_TOOLS) && $(DEV)/python -m pytest -m cluster; \
	else echo "NOT RUN: tier cluster: $$why" | tee -a build/not-run; test "$${CI:-}" != true; fi

engines: $(JOBS)/.ready ## Tests with real models: sampler, trainer, short pipelines
	@echo "== tier engines"
	$(JOBS)/$(PYTEST) -m engines tests/jobs

lint: $(DEV)/.ready ## Format, then check style, types and import contracts
	$(DEV)/ruff format . && $(DEV)/ruff check --fix . && $(DEV)/mypy && $(DEV)/lint-imports

bench: $(JOBS)/.ready ## Run the benchmarks, one row each, and write build/bench.json
	$(JOBS)/python tests/bench/all.py

variants: $(JOBS)/.ready ## Compare ways to train on the demo's traces, five seeds each (an hour)
	$(JOBS)/python tests/bench/variants.py

docs: $(DEV)/.ready ## Write the generated pages
	$(DEV)/python -m dto_jobs.cli.reference .
	$(DEV)/python -m dto_operator.api_reference docs/api.md
	$(DEV)/python -m dto_operator.plugin.reference docs/kubectl-dto.md
	$(DEV)/python -m dto_operator.metrics_reference docs/operator-metrics.md
	$(DEV)/python -m dto_operator.alerts_reference charts/dto-operator/files/rules/*.yaml docs/alerts.md
	$(DEV)/python -m dto_operator.values_reference charts/dto-operator/values.yaml docs/values.md

manifests: $(DEV)/.ready ## Write the CRD, from the settings classes, and what installs the operator
	$(DEV)/python -m dto_operator.crd manifests/crd.yaml charts/dto-operator/files/crd.yaml
	$(DEV)/python -m dto_operator.rights charts/dto-operator/files/rights.yaml
	manifests/render.sh "$$(tests/tools/build.sh helm)/helm"

dashboards: $(DEV)/.ready ## Write the dashboards' JSON, for the chart and for `dto dashboard`
	$(DEV)/python -m dto_operator.dashboards charts/dto-operator/files/dashboards jobs/dto_jobs/dashboard/definitions

lock: $(UV) ## Pin the dependencies with hashes
	requirements/lock.sh $(UV)

release: $(DEV)/.ready ## Make wheel, sdist, chart, bills of materials and checksums in dist: the same bytes from the same commit
	@test -z "$$(git status --porcelain)" || { echo "a release is made of a commit: commit or remove what git status shows"; exit 1; }
	rm -rf dist && requirements/release.sh dist $(DEV) "$$(tests/tools/build.sh helm)/helm"
	@cat dist/SHA256SUMS

images: ## Build images of this commit with buildah, as OCI archives in dist (IMAGES="operator jobs"; BASE, DTO_BUILDAH and DTO_BUILD as requirements/images.sh says)
	@command -v buildah >/dev/null || { echo "buildah is not installed: images are built by it"; exit 1; }
	requirements/images.sh dist $(or $(IMAGES),operator)

site: $(SITE)/.ready ## Build the documentation's site, strictly, in build/site
	NO_MKDOCS_2_WARNING=true $(SITE)/mkdocs build -q -f .mkdocs.yml
	@echo "== the site is in build/site/index.html"

licences: $(DEV)/.ready $(JOBS)/.ready ## List what is installed, with licences, as the packages say themselves
	@for env in $(DEV) $(JOBS); do echo "== $$env"; $$env/python requirements/licences.py; done

audit: $(DEV)/.ready ## Look for known weaknesses in what the locks name (asks the package index's data base: needs the network)
	$(DEV)/pip-audit --disable-pip --require-hashes -r requirements/operator.txt
	$(DEV)/pip-audit --disable-pip --require-hashes -r requirements/jobs.txt

clean: ## Remove what was built
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache

$(UV): requirements/uv.txt
	@echo "== setting up the installer"
	$(PYTHON) -m venv build/uv
	build/uv/bin/pip install -q --require-hashes -r requirements/uv.txt
	@touch $@

$(SITE)/.ready: requirements/docs.txt $(UV)
	$(UV) venv -q --allow-existing --python $(PYTHON) build/env-docs
	VIRTUAL_ENV=build/env-docs $(UV) pip sync -q --require-hashes requirements/docs.txt
	@touch $@

build/env-%/bin/.ready: requirements/%.txt pyproject.toml $(UV)
	@echo "== setting up the environment $* (the first time downloads; jobs-cpu is 4 GB and takes 1 to 5 minutes)"
	$(UV) venv -q --allow-existing --python $(PYTHON) build/env-$*
	VIRTUAL_ENV=build/env-$* $(UV) pip sync -q --require-hashes requirements/$*.txt
	VIRTUAL_ENV=build/env-$* $(UV) pip install -q --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: images release site licences audit browser cluster dashboards node-packages help init demo demo-traces demo-model test unit services engines lint bench variants docs manifests lock clean
