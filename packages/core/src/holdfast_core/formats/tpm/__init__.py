"""Structures of the Trusted Platform Module 2.0 (TCG TPM 2.0 Library, Part 2), as bytes and as values."""
