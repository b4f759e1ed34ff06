"""What a PSA attestation token says, as values, and under which keys each profile says it.

Source: RFC 9783 section 4 and its table of claim keys (section 4.6).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec


class Profile(StrEnum):
    """The profiles that are read, by the names they go by in tokens."""

    PSA_1 = "PSA_IOT_PROFILE_1"
    PSA_2 = "http://arm.com/psa/2.0.0"
    TFM = "tag:psacertified.org,2023:psa#tfm"


class Lifecycle(StrEnum):
    """The state of the root of trust (RFC 9783, section 4.3.1); in order of its number's high byte, in steps of 16."""

    UNKNOWN = "unknown"
    ASSEMBLY_AND_TEST = "assembly-and-test"
    PSA_ROT_PROVISIONING = "psa-rot-provisioning"
    SECURED = "secured"
    NON_PSA_ROT_DEBUG = "non-psa-rot-debug"
    RECOVERABLE_PSA_ROT_DEBUG = "recoverable-psa-rot-debug"
    DECOMMISSIONED = "decommissioned"

    @property
    def trustworthy(self) -> bool:
        """Whether what the root of trust says in this state can be believed at all."""
        return self in (Lifecycle.SECURED, Lifecycle.NON_PSA_ROT_DEBUG)


class Component(msgspec.Struct, frozen=True):
    """One piece of loaded software: its measurement, and the digest of its signer's key. Empty text: not said."""

    value: bytes
    signer: bytes
    kind: str = ""
    version: str = ""
    description: str = ""


class PsaClaims(msgspec.Struct, frozen=True):
    """The claims of one PSA token; empty where an optional one is absent.

    `lifecycle_detail` is the state's low byte, which is the maker's own. `components` is empty only under profile 1,
    from a device that says it measures nothing. A negative `client_id` asked from the non-secure side.
    """

    profile: Profile
    nonce: bytes
    instance_id: bytes
    implementation_id: bytes
    lifecycle: Lifecycle
    lifecycle_detail: int
    client_id: int
    components: tuple[Component, ...]
    boot_seed: bytes = b""
    certification: str = ""
    vsi: str = ""


_LATER: Mapping[str, tuple[int, ...]] = {
    "nonce": (10,),
    "instance_id": (256,),
    "client_id": (2394,),
    "lifecycle": (2395,),
    "implementation_id": (2396,),
    "boot_seed": (2397,),
    "certification": (2398,),
    "components": (2399,),
    "vsi": (2400,),
}
KEYS: Mapping[Profile, Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {
        Profile.PSA_1: {
            "client_id": (-75001,),
            "lifecycle": (-75002,),
            "implementation_id": (-75003,),
            "boot_seed": (-75004,),
            "certification": (-75005,),
            "components": (-75006,),
            "no_measurements": (-75007,),
            "nonce": (-75008,),
            "instance_id": (-75009,),
            "vsi": (-75010,),
        },
        Profile.PSA_2: _LATER,
        Profile.TFM: {**_LATER, "boot_seed": (268, 2397)},
    }
)
"""The keys of each claim. For the boot seed the RFC took EAT's; its drafts, and devices of their time, have 2397."""
OF_PROFILE_1 = frozenset(range(-75010, -74999))
OF_LATER_PROFILES = frozenset({10, 256, *range(2394, 2401)})
