#!/bin/sh
# Test and measure vecflap on this machine's GPU, in under 10 minutes: one JSON file and a table. See bench/gpu.py.
# PYTHON: one that has torch, numba and what else vecflap needs; default: that of make, else python3.
cd "$(dirname "$0")/.." || exit 1
[ -n "$PYTHON" ] || { [ -x .venv/bin/python ] && PYTHON=.venv/bin/python; } || PYTHON=python3
PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" exec "$PYTHON" bench/gpu.py "$@"
