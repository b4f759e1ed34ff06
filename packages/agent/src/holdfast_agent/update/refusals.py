"""What python-tuf says of metadata it refuses, in our words: one code for each kind of attack.

1. The order matters: the exceptions of python-tuf are each other's subclasses.
2. A version that is lower than one that was seen is a rollback; one that another file does not list is a mismatch.
   python-tuf has one exception for both, so whoever knows which file it was says which.
"""

from __future__ import annotations

from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    SlowRetrievalError,
    UnsignedMetadataError,
)
from tuf.api.serialization import DeserializationError, SerializationError

from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.printable import printable

Refused = (RepositoryError, DownloadError)
"""Everything that python-tuf raises because of what a repository sent."""
_OTHER_HANDS = "Nothing of it was kept. If it lasts, somebody else answers, or holds a key: run holdfast keys drill."
_REFRESH = "Let the server sign its metadata anew (it does so by itself while it runs), and set the device's clock."
_WORDS: tuple[tuple[type[Exception], str, str, str], ...] = (
    (ExpiredMetadataError, "expired", "has expired", _REFRESH),
    (BadVersionNumberError, "rollback", "is older than what this device has verified before", _OTHER_HANDS),
    (UnsignedMetadataError, "signature", "is not signed by enough of the keys that count for it", _OTHER_HANDS),
    (LengthOrHashMismatchError, "mismatch", "is not the file that the signed metadata lists", _OTHER_HANDS),
    (DeserializationError, "malformed", "is no TUF metadata", _OTHER_HANDS),
    (SerializationError, "malformed", "is no TUF metadata", _OTHER_HANDS),
    (DownloadHTTPError, "missing", "did not come", "Ask again; the server sends what the device does not hold."),
    (SlowRetrievalError, "slow", "came too slowly", "Try again, on a better line."),
    (DownloadError, "unreachable", "could not be fetched", "Check the address and the network."),
    (RepositoryError, "mismatch", "does not fit the rest of the signed metadata", _OTHER_HANDS),
)


def refusal(error: Exception, what: str, *, mixed: bool = False) -> HostileData:
    """Our words for what python-tuf raised.

    Args:
        error: one of `Refused`.
        what: the file, with its repository.
        mixed: whether the file's version is another than the one that was asked for.
    """
    said = printable(str(error))[:200]
    if isinstance(error, DownloadLengthMismatchError):
        return LimitExceeded(
            "update.metadata_too_large", f"{what} is larger than it may be: {said}.", remedy=_OTHER_HANDS
        )
    if mixed and isinstance(error, BadVersionNumberError):
        return _refused("mismatch", f"{what} is another version than the signed metadata lists: {said}.", _OTHER_HANDS)
    for kind, name, words, remedy in _WORDS:
        if isinstance(error, kind):
            return _refused(name, f"{what} {words}: {said}.", remedy)
    return _refused("mismatch", f"{what} was refused: {said}.", _OTHER_HANDS)


def _refused(name: str, sentence: str, remedy: str) -> HostileData:
    return HostileData(f"update.metadata_{name}", sentence, remedy=remedy)
