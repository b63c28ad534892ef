#!/bin/sh
# Make .venv what the lock says, with nothing but python3 and its venv: uv comes first, hash-checked, and installs the
# rest in a tenth of pip's time. Where uv cannot, pip does.
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

pip() {
    command=$1; shift
    .venv/bin/python -m pip "$command" --quiet --disable-pip-version-check "$@"
}

uv() {
    command=$1; shift
    .venv/bin/uv pip "$command" --quiet --python .venv/bin/python "$@"
}

# uv does not read PIP_... and pip.conf. Where uv has no setting of its own, it gets pip's. All indexes are equal, as they
# are to pip: the hashes say which file is the right one.
take_settings_of_pip() {
    settings=$(.venv/bin/python -m pip config list 2>/dev/null) || return 0
    export UV_INDEX_STRATEGY="${UV_INDEX_STRATEGY:-unsafe-best-match}"
    while read -r variable name separator; do
        value=$(printf '%s\n' "$settings" | sed -En "s/^(:env:|global)\.$name='(.*)'\$/\2/p" | head -n 1 |
            sed -E "s/(\\\\n| )+/ /g; s/^ //; s/ /${separator:- }/g")
        if [ -n "$value" ] && eval "[ -z \"\${$variable:-}\" ]"; then export "$variable=$value"; fi
    done <<END
UV_DEFAULT_INDEX index-url
UV_INDEX extra-index-url
UV_FIND_LINKS find-links ,
UV_INSECURE_HOST trusted-host
UV_NO_INDEX no-index
SSL_CERT_FILE cert
ALL_PROXY proxy
END
}

# Python compiles what it imports: 11 s, once, at the first start, where compiling all that is installed takes 21 s. Only
# where Python is told to leave no bytecode (as in many containers) would every start of a stage take those 11 s.
install_with_uv() {
    pip install --require-hashes -r tools/uv.txt && take_settings_of_pip &&
        uv install --require-hashes ${UV_NO_INDEX:+--no-index} ${PYTHONDONTWRITEBYTECODE:+--compile-bytecode} -r "$lock" &&
        uv install --no-deps --no-build-isolation -e . && uv check
}

install_with_pip() {
    pip install --require-hashes -r "$lock" && pip install --no-deps --no-build-isolation -e . && pip check >/dev/null
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

trap 'echo "environment: interrupted. The same command resumes it." >&2; exit 130' INT
if [ "$kind" = dev ] && is_complete runtime requirements.txt; then
    echo "environment: adding the tools for development to .venv" >&2
else
    if [ -d .venv ]; then echo "environment: .venv is incomplete or out of date; making it anew" >&2; fi
    echo "environment: installing the packages of $lock into .venv (some minutes the first time)" >&2
    "$python" -m venv --clear .venv
fi
rm -f .venv/complete-*
if ! install_with_uv; then
    echo "environment: uv could not do it here, as told above; trying pip, which takes longer" >&2
    install_with_pip
fi
stamp_of "$kind" "$lock" >".venv/complete-$kind"
echo "environment: .venv is complete" >&2
