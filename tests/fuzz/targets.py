"""All fuzz targets of attestation, by name."""

from __future__ import annotations

from fuzz import appraisals, documents, images, measured
from fuzz.target import Target
from holdfast_core.formats.tpm.attest import Certified, parse_attestation

TARGETS = {**measured.TARGETS, **documents.TARGETS, **images.TARGETS, **appraisals.TARGETS}


def _planted(data: bytes) -> None:
    if isinstance(parse_attestation(data).attested, Certified):
        raise IndexError("planted")


PLANTED = {"planted": Target(_planted, (b"\x80\x17",), 256)}
"""A fault that a quote does not show: whether the fuzzer finds what there is to be found."""


def target_of(name: str) -> Target:
    return (TARGETS | PLANTED)[name]
