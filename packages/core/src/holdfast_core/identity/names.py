"""The names in certificates: one for each device, unlike every other device's in every tenant and environment.

1. A device's certified name is ``<device>.<environment>.<tenant>.holdfast.internal``. It is the one DNS name of its
   certificate, what brokers know it by, and what an issuer's name constraint (RFC 5280, section 4.2.1.10) is about.
2. Read from the right it falls apart in one way only, for tenants and environments of an authority have no dots.
3. ``.internal`` is reserved for private use (ICANN resolution 2024.07.29.06): nobody can own it.
"""

from __future__ import annotations

from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceKey, Scope, parse_device_id

DOMAIN = "holdfast.internal"
ISSUER_NAME = "Holdfast issuer"
"""How the common name of every issuer begins; its number follows."""
_PARTS_AFTER_DEVICE = 4


def certified_name(key: DeviceKey) -> str:
    """The DNS name in the certificate of the device `key`."""
    return f"{key.device}.{scope_name(key.scope)}"


def scope_name(scope: Scope) -> str:
    """The domain under which every device of `scope` is named; an issuer may certify nothing else.

    Raises:
        HostileData: ``authority.scope_name``.
    """
    for part in (scope.tenant, scope.environment):
        if "." in part:
            raise HostileData(
                "authority.scope_name",
                f"{part!r} has a dot, so names of its devices could be read in two ways.",
                remedy="Name tenants and environments without dots, such as acme-works and production.",
            )
    return f"{scope.environment}.{scope.tenant}.{DOMAIN}"


def device_named(name: str) -> DeviceKey:
    """The device whose certified name is `name`.

    Raises:
        HostileData: ``name.invalid``.
    """
    parts = name.rsplit(".", _PARTS_AFTER_DEVICE)
    if len(parts) != _PARTS_AFTER_DEVICE + 1 or ".".join(parts[3:]) != DOMAIN:
        raise HostileData(
            "name.invalid", f"{name[:120]!r} is no device's name.", remedy=f"Write DEVICE.ENVIRONMENT.TENANT.{DOMAIN}."
        )
    device, environment, tenant, *_ = parts
    return DeviceKey(Scope(tenant, environment), parse_device_id(device))
