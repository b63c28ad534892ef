#!/usr/bin/env bash
# Commit the results of a run to the branch it ran on, and push them.
#
#   tools/ci/push_results.sh PATCH    PATCH: what `git diff --binary` says of dvc.lock and reports
#
# Reads BRANCH, TESTED (the commit that ran), VERDICT (success or failure), RUN_URL, GITHUB_REPOSITORY and GH_TOKEN. The
# commit says [skip ci], or it would start the same again; so that it is not without checks, it gets the verdict as
# its status, and the tests are started on it.
set -euo pipefail

if [ "$(git rev-parse HEAD)" != "$TESTED" ]; then
    echo "::notice::$BRANCH has moved on since $TESTED; the run of its new commit brings the results."
    exit
fi
git config user.name "github-actions[bot]"
git config user.email "41898282+github-actions[bot]@users.noreply.github.com"
git apply --index --include=dvc.lock --include="reports/*" "$1"
git commit --quiet --message "Results of ${TESTED:0:9} [skip ci]"
gh auth setup-git
if ! git push --quiet origin "HEAD:refs/heads/$BRANCH"; then
    echo "::warning::$BRANCH does not take the results: it is protected, or has moved on. They are in the artifact comparison."
    exit
fi
gh api --silent --method POST "repos/$GITHUB_REPOSITORY/statuses/$(git rev-parse HEAD)" --field context=reproduce \
    --field "state=$VERDICT" --field "target_url=$RUN_URL" --field "description=Results of ${TESTED:0:9}"
gh workflow run test.yml --ref "$BRANCH"
