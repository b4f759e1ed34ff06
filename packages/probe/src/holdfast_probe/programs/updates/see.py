"""The probes of updaters: what each that is set up says, and the build manifest where they leave it open."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from holdfast_core.baseline.probes.programs import FeedKeys, UpdateCheck, Updater
from holdfast_probe.case import Case
from holdfast_probe.programs.stated import stated
from holdfast_probe.programs.updates import apt, dnf, images, packages
from holdfast_probe.programs.updates.scripts import scripts_verified
from holdfast_probe.programs.updates.words import Reader
from holdfast_probe.roots import Root
from holdfast_probe.services.texts import fitting
from holdfast_probe.sight import Sight, failed, judged, not_applicable, passed, unknown

_READERS: Mapping[UpdateCheck, tuple[Reader, ...]] = {
    UpdateCheck.SIGNED: (
        apt.signed, dnf.signed, packages.opkg_signed, packages.apk_signed,
        images.rauc_signed, images.swupdate_signed, images.mender_signed, images.ostree_signed,
    ),
    UpdateCheck.VERIFIED: (
        apt.verified, packages.opkg_verified, packages.apk_verified, images.verified, scripts_verified,
    ),
    UpdateCheck.FORWARD: (
        apt.forward, packages.opkg_forward, packages.apk_forward, images.rauc_forward, images.swupdate_forward,
    ),
    UpdateCheck.FALLBACK: (
        images.rauc_fallback, images.swupdate_fallback, images.mender_fallback, images.ostree_fallback,
    ),
    UpdateCheck.GUARDED: (apt.guarded,),
}  # fmt: skip


def see_updater(case: Case, spec: Updater) -> Sight:
    """Judge one `Updater` probe."""
    said = [word for reader in _READERS[spec.check] for word in reader(case.root)]
    bad = [word.said for word in said if word.good is False]
    if bad:
        return failed(bad)
    silent = sorted({word.said for word in said if word.good is None})
    if silent or not said:
        return stated(case, spec.stated, f"{'; '.join(silent) or 'No updater that is known says so'}.")
    return passed(*(word.said for word in said))


def keys(root: Root) -> tuple[str, ...]:
    """The files of all keys that updates are checked with, each once."""
    found = [
        *fitting(root, f"{packages.OPKG_KEYS}/*", *(f"{folder}/*" for folder in packages.APK_KEYS)),
        *apt.trusted_keys(root),
        *images.rauc_keyring(root),
        *images.swupdate_keys(root),
        *images.mender_keys(root),
    ]
    return tuple(sorted(set(found)))


def see_feed_keys(case: Case, _spec: FeedKeys) -> Sight:
    """Judge one `FeedKeys` probe."""
    declared = {digest.lower().removeprefix("sha256:") for digest in case.plan.feed_keys}
    if not declared:
        return not_applicable("The model declares no keys that updates are checked with.")
    found, inline = case.once(keys), apt.inline_keys(case.root)
    if not found and not inline:
        return unknown("No key that an updater checks with was found.")
    digests = {path: hashlib.sha256(case.root.read(path)).hexdigest() for path in found}
    strange = [f"{path} (sha256 {digest})" for path, digest in digests.items() if digest not in declared]
    strange += [f"{where} carries a key in itself, which no list of files can declare" for where in inline]
    return judged(strange, f"all {len(found)} keys that updates are checked with are declared")
