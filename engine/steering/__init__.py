"""What a direction added to the stream does to an answer, and what else it does."""
