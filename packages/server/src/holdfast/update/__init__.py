"""Releases, who may have them, and how they roll through a fleet."""
