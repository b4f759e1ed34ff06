"""Keys in files: the certification authority of devices, and the log's signing key."""

from holdfast.adapters.pki.authority import FileAuthority
from holdfast.adapters.pki.keyfiles import FileKeyStore
from holdfast.adapters.pki.logkey import FileLogSigner
from holdfast.adapters.pki.passphrase import Passphrase, find_passphrase, make_passphrase

__all__ = ["FileAuthority", "FileKeyStore", "FileLogSigner", "Passphrase", "find_passphrase", "make_passphrase"]
