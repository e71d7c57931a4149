"""Graph passes: each finds sites, refuses with a reason, and rewrites into an equal graph."""
