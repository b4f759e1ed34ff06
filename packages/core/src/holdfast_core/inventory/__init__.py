"""What a device is, whose it is, what it can bear, and what it must go on doing."""
