"""Forms chosen by measurement: `model` is the way through."""
