"""Looking at accounts, keys, certificates and secrets."""

from __future__ import annotations

from holdfast_core.baseline.probes import Accounts, PrivateKeys
from holdfast_probe.case import Looks
from holdfast_probe.credentials.accounts import see_accounts
from holdfast_probe.credentials.key_hunt import KeyHunt
from holdfast_probe.hunt import Hunts

LOOKS: Looks = {Accounts: see_accounts}
HUNTS: Hunts = {
    PrivateKeys: lambda case, spec: KeyHunt(spec, file_bytes=case.budget.file_bytes(live=case.root.live)),
}
