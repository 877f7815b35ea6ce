"""Images and where they live: references, manifests, registries, layouts, and what hangs on an image."""
