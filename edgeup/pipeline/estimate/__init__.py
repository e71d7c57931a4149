"""How long a board would take, from shapes alone: `model` is the way through."""
