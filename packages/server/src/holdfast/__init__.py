"""The control plane: services, adapters, web and command line. `bootstrap` is where they meet."""
