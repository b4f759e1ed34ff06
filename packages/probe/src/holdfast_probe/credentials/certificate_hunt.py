"""The hunt for certificates of the device itself, and for SSH public keys: their sizes and their days.

1. Trust stores are left out: what lies there is others' (`trust`). So are programs, whose certificates test themselves,
   and what lies in a folder of tests or documentation.
2. A certificate that is not yet valid speaks against the clock rather than against the certificate.
"""

from __future__ import annotations

import re

from holdfast_core.baseline.probes.credentials import CertificateCheck, Certificates
from holdfast_core.kernel.instants import DAY, Instant, rfc3339
from holdfast_probe.case import Case
from holdfast_probe.credentials.certificates import MARK, Certificate, certificates_in, ssh_key
from holdfast_probe.hunt import Hunt
from holdfast_probe.sight import Sight, not_applicable, unknown
from holdfast_probe.walk import Opened, Walked, Wants

_SMALLEST, _LARGEST = 64, 64 * 1024
_SOON = 14 * DAY
_DER = (".der", ".crt", ".cer")
_SSH = ("/authorized_keys", "/authorized_keys2", ".pub")
_STORES = re.compile(
    r"/(?:etc/(?:ssl/certs|ca-certificates|pki/ca-trust|pki/tls/certs/ca-)|usr/(?:local/)?share/(?:ca-certificates|pki)|"
    r"usr/lib/ssl/certs|rom)/|/etc/ssl/cert\.pem$|(?:cacert|ca-bundle|ca-certificates|tls-ca-bundle)[^/]*$|"
    r"/(?:tests?|testdata|examples?|docs?)/"
)


class CertificateHunt(Hunt):
    """Certificates with small keys, or past their days."""

    wants = Wants(content=True)

    carried = ("found", "looked", "early")

    def __init__(self, case: Case, spec: Certificates) -> None:
        super().__init__()
        self._check = spec.check
        self._now = case.now
        self.looked = 0
        self.early = ""

    def opens(self, name: str, mode: int, size: int) -> bool:  # noqa: ARG002  (the collectors' shape)
        """Small files only: a certificate and its chain are."""
        return _SMALLEST <= size <= _LARGEST

    def content(self, path: str, file: Opened) -> int:
        """Judge every certificate in it."""
        head = bytes(file.head)
        marked = MARK in head or (path.endswith(_DER) and head[:2] == b"\x30\x82")
        public = not marked and self._check is CertificateCheck.KEY_SIZE and path.endswith(_SSH)
        # The pattern is asked last: almost no file gets so far, and every file of the device comes by here.
        if not (marked or public) or head[:4] == b"\x7fELF" or _STORES.search(path):
            return 0
        if public:
            self._public_keys(path, head)
            return 0
        for certificate in certificates_in(head):
            self.looked += 1
            self._judge(path, certificate)
        return 0

    def _public_keys(self, path: str, head: bytes) -> None:
        for line in head.split(b"\n"):
            if key := ssh_key(line):
                self.looked += 1
                if key.weak:
                    self.found.add(f"{path} (SSH key, {key.kind} of {key.bits} bits)")

    def _judge(self, path: str, certificate: Certificate) -> None:
        if self._check is CertificateCheck.KEY_SIZE:
            if certificate.key.weak:
                self.found.add(f"{path} ({certificate.subject}: {certificate.key.kind} of {certificate.key.bits} bits)")
        elif self._now is not None:
            self._judge_days(path, certificate, self._now)

    def _judge_days(self, path: str, certificate: Certificate, now: Instant) -> None:
        notice = min(_SOON, (certificate.not_after - certificate.not_before) // 10)
        if now > certificate.not_after:
            self.found.add(f"{path} ({certificate.subject}: expired {rfc3339(certificate.not_after)[:10]})")
        elif now < certificate.not_before:
            self.early = path
        elif now > certificate.not_after - notice:
            self.found.add(f"{path} ({certificate.subject}: expires {rfc3339(certificate.not_after)[:10]})")

    def result(self, walked: Walked) -> Sight:
        """No certificate: not applicable; no clock to trust: unknown."""
        if self.found.count or walked.gap:
            return super().result(walked)
        if not self.looked:
            return not_applicable("The device has no certificate of its own.")
        if self._check is CertificateCheck.DATES and self._now is None:
            return unknown("There is no clock to compare with.")
        if self.early:
            return unknown(f"The clock is before the first day of {self.early}: one of the two is wrong.")
        self.praise = f"{self.looked} certificates and public keys are in order"
        return super().result(walked)
