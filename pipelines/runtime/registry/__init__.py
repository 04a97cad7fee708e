"""Model versions: the champion, its weights, and the rule of promotion."""
