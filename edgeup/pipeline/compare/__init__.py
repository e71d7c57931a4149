"""Networks side by side: `subjects` is the way through."""
