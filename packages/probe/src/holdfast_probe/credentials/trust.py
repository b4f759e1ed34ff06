"""The system's trust store: how many authorities a device believes, and which of them nobody should.

An authority is known by its name here: what was distrusted was the organisation, with every root it had.
"""

from __future__ import annotations

import stat

from holdfast_core.baseline.probes.credentials import TrustStore
from holdfast_probe.case import Case
from holdfast_probe.credentials.certificates import Certificate, certificates_in
from holdfast_probe.roots import Missing, Root, Unreadable
from holdfast_probe.sight import Sight, judged, not_applicable

_STORES = (
    "/etc/ssl/certs/*",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/usr/local/share/ca-certificates/*",
)
_MOST_FILES = 4096
_STORE_BYTES = 4 * 1024 * 1024
_ALL_BYTES = 32 * 1024 * 1024
_DISTRUSTED = (
    "diginotar", "startcom", "wosign", "cnnic", "china internet network information center", "türktrust", "turktrust",
    "trustcor", "superfish", "edellroot", "dsdtestprovider", "symantec", "verisign", "thawte", "geotrust", "camerfirma",
    "certinomis", "procert", "e-tugra", "comodo dragon", "privdog",
)  # fmt: skip


def see_trust_store(case: Case, spec: TrustStore) -> Sight:
    """Judge one `TrustStore` probe."""
    store = case.once(_store)
    if not store:
        return not_applicable("There is no trust store.")
    bad = [f"{path} trusts {fault}" for path, one in store.values() for fault in _faults(one)]
    if len(store) > spec.maximum:
        bad.append(f"{len(store)} authorities are trusted, wanted at most {spec.maximum}")
    return judged(bad, f"{len(store)} authorities are trusted")


def _store(root: Root) -> dict[str, tuple[str, Certificate]]:
    """Every certificate of the stores by its fingerprint, with one place where it lies."""
    paths = [path for pattern in _STORES for path in root.glob(pattern)]
    if len(paths) > _MOST_FILES:
        raise Unreadable("/etc/ssl/certs", f"it holds more than {_MOST_FILES} files")
    found: dict[str, tuple[str, Certificate]] = {}
    read = 0
    for path in paths:
        try:
            data = root.read(path, limit=_STORE_BYTES)
        except Missing:
            continue
        except Unreadable:
            if stat.S_ISDIR(root.status(path).st_mode):
                continue
            raise
        read += len(data)
        if read > _ALL_BYTES:
            raise Unreadable(path, f"the trust store is larger than {_ALL_BYTES} bytes")
        found.update((one.fingerprint, (path, one)) for one in certificates_in(data))
    return found


def _faults(one: Certificate) -> list[str]:
    said = one.subject.lower()
    faults = [f"{one.subject}, which is distrusted" for name in _DISTRUSTED if name in said][:1]
    if one.key.weak:
        faults.append(f"{one.subject} with {one.key.kind} of {one.key.bits} bits")
    if one.md_signed and one.subject != one.issuer:
        faults.append(f"{one.subject}, signed with MD5")
    return faults
