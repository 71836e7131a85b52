# Set-up, demo and tests on a machine of one's own. `make help` lists what there is.
#
# Without ROS 2, everything lives in .venv: ROS 2 as wheels, vision_msgs built on top of them, this
# package; with WHEELS=jazzy in .venv-wheels-jazzy, on the wheels of that distribution. Where a ROS 2
# is sourced (ROS_DISTRO is set), .venv-$ROS_DISTRO holds only what that one lacks. Each step leaves
# a stamp when it has succeeded, so an interrupted set-up goes on where it stopped. (In a ROS 2
# workspace, colcon builds the package without this file.)

COMMA := ,
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:

PYTHON ?= python3
WHEELS := kilted
VENV := .venv$(if $(ROS_DISTRO),-$(ROS_DISTRO),$(if $(filter-out kilted,$(WHEELS)),-wheels-$(WHEELS)))
REQUIREMENTS_ROS := requirements-ros$(if $(filter-out kilted,$(WHEELS)),-$(WHEELS)).txt
STAMPS := $(VENV)/stamps
PREFIX := $(CURDIR)/$(VENV)
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check
# The sourced ROS 2 was built against its own NumPy and has plugins for its own pytest: keep those.
CONSTRAIN := $(if $(ROS_DISTRO),-c $(STAMPS)/constraints.txt)

# Types of TensorRT, which is not installed: beside the packages, where Python would find a module
# without code.
STUBS := $(VENV)/stubs

# One process runs the tests that depend on time, others the rest at a lower priority.
PARALLEL := -n auto --maxprocesses 4 --dist loadgroup
NODE_TESTS := test/interfaces test/nodes test/demo \
  test/test_shared_memory.py test/test_transport.py

# Which environment the ROS packages come from: the wheels, or the ROS 2 that is sourced.
ROS := $(STAMPS)/$(if $(ROS_DISTRO),sourced,vision_msgs)
# A venv cannot be moved, and loses its interpreter when the system's Python goes: make it anew then.
ifneq ($(shell test -x $(BIN)/python && cat $(STAMPS)/venv 2>/dev/null),$(PREFIX))
.PHONY: $(STAMPS)/venv
endif

# $(call step,what is done,commands): one line that grows while the commands work. Their output goes
# to a log, of which a failure shows the end.
define step
@mkdir -p $(STAMPS); log=$(STAMPS)/$(@F).log; begin=$$SECONDS; printf '%s ' '$(1)'; \
( while sleep 2 && kill -0 $$$$; do printf .; done ) 2> /dev/null & \
dots=$$!; trap '{ kill $$dots; wait $$dots; } 2> /dev/null' EXIT; \
if ( $(2) ) > "$$log" 2>&1 < /dev/null; then printf ' %d s\n' $$((SECONDS - begin)); touch $@; \
else printf ' failed\n'; tail -n 15 "$$log"; echo "The whole output is in $$log"; exit 1; fi
endef

# $(call need,test command,what is missing and how to get it)
need = $(if $(shell { $(1); } > /dev/null 2>&1 && echo yes),,$(error $(2)))

.PHONY: help setup setup-train setup-openvino setup-tensorrt setup-test demo
.PHONY: test test-fast test-nodes test-jazzy lint clean

help:
	@echo 'make setup           what runs the package, in $(VENV); without torch (under 4 minutes)'
	@echo 'make setup-train     torch and the rest of training on top of it'
	@echo 'make setup-openvino  OpenVINO on top of it, for CPUs'
	@echo 'make setup-tensorrt  TensorRT on top of it, for GPUs of NVIDIA'
	@echo 'make demo            a flight through camera, perception and recorder; results in out/demo'
	@echo '                     FLIGHT=folder|video|bag of your own, ARGS="more options of mtl demo"'
	@echo 'make test            style, types and all tests'
	@echo 'make test-fast       without training and slow tests (under a minute)'
	@echo 'make test-jazzy      what needs ROS 2, on wheels of ROS 2 Jazzy in .venv-wheels-jazzy'
	@echo 'make lint            style and types only'
	@echo 'make clean           remove all that git ignores here: environments, builds, out/, runs/'

setup: $(STAMPS)/package
	@:

setup-train: setup $(STAMPS)/train
	@:

setup-openvino: setup $(STAMPS)/openvino
	@:

setup-tensorrt: setup $(STAMPS)/tensorrt
	@:

setup-test: setup-openvino setup-tensorrt $(STAMPS)/test $(STAMPS)/stubs
	@:

demo: setup
	@$(BIN)/mtl demo $(if $(FLIGHT),--flight '$(FLIGHT)') $(ARGS)

test: setup-train setup-test lint
	@$(BIN)/python -m pytest $(PARALLEL)

test-fast: setup-test
	@$(BIN)/python -m pytest $(PARALLEL) -m 'not slow' --ignore=test/models --ignore=test/training

# The nodes' tests need neither OpenVINO nor TensorRT.
test-nodes: setup $(STAMPS)/test
	@$(BIN)/python -m pytest $(NODE_TESTS)

# A ROS 2 that is sourced is not to be seen beside the wheels.
test-jazzy:
	@env -u ROS_DISTRO -u AMENT_PREFIX_PATH -u LD_LIBRARY_PATH -u PYTHONPATH \
	  $(MAKE) --no-print-directory WHEELS=jazzy test-nodes

lint: setup-test
	@$(BIN)/ruff check
	@MYPYPATH=$(STUBS) $(BIN)/mypy

clean:
	@rm -rf .venv .venv-* build install log out runs *.egg-info
	@rm -rf .pytest_cache .hypothesis .mypy_cache .ruff_cache
	@find . -name .git -prune -o -name __pycache__ -type d -print0 | xargs -0 -r rm -rf

$(STAMPS)/venv:
	$(call need,command -v $(PYTHON),Python is missing: install python3 (3.10 or newer))
	$(call need,$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3$(COMMA) 10))',$(PYTHON) is older than 3.10: name a newer one: make PYTHON=python3.11)
	$(call need,$(PYTHON) -c 'import ensurepip$(COMMA) venv',the venv module is missing: apt-get install python3-venv)
	@rm -rf $(VENV)
	$(call step,Making $(VENV),$(PYTHON) -m venv $(if $(ROS_DISTRO),--system-site-packages) $(VENV))
	@printf '%s' '$(PREFIX)' > $@

$(STAMPS)/wheels: $(REQUIREMENTS_ROS) $(STAMPS)/venv
	$(call need,test "$$(uname -sm)" = 'Linux x86_64',there are ROS 2 wheels for x86-64 Linux only: install ROS 2 and source it first)
	$(call step,Installing ROS 2 wheels,$(PIP) -r $(REQUIREMENTS_ROS))

$(STAMPS)/vision_msgs: $(wildcard interfaces/vision_msgs/*.* interfaces/vision_msgs/msg/*) \
		interfaces/repair_exports.py $(STAMPS)/wheels
	$(call need,command -v cmake,cmake is missing: apt-get install cmake)
	$(call need,command -v cc && command -v c++,a C++ compiler is missing: apt-get install g++)
	$(call need,$(BIN)/python -c 'import os$(COMMA) sysconfig as s; os.stat(s.get_path("include") + "/Python.h")',the headers of Python are missing: apt-get install python3-dev)
	$(call step,Building vision_msgs,set -e; export AMENT_PREFIX_PATH='$(PREFIX)'; \
	  $(BIN)/python interfaces/repair_exports.py '$(PREFIX)'; \
	  rm -rf $(VENV)/build; \
	  cmake -S interfaces/vision_msgs -B $(VENV)/build -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF \
	    -DCMAKE_PREFIX_PATH='$(PREFIX)' -DCMAKE_INSTALL_PREFIX='$(PREFIX)' \
	    -DPython3_EXECUTABLE='$(PREFIX)/bin/python'; \
	  cmake --build $(VENV)/build --parallel "$$(nproc)"; \
	  cmake --install $(VENV)/build; \
	  $(BIN)/python -c 'import vision_msgs.msg'; \
	  rm -rf $(VENV)/build)

$(STAMPS)/sourced: $(STAMPS)/venv
	@echo 'Using the ROS 2 $(ROS_DISTRO) that is sourced'
	$(call need,$(BIN)/python -c 'import rclpy',$(PYTHON) cannot import rclpy of the sourced ROS 2 $(ROS_DISTRO): name its Python: make PYTHON=/usr/bin/python3)
	$(call need,$(BIN)/python -c 'import vision_msgs.msg',vision_msgs is missing: apt-get install ros-$(ROS_DISTRO)-vision-msgs)
	@for name in numpy pytest; do \
	  $(BIN)/python -c "import $$name; print(f'$$name=={$$name.__version__}')" 2> /dev/null || true; \
	done > $(STAMPS)/constraints.txt
	@touch $@

$(STAMPS)/runtime: requirements.txt $(ROS)
ifdef ROS_DISTRO
	@if $(BIN)/python -c 'import cv2' 2> /dev/null; then grep -v opencv requirements.txt; \
	else cat requirements.txt; fi > $(STAMPS)/requirements.txt
	$(call step,Installing ONNX Runtime and libraries,$(PIP) $(CONSTRAIN) -r $(STAMPS)/requirements.txt)
else
	$(call step,Installing ONNX Runtime$(COMMA) OpenCV and libraries,$(PIP) -r requirements.txt)
endif

$(STAMPS)/package: setup.py setup.cfg $(wildcard scripts/*) $(STAMPS)/runtime
	$(call step,Installing mtl_perception,$(PIP) --no-deps --use-pep517 -e .)

$(STAMPS)/train: requirements-train.txt $(STAMPS)/package
	$(call step,Installing torch and torchvision (several GB),$(PIP) $(CONSTRAIN) -r requirements-train.txt)

$(STAMPS)/openvino: requirements-openvino.txt $(STAMPS)/package
	$(call step,Installing OpenVINO,$(PIP) $(CONSTRAIN) -r requirements-openvino.txt)

$(STAMPS)/tensorrt: requirements-tensorrt.txt $(STAMPS)/package
	$(call step,Installing TensorRT,$(PIP) $(CONSTRAIN) -r requirements-tensorrt.txt)

$(STAMPS)/test: requirements-test.txt $(STAMPS)/package
	$(call step,Installing test tools,$(PIP) $(CONSTRAIN) -r requirements-test.txt)

# They have parameters of names and defaults that Python does not allow.
$(STAMPS)/stubs: $(STAMPS)/package
	$(call step,Installing types of TensorRT,set -e; rm -rf $(STUBS); \
	  $(PIP) --no-deps --target $(STUBS) 'tensorrt-stubs~=10.13.0'; \
	  sed -i -e 's/\bin: /in_: /g' -e '/def add_scale_nd/s/channel_axis: int/& = .../' \
	    $(STUBS)/tensorrt_bindings/tensorrt.pyi)
