"""Scan reports, what excuses a finding, and the judgement over both. Pure, but for running a scanner."""
