"""A small client of the Kubernetes API: list, watch, get, create, apply, patch, delete. It knows nothing of policy."""
