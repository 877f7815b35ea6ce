"""Who must have signed what, and whether they did: requirements, checks, findings and verdicts."""
