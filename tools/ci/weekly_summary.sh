#!/usr/bin/env bash
# Print what a run from nothing came to, as Markdown for the summary of a job.
#
#   tools/ci/weekly_summary.sh FILE LOG     FILE: what moved, see moved.sh; LOG: what tools/from_zero.sh said
#
# If nothing could be compared there is no FILE: then it is written, and says where it stopped.
set -euo pipefail
if ! [ -f "$1" ]; then
    { printf 'From nothing it stopped:\n\n'; tail -n 30 "$2" | sed 's/^/    /'; } >"$1"
fi
printf '### From nothing\n\n'
if [ -s "$1" ]; then cat "$1"; else echo "The numbers and the pictures are the committed ones."; fi
echo
sed -n 's/^from zero: /- /p' "$2"
