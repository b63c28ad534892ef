#!/usr/bin/env bash
# Compare the results in the working tree with those of the branch it will go to.
#
#   tools/ci/compare.sh [REVISION]     without a revision: see tools/ci/base.sh
#
# Prints the comparison and leaves it in ci-results: comparison.md and comparison.html. Exit code 1: a regression, as
# `compare` in params.yaml defines it; 2: nothing could be compared.
set -uo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PWD/.venv/bin:$PATH"
mkdir -p ci-results

base=$(tools/ci/base.sh "$@") || exit 2
convlens compare --filters --markdown --html ci-results/comparison.html "$base" workspace \
    >ci-results/comparison.md 2>ci-results/comparison.log
code=$?
if [ $code -gt 1 ] || ! [ -s ci-results/comparison.md ]; then
    code=2
    {
        printf '### The results could not be compared\n<!-- convlens compare -->\n\n'
        sed 's/^/    /' ci-results/comparison.log
    } >ci-results/comparison.md
fi
cat ci-results/comparison.md
exit $code
