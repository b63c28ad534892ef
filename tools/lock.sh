#!/bin/sh
# Solve the locks anew: hash-checked, for Linux and macOS, x86-64 and arm64, Python 3.11 to 3.13.
# Versions that still fit are kept; delete a lock to solve it from nothing.
set -eu
compile() {
    uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
        --quiet "$@"
}
compile pyproject.toml --extra cpu --output-file requirements.txt
compile pyproject.toml --extra gpu --constraint requirements.txt --output-file requirements-gpu.txt
compile pyproject.toml --extra cpu --extra dev --constraint requirements.txt --output-file requirements-dev.txt
echo uv | compile - --constraint requirements-dev.txt --output-file tools/uv.txt # installs them, see environment.sh
