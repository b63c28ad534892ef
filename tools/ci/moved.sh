#!/usr/bin/env bash
# Say which numbers, and which pictures of the documents, are not the committed ones after a run from nothing.
#
#   tools/ci/moved.sh FOLDER FILE     FOLDER: the clone in which it ran; FILE: Markdown, empty if nothing moved
#
# TOLERANCE: by how much a number may differ, see moved.py. FILE is only written when everything was compared.
set -euo pipefail
folder=$1 file=$2
in_clone() { (cd "$folder" && ".venv/bin/$1" "${@:2}"); }

numbers=$(in_clone dvc metrics diff --json | in_clone python tools/ci/moved.py ${TOLERANCE:+"$TOLERANCE"})
pictures=$(in_clone python tools/pictures.py --check 2>&1) || true # what it says is told, even why it could not
printf '%s' "${numbers:+$numbers$'\n'}" "${pictures:+$'\n'$pictures$'\n'}" >"$file"
