"""Conditions on what is attested: users' policies in Rego, CEL, JSON Schema and CUE, evaluated in a child process."""
