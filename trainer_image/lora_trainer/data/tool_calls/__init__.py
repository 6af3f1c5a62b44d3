"""Calls of tools in the texts of models: the form in which a chat template writes them, and reading them back."""
