"""Sparse autoencoders: read, trained, how healthy they are, and what their features are."""
