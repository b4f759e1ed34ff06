"""Parsers and writers of formats that are not ours, each after its specification."""
