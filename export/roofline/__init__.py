"""How long a GPU would take for a graph: an estimate from shapes, peaks and a few efficiencies."""
