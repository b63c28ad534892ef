#!/usr/bin/env bash
# Bring results from DVC's default remote, or take them there, if there is one.
#
#   tools/ci/remote.sh pull|push
#
# DVC_CONFIG_LOCAL: what belongs into .dvc/config.local, such as the remote's credentials; it is removed again at the
# end. A remote that does not answer costs time, not the run: what is missing is made anew.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PWD/.venv/bin:$PATH"

if [ -n "${DVC_CONFIG_LOCAL:-}" ]; then
    trap 'rm -f .dvc/config.local' EXIT
    (umask 077 && printf '%s\n' "$DVC_CONFIG_LOCAL" >.dvc/config.local)
fi
if ! remote=$(dvc config core.remote 2>/dev/null) || [ -z "$remote" ]; then
    echo "No default remote: the cache of earlier runs serves (dvc remote add --default NAME ADDRESS sets one)."
    exit
fi
case $1 in
    pull) command=(dvc pull --run-cache --allow-missing) ;;
    push) command=(dvc push --run-cache) ;;
    *) echo "Expected pull or push. Received: '$1'." >&2; exit 2 ;;
esac
if ! timeout 1800 "${command[@]}"; then
    echo "::warning::The DVC remote '$remote' did not serve: '${command[*]}' failed. The run goes on without it."
fi
