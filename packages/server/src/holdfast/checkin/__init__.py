"""The loop itself: evidence in, verdict and desired state out."""
