"""Two models, engines or saved outputs side by side: `whole` is the way through."""
