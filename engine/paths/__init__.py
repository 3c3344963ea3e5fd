"""Direct paths between the members of a circuit, by path patching."""
