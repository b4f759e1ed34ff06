"""The device's TPM, through tpm2-tools: its endorsement key, an attestation key, and the device's own key.

1. Each step is a process of its own (docs/adr/0020), with its arguments as a list, a time limit, and files in a private
   folder that is gone afterwards.
2. No private key is ever here: what lies in files are the chip's own encrypted blobs, which load in no other chip.
3. Keys are children of the owner hierarchy's standard parent, which is made anew each time. One thing is left in the
   chip's few persistent places: the attestation key, so that a quote is one command. Where the chip has no room for
   it, it is loaded instead. The owner must have no password: the parent could not be made.
4. Where there is no resource manager (a simulator), what a step loaded is flushed after it: a chip holds three keys.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from holdfast_agent.state import Kept
from holdfast_agent.tpm_commands import Quote
from holdfast_agent.tpm_tools import TCTI_VARIABLE as TCTI_VARIABLE  # noqa: PLC0414  (who drives a chip reads it here)
from holdfast_agent.tpm_tools import run_tool
from holdfast_core.formats.tpm.keyfile import key_file
from holdfast_core.formats.tpm.reader import u32
from holdfast_core.kernel.errors import WorldError
from holdfast_core.wire.tpm import Challenge

PARENT = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt"
"""The parent that the tpm2 provider makes for a key whose file names the owner hierarchy."""
ATTESTATION = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign|restricted"
DEVICE = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign"
CERTIFICATES = (("ecc", "0x01c0000a"), ("rsa", "0x01c00002"))
"""Where makers put the certificate of the endorsement key of each kind (TCG EK Credential Profile, section 2.2.1.4)."""
_CREDENTIAL_FILE = u32(0xBADCC0DE) + u32(1)
"""With what tpm2-tools begins a file that holds a credential."""
PLACES = range(0x81010100, 0x81010110)
"""Where the attestation key may stay: owner's handles, clear of those that endorsement keys have by custom."""
_MANAGED = ("device:/dev/tpmrm", "tabrmd")


class Endorsement(msgspec.Struct, frozen=True):
    """The chip's endorsement key (TPM2B_PUBLIC), and its certificate where the maker put one."""

    kind: str
    public: bytes
    certificates: tuple[bytes, ...]


class KeyFiles(msgspec.Struct, frozen=True):
    """A key that lies in the chip: its public area, and the chip's encrypted blob."""

    public: bytes
    private: bytes

    @property
    def pem(self) -> str:
        """The file that OpenSSL's tpm2 provider loads."""
        return key_file(self.public, self.private)


class Proof(msgspec.Struct, frozen=True):
    """The attestation key's word (TPMS_ATTEST, TPMT_SIGNATURE) for the device's key."""

    attestation: bytes
    signature: bytes


class Chip:
    """The TPM behind `tcti`, while an enrollment lasts. Use `opened`."""

    def __init__(self, tcti: str, folder: Path) -> None:
        self._tcti = tcti
        self._folder = folder
        self._flushes = not tcti.startswith(_MANAGED)

    def endorsement(self) -> Endorsement:
        """The endorsement key that the maker certified; where there is no certificate, the ECC one.

        Raises:
            WorldError: ``agent.tpm``, ``agent.tpm_tools``.
        """
        for kind, index in CERTIFICATES:
            certificate = self._certificate(index)
            if certificate:
                return Endorsement(kind, self._endorsement_key(kind), (certificate,))
        return Endorsement("ecc", self._endorsement_key("ecc"), ())

    def _certificate(self, index: str) -> bytes:
        """The certificate (DER) at an NV index, without what follows it there; empty where there is none."""
        target = self._folder / "certificate"
        try:
            self._run("tpm2_nvread", index, "-C", "o", "-o", str(target))
        except WorldError as error:
            if error.code != "agent.tpm":
                raise
            return b""
        return _der(target.read_bytes())

    def _endorsement_key(self, kind: str) -> bytes:
        self._run("tpm2_createek", "-c", self._at("ek.ctx"), "-G", kind, "-u", self._at("ek.pub"))
        return self._read("ek.pub")

    def make_keys(self) -> tuple[KeyFiles, KeyFiles]:
        """The attestation key and the device's key, made in the chip."""
        self._make_parent()
        return self._make("ak", "ecc256:ecdsa-sha256:null", ATTESTATION), self._make("key", "ecc256", DEVICE)

    def _make(self, name: str, kind: str, attributes: str) -> KeyFiles:
        created = ("-d", self._at(f"{name}.creation"), "-t", self._at(f"{name}.ticket"))
        parent, public, private = self._at("parent.ctx"), self._at(f"{name}.pub"), self._at(f"{name}.priv")
        self._run(
            "tpm2_create", "-Q", "-C", parent, "-G", kind, "-a", attributes, "-u", public, "-r", private, *created
        )
        self._load(name)
        return KeyFiles(self._read(f"{name}.pub"), self._read(f"{name}.priv"))

    def _make_parent(self) -> None:
        self._run("tpm2_createprimary", "-Q", "-C", "o", "-G", "ecc", "-a", PARENT, "-c", self._at("parent.ctx"))

    def _load(self, name: str) -> None:
        public, private = self._at(f"{name}.pub"), self._at(f"{name}.priv")
        self._run(
            "tpm2_load", "-Q", "-C", self._at("parent.ctx"), "-u", public, "-r", private, "-c", self._at(f"{name}.ctx")
        )

    def load_attestation(self, key: KeyFiles) -> None:
        """Load an attestation key that was made earlier. Raises WorldError ``agent.tpm``, ``agent.tpm_tools``."""
        (self._folder / "ak.pub").write_bytes(key.public)
        (self._folder / "ak.priv").write_bytes(key.private)
        self._make_parent()
        self._load("ak")

    def quote(self, qualifying: bytes, bank: str, registers: Iterable[int]) -> Quote:
        """A quote by the attestation key that this process loaded. Raises as `load_attestation`."""
        chosen = f"{bank}:{','.join(map(str, registers))}"
        self._run(
            "tpm2_quote", "-Q", "-c", self._at("ak.ctx"), "-l", chosen, "-q", qualifying.hex(), "-g", "sha256",
            "-m", self._at("quote"), "-s", self._at("quote.sig"),
        )  # fmt: skip
        return Quote(self._read("quote"), self._read("quote.sig"))

    def keep_attestation(self) -> tuple[int, str]:
        """Have the attestation key stay in the chip; its handle, or 0 and why the chip did not take it."""
        try:
            taken = self._run("tpm2_getcap", "handles-persistent").decode("ascii", "replace").lower()
            free = next((place for place in PLACES if f"{place:#x}" not in taken), 0)
            if not free:
                return 0, f"all handles from {PLACES[0]:#x} to {PLACES[-1]:#x} are taken"
            self._run("tpm2_evictcontrol", "-Q", "-C", "o", "-c", self._at("ak.ctx"), f"{free:#x}")
        except WorldError as error:
            return 0, error.sentence
        return free, ""

    def remove(self, kept: Kept) -> None:
        """Remove a key from the chip, if it is still the one that was kept there. Raises as `load_attestation`."""
        self._run("tpm2_readpublic", "-Q", "-c", f"{kept.handle:#x}", "-f", "tss", "-o", self._at("there.pub"))
        if self._read("there.pub") == kept.public:
            self._run("tpm2_evictcontrol", "-Q", "-C", "o", "-c", f"{kept.handle:#x}")

    def activate(self, challenge: Challenge) -> bytes:
        """The secret that the server wrapped for this chip and its attestation key."""
        (self._folder / "credential").write_bytes(_CREDENTIAL_FILE + challenge.blob + challenge.secret)
        session = self._at("session.ctx")
        self._run("tpm2_startauthsession", "--policy-session", "-S", session)
        try:
            self._run("tpm2_policysecret", "-Q", "-S", session, "-c", "e")
            self._run(
                "tpm2_activatecredential", "-Q", "-c", self._at("ak.ctx"), "-C", self._at("ek.ctx"),
                "-i", self._at("credential"), "-o", self._at("secret"), "-P", f"session:{session}",
            )  # fmt: skip
        finally:
            self._run("tpm2_flushcontext", session)
        return self._read("secret")

    def certify(self, nonce: bytes) -> Proof:
        """The attestation key's word that the device's key was created in this chip and lies in it.

        TPM2_CertifyCreation, since the tool for TPM2_Certify takes no nonce.
        """
        self._run(
            "tpm2_certifycreation", "-Q", "-C", self._at("ak.ctx"), "-c", self._at("key.ctx"),
            "-f", "tss", "-g", "sha256", "-d", self._at("key.creation"), "-t", self._at("key.ticket"),
            "-q", nonce.hex(), "--attestation", self._at("attestation"), "-o", self._at("signature"),
        )  # fmt: skip
        return Proof(self._read("attestation"), self._read("signature"))

    def sign(self, digest: bytes) -> bytes:
        """The device key's ECDSA signature over a SHA-256 digest, in DER."""
        (self._folder / "digest").write_bytes(digest)
        self._run(
            "tpm2_sign", "-Q", "-c", self._at("key.ctx"), "-g", "sha256", "-s", "ecdsa", "-f", "plain",
            "-d", "-o", self._at("signed"), self._at("digest"),
        )  # fmt: skip
        return self._read("signed")

    def _at(self, name: str) -> str:
        return str(self._folder / name)

    def _read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()

    def _run(self, *command: str) -> bytes:
        """Run one tool; what it printed. Raises WorldError ``agent.tpm``, ``agent.tpm_tools``."""
        printed = run_tool(command, self._tcti)
        if self._flushes and command[0] != "tpm2_flushcontext":
            run_tool(("tpm2_flushcontext", "-t"), self._tcti)
        return printed


@contextmanager
def opened(tcti: str) -> Iterator[Chip]:
    """The chip, with a private folder for what the tools hand to one another."""
    with tempfile.TemporaryDirectory(prefix="holdfast-tpm-") as folder:
        yield Chip(tcti, Path(folder))


def _der(data: bytes) -> bytes:
    """The one DER element that `data` begins with: makers fill an index up with other bytes. Empty when it is none."""
    if len(data) < 4 or data[0] != 0x30 or data[1] != 0x82:  # noqa: PLR2004  (a SEQUENCE whose length has two bytes)
        return b""
    end = 4 + int.from_bytes(data[2:4], "big")
    return data[:end] if end <= len(data) else b""
