"""Incidents, quarantine by people, and telling the outside."""
