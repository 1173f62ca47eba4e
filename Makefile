# make demo   a trained FCN-8s and a report on a fresh machine
# make test   the tests
# make lint   style, types, architecture
# make bench  ours against the peers: about 12 minutes on two cores, a table in runs/bench
# make soak   damaged files, kills, full disks and a crowded server: about 20 minutes, a table, findings in runs/soak
# make model-package NAME=camvid-slim MODEL=runs/CamVid-camvid-slim DATA=path/to/CamVid  a package that brings a model
# make docs   the site: build/site/index.html. Python 3.11 or later, as for the next two; a minute or two
# make dist   wheel and sdist, in dist/
# make check-wheel  the wheel alone, in a fresh environment: demo, doctor, train, predict, serve
# make docs-recipes  docs/recipes.md and the comments of the shipped recipes, after a change of recipes/schema.py
VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test bench soak model-package lint format docs dist check-wheel docs-recipes clean

help:
	@sed -n 's/^# make /make /p' Makefile

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "atonce needs Python 3.10 or later")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.user: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing atonce into $(VENV): PyTorch and the packages that pyproject.toml names, exact versions in"
	@echo "constraints.txt. A download of roughly 0.4 GB; on Linux with x86-64, where PyTorch brings CUDA along, 3 GB or"
	@echo "more, and twice as much on the disk. Minutes of silence; what has been downloaded once is not again."
	@$(PIP) --editable .
	@touch $@

# torchfcn is the tests' oracle; what it requires (chainer and more) is not needed for its networks.
$(VENV)/.developer: $(VENV)/.user
	@echo "installing the developer's tools (tests, linters, engines for exports): roughly 0.3 GB more"
	@$(PIP) --editable '.[dev]'
	@$(PIP) --no-deps torchfcn
	@touch $@

$(VENV)/.publisher: $(VENV)/.user
	@echo "installing what makes the site and the wheel: Sphinx and its companions, roughly 0.1 GB more"
	@$(PIP) --editable '.[dist,docs,serve]'
	@touch $@

demo: $(VENV)/.user
	$(BIN)/atonce demo --out runs/demo

# Files of tests go to one process for each core; torch computes in one thread in each. A process that dies is a failure
# and is not replaced: pytest-xdist 3.8 then waits for ever.
test: $(VENV)/.developer
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile --max-worker-restart 0

bench: $(VENV)/.developer
	$(BIN)/python -m benchmarks --out runs/bench $(BENCH)

soak: $(VENV)/.developer
	$(BIN)/python -m benchmarks.soak --out runs/soak $(SOAK)

model-package: $(VENV)/.developer
	$(BIN)/python -m models $(NAME) $(MODEL) $(if $(DATA),--data $(DATA))

lint: $(VENV)/.developer
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.developer
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(VENV)/.publisher
	$(BIN)/python docs/site/build.py

dist: $(VENV)/.publisher
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*

check-wheel: $(VENV)/.publisher
	$(BIN)/python .ci/check_wheel.py

docs-recipes: $(VENV)/.user
	$(BIN)/python -m atonce.recipes.reference > docs/recipes.md
	$(BIN)/python -m atonce.recipes.reference --annotate src/atonce/recipes/shipped/*.yaml

clean:
	rm -rf $(VENV) build dist runs/demo runs/bench runs/soak .pytest_cache .ruff_cache .mypy_cache .hypothesis
