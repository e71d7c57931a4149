"""Names the cause of a difference between two outputs."""
