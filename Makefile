# The one task runner. Everything happens in .venv, which the first target that needs it sets up.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test coverage lint bench docs clean
.DEFAULT_GOAL := test

# Without pip inside: Debian's Python has no ensurepip unless python3-venv is installed, but its pip can serve another Python.
$(READY): pyproject.toml
	$(PYTHON) -m venv --without-pip $(VENV)
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: $(READY)  ## draw a clip, pictures and tunes; summarize, score and set to music; name what came out
	@$(BIN)/python -m tests.demo draw demo
	@echo
	$(BIN)/mmvatool summarize demo/vlog.mp4 --plot --report --overwrite
	@echo
	$(BIN)/mmvatool score demo/pictures/ demo/music/ demo/vlog.mp4 --plot demo/score.png --overwrite
	@echo
	$(BIN)/mmvatool soundtrack demo/pictures/ --library demo/music/ --per-scene --seconds 5 --size 640x360 --fps 24 --report -o demo/slideshow.mp4 --overwrite
	@echo
	@$(BIN)/python -m tests.demo results demo

test: $(READY)  ## the whole suite
	$(BIN)/python -m pytest -n 2 --dist worksteal

coverage: $(READY)  ## the same with coverage, which takes half as long again
	$(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report=term --cov-fail-under=90

lint: $(READY)  ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## speed beside what a user would pick (benchmarks/results.md, an hour or two); training with and without the cache; items a second
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check --editable '.[dev,bench]'
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.train
	$(BIN)/python -m benchmarks.score
	$(BIN)/python -m benchmarks.library

docs: $(READY)  ## docs/cli.md from the commands themselves
	$(BIN)/python -m tests.cli_reference docs/cli.md

clean:
	rm -rf $(VENV) demo
