"""Making signatures and putting them where verifiers look: signs, then verifies what it made before it publishes."""
