#!/usr/bin/env bash
# Print the revision that the working tree is to be compared with: one whose answers to the single test photos are at hand.
#
#   tools/ci/base.sh [REVISION]
#
# Without a revision: where a pull request left its branch, what a push found, else the merge base with the default
# branch. If DVC's cache has lost its answers (a new runner), they are made again beside the working tree, on this very
# machine, and what is printed is a commit that holds them. If that fails, the revision itself is printed: the
# comparison then says that it has no answers to compare.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PWD/.venv/bin:$PATH"

stop() {
    echo "$1" >&2
    exit 1
}

find_revision() {
    if [ -n "${GITHUB_BASE_REF:-}" ]; then
        git merge-base "origin/$GITHUB_BASE_REF" HEAD
    elif [ -n "${BEFORE:-}" ] && git cat-file -e "$BEFORE^{commit}" 2>/dev/null; then
        echo "$BEFORE"
    else
        for branch in origin/HEAD origin/main main; do
            git merge-base "$branch" HEAD 2>/dev/null && return
        done
        git rev-parse HEAD
    fi
}

# A folder beside the working tree with the revision in it, which shares DVC's cache.
lay_out() {
    git worktree add --quiet --force --detach "$2" "$1"
    dvc config --local cache.dir >/dev/null 2>&1 && cp .dvc/config.local "$2/.dvc/" # a cache kept elsewhere
    (cd "$2" && { [ -f .dvc/config.local ] || dvc config --local cache.dir "$cache"; })
}

make_answers() { # where it is asked whether this works, `set -e` does nothing
    cd "$2" || return
    if dvc checkout --quiet --force evaluate && [ -f reports/evaluation/predictions.csv ]; then return; fi
    echo "The cache has no answers of $1 to compare with: making them." >&2
    MLFLOW_TRACKING_URI="sqlite:///$2/mlflow.db" dvc repro evaluate >&2 && git add --all -- dvc.lock reports || return
    if git diff --cached --quiet; then return; fi # the same as on the machine that they were first made on
    git -c user.name=ci -c user.email=ci@localhost commit --quiet --no-verify --message "Results of $1 on this machine"
}

if [ $# -gt 0 ]; then
    revision=$(git rev-parse --verify --quiet "$1^{commit}") ||
        stop "Expected a Git revision to compare with. Received: '$1', which is none here."
else
    revision=$(find_revision) ||
        stop "Expected a commit that this branch and ${GITHUB_BASE_REF:-the default branch} have in common. Received: none."
fi
if ! git cat-file -e "$revision:dvc.lock" 2>/dev/null; then
    echo "$revision"
    exit
fi
cache=$PWD/.dvc/cache
folder=$(mktemp -d)/base
trap 'git worktree remove --force "$folder" 2>/dev/null || true; rm -rf "$(dirname "$folder")"' EXIT
lay_out "$revision" "$folder"
if (make_answers "$revision" "$folder"); then
    git -C "$folder" rev-parse HEAD
else
    echo "The results of $revision could not be made again." >&2
    echo "$revision"
fi
