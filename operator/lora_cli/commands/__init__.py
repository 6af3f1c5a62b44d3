"""What a user can type; one file for each group of commands."""
