"""What people read on the terminal: options, console output, tables."""
