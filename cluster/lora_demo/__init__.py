"""The whole way on one machine: images, an S3 server, a small real model, and the demo that uses them."""
