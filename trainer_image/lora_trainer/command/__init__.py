"""The commands of the image, and the launcher of processes."""
