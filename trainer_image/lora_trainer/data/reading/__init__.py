"""From files, in whatever compression and format, to rows with their places."""
