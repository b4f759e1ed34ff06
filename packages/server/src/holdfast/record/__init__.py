"""Writing down what happened, and proving it."""
