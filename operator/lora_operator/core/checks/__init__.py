"""Is there anything to do for a run at all: it is finished, refused or suspended."""
