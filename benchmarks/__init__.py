"""Figures of the product, measured by scripts that anybody can run."""
