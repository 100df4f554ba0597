"""Passes over the dataflow graph, one a file; the rules that they apply, one theme a file."""
