"""The probes of what no file can prove: what the build states, and what a person went and looked at.

1. A build manifest is the maker's word about one build: fuses, keys, debug ports. An agent finds it in the root it
   audits (`MANIFEST_PATH`); a device without an agent sends it.
2. A statement that is not made is `unknown`, never a pass.
3. An inspection is a person's word: who looked, when, the digest of a photo, and until when it counts. It is judged
   where it is kept, beside the model or at the server, never on the device it is about.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from holdfast_core.baseline.model import BuildManifest, ControlId, Finding, Outcome
from holdfast_core.baseline.probes.shape import Probe, Wanting

MANIFEST_PATH = "/usr/lib/holdfast/manifest.json"
"""Where a build leaves its manifest in the image."""


class Manifest(Wanting, frozen=True, kw_only=True, tag="manifest"):
    """The build manifest's fact `key` has an accepted value (yes, no: ``true``, ``false``); absent: unknown.

    Where a fuse report or an attestation token states the fact too, each of them must be accepted.
    """

    key: str


class Inspection(Probe, frozen=True, tag="inspection"):
    """A person looked at it, found it in order, and the day until which that counts has not passed; else unknown.

    `look` says what to look at, for the inspector.
    """

    look: Annotated[str, msgspec.Meta(min_length=12, max_length=400)]


class Offline(Probe, frozen=True, tag="offline"):
    """What is audited is an image or a folder, not the running system. For conditions (`If`)."""


StatementProbe: TypeAlias = Manifest | Inspection | Offline
"""The probes of this module."""


def judge_manifest(control: ControlId, probe: Manifest, manifest: BuildManifest | None) -> Finding:
    """What the build manifest says of one control; a fact that is not stated is `unknown`, never a pass."""
    if manifest is None:
        return Finding(control, Outcome.UNKNOWN, reason="There is no build manifest.")
    stated = manifest.stated(probe.key)
    if not stated:
        return Finding(control, Outcome.UNKNOWN, reason=f"The build manifest does not state {probe.key}."[:512])
    wrong = [f"{probe.key} = {text} ({source})" for source, text in stated.items() if not probe.accepts(text)]
    if wrong:
        return Finding(control, Outcome.FAIL, tuple(f"{item}, wanted {probe.wanted}"[:512] for item in wrong))
    return Finding(
        control, Outcome.PASS, tuple(f"{probe.key} = {text} ({source})"[:512] for source, text in stated.items())
    )
