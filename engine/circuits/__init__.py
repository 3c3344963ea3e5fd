"""Circuits as values: evaluated, compared, kept, beside random controls."""
