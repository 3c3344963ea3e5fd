"""What a model writes, clean and ablated side by side."""
