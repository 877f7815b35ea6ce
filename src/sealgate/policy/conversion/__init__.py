"""Policies from one grammar to another."""
