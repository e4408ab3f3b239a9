#!/bin/sh
# Installs what the tests need into .venv and runs them: sh scripts/test.sh [options of pytest]
# The recordings of MOKSORI_DATA (or ../shared/data) are used where they are; without them those tests are skipped.
set -eu
cd "$(dirname "$0")/.."
sh scripts/install.sh test
python="${MOKSORI_VENV:-.venv}/bin/python"
"$python" -c '
import importlib.util, sys
found = [name for name in ("torchaudio", "torchvision") if importlib.util.find_spec(name)]
sys.exit("moksori: " + " and ".join(found) + " installed: builds for another torch break imports; pip uninstall them" if found else 0)'
# Two processes share the cores; threads of their own would only get in each other's way.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" OMP_WAIT_POLICY=passive
exec "$python" -m pytest -n 2 "$@"
