#!/usr/bin/env bash
# Put the comparison on the pull request: one comment, which every run writes anew.
#
#   tools/ci/comment.sh FILE          FILE: Markdown with the marker `<!-- convlens compare -->`
#
# Reads PULL_REQUEST, RUN_URL, GITHUB_REPOSITORY and GH_TOKEN. The comment is found by its marker: `gh pr comment
# --edit-last` would take the last one of the same account, whatever wrote it, and past a hundred comments another one
# altogether.
set -euo pipefail
comments="repos/$GITHUB_REPOSITORY/issues/$PULL_REQUEST/comments"
ours='.[] | select(.user.type == "Bot" and (.body | contains("<!-- convlens compare -->"))) | .id'

printf '\n\nPages, plots and the MLflow run: [artifacts of this run](%s).\n' "$RUN_URL" >>"$1"
id=$(gh api --paginate "$comments" --jq "$ours" | tail -n 1)
if [ -n "$id" ]; then
    gh api --silent --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$id" --field "body=@$1"
else
    gh api --silent --method POST "$comments" --field "body=@$1"
fi
