"""The device's key in a PKCS#11 token (a secure element, a smart card), through OpenSC's pkcs11-tool.

1. A token is named by a PKCS#11 URI (RFC 7512): ``pkcs11:token=T;object=O?module-path=M&pin-source=file:F``. The key is
   there already: makers and provisioning tools put it there, and each kind of token has its own way.
2. A PIN is read from the file that the URI names, and handed on in the environment; one that stands in the URI itself
   is refused, for every process can read arguments.
3. Nothing of the key comes here but its public half and its signatures.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote, unquote

import msgspec

from holdfast_core.kernel.errors import HostileData, WorldError

STEP_S = 60.0
PIN_VARIABLE = "HOLDFAST_TOKEN_PIN"
LARGEST_PIN = 256
PREFIX = "pkcs11:"
_ATTRIBUTES = frozenset({"token", "object", "type", "module-path", "pin-source"})


class Token(msgspec.Struct, frozen=True):
    """A key in a token: the token's and the object's label, the module that speaks to it, and where its PIN stands."""

    token: str
    label: str
    module: str
    pin_file: str

    @property
    def engine_uri(self) -> str:
        """The URI as OpenSSL's pkcs11 engine takes it; the PIN comes another way."""
        return f"{PREFIX}token={quote(self.token)};object={quote(self.label)};type=private"


def parse_token(uri: str) -> Token:
    """The token and key that a URI names.

    Raises:
        HostileData: ``agent.token_uri``.
    """
    path, _, query = uri.removeprefix(PREFIX).partition("?")
    found: dict[str, str] = {}
    for part in (*path.split(";"), *query.split("&")):
        name, equals, value = part.partition("=")
        if part and (not equals or name not in _ATTRIBUTES or name in found):
            raise _bad_uri(f"it has a part that is not known here: {name[:40]!r}")
        if part:
            found[name] = unquote(value)
    missing = [name for name in ("token", "object", "module-path", "pin-source") if not found.get(name)]
    if not uri.startswith(PREFIX) or missing:
        raise _bad_uri(f"it says nothing of {' and '.join(missing) or 'pkcs11'}")
    pin_file = found["pin-source"].removeprefix("file:")
    if not found["module-path"].startswith("/") or not pin_file.startswith("/"):
        raise _bad_uri("its module-path and pin-source must be whole paths")
    return Token(found["token"], found["object"], found["module-path"], pin_file)


def public_half(token: Token) -> bytes:
    """The key's public half, as DER SubjectPublicKeyInfo. Raises WorldError ``agent.token``, ``agent.token_tools``."""
    return _run(token, "--read-object", "--type", "pubkey")


def sign(token: Token, digest: bytes) -> bytes:
    """The key's ECDSA signature over a SHA-256 digest, in DER. Raises as `public_half`."""
    return _run(token, "--sign", "--mechanism", "ECDSA", "--signature-format", "openssl", given=digest)


def _run(token: Token, *what: str, given: bytes = b"") -> bytes:
    with tempfile.TemporaryDirectory(prefix="holdfast-token-") as folder:
        source, target = Path(folder) / "in", Path(folder) / "out"
        source.write_bytes(given)
        command = [
            "pkcs11-tool", "--module", token.module, "--token-label", token.token, "--login",
            "--pin", f"env:{PIN_VARIABLE}", "--label", token.label, *what,
            "--input-file", str(source), "--output-file", str(target),
        ]  # fmt: skip
        environment = {**os.environ, PIN_VARIABLE: pin_of(token)}
        try:
            done = subprocess.run(command, env=environment, capture_output=True, timeout=STEP_S, check=False)  # noqa: S603  (a list of our own words)
        except FileNotFoundError as error:
            raise WorldError(
                "agent.token_tools",
                "pkcs11-tool is not installed.",
                remedy="Install what speaks to the token (Debian: apt-get install opensc libengine-pkcs11-openssl).",
            ) from error
        except subprocess.TimeoutExpired as error:
            raise _failed(f"it took more than {STEP_S:g} s") from error
        if done.returncode or not target.exists():
            raise _failed(_last_words(done.stderr))
        return target.read_bytes()


def pin_of(token: Token) -> str:
    """The token's PIN. Raises WorldError ``agent.token_pin``."""
    try:
        with Path(token.pin_file).open("rb") as file:
            pin = file.read(LARGEST_PIN).decode("ascii").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise WorldError(
            "agent.token_pin",
            f"The token's PIN could not be read: {error}.",
            remedy=f"Put it into {token.pin_file}, readable for the agent alone (mode 0600).",
        ) from error
    return pin


def _last_words(output: bytes) -> str:
    lines = [line.strip() for line in output[-4096:].decode("utf-8", "replace").splitlines() if line.strip()]
    said = next((line for line in lines if line.startswith("error")), lines[-1] if lines else "it gave no reason")
    return "".join(sign if sign.isprintable() else " " for sign in said[:200])


def _failed(why: str) -> WorldError:
    return WorldError(
        "agent.token",
        f"The token did not do what it should: {why}.",
        remedy="Check that it is plugged in, that its labels are those in the URI, and that the PIN is right.",
    )


def _bad_uri(why: str) -> HostileData:
    return HostileData(
        "agent.token_uri",
        f"This names no key in a token: {why}.",
        remedy="Write pkcs11:token=LABEL;object=LABEL?module-path=/path/module.so&pin-source=file:/path/pin.",
    )
