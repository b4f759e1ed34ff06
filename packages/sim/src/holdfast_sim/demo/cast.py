"""Who plays: six devices of five classes, each of a shipped example model that checks in every few seconds here.

1. A demo model is its example with another name and another contact interval, taken from the server through the API.
2. Where every device has a network of its own, two devices of one model have the same ports. Where they share this
   machine's, every device gets a model and a port of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from holdfast_sim.demo.api import Api

EXAMPLE_VERSION = "1.0.0"
ATTESTED_FOR_S = 3600
"""How long a proof of what was booted counts."""


class Member(msgspec.Struct, frozen=True):
    """One device of the fleet."""

    device: str
    example: str
    """The example model it is of."""
    role: str
    """What it is, in a few words."""
    ports: tuple[int, ...] = ()
    """What it opens: its essential function first."""
    tree: str = ""
    """The builder of its root tree; empty: this machine's own ``/``, or none at all."""
    interval_s: int = 4
    reads: str = ""
    """A file of its tree without which its essential function does not work."""
    zone: str = ""

    @property
    def has_agent(self) -> bool:
        """Whether it runs the agent."""
        return self.example != "soil-sensor"


# A whole machine takes its time to look at itself. One sitting of an audit may take a twentieth of the interval, which
# is long enough here for some hundred thousand files at a stretch. Its silence is measured accordingly.
SERVER = Member(
    "plant-server", "edge-server", "server, this machine's own live /", (9443, 22), interval_s=2400, zone="it"
)
GATEWAY = Member(
    "gateway-1", "site-gateway", "gateway, a broker on Debian packages", (8883, 22), "gateway", zone="site"
)
HARDENED = Member("door-1", "door-camera", "camera of a maker who cares", (8554, 22), "hardened-camera", zone="doors")
CARELESS = Member(
    "door-2",
    "door-camera",
    "camera as careless vendors ship it",
    (8554, 22, 23, 2345),
    "careless-camera",
    reads="etc/shadow",
    zone="doors",
)
PUMP = Member("pump-1", "pump-controller", "pump controller that must not reboot", (502,), "pump-controller", zone="ot")
SENSOR = Member("soil-1", "soil-sensor", "soil sensor: no agent, it speaks for itself", zone="field")
CAST = (SERVER, GATEWAY, HARDENED, CARELESS, PUMP, SENSOR)


def model_name(member: Member, *, port: int | None) -> str:
    """What the demo's model of `member` is called; `port` as for `model_for`."""
    return f"{member.example}-demo" if port is None else f"{member.example}-{member.device}"


def model_for(member: Member, api: Api, *, port: int | None, attests: Mapping[str, Any] | None = None) -> str:
    """Make the demo's model for `member` at the server; returns its reference.

    Args:
        member: for whom.
        api: the server.
        port: where its essential function listens here; `None` where the model's own port will do.
        attests: what its evidence of a boot must show; `None` where none is demanded.
    """
    model: dict[str, Any] = api.get(f"/models/{member.example}@{EXAMPLE_VERSION}")["model"]
    model["name"] = model_name(member, port=port)
    model["constraints"]["contact_interval_s"] = member.interval_s
    if port is not None:
        _move(model, port)
    if attests is not None:
        model["needs"].append({"appraisal": "attestation", "max_age_s": ATTESTED_FOR_S})
        model["attestation"] = dict(attests)
    # Every JSON text is YAML.
    answer = api.post("/models", msgspec.json.encode(model), kind="application/yaml")
    return str(answer["reference"])


def _move(model: dict[str, Any], port: int) -> None:
    """Let the essential function listen on `port` as well; its own stays declared, for the tree's settings name it."""
    function = model["essential_function"]
    old = function["probe"].get("port")
    for flow in [flow for flow in model["flows"] if flow["port"] == old and flow["direction"] == "in"]:
        model["flows"].append({**flow, "name": f"{flow['name']}-here", "port": port})
        function["flows"].append(f"{flow['name']}-here")
    if old is not None:
        function["probe"]["port"] = port
