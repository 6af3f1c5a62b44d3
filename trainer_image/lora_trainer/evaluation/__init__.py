"""Losses on held-out rows, generated answers and the gate."""
