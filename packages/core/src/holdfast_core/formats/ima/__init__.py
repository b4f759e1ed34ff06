"""Measurement lists of the Linux kernel's Integrity Measurement Architecture, and what they do to a TPM's register."""
