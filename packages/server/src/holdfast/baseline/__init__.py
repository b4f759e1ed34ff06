"""Auditing devices against the baseline of their model."""
