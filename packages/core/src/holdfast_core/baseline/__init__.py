"""Is the device hardened, as far as this kind of device can be?"""
