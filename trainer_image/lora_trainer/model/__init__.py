"""The model in memory: quantised base, adapter, attention."""
