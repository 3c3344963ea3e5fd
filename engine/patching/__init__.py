"""What a part's value from another run does to the answer: activation patching."""
