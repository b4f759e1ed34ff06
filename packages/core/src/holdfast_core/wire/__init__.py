"""The check-in message: its frame, its codec, and the order in which a device's messages may come."""
