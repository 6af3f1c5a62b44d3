"""What is made for a release beside images and chart."""
