"""Calling a model: rows with edits of their own in, logits and captures out."""
