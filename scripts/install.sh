#!/bin/sh
# Makes .venv and installs moksori with locked packages: sh scripts/install.sh speak|test
#   speak: what speaking needs; wheels only.   test: also what training, measuring and the tests need.
# PYTHON names the interpreter to use, MOKSORI_VENV another folder than .venv. Done already: takes no time.
set -eu
cd "$(dirname "$0")/.."
kind=${1:-speak}
venv=${MOKSORI_VENV:-.venv}

fail() {
    printf 'moksori: %s\n' "$1" >&2
    exit 1
}

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' >/dev/null 2>&1
}

case $kind in
speak) locks="requirements/speak.txt" ;;
test) locks="requirements/speak.txt requirements/test.txt" ;;
*) fail "install.sh $kind: expected speak or test" ;;
esac

# What is installed is keyed by everything that decides it; the folder, because the package is installed in place.
stamp="$venv/.moksori-$kind"
key=$( (cat $locks pyproject.toml scripts/install.sh && pwd) | cksum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$key" ] && new_enough "$venv/bin/python"; then
    exit 0
fi

if ! new_enough "$venv/bin/python"; then
    python=
    for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3 python}; do
        if new_enough "$candidate"; then
            python=$candidate
            break
        fi
    done
    [ -n "$python" ] || fail "needs Python 3.11 or newer, found ${PYTHON:-$(python3 --version 2>&1 || echo none)}: install it, or name one: PYTHON=/path/to/python3.11 sh scripts/install.sh"
    "$python" -c 'import ensurepip, venv' 2>/dev/null || fail "$python cannot make environments: install its venv package (Debian, Ubuntu: apt install python3-venv)"
    "$python" -m venv --clear "$venv" || fail "$python could not make the environment $venv (see above)"
fi
python="$venv/bin/python"

if [ "$kind" = test ]; then
    for compiler in "${CC:-cc}" "${CXX:-c++}"; do
        command -v "$compiler" >/dev/null 2>&1 || fail "the tests build pesq, pyworld and webrtcvad and need a C and C++ compiler, $compiler is not here: apt install build-essential. Speaking needs none: sh scripts/demo.sh"
    done
    "$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))' ||
        fail "the tests build pesq, pyworld and webrtcvad and need Python.h: apt install python3-dev. Speaking needs none: sh scripts/demo.sh"
fi

printf 'moksori: installing into %s (some minutes the first time) ...\n' "$venv"
started=$(date +%s)
export PIP_DISABLE_PIP_VERSION_CHECK=1
# torch alone is resolved, since its needs differ from one build of it to another; everything else is locked to the last package.
"$python" -m pip install -qq --only-binary=:all: --constraint requirements/speak.txt "$(grep -o '^torch==[0-9.]*' requirements/speak.txt)"
"$python" -m pip install -qq --only-binary=:all: --no-deps --requirement requirements/speak.txt
if [ "$kind" = test ]; then
    # Packages that are built from source import pkg_resources, which newer setuptools lack, while they are built.
    printf 'setuptools<81\n' >"$venv/.build-constraint"
    PIP_CONSTRAINT="$venv/.build-constraint" "$python" -m pip install -qq --no-deps --requirement requirements/test.txt
fi
"$python" -m pip install -qq --no-deps --no-build-isolation --editable .
printf '%s\n' "$key" >"$stamp"
printf 'moksori: installed in %s s\n' "$(($(date +%s) - started))"
