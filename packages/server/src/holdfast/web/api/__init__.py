"""The operator API: what people and their programs call, on port 8443 and on the local socket."""
