"""The edge of the operator: everything that talks to the API server, keeps time or counts."""
