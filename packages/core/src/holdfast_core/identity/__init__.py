"""Who a device is: claims, credentials, and what may be certified."""
