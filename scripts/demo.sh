#!/bin/sh
# Installs moksori into .venv and speaks: sh scripts/demo.sh ["A sentence of your own."]
set -eu
cd "$(dirname "$0")/.."
sh scripts/install.sh speak
exec "${MOKSORI_VENV:-.venv}/bin/python" scripts/demo.py "$@"
