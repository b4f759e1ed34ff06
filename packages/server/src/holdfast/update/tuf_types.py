"""The types of python-tuf that metadata is made of; the library exports them without saying so."""

from __future__ import annotations

from securesystemslib.signer import Key, SSlibKey  # type: ignore[attr-defined]  # exported without saying so
from tuf.api.metadata import (  # type: ignore[attr-defined]  # same
    DelegatedRole,
    Delegations,
    Metadata,
    Role,
    Root,
    Signed,
    TargetFile,
    Targets,
)
from tuf.api.metadata import Signature as TufSignature  # type: ignore[attr-defined]  # same
from tuf.api.serialization import DeserializationError, SerializationError

__all__ = [
    "DelegatedRole",
    "Delegations",
    "DeserializationError",
    "Key",
    "Metadata",
    "Role",
    "Root",
    "SSlibKey",
    "SerializationError",
    "Signed",
    "TargetFile",
    "Targets",
    "TufSignature",
]
