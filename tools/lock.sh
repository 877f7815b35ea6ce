#!/bin/sh
# Renew requirements/*.txt: exact versions with hashes, no addresses of package registries, nothing younger than a week.
# A pin that is old enough stays where it is unless UPGRADE=--upgrade is set.
set -eu
cd "$(dirname "$0")/.."
newest=$(date -u -d '7 days ago' +%Y-%m-%dT00:00:00Z)

compile() {
    # shellcheck disable=SC2086  # UPGRADE is empty or an option
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --exclude-newer "$newest" \
        --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --no-annotate ${UPGRADE:-} "$@"
}

compile --group build --output-file requirements/build.txt
compile --all-extras --constraint requirements/build.txt --output-file requirements/runtime.txt pyproject.toml
compile --all-extras --group dev --constraint requirements/build.txt --constraint requirements/runtime.txt \
    --output-file requirements/dev.txt pyproject.toml
