#!/bin/sh
# Make .venv what the lock says, with nothing but python3, venv and pip.
#
#   tools/environment.sh runtime   what the pipeline needs, on the CPU
#   tools/environment.sh gpu       the same with TensorFlow for NVIDIA GPUs
#   tools/environment.sh dev       runtime, and what tests and lint need
#
# A stamp is written when an environment is complete; one without its stamp (an interrupted installation, a moved
# folder, another lock) is made anew.
set -eu

kind=$1
python=${PYTHON:-python3}
case $kind in
    runtime) lock=requirements.txt ;;
    gpu) lock=requirements-gpu.txt ;;
    dev) lock=requirements-dev.txt ;;
    *) echo "Expected runtime, gpu or dev. Received: '$kind'." >&2; exit 2 ;;
esac

stamp_of() { # what the stamp of an environment of kind $1 from lock $2 says
    echo "$1 $(pwd) $({ cat "$2"; sed '/^\[tool/,$d' pyproject.toml; } | cksum)"
}

is_complete() {
    [ -f ".venv/complete-$1" ] && [ "$(cat ".venv/complete-$1")" = "$(stamp_of "$1" "$2")" ] &&
        .venv/bin/python -c '' 2>/dev/null
}

if is_complete "$kind" "$lock"; then exit 0; fi
if [ "$kind" = runtime ] && { is_complete dev requirements-dev.txt || is_complete gpu requirements-gpu.txt; }; then
    exit 0
fi

if ! "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then
    echo "Expected Python 3.11, 3.12 or 3.13. Received: $("$python" --version 2>&1 || echo "no $python")." >&2
    echo "Name another one: make PYTHON=/path/to/python3.12 ..." >&2
    exit 1
fi

trap 'echo "environment: interrupted. The same command takes it up again." >&2; exit 130' INT
if [ "$kind" = dev ] && is_complete runtime requirements.txt; then
    echo "environment: adding the tools for development to .venv" >&2
else
    if [ -d .venv ]; then echo "environment: .venv is incomplete or out of date; making it anew" >&2; fi
    echo "environment: installing the packages of $lock into .venv (some minutes the first time)" >&2
    "$python" -m venv --clear .venv
fi
rm -f .venv/complete-*
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
.venv/bin/python -m pip check >/dev/null
stamp_of "$kind" "$lock" >".venv/complete-$kind"
echo "environment: .venv is complete" >&2
