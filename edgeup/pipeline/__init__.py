"""Where the three wings meet: what a verb does, from names and files to a report."""
