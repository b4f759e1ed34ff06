"""What runs on a device: it enrolls, checks in, audits, and carries out what its server asks. Small and lean.

Imported at every check-in: the standard library, msgspec and the wire and kernel of `holdfast_core`. `holdfast_probe`
comes in only when an audit is due, `cryptography` only when a key is made.
"""
