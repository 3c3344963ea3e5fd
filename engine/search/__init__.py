"""The search for a circuit."""
