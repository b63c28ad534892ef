#!/usr/bin/env bash
# Show that somebody who has nothing gets there: a new user with an empty home and no caches, and on the path only
# Python, git, make and what every Linux has.
#
#   tools/from_zero.sh FOLDER [TARGET...]     make the targets (default: repro test) in a fresh clone, FOLDER/convlens
#
#   FOLDER            new or empty, where every user may enter (not below somebody's home)
#   PYTHON=python3    which Python; it must lie where every user may read it
#   SAME_USER=1       makes no user, root or not
#
# What is committed is cloned, and nothing else. As root it makes a user for the time of the run (who owns FOLDER
# afterwards), else the home is new, but the user is not.
#
# It fails if a target does, leaves a file that git does not know, or changes one that is no result; and if a second
# `make repro` runs a stage. Results that this machine rounds otherwise than the committed ones are listed. At the end it
# tells the machine, the time of each target and the disk it all takes, a line each that begins with `from zero:`.
set -euo pipefail

source=$(cd "$(dirname "$0")/.." && pwd -P)
if [ $# = 0 ]; then
    echo "Expected a new or empty folder. Received: nothing. Example: tools/from_zero.sh /tmp/from-zero repro" >&2
    exit 2
fi
mkdir -p "$1"
folder=$(cd "$1" && pwd -P)
shift
if [ -n "$(ls -A "$folder")" ]; then
    echo "Expected a new or empty folder. Received: $folder, which holds files." >&2
    exit 2
fi
if [ $# = 0 ]; then set -- repro test; fi
# Itself: what is found may be a shim that needs the caller's settings.
python=$("${PYTHON:-python3}" -c 'import os, sys; print(os.path.realpath(sys.executable))') || {
    echo "Expected Python. Received: '${PYTHON:-python3}', which does not run." >&2
    exit 2
}

lay_out_path() { # links to the few programs there are
    mkdir -p "$folder/bin" "$folder/home" "$folder/tmp"
    for tool in [ awk base64 basename bash cat chmod chown cksum cp cut date df diff dirname du echo env expand expr false \
        find getconf git grep gzip head hostname id kill ln ls make md5sum mkdir mktemp mv nproc printf ps pwd readlink \
        realpath rm rmdir sed seq sh sha256sum sleep sort stat tail tar tee test timeout touch tr true uname uniq wc \
        which xargs; do
        if found=$(type -P "$tool"); then ln -s "$found" "$folder/bin/$tool"; fi
    done
    ln -s "$python" "$folder/bin/python3"
}

user=
run() { # as the new user, in an environment that holds nothing else
    local bare=(env -i "HOME=$folder/home" "TMPDIR=$folder/tmp" "PATH=$folder/bin" LANG=C.UTF-8 "PYTHON=$python" "$@")
    if [ -n "$user" ]; then runuser --user "$user" -- "${bare[@]}"; else "${bare[@]}"; fi
}

fail() {
    echo "from zero: $1" >&2
    exit 1
}

check_reach() { # the homes of others are closed, to a new user as well
    run test -d "$folder/convlens" 2>/dev/null ||
        fail "Expected a folder that every user may enter. Received: $folder, which the new user may not."
    run python3 -c '' 2>/dev/null || fail "Expected a Python that every user may run. Received: $python."
}

check_files() { # what git says after make $1; lines are two letters, a blank and the name
    local said others
    said=$(run git status --porcelain --untracked-files=all)
    others=$(grep -Ev '^[ M]M (dvc\.lock$|reports/)' <<<"$said" || true)
    if [ -n "$others" ]; then fail "make $1 left what is no result:"$'\n'"$others"; fi
    if [ -n "$said" ]; then
        echo "from zero: here these results are not the committed ones to the last digit:"
        cut -c 4- <<<"$said"
    fi
}

check_repro() {
    local said
    said=$(run make repro 2>&1) || fail "the second make repro failed:"$'\n'"$said"
    if grep '^Running stage' <<<"$said"; then fail "a second make repro ran these stages again."; fi
    echo "from zero: a second make repro runs no stage"
}

lay_out_path
git -c safe.directory='*' clone --quiet --no-local "$source" "$folder/convlens"
if [ "$(id -u)" = 0 ] && [ -z "${SAME_USER:-}" ]; then
    user=from-zero-$$
    useradd --home-dir "$folder/home" --shell /bin/bash "$user"
    trap 'userdel "$user"' EXIT
    chown -R "$user" "$folder"
    chmod 755 "$folder"
fi
check_reach
cd "$folder/convlens"
told=()
for target in "$@"; do
    begun=$SECONDS
    echo "from zero: make $target"
    run make "$target"
    told+=("make $target: $(((SECONDS - begun) / 60)) min $(((SECONDS - begun) % 60)) s")
    check_files "$target"
    if [ "$target" = repro ]; then check_repro; fi
done
echo
memory=$(awk '/^MemTotal/ { printf ", %.0f GB of memory", $2 / 1e6 }' /proc/meminfo 2>/dev/null || true)
echo "from zero: $("$python" --version), $(uname -sm), $(nproc) cores$memory"
printf 'from zero: %s\n' "${told[@]}"
echo "from zero: on disk $(du -sh "$folder" | cut -f1), of which .venv $(du -sh .venv | cut -f1), home $(du -sh "$folder/home" | cut -f1)"
