# make demo      trains on the embedded images: nothing but Python 3.11 is needed
# make test      the whole suite but its slow tests, with the linter
# make test-all  the slow tests too

PYTHON ?= python3
JOBS ?= 2
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(VENV)/bin/pip install --quiet --disable-pip-version-check -c .ci/constraints.txt

export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: demo test test-all clean

demo: $(VENV)/installed
	$(RUN) my_tests/test_fashion_mnist.py --data=embedded --workdir=runs/demo --steps=1500 --evaluate_every=250

test: $(VENV)/installed-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(RUN) -m pytest -q -n $(JOBS) --dist loadfile

test-all: $(VENV)/installed-test
	$(RUN) -m pytest -q -n $(JOBS) --dist loadfile -m "slow or not slow"

clean:
	rm -rf $(VENV) build *.egg-info

$(VENV)/installed: setup.py .ci/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(PIP) --editable ".[test]"
	touch $@
