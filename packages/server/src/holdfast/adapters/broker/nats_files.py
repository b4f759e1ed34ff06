"""What nats-server reads, as text: one file, so that users and all else change together.

1. Each admitted device is a user, known by the DNS name in its certificate (`verify_and_map`), with allow lists of its
   own; deny lists are never relied on, for replayed messages pass them by in releases before 2.12.12 and 2.14.3.
2. Beyond its grants a client needs ``$MQTT.sub.>`` to be delivered what it subscribed to with QoS 1, and no more.
3. Strings are quoted; what could end a quotation is refused before (`topics.parse_filter`, names).
4. Written for nats-server 2.9.10 and later; every option is explained in docs/how-to/run-a-broker.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from holdfast.adapters.broker.files import STATE
from holdfast.ports.broker import Admission, Broker, Publication
from holdfast_core.identity.grants import nats_subjects

LOG, PID = f"{STATE}/nats.log", f"{STATE}/nats.pid"
CONFIG, ANCHORS, SERVER_CHAIN, SERVER_KEY, ROOT = "nats.conf", "anchors.pem", "server.pem", "server.key", "root.pem"
GATEWAY_CHAIN, GATEWAY_KEY = "gateway.pem", "gateway.key"
"""A leaf's device identity at its hub; whoever sets the leaf up puts them there."""
MESSAGE_BYTES = 65_536
CONNECTIONS = 10_000
DELIVERED = "$MQTT.sub.>"
ACCOUNT = "FLEET"
_NOTHING = '{publish: {deny: [">"]}, subscribe: {deny: [">"]}}'
_STORED = "max_memory_store: 67108864, max_file_store: 1073741824"


def configuration(broker: Broker, publication: Publication) -> bytes:
    """``nats.conf``."""
    folder = Path(broker.folder)
    tls = _tls(folder)
    lines = [
        "# Rendered by Holdfast; changes are overwritten. Explained in docs/how-to/run-a-broker.md.",
        f"server_name: {_quoted(broker.id)}",
        'listen: "127.0.0.1:-1"',
        f'http: "127.0.0.1:{broker.control_port}"',
        f"pid_file: {_quoted(folder / PID)}",
        f"log_file: {_quoted(folder / LOG)}",
        f"max_payload: {MESSAGE_BYTES}",
        f"max_connections: {CONNECTIONS}",
        "max_subscriptions: 64",
        "max_pending: 8388608",
        'write_deadline: "5s"',
        'ping_interval: "30s"',
        f"tls {tls}",
        f"jetstream {_jetstream(broker, folder)}",
        f"mqtt {{listen: {_quoted(_at(broker.host, broker.port))}, max_ack_pending: 100, tls {tls}}}",
        *_leaf_nodes(broker, folder, tls),
        "accounts {",
        f" {ACCOUNT} {{jetstream: enabled, users: [",
        *(f"  {_user(admission)}" for admission in publication.admitted),
        f"  {{user: {_quoted(publication.probe.certified_name)}, permissions: {_NOTHING}}}",
        " ]}",
        " SYS {}",
        "}",
        "system_account: SYS",
    ]
    return ("\n".join(lines) + "\n").encode()


def _leaf_nodes(broker: Broker, folder: Path, tls: str) -> list[str]:
    """Where gateways connect, or the hub that this broker is a leaf of.

    A leaf serves its devices by itself and goes on while its hub is away. The hub knows the gateway alone, by its
    device certificate, and lets pass what the gateway's own grants say.
    """
    if broker.leaf_of:
        files = (("cert_file", GATEWAY_CHAIN), ("key_file", GATEWAY_KEY), ("ca_file", ROOT))
        shown = ", ".join(f"{key}: {_quoted(folder / name)}" for key, name in files)
        url = _quoted(f"tls://{broker.leaf_of}")
        return [f"leafnodes {{remotes: [{{urls: [{url}], account: {ACCOUNT}, tls {{{shown}}}}}]}}"]
    if broker.leaf_port:
        return [f"leafnodes {{listen: {_quoted(_at(broker.host, broker.leaf_port))}, tls {tls}}}"]
    return []


def _jetstream(broker: Broker, folder: Path) -> str:
    """Where sessions and retained messages are kept, and how much; the domain keeps a leaf's own apart from these."""
    return f"{{store_dir: {_quoted(folder / STATE / 'jetstream')}, domain: {_quoted(broker.id)}, {_STORED}}}"


def _tls(folder: Path) -> str:
    files = (("cert_file", SERVER_CHAIN), ("key_file", SERVER_KEY), ("ca_file", ANCHORS))
    told = ", ".join(f"{key}: {_quoted(folder / name)}" for key, name in files)
    return f"{{{told}, verify_and_map: true, timeout: 5}}"


def _user(admission: Admission) -> str:
    grants = admission.grants
    publish = _subjects(grants.publish)
    subscribe = f"{_subjects(grants.subscribe)}, {_quoted(DELIVERED)}"
    name = _quoted(admission.certified_name)
    return f"{{user: {name}, permissions: {{publish: {{allow: [{publish}]}}, subscribe: {{allow: [{subscribe}]}}}}}}"


def _subjects(filters: Iterable[str]) -> str:
    return ", ".join(_quoted(subject) for pattern in filters for subject in nats_subjects(pattern))


def _at(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _quoted(text: object) -> str:
    escaped = str(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
