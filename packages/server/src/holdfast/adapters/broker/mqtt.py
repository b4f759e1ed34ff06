"""Speaking to a broker as a client: may an identity connect, and commands to mosquitto's control listener.

1. Everything here blocks, and is called in a thread of its own; every wait has an end.
2. "Refused" is told from "away": who cannot even open a TCP connection learns nothing about identities.
3. Trying an identity takes two packets (MQTT 3.1.1, sections 3.1 and 3.2) and no client; for more than that Eclipse
   paho is used, under its BSD-style licence (Eclipse Distribution License 1.0).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.exception import MQTTException
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from holdfast.ports.broker import ClientIdentity
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.printable import printable

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 15.0
STEP_SECONDS = 0.05
LOCAL = "127.0.0.1"
CONTROL_TOPIC = "$CONTROL/dynamic-security/v1"
_NO_MQTT = (MQTTException, ValueError, LookupError, struct.error)
"""What paho raises for packets that are none: a broker may have been taken over."""
_CLEAN_SESSION = 0x02
_DISCONNECT = b"\xe0\x00"
_CONNACK, _CONNACK_BYTES = 0x20, 4


def may_connect(host: str, port: int, identity: ClientIdentity, root: bytes) -> bool:
    """Whether the broker lets `identity` in, under its own name as client id.

    Raises:
        WorldError: ``broker.unreachable``; no TCP connection, or no word for `CONNECT_SECONDS`.
    """
    context = _context(root, identity)
    try:
        plain = socket.create_connection((host, port), CONNECT_SECONDS)
    except OSError as error:
        raise _away(host, port, error.strerror or str(error)) from error
    with plain:
        try:
            with context.wrap_socket(plain, server_hostname=host) as secured:
                secured.sendall(_connect_packet(identity.name))
                answer = b""
                while len(answer) < _CONNACK_BYTES and (part := secured.recv(_CONNACK_BYTES - len(answer))):
                    answer += part
                admitted = len(answer) == _CONNACK_BYTES and answer[0] == _CONNACK and answer[3] == 0
                if admitted:
                    secured.sendall(_DISCONNECT)
                return admitted
        except TimeoutError:
            raise _away(host, port, "it did not answer") from None
        except OSError:  # how a handshake that was refused ends; ssl.SSLError is one of these
            return False


def _connect_packet(client_id: str) -> bytes:
    """CONNECT (section 3.1): protocol level 4, a clean session, keep-alive of a minute."""
    name = client_id.encode()
    variable = b"\x00\x04MQTT\x04" + bytes([_CLEAN_SESSION]) + (60).to_bytes(2, "big")
    body = variable + len(name).to_bytes(2, "big") + name
    return bytes([0x10, len(body)]) + body  # names of ours are far below the 127 bytes of a one-byte length


def _context(root: bytes, identity: ClientIdentity | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=root.decode() or "-")  # an empty text would mean the system's own
    except (ssl.SSLError, ValueError) as error:
        raise WorldError(
            "broker.files",
            "The certificate that the broker is known by (root.pem in its folder) cannot be read.",
            remedy="Prepare the broker again: holdfast broker apply.",
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if identity is not None:
        # The ssl module reads keys from files only; this one is in memory, and has no name.
        with os.fdopen(os.memfd_create("identity", os.MFD_CLOEXEC), "wb") as file:
            file.write(identity.key + identity.chain)
            file.flush()
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
    return context


class _Answer:
    """The response to one control command."""

    def __init__(self) -> None:
        self.admitted: bool | None = None
        self.body: bytes | None = None
        self.subscribed = False

    def on_connect(
        self, _client: object, _data: object, _flags: object, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        """Note whether we were let in."""
        self.admitted = not reason.is_failure

    def on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        """Keep the answer."""
        self.body = bytes(message.payload)

    def on_subscribe(
        self, _client: object, _data: object, _mid: int, reasons: Sequence[ReasonCode], _properties: Properties | None
    ) -> None:
        """Note that answers will come."""
        self.subscribed = bool(reasons) and not reasons[0].is_failure


def control(port: int, user: str, password: str, root: bytes, commands: list[dict[str, Any]]) -> None:
    """Have mosquitto's dynamic security plugin do `commands`, in order.

    Raises:
        WorldError: ``broker.unreachable``, ``broker.control_refused``.
    """
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=user, reconnect_on_failure=False)
    client.username_pw_set(user, password)
    client.tls_set_context(_context(root, None))
    client.connect_timeout = CONNECT_SECONDS
    answer = _Answer()
    client.on_connect = answer.on_connect
    client.on_message = answer.on_message
    client.on_subscribe = answer.on_subscribe
    try:
        client.connect(LOCAL, port)
        _until(client, lambda: answer.admitted is not None, port)
        if not answer.admitted:
            raise _refused("it does not let the control plane in")
        client.subscribe(f"{CONTROL_TOPIC}/response")
        _until(client, lambda: answer.subscribed, port)
        client.publish(CONTROL_TOPIC, json.dumps({"commands": commands}))
        _until(client, lambda: answer.body is not None, port)
    except OSError as error:
        raise _away(LOCAL, port, error.strerror or str(error)) from error
    except _NO_MQTT as error:
        raise _away(LOCAL, port, f"what it says is no MQTT ({type(error).__name__})") from error
    finally:
        client.disconnect()
        with contextlib.suppress(*_NO_MQTT):
            client.loop(timeout=STEP_SECONDS)
    check_answer(answer.body or b"", len(commands))


class _Response(msgspec.Struct, frozen=True):
    error: str = ""


class _Responses(msgspec.Struct, frozen=True):
    responses: tuple[_Response, ...]


def check_answer(body: bytes, commands: int) -> None:
    """Refuse an answer of the plugin that does not say that all of so many commands were done.

    Raises:
        WorldError: ``broker.control_refused``.
    """
    try:
        told = msgspec.json.decode(body, type=_Responses).responses
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise _refused("its answer cannot be read") from None
    failed = [entry.error for entry in told if entry.error]
    if failed or len(told) != commands:
        raise _refused(printable(failed[0])[:200] if failed else "it did not answer every command")


def _until(client: paho.Client, done: Callable[[], bool], port: int) -> None:
    end = time.monotonic() + ANSWER_SECONDS
    while not done():
        ended = client.loop(timeout=STEP_SECONDS) is not MQTTErrorCode.MQTT_ERR_SUCCESS
        if not done() and (ended or time.monotonic() > end):
            raise _away(LOCAL, port, "it ended the connection or did not answer")


def _away(host: str, port: int, why: str) -> WorldError:
    return WorldError(
        "broker.unreachable",
        f"The broker at {host}:{port} does not answer: {why}.",
        remedy="See that it runs and listens there; its log says why it ended.",
    )


def _refused(why: str) -> WorldError:
    return WorldError(
        "broker.control_refused",
        f"The broker refused a command: {why}.",
        remedy="Stop it, remove state/dynsec.json, run holdfast broker apply, and start it again.",
    )
