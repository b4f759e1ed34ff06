"""Keys in files: the certification authority of devices, and the log's signing key."""

from holdfast.adapters.pki.authority import FileAuthority
from holdfast.adapters.pki.logkey import FileLogSigner

__all__ = ["FileAuthority", "FileLogSigner"]
