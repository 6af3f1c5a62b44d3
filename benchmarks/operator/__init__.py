"""Figures of the operator on a real API server without nodes."""
