"""Reports that people read: one HTML file per page, without scripts and without a network."""
