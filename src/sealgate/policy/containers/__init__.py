"""containers/image's `policy.json` as `Rule`s."""
