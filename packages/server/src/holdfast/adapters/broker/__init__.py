"""Message brokers: mosquitto and nats-server, each rendered, reloaded and watched through files, signals and MQTT.

1. A broker's files are in one folder, published one by one, each whole or not at all.
2. Nothing is run through a shell, and no signal goes to a process that is not the broker.
"""

from holdfast.adapters.broker.adapters import adapter_for
from holdfast.adapters.broker.mosquitto import MosquittoBroker
from holdfast.adapters.broker.nats import NatsBroker
from holdfast.adapters.broker.trust import AuthorityTrust

__all__ = ["AuthorityTrust", "MosquittoBroker", "NatsBroker", "adapter_for"]
