#!/usr/bin/env bash
# Keep one issue open while the default branch does not reproduce its numbers.
#
#   tools/ci/moved_issue.sh FILE      FILE: Markdown that says what moved; empty: nothing did, and the issue is closed
#
# Reads GH_REPO, GH_TOKEN and RUN_URL.
set -euo pipefail
title="The default branch does not reproduce its numbers"
number=$(gh issue list --state open --limit 200 --json number,title --jq ".[] | select(.title == \"$title\") | .number" |
    tail -n 1)

if [ -s "$1" ]; then
    printf '\n\nFrom nothing, in %s.\n' "$RUN_URL" >>"$1"
    if [ -n "$number" ]; then
        gh issue edit "$number" --body-file "$1"
    else
        gh issue create --title "$title" --body-file "$1"
    fi
elif [ -n "$number" ]; then
    gh issue close "$number" --comment "The numbers are reproduced again: $RUN_URL"
fi
