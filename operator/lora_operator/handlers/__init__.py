"""What comes in from outside: events of the API server, reports of pods, probes."""
