"""A real Kubernetes on one Linux machine, without Docker: build, up, load, down."""
