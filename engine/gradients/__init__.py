"""What nodes and edges do to the answer, by gradients integrated between two runs."""
