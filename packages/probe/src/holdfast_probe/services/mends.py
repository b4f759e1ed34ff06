"""Working out the changes that meet the probes of this area."""

from __future__ import annotations

from holdfast_core.baseline.probes.logs import Logs
from holdfast_core.baseline.probes.network import Firewall
from holdfast_core.baseline.probes.services import Broker, ConsoleLogin, Dropbear, Service, Snmp
from holdfast_probe.mend import Mends
from holdfast_probe.services.closing import mend_broker, mend_firewall, mend_logs, mend_snmp
from holdfast_probe.services.disabling import mend_console_login, mend_service
from holdfast_probe.services.dropbear import mend_dropbear

MENDS: Mends = {
    Service: mend_service,
    ConsoleLogin: mend_console_login,
    Firewall: mend_firewall,
    Broker: mend_broker,
    Snmp: mend_snmp,
    Dropbear: mend_dropbear,
    Logs: mend_logs,
}
"""Every probe of this area that can be mended."""
