"""TLS with a key that lies in a PKCS#11 token: by a process of `openssl s_client`, spoken through.

1. Python's `ssl` takes keys from files alone, and engines, which is what OpenSSL 3.0 reaches tokens by, have no place
   in it (docs/adr/0021). `openssl` itself has: it makes the connection, and this process speaks HTTP through it.
2. The server is verified as everywhere: against the pinned root alone, by name, without regard to time, TLS 1.3. A
   verification that fails ends the connection before a byte of ours was sent.
3. The relay ends with its connection.
"""

from __future__ import annotations

import http.client
import ipaddress
import os
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import IO, Any

from holdfast_agent.token import PIN_VARIABLE, Token, pin_of
from holdfast_agent.transport import Client, Failed, Server, Timed
from holdfast_core.kernel.errors import WorldError
from holdfast_core.wire.device import Refusal

ENDING_S = 5.0
LARGEST_COMPLAINT = 4096
ENGINE = "pkcs11"
_COMPLAINTS = (
    ("verify error", "agent.server_not_trusted", "Check the address; if the server got a new authority, enroll again."),
    ("ENGINE", "agent.token", "Check that the token is plugged in and that libengine-pkcs11-openssl is installed."),
    ("private key", "agent.token", "Check the labels in the token's URI, and its PIN."),
)
"""What openssl says where, which code that is here, and what to do about it."""


class Relay(http.client.HTTPConnection):
    """An HTTP connection through a process that speaks TLS for it."""

    def __init__(self, server: Server, command: list[str], identity: Path, token: Token) -> None:
        super().__init__(server.host, server.port)
        self._command = command
        self._identity = identity
        self._token = token
        self._process: subprocess.Popen[bytes] | None = None
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the connection)

    def connect(self) -> None:
        """Start the process; its standard input and output are one socket, and its other end is ours."""
        self._end()
        environment = {**os.environ, "PKCS11_MODULE_PATH": self._token.module, PIN_VARIABLE: pin_of(self._token)}
        issuers = _issuers(self._identity)
        ours, theirs = socket.socketpair()
        self._complaints.seek(0)
        self._complaints.truncate()
        try:
            self._process = subprocess.Popen(  # noqa: S603  (a list of our own words)
                [*self._command, "-cert_chain", f"/dev/fd/{issuers}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._complaints,
                env=environment,
                pass_fds=(issuers,),
            )
        except FileNotFoundError as error:
            ours.close()
            raise WorldError(
                "agent.token_tools", "openssl is not installed.", remedy="Debian: apt-get install openssl."
            ) from error
        finally:
            theirs.close()
            os.close(issuers)
        self.sock: Any = Timed(ours)

    def deadline(self, at: float) -> None:
        """From here on, give up at `at` (monotonic seconds)."""
        self.sock.at = at

    def close(self) -> None:
        """Close the connection, and end the process."""
        super().close()
        self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def complaint(self) -> str:
        """What the process said on its standard error."""
        self._complaints.seek(0)
        return self._complaints.read(LARGEST_COMPLAINT).decode("utf-8", "replace")


class RelayClient(Client):
    """A `Client` whose TLS is made by a process that can use the token.

    Args:
        server: whom to call.
        token: where the key lies.
        root: the file with the pinned authority (PEM).
        identity: the file with the device's certificate chain (PEM).
    """

    def __init__(self, server: Server, token: Token, *, root: Path, identity: Path) -> None:
        self._relay = Relay(server, _command(server, token, root, identity), identity, token)
        super().__init__(server, connection=self._relay)

    def call(self, method: str, path: str, body: bytes = b"", headers: Any = None) -> bytes:
        """See `Client.call`; what the relay complained of is told as it would be told without one."""
        try:
            return super().call(method, path, body, headers)
        except Failed as error:
            if error.refusal.status:
                raise
            raise Failed(self._reason(error.refusal)) from error

    def _reason(self, refusal: Refusal) -> Refusal:
        said = self._relay.complaint()
        for line in said.splitlines():
            for sign, code, remedy in _COMPLAINTS:
                if sign in line and not line.startswith("Engine"):
                    words = "".join(each if each.isprintable() else " " for each in line[:200])
                    return Refusal(0, code, f"openssl could not connect: {words}.", remedy)
        return refusal


def _command(server: Server, token: Token, root: Path, identity: Path) -> list[str]:
    if _is_address(server.host):
        host = f"[{server.host}]" if ":" in server.host else server.host
        name = ["-verify_ip", server.host, "-noservername"]
    else:
        host, name = server.host, ["-verify_hostname", server.host, "-servername", server.host]
    return [
        "openssl", "s_client", "-connect", f"{host}:{server.port}", "-tls1_3", "-quiet", "-nocommands", "-verify_quiet",
        "-verify_return_error", "-no_check_time", *name, "-CAfile", str(root), "-no-CApath", "-no-CAstore",
        "-cert", str(identity), "-engine", ENGINE, "-keyform", "engine", "-key", token.engine_uri,
        "-pass", f"env:{PIN_VARIABLE}",
    ]  # fmt: skip


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _issuers(identity: Path) -> int:
    """A file without a name that holds the certificates after the device's own; its descriptor."""
    _, end, others = identity.read_bytes().partition(b"-----END CERTIFICATE-----\n")
    descriptor = os.memfd_create("issuers")
    os.write(descriptor, others if end else b"")
    return descriptor
