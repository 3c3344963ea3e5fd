"""Prompt families, clean and corrupted pairs, and how a model does on them."""
