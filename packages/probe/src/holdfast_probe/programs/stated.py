"""What only the build can say: a fact where the files are silent, a day, the digests of what was built."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import date, timedelta

from holdfast_core.baseline.model import BuildManifest
from holdfast_core.baseline.probes.programs import Built, StatedDay
from holdfast_core.baseline.probes.statements import Manifest
from holdfast_core.kernel.instants import to_datetime
from holdfast_probe.case import Case
from holdfast_probe.roots import Missing
from holdfast_probe.sight import Sight, failed, judged, passed, unknown
from holdfast_probe.statements import build_manifest, see_manifest

FILE_FACT = "file:"
"""Facts of this name give the digest of a file."""
_BUILT_BYTES = 16 * 1024 * 1024


def stated(case: Case, fact: str, why: str) -> Sight:
    """What the build states of `fact`, for a probe whose files tell nothing; `why` says that they do not."""
    sight = see_manifest(case, Manifest(key=fact, one_of=("true",))) if fact else unknown("")
    return unknown(f"{why} {sight.reason}".rstrip()) if sight.reason or not fact else sight


def see_stated_day(case: Case, spec: StatedDay) -> Sight:
    """Judge one `StatedDay` probe."""
    manifest = build_manifest(case)
    fact = manifest.facts.get(spec.key) if manifest else None
    if fact is None:
        return unknown(f"The build does not state {spec.key}.")
    if case.now is None:
        return unknown("There is no clock to trust.")
    try:
        day = date.fromisoformat(str(fact))
    except ValueError:
        return failed([f"{spec.key} = {fact}, which is no day"])
    age = to_datetime(case.now).date() - day
    said = f"{spec.key} = {day}"
    if age < timedelta(days=-1):  # a day ahead is the time zone's
        return failed([f"{said}, which is yet to come"])
    if age > timedelta(days=spec.within_days):
        return failed([f"{said}, which is {age.days} days ago"])
    return passed(said)


def see_built(case: Case, _spec: Built) -> Sight:
    """Judge one `Built` probe."""
    manifest = build_manifest(case)
    wanted = _digests(manifest) if manifest else {}
    if not wanted:
        return unknown("The build states no digest of any file.")
    return judged(_changed(case, wanted), f"all {len(wanted)} files that the build names are as it made them")


def _digests(manifest: BuildManifest) -> dict[str, str]:
    return {key[len(FILE_FACT) :]: str(fact) for key, fact in manifest.facts.items() if key.startswith(FILE_FACT)}


def _changed(case: Case, wanted: dict[str, str]) -> Iterator[str]:
    for path, digest in wanted.items():
        try:
            data = case.root.read(path, limit=_BUILT_BYTES)
        except Missing:
            yield f"{path} is gone"
            continue
        if "sha256:" + hashlib.sha256(data).hexdigest() != digest.lower():
            yield f"{path} is not what was built"
