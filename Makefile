# The one task runner. Everything happens in .venv, which the first target that needs it sets up.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Without pip inside: Debian's Python has no ensurepip unless python3-venv is installed, but its pip can serve another Python.
# The versions are those of constraints.txt, so that this gives the same environment in a year.
PIP := $(PYTHON) -m pip --python $(BIN)/python --disable-pip-version-check
INSTALL := $(PIP) install --constraint constraints.txt --editable
PRODUCT := $(VENV)/.product
READY := $(VENV)/.ready

.PHONY: demo test coverage lint smoke bench docs lock clean
.DEFAULT_GOAL := test

$(PRODUCT): pyproject.toml constraints.txt
	$(PYTHON) -m venv --without-pip $(VENV)
	$(INSTALL) .
	touch $@

$(READY): $(PRODUCT)
	$(INSTALL) '.[dev]'
	touch $@

demo: $(PRODUCT)  ## draw a clip, pictures and tunes; summarize, score and set to music; name what came out
	@$(BIN)/python -m tests.helpers.demo draw demo
	@echo
	$(BIN)/mmvatool summarize demo/vlog.mp4 --plot --report --overwrite
	@echo
	$(BIN)/mmvatool score demo/pictures/ demo/music/ demo/vlog.mp4 --plot demo/score.png --overwrite
	@echo
	$(BIN)/mmvatool soundtrack demo/pictures/ --library demo/music/ --per-scene --seconds 5 --size 640x360 --fps 24 --report -o demo/slideshow.mp4 --overwrite
	@echo
	@$(BIN)/python -m tests.helpers.demo results demo

test: $(READY)  ## the whole suite
	$(BIN)/python -m pytest -n 2 --dist worksteal

coverage: $(READY)  ## the same with coverage, which takes half as long again
	$(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report=term --cov-fail-under=90

lint: $(READY)  ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

smoke:  ## build the wheel, install it as a stranger would, and use it from another folder
	$(PYTHON) tests/smoke.py

bench: $(READY)  ## speed beside what a user would pick (benchmarks/results.md, an hour or two); training with and without the cache; items a second
	$(INSTALL) '.[dev,bench]'
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.train
	$(BIN)/python -m benchmarks.score
	$(BIN)/python -m benchmarks.library

docs: $(READY)  ## docs/cli.md from the commands themselves, docs/*.schema.json from the models
	$(BIN)/python -m tests.helpers.cli_reference docs/cli.md
	$(BIN)/python -m tests.helpers.json_schemas docs

lock:  ## constraints.txt from what pyproject.toml takes today, in an empty environment
	rm -rf build/lock
	$(PYTHON) -m venv --without-pip build/lock
	$(PYTHON) -m pip --python build/lock/bin/python --disable-pip-version-check install '.[dev]'
	echo "# Every package of .[dev], as it was tested. Made by \`make lock\`." > build/constraints.txt
	$(PYTHON) -m pip --python build/lock/bin/python --disable-pip-version-check freeze --all --exclude mmvatool >> build/constraints.txt
	mv build/constraints.txt constraints.txt

clean:
	rm -rf $(VENV) build demo
