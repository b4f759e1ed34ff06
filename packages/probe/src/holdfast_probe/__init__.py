"""Looking at a root file system: the roots, the one walk, the typed probes, and the audit that runs them.

Imported on devices: the standard library, msgspec and holdfast_core, nothing else.
"""
