# Every target starts from a bare clone: it first sets up .venv, and does nothing there when it is current.
# CONTRIBUTING.md says what each target is for; `make` alone lists them.

PYTHON ?= python3
JOBS ?= 2
DATA ?=
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
HERE_BIN := $(CURDIR)/$(BIN)
STAMP := $(VENV)/setup.stamp
BUILD := build/editable
SANITIZE := build/sanitize
PEERS := $(VENV)/peers/simso

BUILD_TOOLS := meson-python meson ninja Cython numpy setuptools
MESON_FILES := $(wildcard meson.build meson.options xengym/meson.build xengym/envs/*/meson.build)

# The editable package rebuilds itself on import with the tools recorded at set-up, so they are recorded by full
# path: nothing has to be activated, and another Cython on the machine is never taken by accident. (Meson splits
# CYTHON like a shell, hence the inner quotes.) Ninja is recorded as a wrapper that puts .venv first on PATH,
# because a changed meson.build makes it start Meson, which looks there for a Ninja of its own: finding none it
# fails, and finding another version it mixes two formats in one build log and everything is compiled again.
LOCAL_NINJA := $(BIN)/xengym-ninja
WITH_TOOLS := PATH="$(HERE_BIN):$$PATH" CYTHON="'$(HERE_BIN)/cython'"
PIP_INSTALL := $(BIN)/python -m pip --disable-pip-version-check install -qq
PYTEST := $(BIN)/python -m pytest -n $(JOBS)
# meson-python's own switch: the installed package becomes invisible, so that another copy is found.
EDITABLE_OFF := MESONPY_EDITABLE_SKIP="$(CURDIR)/$(BUILD)"

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup build test test-slow test-all check format bench demo sanitize clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- set-up -----------------------------------------------------------------------------------------------------

setup: $(STAMP) ## create or update .venv and compile the kernel (implied by the other targets)

# A deleted build directory leaves an editable install that cannot be imported: set up again.
ifeq ($(wildcard $(BUILD)/build.ninja),)
.PHONY: $(STAMP)
endif

# The stamp goes first and comes back last, so an interrupted set-up is simply taken up again.
$(STAMP): pyproject.toml constraints.txt Makefile $(MESON_FILES)
	@rm -f $@
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "setup: xengym needs Python 3.11 or newer, and '$(PYTHON)' is not one." >&2; \
	  echo "setup: install it, or name another: make setup PYTHON=python3.12" >&2; exit 1; }
	@for compiler in $${CC:-cc gcc clang}; do command -v "$$compiler" >/dev/null 2>&1 && exit 0; done; \
	  echo "setup: no C compiler (looked for: $${CC:-cc gcc clang}), and the kernel is compiled here." >&2; \
	  echo "setup: install gcc or clang (Debian, Ubuntu: build-essential), or name one: CC=gcc-13 make setup" >&2; \
	  exit 1
	@$(PYTHON) -c 'import os, sys, sysconfig; \
	  sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' || { \
	  echo "setup: '$(PYTHON)' has no C headers (Python.h). Install them (Debian, Ubuntu: python3-dev)." >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	  echo "setup: creating $(VENV)"; $(PYTHON) -m venv $(VENV); } || { \
	  echo "setup: '$(PYTHON) -m venv' failed. Install the venv module (Debian, Ubuntu: python3-venv)." >&2; exit 1; }
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "setup: $(VENV) was made with an older Python: run make clean, then make setup." >&2; exit 1; }
	@echo "setup: installing the pinned packages and compiling the kernel (minutes the first time)"
	@$(WITH_TOOLS) $(PIP_INSTALL) -c constraints.txt $(BUILD_TOOLS)
	@printf '#!/bin/sh\nPATH="%s:$$PATH" exec "%s/ninja" "$$@"\n' "$(HERE_BIN)" "$(HERE_BIN)" > $(LOCAL_NINJA)
	@chmod +x $(LOCAL_NINJA)
	@$(WITH_TOOLS) NINJA="$(CURDIR)/$(LOCAL_NINJA)" $(PIP_INSTALL) -c constraints.txt --no-build-isolation \
	  --config-settings=build-dir=$(BUILD) -e '.[agents,dev]'
	@# SimSo is only a peer to measure against. It pins a SimPy older than the one the other peer rows use, so it
	@# lives in a folder of its own; and it imports a module that Python 3.12 removed.
	@rm -rf $(PEERS)
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info >= (3, 12))'; then \
	  $(PIP_INSTALL) --no-deps --no-build-isolation --target $(PEERS) simso==0.8.5 SimPy==2.3.1 || { \
	    rm -rf $(PEERS); echo "setup: SimSo did not install; make bench will leave its row out." >&2; }; \
	else echo "setup: SimSo does not run on this Python; make bench will leave its row out."; fi
	@touch $@
	@echo "setup: done"

# Two processes that import a stale editable install at once would both rebuild it, and one may load a half-written
# module. Whatever starts several processes therefore compiles first, once; imports then find nothing to do.
build: $(STAMP)
	@$(LOCAL_NINJA) -C $(BUILD) --quiet

# --- tests and checks -------------------------------------------------------------------------------------------

test: build ## the tests, without the slow ones
	$(PYTEST) -m "not slow" $(ARGS)

# pytest's exit code 5 means that nothing was collected, which is no failure here.
test-slow: build ## the slow tests: long runs, training, whole conformance
	$(PYTEST) -m slow $(ARGS) || [ $$? -eq 5 ]

test-all: test test-slow sanitize ## every test, then the kernel's under the sanitizers

# The import linter looks for files where Python would find the package, and an editable install has none to show.
check: build ## lint, formatting, import contracts, types, spelling
	@status=0; for tool in "ruff check ." "ruff format --check ." lint-imports mypy codespell; do \
	  echo "$(BIN)/$$tool"; $(EDITABLE_OFF) $(BIN)/$$tool || status=1; \
	done; exit $$status

format: $(STAMP) ## fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# --- running it -------------------------------------------------------------------------------------------------

demo: build ## the demonstration: a table and a picture in results/ (DATA=folder for real traces)
	$(BIN)/python -m agents.demo --out results $(if $(DATA),--data "$(DATA)")

bench: build ## speed against SimPy, SimSo and CartPole, then the micro-benchmarks
	$(BIN)/xengym speed
	$(if $(wildcard tests/benchmarks/test_*.py),$(BIN)/python -m pytest tests/benchmarks \
	  --benchmark-enable --benchmark-only $(ARGS))

# --- sanitizers -------------------------------------------------------------------------------------------------

# The editable install is off in processes the tests start, too, and PYTHONSAFEPATH keeps the sources in this folder,
# which have no compiled modules beside them, out of the way.
RUN_SANITIZED = env \
  LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
  ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:detect_stack_use_after_return=1:allocator_may_return_null=1 \
  UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:abort_on_error=1 \
  PYTHONMALLOC=malloc PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1 \
  $(EDITABLE_OFF) PYTHONPATH="$(CURDIR)/$(SANITIZE)/install" $(BIN)/python

$(SANITIZE)/build.ninja: Makefile $(STAMP)
	@for library in libasan.so libubsan.so; do \
	  case "$$(gcc -print-file-name=$$library 2>/dev/null)" in /*) ;; *) \
	    echo "sanitize: gcc with its $$library is needed. Install gcc (Fedora: libasan and libubsan as well)." >&2; \
	    exit 1;; esac; done
	@rm -rf $(SANITIZE)
	@CC=gcc $(WITH_TOOLS) $(BIN)/meson setup $(SANITIZE) -Dbuildtype=debug -Doptimization=1 \
	  -Db_sanitize=address,undefined -Db_lundef=false -Dc_args=-fno-sanitize-recover=undefined \
	  -Dpython.platlibdir="$(CURDIR)/$(SANITIZE)/install" -Dpython.purelibdir="$(CURDIR)/$(SANITIZE)/install" >/dev/null \
	  || { cat $(SANITIZE)/meson-logs/meson-log.txt; rm -rf $(SANITIZE); exit 1; }

# --capture=sys leaves file descriptor 2 alone: a report printed while the process dies must not die with it.
sanitize: $(SANITIZE)/build.ninja ## the kernel's tests with the kernel under AddressSanitizer and UBSan
	@rm -rf $(SANITIZE)/install
	@$(LOCAL_NINJA) -C $(SANITIZE) --quiet
	@$(BIN)/meson install -C $(SANITIZE) --quiet --no-rebuild
	@$(RUN_SANITIZED) -c 'import pathlib, sys, xengym; \
	  want = pathlib.Path("$(SANITIZE)/install/xengym").resolve(); got = pathlib.Path(xengym.__path__[0]).resolve(); \
	  sys.exit(got != want and f"sanitize: Python would test {got} and not {want}; run make clean")'
	$(RUN_SANITIZED) -m pytest -m "not slow and not train" --capture=sys \
	  -o pythonpath="$(SANITIZE)/install ." --ignore=tests/agents --ignore=tests/benchmarks $(ARGS)

# --- cleaning ---------------------------------------------------------------------------------------------------

clean: ## remove .venv, builds and caches (results/ and runs/ stay)
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks
	find xengym agents tests -name __pycache__ -type d -prune -exec rm -rf {} +
