.DEFAULT_GOAL := help
.PHONY: help install browser demo test test-fast lint

PYTHON ?= python3
VENV_PYTHON := .venv/bin/python
PYTEST := $(VENV_PYTHON) -m pytest

# On a busy machine torch's threads otherwise burn many times their work in waiting for each other.
export OMP_WAIT_POLICY := PASSIVE

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1	\2/p' Makefile

install:  ## make .venv/ and fetch ComfyUI into .cache/, as far as they are missing
	@$(PYTHON) scripts/comfyui.py install

demo:  ## grids of pictures over valence and arousal, drawn by the miniature in a real ComfyUI, in output/
	@$(PYTHON) scripts/demo.py

browser:  ## find Chromium for the browser tests; on Debian and Ubuntu, as root, install it
	@$(PYTHON) scripts/browser.py

# Two halves of about the same length, side by side: what the first one prints comes after the second one's.
test: lint browser  ## lint and all tests: fast, slow, and those with a ComfyUI server and a browser
	@mkdir -p output
	@$(PYTEST) tests/comfyui --ignore=tests/comfyui/browser > output/test_comfyui.log 2>&1 & first=$$!; \
	trap 'kill $$first' INT TERM; \
	$(PYTEST) --ignore-glob='tests/comfyui/test_*'; second=$$?; \
	wait $$first; first=$$?; cat output/test_comfyui.log; exit $$((first | second))

test-fast: lint  ## lint and the fast tests alone, which need neither a server nor a browser: a minute
	$(PYTEST) --ignore=tests/comfyui -m "not slow"

lint: install  ## ruff's checks and its formatting
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m ruff format --check .
