"""The probes of named files: that they are there or not, what their modes are, and what they do not say."""

from __future__ import annotations

from holdfast_core.baseline.probes import Absent, FileMode, Present, Words
from holdfast_probe.case import Case
from holdfast_probe.services.texts import fitting
from holdfast_probe.sight import Sight, failed, judged, not_applicable, passed, unknown


def see_absent(case: Case, spec: Absent) -> Sight:
    """Judge one `Absent` probe."""
    root = case.root
    found = [path for pattern in spec.paths for path in root.present(pattern)]
    return judged(found, f"none of {', '.join(spec.paths)}"[:400])


def see_present(case: Case, spec: Present) -> Sight:
    """Judge one `Present` probe."""
    root = case.root
    found = [path for pattern in spec.paths for path in root.present(pattern)]
    return passed(*found[:1]) if found else failed([f"there is no {' or '.join(spec.paths)}"])


def see_words(case: Case, spec: Words) -> Sight:
    """Judge one `Words` probe. The line itself stays unsaid: a settings file may hold a secret."""
    root = case.root
    paths = fitting(root, *spec.paths)
    if not paths:
        return not_applicable(f"There is no {' or '.join(spec.paths)}.")
    bad = []
    missing = set(spec.require)
    for path in paths:
        for number, line in enumerate(root.read(path).decode("utf-8", "replace").split("\n"), 1):
            if not line.lstrip().startswith("#"):
                bad += [f"{path}:{number} contains {word!r}" for word in spec.forbid if word in line]
                missing = {word for word in missing if word not in line}
    where = ", ".join(paths[:4])
    bad += [f"no line of {where} contains {word!r}" for word in missing]
    return judged(bad, f"the words are as they should be in {where}")


def see_file_mode(case: Case, spec: FileMode) -> Sight:
    """Judge one `FileMode` probe."""
    root = case.root
    paths = [path for pattern in spec.paths for path in root.glob(pattern)]
    if not paths:
        return not_applicable(f"There is no {' or '.join(spec.paths)}.")
    bad = []
    lost = False
    for path in paths:
        status = root.status(path)
        mode = status.st_mode & 0o7777
        if mode & ~spec.max_mode:
            bad.append(f"{path} has mode {mode:04o}, wanted at most {spec.max_mode:04o}")
        if spec.uid is not None and status.st_uid != spec.uid:
            if root.owners_kept:
                bad.append(f"{path} belongs to uid {status.st_uid}, wanted {spec.uid}")
            lost = lost or not root.owners_kept
    if lost and not bad:
        return unknown("This tree was extracted without root: owners are not the device's.")
    return judged(bad, f"at most mode {spec.max_mode:04o}: {', '.join(paths[:4])}")
