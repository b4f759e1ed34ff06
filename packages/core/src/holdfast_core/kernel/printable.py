"""Text from outside, made fit to be shown: on terminals, in pages, in files that other programs read."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""`text` with everything that a terminal, an XML reader or a line reader would act on written as an escape.

    Control characters, line ends, marks that turn the direction of writing, lone surrogates and unassigned code points
    become ``\x1b``, ``\n``, ``\u202e``; all else stays as it is.
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
