"""What the webhook has from its cluster, and tells it."""
