.DEFAULT_GOAL := help
.PHONY: help install browser demo test test-fast lint

PYTHON ?= python3
VENV_PYTHON := .venv/bin/python

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

test: lint browser  ## lint, the fast tests, then those in a real ComfyUI server and in a browser
	$(VENV_PYTHON) -m pytest --ignore=tests/comfyui
	$(VENV_PYTHON) -m pytest tests/comfyui

test-fast: lint  ## lint and the fast tests alone, which need neither a server nor a browser
	$(VENV_PYTHON) -m pytest --ignore=tests/comfyui

lint: install  ## ruff's checks and its formatting
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m ruff format --check .
