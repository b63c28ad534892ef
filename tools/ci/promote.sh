#!/usr/bin/env bash
# Promote or roll back as ACTION, VERSION, REASON and FORCE say; print the gate's table and the history as Markdown.
# Exit code: that of `convlens promote` or `convlens rollback`.
set -uo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PWD/.venv/bin:$PATH"

if [ -z "${MLFLOW_TRACKING_URI:-}" ]; then
    message="Expected the address of the team's MLflow server. Received: no variable MLFLOW_TRACKING_URI. Set it under \
Settings, Secrets and variables, Actions, Variables."
    echo "$message"
    echo "::error::$message" >&2
    exit 1
fi
arguments=()
if [ "$ACTION" = promote ]; then
    arguments+=(--markdown)
    if [ "${FORCE:-}" = true ]; then arguments+=(--force --reason "${REASON:-}"); fi
    if [ -n "${VERSION:-}" ]; then arguments+=(-- "$VERSION"); fi
elif [ -n "${REASON:-}" ]; then
    arguments+=(--reason "$REASON")
fi
told=$(mktemp)
convlens "$ACTION" "${arguments[@]}" 2>"$told"
code=$?
if [ -s "$told" ]; then
    printf '\n'
    sed 's/^/    /' "$told"
    cat "$told" >&2
fi
rm -f "$told"
printf '\n### Champions so far\n\n'
convlens history | sed 's/^/    /'
exit $code
