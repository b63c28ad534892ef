#!/usr/bin/env bash
# Compare the results in the working tree with those of the branch it will go to.
#
#   tools/ci/compare.sh [REVISION]     without a revision: see tools/ci/base.sh
#
# Prints the comparison and leaves it in ci-results: comparison.md and comparison.html, and in `base` the revision that it
# compared with. Exit code 1: a regression, as `compare` in params.yaml defines it; 2: nothing could be compared.
set -uo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PWD/.venv/bin:$PATH"
mkdir -p ci-results

say_who_is_who() { # names that a person cannot look up: the workspace, and a commit that base.sh has made
    local origin
    origin=$(git log -1 --format=%s "$base" | sed -n 's/^Results of \([0-9a-f]\{7\}\)[0-9a-f]* on this machine$/\1/p')
    printf '`workspace` is what this run made, `%s` ' "${base:0:7}"
    if [ -n "$origin" ]; then
        printf 'what commit %s gave when it was run again on this machine.\n' "$origin"
    else
        printf 'the commit that it is compared with.\n'
    fi
}

rm -f ci-results/comparison.* ci-results/base # of an earlier run
if base=$(tools/ci/base.sh "$@"); then
    echo "$base" >ci-results/base
    convlens compare --filters --markdown --html ci-results/comparison.html "$base" workspace \
        >ci-results/comparison.md 2>ci-results/comparison.log
    code=$?
else
    echo "There is nothing to compare with; the log of this step says why." >ci-results/comparison.log
    code=2
fi
if [ $code -gt 1 ] || ! [ -s ci-results/comparison.md ]; then
    code=2
    {
        printf '### The results could not be compared\n<!-- convlens compare -->\n\n'
        sed 's/^/    /' ci-results/comparison.log
    } >ci-results/comparison.md
else
    { head -n 2 ci-results/comparison.md; echo; say_who_is_who; tail -n +3 ci-results/comparison.md; } >ci-results/named.md
    mv ci-results/named.md ci-results/comparison.md
fi
cat ci-results/comparison.md
exit $code
