"""What a device booted, and whether that is still true."""
