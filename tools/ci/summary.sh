#!/usr/bin/env bash
# Print what a run of the pipeline came to, as Markdown for the summary of a job: the comparison and the results, or why
# it stopped; this is then left in ci-results/comparison.md, for the comment. NOTE: a sentence to add at the top.
set -euo pipefail
cd "$(dirname "$0")/../.."

tell_where_it_stopped() {
    printf '### The pipeline stopped\n<!-- convlens compare -->\n\n'
    if [ -f ci-results/repro.log ]; then
        tail -n 40 ci-results/repro.log | tr '\r' '\n' | sed 's/^/    /'
    else
        echo "It was not reached: see the log of the step that failed."
    fi
}

if [ -n "${NOTE:-}" ]; then
    printf '%s\n\n' "$NOTE"
fi
if [ -f ci-results/comparison.md ]; then
    cat ci-results/comparison.md
    printf '\n\n'
    # Below the comparison, and its links lead nowhere here.
    sed -e '/](report\.html)/d' -e 's/^\(##*\) /##\1 /' reports/summary.md
    echo "Pages to read: this comparison with curves and photos, both reports and Data Docs are in the artifact \`pages\`;"
    echo "the MLflow run with the model is in \`mlflow\`, unless a server has it."
else
    mkdir -p ci-results
    tell_where_it_stopped | tee ci-results/comparison.md
fi
