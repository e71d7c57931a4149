"""How fast a model is, where its time goes, on which board: `model` is the way through."""
