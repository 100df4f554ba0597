"""From the graph to a program with addresses, one step a file."""
