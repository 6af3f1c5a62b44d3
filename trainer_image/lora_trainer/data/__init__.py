"""From files to tokenised rows; imports no torch."""
