# Every target is one line for people and one small script for the work; `make` alone tells them.
.DEFAULT_GOAL := help
.PHONY: help setup demo test check chart bench screenshots protos lock clean
MAKEFLAGS += --no-print-directory
.NOTPARALLEL:

help: ## Tell the targets.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Create .venv and install all that running, testing and checking need.
	@scripts/setup.sh test

demo: ## Start the mesh on a demo catalogue or on yours: make demo [CATALOG=folder|refarch] [HTTP_PORT=8081] [PORT_BASE=52051]
	@scripts/setup.sh demo
	@.venv/bin/vitrine demo --no-wait $(if $(filter refarch,$(CATALOG)),--refarch,$(if $(CATALOG),--catalog-dir "$(CATALOG)")) \
		$(if $(HTTP_PORT),--http-port "$(HTTP_PORT)") $(if $(PORT_BASE),--port-base "$(PORT_BASE)")

test: setup check ## Set up, check, and run every test with coverage.
	@.venv/bin/python -m pytest --cov --numprocesses 2 --no-loadscope-reorder

check: ## Lint, types, contract, generated code and stray host names.
	@scripts/check.sh

chart: setup ## Check the Helm chart and the images' Dockerfile with the real tools; the last line tells what was checked.
	@scripts/chart.sh

BENCH ?= mesh
bench: ## Measure into one JSON: BENCH=mesh|gateway|quality CATALOG=folder, BENCH=embedder|vectorsearch|page|autoscaling|observability [CATALOG=folder], or BENCH=rollout
	@test -n "$(CATALOG)" -o "$(BENCH)" != mesh -a "$(BENCH)" != gateway -a "$(BENCH)" != quality || \
		{ echo "bench: say on what: make bench CATALOG=path/to/folder" >&2; exit 2; }
	@scripts/setup.sh $(if $(filter rollout,$(BENCH)),test,bench)
	@.venv/bin/python -m "benchmarks.$(BENCH)" $(if $(CATALOG),"$(CATALOG)")

screenshots: ## Take the pictures of the page anew, of the demo's products under BSD and MIT.
	@scripts/setup.sh test
	@.venv/bin/python scripts/screenshots.py

protos: ## Generate vitrine/v1 from protos/.
	@.venv/bin/python scripts/protos.py

lock: ## Resolve the dependencies anew into requirements/.
	@scripts/lock.sh

clean: ## Remove .venv and everything else that was made here.
	@rm -rf .venv var build dist *.egg-info .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find services tests vitrine scripts -name __pycache__ -type d -prune -exec rm -rf {} +
