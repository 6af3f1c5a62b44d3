"""The trainer image: `prepare` checks and tokenises on a CPU, `train` makes, verifies and publishes the adapter."""
