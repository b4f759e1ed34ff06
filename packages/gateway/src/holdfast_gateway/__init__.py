"""What runs at the edge of a site, beside the gateway's own agent: a cache of artefacts for the devices behind it."""
