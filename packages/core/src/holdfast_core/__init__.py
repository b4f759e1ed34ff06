"""The rules of Holdfast.

1. Pure: bytes and values in, values out. No clock, no I/O, no randomness, no logging.
2. Values are frozen; a value that exists is valid.
3. A verdict is a function ``(facts, policy, now)``; ``now`` always comes in as an argument.
4. Everything from outside is refused with a `kernel.errors.HostileData` that carries a code, a sentence and a remedy.
"""
