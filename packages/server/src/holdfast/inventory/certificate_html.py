"""A certificate of sanitization as one page for a customer: no script, no network, nothing beside the file itself.

1. Every text comes from the certificate and is escaped by the template engine.
2. The page forbids itself scripts, images and connections (Content-Security-Policy), should an escape ever fail.
3. The signed note stands in it whole: the page explains, the note proves.
"""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from holdfast_core.formats.note import VerifierKey
from holdfast_core.inventory.model import Sanitizing
from holdfast_core.inventory.sanitization import Sanitization, Verification
from holdfast_core.kernel.instants import Instant, to_datetime

_METHODS = {
    Sanitizing.CLEAR: "Logical techniques, against simple, non-invasive recovery through the usual interfaces.",
    Sanitizing.PURGE: "Techniques that make recovery infeasible with state-of-the-art laboratory means.",
    Sanitizing.DESTROY: "Recovery is infeasible, and the media cannot store data any more.",
}
_VERIFIED = {
    Verification.DEVICE_REPORT: "The device itself, over its last mutually authenticated connection",
    Verification.PERSON: "A person, who kept evidence of it",
}
_TECHNIQUES = {
    "cryptographic-erase": "the keys of the encrypted container were destroyed",
    "key-overwrite": "the keys of the encrypted container were overwritten",
    "discard": "removed, and discarded by the storage",
    "remove": "removed",
    "failed": "not erased",
}


def page(said: Sanitization, note: str, key: VerifierKey) -> str:
    """The page.

    Args:
        said: what the certificate says; verified by the caller.
        note: the certificate itself.
        key: the key that signed it.
    """
    text: str = (
        _templates()
        .get_template("certificate.html")
        .render(
            said=said,
            note=note,
            key=str(key),
            when=_when,
            method=_METHODS[said.method],
            verified=_VERIFIED[said.verification],
            techniques=_TECHNIQUES,
        )
    )
    return text


def _when(instant: Instant) -> str:
    return to_datetime(instant).strftime("%-d %B %Y, %H:%M UTC")


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("holdfast.inventory"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
