"""The files of a base model: where they come from, what they say; imports no torch."""
