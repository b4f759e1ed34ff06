"""Updates on the device: fetched under TUF, written to the inactive slot, tried, confirmed or taken back."""
