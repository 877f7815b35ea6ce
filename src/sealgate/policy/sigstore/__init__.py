"""policy-controller's policies as `Rule`s."""
