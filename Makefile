# One-word commands; `make help` lists them. Everything is installed into .venv, nothing outside the checkout.
#   PYTHON=python3.12      the interpreter to build .venv with
#   DEMO_SECONDS=60        a shorter demo
#   RUN=folder             another run folder for it
#   TORCH_INDEX=URL        where torch comes from; by default its CPU build unless there is an NVIDIA driver

.DEFAULT_GOAL := help
.PHONY: help setup demo test slow check bench clean

READY := .venv/.ready
BIN := .venv/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore $(BIN)/python -m pip install -qq -c constraints.txt
CANDIDATES := $(or $(PYTHON),python3 python3.13 python3.12 python3.11)
TORCH_INDEX ?= $(if $(shell command -v nvidia-smi),,https://download.pytorch.org/whl/cpu)
DEMO_SECONDS ?= 600
ifndef RUN
RUN := $(shell n=1; d=runs/demo; while [ -e $$d ]; do n=$$((n + 1)); d=runs/demo-$$n; done; echo $$d)
endif

help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv; the others do it when it is missing or out of date
	@echo ".venv is ready"

demo: $(READY) ## train droid_walk in 10 minutes; export, verify, evaluate and film it
	@echo "== training droid_walk for $(DEMO_SECONDS) s into $(RUN)"
	@$(BIN)/robopolicy train droid_walk --seconds $(DEMO_SECONDS) --seed 0 --run $(RUN)
	@echo "== exporting"
	@$(BIN)/robopolicy export $(RUN) --output $(RUN)/policy.onnx
	@echo "== verifying the file in plain MuJoCo, outside the trainer"
	@$(BIN)/robopolicy verify $(RUN)/policy.onnx
	@echo "== evaluating 256 episodes with pushes and randomization (a minute)"
	@$(BIN)/robopolicy eval $(RUN) --json > $(RUN)/eval.json && $(BIN)/python -m json.tool $(RUN)/eval.json
	@echo "== filming"
	@$(BIN)/robopolicy play $(RUN) --video $(RUN)/video.mp4
	@test -s $(RUN)/curves.png || { echo "$(RUN)/curves.png is missing" >&2; exit 1; }
	@echo "== done"
	@echo "   the policy            $(RUN)/policy.onnx"
	@echo "   the film              $(RUN)/video.mp4, and as a sheet of pictures video.png"
	@echo "   the learning curves   $(RUN)/curves.png; live: $(BIN)/tensorboard --logdir $(RUN)"
	@echo "   the evaluation        $(RUN)/eval.json"
	@echo "   the settings          $(RUN)/config.json; the same run again: robopolicy train --config $(RUN)/config.json"

test: $(READY) ## the tests that take seconds
	@$(BIN)/python -m pytest

slow: $(READY) ## the tests that take minutes
	@$(BIN)/python -m pytest -m slow

check: $(READY) ## style, types, and the wheels tried outside the checkout
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/pyright --project pyproject.toml --pythonpath $(BIN)/python
	@echo "wheels: built, installed outside the checkout, used from an empty folder"
	@set -eu; here=$$(mktemp -d); trap 'rm -rf "$$here"' EXIT; \
	$(BIN)/python -m pip wheel -qq --no-deps --no-index --no-build-isolation -w "$$here/wheels" . ./export; \
	$(BIN)/python -m venv --without-pip "$$here/venv"; \
	$(BIN)/python -m pip --python "$$here/venv/bin/python" install -qq --no-deps --no-index "$$here"/wheels/*.whl; \
	purelib='import sysconfig; print(sysconfig.get_path("purelib"))'; \
	$(BIN)/python -c "$$purelib" > "$$("$$here/venv/bin/python" -c "$$purelib")/dependencies.pth"; \
	mkdir "$$here/empty"; cd "$$here/empty"; \
	../venv/bin/python -c "import robopolicy, sys; assert robopolicy.__file__.startswith(sys.prefix), robopolicy.__file__"; \
	../venv/bin/robopolicy list; \
	../venv/bin/robopolicy train go2_velocity --steps 1536 --num-envs 32 --seconds 60 --seed 1 --run run

bench: $(READY) ## speed of the simulator, of collection and of training
	@for task in go2_velocity droid_walk; do $(BIN)/robopolicy bench $$task || exit 1; done

clean: ## remove .venv and caches; runs stay
	@rm -rf .venv dist build .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml export/pyproject.toml constraints.txt
	@set -eu; python=; \
	for p in $(CANDIDATES); do \
	  if "$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then python=$$p; break; fi; \
	done; \
	[ -n "$$python" ] || { echo "robopolicy needs Python 3.11, 3.12 or 3.13; tried: $(CANDIDATES). Name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }; \
	"$$python" -c 'import ensurepip, venv' 2>/dev/null || { echo "$$python cannot make virtual environments: apt install python3-venv" >&2; exit 1; }; \
	[ -e $(READY) ] || { echo "setting up .venv with $$("$$python" -V), once"; "$$python" -m venv --clear .venv; }
	@echo "installing torch ($(if $(TORCH_INDEX),$(TORCH_INDEX),the package index))"
	@$(PIP) --no-deps --retries 0 $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch
	@echo "installing the rest (a minute or two)"
	@$(PIP) -e ./export -e '.[dev,gpu,menagerie,web,completion]'
	@touch $@
