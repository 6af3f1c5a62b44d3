"""How things read on a terminal. Pure: data and the time in, lines out."""
