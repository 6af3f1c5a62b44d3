"""Callbacks of transformers.Trainer."""
