"""What is inside a release, who built it, and until when it may run."""
