#!/usr/bin/env bash
# Leave in ci-results/results.patch what a run changed of dvc.lock and reports, for push_results.sh; tell the workflow
# (GITHUB_OUTPUT) whether there is anything.
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p ci-results
git add --all -- dvc.lock reports
git diff --cached --binary >ci-results/results.patch
if [ -s ci-results/results.patch ]; then echo changed=true >>"$GITHUB_OUTPUT"; fi
