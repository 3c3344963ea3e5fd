"""Directions on a model: their numbers and sizes, and the files they are kept in."""
