"""A device maker with the openssl command: a root, an authority below it, and IDevIDs that never end."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from holdfast.identity.enrollment import Shown

FOR_EVER = "99991231235959Z"
"""The end that 802.1AR, section 8.7, wants an IDevID to have."""
_CA = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
_LEAF = "basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\nauthorityKeyIdentifier=keyid\n"


class Maker:
    """The folder of a maker. Its IDevIDs have no extended key usage, as those of real makers often have none."""

    def __init__(self, folder: Path, name: str = "Acme") -> None:
        self.folder, self.name = folder, name
        folder.mkdir(parents=True)
        (folder / "ca.cnf").write_text(
            "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nnew_certs_dir=.\nrand_serial=yes\ndefault_md=sha256\n"
            "unique_subject=no\npolicy=p\n[p]\ncommonName=optional\nserialNumber=optional\norganizationName=optional\n"
        )
        (folder / "index").write_text("")
        self._key("root")
        self._openssl("req", "-new", "-key", "root.key", "-subj", f"/O={name}/CN={name} root", "-out", "root.csr")
        self._sign("root.csr", "root.pem", _CA, "-selfsign", "-keyfile", "root.key")
        self._key("below")
        self._openssl("req", "-new", "-key", "below.key", "-subj", f"/O={name}/CN={name} devices", "-out", "below.csr")
        self._sign("below.csr", "below.pem", _CA, "-cert", "root.pem", "-keyfile", "root.key")

    @property
    def roots(self) -> bytes:
        return (self.folder / "root.pem").read_bytes()

    def idevid(self, serial: str, *, subject: str = "", san: str = "", end: str = FOR_EVER) -> Path:
        """Key and certificate with its chain, in one file, of a new device."""
        stem = f"dev-{len(list(self.folder.glob('dev-*.key')))}"
        self._key(stem)
        self._openssl(
            "req", "-new", "-key", f"{stem}.key", "-out", f"{stem}.csr", "-subj", subject or self.subject(serial)
        )
        more = _LEAF + (f"subjectAltName={san}\n" if san else "")
        self._sign(f"{stem}.csr", f"{stem}.pem", more, "-cert", "below.pem", "-keyfile", "below.key", end=end)
        whole = self.folder / f"{stem}.whole.pem"
        parts = [self.folder / name for name in (f"{stem}.key", f"{stem}.pem", "below.pem")]
        whole.write_bytes(b"".join(part.read_bytes() for part in parts))
        return whole

    def subject(self, serial: str) -> str:
        return f"/O={self.name}/CN=Camera/serialNumber={serial}"

    def shown(self, identity: Path) -> Shown:
        """What TLS would say of a connection with this identity."""
        chain = x509.load_pem_x509_certificates(b"-----BEGIN C" + identity.read_bytes().split(b"-----BEGIN C", 1)[1])
        chain += x509.load_pem_x509_certificates(self.roots)
        return Shown(tuple(certificate.public_bytes(Encoding.DER) for certificate in chain))

    def _key(self, stem: str) -> None:
        self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{stem}.key")

    def _sign(self, request: str, out: str, extensions: str, *how: str, end: str = FOR_EVER) -> None:
        (self.folder / "ext.cnf").write_text(extensions)
        times = ("-startdate", "20200101000000Z", "-enddate", end)
        self._openssl(
            "ca",
            "-batch",
            "-notext",
            "-config",
            "ca.cnf",
            "-extfile",
            "ext.cnf",
            "-in",
            request,
            "-out",
            out,
            *times,
            *how,
        )

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)
