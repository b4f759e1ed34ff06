"""What a device is allowed to do right now."""
