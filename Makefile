# `make` lists the targets. `make demo` and `make test` need nothing but Python 3.10-3.12.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
CLIPS  ?= clips/manifest.csv

# A process per processor; each holds torch, so on large machines memory is the limit.
TEST   := $(BIN)/python -m pytest -q -m "not slow" -n logical --maxprocesses 4 --dist worksteal

# The first interpreter that truly runs: a version manager's shim may exist and still refuse to start.
FIND_PYTHON = for name in $(PYTHON) python3.12 python3.11 python3.10 python3 python; do \
	  if "$$name" -c 'import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 13))' \
	    >/dev/null 2>&1; then echo "$$name"; exit 0; fi; \
	done; \
	echo "No Python 3.10, 3.11 or 3.12 with venv was found. Install one (Debian, Ubuntu: apt install python3-venv)," >&2; \
	echo "or name it: make install PYTHON=/path/to/python3.11" >&2; exit 1

.PHONY: help install demo test test-all check format docs reference dist bench bench-scale example face-model expression \
        renderer variants results clean

help: ## list these targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-11s %s\n", $$1, $$2 }'

install: $(STAMP) ## create .venv with the dubber command in it

$(STAMP): pyproject.toml constraints.txt
	@python="$$($(FIND_PYTHON))"; \
	if ! $(BIN)/python -c '' >/dev/null 2>&1; then \
	  echo "Creating $(VENV) with $$("$$python" --version)"; \
	  "$$python" -m venv --clear $(VENV); \
	fi
	@echo "Installing dubber and what it needs (a few minutes the first time: torch and mediapipe are large)"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@
	@echo "Installed: $(BIN)/dubber"

demo: install ## dub examples/speaker.mp4 with examples/line.wav into out/demo.mp4
	@mkdir -p out
	@$(BIN)/dubber run examples/speaker.mp4 examples/line.wav -o out/demo.mp4 --overwrite
	@echo "The dubbed clip: $(CURDIR)/out/demo.mp4"

test: install ## run the tests, but for the slow ones
	@$(TEST)

test-all: install ## run all tests, the end-to-end ones too, one by one
	@$(BIN)/python -m pytest -q

check: install ## formatter, linter, types, import arrows, tests: what CI asks for
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(TEST)

format: install ## format the code and sort imports
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .

docs: install ## the documentation as pages that need no network, into site/ (Python 3.11 and later)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e ".[docs]"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict --clean
	@echo "Open $(CURDIR)/site/index.html"

reference: install ## write docs/reference/cli.md and config.md again, from the code
	@$(BIN)/python -m dubber.cli.reference docs/reference

dist: install ## wheel and sdist, with the versions tried together beside them, into dist/
	@$(BIN)/python -m build --no-isolation -o dist . >/dev/null
	@cp constraints.txt dist/
	@ls -sh dist

bench: install ## time, memory, disk of whole runs (CLIP=FILE AUDIO=FILE BENCH="--rounds 5 --formats 720p25")
	@$(BIN)/python -m benchmarks run $(CLIP) $(if $(AUDIO),--audio "$(AUDIO)") $(BENCH)

bench-scale: install ## the same of 30 s, 2, 8 and 32 minutes (CLIP, AUDIO; BENCH="--minutes 0.5 2 --renderer copy")
	@$(BIN)/python -m benchmarks scale $(CLIP) $(if $(AUDIO),--audio "$(AUDIO)") $(BENCH)

example: install ## make examples/speaker.mp4 and line.wav again (needs espeak-ng)
	@$(BIN)/python -m examples.make_example

face-model: install ## train the face model on the clips listed in CLIPS=CSV, into weights/
	$(BIN)/dubber train face-model --clips "$(CLIPS)"

expression: install ## train speech to expression on the clips listed in CLIPS=CSV, into weights/ (needs espeak-ng)
	$(BIN)/dubber train expression --clips "$(CLIPS)" --translator conv
	$(BIN)/dubber train expression --clips "$(CLIPS)" --translator lstm

renderer: install ## train the hybrid renderer on the clips listed in CLIPS=CSV, into weights/ (VGG=FILE: with its features)
	$(BIN)/dubber train renderer --clips "$(CLIPS)" $(if $(VGG),--vgg "$(VGG)")

variants: install ## train the variants that `make results` measures, into the cache (CLIPS=CSV; needs espeak-ng)
	$(BIN)/dubber train expression --clips "$(CLIPS)" --variant with-identity-removal --translator conv
	$(BIN)/dubber train expression --clips "$(CLIPS)" --variant without-phones --translator conv
	$(BIN)/dubber train expression --clips "$(CLIPS)" --variant landmarks-2d --translator conv
	$(BIN)/dubber train expression --clips "$(CLIPS)" --variant without-identity-removal --translator lstm

results: install ## measure the variants on the split 'dev' of CLIPS=CSV, into docs/results*.md (hours)
	$(BIN)/dubber eval ablation --clips "$(CLIPS)" --split dev -o docs/results.md
	$(BIN)/dubber eval ablation --clips "$(CLIPS)" --split dev --of renderer -o docs/results_pictures.md

clean: ## remove .venv, out and the tools' caches
	rm -rf $(VENV) out dist site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
