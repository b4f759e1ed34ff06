"""Working out the changes that meet the probes of this area."""

from __future__ import annotations

from holdfast_core.baseline.probes.credentials import Accounts
from holdfast_probe.credentials.mend_accounts import mend_accounts
from holdfast_probe.mend import Mends

MENDS: Mends = {Accounts: mend_accounts}
