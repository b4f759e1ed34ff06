"""The command line.

1. Data goes to stdout, words go to stderr; ``--json`` gives the same data as one JSON document.
2. A command that needs the control plane is a client of the operator API, whether a server runs or not.
3. Modules here import at their top only what ``holdfast --help`` needs; the rest is imported where it is used.
"""
