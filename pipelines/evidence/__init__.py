"""The evidence file: what was computed for one policy, how, from which rows, and how to check it again."""
