#!/usr/bin/env bash
# Throw out of DVC's cache what no later run will ask for, before the cache is kept for later runs.
#
# Each run restores the cache of an earlier one and adds to it. Unbounded it grows with every run, is slower to restore
# than to do without, and pushes the caches of other branches out of the ten gigabytes that GitHub keeps for a repository.
# Kept is what these ask for:
# - the results in the working tree: those of this run, which the next commit of the branch starts from;
# - the revision that they were compared with (ci-results/base, see compare.sh) and the nine commits before it: what
#   branches start from that are not quite up to date. Of older ones base.sh makes the answers anew.
# Not `--all-branches`: a runner's clone has one branch, and the cache of the default branch serves all others as it is.
# Where there is a DVC remote it has everything, for good: remote.sh has taken it there.
#
# Entries of the run cache (a few kilobytes per stage) and the checkpoints of trainings that were never finished go when
# they are a month old. What fails here costs space, not the run.
set -uo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PWD/.venv/bin:$PATH"

base=$(cat ci-results/base 2>/dev/null) || base=HEAD
objects=.dvc/cache/files/md5

list_named() { # every file that those dvc.lock name, as objects are called
    { cat dvc.lock; for back in 0 1 2 3 4 5 6 7 8 9; do git show "$base~$back:dvc.lock" 2>/dev/null; done; } |
        sed -n 's/^ *md5: \([0-9a-f]\{2\}\)\([0-9a-f]\{30\}\)$/\1\/\2/p' | sort -u
}

# DVC's run cache gives back what a stage made only if it has the metrics and plots, too. `dvc gc` does not count those
# that are in git (`cache: false`): they stand aside meanwhile, or the next run on a branch without results trains again.
aside=.dvc/tmp/aside
rm -rf "$aside"
list_named | while read -r name; do
    if [ -f "$objects/$name" ]; then
        mkdir -p "$aside/${name%/*}"
        ln "$objects/$name" "$aside/$name"
    fi
done
# Without --skip-failed, which takes an unreadable dvc.lock for one that needs nothing.
if ! dvc gc --force --workspace --rev "$base" --num 10; then
    echo "::warning::DVC's cache is kept as it is: 'dvc gc' failed."
fi
if [ -d "$aside" ]; then cp -rln "$aside/." "$objects" 2>/dev/null; rm -rf "$aside"; fi
if [ -d .dvc/cache/runs ]; then find .dvc/cache/runs -type f -mtime +30 -delete; fi
if [ -d .convlens/checkpoints ]; then
    find .convlens/checkpoints -mindepth 1 -maxdepth 1 -mtime +30 -exec rm -rf {} +
fi
if [ -d .dvc/cache ]; then echo "DVC's cache: $(du -sh .dvc/cache | cut -f1)"; fi
