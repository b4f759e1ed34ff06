"""What mosquitto reads, as text: its configuration, its access list, and the first state of its kill switch.

1. Everything is denied that the access list does not name; a device that is not admitted has no line in it, so that
   even a connection that should not be has no rights.
2. The access list names each device (`user`), never a `pattern`: a pattern would grant to whoever gets in.
3. The dynamic security plugin has one client, ours, and no other role than its own commands: it serves to disconnect.
4. Written for mosquitto 2.0.11 and later; every option is explained in docs/how-to/run-a-broker.md.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

from holdfast.adapters.broker.files import STATE
from holdfast.ports.broker import Broker, Publication

CONTROL_USER = "Holdfast"
"""No device can have it: device ids are lower case."""
PLUGIN = "/usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so"
PLUGINS = (
    PLUGIN,
    "/usr/lib/aarch64-linux-gnu/mosquitto_dynamic_security.so",
    "/usr/lib/arm-linux-gnueabihf/mosquitto_dynamic_security.so",
    "/usr/lib/mosquitto_dynamic_security.so",
)
"""Where Debian and others put the plugin."""
LOG, PID, DYNSEC = f"{STATE}/mosquitto.log", f"{STATE}/mosquitto.pid", f"{STATE}/dynsec.json"
CONFIG, ACL, CRL, ANCHORS = "mosquitto.conf", "acl", "crl.pem", "anchors.pem"
SERVER_CHAIN, SERVER_KEY, ROOT = "server.pem", "server.key", "root.pem"
PACKET_BYTES = 65_536
CONNECTIONS = 10_000
QUEUED = 200
_ITERATIONS = 10_000
_SALT_BYTES = 12


def configuration(broker: Broker, plugin: str) -> bytes:
    """``mosquitto.conf``."""
    folder = Path(broker.folder)
    lines = [
        "# Rendered by Holdfast; changes are overwritten. Explained in docs/how-to/run-a-broker.md.",
        *([f"user {broker.run_as}"] if broker.run_as else []),
        f"pid_file {folder / PID}",
        "per_listener_settings false",
        "allow_anonymous false",
        "allow_zero_length_clientid false",
        f"acl_file {folder / ACL}",
        f"plugin {plugin}",
        f"plugin_opt_config_file {folder / DYNSEC}",
        f"max_packet_size {PACKET_BYTES}",
        "max_keepalive 3600",
        "max_inflight_messages 20",
        f"max_queued_messages {QUEUED}",
        f"max_queued_bytes {QUEUED * 4096}",
        "persistence true",
        f"persistence_location {folder / STATE}/",
        "persistent_client_expiration 14d",
        "autosave_interval 300",
        f"log_dest file {folder / LOG}",
        "log_type error",
        "log_type warning",
        "log_type notice",
        "log_type subscribe",
        "log_type debug",
        "log_timestamp true",
        "connection_messages true",
        "",
        f"listener {broker.port} {broker.host}",
        f"max_connections {CONNECTIONS}",
        "max_topic_alias 0",
        "tls_version tlsv1.2",
        "ciphers ECDHE+AESGCM:ECDHE+CHACHA20",
        f"cafile {folder / ANCHORS}",
        f"crlfile {folder / CRL}",
        f"certfile {folder / SERVER_CHAIN}",
        f"keyfile {folder / SERVER_KEY}",
        "require_certificate true",
        "use_identity_as_username true",
        "use_username_as_clientid true",
        "",
        f"listener {broker.control_port} 127.0.0.1",
        "max_connections 8",
        "tls_version tlsv1.2",
        f"cafile {folder / ROOT}",
        f"certfile {folder / SERVER_CHAIN}",
        f"keyfile {folder / SERVER_KEY}",
        "use_username_as_clientid true",
    ]
    return ("\n".join(lines) + "\n").encode()


def access_list(publication: Publication) -> bytes:
    """``acl``: each device with its own filters, and nobody else."""
    lines = ["# Rendered by Holdfast. What stands here for no device is denied."]
    for admission in publication.admitted:
        grants = admission.grants
        lines.append(f"user {grants.device}")
        lines.extend(f"topic write {pattern}" for pattern in grants.publish)
        lines.extend(f"topic read {pattern}" for pattern in grants.subscribe)
    return ("\n".join(lines) + "\n").encode()


def kill_switch(password: str, salt: bytes) -> bytes:
    """The first ``dynsec.json``; afterwards the plugin writes it itself."""
    hashed = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    allowed = ("publishClientSend", "publishClientReceive", "subscribePattern", "unsubscribePattern")
    acls = [{"acltype": kind, "topic": "$CONTROL/dynamic-security/#", "allow": True} for kind in allowed]
    return json.dumps(
        {
            "defaultACLAccess": {
                "publishClientSend": False,
                "publishClientReceive": False,
                "subscribe": False,
                "unsubscribe": True,
            },
            "clients": [
                {
                    "username": CONTROL_USER,
                    "textname": "Ends connections",
                    "password": base64.b64encode(hashed).decode(),
                    "salt": base64.b64encode(salt).decode(),
                    "iterations": _ITERATIONS,
                    "roles": [{"rolename": "control"}],
                }
            ],
            "roles": [{"rolename": "control", "acls": acls}],
        },
        indent=1,
    ).encode()
