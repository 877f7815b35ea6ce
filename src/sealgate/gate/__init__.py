"""Policies over workloads in files: the deployment gate."""
