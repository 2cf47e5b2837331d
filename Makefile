# Two commands do everything on a machine with Python, make and a package index: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := out/demo

.PHONY: help demo test test-all lint clean

help:
	@echo "make demo      sample from a shipped model, then train one, export, verify, sample: images in $(DEMO)"
	@echo "make test      lint, types and tests (about 20 minutes on 2 cores)"
	@echo "make test-all  the slow tests, too"
	@echo "make clean     remove $(VENV) and out"

demo: $(VENV)/installed-export,serve
	mkdir -p $(DEMO)
	$(BIN)/jaxgen sample cddpm-mnist -n 60 --label all -o $(DEMO)/shipped.png
	$(BIN)/jaxgen train --model ddpm --out $(DEMO)/run
	$(BIN)/jaxgen export $(DEMO)/run -o $(DEMO)/model.onnx
	$(BIN)/jaxgen verify $(DEMO)/model.onnx
	$(BIN)/jaxgen sample $(DEMO)/model.onnx -n 64 -o $(DEMO)/grid.png
	$(BIN)/jaxgen sample $(DEMO)/model.onnx -n 16 -o $(DEMO)/denoise.gif
	@echo
	@echo "of a model that comes with jaxgen: $(DEMO)/shipped.png"
	@echo "the model trained just now:        $(DEMO)/model.onnx"
	@echo "its images:                        $(DEMO)/grid.png"
	@echo "noise to them:                     $(DEMO)/denoise.gif"
	@echo "to see it in a browser:            $(BIN)/jaxgen serve $(DEMO)/model.onnx"

test: lint
	$(BIN)/pytest --numprocesses 2 --dist loadfile --max-worker-restart 0 -m "not slow"

test-all: lint
	$(BIN)/pytest

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) out

# Extras, installed once: make remembers them in a file and installs again when the requirements change. PyTorch comes as
# its CPU build where the index has one, because on Linux the default build brings gigabytes of CUDA libraries.
TORCH = $(shell sed -n 's/^torch==//p' constraints.txt)
$(VENV)/installed-%: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing jaxgen[$*] into $(VENV): JAX, PyTorch and what they need, once; this takes some minutes"
	$(BIN)/pip install --quiet --constraint constraints.txt "torch==$(TORCH)+cpu" 2> /dev/null || echo "the index has no CPU build of PyTorch: taking its default"
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[$*]"
	touch $@
