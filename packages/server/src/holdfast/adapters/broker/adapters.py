"""Which adapter serves which broker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from holdfast.adapters.broker.mosquitto import MosquittoBroker
from holdfast.adapters.broker.nats import NatsBroker
from holdfast.ports.broker import Broker, BrokerAdapter, BrokerKind

_ADAPTERS: Mapping[BrokerKind, Callable[[Broker], BrokerAdapter]] = MappingProxyType(
    {BrokerKind.MOSQUITTO: MosquittoBroker, BrokerKind.NATS: NatsBroker}
)


def adapter_for(broker: Broker) -> BrokerAdapter:
    """The adapter of `broker`."""
    return _ADAPTERS[broker.kind](broker)
