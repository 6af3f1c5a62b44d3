"""Figures of the prepare stage on data of any size."""
