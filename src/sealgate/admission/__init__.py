"""The admission webhook: no pod is created from an image that fails its policy."""
