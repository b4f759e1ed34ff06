"""Enrolling devices, ending credentials, and the tokens of programs."""
