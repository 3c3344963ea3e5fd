"""What comes next, clean and ablated, and how answer and distractor fare."""
