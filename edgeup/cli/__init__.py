"""The command line: parses strings, reads the environment, maps errors to exit statuses."""
