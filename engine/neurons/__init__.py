"""Single neurons: which matter, what they say and read, where they are strong, in what language."""
