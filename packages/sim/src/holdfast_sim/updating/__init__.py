"""Simulated boot loaders, for devices whose slots are files."""
